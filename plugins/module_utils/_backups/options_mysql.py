# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``mysql_restore_test``.

``max_age_hours``: a day, and two hours for the dump itself. ``live_tolerance``: what a business may write between its
dump and its test; a table that lost more rows than that is worth a look.
"""

from __future__ import annotations

from typing import Any

from .options import LIMIT_SPEC, REPOSITORIES

DUMP_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["dump", "physical"], "default": "dump"},
    "repository": {"type": "str"},
    "snapshot": {"type": "str", "default": "latest"},
    "host": {"type": "str"},
    "tag": {"type": "str"},
    "database": {"type": "str"},
    "accounts": {"type": "list", "elements": "str", "default": []},
    "expected_bytes": {"type": "int"},
    "baseline": {"type": "str"},
    "rows_tolerance": {"type": "float", "default": 0.0},
    "live": {
        "type": "dict",
        "options": {
            "socket": {"type": "path"},
            "host": {"type": "str"},
            "port": {"type": "int"},
            "user": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "defaults_file": {"type": "path"},
            "database": {"type": "str"},
        },
    },
    "live_tolerance": {"type": "float", "default": 10.0},
    "check_tables": {"type": "bool", "default": True},
    "check_foreign_keys": {"type": "bool", "default": True},
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

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "dumps": {"type": "list", "elements": "dict", "required": True, "options": DUMP_SPEC},
    "repositories": REPOSITORIES,
    "server_folder": {"type": "path"},
    "other_versions": {"type": "str", "choices": ["refuse", "newer", "any"], "default": "refuse"},
    "plugins": {"type": "list", "elements": "str", "default": []},
    "scratch": {"type": "path", "default": "/var/lib/upkeep/scratch"},
    "run": {"type": "str", "default": ""},
    **LIMIT_SPEC,
}
