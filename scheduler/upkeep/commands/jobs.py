# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs there are, and when they are due; hold one back."""

from __future__ import annotations

import heapq
import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .. import config as configuration
from ..errors import OK, UpkeepError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..config import Config, Job

EPILOG = """\
examples:
  upkeep jobs           the jobs, with their next time
  upkeep jobs next 10   the next ten times of all jobs
  upkeep jobs pause web_patch "the shop has its sale until Monday"
  upkeep jobs resume web_patch

Times are by each job's own clock; the zone stands behind them.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    actions = ("list", "next", "pause", "resume")
    parser.add_argument(
        "action", nargs="?", choices=actions, default="list", help="list (default), next, pause, resume"
    )
    parser.add_argument("count", nargs="?", metavar="N|JOB", help="of next: how many (default 10); else: which job")
    parser.add_argument("why", nargs="?", metavar="WHY", help="of pause: why, for those who will wonder")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """List the jobs, or their next times; pause or resume one."""
    if arguments.action in ("pause", "resume"):
        from .. import pausing

        return pausing.execute(arguments)
    wanted = arguments.count or "10"
    if (arguments.action == "list" and arguments.count) or not wanted.isdigit() or not 1 <= int(wanted) <= 1000:
        raise UpkeepError(
            "the command is not understood",
            expected="upkeep jobs, or upkeep jobs next N with N from 1 to 1000",
            found=f"upkeep jobs {arguments.action} {wanted}",
            remedy="upkeep jobs --help",
        )
    config = configuration.load(arguments.config)
    now = datetime.now(UTC)
    if arguments.action == "next":
        _next(list(itertools.islice(_merged(config, now), int(wanted))), arguments.json)
    else:
        _list(config, now, arguments.json)
    return OK


def _times(config: Config, job: Job, now: datetime) -> Iterator[datetime]:
    if job.schedule is not None:
        from ..schedule import next_times

        yield from next_times(job.schedule, now, config.zone_of(job))


def _merged(config: Config, now: datetime) -> Iterator[tuple[datetime, Job]]:
    """All times of all jobs in order; those of one job never stand for another's (a late binding in a loop would)."""

    def of(job: Job) -> Iterator[tuple[datetime, Job]]:
        return ((at, job) for at in _times(config, job, now))

    return heapq.merge(*(of(job) for job in config.jobs.values()), key=lambda pair: (pair[0], pair[1].name))


def _shown(at: datetime | None) -> str:
    return "-" if at is None else at.strftime("%a %Y-%m-%d %H:%M %Z")


def _list(config: Config, now: datetime, as_json: bool) -> None:
    from .. import render

    rows = [(job, next(_times(config, job, now), None)) for job in config.jobs.values()]
    if as_json:
        document = [
            {
                "name": job.name,
                "description": job.description,
                "playbook": job.playbook,
                "inventory": config.inventory_of(job),
                "limit": job.limit,
                "check": job.check,
                "time_limit": job.time_limit,
                "schedule": job.schedule_text or None,
                "time_zone": config.zone_of(job).key,
                "next": at,
            }
            for job, at in rows
        ]
        render.print_json({"configuration": str(config.path) if config.path else None, "jobs": document})
        return
    out = render.console()
    shown = [
        (
            render.text(job.name, "bold"),
            render.text(job.description or job.playbook),
            render.text(job.schedule_text or "by hand"),
            render.text(_shown(at) if at or job.schedule is None else "never"),
        )
        for job, at in rows
    ]
    out.print(render.table(("job", "what", "schedule", "next"), shown, wide=1))
    where = f"From {config.path}" if config.path else "Built in; there is no upkeep.yml"
    out.print(render.text(f"{where}. Start one now: upkeep run JOB", "dim"))


def _next(times: list[tuple[datetime, Job]], as_json: bool) -> None:
    from .. import render

    if as_json:
        render.print_json({"times": [{"at": at, "job": job.name} for at, job in times]})
        return
    out = render.console()
    if not times:
        out.print(render.text('No job has a schedule. Give one in upkeep.yml: jobs: {weekly: {schedule: "Sun 03:00"}}'))
        return
    out.print(
        render.table(("when", "job"), [(render.text(_shown(at)), render.text(job.name, "bold")) for at, job in times])
    )
