# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing but a server of our own is ever loaded into: another on the socket, a taken socket, production's data."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import confine, postgresql_server
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.postgresql_server import Server
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from tests.backups.postgresqls import Production, place, processes, production, restored

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

ALL = "SELECT rolname FROM pg_roles ORDER BY 1; SELECT datname FROM pg_database ORDER BY 1"


@pytest.fixture(scope="module")
def live() -> Iterator[Production]:
    with production(orders=10) as server:
        yield server


@pytest.fixture(scope="module")
def dump(live: Production) -> Iterator[Path]:
    with place() as folder:
        yield live.dump(folder / "shop.dump", "-Fc")


@pytest.fixture
def scratch() -> Iterator[Path]:
    with place() as folder:
        yield folder
        assert list(folder.iterdir()) == []
        assert processes(folder) == []


def tried(scratch: Path, dump: Path, live: Production) -> dict[str, Any]:
    """The one finding of a test that must not have touched the live server."""
    before = live.sql(ALL), live.sql("SELECT count(*) FROM orders", "shop")
    result = restored(scratch, {"name": "shop", "path": str(dump)})
    assert (live.sql(ALL), live.sql("SELECT count(*) FROM orders", "shop")) == before
    assert [proof["outcome"] for proof in result["proofs"]] == ["cannot"]
    (found,) = result["findings"]
    return dict(found)


def test_another_server_on_the_socket_is_not_loaded_into(
    live: Production, dump: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Server.start

    def led_astray(self: Server, arguments: Mapping[str, str] | None = None, wait: float = 120.0) -> float:
        seconds = start(self, arguments, wait)
        ours = Path(self.socket, ".s.PGSQL.5432")
        ours.unlink()
        ours.symlink_to(live.socket / ".s.PGSQL.5432")
        return seconds

    monkeypatch.setattr(Server, "start", led_astray)
    found = tried(scratch, dump, live)
    assert found["check"] == "backup.dump.server_failed"
    # Its superuser has a name that no other server has: the other one lets nobody in.
    assert 'role "upkeep_' in str(found["evidence"]) and "does not exist" in str(found["evidence"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has accounts to try it with")
def test_nobody_else_comes_to_what_is_restored(dump: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = Server.prepare
    tries: list[subprocess.CompletedProcess[str]] = []
    accounts: list[Any] = []

    def intruded(self: Server) -> None:
        prepare(self)
        accounts.append(self.numbers())
        argv = self.psql("upkeep_admin", postgresql_server.LOADER, "-c", "SELECT 1")
        for become in (["--reuid=nobody", "--regid=nogroup"], ["--reuid=postgres", "--regid=postgres"]):
            words = ["setpriv", *become, "--clear-groups", *argv]
            tries.append(subprocess.run(words, capture_output=True, text=True, cwd="/"))
            words = ["setpriv", *become, "--clear-groups", "ls", self.folder]
            tries.append(subprocess.run(words, capture_output=True, text=True, cwd="/"))
        pid = Path(self.data, "postmaster.pid").read_text().split("\n")[0]
        assert Path("/proc", pid).stat().st_uid == accounts[0][0]

    monkeypatch.setattr(Server, "prepare", intruded)
    result = restored(scratch, {"name": "shop", "path": str(dump), "roles": ["app", "Read Only"]})
    assert result["findings"] == []
    assert [one.returncode != 0 and "Permission denied" in one.stderr for one in tries] == [True] * 4, tries
    with pytest.raises(KeyError):
        pwd.getpwuid(accounts[0][0])
    assert result["dumps"][0]["not_confined"] == confine.protections().missing()


def test_a_trusted_dump_writes_nowhere_but_in_the_scratch_place(scratch: Path) -> None:
    if not confine.protections().files:
        pytest.skip("the kernel has no Landlock")
    with place() as folder:
        loose = folder / "loose"
        loose.mkdir(mode=0o777)
        loose.chmod(0o777)
        targets = [loose / "x", *(Path(top, f"upkeep-{folder.name}") for top in ("/tmp", "/var/tmp", "/dev/shm"))]
        dump = folder / "own.sql"
        lines = ["-- PostgreSQL database dump", "CREATE TABLE kept (a int);"]
        for number, target in enumerate(targets):
            lines.append(f"CREATE TABLE t{number} (a text);")
            lines.append(f"COPY t{number} FROM PROGRAM 'echo 1 > {target}; echo 1';")
            lines.append(f"COPY kept TO '{target}';")
            lines.append(f"\\! echo 1 > {target}")
        dump.write_text("\n".join([*lines, "-- PostgreSQL database dump complete", ""]))
        result = restored(scratch, {"name": "own", "path": str(dump), "trusted": True})
        assert [str(target) for target in targets if target.exists()] == []
        # It ran them: the programs said 1.
        assert result["dumps"][0]["row_counts"]["public.t0"] == 1


def test_a_plain_dump_that_is_trusted_is_counted(live: Production, scratch: Path) -> None:
    with place() as folder:
        dump = live.dump(folder / "shop.sql", "-O", "-x")
        dump.with_name("shop.sql.baseline.json").write_text(live.baseline())
        query = {"name": "orders", "query": "SELECT count(*) FROM orders", "expected": "10"}
        newest = [{"table": "orders", "column": "placed"}]
        spec = {"name": "shop", "path": str(dump), "trusted": True, "queries": [query], "newest": newest}
        result = restored(scratch, {**spec, "roles": ["app", "Read Only"]})
        assert result["dumps"][0]["rows"] == 515
        checks = [finding["check"] for finding in result["findings"]]
        assert not {"backup.check.not_run", "backup.dump.query_differs", "backup.dump.rows_differ"} & set(checks)
        assert result["dumps"][0]["indexes_checked"] > 0


def test_a_socket_that_is_taken_is_told(
    live: Production, dump: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Server.start
    holders: list[subprocess.Popen[bytes]] = []

    def taken(self: Server, arguments: Mapping[str, str] | None = None, wait: float = 120.0) -> float:
        numbers = self.numbers()
        become = ["setpriv", f"--reuid={numbers[0]}", "--clear-groups"] if numbers else []
        holders.append(subprocess.Popen([*become, "sleep", "300"]))
        lock = Path(self.socket, ".s.PGSQL.5432.lock")
        lock.write_text(f"{holders[0].pid}\n{self.data}\n0\n5432\n{self.socket}\n\n0\n")
        lock.chmod(0o644)
        return start(self, arguments, wait)

    monkeypatch.setattr(Server, "start", taken)
    try:
        found = tried(scratch, dump, live)
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()
    assert found["check"] == "backup.dump.server_failed"
    assert "lock file" in str(found["evidence"]) and str(holders[0].pid) in str(found["evidence"])


def test_a_data_folder_that_is_productions_is_refused_before_it_is_started(
    live: Production, dump: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usual(Host):
        """Its data folders in the usual places: that of the live server."""

        def glob(self, pattern: str, limit: int = 1000) -> list[str]:
            return [str(live.data)] if pattern == "/var/lib/postgresql/*/*" else []

    write, known = Server._write, postgresql_server.known_identifiers

    def mounted_over(self: Server, name: str, settings: Mapping[str, str]) -> None:
        shutil.copyfile(live.data / "global" / "pg_control", Path(self.data, "global", "pg_control"))
        self.identifier = postgresql_server.stored_identifier(self.host, self.data)
        write(self, name, settings)

    monkeypatch.setattr(Server, "_write", mounted_over)
    monkeypatch.setattr(postgresql_server, "known_identifiers", lambda _host: known(Usual()))
    monkeypatch.setattr(Server, "start", lambda *_given: pytest.fail("it was started"))
    found = tried(scratch, dump, live)
    assert (found["check"], found["severity"]) == ("backup.dump.not_throwaway", "critical")
    assert f" in {live.data}" in found["evidence"][0]
    assert found["evidence"][0].split()[0] == live.sql("SELECT system_identifier FROM pg_control_system()").strip()
