# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each host stands with each job: kept at recording, so that asking is cheap."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.unit.scheduler import results_file
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import facade, open_store, schema


def table(store: facade.Store) -> dict[tuple[str, bool, str], tuple[str, float, float | None]]:
    columns = schema.job_hosts.c
    with store.database.read() as connection:
        rows = connection.execute(
            select(columns.job, columns.check_mode, columns.host, columns.state, columns.seen, columns.succeeded)
        )
        return {(row[0], row[1], row[2]): (row[3], row[4], row[5]) for row in rows}


def record(
    store: facade.Store, tmp_path: Path, run: str, job: str | None = "weekly", now: float = 9e6, **about: object
) -> None:
    path = results_file.write(tmp_path / run, run, **about)  # type: ignore[arg-type]
    record_file(store, path, Policy(), now, job)


def test_a_failure_keeps_the_last_success(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        record(store, tmp_path, "r1", started=1000, hosts={"a": "ok", "b": "unreachable"})
        record(store, tmp_path, "r2", started=2000, hosts={"a": "failed", "b": "ok"})
        assert table(store) == {
            ("weekly", False, "a"): ("failed", 2000, 1010),
            ("weekly", False, "b"): ("ok", 2000, 2010),
        }


def test_a_run_recorded_late_does_not_unsay_a_newer_one(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        record(store, tmp_path, "r2", started=2000, hosts={"a": "failed", "b": "ok"})
        record(store, tmp_path, "r1", started=1000, hosts={"a": "ok", "b": "ok"})
        assert table(store) == {
            ("weekly", False, "a"): ("failed", 2000, 1010),
            ("weekly", False, "b"): ("ok", 2000, 2010),
        }


@pytest.mark.parametrize("end", [None, "interrupted", "timed_out", "error"])
def test_a_run_that_did_not_come_to_its_end_is_no_success(tmp_path: Path, end: str | None) -> None:
    with open_store(None, tmp_path) as store:
        record(store, tmp_path, "r1", started=1000, hosts={"a": "ok"})
        record(store, tmp_path, "r2", started=2000, hosts={"a": "ok"}, end=end)
        assert table(store)["weekly", False, "a"][2] == 1010


def test_check_mode_and_plain_playbooks_stand_apart(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        record(store, tmp_path, "r1", started=1000, hosts={"a": "ok"}, check_mode=True)
        record(store, tmp_path, "r2", job=None, started=2000, hosts={"a": "ok"})
        assert table(store) == {("weekly", True, "a"): ("ok", 1000, 1010), ("", False, "a"): ("ok", 2000, 2010)}


def test_a_wrong_clock_is_not_believed(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        record(store, tmp_path, "r1", started=5000, now=3000, hosts={"a": "ok"})
        assert table(store)["weekly", False, "a"] == ("ok", 3000, 3000)


def test_retention_forgets_hosts_that_are_gone(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        record(store, tmp_path, "r1", started=1000, hosts={"gone": "ok", "a": "ok"})
        record(store, tmp_path, "r2", started=8e6, hosts={"a": "failed"})
        store.prune(8e6 + 30 * 86400, 60)
        assert table(store) == {("weekly", False, "a"): ("failed", 8e6, 1010)}


def test_the_migration_fills_it_from_the_runs_that_are_there(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        record(store, tmp_path, "r1", started=1000, hosts={"a": "ok", "b": "unreachable"})
        record(store, tmp_path, "r2", started=2000, hosts={"a": "failed", "b": "ok"})
        record(store, tmp_path, "r3", started=3000, hosts={"a": "ok", "b": "ok"}, end="interrupted")
        record(store, tmp_path, "r4", job=None, started=4000, hosts={"c": "ok"}, check_mode=True)
        kept = table(store)
    import importlib.util

    from upkeep.store import open as opening

    file = opening.MIGRATIONS / "versions" / "0002_scheduler.py"
    spec = importlib.util.spec_from_file_location("second", file)
    assert spec is not None and spec.loader is not None
    second = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(second)
    db = sqlite3.connect(tmp_path / "upkeep.db")
    db.execute("DELETE FROM job_hosts")
    db.execute(second._JOB_HOSTS)
    db.commit()
    db.close()
    with open_store(None, tmp_path) as store:
        assert table(store) == kept
