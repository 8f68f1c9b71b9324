# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten years of calendars, day by day, in zones that change their clocks in every way there is; against an oracle.

The oracle knows nothing of gaps and folds: it walks through the instants by quarters of an hour (all clocks change on
one) and reads the wall clock at each. A time on the wall has come when the clock has first shown it or more.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from upkeep.calendar.decide import Begin, Skip, Timetable, decide
from upkeep.calendar.freezes import Freeze
from upkeep.calendar.holidays import Holidays, keeping
from upkeep.calendar.windows import Window, united
from upkeep.schedule import next_times, parse

STEP = 900.0
"""Seconds."""
ZONES = {
    "Europe/Berlin": 2024,
    "America/New_York": 2024,
    "Australia/Lord_Howe": 2024,  # half an hour
    "Asia/Kolkata": 2024,  # never, and half an hour off
    "Europe/Moscow": 2009,  # for good in 2011, and back in 2014
    "Pacific/Apia": 2009,  # no 30 December 2011
    "Africa/Casablanca": 2017,  # four times a year, for Ramadan
}
"""The zones and the first year of the ten."""

OWN = {date(year, month, day): "ours" for year in range(2008, 2036) for month, day in ((1, 1), (5, 1), (12, 25))}
HOLIDAYS = Holidays(dates=OWN)


def nth(day: date, weekday: int) -> int:
    """Which of its weekday in its month a day is; 0 when it is another weekday."""
    return (day.day - 1) // 7 + 1 if day.weekday() == weekday else 0


def last_of_month(day: date) -> bool:
    return (day + timedelta(days=1)).month != day.month


def after_holiday(day: date) -> bool:
    """Whether what falls on a 1st of the month lands here, when holidays move it to the next working day."""
    works = day.weekday() < 5 and day not in OWN
    first = day.replace(day=1)
    if first not in OWN:
        return day.day == 1
    between = [first + timedelta(days=step) for step in range((day - first).days)]
    return works and not any(one.weekday() < 5 and one not in OWN for one in between)


def before_holiday(day: date) -> bool:
    """Whether what falls on a Saturday lands here, when holidays move it to the working day before."""
    if day.weekday() == 5:
        return day not in OWN
    if day.weekday() > 5 or day in OWN:
        return False
    saturday = day + timedelta(days=5 - day.weekday())
    between = [day + timedelta(days=step) for step in range(1, (saturday - day).days)]
    return saturday in OWN and all(one in OWN for one in between)


RULES: dict[str, Callable[[date], list[time]]] = {
    "daily 02:30": lambda day: [time(2, 30)],
    "Sun 02:00": lambda day: [time(2)] if day.weekday() == 6 else [],
    "last Sun 02:15": lambda day: (
        [time(2, 15)] if day.weekday() == 6 and (day + timedelta(days=7)).month != day.month else []
    ),
    "2nd Tue + 3d 02:30": lambda day: [time(2, 30)] if nth(day - timedelta(days=3), 1) == 2 else [],
    "quarterly last day 23:45": lambda day: [time(23, 45)] if day.month % 3 == 0 and last_of_month(day) else [],
    "0 3 29 2 *": lambda day: [time(3)] if (day.month, day.day) == (2, 29) else [],
    "every 6h": lambda day: [time(0), time(6), time(12), time(18)],
    "every 3d 00:00 from 2009-01-03": lambda day: [time(0)] if (day - date(2009, 1, 3)).days % 3 == 0 else [],
    "1st 02:30 holidays next": lambda day: [time(2, 30)] if after_holiday(day) else [],
    "Sat 02:30 holidays previous": lambda day: [time(2, 30)] if before_holiday(day) else [],
    "daily 12:00 holidays skip": lambda day: [] if day in OWN else [time(12)],
}


class Walk:
    """The instants of some years in a zone, with what the wall clock shows at each."""

    def __init__(self, zone: str, year: int, years: int = 10) -> None:
        self.zone = ZoneInfo(zone)
        self.start = datetime(year, 1, 10, tzinfo=UTC).timestamp()
        count = int(years * 365.25 * 86400 / STEP)
        self.instants = [self.start + place * STEP for place in range(count)]
        self.end = self.instants[-1]
        self.walls = [datetime.fromtimestamp(at, self.zone).replace(tzinfo=None) for at in self.instants]
        self.shown = list(itertools.accumulate(self.walls, max))
        """The latest that the clock has shown until each instant."""

    def days(self) -> Iterator[date]:
        """The days of the calendar, also those that a zone leaves out."""
        first = self.walls[0].date() - timedelta(days=1)
        return (first + timedelta(days=step) for step in range((self.walls[-1].date() - first).days + 2))

    def reached(self, wanted: list[datetime]) -> list[float]:
        """When the clock has first shown each of some times or more; those at the very beginning are left out."""
        places = [bisect.bisect_left(self.shown, wall) for wall in wanted]
        return [self.instants[place] for place in places if 0 < place < len(self.instants)]

    def wanted(self, rule: Callable[[date], list[time]]) -> list[float]:
        walls = [datetime.combine(day, at) for day in self.days() for at in rule(day)]
        return sorted(set(self.reached(walls)))


@pytest.fixture(scope="module", params=ZONES)
def walk(request: pytest.FixtureRequest) -> Walk:
    return Walk(request.param, ZONES[request.param])


def scheduled(text: str) -> object:
    words, _, rule = text.partition(" holidays ")
    return keeping(parse(words), rule or "run", HOLIDAYS)  # type: ignore[arg-type]


def test_every_time_of_ten_years(walk: Walk) -> None:
    after = datetime.fromtimestamp(walk.start, UTC)
    for text, rule in RULES.items():
        found = (at.timestamp() for at in next_times(scheduled(text), after, walk.zone))  # type: ignore[arg-type]
        ours = list(itertools.takewhile(lambda at: at <= walk.end, found))
        expected = walk.wanted(rule)
        assert ours == expected, (text, sorted(set(ours) ^ set(expected))[:3])
        assert len(ours) > 1


def test_what_follows_the_hours_comes_with_each_of_them(walk: Walk) -> None:
    after = datetime.fromtimestamp(walk.start, UTC)
    found = (at.timestamp() for at in next_times(parse("15 * * * *"), after, walk.zone))
    expected = [at for at, wall in zip(walk.instants, walk.walls, strict=True) if wall.minute == 15 and at > walk.start]
    assert list(itertools.islice(found, len(expected))) == expected


def opened(walk: Walk, start: time, end: time, days: tuple[int, ...]) -> list[bool]:
    """For each instant whether a window is open, by the wall clock."""
    over = int(end <= start)
    edges = []
    for day in walk.days():
        if day.weekday() in days:
            edges.append((datetime.combine(day, start), 1))
            edges.append((datetime.combine(day + timedelta(days=over), end), -1))
    edges.sort()
    inside, depth, place = [], 0, 0
    for seen in walk.shown:
        while place < len(edges) and edges[place][0] <= seen:
            depth += edges[place][1]
            place += 1
        inside.append(depth > 0)
    return inside


WINDOWS = {
    "22:00-06:00": (tuple(range(7)), time(22), time(6)),
    "Sat,Sun 02:00-05:00": ((5, 6), time(2), time(5)),
    "Sun 02:15-02:45": ((6,), time(2, 15), time(2, 45)),
}


def test_windows_of_a_year_open_and_close_by_the_wall_clock(walk: Walk) -> None:
    short = Walk(walk.zone.key, 2011 if walk.zone.key in ("Pacific/Apia", "Europe/Moscow") else 2026, 1)
    for text, (days, start, end) in WINDOWS.items():
        expected = opened(short, start, end, days)
        spans = itertools.takewhile(
            lambda span: span[0] <= short.end, united([Window.parse(text)], short.start, short.zone)
        )
        ours = [False] * len(short.instants)
        for low, high in spans:
            first, until = max(0, int((low - short.start) // STEP)), int((high - short.start) // STEP)
            for number in range(first, min(until, len(ours))):
                ours[number] = True
        wrong = [short.walls[number] for number in range(len(ours)) if ours[number] != expected[number]]
        assert not wrong, (text, wrong[:3])


def test_what_is_decided_in_ten_years(walk: Walk) -> None:
    """A job for every day, in windows of its own, through a freeze each year: a service that is always at work begins
    each occurrence when the oracle first sees the window open with room and no freeze, or skips it."""
    room = 5400.0
    years = range(walk.walls[0].year, walk.walls[-1].year + 1)
    freezes = tuple(
        Freeze(
            f"end of {year}",
            datetime(year, 12, 20, 3, 30, tzinfo=UTC).timestamp(),
            datetime(year + 1, 1, 6, tzinfo=UTC).timestamp(),
        )
        for year in years
    )
    windows = ("22:00-06:00", "Sat,Sun 02:00-09:00")
    table = Timetable(
        job="patch",
        schedule=parse("daily 02:30"),
        zone=walk.zone,
        windows=tuple(map(Window.parse, windows)),
        time_limit=room,
        freezes=freezes,
    )
    inside = [
        any(both)
        for both in zip(
            opened(walk, time(22), time(6), tuple(range(7))),
            opened(walk, time(2), time(9), (5, 6)),
            strict=True,
        )
    ]
    frozen = [any(one.holds(at) for one in freezes) for at in walk.instants]
    need = int(room / STEP)
    expected: dict[float, float | None] = {}
    for due in walk.wanted(RULES["daily 02:30"]):
        number = int((due - walk.start) / STEP)
        expected[due] = None
        entered = False
        # Till the end of the first window with room: beyond it, the occurrence is over.
        while number + need < len(inside):
            free = all(inside[number : number + need])
            entered = entered or free
            if entered and not free:
                break
            if free and not any(frozen[number : number + need]):
                expected[due] = walk.instants[number]
                break
            number += 1
    ours: dict[float, float | None] = {}
    cursor = now = walk.start
    while now < walk.end - 2 * 86400:
        decided = decide(table, cursor, now)
        for decision in decided.decisions:
            assert decision.due > cursor or not isinstance(decision, (Begin, Skip))
            if isinstance(decision, Begin):
                ours[decision.due] = now
            elif isinstance(decision, Skip):
                ours[decision.due] = None
        assert decided.again is not None and decided.again > now
        cursor, now = decided.cursor, decided.again
    assert {due: expected[due] for due in ours} == ours
    assert len(ours) >= 3640
    skipped = sum(start is None for start in ours.values())
    assert 10 * 16 <= skipped <= 10 * 18
