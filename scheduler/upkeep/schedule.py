# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a job is due: weekdays, cron, or a recurrence rule with an offset, by the wall clock of a time zone. Pure.

A wall-clock time that a spring gap skips counts at the first instant after the gap; one that autumn brings twice counts
once, at its first coming. Only a cron line for every hour follows the hours themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from zoneinfo import ZoneInfo

HORIZON_YEARS = 12
"""How far the next time is looked for. 29 February is at most eight years away; what is farther is told as "never"."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}

FORMS = (
    '"Sun 03:00", "Mon-Fri 02:30", "daily 04:00", a cron line "0 3 * * 0", or '
    '{rrule: "FREQ=MONTHLY;BYDAY=2TU", offset_days: 3, at: "02:00"}'
)
"""What a schedule may look like, for error messages."""


class Schedule(Protocol):
    """A recurring time by the wall clock."""

    @property
    def each_hour(self) -> bool:
        """Whether it follows the hours themselves, and so comes twice in the hour that autumn brings twice."""
        ...

    def local(self, first: date, last: date) -> Iterator[datetime]:
        """Its times without a zone, from the first to the last day, in order."""


def parse(given: str | Mapping[str, object]) -> Schedule:
    """A schedule from its configuration. Raises ValueError whose text says what was expected."""
    if not isinstance(given, str):
        return _Recurrence.parse(given)
    text = given.strip()
    if text.lower() in _MACROS or len(text.split()) == 5:
        return _Cron.parse(_MACROS.get(text.lower(), text))
    words = text.split()
    if len(words) != 2:
        raise ValueError(FORMS)
    days = range(7) if words[0].lower() in ("daily", "every") else weekdays(words[0])
    at = wall_time(words[1])
    return _Cron((at.minute,), (at.hour,), _full(1, 31), _full(1, 12), tuple(days), False, False)


def next_times(schedule: Schedule, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The instants at which a schedule is due after an instant, in order, in the zone; ends beyond the horizon."""
    start = after.astimezone(zone).date() - timedelta(days=1)
    last_seen = after
    for wall in schedule.local(start, start + timedelta(days=366 * HORIZON_YEARS)):
        for instant in sorted(_instants(wall, zone, schedule.each_hour)):
            if instant > last_seen.astimezone(UTC):
                last_seen = instant
                yield instant.astimezone(zone)


def _instants(wall: datetime, zone: ZoneInfo, both: bool) -> set[datetime]:
    first = wall.replace(tzinfo=zone)
    exists = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall
    if not exists:
        # With fold 0 the offset from before the gap holds: the instant lies as far behind the gap as this time in it.
        return set() if both else {_end_of_gap(first.astimezone(UTC), zone)}
    instants = {first.astimezone(UTC)}
    return instants | {first.replace(fold=1).astimezone(UTC)} if both else instants


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


@dataclass(frozen=True)
class _Cron:
    """Minutes, hours, days of the month, months, weekdays (0 Monday); the two flags say which of the days restrict."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    month_days: tuple[int, ...]
    months: tuple[int, ...]
    week_days: tuple[int, ...]
    either_day: bool
    """Both kinds of days are restricted: cron then takes a day that fits one of them."""
    each_hour: bool

    @classmethod
    def parse(cls, text: str) -> _Cron:
        minute, hour, month_day, month, week_day = text.lower().split()
        cron_days = _field(week_day, "the day of the week", 0, 7, ("sun", *DAYS[:6]))
        made = cls(
            _field(minute, "the minute", 0, 59),
            _field(hour, "the hour", 0, 23),
            _field(month_day, "the day of the month", 1, 31),
            _field(month, "the month", 1, 12, _MONTHS, 1),
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

    def _fits(self, day: date) -> bool:
        by_month, by_week = day.day in self.month_days, day.weekday() in self.week_days
        return day.month in self.months and (by_month or by_week if self.either_day else by_month and by_week)

    def local(self, first: date, last: date) -> Iterator[datetime]:
        day = first
        while day <= last:
            if self._fits(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        yield datetime.combine(day, time(hour, minute))
            day += timedelta(days=1)


@dataclass(frozen=True)
class _Recurrence:
    """RFC 5545's recurrence rule for the day, moved by some days, at a time."""

    rule: str
    start: date
    offset: timedelta
    at: time
    each_hour: bool = False

    @classmethod
    def parse(cls, given: Mapping[str, object]) -> _Recurrence:
        from dateutil.rrule import rrulestr

        known = ("rrule", "offset_days", "at", "start")
        unknown = [key for key in given if key not in known]
        rule, offset, at, start = (given.get(key) for key in known)
        if unknown or not isinstance(rule, str):
            raise ValueError("the keys rrule and at, and if need be offset_days and start" + _but(unknown))
        if not isinstance(at, str):
            raise ValueError('at: the time of day, as "02:00"')
        if offset is not None and (isinstance(offset, bool) or not isinstance(offset, int) or abs(offset) > 366):
            raise ValueError("offset_days: a whole number of days, at most 366")
        if isinstance(start, str):
            start = date.fromisoformat(start)
        if start is not None and type(start) is not date:
            raise ValueError("start: a date, as 2026-01-31")
        rule = "".join(rule.upper().split()).removeprefix("RRULE:")
        parts = dict(part.partition("=")[::2] for part in rule.split(";"))
        if parts.get("FREQ") not in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
            raise ValueError("FREQ=DAILY, WEEKLY, MONTHLY or YEARLY in rrule")
        for key in ("BYHOUR", "BYMINUTE", "BYSECOND", "DTSTART"):
            if key in rule:
                raise ValueError(f"an rrule without {key}: the time of day is said by at, the first day by start")
        days_named = any(key in parts for key in ("BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"))
        counted = "COUNT" in parts or parts.get("INTERVAL", "1") != "1"
        if start is None and (counted or not (days_named or parts["FREQ"] == "DAILY")):
            raise ValueError("start (a date from which the rule counts), for the rule does not name its days by itself")
        made = cls(rule, start or date(2000, 1, 1), timedelta(days=offset or 0), wall_time(at))
        try:
            comes = next(iter(rrulestr(rule, dtstart=datetime.combine(made.start, made.at))), None)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"a recurrence rule as RFC 5545 has it ({error})") from error
        if comes is None:
            raise ValueError(f"a recurrence rule that comes at all, not {rule!r}")
        return made

    def local(self, first: date, last: date) -> Iterator[datetime]:
        from dateutil.rrule import rrule, rrulestr

        begin = datetime.combine(self.start, self.at)
        low, high = (datetime.combine(day, time()) - self.offset for day in (first, last))
        rule = rrulestr(self.rule, dtstart=begin)
        assert isinstance(rule, rrule)  # one rule, as parse() has seen to
        for wall in rule.xafter(low, inc=True):
            if wall > high:
                return
            yield wall + self.offset


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


def _but(unknown: list[str]) -> str:
    return f"; unknown: {', '.join(map(str, unknown))}" if unknown else ""
