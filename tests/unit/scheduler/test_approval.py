# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan that waits for a word: approved, rejected, too late, by its ticket, and in a world that has changed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.scheduler.scheduler_rig import HOUR, NOON, Scheduler, job
from upkeep import approval, selfreview
from upkeep.calendar.windows import Window
from upkeep.config import Job
from upkeep.errors import UpkeepError
from upkeep.metrics.collect import collect
from upkeep.running.occurrence import of_scheduler
from upkeep.running.planned import Planned
from upkeep.running.runner import Plan
from upkeep.store import Run, approvals, audit, firings, locks
from upkeep.ticketing.settings import TicketSystemSettings

PATCH = job("patch", "0 13 * * *", approve=True, changes=True, misfire=4 * HOUR)
PLAN = Plan("patch.yml", ("hosts",), job="patch", limit="web")


def change(after: str = "b", host: str = "web1") -> dict[str, Any]:
    data = {"host": host, "task": "Write it", "task_path": "p.yml:3"}
    return {"event": "runner_on_ok", "event_data": {**data, "res": {"changed": True, "diff": {"after": after}}}}


@pytest.fixture
def patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patch]:
    with Scheduler(tmp_path, PATCH) as scheduler:
        yield Patch(scheduler, monkeypatch)


class Patch:
    """The job, its scheduler, and a world that the runs see."""

    def __init__(self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, job: Job = PATCH) -> None:
        self.scheduler = scheduler
        self.job = job
        self.store = scheduler.store
        self.world = [change()]
        self.applied: list[Plan] = []
        self.busy = False
        monkeypatch.setattr("upkeep.approval.time.time", lambda: scheduler.now)

    def process(self, firing: int, plan: Plan = PLAN) -> int:
        """What the process does that the scheduler starts for a firing."""
        try:
            code = approval.carry_out(self.store, self.job, plan, of_scheduler(self.store, firing), True, self._run)
        finally:
            self.scheduler.launches.alive.discard(firing)
        return code

    def _run(self, plan: Plan, mine: Any, found: Planned | None) -> int:
        if self.busy and mine is not None and not plan.check:
            return approval.PUT_OFF
        run_id = str(uuid.uuid4())
        run = self.store.begin_run(
            run_id,
            plan.playbook,
            self.scheduler.now,
            job="patch",
            check_mode=plan.check,
            firing=mine.firing if mine else None,
            wanted=[locks.of_job("patch")],
        )
        for event in self.world if found is not None else ():
            found.feed(event)
        self.store.end_run(run_id, "finished", self.scheduler.now)
        self.scheduler.change_run(run_id, recorded=self.scheduler.now)
        if found is not None:
            found.run, found.complete = run, True
        if not plan.check:
            self.applied.append(plan)
            self.world = []
        return 0

    def asked(self) -> approvals.Approval:
        """Its occurrence comes, and its check run asks."""
        assert self.scheduler.look(HOUR) == ["patch"]
        assert self.process(self.scheduler.firings("patch")[-1].id) == 0
        self.scheduler.look(1)
        return self.newest()

    def newest(self) -> approvals.Approval:
        with self.store.database.read() as connection:
            return approvals.newest(connection, 1)[0]

    def of(self, run: int) -> approvals.Approval:
        with self.store.database.read() as connection:
            found = approvals.one(connection, run)
        assert found is not None
        return found

    def approve(self, run: int) -> None:
        with self.store.database.write() as connection:
            approval.approve(connection, run, "anna", "seen", self.scheduler.now)

    def acts(self) -> list[str]:
        with self.store.database.read() as connection:
            return [act.action for act in audit.listed(connection, action="approval")]


def test_approved_it_is_applied_exactly_so(patch: Patch) -> None:
    asked = patch.asked()
    assert (asked.state, asked.job, asked.until) == (approvals.ASKED, "patch", NOON + 5 * HOUR)
    assert not patch.applied and patch.scheduler.look(60) == []
    patch.approve(asked.run)
    assert patch.scheduler.look(1) == ["patch"]
    (firing,) = patch.scheduler.firings("patch")
    assert patch.process(firing.id) == 0
    assert patch.applied == [PLAN]
    found = patch.of(asked.run)
    assert (found.state, found.answered_by, found.applied_by_run) == (approvals.APPLIED, "anna", asked.run + 2)
    patch.scheduler.look(1)
    assert patch.scheduler.states("patch") == ["finished"]
    assert sorted(patch.acts()) == ["approval.applied", "approval.asked", "approval.given"]


def test_in_a_world_that_has_changed_it_is_asked_for_again(patch: Patch) -> None:
    asked = patch.asked()
    patch.approve(asked.run)
    patch.scheduler.look(1)
    patch.world = [change("another")]
    (firing,) = patch.scheduler.firings("patch")
    patch.process(firing.id)
    assert patch.applied == [] and patch.of(asked.run).state == approvals.DRIFTED
    again = patch.newest()
    assert again.state == approvals.ASKED and again.run != asked.run and again.until == asked.until
    assert "not what was approved" in patch.scheduler.firing(firing.id).why
    assert patch.scheduler.look(60) == []
    patch.approve(again.run)
    assert patch.scheduler.look(1) == ["patch"]
    patch.process(firing.id)
    assert patch.applied == [PLAN] and patch.of(again.run).state == approvals.APPLIED


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, limit="web:!web2"),
        replace(PLAN, tags=("x",)),
        replace(PLAN, extra_vars={"version": 2}),
        replace(PLAN, inventory=("other",)),
    ],
)
def test_another_recipe_is_not_what_was_approved(patch: Patch, other: Plan) -> None:
    asked = patch.asked()
    patch.approve(asked.run)
    patch.scheduler.look(1)
    patch.process(patch.scheduler.firings("patch")[0].id, other)
    assert patch.applied == [] and patch.of(asked.run).state == approvals.DRIFTED


def test_it_waits_as_long_as_its_window_leaves_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = replace(PATCH, misfire=None, windows=(Window.parse("13:00-16:00"),), time_limit=HOUR, own_time_limit=True)
    with Scheduler(tmp_path, limited) as scheduler:
        patch = Patch(scheduler, monkeypatch, limited)
        asked = patch.asked()
        assert asked.until == NOON + 3 * HOUR
        scheduler.now = asked.until - 1
        patch.approve(asked.run)
        assert scheduler.look(0) == ["patch"]
        scheduler.now += 60  # its second check took a minute
        patch.process(scheduler.firings("patch")[0].id)
        assert patch.applied == [] and "no room" in scheduler.firings("patch")[0].why
        with patch.store.database.read() as connection:
            assert approvals.in_state(connection, approvals.ASKED) == []


def test_in_a_freeze_nothing_is_applied(patch: Patch) -> None:
    asked = patch.asked()
    patch.approve(asked.run)
    patch.scheduler.look(1)
    mine = of_scheduler(patch.store, patch.scheduler.firings("patch")[0].id)
    approval.carry_out(patch.store, PATCH, PLAN, mine, True, patch._run, "frozen: the fair")
    assert patch.applied == [] and patch.of(asked.run).why == "frozen: the fair"


def test_rejected_nothing_is_applied(patch: Patch) -> None:
    asked = patch.asked()
    with patch.store.database.write() as connection:
        approval.reject(connection, asked.run, "anna", "not now", patch.scheduler.now)
    assert patch.scheduler.look(60) == [] and patch.of(asked.run).state == approvals.REJECTED
    assert "rejected by anna: not now" in patch.scheduler.firings("patch")[0].why
    with pytest.raises(UpkeepError) as told:
        patch.approve(asked.run)
    assert "rejected by anna" in told.value.found


def test_a_second_word_says_what_became_of_the_first(patch: Patch) -> None:
    asked = patch.asked()
    patch.approve(asked.run)
    with pytest.raises(UpkeepError, match="is approved already") as told:
        patch.approve(asked.run)
    assert (told.value.found, told.value.remedy) == (
        "approved by anna: seen",
        f"the scheduler applies it; without one: upkeep approve {asked.run} --now",
    )
    patch.scheduler.look(1)
    patch.process(patch.scheduler.firings("patch")[0].id)
    with pytest.raises(UpkeepError, match="is applied already") as told:
        patch.approve(asked.run)
    applied = asked.run + 2
    assert told.value.found == f"approved by anna: seen; applied by run {applied}"
    assert told.value.remedy == f"upkeep runs show {applied}"


def test_too_late_it_expires(patch: Patch) -> None:
    asked = patch.asked()
    patch.scheduler.now = asked.until
    with pytest.raises(UpkeepError) as told:
        patch.approve(asked.run)
    assert "expired" in told.value.found
    assert approval.step(patch.store, patch.scheduler.config, patch.scheduler.now) == 1
    assert patch.of(asked.run).state == approvals.EXPIRED
    assert approval.step(patch.store, patch.scheduler.config, patch.scheduler.now) == 0


def test_a_run_without_a_plan_says_which_have_one(patch: Patch) -> None:
    asked = patch.asked()
    with pytest.raises(UpkeepError) as told:
        patch.approve(asked.run + 1)
    assert str(asked.run) in told.value.expected


def test_what_changes_nothing_needs_nobody(patch: Patch) -> None:
    patch.world = []
    patch.scheduler.look(HOUR)
    (firing,) = patch.scheduler.firings("patch")
    patch.process(firing.id)
    with patch.store.database.read() as connection:
        assert approvals.newest(connection, 5) == []
    assert "nothing to approve" in patch.scheduler.firing(firing.id).why


def test_a_lock_that_is_held_leaves_it_approved(patch: Patch) -> None:
    asked = patch.asked()
    patch.approve(asked.run)
    patch.scheduler.look(1)
    (firing,) = patch.scheduler.firings("patch")
    patch.busy = True
    assert patch.process(firing.id) == approval.PUT_OFF
    assert patch.applied == [] and patch.of(asked.run).state == approvals.APPROVED
    patch.busy = False
    assert patch.process(firing.id) == 0
    assert patch.applied == [PLAN] and patch.of(asked.run).state == approvals.APPLIED


def test_a_process_killed_before_it_applied_asks_again(patch: Patch) -> None:
    asked = patch.asked()
    patch.approve(asked.run)
    patch.scheduler.look(1)
    with patch.store.database.write() as connection:  # killed between the two
        approval.applied(connection, patch.of(asked.run), asked.run, patch.scheduler.now)
    (firing,) = patch.scheduler.firings("patch")
    patch.process(firing.id)
    assert patch.applied == [] and patch.newest().state == approvals.ASKED


@pytest.mark.parametrize(
    ("say", "state", "applies"),
    [
        ("ack", approvals.APPROVED, True),
        ("approved, go", approvals.APPROVED, True),
        ("Согласовано", approvals.APPROVED, True),
        ("rejected: the fair", approvals.REJECTED, False),
        ("what does it do?", approvals.ASKED, False),
    ],
)
def test_its_ticket_answers(patch: Patch, say: str, state: str, applies: bool) -> None:
    asked = patch.asked()
    selfreview.step(patch.store, patch.scheduler.config, patch.scheduler.now)
    (ticket,) = patch.store.tickets(check=approval.WAITING)
    assert f"upkeep approve {asked.run}" in patch.store.ticket(ticket.number).entries[0].remedy
    later = patch.scheduler.now + 1
    if say == "ack":
        patch.store.acknowledge(ticket.number, "anna", "", later)
    else:
        patch.store.comment(ticket.number, "anna", say, later)
    approval.step(patch.store, patch.scheduler.config, later)
    found = patch.of(asked.run)
    assert (found.state, found.ticket) == (state, ticket.number)
    assert found.answered_by == ("" if state == approvals.ASKED else "anna")
    assert (patch.scheduler.look(2) == ["patch"]) is applies
    if state != approvals.ASKED:
        selfreview.step(patch.store, patch.scheduler.config, patch.scheduler.now + 60)
        assert patch.store.tickets(check=approval.WAITING) == []


def test_who_begins_with_its_ticket_in_a_ticket_system_has_not_approved(patch: Patch) -> None:
    asked = patch.asked()
    config = replace(
        patch.scheduler.config, ticket_systems={"itsm": TicketSystemSettings("itsm", "rt", "https://rt.example.org")}
    )
    selfreview.step(patch.store, config, patch.scheduler.now)
    (ticket,) = patch.store.tickets(check=approval.WAITING)
    later = patch.scheduler.now + 1
    patch.store.acknowledge(ticket.number, "bot (itsm)", "open there", later)
    approval.step(patch.store, config, later)
    assert patch.of(asked.run).state == approvals.ASKED
    patch.store.comment(ticket.number, "anna (itsm)", "Approved, go", later + 1)
    approval.step(patch.store, config, later + 1)
    assert patch.of(asked.run).state == approvals.APPROVED
    assert patch.of(asked.run).answered_by == "anna (itsm)"


def test_a_plan_that_waits_is_counted_in_the_figures(patch: Patch) -> None:
    asked = patch.asked()
    assert collect(patch.store, patch.scheduler.config, patch.scheduler.now).approvals == 1
    patch.approve(asked.run)
    assert collect(patch.store, patch.scheduler.config, patch.scheduler.now).approvals == 0


def test_two_plans_have_two_tickets(patch: Patch) -> None:
    first = patch.asked()
    other: Run = patch.store.begin_run("x", "p.yml", NOON, job="other", check_mode=True)
    with patch.store.database.write() as connection:
        approvals.ask(connection, other.number, "other", "0", first.plan, due=None, asked=NOON, until=NOON + 9 * HOUR)
    selfreview.step(patch.store, patch.scheduler.config, patch.scheduler.now)
    assert len(patch.store.tickets(check=approval.WAITING)) == 2


def test_a_check_by_hand_gets_an_occurrence_when_it_is_approved(patch: Patch) -> None:
    found = Planned()
    code = approval.carry_out(patch.store, PATCH, PLAN, None, True, patch._run)
    assert code == 0 and found.count == 0
    asked = patch.newest()
    assert asked.due is None
    patch.approve(asked.run)
    assert patch.scheduler.look(1) == ["patch"]
    (firing,) = [one for one in patch.scheduler.firings("patch") if one.state == firings.WAITING]
    patch.process(firing.id)
    assert patch.applied == [PLAN]


def test_a_check_of_other_hosts_than_the_jobs_is_not_asked_for(patch: Patch) -> None:
    approval.carry_out(patch.store, PATCH, replace(PLAN, limit="db"), None, False, patch._run)
    with patch.store.database.read() as connection:
        assert approvals.newest(connection, 5) == []
