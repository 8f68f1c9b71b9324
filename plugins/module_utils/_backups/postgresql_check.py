# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restored PostgreSQL holds: asked of the throw-away server, and of the live one that it is held against."""

from __future__ import annotations

import functools
import heapq
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from .._process import run
from . import baseline as baselines
from . import postgresql_sql as sql
from .postgresql_server import _environment, _lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._host import Host
    from .baseline import Baseline
    from .postgresql_server import Programs, Server


WORTH_A_SESSION = 8 << 20
"""Bytes of indexes that are worth a session of their own: amcheck reads some 200 MB a second, psql starts in 20 ms."""


class Unanswered(Exception):  # noqa: N818 - an outcome, not a bug
    """A question got no answer: what the server said."""


class Asked(NamedTuple):
    """One of the customer's queries, or the newest row of a table."""

    name: str
    query: str
    answer: str
    """The rows as text: columns parted by ``|``, rows by line feeds."""
    error: str
    seconds: float


def contents(server: Server, database: str, user: str, timeout: float) -> Baseline:
    """Rows and structure of a database. Raises Unanswered."""
    answer = server.ask(sql.BASELINE, database, user, timeout)
    if answer.error or not answer.rows:
        raise Unanswered(answer.error or "it answered nothing")
    return _parsed(answer.rows[-1][0])


def _parsed(text: str) -> Baseline:
    try:
        return next(iter(baselines.parse(text).values()))
    except baselines.BadBaseline as bad:
        raise Unanswered("what it answered %s" % bad) from bad


# From 16384 on (transam.h, FirstNormalObjectId) what a dump made, TOAST included; below it is the server's own.
_LISTED = """
SET search_path = '';
SELECT c.oid, pg_catalog.pg_relation_size(c.oid)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't' AND i.indisready AND i.indisvalid
  AND (%(system)s OR c.oid >= 16384);
"""
_INDEXES = """
SET search_path = ''; SET client_min_messages = error;
CREATE TEMP TABLE upkeep_bad (name text, why text);
DO $upkeep$
DECLARE one record; looked_at bigint := 0;
BEGIN
  FOR one IN SELECT c.oid, n.nspname || '.' || c.relname AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY ('{%(these)s}'::pg_catalog.oid[])
  LOOP
    BEGIN
      PERFORM %(schema)s.bt_index_check(one.oid, %(heap)s);
    EXCEPTION WHEN OTHERS THEN
      INSERT INTO pg_temp.upkeep_bad VALUES ('index ' || one.name, SQLERRM);
    END;
    looked_at := looked_at + 1;
  END LOOP;
  PERFORM pg_catalog.set_config('upkeep.looked_at', looked_at::text, false);
END $upkeep$;
SELECT 'checked', pg_catalog.current_setting('upkeep.looked_at');
SELECT name, why FROM pg_temp.upkeep_bad ORDER BY name LIMIT 100;
"""
_HEAP = """
CREATE TEMP TABLE upkeep_heap (name text, why text);
DO $upkeep$
DECLARE one record;
BEGIN
  FOR one IN SELECT c.oid, n.nspname || '.' || c.relname AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_am a ON a.oid = c.relam
    WHERE a.amname = 'heap' AND c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't'
  LOOP
    BEGIN
      INSERT INTO pg_temp.upkeep_heap SELECT 'table ' || one.name, v.msg || ' (block ' || v.blkno || ')'
      FROM %(schema)s.verify_heapam(one.oid, on_error_stop => true) v LIMIT 3;
    EXCEPTION WHEN OTHERS THEN
      INSERT INTO pg_temp.upkeep_heap VALUES ('table ' || one.name, SQLERRM);
    END;
  END LOOP;
END $upkeep$;
SELECT name, why FROM pg_temp.upkeep_heap ORDER BY name LIMIT 100;
"""


class Checked(NamedTuple):
    """What amcheck looked at."""

    indexes: int
    bad: list[str]
    """``index public.orders_pkey: why``"""


def indexes(server: Server, database: str, user: str, timeout: float, schema: str, physical: bool) -> Checked:
    """The order within every B-tree index; of a physical backup also that each row is in it, and every table's pages.

    The indexes of a dump were built a moment ago of the rows that are there: no row can be missing. As many sessions as
    there are processors share the work. Raises Unanswered.
    """
    words = {"schema": sql.identifier(schema), "heap": "true" if physical else "false", "system": str(physical).lower()}
    listed = server.ask(_LISTED % words, database, user, timeout)
    if listed.error:
        raise Unanswered(listed.error)
    sizes = {int(row[0]): int(row[1]) for row in listed.rows}
    parts = shares(sizes, server.host.cpus())
    scripts = [_INDEXES % dict(words, these=",".join(map(str, part))) for part in parts]
    if physical and int(server.programs.major.split(".")[0]) >= 14:
        scripts.append(_HEAP % words)
    sessions = [server.beside(functools.partial(server.ask, script, database, user, timeout)) for script in scripts]
    answers = [session.result() for session in sessions]
    for answer in answers:
        if answer.error:
            raise Unanswered(answer.error)
    rows = [row for answer in answers for row in answer.rows if len(row) == 2]
    counted = sum(int(row[1]) for row in rows if row[0] == "checked")
    if counted != len(sizes):
        raise Unanswered("it looked at %d indexes of %d" % (counted, len(sizes)))
    return Checked(counted, sorted("%s: %s" % (row[0], row[1]) for row in rows if row[0] != "checked"))


def shares(sizes: Mapping[int, int], most: int) -> list[list[int]]:
    """Things of these sizes (bytes) in at most ``most`` parts that are about as large: the largest first, each to the
    part that has the least. What is small stays together: a session more would take longer than it saves."""
    count = max(1, min(most, sum(sizes.values()) // WORTH_A_SESSION))
    parts: list[list[int]] = [[] for place in range(count)]
    heap = [(0, place) for place in range(count)]
    for one in sorted(sizes, key=lambda key: (-sizes[key], key)):
        has, place = heapq.heappop(heap)
        parts[place].append(one)
        heapq.heappush(heap, (has + sizes[one], place))
    return [part for part in parts if part] or [[]]


def asked(server: Server, option: Mapping[str, Any], database: str, user: str, timeout: float) -> Asked:
    """One query of the customer's, which may change nothing."""
    query = option["query"].strip().rstrip(";")
    answer = server.ask("SET default_transaction_read_only = on;\n%s;\n" % query, database, user, timeout)
    text = "\n".join("|".join(row) for row in answer.rows)
    return Asked(option["name"], query, text, answer.error, answer.seconds)


def newest(server: Server, option: Mapping[str, Any], database: str, user: str, timeout: float) -> Asked:
    """When the newest row of a table was written, in seconds since the epoch."""
    table = ".".join(sql.identifier(part) for part in _parts(option["table"]))
    moment = "pg_catalog.date_part('epoch', pg_catalog.max(%s)::timestamptz)" % sql.identifier(option["column"])
    query = "SELECT %s FROM %s" % (moment, table)  # noqa: S608 - both are quoted as names
    return asked(
        server, {"name": "%s.%s" % (option["table"], option["column"]), "query": query}, database, user, timeout
    )


def _parts(name: str) -> list[str]:
    return [part.strip('"') for part in re.findall(r'"[^"]+"|[^.]+', name)]


# --- the live one ---------------------------------------------------------------------------------


def live_environment(option: Mapping[str, Any], database: str, account: str | None) -> dict[str, str]:
    """How libpq finds the live server: by its environment, so that nothing of it stands in a command line."""
    env = _environment(account)
    names = {
        "PGHOST": option.get("socket") or option.get("host"),
        "PGPORT": option.get("port"),
        "PGUSER": option.get("user"),
        "PGPASSFILE": option.get("password_file"),
        "PGSERVICE": option.get("service"),
        "PGSERVICEFILE": option.get("service_file"),
        "PGDATABASE": option.get("database") or (None if option.get("service") else database),
    }
    env.update((name, str(value)) for name, value in names.items() if value not in (None, ""))
    env.update(
        PGCONNECT_TIMEOUT="10",
        PGAPPNAME="upkeep restore test",
        PGOPTIONS="-c default_transaction_read_only=on -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s",
    )
    return env


def live(host: Host, programs: Programs, option: Mapping[str, Any], database: str, timeout: float) -> Baseline:
    """Rows and structure of the live database, in one read-only session. Raises Unanswered."""
    account = option.get("account") or None
    script = sql.BASELINE if option.get("rows", True) else sql.STRUCTURE
    try:
        ended = run(
            [programs.path("psql"), "-X", "-q", "-A", "-t", "--no-password", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            env=live_environment(option, database, account),
            account=account,
            stdin=script.encode(),
            timeout=timeout,
            nice=10,
        )
    except KeyError:
        raise Unanswered("there is no account %s on this host" % account) from None
    if ended.ended_by:
        raise Unanswered("the live server gave no answer within %d s" % timeout)
    if ended.rc != 0:
        raise Unanswered("; ".join(_lines(ended.err, 3)) or "psql ended with %s" % ended.rc)
    lines = [line for line in ended.out.decode("utf-8", "replace").split("\n") if line.strip()]
    return _parsed(lines[-1] if lines else "")


def live_identifier(programs: Programs, option: Mapping[str, Any], database: str) -> str:
    """The system identifier of the live server, empty when it does not tell."""
    account = option.get("account") or None
    try:
        ended = run(
            [programs.path("psql"), "-X", "-q", "-A", "-t", "--no-password", "-f", "-"],
            env=live_environment(option, database, account),
            account=account,
            stdin=b"SELECT system_identifier FROM pg_catalog.pg_control_system();",
            timeout=30,
        )
    except KeyError:
        return ""
    return ended.out.decode("ascii", "replace").strip() if ended.rc == 0 else ""
