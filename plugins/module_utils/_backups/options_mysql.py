# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``mysql_restore_test``."""

from __future__ import annotations

from typing import Any

from . import options_dumps

DUMP_SPEC: dict[str, Any] = {
    **options_dumps.DUMP_SPEC,
    "kind": {"type": "str", "choices": ["dump", "physical"], "default": "dump"},
    "accounts": {"type": "list", "elements": "str", "default": []},
    "live": {
        "type": "dict",
        "options": {
            **options_dumps.LIVE_SPEC,
            "password": {"type": "str", "no_log": True},
            "defaults_file": {"type": "path"},
        },
    },
    "check_tables": {"type": "bool", "default": True},
    "check_foreign_keys": {"type": "bool", "default": True},
}

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **options_dumps.TEST_SPEC,
    "dumps": {"type": "list", "elements": "dict", "required": True, "options": DUMP_SPEC},
    "other_versions": {"type": "str", "choices": ["refuse", "newer", "any"], "default": "refuse"},
    "plugins": {"type": "list", "elements": "str", "default": []},
}
