# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calendar's part of upkeep.yml: its models, and what is made of them. Imported by config_file.py only."""

from __future__ import annotations

import difflib
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ..config_types import Days, Duration, Strict, Texts
from ..durations import shown
from .clock import instants
from .decide import LISTED, After, CatchUp
from .freezes import Freeze
from .holidays import HolidayRule, Holidays, keeping
from .windows import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from zoneinfo import ZoneInfo

    from ..config import Job

Wrong = tuple[str, str, str, str, str]
"""Key (of the block), what, expected, found, remedy ("": correct it)."""


def _windows(value: object) -> list[tuple[Window, str]]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError('a window, as "22:00-06:00" or "Sat,Sun 02:00-05:00", or a list of them')
    return [(Window.parse(text), text) for text in texts]


def _afters(value: object) -> list[object]:
    values = value if isinstance(value, list) else [value]
    return [{"job": item} if isinstance(item, str) else item for item in values]


def _day(value: object) -> date:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    if type(value) is not date:
        raise ValueError("a date, as 2026-12-24")
    return value


def _days(value: object) -> dict[date, str]:
    """A list of dates, or dates with their names."""
    if isinstance(value, dict) and all(isinstance(name, str) for name in value.values()):
        return {_day(day): str(name) for day, name in value.items()}
    if isinstance(value, list):
        return {_day(day): "a day of our own" for day in value}
    raise ValueError("a list of dates, or dates with names (2026-12-24: Christmas Eve)")


def _moment(value: object) -> date | datetime:
    """A day, or a time on the wall."""
    if isinstance(value, str):
        try:
            return _day(value)
        except ValueError:
            pass
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, datetime) and value.tzinfo is None:
        return value
    if type(value) is date:
        return value
    raise ValueError("a day or a time by the wall clock, as 2026-12-20 or 2026-12-20 18:00")


Windows = Annotated[Any, BeforeValidator(_windows)]
OwnDays = Annotated[Any, BeforeValidator(_days)]
Moment = Annotated[Any, BeforeValidator(_moment)]


class AfterModel(Strict):
    """A job that has to have run before."""

    job: str
    outcome: Literal["succeeded", "finished"] | None = None
    within: Duration | None = None


class CalendarKeys(Strict):
    """The keys of a job that say when it runs."""

    holidays: HolidayRule | None = None
    window: Windows | None = None
    overrun: Literal["tell", "stop"] | None = None
    jitter: Duration | None = None
    misfire: Duration | None = None
    catch_up: CatchUp | None = None
    catch_up_limit: Annotated[int, Field(ge=1, le=LISTED)] | None = None
    after: Annotated[list[AfterModel], BeforeValidator(_afters)] | None = None
    changes: bool | None = None
    lock: Texts | None = None
    approve: bool | None = None
    priority: Annotated[int, Field(ge=0, le=100)] | None = None


class FreezeModel(Strict):
    """A time in which systems are left as they are."""

    name: str
    start: Moment = Field(alias="from")
    end: Moment = Field(alias="to")
    jobs: Texts | None = None
    hosts: Texts | None = None
    why: str | None = None


class HolidaysModel(Strict):
    """Which days are holidays."""

    country: str | None = None
    region: str | None = None
    dates: OwnDays | None = None
    worked: OwnDays | None = None
    working_days: Days | None = None


def holidays_of(model: HolidaysModel | None) -> Holidays:
    """The holidays of the configuration; none without it."""
    if model is None:
        return Holidays()
    usual = Holidays()
    return Holidays(
        country=model.country or "",
        region=model.region or "",
        dates=model.dates or {},
        worked=frozenset(model.worked or ()),
        working_days=model.working_days or usual.working_days,
    )


def holidays_wrong(model: HolidaysModel | None) -> Iterator[Wrong]:
    """What is wrong with the section. Business hours need the country as well as jobs: it is always looked up."""
    if model is None or (model.region and not model.country):
        if model is not None:
            yield "region", "there is no country", "the key country beside it", "no such key", ""
        return
    if not model.country:
        return
    from holidays import country_holidays

    try:
        country_holidays(model.country, subdiv=model.region)
    except NotImplementedError:
        yield _unknown_holidays(model.country, model.region or "")


def _unknown_holidays(country: str, region: str) -> Wrong:
    from holidays import list_supported_countries

    known = list_supported_countries()  # a tenth of a second: only when something is wrong
    if country in known:
        expected = f"one of {', '.join(known[country])}" if known[country] else "no region"
        return "region", f"{country} has no such region", expected, region, ""
    near = difflib.get_close_matches(country, known, 3, 0.4)
    return (
        "country",
        "its holidays are not known",
        "a country by ISO 3166, as DE, US or RU",
        country,
        f"did you mean {' or '.join(near)}? Or list your days under dates" if near else "list your days under dates",
    )


def freeze_of(model: FreezeModel, zone: ZoneInfo) -> Freeze | Wrong:
    """One freeze; a day as its end is meant to its end."""
    start = _instant(model.start, zone)
    end = _instant(model.end if isinstance(model.end, datetime) else model.end + timedelta(days=1), zone)
    if end <= start:
        return "to", "it ends before it begins", f"something after {model.start}", str(model.end), ""
    return Freeze(model.name, start, end, tuple(model.jobs or ()), tuple(model.hosts or ()), model.why or "")


def _instant(given: date | datetime, zone: ZoneInfo) -> float:
    wall = given if isinstance(given, datetime) else datetime.combine(given, time())
    return instants(wall, zone)[0].timestamp()


def with_calendar(job: Job, given: CalendarKeys, own_time_limit: bool, holidays: Holidays) -> Job | Wrong:
    """The job with its keys of the calendar; or the first thing that is wrong with them."""
    changes = given.changes if given.changes is not None else job.changes and not job.check
    approve = job.approve if given.approve is None else given.approve
    job = replace(
        job,
        windows=tuple(window for window, _ in given.window) if given.window else job.windows,
        windows_text=tuple(text for _, text in given.window) if given.window else job.windows_text,
        overrun=given.overrun or job.overrun,
        jitter=given.jitter or job.jitter,
        misfire=given.misfire if given.misfire is not None else job.misfire,
        catch_up=given.catch_up or job.catch_up,
        catch_up_limit=given.catch_up_limit or job.catch_up_limit,
        after=tuple(_after(one) for one in given.after) if given.after else job.after,
        changes=changes,
        locks=tuple(given.lock) if given.lock else ("changes",) if changes else (),
        approve=approve,
        priority=job.priority if given.priority is None else given.priority,
        holidays=given.holidays or job.holidays,
        own_time_limit=own_time_limit,
    )
    if approve and job.check:
        return (
            "approve",
            "there is nothing to approve",
            "a job that changes systems (without check: true)",
            "check: true",
            "remove one of the two: with approve, a job runs in check mode first by itself",
        )
    longest = max((window.longest() for window in job.windows), default=None)
    if longest is not None and own_time_limit and job.time_limit and job.time_limit > longest:
        return (
            "window",
            "the job would never begin",
            f"a window of at least its time_limit, {shown(job.time_limit)}",
            f"at most {shown(longest)}",
            "make the window longer, or time_limit shorter",
        )
    if job.schedule is not None:
        try:
            return replace(job, schedule=keeping(job.schedule, job.holidays, holidays))  # type: ignore[arg-type]
        except ValueError as error:
            return "holidays", "wrong value", str(error), job.holidays, ""
    return job


def _after(model: AfterModel) -> After:
    usual = After(model.job)
    return After(model.job, model.outcome or usual.outcome, model.within or usual.within)


def freeze_wrong(freeze: Freeze, jobs: Collection[str]) -> Iterator[Wrong]:
    """Jobs that a freeze names and that are not there: they would not be frozen. A pattern may be for jobs to come."""
    for name in freeze.jobs:
        if name not in jobs and not set(name) & set("*?["):
            yield _no_such_job("jobs", name, jobs)


def after_wrong(jobs: Mapping[str, Job], names: Collection[str]) -> Iterator[tuple[str, Wrong]]:
    """What is wrong with the dependencies, by the job's name: jobs that are not there, and circles.

    ``names``: of all jobs, also of those that something is wrong with.
    """
    told: set[frozenset[str]] = set()
    for name, job in jobs.items():
        for after in job.after:
            if after.job not in names:
                yield name, _no_such_job("after", after.job, names)
        circle = _circle(jobs, name)
        if circle and frozenset(circle) not in told:
            told.add(frozenset(circle))
            yield (
                name,
                ("after", "it waits for itself", "no circle", " after ".join(circle), "remove one of them"),
            )


def _no_such_job(key: str, name: str, jobs: Collection[str]) -> Wrong:
    near = difflib.get_close_matches(name, jobs, 1)
    remedy = f"did you mean {near[0]}?" if near else ""
    return key, "there is no such job", f"one of {', '.join(jobs)}", name, remedy


def _circle(jobs: Mapping[str, Job], name: str) -> list[str]:
    """The way from a job back to it over what it comes after; empty when there is none."""
    ways = [[name]]
    seen = set()
    while ways:
        way = ways.pop()
        for after in jobs[way[-1]].after if way[-1] in jobs else ():
            if after.job == name:
                return [*way, name]
            if after.job not in seen:
                seen.add(after.job)
                ways.append([*way, after.job])
    return []
