# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store on PostgreSQL: a real server, made for these tests in a temporary folder, on a private socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.scheduler import results_file
from upkeep.errors import NOT_RUN, UpkeepError
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import errors, open_store, schema

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

DISK = "capacity.disk.full"


def _program(name: str) -> str:
    """A program of the newest server that is installed; Debian keeps them off the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    for folder in [*folders[::-1], *map(Path, os.environ.get("PATH", "").split(":"))]:
        if (folder / name).exists():
            return str(folder / name)
    pytest.fail(f"expected PostgreSQL's {name}, found none; to do: apt-get install postgresql")


class Server:
    """A cluster of its own: nobody else can reach it, nothing of it stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.made = 0
        # The server refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(folder, self.user)

    def call(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        become = ["setpriv", "--reuid", self.user, "--regid", self.user, "--init-groups"] if os.geteuid() == 0 else []
        command = [*become, "env", "LC_ALL=C", _program(program), *arguments]
        # Into a file: a server that was started keeps the pipes of the one who started it.
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run(command, stdout=out, stderr=out, cwd=self.folder)
            out.seek(0)
            text = out.read()
        assert not check or done.returncode == 0, text
        return subprocess.CompletedProcess(command, done.returncode, text, "")

    def start(self) -> None:
        if not self.data.exists():
            self.call("initdb", "-D", str(self.data), "-U", "upkeep", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off -c max_connections=40"
        self.call("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self.call("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop", check=False)

    def sql(self, statement: str, database: str = "postgres") -> str:
        arguments = ["-h", str(self.folder), "-U", "upkeep", "-d", database, "-Atqc", statement]
        return self.call("psql", *arguments).stdout.strip()

    def url(self, database: str, user: str = "upkeep", password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@/{database}?host={self.folder}"

    def database(self) -> str:
        """A new, empty database."""
        self.made += 1
        self.sql(f"CREATE DATABASE d{self.made}")
        return f"d{self.made}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # Short: the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="upkeep-pg-", dir="/tmp"))
    made = Server(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop("immediate")
        shutil.rmtree(folder)


@pytest.fixture
def url(server: Server) -> str:
    return server.url(server.database())


def refused(call: Callable[[], object]) -> UpkeepError:
    with pytest.raises(UpkeepError) as error:
        call()
    assert error.value.exit_code == NOT_RUN
    assert all((error.value.what, error.value.expected, error.value.found, error.value.remedy))
    return error.value


def test_the_whole_life_of_a_ticket(url: str, tmp_path: Path) -> None:
    covered = [("web1", DISK, "*")]
    with open_store(url, tmp_path) as store:
        store.check_writable()
        run = store.begin_run("r1", "weekly", 1000.0, job="weekly", actor="ann")
        path = results_file.write(tmp_path / "1", "r1", [("web1", DISK, "/", "high")], coverage=covered)
        done = record_file(store, path, Policy(), 1011.0)
        assert (done.run.number, done.run.job, done.changes[0].what) == (run.number, "weekly", "opened")
        assert record_file(store, path, Policy(), 1012.0).already
        store.acknowledge(1, "ann", "on it", 1100.0)
        store.comment(1, "ann", "Füße 🦶", 1150.0)
        path = results_file.write(tmp_path / "2", "r2", [("web1", DISK, "/", "critical")], started=2000)
        change = record_file(store, path, Policy(), 2011.0).changes[0]
        assert (change.what, change.old_priority, change.priority) == ("updated", "P2", "P1")
        store.resolve(1, "ann", "", 2100.0)
        path = results_file.write(tmp_path / "3", "r3", [("web1", DISK, "/", "high")], started=3000)
        assert record_file(store, path, Policy(), 3011.0).changes[0].what == "reopened"
        path = results_file.write(tmp_path / "4", "r4", coverage=covered, started=4000)
        assert record_file(store, path, Policy(), 4011.0).changes[0].what == "resolved"
        old = results_file.write(tmp_path / "0", "r0", [("web1", DISK, "/", "high")], started=500)
        done = record_file(store, old, Policy(), 4100.0)
        assert (done.changes, len(done.notes)) == ((), 1)
        detail = store.ticket(1)
        kinds = "opened added acknowledged comment priority resolved reopened cleared resolved"
        assert [line.kind for line in detail.history] == kinds.split()
        assert detail.history[3].text == "Füße 🦶"
        assert detail.entries[0].facts == {}
    with open_store(url, tmp_path) as store:
        assert store.ticket(1) == detail
        assert [run.number for run in store.runs()] == [4, 3, 2, 1, 5]
        pruned = store.prune(4011.0 + 100 * 86400, 30)
        assert (pruned.runs, pruned.findings, pruned.tickets) == (5, 4, 1)
    assert not list(tmp_path.glob("*.db")), "nothing beside the server"


def test_the_migrations_make_the_tables_of_the_schema(url: str, tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with open_store(url, tmp_path) as store, store.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.whole()) == []


WORK = """
import pathlib, sys, time
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import open_store
import alembic.command
time.sleep(max(0, float(sys.argv[2]) - time.time()))
with open_store(sys.argv[1], pathlib.Path("/nowhere")) as store:
    for path in sys.argv[3:]:
        record_file(store, pathlib.Path(path), Policy(), 5000.0)
"""


def test_first_starts_and_recorders_at_once(url: str, tmp_path: Path) -> None:
    files = []
    for number in range(12):
        rows = [(f"web{number}", DISK, f"/{n}", "high") for n in range(40)] + [("db1", "backup.age.stale", "x", "low")]
        files.append(str(results_file.write(tmp_path / f"r{number}", f"r{number}", rows, started=1000 + number)))
    start = time.time() + 2
    children = [
        subprocess.Popen([sys.executable, "-c", WORK, url, str(start), *files[offset::2]], stderr=subprocess.PIPE)
        for offset in (0, 1, 0, 1)
    ]
    for child in children:
        _, said = child.communicate(timeout=200)
        assert child.returncode == 0, said.decode()
    with open_store(url, tmp_path) as store:
        assert len(store.runs(limit=100)) == 12
        assert {ticket.cause: ticket.entries for ticket in store.tickets(None)} == {DISK: 480, "backup.age.stale": 1}


def test_killed_in_the_middle_nothing_is_half_recorded(server: Server, url: str, tmp_path: Path) -> None:
    rows = [(f"web{n}", DISK, f"/{n}", "high") for n in range(3000)]
    path = results_file.write(tmp_path / "r1", "r1", rows)
    open_store(url, tmp_path).close()
    for pause in (0.05, 0.2, 0.4, 0.6):
        child = subprocess.Popen([sys.executable, "-c", WORK, url, "0", str(path)])
        time.sleep(0.8 + pause)
        child.kill()
        child.wait()
        with open_store(url, tmp_path) as store:
            runs, tickets = store.runs(), store.tickets()
            if runs:
                assert tickets[0].entries == 3000
                break
            assert tickets == []
    with open_store(url, tmp_path) as store:
        record_file(store, path, Policy(), 5000.0)
        assert [(ticket.entries, ticket.hosts) for ticket in store.tickets()] == [(3000, 3000)]


def test_a_newer_schema_and_tables_of_somebody_else(server: Server, tmp_path: Path) -> None:
    name = server.database()
    open_store(server.url(name), tmp_path).close()
    server.sql("UPDATE upkeep_schema SET version_num = '9001'", name)
    assert "newer Upkeep" in refused(lambda: open_store(server.url(name), tmp_path)).what
    name = server.database()
    server.sql("CREATE TABLE alembic_version (version_num text); CREATE TABLE invoices (id int)", name)
    open_store(server.url(name), tmp_path).close()
    name = server.database()
    server.sql("CREATE TABLE tickets (id int)", name)
    error = refused(lambda: open_store(server.url(name), tmp_path))
    assert "not a store of Upkeep" in error.what
    assert "tickets" in error.found


def test_a_server_that_is_not_there_or_does_not_let_us_in(server: Server, tmp_path: Path) -> None:
    error = refused(lambda: open_store("postgresql://u:hunter2@/d?host=/nowhere", tmp_path))
    assert "cannot be reached" in error.what
    error = refused(lambda: open_store("postgresql://u:hunter2@127.0.0.1:1/d", tmp_path))
    assert "cannot be reached" in error.what
    assert "hunter2" not in "\n".join(error.lines())
    error = refused(lambda: open_store(server.url("missing"), tmp_path))
    assert "does not exist" in error.what
    error = refused(lambda: open_store(server.url("postgres", user="stranger"), tmp_path))
    assert "does not let us in" in error.what
    # A password that is wrong.
    server.sql("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    try:
        rules.write_text("local all guarded scram-sha-256\n" + before)
        server.sql("SELECT pg_reload_conf()")
        time.sleep(0.5)
        error = refused(lambda: open_store(server.url("postgres", "guarded", "hunter2"), tmp_path))
    finally:
        rules.write_text(before)
        server.sql("SELECT pg_reload_conf()")
    assert "does not let us in" in error.what
    assert "hunter2" not in "\n".join(error.lines())


def test_read_only_and_without_rights(server: Server, tmp_path: Path) -> None:
    name = server.database()
    open_store(server.url(name), tmp_path).close()
    server.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with open_store(server.url(name), tmp_path) as store:
        assert store.tickets() == []
        assert "is read-only" in refused(store.check_writable).what
        path = results_file.write(tmp_path / "r1", "r1", [("web1", DISK, "/", "high")])
        error = refused(lambda: record_file(store, path, Policy(), 1011.0))
        assert "is read-only" in error.what
        assert "upkeep record" in error.remedy
    server.sql("CREATE ROLE poor LOGIN")
    other = server.database()
    error = refused(lambda: open_store(server.url(other, user="poor"), tmp_path))
    assert "does not allow it" in error.what


def test_locked_by_another_writer(server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "BUSY_SECONDS", 0.3)
    with open_store(url, tmp_path) as store, open_store(url, tmp_path) as other, other.database.write():
        error = refused(store.check_writable)
        assert "is locked" in error.what
        assert "held by upkeep at a local socket, pid " in error.found
        assert store.tickets() == []


def test_a_server_that_goes_away_in_the_middle(server: Server, url: str, tmp_path: Path) -> None:
    with open_store(url, tmp_path) as store:
        path = results_file.write(tmp_path / "r1", "r1", [("web1", DISK, "/", "high")])
        server.stop("immediate")
        try:
            error = refused(lambda: record_file(store, path, Policy(), 1011.0))
            assert "cannot be reached" in error.what
            assert "upkeep record" in error.remedy
        finally:
            server.start()
        assert record_file(store, path, Policy(), 1011.0).changes[0].what == "opened"


def test_without_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    error = refused(lambda: open_store("postgresql://u@h/d", tmp_path))
    assert error.remedy == "pip install 'upkeep[postgresql]'"
