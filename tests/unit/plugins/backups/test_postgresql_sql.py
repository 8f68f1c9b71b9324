# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dump needs and what a load complained of, as pg_dump and the programs word it."""

from __future__ import annotations

import json

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import (
    baseline,
    options_postgresql,
    postgresql_server,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import postgresql_sql as sql


@pytest.mark.parametrize(
    ("statement", "roles"),
    [
        ("ALTER TABLE public.a OWNER TO app;", ["app"]),
        ('ALTER SCHEMA s OWNER TO "We ird";', ["We ird"]),
        ("GRANT SELECT,INSERT ON TABLE public.a TO reader;", ["reader"]),
        ("GRANT ALL ON SCHEMA public TO PUBLIC;", []),
        ('GRANT SELECT ON TABLE a TO "Read Only" WITH GRANT OPTION;', ["Read Only"]),
        ("REVOKE ALL ON FUNCTION f() FROM app;", ["app"]),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA public GRANT SELECT ON TABLES TO reader;",
            ["boss", "reader"],
        ),
        ("CREATE POLICY p ON public.a TO app, reader USING (true);", ["app", "reader"]),
        ("CREATE USER MAPPING FOR app SERVER s;", ["app"]),
        ("GRANT SELECT ON TABLE a TO pg_monitor;", []),
        ("-- Name: a; Type: TABLE; Owner: app", []),
    ],
)
def test_the_roles_that_a_statement_names(statement: str, roles: list[str]) -> None:
    found = sql.roles_needed(f"SELECT 1;\n{statement}\nSELECT 2;\n".encode())
    assert sorted(found) == roles
    assert all(line == statement.encode() for line in found.values())


def test_the_roles_that_the_globals_make() -> None:
    text = (
        b"CREATE ROLE app;\nALTER ROLE app WITH LOGIN PASSWORD 'x';\nCREATE ROLE \"Read Only\";\nCREATE USER u LOGIN;\n"
    )
    assert sql.roles_made(text) == ["app", "Read Only", "u"]


def test_the_extensions() -> None:
    text = b"CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;\n"
    text += b'CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA "S x";\n'
    assert sql.extensions(text) == [("hstore", "public"), ("uuid-ossp", "S x")]


@pytest.mark.parametrize(
    ("line", "kind", "number"),
    [
        ('psql:<stdin>:12: ERROR:  role "app" does not exist', "role", 12),
        ('psql:<stdin>:12: ERROR:  relation "a" does not exist', "absent", 12),
        ("psql:<stdin>:3: error: backslash commands are restricted; only \\unrestrict is allowed", "restricted", 3),
        (
            'psql:<stdin>:9: ERROR:  insert or update on table "o" violates foreign key constraint "o_fk"',
            "constraint",
            9,
        ),
        ('psql:<stdin>:9: ERROR:  could not create unique index "a_pkey"', "constraint", 9),
        ('psql:<stdin>:9: ERROR:  extension "postgis" is not available', "extension", 9),
        ("psql:<stdin>:9: ERROR:  permission denied for language c", "permission", 9),
        ('psql:<stdin>:9: ERROR:  unrecognized configuration parameter "transaction_timeout"', "version", 9),
        ('psql:<stdin>:9: ERROR:  syntax error at or near "SELEC"', "syntax", 9),
        ("pg_restore: error: could not read from input file: end of file", "cut", 0),
        ("pg_restore: error: could not uncompress data: (null)", "cut", 0),
        ("pg_restore: error: unsupported version (1.16) in file header", "version", 0),
        ("psql: error: connection to server on socket failed", "gone", 0),
        ("psql:<stdin>:9: FATAL:  terminating connection due to administrator command", "gone", 9),
        ("psql:<stdin>:9: ERROR:  could not extend file: No space left on device", "room", 9),
    ],
)
def test_complaints_are_told_apart(line: str, kind: str, number: int) -> None:
    error = sql.load_error(line)
    assert error is not None
    assert (error.kind, error.line) == (kind, number)


@pytest.mark.parametrize(
    "line", ["psql:<stdin>:9: NOTICE:  table does not exist", "pg_restore: warning: x", "DETAIL:  y"]
)
def test_what_is_no_complaint(line: str) -> None:
    assert sql.load_error(line) is None


def test_names_and_texts_cannot_break_out() -> None:
    assert sql.identifier('a"; DROP') == '"a""; DROP"'
    assert sql.literal("it's") == "'it''s'"
    assert sql.literal("a\\' OR") == " E'a\\\\'' OR'"


def test_counting_can_be_left_out() -> None:
    assert "query_to_xml" in sql.BASELINE
    assert "query_to_xml" not in sql.STRUCTURE
    assert "'rows', '{}'::json" in sql.STRUCTURE


@pytest.mark.parametrize(
    ("version", "restricts"),
    [
        ("15.13", False),
        ("15.14", True),
        ("12.22", False),
        ("17.5", False),
        ("17.6", True),
        ("18.0", True),
        ("x", False),
    ],
)
def test_which_psql_can_be_restricted(version: str, restricts: bool) -> None:
    assert postgresql_server.Programs(version.split(".", maxsplit=1)[0], version, "/x").restricts is restricts


def _programs(*majors: str) -> list[postgresql_server.Programs]:
    return [postgresql_server.Programs(major, major + ".1", "/" + major) for major in majors]


def test_the_right_version_or_none() -> None:
    there = _programs("13", "15", "17")
    assert postgresql_server.chosen(there, "15", False).major == "15"
    assert postgresql_server.chosen(there, "", False).major == "17"
    assert postgresql_server.chosen(there, "14", True).major == "15"
    for major, newer in (("14", False), ("18", True)):
        with pytest.raises(postgresql_server.NoServer, match="server programs of 13, 15, 17 only"):
            postgresql_server.chosen(there, major, newer)
    with pytest.raises(postgresql_server.NoServer, match="no server programs"):
        postgresql_server.chosen([], "15", False)


def test_a_remedy_names_options_that_there_are() -> None:
    options = options_postgresql.ARGUMENT_SPEC
    with pytest.raises(postgresql_server.NoServer) as none:
        postgresql_server.chosen([], "15", False)
    assert none.value.remedy.endswith("the option server_folder.") and "server_folder" in options
    with pytest.raises(postgresql_server.NoServer) as older:
        postgresql_server.chosen(_programs("15"), "14", False)
    assert "other_versions: newer" in older.value.remedy and "newer" in options["other_versions"]["choices"]


# --- baselines ------------------------------------------------------------------------------------------


def _baseline(**others: object) -> baseline.Baseline:
    made = {
        "upkeep_baseline": 1,
        "engine": "postgresql",
        "database": "shop",
        "taken": 1.0,
        "server_version": "15.18 (Debian)",
        "rows": {"public.a": 100, "public.b": 0},
        "objects": {"table public.a": "1", "table public.b": "2", "index public.i": "3"},
        **others,
    }
    return baseline.parse(json.dumps(made))["shop"]


def test_what_differs_is_named_worst_first() -> None:
    found = _baseline(rows={"public.a": 90}, objects={"table public.a": "9", "view public.v": ""})
    rows = [one.line for one in baseline.compare_rows(_baseline(), found)]
    assert rows == ["public.a: 90 rows, expected 100"]
    assert baseline.compare_rows(_baseline(), found, 10.0) == []
    assert baseline.compare_rows(_baseline(), found, 0.0, 10) == []
    lines = [one.line for one in baseline.compare_objects(_baseline(), found)]
    assert lines == [
        "table public.a is defined otherwise",
        "table public.b is missing",
        "index public.i is missing",
        "view public.v was not there",
    ]


def test_a_definition_is_worded_anew_by_every_major_version() -> None:
    found = _baseline(
        server_version="17.2", objects={"table public.a": "9", "table public.b": "8", "index public.i": "7"}
    )
    assert baseline.compare_objects(_baseline(), found) == []


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", '{"upkeep_baseline": 1, "rows": {"a": -1}}', '{"upkeep_baseline": 1, "rows": {"a": true}}',
     '{"upkeep_baseline": 1, "objects": {"a": 1}}', '{"upkeep_baseline": 1, "invalid": "x"}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_baseline(text: str) -> None:
    with pytest.raises(baseline.BadBaseline):
        baseline.parse(text)
