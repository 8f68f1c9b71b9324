# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps and physical backups of PostgreSQL, restored on trial into a throw-away server and asked."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from .._findings import CannotCheck, Review, plain
from .._process import run
from . import baseline as baselines
from . import confine, dump_source, dump_stream, dump_test, dumps, postgresql_check, postgresql_judge, postgresql_load
from .dump_source import NotThere
from .leftovers import clear_away
from .postgresql_check import Unanswered
from .postgresql_server import (
    LOADER,
    Machine,
    NoServer,
    Server,
    chosen,
    installed,
    loading_settings,
    stored_identifier,
)
from .restic import Limits
from .restic_errors import ResticError
from .scratch import NoRoom, Scratch, Unfit, check_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .._host import Host
    from .._process import Account
    from .baseline import Baseline
    from .dump_source import Located
    from .dump_stream import Flow
    from .dumps import Dump
    from .postgresql_load import Loaded
    from .postgresql_server import Programs
    from .restic import Restic

EMPTY_SERVER = 192 * 1024 * 1024
"""Bytes of a server with nothing in it: 40 MiB of initdb, 23 MiB for three databases, logs of 32 to 96 MiB."""
LOG_MOST = 1 << 30
"""Bytes of write-ahead log that a load keeps at the most (max_wal_size), or as much as is loaded."""
GROWTH = {"plain": 2.0, "tar": 2.0, "custom": 12.0, "directory": 12.0}
"""Bytes of tables and indexes for one byte of a dump, by its form: rows of 100 bytes in two indexes gave 1.3 to 1.9 of
plain SQL, and archives are packed by five or six. Better known: expected_bytes."""
UNPACKS = 6.0
"""Bytes of SQL for one packed byte."""
SLACK = 100
"""Rows by which a small table of a live server may differ, whatever the percentage."""
FIRST_DATABASE = "upkeep_restore"
"""Where psql is connected before a dump names databases of its own."""


def review(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``postgresql_restore_test`` (see its RETURN). ``options``: ARGUMENT_SPEC's, and ``check_mode``."""
    reviewed = Review("backup")
    swept = clear_away(reviewed, options)
    programs = installed(host, options.get("server_folder") or "")
    tests = [_Test(host, options, spec, reviewed, programs) for spec in options["dumps"]]
    details = {
        "dumps": [one.run() for one in tests],
        "servers": [{"version": one.version, "folder": one.folder} for one in programs],
        "swept": swept,
    }
    return {**plain(details), **reviewed.result()}


class _Stop(Exception):  # noqa: N818 - an outcome
    """The test of this dump is over; what there is to say is said."""


class _Test:
    """The test of one backup."""

    def __init__(
        self,
        host: Host,
        options: Mapping[str, Any],
        spec: Mapping[str, Any],
        reviewed: Review,
        programs: list[Programs],
    ) -> None:
        self.host = host
        self.options = options
        self.spec = spec
        self.review = reviewed
        self.programs = programs
        self.subject = dump_source.subject(spec)
        self.limits = Limits.of(options)
        self.check_mode = bool(options.get("check_mode"))
        self.physical = spec["kind"] != "dump"
        self.facts: dict[str, Any] = {"name": spec["name"], "path": spec["path"], "kind": spec["kind"]}
        self.times: dict[str, float] = {}
        self.restic: Restic | None = None
        self.account: Account | None = None
        self.whole = False
        """Whether it was restored, and every question asked."""
        self.planned = False
        """In check mode: whether nothing stands against trying it."""

    def run(self) -> dict[str, Any]:
        """The backup's part of the result."""
        began = self.host.now()
        clock = time.monotonic()
        before = len(self.review.findings)
        name = "backup.archive.failed" if self.physical else "backup.dump.failed"
        with self.review.check(name, self.subject), contextlib.ExitStack() as stack:
            try:
                self._run(stack)
            except _Stop:
                pass
            except ResticError as error:
                repository = self.spec["repository"]
                self.review.covered(error.check, repository)
                why = error.why[:1].upper() + error.why[1:]
                self.review.found(error.check, repository, error.severity, why, error.evidence, error.remedy)
            except NotThere as absent:
                self.review.covered("backup.dump.missing", self.subject)
                self._found("missing", "critical", "There is no dump: %s." % absent.why, absent.evidence, absent.remedy)
            except NoServer as error:
                self.no_server(error)
            except NoRoom as error:
                self._no_room([str(error)])
            except Unfit as error:
                raise CannotCheck(error.why, error.remedy) from error
        found = self.review.findings[before:]
        self.times["total"] = round(time.monotonic() - clock, 2)
        self.facts["seconds"] = {key: round(value, 2) for key, value in self.times.items()}
        self.facts["findings"] = sorted({one["check"] for one in found})
        outcome = dump_test.outcome(found, self.whole, self.planned)
        if not self.check_mode:
            self._prove(outcome, found, began)
        return dict(self.facts, outcome=outcome)

    def _prove(self, outcome: str, found: Sequence[Mapping[str, Any]], began: float) -> None:
        what = "%s %s" % ("The physical backup" if self.physical else "The dump", self.subject)
        if outcome == "passed":
            told = "was restored into a throw-away server and asked: %d tables, %d rows, in %.1f s." % (
                self.facts.get("tables", 0),
                self.facts.get("rows", 0),
                self.times["total"],
            )
        elif outcome == "failed":
            told = "is not as it should be: %s." % ", ".join(sorted({one["check"] for one in found}))
        else:
            told = "could not be tested: %s" % (found[0]["summary"] if found else "it was given up.")
        check = "backup.archive.recover" if self.physical else "backup.dump.load"
        self.review.proof(check, self.subject, outcome, began, self.host.now(), "%s %s" % (what, told), self.facts)

    # --- what may be said ------------------------------------------------------------------------

    def _found(self, fault: str, severity: str, summary: str, evidence: Sequence[str] = (), remedy: str = "") -> None:
        self.review.found("backup.dump." + fault, self.subject, severity, summary, evidence, remedy)

    def _cover(self, *faults: str) -> None:
        for fault in faults:
            self.review.covered("backup.dump." + fault, self.subject)

    def no_server(self, error: NoServer) -> None:
        """There is no throw-away server, or none any more."""
        if error.check == "no_room":
            self._no_room(error.evidence)
            return
        severity = "critical" if error.check == "not_throwaway" else "high"
        summary = "The backup could not be tried: %s." % error.why
        self._found(error.check, severity, summary, error.evidence, error.remedy)

    def _no_room(self, evidence: Sequence[str]) -> None:
        self._found(
            "no_room",
            "high",
            "There is not the room to restore it on trial.",
            evidence,
            "Make room there, name another scratch folder (option scratch), restore on another host, or say how "
            "large the "
            "database is (expected_bytes) where the estimate is too high.",
        )

    # --- finding it ------------------------------------------------------------------------------

    def _run(self, stack: contextlib.ExitStack) -> None:
        self.restic = dump_test.repository(self.host, self.options, self.spec, self.limits, stack)
        self.account = self._account()
        if self.physical:
            from . import postgresql_physical

            postgresql_physical.test(self)
            return
        with self.timed("find"):
            located = dump_source.locate(self.host, self.spec, self.restic)
        self.facts.update(located.facts())
        self._cover("missing")
        if located.folder:
            self._directory(located)
        else:
            self._file(located)

    def _account(self) -> Account | None:
        """Who runs the server, which refuses to be root: an account that nothing else has. None: who we are."""
        asked = self.options.get("account")
        if not self.host.is_root():
            if asked:
                raise CannotCheck("only root can run a server as %s" % asked, "Run it as root, or without account.")
            return None
        return asked or confine.free_account() or "nobody"

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the seconds of a block to the times."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.times[what] = self.times.get(what, 0.0) + time.monotonic() - began

    def beside(self, path: str) -> bytes:
        """A small file from where the dump is: this host, or its snapshot. Raises NotThere and ResticError."""
        if self.restic is None:
            data = self.host.read_bytes(path, baselines.FILE_LIMIT)
            if data is None:
                raise NotThere("%s cannot be read" % path, [], "Write it beside the dump, or correct the option.")
            return data
        stage = self.restic.dump_argv(str(self.facts["snapshot"]), path)
        ended = run(stage.argv, env=stage.env, pass_fds=stage.pass_fds, account=stage.account, timeout=600)
        if ended.rc != 0:
            raise NotThere("the snapshot holds no %s" % path, [], "Write it beside the dump, or correct the option.")
        return ended.out

    # --- a dump ----------------------------------------------------------------------------------

    def _file(self, located: Located) -> None:
        try:
            opened = dump_stream.opened(located.source, timeout=self.limits.timeout, idle=self.limits.idle)
            with opened as flow:
                self._flow(located, flow)
        except PermissionError as error:
            raise CannotCheck("%s may not be read by this account" % located.source.path, "Run it as root.") from error

    def _flow(self, located: Located, flow: Flow) -> None:
        if flow.missing:
            raise CannotCheck(
                "the dump is packed (%s), and this host has no %s to unpack it" % (flow.packed, flow.missing),
                "apt-get install %s" % {"xz": "xz-utils", "gzip": "gzip"}.get(flow.missing, flow.missing),
            )
        if located.source.stage is not None and not flow.head and flow.problems:
            self._unreadable(flow)
        dump = dumps.identify(flow.head)
        self._identified(located, dump, flow.packed)
        if dump.format == "plain":
            self._test(located, dump, flow.packed, lambda server: self._plain(server, flow, dump))
        elif located.source.stage is None and not flow.packed:
            path = located.source.path
            self._test(located, dump, "", lambda server: self._archive(server, path, dump), precheck=path)
        else:
            self._test(located, dump, flow.packed, lambda server: self._streamed(server, flow, dump))

    def _unreadable(self, flow: Flow) -> None:
        problem = flow.problems[0]
        lines = [line for line in problem.err.decode("utf-8", "replace").split("\n") if line.strip()][-5:]
        clean = self.restic.repository.clean if self.restic else str
        self._found(
            "corrupt",
            "critical",
            "The dump cannot be read out of the snapshot.",
            [clean(line) for line in lines],
            "See what restic check --read-data says of the repository, and take a new backup.",
        )
        raise _Stop

    def _directory(self, located: Located) -> None:
        source = located.source
        toc = os.path.join(source.path, "toc.dat")
        if self.restic is None:
            head = self.host.read_bytes(toc, dumps.HEAD)
        else:
            try:
                head = self.beside(toc)[: dumps.HEAD]
            except NotThere:
                head = None
        if head is None:
            raise NotThere(
                "%s is a folder without toc.dat, so none that pg_dump -Fd writes" % source.path,
                [],
                "pg_dump writes toc.dat last: was it broken off? For a copy of a server's files: kind: physical.",
            )
        dump = dumps.identify(head)
        self._identified(located, dump, "")
        if self.restic is None:
            path = source.path
            self._test(located, dump, "", lambda server: self._archive(server, path, dump), precheck=path)
            return

        def load(server: Server) -> Loaded:
            folder = os.path.join(server.folder, "dump")
            with self.timed("fetch"):
                problems = postgresql_load.unpacked(server, source, folder, self.limits.timeout)
            if problems:
                flow = dump_stream.Flow()
                flow.problems = problems
                self._unreadable(flow)
            path = os.path.join(folder, source.path.strip("/"))
            with self._prechecked(server, path, dump) as whole:
                whole()
            return self._archive(server, path, dump)

        self._test(located, dump, "", load, located.size)

    def _identified(self, located: Located, dump: Dump, packed: str) -> None:
        self.facts.update(
            format=dump.format,
            packed=packed,
            server_version=dump.server_version,
            tool_version=dump.tool_version,
            database=self.spec.get("database") or dump.database,
        )
        self._cover("empty", "not_sql")
        evidence = ["%s: %d bytes, written %s" % (located.source.path, located.size, _when(located.mtime))]
        if not postgresql_judge.head(self.review, self.subject, dump, evidence):
            raise _Stop
        if self.spec.get("version"):
            self._cover("wrong_version")
            postgresql_judge.version(self.review, self.subject, self.spec["version"], dump)

    def needed(self, size: int, form: str, packed: str) -> int:
        """Bytes that the scratch place must have."""
        expected = self.spec.get("expected_bytes")
        tables = int(expected or size * GROWTH.get(form, 1.0) * (UNPACKS if packed else 1.0))
        return EMPTY_SERVER + tables + min(LOG_MOST, tables)

    def _test(
        self,
        located: Located,
        dump: Dump,
        packed: str,
        load: Callable[[Server], Loaded],
        copied: int = 0,
        precheck: str = "",
    ) -> None:
        """``copied``: bytes of a copy in the scratch place. ``precheck``: an archive of this host, read through while
        the server is made."""
        programs = chosen(self.programs, dump.major or self.spec.get("version") or "", self._newer())
        needed = self.needed(located.size, dump.format, packed) + copied
        self.facts.update(version=programs.version, needs_bytes=needed)
        if self.check_mode:
            self.plan(needed)
            return
        with Scratch(
            self.options["scratch"], "postgresql", needed, run=self.options["run"], account=self.account
        ) as scratch:
            server = Server(
                self.host, programs, scratch.path, self.account, timeout=self.limits.timeout, nice=self.limits.nice
            )
            self.facts["not_confined"] = server.not_confined()
            with server:
                with self._prechecked(server, precheck, dump) as whole:
                    with self.timed("server"):
                        server.create(loading_settings(Machine.of(self.host)))
                        server.start()
                        server.prepare()
                    self._cover("no_server", "not_throwaway", "no_room")
                    whole()
                server.trusted = self.spec["trusted"]
                self._globals(server)
                loaded = load(server)
                self._judged(server, located, dump, loaded)

    @contextlib.contextmanager
    def _prechecked(self, server: Server, path: str, dump: Dump) -> Iterator[Callable[[], None]]:
        """Begin to read an archive through; gives a function that ends the test where it is not whole."""
        if not path:
            yield lambda: None
            return
        tool = postgresql_load.archive_tool(server.programs, self.programs, dump)
        with postgresql_load.precheck(server, tool, path) as rest:

            def whole() -> None:
                with self.timed("precheck"):
                    errors = rest(self.limits.timeout)
                self._cover("corrupt")
                if errors:
                    postgresql_judge.corrupt(self.review, self.subject, errors, True)
                    raise _Stop

            yield whole

    def plan(self, needed: int) -> None:
        """See that there is the room, as check mode does. Raises NoRoom and Unfit."""
        check_room(self.options["scratch"], needed)
        self.planned = True

    def _newer(self) -> bool:
        return bool(self.options.get("other_versions") == "newer")

    def _globals(self, server: Server) -> None:
        self.provided = list(self.spec["roles"])
        path = self.spec.get("globals")
        if not path:
            return
        try:
            self.provided += postgresql_load.make_globals(server, self.beside(path))
        except NotThere as absent:
            self.review.not_run("backup.dump.role_missing", absent.why, absent.remedy)

    def _plain(self, server: Server, flow: Flow, dump: Dump) -> Loaded:
        own = dump.cluster or bool(dump.database)
        name = FIRST_DATABASE if own else str(self.spec.get("database") or "restored")
        with self.timed("load"):
            loaded = postgresql_load.plain(
                server, flow, dump, name, self.programs, self.spec["trusted"], self.limits.timeout
            )
        if own and len(loaded.databases) > 1:
            loaded.databases.remove(name)
        seen = flow.seen
        self.facts.update(bytes=seen.stored, sha256=seen.sha256, unpacked_bytes=seen.unpacked)
        self._ending = dumps.ending(dump, seen.tail)
        if flow.problems and self._ending.complete is not True:
            self._unreadable_in_load(flow)
        return loaded

    def _unreadable_in_load(self, flow: Flow) -> None:
        """The packed file or the snapshot could not be read to its end: that is the cause of all else."""
        lines = [
            line
            for problem in flow.problems
            for line in problem.err.decode("utf-8", "replace").split("\n")[-4:]
            if line.strip()
        ]
        self._found(
            "truncated" if any("unexpected end" in line for line in lines) else "corrupt",
            "critical",
            "The dump cannot be unpacked to its end: what should follow is not in it.",
            lines,
            "Take a new dump now, and see why this one is as it is: room on the disk, the job's log.",
        )
        raise _Stop

    def _archive(self, server: Server, path: str, dump: Dump) -> Loaded:
        tool = postgresql_load.archive_tool(server.programs, self.programs, dump)
        # A tar is read from its start to its end; the others know where their parts lie. From two jobs on pg_restore
        # makes each table anew in the transaction that fills it, and then none of it goes into the log.
        jobs = 1 if dump.format == "tar" else self.spec.get("jobs") or max(2, self.host.cpus())
        with self.timed("load"):
            return postgresql_load.archive(
                server, tool, path, self._named(dump), jobs, self.spec["trusted"], self.limits.timeout
            )

    def _streamed(self, server: Server, flow: Flow, dump: Dump) -> Loaded:
        tool = postgresql_load.archive_tool(server.programs, self.programs, dump)
        with self.timed("load"):
            loaded, corrupt = postgresql_load.streamed_archive(
                server, tool, flow, self._named(dump), self.spec["trusted"], self.limits.timeout
            )
        self._cover("corrupt")
        seen = flow.seen
        self.facts.update(bytes=seen.stored, sha256=seen.sha256 if seen.whole else "", unpacked_bytes=seen.unpacked)
        if corrupt and not loaded.ended_by:
            if flow.problems:
                self._unreadable_in_load(flow)
            postgresql_judge.corrupt(self.review, self.subject, corrupt, False)
            raise _Stop
        return loaded

    def _named(self, dump: Dump) -> str:
        return str(self.spec.get("database") or dump.database or "restored")

    # --- after the load --------------------------------------------------------------------------

    def _judged(self, server: Server, located: Located, dump: Dump, loaded: Loaded) -> None:
        self.facts.update(databases=loaded.databases, load_errors=loaded.error_count)
        if loaded.ended_by:
            raise NoServer(
                "loading was not done within %d s" % self.limits.timeout, [], "Raise timeout.", "server_failed"
            )
        if loaded.of("room"):
            self._no_room([error.text for error in loaded.of("room")][:5])
            raise _Stop
        if loaded.of("gone") or not server.alive():
            words = [error.text for error in loaded.of("gone")][:3] + server.last_words()
            raise NoServer(
                "the throw-away server ended while it was loaded",
                words,
                "See what ended it: journalctl -k (out of memory?), who sent it a signal. Then try again.",
                "server_failed",
            )
        self._cover("server_failed")
        ending = self._ending if dump.format == "plain" else dumps.Ending(None)
        written = dump.written or ending.written
        how = "by its own words" if written else "when its file was last changed"
        content = written or located.mtime
        self.facts["content_written"] = content
        now = self.host.now()
        postgresql_judge.age(self.review, self.subject, content, how, self.spec["max_age_hours"], now)
        cut = dump.format == "plain" and ending.complete is False
        if not cut:
            for check in postgresql_judge.load_checks():
                self.review.covered(check, self.subject)
            postgresql_judge.load(self.review, self.subject, loaded)
            missing = postgresql_load.missing_roles(loaded, self.provided)
            postgresql_judge.roles(self.review, self.subject, missing)
        with self.timed("checks"):
            self._questions(server, loaded, located, cut, ending)
        restore = self.times.get("server", 0) + self.times.get("load", 0) + self.times.get("fetch", 0)
        self.facts["restore_seconds"] = round(restore, 2)
        self._cover("slow")
        postgresql_judge.slow(self.review, self.subject, restore, self.spec.get("max_seconds"))
        if not server.alive():
            raise NoServer(
                "the throw-away server ended while it was asked", server.last_words(), "Try again.", "server_failed"
            )
        self.whole = True

    def _questions(self, server: Server, loaded: Loaded, located: Located, cut: bool, ending: dumps.Ending) -> None:
        # What a trusted dump made belongs to the administrator, and may be nobody else's to read.
        user = server.admin if self.spec["trusted"] else LOADER
        there = server.databases()
        databases = [name for name in loaded.databases if name in there]
        counting = server.beside(lambda: self.contents(server, databases, user))
        if not cut:
            self.check_indexes(server, databases, user, "upkeep_check", server.amcheck)
        held = counting.result()
        lost = self.compare(held, located.beside, located.source.path, quiet=cut)
        if self.facts["format"] == "plain":
            postgresql_judge.complete(self.review, self.subject, ending, loaded, lost)
        if cut:
            return
        if not self.spec.get("baseline") and not loaded.errors:
            postgresql_judge.hollow(self.review, self.subject, int(self.facts["tables"]))
        self.ask(server, databases, user)

    def check_indexes(self, server: Server, databases: Sequence[str], user: str, schema: str, there: bool) -> None:
        """amcheck, before anything else is asked."""
        if not self.spec["check_indexes"]:
            self.review.skip("backup.dump.index_corrupt", "check_indexes is false", "check_indexes: true")
            return
        with self.review.check("backup.dump.index_corrupt", self.subject), self.timed("amcheck"):
            if not there:
                raise CannotCheck(
                    "amcheck is not among the extensions of PostgreSQL %s on this host" % server.programs.major,
                    "Install it (RHEL: postgresql%s-contrib), or check_indexes: false." % server.programs.major,
                )
            total = 0
            for database in databases:
                try:
                    checked = postgresql_check.indexes(
                        server, database, user, self.limits.timeout, schema, self.physical
                    )
                except Unanswered as error:
                    raise CannotCheck("amcheck gave no answer", "See the evidence.", [str(error)]) from error
                total += checked.indexes
                postgresql_judge.indexes(self.review, self.subject, checked, database)
            self.facts["indexes_checked"] = total

    def contents(self, server: Server, databases: Sequence[str], user: str) -> dict[str, Baseline]:
        """What is in each database; counted into the facts."""
        held = {}
        with self.timed("count"):
            for database in databases:
                try:
                    held[database] = postgresql_check.contents(server, database, user, self.limits.timeout)
                except Unanswered as error:
                    raise CannotCheck(
                        "the restored database %s could not be counted" % database, "See the evidence.", [str(error)]
                    ) from error
        self.facts.update(
            tables=sum(len(one.rows) for one in held.values()),
            rows=sum(one.total() for one in held.values()),
            objects={name: one.counts() for name, one in list(held.items())[:20]},
            row_counts={
                "%s.%s" % (name, table) if len(held) > 1 else table: count
                for name, one in held.items()
                for table, count in sorted(one.rows.items(), key=lambda pair: -pair[1])[:50]
            },
        )
        return held

    def compare(self, held: Mapping[str, Baseline], beside: Sequence[str], path: str, quiet: bool = False) -> list[str]:
        """Rows and structure against the baseline, or the live server. ``quiet``: only the lines of what is off."""
        force = "a baseline beside the dump (PATH.baseline.json), or live"
        try:
            expected, against, exact = self._expected(held, beside, path)
        except (NotThere, baselines.BadBaseline, Unanswered) as error:
            if not quiet:
                for check in ("rows_differ", "structure_differs"):
                    why = getattr(error, "why", None) or str(error)
                    self.review.not_run(
                        "backup.dump." + check, why, "Mend it, or correct the options baseline and live."
                    )
            return []
        if not expected:
            if not quiet:
                for check in ("rows_differ", "structure_differs"):
                    why = "there is nothing to hold %s against" % self.subject
                    self.review.skip("backup.dump." + check, why, force)
            return []
        self.facts["compared_with"] = against
        tolerance = self.spec["rows_tolerance"] if exact else self.spec["live_tolerance"]
        off: list[baselines.Difference] = []
        other: list[baselines.Difference] = []
        for database, one in expected.items():
            found = held.get(database)
            if found is None:
                other.append(baselines.Difference("missing", database, "database %s is missing" % database))
                continue
            rows, objects = postgresql_judge.differences(one, found, tolerance, exact, 0 if exact else SLACK)
            off += rows
            other += objects
        if quiet:
            return [one.line for one in (*other, *off)][:20]
        self._cover("structure_differs")
        if exact or any(one.rows for one in expected.values()):
            self._cover("rows_differ")
            postgresql_judge.rows(self.review, self.subject, against, off, exact)
        postgresql_judge.structure(self.review, self.subject, against, other, exact)
        return []

    def _expected(
        self, held: Mapping[str, Baseline], beside: Sequence[str], path: str
    ) -> tuple[dict[str, Baseline], str, bool]:
        named = self.spec.get("baseline")
        wanted = named or path.rstrip("/") + ".baseline.json"
        if named or wanted in beside:
            try:
                found = baselines.parse(self.beside(wanted).decode("utf-8", "replace"))
            except baselines.BadBaseline as bad:
                raise baselines.BadBaseline("the baseline %s %s" % (wanted, bad)) from bad
            if len(found) == 1 and len(held) == 1:
                return {next(iter(held)): next(iter(found.values()))}, "the baseline", True
            return found, "the baseline", True
        option = self.spec.get("live")
        if not option:
            return {}, "", False
        programs = self.programs[-1]
        live = {}
        for database in held:
            name = option.get("database") or self.facts.get("database") or database
            live[database] = postgresql_check.live(
                self.host, programs, option, str(name if len(held) == 1 else database), self.limits.timeout
            )
        return live, "the live database", False

    def ask(self, server: Server, databases: Sequence[str], user: str) -> None:
        """The newest rows, and the customer's queries."""
        if not databases:
            return
        timeout = self.limits.timeout
        now = self.host.now()
        told: dict[str, str] = {}
        fresh = []
        for option in self.spec["newest"]:
            one = postgresql_check.newest(server, option, option.get("database") or databases[0], user, timeout)
            fresh.append((option, one))
            told["newest %s" % one.name] = one.error or _when(one.answer)
        if fresh:
            postgresql_judge.newest(self.review, self.subject, fresh, self.spec["max_age_hours"], now)
        answers = []
        for option in self.spec["queries"]:
            one = postgresql_check.asked(server, option, option.get("database") or databases[0], user, timeout)
            answers.append((option, one))
        self.facts["queries"] = [
            {
                "name": one.name,
                "query": one.query,
                "answer": (one.error or one.answer)[:500],
                "seconds": round(one.seconds, 3),
            }
            for _option, one in answers
        ]
        self.facts["newest"] = told
        self._cover("query_differs")
        unanswered = [(option, one._replace(name="newest " + one.name)) for option, one in fresh if one.error]
        postgresql_judge.queries(self.review, self.subject, [*answers, *unanswered])

    def live_identifier(self) -> str:
        """The system identifier of the server that the backup is of, empty when there is none to ask."""
        option = self.spec.get("live")
        if not option or not self.programs:
            return ""
        return postgresql_check.live_identifier(self.programs[-1], option, str(self.spec.get("database") or "postgres"))

    def stored_identifier(self, folder: str) -> str:
        return stored_identifier(self.host, folder)


def _when(value: float | str) -> str:
    try:
        return postgresql_judge.moment(float(value))
    except (ValueError, OverflowError, OSError):
        return "never"
