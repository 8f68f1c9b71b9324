# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``postgresql_restore_test``; what it shares with ``mysql_restore_test`` bears the same names."""

from __future__ import annotations

from typing import Any

from .options import LIMIT_SPEC, REPOSITORIES

LIVE_SPEC: dict[str, Any] = {
    "socket": {"type": "path"},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "user": {"type": "str"},
    "password_file": {"type": "path", "no_log": False},
    "service": {"type": "str"},
    "service_file": {"type": "path"},
    "database": {"type": "str"},
    "account": {"type": "str"},
    "rows": {"type": "bool", "default": True},
}
"""Where the database lives of which the dump is; no password goes through us."""

DUMP_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["dump", "physical", "pgbackrest"], "default": "dump"},
    "repository": {"type": "str"},
    "snapshot": {"type": "str", "default": "latest"},
    "host": {"type": "str"},
    "tag": {"type": "str"},
    "database": {"type": "str"},
    "version": {"type": "str"},
    "globals": {"type": "str"},
    "roles": {"type": "list", "elements": "str", "default": []},
    "trusted": {"type": "bool", "default": False},
    "jobs": {"type": "int"},
    "expected_bytes": {"type": "int"},
    "baseline": {"type": "str"},
    "rows_tolerance": {"type": "float", "default": 0.0},
    "live": {"type": "dict", "options": LIVE_SPEC},
    "live_tolerance": {"type": "float", "default": 10.0},
    "check_indexes": {"type": "bool", "default": True},
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
    "wal_archive": {"type": "path"},
    "target_time": {"type": "str"},
    "superuser": {"type": "str", "default": "postgres"},
    "preload": {"type": "str", "default": ""},
    "config": {"type": "path"},
}

ARGUMENT_SPEC: dict[str, Any] = {
    "dumps": {"type": "list", "elements": "dict", "required": True, "options": DUMP_SPEC},
    "repositories": REPOSITORIES,
    "server_folder": {"type": "path"},
    "other_versions": {"type": "str", "choices": ["refuse", "newer"], "default": "refuse"},
    "account": {"type": "str"},
    "scratch": {"type": "path", "default": "/var/lib/upkeep/scratch"},
    "run": {"type": "str", "default": ""},
    **LIMIT_SPEC,
}
