# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""APScheduler's timers, made proof against a clock that is set.

APScheduler sleeps until a moment of the wall clock. Set back by an hour, its next moment lies an hour ahead; set
forward, it sleeps on (seen: fired 3,600 s late). So it sleeps for a few seconds at most, and when the wall clock has
moved against the one that never jumps, every timer is due at once: what is really due, the calendar says.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_SLEEP = 5.0
"""Seconds between two looks at the clock."""
JUMP = 2.0
"""Seconds by which the wall clock may drift against the steady one between two looks before it counts as set."""


class Timers(BackgroundScheduler):  # type: ignore[misc]  # APScheduler ships no types
    """Timers in memory, and nothing else: what is to be done is in the store. Each in a thread of its own."""

    def __init__(
        self,
        jumped: Callable[[float], object],
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jumped, self._wall, self._steady = jumped, wall, steady
        self._offset = wall() - steady()
        # One at a time of each kind; late ones count, and several late ones are one.
        rules = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
        super().__init__(timezone=UTC, daemon=True, job_defaults=rules)

    def every(self, name: str, seconds: float, what: Callable[[], object], delay: float = 0.0) -> None:
        """Call something now (or after a delay), and then every so many seconds."""
        self.add_executor(ThreadPoolExecutor(1), alias=name)
        first = datetime.fromtimestamp(self._wall() + delay, UTC)
        self.add_job(what, "interval", seconds=seconds, id=name, executor=name, next_run_time=first)

    def sooner(self, name: str, at: float) -> None:
        """Let a timer fire at a moment (seconds since the epoch) if its own next one is later."""
        try:
            # Never in the past: APScheduler counts through all the times from there to now.
            moment = datetime.fromtimestamp(max(at, self._wall()), UTC)
        except (OverflowError, ValueError, OSError):
            return  # beyond the year 9999: its own moment is sooner
        job = self.get_job(name)
        if job is not None and job.next_run_time is not None and job.next_run_time > moment:
            self.modify_job(name, next_run_time=moment)

    def _process_jobs(self) -> Any:
        offset = self._wall() - self._steady()
        if abs(offset - self._offset) > JUMP:
            moved = offset - self._offset
            now = datetime.fromtimestamp(self._wall(), UTC)
            for job in self.get_jobs():
                self.modify_job(job.id, next_run_time=now)
            self._jumped(moved)
        self._offset = offset
        wait = super()._process_jobs()
        return LONGEST_SLEEP if wait is None else max(0.0, min(wait, LONGEST_SLEEP))
