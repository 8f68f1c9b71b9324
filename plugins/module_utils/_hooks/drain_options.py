# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of traffic_drain, and what is wrong with those that are handed in. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .option_kinds import foreign, login_errors, url_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

# What HAProxy itself takes for a name; so nothing of it can end a command, or begin another.
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
# Nothing that begins with a dash, which kubectl would take for an option.
_NODE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")

SPEC: dict[str, Any] = {
    "kind": {"type": "str", "choices": ["haproxy", "command", "kubernetes", "patroni"], "default": "haproxy"},
    "state": {"type": "str", "choices": ["drained", "active"], "required": True},
    "server": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 300},
    "on_timeout": {"type": "str", "choices": ["fail", "continue"], "default": "fail"},
    "step_timeout": {"type": "int", "default": 60},
    "backends": {"type": "list", "elements": "str", "default": []},
    "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
    "allow_last": {"type": "bool", "default": False},
    "end_maintenance": {"type": "bool", "default": False},
    "kubectl": {"type": "path", "default": "kubectl"},
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "evict_unmanaged": {"type": "bool", "default": False},
    "delete_emptydir_data": {"type": "bool", "default": False},
    "urls": {"type": "list", "elements": "str", "default": []},
    "candidate": {"type": "str"},
    "max_lag": {"type": "int", "default": 1048576},
    "switch_back": {"type": "bool", "default": False},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "verify": {"type": "bool", "default": True},
    "ca_file": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path"},
    "drain_command": {"type": "list", "elements": "str", "default": []},
    "active_command": {"type": "list", "elements": "str", "default": []},
    "check_command": {"type": "list", "elements": "str", "default": []},
}

_ONLY = {
    "step_timeout": ("command", "kubernetes", "patroni"),
    "backends": ("haproxy",),
    "socket": ("haproxy",),
    "allow_last": ("haproxy", "kubernetes"),
    "end_maintenance": ("haproxy", "kubernetes"),
    "kubectl": ("kubernetes",),
    "kubeconfig": ("kubernetes",),
    "context": ("kubernetes",),
    "evict_unmanaged": ("kubernetes",),
    "delete_emptydir_data": ("kubernetes",),
    "urls": ("patroni",),
    "candidate": ("patroni",),
    "max_lag": ("patroni",),
    "switch_back": ("patroni",),
    "user": ("patroni",),
    "password": ("patroni",),
    "verify": ("patroni",),
    "ca_file": ("patroni",),
    "client_cert": ("patroni",),
    "client_key": ("patroni",),
    "drain_command": ("command",),
    "active_command": ("command",),
    "check_command": ("command",),
}
"""The kinds that an option belongs to; one that is not here belongs to all."""


def errors_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with options that have their types: a sentence each."""
    errors = foreign(options, SPEC, _ONLY)
    for what, name in [("server", options["server"]), *(("backends", one) for one in options["backends"])]:
        if not _NAME.fullmatch(name):
            errors.append("%s: a name is made of letters, digits and any of - _ . :, this is %r" % (what, name[:60]))
    if not 0 <= options["timeout"] <= 86400:
        errors.append("timeout is 0 to 86400 seconds, this is %d" % options["timeout"])
    if not 1 <= options["step_timeout"] <= 3600:
        errors.append("step_timeout is 1 to 3600 seconds, this is %d" % options["step_timeout"])
    if options["kind"] == "kubernetes" and not _NODE.fullmatch(options["server"]):
        errors.append("server is a node: lower case letters, digits, - and ., this is %r" % options["server"][:60])
    if options["kind"] == "patroni":
        errors += _patroni_errors(options)
    if options["kind"] == "command":
        errors += _command_errors(options)
    return errors


def _patroni_errors(options: Mapping[str, Any]) -> list[str]:
    errors = login_errors(options)
    if not options["urls"]:
        errors.append("kind patroni needs urls: where the REST API of some of its members is")
    for url in options["urls"]:
        errors += url_errors("urls", url)
    if options["max_lag"] < 0:
        errors.append("max_lag is bytes, 0 or more, this is %d" % options["max_lag"])
    if options["candidate"] is not None:
        if not _NAME.fullmatch(options["candidate"]):
            errors.append("candidate is the name of a member, this is %r" % options["candidate"][:60])
        if options["candidate"] == options["server"]:
            errors.append("candidate is the server itself, which shall give the lead away")
    return errors


def _command_errors(options: Mapping[str, Any]) -> list[str]:
    errors = []
    change = "drain_command" if options["state"] == "drained" else "active_command"
    for name in (change, "check_command"):
        if not options[name]:
            errors.append("kind command with state %s needs %s: a program and its arguments" % (options["state"], name))
    for name in ("drain_command", "active_command", "check_command"):
        argv = options[name]
        if argv and not argv[0]:
            errors.append("%s begins with the path of a program" % name)
        if any("\0" in one for one in argv):
            errors.append("%s holds a NUL character" % name)
    return errors
