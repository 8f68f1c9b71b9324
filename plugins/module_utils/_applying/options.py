# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of patch_prepare, patch_apply and patch_rollback, as argument specs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_LEAST = {"timeout": (1, "s"), "lock_timeout": (0, "s"), "room_reserve_mib": (0, "MiB"), "ends": (0, "as an epoch")}


def errors_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with options that have their types: a sentence each."""
    return [
        "%s is at least %d %s, this is %g" % (name, least, unit, options[name])
        for name, (least, unit) in _LEAST.items()
        if name in options and not options[name] >= least
    ]
