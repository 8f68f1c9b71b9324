# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings and steps of the escalation: each told once, whatever happens between."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduler import results_file
from upkeep import escalation
from upkeep.config import Config
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.sla import TARGETS, Settings, Step, Target
from upkeep.store import Store, open_store, tickets

DISK = "capacity.disk.full"
MINUTE, HOUR = 60.0, 3600.0
BEGAN = 1_800_000_000.0
"""When the ticket of the tests is opened; P2 by default: 15 minutes to react, 4 hours to solve."""


def config(home: Path, **changes: object) -> Config:
    return Config(None, home, sla=Settings(**changes))  # type: ignore[arg-type]


def found(store: Store, folder: Path, run: str, at: float, severity: str = "high", *, gone: bool = False) -> None:
    path = results_file.write(
        folder / run,
        run,
        [] if gone else [("web1", DISK, "/", severity)],
        coverage=[("web1", DISK, "*")],
        hosts={"web1": "ok"},
        started=at - 20,
        finished=at - 10,
    )
    record_file(store, path, Policy(), at)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = open_store(None, tmp_path / "home")
    found(made, tmp_path, "r1", BEGAN)
    return made


def told(store: Store, number: int = 1) -> list[str]:
    return [line.text for line in store.ticket(number).history if line.kind == "sla"]


def test_a_warning_a_breach_and_each_step_in_their_time(store: Store, tmp_path: Path) -> None:
    made = config(tmp_path, escalate=(Step(0.0), Step(HOUR, ("oncall", "lead"), clocks=("solve",))))
    expected = [
        (11, []),
        (12, ["react: 75 % used, 3 min left, promised 15 min for P2"]),
        (15, []),
        (16, ["react: 1 min late, promised 15 min for P2"]),
        (179, []),
        (181, ["solve: 75 % used, 59 min left, promised 4 h for P2"]),
        (240, []),
        (242, ["solve: 2 min late, promised 4 h for P2"]),
        (299, []),
        (303, ["solve: 1 h 3 min late, promised 4 h for P2 → oncall, lead"]),
        (9999, []),
    ]
    seen: list[str] = []
    for minute, lines in expected:
        assert escalation.step(store, made, BEGAN + minute * MINUTE) == len(lines)
        assert escalation.step(store, made, BEGAN + minute * MINUTE) == 0, "told again"
        assert told(store)[len(seen) :] == lines
        seen += lines
    assert escalation.named_in(seen[-1]) == ("oncall", "lead")
    assert escalation.named_in(seen[0]) == ()
    assert {line.actor for line in store.ticket(1).history if line.kind == "sla"} == {"upkeep"}


def test_who_looks_late_is_told_of_every_step_but_of_no_warning(store: Store, tmp_path: Path) -> None:
    made = config(tmp_path, warn_at=(0.5, 0.75))
    store.acknowledge(1, "ann", "", BEGAN + 60)
    assert escalation.step(store, made, BEGAN + 3.5 * HOUR) == 1
    assert told(store) == ["solve: 75 % used, 30 min left, promised 4 h for P2"], "of the warnings the last reached"
    assert escalation.step(store, made, BEGAN + 9 * HOUR) == 3
    assert told(store)[1:] == ["solve: 5 h late, promised 4 h for P2"] * 3


def test_while_it_waits_nothing_is_told(store: Store, tmp_path: Path) -> None:
    made = config(tmp_path)
    store.wait(1, "ann", "the disk is ordered", BEGAN + 60)
    assert escalation.step(store, made, BEGAN + 90 * HOUR) == 0
    store.go_on(1, "ann", "", BEGAN + 90 * HOUR)
    assert escalation.step(store, made, BEGAN + 92 * HOUR) == 0
    assert escalation.step(store, made, BEGAN + 93.1 * HOUR) == 1
    assert told(store) == ["solve: 75 % used, 53 min left, promised 4 h for P2"]


def test_a_priority_that_rises_ends_the_waiting_and_has_steps_of_its_own(store: Store, tmp_path: Path) -> None:
    made = config(tmp_path, escalate=(Step(0.0, ("lead",), priorities=("P1",)),))
    store.wait(1, "ann", "the disk is ordered", BEGAN + 60)
    found(store, tmp_path, "r2", BEGAN + HOUR, "critical")
    detail = store.ticket(1)
    assert (detail.ticket.state, detail.ticket.priority) == ("acknowledged", "P1")
    assert [line.kind for line in detail.history][-2:] == ["priority", "continued"]
    assert detail.ticket.pauses[0].until == BEGAN + HOUR
    assert escalation.step(store, made, BEGAN + 1.8 * HOUR) == 1
    assert escalation.step(store, made, BEGAN + 2.1 * HOUR) == 1
    assert told(store)[-1] == "solve: 6 min late, promised 1 h for P1 → lead"


def test_what_was_told_of_one_promise_is_told_anew_of_a_nearer_one(store: Store, tmp_path: Path) -> None:
    made = config(tmp_path)
    assert escalation.step(store, made, BEGAN + 12 * MINUTE) == 1
    store.acknowledge(1, "ann", "", BEGAN + 13 * MINUTE)
    assert escalation.step(store, made, BEGAN + 181 * MINUTE) == 1
    # With 59 minutes left it becomes a P1, for which there is an hour.
    found(store, tmp_path, "r2", BEGAN + 181 * MINUTE, "critical")
    assert escalation.step(store, made, BEGAN + 220 * MINUTE) == 0
    assert escalation.step(store, made, BEGAN + 230 * MINUTE) == 1
    assert told(store)[2:] == ["solve: 75 % used, 11 min left, promised 1 h for P1"]
    # From P3 to P1, it is the P1's hour that ends first, and of which a warning is due.
    path = results_file.write(tmp_path / "p3", "p3", [("web1", "a.b.c", "x", "low")], started=BEGAN - 20)
    record_file(store, path, Policy(), BEGAN)
    store.acknowledge(2, "ann", "", BEGAN + 60)
    always = config(tmp_path, targets={**TARGETS, "P3": Target(900, 8 * HOUR, business_hours=False)})
    escalation.step(store, always, BEGAN + 6.1 * HOUR)
    path = results_file.write(tmp_path / "p1", "p1", [("web1", "a.b.c", "x", "critical")], started=BEGAN + 6.2 * HOUR)
    record_file(store, path, Policy(), BEGAN + 6.2 * HOUR + 30)
    escalation.step(store, always, BEGAN + 7 * HOUR)
    assert [line.partition(",")[0] for line in told(store, 2)] == ["solve: 75 % used", "solve: 75 % used"]
    assert told(store, 2)[1].endswith("promised 1 h for P1")


def test_what_was_late_already_has_the_steps_of_what_it_became(store: Store, tmp_path: Path) -> None:
    made = config(tmp_path, warn_at=(), escalate=(Step(0.0), Step(0.0, ("boss",), ("P1",), ("solve",))))
    store.acknowledge(1, "ann", "", BEGAN + 60)
    assert escalation.step(store, made, BEGAN + 5 * HOUR) == 1
    found(store, tmp_path, "r2", BEGAN + 6 * HOUR, "critical")
    assert escalation.step(store, made, BEGAN + 6.9 * HOUR) == 0
    assert escalation.step(store, made, BEGAN + 7.1 * HOUR) == 2
    assert told(store) == [
        "solve: 1 h late, promised 4 h for P2",
        "solve: 6 min late, promised 1 h for P1",
        "solve: 6 min late, promised 1 h for P1 → boss",
    ]


def test_who_reacted_late_is_told_of_it_no_more(store: Store, tmp_path: Path) -> None:
    store.acknowledge(1, "ann", "", BEGAN + 20 * MINUTE)
    assert escalation.step(store, config(tmp_path), BEGAN + 30 * MINUTE) == 0


def test_what_is_resolved_is_left_alone_and_begins_anew_when_reopened(store: Store, tmp_path: Path) -> None:
    made = config(tmp_path)
    assert escalation.step(store, made, BEGAN + 9 * HOUR) == 6
    store.resolve(1, "ann", "", BEGAN + 10 * HOUR)
    assert escalation.step(store, made, BEGAN + 99 * HOUR) == 0
    store.reopen(1, "ann", "not yet", BEGAN + 100 * HOUR)
    assert escalation.step(store, made, BEGAN + 100 * HOUR) == 0
    assert escalation.step(store, made, BEGAN + 105 * HOUR) == 5
    cycle = store.ticket(1).ticket.cycles[0]
    assert (cycle.resolved, cycle.resolved_by, cycle.still) == (BEGAN + 10 * HOUR, "ann", True)


def test_a_crash_between_the_line_and_its_mark_loses_and_doubles_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tickets, "write_history", crash)
        escalation.step(store, config(tmp_path), BEGAN + 9 * HOUR)
    assert told(store) == []
    assert escalation.step(store, config(tmp_path), BEGAN + 9 * HOUR) == 6
    assert len(told(store)) == 6


def test_several_schedulers_at_once_tell_it_once(store: Store, tmp_path: Path) -> None:
    for number in range(2, 30):
        path = results_file.write(tmp_path / f"n{number}", f"n{number}", [("web1", f"a.b.c{number}", "x", "high")])
        record_file(store, path, Policy(), BEGAN)
    counts: list[int] = []

    def look() -> None:
        with open_store(None, tmp_path / "home") as mine:
            counts.append(escalation.step(mine, config(tmp_path), BEGAN + 9 * HOUR))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 29 * 6
    for number in range(1, 30):
        assert len(told(store, number)) == 6


ACTS = st.lists(
    st.tuples(st.integers(1, 400), st.sampled_from(["look", "ack", "wait", "continue", "resolve", "reopen", "worse"])),
    min_size=1,
    max_size=8,
)


@given(acts=ACTS, every=st.integers(5, 60))
@settings(max_examples=15, deadline=None)
def test_however_often_it_looks_the_same_steps_are_told(acts: list[tuple[int, str]], every: int) -> None:
    """Two stores with one life: in one it is looked at when somebody does something, in the other all the time."""
    with tempfile.TemporaryDirectory() as name:
        seen = []
        for mode, often in (("a", 0), ("b", every)):
            folder = Path(name) / mode
            folder.mkdir()
            with open_store(None, folder / "home") as store:
                found(store, folder, "r0", BEGAN, "medium")
                minute = 0
                for number, (wait, act) in enumerate(acts):
                    if often:
                        for between in range(minute, minute + wait, often):
                            escalation.step(store, config(folder), BEGAN + between * MINUTE)
                    minute += wait
                    now = BEGAN + minute * MINUTE
                    escalation.step(store, config(folder), now)
                    _act(store, folder, act, now, number)
                    escalation.step(store, config(folder), now)
                history = store.ticket(1).history
            lines = [
                line.text.partition(" late, ")[2] + line.text.partition(":")[0]
                for line in history
                if line.kind == "sla" and " late, " in line.text
            ]
            seen.append(lines)
        assert sorted(seen[0]) == sorted(seen[1])


def _act(store: Store, folder: Path, act: str, now: float, number: int) -> None:
    state = store.ticket(1).ticket.state
    if act == "reopen" and state == "resolved":
        store.reopen(1, "ann", "", now)
    elif act == "worse":
        found(store, folder, f"w{number}", now, "critical")
    elif state == "resolved":
        return
    elif act == "ack":
        store.acknowledge(1, "ann", "", now)
    elif act == "wait":
        store.wait(1, "ann", "", now)
    elif act == "continue" and state == "waiting":
        store.go_on(1, "ann", "", now)
    elif act == "resolve":
        store.resolve(1, "ann", "", now)
