# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The leader's looks, with an injected clock: what is claimed, started, followed, put off and given up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.scheduler.scheduler_rig import HOUR, MINUTE, NOON, Scheduler, job
from upkeep.calendar.decide import After
from upkeep.errors import NOT_RUN, WRONG_USE, UpkeepError
from upkeep.service import engine as engine_module
from upkeep.service.launch import PUT_OFF
from upkeep.store import firings, locks


def test_a_job_is_started_when_it_is_due_and_once(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a"), now=NOON + MINUTE) as one:
        assert one.next == NOON + HOUR
        assert one.look(58 * MINUTE) == []
        assert one.look(MINUTE) == ["a"]
        assert one.look(1.0) == []
        one.run_through(one.launches.started[0][0])
        assert one.look(HOUR - 1.0) == ["a"]
        assert one.states("a") == ["finished", "waiting"]
        assert [firing.due for firing in one.firings("a")] == [NOON + HOUR, NOON + 2 * HOUR]


def test_a_new_job_owes_nothing_of_the_past(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a", "0 0 * * *")) as one:
        assert one.look(MINUTE) == []
        assert one.firings("a") == []


def test_a_changed_schedule_owes_nothing_of_the_past(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a", "0 6 * * *")) as one:
        pass
    with Scheduler(tmp_path, job("a", "0 11 * * *"), now=NOON + 23.5 * HOUR) as one:
        assert one.launches.started == []


def test_the_clock_set_back_by_an_hour_doubles_nothing_and_forward_loses_nothing(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a", "*/10 * * * *", catch_up="all", misfire=2 * HOUR)) as one:
        for _ in range(3):
            for firing, _name in one.launches.started[len(one.firings("a")) - 1 :]:
                one.run_through(firing)
            one.look(10 * MINUTE)
        assert len(one.launches.started) == 3
        one.run_through(one.launches.started[-1][0])
        one.now -= HOUR
        for _ in range(6):
            assert one.look(10 * MINUTE) == [], "these were carried out before the clock was set back"
        one.now += HOUR  # six occurrences are owed at once
        started = 0
        for _ in range(10):
            started += len(one.look(1.5))
            one.run_through(one.launches.started[-1][0]) if one.launches.alive else None
        assert started == 6
        dues = [firing.due for firing in one.firings("a")]
        assert len(set(dues)) == len(dues) == 9


def test_two_schedulers_start_each_occurrence_once(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a"), job("b")) as one, Scheduler(tmp_path, job("a"), job("b"), node="there") as two:
        assert sorted(one.look(HOUR) + two.look(HOUR)) == ["a", "b"]
        assert len(one.firings("a")) == 1


def test_what_was_claimed_by_one_who_died_is_started_by_the_next(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a")) as one:
        one.look(HOUR)
    with Scheduler(tmp_path, job("a"), now=NOON + HOUR + 5) as two:
        assert two.launches.started == [], "its process may be about to register its run"
        assert two.look(engine_module.BEGIN_WITHIN) == ["a"]
        first = two.begin(two.launches.started[0][0])
        with pytest.raises(locks.NotOurs):
            two.store.begin_run("late", "p.yml", two.now, firing=two.launches.started[0][0])
        assert two.firings("a")[0].run == first.id


def test_what_was_claimed_and_not_begun_before_its_last_moment_is_missed(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a", misfire=10 * MINUTE)) as one:
        one.look(HOUR)
    with Scheduler(tmp_path, job("a", misfire=10 * MINUTE), now=NOON + 1.5 * HOUR) as two:
        assert two.launches.started == []
        assert two.states("a") == ["missed"]


def test_a_running_job_is_adopted_and_its_end_followed(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a")) as one:
        one.look(HOUR)
        one.begin(one.launches.started[0][0])
    with Scheduler(tmp_path, job("a"), now=NOON + HOUR + MINUTE) as two:
        assert two.states("a") == ["running"]
        assert two.look(HOUR - MINUTE) == [], "one run at a time"
        two.finish(1)
        assert two.look(MINUTE) == ["a"]
        assert two.states("a") == ["finished", "waiting"]


@pytest.mark.parametrize(("restart", "states"), [("never", ["interrupted"]), ("once", ["waiting"])])
def test_a_run_whose_process_died_is_interrupted_and_done_again_only_if_told_so(
    tmp_path: Path, restart: str, states: list[str]
) -> None:
    with Scheduler(tmp_path, job("a", "0 13 * * *", restart=restart)) as one:
        one.look(HOUR)
        folder = tmp_path / "run"
        folder.mkdir()
        (folder / "done-hosts").write_text("web1\nweb2\nwe")
        run = one.begin(1, artifacts=str(folder))
        one.change_run(run.id, pid_start=1)  # it is another process now
        one.launches.end(1, -9)
        assert one.look(MINUTE) == (["a"] if restart == "once" else [])
        assert one.states("a") == states
        assert one.firings("a")[0].done == (("web1", "web2") if restart == "once" else None)
        if restart == "once":
            again = one.begin(1)
            one.change_run(again.id, pid_start=1)
            one.launches.end(1, -9)
            assert one.look(MINUTE) == [], "once"
            assert one.states("a") == ["interrupted"]


def test_a_cancelled_run_is_not_done_again(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a", "0 13 * * *", restart="once")) as one:
        one.look(HOUR)
        run = one.begin(1)
        one.store.cancel(run.number, "ann", one.now)
        one.change_run(run.id, pid_start=1)
        one.launches.end(1, -9)
        assert one.look(MINUTE) == []
        assert one.states("a") == ["interrupted"]


def test_a_run_on_a_node_that_died_is_interrupted_and_its_locks_are_free(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a"), node_lost_after=60.0) as one:
        one.look(HOUR)
        run = one.begin(1)
        one.change_run(run.id, node="other", seen=5.0)
        for _ in range(5):
            one.look(10.0)
            assert one.states("a") == ["running"], "silent, but not for long enough"
        one.change_run(run.id, seen=6.0)
        one.look(10.0)
        assert one.states("a") == ["running"], "a sign of life"
        for _ in range(7):
            one.look(10.0)
        assert one.states("a") == ["interrupted"]
        with one.store.database.read() as connection:
            assert locks.holder(connection, [locks.of_job("a")]) is None


def test_a_process_that_cannot_begin_is_tried_again_and_then_told(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a")) as one:
        one.look(HOUR)
        for attempt in (1, 2):
            one.launches.end(1, NOT_RUN, "the store is full")
            assert one.look(1.0) == []
            assert one.firings("a")[0].why == "the store is full"
            assert one.look(engine_module.RETRY * attempt) == ["a"]
        one.launches.end(1, NOT_RUN, "the store is full")
        one.look(1.0)
        assert one.states("a") == ["error"]
        assert one.firings("a")[0].why == "the store is full"


def test_a_process_that_was_killed_before_it_began_is_started_again(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a")) as one:
        one.look(HOUR)
        one.launches.end(1, -9)
        assert one.look(1.0) == []
        assert one.look(engine_module.RETRY) == ["a"]


def test_a_wrong_job_is_not_tried_again(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a")) as one:
        one.look(HOUR)
        one.launches.end(1, WRONG_USE, "there is no playbook")
        one.look(1.0)
        assert one.states("a") == ["error"]


def test_one_that_waits_for_a_lock_waits_without_losing_attempts(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a", misfire=HOUR)) as one:
        one.look(HOUR)
        for _ in range(5):
            with one.store.database.write() as connection:
                firings.put_off(connection, 1, "run 7 holds it", one.now + 15)
            one.launches.end(1, PUT_OFF)
            assert one.look(1.0) == []
            assert one.firings("a")[0].why == "run 7 holds it"
            assert one.look(20.0) == ["a"]


def test_a_machine_that_cannot_start_a_process_is_told(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a"), job("b")) as one:
        one.launches.fails = UpkeepError("no process can be started", found="EAGAIN", exit_code=NOT_RUN)
        assert one.look(HOUR) == []
        one.launches.fails = None
        assert sorted(one.look(engine_module.RETRY + 1)) == ["a", "b"]


def test_one_bad_job_does_not_block_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from upkeep.service import book

    real = book.decide

    def decide(table: Any, *words: Any, **more: Any) -> Any:
        if table.job == "bad":
            raise ZeroDivisionError("its schedule")
        return real(table, *words, **more)

    monkeypatch.setattr(book, "decide", decide)
    with Scheduler(tmp_path, job("bad"), job("good")) as one:
        assert one.look(HOUR) == ["good"]


def test_at_most_max_runs_and_the_important_first(tmp_path: Path) -> None:
    jobs = [job(name, misfire=HOUR / 2, priority=priority) for name, priority in (("low", 1), ("mid", 50), ("top", 99))]
    with Scheduler(tmp_path, *jobs, max_runs=1) as one:
        assert one.look(HOUR) == ["top"]
        assert one.look(MINUTE) == []
        one.run_through(one.launches.started[-1][0])
        assert one.look(1.0) == ["mid"]
        one.run_through(one.launches.started[-1][0])
        assert one.look(HOUR / 2) == []
        assert one.states("low") == ["missed"]


def test_a_paused_job_is_skipped_and_not_made_up_for(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a")) as one:
        with one.store.database.write() as connection:
            assert firings.pause(connection, "a", "", "ann", "sale", one.now)
            assert not firings.pause(connection, "a", "", "bob", "", one.now)
        assert one.look(HOUR) == []
        assert one.states("a") == ["skipped"]
        assert "ann, sale" in one.firings("a")[0].why
        with one.store.database.write() as connection:
            assert firings.resume(connection, "a")
        assert one.look(MINUTE) == []
        assert one.look(HOUR) == ["a"]


def test_a_job_comes_after_another(tmp_path: Path) -> None:
    later = job("later", "", after=(After("first", "succeeded", 600.0),))
    with Scheduler(tmp_path, job("first"), later) as one:
        assert one.look(HOUR) == ["first"]
        one.begin(1)
        assert one.look(MINUTE) == []
        one.finish(1)
        assert one.look(1.0) == ["later"]
        one.run_through(2)
        assert one.look(1.0) == []


def test_a_job_that_left_the_configuration_is_not_started(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a")) as one:
        one.look(HOUR)
    with Scheduler(tmp_path, job("b"), now=NOON + HOUR + MINUTE) as two:
        assert two.launches.started == []
        assert two.states("a") == ["missed"]


def test_a_run_that_the_store_forgot_ends_its_firing(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a")) as one:
        one.look(HOUR)
        run = one.begin(1)
        one.finish(1)
        one.change_run(run.id, id="other")
        with one.store.database.write() as connection:
            connection.execute(firings._FIRINGS.update().values(state="running"))
            firings.forget_lost(connection, time.time())
        assert one.states("a") == ["interrupted"]


def test_a_clock_set_back_does_not_keep_what_was_put_off_waiting(tmp_path: Path) -> None:
    with Scheduler(tmp_path, job("a", "0 13 * * *")) as one:
        one.look(2 * HOUR)  # made up for at 14:00
        with one.store.database.write() as connection:
            firings.put_off(connection, 1, "a lock", one.now + 15)
        one.launches.end(1, PUT_OFF)
        one.now -= 0.9 * HOUR
        assert one.look(1) == ["a"]


def cut_off(tmp_path: Path, **values: Any) -> Scheduler:
    """A job whose run, and machine, died at 13:00, seconds after it began."""
    one = Scheduler(tmp_path, job("a", "0 13 * * *", restart="once", changes=True, **values))
    one.look(HOUR)
    one.change_run(one.begin(1).id, pid_start=1)
    one.launches.end(1, -9)
    return one


@pytest.mark.parametrize(
    ("values", "later", "started"),
    [
        ({}, 0.9 * HOUR, ["a"]),
        ({}, 6 * HOUR, []),
        ({"misfire": 10 * HOUR}, 6 * HOUR, ["a"]),
        ({"misfire": HOUR / 2}, 0.9 * HOUR, []),
    ],
)
def test_what_a_crash_cut_off_is_not_done_in_the_morning(
    tmp_path: Path, values: dict[str, float], later: float, started: list[str]
) -> None:
    with cut_off(tmp_path, **values) as one:
        assert one.look(later) == started
        assert one.states("a") == (["waiting"] if started else ["interrupted"])
        if not started:
            assert "too late to carry it out once more" in one.firings("a")[0].why


def test_what_was_cut_off_is_not_done_once_more_while_its_job_is_paused(tmp_path: Path) -> None:
    with cut_off(tmp_path) as one:
        with one.store.database.write() as connection:
            firings.pause(connection, "a", "", "anna", "it breaks things", one.now)
        assert one.look(MINUTE) == []
        assert one.states("a") == ["skipped"]
        assert "paused: by anna" in one.firings("a")[0].why
