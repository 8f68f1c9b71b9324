# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between reconcile and the tables: the tickets that it must know, and its changes carried out."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, or_, select, update

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import SEVERITIES

from ..reconcile import (
    CLEAN,
    IGNORED,
    MOVED,
    RANK,
    Change,
    EntryAdded,
    EntryCleared,
    EntryUpdated,
    Identity,
    KnownEntry,
    KnownTicket,
    Opened,
    PriorityChanged,
    Reopened,
    Resolved,
)
from . import schema, tickets
from .model import ACKNOWLEDGED, OPEN, RESOLVED, UPKEEP, WAITING, TicketChange
from .runs import next_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Insert

NAMED = 5
"""Entries that a line of history names; the others are counted."""

_TICKETS = schema.tickets
_ENTRIES = schema.ticket_entries


def known(connection: Connection) -> list[KnownTicket]:
    """What reconcile needs: open tickets, the newest of each cause, and those whose entries still stand."""
    entries: dict[int, list[KnownEntry]] = defaultdict(list)
    names: dict[str, str] = {}  # a host's or check's name is held once, not once an entry
    table = _ENTRIES.c
    columns = (table.ticket, table.host, table.check_name, table.subject, table.rank, table.last_seen)
    standing = select(*columns).where(table.cleared.is_(None))
    for ticket, host, check, subject, rank, last_seen in connection.execute(standing):
        identity = Identity(names.setdefault(host, host), names.setdefault(check, check), subject)
        entries[ticket].append(KnownEntry(identity, SEVERITIES[rank], last_seen))
    newest = select(func.max(_TICKETS.c.number)).group_by(_TICKETS.c.cause)
    with_standing = select(table.ticket).where(table.cleared.is_(None))
    wanted = or_(_TICKETS.c.state != RESOLVED, _TICKETS.c.number.in_(newest), _TICKETS.c.number.in_(with_standing))
    named = ("number", "cause", "state", "priority", "resolved")
    rows = connection.execute(select(*(_TICKETS.c[name] for name in named)).where(wanted))
    return [
        KnownTicket(row.number, row.cause, row.state, row.priority, row.resolved, tuple(entries.get(row.number, ())))
        for row in rows
    ]


@dataclass
class _Touched:
    """What happens to one ticket."""

    number: int
    what: str = "seen"
    priority: str = ""
    old_priority: str | None = None
    follows: int | None = None
    added: list[EntryAdded] = field(default_factory=list)
    seen: list[EntryUpdated] = field(default_factory=list)
    cleared: list[EntryCleared] = field(default_factory=list)
    resolved: bool = False
    continued: bool = False
    """It waited, and its priority rose: its clocks run again."""
    learned: str = ""


def apply(
    connection: Connection, changes: Sequence[Change], run: int, run_id: str, at: float, now: float
) -> list[TicketChange]:
    """Carry out what reconcile found, one answer for each ticket touched, most urgent first.

    ``at``: when the run saw it; the run's findings are in the store already.
    """
    touched = _by_ticket(connection, changes)
    _open(connection, [work for work in touched if work.what == "opened"], changes, run_id, now)
    for work in touched:
        if work.what == "reopened":
            _reopen(connection, work, now)
        elif work.old_priority is not None:
            _raise_priority(connection, work, now)
    _write_entries(connection, touched, run, at)
    for work in touched:
        tickets.refresh(connection, work.number)
        values: dict[str, Any] = {}
        if work.what != "seen":
            values["updated"] = now
        if work.resolved:
            pauses = connection.scalar(select(_TICKETS.c.pauses).where(_TICKETS.c.number == work.number)) or []
            values |= {"state": RESOLVED, "resolved": now, "resolved_by": UPKEEP, "pauses": tickets.ended(pauses, now)}
        if values:
            connection.execute(update(_TICKETS).where(_TICKETS.c.number == work.number).values(**values))
    tickets.write_history(connection, (line for work in touched for line in _history(work, run)), UPKEEP, now)
    return _told(connection, touched)


def _by_ticket(connection: Connection, changes: Iterable[Change]) -> list[_Touched]:
    """The changes, ticket by ticket, new ones with their numbers."""
    changes = list(changes)
    causes = [change.cause for change in changes if isinstance(change, Opened)]
    first = next_number(connection, "tickets", len(causes)) if causes else 0
    numbers: dict[str, int] = {cause: first + place for place, cause in enumerate(causes)}
    touched: dict[int, _Touched] = {}
    for change in changes:
        ref = change.cause if isinstance(change, Opened) else change.ticket
        number = numbers[ref] if isinstance(ref, str) else ref
        work = touched.setdefault(number, _Touched(number))
        match change:
            case Opened():
                work.what, work.priority, work.follows = "opened", change.priority, change.follows
            case Reopened():
                work.what, work.priority = "reopened", change.priority
            case PriorityChanged():
                work.what, work.priority, work.old_priority = "updated", change.new, change.old
            case EntryAdded():
                work.added.append(change)
            case EntryUpdated():
                work.seen.append(change)
            case EntryCleared():
                work.cleared.append(change)
            case Resolved():
                work.what, work.resolved = "resolved", True
    for work in touched.values():
        if work.what == "seen" and (work.added or work.cleared):
            work.what = "updated"
    return list(touched.values())


def _open(
    connection: Connection, opened: Sequence[_Touched], changes: Iterable[Change], run_id: str, now: float
) -> None:
    causes = [change.cause for change in changes if isinstance(change, Opened)]
    rows = [
        {
            "number": work.number,
            # The run makes it unique: a later ticket of the same cause has another one.
            "key": hashlib.sha256(f"{cause}\n{run_id}".encode()).hexdigest()[:32],
            "cause": cause,
            "title": cause,
            "state": OPEN,
            "priority": work.priority,
            "rank": len(SEVERITIES) - 1,
            "opened": now,
            "updated": now,
            "acknowledged_by": "",
            "resolved_by": "",
            "reopened": 0,
            "follows": work.follows,
            "entries": 0,
            "hosts": 0,
            "clocks": [[work.priority, now]],
        }
        for work, cause in zip(opened, causes, strict=True)
    ]
    if rows:
        connection.execute(insert(_TICKETS), rows)
        taught = tickets.taught(connection, min(work.number for work in opened))
        for work, cause in zip(opened, causes, strict=True):
            lessons = tickets.nearest(taught, cause) if taught else []
            work.learned = tickets.lesson_line(lessons[0]) if lessons else ""


def _reopen(connection: Connection, work: _Touched, now: float) -> None:
    ticket = tickets.of_numbers(connection, [work.number])[work.number]
    values = tickets.again(ticket, work.priority, now, still=bool(work.seen))
    connection.execute(update(_TICKETS).where(_TICKETS.c.number == work.number).values(**values))


def _raise_priority(connection: Connection, work: _Touched, now: float) -> None:
    columns = (_TICKETS.c.clocks, _TICKETS.c.state, _TICKETS.c.pauses)
    row = connection.execute(select(*columns).where(_TICKETS.c.number == work.number)).one()
    values: dict[str, Any] = {"priority": work.priority, "clocks": [*row.clocks, [work.priority, now]]}
    if row.state == WAITING:
        # It was let wait as what it was; as what it became it does not wait for anybody.
        work.continued = True
        values |= {"state": ACKNOWLEDGED, "pauses": tickets.ended(row.pauses, now)}
    connection.execute(update(_TICKETS).where(_TICKETS.c.number == work.number).values(**values))


def _write_entries(connection: Connection, touched: Iterable[_Touched], run: int, at: float) -> None:
    added, seen, cleared = [], [], []
    for work in touched:
        for entry in work.added:
            row = {"ticket": work.number, "rank": RANK[entry.severity], **_columns(entry.identity)}
            added.append({**row, "run": run, "first_seen": at, "last_seen": at, "cleared": None})
        seen += [{"t": work.number, "r": RANK[entry.severity], **_bound(entry.identity)} for entry in work.seen]
        cleared += [{"t": work.number, **_bound(entry.identity)} for entry in work.cleared]
    if added:
        connection.execute(_insert_entry(connection), added)
    this = (
        (_ENTRIES.c.ticket == bindparam("t"))
        & (_ENTRIES.c.host == bindparam("h"))
        & (_ENTRIES.c.check_name == bindparam("c"))
        & (_ENTRIES.c.subject == bindparam("s"))
    )
    if seen:
        connection.execute(update(_ENTRIES).where(this).values(rank=bindparam("r"), run=run, last_seen=at), seen)
    if cleared:
        connection.execute(update(_ENTRIES).where(this).values(cleared=at), cleared)


def _insert_entry(connection: Connection) -> Insert:
    """An entry that may have been in the ticket before and was cleared: it stands again, first seen as it was."""
    statement = schema.upsert(connection, _ENTRIES)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["ticket", "host", "check_name", "subject"],
        set_={"rank": new.rank, "run": new.run, "last_seen": new.last_seen, "cleared": None},
    )


def _columns(identity: Identity) -> dict[str, str]:
    return {"host": identity.host, "check_name": identity.check, "subject": identity.subject}


def _bound(identity: Identity) -> dict[str, str]:
    return {"h": identity.host, "c": identity.check, "s": identity.subject}


def _history(work: _Touched, run: int) -> Iterator[tuple[int, str, str, int]]:
    """A ticket's lines of history: one for each kind of event, whatever the number of entries."""

    def line(kind: str, text: str) -> tuple[int, str, str, int]:
        return work.number, kind, text, run

    if work.what == "opened":
        after = f", after #{work.follows}" if work.follows else ""
        yield line("opened", work.priority + after + (f"; {work.learned}" if work.learned else ""))
    elif work.what == "reopened":
        yield line("reopened", f"{work.priority}: the fault is there {'still' if work.seen else 'again'}")
    elif work.old_priority is not None:
        yield line("priority", f"{work.old_priority} → {work.priority}")
    if work.continued:
        yield line("continued", "its priority rose")
    if work.added:
        yield line("added", _named(entry.identity for entry in work.added))
    for why, kind in ((CLEAN, "cleared"), (IGNORED, "ignored"), (MOVED, "moved")):
        gone = [entry.identity for entry in work.cleared if entry.why == why]
        if gone:
            yield line(kind, _named(gone))
    if work.resolved:
        yield line("resolved", "Every fault of it was looked for, and none was found.")


def _named(identities: Iterable[Identity]) -> str:
    listed = sorted(identities)
    text = "; ".join(f"{identity.host}: {identity.check} {identity.subject}" for identity in listed[:NAMED])
    return text + (f"; and {len(listed) - NAMED} more" if len(listed) > NAMED else "")


def _told(connection: Connection, touched: Iterable[_Touched]) -> list[TicketChange]:
    works = {work.number: work for work in touched}
    changes = []
    for number, ticket in tickets.of_numbers(connection, works).items():
        work = works[number]
        if ticket.state == RESOLVED and not work.resolved:
            # A person resolved it before. That a newer ticket goes on with it is told there.
            if not any(entry.why == CLEAN for entry in work.cleared):
                continue
            work.what = "confirmed"
        changes.append(
            TicketChange(
                number=number,
                title=ticket.title,
                priority=ticket.priority,
                what=work.what,
                added=len(work.added),
                cleared=len(work.cleared),
                seen=len(work.seen),
                old_priority=work.old_priority,
                follows=work.follows,
            )
        )
    return sorted(changes, key=lambda change: (change.priority, change.number))
