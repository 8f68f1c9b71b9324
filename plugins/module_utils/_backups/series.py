# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots that belong together, and the figures of a series: rhythm, gaps, drops, trend, what retention keeps. Pure.

Times are seconds since the epoch, spans are seconds, sizes are bytes.
"""

from __future__ import annotations

import hashlib
import time
from statistics import median, median_low
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .model import Snapshot

HOUR = 3_600.0
DAY = 86_400.0
RPO = 26 * HOUR
"""The age that is allowed where nothing was agreed, and no rhythm can be seen."""
RHYTHM = 6
"""The last pauses between snapshots that tell the rhythm. Older ones are thinned out by retention."""
BEFORE = 7
"""Snapshots before a drop, or a gap, that tell what is usual."""
FACTOR = 2.5
"""A pause that is so much longer than the usual one is a gap: two backups were missed."""
TREND = 30
"""Snapshots that the trend is taken over: pairs of them make 435 slopes."""


class Series(NamedTuple):
    """The snapshots of one host, and of one set of paths or tags, oldest first."""

    host: str
    paths: tuple[str, ...]
    tags: tuple[str, ...]
    snapshots: tuple[Snapshot, ...]

    @property
    def newest(self) -> Snapshot:
        return self.snapshots[-1]

    def subject(self, repository: str) -> str:
        """``NAME HOST:PATHS``; many paths are told by the first, their number and a digest: the name must fit."""
        paths = ",".join(self.paths)
        if len(paths) > 90:
            digest = hashlib.sha256("\0".join(self.paths).encode("utf-8", "replace")).hexdigest()[:8]
            paths = "%s+%d(%s)" % (self.paths[0][:60], len(self.paths) - 1, digest)
        tags = "[%s]" % ",".join(self.tags) if self.tags else ""
        return "%s %s:%s%s" % (repository, self.host, paths, tags[:60])


class Gap(NamedTuple):
    start: float
    end: float
    usual: float


class Drop(NamedTuple):
    """Where a series became smaller, and stayed so. ``what`` is ``bytes`` or ``files``."""

    what: str
    before: Snapshot
    after: Snapshot
    usual: float
    now: float


def group(snapshots: Iterable[Snapshot], by: Sequence[str]) -> list[Series]:
    """The series among snapshots, by the names of ``by`` (host, paths, tags); the host always counts."""
    groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[Snapshot]] = {}
    for one in sorted(snapshots, key=lambda one: (one.time, one.id)):
        paths = tuple(sorted(one.paths)) if "paths" in by else ()
        tags = tuple(sorted(one.tags)) if "tags" in by else ()
        groups.setdefault((one.host, paths, tags), []).append(one)
    made = []
    for (host, _paths, tags), members in groups.items():
        made.append(Series(host, tuple(sorted(members[-1].paths)), tags, tuple(members)))
    return sorted(made, key=lambda series: (series.host, series.paths, series.tags))


def pauses(times: Sequence[float]) -> list[float]:
    return [after - before for before, after in zip(times, times[1:])]


def rhythm(times: Sequence[float]) -> float | None:
    """The usual pause: the median of the last ones. None with fewer than three snapshots."""
    recent = pauses(times)[-RHYTHM:]
    return median(recent) if len(recent) >= 2 else None


def allowed_age(times: Sequence[float], agreed: float | None) -> float:
    """How old the newest snapshot may be: as agreed; else a quarter more than the longest of the last pauses.

    A pause that is itself out of all proportion does not count, and 26 hours are always allowed.
    """
    if agreed is not None:
        return agreed
    usual = rhythm(times)
    if usual is None:
        return RPO
    longest = max(pause for pause in pauses(times)[-RHYTHM:] if pause <= 3.5 * usual)
    return max(RPO, 1.25 * longest)


def gaps(times: Sequence[float], since: float, agreed: float | None) -> list[Gap]:
    """Pauses that ended after ``since`` and are longer than agreed, or without that, than what the series does.

    Without an agreement a gap is told by what lies *before* it: retention makes the past sparser, never denser, so a
    long pause with short ones before it was not made by retention. A pause that comes on the same day of the week as
    two others like it is a weekend.
    """
    found = []
    spans = pauses(times)
    for at, pause in enumerate(spans):
        start, end = times[at], times[at + 1]
        if end < since:
            continue
        before = spans[max(0, at - BEFORE) : at]
        usual = median(before) if len(before) >= 3 else None
        if agreed is not None:
            # What retention has thinned out is no gap: there, the pauses before it are as long.
            if pause > agreed * 1.25 and (usual is None or pause > FACTOR * usual):
                found.append(Gap(start, end, agreed))
        elif usual is not None and pause > FACTOR * usual and pause > usual + 12 * HOUR and not _weekly(times, at):
            found.append(Gap(start, end, usual))
    return found


def _weekly(times: Sequence[float], at: int) -> bool:
    """Whether two other pauses as long as this one began on the same day of the week."""
    spans = pauses(times)
    day = int(times[at] // DAY) % 7
    like = [
        other
        for other, span in enumerate(spans)
        if other != at and abs(span - spans[at]) <= 0.25 * spans[at] and int(times[other] // DAY) % 7 == day
    ]
    return len(like) >= 2


def drop(sizes: Sequence[tuple[Snapshot, float]], what: str, percent: float, since: float) -> Drop | None:
    """The last time when a series fell below ``percent`` of what was usual, unless it recovered.

    ``sizes`` are the snapshots with their bytes or files, oldest first.
    """
    if not sizes:
        return None
    latest = sizes[-1][1]
    for at in range(len(sizes) - 1, 0, -1):
        snapshot, size = sizes[at]
        if snapshot.time < since and at < len(sizes) - 1:
            return None
        before = [other for _one, other in sizes[max(0, at - BEFORE) : at]]
        usual = median_low(before)
        bound = usual * percent / 100.0
        # The step itself: this one is below, and the one before it was not.
        if usual > 0 and size < bound and latest < bound and before[-1] >= bound:
            return Drop(what, sizes[at - 1][0], snapshot, usual, latest)
    return None


def trend(sizes: Sequence[tuple[Snapshot, float]]) -> float | None:
    """Bytes (or files) a day: the median of the slopes between all pairs (Theil and Sen). None below three points."""
    points = [(one.time, size) for one, size in sizes[-TREND:]]
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0]) * DAY
        for at, earlier in enumerate(points)
        for later in points[at + 1 :]
        if later[0] - earlier[0] >= HOUR
    ]
    return median(slopes) if len(points) >= 3 and slopes else None


def period(moment: float, name: str) -> str:
    """The hour, day, week (ISO), month or year of a moment, by the clock on the host's wall, as restic counts them."""
    forms = {"hourly": "%Y-%m-%d %H", "daily": "%Y-%m-%d", "weekly": "%G-W%V", "monthly": "%Y-%m", "yearly": "%Y"}
    try:
        return time.strftime(forms[name], time.localtime(moment))
    except (ValueError, OverflowError, OSError):
        return "never"


_STEPS = {"hourly": HOUR, "daily": DAY, "weekly": 7 * DAY, "monthly": 28 * DAY, "yearly": 365 * DAY}


def kept(times: Sequence[float], keep: Mapping[str, int]) -> set[float]:
    """The moments that ``restic forget`` with these counts would keep (the newest of each period)."""
    ordered = sorted(times, reverse=True)
    chosen: set[float] = set(ordered[: keep.get("last", 0)])
    for name in _STEPS:
        seen: list[str] = []
        for moment in ordered:
            label = period(moment, name)
            if len(seen) >= keep.get(name, 0):
                break
            if label not in seen:
                seen.append(label)
                chosen.add(moment)
    return chosen


def missing(
    times: Sequence[float], keep: Mapping[str, int], began: float, pauses: Sequence[tuple[float, float]] = ()
) -> dict[str, list[str]]:
    """The periods that should have a snapshot and have none, by the name of the count; newest first.

    They are counted back from the newest snapshot, as ``restic forget`` does: a backup that has stopped is late, and
    nothing of it was deleted. For the same reason periods within ``pauses`` are not expected: times between two
    snapshots in which none was made. Nor are those before ``began``, the one in which it began, and the newest's own.
    A count finer than the series' own rhythm expects nothing (hourly snapshots of a daily backup).
    """
    if not times:
        return {}
    newest = max(times)
    found: dict[str, list[str]] = {}
    usual = rhythm(sorted(times)[-RHYTHM - 1 :])
    for name, step in _STEPS.items():
        count = keep.get(name, 0)
        if not count or (usual is not None and usual > 1.5 * step) or (usual is None and name == "hourly"):
            continue
        there = {period(moment, name) for moment in times}
        first, current = period(began, name), period(newest, name)
        expected: list[str] = []
        moment = newest
        while len(expected) < count - 1 and moment >= began - step:
            label = period(moment, name)
            if label == first:
                break
            # A period without a snapshot lies within one pause as a whole: any moment of it tells which.
            paused = label not in there and any(start < moment < end for start, end in pauses)
            if label not in expected and label != current and not paused:
                expected.append(label)
            moment -= step / 2
        # restic counts periods that have a snapshot: with one missing, an older one is kept in its place.
        lacking = [label for label in expected if label not in there]
        if lacking and len(there) < count:
            found[name] = lacking
    return found
