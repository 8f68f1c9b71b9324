# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`upkeep run JOB --if-due` by cron alone: what was claimed and did not begin is nobody else's to come back to."""

from __future__ import annotations

from pathlib import Path

from tests.unit.scheduler.scheduler_rig import HOUR, MINUTE, NOON, Scheduler, job
from upkeep.running.occurrence import BEGIN_WITHIN, Mine, Nothing, Theirs, by_hand, if_due
from upkeep.store import firings

NIGHTLY = job("a", "0 13 * * *", changes=True, misfire=2 * HOUR)
DUE = NOON + HOUR


def test_an_occurrence_whose_process_died_is_taken_over(tmp_path: Path) -> None:
    with Scheduler(tmp_path, NIGHTLY) as one:
        first = if_due(one.store, one.config, NIGHTLY, DUE + 1)
        assert isinstance(first, Mine)
        assert isinstance(if_due(one.store, one.config, NIGHTLY, DUE + MINUTE), Theirs), "it may wait for a lock"
        later = DUE + 1 + BEGIN_WITHIN + one.config.scheduler.lock_wait
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
