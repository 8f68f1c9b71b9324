# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SLA clocks: deadlines around the clock and in business hours, over weekends and changes of the clocks."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upkeep.sla import BusinessHours, Settings, after, counted, deadlines
from upkeep.store import Clock

BERLIN = BusinessHours(time_zone="Europe/Berlin")
SETTINGS = Settings(hours=BERLIN)
HOUR = 3600.0


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def local(moment: float, zone: str = "Europe/Berlin") -> str:
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("opened", "priority", "react", "solve"),
    [
        # P1 and P2 count every hour.
        ("2026-11-22 03:00", "P1", "Sun 2026-11-22 03:15", "Sun 2026-11-22 04:00"),
        ("2026-11-22 03:00", "P2", "Sun 2026-11-22 03:15", "Sun 2026-11-22 07:00"),
        # P3 on a Sunday waits for Monday.
        ("2026-11-22 03:00", "P3", "Mon 2026-11-23 09:15", "Mon 2026-11-23 17:00"),
        ("2026-11-23 09:00", "P3", "Mon 2026-11-23 09:15", "Mon 2026-11-23 17:00"),
        ("2026-11-23 10:00", "P3", "Mon 2026-11-23 10:15", "Mon 2026-11-23 18:00"),
        # Friday evening: the rest on Monday.
        ("2026-11-20 17:50", "P3", "Mon 2026-11-23 09:05", "Mon 2026-11-23 16:50"),
        ("2026-11-20 18:00", "P3", "Mon 2026-11-23 09:15", "Mon 2026-11-23 17:00"),
    ],
)
def test_deadlines(opened: str, priority: str, react: str, solve: str) -> None:
    since = at(opened)
    found = deadlines([Clock(priority, since)], None, None, since, SETTINGS)
    assert (local(found.react.due), local(found.solve.due)) == (react, solve)


def test_a_day_on_which_the_clocks_change_counts_its_real_hours() -> None:
    night = BusinessHours(days=(6,), start=time(1), end=time(5), time_zone="Europe/Berlin")
    spring, autumn = "2026-03-29", "2026-10-25"  # both Sundays
    assert counted(at(f"{spring} 00:00"), at(f"{spring} 12:00"), night) == 3 * HOUR
    assert counted(at(f"{autumn} 00:00"), at(f"{autumn} 12:00"), night) == 5 * HOUR
    assert local(after(at(f"{spring} 00:30"), 2 * HOUR, night)) == "Sun 2026-03-29 04:00"
    assert local(after(at(f"{autumn} 00:30"), 4 * HOUR, night)) == "Sun 2026-10-25 04:00"


def test_within_due_soon_breached_and_how_much_is_left() -> None:
    since = at("2026-11-20 10:00")  # a Friday
    clock = [Clock("P3", since)]

    def solve(now: str) -> tuple[str, float]:
        found = deadlines(clock, since, None, at(now), SETTINGS).solve
        return found.state, found.remaining / HOUR

    assert solve("2026-11-20 10:00") == ("within", 8)
    assert solve("2026-11-20 15:59")[0] == "within"
    assert solve("2026-11-20 16:00") == ("due soon", 2)
    assert solve("2026-11-20 18:00") == ("due soon", 0)
    # Over the weekend nothing more is counted, but it is late.
    assert solve("2026-11-21 12:00") == ("breached", 0)
    assert solve("2026-11-23 10:00") == ("breached", -1)


def test_what_was_done_in_time_stays_so() -> None:
    since = at("2026-11-23 03:00")
    clock = [Clock("P1", since)]
    kept = deadlines(clock, since + 60, since + 3000, since + 9e6, SETTINGS)
    assert (kept.react.state, kept.react.remaining, kept.react.done) == ("within", 840, since + 60)
    assert (kept.solve.state, kept.solve.remaining) == ("within", 600)
    late = deadlines(clock, since + 1000, since + 4000, since + 9e6, SETTINGS)
    assert (late.react.state, late.react.remaining) == ("breached", -100)
    assert (late.solve.state, late.solve.remaining) == ("breached", -400)
    # Resolved without being acknowledged: that was the reaction.
    assert deadlines(clock, None, since + 60, since + 9e6, SETTINGS).react.done == since + 60


def test_a_priority_that_rises_brings_the_deadline_nearer_and_never_moves_it_away() -> None:
    opened = at("2026-11-23 09:00")
    p3 = Clock("P3", opened)  # to be solved by 17:00
    early = deadlines([p3, Clock("P1", at("2026-11-23 10:00"))], None, None, opened, SETTINGS)
    assert local(early.solve.due) == "Mon 2026-11-23 11:00"
    late = deadlines([p3, Clock("P2", at("2026-11-23 16:30"))], None, None, opened, SETTINGS)
    assert local(late.solve.due) == "Mon 2026-11-23 17:00"
    # Acknowledged before it rose: that promise was kept, and is not asked for again.
    acknowledged = deadlines([p3, Clock("P1", at("2026-11-23 16:30"))], opened + 60, None, opened, SETTINGS)
    assert (acknowledged.react.state, local(acknowledged.react.due)) == ("within", "Mon 2026-11-23 09:15")


@pytest.mark.parametrize(
    "hours", [{"days": ()}, {"days": (7,)}, {"start": time(18), "end": time(9)}, {"start": time(9), "end": time(9)}]
)
def test_hours_in_which_nobody_works_are_refused(hours: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        BusinessHours(**hours)


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
MOMENTS = st.floats(min_value=1.7e9, max_value=1.9e9)


@given(
    since=MOMENTS,
    seconds=st.floats(min_value=1, max_value=200 * HOUR),
    zone=st.sampled_from(ZONES),
    days=st.sets(st.integers(0, 6), min_size=1),
    start=st.integers(0, 20),
    length=st.integers(1, 4),
)
def test_counting_undoes_adding(
    since: float, seconds: float, zone: str, days: set[int], start: int, length: int
) -> None:
    hours = BusinessHours(tuple(sorted(days)), time(start), time((start + length) % 24), zone)
    due = after(since, seconds, hours)
    assert counted(since, due, hours) == pytest.approx(seconds, abs=1e-3)
    # By brute force: minute by minute, is it a business hour?
    if seconds < 2 * HOUR:
        open_minutes = sum(_is_open(since + minute * 60, hours) for minute in range(int((due - since) // 60) + 1))
        assert open_minutes * 60 == pytest.approx(seconds, abs=180)


def _is_open(moment: float, hours: BusinessHours) -> bool:
    wall = datetime.fromtimestamp(moment, ZoneInfo(hours.time_zone))
    end = time.max if hours.end == time(0) else hours.end
    return wall.weekday() in hours.days and hours.start <= wall.time() < end


@given(begin=MOMENTS, length=st.floats(min_value=0, max_value=timedelta(days=20).total_seconds()))
def test_counted_time_adds_up(begin: float, length: float) -> None:
    end, middle = begin + length, begin + length / 3
    parts = counted(begin, middle, BERLIN) + counted(middle, end, BERLIN)
    assert parts == pytest.approx(counted(begin, end, BERLIN), abs=1e-3)
    assert counted(end, begin, BERLIN) == 0
