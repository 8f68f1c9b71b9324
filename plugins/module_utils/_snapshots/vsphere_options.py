# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of vsphere_snapshot, and what is wrong with those that are handed in. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .._findings import UNSAFE
from .model import COMMON_SPEC, common_errors, mark_in

if TYPE_CHECKING:
    from collections.abc import Mapping

SPEC: dict[str, Any] = {
    **COMMON_SPEC,
    "hostname": {"type": "str", "required": True},
    "port": {"type": "int", "default": 443},
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "verify": {"type": "bool", "default": True},
    "ca_file": {"type": "path"},
    "vm": {"type": "str"},
    "uuid": {"type": "str"},
    "datacenter": {"type": "str"},
    "comment": {"type": "str", "default": ""},
    "memory": {"type": "bool", "default": False},
    "quiesce": {"type": "str", "choices": ["required", "wanted", "never"], "default": "wanted"},
    "partial": {"type": "bool", "default": False},
    "power_on": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 1800},
    "answer_timeout": {"type": "int", "default": 60},
}

_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_COMMENT = 200
"""Characters of a comment."""


def errors_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with options that have their types: a sentence each."""
    errors = common_errors(options)
    for name in ("hostname", "username", "vm", "uuid", "datacenter", "comment"):
        value = options[name]
        if value is not None and (UNSAFE.search(value) or "\n" in value or "\t" in value):
            errors.append("%s holds a line feed or another control character" % name)
        elif value is not None and not value.strip() and name != "comment":
            errors.append("%s is empty" % name)
    if "/" in options["hostname"] or "@" in options["hostname"] or options["hostname"].count(":") == 1:
        errors.append(
            "hostname is a name or an address, without scheme, port or path; this is %r" % options["hostname"][:60]
        )
    if (options["vm"] is None) == (options["uuid"] is None):
        errors.append("which machine? Give vm or uuid, one of them")
    if options["uuid"] is not None and not _UUID.fullmatch(options["uuid"]):
        errors.append("uuid has 32 hexadecimal digits in five groups, this is %r" % options["uuid"][:60])
    if len(options["comment"]) > _COMMENT or mark_in(options["comment"]):
        errors.append("comment has at most %d characters, and no mark of a snapshot in it" % _COMMENT)
    if options["memory"] and options["quiesce"] == "required":
        errors.append("a snapshot with memory is never quiesced: memory, or quiesce: required")
    if not 1 <= options["port"] <= 65535:
        errors.append("port is 1 to 65535, this is %d" % options["port"])
    if not 1 <= options["timeout"] <= 86400:
        errors.append("timeout is 1 to 86400 seconds, this is %d" % options["timeout"])
    if not 1 <= options["answer_timeout"] <= 600:
        errors.append("answer_timeout is 1 to 600 seconds, this is %d" % options["answer_timeout"])
    return errors
