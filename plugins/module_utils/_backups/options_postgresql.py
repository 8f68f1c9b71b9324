# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``postgresql_restore_test``."""

from __future__ import annotations

from typing import Any

from . import options_dumps

LIVE_SPEC: dict[str, Any] = {
    **options_dumps.LIVE_SPEC,
    "password_file": {"type": "path", "no_log": False},
    "service": {"type": "str"},
    "service_file": {"type": "path"},
    "account": {"type": "str"},
    "rows": {"type": "bool", "default": True},
}
"""Where the database lives of which the dump is; no password goes through us."""

DUMP_SPEC: dict[str, Any] = {
    **options_dumps.DUMP_SPEC,
    "kind": {"type": "str", "choices": ["dump", "physical", "pgbackrest"], "default": "dump"},
    "version": {"type": "str"},
    "globals": {"type": "str"},
    "roles": {"type": "list", "elements": "str", "default": []},
    "trusted": {"type": "bool", "default": False},
    "jobs": {"type": "int"},
    "live": {"type": "dict", "options": LIVE_SPEC},
    "check_indexes": {"type": "bool", "default": True},
    "wal_archive": {"type": "path"},
    "target_time": {"type": "str"},
    "superuser": {"type": "str", "default": "postgres"},
    "preload": {"type": "str", "default": ""},
    "config": {"type": "path"},
}

ARGUMENT_SPEC: dict[str, Any] = {
    **options_dumps.TEST_SPEC,
    "dumps": {"type": "list", "elements": "dict", "required": True, "options": DUMP_SPEC},
    "other_versions": {"type": "str", "choices": ["refuse", "newer"], "default": "refuse"},
    "account": {"type": "str"},
}
