# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Freezes: between two moments nothing that changes systems begins, for some or all jobs and hosts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Freeze:
    """A time in which systems are left as they are. Seconds since the epoch, the end exclusive."""

    name: str
    start: float
    end: float
    jobs: tuple[str, ...] = ()
    """Names or patterns (``web_*``) of the jobs that it stops; none: all that change systems."""
    hosts: tuple[str, ...] = ()
    """Groups, hosts or patterns as Ansible has them that are left out of the runs; none: whole jobs are stopped."""
    why: str = ""

    def concerns(self, job: str) -> bool:
        """Whether it is about a job of this name."""
        return not self.jobs or any(fnmatchcase(job, pattern) for pattern in self.jobs)

    def holds(self, at: float) -> bool:
        """Whether it is in force at a moment."""
        return self.start <= at < self.end

    def named(self) -> str:
        """For people: its name, and why."""
        return f"{self.name} ({self.why})" if self.why else self.name

    def until(self, zone: ZoneInfo) -> str:
        """Its end for people: a day that is its last one is not shown as the midnight after it."""
        end = datetime.fromtimestamp(self.end, zone)
        if (end.hour, end.minute) == (0, 0):
            return f"the end of {end - timedelta(minutes=1):%a %Y-%m-%d}"
        return f"{end:%a %Y-%m-%d %H:%M}"

    def lasts(self, zone: ZoneInfo) -> str:
        """From when to when, for people."""
        start = datetime.fromtimestamp(self.start, zone)
        day = (start.hour, start.minute) == (0, 0)
        return f"{start:%a %Y-%m-%d}{'' if day else f' {start:%H:%M}'} to {self.until(zone)}"
