# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tickets in the store: what is shown, and what a person does; on a connection whose transaction the caller holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, insert, or_, select, update

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import SEVERITIES, clean_line

from ..errors import UpkeepError
from . import audit, mirrors, proofs, schema
from .model import (
    ACKNOWLEDGED,
    OPEN,
    RESOLVED,
    TICKET_STATES,
    UPKEEP,
    WAITING,
    Clock,
    Cycle,
    Entry,
    HistoryLine,
    Image,
    Lesson,
    Pause,
    Ticket,
    TicketDetail,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection, Row


@dataclass(frozen=True)
class Running:
    """What the clocks ask of a ticket."""

    number: int
    priority: str
    clocks: tuple[Clock, ...]
    pauses: tuple[Pause, ...]
    acknowledged: float | None
    told: list[str]
    """What was told of its clocks: see escalation.py."""


TEXT_LIMIT = 4000
"""Characters of what a person writes into a ticket."""
NAME_LIMIT = 200
"""Characters of who it is assigned to."""
LESSON_LIMIT = 300
"""Characters of each part of a lesson in a new ticket's history; the earlier ticket has all of it."""
CYCLES = 100
"""Reopenings of which the clocks are kept, the newest ones."""
NOBODY = "nobody"

LESSONS = {"workaround": "workaround", "root_cause": "cause", "prevention": "prevent"}
"""What people learn from a ticket: the column, and the word of the command."""

_ACTS = {
    "comment": "commented",
    "root_cause": "cause_written",
    "prevention": "prevention_written",
    "workaround": "workaround_written",
}
"""The audit's word, where it is not that of the history."""

_TICKETS = schema.tickets
_ENTRIES = schema.ticket_entries
_HISTORY = schema.ticket_history
_FINDINGS = schema.findings

TAUGHT = or_(*(_TICKETS.c[name] != "" for name in LESSONS))
"""People wrote into it what they learned."""

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
    assignee: str | None = None,
) -> list[Ticket]:
    """Tickets, most urgent first."""
    query = select(_TICKETS).order_by(_TICKETS.c.priority, _TICKETS.c.opened, _TICKETS.c.number).limit(limit)
    if states is not None:
        query = query.where(_TICKETS.c.state.in_(_known_states(states)))
    if priority is not None:
        query = query.where(_TICKETS.c.priority == priority)
    if assignee is not None:
        query = query.where(_TICKETS.c.assignee == assignee)
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
        learned=tuple(nearest(taught(connection, number), ticket.cause)),
        images=tuple(
            Image(link.system, link.shown, link.url, link.state) for link in mirrors.of_ticket(connection, number)
        ),
        proofs=tuple(proofs.latest(connection, ((entry.host, entry.subject) for entry in entries))),
    )


def acknowledge(connection: Connection, number: int, actor: str, text: str, now: float) -> None:
    """See Store.acknowledge."""
    ticket = _one(connection, number)
    _refuse_resolved(ticket)
    if ticket.acknowledged is None:
        state = ticket.state if ticket.state == WAITING else ACKNOWLEDGED
        _set(connection, ticket, now, state=state, acknowledged=now, acknowledged_by=actor)
        _tell(connection, ticket, "acknowledged", clean_text(text), actor, now)
    elif text.strip():
        comment(connection, number, actor, text, now)


def assign(connection: Connection, number: int, actor: str, assignee: str, now: float) -> None:
    """See Store.assign."""
    ticket = _one(connection, number)
    _refuse_resolved(ticket)
    name = clean_line(assignee, NAME_LIMIT)
    if name != ticket.assignee:
        _set(connection, ticket, now, assignee=name)
        before = {"before": ticket.assignee} if ticket.assignee else {}
        _tell(connection, ticket, "assigned", name or NOBODY, actor, now, **before)


def comment(connection: Connection, number: int, actor: str, text: str, now: float) -> None:
    """See Store.comment."""
    ticket = _one(connection, number)
    cleaned = _some_text(text, "a comment", f"upkeep tickets comment {number} 'waits for the new disk'")
    _set(connection, ticket, now)
    _tell(connection, ticket, "comment", cleaned, actor, now)


def wait(connection: Connection, number: int, actor: str, why: str, now: float) -> None:
    """See Store.wait."""
    ticket = _one(connection, number)
    _refuse_resolved(ticket)
    cleaned = clean_text(why)
    if ticket.state == WAITING:
        if cleaned:
            comment(connection, number, actor, why, now)
        return
    values: dict[str, Any] = {"state": WAITING, "pauses": [*_rows_of(ticket.pauses), [now, None, cleaned]]}
    if ticket.acknowledged is None:  # who lets it wait has looked at it
        values |= {"acknowledged": now, "acknowledged_by": actor}
    _set(connection, ticket, now, **values)
    _tell(connection, ticket, "waiting", cleaned, actor, now)


def go_on(connection: Connection, number: int, actor: str, text: str, now: float) -> None:
    """See Store.go_on."""
    ticket = _one(connection, number)
    _refuse_resolved(ticket)
    if ticket.state != WAITING:
        raise UpkeepError(
            f"ticket #{number} does not wait",
            expected="a ticket that waits for somebody else",
            found=f"one that is {ticket.state}",
            remedy=f"Nothing is to be done: its clocks run. To let it wait: upkeep tickets wait {number} WHY",
        )
    _set(connection, ticket, now, state=ACKNOWLEDGED, pauses=ended(_rows_of(ticket.pauses), now))
    _tell(connection, ticket, "continued", clean_text(text), actor, now)


def learn(connection: Connection, number: int, actor: str, what: str, text: str, now: float) -> None:
    """See Store.learn."""
    ticket = _one(connection, number)
    cleaned = _some_text(text, LESSONS[what], f"upkeep tickets {LESSONS[what]} {number} 'the log was never rotated'")
    if cleaned != getattr(ticket, what):
        _set(connection, ticket, now, **{what: cleaned})
        _tell(connection, ticket, what, cleaned, actor, now)


def resolve(connection: Connection, number: int, actor: str, text: str, now: float) -> None:
    """See Store.resolve. The entries go on standing: a person's word is no evidence, the next run will tell."""
    ticket = _one(connection, number)
    _refuse_resolved(ticket)
    pauses = ended(_rows_of(ticket.pauses), now)
    _set(connection, ticket, now, state=RESOLVED, resolved=now, resolved_by=actor, pauses=pauses)
    _tell(connection, ticket, "resolved", clean_text(text), actor, now)


def reopen(connection: Connection, number: int, actor: str, text: str, now: float) -> None:
    """See Store.reopen."""
    ticket = _one(connection, number)
    if ticket.state != RESOLVED:
        raise UpkeepError(
            f"ticket #{number} is not resolved",
            expected="a resolved ticket",
            found=f"one that is {ticket.state}",
            remedy=f"Nothing is to be done. To add to it: upkeep tickets comment {number} TEXT",
        )
    is_open = (_TICKETS.c.cause == ticket.cause) & (_TICKETS.c.state != RESOLVED)
    other = connection.scalar(select(_TICKETS.c.number).where(is_open))
    if other is not None:
        raise UpkeepError(
            f"ticket #{number} cannot be reopened",
            expected="no other open ticket of the same cause",
            found=f"#{other} is open: {ticket.cause}",
            remedy=f"Go on there: upkeep tickets show {other}",
        )
    _set(connection, ticket, now, **again(ticket, ticket.priority, now, still=ticket.entries > 0))
    _tell(connection, ticket, "reopened", clean_text(text), actor, now)


def again(ticket: Ticket, priority: str, now: float, *, still: bool) -> dict[str, Any]:
    """The columns of a ticket that is reopened: its clocks begin anew, how it went until now is kept."""
    cycle = {
        "clocks": [[clock.priority, clock.since] for clock in ticket.clocks],
        "pauses": _rows_of(ticket.pauses),
        "acknowledged": ticket.acknowledged,
        "acknowledged_by": ticket.acknowledged_by,
        "resolved": ticket.resolved,
        "resolved_by": ticket.resolved_by,
        "still": still,
    }
    kept = [
        {
            **vars(before),
            "clocks": [[one.priority, one.since] for one in before.clocks],
            "pauses": _rows_of(before.pauses),
        }
        for before in ticket.cycles
    ]
    return {
        "state": OPEN,
        "priority": priority,
        "acknowledged": None,
        "acknowledged_by": "",
        "resolved": None,
        "resolved_by": "",
        "reopened": ticket.reopened + 1,
        "clocks": [[priority, now]],
        "pauses": [],
        "cycles": [*kept, cycle][-CYCLES:],
        "sla_told": [],
    }


def since(connection: Connection, moment: float) -> list[Ticket]:
    """The tickets that are open, or were resolved no earlier than a moment."""
    wanted = or_(_TICKETS.c.state != RESOLVED, _TICKETS.c.resolved >= moment)
    return [_ticket(row) for row in connection.execute(select(_TICKETS).where(wanted).order_by(_TICKETS.c.number))]


def hosts_of(connection: Connection, numbers: Iterable[int]) -> dict[int, set[str]]:
    """The hosts that tickets are or were about, by number."""
    wanted, found = list(numbers), dict[int, set[str]]()
    for start in range(0, len(wanted), 500):
        some = _ENTRIES.c.ticket.in_(wanted[start : start + 500])
        for row in connection.execute(select(_ENTRIES.c.ticket, _ENTRIES.c.host).where(some).distinct()):
            found.setdefault(row.ticket, set()).add(row.host)
    return found


def running(connection: Connection, numbers: Iterable[int] | None = None) -> list[Running]:
    """The tickets whose clocks run: not resolved, not waiting; of these numbers (some hundreds), or all."""
    columns = ("number", "priority", "clocks", "pauses", "acknowledged", "sla_told")
    query = select(*(_TICKETS.c[name] for name in columns)).where(_TICKETS.c.state.in_((OPEN, ACKNOWLEDGED)))
    if numbers is not None:
        query = query.where(_TICKETS.c.number.in_(list(numbers)))
    return [
        Running(
            row.number, row.priority, _clocks_of(row.clocks), _pauses_of(row.pauses), row.acknowledged, row.sla_told
        )
        for row in connection.execute(query.order_by(_TICKETS.c.priority, _TICKETS.c.number))
    ]


def tell_sla(connection: Connection, number: int, lines: Iterable[str], told: list[str], now: float) -> None:
    """Write what the clocks have to say of a ticket, and that it was said: both, or neither."""
    connection.execute(update(_TICKETS).where(_TICKETS.c.number == number).values(sla_told=told))
    write_history(connection, [(number, "sla", text, None) for text in lines], UPKEEP, now)


def ended(pauses: list[list[Any]], now: float) -> list[list[Any]]:
    """Pauses as they are stored, the open one ended."""
    return [[since, now if until is None else until, why] for since, until, why in pauses]


def taught(connection: Connection, before: int) -> list[Lesson]:
    """What people wrote into tickets with a smaller number, the newest first. Written by hand: they are few."""
    columns = ("number", "cause", "resolved", "resolved_by", "workaround", "root_cause", "prevention")
    query = select(*(_TICKETS.c[name] for name in columns)).where(_TICKETS.c.number < before, TAUGHT)
    return [Lesson(**row._mapping) for row in connection.execute(query.order_by(_TICKETS.c.number.desc()))]


def nearest(lessons: Iterable[Lesson], cause: str, limit: int = 3) -> list[Lesson]:
    """Of these the ones of the same cause, then those of the same check on other hosts or subjects."""
    check = cause.partition(" ")[0]
    near = [lesson for lesson in lessons if lesson.cause.partition(" ")[0] == check]
    return sorted(near, key=lambda lesson: lesson.cause != cause)[:limit]


def lesson_line(lesson: Lesson) -> str:
    """A lesson in one line, for the first line of a new ticket's history."""
    parts = [
        f"{name}: {clean_line(text, LESSON_LIMIT)}"
        for name, text in (
            ("workaround", lesson.workaround),
            ("cause", lesson.root_cause),
            ("how not to repeat it", lesson.prevention),
        )
        if text
    ]
    return f"learned from #{lesson.number}: " + "; ".join(parts)


def _set(connection: Connection, ticket: Ticket, now: float, **values: Any) -> None:
    connection.execute(update(_TICKETS).where(_TICKETS.c.number == ticket.number).values(updated=now, **values))


def _tell(
    connection: Connection, ticket: Ticket, kind: str, text: str, actor: str, now: float, **detail: object
) -> None:
    """Write what a person did into the ticket's history, and into the audit."""
    write_history(connection, [(ticket.number, kind, text, None)], actor, now)
    said = {"text": text} if text else {}
    about = {"priority": ticket.priority, "cause": ticket.cause}
    audit.write(
        connection,
        actor,
        f"ticket.{_ACTS.get(kind, kind)}",
        f"ticket #{ticket.number}",
        {**said, **detail, **about},
        now,
    )


def _some_text(text: str, what: str, example: str) -> str:
    cleaned = clean_text(text)
    if not cleaned:
        raise UpkeepError(
            f"{what} without text", expected="at least one word", found="nothing", remedy=f"For example: {example}"
        )
    return cleaned


def _rows_of(pauses: Iterable[Pause]) -> list[list[Any]]:
    return [[pause.since, pause.until, pause.why] for pause in pauses]


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
            f"To add to it: upkeep tickets comment {ticket.number} TEXT; to reopen it: "
            f"upkeep tickets reopen {ticket.number} WHY",
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
        clocks=_clocks_of(row.clocks),
        assignee=row.assignee,
        pauses=_pauses_of(row.pauses),
        workaround=row.workaround,
        root_cause=row.root_cause,
        prevention=row.prevention,
        cycles=tuple(
            Cycle(**{**kept, "clocks": _clocks_of(kept["clocks"]), "pauses": _pauses_of(kept["pauses"])})
            for kept in row.cycles
        ),
    )


def _clocks_of(rows: Iterable[tuple[str, float]]) -> tuple[Clock, ...]:
    return tuple(Clock(priority, since) for priority, since in rows)


def _pauses_of(rows: Iterable[tuple[float, float | None, str]]) -> tuple[Pause, ...]:
    return tuple(Pause(since, until, why) for since, until, why in rows)
