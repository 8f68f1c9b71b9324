# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading by turns: everything is read within its weeks, however often and irregularly it is asked."""

from __future__ import annotations

import hashlib
import random

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import check_rotation as rotation
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.check_rotation import WEEK, State

NOW = 1_790_000_000.0


def packs(count: int, seed: int = 0) -> list[str]:
    return [hashlib.sha256(b"%d %d" % (seed, number)).hexdigest() for number in range(count)]


def step(state: State, there: list[str], weeks: int, now: float) -> tuple[State, rotation.Plan]:
    planned = rotation.plan(state, there, weeks, now)
    state = rotation.mark(state, planned.groups, planned.total, now)
    return state._replace(last=now, since=state.since or now, credit=planned.credit), planned


@pytest.mark.parametrize("weeks", [1, 4, 8, 52])
@pytest.mark.parametrize("count", [1, 7, 56, 700, 5000])
def test_every_pack_is_read_within_its_weeks(weeks: int, count: int) -> None:
    there = packs(count)
    state = State()
    for week in range(weeks):
        state, planned = step(state, there, weeks, NOW + week * WEEK)
        assert len(planned.groups) <= 1 or planned.total < weeks
    end = NOW + (weeks - 1) * WEEK
    covered = rotation.coverage(state, there, weeks, end)
    assert (covered.read, covered.behind) == (count, 0)


def test_no_group_is_so_small_that_it_may_be_empty() -> None:
    there = packs(56)
    assert rotation.plan(State(), there, 52, NOW).total == 7
    groups = {rotation.group_of(pack, 7) for pack in there}
    assert groups == set(range(1, 8))


def test_asked_every_day_it_reads_no_more_than_asked_every_week() -> None:
    there = packs(700)
    state = State()
    read = []
    for day in range(56):
        state, planned = step(state, there, 8, NOW + day * 86400)
        read += planned.groups
    assert set(read) == set(range(1, 9))
    assert len(read) <= 9  # the tolerance may bring the first group of the next round into the last week


@pytest.mark.parametrize("jitter", [3600.0, 86400.0])
def test_runs_that_come_a_little_early_or_late_leave_nothing_out(jitter: float) -> None:
    there = packs(700)
    chance = random.Random(3)
    state = State()
    time = NOW
    for week in range(30):
        time = NOW + week * WEEK + chance.uniform(-jitter, jitter)
        state, _planned = step(state, there, 8, time)
    assert rotation.coverage(state, there, 8, time).behind == 0


def test_runs_that_were_missed_are_caught_up_with() -> None:
    there = packs(700)
    state, _planned = step(State(), there, 8, NOW)
    state, planned = step(state, there, 8, NOW + 4 * WEEK)
    assert len(planned.groups) == 4
    assert planned.packs == sum(rotation.group_of(pack, planned.total) in planned.groups for pack in there)


def test_what_was_read_stays_read_when_the_repository_grows() -> None:
    few, many = packs(16), packs(700)
    state = State()
    for week in range(8):
        state, planned = step(state, few, 8, NOW + week * WEEK)
        assert planned.total == 2
    before = rotation.coverage(state, many, 8, NOW + 7 * WEEK).read
    assert before > 600  # what never held a pack was never read
    state, planned = step(state, many, 8, NOW + 8 * WEEK)
    assert planned.total == 8
    assert all(rotation._age(state, rotation.by_byte(many), group, 8) == NOW + 8 * WEEK for group in planned.groups)


def test_it_is_told_when_the_reading_falls_behind() -> None:
    there = packs(700)
    state, _planned = step(State(), there, 8, NOW)
    assert rotation.coverage(state, there, 8, NOW + 9 * WEEK).behind == 0
    late = rotation.coverage(state, there, 8, NOW + 10 * WEEK)
    assert late.behind == 700
    assert late.read == 0


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    there = packs(700)
    state, _planned = step(State(), there, 8, NOW + 100 * WEEK)
    state, planned = step(state, there, 8, NOW)
    assert len(planned.groups) == 1


def test_a_repository_without_packs() -> None:
    planned = rotation.plan(State(), [], 8, NOW)
    assert (planned.total, planned.packs) == (1, 0)
    assert rotation.coverage(State(), [], 8, NOW) == rotation.Coverage(0, 0, 0.0, 0)


# -- the state file ---------------------------------------------------------------------------------------------------


def test_the_state_survives_being_written() -> None:
    state = State(tuple(float(byte) for byte in range(256)), 1.0, 2.0, 0.5, ("ab" * 8,), ("0" * 64,))
    assert rotation.load(rotation.dump({"id": state})) == ({"id": state}, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0" * 100,
        "{",
        "[]",
        "null",
        '{"format": 2, "repositories": {}}',
        '{"format": 1, "repositories": []}',
        "[" * 100_000,
        '{"format": 1, "repositories": {"a": {"read": [1, 2]}}}',
        '{"format": 1, "repositories": {"a": 1}}',
        rotation.dump({"a": State()}).replace('"credit": 0.0', '"credit": NaN'),
        rotation.dump({"a": State()}).replace('"bad": []', '"bad": ["--help"]'),
        rotation.dump({"a": State()})[:-20],
    ],
)
def test_a_file_that_is_damaged_or_somebody_elses_is_as_none(text: str) -> None:
    states, wrong = rotation.load(text)
    assert states == {}
    assert wrong


def test_the_file_stays_within_bounds() -> None:
    state = State(indexes=tuple(f"{number:016x}" for number in range(10_000)), bad=("f" * 64,) * 1000)
    states = {f"{number:064x}": state._replace(last=float(number), indexes=()) for number in range(1000)}
    states["newest"] = state._replace(last=5000.0)
    kept, _wrong = rotation.load(rotation.dump(states))
    assert len(kept) == rotation.REPOSITORIES_KEPT
    assert len(kept["newest"].indexes) == rotation.INDEXES_KEPT
    assert len(kept["newest"].bad) == rotation.BAD_KEPT
    assert rotation.load(None) == ({}, "")
