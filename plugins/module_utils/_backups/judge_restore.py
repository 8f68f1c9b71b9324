# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a trial restore tells: findings, the figures for recovery, and the auditor's proof. Pure."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from . import verify
from .judge_snapshots import minute, size, span
from .restic_errors import Kind, report
from .restore import there

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._findings import Review
    from .restore import Outcome

CHECKS = (
    "backup.restore.failed",
    "backup.restore.refused",
    "backup.restore.content_mismatch",
    "backup.restore.file_missing",
    "backup.restore.nothing_restored",
    "backup.restore.source_differs",
    "backup.restore.metadata_mismatch",
    "backup.restore.metadata_unproven",
    "backup.restore.sparse",
    "backup.restore.no_room",
    "backup.restore.slow",
    "backup.restore.leftovers",
)
"""What a trial restore that came to its end has looked for."""
CONTENT_CHECKS = frozenset(CHECKS[:5])
"""Those that make a test a failed one: the content of the backup is not proven."""

HISTORY = 60
"""Trial restores of a series that are remembered: a year of weekly ones, and some."""
TREND_RUNS = 4
"""Earlier trial restores without which nothing is said of a trend: a month of weekly ones."""
TREND_BYTES = 16 * 1024**2
"""Smaller restores tell of the start of restic, not of its speed."""
TREND_SECONDS = 0.5
"""So do shorter ones, and of whatever else the machine did at that moment."""
ROUND_RUNS = 104
"""Runs after which a sample should have had its turn with everything: two years of weekly ones."""
SPARSE_BYTES = 1024**3
SPARSE_SHARE = 0.1
"""Holes of sparse files that a restore fills: told from a GiB on, where they are a tenth of what was restored. Every
host has some (lastlog, journals), and below that they fill no disk."""
SLOWED = 2.0
"""A restore is told that is so many times slower than the median of the earlier ones; below, it may be the load."""


class Recovery(NamedTuple):
    """How long restoring everything would take, in seconds: measured, or concluded from a part of it."""

    seconds: float
    low: float
    high: float
    measured: bool


def recovery(outcome: Outcome) -> Recovery | None:
    """The time to restore the whole snapshot, by the time that this part took.

    restic's start (its key, its index) takes the same time for a part. The rest grows with the bytes, or with the
    number of files, whichever keeps this repository busy: the two are the bounds, their geometric mean the estimate.
    """
    timing, listing, verified = outcome.timing, outcome.listing, outcome.verified
    if timing is None or listing is None or verified is None or not verified.files:
        return None
    if outcome.whole:
        return Recovery(timing.restoring, timing.restoring, timing.restoring, True)
    fixed = min(timing.start, timing.restoring)
    moving = timing.restoring - fixed
    by_files = listing.files / verified.files
    by_bytes = listing.bytes / verified.bytes if verified.bytes else by_files
    low, high = sorted((fixed + moving * max(1.0, by_bytes), fixed + moving * max(1.0, by_files)))
    return Recovery((low * high) ** 0.5, low, high, False)


def judge(
    review: Review,
    repository: str,
    subject: str,
    outcome: Outcome,
    options: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    now: float,
) -> str:
    """Tell what was found of one series of a repository; ``passed``, ``failed`` or ``cannot``, as a proof says it.

    ``history`` are the earlier trial restores, as :func:`remembered` gives them.
    """
    before = len(review.findings)
    reached = _came_to_its_end(review, repository, subject, outcome)
    if outcome.left:
        _leftovers(review, subject, outcome.left)
    if reached:
        _content(review, subject, outcome)
        _metadata(review, subject, outcome)
        _sparse(review, subject, outcome)
        _time(review, subject, outcome, options, history)
        _freshness(review, subject, outcome, options, now)
        for check in CHECKS:
            review.covered(check, subject)
        review.covered("backup.check.not_run", "backup.restore.failed")
    told = {one["check"] for one in review.findings[before:] if one["subject"] == subject}
    if told & CONTENT_CHECKS:
        return "failed"
    return "passed" if reached else "cannot"


def _came_to_its_end(review: Review, repository: str, subject: str, outcome: Outcome) -> bool:
    """Whether there is something restored to look at; if not, why is told."""
    facts = _snapshot_facts(outcome)
    if outcome.disorder is not None:
        review.found(
            "backup.restore.refused",
            subject,
            "critical",
            "The snapshot %s was not restored: its tree is not as restic writes one, so it is damaged, or was made "
            "to do harm." % outcome.snapshot.short_id,
            [str(outcome.disorder)],
            "Look at it: restic ls -l %s. Find out who wrote it; restic check --read-data. Restore an older snapshot "
            "meanwhile." % outcome.snapshot.short_id,
            facts,
        )
        return False
    if outcome.no_room is not None:
        no_room = outcome.no_room
        review.found(
            "backup.restore.no_room",
            subject,
            "high",
            "The snapshot %s was not restored: %s." % (outcome.snapshot.short_id, no_room),
            [],
            "Make room at %s, name another folder (option scratch), or restore less at once (option sample_mib)."
            % no_room.base,
            {**facts, "needed": no_room.needed, "available": no_room.available, "reserve": no_room.reserve},
        )
        return False
    error = outcome.error
    if outcome.verified is not None:
        if error is not None and error.kind == Kind.NO_ROOM:
            review.found(
                "backup.restore.no_room",
                subject,
                "high",
                "The snapshot %s was not restored: the scratch place became full, or is limited by a quota."
                % outcome.snapshot.short_id,
                error.evidence,
                "Make room, or name another folder (option scratch).",
                facts,
            )
            return False
        return True
    if error is None:
        return False
    if error.kind == Kind.TIMED_OUT:
        review.found(
            "backup.restore.failed",
            subject,
            "high",
            "The snapshot %s could not be restored in time: %s." % (outcome.snapshot.short_id, error.why),
            error.evidence,
            "See what keeps it: the network, the storage, its load. Give it more time (option timeout), or less to do.",
            facts,
        )
    else:
        report(review, repository, error)
    return False


def _content(review: Review, subject: str, outcome: Outcome) -> None:
    verified, listing, error = there(outcome.verified), there(outcome.listing), outcome.error
    facts = _snapshot_facts(outcome)
    short = outcome.snapshot.short_id
    # An empty mount still gives the folders on the way to it.
    if error is None and not verified.files + verified.others:
        review.found(
            "backup.restore.nothing_restored",
            subject,
            "critical",
            "The snapshot %s holds no file: what was backed up was empty, or not mounted." % short
            if not listing.files + listing.others
            else "Nothing came out of the snapshot %s, although it lists %d names." % (short, listing.entries),
            [],
            "See what the backup job backs up: is it mounted, are the paths right? restic ls %s" % short,
            facts,
        )
        return
    missing = verified.count(verify.MISSING)
    wrong = outcome.wrong_content
    if error is not None and not wrong:
        names = ["%s: %s" % item for item in outcome.error_names.items()]
        review.found(
            "backup.restore.failed",
            subject,
            "critical",
            "The snapshot %s cannot be restored as a whole: %s%s."
            % (
                short,
                error.why,
                "; files missing: %d" % max(len(names), missing) if names or missing else "",
            ),
            (names or error.evidence) + verified.told(verify.MISSING),
            _repair(error.kind),
            {**facts, "kind": error.kind, "rc": error.rc, "missing": missing},
        )
    elif missing:
        review.found(
            "backup.restore.file_missing",
            subject,
            "critical",
            "%d names of the snapshot %s were not restored, and restic did not say so." % (missing, short),
            verified.told(verify.MISSING),
            "Restore one of them by hand and see what restic says: restic restore %s --target DIR --include PATH"
            % short,
            {**facts, "missing": missing},
        )
    differing = verified.told(verify.CONTENT) + verified.told(verify.UNEXPECTED) + verified.told(verify.UNREADABLE)
    count = sum(verified.count(what) for what in (verify.CONTENT, verify.UNEXPECTED, verify.UNREADABLE))
    if wrong or (count and error is None):
        review.found(
            "backup.restore.content_mismatch",
            subject,
            "critical",
            "%d files were restored from the snapshot %s with other content than it holds."
            % (len(wrong) + count, short),
            [*wrong, *differing],
            "Restore to another disk: when it is right there, this host's disk or memory is broken (dmesg, smartctl). "
            "If not: restic check --read-data.",
            {**facts, "differing": len(wrong) + count},
        )
    if outcome.sample is not None and outcome.sample.absent:
        review.found(
            "backup.restore.file_missing",
            subject,
            "high",
            "The snapshot %s lacks %d of the paths that matter." % (short, len(outcome.sample.absent)),
            outcome.sample.absent,
            "See whether they still exist, and whether the backup job excludes them; or take them out of paths.",
            facts,
        )
    differs = verified.count(verify.SOURCE_DIFFERS)
    if differs and error is None:
        review.found(
            "backup.restore.source_differs",
            subject,
            "high",
            "%d files differ from the live ones, which have not changed since the snapshot %s." % (differs, short),
            verified.told(verify.SOURCE_DIFFERS),
            "Compare one of them by hand, with an older snapshot too. Either the live file is damaged (its disk: "
            "dmesg, smartctl, a scrub), or it was backed up wrongly; then back up anew: restic backup --force",
            {**facts, "differing": differs},
        )


def _repair(kind: str) -> str:
    if kind in (Kind.CORRUPT, Kind.UNKNOWN):
        return (
            "Copy the repository before anything else. Then see what is damaged: restic check --read-data. Files that "
            "still exist are saved again by: restic backup --force. Restore older snapshots of those that do not."
        )
    return "Restore it by hand and see what restic says; restic check --read-data."


def _metadata(review: Review, subject: str, outcome: Outcome) -> None:
    verified = there(outcome.verified)
    facts = _snapshot_facts(outcome)
    of_snapshot, of_source = verified.count(verify.METADATA), verified.count(verify.SOURCE_METADATA)
    if outcome.error is None and (of_snapshot or of_source):  # a restore that was broken off sets none of it
        review.found(
            "backup.restore.metadata_mismatch",
            subject,
            "medium",
            "%d names were restored with the right content and other owners, rights, times or attributes."
            % max(of_snapshot, of_source),
            verified.told(verify.METADATA) + ["live: " + told for told in verified.told(verify.SOURCE_METADATA)],
            "After a recovery these must be set by hand. See whether the backup runs as root, and whether the file "
            "system of the scratch place knows ACLs and attributes.",
            {**facts, "against_snapshot": of_snapshot, "against_source": of_source},
        )
    if outcome.unproven:
        review.found(
            "backup.restore.metadata_unproven",
            subject,
            "low",
            "Content was proven, and a part of the metadata was not.",
            outcome.unproven,
            "Run the test as root, with a scratch place on a file system such as those that are backed up.",
            facts,
        )


def _sparse(review: Review, subject: str, outcome: Outcome) -> None:
    """restic writes the holes of sparse files out as zeros: whoever restores needs more room than there was in use."""
    source, verified = outcome.source, there(outcome.verified)
    if source is None or outcome.error is not None:
        return
    if source.sparse_bytes < max(SPARSE_BYTES, SPARSE_SHARE * verified.bytes):
        return
    review.found(
        "backup.restore.sparse",
        subject,
        "low",
        "%d sparse files of those that were compared take %s more room restored than they do live."
        % (source.sparse, size(source.sparse_bytes)),
        [],
        "Have that much more room where you recover to, or keep the holes: restic restore --sparse (0.15 and later).",
        {**_snapshot_facts(outcome), "files": source.sparse, "bytes_more": source.sparse_bytes},
    )


def _leftovers(review: Review, subject: str, left: Sequence[str]) -> None:
    review.found(
        "backup.restore.leftovers",
        subject,
        "medium",
        "What was restored on trial could not be removed completely.",
        left,
        "Remove it by hand; the next test tries again.",
    )


def _time(
    review: Review,
    subject: str,
    outcome: Outcome,
    options: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
) -> None:
    whole = recovery(outcome)
    hours = options.get("rto_hours")
    if whole is None or outcome.error is not None:
        return
    told = _told(whole)
    lines = ["to restore everything: %s" % told]
    facts = {"seconds": whole.seconds, "low": whole.low, "high": whole.high, "rto_hours": hours}
    remedy = (
        "Restore over a faster way (network, storage, --limit-download), keep a copy of the repository near, or agree "
        "on another time to recover."
    )
    if hours is not None and whole.seconds > hours * 3600:
        sure = whole.low > hours * 3600
        review.found(
            "backup.restore.slow",
            subject,
            "high" if sure else "medium",
            "Restoring everything %s %s, and %s were agreed."
            % ("takes" if sure else "may take", span(whole.seconds) or "less than a minute", _hours(hours)),
            lines,
            remedy,
            facts,
        )
        return
    speed, usual = _speed(_figures(outcome)), _usual(history, outcome)
    if speed and usual and speed * SLOWED < usual:
        review.found(
            "backup.restore.slow",
            subject,
            "medium",
            "Restoring has become %.1f times slower: %s a second, and it used to be %s."
            % (usual / speed, size(speed), size(usual)),
            [*lines, "earlier: %s" % ", ".join(size(one) + "/s" for one in _speeds(history, outcome)[-8:])],
            "See what slows the storage or the way to it down, before it is needed. " + remedy,
            {**facts, "speed": speed, "usual": usual},
        )


def _told(whole: Recovery) -> str:
    if whole.measured:
        return "%s, measured" % _seconds(whole.seconds)
    return "%s, concluded from a part (between %s and %s)" % (
        _seconds(whole.seconds),
        _seconds(whole.low),
        _seconds(whole.high),
    )


def _seconds(value: float) -> str:
    return "%.1f s" % value if value < 120 else span(value)


def _hours(hours: float) -> str:
    return "%g hours" % hours if hours >= 1 else "%g minutes" % (hours * 60)


def _freshness(review: Review, subject: str, outcome: Outcome, options: Mapping[str, Any], now: float) -> None:
    hours = options.get("rpo_hours")
    if hours is None:
        return
    age = now - outcome.snapshot.time
    if age > hours * 3600:
        review.found(
            "backup.snapshot.stale",
            subject,
            "high",
            "What can be restored is %s old, and %s were agreed." % (span(age), _hours(hours)),
            ["the newest snapshot is %s of %s" % (outcome.snapshot.short_id, minute(outcome.snapshot.time))],
            "See why the backup job did not run since.",
            {"age_hours": age / 3600, "rpo_hours": hours, "newest": outcome.snapshot.short_id},
        )
    review.covered("backup.snapshot.stale", subject)


def judge_round(review: Review, subject: str, outcome: Outcome) -> None:
    """Whether samples by turns will see everything within a time that means something."""
    chosen = outcome.sample
    with review.check("backup.restore.round", subject):
        if chosen is None or chosen.whole or chosen.turn.of <= ROUND_RUNS:
            return
        review.found(
            "backup.restore.round",
            subject,
            "medium",
            "Samples of %s would have restored everything after %d runs only." % (subject, chosen.turn.of),
            ["this run restores %d of %d names" % (chosen.names, there(outcome.listing).entries)],
            "Have all of it restored from time to time (backup_restore_test, as in the monthly), or let a sample be "
            "larger (backup_review_sample_mib, backup_review_sample_files). A folder with very many files in it cannot "
            "be taken apart quickly: put them into folders.",
            {"runs": chosen.turn.of, "names": chosen.names},
        )


# What is remembered, and its trend


def _figures(outcome: Outcome) -> dict[str, Any]:
    verified = there(outcome.verified)
    return {
        "bytes": verified.bytes,
        "files": verified.files,
        "seconds": round(there(outcome.timing).restoring, 3),
        "whole": outcome.whole,
    }


def remembered(outcome: Outcome, now: float) -> dict[str, Any] | None:
    """What is kept of a trial restore that went well, for the trend."""
    if outcome.timing is None or outcome.verified is None or outcome.error is not None:
        return None
    return {"at": round(now, 3), "snapshot": outcome.snapshot.short_id, **_figures(outcome)}


def _speed(figures: Mapping[str, Any]) -> float:
    """Bytes a second; 0 where there was too little to say."""
    count, seconds = figures.get("bytes"), figures.get("seconds")
    if not isinstance(count, int) or not isinstance(seconds, (int, float)):
        return 0.0
    return 0.0 if count < TREND_BYTES or seconds < TREND_SECONDS else count / seconds


def _speeds(history: Sequence[Mapping[str, Any]], outcome: Outcome) -> list[float]:
    alike = [_speed(one) for one in history if isinstance(one, dict) and one.get("whole") == outcome.whole]
    return [speed for speed in alike if speed]


def _usual(history: Sequence[Mapping[str, Any]], outcome: Outcome) -> float:
    speeds = _speeds(history, outcome)
    return median(speeds) if len(speeds) >= TREND_RUNS else 0.0


# What is shown


def _snapshot_facts(outcome: Outcome) -> dict[str, Any]:
    snapshot = outcome.snapshot
    return {"snapshot": snapshot.id, "snapshot_time": minute(snapshot.time), "tree": snapshot.tree}


def details(outcome: Outcome, now: float) -> dict[str, Any]:
    """One trial restore, for the module's result and the proof: plain values."""
    snapshot, listing, chosen, timing = outcome.snapshot, outcome.listing, outcome.sample, outcome.timing
    made: dict[str, Any] = {
        **_snapshot_facts(outcome),
        "snapshot_host": snapshot.host,
        "snapshot_paths": list(snapshot.paths),
        "written_by": snapshot.program_version,
        "rpo_seconds": round(now - snapshot.time, 1),
        "whole": outcome.whole,
    }
    if listing is not None and outcome.disorder is None:
        made["holds"] = {
            "files": listing.files,
            "folders": listing.folders,
            "others": listing.others,
            "bytes": listing.bytes,
            "manifest_sha256": listing.digest,
        }
        made["chosen"] = {"files": outcome.files, "names": outcome.needs_names, "bytes": outcome.bytes}
        made["room_needed"] = outcome.needs_bytes
    if chosen is not None:
        made["sample"] = {
            "seed": chosen.seed,
            "turn": chosen.turn.number + 1,
            "turns": chosen.turn.of,
            "round": chosen.turn.round,
            "units": len(chosen.units),
            "left_out": chosen.left_out,
            "too_large": chosen.too_large,
            "absent": list(chosen.absent),
            "why": {what: paths[:40] for what, paths in chosen.why.items()},
        }
    if outcome.verified is not None:
        made["restored"] = verify.facts(outcome.verified, outcome.source)
        made["sha256"] = outcome.verified.digests
        made["source_compared"] = outcome.source is not None
        made["source_why_not"] = outcome.source_why
        made["unproven"] = list(outcome.unproven)
    if timing is not None:
        whole = recovery(outcome)
        made["seconds"] = {key: round(value, 3) for key, value in timing._asdict().items()}
        made["bytes_per_second"] = round(_figures(outcome)["bytes"] / max(timing.restoring, 1e-3))
        if whole is not None:
            made["rto"] = {
                "seconds": round(whole.seconds, 1),
                "low": round(whole.low, 1),
                "high": round(whole.high, 1),
                "measured": whole.measured,
            }
    return made


def summary(outcome: Outcome, verdict: str) -> str:
    """One sentence for the proof."""
    snapshot = "snapshot %s of %s" % (outcome.snapshot.short_id, minute(outcome.snapshot.time))
    verified = outcome.verified
    if verdict == "cannot" or verified is None:
        return "The %s was not restored." % snapshot if verdict == "cannot" else "The %s failed its test." % snapshot
    what = "all of it" if outcome.whole else "a sample"
    counted = "%d files, %s" % (verified.files, size(verified.bytes))
    if verdict == "failed":
        return "%s was restored of the %s (%s), and it is not what was backed up." % (
            what.capitalize(),
            snapshot,
            counted,
        )
    compared = ""
    if outcome.source is not None:
        compared = ", %d names compared with the live ones" % outcome.source.compared
    return "%s was restored of the %s: %s, content and metadata as backed up%s." % (
        what.capitalize(),
        snapshot,
        counted,
        compared,
    )
