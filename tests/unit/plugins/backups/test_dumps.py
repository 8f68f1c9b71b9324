# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dump is, told by its first and last bytes. Every text is as the programs write it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import dumps

PG = b"""--
-- PostgreSQL database dump
--

\\restrict gJMDuTCdnl8DKka0L4QBPAtq2hdsfAlGwJmHFkeq33fLT95POPTXWMzWs9kZOUr

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

-- Started on 2026-11-22 18:07:22 UTC

SET statement_timeout = 0;
\\connect shop
"""
PG_OLD = b"""--
-- PostgreSQL database dump
--

-- Dumped from database version 9.6.24
-- Dumped by pg_dump version 9.6.24

SET statement_timeout = 0;
"""
PG_ALL = b"""--
-- PostgreSQL database cluster dump
--

SET default_transaction_read_only = off;
"""
PG_END = b"-- PostgreSQL database dump complete\n--\n"
MYSQL = b"""-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
--
-- Host: localhost    Database: shop
-- ------------------------------------------------------
-- Server version\t8.0.36-0ubuntu0.22.04.1

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
"""
MYSQL_84 = b"""-- MySQL dump 10.13  Distrib 8.4.2, for Linux (x86_64)
--
-- Host: 127.0.0.1    Database:
-- ------------------------------------------------------
-- Server version\t8.4.2

--
-- Current Database: `shop`
--
"""
MARIADB = b"""/*M!999999\\- enable the sandbox mode */
-- MariaDB dump 10.19  Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: shop
-- ------------------------------------------------------
-- Server version\t5.5.5-10.11.14-MariaDB-0+deb12u2
"""
MARIADB_11 = b"""/*M!999999\\- enable the sandbox mode */
-- MariaDB dump 10.20-12.0.2-MariaDB, for Linux (x86_64)
--
-- Host: localhost    Database: shop
-- ------------------------------------------------------
-- Server version\t12.0.2-MariaDB
"""


@pytest.mark.parametrize(
    ("head", "engine", "major", "database", "cluster"),
    [
        (PG, "postgresql", "15", "shop", False),
        (PG_OLD, "postgresql", "9.6", "", False),
        (PG_ALL, "postgresql", "", "", True),
        (MYSQL, "mysql", "8.0", "shop", False),
        (MYSQL_84, "mysql", "8.4", "", True),
        (MARIADB, "mariadb", "10.11", "shop", False),
        (MARIADB_11, "mariadb", "12.0", "shop", False),
        (b"SET NAMES utf8;\nCREATE TABLE a (id int);\n", "", "", "", False),
        (b"\xef\xbb\xbf/* my own */ INSERT INTO a VALUES (1);", "", "", "", False),
        (b"mysqldump: [Warning] Using a password on the command line\n" + MYSQL, "mysql", "8.0", "shop", False),
    ],
)
def test_a_plain_dump_tells_what_it_is(head: bytes, engine: str, major: str, database: str, cluster: bool) -> None:
    dump = dumps.identify(head)
    assert (dump.fault, dump.format) == ("", "plain")
    assert (dump.engine, dump.major, dump.database, dump.cluster) == (engine, major, database, cluster)


def test_a_verbose_dump_tells_when_it_began() -> None:
    assert dumps.identify(PG).written == 1795370842.0


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (b"", "empty"),
        (b"\n \r\n\t\n", "empty"),
        (b"\0" * 4096, "empty"),
        (b'pg_dump: error: connection to server on socket "/run/.s.PGSQL.5432" failed: No such file', "error_text"),
        (b"/usr/bin/pg_dump: error: query failed", "error_text"),
        (b"mysqldump: Got error: 1045: Access denied for user 'backup'@'localhost'", "error_text"),
        (b"bash: line 1: pg_dump: command not found\n", "error_text"),
        (b"Error response from daemon: No such container: db\n", "error_text"),
        (b"Password: \n", "error_text"),
        (b"<!DOCTYPE html><html>503</html>", "error_text"),
        (b'{"error": "forbidden"}', "error_text"),
        (b"-----BEGIN PGP MESSAGE-----\n", "encrypted"),
        (b"age-encryption.org/v1\n-> X25519", "encrypted"),
        (gzip.compress(b"SELECT 1;"), "compressed"),
        (b"\x7fELF\x02\x01\x01\0\0", "not_sql"),
        (b"Dear colleagues,\nthe backup\n", "not_sql"),
        (b"%PDF-1.7\n", "not_sql"),
    ],
)
def test_what_is_no_dump_is_told_apart(head: bytes, fault: str) -> None:
    dump = dumps.identify(head)
    assert dump.fault == fault
    assert dump.why


def test_an_error_text_is_shown() -> None:
    assert dumps.identify(b"pg_dump: error: boom\nmore\n").evidence == ("pg_dump: error: boom", "more")


@pytest.mark.parametrize(
    ("head", "tail", "complete"),
    [
        (PG_OLD, b"COMMIT;\n--\n" + PG_END + b"\n", True),
        (PG, b"--\n" + PG_END + b"\n\\unrestrict gJMDuTCdnl8DKka0L4QBPAtq2hdsfAlGwJmHFkeq33fLT95\n\n", True),
        (PG, b"--\r\n-- PostgreSQL database dump complete\r\n--\r\n\r\n", True),
        (PG, b"--\n" + PG_END + b"\npg_dump: error: gone\n", False),
        (PG, b"17\tsome text\n18\tcut in mid-li", False),
        (PG, b"18\tcut at the end of a line\n", False),
        (PG, b"\\.\n\n\n", False),
        (PG, b"", False),
        # The last database of the cluster is complete, the cluster is not.
        (PG_ALL, b"--\n" + PG_END + b"\n", False),
        (PG_ALL, b"--\n" + PG_END + b"\n--\n-- PostgreSQL database cluster dump complete\n--\n\n", True),
        (MYSQL, b"-- Dump completed on 2026-11-22 18:00:01\n", True),
        (MYSQL, b"-- Dump completed on 2026-11-22  8:00:01\n", True),
        (MYSQL, b"-- Dump completed\n", True),
        (MYSQL, b"UNLOCK TABLES;\n", False),
        (MARIADB, b"INSERT INTO `a` VALUES (1,'-- Dump completed');\n", False),
        (b"SET NAMES utf8;\n", b"INSERT INTO a VALUES (1);\n", None),
    ],
)
def test_the_trailer_tells_whether_it_is_complete(head: bytes, tail: bytes, complete: bool | None) -> None:
    assert dumps.ending(dumps.identify(head), tail).complete is complete


def test_the_trailer_tells_when_it_was_written() -> None:
    written = dumps.ending(dumps.identify(MYSQL), b"-- Dump completed on 2026-11-22 18:00:01\n").written
    assert written == time.mktime((2026, 11, 22, 18, 0, 1, 0, 0, -1))
    completed = b"-- Completed on 2026-11-22 18:07:22 UTC\n\n--\n" + PG_END
    assert dumps.ending(dumps.identify(PG), completed).written == 1795370842.0


def _integer(value: int) -> bytes:
    return bytes([0]) + value.to_bytes(4, "little")


def _header(version: bytes, kind: int, packing: bytes) -> bytes:
    def text(value: str) -> bytes:
        return _integer(len(value)) + value.encode()

    moment = b"".join(_integer(value) for value in (21, 7, 18, 22, 10, 126, 0))
    names = text("shop") + text("15.18 (Debian)") + text("16.2")
    return b"PGDMP" + version + bytes([4, 8, kind]) + packing + moment + names


@pytest.mark.parametrize(
    ("version", "packing"),
    [(b"\x01\x0e\x00", bytes([1]) + (1).to_bytes(4, "little")), (b"\x01\x0f\x00", b"\x01"), (b"\x01\x10\x00", b"\x01")],
)
def test_an_archive_tells_by_its_header(version: bytes, packing: bytes) -> None:
    header = _header(version, 1, packing)
    dump = dumps.identify(header + b"\0" * 100)
    assert (dump.engine, dump.format, dump.fault) == ("postgresql", "custom", "")
    assert (dump.database, dump.major, dump.tool_version) == ("shop", "15", "16.2")
    assert dump.written == time.mktime((2026, 11, 22, 18, 7, 21, 0, 0, 0))
    for length in range(5, len(header)):
        assert dumps.identify(header[:length]).fault == "truncated"
    assert dumps.identify(_header(version, 3, packing)).format == "directory"


def test_a_tar_is_one_of_pg_dump_by_its_first_member() -> None:
    member = b"toc.dat".ljust(257, b"\0") + b"ustar0000"
    dump = dumps.identify(member.ljust(512, b"\0") + _header(b"\x01\x0e\x00", 3, b"\0" * 5))
    assert (dump.format, dump.major) == ("tar", "15")


@pytest.mark.parametrize(
    ("packed", "kind"),
    [(gzip.compress(PG), "gz"), (lzma.compress(PG), "xz"), (bz2.compress(PG), "bz2"), (PG, "")],
)
def test_compressed_heads_are_unpacked(packed: bytes, kind: str) -> None:
    assert dumps.compression(packed) == kind
    assert dumps.unpack_head(packed) == PG
    assert PG.startswith(dumps.unpack_head(packed[: len(packed) // 2]) or b"")


def test_zstd_needs_its_program_and_damage_ends_the_head() -> None:
    assert dumps.compression(b"\x28\xb5\x2f\xfd\x00") == "zst"
    assert dumps.unpack_head(b"\x28\xb5\x2f\xfd\x00") is None
    assert dumps.unpack_head(b"\x1f\x8bnot gzip at all") == b""


@pytest.mark.parametrize(
    ("engine", "version", "major"),
    [
        ("postgresql", "15.18 (Debian 15.18-0+deb12u1)", "15"),
        ("postgresql", "9.6.24", "9.6"),
        ("postgresql", "18beta1", "18"),
        ("mariadb", "10.11.14-MariaDB-0+deb12u2", "10.11"),
        ("mysql", "8.4.2", "8.4"),
        ("mysql", "", ""),
    ],
)
def test_the_major_version(engine: str, version: str, major: str) -> None:
    assert dumps.major_version(engine, version) == major
