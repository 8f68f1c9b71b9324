# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``restic_restore_test``."""

from __future__ import annotations

from typing import Any

from .options import LIMIT_SPEC, REPOSITORIES

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "repositories": REPOSITORIES,
    "discover": {"type": "bool", "default": True},
    "mode": {"type": "str", "choices": ["sample", "full"], "default": "sample"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "snapshot": {"type": "str", "default": "latest"},
    "group_by": {
        "type": "list",
        "elements": "str",
        "choices": ["host", "paths", "tags"],
        "default": ["host", "paths"],
    },
    "series_max_age_days": {"type": "float", "default": 35.0},
    "paths": {"type": "list", "elements": "str", "default": []},
    "sample_mib": {"type": "int", "default": 1024},
    "sample_files": {"type": "int", "default": 20_000},
    "seed": {"type": "int"},
    "scratch": {"type": "path", "default": "/var/lib/upkeep/scratch"},
    "reserve_mib": {"type": "int"},
    "source": {"type": "str", "choices": ["auto", "never", "always"], "default": "auto"},
    "source_mib": {"type": "int", "default": 512},
    "source_root": {"type": "path", "default": "/"},
    "rto_hours": {"type": "float"},
    "rpo_hours": {"type": "float"},
    "history_dir": {"type": "path", "default": "/var/lib/upkeep/backups"},
    "run": {"type": "str", "default": ""},
    **LIMIT_SPEC,
}


def defaults() -> dict[str, Any]:
    """The options as a module gets them when nothing is set."""
    return {name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}
