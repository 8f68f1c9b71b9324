# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs there are, and when they are due; hold one back."""

from __future__ import annotations

import heapq
import itertools
import time
from datetime import datetime
from typing import TYPE_CHECKING

from .. import config as configuration
from .. import moments
from ..errors import OK, UpkeepError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from ..calendar.decide import Occurrence
    from ..config import Config, Job

EPILOG = """\
examples:
  upkeep jobs           the jobs, with their next time
  upkeep jobs next 10   the next ten times of all jobs
  upkeep jobs pause web_patch "the shop has its sale until Monday"
  upkeep jobs resume web_patch

Times are by each job's own clock; the zone stands behind them. What will be skipped is shown with why: a freeze, a
pause, a window without room.
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
    now = time.time()
    if arguments.action == "next":
        _next(config, list(itertools.islice(_merged(config, now), int(wanted))), now, arguments.json)
    else:
        _list(config, now, arguments.json)
    return OK


def _paused(config: Config) -> dict[str, str]:
    """Why jobs are paused, by name. A store is not made for the question."""
    if config.store_url is None and not (config.home / "upkeep.db").exists():
        return {}
    from ..service.decisions import paused_why
    from ..store import firings, open_store

    with open_store(config.store_url, config.home) as store, store.database.read() as connection:
        return {name: paused_why(state) for name, state in firings.paused(connection).items()}


def _times(config: Config, job: Job, now: float, paused: Mapping[str, str]) -> Iterator[Occurrence]:
    if job.schedule is not None:
        from ..calendar.decide import outlook, timetable

        yield from outlook(timetable(config, job), now, paused=paused.get(job.name, ""))


def _merged(config: Config, now: float) -> Iterator[tuple[Occurrence, Job]]:
    """All times of all jobs in order; those of one job never stand for another's (a late binding in a loop would)."""
    paused = _paused(config)

    def of(job: Job) -> Iterator[tuple[Occurrence, Job]]:
        return ((one, job) for one in _times(config, job, now, paused))

    return heapq.merge(*(of(job) for job in config.jobs.values()), key=lambda pair: (pair[0].due, pair[1].name))


def _shown(config: Config, job: Job, at: float | None) -> str:
    return "-" if at is None else moments.full(at, config.zone_of(job))


def _after(job: Job) -> str:
    return "after " + ", ".join(one.job for one in job.after) if job.after else ""


def _narrowed(job: Job) -> str:
    """What narrows its schedule; empty when nothing does."""
    rule = {
        "skip": "not on holidays",
        "next": "holidays: the next working day",
        "previous": "holidays: the working day before",
    }
    parts = [
        _after(job) if job.schedule_text else "",
        "only " + " or ".join(job.windows_text) if job.windows_text else "",
        rule.get(job.holidays, ""),
        "with approval" if job.approve else "",
    ]
    return ", ".join(filter(None, parts))


def _coming(occurrence: Occurrence, config: Config, job: Job) -> str:
    """What will become of an occurrence, in some words; empty when it just begins when it is due."""
    if occurrence.starts is None:
        return f"skipped: {occurrence.why}"
    from ..calendar.decide import JITTER

    parts = []
    if occurrence.starts - occurrence.due >= 60:
        begins = f"begins {_shown(config, job, occurrence.starts)}"
        parts.append(f"{begins}: until then {occurrence.why or JITTER}")
    if occurrence.without:
        parts.append(f"not on {', '.join(occurrence.without)}: frozen")
    return "; ".join(parts)


def _as_json(occurrence: Occurrence, config: Config, job: Job) -> dict[str, object]:
    zone = config.zone_of(job)

    def moment(at: float | None) -> datetime | None:
        return None if at is None else datetime.fromtimestamp(at, zone)

    return {
        "at": moment(occurrence.due),
        "starts": moment(occurrence.starts),
        "ends_by": moment(occurrence.ends_by),
        "without": list(occurrence.without),
        "why": occurrence.why,
    }


SKIPS = 100
"""Skipped times that are passed over to find one that is not."""


def _list(config: Config, now: float, as_json: bool) -> None:
    from .. import render

    paused = _paused(config)
    rows = []
    for job in config.jobs.values():
        ahead = list(itertools.islice(_times(config, job, now, paused), 1 if job.name in paused else SKIPS))
        rows.append((job, ahead[0] if ahead else None, next((one for one in ahead if one.starts is not None), None)))
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
                "windows": list(job.windows_text),
                "holidays": job.holidays,
                "after": [one.job for one in job.after],
                "changes": job.changes,
                "approve": job.approve,
                "paused": paused.get(job.name),
                "next": _as_json(runs, config, job)["at"] if runs else None,
                "next_due": _as_json(first, config, job) if first else None,
            }
            for job, first, runs in rows
        ]
        freezes = [vars(freeze) for freeze in config.freezes if freeze.end > now]
        render.print_json(
            {"configuration": str(config.path) if config.path else None, "jobs": document, "freezes": freezes}
        )
        return
    out = render.console()
    shown, skipped = [], []
    for job, first, runs in rows:
        coming = _shown(config, job, runs.starts) if runs else "never" if first is None and job.schedule else "-"
        if first is not None and first.starts is None:
            skipped.append(f"{job.name}: {_shown(config, job, first.due)} {_coming(first, config, job)}")
        what = "; ".join(filter(None, [(job.description or job.playbook).rstrip("."), _narrowed(job)]))
        cells = (
            job.name,
            what,
            job.schedule_text or _after(job) or "by hand",
            "paused" if job.name in paused else coming,
        )
        shown.append([render.text(cell, "bold" if place == 0 else "") for place, cell in enumerate(cells)])
    out.print(render.table(("job", "what", "schedule", "next"), shown, wide=1))
    for line in skipped:
        out.print(render.text(line, "yellow"))
    _show_freezes(out, config, now)
    where = f"From {config.path}" if config.path else "Built in; there is no upkeep.yml"
    out.print(render.text(f"{where}. Start one now: upkeep run JOB", "dim"))


def _show_freezes(out: Console, config: Config, now: float) -> None:
    from .. import render

    for freeze in sorted((one for one in config.freezes if one.end > now), key=lambda one: one.start)[:10]:
        of = "; ".join(
            filter(
                None,
                [
                    f"jobs {', '.join(freeze.jobs)}" * bool(freeze.jobs),
                    f"hosts {', '.join(freeze.hosts)}" * bool(freeze.hosts),
                ],
            )
        )
        told = f"Freeze {freeze.named()}: {freeze.lasts(config.time_zone)}, {of or 'all that changes systems'}"
        out.print(
            render.text(told + (" - in force" if freeze.holds(now) else ""), "yellow" if freeze.holds(now) else "")
        )


def _next(config: Config, times: list[tuple[Occurrence, Job]], now: float, as_json: bool) -> None:
    from .. import render

    if as_json:
        render.print_json({"times": [{**_as_json(one, config, job), "job": job.name} for one, job in times]})
        return
    out = render.console()
    if not times:
        out.print(render.text('No job has a schedule. Give one in upkeep.yml: jobs: {weekly: {schedule: "Sun 03:00"}}'))
        return
    rows = []
    for one, job in times:
        style = "dim" if one.starts is None else ""
        cells = (_shown(config, job, one.due), job.name, _coming(one, config, job))
        rows.append(
            [render.text(cell, "bold" if place == 1 and not style else style) for place, cell in enumerate(cells)]
        )
    some = any(_coming(one, config, job) for one, job in times)
    heads = ("when", "job", "but") if some else ("when", "job")
    out.print(render.table(heads, [row[: len(heads)] for row in rows], wide=2 if some else None))
    _show_freezes(out, config, now)
