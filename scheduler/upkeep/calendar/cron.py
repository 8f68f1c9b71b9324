# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cron lines. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from .clock import DAYS, MONTHS, ByWallClock

if TYPE_CHECKING:
    from collections.abc import Iterator

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


@dataclass(frozen=True)
class Cron(ByWallClock):
    """Minutes, hours, days of the month, months, weekdays (0 Monday); the two flags say which of the days restrict."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    month_days: tuple[int, ...]
    months: tuple[int, ...]
    week_days: tuple[int, ...]
    either_day: bool
    """Both kinds of days are restricted: cron then takes a day that fits one of them."""
    every_hour: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Five fields as cron has them. Raises ValueError."""
        minute, hour, month_day, month, week_day = text.lower().split()
        cron_days = _field(week_day, "the day of the week", 0, 7, ("sun", *DAYS[:6]))
        made = cls(
            _field(minute, "the minute", 0, 59),
            _field(hour, "the hour", 0, 23),
            _field(month_day, "the day of the month", 1, 31),
            _field(month, "the month", 1, 12, MONTHS, 1),
            tuple(sorted({(day - 1) % 7 for day in cron_days})),
            not month_day.startswith("*") and not week_day.startswith("*"),
            hour.startswith("*"),
        )
        if not made.either_day and not any(
            day <= (29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31)
            for month in made.months
            for day in made.month_days
        ):
            raise ValueError(f"a day that exists in its month; {text!r} never comes")
        return made

    @classmethod
    def on_weekdays(cls, days: tuple[int, ...], *at: time) -> Cron:
        """At times of the day (of one minute of the hour, when there are several) on days of the week."""
        minutes, hours = {one.minute for one in at}, {one.hour for one in at}
        return cls(tuple(sorted(minutes)), tuple(sorted(hours)), _full(1, 31), _full(1, 12), tuple(days), False, False)

    @property
    def each_hour(self) -> bool:
        """Whether its hours are not restricted."""
        return self.every_hour

    def _fits(self, day: date) -> bool:
        by_month, by_week = day.day in self.month_days, day.weekday() in self.week_days
        return day.month in self.months and (by_month or by_week if self.either_day else by_month and by_week)

    def local(self, first: date, last: date) -> Iterator[datetime]:
        """Its times on the wall."""
        day = first
        while day <= last:
            if self._fits(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        yield datetime.combine(day, time(hour, minute))
            day += timedelta(days=1)


def _field(text: str, name: str, low: int, high: int, names: tuple[str, ...] = (), base: int = 0) -> tuple[int, ...]:
    """One field of a cron line as its values."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\*|[a-z0-9]+(?:-[a-z0-9]+)?)(?:/(\d+))?", part)
        if not match or match[2] == "0":
            raise ValueError(f"{name} of a cron line: {low}-{high}, *, lists, ranges and steps (*/5), not {part!r}")
        if match[1] == "*":
            first, last = low, high
        else:
            ends = [_value(word, names, base) for word in match[1].split("-")]
            first = ends[0]
            last = ends[-1] if len(ends) == 2 or not match[2] else high
        if not (low <= first <= last <= high):
            raise ValueError(f"{name} of a cron line within {low}-{high}, not {part!r}")
        found.update(range(first, last + 1, int(match[2] or 1)))
    return tuple(sorted(found))


def _value(word: str, names: tuple[str, ...], base: int) -> int:
    return int(word) if word.isdigit() else names.index(word) + base if word in names else -1


def _full(low: int, high: int) -> tuple[int, ...]:
    return tuple(range(low, high + 1))
