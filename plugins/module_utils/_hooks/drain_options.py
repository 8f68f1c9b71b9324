# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of traffic_drain, and what is wrong with those that are handed in. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# What HAProxy itself takes for a name; so nothing of it can end a command, or begin another.
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}")

SPEC: dict[str, Any] = {
    "kind": {"type": "str", "choices": ["haproxy"], "default": "haproxy"},
    "state": {"type": "str", "choices": ["drained", "active"], "required": True},
    "server": {"type": "str", "required": True},
    "backends": {"type": "list", "elements": "str", "default": []},
    "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
    "timeout": {"type": "int", "default": 300},
    "on_timeout": {"type": "str", "choices": ["fail", "continue"], "default": "fail"},
    "allow_last": {"type": "bool", "default": False},
    "end_maintenance": {"type": "bool", "default": False},
}


def errors_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with options that have their types: a sentence each."""
    errors = []
    for what, name in [("server", options["server"]), *(("backends", one) for one in options["backends"])]:
        if not _NAME.fullmatch(name):
            errors.append("%s: a name is made of letters, digits and any of - _ . :, this is %r" % (what, name[:60]))
    if not 0 <= options["timeout"] <= 86400:
        errors.append("timeout is 0 to 86400 seconds, this is %d" % options["timeout"])
    return errors
