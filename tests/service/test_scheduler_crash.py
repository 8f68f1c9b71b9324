# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedulers and runs that are killed, stopped and doubled: each occurrence of a job has one run. Real processes."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.service.schedulers import Schedulers
from upkeep.store import RUNNING

pytestmark = pytest.mark.timeout(300)

JOBS = """
  a: {playbook: play.yml, schedule: daily 00:00, changes: false, catch_up: all, catch_up_limit: 50, misfire: 10m}
  b: {playbook: play.yml, schedule: daily 00:00, changes: false, catch_up: all, catch_up_limit: 50, misfire: 10m}
"""
SLOW = """
  slow: {playbook: play.yml, schedule: daily 00:00, changes: false, extra_vars: {nap: 6}}
"""


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_a_scheduler_that_is_killed_at_any_moment_doubles_and_loses_nothing(tmp_path: Path) -> None:
    """Twelve lives of a scheduler, each ended by kill -9 at a random moment; some runs as well."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    with Schedulers(tmp_path / "home", JOBS) as all_of_them:
        for _ in range(10):
            process = all_of_them.start(4.0)
            time.sleep(chance.uniform(0.8, 6.0))
            running = [pid for *_, state, pid in all_of_them.runs() if state == RUNNING]
            if running and chance.random() < 0.4:
                kill(chance.choice(running))
                time.sleep(chance.uniform(0, 1.0))
            process.kill()
            process.wait()
        all_of_them.start(4.0)
        time.sleep(10)
        all_of_them.settle(4.0)
        # A run that was killed between its beginning and its end is interrupted, and not begun again.
        assert all_of_them.check_once(4.0) >= 8
        assert {one.state for one in all_of_them.firings()} <= {"finished", "interrupted", "error"}


def test_a_run_outlives_its_scheduler_and_the_next_one_follows_it(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", SLOW) as all_of_them:
        process = all_of_them.start(20.0)
        all_of_them.until(lambda: any(state == RUNNING for *_, state, _pid in all_of_them.runs()))
        process.kill()
        process.wait()
        all_of_them.start(20.0, TEST_UNTIL=str(time.time()))
        all_of_them.until(lambda: all(state == "finished" for *_, state, _pid in all_of_them.runs()))
        assert all_of_them.firings()[-1].state == "finished"
        assert len(all_of_them.runs()) == 1


def test_a_run_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", SLOW) as all_of_them:
        all_of_them.start(60.0)
        all_of_them.until(lambda: any(state == RUNNING for *_, state, _pid in all_of_them.runs()), 90)
        ((run, _job, _state, pid),) = all_of_them.runs()
        time.sleep(2.5)  # ansible-playbook is at work
        assert _marked(run)
        kill(pid)
        all_of_them.until(lambda: all_of_them.firings()[-1].state == "interrupted")
        assert not _marked(run), "its processes are ended with it"
        assert len(all_of_them.runs()) == 1, "never run again blindly"


def _marked(run: str) -> set[int]:
    from upkeep.running import processes

    return processes.of_run(run)


def test_four_schedulers_on_one_file(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", JOBS) as all_of_them:
        for _ in range(4):
            all_of_them.start(5.0)
        all_of_them.until(lambda: all_of_them.leader() is not None)
        time.sleep(12)
        first = all_of_them.leader()
        assert first is not None
        kill(first)
        died = time.monotonic()
        all_of_them.until(lambda: all_of_them.leader() not in (None, first), 20)
        print(f"another leads after {time.monotonic() - died:.1f} s")
        time.sleep(12)
        all_of_them.settle(5.0)
        assert all_of_them.check_once(5.0) >= 4


def test_a_leader_that_is_stopped_is_replaced_and_doubles_nothing_when_it_goes_on(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", JOBS, more="scheduler: {takeover_after: 5s}\n") as all_of_them:
        for _ in range(2):
            all_of_them.start(5.0)
        all_of_them.until(lambda: all_of_them.leader() is not None)
        time.sleep(4)
        first = all_of_them.leader()
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        stopped = time.monotonic()
        all_of_them.until(lambda: all_of_them.leader() != first, 40)
        print(f"another leads after {time.monotonic() - stopped:.1f} s")
        time.sleep(11)
        os.kill(first, signal.SIGCONT)
        time.sleep(8)
        all_of_them.settle(5.0)
        assert all_of_them.check_once(5.0) >= 4
