# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a ticket may take: deadlines by priority, in business hours, with pauses. Pure: no store, no clock.

- P1 and P2 count every hour, P3 only business hours; the configuration may say otherwise.
- While a ticket waits for somebody else, both clocks stand still. A pause that lasts is one until now: what is left
  does not grow less, and the moment at which it is due moves on.
- A priority that rises brings the deadline nearer and never moves it away.
- A ticket that is reopened has new clocks; how it went before is kept in its cycles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from .store.model import Clock, Cycle, Pause, Ticket

MINUTE = 60.0
HOUR = 3600.0
WINDOWS = 4096
"""Days whose hours are kept in memory: eleven years."""

FAR = 4000
"""Days without work after which it is believed that none comes: a list of holidays may be wrong."""

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

    An end before the start is on the next day: a night shift, which belongs to the day on which it begins. Raises
    ValueError when nobody ever works.
    """

    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    start: time = time(9)
    end: time = time(18)
    """The end of the day; time(0) means midnight at its end."""
    time_zone: str = "UTC"
    holidays: Container[date] = frozenset()
    """Days off, whatever their weekday."""
    worked: Container[date] = frozenset()
    """Days on which people work although their weekday is none of ``days``, or a holiday: they are moved there."""
    _windows: dict[int, tuple[float, float] | None] = field(
        default_factory=dict, init=False, repr=False, compare=False, hash=False
    )

    def __post_init__(self) -> None:
        if not self.days or not set(self.days) <= set(range(7)):
            raise ValueError(f"days: expected at least one of 0 (Monday) to 6 (Sunday), found {self.days!r}")
        if self.end == self.start != time(0):
            raise ValueError(f"end: expected another time than start ({self.start:%H:%M})")

    def window(self, day: int) -> tuple[float, float] | None:
        """Begin and end of a day's work (``day`` is its ordinal) in seconds since the epoch, None on a day off.

        Through the zone's own rules for that day, so a day on which the clocks change is an hour longer or shorter. A
        time that a spring gap skips is the end of the gap; one that autumn brings twice is its first coming.
        """
        if day not in self._windows:
            if len(self._windows) > WINDOWS:
                self._windows.clear()
            self._windows[day] = self._window(date.fromordinal(day))
        return self._windows[day]

    def _window(self, day: date) -> tuple[float, float] | None:
        if day not in self.worked and (day.weekday() not in self.days or day in self.holidays):
            return None
        zone = ZoneInfo(self.time_zone)
        end = day if self.start < self.end else day + timedelta(days=1)
        begins, ends = (_instant(datetime.combine(*at), zone) for at in ((day, self.start), (end, self.end)))
        return (begins, ends) if begins < ends else None  # all of it fell into the gap


@dataclass(frozen=True)
class Step:
    """A step of the escalation of what is late."""

    after: float
    """Seconds late (of business hours, where only these count); 0: as soon as it is."""
    to: tuple[str, ...] = ()
    """Channels that are told, whatever the routes say; empty: as the routes say."""
    priorities: tuple[str, ...] = ("P1", "P2", "P3")
    clocks: tuple[str, ...] = ("react", "solve")


@dataclass(frozen=True)
class Settings:
    """The SLA as configured."""

    targets: Mapping[str, Target] = field(default_factory=lambda: TARGETS)
    hours: BusinessHours = BusinessHours()
    due_soon: float = 0.75
    """The part of the promised time after which it is due soon."""
    warn_at: tuple[float, ...] | None = None
    """Parts of the promised time after which a warning is written into the ticket; None: as due_soon."""
    escalate: tuple[Step, ...] = (Step(0.0), Step(1 * HOUR), Step(4 * HOUR))
    """What is written, and to whom, once it is late."""


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
    promised: float = 0.0
    """Seconds that were promised; less ``remaining``: those that have been used."""
    priority: str = ""
    """The priority whose promise it is."""


@dataclass(frozen=True)
class Deadlines:
    """Both promises of a ticket."""

    react: Deadline
    solve: Deadline


def of_ticket(ticket: Ticket | Cycle, now: float, settings: Settings = Settings()) -> Deadlines:
    """Where a ticket stands, or stood in one of its cycles."""
    return deadlines(ticket.clocks, ticket.acknowledged, ticket.resolved, now, settings, ticket.pauses)


def deadlines(
    clocks: Sequence[Clock],
    acknowledged: float | None,
    resolved: float | None,
    now: float,
    settings: Settings = Settings(),
    pauses: Sequence[Pause] = (),
) -> Deadlines:
    """Where a ticket stands, by its clocks and pauses; see of_ticket().

    ``clocks`` is not empty. A ticket whose priority rose has several clocks, and the earliest deadline counts: what was
    promised before is not taken back by becoming more urgent. Who resolves without acknowledging has reacted.
    """
    reacted = acknowledged if acknowledged is not None else resolved
    targets = settings.targets
    return Deadlines(
        react=_deadline([(clock, targets[clock.priority].react) for clock in clocks], reacted, now, settings, pauses),
        solve=_deadline([(clock, targets[clock.priority].solve) for clock in clocks], resolved, now, settings, pauses),
    )


def _deadline(
    promises: list[tuple[Clock, float]], done: float | None, now: float, settings: Settings, pauses: Sequence[Pause]
) -> Deadline:
    at = now if done is None else done
    if done is not None:
        # A priority that rose after the promise was kept does not ask for it again.
        promises = [promise for promise in promises if promise[0].since <= done] or promises[:1]
    stops = _stops(pauses, at)

    def hours_of(clock: Clock) -> BusinessHours | None:
        return settings.hours if settings.targets[clock.priority].business_hours else None

    def due_of(promise: tuple[Clock, float]) -> float:
        clock, seconds = promise
        return _after(clock.since, seconds, hours_of(clock), stops)

    clock, seconds = min(promises, key=due_of)
    due = due_of((clock, seconds))
    remaining = _counted(at, due, hours_of(clock), stops) - _counted(due, at, hours_of(clock), stops)
    if at > due:
        state = BREACHED
    elif done is None and remaining <= seconds * (1 - settings.due_soon):
        state = DUE_SOON
    else:
        state = WITHIN
    return Deadline(due, done, state, remaining, promised=seconds, priority=clock.priority)


def used(clock: Clock, pauses: Sequence[Pause], until: float, settings: Settings) -> float:
    """Seconds from a clock's beginning until a moment, as the clock of its priority counts them."""
    hours = settings.hours if settings.targets[clock.priority].business_hours else None
    return _counted(clock.since, until, hours, _stops(pauses, until))


def after(since: float, seconds: float, hours: BusinessHours, pauses: Sequence[Pause] = ()) -> float:
    """The moment at which ``seconds`` of business hours have passed since ``since`` (seconds since the epoch).

    A pause without an end counts for nothing here: nobody knows when it ends.
    """
    return _after(since, seconds, hours, _stops([pause for pause in pauses if pause.until is not None], None))


def counted(begin: float, end: float, hours: BusinessHours, pauses: Sequence[Pause] = ()) -> float:
    """Seconds of business hours between two moments (seconds since the epoch), 0 when they are the wrong way round."""
    return _counted(begin, end, hours, _stops(pauses, end))


Span = tuple[float, float]
"""From and until, in seconds since the epoch."""


def _stops(pauses: Iterable[Pause], at: float | None) -> list[Span]:
    """Pauses as spans in order, none touching another, up to a moment: what comes after it does not count."""
    spans = []
    for pause in pauses:
        ends = [moment for moment in (pause.until, at) if moment is not None]
        if ends and min(ends) > pause.since:
            spans.append((pause.since, min(ends)))
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _working(since: float, hours: BusinessHours | None) -> Iterator[Span]:
    """The spans in which the clock runs, from a moment on, without end."""
    if hours is None:
        yield since, float("inf")
        return
    day = datetime.fromtimestamp(since, ZoneInfo(hours.time_zone)).toordinal() - 1  # a night shift may last until now
    last = day + FAR
    while day < last:
        window = hours.window(day)
        if window is not None and window[1] > since:
            yield max(window[0], since), window[1]
            last = day + FAR
        day += 1


def _running(since: float, hours: BusinessHours | None, stops: Sequence[Span]) -> Iterator[Span]:
    """The same without the pauses."""
    for begin, end in _working(since, hours):
        start = begin
        for stop, go in stops:
            if stop >= end:
                break
            if go > start:
                if stop > start:
                    yield start, stop
                start = go
        if start < end:
            yield start, end


def _after(since: float, seconds: float, hours: BusinessHours | None, stops: Sequence[Span]) -> float:
    for begin, end in _running(since, hours, stops):
        if seconds <= end - begin:
            return begin + seconds
        seconds -= end - begin
    return since + FAR * 86400  # every day from here on is a holiday


def _counted(begin: float, end: float, hours: BusinessHours | None, stops: Sequence[Span]) -> float:
    total = 0.0
    if begin < end:
        for start, stop in _running(begin, hours, stops):
            if start >= end:
                break
            total += min(stop, end) - start
    return total


def _instant(wall: datetime, zone: ZoneInfo) -> float:
    """When the wall clock first shows a time, or first one later (in a spring gap), in seconds since the epoch."""
    first = wall.replace(tzinfo=zone)
    moment = first.timestamp()
    if datetime.fromtimestamp(moment, zone).replace(tzinfo=None) == wall:
        return moment
    # In a gap: with fold 1 the offset from behind it holds, and the instant lies before it; with fold 0 behind it.
    low, high = first.replace(fold=1).timestamp(), moment
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 0.5:
        middle = (low + high) / 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return float(round(high))
