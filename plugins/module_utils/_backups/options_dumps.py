# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that ``mysql_restore_test`` and ``postgresql_restore_test`` share.

``max_age_hours``: a day, and two hours for the dump itself. ``live_tolerance``: what a business may write between its
dump and its test; a table that lost more rows than that is worth a look.
"""

from __future__ import annotations

from typing import Any

from .options import LIMIT_SPEC, REPOSITORIES

DUMP_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
    "repository": {"type": "str"},
    "snapshot": {"type": "str", "default": "latest"},
    "host": {"type": "str"},
    "tag": {"type": "str"},
    "database": {"type": "str"},
    "expected_bytes": {"type": "int"},
    "baseline": {"type": "str"},
    "rows_tolerance": {"type": "float", "default": 0.0},
    "live_tolerance": {"type": "float", "default": 10.0},
    "max_age_hours": {"type": "float", "default": 26.0},
    "newest": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "database": {"type": "str"},
            "table": {"type": "str", "required": True},
            "column": {"type": "str", "required": True},
            "max_age_hours": {"type": "float"},
        },
    },
    "queries": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "database": {"type": "str"},
            "query": {"type": "str", "required": True},
            "expected": {"type": "str"},
            "at_least": {"type": "float"},
            "at_most": {"type": "float"},
        },
    },
    "max_seconds": {"type": "int"},
}
"""Of one element of ``dumps``, what is not an engine's own."""

LIVE_SPEC: dict[str, Any] = {
    "socket": {"type": "path"},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "user": {"type": "str"},
    "database": {"type": "str"},
}
"""Of its ``live``."""

TEST_SPEC: dict[str, Any] = {
    "repositories": REPOSITORIES,
    "server_folder": {"type": "path"},
    "scratch": {"type": "path", "default": "/var/lib/upkeep/scratch"},
    "run": {"type": "str", "default": ""},
    **LIMIT_SPEC,
}
"""What stands beside ``dumps``."""
