# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs of a job tell the scheduler: how the last one went, and how long one takes."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from ..calendar.decide import LastRun
from . import schema
from .model import RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

SAMPLE = 7
"""Runs of which the median is what one usually takes."""

_RUNS = schema.runs


def last(connection: Connection, jobs: Iterable[str]) -> dict[str, LastRun]:
    """For each job how its newest run went; runs in check mode do not count."""
    found = {}
    for job in jobs:
        query = select(_RUNS).where(_RUNS.c.job == job, _RUNS.c.check_mode.is_(False))
        newest = connection.execute(
            query.where(_RUNS.c.finished.is_not(None)).order_by(_RUNS.c.finished.desc()).limit(1)
        ).first()
        under_way = connection.execute(query.where(_RUNS.c.state == RUNNING).limit(1)).first() is not None
        if newest is None:
            found[job] = LastRun(running=under_way)
        else:
            good = newest.state == "finished" and not newest.hosts_failed and not newest.hosts_unreachable
            # What is not recorded yet has no counts of hosts: it has not ended for those who depend on it.
            unrecorded = newest.state == "finished" and newest.recorded is None
            found[job] = LastRun(newest.finished, good and not unrecorded, under_way or unrecorded)
    return found


def running(connection: Connection) -> dict[str | None, int]:
    """The runs under way, counted by job."""
    query = select(_RUNS.c.job, func.count()).where(_RUNS.c.state == RUNNING).group_by(_RUNS.c.job)
    return {row[0]: row[1] for row in connection.execute(query)}


def typical(connection: Connection, job: str) -> float | None:
    """Seconds that a run of a job usually takes; None: there was no good one yet."""
    query = (
        select(_RUNS.c.started, _RUNS.c.finished)
        .where(_RUNS.c.job == job, _RUNS.c.state == "finished", _RUNS.c.check_mode.is_(False))
        .order_by(_RUNS.c.number.desc())
        .limit(SAMPLE)
    )
    took = [row.finished - row.started for row in connection.execute(query) if row.finished is not None]
    return median(took) if took else None
