# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wall clocks: from a time on the wall to instants, through the nights on which clocks are changed. Pure.

A wall-clock time that a spring gap skips counts at the first instant after the gap; one that autumn brings twice counts
once, at its first coming. Only what follows the hours themselves (a cron line for every hour) comes with each of them.
"""

from __future__ import annotations

import heapq
import itertools
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from zoneinfo import ZoneInfo

HORIZON_YEARS = 12
"""How far the next time is looked for. 29 February is at most eight years away; what is farther is told as "never"."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class ByWallClock:
    """A schedule whose times are times on the wall."""

    @property
    def each_hour(self) -> bool:
        """Whether it follows the hours themselves, and so comes twice in the hour that autumn brings twice."""
        return False

    def local(self, first: date, last: date) -> Iterator[datetime]:
        """Its times without a zone, from the first to the last day, in order."""
        raise NotImplementedError

    def instants(self, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """The instants (UTC) after one, in order; ends beyond the horizon."""
        start = after.astimezone(zone).date() - timedelta(days=1)
        last_seen = after.astimezone(UTC)
        end = min(start.toordinal() + 366 * HORIZON_YEARS, date.max.toordinal() - 1)
        walls = self.local(start, date.fromordinal(end))
        if _is_steady(last_seen, zone):
            # No clock is changed nearby: what the wall has shown is past, and need not be turned into instants.
            passed = last_seen.astimezone(zone).replace(tzinfo=None)
            walls = itertools.dropwhile(lambda wall: wall <= passed, walls)
        for instant in _merged(walls, zone, self.each_hour):
            if instant > last_seen:
                last_seen = instant
                yield instant


def _is_steady(at: datetime, zone: ZoneInfo) -> bool:
    """Whether the zone's offset is the same from a day before an instant to some hours after it."""
    around = (at - timedelta(hours=26), at, at + timedelta(hours=3))
    return len({one.astimezone(zone).utcoffset() for one in around}) == 1


def _merged(walls: Iterable[datetime], zone: ZoneInfo, both: bool) -> Iterator[datetime]:
    """The instants of times on the wall, in order: an hour that comes twice, first all of its first coming."""
    held: list[datetime] = []
    for wall in walls:
        found = instants(wall, zone, both)
        if not found:
            continue
        # First comings are in the order of the walls; only second ones run ahead of them.
        while held and held[0] <= found[0]:
            yield heapq.heappop(held)
        yield found[0]
        for second in found[1:]:
            heapq.heappush(held, second)
    while held:
        yield heapq.heappop(held)


def instants(wall: datetime, zone: ZoneInfo, both: bool = False) -> list[datetime]:
    """The instants (UTC) of a time on the wall: one; with ``both``, none in a gap, two where it comes twice."""
    first = wall.replace(tzinfo=zone)
    instant = first.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != wall:
        # With fold 0 the offset from before the gap holds: the instant lies as far behind the gap as this time in it.
        return [] if both else [_end_of_gap(instant, zone)]
    second = first.replace(fold=1).astimezone(UTC) if both else instant
    return [instant] if second == instant else [instant, second]


def _end_of_gap(behind: datetime, zone: ZoneInfo) -> datetime:
    """The first instant after the gap before ``behind``: where the zone's offset changes (gaps end on full minutes)."""
    offset = behind.astimezone(zone).utcoffset()
    low, high = 0, 24 * 60  # minutes back from `behind`; a gap is at most a day (Samoa, 2011)
    while high - low > 1:
        middle = (low + high) // 2
        if (behind - timedelta(minutes=middle)).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return behind - timedelta(minutes=low)


def wall_time(text: str) -> time:
    """ "02:30" as a time of day. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", text.strip())
    if not match or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f'a time of day, as "02:30", not {text!r}')
    return time(int(match[1]), int(match[2]))


def weekdays(text: str) -> tuple[int, ...]:
    """ "Mon-Fri", "Sat,Sun" as weekdays, 0 Monday. Raises ValueError."""
    found: set[int] = set()
    for part in text.lower().split(","):
        ends = [name[:3] for name in part.split("-")]
        if len(ends) > 2 or any(end not in DAYS for end in ends):
            raise ValueError(f"days as Sun, Mon-Fri or Sat,Sun, not {text!r}")
        first, last = DAYS.index(ends[0]), DAYS.index(ends[-1])
        found.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return tuple(sorted(found))
