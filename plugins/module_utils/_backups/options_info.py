# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``restic_info``, as its module and ``host_review`` take them.

Where the defaults come from:

- 26 hours of age: a daily backup, and two hours for one that begins late or takes long. With a rhythm of its own and
  nothing agreed, a series may be a quarter older than the longest of its last six pauses (a weekend among them).
- Half the usual size: the usual is the median of the seven snapshots before the drop; a median does not follow one
  freak. Half is the issue's own bound; growth is no fault.
- 35 days of gaps: the last month, and the days until somebody reads of it.
- Locks: restic itself takes a lock that was not refreshed for 30 minutes for stale (it refreshes every 5).
- A million names to compare: some 70 MB for as long as that takes, and few hosts have more.
- 64 MiB on a volume: less is an empty filesystem with its journal and lost+found.
"""

from __future__ import annotations

from typing import Any

from .options import LIMIT_SPEC, REPOSITORIES

KEEP_SPEC: dict[str, Any] = {
    name: {"type": "int"} for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly")
}

POLICY_SPEC: dict[str, Any] = {
    # What it is for
    "repository": {"type": "str", "default": "*"},
    "host": {"type": "str"},
    "tags": {"type": "list", "elements": "str"},
    "source": {"type": "str"},
    # What is agreed
    "hosts": {"type": "list", "elements": "str"},
    "rpo_hours": {"type": "float"},
    "rhythm_hours": {"type": "float"},
    "paths": {"type": "list", "elements": "str"},
    "keep": {"type": "dict", "options": KEEP_SPEC},
    "since": {"type": "str"},
    "shrunk_percent": {"type": "float"},
}

EXCLUSION_SPEC: dict[str, Any] = {
    "path": {"type": "str", "required": True},
    "reason": {"type": "str", "required": True},
}

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "repositories": REPOSITORIES,
    "discover": {"type": "bool", "default": True},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "policies": {"type": "list", "elements": "dict", "default": [], "options": POLICY_SPEC},
    "elsewhere": {"type": "list", "elements": "str", "default": []},
    "rpo_hours": {"type": "float"},
    "gap_days": {"type": "float", "default": 35.0},
    "shrunk_percent": {"type": "float", "default": 50.0},
    "group_by": {
        "type": "list",
        "elements": "str",
        "choices": ["host", "paths", "tags"],
        "default": ["host", "paths"],
    },
    "compare": {"type": "bool", "default": True},
    "compare_limit": {"type": "int", "default": 1_000_000},
    "exclusions": {"type": "list", "elements": "dict", "default": [], "options": EXCLUSION_SPEC},
    "dumps": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"engine": {"type": "str", "required": True}, "path": {"type": "str", "required": True}},
    },
    "databases": {"type": "bool", "default": True},
    "volumes": {"type": "bool", "default": True},
    "volume_minimum_mib": {"type": "float", "default": 64.0},
    "no_backup_reason": {"type": "str"},
    **LIMIT_SPEC,
    # A light review: a repository that does not answer is told after two minutes, and does not take the night.
    "timeout": {"type": "int", "default": 900},
    "idle_timeout": {"type": "int", "default": 120},
}


def defaults() -> dict[str, Any]:
    """The options as a module gets them when nothing is set."""
    return {name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}
