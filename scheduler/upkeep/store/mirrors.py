# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tickets' images in ticket systems: which there are, and what was last read there. Statements on a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, exists, or_, select, update

from . import schema
from .model import RESOLVED, HistoryLine

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection, Row

GONE, LOST = "gone", "lost"
"""States of an image that was removed there: nothing is said to it any more; or it is to be made anew."""
READER = "mirror:"
"""How the names of the mirrors' cursors begin."""
COMMENTS_KEPT = 2000
"""Identifiers of comments of one ticket that are remembered as taken over, the newest ones."""

_LINKS = schema.external_tickets
_HISTORY = schema.ticket_history
_TICKETS = schema.tickets
_OUTBOX = schema.outbox


@dataclass(frozen=True)
class Link:
    """A ticket's image in a ticket system."""

    ticket: int
    system: str
    key: str
    """The correlation key that it carries."""
    remote_id: str
    shown: str
    url: str
    state: str
    """open | waiting | resolved: as it was last brought there or read there; gone | lost: see GONE."""
    raw_state: str
    """As the system names it; "" when it was not read since it changed."""
    assignee: str
    comments: tuple[str, ...]
    """Identifiers of the comments that were taken over."""
    created: float
    read: float | None


def link(connection: Connection, ticket: int, system: str) -> Link | None:
    """A ticket's image in a system."""
    row = connection.execute(select(_LINKS).where(_LINKS.c.ticket == ticket, _LINKS.c.system == system)).first()
    return None if row is None else _link(row)


def of_ticket(connection: Connection, ticket: int) -> list[Link]:
    """All images of a ticket, by system."""
    rows = connection.execute(select(_LINKS).where(_LINKS.c.ticket == ticket).order_by(_LINKS.c.system))
    return [_link(row) for row in rows]


def put(
    connection: Connection, ticket: int, system: str, key: str, remote_id: str, shown: str, url: str, now: float
) -> None:
    """A ticket has an image from now on, open; in the place of an earlier one."""
    if connection.scalar(select(_TICKETS.c.number).where(_TICKETS.c.number == ticket)) is None:
        return  # retention removed the ticket meanwhile
    row = {
        "ticket": ticket,
        "system": system,
        "key": key,
        "remote_id": remote_id,
        "shown_id": shown,
        "url": url,
        "state": "open",
        "raw_state": "",
        "assignee": "",
        "comments": [],
        "created": now,
        "read": None,
    }
    statement = schema.upsert(connection, _LINKS).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=["ticket", "system"], set_=row))


def change(connection: Connection, ticket: int, system: str, **values: Any) -> None:
    """Write down what an image is like."""
    connection.execute(update(_LINKS).where(_LINKS.c.ticket == ticket, _LINKS.c.system == system).values(**values))


def is_wanted(connection: Connection, ticket: int, system: str, queue: str) -> bool | None:
    """Whether a ticket is to be told of: it has an image, or one is under way. False: a person dropped it. None: no."""
    known = link(connection, ticket, system)
    if known is not None:
        return known.state != GONE
    made = and_(_OUTBOX.c.queue == queue, _OUTBOX.c.ticket == ticket, _OUTBOX.c.kind == "open")
    state = connection.scalar(select(_OUTBOX.c.state).where(made).order_by(_OUTBOX.c.id.desc()).limit(1))
    return None if state is None else state != "dropped"


# --- the reader of ticket_history -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A line of history, by its place in the stream."""

    id: int
    ticket: int
    line: HistoryLine


def lines_after(connection: Connection, after: int, limit: int) -> list[Line]:
    """The next lines of history."""
    rows = connection.execute(select(_HISTORY).where(_HISTORY.c.id > after).order_by(_HISTORY.c.id).limit(limit))
    return [Line(row.id, row.ticket, HistoryLine(row.at, row.actor, row.kind, row.text, row.run)) for row in rows]


def unresolved(connection: Connection, after: int, limit: int) -> list[int]:
    """The next numbers of tickets that are not resolved: what a system that is new to us is told of."""
    query = select(_TICKETS.c.number).where(_TICKETS.c.state != RESOLVED, _TICKETS.c.number > after)
    return list(connection.scalars(query.order_by(_TICKETS.c.number).limit(limit)))


# --- reading back -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pace:
    """How often images are read, by how long ago their ticket changed: (at most this old, seconds between reads)."""

    steps: tuple[tuple[float, float], ...]
    resolved: tuple[tuple[float, float], ...]


def due(connection: Connection, system: str, pace: Pace, limit: int, now: float) -> list[Link]:
    """Images that are to be read again, newest tickets first."""
    age = now - _TICKETS.c.updated

    def interval(steps: Iterable[tuple[float, float]]) -> Any:
        return case(*((age <= limit, seconds) for limit, seconds in steps), else_=None)

    wanted = case((_TICKETS.c.state == RESOLVED, interval(pace.resolved)), else_=interval(pace.steps))
    # A clock that was set back must not keep us from reading for as long.
    is_due = or_(_LINKS.c.read.is_(None), _LINKS.c.read + wanted <= now, _LINKS.c.read > now + 60)
    query = (
        select(_LINKS)
        .join(_TICKETS, _TICKETS.c.number == _LINKS.c.ticket)
        .where(_LINKS.c.system == system, _LINKS.c.state.not_in((GONE, LOST)), wanted.is_not(None), is_due)
        .order_by(_LINKS.c.ticket.desc())
        .limit(limit)
    )
    return [_link(row) for row in connection.execute(query)]


def take(connection: Connection, links: Iterable[Link], now: float) -> list[Link]:
    """Of these the ones that nobody else took meanwhile; they count as read now."""
    taken = []
    for one in links:
        same = _LINKS.c.read.is_(None) if one.read is None else _LINKS.c.read == one.read
        mine = and_(_LINKS.c.ticket == one.ticket, _LINKS.c.system == one.system, same)
        if connection.execute(update(_LINKS).where(mine).values(read=now)).rowcount == 1:
            taken.append(one)
    return taken


def is_moving(connection: Connection, ticket: int, queue: str, kinds: Collection[str], since: float) -> bool:
    """Whether items that change an image's state are under way, or went out since a moment: a look may be too old."""
    wanted = and_(_OUTBOX.c.queue == queue, _OUTBOX.c.ticket == ticket, _OUTBOX.c.kind.in_(kinds))
    moving = or_(_OUTBOX.c.state.in_(("waiting", "sending")), _OUTBOX.c.changed >= since)
    return bool(connection.scalar(select(exists().where(wanted, moving))))


def _link(row: Row[Any]) -> Link:
    return Link(
        ticket=row.ticket,
        system=row.system,
        key=row.key,
        remote_id=row.remote_id,
        shown=row.shown_id,
        url=row.url,
        state=row.state,
        raw_state=row.raw_state,
        assignee=row.assignee,
        comments=tuple(row.comments),
        created=row.created,
        read=row.read,
    )
