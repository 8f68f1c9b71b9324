# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: opening, runs, what a person does to tickets, retention."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.scheduler import results_file
from upkeep import paths
from upkeep.errors import NOT_RUN, WRONG_USE, UpkeepError
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import Store, open_store
from upkeep.store.process import Process, is_gone, this_process

DISK = "capacity.disk.full"
DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "home") as opened:
        yield opened


def fault(store: Store, folder: Path, run: str = "r1", at: float = 1000.0, **more: Any) -> None:
    path = results_file.write(folder / "f", run, [("web1", DISK, "/", "high")], started=at, **more)
    record_file(store, path, Policy(), at + 11)


def test_a_new_store_is_for_its_owner_only_and_in_wal_mode(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    old = os.umask(0)
    try:
        with open_store(None, home) as store:
            store.begin_run("r1", "weekly", 1.0)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in home.iterdir()}
    finally:
        os.umask(old)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert modes == {"upkeep.db": 0o600, "upkeep.db-wal": 0o600, "upkeep.db-shm": 0o600}


def test_the_file_may_lie_elsewhere(tmp_path: Path) -> None:
    for url, path in (
        (f"sqlite:///{tmp_path}/there.db", tmp_path / "there.db"),
        ("sqlite:///relative to home.db", tmp_path / "relative to home.db"),
    ):
        with open_store(url, tmp_path):
            assert path.exists()


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://u:hunter2@h/d", "sqlite://", "sqlite:///:memory:", "sqlite:///a?mode=ro", "", "://"]
)
def test_wrong_urls(tmp_path: Path, url: str) -> None:
    with pytest.raises(UpkeepError) as error:
        open_store(url, tmp_path)
    assert error.value.exit_code == WRONG_USE
    assert "postgresql://" in error.value.expected
    assert "hunter2" not in "\n".join(error.value.lines())


def test_no_password_of_the_url_is_shown(tmp_path: Path) -> None:
    # A port that nobody listens at: what is shown of the URL stands in the error.
    url = "postgresql://u:hunter1@127.0.0.1:1/d?password=hunter2&sslpassword=hunter3&PASSWORD=hunter4&passfile=/p"
    for given in (url, "sqlite:///a.db?password=hunter2"):
        with pytest.raises(UpkeepError) as error:
            open_store(given, tmp_path)
        assert "hunter" not in "\n".join(error.value.lines())
    with pytest.raises(UpkeepError, match=r"127\.0\.0\.1:1/d\?passfile=") as error:
        open_store(url, tmp_path)


def test_opening_again_imports_no_alembic_and_no_orm(tmp_path: Path) -> None:
    open_store(None, tmp_path).close()
    code = (
        "import sys, pathlib; from upkeep.store import open_store\n"
        "with open_store(None, pathlib.Path(sys.argv[1])) as store: store.tickets(); store.runs()\n"
        "slow = ('alembic', 'sqlalchemy.orm', 'sqlalchemy.dialects.postgresql', 'pydantic', 'rich', 'psycopg')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_runs(store: Store) -> None:
    first = store.begin_run("aaaa-1", "weekly.yml", 1000.0, job="weekly", actor="ann", artifacts="/x", check_mode=True)
    assert (first.number, first.state, first.finished, first.check_mode) == (1, "running", None, True)
    store.begin_run("aabb-2", "monthly.yml", 2000.0)
    with pytest.raises(UpkeepError, match="in the store already"):
        store.begin_run("aaaa-1", "weekly.yml", 1000.0)
    ended = store.end_run("aaaa-1", "error", 1100.0, "no\x1b[31m inventory password=hunter2")
    assert (ended.state, ended.finished, ended.message) == ("error", 1100.0, "no inventory password=********")
    assert [run.number for run in store.runs()] == [2, 1]
    assert [run.number for run in store.runs(job="weekly")] == [1]
    assert [run.number for run in store.runs(limit=1)] == [2]
    for which in (1, "1", "#1", "aaaa-1", "aaa"):
        assert store.run(which).run.number == 1
    for which in ("aa", "x", "99", 99, "", "a%"):
        with pytest.raises(UpkeepError) as error:
            store.run(which)
        assert error.value.exit_code == WRONG_USE
    with pytest.raises(ValueError, match="ends in one of"):
        store.end_run("aabb-2", "running", 1.0)


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path: Path, store: Store) -> None:
    code = (
        "import sys, pathlib, os; from upkeep.store import open_store\n"
        "store = open_store(None, pathlib.Path(sys.argv[1])); store.begin_run('killed', 'weekly', 1000.0)\n"
        "print('begun', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "home")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == b"begun\n"
        store.begin_run("mine", "weekly", 2000.0)
        assert [run.state for run in store.runs()] == ["running", "running"]
        child.kill()
    assert [(run.id, run.state) for run in store.runs()] == [("mine", "running"), ("killed", "interrupted")]
    assert "gone" in store.run("killed").run.message


def test_a_process_that_took_the_pid_of_another_is_not_it() -> None:
    me = this_process()
    assert not is_gone(me)
    assert is_gone(Process(me.node, me.boot, me.pid, me.start - 1))
    assert is_gone(Process(me.node, "another boot", me.pid, me.start))
    assert not is_gone(Process("another machine", "another boot", 1, 1))


def test_what_a_person_does_to_a_ticket(store: Store, tmp_path: Path) -> None:
    fault(store, tmp_path)
    detail = store.acknowledge(1, "ann", "on it", 2000.0)
    assert (detail.ticket.state, detail.ticket.acknowledged, detail.ticket.acknowledged_by) == (
        "acknowledged",
        2000.0,
        "ann",
    )
    assert store.acknowledge(1, "bob", "", 2100.0).ticket.acknowledged_by == "ann"
    detail = store.comment(1, "bob", " the disk\x1b[31m is\nordered, token=abc ", 2200.0)
    assert (detail.history[-1].kind, detail.history[-1].actor) == ("comment", "bob")
    assert detail.history[-1].text == "the disk is\nordered, token=********"
    detail = store.resolve(1, "bob", "new disk", 2300.0)
    assert (detail.ticket.state, detail.ticket.resolved, detail.ticket.resolved_by) == ("resolved", 2300.0, "bob")
    assert [line.kind for line in detail.history] == ["opened", "added", "acknowledged", "comment", "resolved"]
    # Its entries stand until a run confirms it.
    assert detail.entries[0].cleared is None
    for call in (store.acknowledge, store.resolve):
        with pytest.raises(UpkeepError, match="resolved already") as error:
            call(1, "ann", "", 2400.0)
        assert error.value.exit_code == WRONG_USE
    for number, text in ((1, " \n"), (9, "text")):
        with pytest.raises(UpkeepError) as error:
            store.comment(number, "ann", text, 2400.0)
        assert error.value.exit_code == WRONG_USE


def test_lists_of_tickets(store: Store, tmp_path: Path) -> None:
    rows = [
        ("web1", DISK, "/", "low"),
        ("web2", "patch.security.pending", "x", "critical"),
        ("db1", "backup.age.stale", "y", "high"),
    ]
    record_file(store, results_file.write(tmp_path / "f", "r1", rows), Policy(), 1011.0)
    assert [ticket.priority for ticket in store.tickets()] == ["P1", "P2", "P3"]
    store.acknowledge(1, "ann", "", 2000.0)
    store.resolve(2, "ann", "", 2000.0)
    assert [ticket.number for ticket in store.tickets()] == [1, 3]
    assert [ticket.number for ticket in store.tickets(None)] == [1, 2, 3]
    assert [ticket.number for ticket in store.tickets("acknowledged")] == [1]
    assert [ticket.number for ticket in store.tickets(None, priority="P2")] == [2]
    assert [ticket.number for ticket in store.tickets(host="web1")] == [3]
    assert [ticket.number for ticket in store.tickets(check="patch.security.pending")] == [1]
    assert [ticket.number for ticket in store.tickets(None, limit=1)] == [1]
    with pytest.raises(UpkeepError, match="no ticket state closed"):
        store.tickets("closed")


def test_retention_keeps_what_open_tickets_show(store: Store, tmp_path: Path) -> None:
    # An old run whose finding an open ticket still shows, one that nothing shows, one that is young.
    rows = [("web1", DISK, "/", "high"), ("web1", DISK, "/gone", "high")]
    record_file(store, results_file.write(tmp_path / "f", "r1", rows, started=1 * DAY), Policy(), 1 * DAY + 11)
    path = results_file.write(tmp_path / "f", "r2", rows[1:], started=2 * DAY)
    record_file(store, path, Policy(), 2 * DAY + 11)
    path = results_file.write(tmp_path / "f", "r3", coverage=[("web1", DISK, "/gone")], started=100 * DAY)
    record_file(store, path, Policy(), 100 * DAY + 11)
    before = store.ticket(1)
    pruned = store.prune(110 * DAY, 30)
    assert (pruned.runs, pruned.findings, pruned.tickets) == (0, 1, 0)
    assert store.ticket(1) == before
    store.resolve(1, "ann", "", 101 * DAY)
    pruned = store.prune(200 * DAY, 30)
    assert (pruned.runs, pruned.findings, pruned.tickets) == (3, 2, 1)
    assert (store.tickets(None), store.runs()) == ([], [])
    # A number is never used twice.
    fault(store, tmp_path, "r4", 200 * DAY)
    assert [ticket.number for ticket in store.tickets()] == [2]
    assert store.runs()[0].number == 4


def test_only_what_the_store_has_of_a_run_goes_with_its_folder(store: Store, tmp_path: Path) -> None:
    home = tmp_path / "home"

    def folder(run: str, at: float, results: bool = True) -> None:
        made = paths.make_run_folder(home, run)
        if results:
            (made / paths.RESULTS).touch()
        os.utime(made, (at, at))

    for run, at in (("recorded", 1 * DAY), ("young", 99 * DAY)):
        fault(store, tmp_path, run, at)
        folder(run, at)
    store.begin_run("never", "weekly", 1 * DAY)  # its store failed when it ended: its results are nowhere else
    store.end_run("never", "finished", 1 * DAY + 10)
    folder("never", 1 * DAY)
    folder("unknown", 1 * DAY)
    folder("empty", 1 * DAY, results=False)
    folder("starting", 99 * DAY, results=False)
    (paths.runs_folder(home) / "link").symlink_to(tmp_path)
    for _ in range(2):  # the second time, the store has forgotten them
        before = 70 * DAY
        paths.prune_run_folders(home, before, store.run_ids(recorded_before=before), store.run_ids())
        left = sorted(path.name for path in paths.runs_folder(home).iterdir())
        assert left == ["link", "never", "starting", "unknown", "young"]
        store.prune(100 * DAY, 30)
    assert "never" not in store.run_ids()


def test_the_database_itself_refuses_a_second_open_ticket_of_one_cause(store: Store, tmp_path: Path) -> None:
    fault(store, tmp_path)
    db = sqlite3.connect(tmp_path / "home" / "upkeep.db")
    columns = "cause,title,state,priority,rank,opened,updated,acknowledged_by,resolved_by,reopened,entries,hosts,clocks"
    copy = f"INSERT INTO tickets (number,key,{columns}) SELECT 7,'k',{columns} FROM tickets"
    with pytest.raises(sqlite3.IntegrityError, match="cause"):
        db.execute(copy)
    db.close()


def test_check_writable_is_content_with_a_good_store(store: Store) -> None:
    store.check_writable()


def test_an_unwritable_home_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UpkeepError) as error:
        open_store(None, tmp_path / "file" / "home")
    assert error.value.exit_code == NOT_RUN
    assert "UPKEEP_HOME" in error.value.remedy
