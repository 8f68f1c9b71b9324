# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calendar's part of upkeep.yml: what is wrong with it, by line; and what is made of it."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from upkeep import config_file
from upkeep.calendar.decide import outlook, timetable
from upkeep.calendar.holidays import Holidays, Kept, keeping
from upkeep.calendar.windows import Window, without
from upkeep.schedule import next_times, parse

BERLIN = ZoneInfo("Europe/Berlin")
HEAD = "time_zone: Europe/Berlin\njobs:\n  a:\n    playbook: x.yml\n"


def check(folder: Path, text: str) -> tuple[config_file.Config | None, list[config_file.Problem]]:
    (folder / "upkeep.yml").write_text(text)
    return config_file.check(folder / "upkeep.yml", folder)


@pytest.mark.parametrize(
    ("text", "line", "expected", "found"),
    [
        ("    window: whenever\n", 5, 'a window, as "22:00-06:00"', "whenever"),
        ("    window: [22:00-06:00, 3]\n", 5, "a list of them", "a list"),
        ("    window: every 6h-07:00\n", 5, "a window", ""),
        ('    window: "2nd Sat 22:00-Mon 04:00"\n', 5, "a day of the week on both sides", ""),
        ('    window: "02:00-03:00"\n    time_limit: 2h\n', 5, "at least its time_limit, 2 h", "at most 1 h"),
        ("    catch_up: twice\n", 5, "one of 'skip', 'once', 'all'", "twice"),
        ("    catch_up_limit: 51\n", 5, "at most 50", "51"),
        ("    jitter: soon\n", 5, "a duration", "soon"),
        (
            "    after: weakly\n",
            5,
            "one of a, backup_restore_test, backup_review, capacity, monthly, patch_state, weekly",
            "weakly",
        ),
        ("    after: {jobs: weekly}\n", 5, "", ""),
        ("    after: a\n", 5, "no circle", "a after a"),
        ("    after: b\n  b: {playbook: y.yml, after: a}\n", 5, "no circle", "a after b after a"),
        ("    approve: true\n    check: true\n", 5, "a job that changes systems", "check: true"),
        ('    schedule: "every 7h"\n', 5, "an interval that divides the day", "every 7h"),
        ('    schedule: "every 7h from 2026-01-01"\n    holidays: next\n', 6, "skip or run", "next"),
        ("    holidays: never\n", 5, "one of 'run', 'skip', 'next', 'previous'", "never"),
        ("freezes:\n  - {name: f, from: 2026-12-20, to: 2026-12-01}\n", 6, "something after 2026-12-20", "2026-12-01"),
        (
            "freezes:\n  - {name: f, from: 2026-12-01, to: 2026-12-02, jobs: [b]}\n",
            6,
            "one of a, backup_restore_test, backup_review, capacity, monthly, patch_state, weekly",
            "b",
        ),
        (
            "freezes:\n  - {name: f, from: 2026-13-45, to: 2026-12-01}\n",
            6,
            "a day or a time by the wall clock",
            "2026-13-45",
        ),
        (
            "freezes:\n  - {name: f, from: Christmas, to: 2026-12-01}\n",
            6,
            "a day or a time by the wall clock",
            "Christmas",
        ),
        ("freezes:\n  - {name: f, form: 2026-12-20, to: 2026-12-21}\n", 6, "one of name, from, to", "form"),
        ("    holidays: skip\nholidays: {country: XX}\n", 6, "a country by ISO 3166", "XX"),
        ("    holidays: skip\nholidays: {country: DE, region: ZZ}\n", 6, "BY", "ZZ"),
        ("holidays: {country: ZZ}\n", 5, "a country by ISO 3166", "ZZ"),  # business hours need it without any job
        ("holidays: {country: DE, region: ZZ}\n", 5, "BY", "ZZ"),
        ("holidays: {country: DEE}\n", 5, "a country by ISO 3166", "DEE"),
        ("holidays: {region: BY}\n", 5, "the key country", "no such key"),
        ("holidays: {dates: Christmas}\n", 5, "a list of dates", "Christmas"),
        ('holidays: {dates: ["24 December"]}\n', 5, "a date, as 2026-12-24", ""),
    ],
)
def test_what_is_wrong_with_it(tmp_path: Path, text: str, line: int, expected: str, found: str) -> None:
    config, problems = check(tmp_path, HEAD + text)
    assert config is None
    told = problems[0].error(tmp_path / "upkeep.yml")
    assert problems[0].line == line, problems
    assert expected in told.expected and found in told.found


def test_what_changes_systems_is_known_or_assumed(tmp_path: Path) -> None:
    config, problems = check(
        tmp_path,
        HEAD
        + "  b: {playbook: y.yml, check: true}\n  c: {playbook: upkeep.maintenance.patch_state}\n"
        + "  d: {playbook: z.yml, changes: false}\n  weekly: {playbook: mine.yml}\n"
        + "  e: {playbook: y.yml, lock: [web, db]}\n",
    )
    assert config is not None, problems
    changes = {name for name, job in config.jobs.items() if job.changes}
    assert changes == {"a", "weekly", "e"}
    assert {job.locks for job in config.jobs.values() if job.name in ("b", "c", "d", "capacity")} == {()}
    assert config.jobs["a"].locks == ("changes",) and config.jobs["e"].locks == ("web", "db")


def test_freezes_are_by_the_wall_clock_and_a_day_lasts_to_its_end(tmp_path: Path) -> None:
    text = (
        "    schedule: daily 02:00\nfreezes:\n"
        "  - {name: f, from: 2026-10-24, to: 2026-10-25}\n"
        "  - {name: g, from: 2026-11-01 18:30:00, to: 2026-11-02 08:00, jobs: b*}\n"
    )
    config, problems = check(tmp_path, HEAD + text)
    assert config is not None, problems
    first, second = config.freezes
    assert first.end - first.start == 49 * 3600  # the night in which the clocks are changed
    assert first.end == datetime(2026, 10, 26, tzinfo=BERLIN).timestamp()
    assert second.start == datetime(2026, 11, 1, 18, 30, tzinfo=BERLIN).timestamp()
    table = timetable(config, config.jobs["a"])
    assert [freeze.name for freeze in table.freezes] == ["f"]
    found = outlook(table, datetime(2026, 10, 24, tzinfo=BERLIN).timestamp())
    assert [next(found).starts is None for _ in range(3)] == [True, True, False]


def test_the_built_in_time_limit_is_no_promise(tmp_path: Path) -> None:
    config, problems = check(tmp_path, 'jobs:\n  weekly: {schedule: "Sun 03:00", window: "02:00-05:00"}\n')
    assert config is not None, problems
    assert timetable(config, config.jobs["weekly"]).time_limit is None


HOLIDAYS = Holidays(
    country="DE",
    region="BY",
    dates={date(2026, 12, 24): "Christmas Eve"},
    worked=frozenset({date(2026, 5, 1), date(2026, 5, 2)}),
)


def test_which_days_are_holidays() -> None:
    assert HOLIDAYS.name(date(2026, 12, 25)) == "Christmas Day" and HOLIDAYS.name(date(2026, 12, 24)) == "Christmas Eve"
    assert HOLIDAYS.name(date(2026, 1, 6)) == "Epiphany" and Holidays("DE", "BE").name(date(2026, 1, 6)) is None
    assert HOLIDAYS.name(date(2026, 5, 1)) is None and HOLIDAYS.works(date(2026, 5, 1))
    assert HOLIDAYS.works(date(2026, 5, 2)) and not HOLIDAYS.works(date(2026, 5, 9))
    assert Holidays("RU").name(date(2027, 1, 7)) and Holidays().name(date(2027, 1, 1)) is None


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("run", ["12-24", "12-25", "12-26", "12-27"]),
        ("skip", ["12-23", "12-27", "12-28", "12-29"]),
        # Christmas moves to Monday, over a Sunday that is none; and Monday has one of its own: once a time of day
        ("next", ["12-23", "12-27", "12-28", "12-29"]),
        ("previous", ["12-23", "12-27", "12-28", "12-29"]),
    ],
)
def test_what_becomes_of_a_holiday(rule: str, expected: list[str]) -> None:
    kept = keeping(parse("daily 02:00"), rule, HOLIDAYS)  # type: ignore[arg-type]
    after = datetime(2026, 12, 22 if rule != "run" else 23, 12, tzinfo=BERLIN)
    found = next_times(kept, after, BERLIN)
    assert [next(found).strftime("%m-%d") for _ in range(4)] == expected


def test_moved_over_a_weekend_and_by_month() -> None:
    monthly = keeping(parse("1st 04:00"), "next", HOLIDAYS)
    found = next_times(monthly, datetime(2026, 10, 2, tzinfo=BERLIN), BERLIN)
    # All Saints' is a Sunday; New Year's Day a Friday; 1 May is worked by exception in 2026 only
    assert [next(found).strftime("%Y-%m-%d") for _ in range(4)] == [
        "2026-11-02",
        "2026-12-01",
        "2027-01-04",
        "2027-02-01",
    ]
    before = keeping(parse("1st 04:00"), "previous", HOLIDAYS)
    assert next(next_times(before, datetime(2026, 12, 2, tzinfo=BERLIN), BERLIN)).strftime("%m-%d") == "12-31"
    working = keeping(parse("last working day 18:00"), "run", HOLIDAYS)
    assert next(next_times(working, datetime(2027, 4, 2, tzinfo=BERLIN), BERLIN)).strftime("%m-%d") == "04-30"
    easter = keeping(parse("1st working day 06:00"), "run", HOLIDAYS)
    assert next(next_times(easter, datetime(2026, 12, 2, tzinfo=BERLIN), BERLIN)).strftime("%Y-%m-%d") == "2027-01-04"


def test_two_days_that_become_one_keep_the_order_of_their_times() -> None:
    twice = keeping(parse("0 2,20 * * *"), "next", HOLIDAYS)
    assert isinstance(twice, Kept)
    walls = list(twice.local(date(2026, 12, 23), date(2026, 12, 29)))
    assert walls == sorted(set(walls)) and {wall.day for wall in walls} == {23, 27, 28, 29}


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("22:00-06:00", 8),
        ("22:00-24:00", 2),
        ("00:00-24:00", 24),
        ("Sat 00:00-24:00", 24),
        ("Fri 22:00-Mon 04:00", 54),
        ("Sat 20:00-Sat 18:00", 166),
        ("Sat 18:00-Sat 20:00", 2),
        ("2nd Sat 20:00-02:00", 6),
        ("Mon-Fri 18:00 - 08:00", 14),
    ],
)
def test_how_long_a_window_is_open(text: str, hours: float) -> None:
    assert Window.parse(text).longest() == hours * 3600


def test_spans_less_others() -> None:
    assert list(without([(0, 10), (20, 30)], [(5, 6), (8, 22), (29, 40)])) == [(0, 5), (6, 8), (22, 29)]
    assert list(without([(0, float("inf"))], [(-5, 3)])) == [(3, float("inf"))]


def test_a_freeze_may_name_jobs_by_a_pattern_before_they_are_there(tmp_path: Path) -> None:
    _, problems = check(tmp_path, HEAD + "freezes:\n  - {name: f, from: 2026-12-01, to: 2026-12-02, jobs: [db_*, a]}\n")
    assert problems == []


def test_a_circle_is_told_once(tmp_path: Path) -> None:
    text = "    after: b\n  b: {playbook: y.yml, after: c}\n  c: {playbook: z.yml, after: [a, weekly]}\n"
    _, problems = check(tmp_path, HEAD + text)
    assert [(one.key, one.found) for one in problems] == [("jobs.a.after", "a after b after c after a")]
