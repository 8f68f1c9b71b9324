# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message tells, as plain data: a snapshot, so that it says the same however late it is delivered.

The words are made of it when it is sent (messages.py), in the channel's format and within its limits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line

from .. import sla
from ..store import notices, tickets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from ..config import Config
    from ..store.model import Ticket

DETAILED = 20
"""Tickets that a message can show; the others are counted."""
LISTED = 200
"""Tickets that a digest can name."""
HOSTS = 20
"""Hosts of one ticket that are named."""
ENTRIES = 3
"""Entries of a ticket whose evidence is shown."""
EVIDENCE = 5
"""Lines of evidence of a ticket."""
LINE = 300
"""Characters of one of them."""


@dataclass(frozen=True)
class Told:
    """A ticket in a message: what happened (see happenings.STRENGTH), and what was written to it: (event, text)."""

    ticket: Ticket
    event: str
    notes: list[tuple[str, str]] = field(default_factory=list)


def payload(
    connection: Connection,
    config: Config,
    kind: str,
    told: Sequence[Told],
    language: str,
    now: float,
    *,
    held: int = 0,
    rate: str = "",
    inventory_failed: bool = False,
) -> dict[str, Any]:
    """A message's content as JSON has it. ``held``: tickets in it that the rate had held back."""
    order = sorted(told, key=lambda one: (one.event in ("resolved", "gone"), one.ticket.priority, one.ticket.number))
    shown = order[: LISTED if kind == "digest" else DETAILED]
    external = notices.external(connection, [one.ticket.number for one in shown])
    counts: dict[str, dict[str, int]] = {}
    for one in order:
        if one.event not in ("resolved", "gone"):
            area = one.ticket.cause.partition(".")[0]
            by_area = counts.setdefault(one.ticket.priority, {})
            by_area[area] = by_area.get(area, 0) + 1
    return {
        "kind": kind,
        "language": language,
        "zone": config.time_zone.key,
        "at": now,
        "node": os.uname().nodename,
        "tickets": [
            _ticket(connection, config, one, now, external.get(one.ticket.number), number < DETAILED)
            for number, one in enumerate(shown)
        ],
        "total": len(order),
        "open": sum(sum(areas.values()) for areas in counts.values()),
        "priority": min((one.ticket.priority for one in order), default="P3"),
        "counts": counts,
        "held": held,
        "rate": rate,
        "inventory_failed": inventory_failed,
    }


def _ticket(
    connection: Connection,
    config: Config,
    one: Told,
    now: float,
    external: tuple[str, str, str] | None,
    detailed: bool,
) -> dict[str, Any]:
    ticket = one.ticket
    hosts, host_count = notices.hosts_of(connection, ticket.number, HOSTS)
    made: dict[str, Any] = {
        "number": ticket.number,
        "event": one.event,
        "priority": ticket.priority,
        "severity": ticket.severity,
        "state": ticket.state,
        "title": clean_line(ticket.title, LINE),
        "cause": clean_line(ticket.cause, LINE),
        "area": ticket.cause.partition(".")[0],
        "hosts": [clean_line(host, 100) for host in hosts],
        "host_count": host_count,
        "entries": ticket.entries,
        "opened": ticket.opened,
        "resolved": ticket.resolved,
        "resolved_by": clean_line(ticket.resolved_by, 100),
        "acknowledged_by": clean_line(ticket.acknowledged_by, 100),
        "assignee": clean_line(ticket.assignee, 100),
        "reopened": ticket.reopened,
        "notes": [[event, clean_line(text, LINE)] for event, text in one.notes[:10]],
        "evidence": [],
        "remedy": "",
        "where": [],
        "learned": "",
    }
    if external is not None:
        made["external"] = {
            "system": clean_line(external[0], 100),
            "number": clean_line(external[1], 100),
            "url": clean_line(external[2], 500),
        }
    clocks = sla.of_ticket(ticket, now, config.sla)
    made["react"] = {"due": clocks.react.due, "state": clocks.react.state, "done": clocks.react.done}
    made["solve"] = {"due": clocks.solve.due, "state": clocks.solve.state, "done": clocks.solve.done}
    if detailed and ticket.state != "resolved":
        detail = tickets.detail(connection, ticket.number, ENTRIES)
        standing = [entry for entry in detail.entries if entry.cleared is None]
        if standing:
            made["since"] = min(entry.first_seen for entry in standing)
            made["remedy"] = clean_line(standing[0].remedy, 600)
            made["where"] = [[clean_line(entry.host, 100), clean_line(entry.subject, 200)] for entry in standing]
            lines = [line for entry in standing for line in entry.evidence]
            made["evidence"] = [clean_line(line, LINE) for line in lines[:EVIDENCE]]
        for lesson in detail.learned[:1]:
            made["learned"] = clean_line(lesson.workaround or lesson.root_cause or lesson.prevention, 600)
            made["learned_from"] = lesson.number
    return made
