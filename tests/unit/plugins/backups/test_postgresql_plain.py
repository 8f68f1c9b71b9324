# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain dump on its way to psql, cut into blocks at every place."""

from __future__ import annotations

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.postgresql_plain import PlainFilter

DUMP = rb"""--
-- PostgreSQL database dump
--

\restrict gJMDuTCdnl8DKka0L4QBP

CREATE DATABASE shop;
ALTER DATABASE shop OWNER TO app;

\unrestrict gJMDuTCdnl8DKka0L4QBP
\connect shop
\restrict gJMDuTCdnl8DKka0L4QBP
CREATE TABLE public.a (t text);
COPY public.a (t) FROM stdin;
\N
\\connect x
\\.
\restrict of data
plain
\.

COPY public.b (t) FROM stdin;
\.
ALTER TABLE public.a OWNER TO app;
\unrestrict gJMDuTCdnl8DKka0L4QBP
"""
KEY = "0a1b2c"


def _through(dump: bytes, size: int, **others: bool) -> tuple[bytes, bytes, list[str], PlainFilter]:
    seen: list[bytes] = []
    connected: list[str] = []
    change = PlainFilter(KEY, seen.append, connected.append)
    out = [change(dump[at : at + size]) for at in range(0, len(dump), size)]
    out.append(change(b""))
    return b"".join(out), b"".join(seen), connected, change


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 100, 10_000])
def test_the_same_whatever_the_blocks(size: int) -> None:
    out, seen, connected, change = _through(DUMP, size)
    assert connected == ["shop"]
    lines, given = out.split(b"\n"), DUMP.split(b"\n")
    assert lines[0] == b"\\restrict 0a1b2c"
    # Each on a line of its own: psql 17.11 takes what follows a key for a part of it.
    at = given.index(b"\\connect shop")
    assert lines[at + 1 : at + 4] == [b"\\unrestrict 0a1b2c", b'\\connect "shop"', b"\\restrict 0a1b2c"]
    # Every line of psql's has the number of the dump's line that it was.
    assert [change.origin(number) for number in range(at, at + 7)] == [at - 1, at, *[at + 1] * 3, at + 2, at + 3]
    assert change.origin(1) == 0
    kept = {change.origin(number): line for number, line in enumerate(lines, 1)}
    changed = {number - 1 for number, line in enumerate(given, 1) if kept[number] != line}
    assert changed == {
        number for number, line in enumerate(given) if line.startswith((b"\\restrict g", b"\\unr", b"\\con"))
    }
    assert b"plain" not in seen
    assert b"OWNER TO app" in seen
    assert not change.in_copy


@pytest.mark.parametrize(
    "line",
    [
        rb'\connect "a=b"',
        rb"\connect postgresql://evil/",
        rb"\connect a b",
        rb'\connect "a"b"',
        rb"\connect `id`",
        rb"\connect -reuse-previous=on " + b'"' + rb"dbname='a' host='/run'" + b'"',
        rb"\! id",
        rb"\restrict a b",
    ],
)
def test_what_pg_dump_does_not_write_is_left_for_psql_to_refuse(line: bytes) -> None:
    out, _seen, connected, _change = _through(b"SELECT 1;\n" + line + b"\n", 10_000)
    assert connected == []
    assert line in out.split(b"\n")
    assert out.count(KEY.encode()) == 1


def test_the_globals_of_a_whole_server_do_not_reach_psql() -> None:
    kept: list[bytes] = []
    change = PlainFilter(KEY, lambda text: None, lambda name: None, kept.append)
    text = (
        b"CREATE ROLE app;\nALTER ROLE app WITH SUPERUSER PASSWORD 'SCRAM-SHA-256$x';\n\\connect template1\nSELECT 1;\n"
    )
    out = change(text) + change(b"")
    assert kept == [text[: text.index(b"\\connect")]]
    assert b"SUPERUSER" not in out
    assert change.origin(out.count(b"\n")) == text.count(b"\n")


def test_a_cut_in_the_data_is_known() -> None:
    _out, _seen, _connected, change = _through(DUMP[: DUMP.index(b"plain")], 100)
    assert (change.in_copy, change.first_copy) == (True, "public.a")


def test_a_line_without_end_takes_no_memory() -> None:
    change = PlainFilter(KEY, lambda text: None, lambda name: None)
    block = b"INSERT INTO a VALUES ('" + b"x" * (1 << 20)
    sent = len(change(block)) + sum(len(change(b"y" * (1 << 20))) for _ in range(8))
    assert sent >= 9 << 20
    assert len(change._rest) < 2 << 20
