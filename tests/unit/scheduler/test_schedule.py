# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a job is due: a table of schedules and their times, the two nights of the year included."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import MONTHLY, TU, rrule
from hypothesis import given, settings
from hypothesis import strategies as st

from upkeep.schedule import next_times, parse

BERLIN = ZoneInfo("Europe/Berlin")
"""Summer time from 29 March 2026, 02:00 → 03:00, to 25 October 2026, 03:00 → 02:00."""


def times(schedule: Any, after: str, count: int = 3, zone: ZoneInfo = BERLIN) -> list[str]:
    start = datetime.fromisoformat(after).replace(tzinfo=zone)
    found = itertools.islice(next_times(parse(schedule), start, zone), count)
    return [at.isoformat(timespec="minutes") for at in found]


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("Sun 03:00", "2026-01-01T00:00", ["2026-01-04T03:00+01:00", "2026-01-11T03:00+01:00"]),
        ("Mon-Fri 02:30", "2026-01-02T02:30", ["2026-01-05T02:30+01:00", "2026-01-06T02:30+01:00"]),
        ("Fri-Mon 02:30", "2026-01-06T00:00", ["2026-01-09T02:30+01:00", "2026-01-10T02:30+01:00"]),
        ("daily 04:00", "2026-01-01T03:59", ["2026-01-01T04:00+01:00", "2026-01-02T04:00+01:00"]),
        # cron counts Sunday as 0 and as 7
        ("0 3 * * 0", "2026-01-01T00:00", ["2026-01-04T03:00+01:00"]),
        ("0 3 * * 7", "2026-01-01T00:00", ["2026-01-04T03:00+01:00"]),
        ("0 3 * * sun", "2026-01-01T00:00", ["2026-01-04T03:00+01:00"]),
        (
            "0 3 * * 5-7",
            "2026-01-01T00:00",
            ["2026-01-02T03:00+01:00", "2026-01-03T03:00+01:00", "2026-01-04T03:00+01:00"],
        ),
        # both kinds of days: either; one of them a star, with a step or not: the other one
        ("0 0 13 * fri", "2026-02-07T00:00", ["2026-02-13T00:00+01:00", "2026-02-20T00:00+01:00"]),
        ("0 0 12 * fri", "2026-02-07T00:00", ["2026-02-12T00:00+01:00", "2026-02-13T00:00+01:00"]),
        ("0 0 */2 * fri", "2026-02-07T00:00", ["2026-02-13T00:00+01:00", "2026-02-27T00:00+01:00"]),
        ("5,35 1-2 1 jan,jul *", "2026-01-01T01:06", ["2026-01-01T01:35+01:00", "2026-01-01T02:05+01:00"]),
        ("10/25 0 * * *", "2026-01-01T00:00", ["2026-01-01T00:10+01:00", "2026-01-01T00:35+01:00"]),
        ("@monthly", "2026-01-15T00:00", ["2026-02-01T00:00+01:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00", ["2028-02-29T00:00+01:00", "2032-02-29T00:00+01:00"]),
        ("0 0 29 2 *", "2096-03-01T00:00", ["2104-02-29T00:00+01:00"]),
        ("0 0 31 * *", "2026-01-31T00:00", ["2026-03-31T00:00+02:00", "2026-05-31T00:00+02:00"]),
        # the second Tuesday of the month, and three days; it may fall into the next month for other rules
        (
            {"rrule": "FREQ=MONTHLY;BYDAY=2TU", "offset_days": 3, "at": "02:00"},
            "2026-10-01T00:00",
            ["2026-10-16T02:00+02:00", "2026-11-13T02:00+01:00"],
        ),
        (
            {"rrule": "FREQ=MONTHLY;BYMONTHDAY=-1", "offset_days": 2, "at": "02:00"},
            "2026-02-01T03:00",
            ["2026-02-02T02:00+01:00", "2026-03-02T02:00+01:00"],
        ),
        (
            {"rrule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", "at": "02:00", "start": date(2026, 1, 4)},
            "2026-01-05T00:00",
            ["2026-01-18T02:00+01:00", "2026-02-01T02:00+01:00"],
        ),
        (
            {"rrule": "FREQ=DAILY;COUNT=2", "at": "02:00", "start": "2026-01-04"},
            "2026-01-04T02:00",
            ["2026-01-05T02:00+01:00"],
        ),
        # in words
        ("last Sun 02:00", "2026-02-01T00:00", ["2026-02-22T02:00+01:00", "2026-03-29T03:00+02:00"]),
        ("2nd Tue + 3d 02:00", "2026-10-01T00:00", ["2026-10-16T02:00+02:00", "2026-11-13T02:00+01:00"]),
        ("first Mon - 2 days 23:30", "2026-01-01T00:00", ["2026-01-03T23:30+01:00", "2026-01-31T23:30+01:00"]),
        ("1st,3rd sat 02:00", "2026-01-05T00:00", ["2026-01-17T02:00+01:00", "2026-02-07T02:00+01:00"]),
        ("5th Fri 02:00", "2026-02-01T00:00", ["2026-05-29T02:00+02:00", "2026-07-31T02:00+02:00"]),
        ("31st 12:00", "2026-02-01T00:00", ["2026-03-31T12:00+02:00", "2026-05-31T12:00+02:00"]),
        ("last day 12:00", "2028-02-01T00:00", ["2028-02-29T12:00+01:00", "2028-03-31T12:00+02:00"]),
        ("last working day 18:00", "2026-01-01T00:00", ["2026-01-30T18:00+01:00", "2026-02-27T18:00+01:00"]),
        ("quarterly 1st Sat 04:00", "2026-02-01T00:00", ["2026-04-04T04:00+02:00", "2026-07-04T04:00+02:00"]),
        ("quarterly last Sun 04:00", "2026-02-01T00:00", ["2026-03-29T04:00+02:00", "2026-06-28T04:00+02:00"]),
        ("quarterly 04:00", "2026-02-01T00:00", ["2026-04-01T04:00+02:00", "2026-07-01T04:00+02:00"]),
        ("yearly 60th day 04:00", "2027-06-01T00:00", ["2028-02-29T04:00+01:00", "2029-03-01T04:00+01:00"]),
        ("Mar,Sep 2nd Sat 02:00", "2026-04-01T00:00", ["2026-09-12T02:00+02:00", "2027-03-13T02:00+01:00"]),
        ("every 6h", "2026-03-29T00:00", ["2026-03-29T06:00+02:00", "2026-03-29T12:00+02:00"]),
        ("every 8h 01:30", "2026-10-24T20:00", ["2026-10-25T01:30+02:00", "2026-10-25T09:30+01:00"]),
        (
            "every 90 m",
            "2026-01-01T20:00",
            ["2026-01-01T21:00+01:00", "2026-01-01T22:30+01:00", "2026-01-02T00:00+01:00"],
        ),
        # passing time: seven hours are seven hours in the night in which the clocks are changed
        ("every 7h from 2026-03-28 20:00", "2026-03-28T12:00", ["2026-03-28T20:00+01:00", "2026-03-29T04:00+02:00"]),
        ("every 3d 02:00 from 2026-01-04", "2026-01-04T02:00", ["2026-01-07T02:00+01:00", "2026-01-10T02:00+01:00"]),
        ("every 2w from 2026-01-04 03:00", "2026-01-05T00:00", ["2026-01-18T03:00+01:00", "2026-02-01T03:00+01:00"]),
        # the night in which 02:00 becomes 03:00: the first instant after the gap, once
        ("Sun 02:30", "2026-03-28T00:00", ["2026-03-29T03:00+02:00", "2026-04-05T02:30+02:00"]),
        ("0,30 2 * * *", "2026-03-28T03:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        (
            "*/30 * * * *",
            "2026-03-29T01:00",
            ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"],
        ),
        # the night in which 02:30 comes twice: at its first coming, once; what follows the hours follows them
        ("Sun 02:30", "2026-10-24T00:00", ["2026-10-25T02:30+02:00", "2026-11-01T02:30+01:00"]),
        (
            "30 * * * *",
            "2026-10-25T01:00",
            ["2026-10-25T01:30+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"],
        ),
        (
            "*/30 * * * *",
            "2026-10-25T01:30",
            ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00"],
        ),
    ],
)
def test_times(schedule: Any, after: str, expected: list[str]) -> None:
    assert times(schedule, after, len(expected)) == expected


def test_after_the_first_coming_of_a_doubled_hour_it_is_not_due_again() -> None:
    after = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    assert next(next_times(parse("Sun 02:30"), after, BERLIN)).day == 1


def test_gaps_that_are_not_of_one_hour() -> None:
    # Lord Howe Island moves by 30 minutes; Samoa left out a whole day.
    assert times("Sun 02:10", "2026-09-28T00:00", 1, ZoneInfo("Australia/Lord_Howe")) == ["2026-10-04T02:30+11:00"]
    assert times("30 12 30 12 *", "2011-12-20T00:00", 1, ZoneInfo("Pacific/Apia")) == ["2011-12-31T00:00+14:00"]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("whenever", '"Sun 03:00", "Mon-Fri 02:30"'),
        ("Foo 03:00", "days as Sun, Mon-Fri or Sat,Sun, not 'Foo'"),
        ("Sun 25:00", "a time of day, as \"02:30\", not '25:00'"),
        ("60 * * * *", "the minute of a cron line within 0-59, not '60'"),
        ("* * * * mo-", "the day of the week of a cron line"),
        ("*/0 * * * *", "the minute of a cron line"),
        ("0 0 30 2 *", "never comes"),
        ("6th Tue 02:00", "a day that exists"),
        ("0th 02:00", "a day that exists"),
        ("2nd Foo 02:00", "days as Sun, Mon-Fri"),
        ("weekly 2nd Tue 02:00", "monthly, quarterly, yearly or months as Mar,Sep"),
        ("2nd Tue 25:00", "a time of day"),
        ("every 7h", "an interval that divides the day"),
        ("every 0h", "an interval, as"),
        ("every 400d 02:00 from 2026-01-01", "at most a year"),
        ("every 3d 02:00", "a day from which is counted"),
        ({"rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "at": "02:00"}, "a recurrence rule that comes at all"),
        ({"rrule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", "at": "02:00"}, "start (a date from which the rule counts)"),
        ({"rrule": "FREQ=MONTHLY", "at": "02:00"}, "start (a date from which the rule counts)"),
        ({"rrule": "FREQ=HOURLY", "at": "02:00"}, "FREQ=DAILY, WEEKLY, MONTHLY or YEARLY"),
        ({"rrule": "FREQ=DAILY;BYHOUR=3", "at": "02:00"}, "an rrule without BYHOUR"),
        ({"rrule": "FREQ=DAILY;BYDAY=XX", "at": "02:00"}, "a recurrence rule as RFC 5545 has it"),
        ({"rrule": "FREQ=DAILY"}, 'at: the time of day, as "02:00"'),
        ({"rrule": "FREQ=DAILY", "at": "02:00", "ofset_days": 3}, "unknown: ofset_days"),
        ({"rrule": "FREQ=DAILY", "at": "02:00", "offset_days": 1.5}, "offset_days: a whole number of days"),
    ],
)
def test_what_is_wrong_with_a_schedule(schedule: Any, expected: str) -> None:
    with pytest.raises(ValueError) as told:
        parse(schedule)
    assert expected in str(told.value)


@settings(max_examples=60, deadline=None)
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    start=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis and rrule want them naive
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"]),
)
def test_daily_comes_exactly_once_on_every_day(minute: int, hour: int, start: datetime, zone: str) -> None:
    where = ZoneInfo(zone)
    found = list(itertools.islice(next_times(parse(f"{minute} {hour} * * *"), start, where), 400))
    assert [at.date() for at in found] == [found[0].date() + timedelta(days=step) for step in range(400)]
    for at in found:
        # Either the wall clock shows that time, or it jumped over it in that very hour.
        before = at.replace(hour=hour, minute=minute, fold=0)
        assert at == before or before.astimezone(UTC).astimezone(where).replace(tzinfo=None) != before.replace(
            tzinfo=None
        )


@settings(max_examples=40, deadline=None)
@given(start=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)), offset=st.integers(-10, 40))  # noqa: DTZ001 - hypothesis and rrule want them naive
def test_rules_with_an_offset_agree_with_dateutil(start: datetime, offset: int) -> None:
    given_rule = {"rrule": "FREQ=MONTHLY;BYDAY=2TU", "offset_days": offset, "at": "02:00"}
    utc = ZoneInfo("UTC")
    found = itertools.islice(next_times(parse(given_rule), start.replace(tzinfo=UTC), utc), 5)
    naive = rrule(MONTHLY, byweekday=TU(2), dtstart=datetime(2000, 1, 1, 2), until=datetime(2030, 1, 1))  # noqa: DTZ001 - hypothesis and rrule want them naive
    expected = [at + timedelta(days=offset) for at in naive if at + timedelta(days=offset) > start][:5]
    assert [at.replace(tzinfo=None) for at in found] == expected
