# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is thought about dumps of MariaDB and MySQL, without any server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import confine, mysql_judge, mysql_sql
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.borg import permissions, sources
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.mysql_dump import Watch, choose

DUMP = b"""/*M!999999\\- enable the sandbox mode */
-- MariaDB dump 10.19  Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: shop
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;
-- Table structure for table `orders`
CREATE TABLE `orders` (
  `id` int
);
-- Dumping data for table `orders`
INSERT INTO `orders` VALUES (1),
(2);
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;

-- Dump completed on 2026-11-22 18:47:10
"""


@pytest.mark.parametrize("size", [1, 3, 64, 400, 10_000])
def test_sections_and_lines_do_not_depend_on_how_the_dump_comes(size: int) -> None:
    data = DUMP.replace(b"(1),", b"(1),('" + b"x" * 3000 + b"'),")
    watch = Watch()
    for start in range(0, len(data), size):
        watch.take(data[start : start + size])
    watch.take(b"")
    passed = watch.passed(data[-8192:])
    assert (passed.lines, passed.headers, passed.trailers, passed.complete) == (data.count(b"\n"), 1, 1, True)
    sections = [watch.section(line) for line in (1, 5, 6, 9, 10, 12)]
    assert sections == ["", "", "table `orders`", "table `orders`", "rows of `orders`", "rows of `orders`"]


@pytest.mark.parametrize(
    ("data", "complete"),
    [
        (DUMP, True),
        (DUMP[:-60], False),
        (DUMP[:-60] + DUMP, False),
        (DUMP + DUMP, True),
        (b"\n".join(line for line in DUMP.split(b"\n") if not line.startswith(b"--")), True),
        (b"\n".join(line for line in DUMP.split(b"\n") if not line.startswith(b"--"))[:-50], False),
        (b"CREATE TABLE t (i INT);\n", None),
    ],
)
def test_whether_it_goes_on_to_its_end(data: bytes, complete: bool | None) -> None:
    watch = Watch()
    watch.take(data)
    watch.take(b"")
    assert watch.passed(data[-8192:]).complete is complete


@pytest.mark.parametrize(
    ("engine", "wanted", "offered", "others", "expected"),
    [
        ("mariadb", "10.11", [("mariadb", "10.6"), ("mariadb", "10.11")], "refuse", (1, "same")),
        ("mariadb", "10.6", [("mariadb", "10.11")], "refuse", (None, "newer")),
        ("mariadb", "10.6", [("mariadb", "11.4"), ("mariadb", "10.11")], "newer", (1, "newer")),
        ("mariadb", "11.4", [("mariadb", "10.11")], "newer", (None, "older")),
        ("mariadb", "11.4", [("mariadb", "10.11")], "any", (0, "older")),
        ("mysql", "8.0", [("mariadb", "10.11")], "newer", (None, "other")),
        ("", "", [("mariadb", "10.6"), ("mariadb", "10.11")], "refuse", (1, "unknown")),
        ("mariadb", "10.11", [], "any", (None, "")),
    ],
)
def test_which_server_is_taken(
    engine: str, wanted: str, offered: list[tuple[str, str]], others: str, expected: tuple[int | None, str]
) -> None:
    assert choose(engine, wanted, offered, others) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"ERROR 1146 (42S02) at line 12: Table 'a.b' doesn't exist", (1146, 12, "Table 'a.b' doesn't exist")),
        (b"ERROR 2013 (HY000) at line 5: Lost connection", (2013, 5, "Lost connection")),
        (b"ERROR at line 7: Unknown command '\\!'.", (0, 7, "Unknown command '\\!'.")),
        (b"ERROR 2002 (HY000): Can't connect", (2002, 0, "Can't connect")),
        (b"INSERT INTO t VALUES ('ERROR 1 (1) at line 1: x')", None),
        (b"--------------", None),
    ],
)
def test_complaints(line: bytes, expected: tuple[int, int, str] | None) -> None:
    told = mysql_sql.complaint(line)
    assert (None if told is None else tuple(told)) == expected


def test_names_and_answers() -> None:
    assert mysql_sql.name("a`b", "c.d") == "`a``b`.`c.d`"
    assert mysql_sql.account("it's@10.%") == "'it''s'@'10.%'"
    assert mysql_sql.rows(b"a\\tb\tNULL\nc\\\\n\\n\t\n") == [["a\tb", "NULL"], ["c\\n\n", ""]]
    rows = [["@0"], ["1"], ["@1"], ["@7"], ["@2"]]
    assert mysql_sql.parted(rows, 4) == [[["1"]], [["@7"]], [], None]


@pytest.mark.parametrize(
    ("spec", "rows", "ok"),
    [
        ({"expected": "5\tx"}, [["5", "x"]], True),
        ({"expected": "5"}, [["6"]], False),
        ({"at_least": 5.0}, [["5"]], True),
        ({"at_least": 5.0}, [["nan"]], False),
        ({"at_most": 5.0}, [["5.01"]], False),
        ({"at_most": 5.0}, [], False),
        ({}, [["x"]], True),
        ({}, [], False),
    ],
)
def test_answers_are_held_against_what_is_expected(spec: dict[str, object], rows: list[list[str]], ok: bool) -> None:
    assert mysql_judge.asked({"name": "n", "query": "q", **spec}, rows, "", 0.0).ok is ok


def test_errors_are_counted_beyond_those_that_are_kept() -> None:
    errors = mysql_judge.Errors()
    for line in range(5000):
        errors.take(mysql_sql.Complaint(1062 if line % 2 else 1064, line, "x"))
    assert (errors.total, len(errors.kept), errors.codes) == (5000, 40, {1064: 2500, 1062: 2500})


def test_words_of_borg() -> None:
    assert sources(["borg", "create", "--stats", "/r::a-{now}", "/srv", "--exclude", "/etc"]) == ("/etc", "/srv")
    assert sources(["borg", "list"]) == ()
    modes = [permissions(text) for text in ("-rwsr-xr-T", "drwxrwxrwt", "hrw-r-S---", "odd")]
    assert modes == [0o5754, 0o1777, 0o2640, None]


def test_a_confined_program_writes_nowhere_else(tmp_path: Path) -> None:
    if not confine.protections().files:
        pytest.skip("this kernel has no Landlock")
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        folder.chmod(0o777)
    script = f"echo x >{inside}/a; echo x >{outside}/a; cat {outside}/../outside/secret; cat /etc/shadow; id -u"
    (outside / "secret").write_text("secret")
    argv = confine.confined(["/bin/sh", "-c", script], write=[str(inside)], cwd=str(inside))
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.stdout == f"{os.geteuid()}\n"
    assert (inside / "a").exists() and not (outside / "a").exists()
