# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""To whom something is told, and when. Pure: no store, no process, no clock; times are seconds since the epoch (float).

The first route that matches holds, unless it says that those behind it are looked at as well. Of two routes to one
channel the one that tells at once counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from .. import sla
from .settings import ALARMS, GATHER, REPEAT, SLA, Language, Route, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..sla import BusinessHours
    from .settings import How, Settings


@dataclass(frozen=True)
class Subject:
    """What a route can look at of a ticket."""

    priority: str
    checks: frozenset[str]
    """Of its cause, and of the entries that stand."""
    hosts: frozenset[str]
    groups: frozenset[str] | None = frozenset()
    """Of the inventory, of its hosts; None: the inventory could not be read."""


@dataclass(frozen=True)
class Order:
    """Tell it in this channel."""

    channel: str
    how: How
    """now | digest."""
    route: str
    language: Language
    repeat_every: float | None = None


@dataclass(frozen=True)
class Look:
    """Why a route took something, or not."""

    route: Route
    why_not: str
    """ "": it matches."""
    reached: bool = True
    """False: an earlier route had it already."""


def is_working_time(at: float, hours: BusinessHours) -> bool:
    """Whether people work at a moment."""
    return sla.after(at, 0.0, hours) <= at


def look(settings: Settings, hours: BusinessHours, subject: Subject, event: str, now: float) -> list[Look]:
    """Every route in its order, with why it does not take this."""
    looks = []
    reached = True
    for route in settings.ways():
        why_not = _why_not(route, hours, subject, event, now)
        looks.append(Look(route, why_not, reached))
        reached = reached and (bool(why_not) or route.goes_on)
    return looks


def orders(
    settings: Settings, hours: BusinessHours, subject: Subject, event: str, now: float, to: Sequence[str] = ()
) -> list[Order]:
    """Where this is told, and how. ``event``: one of EVENTS, or REPEAT (as the alarm that it repeats).

    ``to``: channels, or routes, that a step of the SLA names; they hold in place of the search.
    """
    named = [Route(f"the SLA's step to {name}", (name,)) for name in to if name in settings.channels]
    named += [replace(route, how="now") for route in settings.ways() if route.name in to]
    if named:  # else what it names is not there (any more): better by the ordinary way than not at all
        return _to_channels(settings, named)
    taken = [look.route for look in look(settings, hours, subject, event, now) if look.reached and not look.why_not]
    return _to_channels(settings, taken)


def _to_channels(settings: Settings, routes: Iterable[Route]) -> list[Order]:
    found: dict[str, Order] = {}
    for route in routes:
        if route.how == "never":
            continue
        for channel in route.to:
            if channel not in found or (found[channel].how != "now" and route.how == "now"):
                language = settings.language_of(route, channel)
                found[channel] = Order(channel, route.how, route.name, language, route.repeat_every)
    return list(found.values())


def _why_not(route: Route, hours: BusinessHours, subject: Subject, event: str, now: float) -> str:
    """Why a route does not take it, "" when it does."""
    if route.priority and subject.priority not in route.priority:
        return f"priority is {subject.priority}, not {' or '.join(route.priority)}"
    events = ALARMS if event == REPEAT else (event,)
    if not set(events) & set(route.event):
        return f"event is {event}, not {' or '.join(route.event)}"
    areas = frozenset(check.partition(".")[0] for check in subject.checks)
    for name, patterns, values in (
        ("area", route.area, areas),
        ("check", route.check, subject.checks),
        ("host", route.host, subject.hosts),
        ("group", route.group, subject.groups),
    ):
        # With an inventory that cannot be read it is not known: better one too many told than one too few.
        if patterns and values is not None and not _any_matches(values, patterns):
            return f"{name} is {_some(values)}, not {' or '.join(patterns)}"
    if route.time and not any(_is_time(span, hours, now) for span in route.time):
        return "it holds at another time"
    return ""


def _any_matches(values: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(value, pattern) for value in values for pattern in patterns)


def _some(values: Iterable[str]) -> str:
    named = sorted(values)
    return (", ".join(named[:3]) or "none") + (f" and {len(named) - 3} more" if len(named) > 3 else "")


def _is_time(span: str | Span, hours: BusinessHours, now: float) -> bool:
    if isinstance(span, Span):
        return span.covers(now, ZoneInfo(hours.time_zone))
    return is_working_time(now, hours) == (span == "working_hours")


def due(settings: Settings, hours: BusinessHours, how: How, priority: str, event: str, now: float) -> float:
    """When it is to be told: now, at the end of the quiet hours, or with the next digest."""
    if how == "digest":
        return next_digest(settings, hours, now)
    quiet = settings.quiet
    if quiet is not None and priority not in quiet.but and event != SLA:
        return quiet.span.over(now, ZoneInfo(hours.time_zone))
    return now


def next_digest(settings: Settings, hours: BusinessHours, now: float) -> float:
    """When the next digest goes out: at its times on working days, or as soon as people work."""
    zone = ZoneInfo(hours.time_zone)
    day = datetime.fromtimestamp(now, zone).date()
    for number in range(400 if settings.digest_at else 0):
        for clock in sorted(settings.digest_at):
            moment = datetime.combine(day + timedelta(days=number), clock, zone).timestamp()
            if moment > now and is_working_time(moment, hours):
                return moment
    # No times are given, or none is ever in working hours.
    return sla.after(now + GATHER if is_working_time(now, hours) else now, 0.0, hours)
