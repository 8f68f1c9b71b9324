# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules in plain words: "2nd Tue + 3d 02:00", "quarterly last Sun 04:00", "every 6h". Pure.

An interval that divides the day ("every 6h") is by the wall clock, from midnight or from the time that it names: at
the same hours on every day of the year. Any other one ("every 7h from 2026-01-01 00:00") is time that really passes,
counted from its beginning, so by the wall clock it moves by an hour when clocks are changed. Whole days ("every 3d
02:00 from 2026-01-04") are days of the calendar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from .clock import HORIZON_YEARS, MONTHS, ByWallClock, instants, wall_time, weekdays
from .cron import Cron

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

    from .holidays import Holidays

DAY_MINUTES = 24 * 60
_PERIODS = {"monthly": 1, "quarterly": 3, "yearly": 12}
_NUMBERS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1}
_ORDINAL = r"(?:\d{1,3}(?:st|nd|rd|th)|first|second|third|fourth|fifth|last)"
_DAY_OF = re.compile(
    rf"(?:(?P<period>monthly|quarterly|yearly|[a-z]{{3,9}}(?:,[a-z]{{3,9}})*) )?"
    rf"(?P<which>{_ORDINAL}(?:,{_ORDINAL})*)(?: (?P<what>working day|day|[a-z]{{3,9}}(?:[,-][a-z]{{3,9}})*))?"
    r"(?: ?(?P<sign>[+-]) ?(?P<offset>\d{1,3}) ?d(?:ays?)?)? (?P<at>\d{1,2}:\d{2})"
)
_EVERY = re.compile(
    r"every (\d{1,5}) ?(m|min|h|d|w)(?: (\d{1,2}:\d{2}))?(?: from (\d{4}-\d{2}-\d{2}))?(?: ?(\d{1,2}:\d{2}))?"
)


@dataclass(frozen=True)
class Nth(ByWallClock):
    """Some of the days that fit, by their place in a month, a quarter or a year; moved by some days."""

    months: int
    """Of the period: 1, 3 or 12, counted from January."""
    in_months: tuple[int, ...]
    """In which months a period may begin; all of them: (1, …, 12) for months."""
    which: tuple[int, ...]
    """Places from 1; -1 is the last."""
    days: tuple[int, ...] | None
    """Weekdays that are counted, 0 Monday; None: all days, or working days."""
    working: bool
    offset: timedelta
    at: time
    holidays: Holidays | None = None
    """For working days; None: Monday to Friday."""

    def _fits(self, day: date) -> bool:
        if self.working:
            return self.holidays.works(day) if self.holidays else day.weekday() < 5
        return self.days is None or day.weekday() in self.days

    def local(self, first: date, last: date) -> Iterator[datetime]:
        """Its times on the wall."""
        low, high = first - self.offset, last - self.offset
        year, month = low.year, (low.month - 1) // self.months * self.months + 1
        while date(year, month, 1) <= high:
            following = date(year + (month + self.months > 12), (month + self.months - 1) % 12 + 1, 1)
            if month in self.in_months:
                span = range(date(year, month, 1).toordinal(), following.toordinal())
                fitting = [day for day in map(date.fromordinal, span) if self._fits(day)]
                places = {place - 1 if place > 0 else len(fitting) + place for place in self.which}
                for place in sorted(places):
                    if 0 <= place < len(fitting) and low <= fitting[place] <= high:
                        yield datetime.combine(fitting[place], self.at) + self.offset
            year, month = following.year, following.month


@dataclass(frozen=True)
class EveryDays(ByWallClock):
    """Every so many days of the calendar, counted from one."""

    step: int
    start: date
    at: time

    def local(self, first: date, last: date) -> Iterator[datetime]:
        """Its times on the wall."""
        ahead = max(0, -(-(first - self.start).days // self.step))
        day = self.start + timedelta(days=ahead * self.step)
        while day <= last:
            yield datetime.combine(day, self.at)
            day += timedelta(days=self.step)


@dataclass(frozen=True)
class AtTimes(ByWallClock):
    """At some times of every day, in order."""

    times: tuple[time, ...]

    def local(self, first: date, last: date) -> Iterator[datetime]:
        """Its times on the wall."""
        for day in map(date.fromordinal, range(first.toordinal(), last.toordinal() + 1)):
            for at in self.times:
                yield datetime.combine(day, at)


@dataclass(frozen=True)
class Elapsed:
    """Every so many minutes that really pass, counted from a time on the wall."""

    minutes: int
    start: datetime

    def instants(self, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """The instants (UTC) after one, in order; ends beyond the horizon."""
        begin, step = instants(self.start, zone)[0], timedelta(minutes=self.minutes)
        after = after.astimezone(UTC)
        at = begin if begin > after else begin + ((after - begin) // step + 1) * step
        end = after + timedelta(days=366 * HORIZON_YEARS)
        while at <= end:
            yield at
            at += step


def parse(text: str) -> Nth | EveryDays | AtTimes | Elapsed | Cron | None:
    """A schedule in words; None when these are not such words. Raises ValueError when they are, and wrong."""
    words = " ".join(text.lower().split())
    if words.startswith("every ") and words.split()[1][:1].isdigit():
        return _every(words, text)
    alone = re.fullmatch(r"(monthly|quarterly|yearly) (\d{1,2}:\d{2})", words)
    match = _DAY_OF.fullmatch(f"{alone[1]} 1st {alone[2]}" if alone else words)
    return _nth(match, text) if match else None


def _nth(match: re.Match[str], text: str) -> Nth:
    period, what = match["period"] or "monthly", match["what"] or "day"
    months = _PERIODS.get(period, 1)
    beginnings = tuple(range(1, 13, months))
    if period not in _PERIODS:
        names = [name[:3] for name in period.split(",")]
        if any(name not in MONTHS for name in names):
            raise ValueError(f"monthly, quarterly, yearly or months as Mar,Sep, not {period!r}")
        beginnings = tuple(sorted({MONTHS.index(name) + 1 for name in names}))
    which = tuple(_NUMBERS.get(word) or int(re.sub(r"\D", "", word)) for word in match["which"].split(","))
    days = None if what in ("day", "working day") else weekdays(what)
    longest = {1: 31, 3: 92, 12: 366}[months] if days is None else {1: 5, 3: 14, 12: 53}[months] * len(days)
    if any(place == 0 or place > longest for place in which):
        raise ValueError(f"a day that exists; {text!r} never comes")
    offset = timedelta(days=int(f"{match['sign']}{match['offset']}") if match["offset"] else 0)
    return Nth(months, beginnings, which, days, what == "working day", offset, wall_time(match["at"]))


def _every(words: str, text: str) -> Cron | EveryDays | AtTimes | Elapsed:
    match = _EVERY.fullmatch(words)
    if not match or not int(match[1]):
        raise ValueError(
            f'an interval, as "every 6h", "every 15m", "every 7h from 2026-01-01 00:00" or '
            f'"every 3d 02:00 from 2026-01-04", not {text!r}'
        )
    count, unit = int(match[1]), match[2]
    at = wall_time(match[3] or match[5] or "00:00")
    start = date.fromisoformat(match[4]) if match[4] else None
    if unit in ("d", "w"):
        step = count * (7 if unit == "w" else 1)
        if step > 366:
            raise ValueError(f"an interval of at most a year, not {text!r}")
        if start is None and step > 1:
            raise ValueError(
                f'a day from which is counted, as "every {count}{unit} 02:00 from 2026-01-04", in {text!r}'
            )
        return EveryDays(step, start or date(2000, 1, 1), at)
    minutes = count * (60 if unit == "h" else 1)
    if minutes > 366 * DAY_MINUTES:
        raise ValueError(f"an interval of at most a year, not {text!r}")
    if start is not None:
        return Elapsed(minutes, datetime.combine(start, at))
    if DAY_MINUTES % minutes:
        raise ValueError(
            f"an interval that divides the day (5m, 6h…), or a beginning from which it is counted, "
            f'as "every {count}{unit} from 2026-01-01 00:00", not {text!r}'
        )
    return _around_the_clock(minutes, at)


def _around_the_clock(minutes: int, at: time) -> Cron | AtTimes:
    """An interval that divides the day, from a time of day on."""
    places = [(at.hour * 60 + at.minute + step) % DAY_MINUTES for step in range(0, DAY_MINUTES, minutes)]
    full = tuple(range(24))
    hours = tuple(sorted({place // 60 for place in places}))
    marks = tuple(sorted({place % 60 for place in places}))
    if len(hours) * len(marks) != len(places):  # as 90 minutes
        return AtTimes(tuple(time(place // 60, place % 60) for place in sorted(places)))
    # What comes at least hourly follows the hours themselves, as cron does.
    return Cron(marks, hours, tuple(range(1, 32)), tuple(range(1, 13)), tuple(range(7)), False, hours == full)
