# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a repository's snapshots are what was agreed: there, of this host, fresh, regular, as large as usual, kept.

Pure; findings only. ``Seen`` is what was gathered of one repository, ``Policy`` what is expected of it.
"""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from .._findings import NotApplicable, clean_line
from .series import DAY, HOUR, RPO, Drop, Series, allowed_age, drop, gaps, group, kept, missing, rhythm, trend

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from .._findings import Review
    from .discover_model import Job
    from .contents import Contents
    from .model import Snapshot
    from .restic_parse import Lock

SERIES_CHECKS = (
    "backup.snapshot.none",
    "backup.snapshot.unreadable",
    "backup.snapshot.foreign",
    "backup.snapshot.stale",
    "backup.snapshot.future",
    "backup.snapshot.gap",
    "backup.snapshot.shrunk",
    "backup.snapshot.retention",
    "backup.snapshot.path_missing",
    "backup.snapshot.incomplete",
)
STALE_LOCK = 30 * 60.0
"""restic's own bound: a lock that was not refreshed for so long belongs to nobody any more."""
FUTURE = 10 * 60.0
"""Seconds that clocks may differ."""
FORGET_LATE = 8 * DAY
"""How long a snapshot may outlive its retention: forget runs once a week in most places."""


class Policy(NamedTuple):
    """What is agreed of one series, or of a repository. Spans are seconds; None is: not agreed."""

    hosts: tuple[str, ...] = ()
    rpo: float | None = None
    rhythm: float | None = None
    paths: tuple[str, ...] = ()
    keep: Mapping[str, int] = {}
    since: float | None = None
    shrunk_percent: float = 50.0
    named: bool = False
    """Whether a policy names this very repository or series."""


class Seen(NamedTuple):
    """What was gathered of one repository."""

    name: str
    shown: str
    version: str
    """The restic that answered, ``0.14.0``."""
    format: int | None
    snapshots: tuple[Snapshot, ...]
    locks: tuple[Lock, ...]
    jobs: tuple[Job, ...] = ()
    listings: Mapping[str, Contents] = {}
    """What is in the newest snapshots, by the snapshot's id."""
    sizes: Mapping[str, tuple[int, int]] = {}
    """Names and bytes of snapshots that have no summary, by id, as ``stats`` counts them."""
    vanished: Mapping[str, Sequence[str]] = {}
    """What a series lost, by its subject: lines."""
    lock_holders: Mapping[int, str] = {}
    """Processes of this host that hold a lock, by number: their names, empty where there is none any more."""
    unreadable: Mapping[str, str] = {}
    """Snapshots that are there and cannot be read, by their ids, and why."""
    unsized: Collection[str] = ()
    """The newest snapshots of series of which not all sizes are known that are needed, by id."""


def policy_for(
    policies: Iterable[Mapping[str, Any]], options: Mapping[str, Any], name: str, series: Series | None
) -> Policy:
    """What is agreed of a series, or of the repository as a whole; of several policies that fit, later ones add."""
    made = Policy(
        rpo=options["rpo_hours"] * HOUR if options.get("rpo_hours") is not None else None,
        shrunk_percent=options["shrunk_percent"],
    )
    for policy in policies:
        narrow = _narrow(policy)
        if not fnmatchcase(name, _repository(policy)) or (series is None and narrow):
            continue
        if series is not None and not _fits(policy, series):
            continue
        if policy.get("hosts"):
            made = made._replace(hosts=tuple(policy["hosts"]))
        if policy.get("rpo_hours") is not None:
            made = made._replace(rpo=policy["rpo_hours"] * HOUR)
        if policy.get("rhythm_hours") is not None:
            made = made._replace(rhythm=policy["rhythm_hours"] * HOUR)
        if policy.get("paths"):
            made = made._replace(paths=(*made.paths, *policy["paths"]))
        if policy.get("keep"):
            made = made._replace(keep={key: value for key, value in policy["keep"].items() if value})
        if policy.get("since"):
            made = made._replace(since=date(policy["since"]))
        if policy.get("shrunk_percent") is not None:
            made = made._replace(shrunk_percent=policy["shrunk_percent"])
        if narrow or _repository(policy) != "*":
            made = made._replace(named=True)
    return made


def _repository(policy: Mapping[str, Any]) -> str:
    return policy.get("repository") or "*"


def _narrow(policy: Mapping[str, Any]) -> bool:
    """Whether a policy is for some series of a repository only."""
    return any(policy.get(key) for key in ("host", "tags", "source"))


def _fits(policy: Mapping[str, Any], series: Series) -> bool:
    tags = set(series.tags).union(*(one.tags for one in series.snapshots[-1:]))
    return (
        (not policy.get("host") or fnmatchcase(series.host, policy["host"]))
        and (not policy.get("tags") or set(policy["tags"]) <= tags)
        and (not policy.get("source") or any(fnmatchcase(path, policy["source"]) for path in series.paths))
    )


def policies_naming(names: Iterable[str], policies: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The policies that are for one of these repositories, and not for whatever there is."""
    names = list(names)
    named = [one for one in policies if _repository(one) != "*"]
    return [one for one in named if any(fnmatchcase(name, _repository(one)) for name in names)]


def judge_policies(
    review: Review,
    policies: Iterable[Mapping[str, Any]],
    looked: Mapping[str, Sequence[Series]],
    unknown: Sequence[str] = (),
) -> None:
    """A policy that fits nothing: what was agreed in it would be lost without a word.

    ``looked`` are the repositories that were looked into, with the series that are judged; ``unknown`` the names of
    those that were not, here or at all.
    """
    check = "backup.policy.unmatched"
    for policy in policies:
        pattern, narrow = _repository(policy), _narrow(policy)
        if pattern == "*" and not narrow:
            continue  # for whatever there is
        named = [(key, policy.get(key)) for key in ("repository", "host", "tags", "source")]
        subject = ", ".join(
            "%s: %s" % (key, ",".join(value) if isinstance(value, list) else value) for key, value in named if value
        )
        with review.check(check, subject):
            there = [name for name in looked if fnmatchcase(name, pattern)]
            maybe = [name for name in unknown if fnmatchcase(name, pattern)]
            series = [one for name in there for one in looked[name]]
            if (there or maybe) and (not narrow or any(_fits(policy, one) for one in series)):
                continue
            if maybe:
                raise NotApplicable("what the policy for %s is for may be in %s" % (subject, ", ".join(maybe[:3])))
            agreed = [
                "%s: %s" % (key, value)
                for key, value in policy.items()
                if value is not None and key not in ("repository", "host", "tags", "source")
            ]
            review.found(
                check,
                subject,
                "medium",
                "The policy for %s fits %s: what is agreed there is watched by nobody."
                % (subject, "no series of snapshots that is judged here" if there else "no repository of this host"),
                ["agreed is %s" % line for line in agreed]
                + ["there is the repository %s" % name for name in (there or list(looked))[:15]]
                + [
                    "there are snapshots of %s, %s%s"
                    % (one.host, ", ".join(one.paths[:5]), ", tags %s" % ",".join(one.newest.tags[:9]))
                    for one in series[:20]
                ],
                "Correct the policy's name, host, tags or source (backup_review_policies), or keep it to the hosts it "
                "is for. Another host's snapshots are judged where a policy for all of a repository names it in hosts.",
                {"policy": {key: value for key, value in policy.items() if value is not None}},
            )


def date(text: str) -> float | None:
    """The begin of a day (``2026-01-31``) by the clock on the host's wall; None when it is no day."""
    try:
        return time.mktime(time.strptime(text.strip()[:10], "%Y-%m-%d"))
    except (ValueError, OverflowError):
        return None


def minute(moment: float) -> str:
    """``2026-11-22 03:15 UTC``."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
    except (ValueError, OverflowError, OSError):
        return "a time that does not exist"


def span(seconds: float) -> str:
    """``9 days``, ``26 hours``, ``5 minutes``."""
    for unit, size in (("day", DAY), ("hour", HOUR), ("minute", 60.0)):
        if seconds >= 2 * size or (unit == "minute"):
            count = int(seconds / size)
            return "%d %s%s" % (count, unit, "" if count == 1 else "s")
    return ""


def size(number: float) -> str:
    """Bytes in words: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return ("%d %s" if unit == "B" else "%.1f %s") % (number, unit)
        number /= 1024
    return "%.1f TiB" % number


def word(text: str) -> str:
    """A text as a word of a command to paste, or a placeholder when it holds what cannot be pasted."""
    return quote(text) if clean_line(text, 200) == text else "PATH"


def judged_hosts(seen: Seen, policy: Policy, own: Sequence[str]) -> list[str]:
    """The names among the snapshots' hosts whose backups are judged: those that are expected, else this host's.

    ``own`` are this host's names; a job may give its snapshots another one.
    """
    there = sorted({one.host for one in seen.snapshots})
    wanted = policy.hosts or (*own, *(job.host for job in seen.jobs if job.host))
    return [host for host in there if any(same_host(host, pattern) for pattern in wanted)]


def same_host(host: str, pattern: str) -> bool:
    """Whether a snapshot's host is the one meant, by its full name or its first part."""
    host, pattern = host.lower(), pattern.lower()
    return fnmatchcase(host, pattern) or host.partition(".")[0] == pattern or host == pattern.partition(".")[0]


def series_of(seen: Seen, options: Mapping[str, Any], hosts: Sequence[str]) -> list[Series]:
    return [series for series in group(seen.snapshots, options["group_by"]) if series.host in hosts]


def covers(path: str, paths: Iterable[str]) -> bool:
    """Whether a path lies in one of the paths."""
    return any(other in ("/", path) or path.startswith(other.rstrip("/") + "/") for other in paths)


class Standing(NamedTuple):
    """How one series stands: ``state`` is fresh, stale, narrowed, superseded, single or excluded."""

    series: Series
    policy: Policy
    state: str
    age: float
    allowed: float


def standings(
    seen: Seen, series: Sequence[Series], policies: Sequence[Mapping[str, Any]], options: Mapping[str, Any], now: float
) -> list[Standing]:
    """Which series are alive and which are late.

    A series whose paths a fresher one of the same host backs up has been replaced by that one, as when a path was added
    to the job; one or two snapshots beside another series were made by hand. Neither is late, unless somebody agreed on
    it or a job of the host names it. A series that went on with some of its paths only has been narrowed: that is told
    by the paths that are missing since.
    """
    made: list[Standing] = []
    for one in series:
        policy = policy_for(policies, options, seen.name, one)
        times = [snapshot.time for snapshot in one.snapshots if snapshot.time <= now + FUTURE]
        allowed = allowed_age(times, policy.rpo)
        age = now - times[-1] if times else float("inf")
        made.append(Standing(one, policy, "fresh" if age <= allowed else "stale", age, allowed))
    result = []
    for first in made:
        standing, one = first, first.series
        others = [other for other in made if other.series.host == one.host and other.series is not one]
        narrower = [
            other
            for other in others
            if other.age < standing.age
            and set(other.series.paths) < set(one.paths)
            # It began after this one: what has a parent elsewhere is a job of its own, thinned out by retention.
            and other.series.snapshots[0].time > one.newest.time
            and other.series.snapshots[0].parent in (None, *(snapshot.id for snapshot in one.snapshots))
            # A backup made by hand in between is none of its successors: this one was due since.
            and standing.age > _due(one)
        ]
        if narrower and len(one.snapshots) > 1 and not all(excluded(path, options) for path in one.paths):
            standing = standing._replace(state="narrowed")
        elif standing.state == "stale":
            fresh = [path for other in others if other.age < standing.age for path in other.series.paths]
            named = (standing.policy.named and standing.policy.rpo is not None) or any(
                set(job.paths) == set(one.paths) for job in seen.jobs if job.paths
            )
            if all(excluded(path, options) for path in one.paths):
                standing = standing._replace(state="excluded")
            elif not named and all(covers(path, fresh) for path in one.paths):
                standing = standing._replace(state="superseded")
            elif not named and len(one.snapshots) < 3 and any(other.age < standing.age for other in others):
                standing = standing._replace(state="single")
        result.append(standing)
    return result


def _due(series: Series) -> float:
    """The pause after which a series' next snapshot is due: the usual, or with two snapshots that between them."""
    times = [snapshot.time for snapshot in series.snapshots]
    return rhythm(times) or (times[-1] - times[-2] if len(times) > 1 else RPO)


def excluded(path: str, options: Mapping[str, Any]) -> str:
    """The reason for which a path needs no backup; empty where there is none."""
    for entry in options.get("exclusions") or ():
        pattern = str(entry["path"]).rstrip("/") or "/"
        if fnmatchcase(path, pattern) or fnmatchcase(path, pattern + "/*"):
            return str(entry["reason"])
    return ""


def judge_repository(review: Review, seen: Seen, now: float) -> None:
    """The repository itself: its format and its locks."""
    with review.check("backup.repository.format_old", seen.name):
        if seen.format == 1:
            review.found(
                "backup.repository.format_old",
                seen.name,
                "low",
                "The repository %s has the old format 1: nothing in it is compressed." % seen.name,
                ["%s: format version 1, read with restic %s" % (seen.shown, seen.version)],
                "When every client has restic 0.14 or newer: restic check, then restic migrate upgrade_repo_v2",
                {"format": seen.format},
            )
    with review.check("backup.repository.locked", seen.name):
        dead = [lock for lock in seen.locks if _dead(lock, seen, now)]
        held = [lock for lock in seen.locks if lock.exclusive and lock not in dead]
        lines = [
            "%s lock of %s@%s, process %d, since %s (%s ago)%s"
            % (
                "exclusive" if lock.exclusive else "shared",
                lock.user,
                lock.host,
                lock.pid,
                minute(lock.time),
                span(now - lock.time),
                "" if lock.pid not in seen.lock_holders or seen.lock_holders[lock.pid] else ": that process is gone",
            )
            for lock in (*dead, *held)
        ]
        facts = {"locks": [lock._asdict() for lock in (*dead, *held)][:20]}
        if dead:
            first = dead[0]
            exclusive = [lock for lock in dead if lock.exclusive]
            review.found(
                "backup.repository.locked",
                seen.name,
                # An exclusive lock stops every backup; a shared one only forget and prune.
                "high" if exclusive else "medium",
                "%d stale lock%s in the repository %s: the oldest of process %d on %s, %s old."
                % (len(dead), "" if len(dead) == 1 else "s", seen.name, first.pid, first.host, span(now - first.time)),
                lines,
                "See on %s that no restic runs (pgrep -a restic), then: restic unlock (it removes stale locks only)."
                % word(first.host),
                facts,
            )
        elif held:
            review.found(
                "backup.repository.locked",
                seen.name,
                "info",
                "The repository %s is locked by process %d on %s, which is at work."
                % (seen.name, held[0].pid, held[0].host),
                lines,
                "Nothing needs to be done, unless it does not end: see the process on that host.",
                facts,
            )


def _dead(lock: Lock, seen: Seen, now: float) -> bool:
    return now - lock.time > STALE_LOCK or seen.lock_holders.get(lock.pid) == ""


def judge_series(
    review: Review,
    seen: Seen,
    policies: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    own: Sequence[str],
    now: float,
) -> list[Standing]:
    """All that can be said of a repository's snapshots by their list alone; how its series stand."""
    whole = policy_for(policies, options, seen.name, None)
    hosts = judged_hosts(seen, whole, own)
    with review.check("backup.snapshot.none", seen.name):
        _none(review, seen, whole, hosts)
    with review.check("backup.snapshot.foreign", seen.name):
        _foreign(review, seen, whole, hosts, own)
    series = series_of(seen, options, hosts)
    stood = standings(seen, series, policies, options, now)
    for standing in stood:
        subject = standing.series.subject(seen.name)
        judges = [
            ("backup.snapshot.stale", partial(_stale, review, seen, standing, subject, now)),
            ("backup.snapshot.future", partial(_future, review, standing, subject, now)),
            ("backup.snapshot.gap", partial(_gaps, review, standing, subject, options, now)),
            ("backup.snapshot.shrunk", partial(_shrunk, review, seen, standing, subject, options, now)),
            ("backup.snapshot.retention", partial(_retention, review, seen, standing, subject, now)),
        ]
        if standing.state not in ("fresh", "stale"):
            judges = judges[:2]
        for check, judge in judges:
            with review.check(check, subject):
                judge()
    return stood


def _none(review: Review, seen: Seen, policy: Policy, hosts: Sequence[str]) -> None:
    remedy = (
        "See why no backup runs (systemctl list-timers, crontab -l, journalctl), start one by hand, and ask who ran "
        "restic forget last."
    )
    if not seen.snapshots:
        review.found(
            "backup.snapshot.none",
            seen.name,
            "critical",
            "The repository %s holds no snapshot %s."
            % (seen.name, "that can be read" if seen.unreadable else "at all"),
            [seen.shown, *("%s backs up into it (%s)" % (job.name, job.place) for job in seen.jobs[:10])],
            remedy,
        )
        return
    lacking = [
        pattern for pattern in policy.hosts if pattern != "*" and not any(same_host(host, pattern) for host in hosts)
    ]
    if lacking and hosts:
        review.found(
            "backup.snapshot.none",
            seen.name,
            "critical",
            "The repository %s holds no snapshot of %s." % (seen.name, ", ".join(lacking[:5])),
            _whose(seen),
            remedy,
            {"missing": lacking},
        )


def judge_unreadable(review: Review, seen: Seen) -> None:
    """The snapshots that are left out of restic's list, as they cannot be read."""
    if not seen.unreadable:
        return
    denied = all("permission denied" in why for why in seen.unreadable.values())
    first = min(seen.unreadable)
    review.found(
        "backup.snapshot.unreadable",
        seen.name,
        "high",
        "%d snapshot%s of the repository %s cannot be read: %s."
        % (
            len(seen.unreadable),
            "" if len(seen.unreadable) == 1 else "s",
            seen.name,
            ", ".join(one[:8] for one in list(seen.unreadable)[:5]),
        ),
        ["snapshot %s: %s" % (one, why) for one, why in list(seen.unreadable.items())[:20]],
        "Let this account read the file snapshots/%s in the repository." % first if denied else lost_snapshot(first),
        {"snapshots": list(seen.unreadable)[:50], "restic": seen.version},
    )


def lost_snapshot(snapshot: str) -> str:
    """What saves a snapshot whose file is damaged; ``snapshot`` is its id, or the beginning of it.

    forget passes over such a one, and recover crashes on it, leaving its lock (0.14, 0.18, 0.19): so the file has to be
    out of the way. The cache of the host that made it has the file as it was written.
    """
    return (
        "Before the next prune: put snapshots/%s%s back from a copy of the repository, or from restic's cache on the "
        "host that made it (~/.cache/restic/*/snapshots/%s/). Without either, move that file out of the repository and "
        "run restic recover: it makes a snapshot of the folders that lost theirs. Then restic check."
    ) % (snapshot, "" if len(snapshot) == 64 else "…", snapshot[:2])


def _whose(seen: Seen) -> list[str]:
    lines = []
    for host in sorted({one.host for one in seen.snapshots}):
        of = [one for one in seen.snapshots if one.host == host]
        lines.append("%s: %d snapshots, the newest of %s" % (host, len(of), minute(of[-1].time)))
    return lines


def _foreign(review: Review, seen: Seen, policy: Policy, hosts: Sequence[str], own: Sequence[str]) -> None:
    if not seen.snapshots or hosts:
        return
    others = sorted({one.host for one in seen.snapshots})
    expected = policy.hosts or tuple(own)
    review.found(
        "backup.snapshot.foreign",
        seen.name,
        "high",
        "The repository %s holds snapshots of %s only, and none of %s."
        % (seen.name, ", ".join(others[:5]), ", ".join(expected[:3])),
        _whose(seen),
        "Start a backup of this host and see what it says. If these are its snapshots under another name: name them in "
        "the option hosts. If it only stores the backups of others: give hosts in a policy for this repository.",
        {"hosts": others[:50], "expected": list(expected)},
    )


def _stale(review: Review, seen: Seen, standing: Standing, subject: str, now: float) -> None:
    if standing.state != "stale":
        return
    one = standing.series
    past = [snapshot for snapshot in one.snapshots if snapshot.time <= now + FUTURE]
    newest = past[-1] if past else one.newest
    agreed = "agreed" if standing.policy.rpo is not None else "allowed"
    review.found(
        "backup.snapshot.stale",
        subject,
        "high",
        "The newest backup of %s is %s old; %s are %s at the most."
        % (_what(one), span(standing.age), span(standing.allowed), agreed)
        if past
        else "No backup of %s is known to be recent: all its snapshots lie in the future." % _what(one),
        [
            "newest snapshot %s of %s, in %s" % (newest.short_id, minute(newest.time), seen.shown),
            "%d snapshots of this series%s" % (len(one.snapshots), _usual(one)),
            *("it is made by %s (%s)%s" % (job.name, job.place, _when(job)) for job in _jobs_of(seen, one)[:5]),
        ],
        "See why it stopped: %s. Then start it by hand, and see a new snapshot: restic snapshots --host %s"
        % (_where_to_look(seen, one), word(one.host)),
        {
            "newest": newest.time,
            "age_hours": round(standing.age / HOUR, 1) if past else None,
            "allowed_hours": round(standing.allowed / HOUR, 1),
            "snapshot": newest.id,
        },
    )


def _jobs_of(seen: Seen, series: Series) -> list[Job]:
    return [job for job in seen.jobs if job.paths and set(job.paths) & set(series.paths)] or [
        job for job in seen.jobs if job.paths
    ]


def _when(job: Job) -> str:
    return ", due %s" % job.schedule if job.schedule else ""


def _where_to_look(seen: Seen, series: Series) -> str:
    for job in _jobs_of(seen, series):
        if job.by == "unit":
            return "journalctl -u %s" % word(job.name.partition(" ")[0])
        if job.by == "cron":
            return "journalctl -t CRON, and the line in %s" % word(job.place.file)
        if job.by == "resticprofile":
            return "resticprofile --name %s status" % word(job.name)
    return "systemctl list-timers, crontab -l, journalctl"


def _what(series: Series) -> str:
    return "%s on %s" % (", ".join(series.paths[:3]) + (" …" if len(series.paths) > 3 else ""), series.host)


def _usual(series: Series) -> str:
    usual = rhythm([one.time for one in series.snapshots])
    return ", of late one every %s" % span(usual) if usual else ""


def _future(review: Review, standing: Standing, subject: str, now: float) -> None:
    ahead = [one for one in standing.series.snapshots if one.time > now + FUTURE]
    if ahead:
        review.found(
            "backup.snapshot.future",
            subject,
            "medium",
            "%d snapshot%s of %s lie%s in the future, the last at %s: a clock is wrong, or was."
            % (
                len(ahead),
                "" if len(ahead) == 1 else "s",
                _what(standing.series),
                "s" if len(ahead) == 1 else "",
                minute(ahead[-1].time),
            ),
            ["snapshot %s of %s" % (one.short_id, minute(one.time)) for one in ahead[-20:]],
            "Set the clock right (timedatectl). restic forget takes these for the newest and deletes others in their "
            "place: once there are newer ones, restic forget %s" % " ".join(one.short_id for one in ahead[-5:]),
            {"snapshots": [one.id for one in ahead[-20:]]},
        )


def _gaps(review: Review, standing: Standing, subject: str, options: Mapping[str, Any], now: float) -> None:
    one = standing.series
    agreed = standing.policy.rhythm or standing.policy.rpo
    found = gaps([snapshot.time for snapshot in one.snapshots], now - options["gap_days"] * DAY, agreed)
    if not found:
        return
    longest = max(found, key=lambda gap: gap.end - gap.start)
    review.found(
        "backup.snapshot.gap",
        subject,
        "medium",
        "There is no backup of %s between %s and %s: %s without one, where %s %s."
        % (
            _what(one),
            minute(longest.start),
            minute(longest.end),
            span(longest.end - longest.start),
            span(longest.usual),
            "are agreed" if agreed is not None else "are usual",
        ),
        [
            "no backup from %s to %s (%s)" % (minute(gap.start), minute(gap.end), span(gap.end - gap.start))
            for gap in found
        ],
        "What of that time was changed and changed again cannot be restored. See what was in the way: journalctl "
        "--since '%s' --until '%s' | grep -i restic" % (minute(longest.start)[:16], minute(longest.end)[:16]),
        {"gaps": [{"start": gap.start, "end": gap.end} for gap in found[-50:]]},
    )


def measured(seen: Seen, series: Series, what: str) -> list[tuple[Snapshot, float]]:
    """The series' snapshots with their bytes or files, where these are known.

    ``stats`` counts folders as files and a summary does not: where one has a summary, only summaries count.
    """
    sizes: list[tuple[Snapshot, float]] = []
    mixed = what == "files" and any(one.files is not None for one in series.snapshots)
    for one in series.snapshots:
        number = getattr(one, what)
        if number is None and one.id in seen.sizes and not mixed:
            number = seen.sizes[one.id][0 if what == "files" else 1]
        if number is not None:
            sizes.append((one, float(number)))
    return sizes


def drops(seen: Seen, standing: Standing, options: Mapping[str, Any], now: float) -> list[Drop]:
    """Where a series fell below its usual bytes or files and stayed there."""
    since = now - options["gap_days"] * DAY
    found = []
    for what in ("bytes", "files"):
        one = drop(measured(seen, standing.series, what), what, standing.policy.shrunk_percent, since)
        if one is not None:
            found.append(one)
    return found


def _shrunk(
    review: Review, seen: Seen, standing: Standing, subject: str, options: Mapping[str, Any], now: float
) -> None:
    found = drops(seen, standing, options, now)
    if found:
        _shrank(review, seen, standing, subject, found[0])
    if standing.series.newest.id in seen.unsized:
        raise NotApplicable(
            "not all sizes of snapshots in %s were asked for: restic before 0.17 notes none" % seen.name,
            "The others have their turn in the next runs; more at once: a higher timeout (backup_review_look_timeout).",
        )


def _shrank(review: Review, seen: Seen, standing: Standing, subject: str, one: Drop) -> None:
    def told(number: float) -> str:
        return size(number) if one.what == "bytes" else "%d files" % number

    review.found(
        "backup.snapshot.shrunk",
        subject,
        "high",
        "The backup of %s has shrunk to %d %% of its usual size: from %s to %s, since %s."
        % (
            _what(standing.series),
            round(100.0 * one.now / one.usual),
            told(one.usual),
            told(one.now),
            minute(one.after.time),
        ),
        [
            "the last of the usual size is %s of %s" % (one.before.short_id, minute(one.before.time)),
            "the first that is smaller is %s of %s" % (one.after.short_id, minute(one.after.time)),
            *seen.vanished.get(subject, ()),
        ],
        "See what is gone: restic diff %s %s. If it was meant: restic forget the old ones, or a lower shrunk_percent."
        % (one.before.short_id, one.after.short_id),
        {
            "what": one.what,
            "usual": one.usual,
            "now": one.now,
            "since": one.after.time,
            "before": one.before.id,
            "after": one.after.id,
        },
    )


def _retention(review: Review, seen: Seen, standing: Standing, subject: str, now: float) -> None:
    one = standing.series
    keep = standing.policy.keep or _jobs_keep(seen, one)
    if not keep:
        return
    times = [snapshot.time for snapshot in one.snapshots if snapshot.time <= now + FUTURE]
    if not times:
        return
    ids = {snapshot.id for snapshot in seen.snapshots}
    # A parent that is gone was older, if only by an hour: with fewer than the last ones, one was deleted too many.
    older_existed = bool(one.snapshots[0].parent) and one.snapshots[0].parent not in ids
    began = standing.policy.since if standing.policy.since is not None else times[0]
    lacking = missing(times, keep, min(began, times[0]), _unbroken(one.snapshots))
    wanted = ", ".join("%d %s" % (count, name) for name, count in sorted(keep.items()))
    if not lacking and older_existed and standing.policy.since is None:
        few = keep.get("last", 0)
        lacking = {"last": ["%d of %d" % (len(times), few)]} if len(times) < few else {}
    if lacking:
        lines = ["%s: %s" % (name, ", ".join(labels[:12])) for name, labels in lacking.items()]
        review.found(
            "backup.snapshot.retention",
            subject,
            "medium",
            "The retention of %s promises %s, and %d of these snapshots are not there."
            % (_what(one), wanted, sum(len(labels) for labels in lacking.values())),
            ["no snapshot for %s" % line for line in lines]
            + ["there are %d snapshots, from %s to %s" % (len(times), minute(times[0]), minute(times[-1]))],
            "See what runs restic forget, with which --keep- options and how often: grep -rs 'forget' /etc/cron* "
            "/etc/systemd/system /etc/restic* . What was deleted is gone.",
            {"keep": dict(keep), "missing": {name: labels[:50] for name, labels in lacking.items()}},
        )
        return
    right = kept(times, keep)
    # One that lies there since the last forget is no fault: it is a week's work at the most.
    surplus = [moment for moment in times if moment not in right and moment < now - FORGET_LATE]
    if len(surplus) > max(3, len(right) // 2):
        review.found(
            "backup.snapshot.retention",
            subject,
            "low",
            "The retention of %s keeps %s, and %d snapshots more are there: forget does not run, or not for these."
            % (_what(one), wanted, len(surplus)),
            ["the oldest that should be gone is of %s" % minute(min(surplus)), "there are %d snapshots" % len(times)],
            "See it without deleting: restic forget --dry-run --host %s %s"
            % (word(one.host), " ".join("--keep-%s %d" % item for item in sorted(keep.items()))),
            {"keep": dict(keep), "surplus": len(surplus)},
        )


def _unbroken(snapshots: Sequence[Snapshot]) -> list[tuple[float, float]]:
    """The pauses in which no snapshot was made: restic notes the one before as the parent, deleted or not."""
    return [(one.time, other.time) for one, other in zip(snapshots, snapshots[1:]) if other.parent == one.id]


def _jobs_keep(seen: Seen, series: Series) -> Mapping[str, int]:
    for job in seen.jobs:
        if job.keep and (not job.paths or set(job.paths) == set(series.paths)):
            return job.keep
    return {}


def _newest_bytes(series: Series, sizes: Sequence[tuple[Snapshot, float]], contents: Contents | None) -> int | None:
    if sizes and sizes[-1][0] is series.newest:
        return int(sizes[-1][1])
    return contents.bytes if contents is not None else None


def told(seen: Seen, standing: Standing) -> dict[str, Any]:
    """A series as the result shows it."""
    one = standing.series
    sizes = measured(seen, one, "bytes")
    growth = trend(sizes)
    contents = seen.listings.get(one.newest.id)
    usual = rhythm([snapshot.time for snapshot in one.snapshots])
    return {
        "repository": seen.name,
        "host": one.host,
        "paths": list(one.paths),
        "tags": list(one.newest.tags),
        "state": standing.state,
        "snapshots": len(one.snapshots),
        "oldest": minute(one.snapshots[0].time),
        "newest": minute(one.newest.time),
        "newest_id": one.newest.id,
        "age_hours": round(standing.age / HOUR, 2) if standing.age < float("inf") else None,
        "allowed_hours": round(standing.allowed / HOUR, 2),
        "rhythm_hours": round(usual / HOUR, 2) if usual else None,
        "bytes": _newest_bytes(one, sizes, contents),
        "files": contents.files if contents is not None else one.newest.files,
        "bytes_per_day": round(growth, 1) if growth is not None else None,
    }
