# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices: what is to be told to a channel about a ticket, or was. Statements on a caller's transaction.

A notice goes ``waiting`` (``held`` while the channel's rate is used up) → ``told`` (its message is in the outbox) or
``dropped`` (it is no news any more; ``why``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select, update

from . import schema
from .model import OPEN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection, Row

WAITING, HELD, TOLD, DROPPED = "waiting", "held", "told", "dropped"

CURSOR = "notify"
"""The name of our cursor over ticket_history."""

_NOTICES = schema.notices
_HISTORY = schema.ticket_history
_ENTRIES = schema.ticket_entries
_CHUNK = 500
"""Databases bound the number of parameters."""


@dataclass(frozen=True)
class Line:
    """A line of ticket_history."""

    id: int
    ticket: int
    at: float
    actor: str
    kind: str
    text: str
    run: int | None


@dataclass(frozen=True)
class Notice:
    """See schema.notices. Times are seconds since the epoch."""

    id: int
    channel: str
    ticket: int
    event: str
    line: int
    at: float
    text: str
    how: str
    due: float
    route: str
    language: str
    state: str
    changed: float
    message: str
    why: str


def lines_after(connection: Connection, after: int, limit: int) -> list[Line]:
    """Lines of history behind a cursor, oldest first."""
    query = select(_HISTORY).where(_HISTORY.c.id > after).order_by(_HISTORY.c.id).limit(limit)
    rows = connection.execute(query)
    return [Line(row.id, row.ticket, row.at, row.actor, row.kind, row.text, row.run) for row in rows]


def open_numbers(connection: Connection, limit: int) -> list[int]:
    """Tickets that nobody has acknowledged, most urgent first."""
    table = schema.tickets.c
    query = select(table.number).where(table.state == OPEN).order_by(table.priority, table.number).limit(limit)
    return list(connection.scalars(query))


def standing(connection: Connection, numbers: Collection[int], column: str) -> dict[int, set[str]]:
    """What the standing entries of tickets name: ``host`` or ``check_name``, each once."""
    found: dict[int, set[str]] = {number: set() for number in numbers}
    for part in _parts(sorted(numbers)):
        query = select(_ENTRIES.c.ticket, _ENTRIES.c[column]).distinct()
        for row in connection.execute(query.where(_ENTRIES.c.ticket.in_(part), _ENTRIES.c.cleared.is_(None))):
            found[row[0]].add(row[1])
    return found


def hosts_of(connection: Connection, number: int, limit: int) -> tuple[list[str], int]:
    """Some hosts of a ticket, by name, and how many there are: where it stands, or stood when nothing stands."""
    for stands in (_ENTRIES.c.cleared.is_(None), _ENTRIES.c.cleared.is_not(None)):
        of_ticket = and_(_ENTRIES.c.ticket == number, stands)
        count = connection.scalar(select(func.count(_ENTRIES.c.host.distinct())).where(of_ticket)) or 0
        if count:
            query = select(_ENTRIES.c.host).where(of_ticket).distinct().order_by(_ENTRIES.c.host).limit(limit)
            return list(connection.scalars(query)), count
    return [], 0


def external(connection: Connection, numbers: Collection[int]) -> dict[int, tuple[str, str, str]]:
    """Of tickets that have an image in a ticket system: (system, number there, URL); of several the oldest."""
    table = schema.external_tickets
    found: dict[int, tuple[str, str, str]] = {}
    for part in _parts(sorted(numbers)):
        query = select(table).where(table.c.ticket.in_(part), table.c.shown_id != "").order_by(table.c.created)
        for row in connection.execute(query):
            found.setdefault(row.ticket, (row.system, row.shown_id, row.url))
    return found


def insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write notices down; one that is known (channel, ticket, event, line) stays as it is."""
    if rows:
        statement = schema.upsert(connection, _NOTICES)
        keys = ["channel", "ticket", "event", "line"]
        connection.execute(statement.on_conflict_do_nothing(index_elements=keys), list(rows))


def pending(connection: Connection, limit: int) -> list[Notice]:
    """Notices that are neither told nor dropped, oldest first."""
    query = select(_NOTICES).where(_NOTICES.c.state.in_((WAITING, HELD))).order_by(_NOTICES.c.id).limit(limit)
    return [_notice(row) for row in connection.execute(query)]


def any_due(connection: Connection, now: float, never: float) -> bool:
    """Whether something waits to be told by now, or for a moment after ``never``."""
    is_due = or_(_NOTICES.c.due <= now, _NOTICES.c.due > never)
    query = select(_NOTICES.c.id).where(_NOTICES.c.state.in_((WAITING, HELD)), is_due).limit(1)
    return connection.scalar(query) is not None


def any_silent(connection: Connection, priorities: Collection[str], before: float, now: float) -> bool:
    """Whether a ticket that nobody has acknowledged was called about, and not since ``before``; a call that stands
    after ``now`` was written under a wrong clock."""
    table = schema.tickets.c
    waits = (table.state == OPEN, table.priority.in_(list(priorities)))
    called = (_NOTICES.c.state == TOLD, _NOTICES.c.how == "now")
    last = func.max(_NOTICES.c.changed)
    query = select(_NOTICES.c.ticket).join(schema.tickets).where(*waits, *called).group_by(_NOTICES.c.ticket)
    return connection.scalar(query.having(or_(last <= before, last > now)).limit(1)) is not None


def alarms(connection: Connection, numbers: Collection[int], events: Collection[str]) -> list[Notice]:
    """The alarms of tickets (waiting or told) since they were last told, or are to be told, as resolved; by channel."""
    later = _NOTICES.alias()
    newest = (
        select(func.max(later.c.id))
        .where(later.c.ticket == _NOTICES.c.ticket, later.c.channel == _NOTICES.c.channel, later.c.event == "resolved")
        .where(later.c.state.in_((WAITING, HELD, TOLD)))
        .scalar_subquery()
    )
    found: list[Notice] = []
    for part in _parts(sorted(numbers)):
        query = (
            select(_NOTICES)
            .where(_NOTICES.c.ticket.in_(part), _NOTICES.c.event.in_(list(events)))
            .where(_NOTICES.c.state.in_((WAITING, HELD, TOLD)))
            .where(or_(newest.is_(None), _NOTICES.c.id > newest))
            .order_by(_NOTICES.c.id)
        )
        found += [_notice(row) for row in connection.execute(query)]
    return found


def of_ticket(connection: Connection, number: int) -> list[Notice]:
    """All notices of a ticket, oldest first."""
    query = select(_NOTICES).where(_NOTICES.c.ticket == number).order_by(_NOTICES.c.id)
    return [_notice(row) for row in connection.execute(query)]


def deliveries(connection: Connection, told: Iterable[Notice]) -> dict[tuple[str, str], list[tuple[str, str, str]]]:
    """What became of messages in the outbox: by (channel, message), for each queue of it its state and the last error.

    What retention has removed is not there any more.
    """
    box = schema.outbox.c
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for part in _parts(sorted({int(one.message) for one in told if one.message})):
        query = select(box.queue, box.key, box.state, box.error).where(
            box.key.in_([str(key) for key in part]), box.queue.like("notify:%")
        )
        for queue, key, state, error in connection.execute(query.order_by(box.queue)):
            channel = queue.removeprefix("notify:").partition("/")[0]
            found.setdefault((channel, key), []).append((queue, state, error))
    return found


def told_messages(connection: Connection, channel: str, since: float) -> int:
    """How many messages went to a channel after a moment."""
    wanted = (_NOTICES.c.channel == channel, _NOTICES.c.state == TOLD, _NOTICES.c.changed > since)
    return connection.scalar(select(func.count(_NOTICES.c.message.distinct())).where(*wanted)) or 0


def settle(
    connection: Connection, ids: Iterable[int], state: str, now: float, *, message: str = "", why: str = ""
) -> None:
    """What became of notices."""
    for part in _parts(sorted(ids)):
        values = {"state": state, "changed": now, "message": message, "why": why}
        connection.execute(update(_NOTICES).where(_NOTICES.c.id.in_(part)).values(**values))


def busy_queues(connection: Connection, states: Collection[str]) -> set[str]:
    """Queues of the outbox with an item in one of these states."""
    table = schema.outbox
    query = select(table.c.queue).where(table.c.queue.like("notify:%"), table.c.state.in_(list(states))).distinct()
    return set(connection.scalars(query))


def _parts(values: list[int]) -> Iterable[list[int]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def _notice(row: Row[Any]) -> Notice:
    return Notice(*(row._mapping[name] for name in Notice.__dataclass_fields__))
