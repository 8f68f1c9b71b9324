# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holding a job back, and letting it come again: `upkeep jobs pause`, `upkeep jobs resume`.

What is due while a job is paused is not made up for. `upkeep run JOB` works all the same: a person wants it.
"""

from __future__ import annotations

import difflib
import time
from typing import TYPE_CHECKING

from . import config as configuration
from .errors import OK, UpkeepError
from .service.decisions import schedule_id
from .store import audit, firings

if TYPE_CHECKING:
    import argparse

    from .config import Config, Job


def execute(arguments: argparse.Namespace) -> int:
    """Pause or resume the job of the arguments."""
    from . import render
    from .commands.run import actor
    from .store import open_store

    config = configuration.load(arguments.config)
    job = _job(config, arguments)
    who, why, now = actor(), arguments.why or "", time.time()
    with open_store(config.store_url, config.home) as store, store.database.write() as connection:
        if arguments.action == "pause":
            changed = firings.pause(connection, job.name, schedule_id(config, job), who, why, now)
        else:
            changed = firings.resume(connection, job.name)
        if changed:
            what = "job.paused" if arguments.action == "pause" else "job.resumed"
            audit.write(connection, who, what, f"job {job.name}", {"why": why} if why else {}, now)
        state = firings.job_state(connection, job.name)
    if arguments.json:
        render.print_json({"job": job.name, "changed": changed, "paused": bool(state and state.paused is not None)})
        return OK
    if arguments.action == "resume":
        print(f"The job {job.name} comes again when it is due." if changed else f"The job {job.name} was not paused.")
        return OK
    assert state is not None and state.paused is not None  # it is paused now, or was before
    since = render.when(state.paused, config.time_zone)
    reason = f": {state.paused_why}" if state.paused_why else ""
    already = "" if changed else " already"
    print(f"The job {job.name} is paused{already}, since {since} by {state.paused_by}{reason}.")
    if not changed and why not in ("", state.paused_why):
        print("Your reason is not kept: resume it first to give another one.")
    print(f"What is under way goes on. Let it come again: upkeep jobs resume {job.name}")
    return OK


def _job(config: Config, arguments: argparse.Namespace) -> Job:
    name = arguments.count
    if name in config.jobs:
        return config.jobs[name]
    near = difflib.get_close_matches(name or "", config.jobs, 1)
    raise UpkeepError(
        f"there is no job {name!r}" if name else f"upkeep jobs {arguments.action} needs a job",
        expected=f"one of {', '.join(sorted(config.jobs))}",
        found=name or "none",
        remedy=f"did you mean {near[0]}?" if near else "upkeep jobs   (shows the jobs that there are)",
    )
