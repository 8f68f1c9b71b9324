# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of monitoring_silence, and what is wrong with those that are handed in. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .option_kinds import CONTROL, foreign, login_errors, url_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 7 * 24 * 60
"""Minutes from now at which a silence ends at the latest: one that was forgotten must not outlive a week."""
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,119}")

SPEC: dict[str, Any] = {
    "kind": {"type": "str", "choices": ["alertmanager", "zabbix", "grafana"], "default": "alertmanager"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "key": {"type": "str", "required": True, "no_log": False},
    "url": {"type": "str", "required": True},
    "matchers": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "value": {"type": "str", "required": True},
            "regex": {"type": "bool", "default": False},
            "equal": {"type": "bool", "default": True},
        },
    },
    "hosts": {"type": "list", "elements": "str", "default": []},
    "collect_data": {"type": "bool", "default": True},
    "wait": {"type": "int", "default": 180},
    "tags": {"type": "list", "elements": "str", "default": []},
    "dashboard": {"type": "str"},
    "panel": {"type": "int", "default": 0},
    "minutes": {"type": "int", "default": 120},
    "ends": {"type": "float"},
    "extend": {"type": "bool", "default": True},
    "comment": {"type": "str", "default": "Maintenance by Upkeep"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
    "verify": {"type": "bool", "default": True},
    "ca_file": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path"},
    "timeout": {"type": "int", "default": 15},
}

_ONLY = {
    "matchers": ("alertmanager",),
    "hosts": ("zabbix",),
    "collect_data": ("zabbix",),
    "wait": ("zabbix",),
    "tags": ("grafana",),
    "dashboard": ("grafana",),
    "panel": ("grafana",),
}
"""The kinds that an option belongs to; one that is not here belongs to all."""
_TAG = 100
"""Characters that Grafana keeps of a tag's name and of its value."""
_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_EVERYTHING = ("", ".*", ".+", "^.*$", "^.+$")


def errors_of(options: Mapping[str, Any], now: float) -> list[str]:
    """What is wrong with options that have their types: a sentence each. ``now`` is an epoch in seconds."""
    errors = foreign(options, SPEC, _ONLY)
    if not KEY.fullmatch(options["key"]):
        errors.append("key is up to 120 letters, digits and any of . _ : / @ -, and begins with a letter or a digit")
    errors += url_errors("url", options["url"]) + login_errors(options)
    if not 1 <= options["timeout"] <= 300:
        errors.append("timeout is 1 to 300 seconds, this is %d" % options["timeout"])
    if CONTROL.search(options["comment"]):
        errors.append("comment holds a line feed or another control character")
    if options["state"] == "present":
        errors += _time_errors(options, now)
        if options["kind"] == "alertmanager":
            errors += _matcher_errors(options["matchers"])
    if options["kind"] == "grafana":
        errors += _grafana_errors(options)
    if options["kind"] == "zabbix":
        errors += _zabbix_errors(options)
    return errors


def _time_errors(options: Mapping[str, Any], now: float) -> list[str]:
    if options["ends"] is None:
        if 1 <= options["minutes"] <= LONGEST:
            return []
        return ["minutes is 1 to %d (a week), this is %d" % (LONGEST, options["minutes"])]
    left = (options["ends"] - now) / 60
    if not left > 0:
        return ["ends is an epoch in seconds that is still to come, this one is over since %.0f minutes" % -left]
    if left > LONGEST:
        return ["ends is at most a week away, this is %.0f minutes from now (is it in milliseconds?)" % left]
    return []


def _grafana_errors(options: Mapping[str, Any]) -> list[str]:
    errors = []
    if len(options["key"]) > _TAG:
        errors.append("key becomes a tag of Grafana, and is up to %d characters there" % _TAG)
    if any(not tag.strip() or CONTROL.search(tag) or len(tag) > _TAG for tag in options["tags"]):
        errors.append("a tag is 1 to %d characters, none of them a control character" % _TAG)
    if any(tag.startswith("upkeep:") for tag in options["tags"]):
        errors.append("a tag does not begin with upkeep:, by which annotations are found again")
    if options["panel"] and not options["dashboard"]:
        errors.append("panel needs a dashboard, of which it is one")
    if options["panel"] < 0:
        errors.append("panel is the number of a panel, this is %d" % options["panel"])
    if options["dashboard"] is not None and not _UID.fullmatch(options["dashboard"]):
        errors.append("dashboard is the UID of a dashboard, as it stands in its address")
    return errors


def _zabbix_errors(options: Mapping[str, Any]) -> list[str]:
    errors = []
    if not options["token"] and not options["user"]:
        errors.append("kind zabbix needs a token, or user and password")
    if options["user"] and not options["password"]:
        errors.append("user of kind zabbix needs a password")
    if options["state"] == "present" and not options["hosts"]:
        errors.append("hosts says which hosts are put into maintenance: at least one")
    if any(not name.strip() or CONTROL.search(name) for name in options["hosts"]):
        errors.append("hosts holds host names, and none of them is empty or holds control characters")
    if not 0 <= options["wait"] <= 3600:
        errors.append("wait is 0 to 3600 seconds, this is %d" % options["wait"])
    return errors


def _matcher_errors(matchers: list[dict[str, Any]]) -> list[str]:
    if not matchers:
        return ["matchers says which alerts are silenced: at least one"]
    errors = []
    for matcher in matchers:
        if not matcher["name"].strip() or CONTROL.search(matcher["name"] + matcher["value"]):
            errors.append("the name of a matcher is a label, and neither name nor value holds control characters")
    if len({identity(matcher) for matcher in matchers}) != len(matchers):
        errors.append("a matcher stands there twice")
    if all(not matcher["equal"] or (matcher["regex"] and matcher["value"] in _EVERYTHING) for matcher in matchers):
        errors.append("these matchers silence everything, or all but a few: one of them must ask for a value")
    elif not any(matcher["equal"] and matcher["value"] for matcher in matchers):
        errors.append("one matcher must ask for a value that is not empty")
    return errors


def identity(matcher: Mapping[str, Any]) -> tuple[str, str, bool, bool]:
    """A matcher as something that can be compared."""
    return (matcher["name"], matcher["value"], bool(matcher["regex"]), bool(matcher["equal"]))
