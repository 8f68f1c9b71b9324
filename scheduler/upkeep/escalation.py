# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings before a promise is broken, and steps after it was: lines of the ticket, each once for each clock.

What was told of a ticket stands in its row, written in the transaction of the line itself: a crash, a restart or a
second scheduler neither loses nor repeats one. It begins anew when the ticket is reopened, and for the promise of a
higher priority when it rises. A ticket that waits is left alone: its clocks stand still.

Of the warnings only the last one reached is told, and none when it is late already; of the steps each one, for each may
name somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import durations, sla

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .config import Config
    from .store import Store
    from .store.tickets import Running

AT_ONCE = 200
"""Tickets that are told of in one transaction; the rest in the next step."""
ARROW = " → "
"""Before the names of those who are told whatever the routes say."""


@dataclass(frozen=True)
class Due:
    """What is to be told of a ticket now."""

    number: int
    lines: tuple[str, ...]
    told: list[str]
    """All that was told of it, these included."""


def step(store: Store, config: Config, now: float) -> int:
    """Write the warnings and steps that are due; the number of lines. Raises UpkeepError when the store fails."""
    from .store import tickets

    with store.database.read() as connection:
        numbers = [one.number for one in tickets.running(connection) if due(one, now, config.sla)]
    count = 0
    for start in range(0, min(len(numbers), 5 * AT_ONCE), AT_ONCE):
        # Looked at again by the one who writes: another scheduler or a person may have been faster.
        with store.database.write() as connection:
            for ticket in tickets.running(connection, numbers[start : start + AT_ONCE]):
                found = due(ticket, now, config.sla)
                if found:
                    tickets.tell_sla(connection, found.number, found.lines, found.told, now)
                    count += len(found.lines)
    return count


def due(ticket: Running, now: float, settings: sla.Settings) -> Due | None:
    """What is to be told of a ticket now; None: nothing. Pure."""
    told = list(ticket.told)
    lines: list[str] = []
    # What ends first counts; when that was promised before the priority rose, so do the steps of what it became.
    for clocks in dict.fromkeys((ticket.clocks, ticket.clocks[-1:])):
        deadlines = sla.deadlines(clocks, ticket.acknowledged, None, now, settings, ticket.pauses)
        for name, deadline in (("react", deadlines.react), ("solve", deadlines.solve)):
            if deadline.done is None:
                for key, text in _reached(name, deadline, settings):
                    if key not in told:
                        told.append(key)
                        lines += [text] if text else []
    return Due(ticket.number, tuple(lines), told) if len(told) > len(ticket.told) else None


def _reached(name: str, deadline: sla.Deadline, settings: sla.Settings) -> Iterator[tuple[str, str]]:
    """The warnings and steps that a clock has reached: their keys, and their lines ("": passed over)."""
    of = f"{deadline.priority} {name}"
    late = deadline.state == sla.BREACHED
    parts = settings.warn_at if settings.warn_at is not None else (settings.due_soon,)
    reached = sorted(part for part in parts if deadline.promised - deadline.remaining >= part * deadline.promised)
    promised = f"promised {durations.shown(deadline.promised)} for {deadline.priority}"
    for part in reached:
        is_last = part == reached[-1] and not late
        text = f"{name}: {part * 100:.0f} % used, {durations.shown(deadline.remaining)} left, {promised}"
        yield f"{of} {part:g}", text if is_last else ""
    if not late:
        return
    for one in settings.escalate:
        if -deadline.remaining >= one.after and deadline.priority in one.priorities and name in one.clocks:
            to = ARROW + ", ".join(one.to) if one.to else ""
            # Two steps of the same time name different people.
            key = f"{of} +{one.after:g}{to}"
            yield key, f"{name}: {durations.shown(deadline.remaining)} late, {promised}{to}"


def named_in(text: str) -> tuple[str, ...]:
    """The channels that a line of kind `sla` names; empty: as the routes say."""
    names = text.partition(ARROW)[2]
    return tuple(names.split(", ")) if names else ()
