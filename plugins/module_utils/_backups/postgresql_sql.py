# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL of PostgreSQL, written and read: the baseline's query, names, what a dump needs and what a load complained of.

Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

OWN_SCHEMA = "upkeep_check"
"""Where our own means (amcheck) live in the throw-away server; no part of what was restored."""

BASELINE = r"""
SET jit = off; SET search_path = ''; SET statement_timeout = 0;
WITH spaces AS (
  SELECT oid, nspname FROM pg_catalog.pg_namespace
  WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'upkeep_check')
    AND nspname !~ '^pg_(temp|toast)_'
), members AS (
  SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
), relations AS (
  SELECT c.oid, c.relkind, c.relpersistence, n.nspname, c.relname, n.nspname || '.' || c.relname AS name
  FROM pg_catalog.pg_class c JOIN spaces n ON n.oid = c.relnamespace
  WHERE c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'm', 'v', 'S', 'f', 'i', 'I')
    AND NOT EXISTS (SELECT FROM members m
      WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND m.objid = c.oid)
), definitions AS (
  SELECT 'schema ' || nspname AS name, '' AS definition FROM spaces
  UNION ALL
  SELECT CASE relkind WHEN 'm' THEN 'matview ' WHEN 'v' THEN 'view ' WHEN 'f' THEN 'foreign ' ELSE 'table ' END || name,
    relpersistence::text || coalesce((
      SELECT pg_catalog.string_agg(pg_catalog.format('%s %s %s %s %s', a.attname,
        pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        pg_catalog.pg_get_expr(d.adbin, d.adrelid)), E'\n' ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute a
      LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = relations.oid AND a.attnum > 0 AND NOT a.attisdropped), '')
    || CASE WHEN relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(oid) ELSE '' END
  FROM relations WHERE relkind IN ('r', 'p', 'm', 'v', 'f')
  UNION ALL
  SELECT 'sequence ' || name, '' FROM relations WHERE relkind = 'S'
  UNION ALL
  SELECT 'index ' || name, pg_catalog.pg_get_indexdef(oid) FROM relations WHERE relkind IN ('i', 'I')
  UNION ALL
  SELECT 'constraint ' || coalesce(r.name || '.', '') || k.conname, pg_catalog.pg_get_constraintdef(k.oid)
  FROM pg_catalog.pg_constraint k JOIN relations r ON r.oid = k.conrelid WHERE k.contype <> 'n'
  UNION ALL
  SELECT 'trigger ' || r.name || '.' || t.tgname, pg_catalog.pg_get_triggerdef(t.oid)
  FROM pg_catalog.pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
  UNION ALL
  SELECT 'policy ' || r.name || '.' || p.polname, '' FROM pg_catalog.pg_policy p JOIN relations r ON r.oid = p.polrelid
  UNION ALL
  SELECT 'routine ' || n.nspname || '.' || p.proname
    || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')', p.prosrc
  FROM pg_catalog.pg_proc p JOIN spaces n ON n.oid = p.pronamespace
  WHERE NOT EXISTS (SELECT FROM members m
      WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND m.objid = p.oid)
  UNION ALL
  SELECT 'type ' || n.nspname || '.' || t.typname, coalesce((
      SELECT pg_catalog.string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
      FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), '')
  FROM pg_catalog.pg_type t JOIN spaces n ON n.oid = t.typnamespace
  WHERE t.typtype IN ('e', 'd')
    AND NOT EXISTS (SELECT FROM members m
      WHERE m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND m.objid = t.oid)
  UNION ALL
  SELECT 'extension ' || e.extname, ''
  FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
  WHERE n.nspname <> 'upkeep_check'
)
SELECT pg_catalog.json_build_object(
  'upkeep_baseline', 1, 'engine', 'postgresql', 'database', pg_catalog.current_database(),
  'taken', pg_catalog.date_part('epoch', pg_catalog.now()),
  'server_version', pg_catalog.current_setting('server_version'),
  'rows', (SELECT coalesce(pg_catalog.json_object_agg(name, pg_catalog.substring(pg_catalog.query_to_xml(
      pg_catalog.format('SELECT pg_catalog.count(*) AS c FROM ONLY %I.%I', nspname, relname), false, true, '')::text,
      '<c>([0-9]+)</c>')::bigint ORDER BY name), '{}') FROM relations WHERE relkind IN ('r', 'm')),
  'objects', (SELECT coalesce(pg_catalog.json_object_agg(name, CASE definition WHEN '' THEN '' ELSE pg_catalog.md5(
      pg_catalog.regexp_replace(definition, '::"?[a-z_ ]+"?(\[\])?|[() \n]', '', 'g')) END ORDER BY name), '{}')
    FROM definitions),
  'invalid', (SELECT coalesce(pg_catalog.json_agg(name ORDER BY name), '[]') FROM (
      SELECT 'constraint ' || r.name || '.' || k.conname AS name
      FROM pg_catalog.pg_constraint k JOIN relations r ON r.oid = k.conrelid WHERE NOT k.convalidated
      UNION ALL
      SELECT 'index ' || r.name FROM pg_catalog.pg_index i JOIN relations r ON r.oid = i.indexrelid
      WHERE NOT i.indisvalid AND r.relkind = 'i') AS broken));
"""
"""The query for a baseline, for ``psql -XAtq``: rows of every table, and a digest of every definition.

Casts and parentheses do not count: a definition is worded otherwise after a dump and a restore
(``CHECK (status IN ('a', 'b'))`` on a varchar is), and it means the same.
"""

STRUCTURE = re.sub(
    r"'rows', \(SELECT .*? FROM relations WHERE relkind IN \('r', 'm'\)\),", "'rows', '{}'::json,", BASELINE, flags=re.S
)
"""The same without counting rows, for a live server that shall not read all its tables."""

# --- names ----------------------------------------------------------------------------------------


def identifier(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"%s"' % name.replace('"', '""').replace("\0", "")


def literal(text: str) -> str:
    """A text as SQL takes it, whatever is in it and however the server is set."""
    text = text.replace("\0", "").replace("'", "''")
    return "'%s'" % text if "\\" not in text else " E'%s'" % text.replace("\\", "\\\\")


def unquote(name: bytes) -> str:
    """A name as it is, of what SQL has."""
    text = name.decode("utf-8", "replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


# --- the roles and extensions that a dump needs -----------------------------------------------------

_NAME = rb'(?:"(?:[^"\n]|"")+"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*)'
_NAMES = rb"(%s(?:, ?%s)*)" % (_NAME, _NAME)
_ROLES = re.compile(
    rb"OWNER TO (?P<owner>%s);$"
    rb"|^(?:ALTER DEFAULT PRIVILEGES .*?)?(?:GRANT|REVOKE) .*? (?:TO|FROM) (?P<granted>%s)"
    rb"(?: WITH GRANT OPTION)?(?: CASCADE)?;$"
    rb"|^CREATE POLICY .*? TO (?P<policy>%s)(?: USING| WITH CHECK|;)"
    rb"|^CREATE SCHEMA .* AUTHORIZATION (?P<schema>%s);$"
    rb"|^CREATE USER MAPPING (?:IF NOT EXISTS )?FOR (?P<mapping>%s) SERVER" % (_NAME, _NAMES, _NAMES, _NAME, _NAME),
    re.M,
)
_FOR_ROLE = re.compile(rb"^ALTER DEFAULT PRIVILEGES FOR ROLE (%s) " % _NAME, re.M)
_ROLE_NAME = re.compile(_NAME)
_CREATE_ROLE = re.compile(rb"^CREATE (?:ROLE|USER|GROUP) (?:IF NOT EXISTS )?(%s)(?: [^\n]*)?;$" % _NAME, re.M)
_NOBODY = frozenset(("public", "current_user", "session_user", "current_role"))


def roles_needed(sql: bytes) -> dict[str, bytes]:
    """The roles that statements name, each with the statement's line; predefined ones (pg_…) are always there."""
    found: dict[str, bytes] = {}
    for match in _ROLES.finditer(sql):
        for names in match.groupdict().values():
            for name in _ROLE_NAME.findall(names or b""):
                _note(found, name, _line_of(sql, match.start(), match.end()))
    for match in _FOR_ROLE.finditer(sql):
        _note(found, match[1], _line_of(sql, match.start(), match.end()))
    return found


def _note(found: dict[str, bytes], name: bytes, line: bytes) -> None:
    role = unquote(name)
    if not (role.lower() in _NOBODY and not name.startswith(b'"')) and not role.startswith("pg_"):
        found.setdefault(role, line)


def _line_of(sql: bytes, start: int, end: int) -> bytes:
    after = sql.find(b"\n", end)
    return sql[sql.rfind(b"\n", 0, start) + 1 : after if after >= 0 else len(sql)][:500]


def roles_made(sql: bytes) -> list[str]:
    """The roles that a dump of the globals (pg_dumpall --globals-only) creates."""
    return [unquote(name) for name in _CREATE_ROLE.findall(sql)]


_EXTENSION = re.compile(rb"^CREATE EXTENSION (?:IF NOT EXISTS )?(%s)(?: WITH)?(?: SCHEMA (%s))?" % (_NAME, _NAME), re.M)


class Extension(NamedTuple):
    """One extension that a dump creates."""

    name: str
    schema: str


def extensions(sql: bytes) -> list[Extension]:
    """The extensions that statements create, in order."""
    return [Extension(unquote(name), unquote(schema) or "public") for name, schema in _EXTENSION.findall(sql)]


# --- what a load complains of -----------------------------------------------------------------------


class LoadError(NamedTuple):
    """One complaint."""

    kind: str
    """syntax, role, constraint, permission, extension, version, restricted, unique, encoding, gone, other"""
    line: int
    """The line of the dump; 0 where that is not known."""
    text: str
    """What the program said."""


# What the server says in English (lc_messages is C), by the part that does not change; the first that fits counts.
_KINDS: tuple[tuple[str, str], ...] = (
    (r"backslash commands are restricted|\\unrestrict: wrong key", "restricted"),
    (r"invalid command \\", "syntax"),
    (r'role "[^"]*" does not exist', "role"),
    (r"violates foreign key constraint|violates check constraint|violates not-null constraint", "constraint"),
    (r"could not create unique index|duplicate key value|violates exclusion constraint", "constraint"),
    (r"is not present in table|is violated by some row|contains null values", "constraint"),
    (r'extension "[^"]*" is not available|could not (?:open extension control|access) file', "extension"),
    (
        r"permission denied|must be superuser|must be owner|must have privileges|must be (?:a )?member|must be able to|"
        r"must have admin option",
        "permission",
    ),
    (r"[Oo]nly (?:superusers?|roles with)|Must have|not permitted", "permission"),
    (r"unrecognized configuration parameter|unsupported version|unrecognized archive", "version"),
    (r"invalid byte sequence|has no equivalent in encoding", "encoding"),
    (r"missing data for column|extra data after last expected column|invalid input syntax", "data"),
    (r"unexpected EOF|end of file|end-of-copy|could not uncompress|corrupt|did not find magic|inflate", "cut"),
    (r"syntax error at|unterminated", "syntax"),
    (
        r"terminating connection|server closed the connection|connection to server|no connection to the server|"
        r"the database system is (?:shutting down|in recovery)",
        "gone",
    ),
    (r"No space left on device|could not (?:extend|write)", "room"),
    (r"does not exist", "absent"),
)
_PSQL = re.compile(r"psql:[^:]*:(\d+): (?:ERROR|FATAL|PANIC|error|fatal):\s+(.*)")
_RESTORE = re.compile(r"pg_restore: (?:error|fatal): (.*)")
_RESTORE_OLD = re.compile(r"pg_restore: \[[^\]]*\] (.*)")


def load_error(line: str) -> LoadError | None:
    """The complaint in a line of what psql or pg_restore print, or None; its line is one of what psql was given."""
    found = _PSQL.match(line)
    if found:
        return LoadError(kind(found[2]), int(found[1]), found[2])
    found = _RESTORE.match(line) or _RESTORE_OLD.match(line)
    if found:
        return LoadError(kind(found[1]), 0, found[1])
    if line.startswith(("psql: error:", "psql: fatal:")):
        return LoadError(kind(line), 0, line)
    return None


def kind(text: str) -> str:
    """What a complaint is about (LoadError.kind)."""
    for pattern, name in _KINDS:
        if re.search(pattern, text):
            return name
    return "other"
