# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section `notify` as the rest of Upkeep uses it. Imports nothing heavy: the configuration is read with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from ..secret import SecretPlace

How = Literal["now", "digest", "never"]
"""At once; collected, in working hours; not at all (which ends the search for a route)."""
Language = Literal["en", "ru"]

OPENED = "opened"
REOPENED = "reopened"
RAISED = "raised"
ADDED = "added"
RESOLVED = "resolved"
SLA = "sla"
REPEAT = "repeat"

ALARMS = (OPENED, REOPENED, RAISED, ADDED)
"""Events that say: here is a fault."""
BY_PEOPLE = (
    "acknowledged",
    "assigned",
    "comment",
    "waiting",
    "continued",
    "workaround",
    "root_cause",
    "prevention",
)
"""Events that say what somebody did: told only where a route names them."""
EVENTS = (*ALARMS, RESOLVED, SLA, *BY_PEOPLE)
USUAL_EVENTS = (OPENED, REOPENED, RAISED, RESOLVED, SLA)
"""Those of a route that names none: what comes, becomes worse and goes. More hosts in a known ticket are not news."""

GATHER = 600.0
"""Seconds that a digest waits for more within working hours: less than the 15 minutes of the reaction promised."""
REPEAT_EVERY = 900.0
"""Seconds between two calls for a P1 that nobody acknowledges."""


@dataclass(frozen=True)
class Rate:
    """So many messages in so many seconds."""

    count: int = 20
    period: float = 3600.0

    def __str__(self) -> str:
        units = {1.0: "s", 60.0: "m", 3600.0: "h", 86400.0: "d"}
        return f"{self.count}/{units.get(self.period, f'{self.period:.0f}s')}"


@dataclass(frozen=True)
class Channel:
    """Where messages go. Each of its URLs is delivered and retried by itself."""

    name: str
    urls: tuple[SecretPlace, ...]
    """Where its apprise URLs stand, which are secret."""
    rate: Rate = Rate()
    language: Language | None = None

    def queues(self) -> tuple[str, ...]:
        """The outbox's queues, one for each URL."""
        if len(self.urls) == 1:
            return (f"notify:{self.name}",)
        return tuple(f"notify:{self.name}/{number}" for number in range(1, len(self.urls) + 1))


@dataclass(frozen=True)
class Span:
    """A time of the day on some days (0 Monday … 6 Sunday), by the wall clock.

    An end that is not after the start is on the next day; the same time twice is the whole day.
    """

    start: time
    end: time
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)

    def covers(self, at: float, zone: ZoneInfo) -> bool:
        """Whether a moment (seconds since the epoch) lies in it."""
        local = datetime.fromtimestamp(at, zone)
        today, yesterday = local.weekday() in self.days, (local.weekday() - 1) % 7 in self.days
        clock = local.time()
        if self.start < self.end:
            return today and self.start <= clock < self.end
        return (today and clock >= self.start) or (yesterday and clock < self.end)

    def over(self, at: float, zone: ZoneInfo) -> float:
        """The first moment from ``at`` on that does not lie in it; ``at`` when there is none within ten days."""
        if not self.covers(at, zone):
            return at
        day = datetime.fromtimestamp(at, zone).date()
        for number in range(10):
            moment = datetime.combine(day + timedelta(days=number), self.end, zone).timestamp()
            if moment > at and not self.covers(moment, zone):
                return moment
        return at


@dataclass(frozen=True)
class Quiet:
    """When nobody is to be disturbed, but for some priorities."""

    span: Span
    but: tuple[str, ...] = ("P1",)


@dataclass(frozen=True)
class Route:
    """What goes where. Each property that is given must match; () matches all. Patterns are fnmatch's."""

    name: str
    to: tuple[str, ...]
    how: How = "now"
    priority: tuple[str, ...] = ()
    area: tuple[str, ...] = ()
    """The first part of a check's name."""
    check: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    """Groups of the inventory."""
    event: tuple[str, ...] = USUAL_EVENTS
    time: tuple[Literal["working_hours", "outside_working_hours"] | Span, ...] = ()
    """When it holds; any of them."""
    repeat_every: float | None = None
    """Seconds after which it is said again while nobody has acknowledged."""
    language: Language | None = None
    goes_on: bool = False
    """Whether the routes behind it are looked at as well."""


@dataclass(frozen=True)
class Heartbeat:
    """A URL that is called while all is well: who watches it notices when Upkeep is dead, or the weekly did not run."""

    url: SecretPlace
    every: float = 300.0
    """Seconds."""
    method: Literal["get", "post"] = "get"
    jobs: tuple[tuple[str, float], ...] = (("weekly", 8 * 86400.0),)
    """Jobs, and how old (seconds) the end of their last complete run may be."""


@dataclass(frozen=True)
class Settings:
    """The section `notify`."""

    channels: Mapping[str, Channel]
    routes: tuple[Route, ...] = ()
    """In order; the first that matches holds. None given: the built-in ones, see :meth:`ways`."""
    quiet: Quiet | None = None
    digest_at: tuple[time, ...] = ()
    """Times of the day at which a digest goes out on working days; none: as soon as working hours begin, and within
    them after GATHER seconds."""
    language: Language = "en"
    templates: Path | None = None
    heartbeat: Heartbeat | None = None

    def ways(self) -> tuple[Route, ...]:
        """The routes that hold. A P1 that none takes goes to every channel: silence must be meant (``never``)."""
        everybody = tuple(self.channels)
        first = Route("built-in P1", everybody, "now", priority=("P1",), repeat_every=REPEAT_EVERY)
        if self.routes:
            return (*self.routes, first)
        return (
            first,
            Route("built-in P2", everybody, "now", priority=("P2",)),
            Route("built-in P3", everybody, "digest"),
        )

    def language_of(self, route: Route, channel: str) -> Language:
        """The language of a message."""
        return route.language or self.channels[channel].language or self.language
