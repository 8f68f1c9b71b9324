# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the leader knows of each job between two looks: how far it is decided, and when to look again. Pure.

All of it comes from the store and is only kept so that ten thousand jobs need not be asked at each look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..calendar.decide import Begin, Timetable, Wait, decide, timetable
from .decisions import schedule_id, scheduled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..calendar.decide import Decided, LastRun
    from ..config import Config, Job
    from ..store.firings import JobState


@dataclass
class Entry:
    """One job."""

    job: Job
    table: Timetable
    cursor: float
    again: float
    """When to look at it, at the latest."""
    restless: bool
    """Whether it is to be looked at whenever a run has ended: it waits, or comes after others."""
    broken: str = ""
    """Why nothing can be decided about it; the other jobs go on."""


class Book:
    """The jobs that are due by themselves."""

    def __init__(self, config: Config, states: Mapping[str, JobState], now: float) -> None:
        self.entries: dict[str, Entry] = {}
        self.new: dict[str, float] = {}
        """Jobs of which the store knows nothing, or another schedule: their cursors, which are to be written."""
        for job in scheduled(config):
            state = states.get(job.name)
            if state is None or state.schedule != schedule_id(config, job):
                self.new[job.name] = now
                cursor = now
            else:
                cursor = state.cursor
            # Looked at first of all: what is owed since the cursor is decided at once.
            entry = Entry(job, timetable(config, job), cursor, -math.inf, bool(job.after))
            self.entries[job.name] = entry

    def due(self, now: float, run_ended: bool) -> list[Entry]:
        """The jobs to decide about now, the most important first."""
        wanted = [
            entry
            for entry in self.entries.values()
            if entry.again <= now or (entry.restless and (run_ended or entry.job.after))
        ]
        return sorted(wanted, key=lambda entry: (-entry.job.priority, entry.again, entry.job.name))

    def next(self) -> float:
        """When to look at the latest; infinity when nothing is ever due."""
        return min((entry.again for entry in self.entries.values()), default=math.inf)


def judge(
    entry: Entry,
    now: float,
    *,
    paused: str,
    held: str,
    ends: Mapping[str, LastRun],
    typical: float | None,
) -> Decided | None:
    """Decide about a job; None when that fails, which must not touch the others: then the entry says why."""
    try:
        decided = decide(entry.table, entry.cursor, now, paused=paused, held=held, ends=ends, typical=typical)
    except Exception as error:  # noqa: BLE001 - one bad schedule must not block the rest
        entry.broken = f"{type(error).__name__}: {error}"
        entry.again = now + 300.0
        return None
    entry.broken = ""
    return decided


def note(entry: Entry, decided: Decided, now: float) -> None:
    """Remember what was decided, once it is written."""
    entry.cursor = decided.cursor
    waits = any(isinstance(decision, Wait) for decision in decided.decisions)
    entry.restless = waits or bool(entry.job.after)
    entry.again = math.inf if decided.again is None else decided.again
    if any(isinstance(decision, Begin) for decision in decided.decisions):
        # One that is made up for follows when this one has ended, not in the same breath.
        entry.again = max(entry.again, now + 1.0)
        entry.restless = entry.restless or entry.again <= now + 1.0
