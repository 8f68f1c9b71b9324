# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of HAProxy drained or taken back, over its admin socket."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from .._findings import Review, clean_line
from .haproxy_state import Decision, NotRead, Server, decide, servers_of, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

FAILED = "patch.drain.failed"
LEFT = "patch.drain.left"
_ANSWER_SECONDS = 10.0
"""Within which HAProxy answers a command; it does so in milliseconds."""
_ANSWER = 64 * 1024 * 1024
_POLL = 0.5
"""Seconds between looks at the sessions."""


class Failed(Exception):  # noqa: N818 - an outcome, not a bug
    """It was not done: what was met, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def drain(options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Drain a server or take it back, by options that :func:`errors_of` lets pass.

    The result has ``ok``, ``msg``, ``changed``, ``servers``, ``left_alone``, ``waited`` (seconds), ``diff``, and the
    contract's lists. What failed is a finding, not an exception.
    """
    review = Review("patch")
    drained = options["state"] == "drained"
    check, path = FAILED if drained else LEFT, options["socket"]
    told: dict[str, Any] = {
        "ok": True, "msg": "", "changed": False, "servers": [], "left_alone": [], "waited": 0.0,
        "diff": {"before": "", "after": ""},
    }  # fmt: skip
    done: list[str] = []
    try:
        decision = decide(_read(path), options)
        if decision.refused:
            remedy = "Give backends that hold it, and server as HAProxy names it."
            if drained and decision.targets:
                remedy += " allow_last takes the last server of a backend away, so that it answers 503."
            raise Failed("; ".join(decision.refused), remedy)
        to = "drain" if drained else "ready"
        told["left_alone"] = list(decision.left_alone)
        told["diff"] = {"before": shown(decision.targets), "after": shown(decision.targets, decision.set, to)}
        told["servers"] = _told(decision.targets)
        told["changed"] = bool(decision.set)
        if not check_mode:
            told["changed"] = False
            for one in decision.set:
                _set(path, one, to)
                done.append(one.label)
                told["changed"] = True
            _wait(options, decision, told)
            review.covered(check, options["server"])
    except Failed as failed:
        goes_on = drained and told.pop("over", False) and options["on_timeout"] == "continue"
        asked = "drained" if drained else "taken back"
        msg = "%s could not be %s by HAProxy: %s." % (options["server"], asked, failed.what)
        told.update(ok=goes_on, msg="" if goes_on else msg)
        evidence = ["%s, asked for state %s" % (path, options["state"])]
        if done:
            evidence.append("set before that: " + ", ".join(done))
        review.found(check, options["server"], "low" if goes_on else "medium", msg, evidence, failed.remedy)
    told.pop("over", None)
    told.update(review.result())
    return told


def _wait(options: Mapping[str, Any], decision: Decision, told: dict[str, Any]) -> None:
    """Wait until the servers are as they shall be. Raises :class:`Failed` with ``told["over"]`` when time is over."""
    began = time.monotonic()
    labels = {one.label for one in decision.wait}
    drained = options["state"] == "drained"
    while True:
        now = [one for one in _read(options["socket"]) if one.label in labels]
        waited = time.monotonic() - began
        told["waited"] = round(waited, 1)
        if decision.wait:
            alone = [one for one in told["servers"] if one["backend"] + "/" + one["server"] not in labels]
            told["servers"] = alone + _told(now)
        gone = labels - {one.label for one in now}
        if gone:
            raise Failed(
                "%s is not there any more" % ", ".join(sorted(gone)), "Was HAProxy reloaded with another configuration?"
            )
        if drained:
            taken_back = [one.label for one in now if not one.forced_drain and not one.in_maintenance]
            if taken_back:
                raise Failed(
                    "%s takes new sessions again" % ", ".join(taken_back),
                    "Somebody took it back, or HAProxy was restarted, which forgets it: drain it again.",
                )
            open_ones = ["%s has %d" % (one.label, one.sessions) for one in now if one.sessions]
            what = "sessions were left after %d s: %s" % (options["timeout"], ", ".join(open_ones))
            remedy = "Raise timeout, or let on_timeout be continue, which cuts them off."
        else:
            open_ones = ["%s is %s" % (one.label, one.status) for one in now if not one.up or one.forced_drain]
            what = "not up after %d s: %s" % (options["timeout"], ", ".join(open_ones))
            remedy = "It gets no traffic: does the server answer HAProxy's check? See its service, and HAProxy's log."
        if not open_ones:
            return
        if waited >= options["timeout"]:
            told["over"] = True
            raise Failed(clean_line(what, 240), remedy)
        time.sleep(_POLL)


def _told(servers: Any) -> list[dict[str, Any]]:
    return [
        {
            "backend": one.backend, "server": one.name, "status": clean_line(one.status, 60), "sessions": one.sessions,
            "state": "maintenance" if one.in_maintenance else "drained" if one.forced_drain else "ready",
        }
        for one in servers
    ]  # fmt: skip


def _read(path: str) -> list[Server]:
    try:
        return servers_of(_ask(path, "show servers state"), _ask(path, "show stat -1 4 -1"))
    except NotRead as error:
        raise Failed(clean_line(error, 240), "Is socket the admin socket of HAProxy?") from None
    except ValueError as error:
        raise Failed("a number was expected: %s" % clean_line(error, 200), "Report it as a fault of Upkeep.") from None


def _set(path: str, server: Server, to: str) -> None:
    told = _ask(path, "set server %s state %s" % (server.label, to)).strip()
    if told:
        raise Failed(
            "it answered to 'set server %s state %s': %s" % (server.label, to, clean_line(told, 200)),
            "The line 'stats socket' of HAProxy's configuration needs 'level admin'.",
        )


def _ask(path: str, command: str) -> str:
    """What HAProxy answers. Raises :class:`Failed`."""
    end = time.monotonic() + _ANSWER_SECONDS
    told = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_ANSWER_SECONDS)
            line.connect(path)
            line.sendall(command.encode("ascii") + b"\n")
            while True:
                if time.monotonic() > end:
                    raise socket.timeout
                part = line.recv(65536)
                if not part:
                    return told.decode("utf-8", "replace")
                told += part
                if len(told) > _ANSWER:
                    raise Failed("it answered without end", "Is socket the admin socket of HAProxy?")
    except socket.timeout:
        raise Failed("no answer within %d s" % _ANSWER_SECONDS, "Is HAProxy well? See its log.") from None
    except PermissionError:
        raise Failed("%s may not be opened by this account" % path, "Run it as root (become: true).") from None
    except FileNotFoundError:
        raise Failed(
            "there is no socket %s" % path, "Add 'stats socket %s level admin' to HAProxy's section global." % path
        ) from None
    except ConnectionRefusedError:
        raise Failed("nobody listens on %s" % path, "Is HAProxy running?") from None
    except OSError as error:
        raise Failed("%s cannot be asked: %s" % (path, clean_line(error, 160)), "Give its admin socket.") from None
