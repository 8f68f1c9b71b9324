# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Physical backups of a real PostgreSQL, recovered to a point in time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backups.postgresqls import Production, place, processes, production, restored

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]


class Site:
    """A server that archives its log, with two base backups and rows from before and after them."""

    def __init__(self, live: Production, folder: Path) -> None:
        self.live = live
        self.folder = folder
        self.plain = folder / "plain"
        self.tar = folder / "tar"
        self.archive = live.folder / "archive"
        live.sql(
            f"CREATE TABLESPACE extra LOCATION '{live.folder}/extra'; CREATE TABLE late (a int) TABLESPACE extra;"
            "INSERT INTO late VALUES (1)"
        )
        self._basebackup("tar", "-Ft", "-z", "-X", "stream")
        self._basebackup("plain", "-Fp", "-X", "stream", "-T", f"{live.folder}/extra={live.folder}/plain_extra")
        live.sql("INSERT INTO late VALUES (2)")
        time.sleep(1.1)
        self.between = live.sql("SELECT now()").strip()
        time.sleep(1.1)
        live.sql(
            "INSERT INTO late VALUES (3); SELECT pg_switch_wal(); INSERT INTO late VALUES (4); SELECT pg_switch_wal()"
        )
        for _ in range(200):
            if int(live.sql("SELECT count(*) FROM pg_stat_archiver WHERE archived_count >= 3")):
                break
            time.sleep(0.1)
        time.sleep(1)

    def _basebackup(self, name: str, *words: str) -> None:
        where = ("-h", str(self.live.socket), "-U", "postgres", "-c", "fast", "-D", str(self.live.folder / name))
        self.live.call("pg_basebackup", *where, *words)
        setattr(self, name, self.live.folder / name)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with (
        place() as folder,
        production(500, wal_level="replica", archive_mode="on", archive_command="cp %p ../archive/%f") as live,
    ):
        for name in ("archive", "extra"):
            (live.folder / name).mkdir()
            if os.geteuid() == 0:
                shutil.chown(live.folder / name, live.user)
        yield Site(live, folder)


@pytest.fixture
def scratch() -> Iterator[Path]:
    with place() as folder:
        yield folder
        assert list(folder.iterdir()) == []
        assert processes(folder) == []


def _checks(result: dict[str, Any]) -> list[str]:
    return sorted(finding["check"] for finding in result["findings"])


def _copy(site: Site, tmp_path: Path) -> None:
    """A copy of the plain one as ``main``, its tablespace beside it."""
    shutil.copytree(site.plain, tmp_path / "main", symlinks=True)
    shutil.copytree(site.live.folder / "plain_extra", tmp_path / "extra")
    for link in (tmp_path / "main" / "pg_tblspc").iterdir():
        link.unlink()
        link.symlink_to(tmp_path / "extra")


def _late(expected: str) -> dict[str, Any]:
    query = {"name": "late", "query": "SELECT string_agg(a::text, ',' ORDER BY a) FROM late", "expected": expected}
    return {"queries": [dict(query, database="postgres")]}


@pytest.mark.parametrize("form", ["plain", "tar"])
def test_a_base_backup_starts_and_answers(site: Site, scratch: Path, form: str) -> None:
    there = {"socket": str(site.live.socket), "user": "postgres", "rows": False}
    spec = {"name": "main", "kind": "physical", "path": str(getattr(site, form)), "live": there, **_late("1")}
    before = site.live.sql("SELECT archived_count FROM pg_stat_archiver")
    result = restored(scratch, spec)
    assert json.dumps(result["findings"], indent=1) == "[]"
    (proof,) = result["proofs"]
    assert (proof["check"], proof["outcome"]) == ("backup.archive.recover", "passed")
    assert proof["facts"]["verified_by_manifest"] is True
    assert proof["facts"]["indexes_checked"] > 100
    assert site.live.sql("SELECT archived_count FROM pg_stat_archiver") == before
    assert site.live.sql("SELECT count(*) FROM late").strip() == "4"


@pytest.mark.parametrize("moment", ["data/PG_VERSION", "s/.s.PGSQL.5432"])
def test_killed_at_any_step_the_next_run_leaves_nothing(site: Site, scratch: Path, moment: str) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.backups.postgresqls import restored;"
        "patience = {'name': 'patience', 'database': 'postgres', 'query': 'SELECT pg_sleep(300)'};"
        "restored(Path(sys.argv[1]), {'name': 'main', 'kind': 'physical', 'path': sys.argv[2], 'queries': [patience]})"
    )
    child = subprocess.Popen([sys.executable, "-c", code, scratch, site.plain], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while not list(scratch.glob("*/content/" + moment)):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.002)
    child.kill()
    child.wait()
    (left,) = scratch.iterdir()
    result = restored(scratch, {"name": "main", "kind": "physical", "path": str(site.plain)})
    assert result["findings"] == []
    assert [(one["path"], one["left"]) for one in result["swept"]] == [(str(left), [])]
    # What is left is looked at by the fixture: nothing.


def test_it_is_recovered_to_a_point_in_time(site: Site, scratch: Path) -> None:
    spec = {"name": "main", "kind": "physical", "path": str(site.plain), "wal_archive": str(site.archive)}
    result = restored(scratch, {**spec, "target_time": site.between, **_late("1,2")})
    assert _checks(result) == []
    assert restored(scratch, {**spec, **_late("1,2,3,4")})["findings"] == []


def test_a_point_in_time_that_the_log_does_not_reach(site: Site, scratch: Path) -> None:
    spec = {"name": "main", "kind": "physical", "path": str(site.plain), "wal_archive": str(site.archive)}
    result = restored(scratch, {**spec, "target_time": "2036-01-01 00:00:00+00"})
    assert _checks(result) == ["backup.archive.target_not_reached"]


def test_the_log_that_makes_it_consistent_is_gone(site: Site, scratch: Path, tmp_path: Path) -> None:
    _copy(site, tmp_path)
    for path in (tmp_path / "main" / "pg_wal").glob("0*"):
        path.unlink()
    (tmp_path / "main" / "backup_manifest").unlink()
    result = restored(
        scratch, {"name": "main", "kind": "physical", "path": str(tmp_path / "main")}, account=site.live.user
    )
    assert _checks(result) == ["backup.archive.wal_missing"]


@pytest.mark.parametrize("manifest", [True, False])
def test_a_flipped_page_is_found(site: Site, scratch: Path, tmp_path: Path, manifest: bool) -> None:
    _copy(site, tmp_path)
    where = site.live.sql("SELECT pg_relation_filepath('orders_pkey')", "shop").strip()
    with (tmp_path / "main" / where).open("r+b") as stream:
        stream.seek(8192 + 4000)
        stream.write(os.urandom(3000))
    if not manifest:
        (tmp_path / "main" / "backup_manifest").unlink()
    result = restored(
        scratch, {"name": "main", "kind": "physical", "path": str(tmp_path / "main")}, account=site.live.user
    )
    if manifest:
        assert _checks(result) == ["backup.archive.corrupt"]
        assert where in json.dumps(result["findings"])
    else:
        assert "backup.dump.index_corrupt" in _checks(result)
        assert "index public.orders_pkey" in json.dumps(result["findings"])


def test_a_link_to_productions_tablespace_is_refused(site: Site, scratch: Path, tmp_path: Path) -> None:
    shutil.copytree(site.plain, tmp_path / "main", symlinks=True)
    for link in (tmp_path / "main" / "pg_tblspc").iterdir():
        link.unlink()
        link.symlink_to(site.live.folder / "extra")
    result = restored(
        scratch, {"name": "main", "kind": "physical", "path": str(tmp_path / "main")}, account=site.live.user
    )
    assert _checks(result) == ["backup.check.not_run"]
    assert "is not in the backup" in result["findings"][0]["summary"]


def test_what_is_no_base_backup(site: Site, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    result = restored(scratch, {"name": "main", "kind": "physical", "path": str(tmp_path / "a")})
    assert _checks(result) == ["backup.dump.missing"]


@pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgbackrest is not installed")
def test_pgbackrest_is_restored_to_a_point_in_time(scratch: Path) -> None:
    with place() as folder:
        config = folder / "pgbackrest.conf"
        repo = folder / "repo"
        repo.mkdir()
        with production(
            500,
            wal_level="replica",
            archive_mode="on",
            archive_command=f"pgbackrest --config={config} --stanza=main archive-push %p",
        ) as live:
            if os.geteuid() == 0:
                shutil.chown(repo, live.user)
            config.write_text(
                f"[global]\nrepo1-path={repo}\nlog-path={repo}\nlock-path={repo}/lock\nstart-fast=y\n"
                f"[main]\npg1-path={live.data}\npg1-socket-path={live.socket}\npg1-user=postgres\n"
            )
            config.chmod(0o644)
            call = ["setpriv", "--reuid", live.user, "--regid", live.user, "--init-groups"] if os.geteuid() == 0 else []
            call += ["pgbackrest", f"--config={config}", "--stanza=main"]
            empty = restored(scratch, {"name": "m", "kind": "pgbackrest", "path": "main", "config": str(config)})
            assert _checks(empty) == ["backup.dump.missing"]
            for word in ("stanza-create", "backup"):
                done = subprocess.run([*call, word], capture_output=True, text=True)
                assert done.returncode == 0, done.stdout + done.stderr
            live.sql("CREATE TABLE late (a int); INSERT INTO late VALUES (1), (2)")
            time.sleep(1.1)
            between = live.sql("SELECT now()").strip()
            time.sleep(1.1)
            live.sql("INSERT INTO late VALUES (3); SELECT pg_switch_wal()")
            time.sleep(3)
            spec = {"name": "m", "kind": "pgbackrest", "path": "main", "config": str(config), "target_time": between}
            result = restored(scratch, {**spec, **_late("1,2")})
            assert json.dumps(result["findings"], indent=1) == "[]"
            assert result["proofs"][0]["facts"]["label"]
