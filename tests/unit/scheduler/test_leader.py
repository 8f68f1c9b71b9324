# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who leads, who is silent, and timers under a clock that is set."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from upkeep.service.leader import leads, lock_of
from upkeep.service.timers import Timers
from upkeep.service.watch import Watch
from upkeep.store import open_store
from upkeep.store.nodes import Node
from upkeep.store.process import Process


def node(name: str, leading: bool = False) -> Node:
    return Node(name, Process("host", "boot", 1, 1), 0.0, 0.0, leading)


def test_the_one_who_holds_the_lock_leads() -> None:
    assert leads("b", True, [node("a", True)], {"a": 0.0, "": 0.0}, 15.0)


def test_nobody_else_leads_while_the_leader_lives() -> None:
    assert not leads("b", False, [node("a", True)], {"a": 14.0, "": 0.0}, 15.0)
    assert not leads("b", False, [node("a", True)], {"a": 0.0, "": 99.0}, 15.0)


def test_the_eldest_takes_over_from_a_leader_that_hangs_and_only_it() -> None:
    silent = {"a": 16.0, "": 16.0}
    assert leads("b", False, [node("a", True), node("c")], silent | {"c": 0.0}, 15.0)
    assert not leads("c", False, [node("a", True), node("b")], silent | {"b": 0.0}, 15.0)
    assert leads("c", False, [node("a", True), node("b")], silent | {"b": 99.0}, 15.0), "the eldest is gone too"


def test_a_lock_that_nobody_says_to_lead_by_is_waited_for() -> None:
    assert not leads("b", False, [], {"": 3.0}, 15.0)
    assert leads("b", False, [], {"": 15.0}, 15.0)


def test_silence_is_measured_by_the_watchers_clock_and_only_while_it_looks() -> None:
    watch: Watch[str] = Watch(10.0)
    assert watch.still({"a": 1.0}, 100.0) == {"a": 0.0}
    assert watch.still({"a": 1.0}, 106.0) == {"a": 6.0}
    assert watch.still({"a": 1.0, "b": 1.0}, 112.0) == {"a": 12.0, "b": 0.0}
    assert watch.still({"a": -5000.0, "b": 1.0}, 118.0) == {"a": 0.0, "b": 6.0}, "a clock that was set back is a sign"
    assert watch.still({"a": -5000.0, "b": 1.0}, 200.0) == {"a": 0.0, "b": 0.0}, "nobody looked meanwhile"


def test_the_lock_of_a_file_goes_with_its_process(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        lock = lock_of(store.database)
        script = (
            "import sys, time; from pathlib import Path; from upkeep.store import open_store\n"
            "from upkeep.service.leader import lock_of\n"
            f"store = open_store(None, Path({str(tmp_path)!r})); lock = lock_of(store.database)\n"
            "assert lock.hold(); import subprocess; subprocess.Popen(['sleep', '60'])\n"
            "print('held', flush=True); time.sleep(60)\n"
        )
        other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert not lock.hold()
        other.kill()
        other.wait()
        assert lock.hold(), "what the other one had started does not keep the lock"
        (tmp_path / "upkeep.db.leader").unlink()
        assert lock.hold(), "a lock on a file that is gone is taken anew"
        lock.release()
        other.stdout.close()


def test_a_timer_that_is_asked_for_a_moment_long_past_fires_at_once() -> None:
    fired = threading.Event()
    timers = Timers(lambda _seconds: None)
    timers.start()
    timers.every("t", 3600.0, fired.set, delay=3600.0)
    timers.sooner("t", 0.0)
    assert fired.wait(5.0)
    timers.shutdown(wait=True)


def test_a_timer_whose_moment_is_beyond_all_calendars_is_left_alone() -> None:
    timers = Timers(lambda _seconds: None)
    timers.start()
    timers.every("t", 3600.0, lambda: None, delay=3600.0)
    timers.sooner("t", float("inf"))
    timers.sooner("missing", 1.0)
    timers.shutdown(wait=True)
