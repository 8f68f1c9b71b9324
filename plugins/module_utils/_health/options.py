# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of health_info, and what is wrong with those that are handed in. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .compare import SECTION

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("http", "tcp", "tls", "sql", "command")
ENGINES = ("postgresql", "mysql")

PROBE_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True, "choices": list(KINDS)},
    "unit": {"type": "str", "default": ""},
    "timeout": {"type": "int", "default": 10},
    "url": {"type": "str", "default": ""},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "contains": {"type": "str", "default": ""},
    "headers": {"type": "dict", "default": {}},
    "verify": {"type": "bool", "default": True},
    "ca_file": {"type": "path"},
    "host": {"type": "str", "default": "localhost"},
    "port": {"type": "int", "default": 0},
    "server_name": {"type": "str", "default": ""},
    "days": {"type": "int", "default": 7},
    "engine": {"type": "str", "choices": list(ENGINES), "default": "postgresql"},
    "socket": {"type": "path"},
    "database": {"type": "str", "default": ""},
    "user": {"type": "str", "default": ""},
    "password": {"type": "str", "no_log": True},
    "account": {"type": "str"},
    "query": {"type": "str", "default": "SELECT 1"},
    "expected": {"type": "str"},
    "argv": {"type": "list", "elements": "str", "default": []},
    "rc": {"type": "int", "default": 0},
}

ARGUMENT_SPEC: dict[str, Any] = {
    "probes": {"type": "list", "elements": "dict", "default": [], "options": PROBE_SPEC},
    "before": {"type": "dict"},
    "before_plan": {"type": "str"},
    "ignore": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "check": {"type": "str", "default": "*"},
            "subject": {"type": "str", "default": "*"},
            "reason": {"type": "str", "required": True},
        },
    },
    "journal_minutes": {"type": "int", "default": 60},
    "wait": {"type": "int", "default": 0},
    "timeout": {"type": "int", "default": 120},
}

PROBES = 100
"""Probes of one host at the most."""


def errors_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the options, beyond what the argument spec sees: one sentence each."""
    errors = []
    if options.get("before") is not None and options.get("before_plan"):
        errors.append("before and before_plan are both given: which of the two shall be compared with?")
    for name, low, high in (("journal_minutes", 1, 1440), ("wait", 0, 3600), ("timeout", 5, 3600)):
        if not low <= options[name] <= high:
            errors.append("%s is %d, and %d to %d are possible" % (name, options[name], low, high))
    probes = options["probes"]
    if len(probes) > PROBES:
        errors.append("there are %d probes, and at most %d are possible" % (len(probes), PROBES))
    names = [probe["name"] for probe in probes]
    for name in sorted({name for name in names if names.count(name) > 1}):
        errors.append("two probes bear the name %s: results are compared by their names" % name)
    for probe in probes:
        errors += ["the probe %s: %s" % (probe["name"] or "without a name", wrong) for wrong in _probe_errors(probe)]
    short = [check.rpartition(".")[2] for check in SECTION]
    for rule in options["ignore"]:
        if rule["check"] == "*" and rule["subject"] == "*":
            errors.append("a rule of ignore ignores everything (%s): give a check or a subject" % rule["reason"])
        elif "*" not in rule["check"] and rule["check"].rpartition(".")[2] not in short:
            errors.append("ignore knows no check %s; there are %s" % (rule["check"], ", ".join(short)))
    return errors


def _probe_errors(probe: Mapping[str, Any]) -> list[str]:
    kind, wrong = probe["kind"], []
    if not 1 <= probe["timeout"] <= 300:
        wrong.append("its timeout is %d seconds, and 1 to 300 are possible" % probe["timeout"])
    if not probe["name"].strip() or len(probe["name"]) > 100:
        wrong.append("a name of 1 to 100 characters is needed")
    if kind == "http":
        wrong += _url_errors(probe["url"])
        if any("\r" in str(word) or "\n" in str(word) for pair in probe["headers"].items() for word in pair):
            wrong.append("its headers hold line feeds")
    elif kind in ("tcp", "tls"):
        if not 1 <= probe["port"] <= 65535:
            wrong.append("%s needs a port from 1 to 65535" % kind)
        if not probe["host"]:
            wrong.append("%s needs a host" % kind)
    elif kind == "sql":
        if not probe["query"].strip():
            wrong.append("sql needs a query")
        if "\\" in probe["query"] or "\0" in probe["query"]:
            wrong.append("its query holds a backslash, which psql and mariadb would take for a command of their own")
        if probe["port"] and not 1 <= probe["port"] <= 65535:
            wrong.append("its port is %d, and 1 to 65535 are possible" % probe["port"])
        if any("\n" in (probe.get(key) or "") for key in ("password", "user", "host", "database")):
            wrong.append("user, password, host or database hold a line feed")
    elif kind == "command" and not any(probe["argv"][:1]):
        wrong.append("command needs argv, the program and its words, such as [/usr/local/bin/check, --fast]")
    return wrong


def _url_errors(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return ["its url makes no sense: %s" % error]
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ["http needs a url that begins with http:// or https:// and names a host"]
    if parts.username or parts.password:
        return ["its url holds a user or password: give them as user and password, where they are not logged"]
    if port == 0 or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        return ["its url holds white space, control characters or the port 0"]
    return []
