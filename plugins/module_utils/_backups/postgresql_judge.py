# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a dump of PostgreSQL: findings of what was seen while it was loaded, and after. Pure."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from . import baseline as baselines
from . import dump_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._findings import Review
    from .baseline import Baseline
    from .dumps import Dump, Ending
    from .postgresql_check import Asked, Checked
    from .postgresql_load import Loaded
    from .postgresql_sql import LoadError

_DUMP_AGAIN = (
    "Take a new dump now, and see why this one is as it is: its job's log, room on the disk, pg_dump's exit code."
)


def head(review: Review, subject: str, dump: Dump, evidence: Sequence[str]) -> bool:
    """Whether it is a dump of PostgreSQL that can be loaded, by its first bytes."""
    if dump.fault == "empty":
        review.found(
            "backup.dump.empty",
            subject,
            "critical",
            "The dump %s: nothing can be restored from it." % dump.why,
            evidence,
            _DUMP_AGAIN,
        )
        return False
    if dump.fault == "truncated":
        review.found(
            "backup.dump.truncated",
            subject,
            "critical",
            "The dump %s: nothing can be restored from it." % dump.why,
            evidence,
            _DUMP_AGAIN,
        )
        return False
    if dump.fault or dump.engine in ("mysql", "mariadb"):
        why = dump.why or "is one of %s" % dump.engine
        review.found(
            "backup.dump.not_sql",
            subject,
            "critical",
            "What should be a dump of PostgreSQL %s." % why,
            [*dump.evidence, *evidence],
            "Give mysql_restore_test this one." if dump.engine else _NOT_SQL.get(dump.fault, _DUMP_AGAIN),
        )
        return False
    return True


_NOT_SQL = {
    "encrypted": "Only who holds the key can try it: decrypt it on the way into the repository's place, or let "
    "restic encrypt.",
    "error_text": "The job sends its complaints into the dump (2>&1) and goes on after a failure: dump with --file, "
    "and "
    "look at pg_dump's exit code. Then take a new dump.",
}


def age(review: Review, subject: str, content: float | None, how: str, limit: float, now: float) -> None:
    """Whether what it holds is fresh, whatever the snapshot's age. ``content``: since the epoch; ``limit``: hours."""
    if content is None or not limit:
        review.skip(
            "backup.dump.stale",
            "nothing tells when %s was written" % subject if content is None else "no limit is set",
            "max_age_hours, and newest for the newest row of a table",
        )
        return
    hours = (now - content) / 3600
    review.covered("backup.dump.stale", subject)
    if hours > limit:
        review.found(
            "backup.dump.stale",
            subject,
            "high",
            "The dump's content is %s old; at most %s are agreed." % (span(hours), span(limit)),
            ["written: %s (%s)" % (moment(content), how)],
            "Does the job that dumps still run? systemctl list-timers, its log, its exit code. A backup that takes "
            "the same "
            "old dump every night is fresh in name only.",
            {"content_age_hours": round(hours, 2), "limit_hours": limit},
        )


def version(review: Review, subject: str, expected: str, dump: Dump) -> None:
    """Whether it is of the server that it should be of."""
    if expected and dump.major and dump.major != expected:
        review.found(
            "backup.dump.wrong_version",
            subject,
            "high",
            "The dump is of PostgreSQL %s; the server is %s." % (dump.major, expected),
            ["its header: dumped from %s by pg_dump %s" % (dump.server_version, dump.tool_version)],
            "Is it the dump of that server, or one from before the upgrade? See which job writes it; or correct the "
            "option "
            "version.",
        )


def complete(review: Review, subject: str, end: Ending, loaded: Loaded, lost: Iterable[str]) -> bool:
    """Whether a plain dump goes on to its end. ``lost``: what is missing against the baseline or the live server."""
    if end.complete is None:
        review.skip(
            "backup.dump.truncated",
            "SQL without pg_dump's header has no trailer that tells",
            "Dump without removing comments, or give a baseline.",
        )
        return True
    review.covered("backup.dump.truncated", subject)
    if end.complete:
        return True
    where = (
        "within the data of %s" % loaded.last_table if loaded.in_data else "after the data of %s" % loaded.last_table
    )
    review.found(
        "backup.dump.truncated",
        subject,
        "critical",
        "The dump is cut off%s: what should follow is not in it." % (" " + where if loaded.last_table else ""),
        [
            "its last line: %s" % (end.last or "(empty)"),
            'expected at its end: "-- PostgreSQL database dump complete"',
            *(_shown(error) for error in loaded.errors[:5]),
            *lost,
        ],
        _DUMP_AGAIN,
    )
    return False


def corrupt(review: Review, subject: str, errors: Sequence[LoadError], before: bool) -> None:
    """What reading an archive through showed."""
    review.found(
        "backup.dump.corrupt",
        subject,
        "critical",
        "The archive is damaged: pg_restore cannot read it to its end.",
        [_shown(error) for error in errors[:20]] + (["It was not loaded."] if before else []),
        "Take a new dump now. What can still be saved of this one: pg_restore -f saved.sql, up to the damage.",
    )


_LOAD: tuple[tuple[tuple[str, ...], str, str, str, str], ...] = (
    # kinds, check, severity, summary, remedy
    (
        ("restricted",),
        "backup.dump.hostile",
        "critical",
        "The dump holds commands of psql that pg_dump does not write; none was obeyed.",
        "Find out who wrote it, and from where: such a dump runs programs on the machine that restores it "
        "(CVE-2025-8714). "
        "Do not restore it by hand.",
    ),
    (
        ("permission",),
        "backup.dump.needs_superuser",
        "medium",
        "Parts of the dump need a superuser, and were not tried.",
        "Where only who may run programs on this host could have written the dump: trusted: true for it.",
    ),
    (
        ("constraint",),
        "backup.dump.constraint_violated",
        "high",
        "Data in the dump violates its own constraints: they are not there after a restore.",
        "Find these rows in the live database and mend them there, then dump anew: rows that a constraint should "
        "have kept "
        "out come of corrupt indexes, session_replication_role, or triggers that were disabled.",
    ),
    (
        ("extension",),
        "backup.dump.extension_missing",
        "high",
        "The dump needs extensions that are not on this host.",
        "Install their packages here, and note them for a real restore: apt-cache search postgresql-.",
    ),
    (
        ("version",),
        "backup.dump.wrong_version",
        "high",
        "The dump was written for another version of PostgreSQL than the one it was loaded into.",
        "Restore it with the programs of the version that wrote it.",
    ),
    (
        ("cut",),
        "backup.dump.corrupt",
        "critical",
        "The dump is damaged: it cannot be read to its end.",
        _DUMP_AGAIN,
    ),
)
_LOAD_ERRORS = "backup.dump.load_errors"
_HELD_BACK = ("room", "gone")
"""Complaints that are the server's fate, not the dump's: told as such."""


def load_checks() -> list[str]:
    """The checks that loading to the end covers."""
    return [*dict.fromkeys(row[1] for row in _LOAD), _LOAD_ERRORS, "backup.dump.role_missing"]


def load(review: Review, subject: str, loaded: Loaded) -> None:
    """What the load complained of, by what it means."""
    told: set[str] = set()
    for meant, check, severity, summary, remedy in _LOAD:
        # What could not be made for want of rights is missed by what follows.
        missed = "permission" in meant and loaded.of("permission")
        kinds = (*meant, "absent") if missed else meant
        errors = loaded.of(*kinds)
        told.update(kinds)
        if errors:
            review.found(check, subject, severity, summary, _lines(errors), remedy, {"errors": len(errors)})
    rest = [error for error in loaded.errors if error.kind not in told and error.kind not in _HELD_BACK]
    if rest or loaded.given_up:
        beyond = loaded.error_count - len(loaded.errors)
        review.found(
            _LOAD_ERRORS,
            subject,
            "high",
            "Loading the dump gave %d error%s%s."
            % (
                len(rest) + beyond,
                "" if len(rest) + beyond == 1 else "s",
                ", and was given up" if loaded.given_up else "",
            ),
            _lines(rest),
            "Look at the first line: what follows often comes of it. See that statement in the dump, and dump anew "
            "once its "
            "cause is mended.",
            {"errors": len(rest) + beyond, "kinds": sorted({error.kind for error in rest})},
        )


def roles(review: Review, subject: str, missing: Mapping[str, str]) -> None:
    """Roles that a restore onto a new server would not find."""
    if missing:
        review.found(
            "backup.dump.role_missing",
            subject,
            "medium",
            "The dump names %d role%s that no backup of the globals creates: on a new server, owners and rights "
            "would be "
            "lost." % (len(missing), "" if len(missing) == 1 else "s"),
            ["%s: %s" % (name, line) for name, line in sorted(missing.items())],
            "Dump them too: pg_dumpall --globals-only > globals.sql, and name that file (option globals); or list "
            "those that "
            "come from elsewhere (option roles).",
            {"roles": sorted(missing)[:100]},
        )


def differences(
    expected: Baseline, found: Baseline, rows_tolerance: float, exact: bool, slack: int
) -> tuple[list[baselines.Difference], list[baselines.Difference]]:
    """Rows and structure against a baseline (``exact``) or the live server, which goes on living: it may have more."""
    off = baselines.compare_rows(expected, found, rows_tolerance, slack)
    other = baselines.compare_objects(expected, found)
    other = [one for one in other if not (one.kind == "extra" and one.name.startswith(("extension ", "schema ")))]
    lost = {one.name for one in other if one.kind == "missing" and one.name.startswith("table ")}
    # A table that is not there is told once.
    off = [one for one in off if "table " + one.name not in lost and "matview " + one.name not in lost]
    fresh = [name for name in found.invalid if name not in expected.invalid]
    other += [baselines.Difference("changed", name, "%s is not valid" % name) for name in fresh]
    return off, other


def rows(review: Review, subject: str, against: str, off: Sequence[baselines.Difference], exact: bool) -> None:
    if off:
        review.found(
            "backup.dump.rows_differ",
            subject,
            "critical" if exact else "high",
            "%d table%s other numbers of rows than %s." % (len(off), " has" if len(off) == 1 else "s have", against),
            [one.line for one in off],
            "Rows that are missing here are missing after a real restore. Compare these tables by hand, then dump anew."
            + ("" if exact else " Where they change that much between dump and test: live_tolerance."),
            {"tables": [one.name for one in off[:50]]},
        )


def structure(review: Review, subject: str, against: str, other: Sequence[baselines.Difference], exact: bool) -> None:
    if not other:
        return
    lost = sum(one.kind == "missing" for one in other)
    review.found(
        "backup.dump.structure_differs",
        subject,
        "high" if lost or exact else "medium",
        "The structure is not that of %s: %d missing, %d otherwise." % (against, lost, len(other) - lost),
        [one.line for one in other],
        "What is missing here is missing after a real restore: see why the load left it out, then dump anew."
        + ("" if exact else " What was changed since the dump is told once, until the next dump."),
        {"missing": lost, "other": len(other) - lost},
    )


def hollow(review: Review, subject: str, tables: int) -> None:
    """A dump that is whole and holds no table."""
    if not tables:
        review.found(
            "backup.dump.empty",
            subject,
            "high",
            "The dump is complete and holds no table.",
            [],
            "Is it of the right database, schema and role? pg_dump leaves out without a word what --table and "
            "--schema do not "
            "match. Where that is right: a baseline that says so.",
        )


def indexes(review: Review, subject: str, checked: Checked, database: str) -> None:
    if checked.bad:
        review.found(
            "backup.dump.index_corrupt",
            subject,
            "critical",
            "amcheck finds %d of %d indexes and tables of %s corrupt." % (len(checked.bad), checked.indexes, database),
            checked.bad,
            "Run amcheck on the live server at once (pg_amcheck --heapallindexed): where it agrees, the data there "
            "is being "
            "damaged; after a change of the C library, REINDEX DATABASE mends the order of text.",
        )


def queries(review: Review, subject: str, answers: Sequence[tuple[Mapping[str, Any], Asked]]) -> None:
    """The customer's own queries, against what they should answer."""
    wrong = [(one, why) for one, why in ((one, _unlike(option, one)) for option, one in answers) if why]
    if wrong:
        failed = sum(bool(one.error) for one, _why in wrong)
        review.found(
            "backup.dump.query_differs",
            subject,
            "high",
            dump_test.answered(len(answers), len(wrong) - failed, failed),
            ["%s: %s" % (one.name, why) for one, why in wrong],
            dump_test.QUERY_REMEDY,
            {"failed": failed},
        )


def _unlike(option: Mapping[str, Any], one: Asked) -> str:
    if one.error:
        return "no answer: %s" % one.error
    expected = option.get("expected")
    if expected is not None and one.answer.strip() != expected.strip():
        return "%s, expected %s" % (_short(one.answer), _short(expected))
    for key, word in (("at_least", "at least"), ("at_most", "at most")):
        bound = option.get(key)
        if bound is None:
            continue
        try:
            value = float(one.answer.strip())
        except ValueError:
            return "%s is no number, expected %s %g" % (_short(one.answer), word, bound)
        if (key == "at_least" and value < bound) or (key == "at_most" and value > bound) or math.isnan(value):
            return "%s, expected %s %g" % (_short(one.answer), word, bound)
    return ""


def newest(
    review: Review, subject: str, answers: Sequence[tuple[Mapping[str, Any], Asked]], limit: float, now: float
) -> None:
    """The newest rows: the age of what is in the dump, whatever its own age. What got no answer is told elsewhere."""
    old = []
    for option, one in answers:
        if one.error:
            continue
        hours = option.get("max_age_hours") or limit
        try:
            there = (now - float(one.answer)) / 3600
        except ValueError:
            old.append("%s: no row has a time" % one.name)
            continue
        if there > hours:
            old.append("%s: the newest row is %s old, at most %s are agreed" % (one.name, span(there), span(hours)))
    if old:
        review.found(
            "backup.dump.stale",
            subject,
            "high",
            "The newest rows in the dump are older than agreed.",
            old,
            "Does the dump come from the server that is written to (not from a replica that has stopped)? Is "
            "anything written "
            "there at all?",
        )


def slow(review: Review, subject: str, seconds: float, limit: float | None) -> None:
    if limit and seconds > limit:
        review.found(
            "backup.dump.slow",
            subject,
            "medium",
            "Restoring took %d s; at most %d s are agreed." % (seconds, limit),
            [],
            "Dump in the directory format and restore with pg_restore -j; or take a physical backup, which needs no "
            "building "
            "of indexes.",
            {"seconds": round(seconds, 1), "limit": limit},
        )


# --- words ------------------------------------------------------------------------------------------


def _lines(errors: Sequence[LoadError]) -> list[str]:
    return [_shown(error) for error in errors]


def _shown(error: LoadError) -> str:
    return "line %d: %s" % (error.line, error.text) if error.line else error.text


def _short(text: str) -> str:
    text = " / ".join(text.strip().split("\n"))
    return repr(text if len(text) <= 80 else text[:79] + "…")


def span(hours: float) -> str:
    """Hours as a person reads them."""
    return "%.1f days" % (hours / 24) if hours >= 48 else "%.1f hours" % hours


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
