# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mysql_restore_test with real servers: a customer's, its dumps in every state of decay, and the throw-away one."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import mysql, mysql_server, mysql_sql
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from tests.backups.mysqls import SHOP, Live, Result, needs, options, restored

pytestmark = [pytest.mark.mariadb, pytest.mark.timeout(300)]

FULL = ("--routines", "--events", "--triggers")


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    needs("mariadbd", "mariadb-install-db", "mariadb-dump", "mariadb-backup")
    with tempfile.TemporaryDirectory(prefix="upkeep-mysql-") as folder:
        os.chmod(folder, 0o755)
        server = Live(Path(folder) / "live")
        try:
            server.sql(SHOP)
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def dump(live: Live) -> bytes:
    return live.dump(*FULL, "shop")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A scratch place that only root may change, with all above it; nothing that ran in it is left."""
    with tempfile.TemporaryDirectory(prefix="upkeep-scratch-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder) / "scratch"
        assert servers(Path(folder)) == []


def servers(folder: Path) -> list[str]:
    """The programs whose command line names a folder."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            words = Path("/proc", name, "cmdline").read_bytes() if name.isdigit() else b""
            if os.fsencode(str(folder)) in words and b"mariadb" in words:
                found.append(words.decode("utf-8", "replace")[-300:])
    return found


def written(folder: Path, data: bytes, name: str = "shop.sql") -> dict[str, Any]:
    (folder / name).write_bytes(data)
    return {"path": str(folder / name)}


def baseline(live: Live, database: str = "shop") -> str:
    return live.sql(mysql_sql.BASELINE, database).stdout


# -- healthy -----------------------------------------------------------------------------------------------------------


def packed(program: list[str]) -> Callable[[bytes], bytes]:
    return lambda data: subprocess.run(program, input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("name", "pack"), [("shop.sql", bytes), ("shop.sql.gz", gzip.compress), ("shop.sql.zst", packed(["zstd", "-q"]))]
)
def test_a_healthy_dump_is_silent(
    live: Live, dump: bytes, tmp_path: Path, place: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "baseline").write_text(baseline(live))
    result = restored(
        place,
        {
            **written(tmp_path, pack(dump), name),
            "baseline": str(tmp_path / "baseline"),
            "live": {"socket": live.socket, "user": "root"},
            "newest": [{"table": "orders", "column": "created", "max_age_hours": 2}],
            "queries": [
                {"name": "orders", "query": "SELECT COUNT(*) FROM orders", "expected": "5000"},
                {"name": "a function", "query": "SELECT twice(21);", "at_least": 42, "at_most": 42},
            ],
            "max_seconds": 120,
        },
    )
    assert result["findings"] == []
    assert result["not_applicable"] == []
    for check in (
        "truncated",
        "load_errors",
        "rows_differ",
        "structure_differs",
        "constraint_violated",
        "query_differs",
    ):
        assert result.covers("backup.dump." + check)
    told = result["dumps"][0]
    assert (told["outcome"], told["tables"], told["rows"], told["errors"]) == ("passed", 3, 5502, 0)
    assert told["not_confined"] == []
    (proof,) = result["proofs"]
    assert (proof["check"], proof["outcome"], proof["subject"]) == (
        "backup.dump.load",
        "passed",
        f"shop:{tmp_path / name}",
    )
    assert [one["answer"] for one in proof["facts"]["queries"]] == ["5000", "42"]
    assert len(proof["facts"]["sha256"]) == 64


def test_the_data_are_the_same_byte_for_byte(live: Live, dump: bytes, tmp_path: Path, place: Path) -> None:
    """Names with quotes and line feeds, binary values, and text that looks like a dump's commands."""
    query = "SELECT MD5(GROUP_CONCAT(HEX(note) ORDER BY id)), COUNT(*) FROM orders"
    other = "SELECT GROUP_CONCAT(HEX(`key`), ':', COALESCE(HEX(`select`), '') ORDER BY `key`) FROM `odd``name'd\n§line`"
    there = [live.sql("SET group_concat_max_len=100000000;" + text, "shop").stdout.strip() for text in (query, other)]
    here = restored(
        place,
        {
            **written(tmp_path, dump),
            "queries": [
                {
                    "name": str(number),
                    "query": "SET SESSION group_concat_max_len=100000000; " + text,
                    "expected": answer,
                }
                for number, (text, answer) in enumerate(zip((query, other), there, strict=True))
            ],
        },
    )
    assert here["findings"] == []


@pytest.mark.parametrize(
    "kind", [["--databases", "shop"], ["--all-databases"], ["--all-databases", "--flush-privileges"]]
)
def test_a_dump_of_databases_or_of_the_whole_server(live: Live, tmp_path: Path, place: Path, kind: list[str]) -> None:
    """The accounts in it take the place of the throw-away server's own: it is started anew, and checked."""
    live.sql("CREATE USER IF NOT EXISTS app@'%' IDENTIFIED BY 'x'")
    live.sql("ALTER USER root@localhost IDENTIFIED BY 'production'")
    try:
        argv = ["mariadb-dump", "--no-defaults", "-uroot", "-pproduction", f"--socket={live.socket}", *FULL, *kind]
        data = subprocess.run([*argv, "--single-transaction"], capture_output=True, check=True).stdout
    finally:
        subprocess.run(
            [
                "mariadb",
                "--no-defaults",
                "-uroot",
                "-pproduction",
                f"--socket={live.socket}",
                "-e",
                "SET PASSWORD = ''",
            ],
            check=True,
        )
    (tmp_path / "baseline").write_text(baseline(live))
    result = restored(place, {**written(tmp_path, data), "baseline": str(tmp_path / "baseline")})
    assert result["findings"] == []
    assert result["dumps"][0]["rows"] == 5502


@pytest.mark.parametrize("how", ["--skip-comments", "--compact"])
def test_a_dump_without_comments(live: Live, tmp_path: Path, place: Path, how: str) -> None:
    data = live.dump(how, *FULL, "shop")
    result = restored(place, written(tmp_path, data))
    assert result["findings"] == []
    # Nothing tells the end of a compact one: that is said, not passed over.
    assert [one["check"] for one in result["not_applicable"]] == (
        ["backup.dump.truncated"] if how == "--compact" else []
    )
    if how == "--skip-comments":
        assert restored(place, written(tmp_path, data[:-300])).finding("backup.dump.truncated")


def test_check_mode_tells_and_restores_nothing(dump: bytes, tmp_path: Path, place: Path) -> None:
    result = restored(place, written(tmp_path, dump), check_mode=True)
    assert result["findings"] == []
    assert result["dumps"][0]["needs_bytes"] > len(dump)
    assert result["dumps"][0]["outcome"] == "not tested"
    assert "proofs" not in result
    assert not place.exists()


@pytest.mark.parametrize(
    ("data", "given", "check", "outcome"),
    [
        (b"", {}, "backup.dump.empty", "failed"),
        (b"mysqldump: Got error: 1045", {}, "backup.dump.not_sql", "failed"),
        (b"-- MariaDB dump 10.19-10.11.14-MariaDB\n", {"expected_bytes": 1 << 60}, "backup.dump.no_room", "cannot"),
    ],
)
def test_check_mode_tells_what_it_sees_already(
    tmp_path: Path, place: Path, data: bytes, given: dict[str, Any], check: str, outcome: str
) -> None:
    result = restored(place, {**written(tmp_path, data), **given}, check_mode=True, other_versions="any")
    assert result.checks() == [check]
    assert (result["dumps"][0]["outcome"], result["dumps"][0]["findings"]) == (outcome, [check])
    assert "proofs" not in result


# -- dumps -------------------------------------------------------------------------------------------------------------


def cut_in_a_line(data: bytes) -> bytes:
    return data[: data.index(b"INSERT INTO `orders`") + 5000]


def before_the_end(data: bytes) -> bytes:
    return data[: data.rindex(b"-- Dump completed")]


def at_the_end_of_a_statement(data: bytes) -> bytes:
    at = data.index(b"INSERT INTO `orders`")
    return data[: data.index(b";\n", data.index(b"');", at)) + 2]


def flipped(data: bytes) -> bytes:
    made = bytearray(gzip.compress(data))
    made[len(made) // 2] ^= 0xFF
    return bytes(made)


def another_version(version: bytes) -> Callable[[bytes], bytes]:
    return lambda data: re.sub(rb"(Server version\t|Distrib )10\.11\.\d+", rb"\g<1>" + version, data)


def statement(text: str) -> Callable[[bytes], bytes]:
    """The dump with another statement before its end."""

    def change(data: bytes) -> bytes:
        at = data.rindex(b"-- Dump completed")
        return data[:at] + text.encode() + b"\n" + data[at:]

    return change


@pytest.mark.parametrize(
    ("change", "check", "severity", "says"),
    [
        (cut_in_a_line, "truncated", "critical", "cut"),
        (before_the_end, "truncated", "critical", "cut"),
        (at_the_end_of_a_statement, "truncated", "critical", "cut"),
        (lambda data: before_the_end(data) + data, "truncated", "critical", "cut"),
        (lambda _: b"", "empty", "critical", "no bytes"),
        (lambda _: b" \n\n", "empty", "critical", "blanks"),
        (lambda _: gzip.compress(b""), "empty", "critical", "no bytes"),
        (
            lambda data: data[: data.index(b"-- Table structure")] + b"-- Dump completed on 2099-01-01  0:00:00\n",
            "empty",
            "critical",
            "no table",
        ),
        (
            lambda _: b"mysqldump: Got error: 2002: Can't connect to local server\n",
            "not_sql",
            "critical",
            "error message",
        ),
        (lambda _: b"<html>502 Bad Gateway</html>", "not_sql", "critical", "error message"),
        (
            lambda _: b"-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.1\n",
            "not_sql",
            "critical",
            "PostgreSQL",
        ),
        (lambda _: b"Salted__" + secrets.token_bytes(100), "not_sql", "critical", "encrypted"),
        (lambda _: secrets.token_bytes(5000), "not_sql", "critical", "not SQL"),
        (lambda data: gzip.compress(gzip.compress(data)), "not_sql", "critical", "twice"),
        (lambda data: gzip.compress(data)[:-2000], "corrupt", "critical", "cannot be read to its end"),
        (flipped, "corrupt", "critical", "cannot be read to its end"),
        (another_version(b"11.4.2"), "wrong_version", "high", "mariadb 11.4 is not loaded"),
        (another_version(b"10.6.18"), "wrong_version", "high", "mariadb 10.6 is not loaded"),
        (lambda data: data.replace(b"ENGINE=InnoDB", b"ENGINE=NoSuchEngine", 1), "load_errors", "high", "1 error"),
        (statement("INSERT INTO nowhere VALUES (1);"), "load_errors", "high", "1 error"),
        # The server ends beside the client: what follows at once might still be answered.
        (statement("SHUTDOWN;\nSELECT SLEEP(60);\nSELECT 2;"), "server_failed", "high", "ended"),
        (
            statement("SET FOREIGN_KEY_CHECKS=0; UPDATE orders SET customer = 99999 WHERE id IN (7, 9);"),
            "constraint_violated",
            "high",
            "1 foreign key",
        ),
        (statement("CREATE DEFINER=`gone`@`%` VIEW v AS SELECT 1;"), "role_missing", "medium", "1 account"),
        (statement("GRANT SELECT ON *.* TO gone;"), "role_missing", "medium", "accounts or roles"),
        (statement("DROP TABLE `odd``name'd\n§line`;"), "structure_differs", "high", "2 objects are"),
        (statement("DELETE FROM orders LIMIT 3;"), "rows_differ", "high", "1 table has not"),
        (statement("DROP INDEX created ON orders;"), "structure_differs", "high", "1 object"),
        (statement("DROP EVENT tidy;"), "structure_differs", "high", "1 object"),
        (statement("ALTER TABLE orders MODIFY total INT;"), "structure_differs", "medium", "1 object"),
    ],
)
def test_each_fault_of_a_dump_has_its_name(
    live: Live,
    dump: bytes,
    tmp_path: Path,
    place: Path,
    change: Callable[[bytes], bytes],
    check: str,
    severity: str,
    says: str,
) -> None:
    spec = written(tmp_path, change(dump))
    if check in ("rows_differ", "structure_differs"):
        (tmp_path / "baseline").write_text(baseline(live))
        spec["baseline"] = str(tmp_path / "baseline")
    result = restored(place, spec)
    found = result.finding("backup.dump." + check)
    assert (found["severity"], found["subject"]) == (severity, "shop:" + spec["path"])
    assert says in found["summary"]
    assert found["remedy"]
    # Nothing else is found: a dump that is cut has fewer tables, and errors in its last statement.
    others = {"backup.dump.load_errors", *(["backup.dump.rows_differ"] if check == "structure_differs" else [])}
    assert set(result.checks()) <= {"backup.dump." + check, *others}, result["findings"]
    (proof,) = result["proofs"]
    assert proof["outcome"] in ("failed", "cannot")


def test_an_error_is_told_with_its_line_and_what_the_dump_deals_with_there(
    dump: bytes, tmp_path: Path, place: Path
) -> None:
    data = dump.replace(b"INSERT INTO `customer` VALUES", b"INSERT INTO `custumer` VALUES")
    line = data[: data.index(b"INSERT INTO `custumer`")].count(b"\n") + 1
    found = restored(place, written(tmp_path, data)).finding("backup.dump.load_errors")
    assert found["evidence"][0].startswith(f"line {line} (rows of `customer`): 1100 Table 'custumer' was not locked")
    assert found["facts"]["errors"] == 1


def test_a_newer_server_is_taken_when_that_is_allowed(dump: bytes, tmp_path: Path, place: Path) -> None:
    older = written(tmp_path, another_version(b"10.6.18")(dump))
    result = restored(place, older, other_versions="newer")
    assert result.checks() == []
    assert result.finding("backup.dump.wrong_version")["severity"] == "info"
    newer = written(tmp_path, another_version(b"11.4.2")(dump))
    assert restored(place, newer, other_versions="newer").finding("backup.dump.wrong_version")["severity"] == "high"


def test_a_dump_that_is_not_there(tmp_path: Path, place: Path) -> None:
    assert restored(place, {"path": str(tmp_path / "none.sql")}).checks() == ["backup.dump.missing"]
    assert restored(place, {"path": str(tmp_path / "*.sql")}).checks() == ["backup.dump.missing"]


def test_the_newest_of_several_is_taken(dump: bytes, tmp_path: Path, place: Path) -> None:
    written(tmp_path, b"", "shop-1.sql")
    os.utime(tmp_path / "shop-1.sql", (0, 0))
    written(tmp_path, dump, "shop-2.sql")
    result = restored(place, {"path": str(tmp_path / "shop-*.sql")})
    assert result["findings"] == []
    assert result["dumps"][0]["file"] == str(tmp_path / "shop-2.sql")


@pytest.mark.parametrize("which", ["file", "trailer", "rows", "no rows"])
def test_stale_content(live: Live, dump: bytes, tmp_path: Path, place: Path, which: str) -> None:
    """However fresh the snapshot or the file, what counts is what the dump holds."""
    spec: dict[str, Any] = written(tmp_path, dump)
    if which == "file":
        old = time.time() - 10 * 86400
        os.utime(spec["path"], (old, old))
    elif which == "trailer":
        spec = written(tmp_path, re.sub(rb"(?<=-- Dump completed on )\d{4}", b"2020", dump))
    elif which == "rows":
        spec["newest"] = [{"table": "orders", "column": "created", "max_age_hours": 0.0001}]
    else:
        spec = written(tmp_path, statement("DELETE FROM orders;")(dump))
        spec["newest"] = [{"table": "orders", "column": "created"}]
    found = restored(place, spec).finding("backup.dump.stale")
    assert found["severity"] == "high"
    assert found["evidence"][0].startswith({"file": "the file", "trailer": "the dump"}.get(which, "newest created"))


def test_accounts_that_come_by_other_means_are_not_missed(live: Live, dump: bytes, tmp_path: Path, place: Path) -> None:
    data = statement("CREATE DEFINER=`it's`@`10.%` VIEW v AS SELECT 1;")(dump)
    assert restored(place, {**written(tmp_path, data), "accounts": ["it's@10.%"]})["findings"] == []


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"query": "SELECT COUNT(*) FROM orders", "expected": "5001"}, "another answer"),
        ({"query": "SELECT COUNT(*) FROM orders", "at_least": 5001}, "out of bounds"),
        ({"query": "SELECT 'x'", "at_most": 1}, "no number"),
        ({"query": "SELECT nothing FROM orders"}, "Unknown column 'nothing'"),
        ({"query": "SELECT id FROM orders WHERE id < 0"}, "no row"),
    ],
)
def test_a_query_with_another_answer(dump: bytes, tmp_path: Path, place: Path, query: dict[str, Any], why: str) -> None:
    result = restored(place, {**written(tmp_path, dump), "queries": [{"name": "count", **query}]})
    assert result.checks() == ["backup.dump.query_differs"]
    assert why in result.finding("backup.dump.query_differs")["evidence"][0]


def test_a_question_that_fails_is_not_another_answer(dump: bytes, tmp_path: Path, place: Path) -> None:
    newest = [{"table": "gone", "column": "created"}]
    queries = [{"name": "lost", "query": "SELECT 1 FROM lost"}, {"name": "fine", "query": "SELECT 1"}]
    result = restored(place, {**written(tmp_path, dump), "newest": newest, "queries": queries})
    assert result.checks() == ["backup.dump.query_differs"]
    found = result.finding("backup.dump.query_differs")
    assert found["summary"] == "2 of 3 queries failed, and got no answer."
    assert (
        "newest created of gone: no answer: " in found["evidence"][0] and "gone' doesn't exist" in found["evidence"][0]
    )


def test_it_yields_to_others(dump: bytes, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identify = mysql_server.ThrowAway._identify
    seen: list[tuple[int, str]] = []

    def look(self: mysql_server.ThrowAway) -> None:
        assert self.process is not None
        pid = self.process.pid
        seen.append((os.getpriority(os.PRIO_PROCESS, pid), Path(f"/proc/{pid}/oom_score_adj").read_text().strip()))
        identify(self)

    monkeypatch.setattr(mysql_server.ThrowAway, "_identify", look)
    assert restored(place, written(tmp_path, dump), nice=7)["findings"] == []
    assert seen == [(min(19, os.nice(0) + 7), "800")]


def test_a_view_whose_table_is_gone(dump: bytes, tmp_path: Path, place: Path) -> None:
    data = statement("SET FOREIGN_KEY_CHECKS=0; DROP TABLE orders;")(dump)
    found = restored(place, written(tmp_path, data)).finding("backup.dump.structure_differs")
    assert "shop.big" in found["evidence"][0]


def test_the_live_server_holds_more(live: Live, dump: bytes, tmp_path: Path, place: Path) -> None:
    spec = {
        **written(tmp_path, statement("DELETE FROM orders LIMIT 3000;")(dump)),
        "live": {"socket": live.socket, "user": "root"},
    }
    result = restored(place, spec)
    assert result.checks() == ["backup.dump.rows_differ"]
    assert result.finding("backup.dump.rows_differ")["evidence"] == ["shop.orders: 2000 rows, expected 5000"]


def test_a_live_server_that_refuses_is_told(live: Live, dump: bytes, tmp_path: Path, place: Path) -> None:
    spec = {**written(tmp_path, dump), "live": {"socket": live.socket, "user": "nobody-here", "password": "hunter22"}}
    result = restored(place, spec)
    assert result.checks() == ["backup.check.not_run"]
    assert "hunter22" not in json.dumps(result)


# -- hostile dumps -----------------------------------------------------------------------------------------------------

HOSTILE = r"""
\! touch MARK/client
system touch MARK/client
source MARK/secret
\. MARK/secret
tee MARK/tee
pager touch MARK/pager
SELECT 1;
LOAD DATA LOCAL INFILE 'MARK/secret' INTO TABLE customer;
LOAD DATA INFILE 'MARK/secret' INTO TABLE customer;
CREATE TABLE leak AS SELECT LOAD_FILE('MARK/secret') AS content;
SELECT 'x' INTO OUTFILE 'MARK/outfile';
SELECT 'x' INTO DUMPFILE 'MARK/dumpfile';
SET GLOBAL general_log_file = 'MARK/log'; SET GLOBAL general_log = 1; SELECT 'logged';
SET GLOBAL slow_query_log_file = 'MARK/slow'; SET GLOBAL slow_query_log = 1;
CREATE TABLE aside (i INT) ENGINE=MyISAM DATA DIRECTORY = 'MARK' INDEX DIRECTORY = 'MARK';
CREATE TABLE aside2 (i INT) ENGINE=InnoDB DATA DIRECTORY = 'MARK';
CREATE FUNCTION sys_exec RETURNS INTEGER SONAME 'lib_mysqludf_sys.so';
INSTALL SONAME 'ha_federatedx';
INSTALL SONAME 'handlersocket';
INSTALL SONAME 'file_key_management';
SET GLOBAL secure_file_priv = '';
SET GLOBAL local_infile = 1;
LOAD DATA LOCAL INFILE 'MARK/secret' INTO TABLE customer;
SET GLOBAL event_scheduler = ON;
CHANGE MASTER TO MASTER_HOST = 'localhost', MASTER_USER = 'root', MASTER_PORT = 3306; START SLAVE;
CREATE USER evil@'%' IDENTIFIED BY 'evil'; GRANT ALL ON *.* TO evil@'%';
BACKUP STAGE START;
"""


def test_a_hostile_dump_reaches_nothing(live: Live, dump: bytes, tmp_path: Path, place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="upkeep-mark-", dir="/var/tmp") as folder:
        mark = Path(folder)
        os.chmod(mark, 0o777)  # anybody may write here: what keeps it clean is not the account
        (mark / "secret").write_text("the crown jewels\n")
        before = live.sql("SHOW PROCESSLIST").stdout.count("\n")
        result = restored(
            place,
            {
                **written(tmp_path, statement(HOSTILE.replace("MARK", folder))(dump)),
                "queries": [
                    {
                        "name": "leak",
                        "query": "SELECT COUNT(*) FROM leak WHERE content LIKE '%jewels%'",
                        "expected": "0",
                    },
                    {
                        "name": "rows",
                        "query": "SELECT COUNT(*) FROM customer WHERE name LIKE '%jewels%'",
                        "expected": "0",
                    },
                    {"name": "functions", "query": "SELECT COUNT(*) FROM mysql.func", "expected": "0"},
                    {
                        "name": "plugins",
                        "query": "SELECT GROUP_CONCAT(PLUGIN_NAME) FROM information_schema.PLUGINS "
                        "WHERE PLUGIN_LIBRARY IS NOT NULL",
                        "expected": "NULL",
                    },
                    {"name": "read back", "query": f"SELECT LOAD_FILE('{folder}/secret')", "expected": "NULL"},
                ],
            },
        )
        assert sorted(path.name for path in mark.iterdir()) == ["secret"]
        assert live.sql("SHOW PROCESSLIST").stdout.count("\n") == before
    assert "crown jewels" not in json.dumps(result)
    assert "backup.dump.query_differs" not in result.checks(), result["findings"]
    found = result.finding("backup.dump.load_errors")
    assert "asks for files or libraries" in found["remedy"]
    assert any("secure-file-priv" in line for line in found["evidence"])


def test_a_hostile_dump_that_never_ends_is_ended(tmp_path: Path, place: Path, dump: bytes) -> None:
    result = restored(place, written(tmp_path, statement("SELECT SLEEP(600);")(dump)), idle_timeout=3, timeout=60)
    found = result.finding("backup.dump.server_failed")
    assert "idle" in found["summary"]


def test_terminal_escapes_do_not_reach_the_reader(dump: bytes, tmp_path: Path, place: Path) -> None:
    data = statement("INSERT INTO `no\x1b[2Jwhere\x07` VALUES (1);")(dump)
    result = restored(place, written(tmp_path, data))
    assert "\\u001b" not in json.dumps(result) and "\\u0007" not in json.dumps(result)


# -- the server --------------------------------------------------------------------------------------------------------


def test_no_room(dump: bytes, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="upkeep-small-", dir="/var/tmp") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m,mode=755", "none", folder], check=True)
        try:
            found = restored(Path(folder) / "scratch", written(tmp_path, dump)).finding("backup.dump.no_room")
            assert "needs room for" in found["evidence"][0]
        finally:
            subprocess.run(["umount", folder], check=True)


def test_room_that_runs_out_while_it_loads(tmp_path: Path) -> None:
    """Said to be small, it is large: loading stops while there is room left for others."""
    with tempfile.TemporaryDirectory(prefix="upkeep-small-", dir="/var/tmp") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=560m,mode=755", "none", folder], check=True)
        try:
            row = b"INSERT INTO t VALUES (NULL,'" + b"x" * 8000 + b"');\n"
            data = b"CREATE TABLE t (i INT AUTO_INCREMENT PRIMARY KEY, x TEXT);\n" + row * 40000
            result = restored(Path(folder) / "scratch", {**written(tmp_path, data), "expected_bytes": 1000})
            assert "backup.dump.no_room" in result.checks(), result["findings"]
        finally:
            subprocess.run(["umount", folder], check=True)


def test_no_server_of_that_kind(dump: bytes, tmp_path: Path, place: Path) -> None:
    result = restored(place, written(tmp_path, dump), server_folder=str(tmp_path))
    assert result.checks() == ["backup.dump.no_server"]
    assert "apt-get install" in result.finding("backup.dump.no_server")["remedy"]


@pytest.mark.parametrize("body", ["echo 'Fatal: no data for you' >&2; exit 3", "sleep 600"])
def test_a_server_that_does_not_start(
    dump: bytes, tmp_path: Path, place: Path, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql, "STARTS", 3.0)
    monkeypatch.setattr(
        mysql_server, "FOLDERS", ("/usr/sbin", "/usr/bin", "/usr/libexec", "/usr/local/sbin", "/usr/local/bin")
    )
    with tempfile.TemporaryDirectory(prefix="upkeep-server-", dir="/opt") as folder:
        os.chmod(folder, 0o755)
        binaries = Path(folder) / "bin"
        binaries.mkdir()
        fake = binaries / "mariadbd"
        fake.write_text(f'#!/bin/sh\n[ "$2" = --version ] && exec /usr/sbin/mariadbd --version\n{body}\n')
        (binaries / "mariadb-install-db").write_text("#!/bin/sh\nexit 0\n")
        for name in ("mariadbd", "mariadb-install-db"):
            (binaries / name).chmod(0o755)
        (binaries / "mariadb").symlink_to("/usr/bin/mariadb")
        found = restored(place, written(tmp_path, dump), server_folder=str(binaries)).finding(
            "backup.dump.server_failed"
        )
    assert "ended while it started" in found["summary"] or "was not ready" in found["summary"]
    if "echo" in body:
        assert found["evidence"] == ["Fatal: no data for you"]


def test_another_server_on_the_socket_is_refused(
    live: Live, dump: bytes, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket leads to the customer's server: nothing is loaded into it."""
    before = live.sql("SELECT COUNT(*) FROM shop.orders").stdout

    def strange(self: mysql_server.ThrowAway) -> bool:
        with contextlib.suppress(OSError):
            os.symlink(live.socket, self._path("sock"))
        return listens(self)

    listens = mysql_server.ThrowAway._listens
    monkeypatch.setattr(mysql_server.ThrowAway, "_listens", strange)
    data = dump.replace(b"DROP TABLE IF EXISTS", b"DROP TABLE")
    result = restored(place, written(tmp_path, data))
    assert result.checks() == ["backup.dump.not_throwaway"]
    assert result.finding("backup.dump.not_throwaway")["severity"] == "critical"
    assert live.sql("SELECT COUNT(*) FROM shop.orders").stdout == before


def test_the_server_is_killed_while_it_loads(live: Live, dump: bytes, tmp_path: Path, place: Path) -> None:
    data = statement("SELECT SLEEP(5);\n" + "SELECT 1;\n" * 1000)(dump)
    killer = threading.Thread(target=kill_the_server, args=(place,))
    killer.start()
    result = restored(place, written(tmp_path, data))
    killer.join()
    found = result.finding("backup.dump.server_failed")
    assert "ended" in found["summary"]
    assert set(result.checks()) == {"backup.dump.server_failed"}


def kill_the_server(place: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                words = Path("/proc", name, "cmdline").read_bytes().split(b"\0") if name.isdigit() else []
                line = b" ".join(words)
                if words[:1] == [b"/usr/sbin/mariadbd"] and os.fsencode(str(place)) in line and b"--init-file" in line:
                    time.sleep(2)
                    os.kill(int(name), signal.SIGKILL)
                    return
        time.sleep(0.05)


# -- killed, and secrets -----------------------------------------------------------------------------------------------

MODULE = """
import json, sys
sys.path.insert(0, %r)
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import mysql
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import cancellable
with cancellable():
    json.dump(mysql.review(Host(), json.load(sys.stdin)), sys.stdout)
"""


def started(params: dict[str, Any]) -> subprocess.Popen[bytes]:
    root = str(Path(mysql.__file__).resolve().parents[3])
    links = next(path for path in sys.path if (Path(path) / "ansible_collections" / "upkeep").exists())
    del root
    process = subprocess.Popen(
        [sys.executable, "-c", MODULE % links], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(dict(params, check_mode=False)).encode())
    process.stdin.close()
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.3, 0.7, 1.2, 1.8, 2.5])
def test_killed_at_any_step_nothing_is_left_after_the_next_run(
    live: Live, dump: bytes, tmp_path: Path, place: Path, number: signal.Signals, delay: float
) -> None:
    data = statement("SELECT SLEEP(3);")(dump)
    process = started(options(dumps=[{"name": "shop", **written(tmp_path, data)}], scratch=str(place)))
    time.sleep(delay)
    process.send_signal(number)
    process.wait(30)
    assert process.stdout is not None
    process.stdout.close()
    # The server dies with the module, by the kernel; SIGTERM lets it clean up itself.
    deadline = time.monotonic() + 10
    while servers(place) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers(place) == []
    if number == signal.SIGTERM:
        assert not place.exists() or list(place.iterdir()) == []
    result = restored(place, {"path": str(tmp_path / "none.sql")})
    assert result.checks() == ["backup.dump.missing"]


def test_no_password_in_a_command_line(live: Live, dump: bytes, tmp_path: Path, place: Path) -> None:
    secret = "hunter2-" + secrets.token_hex(8)
    live.sql(
        f"CREATE OR REPLACE USER reader@localhost IDENTIFIED BY '{secret}'; GRANT SELECT ON *.* TO reader@localhost"
    )
    params = options(
        dumps=[
            {
                "name": "shop",
                **written(tmp_path, dump),
                "live": {"socket": live.socket, "user": "reader", "password": secret},
                "queries": [{"name": "n", "query": "SELECT SLEEP(0.5)"}],
            }
        ],
        scratch=str(place),
    )
    process = started(params)
    seen = set()
    while process.poll() is None:
        for name in filter(str.isdigit, os.listdir("/proc")):
            for file in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    content = Path("/proc", name, file).read_bytes()
                    seen.add(content)
        time.sleep(0.01)
    assert process.stdout is not None
    out = process.stdout.read()
    process.stdout.close()
    assert any(b"--defaults-file=/proc/self/fd/" in content for content in seen)
    assert not [content for content in seen if secret.encode() in content]
    assert secret.encode() not in out
    assert json.loads(out)["findings"] == []


def test_the_same_dump_twice_gives_the_same(dump: bytes, tmp_path: Path, place: Path) -> None:
    spec = written(tmp_path, dump)
    first, second = restored(place, spec), restored(place, spec)
    assert first["coverage"] == second["coverage"]
    assert first["proofs"][0]["facts"]["sha256"] == second["proofs"][0]["facts"]["sha256"]
    assert isinstance(first, Result)


def test_servers_are_found() -> None:
    (found,) = [one for one in mysql_server.find(Host()) if one.server == "/usr/sbin/mariadbd"]
    assert (found.engine, found.major, found.client) == ("mariadb", "10.11", "/usr/bin/mariadb")


# -- physical backups --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def physical(live: Live) -> Path:
    target = live.folder / "physical"
    argv = ["mariadb-backup", "--no-defaults", "--backup", "--user=root", f"--socket={live.socket}"]
    argv += [f"--target-dir={target}", f"--datadir={live.data}"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert "completed OK!" in done.stderr[-200:], done.stderr[-2000:]
    return target


def test_a_physical_backup(live: Live, physical: Path, tmp_path: Path, place: Path) -> None:
    (tmp_path / "baseline").write_text(baseline(live))
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in physical.rglob("*"))
    queries = [{"name": "n", "query": "SELECT COUNT(*) FROM orders", "expected": "5000"}]
    spec = {"path": str(physical), "kind": "physical", "baseline": str(tmp_path / "baseline"), "queries": queries}
    result = restored(place, spec)
    assert result["findings"] == []
    assert (result["dumps"][0]["outcome"], result["dumps"][0]["rows"]) == ("passed", 5502)
    assert result["proofs"][0]["check"] == "backup.archive.recover"
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in physical.rglob("*")) == before


@pytest.mark.parametrize("fault", ["no notes", "table flipped", "log cut", "data cut", "incremental"])
def test_a_physical_backup_that_is_broken(physical: Path, tmp_path: Path, place: Path, fault: str) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(physical), str(copy)], check=True)
    notes = next(path for path in copy.iterdir() if path.name.endswith("_checkpoints"))
    if fault == "no notes":
        notes.unlink()
    elif fault == "incremental":
        notes.write_text(notes.read_text().replace("full-backuped", "incremental"))
    elif fault == "table flipped":
        # Prepared first: the log that is copied along would bring these pages back as they were.
        argv = ["mariadb-backup", "--no-defaults", "--prepare", f"--target-dir={copy}"]
        subprocess.run(argv, capture_output=True, check=True)
        table = copy / "shop" / "orders.ibd"
        data = bytearray(table.read_bytes())
        data[5 * 16384 + 3000 : 5 * 16384 + 3100] = b"\xff" * 100
        table.write_bytes(data)
    elif fault == "log cut":
        os.truncate(copy / "ib_logfile0", 100)
    else:
        os.truncate(copy / "ibdata1", 5000000)
    result = restored(place, {"path": str(copy), "kind": "physical"})
    allowed = {
        "no notes": {"backup.archive.incomplete"},
        "incremental": {"backup.archive.incomplete"},
        "table flipped": {"backup.dump.index_corrupt", "backup.archive.corrupt"},
        "log cut": {"backup.archive.corrupt"},
        "data cut": {"backup.archive.corrupt", "backup.dump.server_failed"},
    }[fault]
    assert set(result.checks()) & allowed, result["findings"]
    assert {one["severity"] for one in result["findings"]} <= {"critical", "high", "medium"}
    assert result["proofs"][0]["outcome"] in ("failed", "cannot")


# -- out of restic -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def repository(live: Live, dump: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A restic repository of a folder with dumps, by the host's own restic, and the physical backup."""
    needs("restic")
    folder = tmp_path_factory.mktemp("restic")
    source = folder / "dumps"
    source.mkdir()
    (source / "shop.sql").write_bytes(dump)
    (source / "shop.sql.zst").write_bytes(packed(["zstd", "-q"])(dump))
    environment = dict(os.environ, RESTIC_PASSWORD="correct horse", RESTIC_REPOSITORY=str(folder / "repository"))
    for words in (["init"], ["backup", str(source)]):
        subprocess.run(["restic", "--quiet", *words], env=environment, check=True, capture_output=True)
    (folder / "password").write_text("correct horse")
    shutil.rmtree(source)
    return {
        "name": "offsite",
        "repository": str(folder / "repository"),
        "password_file": str(folder / "password"),
        "source": str(source),
    }


@pytest.mark.parametrize("name", ["shop.sql", "shop.sql.zst", "shop*.zst"])
def test_straight_out_of_a_restic_snapshot(repository: dict[str, Any], place: Path, name: str) -> None:
    params = {key: value for key, value in repository.items() if key != "source"}
    spec = {"path": f"{repository['source']}/{name}", "repository": "offsite"}
    result = restored(place, spec, repositories=[params])
    assert result["findings"] == []
    assert result["dumps"][0]["rows"] == 5502
    assert result["proofs"][0]["subject"] == f"offsite:{repository['source']}/{name}"
    assert len(result["proofs"][0]["facts"]["snapshot"]) == 8


def test_a_dump_that_the_snapshot_lacks(repository: dict[str, Any], place: Path) -> None:
    params = {key: value for key, value in repository.items() if key != "source"}
    spec = {"path": f"{repository['source']}/other.sql", "repository": "offsite"}
    assert restored(place, spec, repositories=[params]).checks() == ["backup.dump.missing"]


def test_a_repository_that_does_not_open(repository: dict[str, Any], place: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong")
    params = {"name": "offsite", "repository": repository["repository"], "password_file": str(tmp_path / "password")}
    spec = {"path": f"{repository['source']}/shop.sql", "repository": "offsite"}
    assert restored(place, spec, repositories=[params]).checks() == ["backup.repository.wrong_password"]
