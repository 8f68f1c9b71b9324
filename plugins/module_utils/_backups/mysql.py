# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps and physical backups of MySQL and MariaDB, restored on trial into a throw-away server and asked."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING, Any

from .. import _process
from .._findings import CannotCheck, Review, plain
from . import (
    baseline,
    confine,
    dump_source,
    dump_stream,
    dump_test,
    dumps,
    mysql_dump,
    mysql_judge,
    mysql_server,
    mysql_sql,
)
from .dump_source import NotThere
from .leftovers import clear_away
from .mysql_judge import Age, Asked, Errors, Load
from .mysql_server import ServerFailed, ThrowAway
from .restic import Limits
from .restic_errors import ResticError
from .scratch import NoRoom, Scratch, Unfit, check_room

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._host import Host
    from .dump_source import Located
    from .mysql_server import Answer, Programs

GROWTH = 2.5
"""Bytes of a server's files for one byte of SQL: measured 1.6 to 2.2, with 10.11 on rows of 70 bytes, two indexes."""
UNPACKS = 8
"""Bytes of SQL for one packed byte, where nothing better is known (gzip on dumps: 3 to 10)."""
WATCHED = 32
"""Blocks of dump_stream.BLOCK bytes after which the room that is left is looked at."""
LEAST_FREE = 256 * 1024 * 1024
"""Bytes that stay free of the scratch place's file system while a dump is loaded."""
STARTS = 120.0
"""Seconds that an empty server may take to be made, and to start."""


class _Full(Exception):  # noqa: N818 - an outcome, not a bug
    """The scratch place runs full while a dump is loaded."""


def review(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``mysql_restore_test`` (see its RETURN). ``options``: ARGUMENT_SPEC's, and ``check_mode``."""
    reviewed = Review("backup")
    swept = clear_away(reviewed, options)
    servers = mysql_server.find(host, options.get("server_folder"))
    tests = [Test(host, options, spec, reviewed, servers) for spec in options["dumps"]]
    details = {
        "dumps": [one.run() for one in tests],
        "servers": [{"engine": one.engine, "version": one.version, "program": one.server} for one in servers],
        "swept": swept,
    }
    return {**plain(details), **reviewed.result()}


class Test:
    """The test of one dump."""

    def __init__(
        self,
        host: Host,
        options: Mapping[str, Any],
        spec: Mapping[str, Any],
        reviewed: Review,
        servers: Sequence[Programs],
    ) -> None:
        self.host = host
        self.options = options
        self.spec = spec
        self.review = reviewed
        self.servers = servers
        self.subject = dump_source.subject(spec)
        self.limits = Limits.of(options)
        self.began = 0.0
        self.facts: dict[str, Any] = {"name": spec["name"], "path": spec["path"], "kind": spec["kind"]}
        self.times: dict[str, float] = {}
        self.failed: list[Asked] = []
        """The questions for the newest rows that got no answer."""
        self.planned = False
        """In check mode: whether nothing stands against trying it."""
        self.proves = "backup.archive.recover" if spec["kind"] == "physical" else "backup.dump.load"

    def run(self) -> dict[str, Any]:
        """The dump's part of the result."""
        self.began = self.host.now()
        before = len(self.review.findings)
        clock = time.monotonic()
        done = False
        name = "backup.dump.failed" if self.spec["kind"] == "dump" else "backup.archive.failed"
        with self.review.check(name, self.subject):
            done = self._run()
        found = self.review.findings[before:]
        self.times["total"] = round(time.monotonic() - clock, 2)
        outcome = dump_test.outcome(found, done, self.planned)
        self.facts.update(seconds=self.times, findings=sorted({one["check"] for one in found}))
        if not self.options.get("check_mode"):
            self._prove(outcome, found)
        return dict(self.facts, outcome=outcome)

    def _prove(self, outcome: str, found: Sequence[Mapping[str, Any]]) -> None:
        facts = self.facts
        if outcome == "passed":
            told = "was restored into a throw-away server and checked: %d tables, %d rows in %.1f s." % (
                facts.get("tables", 0),
                facts.get("rows", 0),
                self.times["total"],
            )
        elif outcome == "failed":
            told = "is not as it should be: %s." % ", ".join(facts["findings"])
        else:
            told = "could not be tested: %s" % (found[0]["summary"] if found else "it was given up.")
        summary = "%s %s %s" % ("The backup" if self.spec["kind"] == "physical" else "The dump", self.subject, told)
        self.review.proof(self.proves, self.subject, outcome, self.began, self.host.now(), summary, facts)

    # -- finding it --------------------------------------------------------------------------------

    def _run(self) -> bool:
        with contextlib.ExitStack() as stack:
            restic = dump_test.repository(self.host, self.options, self.spec, self.limits, stack)
            try:
                found = dump_source.locate(self.host, self.spec, restic)
            except NotThere as absent:
                self.review.covered("backup.dump.missing", self.subject)
                summary = "There is no dump: %s." % absent.why
                self.review.found(
                    "backup.dump.missing", self.subject, "critical", summary, absent.evidence, absent.remedy
                )
                return False
            except ResticError as error:
                with self.review.check(error.check, self.spec["repository"]):
                    self.review.found(
                        error.check,
                        self.spec["repository"],
                        error.severity,
                        _sentence(error.why),
                        error.evidence,
                        error.remedy,
                    )
                return False
            self.review.covered("backup.dump.missing", self.subject)
            self.facts.update(file=found.source.path, stored_bytes=found.size, modified=found.mtime)
            if found.snapshot is not None:
                shot = found.snapshot
                self.facts.update(snapshot=shot.short_id, snapshot_time=shot.time, snapshot_host=shot.host)
            if self.spec["kind"] == "physical":
                from . import mysql_physical

                return mysql_physical.test(self, found, restic)
            return self._dump(found)

    # -- a dump ------------------------------------------------------------------------------------

    def _dump(self, found: Located) -> bool:
        with dump_stream.opened(found.source, timeout=self.limits.timeout, idle=self.limits.idle) as flow:
            if flow.missing:
                raise CannotCheck(
                    "%s is not on this host, and the dump is packed with it" % flow.missing,
                    "apt-get install %s" % flow.missing,
                )
            dump = dumps.identify(flow.head)
            self.facts.update(engine=dump.engine, server_version=dump.server_version, packed=flow.packed)
            if self._broken(flow, dump) or not mysql_judge.judge_file(self.review, self.subject, dump):
                self.facts["head_only"] = True
                return False
            programs = self.choose(dump)
            if programs is None:
                return False
            size = self._unpacked_size(found.source, flow.packed)
            needed = int(size * GROWTH) + mysql_server.BASE_BYTES
            self.facts.update(needs_bytes=needed, server=programs.version)
            return self.with_room(needed, lambda place: self._load(place, programs, dump, flow, found, size))

    def _broken(self, flow: dump_stream.Flow, dump: dumps.Dump) -> bool:
        """Whether not even the beginning could be read."""
        if flow.head or not flow.problems:
            return False
        load = Load(Errors(), [], mysql_dump.Watch().passed(b""), False, _told(flow.problems), "", True, [], 1, 1)
        mysql_judge.judge_load(self.review, self.subject, load)
        return True

    def choose(self, dump: dumps.Dump) -> Programs | None:
        offered = [(one.engine, one.major) for one in self.servers]
        place, how = mysql_dump.choose(dump.engine, dump.major, offered, self.options["other_versions"])
        chosen = None if place is None else self.servers[place]
        words = ["%s %s" % pair for pair in offered]
        mysql_judge.judge_version(self.review, self.subject, dump, words, "" if place is None else words[place], how)
        return chosen

    def _unpacked_size(self, source: dump_stream.Source, packed: str) -> int:
        if self.spec.get("expected_bytes"):
            return int(self.spec["expected_bytes"])
        return (source.size or 0) * (UNPACKS if packed else 1)

    def with_room(self, needed: int, work: Any) -> bool:
        """Do the work in a scratch place that has the room, and is gone afterwards; in check mode see that it has."""
        base = self.options["scratch"]
        try:
            if self.options.get("check_mode"):
                check_room(base, needed)
                self.planned = True
                return False
            with Scratch(base, "mysql", needed, run=self.options.get("run", "")) as place:
                _passable(place.path)
                done = bool(work(place.path))
        except Unfit as unfit:
            raise CannotCheck(unfit.why, unfit.remedy) from unfit
        except NoRoom as room:
            self._no_room([str(room)])
            return False
        self.review.covered("backup.dump.no_room", self.subject)
        if place.left:
            self.review.found(
                "backup.restore.leftovers",
                base,
                "medium",
                "What this test restored could not be removed.",
                place.left,
                "See what holds it (findmnt, lsof), then remove it; the next run tries again.",
            )
        return done

    def _no_room(self, evidence: Sequence[str]) -> None:
        self.review.found(
            "backup.dump.no_room",
            self.subject,
            "high",
            "There is not the room to restore it on trial.",
            evidence,
            "Make room, name another folder (scratch), or run the test on another host; where too much is asked, "
            "say the unpacked size (expected_bytes).",
            {"needs_bytes": self.facts.get("needs_bytes")},
        )

    def server(self, place: str, programs: Programs, size: int) -> ThrowAway:
        """A server that suits the data; the facts say what keeps it in."""
        memory = mysql_server.memory_for(_available(self.host), size)
        unprotected = confine.protections().missing()
        self.facts["not_confined"] = unprotected
        return ThrowAway(programs, place, memory, mysql_server.log_for(size), self.options["plugins"], self.limits.nice)

    def _load(
        self, place: str, programs: Programs, dump: dumps.Dump, flow: dump_stream.Flow, found: Located, size: int
    ) -> bool:
        with self.server(place, programs, size) as server:
            if not self.started(server, install=True):
                return False
            target = self._target(server, dump, flow.head)
            load = self._pour(server, flow, target)
            self.facts.update(sha256=flow.seen.sha256, bytes=flow.seen.unpacked, stored_bytes=flow.seen.stored)
            if load is None or not mysql_judge.judge_load(self.review, self.subject, load):
                return False
            self._ages(dump, flow, found)
            self.checks(server, load)
            mysql_judge.judge_time(
                self.review, self.subject, self.times["start"] + self.times["load"], self.spec.get("max_seconds")
            )
            self.facts["recovery_seconds"] = round(self.times["start"] + self.times["load"], 2)
        return True

    def started(self, server: ThrowAway, install: bool) -> bool:
        """Whether the server runs and is the throw-away one."""
        failed = None
        try:
            made = server.install(STARTS) if install else 0.0
            self.times["start"] = round(made + server.start(STARTS), 2)
        except ServerFailed as error:
            failed = error
        except OSError as error:
            failed = ServerFailed("The server's programs cannot be started: %s" % error)
        with self.review.check("backup.dump.server_failed", self.subject):
            if failed is not None and failed.ours:
                self.review.found(
                    "backup.dump.server_failed",
                    self.subject,
                    "high",
                    _sentence(failed.why),
                    failed.evidence,
                    "The evidence has the server's own words. Try its programs by hand: %s --no-defaults --version"
                    % server.programs.server,
                )
        with self.review.check("backup.dump.not_throwaway", self.subject):
            if failed is not None and not failed.ours:
                self.review.found(
                    "backup.dump.not_throwaway",
                    self.subject,
                    "critical",
                    _sentence(failed.why),
                    failed.evidence,
                    "Nothing was loaded. See which server works in the scratch place, and end it.",
                )
        return failed is None

    def _target(self, server: ThrowAway, dump: dumps.Dump, head: bytes) -> str:
        """The database to load into; empty when the dump chooses it itself. Accounts that are to be there are made."""
        script = "".join(
            "CREATE USER IF NOT EXISTS %s ACCOUNT LOCK;\n" % mysql_sql.account(word) for word in self.spec["accounts"]
        )
        target = self.spec.get("database") or ("" if mysql_dump.databases(head) else dump.database or "restored")
        if target:
            script += "CREATE DATABASE IF NOT EXISTS %s;\n" % mysql_sql.name(target)
        answer = server.ask(script, timeout=60)
        if answer.why():
            raise CannotCheck(
                "the database %s could not be made: %s" % (target, answer.why()), "See database and accounts."
            )
        return target

    def _pour(self, server: ThrowAway, flow: dump_stream.Flow, target: str) -> Load | None:
        """Load the dump. None when the room ran out."""
        watch = mysql_dump.Watch()
        errors = Errors()
        blocks = 0

        def look(block: bytes) -> bytes:
            nonlocal blocks
            blocks += 1
            if blocks % WATCHED == 0 and _free(server.place) < LEAST_FREE:
                raise _Full
            return watch.take(block)

        began = time.monotonic()
        descriptor = flow.pour(look)
        full = False
        try:
            ended = server.load(descriptor, target, errors.take, self.limits.timeout, self.limits.idle or 3600.0)
        finally:
            os.close(descriptor)
        try:
            flow.drain()
        except _Full:
            full = True
        self.times["load"] = round(time.monotonic() - began, 2)
        if full or _free(server.place) < LEAST_FREE // 4:
            self._no_room(
                ["%d MiB are left of it" % (_free(server.place) >> 20), "%d bytes of SQL passed" % flow.seen.unpacked]
            )
            return None
        tables = databases = 0
        alive = server.alive() and not errors.gone
        if alive:
            alive = self.reachable(server)
        if alive:
            tables = sum(row[2:3] != ["VIEW"] for row in server.ask(mysql_sql.TABLES, timeout=600).rows)
            databases = len(server.ask(mysql_sql.DATABASES, timeout=600).rows)
        self.facts.update(errors=errors.total, lines=watch.passed(b"").lines)
        return Load(
            errors,
            [watch.section(one.line) for one in errors.kept],
            watch.passed(flow.seen.tail),
            flow.seen.whole,
            _told(flow.problems),
            ended.ended_by,
            alive,
            [] if alive else server.told(),
            tables,
            databases,
        )

    def reachable(self, server: ThrowAway) -> bool:
        """Whether it lets us in; a dump with accounts in it takes ours away, which a new start gives back."""
        if server.ask("SELECT 1;\n", timeout=60).rows == [["1"]]:
            return True
        server.stop()
        try:
            self.times["restart"] = round(server.start(STARTS), 2)
        except ServerFailed:
            return False
        return True

    def _ages(self, dump: dumps.Dump, flow: dump_stream.Flow, found: Located) -> None:
        now = self.host.now()
        written = dumps.ending(dump._replace(engine=dump.engine or "mysql"), flow.seen.tail).written
        limit = self.spec["max_age_hours"]
        ages = []
        if found.source.mtime is not None:
            ages.append(
                Age("the file was written", _moment(found.source.mtime), (now - found.source.mtime) / 3600, limit)
            )
        if written is not None:
            # It bears the local time of the server that wrote it, which may be another zone's.
            slack = 0.0 if found.source.mtime is None or abs(found.source.mtime - written) < 600 else 14.0
            ages.append(Age("the dump says it was completed", _moment(written), (now - written) / 3600, limit + slack))
        taken = min(filter(None, (written, found.source.mtime)), default=None)
        if taken is not None:
            self.facts.update(taken=taken, recovery_point_seconds=round(now - taken))
        self.ages = ages

    ages: list[Age] = []  # noqa: RUF012 - replaced, never changed

    # -- looking at what was restored --------------------------------------------------------------

    def checks(self, server: ThrowAway, load: Load | None) -> None:
        """All checks of a server that is loaded."""
        began = time.monotonic()
        limit = self.limits.timeout
        tables = server.ask(mysql_sql.TABLES, timeout=limit).rows
        databases = [row[0] for row in server.ask(mysql_sql.DATABASES, timeout=limit).rows]
        self.facts["databases"] = databases[:100]
        mysql_judge.judge_accounts(self.review, self.subject, server.ask(mysql_sql.DEFINERS, timeout=limit).rows, load)
        if self.spec["check_tables"]:
            self._check_tables(server, tables)
        if self.spec["check_foreign_keys"]:
            self._check_keys(server)
        # After the tables: one that is damaged cannot be counted, and is told as damaged.
        here: dict[str, baseline.Baseline] | None = None
        with self.review.check("backup.dump.rows_differ", self.subject):
            here = self._baselines(server, databases)
        if here is not None:
            self.facts.update(tables=sum(len(one.rows) for one in here.values()), rows=sum(map(_total, here.values())))
            self._compare(here)
        self._newest(server)
        self._queries(server)
        if not server.alive():
            raise CannotCheck("the throw-away server ended while it was checked", "See its log.", server.told())
        self.times["checks"] = round(time.monotonic() - began, 2)

    def _baselines(self, server: ThrowAway, databases: Sequence[str]) -> dict[str, baseline.Baseline]:
        """What is in each database now."""
        found: dict[str, baseline.Baseline] = {}
        for database in databases:
            answer = server.ask(mysql_sql.BASELINE, database=database, raw=True, timeout=self.limits.timeout)
            if answer.why():
                raise CannotCheck(
                    "the rows of %s could not be counted: %s" % (database, answer.why()), "See the server's errors."
                )
            found.update(baseline.parse(answer.out.decode("utf-8", "replace")))
        return found

    def _check_tables(self, server: ThrowAway, tables: Sequence[Sequence[str]]) -> None:
        names = [(row[0], row[1]) for row in tables if len(row) == 4 and row[2] != "SEQUENCE"]
        script = mysql_sql.marked("CHECK TABLE %s;" % mysql_sql.name(*pair) for pair in names)
        answer = server.ask(script, timeout=self.limits.timeout, go_on=True)
        parts = mysql_sql.parted(answer.rows, len(names))
        views = {".".join(row[:2]) for row in tables if row[2:3] == ["VIEW"]}
        said = {".".join(pair): part for pair, part in zip(names, parts)}
        mysql_judge.judge_tables(self.review, self.subject, said, views)

    def _check_keys(self, server: ThrowAway) -> None:
        keys = mysql_sql.foreign_keys(server.ask(mysql_sql.FOREIGN_KEYS, timeout=self.limits.timeout).rows)
        script = mysql_sql.marked(mysql_sql.orphans(key) for key in keys)
        answer = server.ask(script, timeout=self.limits.timeout, go_on=True)
        parts = mysql_sql.parted(answer.rows, len(keys))
        errors = [one.message for one in answer.complaints]
        self.facts["foreign_keys"] = len(keys)
        mysql_judge.judge_keys(self.review, self.subject, keys, parts, errors)

    def _compare(self, here: Mapping[str, baseline.Baseline]) -> None:
        if self.spec.get("baseline"):
            path = self.spec["baseline"]
            with self.review.check("backup.dump.rows_differ", self.subject):
                text = self.host.read(path, baseline.FILE_LIMIT)
                if text is None:
                    raise CannotCheck(
                        "the baseline %s cannot be read" % path, "Write it beside the dump; see docs/backups.md."
                    )
                try:
                    expected = self._renamed(baseline.parse(text), here)
                except baseline.BadBaseline as bad:
                    raise CannotCheck(
                        "the baseline %s %s" % (path, bad), "Write it anew; see docs/backups.md."
                    ) from bad
                mysql_judge.judge_baseline(
                    self.review, self.subject, expected, here, self.spec["rows_tolerance"], "the baseline"
                )
        if self.spec.get("live"):
            with self.review.check("backup.dump.rows_differ", self.subject + " live"):
                live = self._live(sorted(here))
                mysql_judge.judge_baseline(
                    self.review, self.subject + " live", live, here, self.spec["live_tolerance"], "the live server"
                )

    def _renamed(
        self, expected: dict[str, baseline.Baseline], here: Mapping[str, baseline.Baseline]
    ) -> dict[str, baseline.Baseline]:
        """A baseline of one database, of whatever name, stands for the one that was restored under another name."""
        if len(expected) == 1 and len(here) == 1 and set(expected) != set(here):
            (old, one), new = next(iter(expected.items())), next(iter(here))

            def rename(word: str, kind: bool) -> str:
                first, blank, rest = word.partition(" ") if kind else ("", "", word)
                return first + blank + (new + rest[len(old) :] if rest.startswith(old + ".") else rest)

            return {
                new: one._replace(
                    database=new,
                    rows={rename(word, False): count for word, count in one.rows.items()},
                    objects={rename(word, True): digest for word, digest in one.objects.items()},
                )
            }
        return expected

    def _live(self, databases: Sequence[str]) -> dict[str, baseline.Baseline]:
        """What the live server has in the databases that were restored: read, in a transaction that can only read."""
        live = self.spec["live"]
        client = self.servers[0].client if self.servers else "mariadb"
        words = {"user": live.get("user"), "password": live.get("password"), "socket": live.get("socket")}
        words.update(host=live.get("host"), port=live.get("port"))
        text = "[client]\n" + "".join('%s="%s"\n' % (key, _option(value)) for key, value in words.items() if value)
        found: dict[str, baseline.Baseline] = {}
        with _process.secret_fd(text.encode()) as descriptor:
            os.fchmod(descriptor, 0o600)  # the client ignores a file of options that others could write
            path = live.get("defaults_file") or "/proc/self/fd/%d" % descriptor
            for database in databases:
                wanted = live.get("database") if live.get("database") and len(databases) == 1 else database
                argv = [client, "--defaults-file=" + path, "--batch", "--raw", "--skip-column-names", "--binary-mode"]
                argv += ["--default-character-set=utf8mb4", "--database=" + str(wanted)]
                ended = _process.run(
                    argv,
                    stdin=b"SET SESSION TRANSACTION READ ONLY;\n" + mysql_sql.BASELINE.encode(),
                    timeout=self.limits.timeout,
                    pass_fds=(descriptor,),
                )
                if ended.rc != 0:
                    lines = [
                        line for line in ended.err.decode("utf-8", "replace").splitlines() if line.startswith("ERROR")
                    ]
                    raise CannotCheck(
                        "the live server was not read: %s"
                        % (lines[0] if lines else "the client ended with %s" % ended.rc),
                        "Give live an account that may SELECT from %s." % wanted,
                        lines,
                    )
                found.update(
                    self._renamed(
                        baseline.parse(ended.out.decode("utf-8", "replace")),
                        {database: found[database]} if database in found else {database: _EMPTY},
                    )
                )
        return found

    def _newest(self, server: ThrowAway) -> None:
        ages = list(self.ages)
        now = self.host.now()
        told: list[dict[str, Any]] = []
        for spec in self.spec["newest"]:
            what = "newest %s of %s" % (spec["column"], ".".join(filter(None, (spec.get("database"), spec["table"]))))
            limit = self.spec["max_age_hours"] if spec.get("max_age_hours") is None else spec["max_age_hours"]
            query = mysql_sql.newest(spec.get("database") or "", spec["table"], spec["column"])
            answer = server.ask(query, database=self._default(server, spec), timeout=self.limits.timeout)
            value, epoch = answer.rows[0] if answer.rows and len(answer.rows[0]) == 2 else ("", "")
            if answer.why():
                self.failed.append(Asked(what, query, "any row", "", False, answer.why(), answer.seconds, True))
                told.append({"what": what, "value": answer.why(), "hours": None})
                continue
            try:
                age: float | None = (now - float(epoch)) / 3600
            except ValueError:
                age = None
            ages.append(Age(what, "" if value == "NULL" else value, age, limit))
            told.append({"what": what, "value": value, "hours": age})
        self.facts["newest"] = told
        mysql_judge.judge_age(self.review, self.subject, ages)

    def _default(self, server: ThrowAway, spec: Mapping[str, Any]) -> str:
        """The database that a query without one means: the only one that was restored."""
        if spec.get("database"):
            return str(spec["database"])
        found = self.facts.get("databases") or []
        return found[0] if len(found) == 1 else ""

    def _queries(self, server: ThrowAway) -> None:
        asked = list(self.failed)
        for spec in self.spec["queries"]:
            query = spec["query"].strip().rstrip(";") + ";\n"
            answer: Answer = server.ask(query, database=self._default(server, spec), timeout=self.limits.timeout)
            asked.append(mysql_judge.asked(spec, answer.rows, answer.why(), round(answer.seconds, 3)))
        self.facts["queries"] = [one._asdict() for one in asked]
        if asked:
            mysql_judge.judge_queries(self.review, self.subject, asked)


_EMPTY = baseline.Baseline("mysql", "", None, "", {}, {})


def _passable(path: str) -> None:
    """Raises CannotCheck when the account of the throw-away server could not come to its own folder."""
    closed = os.path.dirname(path)
    while os.geteuid() == 0 and closed != "/":
        if not os.stat(closed).st_mode & 0o001:
            raise CannotCheck(
                "other accounts than root may not pass through %s, and the throw-away server is one" % closed,
                "Name a folder for scratch places that others may pass through (scratch), or chmod o+x %s." % closed,
            )
        closed = os.path.dirname(closed)


def _told(problems: Sequence[_process.Ended]) -> list[str]:
    """What the programs before the client said, and how they ended."""
    lines: Iterator[str] = (
        line for one in problems for line in one.err.decode("utf-8", "replace").splitlines() if line.strip()
    )
    said = list(lines)[-8:]
    return said or ["a program that wrote or unpacked it ended with %s" % one.rc for one in problems]


def _available(host: Host) -> int:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", host.read("/proc/meminfo") or "", re.M)
    return int(found[1]) * 1024 if found else 512 << 20


def _free(path: str) -> int:
    seen = os.statvfs(path)
    return seen.f_bavail * (seen.f_frsize or seen.f_bsize)


def _total(one: baseline.Baseline) -> int:
    return one.total()


def _option(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _moment(when: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
