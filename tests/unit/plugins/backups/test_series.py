# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of a series: its rhythm, gaps that retention did not make, drops, the trend, and what retention keeps."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.model import Snapshot
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.series import (
    DAY,
    HOUR,
    RPO,
    allowed_age,
    drop,
    gaps,
    group,
    kept,
    missing,
    rhythm,
    trend,
)

NOW = 1_790_000_000.0


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def ago(*days: float) -> list[float]:
    return [NOW - day * DAY for day in days]


def snapshot(when: float, size: int | None = None, host: str = "a", paths: tuple[str, ...] = ("/",)) -> Snapshot:
    return Snapshot(str(when), "x", when, host, "root", paths, (), "t", None, "", size, size)


def test_snapshots_are_grouped_as_restic_does() -> None:
    one, two, three = snapshot(1, paths=("/b", "/a")), snapshot(2, paths=("/a", "/b")), snapshot(3, host="b")
    assert [(s.host, s.paths, len(s.snapshots)) for s in group([three, one, two], ["host", "paths"])] == [
        ("a", ("/a", "/b"), 2),
        ("b", ("/",), 1),
    ]
    assert len(group([one, snapshot(4, paths=("/c",))], ["host"])) == 1


def test_a_series_of_many_paths_has_a_short_name_of_its_own() -> None:
    many = tuple(f"/srv/customers/{number:03d}" for number in range(60))
    (first,) = group([snapshot(1, paths=many)], ["host", "paths"])
    (second,) = group([snapshot(1, paths=(*many[:-1], "/other"))], ["host", "paths"])
    assert len(first.subject("main")) < 200
    assert first.subject("main") != second.subject("main")


@pytest.mark.parametrize(
    ("days", "allowed"),
    [
        ((1,), RPO),
        ((2, 1), RPO),
        ((4, 3, 2, 1), 1.25 * DAY),
        ((21, 14, 7), 1.25 * 7 * DAY),
        # weekdays only: over the weekend three days pass
        ((9, 8, 7, 4, 3, 2, 1, 0), 1.25 * 3 * DAY),
        # one pause out of all proportion is no rhythm
        ((40, 4, 3, 2, 1), 1.25 * DAY),
        ((0.2, 0.1, 0), RPO),
    ],
)
def test_how_old_a_series_may_be_without_an_agreement(days: tuple[float, ...], allowed: float) -> None:
    assert allowed_age(ago(*days), None) == pytest.approx(allowed)
    assert allowed_age(ago(*days), 5 * HOUR) == 5 * HOUR


def test_the_rhythm_is_that_of_the_last_snapshots() -> None:
    assert rhythm(ago(90, 60, 30, 5, 4, 3, 2, 1, 0)) == pytest.approx(DAY)
    assert rhythm(ago(2, 1)) is None


@pytest.mark.parametrize(
    ("days", "found"),
    [
        ((9, 8, 7, 6, 5, 1, 0), [4]),
        ((9, 8, 7, 6, 5, 4, 3), []),
        # thinned out by retention: ever sparser towards the past
        ((120, 90, 60, 30, 21, 14, 7, 6, 5, 4, 3, 2, 1, 0), []),
        # weekends
        ((21, 20, 19, 18, 17, 14, 13, 12, 11, 10, 7, 6, 5, 4, 3, 0), []),
        # two gaps of the same length on different days of the week
        ((20, 19, 18, 17, 14, 13, 12, 11, 10, 9, 6, 5, 4), [3, 3]),
        # long ago
        ((99, 98, 97, 96, 90, 89, 88, 2, 1), [86]),
        # too few before it
        ((9, 8, 0), []),
        # minutes are no gap
        ((0.04, 0.03, 0.02, 0.01, -0.2), []),
    ],
)
def test_gaps_are_told_apart_from_retention_and_weekends(days: tuple[float, ...], found: list[float]) -> None:
    told = gaps(ago(*days), NOW - 35 * DAY, None)
    assert [round((gap.end - gap.start) / DAY) for gap in told] == found


def test_an_agreed_rhythm_makes_gaps_without_a_history() -> None:
    assert len(gaps(ago(5, 1), NOW - 35 * DAY, DAY)) == 1
    assert gaps(ago(30, 23, 16, 9, 2, 1), NOW - 35 * DAY, DAY) and not gaps(ago(3, 2, 1), 0, DAY)


@pytest.mark.parametrize(
    ("sizes", "step"),
    [
        ([100, 100, 100, 100], None),
        ([100, 100, 100, 49], 3),
        ([100, 100, 100, 51], None),
        ([100, 100, 100, 20, 20, 20, 20, 20, 20, 20], 3),  # the new size has become usual, and it is still told
        ([100, 100, 20, 100], None),  # recovered
        ([100, 900, 100, 100], None),  # a freak upwards is not usual
        ([100, 70, 45], None),  # it shrinks slowly: each by less than half
        ([0, 0, 0], None),
        ([100, 100, 0], 2),
        ([100], None),
        ([], None),
    ],
)
def test_a_drop_is_told_from_the_day_on_until_it_recovers(sizes: list[int], step: int | None) -> None:
    pairs = [(snapshot(NOW - (len(sizes) - at) * DAY), float(size)) for at, size in enumerate(sizes)]
    found = drop(pairs, "bytes", 50.0, NOW - 35 * DAY)
    assert (None if found is None else pairs.index((found.after, float(sizes[step or 0])))) == step
    if found is not None and step:
        assert found.before is pairs[step - 1][0]
    assert drop(pairs, "bytes", 0.0, 0) is None


def test_an_old_drop_is_history() -> None:
    pairs = [(snapshot(NOW - day * DAY), 100.0 if day > 60 else 10.0) for day in range(90, 0, -1)]
    assert drop(pairs, "bytes", 50.0, NOW - 35 * DAY) is None


def test_the_trend_is_not_moved_by_one_freak() -> None:
    pairs = [(snapshot(NOW + day * DAY), 1000.0 + 10 * day) for day in range(10)]
    pairs[4] = (pairs[4][0], 1e9)
    assert trend(pairs) == pytest.approx(10)
    assert trend(pairs[:2]) is None


def test_what_retention_keeps_is_what_restic_forget_keeps() -> None:
    times = ago(*range(40))
    assert kept(times, {"last": 2}) == set(times[:2])
    assert kept(times, {"daily": 7}) == set(times[:7])
    weekly = sorted(kept(times, {"weekly": 4}), reverse=True)
    assert len(weekly) == 4 and weekly[0] == times[0]
    assert [time.strftime("%a", time.gmtime(moment)) for moment in weekly[1:]] == ["Sun"] * 3


@pytest.mark.parametrize(
    ("days", "keep", "lacking"),
    [
        (range(10), {"daily": 7}, {}),
        ((0, 1, 2, 5, 6, 7, 8), {"daily": 8}, {"daily": 2}),
        # restic keeps older days in place of those that never were: it has its seven
        ((0, 1, 2, 5, 6, 7, 8, 9, 10), {"daily": 7}, {}),
        ((0, 1, 2), {"daily": 7}, {}),  # it began three days ago
        ((0, 7, 14, 21), {"daily": 7, "weekly": 4}, {}),  # a weekly backup has no days
        ((0, 1, 2, 100), {"monthly": 6}, {"monthly": 2}),
        (range(3), {}, {}),
    ],
)
def test_what_retention_promised_and_is_not_there(days: range, keep: dict[str, int], lacking: dict[str, int]) -> None:
    times = sorted(ago(*days))
    found = missing(times, keep, times[0])
    assert {name: len(labels) for name, labels in found.items()} == lacking


def test_what_was_never_made_was_not_deleted() -> None:
    """A backup that stopped, and one that paused: only what was between two snapshots, and is gone, counts."""
    stopped = sorted(ago(21, 22, 23, 24, 25))
    assert missing(stopped, {"daily": 14}, stopped[0]) == {}
    assert len(missing(stopped, {"daily": 14}, ago(60)[0])["daily"]) == 9  # it began earlier, as somebody says
    paused = sorted(ago(0, 1, 2, 9, 10, 11))
    assert len(missing(paused, {"daily": 14}, paused[0])["daily"]) == 6
    assert missing(paused, {"daily": 14}, paused[0], [(ago(9)[0], ago(2)[0])]) == {}
    # Of what lies elsewhere it says nothing.
    holes = sorted(ago(0, 1, 2, 9, 10, 13))
    assert len(missing(holes, {"daily": 14}, holes[0], [(ago(9)[0], ago(2)[0])])["daily"]) == 2
