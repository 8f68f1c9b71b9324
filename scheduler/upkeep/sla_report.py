# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was kept of the promises, and what was missed. Pure.

Each course of a ticket (from its opening or reopening to its resolution) makes two promises: to react, and to solve. A
course that was ended by a word while the fault was still there was no end: it goes on with the next one, so that who
resolves a ticket early and has it reopened has kept nothing by it.

A promise counts for the time asked for when it was decided in it (kept or missed), or still runs. What runs late is
missed already. Times are those that the clock of the priority counts: business hours where only these count, and
without pauses; so a median is comparable with what was promised.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from . import sla
from .store.model import Cycle, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

KEPT = "kept"
MISSED = "missed"
RUNS = "runs"

CLOCKS = ("react", "solve")
WORST = 10
"""Broken promises that are named."""


@dataclass(frozen=True)
class Promise:
    """One promise of one course of a ticket. Times in seconds (since the epoch)."""

    ticket: int
    title: str
    cause: str
    priority: str
    clock: str
    since: float
    due: float
    done: float | None
    state: str
    """kept | missed | runs."""
    took: float
    """What the clock has counted until it was done, or until now."""
    promised: float
    late: float
    """How much more than promised; 0: it is not late."""
    waits: bool
    """Its ticket waits for somebody else just now."""


@dataclass(frozen=True)
class Row:
    """The promises of one kind, taken together."""

    name: str
    """What they are grouped by; "" for all."""
    priority: str
    clock: str
    kept: int
    missed: int
    """Late ones that still run included."""
    runs: int
    part_kept: float | None
    """Of those that are decided; None: none is."""
    promised: float
    """Seconds, as it is promised now."""
    median: float | None
    """Seconds that half of those that were done took at most; None: none was done."""
    worst: float
    """Seconds that the latest one was late; 0: none was."""


@dataclass(frozen=True)
class Report:
    """What was kept since a moment."""

    since: float
    until: float
    tickets: int
    rows: tuple[Row, ...]
    worst: tuple[Promise, ...]
    """The latest ones, worst first."""
    open_breaches: tuple[Promise, ...]
    """What is late and not done yet, most urgent first."""


def courses(ticket: Ticket) -> list[Cycle]:
    """The courses of a ticket, oldest first; those that a word ended while the fault was there are joined."""
    present = Cycle(
        ticket.clocks,
        ticket.pauses,
        ticket.acknowledged,
        ticket.acknowledged_by,
        ticket.resolved,
        ticket.resolved_by,
    )
    found: list[Cycle] = []
    for cycle in (*ticket.cycles, present):
        if found and found[-1].still:
            before = found.pop()
            reacted = before if before.acknowledged is not None or before.resolved is not None else cycle
            first = reacted.acknowledged if reacted.acknowledged is not None else reacted.resolved
            cycle = replace(  # noqa: PLW2901 - the joined one takes its place
                cycle,
                clocks=(*before.clocks, *cycle.clocks),
                pauses=(*before.pauses, *cycle.pauses),
                acknowledged=first,
                acknowledged_by=reacted.acknowledged_by or reacted.resolved_by,
            )
        found.append(cycle)
    return found


def promises(ticket: Ticket, now: float, settings: sla.Settings) -> list[Promise]:
    """All that was promised for a ticket."""
    found = []
    for course in courses(ticket):
        both = sla.of_ticket(course, now, settings)
        for clock, deadline in (("react", both.react), ("solve", both.solve)):
            late = deadline.state == sla.BREACHED
            found.append(
                Promise(
                    ticket=ticket.number,
                    title=ticket.title,
                    cause=ticket.cause,
                    priority=deadline.priority,
                    clock=clock,
                    since=course.clocks[0].since,
                    due=deadline.due,
                    done=deadline.done,
                    state=MISSED if late else RUNS if deadline.done is None else KEPT,
                    took=deadline.promised - deadline.remaining,
                    promised=deadline.promised,
                    late=max(0.0, -deadline.remaining),
                    waits=deadline.done is None and any(pause.until is None for pause in course.pauses),
                )
            )
    return found


def report(
    tickets: Iterable[Ticket],
    since: float,
    now: float,
    settings: sla.Settings,
    names: Callable[[Ticket], Sequence[str]] | None = None,
) -> Report:
    """What was kept since a moment.

    ``names``: by what the rows are grouped beside priority and clock; a ticket may have several, and counts for each.
    """
    counted: list[Promise] = []
    grouped: dict[tuple[str, str, str], list[Promise]] = defaultdict(list)
    numbers = set()
    for ticket in tickets:
        for promise in promises(ticket, now, settings):
            if promise.done is not None and promise.done < since:
                continue
            numbers.add(ticket.number)
            counted.append(promise)
            for name in dict.fromkeys(names(ticket)) if names else ("",):
                grouped[name, promise.priority, promise.clock].append(promise)
    late = sorted((one for one in counted if one.state == MISSED), key=lambda one: (-one.late, one.ticket))
    still = [one for one in late if one.done is None]
    return Report(
        since=since,
        until=now,
        tickets=len(numbers),
        rows=tuple(_row(*key, grouped[key], settings) for key in sorted(grouped)),
        worst=tuple(late[:WORST]),
        open_breaches=tuple(sorted(still, key=lambda one: (one.priority, -one.late, one.ticket))),
    )


def _row(name: str, priority: str, clock: str, of: Sequence[Promise], settings: sla.Settings) -> Row:
    kept, missed, runs = (sum(one.state == state for one in of) for state in (KEPT, MISSED, RUNS))
    took = [one.took for one in of if one.done is not None]
    return Row(
        name=name,
        priority=priority,
        clock=clock,
        kept=kept,
        missed=missed,
        runs=runs,
        part_kept=kept / (kept + missed) if kept + missed else None,
        promised=getattr(settings.targets[priority], clock),
        median=median(took) if took else None,
        worst=max((one.late for one in of), default=0.0),
    )


def area_of(ticket: Ticket) -> str:
    """The area that a ticket's checks belong to: the first part of their names."""
    return ticket.cause.partition(".")[0]
