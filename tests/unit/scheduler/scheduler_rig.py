# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scheduler with an injected clock, over a real store; processes that are started are written down instead."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import update

from upkeep.config import Config, Job
from upkeep.schedule import parse
from upkeep.service.engine import Engine
from upkeep.service.launch import Ended
from upkeep.store import Run, Store, firings, locks, open_store, schema

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC).timestamp()
"""A Monday."""
HERE = os.uname().nodename
MINUTE = 60.0
HOUR = 3600.0


def job(name: str, schedule: str = "0 * * * *", **values: Any) -> Job:
    """A job, every full hour unless it is said otherwise."""
    timing: dict[str, Any] = {"schedule": parse(schedule), "schedule_text": schedule} if schedule else {}
    return Job(name, f"{name}.yml", **{"changes": False, "locks": (), **timing, **values})


class Launches:
    """What was started; a test ends it."""

    def __init__(self) -> None:
        self.started: list[tuple[int, str]] = []
        self.alive: set[int] = set()
        self.over: list[Ended] = []
        self.fails: Exception | None = None

    def start(self, firing: int, job: str) -> None:
        if self.fails is not None:
            raise self.fails
        self.started.append((firing, job))
        self.alive.add(firing)

    def at_work(self) -> set[int]:
        return set(self.alive)

    def ended(self) -> list[Ended]:
        over, self.over = self.over, []
        return over

    def end(self, firing: int, code: int = 0, said: str = "") -> None:
        self.alive.discard(firing)
        self.over.append(Ended(firing, code, said))


class Scheduler:
    """One engine; several of them may share a home, as several nodes share a store."""

    def __init__(
        self, home: Path, *jobs: Job, now: float = NOON, node: str = os.uname().nodename, **settings: Any
    ) -> None:
        config = Config(None, home, time_zone=ZoneInfo("UTC"), jobs={one.name: one for one in jobs})
        self.config = replace(config, scheduler=replace(config.scheduler, **settings))
        self.store: Store = open_store(None, home)
        self.launches = Launches()
        self.engine = Engine(self.store, self.config, node, self.launches)
        self.now = now
        self.steady = 1000.0
        self.look()

    def look(self, later: float = 0.0) -> list[str]:
        """Let some seconds pass, look, and tell the jobs that were started."""
        self.now += later
        self.steady += later
        before = len(self.launches.started)
        self.next = self.engine.look(self.now, self.steady)
        return [name for _firing, name in self.launches.started[before:]]

    def begin(self, firing: int, **values: Any) -> Run:
        """What the process of a firing does at its beginning."""
        with self.store.database.read() as connection:
            found = firings.one(connection, firing)
        assert found is not None
        wanted = [locks.of_job(found.job)]
        return self.store.begin_run(
            str(uuid.uuid4()), "p.yml", self.now, job=found.job, firing=firing, wanted=wanted, **values
        )

    def finish(self, firing: int, state: str = "finished") -> None:
        """And at its end."""
        run = self.firing(firing).run
        assert run is not None
        self.store.end_run(run, state, self.now)
        self.change_run(run, recorded=self.now)
        self.launches.end(firing)

    def run_through(self, firing: int) -> None:
        self.begin(firing)
        self.finish(firing)

    def change_run(self, run: str, **values: Any) -> None:
        with self.store.database.write() as connection:
            connection.execute(update(schema.runs).where(schema.runs.c.id == run).values(**values))

    def firing(self, number: int) -> firings.Firing:
        with self.store.database.read() as connection:
            found = firings.one(connection, number)
        assert found is not None
        return found

    def firings(self, name: str) -> list[firings.Firing]:
        """Oldest first."""
        with self.store.database.read() as connection:
            return firings.newest(connection, name, 1000)[::-1]

    def states(self, name: str) -> list[str]:
        return [one.state for one in self.firings(name)]

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
