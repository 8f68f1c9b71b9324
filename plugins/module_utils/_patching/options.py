# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the patch review, as an argument spec: of patch_info, and nested in host_review."""

from __future__ import annotations

from typing import Any

ARGUMENT_SPEC: dict[str, Any] = {
    "manager": {"type": "str", "choices": ["auto", "apt", "dnf"], "default": "auto"},
    "refresh": {"type": "bool", "default": False},
    "refresh_timeout": {"type": "int", "default": 120},
    "lock_timeout": {"type": "int", "default": 10},
    "lock_max_age_hours": {"type": "int", "default": 2},
    "metadata_max_age_days": {"type": "int", "default": 7},
    "security_max_age_days": {"type": "int", "default": 14},
    "updates_max_age_days": {"type": "int", "default": 35},
    "release_warn_days": {"type": "int", "default": 90},
    "security_origins": {"type": "list", "elements": "str", "default": []},
    "allowed_holds": {"type": "list", "elements": "str", "default": []},
    "kernel_in_container": {"type": "bool", "default": False},
    "updates_limit": {"type": "int", "default": 500},
}


def defaults() -> dict[str, Any]:
    """The options as they are when nobody sets any."""
    return {name: spec["default"] for name, spec in ARGUMENT_SPEC.items()}
