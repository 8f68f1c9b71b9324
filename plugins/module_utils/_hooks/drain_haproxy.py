# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of HAProxy drained or taken back, over its admin socket."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from .._findings import clean_line
from .draining import Look, Open
from .outcome import Failed
from .haproxy_state import Decision, NotRead, Server, decide, last_ones, servers_of, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANSWER_SECONDS = 10.0
"""Within which HAProxy answers a command; it does so in milliseconds."""
_ANSWER = 64 * 1024 * 1024


class HAProxy:
    """A server in those backends that hold it, or in some of them."""

    by = "HAProxy"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options, self.where = options, options["socket"]
        self._drained = options["state"] == "drained"
        self._decision = Decision([], [], [], [], [])

    def look(self) -> Look:
        decision = self._decision = decide(_read(self.where), self.options)
        if decision.refused:
            remedy = "Give backends that hold it, and server as HAProxy names it."
            if self._drained and decision.targets:
                remedy += " allow_last takes the last server of a backend away, so that it answers 503."
            raise Failed("; ".join(decision.refused), remedy)
        after = shown(decision.targets, decision.set, self._to)
        return Look(
            _told(decision.targets), shown(decision.targets), after, bool(decision.set), list(decision.left_alone)
        )

    @property
    def _to(self) -> str:
        return "drain" if self._drained else "ready"

    def carry_out(self, done: list[str]) -> None:
        for one in self._decision.set:
            _set(self.where, one, self._to)
            done.append("%s set to %s" % (one.label, self._to))
        if self._drained and not self.options["allow_last"]:
            self._leave_somebody(done)

    def _leave_somebody(self, done: list[str]) -> None:
        """Who drains the others at the same moment has seen this one serve: so it is looked again, and taken back."""
        last = last_ones(self._decision.set, _read(self.where))
        if not last:
            return
        for one in self._decision.set:
            _set(self.where, one, "ready")
        done.clear()
        raise Failed(
            "%s: the others were drained at the same moment, so it was taken back" % "; ".join(last),
            "Drain one after another. allow_last takes the last server of a backend away, so that it answers 503.",
        )

    def left(self, seconds: float) -> Open:
        labels = {one.label for one in self._decision.wait}
        now = [one for one in _read(self.where) if one.label in labels]
        servers = _told([one for one in self._decision.targets if one.label not in labels]) + _told(now)
        gone = labels - {one.label for one in now}
        if gone:
            raise Failed(
                "%s is not there any more" % ", ".join(sorted(gone)), "Was HAProxy reloaded with another configuration?"
            )
        if not self._drained:
            down = ["%s is %s" % (one.label, one.status) for one in now if not one.up or one.forced_drain]
            return Open(
                servers, down, "not up",
                "It gets no traffic: does the server answer HAProxy's check? See its service, and HAProxy's log.",
            )  # fmt: skip
        taken_back = [one.label for one in now if not one.forced_drain and not one.in_maintenance]
        if taken_back:
            raise Failed(
                "%s takes new sessions again" % ", ".join(taken_back),
                "Somebody took it back, or HAProxy was restarted, which forgets it: drain it again.",
            )
        busy = ["%s has %d" % (one.label, one.sessions) for one in now if one.sessions]
        return Open(
            servers, busy, "sessions were left", "Raise timeout, or let on_timeout be continue, which cuts them off."
        )


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
