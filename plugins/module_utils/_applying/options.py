# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of patch_prepare, patch_apply and patch_rollback, as argument specs."""

from __future__ import annotations

from typing import Any

_LOCK: dict[str, Any] = {"lock_timeout": {"type": "int", "default": 300}}
_ENDS: dict[str, Any] = {"ends": {"type": "float", "default": 0}}
PREPARE_SPEC: dict[str, Any] = {
    "plan": {"type": "dict", "required": True},
    "health": {"type": "dict"},
    "mend": {"type": "bool", "default": True},
    "keep_old": {"type": "str", "choices": ["required", "wanted", "never"], "default": "required"},
    "room_reserve_mib": {"type": "int", "default": 200},
    "timeout": {"type": "int", "default": 1800},
    "backup": {
        "type": "dict",
        "options": {
            "max_age_days": {"type": "int", "default": 0},
            "results": {"type": "list", "elements": "dict", "default": []},
        },
    },
    **_ENDS,
    **_LOCK,
}
APPLY_SPEC: dict[str, Any] = {
    "plan": {"type": "dict", "required": True},
    "restart_services": {"type": "bool", "default": False},
    "restart_never": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "int", "default": 3600},
    "assume_prepared": {"type": "bool", "default": False},
    **_ENDS,
    **_LOCK,
}
ROLLBACK_SPEC: dict[str, Any] = {
    "plan_id": {"type": "str"},
    "restart_services": {"type": "bool", "default": True},
    "restart_never": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "int", "default": 3600},
    **_LOCK,
}
