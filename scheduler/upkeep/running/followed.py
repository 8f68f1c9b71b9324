# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `upkeep run` says when another process carries the occurrence out: it follows that one, and ends as it ends."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from ..errors import FINDINGS, HOSTS_FAILED, NOT_RUN, OK, UpkeepError
from ..store import firings, locks
from . import occurrence

if TYPE_CHECKING:
    from ..config import Config, Job
    from ..store import Run, Store
    from ..store.firings import Firing

LONGEST = 86400.0
"""Seconds that another process's run is followed."""


def exit_code(run: Run) -> int:
    """As `upkeep run` ends for a run."""
    if run.state != "finished" or run.recorded is None:
        return NOT_RUN
    if run.hosts["failed"] or run.hosts["unreachable"]:
        return HOSTS_FAILED
    return FINDINGS if any(run.counts[name] for name in ("critical", "high", "medium")) else OK


def follow(store: Store, job: Job, firing: Firing, config: Config, as_json: bool) -> int:
    """Wait for the end of what another process carries out, show it, and end with its exit code."""
    from .. import render

    due = render.when(firing.due, config.time_zone)
    how = "is carried out by another process" if firing.state in firings.OPEN else "was carried out"
    print(f"upkeep: {job.name} of {due} {how} already; this is its result. A run of its own: --again", file=sys.stderr)
    firing = occurrence.wait_for(store, firing, LONGEST)
    if firing.run is None:
        raise UpkeepError(
            f"{job.name} of {due} was not carried out",
            expected="a run of it",
            found=f"{firing.state}: {firing.why}",
            remedy="upkeep run " + job.name + " --again",
            exit_code=NOT_RUN,
        )
    run = store.run(firing.run, 0).run
    deadline = time.monotonic() + 60.0
    while run.recorded is None and run.state == "finished" and time.monotonic() < deadline:
        time.sleep(0.5)  # its tickets are being made
        run = store.run(firing.run, 0).run
    code = exit_code(run)
    if as_json:
        render.print_json({"run": run, "firing": firing, "exit_code": code})
    else:
        counts = ", ".join(f"{number} {name}" for name, number in run.counts.items() if number) or "nothing"
        print(f"Run {run.number}: {run.state}; found: {counts}. More: upkeep runs show {run.number}")
    return code


def overtaken(store: Store, job: Job, number: int, config: Config, *, if_due: bool, as_json: bool) -> int:
    """While this process waited, another one took the occurrence: say so, or follow that one, as if it came later."""
    with store.database.read() as connection:
        firing = firings.one(connection, number)
    if firing is None:
        raise locks.NotOurs(number)
    if if_due:
        return not_due(job, occurrence.Theirs(firing), config, as_json)
    return follow(store, job, firing, config, as_json)


def not_due(job: Job, due: occurrence.Theirs | occurrence.Nothing, config: Config, as_json: bool) -> int:
    """Say that there is nothing to carry out, which is well."""
    from .. import render
    from ..calendar.decide import next_moment, timetable

    if isinstance(due, occurrence.Theirs):
        how = "is" if due.firing.state in firings.OPEN else "was"
        why = f"{job.name} of {render.when(due.firing.due, config.time_zone)} {how} carried out by another process"
        if due.firing.state == firings.WAITING:
            why = f"{job.name} of {render.when(due.firing.due, config.time_zone)} waits in another process"
            why += f": {due.firing.why}" if due.firing.why else ""
        if due.firing.state in (firings.SKIPPED, firings.MISSED):
            why = f"{job.name} of {render.when(due.firing.due, config.time_zone)} is not carried out: {due.firing.why}"
    else:
        why = f"{job.name} is not due" + (f": {due.why}" if due.why else "")
        following = next_moment(timetable(config, job), time.time())
        if following is not None:
            why += f"; next: {render.when(following, config.time_zone)}"
    if as_json:
        render.print_json({"run": None, "why": why, "exit_code": OK})
    else:
        print(why)
    return OK
