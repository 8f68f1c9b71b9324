# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers as HAProxy tells them, and what is to be done with them. Pure.

Source of the columns and bits: HAProxy's management guide, "show servers state" and "show stat".
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_FORCED_MAINT, _FORCED_DRAIN = 0x01, 0x08
_MAINT = 0x01 | 0x02 | 0x20 | 0x40
"""Forced, inherited from a server that is tracked, or because its name is not resolved."""


class Server(NamedTuple):
    """One server of one backend."""

    backend: str
    name: str
    admin: int
    """The bits of its administrative state."""
    status: str
    """As HAProxy says it: ``UP``, ``DOWN``, ``DRAIN``, ``MAINT``, ``no check``, ``UP 1/3``…"""
    sessions: int
    """Those that are open, and those that wait for it."""
    weight: int

    @property
    def label(self) -> str:
        return self.backend + "/" + self.name

    @property
    def in_maintenance(self) -> bool:
        return bool(self.admin & _MAINT)

    @property
    def forced_maintenance(self) -> bool:
        return bool(self.admin & _FORCED_MAINT)

    @property
    def forced_drain(self) -> bool:
        return bool(self.admin & _FORCED_DRAIN)

    @property
    def up(self) -> bool:
        return self.status.startswith("UP") or self.status == "no check"

    @property
    def serves(self) -> bool:
        """Whether new sessions go to it (to a backup, once nothing else is there)."""
        return self.up and not self.admin & (_MAINT | 0x08 | 0x10) and self.weight > 0


class NotRead(ValueError):  # noqa: N818 - an outcome, not a bug
    """What the socket said is not what HAProxy says."""


def servers_of(state: str, stat: str) -> list[Server]:
    """The servers, from ``show servers state`` (format 1) and ``show stat``. Raises :class:`NotRead`."""
    lines = state.strip().splitlines()
    if len(lines) < 2 or lines[0].strip() != "1" or not lines[1].startswith("# "):
        raise NotRead("'show servers state' was answered with: %s" % state[:200])
    names = lines[1][2:].split()
    admins = {}
    try:
        for line in lines[2:]:
            row = dict(zip(names, line.split()))
            admins[(row["be_name"], row["srv_name"])] = int(row["srv_admin_state"])
        if not stat.startswith("# "):
            raise NotRead("'show stat' was answered with: %s" % stat[:200])
        return [
            Server(
                row["pxname"], row["svname"], admins[(row["pxname"], row["svname"])], row["status"],
                int(row["scur"] or 0) + int(row["qcur"] or 0), int(row["weight"] or 0),
            )
            for row in csv.DictReader(stat[2:].splitlines())
            if row["type"] == "2" and (row["pxname"], row["svname"]) in admins
        ]  # fmt: skip
    except (KeyError, TypeError) as error:
        raise NotRead("a column is missing: %s" % error) from None


class Decision(NamedTuple):
    """What to do: the servers of that name, those whose state is set, and those that are waited for."""

    targets: Sequence[Server]
    set: Sequence[Server]
    wait: Sequence[Server]
    left_alone: Sequence[str]
    refused: Sequence[str]
    """Why nothing at all is done; empty when it may be."""


def decide(servers: Iterable[Server], options: Mapping[str, Any]) -> Decision:
    """What is to be done for the options of traffic_drain."""
    servers = list(servers)
    backends = options["backends"]
    targets = [one for one in servers if one.name == options["server"] and (not backends or one.backend in backends)]
    there = {one.backend for one in targets}
    refused = ["backend %s has no server %s" % (name, options["server"]) for name in backends if name not in there]
    if not targets and not backends:
        refused.append("no backend has a server %s" % options["server"])
    if options["state"] == "drained":
        change = [one for one in targets if not one.forced_drain and not one.in_maintenance]
        if not options["allow_last"]:
            refused += last_ones(change, servers)
        return Decision(targets, change, targets, [], refused)
    alone = [one for one in targets if one.forced_maintenance and not options["end_maintenance"]]
    wait = [one for one in targets if one not in alone]
    change = [one for one in wait if one.forced_drain or one.forced_maintenance]
    told = ["%s is in maintenance, which somebody else began" % one.label for one in alone]
    return Decision(targets, change, wait, told, refused)


def last_ones(taken: Iterable[Server], servers: Iterable[Server]) -> list[str]:
    """A line for each server without which nobody serves its backend. ``taken``: as they were before that."""
    serve = {(other.backend, other.name) for other in servers if other.serves}
    return [
        "%s is the last server that backend %s has" % (one.name, one.backend)
        for one in taken
        if one.serves and not any(backend == one.backend and name != one.name for backend, name in serve)
    ]


def shown(servers: Iterable[Server], changed: Iterable[Server] = (), to: str = "") -> str:
    """Servers as a person reads them in a diff; those in ``changed`` as they will be."""
    labels = {one.label for one in changed}
    lines = []
    for one in servers:
        now = "maintenance" if one.in_maintenance else "drain" if one.forced_drain else "ready"
        lines.append("%s: %s\n" % (one.label, to if one.label in labels else now))
    return "".join(lines)
