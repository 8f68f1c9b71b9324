# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL of MySQL and MariaDB, written and read: names, the baseline's script, foreign keys, what the client prints.

Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SYSTEM_SCHEMAS = ("information_schema", "performance_schema", "mysql", "sys")
"""Databases that belong to the server."""

BASELINE = r"""
SET SESSION group_concat_max_len = 1073741824;
SELECT GROUP_CONCAT(CONCAT('SELECT ', QUOTE(CONCAT(TABLE_SCHEMA, '.', TABLE_NAME)), ' AS t, COUNT(*) AS n FROM `',
    REPLACE(TABLE_SCHEMA, '`', '``'), '`.`', REPLACE(TABLE_NAME, '`', '``'), '`') SEPARATOR ' UNION ALL ')
  INTO @upkeep_counts FROM information_schema.TABLES
  WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED');
SET @upkeep_query = CONCAT('SELECT JSON_OBJECTAGG(t, n) INTO @upkeep_rows FROM (',
  COALESCE(@upkeep_counts, 'SELECT 0 AS t, 0 AS n FROM information_schema.TABLES WHERE 1 = 0'), ') AS counted');
PREPARE upkeep_statement FROM @upkeep_query;
EXECUTE upkeep_statement;
DEALLOCATE PREPARE upkeep_statement;
SELECT JSON_OBJECTAGG(name, digest) INTO @upkeep_objects FROM (
  SELECT CONCAT('table ', t.TABLE_SCHEMA, '.', t.TABLE_NAME) AS name,
    MD5(CONCAT_WS(';', t.ENGINE, t.TABLE_COLLATION, (
      SELECT GROUP_CONCAT(CONCAT_WS(',', c.COLUMN_NAME, c.COLUMN_TYPE, c.IS_NULLABLE, COALESCE(c.COLUMN_DEFAULT, ''),
        COALESCE(c.COLLATION_NAME, ''), c.EXTRA, COALESCE(c.GENERATION_EXPRESSION, ''))
        ORDER BY c.ORDINAL_POSITION SEPARATOR ';')
      FROM information_schema.COLUMNS AS c
      WHERE c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME))) AS digest
  FROM information_schema.TABLES AS t
  WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
  UNION ALL
  SELECT CONCAT('sequence ', TABLE_SCHEMA, '.', TABLE_NAME), '' FROM information_schema.TABLES
  WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'SEQUENCE'
  UNION ALL
  SELECT CONCAT('index ', TABLE_SCHEMA, '.', TABLE_NAME, '.', INDEX_NAME), MD5(GROUP_CONCAT(
      CONCAT_WS(',', COALESCE(COLUMN_NAME, ''), COALESCE(SUB_PART, ''), NON_UNIQUE, INDEX_TYPE)
      ORDER BY SEQ_IN_INDEX SEPARATOR ';'))
  FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() GROUP BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME
  UNION ALL
  SELECT CONCAT('constraint ', k.TABLE_SCHEMA, '.', k.TABLE_NAME, '.', k.CONSTRAINT_NAME),
    MD5(GROUP_CONCAT(CONCAT_WS(',', k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA,
      k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME)
      ORDER BY k.ORDINAL_POSITION SEPARATOR ';'))
  FROM information_schema.KEY_COLUMN_USAGE AS k
  WHERE k.TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME IS NOT NULL
  GROUP BY k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME
  UNION ALL
  SELECT CONCAT('view ', TABLE_SCHEMA, '.', TABLE_NAME), IF(VIEW_DEFINITION = '', '', MD5(VIEW_DEFINITION))
  FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()
  UNION ALL
  SELECT CONCAT('trigger ', TRIGGER_SCHEMA, '.', TRIGGER_NAME),
    MD5(CONCAT_WS(';', EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT))
  FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()
  UNION ALL
  SELECT CONCAT('routine ', ROUTINE_SCHEMA, '.', ROUTINE_NAME),
    IF(ROUTINE_DEFINITION IS NULL, '', MD5(CONCAT_WS(';', ROUTINE_TYPE, ROUTINE_DEFINITION)))
  FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()
) AS defined;
SET @upkeep_query = IF(@@event_scheduler = 'DISABLED', 'SELECT NULL INTO @upkeep_events', 'SELECT JSON_OBJECTAGG(
    CONCAT(''event '', EVENT_SCHEMA, ''.'', EVENT_NAME), MD5(EVENT_DEFINITION)) INTO @upkeep_events
  FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()');
PREPARE upkeep_statement FROM @upkeep_query;
EXECUTE upkeep_statement;
DEALLOCATE PREPARE upkeep_statement;
SELECT CONCAT('{"upkeep_baseline": 1, "engine": "', IF(VERSION() LIKE '%MariaDB%', 'mariadb', 'mysql'),
  '", "database": ', JSON_QUOTE(DATABASE()), ', "taken": ', UNIX_TIMESTAMP(),
  ', "server_version": ', JSON_QUOTE(VERSION()),
  ', "rows": ', COALESCE(@upkeep_rows, '{}'), ', "objects": ',
  JSON_MERGE_PRESERVE(COALESCE(@upkeep_objects, '{}'), COALESCE(@upkeep_events, '{}')), '}') AS baseline;
"""
"""The script for a baseline of the current database, for ``mariadb --batch --raw --skip-column-names DATABASE``.

What the account may not see has no digest. It needs JSON_OBJECTAGG: MariaDB 10.5, MySQL 5.7.22. It changes nothing
but variables of its own session.
"""

TABLES = """
SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, '') FROM information_schema.TABLES
WHERE TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys') ORDER BY 1, 2;
"""
DATABASES = """
SELECT SCHEMA_NAME FROM information_schema.SCHEMATA
WHERE SCHEMA_NAME NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys') ORDER BY 1;
"""
FOREIGN_KEYS = """
SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME,
  REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL
  AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')
ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION;
"""
DEFINERS = """
SELECT DISTINCT kind, object, definer FROM (
  SELECT 'view' AS kind, CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) AS object, DEFINER AS definer
  FROM information_schema.VIEWS
  WHERE TABLE_SCHEMA NOT IN ('mysql', 'sys')
  UNION ALL SELECT 'trigger', CONCAT(TRIGGER_SCHEMA, '.', TRIGGER_NAME), DEFINER FROM information_schema.TRIGGERS
  WHERE TRIGGER_SCHEMA NOT IN ('mysql', 'sys')
  UNION ALL SELECT 'routine', CONCAT(ROUTINE_SCHEMA, '.', ROUTINE_NAME), DEFINER FROM information_schema.ROUTINES
  WHERE ROUTINE_SCHEMA NOT IN ('mysql', 'sys')
  UNION ALL SELECT 'event', CONCAT(EVENT_SCHEMA, '.', EVENT_NAME), DEFINER FROM information_schema.EVENTS
  WHERE EVENT_SCHEMA NOT IN ('mysql', 'sys')
) AS made WHERE definer NOT IN (SELECT CONCAT(User, '@', Host) FROM mysql.user) ORDER BY 3, 1, 2;
"""
IDENTITY = "SELECT @@datadir, @@pid_file, @@skip_networking, VERSION();\n"
"""What only our own server answers as we started it."""


def name(*parts: str) -> str:
    """An identifier, quoted: ``name("shop", "orders")`` is ```shop`.`orders```."""
    return ".".join("`%s`" % part.replace("`", "``") for part in parts)


def text(value: str) -> str:
    """A string literal, whatever the SQL mode says of backslashes."""
    return "CONVERT(X'%s' USING utf8mb4)" % value.encode("utf-8", "surrogateescape").hex() if value else "''"


def account(word: str) -> str:
    """An account ``user@host`` as CREATE USER takes it; without a host it is for all (``%``)."""
    user, at, host = word.rpartition("@")
    if not at:
        user, host = word, "%"
    return "@".join(
        "'%s'" % part.replace("\\", "\\\\").replace("'", "''") for part in (user.strip("'`"), host.strip("'`"))
    )


# --- what the client prints -----------------------------------------------------------------------

_ESCAPE = re.compile(r"\\(.)", re.S)
_ESCAPED = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


def rows(output: bytes) -> list[list[str]]:
    """The rows of ``mariadb --batch --skip-column-names``: tabs part the columns, what would part is escaped."""
    found = []
    for line in output.decode("utf-8", "replace").split("\n"):
        if line:
            found.append([_ESCAPE.sub(lambda one: _ESCAPED.get(one[1], one[1]), cell) for cell in line.split("\t")])
    return found


def marked(statements: Iterable[str]) -> str:
    """Statements in one script, with a mark before each, by which :func:`parted` parts their answers."""
    return "".join("SELECT '@%d';\n%s\n" % (number, statement) for number, statement in enumerate(statements))


def parted(found: Sequence[Sequence[str]], count: int) -> list[list[Sequence[str]] | None]:
    """The rows of each of ``count`` statements; None for one that was not reached."""
    answers: list[list[Sequence[str]] | None] = [None] * count
    current: list[Sequence[str]] | None = None
    expected = 0
    for row in found:
        if len(row) == 1 and expected < count and row[0] == "@%d" % expected:
            current = answers[expected] = []
            expected += 1
        elif current is not None:
            current.append(row)
    return answers


class Complaint(NamedTuple):
    """An error that the server told the client, or the client itself."""

    code: int
    """The server's number (mariadb.com/kb: Error Codes); 0 of the client's own."""
    line: int
    """Line of the dump on which the statement begins; 0 when none was told."""
    message: str


_COMPLAINT = re.compile(r"ERROR(?: (\d+) \(\w+\))?(?: at line (\d+))?(?: in file: '[^']*')?: (.*)", re.S)


def complaint(line: bytes) -> Complaint | None:
    """What a line of the client's standard error complains of; None for the statement that it repeats."""
    if not line.startswith(b"ERROR"):
        return None
    found = _COMPLAINT.fullmatch(line[:4000].decode("utf-8", "replace").strip())
    return Complaint(int(found[1] or 0), int(found[2] or 0), found[3]) if found else None


_REPLACED = re.compile(rb"Warning \(Code (1266|1286)\): (.{1,1000})", re.S)


def replaced(line: bytes) -> Complaint | None:
    """What ``--show-warnings`` says of a storage engine that is not there, for which another one was taken."""
    found = _REPLACED.fullmatch(line.strip()[:2000]) if line.startswith(b"Warning") else None
    # 1266 says the same again, with the engine that was taken.
    if not found or found[1] != b"1286":
        return None
    return Complaint(1286, 0, found[2].decode("utf-8", "replace"))


GONE = frozenset((2002, 2006, 2013, 2055, 1053, 1927))
"""Errors after which there is no server any more."""
ACCOUNT_ERRORS = frozenset((1133, 1141, 1396, 1449, 1959, 1976, 4042))
"""Errors about an account or a role that is not there, or cannot be made."""
REFUSED_ERRORS = frozenset((1290, 1148, 4166, 3948, 1126, 1127))
"""What the throw-away server does not allow: files (secure_file_priv, local_infile), libraries."""
ENGINE_ERRORS = frozenset((1286, 1524, 1911))
"""A storage engine, plugin or option that this server does not have."""


# --- foreign keys ---------------------------------------------------------------------------------


class ForeignKey(NamedTuple):
    """A foreign key: rows of ``table`` name rows of ``parent``."""

    table: tuple[str, str]
    constraint: str
    columns: tuple[str, ...]
    parent: tuple[str, str]
    parent_columns: tuple[str, ...]

    @property
    def shown(self) -> str:
        return "%s.%s: %s -> %s.%s" % (*self.table, self.constraint, *self.parent)


def foreign_keys(found: Iterable[Sequence[str]]) -> list[ForeignKey]:
    """The foreign keys of the rows that :data:`FOREIGN_KEYS` gives."""
    keys: dict[tuple[str, str, str], ForeignKey] = {}
    for row in found:
        if len(row) != 7:
            continue
        schema, table, constraint, column, parent_schema, parent, parent_column = row
        before = keys.get((schema, table, constraint))
        keys[schema, table, constraint] = ForeignKey(
            (schema, table),
            constraint,
            (*(before.columns if before else ()), column),
            (parent_schema, parent),
            (*(before.parent_columns if before else ()), parent_column),
        )
    return list(keys.values())


def orphans(key: ForeignKey) -> str:
    """The query that counts rows whose foreign key names nothing, with up to three of its values.

    A key with a NULL in it names nothing and need not (MATCH SIMPLE, the only kind that InnoDB knows).
    """
    pairs = list(zip(key.columns, key.parent_columns))
    join = " AND ".join("p.%s = c.%s" % (name(theirs), name(ours)) for ours, theirs in pairs)
    there = " AND ".join("c.%s IS NOT NULL" % name(ours) for ours, _theirs in pairs)
    shown = "CONCAT_WS(', ', %s)" % ", ".join("c.%s" % name(ours) for ours, _theirs in pairs)
    return (
        "SELECT COUNT(*), LEFT(COALESCE(MIN(v), ''), 100), LEFT(COALESCE(MAX(v), ''), 100) FROM (SELECT %s AS v "  # noqa: S608 - quoted names
        "FROM %s AS c LEFT JOIN %s AS p ON %s WHERE %s AND p.%s IS NULL) AS orphans;"
        % (shown, name(*key.table), name(*key.parent), join, there, name(key.parent_columns[0]))
    )


def newest(database: str, table: str, column: str) -> str:
    """The query for the newest value of a column, and the same in seconds since the epoch.

    A number counts as seconds (or, with 13 digits, milliseconds) since the epoch; a date without a zone is taken in the
    time zone of this host.
    """
    value = "MAX(%s)" % name(column)
    return (
        "SELECT v, CASE WHEN v REGEXP '^[0-9]{13}$' THEN v / 1000 WHEN v REGEXP '^[0-9]{9,12}([.][0-9]+)?$' THEN v "  # noqa: S608
        "ELSE UNIX_TIMESTAMP(v) END FROM (SELECT CAST(%s AS CHAR) AS v FROM %s) AS newest;"
        % (value, name(*([database] if database else []), table))
    )
