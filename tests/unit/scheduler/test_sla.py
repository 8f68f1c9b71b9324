# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SLA clocks: deadlines around the clock and in business hours, over weekends and changes of the clocks."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upkeep import config_file
from upkeep.config import Config
from upkeep.sla import BusinessHours, Settings, Step, Target, after, counted, deadlines, used
from upkeep.store import Clock, Pause

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


@pytest.mark.parametrize("hours", [{"days": ()}, {"days": (7,)}, {"start": time(9), "end": time(9)}])
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


# --- pauses, night shifts, holidays: against a look at every minute ---------------------------------------------------

MINUTE = 60.0
CHANGES = {
    "Europe/Berlin": ["2026-03-29", "2026-10-25"],
    "America/New_York": ["2026-03-08", "2026-11-01"],
    "Australia/Lord_Howe": ["2026-04-05", "2026-10-04"],  # by half an hour
    "Africa/Cairo": ["2026-04-24", "2026-10-30"],  # at midnight
    "UTC": ["2026-02-28"],
}
"""Days on which clocks change, and one on which they do not."""


def worked_minutes(begin: float, end: float, hours: BusinessHours | None, pauses: list[Pause]) -> int:
    """How many minutes between two moments are working time, by looking at the wall clock of every one of them."""
    zone = ZoneInfo(hours.time_zone) if hours else None
    begun: set[date] = set()
    over: set[date] = set()
    found = 0
    moment = begin - (3 * 86400 if hours else 0)
    while moment < end:
        if hours:
            wall = datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
            for day in (wall.date(), wall.date() - timedelta(days=1)):
                if wall >= datetime.combine(day, hours.start):
                    begun.add(day)
                if wall >= datetime.combine(day + timedelta(days=hours.end <= hours.start), hours.end):
                    over.add(day)
        works = hours is None or any(
            day in hours.worked or (day.weekday() in hours.days and day not in hours.holidays) for day in begun - over
        )
        paused = any(one.since <= moment and (one.until is None or moment < one.until) for one in pauses)
        found += works and not paused and moment >= begin
        moment += MINUTE
    return found


@st.composite
def business_hours(draw: st.DrawFn) -> tuple[BusinessHours, float]:
    zone = draw(st.sampled_from(sorted(CHANGES)))
    change = date.fromisoformat(draw(st.sampled_from(CHANGES[zone])))
    near = [change + timedelta(days=number) for number in range(-3, 6)]
    start, end = draw(st.tuples(st.integers(0, 47), st.integers(0, 47)).filter(lambda pair: pair[0] != pair[1]))
    hours = BusinessHours(
        days=tuple(sorted(draw(st.sets(st.integers(0, 6), min_size=1)))),
        start=time(start // 2, start % 2 * 30),
        end=time(end // 2, end % 2 * 30),
        time_zone=zone,
        holidays=frozenset(draw(st.sets(st.sampled_from(near), max_size=2))),
        worked=frozenset(draw(st.sets(st.sampled_from(near), max_size=2))),
    )
    begin = datetime.combine(change - timedelta(days=1), time(), ZoneInfo(zone)).timestamp()
    return hours, begin + draw(st.integers(0, 2 * 1440)) * MINUTE


@st.composite
def pauses_from(draw: st.DrawFn, begin: float) -> list[Pause]:
    """Pauses as they may come: one after another, overlapping, empty, before the clock's beginning."""
    found = []
    for _ in range(draw(st.integers(0, 3))):
        since = begin + draw(st.integers(-600, 3000)) * MINUTE
        found.append(Pause(since, since + draw(st.integers(0, 2000)) * MINUTE))
    return found


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_counting_with_pauses_is_as_a_look_at_every_minute_says(data: st.DataObject) -> None:
    hours, begin = data.draw(business_hours())
    pauses = data.draw(pauses_from(begin))
    end = begin + data.draw(st.integers(0, 4 * 1440)) * MINUTE
    assert counted(begin, end, hours, pauses) == worked_minutes(begin, end, hours, pauses) * MINUTE


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_deadlines_with_pauses_are_as_a_look_at_every_minute_says(data: st.DataObject) -> None:
    hours, begin = data.draw(business_hours())
    around_the_clock = data.draw(st.booleans())
    pauses = data.draw(pauses_from(begin))
    if data.draw(st.booleans()):  # it still waits
        last = max([begin, *(one.until for one in pauses if one.until is not None)])
        pauses.append(Pause(last + data.draw(st.integers(0, 600)) * MINUTE, None))
    promised = data.draw(st.integers(1, 1200))
    made = Settings({"P1": Target(promised * MINUTE, promised * MINUTE, not around_the_clock)}, hours)
    now = begin + data.draw(st.integers(0, 4 * 1440)) * MINUTE
    clock = Clock("P1", begin)
    found = deadlines([clock], None, None, now, made, pauses).solve
    spent = worked_minutes(begin, now, None if around_the_clock else hours, pauses)
    assert used(clock, pauses, now, made) == spent * MINUTE
    assert found.remaining == (promised - spent) * MINUTE
    assert found.promised - found.remaining == spent * MINUTE
    if spent != promised:  # at the very end of the time, the last moment still is within
        assert (found.state == "breached") == (spent > promised)


def test_while_it_waits_nothing_grows_less_and_nothing_breaks() -> None:
    since = at("2026-11-20 10:00")  # a Friday; P3 has until 18:00
    clock, waiting = [Clock("P3", since)], [Pause(at("2026-11-20 12:00"), None, "the disk is ordered")]
    for now in ("2026-11-20 12:00", "2026-11-20 17:00", "2026-11-24 12:00", "2027-02-01 08:00"):
        solve = deadlines(clock, since, None, at(now), SETTINGS, waiting).solve
        assert (solve.state, solve.remaining / HOUR) == ("within", 6)
    # It goes on on Monday at noon: six hours are left, and they end the day.
    over = [Pause(at("2026-11-20 12:00"), at("2026-11-23 12:00"))]
    solve = deadlines(clock, since, None, at("2026-11-23 12:00"), SETTINGS, over).solve
    assert (local(solve.due), solve.remaining / HOUR) == ("Mon 2026-11-23 18:00", 6)
    # P1 counts every hour, and stands still as well.
    p1 = deadlines([Clock("P1", since)], None, None, since + 9e6, SETTINGS, [Pause(since + 60, None)])
    assert (p1.react.state, p1.react.remaining) == ("within", 14 * MINUTE)


def test_a_pause_after_a_promise_was_kept_or_missed_does_not_move_it() -> None:
    since = at("2026-11-23 03:00")
    clock, waited = [Clock("P1", since)], [Pause(since + 120, since + 7000)]
    found = deadlines(clock, since + 60, None, since + 7200, SETTINGS, waited)
    assert (found.react.due, found.react.state) == (since + 900, "within")
    late = deadlines(clock, since + 1000, None, since + 7200, SETTINGS, [Pause(since + 1200, None)])
    assert (late.react.due, late.react.remaining) == (since + 900, -100)
    # A breach stands, however long it waits afterwards.
    solve = deadlines(clock, since, None, since + 9e6, SETTINGS, [Pause(since + 4000, None)]).solve
    assert (solve.state, solve.remaining) == ("breached", -400)


def test_pauses_within_and_over_one_another_count_once() -> None:
    since = at("2026-11-23 09:00")
    pauses = [Pause(since + HOUR, since + 5 * HOUR), Pause(since + 2 * HOUR, since + 3 * HOUR)]
    pauses += [Pause(since + 4 * HOUR, since + 6 * HOUR), Pause(since + 7 * HOUR, since + 7 * HOUR)]
    assert counted(since, since + 9 * HOUR, BERLIN, pauses) == 4 * HOUR
    assert after(since, 2 * HOUR, BERLIN, pauses[::-1]) == since + 7 * HOUR
    assert counted(since, since + 9 * HOUR, BERLIN, [Pause(since + 3 * HOUR, None)]) == 3 * HOUR


def test_work_that_begins_or_ends_at_a_time_that_does_not_exist() -> None:
    spring = "2026-03-29"  # from 02:00 on it is 03:00
    early = BusinessHours(days=(6,), start=time(2, 30), end=time(5), time_zone="Europe/Berlin")
    assert counted(at(f"{spring} 00:00"), at(f"{spring} 12:00"), early) == 2 * HOUR
    late = BusinessHours(days=(6,), start=time(1), end=time(2, 30), time_zone="Europe/Berlin")
    assert counted(at(f"{spring} 00:00"), at(f"{spring} 12:00"), late) == HOUR
    none = BusinessHours(days=(6,), start=time(2), end=time(2, 30), time_zone="Europe/Berlin")
    assert counted(at(f"{spring} 00:00"), at(f"{spring} 12:00"), none) == 0
    # By half an hour on Lord Howe Island: 02:15 does not exist on 4 October 2026, the gap ends at 02:30.
    howe = BusinessHours(days=(6,), start=time(2, 15), end=time(4), time_zone="Australia/Lord_Howe")
    island = "Australia/Lord_Howe"
    assert counted(at("2026-10-04 00:00", island), at("2026-10-04 12:00", island), howe) == 1.5 * HOUR


def test_a_night_shift_belongs_to_the_day_on_which_it_begins() -> None:
    nights = BusinessHours(days=(4,), start=time(22), end=time(6), time_zone="Europe/Berlin")
    assert local(after(at("2026-11-21 03:00"), 2 * HOUR, nights)) == "Sat 2026-11-21 05:00"
    assert local(after(at("2026-11-21 03:00"), 4 * HOUR, nights)) == "Fri 2026-11-27 23:00"
    assert counted(at("2026-11-20 00:00"), at("2026-11-22 00:00"), nights) == 8 * HOUR
    # In the night to 25 October 2026 an hour comes twice.
    saturdays = BusinessHours(days=(5,), start=time(22), end=time(6), time_zone="Europe/Berlin")
    assert counted(at("2026-10-24 00:00"), at("2026-10-26 00:00"), saturdays) == 9 * HOUR


def test_holidays_are_days_off_and_moved_working_days_are_worked() -> None:
    # Russia, 2025: Saturday 1 November is worked, Monday 3 November is off for it; 4 November is a holiday.
    hours = BusinessHours(
        time_zone="Europe/Moscow",
        holidays=frozenset({date(2025, 11, 3), date(2025, 11, 4)}),
        worked=frozenset({date(2025, 11, 1)}),
    )
    moscow = "Europe/Moscow"
    assert local(after(at("2025-10-31 17:00", moscow), 2 * HOUR, hours), moscow) == "Sat 2025-11-01 10:00"
    assert local(after(at("2025-11-01 17:00", moscow), 2 * HOUR, hours), moscow) == "Wed 2025-11-05 10:00"


def test_a_list_of_holidays_that_never_ends_does_not_hang() -> None:
    class Always(frozenset[date]):
        def __contains__(self, _day: object) -> bool:
            return True

    hours = BusinessHours(holidays=Always())
    assert counted(1.8e9, 1.81e9, hours) == 0
    assert after(1.8e9, 60, hours) > 1.8e9


# --- its configuration ------------------------------------------------------------------------------------------------


def configured(tmp_path: Path, text: str) -> tuple[Config | None, str]:
    (tmp_path / "upkeep.yml").write_text(text)
    made, problems = config_file.check(tmp_path / "upkeep.yml", tmp_path)
    return made, "; ".join(" ".join(problems[0].error(tmp_path).lines()) for _ in problems[:1])


def test_steps_and_holidays_are_configured(tmp_path: Path) -> None:
    text = """
time_zone: Europe/Moscow
holidays:
  dates: {2025-11-03: moved, 2025-11-04: Unity}
  worked: [2025-11-01]
business_hours: {start: "22:00", end: "06:00"}
sla:
  warn_at: [0.9, 0.5]
  escalate:
    - after: 0
    - {after: 90m, to: oncall, priorities: P1, clocks: [solve]}
"""
    made, problem = configured(tmp_path, text)
    assert made is not None, problem
    assert made.sla.warn_at == (0.5, 0.9)
    assert made.sla.escalate == (Step(0.0), Step(5400.0, ("oncall",), ("P1",), ("solve",)))
    moscow = "Europe/Moscow"
    # Friday's night shift is left at 03:00 on Saturday; Saturday's is worked; Monday's and Tuesday's are holidays.
    assert local(after(at("2025-11-01 03:00", moscow), 5 * HOUR, made.sla.hours), moscow) == "Sun 2025-11-02 00:00"
    assert local(after(at("2025-11-02 05:00", moscow), 2 * HOUR, made.sla.hours), moscow) == "Wed 2025-11-05 23:00"
    usual = Settings()
    assert [(step.after, step.to) for step in usual.escalate] == [(0, ()), (HOUR, ()), (4 * HOUR, ())]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sla: {warn_at: [75]}", "a part of the promised time, as 0.75"),
        ("sla: {escalate: [{to: x}]}", "after is missing"),
        ("sla: {escalate: [{after: soon}]}", "0 (as soon as it is), or a duration, as 1h"),
        ("sla: {escalate: [{after: 1h, clocks: [wait]}]}", "one of 'react', 'solve'"),
        ("sla: {escalate: [{after: 1h, priorities: []}]}", "priorities"),
        ('business_hours: {start: "09:00", end: "09:00"}', "nobody would ever work"),
    ],
)
def test_wrong_steps_and_hours_are_told(tmp_path: Path, text: str, said: str) -> None:
    made, problem = configured(tmp_path, text + "\n")
    assert made is None
    assert said in problem
