# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tickets in the store: what is shown, and what a person does; on a connection whose transaction the caller holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, insert, select, update

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import SEVERITIES, clean_line

from ..errors import UpkeepError
from . import schema
from .model import (
    ACKNOWLEDGED,
    RESOLVED,
    TICKET_STATES,
    UPKEEP,
    Clock,
    Entry,
    HistoryLine,
    Ticket,
    TicketDetail,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection, Row

TEXT_LIMIT = 4000
"""Characters of what a person writes into a ticket."""

_TICKETS = schema.tickets
_ENTRIES = schema.ticket_entries
_HISTORY = schema.ticket_history
_FINDINGS = schema.findings

_SEEN_IN = and_(
    _FINDINGS.c.run == _ENTRIES.c.run,
    _FINDINGS.c.host == _ENTRIES.c.host,
    _FINDINGS.c.check_name == _ENTRIES.c.check_name,
    _FINDINGS.c.subject == _ENTRIES.c.subject,
)
"""The finding with which an entry was last seen."""


def listed(
    connection: Connection,
    states: Collection[str] | None,
    priority: str | None,
    host: str | None,
    check: str | None,
    limit: int,
) -> list[Ticket]:
    """Tickets, most urgent first."""
    query = select(_TICKETS).order_by(_TICKETS.c.priority, _TICKETS.c.opened, _TICKETS.c.number).limit(limit)
    if states is not None:
        query = query.where(_TICKETS.c.state.in_(_known_states(states)))
    if priority is not None:
        query = query.where(_TICKETS.c.priority == priority)
    for column, value in ((_ENTRIES.c.host, host), (_ENTRIES.c.check_name, check)):
        if value is not None:
            query = query.where(exists().where(_ENTRIES.c.ticket == _TICKETS.c.number, column == value))
    return [_ticket(row) for row in connection.execute(query)]


def _known_states(states: Collection[str]) -> list[str]:
    wanted = [states] if isinstance(states, str) else list(states)
    for state in wanted:
        if state not in TICKET_STATES:
            raise UpkeepError(
                f"there is no ticket state {state}",
                expected="one of " + ", ".join(TICKET_STATES),
                found=state,
                remedy="Correct the state.",
            )
    return wanted


def of_numbers(connection: Connection, numbers: Iterable[int]) -> dict[int, Ticket]:
    """Tickets by their numbers."""
    wanted = list(numbers)
    found: dict[int, Ticket] = {}
    for start in range(0, len(wanted), 500):  # databases bound the number of parameters
        rows = connection.execute(select(_TICKETS).where(_TICKETS.c.number.in_(wanted[start : start + 500])))
        found.update((row.number, _ticket(row)) for row in rows)
    return found


def detail(connection: Connection, number: int, limit: int) -> TicketDetail:
    """A ticket with its entries, standing and worst first, and its history."""
    ticket = _one(connection, number)
    rows = connection.execute(
        select(_ENTRIES, _FINDINGS.c.summary, _FINDINGS.c.evidence, _FINDINGS.c.remedy, _FINDINGS.c.facts)
        .join(_FINDINGS, _SEEN_IN)
        .where(_ENTRIES.c.ticket == number)
        .order_by(
            _ENTRIES.c.cleared.is_not(None), *(_ENTRIES.c[name] for name in ("rank", "host", "check_name", "subject"))
        )
        .limit(limit)
    )
    entries = tuple(
        Entry(
            host=row.host,
            check=row.check_name,
            subject=row.subject,
            severity=SEVERITIES[row.rank],
            summary=row.summary,
            evidence=tuple(row.evidence),
            remedy=row.remedy,
            facts=row.facts,
            first_seen=row.first_seen,
            last_seen=row.last_seen,
            cleared=row.cleared,
        )
        for row in rows
    )
    lines = connection.execute(select(_HISTORY).where(_HISTORY.c.ticket == number).order_by(_HISTORY.c.id))
    return TicketDetail(
        ticket=ticket,
        entries=entries,
        history=tuple(HistoryLine(line.at, line.actor, line.kind, line.text, line.run) for line in lines),
        follows=ticket.follows,
        followed_by=connection.scalar(select(func.min(_TICKETS.c.number)).where(_TICKETS.c.follows == number)),
    )


def acknowledge(connection: Connection, number: int, actor: str, text: str, now: float) -> None:
    """See Store.acknowledge."""
    ticket = _one(connection, number)
    _refuse_resolved(ticket)
    if ticket.state != ACKNOWLEDGED:
        values = {"state": ACKNOWLEDGED, "acknowledged": now, "acknowledged_by": actor, "updated": now}
        connection.execute(update(_TICKETS).where(_TICKETS.c.number == number).values(**values))
        write_history(connection, [(number, "acknowledged", clean_text(text), None)], actor, now)
    elif text.strip():
        comment(connection, number, actor, text, now)


def resolve(connection: Connection, number: int, actor: str, text: str, now: float) -> None:
    """See Store.resolve. The entries go on standing: a person's word is no evidence, the next run will tell."""
    _refuse_resolved(_one(connection, number))
    values = {"state": RESOLVED, "resolved": now, "resolved_by": actor, "updated": now}
    connection.execute(update(_TICKETS).where(_TICKETS.c.number == number).values(**values))
    write_history(connection, [(number, "resolved", clean_text(text), None)], actor, now)


def comment(connection: Connection, number: int, actor: str, text: str, now: float) -> None:
    """See Store.comment."""
    _one(connection, number)
    cleaned = clean_text(text)
    if not cleaned:
        raise UpkeepError(
            "a comment without text",
            expected="at least one word",
            found="nothing",
            remedy=f"For example: upkeep tickets comment {number} 'waits for the new disk'",
        )
    connection.execute(update(_TICKETS).where(_TICKETS.c.number == number).values(updated=now))
    write_history(connection, [(number, "comment", cleaned, None)], actor, now)


def clean_text(text: str) -> str:
    """What a person wrote, line by line without terminal escapes, control characters and secrets."""
    lines = (clean_line(line, TEXT_LIMIT) for line in text[: TEXT_LIMIT * 4].splitlines())
    return "\n".join(lines).strip()[:TEXT_LIMIT]


def write_history(
    connection: Connection, lines: Iterable[tuple[int, str, str, int | None]], actor: str, now: float
) -> None:
    """Lines of history: (ticket, kind, text, run)."""
    rows = [
        {"ticket": ticket, "at": now, "actor": actor, "kind": kind, "text": text, "run": run}
        for ticket, kind, text, run in lines
    ]
    if rows:
        connection.execute(insert(_HISTORY), rows)


def refresh(connection: Connection, number: int) -> None:
    """Bring a ticket's title and counts, that lists show, in line with its entries."""
    standing = and_(_ENTRIES.c.ticket == number, _ENTRIES.c.cleared.is_(None))
    entries, hosts, rank = connection.execute(
        select(func.count(), func.count(_ENTRIES.c.host.distinct()), func.min(_ENTRIES.c.rank)).where(standing)
    ).one()
    values: dict[str, Any] = {"entries": entries, "hosts": hosts}
    if entries:
        # The worst, and of these the one that stands longest: so a title changes only when what it names went away.
        first = (_ENTRIES.c.rank, _ENTRIES.c.first_seen, _ENTRIES.c.id)
        title = select(_FINDINGS.c.summary).join(_ENTRIES, _SEEN_IN).where(standing).order_by(*first).limit(1)
        values |= {"rank": rank, "title": connection.scalar(title)}
    connection.execute(update(_TICKETS).where(_TICKETS.c.number == number).values(**values))


def _one(connection: Connection, number: int) -> Ticket:
    row = connection.execute(select(_TICKETS).where(_TICKETS.c.number == number)).first()
    if row is None:
        raise UpkeepError(
            f"there is no ticket #{number}",
            expected="a ticket's number",
            found=str(number),
            remedy="See the list: upkeep tickets --state all",
        )
    return _ticket(row)


def _refuse_resolved(ticket: Ticket) -> None:
    if ticket.state == RESOLVED:
        by = "a later run that found nothing" if ticket.resolved_by == UPKEEP else ticket.resolved_by
        raise UpkeepError(
            f"ticket #{ticket.number} is resolved already",
            expected="a ticket that is open",
            found=f"resolved by {by}",
            remedy="Nothing is to be done: it is reopened when a run finds the fault again. "
            f"To add to it: upkeep tickets comment {ticket.number} TEXT",
        )


def _ticket(row: Row[Any]) -> Ticket:
    return Ticket(
        number=row.number,
        key=row.key,
        cause=row.cause,
        title=row.title,
        state=row.state,
        priority=row.priority,
        severity=SEVERITIES[row.rank],
        opened=row.opened,
        updated=row.updated,
        acknowledged=row.acknowledged,
        acknowledged_by=row.acknowledged_by,
        resolved=row.resolved,
        resolved_by=row.resolved_by,
        reopened=row.reopened,
        follows=row.follows,
        entries=row.entries,
        hosts=row.hosts,
        clocks=tuple(Clock(priority, since) for priority, since in row.clocks),
    )
