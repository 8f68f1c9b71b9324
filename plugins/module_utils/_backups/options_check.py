# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``restic_check``."""

from __future__ import annotations

from typing import Any

from .options import LIMIT_SPEC, REPOSITORIES

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "repositories": REPOSITORIES,
    "discover": {"type": "bool", "default": True},
    "data": {"type": "bool", "default": True},
    "full": {"type": "bool", "default": False},
    "weeks": {"type": "int", "default": 8},
    "new_packs": {"type": "int", "default": 16},
    "state_file": {"type": "path", "default": "/var/lib/upkeep/backups/restic_check.json"},
    **LIMIT_SPEC,
}


def defaults() -> dict[str, Any]:
    """The options as a module gets them when nothing is set."""
    return {name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}
