# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every kind of traffic_drain can do, and waiting for it."""

from __future__ import annotations

import time
from typing import Any, List, NamedTuple, Protocol

from .._findings import clean_line
from .outcome import TimeIsOver

_POLL = 0.5
"""Seconds between looks at what is waited for."""
_KEPT_OUT = ("drained", "draining")
"""The states of a server that we keep out of the traffic, whatever the kind."""


class Look(NamedTuple):
    """What there is before anything is done, and what is to be done."""

    servers: List[dict[str, Any]]
    before: str
    """As a person reads it in a diff."""
    after: str
    changes: bool
    left_alone: List[str]


class Open(NamedTuple):
    """How it is while it is waited for."""

    servers: List[dict[str, Any]]
    left: List[str]
    """What is waited for; empty when all is as it shall be."""
    what: str
    """What these are, should time be over: ``sessions were left``."""
    remedy: str


class Drainer(Protocol):
    """One kind, for one server and one state."""

    by: str
    """Who drains it, as it stands in a message."""
    where: str
    """What is asked: a path, an address, a command."""

    def look(self) -> Look:
        """Read what there is; change nothing. Raises :class:`Failed`, also when what was asked for is refused."""

    def carry_out(self, done: List[str]) -> None:
        """Do what :meth:`look` found to be done, and put each thing that was done into ``done``."""

    def left(self, seconds: float) -> Open:
        """Look again; ``seconds`` are left to wait. Raises :class:`Failed` when waiting is of no use any more."""


def wait_for(drainer: Drainer, timeout: int, told: dict[str, Any]) -> None:
    """Wait until it is as it shall be. Raises :class:`Failed`, and :class:`TimeIsOver` after ``timeout`` seconds."""
    began = time.monotonic()
    while True:
        now = drainer.left(timeout - (time.monotonic() - began))
        waited = time.monotonic() - began
        told.update(waited=round(waited, 1), servers=now.servers)
        if "undone" in told:
            told["undone"] = not any(one["state"] in _KEPT_OUT for one in now.servers)
        if not now.left:
            return
        if waited >= timeout:
            what = "%s after %d s: %s" % (now.what, timeout, ", ".join(now.left))
            raise TimeIsOver(clean_line(what, 240), now.remedy, now.left)
        time.sleep(_POLL)
