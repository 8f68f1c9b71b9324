# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedulers as processes over one store, what can be done to them, and what must hold afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from upkeep.store import Store, firings, open_store, schema

HERE = Path(__file__).parent
PLAYBOOK = """
- hosts: all
  gather_facts: false
  serial: 1
  tasks:
    - ansible.builtin.raw: sleep {{ nap | default(0.2) }}
"""
INVENTORY = "all: {hosts: {h1: {ansible_connection: local}, h2: {ansible_connection: local}}}\n"


class Schedulers:
    """A home, its configuration, and the schedulers at work in it."""

    def __init__(self, home: Path, jobs: str, *, store_url: str = "", more: str = "") -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        (home / "play.yml").write_text(PLAYBOOK)
        (home / "hosts.yml").write_text(INVENTORY)
        store = "store: {url: {env: TEST_STORE_URL}}\n" if store_url else ""
        (home / "upkeep.yml").write_text(f"inventory: hosts.yml\ntime_zone: UTC\n{store}{more}jobs:\n{jobs}")
        self.url = store_url
        self.environment = {**os.environ, "UPKEEP_HOME": str(home), "TEST_STORE_URL": store_url}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, seconds: float = 0.0, **environment: str) -> subprocess.Popen[bytes]:
        """One more; with jobs due every so many seconds, or (0) by their own schedules."""
        words = [str(HERE / "fast_scheduler.py"), str(seconds)] if seconds else ["-m", "upkeep", "scheduler"]
        with (self.home / f"log{len(self.processes)}").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=self.home,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.home.glob("log*")))

    def call(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """The command `upkeep` beside them."""
        command = [sys.executable, "-m", "upkeep", *words]
        return subprocess.run(
            command,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            process.wait(30)

    def __enter__(self) -> Schedulers:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            for process in self.processes:
                process.kill()

    # --- what the store says ------------------------------------------------------------------------------------------

    def store(self) -> Store:
        return open_store(self.url or None, self.home)

    def firings(self) -> list[firings.Firing]:
        with self.store() as store, store.database.read() as connection:
            return firings.newest(connection, None, 10_000)

    def runs(self) -> list[tuple[str, str | None, str, int]]:
        """Of each run: id, job, state, pid."""
        with self.store() as store, store.database.read() as connection:
            columns = (schema.runs.c.id, schema.runs.c.job, schema.runs.c.state, schema.runs.c.pid)
            return [tuple(row) for row in connection.execute(select(*columns))]  # type: ignore[misc]

    def leader(self) -> int | None:
        """The process that says it leads."""
        with self.store() as store, store.database.read() as connection:
            nodes = schema.nodes.c
            query = select(nodes.pid).where(nodes.leads.is_(True)).order_by(nodes.seen.desc())
            found = [row.pid for row in connection.execute(query)]
        # The row of one that was killed still says that it leads.
        alive = {process.pid for process in self.processes if process.poll() is None}
        return next((pid for pid in found if pid in alive), None)

    def until(self, what: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for something, or fail with what the schedulers said."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, f"not within {seconds} s; the schedulers said:\n{self.logs()[-6000:]}"
            time.sleep(0.2)

    def settled(self) -> bool:
        return all(one.state not in firings.OPEN for one in self.firings())

    def settle(self, every: float) -> None:
        """End all schedulers; let one more carry out what is owed until now, and nothing else."""
        self.stop()
        self.start(every, TEST_UNTIL=str(time.time()))
        self.until(lambda: self.leader() is not None)
        time.sleep(3.0)  # its first look
        self.until(self.settled, 180)

    def check_once(self, every: float) -> int:
        """Each occurrence has one row, and one run at the most; none is missing. How many there were."""
        found = self.firings()
        assert found, self.logs()
        of_runs = [one.run for one in found if one.run is not None]
        assert max(Counter(of_runs).values()) == 1, "two occurrences of one run"
        by_job: dict[str, list[float]] = {}
        for one in found:
            by_job.setdefault(one.job, []).append(one.due)
        for job, dues in by_job.items():
            expected = [min(dues) + every * number for number in range(round((max(dues) - min(dues)) / every) + 1)]
            assert sorted(dues) == expected, f"{job}: {sorted(dues)}\n{self.logs()}"
        # Every run of a job belongs to an occurrence, and none was run twice. (The self-review makes runs of its own.)
        runs = [number for number, job, _state, _pid in self.runs() if job in by_job]
        assert len(runs) == len(of_runs), f"{len(runs)} runs for {len(of_runs)} occurrences\n{self.logs()}"
        return len(found)
