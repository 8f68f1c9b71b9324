# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`upkeep run JOB` beside a schedule: which occurrence a run by hand, or by a cron line, is; nothing is doubled.

- `upkeep run JOB` as the job stands, within SAME_MOMENT of a time at which it is due, *is* that occurrence: it takes
  it, or, when it is taken, follows the run that carries it out. `--again` runs it beside that.
- A run with another limit, other variables, tags or check mode is one of its own.
- `upkeep run JOB --if-due` runs only what is due and not decided yet, by the calendar's rules (calendar/decide.py), and
  otherwise says so and ends well: for a cron line, with a service beside it or without one.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..calendar.decide import PROMPT, Begin, Skip, Wait, decide, next_moment, timetable
from ..service import decisions
from ..store import RUNNING, approvals, firings, job_runs, locks

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ..calendar.decide import Decided
    from ..config import Config, Job
    from ..store import Store
    from ..store.firings import Firing

BEGIN_WITHIN = 60.0
"""Seconds in which a process that has claimed an occurrence begins with it, or says that it waits for a lock."""
FORSAKEN_AFTER = 3600.0
"""Seconds after which nobody comes back any more to an occurrence that waits: a service looks each half minute."""
SAME_MOMENT = 60.0
"""Seconds after a due time in which a run by hand counts as that occurrence: cron lines fire within the minute."""
EARLY = 5.0
"""Seconds before it: clocks of two machines differ by that."""
SAME = 0.0005
"""Seconds: times that were written and read again are the same."""


@dataclass(frozen=True)
class Mine:
    """This process is to carry it out."""

    firing: int
    until: float | None = None
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Theirs:
    """Another process carries it out, or has."""

    firing: Firing


@dataclass(frozen=True)
class Nothing:
    """It is not due."""

    why: str


def of_scheduler(store: Store, number: int) -> Mine:
    """The occurrence that the scheduler started this process for. Raises locks.NotOurs when it is not to be begun."""
    with store.database.read() as connection:
        firing = firings.one(connection, number)
    if firing is None or firing.state != firings.WAITING:
        raise locks.NotOurs(number)
    return Mine(firing.id, firing.until, (*firing.without, *(firing.done or ())))


def by_hand(store: Store, config: Config, job: Job, now: float) -> Mine | Theirs | None:
    """The occurrence that a run of a job as it stands is, at this moment; None: a run of its own."""
    if job.schedule is None:
        return None
    table = timetable(config, job)
    due = next_moment(table, now - SAME_MOMENT)
    with store.database.write() as connection:
        # A plan that was approved by hand has a firing too, at a time that no schedule has: that is no such occurrence.
        claimed = [
            one
            for one in firings.between(connection, job.name, now - SAME_MOMENT, now + EARLY)
            if abs((next_moment(table, one.due - 1) or 0.0) - one.due) < SAME
        ]
        if claimed:
            newest = claimed[-1]
            if newest.state in (firings.SKIPPED, firings.MISSED):
                return None  # a person wants it all the same
            if newest.state != firings.WAITING or _is_being_begun(newest, now):
                return Theirs(newest)
            firings.launching(connection, newest.id, now, newest.until, newest.without)
            return Mine(newest.id, newest.until, newest.without)
        if due is None or due > now + EARLY:
            return None
        number = firings.claim(connection, job.name, due, node=os.uname().nodename, now=now)
        if number is None:
            return None
        firings.launching(connection, number, now)
        _end_forsaken(connection, job.name, due, now)
        return Mine(number)


def _is_being_begun(firing: Firing, now: float) -> bool:
    """Whether a process that is to carry it out has been started, or has said that it waits, a moment ago."""
    return firing.launched is not None and abs(now - firing.launched) < BEGIN_WITHIN


def _end_forsaken(connection: Connection, job: str, due: float, now: float) -> None:
    """A job's earlier occurrences that nobody came back to have their end: a newer one takes their place."""
    for firing in firings.open_ones(connection):
        waits = firing.job == job and firing.state == firings.WAITING and firing.due < due
        if waits and now - firing.touched > FORSAKEN_AFTER and approvals.to_apply(connection, job, firing.due) is None:
            firings.end(connection, firing.id, firings.MISSED, firings.FORSAKEN, now)


def if_due(store: Store, config: Config, job: Job, now: float) -> Mine | Theirs | Nothing:
    """What is due of a job and not decided yet; what is to be skipped is written down as that."""
    table = timetable(config, job)
    with store.database.write() as connection:
        state = firings.job_state(connection, job.name)
        paused = decisions.paused_why(state)
        held = "an earlier run of it goes on" if job_runs.running(connection).get(job.name) else ""
        left = _left_over(connection, config, job, now, paused, held)
        if left is not None:
            return left
        fresh = state is None or state.schedule != decisions.schedule_id(config, job)
        # A cron line's first call comes at the very moment that it is for.
        cursor = now - PROMPT if fresh or state is None else state.cursor
        decided = decide(
            table,
            cursor,
            now,
            paused=paused,
            held=held,
            ends=decisions.ends_of(connection, job),
            typical=job_runs.typical(connection, job.name),
        )
        claimed = decisions.claim(connection, job.name, decided, os.uname().nodename, now)
        decisions.move_cursors(connection, config, {job.name: decided.cursor}, now)
        if claimed:
            begin = claimed[-1].begin
            return Mine(claimed[-1].firing, begin.ends_by, begin.without)
        newest = firings.newest(connection, job.name, 1)
    if newest and (newest[0].state in firings.OPEN or abs(newest[0].due - now) < PROMPT):
        return Theirs(newest[0])
    return Nothing(_why(decided))


def _left_over(
    connection: Connection, config: Config, job: Job, now: float, paused: str, held: str
) -> Mine | Nothing | None:
    """An occurrence that a process claimed and did not begin: it was put off, or has died. Without a service nobody
    else comes back to it."""
    for firing in firings.open_ones(connection):
        if firing.job != job.name or firing.state != firings.WAITING:
            continue
        if _is_being_begun(firing, now):
            continue
        decision = decisions.anew(connection, config, firing, now, paused=paused, held=held)
        if isinstance(decision, Skip):
            decisions.end(connection, firing, decision, now)
        elif isinstance(decision, Wait):
            return Nothing(decision.why)
        else:
            firings.launching(connection, firing.id, now, decision.ends_by, decision.without)
            return Mine(firing.id, decision.ends_by, (*decision.without, *(firing.done or ())))
    return None


def _why(decided: Decided) -> str:
    for decision in decided.decisions[::-1]:
        if isinstance(decision, (Wait, Skip)):
            return decision.why
        if isinstance(decision, Begin):
            return "another process was quicker"
    return "it has no time in the future" if decided.again is None else ""


def wait_for(store: Store, firing: Firing, seconds: float) -> Firing:
    """Follow what another process carries out to its end, at most for a time; how it stands then."""
    deadline = time.monotonic() + seconds
    while firing.state in firings.OPEN and time.monotonic() < deadline:
        time.sleep(1.0)
        with store.database.read() as connection:
            firing = firings.one(connection, firing.id) or firing
        if firing.state == RUNNING:
            store.runs(1)  # marks it when its process is gone
    return firing
