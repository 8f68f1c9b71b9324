# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading a dump of PostgreSQL into a throw-away server: by psql what is SQL, by pg_restore what is an archive."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._process import Ended, Stage, begun, chain, run, secret_fd
from . import postgresql_sql as sql
from .dumps import _lines as head_lines
from .postgresql_plain import PlainFilter
from .postgresql_server import LOADER, OWNERS, NoServer, Programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .._process import Account
    from .dump_stream import Flow, Source
    from .dumps import Dump
    from .postgresql_server import Server

ERRORS_KEPT = 200
ERRORS_MOST = 2000
"""Complaints after which a load is given up: what follows a broken statement is no news."""
_TOC_SIZES = (1 << 20, 16 << 20)
"""Bytes of a streamed archive's beginning in which its table of contents is looked for."""


@dataclass
class Loaded:
    """How a load went."""

    errors: list[sql.LoadError] = field(default_factory=list)
    """The first ERRORS_KEPT of them."""
    error_count: int = 0
    given_up: bool = False
    """Whether it was ended for its many errors."""
    roles: dict[str, str] = field(default_factory=dict)
    """The roles that the dump names -> the statement that does so first."""
    roles_made: list[str] = field(default_factory=list)
    """The roles that it creates itself (a whole server's dump)."""
    databases: list[str] = field(default_factory=list)
    """The databases that were loaded into."""
    last_table: str = ""
    """The table whose data was sent last, and whether that had not ended when the dump did."""
    in_data: bool = False
    seconds: float = 0.0
    ended_by: str = ""
    rc: int | None = 0

    def take(self, error: sql.LoadError) -> None:
        """Note a complaint. Raises _TooMany at the limit."""
        self.error_count += 1
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(error)
        if self.error_count >= ERRORS_MOST:
            raise _TooMany

    def of(self, *kinds: str) -> list[sql.LoadError]:
        return [error for error in self.errors if error.kind in kinds]


class _TooMany(Exception):  # noqa: N818 - an outcome
    """Enough."""


class _Setup:
    """What the server needs before it can take a statement of the dump: roles that stand in, and extensions that only a
    superuser may create."""

    def __init__(self, server: Server, loaded: Loaded, trusted: bool) -> None:
        self.server = server
        self.loaded = loaded
        self.trusted = trusted
        self._untouched = True

    def statements(self, text: bytes, database: str) -> None:
        """See to what these statements need; called before the server gets them."""
        fresh = {name: line for name, line in sql.roles_needed(text).items() if name not in self.loaded.roles}
        if fresh:
            self.loaded.roles.update((name, line.decode("utf-8", "replace")) for name, line in fresh.items())
            self.server.make_roles(fresh)
        # An extension's script runs as superuser, and must not find anything there that a dump put in its way.
        if self._untouched and not self.trusted:
            self._untouched = False
            self._extensions(sql.extensions(text), database)

    def _extensions(self, wanted: list[sql.Extension], database: str) -> None:
        names = {one.name for one in wanted if one.schema in ("public", "pg_catalog")}
        if not names or not database:
            return
        query = "SELECT DISTINCT name FROM pg_available_extension_versions WHERE superuser AND NOT %s AND name IN (%s)"
        trusted = "trusted" if int(self.server.programs.major.split(".")[0]) >= 13 else "false"
        found = self.server.ask(query % (trusted, ", ".join(map(sql.literal, sorted(names)))), database, timeout=60)
        allowed = {row[0] for row in found.rows}
        for one in wanted:
            if one.name in allowed:
                words = (
                    sql.identifier(one.name),
                    sql.identifier(one.schema),
                    sql.literal(one.name),
                    sql.literal(LOADER),
                )
                self.server.ask(
                    _EXTENSION % (words[0], words[1], words[3], words[2], words[2], LOADER), database, timeout=300
                )


_EXTENSION = """
CREATE EXTENSION IF NOT EXISTS %s SCHEMA %s CASCADE;
UPDATE pg_extension SET extowner = (SELECT oid FROM pg_roles WHERE rolname = %s) WHERE extname = %s;
SELECT format('GRANT ALL ON TABLE %%s TO %%I', d.objid::regclass, r.rolname)
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid JOIN pg_class c ON c.oid = d.objid, pg_roles r
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND c.relkind = 'r' AND e.extname = %s AND r.rolname = '%s' \\gexec
"""


# --- plain ----------------------------------------------------------------------------------------


def plain(
    server: Server, flow: Flow, dump: Dump, database: str, tools: list[Programs], trusted: bool, timeout: float
) -> Loaded:
    """Load SQL. ``tools``: the versions on this host; one must have a psql that can be restricted. Raises NoServer."""
    loaded = Loaded()
    program = _restricting(server.programs, tools, trusted)
    if dump.cluster:
        server.make_database("postgres")
    error = server.make_database(database, _encoding(flow.head))
    if error:
        raise NoServer("its database could not be made", [error], "See the evidence.", "server_failed")
    setup = _Setup(server, loaded, trusted)
    at = [database]
    loaded.databases.append(database)

    def statements(text: bytes) -> None:
        setup.statements(text, at[0])

    def connect(name: str) -> None:
        at[0] = ""  # it may not be there yet: the statement that makes it is on its way
        if name not in loaded.databases:
            loaded.databases.append(name)

    def of_the_server(text: bytes) -> None:
        loaded.roles_made += sql.roles_made(text)
        server.make_roles(sql.roles_made(text))

    change = PlainFilter(
        "" if trusted else secrets.token_hex(32), statements, connect, of_the_server if dump.cluster else None
    )
    argv = server.psql(database, server.admin if trusted else LOADER, "-v", "ON_ERROR_STOP=0", "-f", "-")
    argv[0] = program.path("psql")
    complaints = _Complaints(loaded, change.origin)
    reader = flow.pour(change)
    try:
        with open(os.devnull, "wb") as nowhere:
            ended = _guarded(
                loaded,
                lambda: run(
                    # A trusted dump may have psql run programs.
                    server.confine(argv, []),
                    env=server.env,
                    stdin=reader,
                    stdout=nowhere.fileno(),
                    on_error_line=complaints.line,
                    timeout=timeout,
                    nice=server.nice,
                    cwd=server.folder,
                ),
            )
    finally:
        os.close(reader)
    complaints.end()
    try:
        flow.drain()
    except ValueError as problem:
        loaded.errors.append(sql.LoadError("other", 0, str(problem)))
        loaded.error_count += 1
    _note(loaded, ended)
    loaded.last_table, loaded.in_data = change.first_copy, change.in_copy
    if loaded.rc not in (0, None) and not loaded.error_count:
        loaded.take(sql.LoadError("gone" if loaded.rc == 2 else "other", 0, "psql ended with %s" % loaded.rc))
    return loaded


def _restricting(own: Programs, tools: list[Programs], trusted: bool) -> Programs:
    if trusted or own.restricts:
        return own
    for one in reversed(tools):
        if one.restricts:
            return one
    raise NoServer(
        "no psql on this host can be kept from running programs that a dump names (CVE-2025-8714)",
        ["found: psql %s" % ", ".join(one.version for one in tools)],
        "apt-get install --only-upgrade postgresql-client-%s (13.22, 14.19, 15.14, 16.10, 17.6 or newer); or trusted: "
        "true for this dump, when only who may run programs on this host could have written it." % own.major,
        "no_server",
    )


def _encoding(head: bytes) -> str:
    found = re.search(rb"^SET client_encoding = '([A-Za-z0-9_-]{1,30})';", head, re.M)
    return found[1].decode("ascii") if found else "UTF8"


class _Complaints:
    """Makes errors of the lines that psql and pg_restore print, with the line of detail and the object."""

    def __init__(self, loaded: Loaded, origin: Callable[[int], int] = int) -> None:
        self.loaded = loaded
        self.origin = origin
        self._held: sql.LoadError | None = None
        self._entry = ""

    def line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        found = re.match(r"pg_restore: (?:while|from) (?:.*?; )?(?:TOC entry )(.*)", text) or re.match(
            r"pg_restore: from (TOC entry .*)", text
        )
        if found:
            self.end()
            self._entry = found[1]
            return
        error = sql.load_error(text)
        if error is not None:
            self.end()
            self._held = error._replace(
                line=self.origin(error.line), text=error.text + (" [%s]" % self._entry if self._entry else "")
            )
            self._entry = ""
        elif self._held is not None and text.startswith("DETAIL:"):
            self._held = self._held._replace(text="%s (%s)" % (self._held.text, text[len("DETAIL:") :].strip()))
        elif self._held is not None and text.startswith("CONTEXT:  COPY"):
            # "COPY orders, line 17, column total": which table; its data are nobody's business.
            where = re.match(r"CONTEXT:  (COPY [^,]+(?:, line \d+)?)", text)
            self._held = self._held._replace(text="%s, %s" % (self._held.text, where[1] if where else ""))

    def end(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self.loaded.take(held)


def _guarded(loaded: Loaded, load: object) -> Ended | None:
    try:
        return load()  # type: ignore[no-any-return,operator]
    except _TooMany:
        loaded.given_up = True
        return None


def _note(loaded: Loaded, ended: Ended | None) -> None:
    if ended is not None:
        loaded.rc, loaded.ended_by = ended.rc, ended.ended_by
        loaded.seconds += ended.seconds


# --- archives -------------------------------------------------------------------------------------


class Reader:
    """How pg_restore gets to read an archive: as the account, with the right to read where the account has none."""

    def __init__(self, server: Server, path: str) -> None:
        self.account = server.account
        self.prefix: list[str] = []
        probe = os.path.join(path, "toc.dat") if os.path.isdir(path) else path
        if server.account is None or run(["test", "-r", probe], account=server.account, timeout=10).rc == 0:
            return
        setpriv = server.host.which("setpriv")
        self.account = None
        if setpriv:
            user, group = server.numbers() or (0, 0)
            # All of root's rights are given up but the one to read and search.
            right = "-all,+dac_read_search"
            self.prefix = [
                *(setpriv, "--reuid=%d" % user, "--regid=%d" % group, "--clear-groups"),
                *("--inh-caps=" + right, "--ambient-caps=" + right, "--bounding-set=" + right, "--no-new-privs"),
                # pg_restore 16 looks for packed files by access(2), which else forgets the right of who is not root.
                *("--securebits=+no_setuid_fixup", "--"),
            ]


def archive_tool(own: Programs, tools: list[Programs], dump: Dump) -> Programs:
    """The programs whose pg_restore reads an archive: at least those of the pg_dump that wrote it."""
    from .dumps import major_version
    from .postgresql_server import _order

    needed = major_version("postgresql", dump.tool_version)
    if not needed or _order(own.major) >= _order(needed):
        return own
    for one in tools:
        if _order(one.major) >= _order(needed):
            return one
    raise NoServer(
        "it was written by pg_dump %s, which pg_restore %s does not read" % (needed, tools[-1].major),
        ["found: %s" % ", ".join(one.version for one in tools)],
        "apt-get install postgresql-client-%s" % needed,
    )


@contextlib.contextmanager
def precheck(server: Server, tool: Programs, path: str) -> Iterator[Callable[[float], list[sql.LoadError]]]:
    """Read an archive through without loading it, while the server is made, which need not be there yet.

    Gives a function that waits for its end, at most so many seconds, and tells what is corrupt. Leaving the context
    ends it. ``pg_restore --list`` reads the table of contents only, and sees nothing of what is behind it.
    """
    reader = Reader(server, path)
    argv = [*reader.prefix, tool.path("pg_restore"), "-f", os.devnull, path]
    with _reading(server, Stage(argv, server.env, (), reader.account)) as errors:
        yield errors


@contextlib.contextmanager
def _reading(
    server: Server, stage: Stage, stdin: int | None = None
) -> Iterator[Callable[[float], list[sql.LoadError]]]:
    with begun(stage, stdin=stdin, nice=server.nice) as rest:

        def errors(timeout: float) -> list[sql.LoadError]:
            loaded = Loaded()
            complaints = _Complaints(loaded)
            ended = rest(timeout, None, lambda _line: None)
            with contextlib.suppress(_TooMany):
                for line in ended.err.split(b"\n"):
                    complaints.line(line)
                complaints.end()
            if ended.rc != 0 and not loaded.errors:
                why = "pg_restore ended at its limit" if ended.ended_by else "pg_restore ended with %s" % ended.rc
                loaded.errors.append(sql.LoadError("cut", 0, " ".join((why, *head_lines(ended.err)))))
            return loaded.errors

        yield errors


def archive(
    server: Server, tool: Programs, path: str, database: str, jobs: int, trusted: bool, timeout: float
) -> Loaded:
    """Load an archive that lies on this host."""
    loaded = Loaded(databases=[database])
    _make(server, database)
    reader = Reader(server, path)
    schema = run(
        [*reader.prefix, tool.path("pg_restore"), "-s", "-f", "-", path],
        env=server.env,
        account=reader.account,
        timeout=timeout,
        nice=server.nice,
    )
    _Setup(server, loaded, trusted).statements(schema.out, database)
    words = ["-j", str(jobs)] if jobs > 1 else []
    _restore(
        server,
        loaded,
        [*reader.prefix, *_argv(server, tool, database, trusted), *words, path],
        reader.account,
        None,
        timeout,
    )
    return loaded


def streamed_archive(
    server: Server, tool: Programs, flow: Flow, database: str, trusted: bool, timeout: float
) -> tuple[Loaded, list[sql.LoadError]]:
    """Load an archive as it comes, without a copy of it; how that went, and where the archive is corrupt.

    It comes once, so that it cannot be read through before: a second pg_restore reads the same bytes beside the load,
    all of them, whatever the server takes of them.
    """
    loaded = Loaded(databases=[database])
    _make(server, database)
    for size in _TOC_SIZES:
        flow.more(size)
        with secret_fd(flow.head) as descriptor:
            schema = run(
                [tool.path("pg_restore"), "-s", "-f", "-", "/proc/self/fd/%d" % descriptor],
                env=server.env,
                account=server.account,
                pass_fds=(descriptor,),
                timeout=timeout,
            )
        if schema.rc == 0:
            _Setup(server, loaded, trusted).statements(schema.out, database)
            break
    twin = flow.twin()
    reader = flow.pour()
    argv = [tool.path("pg_restore"), "-f", os.devnull]
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open(reader, "rb", buffering=0))
        with open(twin, "rb", buffering=0):
            errors = stack.enter_context(_reading(server, Stage(argv, server.env, (), server.account), twin))
        _restore(server, loaded, _argv(server, tool, database, trusted), server.account, reader, timeout)
        stream.close()
        corrupt = errors(timeout)
    flow.drain()
    return loaded, corrupt


def unpacked(server: Server, source: Source, folder: str, timeout: float) -> list[Ended]:
    """Put an archive that is a folder into the scratch place: out of a snapshot it comes as a tar. What went wrong."""
    if source.stage is None:
        raise ValueError("only what comes out of a snapshot is unpacked")
    made = run(["mkdir", "-m", "0700", folder], env=server.env, account=server.account, timeout=10)
    if made.rc != 0:
        return [made]
    tar = Stage(
        ["tar", "-x", "--no-same-owner", "--no-same-permissions", "-C", folder, "-f", "-"],
        server.env,
        (),
        server.account,
    )
    return [one for one in chain([source.stage, tar], timeout=timeout) if one.rc != 0]


def _make(server: Server, database: str) -> None:
    error = server.make_database(database)
    if error:
        raise NoServer("its database could not be made", [error], "See the evidence.", "server_failed")


def _argv(server: Server, tool: Programs, database: str, trusted: bool) -> list[str]:
    words = server.psql(database, server.admin if trusted else LOADER)
    # Of psql's words, those that pg_restore knows: where to connect.
    return [tool.path("pg_restore"), *words[words.index("-h") :], "--no-tablespaces", "--no-password"]


def _restore(
    server: Server, loaded: Loaded, argv: list[str], account: Account | None, stdin: int | None, timeout: float
) -> None:
    complaints = _Complaints(loaded)
    ended = _guarded(
        loaded,
        lambda: run(
            argv,
            env=server.env,
            account=account,
            stdin=stdin,
            on_error_line=complaints.line,
            timeout=timeout,
            nice=server.nice,
            cwd=server.folder,
        ),
    )
    with contextlib.suppress(_TooMany):
        complaints.end()
    _note(loaded, ended)
    if loaded.rc not in (0, None) and not loaded.error_count:
        loaded.take(sql.LoadError("other", 0, "pg_restore ended with %s" % loaded.rc))


def make_globals(server: Server, text: bytes) -> list[str]:
    """Stand-ins for the roles of a file of globals (pg_dumpall --globals-only); their names."""
    names = sql.roles_made(text)
    server.make_roles(names)
    return names


def missing_roles(loaded: Loaded, provided: Iterable[str]) -> dict[str, str]:
    """The roles that nobody provides -> the statement that names each first. Every server has ``postgres``."""
    there = {*provided, *loaded.roles_made, "postgres", LOADER, OWNERS}
    return {name: line for name, line in loaded.roles.items() if name not in there}
