# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes beside each other: first starts, recorders, and kills at any instant."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.scheduler import results_file
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import open_store

DISK = "capacity.disk.full"

OPEN = """
import pathlib, sys, time
from upkeep.store import open_store
import alembic.command  # so that all of them arrive at the same time
until = float(sys.argv[2])
time.sleep(max(0, until - time.time()))
with open_store(None, pathlib.Path(sys.argv[1])) as store:
    store.begin_run(sys.argv[3], "weekly", 1000.0)
"""

RECORD = """
import pathlib, sys
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import open_store
with open_store(None, pathlib.Path(sys.argv[1])) as store:
    print("ready", flush=True)
    for path in sys.argv[2:]:
        record_file(store, pathlib.Path(path), Policy(), 5000.0)
"""


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def succeed(children: list[subprocess.Popen[str]]) -> None:
    for child in children:
        _, errors = child.communicate(timeout=100)
        assert child.returncode == 0, errors


@pytest.mark.parametrize("turn", range(3))
def test_first_starts_at_once(tmp_path: Path, turn: int) -> None:
    start = time.time() + 1.5
    succeed([python(OPEN, tmp_path, start, f"r{number}") for number in range(4)])
    with open_store(None, tmp_path) as store:
        assert sorted(run.number for run in store.runs()) == [1, 2, 3, 4]


def test_recorders_at_once_open_one_ticket_a_cause(tmp_path: Path) -> None:
    home = tmp_path / "home"
    open_store(None, home).close()
    files = []
    for number in range(24):
        rows = [(f"web{number}", DISK, f"/{n}", "high") for n in range(40)] + [("db1", "backup.age.stale", "x", "low")]
        files.append(results_file.write(tmp_path / f"r{number}", f"r{number}", rows, started=1000 + number))
    # Each file is recorded by two of them.
    succeed([python(RECORD, home, *files[offset::2]) for offset in (0, 1, 0, 1)])
    with open_store(None, home) as store:
        assert len(store.runs(limit=100)) == 24
        tickets = {ticket.cause: ticket for ticket in store.tickets(None)}
        assert {cause: ticket.entries for cause, ticket in tickets.items()} == {DISK: 960, "backup.age.stale": 1}
        history = store.ticket(tickets[DISK].number).history
        assert [line.kind for line in history].count("opened") == 1
        assert [line.kind for line in history].count("added") == 24
        store.check_writable()


def test_killed_at_any_instant_nothing_is_half_recorded(tmp_path: Path) -> None:
    chance = random.Random(20261122)
    home = tmp_path / "home"
    reference = tmp_path / "reference"
    rows = [(f"web{n % 40}", DISK, f"/{n}", "high") for n in range(2500)]
    covered = [(f"web{n}", DISK, "*") for n in range(40)]
    files = [
        results_file.write(tmp_path / "r0", "r0", rows, coverage=covered, started=1000),
        results_file.write(tmp_path / "r1", "r1", rows[::2], coverage=covered, started=2000),
        results_file.write(tmp_path / "r2", "r2", [], coverage=covered, started=3000),
        results_file.write(tmp_path / "r3", "r3", rows[::3], coverage=covered, started=4000),
    ]
    with open_store(None, reference) as store:
        states = [_state(store.database.place.path)]
        begun = time.monotonic()
        for path in files:
            record_file(store, path, Policy(), 5000.0)
            states.append(_state(store.database.place.path))
        whole = time.monotonic() - begun
    open_store(None, home).close()
    seen, interrupted = set(), 0
    for _ in range(15):
        child = python(RECORD, home, *files)
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0, whole))
            child.kill()
        # What is there is what an undisturbed process leaves after a whole number of files.
        state = _state(home / "upkeep.db")
        assert state in states, "half a file was recorded"
        seen.add(states.index(state))
        interrupted += child.returncode == -9
        if states.index(state) == len(files):
            for leftover in home.iterdir():
                leftover.unlink()
            open_store(None, home).close()
    assert interrupted > 5, "most were killed while they recorded"
    assert len(seen) > 2, "the kills fell on different files"
    # And recording goes on where it was.
    succeed([python(RECORD, home, *files)])
    assert _state(home / "upkeep.db") == states[-1]
    with open_store(None, home) as store:
        store.check_writable()


def _state(path: Path | None) -> list[object]:
    """All rows of all tables, as another program reads them; without ids that only count."""
    assert path is not None
    db = sqlite3.connect(path)
    try:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        rows: list[object] = []
        for table in tables:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != "id" or table == "runs"]
            rows.append([table, sorted(db.execute(f"SELECT {', '.join(columns)} FROM {table}"), key=repr)])
        return rows
    finally:
        db.close()
