# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Freezes: between two moments nothing that changes systems begins, for some or all jobs and hosts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


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
