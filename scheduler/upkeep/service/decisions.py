# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is decided (calendar/decide.py) to rows: a claim for each occurrence that is to begin, or is not to run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..calendar.decide import CHANGE_GRACE, LOOK, Begin, Skip, Wait, decide, timetable
from ..store import approvals, firings, job_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from ..calendar.decide import Decided, LastRun
    from ..config import Config, Job
    from ..store.firings import Firing, JobState

AGAIN = 0.001
"""Seconds before an occurrence: with the cursor there, it is decided anew."""


@dataclass(frozen=True)
class Claimed:
    """An occurrence that is ours to begin."""

    job: str
    firing: int
    begin: Begin


def schedule_id(config: Config, job: Job) -> str:
    """What a job is due by, as a text: occurrences of another schedule are not owed."""
    by = job.schedule_text or (f"after {', '.join(after.job for after in job.after)}" if job.after else "by hand")
    return f"{by} ({config.zone_of(job).key}{'' if job.holidays == 'run' else f', holidays: {job.holidays}'})"


def paused_why(state: JobState | None) -> str:
    """Why a job is paused, as part of a sentence; empty when it is not."""
    if state is None or state.paused is None:
        return ""
    return f"by {state.paused_by or 'somebody'}" + (f", {state.paused_why}" if state.paused_why else "")


def ends_of(connection: Connection, job: Job) -> dict[str, LastRun]:
    """How those ended that a job comes after."""
    return job_runs.last(connection, [after.job for after in job.after]) if job.after else {}


def claim(connection: Connection, job: str, decided: Decided, node: str, now: float) -> list[Claimed]:
    """Write what is decided about a job; what is ours to begin now, with its process counted as started."""
    claimed = []
    for decision in decided.decisions:
        if isinstance(decision, Begin):
            number = firings.claim(
                connection,
                job,
                decision.due,
                node=node,
                now=now,
                not_before=decision.not_before,
                until=decision.ends_by,
                without=decision.without,
            )
            if number is not None:
                firings.launching(connection, number, now, decision.ends_by, decision.without)
                claimed.append(Claimed(job, number, decision))
        elif isinstance(decision, Skip):
            state = firings.MISSED if decision.missed else firings.SKIPPED
            firings.claim(connection, job, decision.due, node=node, now=now, state=state, why=decision.why)
    return claimed


def lateness(job: Job) -> float:
    """Seconds after it was cut off in which a job may be carried out once more; its window's end counts beside that."""
    if job.misfire is not None:
        return job.misfire
    return CHANGE_GRACE if job.changes and not job.windows else math.inf


def anew(
    connection: Connection, config: Config, firing: Firing, now: float, *, paused: str, held: str
) -> Begin | Skip | Wait:
    """What to do with an occurrence that was claimed and has not begun. ``paused``, ``held``: as decide() has them."""
    job = config.jobs.get(firing.job)
    if job is None:
        return Skip(firing.due, "the job is not in the configuration any more", True)
    if firing.done is not None:  # carried out once more: its moment has passed, its window must not have
        if firing.until is not None and now >= firing.until:
            return Skip(firing.due, f"its window has ended meanwhile; {firing.why}", True)
        if paused:
            return Skip(firing.due, f"the job is paused: {paused}; {firing.why}", False)
        return (
            Wait(firing.due, now + LOOK, held) if held else Begin(firing.due, now, None, firing.until, firing.without)
        )
    decided = decide(
        timetable(config, job),
        firing.due - AGAIN,
        now,
        paused=paused,
        held=held,
        ends=ends_of(connection, job),
        typical=job_runs.typical(connection, firing.job) if job.windows else None,
    )
    for decision in decided.decisions:
        if abs(decision.due - firing.due) < 2 * AGAIN:
            return decision
    return Skip(firing.due, "it is not due any more: its schedule was changed, or newer ones take its place", False)


def end(connection: Connection, firing: Firing, skip: Skip, now: float) -> None:
    """An occurrence that was claimed does not run; nor is a plan applied that was approved for it."""
    firings.end(connection, firing.id, firings.MISSED if skip.missed else firings.SKIPPED, skip.why, now)
    approved = approvals.to_apply(connection, firing.job, firing.due)
    if approved is not None:
        from ..approval import drifted

        drifted(connection, approved, None, skip.why, now)


def move_cursors(connection: Connection, config: Config, cursors: Mapping[str, float], now: float) -> None:
    """What is written up to there is decided."""
    states = {job: (schedule_id(config, config.jobs[job]), cursor) for job, cursor in cursors.items()}
    firings.set_cursors(connection, states, now)


def scheduled(config: Config) -> Iterable[Job]:
    """The jobs that are due by themselves."""
    return (job for job in config.jobs.values() if job.schedule is not None or job.after)
