# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How late jobs are started: 10,000 of them, ten due each second; and 500 of them due at the same moment.

The service is the real one, with its timers, its store on disk and a claim for each occurrence. Only the processes are
not started: their starts are written down, since this machine could not bear ten playbooks a second.
"""

from __future__ import annotations

import math
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path
from zoneinfo import ZoneInfo

from upkeep.config import Config, Job
from upkeep.service import loop
from upkeep.service.launch import Ended
from upkeep.store import firings, open_store

from .measure import Row, arguments, show

JOBS = 10_000
SPREAD = 1000.0
"""Seconds over which all jobs come once."""
BURST = 500


@dataclass(frozen=True)
class Every:
    """Each ``seconds``, moved by ``offset``."""

    seconds: float
    offset: float

    def instants(self, after: datetime, _zone: ZoneInfo) -> Iterator[datetime]:
        first = math.floor((after.timestamp() - self.offset) / self.seconds) + 1
        for number in islice(count(first), 1000):
            yield datetime.fromtimestamp(number * self.seconds + self.offset, UTC)


class Starts:
    """Instead of processes."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    def start(self, firing: int, _job: str) -> None:
        self.at[firing] = time.time()

    def at_work(self) -> set[int]:
        return set(self.at)

    def ended(self) -> list[Ended]:
        return []


def _job(number: int, burst: float) -> Job:
    schedule = Every(1e6, burst % 1e6) if number < BURST else Every(SPREAD, number % SPREAD + number / JOBS)
    return Job(f"j{number}", "p.yml", changes=False, locks=(), schedule=schedule, schedule_text="bench")


def _measure(home: Path, seconds: float) -> tuple[list[float], list[float], float]:
    """The lags of the steady ones and of the burst, and the seconds of the first look."""
    burst = math.floor(time.time()) + 25.0 + seconds
    config = Config(
        None, home, time_zone=ZoneInfo("UTC"), jobs={job.name: job for job in (_job(n, burst) for n in range(JOBS))}
    )
    config = replace(config, scheduler=replace(config.scheduler, max_runs=10 * JOBS))
    service = loop.Service(config, open_store(None, home))
    starts = Starts()
    service._engine._launcher = starts
    begin = time.perf_counter()
    service._engine.look(time.time(), time.monotonic())
    first_look = time.perf_counter() - begin
    service._timers.start()
    service._timers.every("beat", loop.BEAT, service._guarded("the signs of life", service.beat))
    service._timers.every("tick", loop.TICK, service._guarded("the schedule", service.tick))
    threading.Event().wait(burst - time.time() + 10.0)
    service._timers.shutdown(wait=True)
    with service.store.database.read() as connection:
        found = firings.newest(connection, None, 100_000)
    service.store.close()
    lags = {one.id: (one.due, starts.at[one.id] - one.due) for one in found if one.id in starts.at}
    steady = [lag for due, lag in lags.values() if begin_of(burst, seconds) <= due < burst]
    return steady, [lag for due, lag in lags.values() if due == burst], first_look


def begin_of(burst: float, seconds: float) -> float:
    """From when on the steady ones count: not those of the first seconds, when all is new."""
    return burst - seconds


def main() -> None:
    args = arguments(__doc__, 20)
    with tempfile.TemporaryDirectory() as home:
        steady, burst, first_look = _measure(Path(home), float(args.runs))
    if len(burst) != BURST or len(steady) < 5 * args.runs:
        sys.exit(f"{len(steady)} of the steady ones were started, and {len(burst)} of the {BURST}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [
        Row("median lag, ten a second", statistics.median(steady), 0.5, f"seconds; {len(steady)} occurrences"),
        Row("largest lag, ten a second", max(steady), 2.0, "seconds"),
        Row(f"largest lag of {BURST} at once", max(burst), 5.0, f"seconds; median {statistics.median(burst):.2f}"),
        Row("first look at 10,000 jobs", first_look, None, "seconds: what a takeover costs"),
        Row("peak memory", peak, None, "MB"),
    ]
    show("firing lag with 10,000 jobs", rows, args.json)


if __name__ == "__main__":
    main()
