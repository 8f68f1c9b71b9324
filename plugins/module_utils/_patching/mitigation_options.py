# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of patch_mitigation. Pure."""

from __future__ import annotations

from typing import Any

from .mitigations import BITS

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "cves": {"type": "list", "elements": "str", "default": []},
    "packages": {"type": "dict", "default": {}},
    "sysctl": {"type": "dict"},
    "kernel_module": {"type": "list", "elements": "str"},
    "service": {"type": "list", "elements": "str"},
    "file_mode": {
        "type": "dict",
        "options": {
            "paths": {"type": "list", "elements": "path", "required": True},
            "remove": {"type": "list", "elements": "str", "choices": list(BITS), "default": ["setuid"]},
        },
    },
    "dropin": {
        "type": "dict",
        "options": {
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "required": True},
            "validate": {"type": "list", "elements": "str", "default": []},
            "reload": {"type": "str", "default": ""},
        },
    },
    "check": {"type": "list", "elements": "str", "default": []},
    "survives_reboot": {"type": "bool", "default": False},
}
MUTUALLY_EXCLUSIVE = [("sysctl", "kernel_module", "service", "file_mode", "dropin")]
