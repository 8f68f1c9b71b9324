# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`upkeep run JOB --if-due` by cron alone: what was claimed and did not begin is nobody else's to come back to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.scheduler.scheduler_rig import HOUR, MINUTE, NOON, Scheduler, job
from upkeep.errors import OK
from upkeep.running import begin
from upkeep.running.followed import overtaken
from upkeep.running.occurrence import BEGIN_WITHIN, Mine, Nothing, Theirs, by_hand, if_due
from upkeep.service import engine
from upkeep.store import Run, firings, locks

NIGHTLY = job("a", "0 13 * * *", changes=True, misfire=2 * HOUR)
DUE = NOON + HOUR


def test_an_occurrence_whose_process_died_is_taken_over(tmp_path: Path) -> None:
    with Scheduler(tmp_path, NIGHTLY) as one:
        first = if_due(one.store, one.config, NIGHTLY, DUE + 1)
        assert isinstance(first, Mine)
        assert isinstance(if_due(one.store, one.config, NIGHTLY, DUE + MINUTE), Theirs), "it may wait for a lock"
        later = DUE + 1 + BEGIN_WITHIN
        assert if_due(one.store, one.config, NIGHTLY, later) == first
        one.begin(first.firing)
        assert isinstance(if_due(one.store, one.config, NIGHTLY, later + HOUR), Theirs)
        one.finish(first.firing)
        assert isinstance(if_due(one.store, one.config, NIGHTLY, later + HOUR), Nothing)


def test_one_that_was_put_off_for_a_lock_comes_at_the_next_call(tmp_path: Path) -> None:
    with Scheduler(tmp_path, NIGHTLY) as one:
        first = if_due(one.store, one.config, NIGHTLY, DUE + 1)
        assert isinstance(first, Mine)
        with one.store.database.write() as connection:
            firings.put_off(connection, first.firing, "run 1 of b holds the lock web", DUE + 20)
        assert if_due(one.store, one.config, NIGHTLY, DUE + 5 * MINUTE) == first


def test_one_that_waits_for_a_lock_is_left_alone_for_as_long_as_it_says_so(tmp_path: Path) -> None:
    """`upkeep run a --if-due --wait 1h`, and the next cron line before the hour is over."""
    with Scheduler(tmp_path, NIGHTLY) as one:
        first = if_due(one.store, one.config, NIGHTLY, DUE + 1)
        assert isinstance(first, Mine)
        later = DUE + 20 * MINUTE
        with one.store.database.write() as connection:
            firings.still_waits(connection, first.firing, "run 1 of b holds the lock web", later - 5)
        theirs = if_due(one.store, one.config, NIGHTLY, later)
        assert isinstance(theirs, Theirs) and theirs.firing.why == "run 1 of b holds the lock web"
        one.now = later
        assert one.look() == [], "a service does not start a second process for it"
        assert one.look(MINUTE) == ["a"], "until nothing is heard of the first one any more"


def test_who_waits_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(begin.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(begin.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    told: list[tuple[float, str]] = []

    def busy() -> Run:
        raise locks.Busy(locks.Holder("the lock web", "*", 1, "r", "b", "b.yml", 0.0, "node1", 7, "ann"))

    with pytest.raises(locks.Busy):
        begin.patiently(busy, 21, lambda why: told.append((now[0], why)))
    assert [at for at, _why in told] == [0, 5, 10, 15, 20]
    assert {why for _at, why in told} == {"run 1 of b holds the lock web (by ann)"}
    assert begin.SIGN * 2 < engine.BEGIN_WITHIN


def test_who_was_overtaken_follows_or_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Scheduler(tmp_path, NIGHTLY) as one:
        first = if_due(one.store, one.config, NIGHTLY, DUE + 1)
        assert isinstance(first, Mine)
        one.begin(first.firing)
        assert overtaken(one.store, NIGHTLY, first.firing, one.config, if_due=True, as_json=False) == OK
        assert "is carried out by another process" in capsys.readouterr().out
        one.finish(first.firing)
        assert overtaken(one.store, NIGHTLY, first.firing, one.config, if_due=False, as_json=False) == OK
        assert "Run 1: finished" in capsys.readouterr().out


def test_by_hand_and_killed_before_it_began_is_taken_up_by_a_service(tmp_path: Path) -> None:
    with Scheduler(tmp_path, NIGHTLY) as one:
        one.now = DUE + 1
        assert isinstance(by_hand(one.store, one.config, NIGHTLY, one.now), Mine)
        assert isinstance(by_hand(one.store, one.config, NIGHTLY, one.now + 1), Theirs), "it is about to begin"
        assert one.look() == []
        assert one.look(30) == ["a"]


def test_by_hand_and_killed_before_it_began_is_ended_by_the_next_one(tmp_path: Path) -> None:
    """By cron alone nobody else comes back to it."""
    with Scheduler(tmp_path, NIGHTLY) as one:
        for day in range(2):
            mine = by_hand(one.store, one.config, NIGHTLY, DUE + 1 + day * 24 * HOUR)
            assert isinstance(mine, Mine)
        assert [(found.state, found.why) for found in one.firings("a")] == [
            ("missed", firings.FORSAKEN),
            ("waiting", ""),
        ]


def test_its_last_moment_holds_for_it_too(tmp_path: Path) -> None:
    with Scheduler(tmp_path, NIGHTLY) as one:
        if_due(one.store, one.config, NIGHTLY, DUE + 1)
        assert not isinstance(if_due(one.store, one.config, NIGHTLY, DUE + 3 * HOUR), Mine)
        assert one.states("a") == ["missed"]


def test_by_hand_at_its_time_it_is_that_occurrence(tmp_path: Path) -> None:
    with Scheduler(tmp_path, NIGHTLY) as one:
        first = by_hand(one.store, one.config, NIGHTLY, DUE + 30)
        assert isinstance(first, Mine)
        one.begin(first.firing)
        theirs = by_hand(one.store, one.config, NIGHTLY, DUE + 50)
        assert isinstance(theirs, Theirs) and theirs.firing.due == DUE
        assert by_hand(one.store, one.config, NIGHTLY, DUE + 2 * MINUTE) is None


def test_an_approval_is_no_time_of_the_schedule(tmp_path: Path) -> None:
    with Scheduler(tmp_path, NIGHTLY) as one:
        approved = DUE + 10 * MINUTE
        with one.store.database.write() as connection:
            number = firings.claim(connection, "a", approved, node="", now=approved)
        assert number is not None
        assert by_hand(one.store, one.config, NIGHTLY, approved + 10) is None, "neither while it waits"
        one.begin(number)
        one.finish(number)
        assert by_hand(one.store, one.config, NIGHTLY, approved + 40) is None, "nor when it is over"
