# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be said of a dump of MySQL or MariaDB that was loaded on trial, or could not be. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .._findings import NotApplicable
from . import dump_test, mysql_sql
from .baseline import Baseline, compare_objects, compare_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from .._findings import Review
    from .dumps import Dump
    from .mysql_dump import Passed
    from .mysql_sql import Complaint, ForeignKey

REPEAT = (
    "Make the dump anew (mariadb-dump --single-transaction --routines --events --triggers …), and look at what made "
    "this one"
)
SHOWN = 20
"""Lines of evidence of one kind."""


_WELL = ("OK", "Table is already up to date")


class Errors:
    """The errors of a load: all are counted, the first ones of each kind kept with their lines."""

    KEPT = 200

    def __init__(self) -> None:
        self.total = 0
        self.codes: dict[int, int] = {}
        self.kept: list[Complaint] = []
        self.gone = False
        """Whether the server was lost while it loaded."""

    def take(self, told: Complaint) -> None:
        self.total += 1
        seen = self.codes.get(told.code, 0)
        self.codes[told.code] = seen + 1
        self.gone = self.gone or told.code in mysql_sql.GONE
        if len(self.kept) < self.KEPT and seen < 20:
            self.kept.append(told)

    def accounts(self) -> list[Complaint]:
        return [one for one in self.kept if one.code in mysql_sql.ACCOUNT_ERRORS]

    def refused(self) -> list[Complaint]:
        """What only a dump asks for that wants more than to be loaded."""
        return [one for one in self.kept if one.code in mysql_sql.REFUSED_ERRORS]


def shown(told: Complaint, section: str) -> str:
    """One error as a person reads it."""
    where = "line %d%s" % (told.line, " (%s)" % section if section else "") if told.line else "no line told"
    return "%s: %s%s" % (where, "%d " % told.code if told.code else "", told.message)


def judge_file(review: Review, subject: str, dump: Dump) -> bool:
    """Whether it is worth loading, by its first bytes: it is there, and a dump of MySQL or MariaDB (or plain SQL)."""
    good = True
    with review.check("backup.dump.empty", subject):
        if dump.fault == "empty":
            good = False
            review.found(
                "backup.dump.empty",
                subject,
                "critical",
                "The dump %s." % dump.why,
                remedy=REPEAT + ": an empty file is what a failed dump leaves behind (see its job's log).",
            )
    with review.check("backup.dump.not_sql", subject):
        other = dump.engine == "postgresql"
        if (dump.fault and dump.fault != "empty") or other:
            good = False
            review.found(
                "backup.dump.not_sql",
                subject,
                "critical",
                "The dump %s." % ("is one of PostgreSQL, not of MySQL or MariaDB" if other else dump.why),
                dump.evidence,
                REPEAT
                + "; let the job fail when the dump program fails (set -o pipefail), its errors kept out of the file.",
                {"fault": dump.fault or "other_engine"},
            )
    return good


def judge_version(review: Review, subject: str, dump: Dump, offered: Sequence[str], chosen: str, how: str) -> None:
    """Whether a server of the right major version is there to load it; ``how`` as mysql_dump.choose says it."""
    wanted = "%s %s" % (dump.engine, dump.major)
    with review.check("backup.dump.no_server", subject):
        if not offered:
            review.found(
                "backup.dump.no_server",
                subject,
                "high",
                "No server of MariaDB or MySQL is installed here, so the dump could not be loaded.",
                remedy="apt-get install mariadb-server-core mariadb-client-core (no service), or name the folder "
                "of its programs (server_folder), or run the test on another host.",
            )
            return
    with review.check("backup.dump.wrong_version", subject):
        if chosen and how in ("same", "unknown"):
            return
        mild = bool(chosen)
        review.found(
            "backup.dump.wrong_version",
            subject,
            "info" if mild else "high",
            "The dump is of %s %s, and %s."
            % (
                wanted,
                "was loaded into " + chosen if mild else "is not loaded",
                "that is another version" if mild else "here is only " + ", ".join(offered),
            ),
            ["dump: %s %s" % (dump.engine, dump.server_version), "here: %s" % ", ".join(offered)],
            "Install the server that a recovery would use, name its folder (server_folder), or allow another version "
            "(other_versions: newer).",
            {"dump": wanted, "servers": list(offered), "loaded_into": chosen},
        )


class Load(NamedTuple):
    """How loading went."""

    errors: Errors
    sections: Sequence[str]
    """The section of each error that was kept."""
    passed: Passed
    whole: bool
    """Whether all of the dump was read."""
    stream: Sequence[str]
    """What went wrong with the programs that wrote or unpacked the stream."""
    ended_by: str
    """The limit at which loading was ended, or nothing."""
    alive: bool
    """Whether the server still ran afterwards."""
    log: Sequence[str]
    """The server's last errors."""
    tables: int
    databases: int


def judge_load(review: Review, subject: str, load: Load) -> bool:
    """Whether what was loaded can be looked at."""
    with review.check("backup.dump.corrupt", subject):
        if load.stream:
            review.found(
                "backup.dump.corrupt",
                subject,
                "critical",
                "The dump cannot be read to its end: what stores or packs it is damaged.",
                load.stream,
                "Check the repository (restic check --read-data) or the file (gzip -t, zstd -t), take an older one, "
                "and make the dump anew.",
            )
    with review.check("backup.dump.server_failed", subject):
        if not load.alive or load.errors.gone or load.ended_by:
            why = (
                "was ended at its time limit (%s)" % load.ended_by
                if load.ended_by
                else "failed: the throw-away server ended"
            )
            review.found(
                "backup.dump.server_failed",
                subject,
                "high",
                "Loading the dump %s." % why,
                [*load.log, *_errors(load)][:SHOWN],
                "See the server's errors in the evidence; a longer limit is the option timeout, idle_timeout.",
            )
    with review.check("backup.dump.truncated", subject):
        if load.whole and not load.stream and load.passed.complete is False:
            lost = load.passed.headers - load.passed.trailers
            review.found(
                "backup.dump.truncated",
                subject,
                "critical",
                "The dump is cut: it ends in line %d without what its program writes last." % load.passed.lines,
                ["last line: %s" % load.passed.last]
                + (
                    ["%d of its %d dumps were not completed" % (lost, load.passed.headers)]
                    if load.passed.headers > 1
                    else []
                ),
                REPEAT
                + ": the program was ended, lost its connection, or met an error (a view whose table or definer is "
                "gone ends it), or the disk was full.",
                load.passed._asdict(),
            )
        elif load.whole and load.passed.complete is None:
            raise NotApplicable(
                "%s has neither comments nor settings by which its end could be told" % subject,
                "Dump without --compact.",
            )
    with review.check("backup.dump.load_errors", subject):
        others = load.errors.total - sum(load.errors.codes.get(code, 0) for code in mysql_sql.ACCOUNT_ERRORS)
        if others > 0 and not load.errors.gone:
            review.found(
                "backup.dump.load_errors",
                subject,
                "high",
                "Loading the dump met %d error%s." % (others, "" if others == 1 else "s"),
                _errors(load, accounts=False)[:SHOWN],
                _remedy_for(load.errors),
                {"errors": others, "codes": {str(code): count for code, count in load.errors.codes.items()}},
            )
    with review.check("backup.dump.empty", subject):
        if load.alive and load.tables == 0:
            review.found(
                "backup.dump.empty",
                subject,
                "critical",
                "The dump made no table: %s."
                % ("it holds a database without any" if load.databases else "it holds no database"),
                ["%d lines passed, the last one: %s" % (load.passed.lines, load.passed.last)],
                "Look at the dump's job: it may be given the wrong database, or an account that sees nothing "
                "(it needs SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES).",
            )
    return load.alive


def _errors(load: Load, accounts: bool = True) -> list[str]:
    pairs = zip(load.errors.kept, load.sections)
    return [shown(one, where) for one, where in pairs if accounts or one.code not in mysql_sql.ACCOUNT_ERRORS]


def _remedy_for(errors: Errors) -> str:
    if errors.refused():
        return (
            "The dump asks for files or libraries, which no dump of tables needs: see who wrote it, what these lines "
            "are, before it is loaded anywhere. A library that is needed is allowed by the option plugins."
        )
    if any(code in mysql_sql.ENGINE_ERRORS for code in errors.codes):
        return (
            "Allow the storage engine's library (option plugins) and install its package, as a recovery would have to."
        )
    return REPEAT + "; the evidence has the lines of the dump: a recovery would meet the same."


def judge_accounts(review: Review, subject: str, missing: Sequence[Sequence[str]], load: Load | None) -> None:
    """Accounts that views, triggers, routines and events run as, or that grants name, and that are not there."""
    with review.check("backup.dump.role_missing", subject):
        absent = sorted({row[2] for row in missing if len(row) == 3})
        told = (
            [shown(*pair) for pair in zip(load.errors.kept, load.sections) if pair[0] in load.errors.accounts()]
            if load
            else []
        )
        if absent or told:
            review.found(
                "backup.dump.role_missing",
                subject,
                "medium",
                "%d account%s that the restored objects run as %s not there."
                % (len(absent), "" if len(absent) == 1 else "s", "is" if len(absent) == 1 else "are")
                if absent
                else "The dump names accounts or roles that are not there.",
                [*("%s %s: definer %s" % (row[0], row[1], row[2]) for row in missing if len(row) == 3), *told][:SHOWN],
                "Back up the accounts too (mariadb-dump --system=users) and restore them first, or name those that a "
                "recovery brings by other means in accounts.",
                {"accounts": absent[:200]},
            )


def judge_tables(
    review: Review, subject: str, answers: Mapping[str, Sequence[Sequence[str]] | None], views: Set[str]
) -> None:
    """What CHECK TABLE said of each table and view (``views``: those of ``answers`` that are none)."""
    with review.check("backup.dump.index_corrupt", subject):
        bad, invalid = [], []
        for table, rows in sorted(answers.items()):
            said = []
            for row in rows or [["", "", "error", "the server did not answer"]]:
                kind, message = (row[2].lower(), row[3]) if len(row) >= 4 else ("error", " ".join(row))
                if kind == "error" or (kind == "status" and message not in _WELL):
                    said.append(message)
            # A definer that is not there is told by its own check.
            if table in views and not any("specified as a definer" in message for message in said):
                invalid += ["%s: %s" % (table, said[0])] if said else []
            elif table not in views:
                bad += ["%s: %s" % (table, message) for message in said]
        if bad:
            review.found(
                "backup.dump.index_corrupt",
                subject,
                "critical",
                "%d table%s of the restored database %s damaged."
                % (len(bad), "" if len(bad) == 1 else "s", "is" if len(bad) == 1 else "are"),
                bad[:SHOWN],
                "Check the same tables on the live server (mariadb-check --all-databases) before anything else; a "
                "physical backup carries its damage along.",
            )
    with review.check("backup.dump.structure_differs", subject + " views"):
        if invalid:
            review.found(
                "backup.dump.structure_differs",
                subject + " views",
                "medium",
                "%d view%s of the restored database cannot be read." % (len(invalid), "" if len(invalid) == 1 else "s"),
                invalid[:SHOWN],
                "Dump the tables, routines and accounts that they need along with them, or drop the views.",
            )


def judge_keys(
    review: Review,
    subject: str,
    keys: Sequence[ForeignKey],
    answers: Sequence[Sequence[Sequence[str]] | None],
    errors: Sequence[str],
) -> int:
    """Rows whose foreign key names nothing: a dump is loaded with foreign keys unchecked. Their number."""
    total = 0
    with review.check("backup.dump.constraint_violated", subject):
        lines = []
        for key, rows in zip(keys, answers):
            if not rows or len(rows[0]) < 3:
                lines.append("%s: could not be checked (is %s.%s there?)" % (key.shown, *key.parent))
                total += 1
            elif rows[0][0] != "0":
                count = int(rows[0][0])
                total += count
                values = " … ".join(dict.fromkeys(value for value in rows[0][1:3] if value))
                lines.append("%s: %d row%s, %s" % (key.shown, count, "" if count == 1 else "s", values))
        if lines:
            review.found(
                "backup.dump.constraint_violated",
                subject,
                "high",
                "%d foreign key%s of the restored database %s violated."
                % (len(lines), "" if len(lines) == 1 else "s", "is" if len(lines) == 1 else "are"),
                [*lines, *errors][:SHOWN],
                "Look at these rows on the live server: where they are whole, dump with --single-transaction, so that "
                "all tables are of one moment; else mend them there.",
                {"keys": len(lines), "rows": total},
            )
    return total


def judge_baseline(
    review: Review,
    subject: str,
    expected: Mapping[str, Baseline],
    found: Mapping[str, Baseline],
    tolerance: float,
    source: str,
) -> None:
    """Rows and structure against what was there: ``source`` says where that is from; ``tolerance`` in percent."""
    rows, objects = [], []
    for database, before in expected.items():
        now = found.get(database) or Baseline(before.engine, database, None, before.server_version, {}, {})
        rows += compare_rows(before, now, tolerance)
        objects += compare_objects(before, now)
    live = source == "the live server"
    with review.check("backup.dump.rows_differ", subject):
        if rows:
            review.found(
                "backup.dump.rows_differ",
                subject,
                "high",
                "%d table%s not the rows that %s has." % (len(rows), " has" if len(rows) == 1 else "s have", source),
                [one.line for one in rows[:SHOWN]],
                REPEAT + "." + (" Growth since the dump is allowed for by live_tolerance." if live else ""),
                {"tables": len(rows), "source": source, "tolerance_percent": tolerance},
            )
    with review.check("backup.dump.structure_differs", subject):
        if live:
            objects = [one for one in objects if one.kind != "extra"]
        if objects:
            review.found(
                "backup.dump.structure_differs",
                subject,
                "high" if any(one.kind == "missing" for one in objects) else "medium",
                "%d object%s of the restored database not as in %s."
                % (len(objects), " is" if len(objects) == 1 else "s are", source),
                [one.line for one in objects[:SHOWN]],
                "Dump with --routines --events --triggers; if it was changed on purpose, renew the baseline.",
                {"objects": len(objects), "source": source},
            )


class Age(NamedTuple):
    """How old something that tells a dump's age is."""

    what: str
    value: str
    """As the server or the dump gives it."""
    hours: float | None
    """None where nothing could be told."""
    limit: float


def judge_age(review: Review, subject: str, ages: Sequence[Age]) -> None:
    """Whether what the dump holds is as new as agreed, whatever the age of its file or snapshot."""
    with review.check("backup.dump.stale", subject):
        old = [one for one in ages if one.hours is None or one.hours > one.limit]
        if old:
            known = [one.hours for one in old if one.hours is not None]
            review.found(
                "backup.dump.stale",
                subject,
                "high",
                "What the dump holds is %s, and may be %s old at the most."
                % (
                    "%s old" % hours(max(known)) if known else "of no age that could be told",
                    hours(min(one.limit for one in old)),
                ),
                [
                    "%s: %s, %s (at most %s)"
                    % (
                        one.what,
                        one.value or "nothing",
                        hours(one.hours) if one.hours is not None else "no age",
                        hours(one.limit),
                    )
                    for one in old
                ],
                "Look at the dump's job (its timer, its log): the snapshot may be fresh even so, as it takes whatever "
                "file lies there. A smaller promise is max_age_hours.",
                {"oldest_hours": round(max(known), 2) if known else None},
            )


def hours(count: float) -> str:
    """Hours as a person reads them."""
    if count >= 48:
        return "%.1f days" % (count / 24)
    return "%.1f hours" % count if count >= 1 else "%d minutes" % max(0, round(count * 60))


class Asked(NamedTuple):
    """One of the customer's queries, and what came of it."""

    name: str
    query: str
    expected: str
    """In words."""
    answer: str
    """Columns parted by tabs, rows by line feeds."""
    ok: bool
    why: str
    seconds: float
    failed: bool = False
    """Whether it got no answer at all."""


def asked(spec: Mapping[str, Any], rows: Sequence[Sequence[str]], error: str, seconds: float) -> Asked:
    """Hold a query's answer against what is expected of it."""
    answer = "\n".join("\t".join(row) for row in rows)
    wants = []
    if spec.get("expected") is not None:
        wants.append("exactly %s" % spec["expected"].strip())
    if spec.get("at_least") is not None:
        wants.append("at least %g" % spec["at_least"])
    if spec.get("at_most") is not None:
        wants.append("at most %g" % spec["at_most"])
    why = error
    if not why and spec.get("expected") is not None and answer.strip() != spec["expected"].strip():
        why = "another answer"
    if not why and (spec.get("at_least") is not None or spec.get("at_most") is not None):
        try:
            value = float(rows[0][0])
        except (IndexError, ValueError):
            why = "no number in the first column of the first row"
        else:
            low, high = spec.get("at_least"), spec.get("at_most")
            # Not (a and b): of NaN nothing is known.
            if not ((low is None or value >= low) and (high is None or value <= high)):
                why = "out of bounds"
    if not why and not wants and not rows:
        why = "no row"
    return Asked(
        spec["name"], spec["query"], " and ".join(wants) or "any row", answer[:2000], not why, why, seconds, bool(error)
    )


def judge_queries(review: Review, subject: str, queries: Sequence[Asked]) -> None:
    with review.check("backup.dump.query_differs", subject):
        wrong = [one for one in queries if not one.ok]
        failed = sum(one.failed for one in wrong)
        if wrong:
            review.found(
                "backup.dump.query_differs",
                subject,
                "high",
                dump_test.answered(len(queries), len(wrong) - failed, failed),
                [
                    "%s: no answer: %s" % (one.name, one.why)
                    if one.failed
                    else "%s: %s; expected %s, answered %s"
                    % (one.name, one.why, one.expected, one.answer[:200] or "nothing")
                    for one in wrong
                ][:SHOWN],
                dump_test.QUERY_REMEDY,
                {"failed": failed},
            )


def judge_time(review: Review, subject: str, seconds: float, limit: int | None) -> None:
    """Whether a recovery would be as fast as promised."""
    if limit is None:
        return
    with review.check("backup.dump.slow", subject):
        if seconds > limit:
            review.found(
                "backup.dump.slow",
                subject,
                "medium",
                "Restoring the dump took %d s, and %d s are agreed." % (seconds, limit),
                remedy="Restore from a physical backup (mariadb-backup), leave out what is rarely needed, or agree on "
                "more time (max_seconds).",
                facts={"seconds": round(seconds, 1), "limit_seconds": limit},
            )
