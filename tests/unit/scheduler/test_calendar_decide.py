# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with a job that is due: a table of situations, and random ones against what must always hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upkeep.calendar.decide import (
    CHANGE_GRACE,
    LISTED,
    PROMPT,
    After,
    Begin,
    Decided,
    LastRun,
    Skip,
    Timetable,
    Wait,
    decide,
    fraction,
    limit_without,
    next_moment,
    outlook,
)
from upkeep.calendar.freezes import Freeze
from upkeep.calendar.windows import Window
from upkeep.schedule import parse

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0
DAY = 24 * HOUR


def at(text: str) -> float:
    """A time by Berlin's wall clock."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def table(schedule: str | None = "daily 02:00", **values: Any) -> Timetable:
    windows = tuple(map(Window.parse, values.pop("windows", ())))
    return Timetable("patch", parse(schedule) if schedule else None, BERLIN, windows=windows, **values)


def freeze(start: str, end: str, **values: Any) -> Freeze:
    return Freeze("year end", at(start), at(end), **values)


BEFORE, DUE = at("2026-03-10 01:00"), at("2026-03-10 02:00")
NEXT = DUE + DAY


def only(decided: Decided) -> Any:
    (decision,) = decided.decisions
    return decision


def test_before_its_time_nothing_is_due() -> None:
    assert decide(table(), BEFORE, DUE - 1) == Decided((), BEFORE, DUE)


def test_on_time_it_begins_and_the_cursor_moves() -> None:
    decided = decide(table(changes=False), BEFORE, DUE + 5)
    assert decided == Decided((Begin(DUE, DUE),), DUE, NEXT)
    assert decide(table(), decided.cursor, DUE + 6).decisions == ()


@pytest.mark.parametrize(
    ("values", "late", "expected"),
    [
        # without a window: an hour for what changes, any time for what reads
        ({"changes": True}, HOUR, Begin),
        ({"changes": True}, HOUR + 1, Skip),
        ({"changes": False}, 20 * HOUR, Begin),
        ({"changes": True, "misfire": 2 * HOUR}, 2 * HOUR, Begin),
        ({"changes": False, "misfire": 2 * HOUR}, 2 * HOUR + 1, Skip),
        # with a window: until it closes, never in the morning after, also what only reads
        ({"windows": ["02:00-05:00"]}, 3 * HOUR - 1, Begin),
        ({"windows": ["02:00-05:00"]}, 3 * HOUR, Skip),
        ({"windows": ["02:00-05:00"], "changes": False}, 9 * HOUR, Skip),
        # and as long as there is room for it
        ({"windows": ["02:00-05:00"], "time_limit": HOUR}, 2 * HOUR, Begin),
        ({"windows": ["02:00-05:00"], "time_limit": HOUR}, 2 * HOUR + 1, Skip),
        # nothing that is later than a tick or a failover
        ({"catch_up": "skip"}, PROMPT, Begin),
        ({"catch_up": "skip"}, PROMPT + 1, Skip),
    ],
)
def test_how_late_it_may_begin(values: dict[str, Any], late: float, expected: type) -> None:
    decision = only(decide(table(**values), BEFORE, DUE + late))
    assert isinstance(decision, expected)
    if isinstance(decision, Skip):
        assert decision.missed


def test_a_window_that_opens_later_is_waited_for() -> None:
    late = table("daily 20:00", windows=["22:00-06:00"])
    due = at("2026-03-10 20:00")
    waiting = decide(late, due - 1, due)
    opens = at("2026-03-10 22:00")
    assert waiting.cursor == due - 1 and waiting.again == opens
    assert only(waiting) == Wait(due, opens, "outside its window until Tue 2026-03-10 22:00")
    assert only(decide(late, due - 1, opens)) == Begin(due, opens, at("2026-03-11 06:00"), at("2026-03-11 06:00"))


def test_what_it_usually_takes_counts_rather_than_a_long_time_limit() -> None:
    short = table(windows=["02:00-05:00"], time_limit=5 * HOUR)
    assert "none of its windows has room" in only(decide(short, BEFORE, DUE)).why
    assert only(decide(short, BEFORE, DUE, typical=HOUR)).begin_by == at("2026-03-10 05:00") - 1.25 * HOUR


def test_jitter_is_the_same_everywhere_and_stays_inside() -> None:
    spread = table(jitter=2 * HOUR, windows=["02:00-03:00"], time_limit=1800)
    begins = DUE + fraction("patch", DUE) * 1800
    assert only(decide(spread, BEFORE, DUE)).until == pytest.approx(begins)
    assert only(decide(spread, BEFORE, begins)) == Begin(DUE, begins, at("2026-03-10 02:30"), at("2026-03-10 03:00"))
    # However late it may begin, and although it comes again soon: within its first window, and before it comes again.
    assert only(decide(replace(spread, misfire=3 * DAY), BEFORE, DUE)).until == pytest.approx(begins)
    often = table("every 10m", jitter=5 * HOUR, changes=False)
    assert only(decide(often, DUE - 1, DUE)).until == pytest.approx(DUE + fraction("patch", DUE) * 600)
    others = {fraction(job, DUE) for job in ("a", "b", "c")}
    assert len(others) == 3 and all(0 <= one < 1 for one in others)


@pytest.mark.parametrize(
    ("catch_up", "begins", "skips"),
    [("once", ["03-13"], ["03-10", "03-11", "03-12"]), ("all", ["03-12"], ["03-10", "03-11"]), ("skip", [], None)],
)
def test_after_an_outage(catch_up: Any, begins: list[str], skips: list[str] | None) -> None:
    late = table(changes=False, catch_up=catch_up, catch_up_limit=2)
    decided = decide(late, BEFORE, at("2026-03-13 12:00"))
    days = [datetime.fromtimestamp(one.due, BERLIN).strftime("%m-%d") for one in decided.decisions]
    began = [isinstance(one, Begin) for one in decided.decisions]
    assert [day for day, begin in zip(days, began, strict=True) if begin] == begins
    assert [day for day, begin in zip(days, began, strict=True) if not begin] == (
        skips if skips is not None else ["03-10", "03-11", "03-12", "03-13"]
    )


def test_all_are_made_up_for_one_at_a_time() -> None:
    late = table(changes=False, catch_up="all", catch_up_limit=2)
    now = at("2026-03-13 12:00")
    first = decide(late, BEFORE, now)
    assert first.again == now
    second = decide(late, first.cursor, now, held="run #1 of it goes on")
    assert isinstance(only(second), Wait) and second.cursor == first.cursor
    third = decide(late, first.cursor, now + 60)
    assert isinstance(only(third), Begin) and third.cursor == at("2026-03-13 02:00") and third.again == NEXT + 3 * DAY


def test_a_year_of_missed_minutes_costs_no_half_a_million_decisions() -> None:
    decided = decide(table("* * * * *", changes=False), BEFORE, BEFORE + 365 * DAY)
    assert len(decided.decisions) == LISTED + 1
    first = decided.decisions[0]
    assert isinstance(first, Skip) and first.due == BEFORE + 60 and first.until == decided.decisions[1].due
    assert isinstance(decided.decisions[-1], Begin) and decided.cursor == BEFORE + 365 * DAY


def test_a_pause_skips_and_is_not_made_up_for() -> None:
    decided = decide(table(), BEFORE, DUE + 2 * DAY, paused="by anna: new kernel")
    assert decided.decisions == tuple(
        Skip(DUE + step * DAY, "the job is paused: by anna: new kernel", False) for step in range(3)
    )
    assert decide(table(), decided.cursor, DUE + 2 * DAY + 1).decisions == ()


def test_a_freeze_stops_what_changes_and_reading_goes_on() -> None:
    stop = freeze("2026-03-09", "2026-03-12", why="fair")
    skip = only(decide(table(freezes=(stop,)), BEFORE, DUE))
    assert skip == Skip(DUE, "frozen by year end (fair) beyond its last moment to begin, Tue 2026-03-10 03:00", False)
    assert isinstance(only(decide(table(freezes=(stop,), changes=False), BEFORE, DUE)), Begin)


def test_a_freeze_that_ends_in_time_is_waited_for() -> None:
    stop = freeze("2026-03-09", "2026-03-10 02:20")
    wait = only(decide(table(freezes=(stop,)), BEFORE, DUE))
    assert wait == Wait(DUE, at("2026-03-10 02:20"), "frozen by year end until Tue 2026-03-10 02:20")


def test_what_would_reach_into_a_freeze_is_not_begun() -> None:
    stop = freeze("2026-03-10 03:00", "2026-03-10 12:00")
    assert isinstance(only(decide(table(freezes=(stop,), time_limit=1.5 * HOUR), BEFORE, DUE)), Skip)
    assert only(decide(table(freezes=(stop,), time_limit=0.5 * HOUR), BEFORE, DUE)).ends_by == stop.start


def test_frozen_hosts_are_left_out() -> None:
    stop = freeze("2026-03-10 02:10", "2026-03-12", hosts=("db", "web[0:3]"))
    begin = only(decide(table(freezes=(stop,), time_limit=HOUR), BEFORE, DUE))
    assert begin.without == ("db", "web[0:3]")
    assert limit_without("all:!x", begin.without) == "all:!x:!db:!web[0:3]"
    assert only(decide(table(freezes=(stop,), time_limit=60), BEFORE, DUE)).without == ()
    assert limit_without(None, ("db",)) == "all:!db" and limit_without("web", ()) == "web"


def test_what_holds_it_is_waited_for_until_its_deadline() -> None:
    wait = decide(table(), BEFORE, DUE, held="web is locked by run #7")
    assert only(wait).why == "web is locked by run #7" and DUE < only(wait).until <= DUE + 60
    late = only(decide(table(), BEFORE, DUE + CHANGE_GRACE + 1, held="web is locked by run #7"))
    assert isinstance(late, Skip) and late.missed and "web is locked by run #7" in late.why


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        (LastRun(DUE - HOUR, True), DUE, Begin),
        (LastRun(DUE - HOUR, True, running=True), DUE, Wait),
        (LastRun(DUE - HOUR, False), DUE, Wait),
        (LastRun(DUE - 7 * HOUR, True), DUE, Wait),
        (LastRun(), DUE, Wait),
        (LastRun(DUE + HOUR, True), DUE + 2 * HOUR, Begin),
        (LastRun(DUE - 7 * HOUR, True), DUE + 6 * HOUR + 1, Skip),
    ],
)
def test_what_comes_after_another_job(last: LastRun, now: float, expected: type) -> None:
    later = table(after=(After("weekly", within=6 * HOUR),), changes=False)
    assert isinstance(only(decide(later, BEFORE, now, ends={"weekly": last})), expected)


def test_finished_is_enough_when_it_is_asked_for() -> None:
    later = table(after=(After("weekly", "finished"),))
    assert isinstance(only(decide(later, BEFORE, DUE, ends={"weekly": LastRun(DUE - 1, False)})), Begin)


def test_without_a_schedule_it_is_due_when_the_others_have_ended() -> None:
    both = table(None, after=(After("a"), After("b")))
    ends = {"a": LastRun(DUE - 100, True), "b": LastRun(DUE, True)}
    assert decide(both, BEFORE, DUE + 1, ends=ends) == Decided((Begin(DUE, DUE, DUE + CHANGE_GRACE),), DUE, None)
    assert decide(both, DUE, DUE + 2, ends=ends).decisions == ()
    assert decide(both, BEFORE, DUE + 1, ends={**ends, "a": LastRun(DUE - 100, False)}).decisions == ()
    assert decide(both, BEFORE, DUE + 1, ends={**ends, "a": LastRun(DUE - 100, True, True)}).decisions == ()
    assert decide(both, BEFORE, DUE + 1).decisions == () and next_moment(both, BEFORE) is None


def test_a_clock_set_back_begins_nothing_twice() -> None:
    decided = decide(table(), BEFORE, DUE)
    assert decide(table(), decided.cursor, DUE - HOUR) == Decided((), DUE, NEXT)


def test_the_outlook_says_why_not() -> None:
    stop = freeze("2026-03-11", "2026-03-12")
    found = outlook(table(freezes=(stop,), windows=["02:00-04:00"]), BEFORE)
    first, second, third = (next(found) for _ in range(3))
    assert (first.starts, first.ends_by, first.why) == (DUE, at("2026-03-10 04:00"), "")
    assert second.starts is None and "frozen by year end" in second.why
    assert third.starts == third.due == DUE + 2 * DAY
    hourly = outlook(table("every 1h", windows=["22:00-23:30"]), at("2026-03-10 19:30"))
    whys = [next(hourly) for _ in range(4)]
    assert [one.starts for one in whys] == [None, None, at("2026-03-10 22:00"), at("2026-03-10 23:00")]
    assert "takes its place" in whys[0].why
    assert next(outlook(table(), BEFORE, paused="by anna")).why == "the job is paused: by anna"


@pytest.mark.parametrize(
    ("start", "end", "lasts"),
    [
        ("2026-12-18", "2027-01-06", "Fri 2026-12-18 to the end of Tue 2027-01-05"),
        ("2026-09-30 18:00", "2026-10-01 08:00", "Wed 2026-09-30 18:00 to Thu 2026-10-01 08:00"),
    ],
)
def test_the_last_day_of_a_freeze_is_not_shown_as_the_day_after_it(start: str, end: str, lasts: str) -> None:
    stop = freeze(start, end)
    assert stop.lasts(BERLIN) == lasts
    assert lasts.endswith(stop.until(BERLIN))


SCHEDULES = ("daily 02:30", "every 20m", "every 6h", "Sun 03:00", "2nd Tue + 3d 22:00", "every 7h from 2026-01-01")
WINDOWS = ((), ("22:00-06:00",), ("Sat 20:00-Mon 04:00", "Tue 01:00-04:00"), ("02:00-03:00",))


@settings(max_examples=250, deadline=None)
@given(
    schedule=st.sampled_from(SCHEDULES),
    windows=st.sampled_from(WINDOWS),
    changes=st.booleans(),
    jitter=st.sampled_from([0.0, 600.0, 5 * HOUR]),
    misfire=st.sampled_from([None, 1800.0, 30 * HOUR]),
    catch_up=st.sampled_from(["skip", "once", "all"]),
    limit=st.integers(1, 3),
    time_limit=st.sampled_from([None, 1800.0, 2 * HOUR]),
    frozen=st.tuples(st.floats(0, 20), st.floats(0, 6)),
    steps=st.lists(st.tuples(st.floats(1, 3 * DAY), st.booleans(), st.integers(0, 9)), min_size=1, max_size=40),
)
def test_whatever_happens(
    schedule: str,
    windows: tuple[str, ...],
    changes: bool,
    jitter: float,
    misfire: float | None,
    catch_up: Any,
    limit: int,
    time_limit: float | None,
    frozen: tuple[float, float],
    steps: list[tuple[float, bool, int]],
) -> None:
    """A service that looks at random moments, is dead for days, is paused and held up."""
    start = at("2026-03-20 12:00")  # the clocks are changed nine days later
    stop = Freeze("f", start + frozen[0] * DAY, start + (frozen[0] + frozen[1]) * DAY)
    timed = replace(
        table(schedule, windows=windows, changes=changes, jitter=jitter, misfire=misfire),
        catch_up=catch_up,
        catch_up_limit=limit,
        time_limit=time_limit,
        freezes=(stop,),
    )
    cursor = now = start
    done: list[float] = []
    for step, to_the_point, event in steps:
        paused, held = ("p" if event == 0 else ""), ("h" if event == 1 else "")
        decided = decide(timed, cursor, now, paused=paused, held=held)
        assert decide(timed, cursor, now, paused=paused, held=held) == decided  # after a crash, the same again
        assert decided.cursor >= cursor and (decided.cursor <= now or not decided.decisions)
        waits = [one for one in decided.decisions if isinstance(one, Wait)]
        begins = [one for one in decided.decisions if isinstance(one, Begin)]
        assert len(waits) + len(begins) <= 1
        for one in decided.decisions:
            assert cursor < one.due <= now
            if isinstance(one, Wait):
                assert one.due > decided.cursor and one.until >= now
            else:
                assert one.due <= decided.cursor
                done.append(one.due)
        for begin in begins:
            assert not paused and not held
            assert begin.due <= begin.not_before <= now <= (begin.begin_by or now)
            assert not (changes and stop.holds(now))
            if misfire is not None:
                assert now <= begin.due + misfire
            elif changes and not windows:
                assert now <= begin.due + CHANGE_GRACE
            if windows:
                assert begin.ends_by is not None and now + (time_limit or 0) <= begin.ends_by
                assert any(
                    low <= now < high
                    for window in timed.windows
                    for low, high in window.spans(now - 1, now + 1, BERLIN)
                )
        cursor = decided.cursor
        # Looking exactly when it was asked for finds each moment; else some time passes.
        now = decided.again if to_the_point and decided.again and decided.again > now else now + step
    # Nothing is decided twice, and nothing before the cursor was passed over (but what was told as one).
    assert done == sorted(set(done))


@settings(max_examples=60, deadline=None)
@given(
    schedule=st.sampled_from(SCHEDULES),
    windows=st.sampled_from(WINDOWS),
    jitter=st.sampled_from([0.0, 1200.0]),
    offset=st.floats(0, 20),
)
def test_a_service_that_looks_when_it_is_asked_to_does_what_the_outlook_says(
    schedule: str, windows: tuple[str, ...], jitter: float, offset: float
) -> None:
    start = at("2026-03-15 12:00") + offset * DAY
    timed = table(schedule, windows=windows, jitter=jitter)
    end = start + 16 * DAY
    began: dict[float, float | None] = {}
    cursor = now = start
    while now < end:
        decided = decide(timed, cursor, now)
        for one in decided.decisions:
            if not isinstance(one, Wait):
                began[one.due] = now if isinstance(one, Begin) else None
        cursor = decided.cursor
        if decided.again is None:
            break
        now = max(decided.again, now)
    told = {}
    for occurrence in outlook(timed, start):
        if occurrence.due > end - 9 * DAY:
            break
        told[occurrence.due] = occurrence.starts
    assert told == {due: started for due, started in began.items() if due in told}
