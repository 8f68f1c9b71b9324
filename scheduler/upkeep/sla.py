# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a ticket may take: deadlines by priority. Pure: no store, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .store.model import Clock

MINUTE = 60.0
HOUR = 3600.0

WITHIN = "within"
DUE_SOON = "due soon"
BREACHED = "breached"


@dataclass(frozen=True)
class Target:
    """What is promised for one priority."""

    react: float
    """Seconds until a person acknowledges."""
    solve: float
    """Seconds until it is resolved."""
    business_hours: bool
    """Whether only business hours count, or every hour."""


TARGETS: Mapping[str, Target] = {
    "P1": Target(15 * MINUTE, 1 * HOUR, business_hours=False),
    "P2": Target(15 * MINUTE, 4 * HOUR, business_hours=False),
    "P3": Target(15 * MINUTE, 8 * HOUR, business_hours=True),
}
"""The mission's table of priorities."""


@dataclass(frozen=True)
class BusinessHours:
    """When people work: days (0 Monday … 6 Sunday) from start to end, in a time zone (IANA name).

    Raises ValueError when nobody ever works, or the day ends before it starts (a night shift is not known here).
    """

    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    start: time = time(9)
    end: time = time(18)
    """The end of the day; time(0) means midnight at its end."""
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if not self.days or not set(self.days) <= set(range(7)):
            raise ValueError(f"days: expected at least one of 0 (Monday) to 6 (Sunday), found {self.days!r}")
        if self.end != time(0) and self.end <= self.start:
            raise ValueError(f"end: expected a time after start ({self.start:%H:%M}), found {self.end:%H:%M}")


@dataclass(frozen=True)
class Settings:
    """The SLA as configured."""

    targets: Mapping[str, Target] = field(default_factory=lambda: TARGETS)
    hours: BusinessHours = BusinessHours()
    due_soon: float = 0.75
    """The part of the promised time after which it is due soon."""


@dataclass(frozen=True)
class Deadline:
    """One promise. Times in seconds since the epoch."""

    due: float
    done: float | None
    """When it was kept or missed; None while it runs."""
    state: str
    """within | due soon | breached; for one that is done: within | breached."""
    remaining: float
    """Seconds left (of business hours, where only these count), negative when late; as of ``done`` when it is done."""


@dataclass(frozen=True)
class Deadlines:
    """Both promises of a ticket."""

    react: Deadline
    solve: Deadline


def deadlines(
    clocks: Sequence[Clock],
    acknowledged: float | None,
    resolved: float | None,
    now: float,
    settings: Settings = Settings(),
) -> Deadlines:
    """Where a ticket stands: ``deadlines(ticket.clocks, ticket.acknowledged, ticket.resolved, now, settings)``.

    ``clocks`` is not empty. A ticket whose priority rose has several clocks, and the earliest deadline counts: what was
    promised before is not taken back by becoming more urgent. Who resolves without acknowledging has reacted.
    """
    reacted = acknowledged if acknowledged is not None else resolved
    return Deadlines(
        react=_deadline([(clock, settings.targets[clock.priority].react) for clock in clocks], reacted, now, settings),
        solve=_deadline([(clock, settings.targets[clock.priority].solve) for clock in clocks], resolved, now, settings),
    )


def _deadline(promises: list[tuple[Clock, float]], done: float | None, now: float, settings: Settings) -> Deadline:
    if done is not None:
        # A priority that rose after the promise was kept does not ask for it again.
        promises = [promise for promise in promises if promise[0].since <= done] or promises[:1]

    def due_of(promise: tuple[Clock, float]) -> float:
        clock, seconds = promise
        if settings.targets[clock.priority].business_hours:
            return after(clock.since, seconds, settings.hours)
        return clock.since + seconds

    clock, seconds = min(promises, key=due_of)
    due = due_of((clock, seconds))
    at = now if done is None else done
    if settings.targets[clock.priority].business_hours:
        remaining = counted(at, due, settings.hours) if at <= due else -counted(due, at, settings.hours)
    else:
        remaining = due - at
    if at > due:
        state = BREACHED
    elif done is None and remaining <= seconds * (1 - settings.due_soon):
        state = DUE_SOON
    else:
        state = WITHIN
    return Deadline(due=due, done=done, state=state, remaining=remaining)


def after(since: float, seconds: float, hours: BusinessHours) -> float:
    """The moment at which ``seconds`` of business hours have passed since ``since`` (seconds since the epoch)."""
    day = _day(since, hours)
    while True:
        window = _window(hours, day)
        if window is not None and window[1] > since:
            start = max(window[0], since)
            if seconds <= window[1] - start:
                return start + seconds
            seconds -= window[1] - start
        day += 1


def counted(begin: float, end: float, hours: BusinessHours) -> float:
    """Seconds of business hours between two moments (seconds since the epoch), 0 when they are the wrong way round."""
    total = 0.0
    for day in range(_day(begin, hours), _day(end, hours) + 1):
        window = _window(hours, day)
        if window is not None:
            total += max(0.0, min(end, window[1]) - max(begin, window[0]))
    return total


def _day(moment: float, hours: BusinessHours) -> int:
    """The day (its ordinal) on which a moment falls where people work."""
    return datetime.fromtimestamp(moment, ZoneInfo(hours.time_zone)).toordinal()


@lru_cache(maxsize=4096)
def _window(hours: BusinessHours, day: int) -> tuple[float, float] | None:
    """Begin and end of a day's business hours in seconds since the epoch, None on a day off.

    Through the zone's own rules for that day, so a day on which the clocks change is an hour longer or shorter.
    """
    date = datetime.fromordinal(day)
    if date.weekday() not in hours.days:
        return None
    zone = ZoneInfo(hours.time_zone)
    end_date = date + timedelta(days=1) if hours.end == time(0) else date
    begin = datetime.combine(date, hours.start, zone).timestamp()
    return begin, datetime.combine(end_date, hours.end, zone).timestamp()
