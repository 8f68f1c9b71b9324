# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holidays: those of a country, and one's own; and what becomes of a time that falls on one. Pure.

The days of a country are the PyPI library holidays', imported when the first of them is asked for.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from .clock import ByWallClock
from .words import Nth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from zoneinfo import ZoneInfo

    from ..schedule import Schedule

HolidayRule = Literal["run", "skip", "next", "previous"]

FAR = 31
"""Days that a time is moved at most: no holidays last longer (then it stays out)."""


@dataclass(frozen=True)
class Holidays:
    """Which days are holidays, and which are worked on."""

    country: str = ""
    """By ISO 3166, as "DE"; "": no country's."""
    region: str = ""
    """A subdivision, as "BY"."""
    dates: Mapping[date, str] = field(default_factory=dict)
    """One's own, with their names."""
    worked: frozenset[date] = frozenset()
    """Days on which one works although they are public holidays or at the weekend."""
    working_days: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Weekdays, 0 Monday."""
    _years: dict[int, dict[date, str]] = field(default_factory=dict, compare=False, repr=False)

    def name(self, day: date) -> str | None:
        """The name of the holiday on a day; None when it is none."""
        if day in self.dates:
            return self.dates[day]
        return None if day in self.worked else self._public(day.year).get(day)

    def works(self, day: date) -> bool:
        """Whether it is a working day: of the week, and no holiday."""
        return day in self.worked or (day.weekday() in self.working_days and self.name(day) is None)

    def _public(self, year: int) -> dict[date, str]:
        if not self.country:
            return {}
        if year not in self._years:
            from holidays import country_holidays

            found = country_holidays(self.country, subdiv=self.region or None, years=year)
            self._years[year] = {day: name for day, name in found.items() if day.year == year}
        return self._years[year]


@dataclass(frozen=True)
class Kept(ByWallClock):
    """A schedule that keeps holidays: a time on one is left out, or moved to the working day after or before."""

    inner: ByWallClock
    rule: HolidayRule
    holidays: Holidays

    @property
    def each_hour(self) -> bool:
        """As the schedule's own."""
        return self.inner.each_hour

    def local(self, first: date, last: date) -> Iterator[datetime]:
        """Its times on the wall."""
        far = timedelta(days=0 if self.rule == "skip" else FAR)
        # What moves may pass what stays (a holiday on Saturday the Sunday after it): held until none can come before.
        held: list[datetime] = []
        last_given: datetime | None = None
        for wall in self.inner.local(first - far, last + far):
            certain = datetime.combine(wall.date(), time()) - (far if self.rule == "previous" else timedelta())
            while held and held[0] < certain:
                given = heapq.heappop(held)
                if given != last_given:
                    yield given
                last_given = given
            moved = self._moved(wall.date())
            if moved is not None and first <= moved <= last:
                heapq.heappush(held, datetime.combine(moved, wall.time()))
        yield from (wall for wall in sorted(set(held)) if wall != last_given)

    def _moved(self, day: date) -> date | None:
        if self.holidays.name(day) is None:
            return day
        if self.rule == "skip":
            return None
        step = timedelta(days=1 if self.rule == "next" else -1)
        for _ in range(FAR):
            day += step
            if self.holidays.works(day):
                return day
        return None


@dataclass(frozen=True)
class KeptElapsed:
    """As Kept, for what does not go by the wall clock: it can only be left out."""

    inner: Schedule
    holidays: Holidays

    def instants(self, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """The instants (UTC) after one, in order."""
        for instant in self.inner.instants(after, zone):
            if self.holidays.name(instant.astimezone(zone).date()) is None:
                yield instant


def keeping(schedule: Schedule, rule: HolidayRule, holidays: Holidays) -> Schedule:
    """The schedule with its rule for holidays. Raises ValueError when the two do not go together."""
    if isinstance(schedule, Nth) and schedule.working:
        schedule = replace(schedule, holidays=holidays)
    if rule == "run":
        return schedule
    if isinstance(schedule, ByWallClock):
        return Kept(schedule, rule, holidays)
    if rule != "skip":
        raise ValueError("skip or run, for an interval of passing time has no other day to move to")
    return KeptElapsed(schedule, holidays)
