# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``backup_info``, ``backup_check`` and ``backup_restore_test``: programs other than restic."""

from __future__ import annotations

from typing import Any

from . import options_info

ENGINE_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "engine": {"type": "str", "choices": ["borg", "command"], "required": True},
    # borg
    "repository": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "password_file": {"type": "path", "no_log": False},
    "password_command": {"type": "str", "no_log": False},
    "program": {"type": "str", "default": "borg"},
    # command
    "list_command": {"type": "list", "elements": "str"},
    "check_command": {"type": "list", "elements": "str"},
    "restore_command": {"type": "list", "elements": "str"},
    "damaged_codes": {"type": "list", "elements": "int", "default": [1]},
    # both
    "environment": {"type": "dict", "no_log": True, "default": {}},
}

COMMON: dict[str, dict[str, Any]] = {
    "repositories": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": ENGINE_SPEC,
        "mutually_exclusive": [("password", "password_file", "password_command")],
        "required_if": [("engine", "borg", ("repository",)), ("engine", "command", ("list_command",))],
    },
    "timeout": {"type": "int", "default": 7200},
    "idle_timeout": {"type": "int", "default": 900},
    "nice": {"type": "int", "default": 10},
    "ionice": {"type": "str", "choices": ["idle", "best-effort", "none"], "default": "idle"},
}

_SHARED = ("hosts", "policies", "rpo_hours", "gap_days", "shrunk_percent", "group_by", "exclusions")

INFO_SPEC: dict[str, dict[str, Any]] = {
    **COMMON,
    **{name: options_info.ARGUMENT_SPEC[name] for name in _SHARED},
}
CHECK_SPEC: dict[str, dict[str, Any]] = {
    **COMMON,
    "data": {"type": "bool", "default": False},
}
RESTORE_SPEC: dict[str, dict[str, Any]] = {
    **COMMON,
    "snapshot": {"type": "str", "default": "latest"},
    "host": {"type": "str"},
    "paths": {"type": "list", "elements": "str", "default": []},
    "expected_bytes": {"type": "int"},
    "compare": {"type": "bool", "default": False},
    "source_root": {"type": "path", "default": "/"},
    "scratch": {"type": "path", "default": "/var/lib/upkeep/scratch"},
    "run": {"type": "str", "default": ""},
}
