# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the newest snapshots hold what they should: the agreed paths, filled; and what the live source has. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from .._findings import NotApplicable
from .judge_snapshots import Seen, Standing, covers, excluded, minute, same_host, word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._findings import Review


class Expected(NamedTuple):
    """A path that the snapshots of one host in one repository should hold, and who says so."""

    host: str
    path: str
    by: str
    agreed: bool
    """Whether a person said so in a policy: then even a folder that has always been empty is a fault."""


class Left(NamedTuple):
    """What the live source has and the snapshot has not."""

    path: str
    folder: bool
    excluded_by: str
    """The pattern of the backup job that leaves it out; empty when none does."""
    dump: bool


def expected_of(seen: Seen, stood: Sequence[Standing], whole: Sequence[str], own: Sequence[str]) -> list[Expected]:
    """All paths that are expected, each once; ``whole`` are the repository's own policy's paths."""
    found: dict[tuple[str, str], Expected] = {}

    def add(host: str, path: str, by: str, agreed: bool) -> None:
        key = (host, path.rstrip("/") or "/")
        if key not in found or (agreed and not found[key].agreed):
            found[key] = Expected(host, key[1], by, agreed)

    hosts = sorted({standing.series.host for standing in stood})
    for host in hosts:
        for path in whole:
            add(host, path, "a policy", True)
        for job in seen.jobs:
            theirs = same_host(host, job.host) if job.host else any(same_host(host, name) for name in own)
            for path in job.paths if theirs else ():
                # What is read from a pipe need not be there at each time.
                add(host, path, "%s (%s)" % (job.name, job.place), False)
    for standing in stood:
        for path in standing.policy.paths:
            add(standing.series.host, path, "a policy", True)
        if standing.state in ("fresh", "stale"):
            for path in standing.series.paths:
                add(standing.series.host, path, "the snapshot itself", False)
        elif standing.state == "narrowed":
            for path in standing.series.paths:
                add(standing.series.host, path, "the snapshots before it", False)
    return list(found.values())


def judge_paths(
    review: Review,
    seen: Seen,
    stood: Sequence[Standing],
    expected: Sequence[Expected],
    empties: Mapping[tuple[str, str], str],
    options: Mapping[str, Any],
) -> None:
    """``empties`` says why an empty folder is none that was always empty, by host and path.

    A host of which not all was looked at is not covered: its tickets stay.
    """
    for host in sorted({one.host for one in expected}):
        current = [one for one in stood if one.series.host == host and one.state in ("fresh", "stale")]
        subject = "%s %s" % (seen.name, host)
        with review.check("backup.snapshot.path_missing", subject):
            gone, empty, unknown = [], [], []
            for one in expected:
                if one.host != host or excluded(one.path, options):
                    continue
                states = [_state(seen, standing, one.path) for standing in current]
                if not states or "filled" in states:
                    continue
                if "unknown" in states:
                    unknown.append(one)
                    continue
                if "empty" in states:
                    if one.agreed or (host, one.path) in empties:
                        empty.append(one)
                else:
                    gone.append(one)
            if gone or empty:
                _missing(review, seen, subject, host, current, gone, empty, empties)
            if unknown:
                raise NotApplicable(
                    "not all newest snapshots in %s were listed, or where their paths lie in them cannot be told"
                    % seen.name,
                    "The others have their turn in the next runs; more at once: a higher timeout "
                    "(backup_review_look_timeout). Paths can be told where restic backup is given whole ones (/srv).",
                )


def _state(seen: Seen, standing: Standing, path: str) -> str:
    contents = seen.listings.get(standing.series.newest.id)
    if contents is not None:
        return contents.state(path)
    if covers(path, standing.series.paths):
        return "unknown"
    return "missing"


def _missing(
    review: Review,
    seen: Seen,
    subject: str,
    host: str,
    current: Sequence[Standing],
    gone: Sequence[Expected],
    empty: Sequence[Expected],
    empties: Mapping[tuple[str, str], str],
) -> None:
    names = [one.path for one in (*gone, *empty)]
    said = []
    if gone:
        said.append("lacks %s" % ", ".join(one.path for one in gone[:3]) + (" …" if len(gone) > 3 else ""))
    if empty:
        said.append("holds nothing in %s" % ", ".join(one.path for one in empty[:3]) + (" …" if len(empty) > 3 else ""))
    evidence = ["%s is missing; %s names it" % (one.path, one.by) for one in gone]
    evidence += [
        "%s is an empty folder in the snapshot; %s"
        % (one.path, empties.get((host, one.path)) or "%s names it" % one.by)
        for one in empty
    ]
    evidence += [
        "looked at snapshot %s of %s: %s"
        % (one.series.newest.short_id, minute(one.series.newest.time), ", ".join(one.series.newest.paths))
        for one in current[:5]
    ]
    review.found(
        "backup.snapshot.path_missing",
        subject,
        "high",
        "The newest backup of %s in %s %s." % (host, seen.name, " and ".join(said)),
        evidence,
        "On %s: is it there and mounted (findmnt --target %s; ls -la %s)? Then run the backup again by hand and see "
        "what it says. What needs no backup: name it in backup_review_exclusions, with the reason."
        % (word(host), word(names[0]), word(names[0])),
        {"missing": [one.path for one in gone], "empty": [one.path for one in empty]},
    )


def judge_left_out(
    review: Review, seen: Seen, standing: Standing, left: Sequence[Left], count: int, unseen: tuple[str, str]
) -> None:
    """What the live source had when the snapshot was made, and the snapshot has not: the first of ``count``.

    ``unseen`` says why not all was looked at, and what to do; both empty where it was.
    """
    subject = standing.series.subject(seen.name)
    with review.check("backup.snapshot.incomplete", subject):
        if left:
            _left_out(review, standing, subject, left, count)
        if unseen[0]:
            raise NotApplicable(*unseen)


def _left_out(review: Review, standing: Standing, subject: str, left: Sequence[Left], count: int) -> None:
    # What a pattern of the job leaves out on purpose is among these only as a dump: they are made to be backed up.
    unknown = [one for one in left if not one.excluded_by]
    newest = standing.series.newest
    lines = [
        "%s%s%s"
        % (
            one.path,
            " (a folder, with all in it)" if one.folder else "",
            ", left out by the pattern %s" % one.excluded_by if one.excluded_by else "",
        )
        for one in left
    ]
    review.found(
        "backup.snapshot.incomplete",
        subject,
        "high" if unknown else "medium",
        "The newest backup of %s leaves out %d that %s there when it was made: %s."
        % (
            ", ".join(standing.series.paths[:3]),
            count,
            "was" if count == 1 else "were",
            ", ".join(one.path for one in left[:3]) + (" …" if count > 3 else ""),
        ),
        ["snapshot %s of %s lacks" % (newest.short_id, minute(newest.time)), *lines],
        (
            "Run the backup by hand and see what it could not read: restic backup ends with 3 then, and names it "
            "(root reads all)."
            if unknown
            else "Take the pattern out of the job, or name the files in backup_review_exclusions, with the reason."
        )
        + " What needs no backup: backup_review_exclusions, with the reason.",
        {"left_out": [one.path for one in left[:100]], "count": count, "unexplained": len(unknown)},
    )


def pattern_that_excludes(path: str, patterns: Sequence[str]) -> str:
    """The pattern by which restic leaves a path out: one of ``backup --exclude``, as the snapshot notes them.

    A pattern without a slash in front fits anywhere in a path, part by part; ``**`` stands for any number of parts. A
    later one with ``!`` in front takes back what others left out.
    """
    by = ""
    for pattern in patterns:
        negated = pattern.startswith("!")
        if _fits(path, pattern[1:] if negated else pattern):
            by = "" if negated else pattern
    return by


def _fits(path: str, pattern: str) -> bool:
    parts = [part for part in path.split("/") if part]
    wanted = [part for part in pattern.split("/") if part]
    if not wanted:
        return False
    if "**" in wanted:
        text = "/".join(wanted).replace("**/", "*").replace("/**", "*")
        whole = "/".join(parts)
        return any(fnmatchcase(whole[at:], text) for at in _starts(whole, pattern.startswith("/")))
    starts = [0] if pattern.startswith("/") else range(len(parts) - len(wanted) + 1)
    return any(
        len(parts) >= start + len(wanted) and all(fnmatchcase(part, want) for part, want in zip(parts[start:], wanted))
        for start in starts
    )


def _starts(whole: str, anchored: bool) -> list[int]:
    return [0] if anchored else [0, *(at + 1 for at, sign in enumerate(whole) if sign == "/")]
