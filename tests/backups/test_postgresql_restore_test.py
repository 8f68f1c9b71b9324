# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps of a real PostgreSQL, whole and broken, restored on trial into real throw-away servers."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backups.postgresqls import Production, place, processes, production, restored

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

Folder = Callable[[], Path]
ROLES = ["app", "Read Only"]


@pytest.fixture(scope="module")
def live() -> Iterator[Production]:
    with production() as server:
        yield server


@pytest.fixture(scope="module")
def dumps(live: Production) -> Iterator[Path]:
    """Whole dumps in every form."""
    with place() as folder:
        live.dump(folder / "shop.sql")
        live.dump(folder / "created.sql", "-C", "-v")
        live.dump(folder / "inserts.sql", "--inserts", "--rows-per-insert=50")
        live.dump(folder / "all.sql", program="pg_dumpall")
        live.dump(folder / "globals.sql", "--globals-only", program="pg_dumpall")
        live.dump(folder / "shop.dump", "-Fc")
        live.dump(folder / "shop.tar", "-Ft")
        live.dump(folder / "shop.dir", "-Fd", "-j2")
        for packing in ("gzip", "zstd", "xz"):
            packed = subprocess.run([packing, "-1c", folder / "shop.sql"], stdout=subprocess.PIPE, check=True).stdout
            (folder / f"shop.sql.{packing}").write_bytes(packed)
        (folder / "shop.dump.gz").write_bytes(gzip.compress((folder / "shop.dump").read_bytes(), 1))
        (folder / "baseline.json").write_text(live.baseline())
        yield folder


@pytest.fixture
def scratch() -> Iterator[Path]:
    with place() as folder:
        yield folder
        assert list(folder.iterdir()) == []
        assert processes(folder) == []


def _names(result: dict[str, Any]) -> list[str]:
    return sorted(finding["check"] for finding in result["findings"])


def _one(result: dict[str, Any], check: str) -> dict[str, Any]:
    found = [finding for finding in result["findings"] if finding["check"] == check]
    assert len(found) == 1, json.dumps(result["findings"], indent=1)
    return dict(found[0])


def _text(result: dict[str, Any], check: str) -> str:
    found = _one(result, check)
    return "\n".join([found["summary"], *found["evidence"], found["remedy"]])


def _spec(path: Path, **others: Any) -> dict[str, Any]:
    return {"name": "shop", "path": str(path), "roles": ROLES, **others}


# --- what is well -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("shop.sql", "created.sql", "inserts.sql", "all.sql", "shop.dump", "shop.tar", "shop.dir"),
        *("shop.sql.gzip", "shop.sql.zstd", "shop.sql.xz", "shop.dump.gz"),
    ],
)
def test_a_whole_dump_is_silent_and_proven(dumps: Path, scratch: Path, name: str) -> None:
    query = {"name": "orders", "query": "SELECT count(*), min(total) FROM orders;", "expected": "3000|0.00"}
    query["database"] = "shop" if name in ("all.sql", "created.sql") else None  # type: ignore[assignment]
    newest = {"table": "public.orders", "column": "placed", "max_age_hours": 1, "database": query["database"]}
    spec = _spec(dumps / name, baseline=str(dumps / "baseline.json"), queries=[query], newest=[newest])
    result = restored(scratch, spec)
    assert result["findings"] == []
    (proof,) = result["proofs"]
    assert (proof["check"], proof["outcome"]) == ("backup.dump.load", "passed")
    facts = proof["facts"]
    assert facts["queries"][0]["answer"] == "3000|0.00"
    assert facts["rows"] == 3505
    assert facts["compared_with"] == "the baseline"
    assert facts["indexes_checked"] > 4
    covered = {entry["check"] for entry in result["coverage"]}
    for check in ("empty", "load_errors", "rows_differ", "structure_differs", "stale", "index_corrupt"):
        assert "backup.dump." + check in covered
    assert ("backup.dump.truncated" in covered) == (".sql" in name)


def test_the_roles_of_a_globals_file_are_there(dumps: Path, scratch: Path) -> None:
    result = restored(
        scratch, {"name": "shop", "path": str(dumps / "shop.dump"), "globals": str(dumps / "globals.sql")}
    )
    assert result["findings"] == []


def test_the_live_database_is_what_it_is_held_against(dumps: Path, live: Production, scratch: Path) -> None:
    there = {"socket": str(live.socket), "user": "postgres", "database": "shop"}
    result = restored(scratch, _spec(dumps / "shop.dump", live=there))
    assert result["findings"] == []
    assert result["dumps"][0]["compared_with"] == "the live database"


def test_check_mode_says_and_restores_nothing(dumps: Path, scratch: Path) -> None:
    result = restored(scratch, _spec(dumps / "shop.dump"), check_mode=True)
    assert result["findings"] == []
    (told,) = result["dumps"]
    assert (told["outcome"], told["version"].split(".")[0], told["format"]) == ("not tested", "15", "custom")
    assert told["needs_bytes"] > 100_000_000
    assert "proofs" not in result


def test_check_mode_tells_what_it_sees_already(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.sql").write_bytes(b"")
    specs = [_spec(tmp_path / "empty.sql"), _spec(dumps / "shop.dump", expected_bytes=1 << 60)]
    result = restored(scratch, *specs, check_mode=True)
    assert _names(result) == ["backup.dump.empty", "backup.dump.no_room"]
    assert [one["outcome"] for one in result["dumps"]] == ["failed", "cannot"]
    assert "proofs" not in result


# --- the dump ------------------------------------------------------------------------------------------


def test_cut_in_mid_line(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    data = (dumps / "shop.sql").read_bytes()
    at = data.index(b"\n2000\t")
    (tmp_path / "cut.sql").write_bytes(data[: at + 9])
    result = restored(scratch, _spec(tmp_path / "cut.sql", baseline=str(dumps / "baseline.json")))
    text = _text(result, "backup.dump.truncated")
    assert _names(result) == ["backup.dump.truncated"]
    assert "within the data of public.orders" in text
    assert "table" not in result["dumps"][0]["outcome"]
    assert "public.orders: " in text
    assert result["proofs"][0]["outcome"] == "failed"


def test_cut_at_the_end_of_a_line_before_the_constraints(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    data = (dumps / "shop.sql").read_bytes()
    at = data.rindex(b"\\.\n") + 3
    (tmp_path / "cut.sql").write_bytes(data[:at])
    result = restored(scratch, _spec(tmp_path / "cut.sql", baseline=str(dumps / "baseline.json")))
    assert _names(result) == ["backup.dump.truncated"]
    assert "constraint public.orders.orders_pkey is missing" in _text(result, "backup.dump.truncated")


def test_a_cut_archive_of_gzip(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    data = (dumps / "shop.sql.gzip").read_bytes()
    (tmp_path / "cut.sql.gz").write_bytes(data[: len(data) * 2 // 3])
    result = restored(scratch, _spec(tmp_path / "cut.sql.gz"))
    assert _names(result) == ["backup.dump.truncated"]
    assert "unexpected end of file" in _text(result, "backup.dump.truncated")


@pytest.mark.parametrize(
    ("data", "check", "word"),
    [
        (b"", "empty", "has no bytes"),
        (gzip.compress(b""), "empty", "has no bytes"),
        (b'pg_dump: error: connection to server on socket "/run/x" failed\n', "not_sql", "error message"),
        (b"Dear all,\nthe backup is at the usual place.\n", "not_sql", "Dear all"),
        (os.urandom(4096).replace(b"\x1f\x8b", b"") + b"\0", "not_sql", "not SQL"),
        (b"-----BEGIN PGP MESSAGE-----\n\nhQ\n", "not_sql", "encrypted"),
        (b"-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)\n", "not_sql", "mysql_restore_test"),
        (b"PGDMP\x01\x0e", "truncated", "header"),
    ],
)
def test_what_is_no_dump(scratch: Path, tmp_path: Path, data: bytes, check: str, word: str) -> None:
    (tmp_path / "dump").write_bytes(data)
    result = restored(scratch, _spec(tmp_path / "dump"))
    assert _names(result) == ["backup.dump." + check]
    assert word in _text(result, "backup.dump." + check)


def test_a_dump_that_is_not_there(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "other.sql").write_text("")
    result = restored(scratch, _spec(tmp_path / "shop-*.sql"))
    assert "other.sql" in _text(result, "backup.dump.missing")


def test_the_newest_of_a_pattern_is_taken_and_its_subject_stays(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    for day, name in enumerate(("shop-1.dump", "shop-2.dump")):
        shutil.copy(dumps / "shop.dump", tmp_path / name)
        os.utime(tmp_path / name, (time.time() - 3600 * (9 - day),) * 2)
    result = restored(scratch, _spec(tmp_path / "shop-*.dump"))
    assert result["findings"] == []
    assert result["proofs"][0]["subject"] == f"shop:{tmp_path}/shop-*.dump"
    assert result["proofs"][0]["facts"]["path"].endswith("shop-2.dump")


def test_the_job_is_dead_while_the_snapshot_is_fresh(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    shutil.copy(dumps / "shop.sql", tmp_path / "shop.sql")
    os.utime(tmp_path / "shop.sql", (time.time() - 5 * 86400,) * 2)
    result = restored(scratch, _spec(tmp_path / "shop.sql"))
    assert _names(result) == ["backup.dump.stale"]
    assert "5.0 days" in _text(result, "backup.dump.stale")


def test_an_archive_tells_its_age_though_it_was_copied(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    result = restored(scratch, _spec(dumps / "shop.dump", max_age_hours=0.000001))
    assert _names(result) == ["backup.dump.stale"]
    assert "by its own words" in _text(result, "backup.dump.stale")


def test_the_newest_row_is_old(dumps: Path, scratch: Path) -> None:
    newest = {"table": "orders", "column": "placed", "max_age_hours": 0.0001}
    result = restored(scratch, _spec(dumps / "shop.dump", newest=[newest]))
    assert _names(result) == ["backup.dump.stale"]
    assert "orders.placed: the newest row is" in _text(result, "backup.dump.stale")


def test_of_another_version(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    data = (dumps / "shop.sql").read_bytes()
    (tmp_path / "old.sql").write_bytes(
        re.sub(rb"Dumped from database version \S+", rb"Dumped from database version 9.6.24", data)
    )
    result = restored(scratch, _spec(tmp_path / "old.sql"))
    assert _names(result) == ["backup.dump.no_server"]
    assert "apt-get install postgresql-9.6" in _text(result, "backup.dump.no_server")
    assert restored(scratch, _spec(tmp_path / "old.sql"), other_versions="newer")["findings"] == []
    told = restored(scratch, _spec(dumps / "shop.sql", version="14"))
    assert _names(told) == ["backup.dump.wrong_version"]


def test_roles_that_nothing_creates(dumps: Path, scratch: Path) -> None:
    for name in ("shop.sql", "shop.dump", "shop.dump.gz"):
        result = restored(scratch, {"name": "shop", "path": str(dumps / name)})
        found = _one(result, "backup.dump.role_missing")
        assert _names(result) == ["backup.dump.role_missing"]
        assert found["facts"]["roles"] == ["Read Only", "app"]
        assert any("ALTER TABLE public.customers OWNER TO app;" in line for line in found["evidence"])


def test_a_foreign_key_is_violated(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    text = (dumps / "shop.sql").read_text()
    broken = re.sub(r"\n7\tname 7\t[^\n]*", "", text)
    assert broken != text
    (tmp_path / "fk.sql").write_text(broken)
    result = restored(scratch, _spec(tmp_path / "fk.sql", baseline=str(dumps / "baseline.json")))
    text = _text(result, "backup.dump.constraint_violated")
    assert re.search(r"line \d+: insert or update on table \"orders\" violates foreign key constraint", text)
    assert "Key (customer)=(7) is not present" in text
    assert "public.customers: 499 rows, expected 500" in _text(result, "backup.dump.rows_differ")
    assert "constraint public.orders.orders_customer_fkey is missing" in _text(result, "backup.dump.structure_differs")


def test_an_error_bears_its_line(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    lines = (dumps / "shop.sql").read_text().split("\n")
    at = next(number for number, line in enumerate(lines) if line.startswith("CREATE TABLE public.orders"))
    lines.insert(at, "SELEC 1;")
    (tmp_path / "bad.sql").write_text("\n".join(lines))
    result = restored(scratch, _spec(tmp_path / "bad.sql"))
    assert f"line {at + 1}: syntax error at or near" in _text(result, "backup.dump.load_errors")


def test_rows_and_structure_against_the_baseline(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    made = json.loads((dumps / "baseline.json").read_text())
    made["rows"]["public.orders"] += 5
    made["objects"]["index public.gone_idx"] = ""
    (tmp_path / "b.json").write_text(json.dumps(made))
    result = restored(scratch, _spec(dumps / "shop.dump", baseline=str(tmp_path / "b.json")))
    assert _names(result) == ["backup.dump.rows_differ", "backup.dump.structure_differs"]
    assert "public.orders: 3000 rows, expected 3005" in _text(result, "backup.dump.rows_differ")
    assert "index public.gone_idx is missing" in _text(result, "backup.dump.structure_differs")
    assert (
        restored(scratch, _spec(dumps / "shop.dump", baseline=str(tmp_path / "b.json"), rows_tolerance=1.0))[
            "findings"
        ][0]["check"]
        == "backup.dump.structure_differs"
    )


def test_a_baseline_that_is_none_is_told(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("psql: error\n")
    result = restored(scratch, _spec(dumps / "shop.dump", baseline=str(tmp_path / "b.json")))
    assert {finding["check"] for finding in result["findings"]} == {"backup.check.not_run"}


def test_queries_that_answer_otherwise(dumps: Path, scratch: Path) -> None:
    queries = [
        {"name": "sum", "query": "SELECT sum(total) FROM orders", "expected": "1"},
        {"name": "few", "query": "SELECT count(*) FROM orders", "at_least": 5000},
        {"name": "fine", "query": "SELECT count(*) FROM orders", "at_least": 10, "at_most": 3000},
        {"name": "wrong", "query": "SELECT nothing FROM nowhere"},
        {"name": "writes", "query": "DELETE FROM orders"},
    ]
    text = _text(restored(scratch, _spec(dumps / "shop.dump", queries=queries)), "backup.dump.query_differs")
    assert "2 of 5 queries got another answer than expected; 2 of 5 queries failed, and got no answer." in text
    assert "few: '3000', expected at least 5000" in text
    assert "read-only transaction" in text
    assert "fine" not in text


def test_a_newest_row_that_cannot_be_asked_for_is_not_an_old_one(dumps: Path, scratch: Path) -> None:
    result = restored(scratch, _spec(dumps / "shop.dump", newest=[{"table": "gone", "column": "placed"}]))
    assert _names(result) == ["backup.dump.query_differs"]
    text = _text(result, "backup.dump.query_differs")
    assert "1 of 1 queries failed, and got no answer." in text
    assert "newest gone.placed: no answer: " in text and 'relation "gone" does not exist' in text


def test_a_dump_of_nothing(live: Production, scratch: Path, tmp_path: Path) -> None:
    live.sql("CREATE DATABASE hollow")
    live.dump(tmp_path / "hollow.sql", database="hollow")
    assert _names(restored(scratch, _spec(tmp_path / "hollow.sql"))) == ["backup.dump.empty"]


def test_an_agreed_time_is_measured(dumps: Path, scratch: Path) -> None:
    assert _names(restored(scratch, _spec(dumps / "shop.dump", max_seconds=1000))) == []
    result = restored(scratch, _spec(dumps / "shop.dump", max_seconds=0.001))
    assert _names(result) == ["backup.dump.slow"]


# --- archives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_a_cut_archive_is_told_before_the_load(dumps: Path, scratch: Path, tmp_path: Path, share: float) -> None:
    data = (dumps / "shop.dump").read_bytes()
    (tmp_path / "cut.dump").write_bytes(data[: int(len(data) * share)])
    result = restored(scratch, _spec(tmp_path / "cut.dump"))
    assert set(_names(result)) <= {"backup.dump.corrupt", "backup.dump.truncated"}
    assert result["proofs"][0]["outcome"] == "failed"
    assert "load" not in result["dumps"][0]["seconds"]


@pytest.mark.parametrize("name", ["shop.dump", "shop.dump.gz"])
def test_a_flipped_archive(dumps: Path, scratch: Path, tmp_path: Path, name: str) -> None:
    data = bytearray((dumps / "shop.dump").read_bytes())
    at = len(data) * 3 // 4
    data[at] ^= 0xFF
    data[at + 1] ^= 0xFF
    (tmp_path / name).write_bytes(gzip.compress(bytes(data), 1) if name.endswith("gz") else bytes(data))
    result = restored(scratch, _spec(tmp_path / name))
    # What the load complains of after it comes of it, and is not told.
    assert _names(result) == ["backup.dump.corrupt"]
    assert ("load" in result["dumps"][0]["seconds"]) == name.endswith("gz")


def test_a_folder_that_lacks_a_file(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    shutil.copytree(dumps / "shop.dir", tmp_path / "shop.dir")
    max((tmp_path / "shop.dir").glob("*.dat.gz"), key=lambda path: path.stat().st_size).unlink()
    assert _names(restored(scratch, _spec(tmp_path / "shop.dir"))) == ["backup.dump.corrupt"]
    (tmp_path / "shop.dir" / "toc.dat").unlink()
    assert _names(restored(scratch, _spec(tmp_path / "shop.dir"))) == ["backup.dump.missing"]


# --- hostile dumps -----------------------------------------------------------------------------------------


def _hostile(dumps: Path, tmp_path: Path, *lines: str) -> Path:
    """A dump that ends as one should, with these lines in it."""
    text = (dumps / "shop.sql").read_text()
    at = text.index("--\n-- Name: customers; Type: TABLE;")
    path = tmp_path / "hostile.sql"
    path.write_text(text[:at] + "\n".join(lines) + "\n" + text[at:])
    return path


@pytest.mark.parametrize(
    "line",
    [
        r"\! touch {mark}",
        r"SELECT 1 \! touch {mark}",
        r"SELECT 1 \g |touch {mark}",
        r"\o |touch {mark}",
        r"\copy (SELECT 1) TO PROGRAM 'touch {mark}'",
        r"\set x `touch {mark}`",
        r"\i /etc/passwd",
        r"\unrestrict gJMDuTCdnl8DKka0L4QBPAtq2hdsfAlG" "\n" r"\! touch {mark}",
        r"SELECT $$" "\n" r"\connect restored" "\n" r"$$;" "\n" r"\! touch {mark}",
        r'\connect "dbname=postgres host=/var/run/postgresql"',
        r"\connect -reuse-previous=on " '"' "dbname='postgres' host='/var/run/postgresql'" '"',
    ],
)
def test_no_command_of_psql_gets_through(dumps: Path, scratch: Path, tmp_path: Path, line: str) -> None:
    with place() as open_to_all:
        open_to_all.chmod(0o777)
        mark = open_to_all / "mark"
        result = restored(scratch, _spec(_hostile(dumps, tmp_path, line.format(mark=mark))))
        assert not mark.exists()
    assert "backup.dump.hostile" in _names(result)
    assert "CVE-2025-8714" in _text(result, "backup.dump.hostile")


@pytest.mark.parametrize(
    "line",
    [
        "COPY (SELECT 1) TO PROGRAM 'touch {mark}';",
        "DO $$ BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch {mark}'''; END $$;",
        "COPY (SELECT 1) TO '{mark}';",
        "SELECT lo_export(lo_from_bytea(0, 'x'), '{mark}');",
        "ALTER SYSTEM SET archive_command = 'touch {mark}';",
        "SELECT pg_read_file('/etc/passwd');",
        "CREATE FUNCTION public.sys(text) RETURNS int LANGUAGE c AS '/lib/x86_64-linux-gnu/libc.so.6', 'system';",
        "ALTER ROLE upkeep_loader SUPERUSER;",
        "GRANT pg_execute_server_program TO upkeep_loader;",
        "SET ROLE upkeep_owners; GRANT pg_write_server_files TO upkeep_loader;",
    ],
)
def test_what_only_a_superuser_may_is_refused(dumps: Path, scratch: Path, tmp_path: Path, line: str) -> None:
    with place() as open_to_all:
        open_to_all.chmod(0o777)
        mark = open_to_all / "mark"
        result = restored(scratch, _spec(_hostile(dumps, tmp_path, line.format(mark=mark))))
        assert not mark.exists()
    found = _one(result, "backup.dump.needs_superuser")
    assert found["facts"]["errors"] >= 1


def test_a_hostile_index_and_trigger_run_as_nobody_in_particular(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    """What a dump leaves behind for others to run (functions in indexes, rules, views) never meets a superuser."""
    result = restored(
        scratch,
        _spec(
            _hostile(
                dumps,
                tmp_path,
                "CREATE TABLE public.seen (who text, super text);",
                "CREATE FUNCTION public.spy(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN",
                "  INSERT INTO public.seen VALUES (current_user, current_setting('is_superuser')); RETURN $1;",
                "EXCEPTION WHEN OTHERS THEN RETURN $1; END $$;",
                "CREATE TABLE public.bait (a int); INSERT INTO public.bait VALUES (1);",
                "CREATE INDEX ON public.bait (public.spy(a));",
                "CREATE FUNCTION public.count(text) RETURNS bigint LANGUAGE sql AS 'SELECT 0';",
            ),
            queries=[{"name": "super", "query": "SELECT count(*) FROM seen WHERE super = 'on'", "expected": "0"}],
        ),
    )
    assert result["findings"] == []


def test_a_trusted_dump_may_all(live: Production, scratch: Path, tmp_path: Path) -> None:
    live.sql("CREATE DATABASE deep")
    live.sql(
        "CREATE TABLE t (a int); CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION e();",
        "deep",
    )
    path = live.dump(tmp_path / "deep.dump", "-Fc", database="deep")
    assert _names(restored(scratch, _spec(path))) == ["backup.dump.needs_superuser"]
    assert _names(restored(scratch, _spec(path, trusted=True))) == []


# --- the server ------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_no_room_is_told_before(dumps: Path) -> None:
    with place() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30M,mode=711", "tmpfs", folder], check=True)
        try:
            result = restored(folder, _spec(dumps / "shop.dump"))
            assert list(folder.iterdir()) == []
        finally:
            subprocess.run(["umount", folder], check=True)
    assert _names(result) == ["backup.dump.no_room"]
    assert "30.0 MiB" in _text(result, "backup.dump.no_room")


def test_no_programs(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    result = restored(scratch, _spec(dumps / "shop.dump"), server_folder=str(tmp_path))
    assert "apt-get install postgresql-15" in _text(result, "backup.dump.no_server")
    assert result["proofs"][0]["outcome"] == "cannot"


def test_a_path_that_no_socket_can_have(dumps: Path, scratch: Path) -> None:
    deep = scratch / ("d" * 60)
    deep.mkdir()
    deep.chmod(0o711)
    result = restored(deep, _spec(dumps / "shop.dump"))
    deep.rmdir()
    assert "shorter path" in _text(result, "backup.dump.no_server")


def _slow(dumps: Path, tmp_path: Path) -> Path:
    """A dump whose load takes a while."""
    text = (dumps / "shop.sql").read_text()
    at = text.index("--\n-- PostgreSQL database dump complete")
    (tmp_path / "slow.sql").write_text(text[:at] + "SELECT pg_catalog.pg_sleep(20);\n" + text[at:])
    return tmp_path / "slow.sql"


def test_the_server_is_killed_in_mid_load(dumps: Path, scratch: Path, tmp_path: Path) -> None:
    def kill() -> None:
        for _ in range(3000):
            for line in subprocess.run(
                ["pgrep", "-f", f"postgres -D {scratch}/"], capture_output=True, text=True
            ).stdout.split():
                if list(scratch.glob("*/content/data/base/16*")):
                    time.sleep(0.05)
                    os.kill(int(line), signal.SIGKILL)
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    result = restored(scratch, _spec(_slow(dumps, tmp_path)))
    killer.join()
    assert _names(result) == ["backup.dump.server_failed"]
    assert result["proofs"][0]["outcome"] == "cannot"


@pytest.mark.parametrize("moment", ["data/PG_VERSION", "s/.s.PGSQL.5432", "data/base/16*"])
def test_killed_at_any_step_the_next_run_leaves_nothing(
    dumps: Path, scratch: Path, tmp_path: Path, moment: str
) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.backups.postgresqls import restored;"
        "restored(Path(sys.argv[1]), {'name': 'shop', 'path': sys.argv[2]})"
    )
    root = Path(__file__).parents[2]
    child = subprocess.Popen([sys.executable, "-c", code, scratch, _slow(dumps, tmp_path)], cwd=root)
    deadline = time.monotonic() + 60
    while not list(scratch.glob("*/content/" + moment)):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.002)
    child.kill()
    child.wait()
    assert list(scratch.iterdir())
    result = restored(scratch, _spec(dumps / "shop.dump"))
    assert result["findings"] == []
    assert len(result["swept"]) == 1
    # What is left is looked at by the fixture: nothing.


def test_a_server_of_another_is_not_touched(dumps: Path, live: Production, scratch: Path) -> None:
    before = live.sql("SELECT system_identifier, pg_postmaster_start_time() FROM pg_control_system()")
    restored(scratch, _spec(dumps / "all.sql"))
    assert live.sql("SELECT system_identifier, pg_postmaster_start_time() FROM pg_control_system()") == before
    assert live.sql("SELECT count(*) FROM pg_roles WHERE rolname ~ '^upkeep'").strip() == "0"


# --- secrets -----------------------------------------------------------------------------------------------


def test_no_password_is_seen_anywhere(dumps: Path, live: Production, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "pgpass").write_text("*:*:*:*:tops3cret\n")
    (tmp_path / "pgpass").chmod(0o600)
    seen: list[bytes] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    data = path.read_bytes()
                except OSError:
                    continue
                if b"tops3cret" in data:
                    seen.append(data)

    watcher = threading.Thread(target=watch)
    watcher.start()
    there = {
        "socket": str(live.socket),
        "user": "postgres",
        "database": "shop",
        "password_file": str(tmp_path / "pgpass"),
    }
    result = restored(scratch, _spec(dumps / "shop.dump", live=there))
    over.set()
    watcher.join()
    assert seen == []
    assert "tops3cret" not in json.dumps(result)
    assert result["findings"] == []


# --- out of a snapshot -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repository(dumps: Path) -> Iterator[dict[str, Any]]:
    with place() as folder:
        (folder / "password").write_text("tops3cret\n")
        words = ["restic", "-q", "-r", str(folder / "repo"), "--password-file", str(folder / "password"), "--no-cache"]
        subprocess.run([*words, "init"], check=True)
        subprocess.run([*words, "backup", str(dumps)], check=True)
        yield {"name": "offsite", "repository": str(folder / "repo"), "password_file": str(folder / "password")}


@pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed")
@pytest.mark.parametrize("name", ["shop.sql", "shop.sql.zstd", "shop.dump", "shop.dir", "shop.tar", "shop.d?mp"])
def test_out_of_a_snapshot(dumps: Path, scratch: Path, repository: dict[str, Any], name: str) -> None:
    spec = {"name": "shop", "repository": "offsite", "path": str(dumps / name), "globals": str(dumps / "globals.sql")}
    result = restored(scratch, {**spec, "baseline": str(dumps / "baseline.json")}, repositories=[repository])
    assert json.dumps(result["findings"], indent=1) == "[]"
    facts = result["proofs"][0]["facts"]
    assert facts["rows"] == 3505
    assert len(facts["snapshot"]) == 64
    assert result["proofs"][0]["subject"] == f"offsite:{dumps / name}"


@pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed")
def test_a_snapshot_without_the_dump(dumps: Path, scratch: Path, repository: dict[str, Any]) -> None:
    spec = {"name": "shop", "repository": "offsite", "path": str(dumps / "gone.sql")}
    result = restored(scratch, spec, repositories=[repository])
    assert "created.sql" in _text(result, "backup.dump.missing")
    wrong = restored(scratch, {**spec, "path": "/elsewhere/x"}, repositories=[repository])
    assert str(dumps) in _text(wrong, "backup.dump.missing")
