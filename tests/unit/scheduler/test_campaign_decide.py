# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a campaign does next, case by case: what the property test (test_campaign_property.py) cannot name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.unit.scheduler.campaign_world import ENDLESS, fleet
from upkeep.campaign.decide import (
    MARGIN,
    Become,
    Decision,
    Run,
    Wait,
    decide,
    expected,
    next_step,
)
from upkeep.campaign.learn import after, begun, release
from upkeep.campaign.model import (
    APPLIED,
    DRAIN,
    FAILED,
    OK,
    PAUSED,
    RUNNING,
    SNAPSHOT,
    STEPS,
    STOPPED,
    UNREACHABLE,
    Amount,
    Campaign,
    Held,
    Ring,
    RingState,
    Spec,
)
from upkeep.campaign.moves import with_hosts

ALWAYS = ((0.0, ENDLESS),)
WAY_BACK = ("rollback", "verify", "undrain", "cleanup")


def go(campaign: Campaign, now: float, *outcomes: str | Mapping[str, str]) -> tuple[Campaign, list[str]]:
    """Carry runs out with these outcomes, one after another (a word: of all its hosts); which steps they were."""
    steps = []
    left = list(outcomes)
    for _ in range(1000):
        decision = decide(campaign, now, ALWAYS, {})
        if isinstance(decision, Become):
            campaign = decision.campaign
            continue
        if isinstance(decision, Wait) or not left:
            return campaign, steps
        outcome = left.pop(0)
        told = dict.fromkeys(decision.hosts, outcome) if isinstance(outcome, str) else outcome
        steps.append(decision.step)
        campaign = after(begun(campaign, decision), decision, told, now)
    raise AssertionError("it comes to no end")


def one(**given: object) -> Campaign:
    """A campaign of one host."""
    return fleet(Spec("os", **given), [0])  # type: ignore[arg-type]


def next_of(campaign: Campaign, now: float) -> Decision:
    decision = decide(campaign, now, ALWAYS, {})
    while isinstance(decision, Become):
        campaign = decision.campaign
        decision = decide(campaign, now, ALWAYS, {})
    return decision


def test_the_whole_way() -> None:
    campaign, steps = go(one(), 5.0, *[OK] * 8)
    assert steps == ["prepare", "snapshot", "drain", "apply", "reboot", "verify", "undrain", "cleanup"]
    (host,) = campaign.hosts
    assert (campaign.state, host.state, host.failed, host.undo) == ("finished", "done", False, frozenset())
    assert list(host.times) == [
        "prechecked", "snapshotted", "drained", "applied", "rebooted", "verified", "undrained", "done",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "steps", "state"),
    [
        # Before anything is changed: what was done is undone.
        ([FAILED], ["prepare"], "left_out"),
        ([OK, FAILED, OK], ["prepare", "snapshot", "cleanup"], "left_out"),
        ([OK, OK, FAILED, OK, OK], ["prepare", "snapshot", "drain", "undrain", "cleanup"], "left_out"),
        # After: brought back, seen to be well, put back into service.
        (
            [OK, OK, OK, FAILED, OK, OK, OK, OK],
            [*STEPS[1:5], "rollback", "verify", "undrain", "cleanup"],
            "rolled_back",
        ),
        ([OK] * 5 + [FAILED] + [OK] * 4, [*STEPS[1:7], "rollback", "verify", "undrain", "cleanup"], "rolled_back"),
        # Not to be brought back, or not well then: it stays as it is.
        ([OK, OK, OK, FAILED, FAILED], [*STEPS[1:5], "rollback"], "quarantined"),
        ([OK, OK, OK, FAILED, OK, FAILED], [*STEPS[1:5], "rollback", "verify"], "quarantined"),
    ],
)
def test_what_fails(outcomes: list[str], steps: list[str], state: str) -> None:
    campaign, done = go(one(), 5.0, *outcomes)
    (host,) = campaign.hosts
    assert (done, host.state, host.failed, campaign.state) == (steps, state, True, STOPPED)
    assert host.undo == (frozenset({DRAIN, SNAPSHOT}) if state == "quarantined" else frozenset())


def test_without_rollback_it_stays_as_it_is() -> None:
    campaign, done = go(one(rollback=False), 5.0, OK, OK, OK, FAILED)
    assert done[-1] == "apply" and campaign.hosts[0].state == "quarantined"


def test_a_host_that_nobody_could_ask_for_long_is_asked_before_it_is_lost() -> None:
    silent, _ = go(one(lost_after=100.0), 5.0, OK, OK, OK, OK, UNREACHABLE)
    # Another host's step was at work all the time: the clock alone says nothing.
    campaign, steps = go(silent, 5000.0, OK, OK)
    assert steps == ["verify", "reboot"] and campaign.hosts[0].state == "rebooted"
    campaign, steps = go(silent, 5000.0, UNREACHABLE)
    assert steps == ["verify"] and campaign.hosts[0].state == APPLIED
    campaign, steps = go(campaign, 5000.0, UNREACHABLE)
    assert steps == ["verify"] and campaign.hosts[0].lost


def test_a_host_that_does_not_come_back_is_asked_and_then_undone_from_outside() -> None:
    campaign, _ = go(one(lost_after=100.0), 5.0, OK, OK, OK, OK, UNREACHABLE)
    assert campaign.hosts[0].state == APPLIED
    waits = next_of(campaign, 6.0)
    assert isinstance(waits, Wait) and "h0 does not answer" in waits.why
    campaign, steps = go(campaign, 60.0, UNREACHABLE)
    assert steps == ["verify"], "asked how it is, before anything is concluded"
    campaign, steps = go(campaign, 105.0, UNREACHABLE, OK)
    (host,) = campaign.hosts
    assert steps == ["verify", "undrain"], "asked when its time is over, then undone from outside"
    assert (host.state, host.lost, host.undo) == ("quarantined", True, frozenset({SNAPSHOT}))
    assert "no answer for 1 min" in host.why
    assert next_step(campaign, host) is None, "its snapshot is the way back"


def test_a_host_that_comes_back_late_goes_on() -> None:
    campaign, _ = go(one(lost_after=1000.0), 5.0, OK, OK, OK, OK, UNREACHABLE)
    campaign, steps = go(campaign, 60.0, OK, OK, OK, OK, OK)
    assert steps == ["verify", "reboot", "verify", "undrain", "cleanup"]
    assert campaign.hosts[0].state == "done" and not campaign.hosts[0].failed and campaign.state == "finished"


def test_a_host_that_comes_back_broken_is_rolled_back_only_when_it_was_asked() -> None:
    campaign, _ = go(one(lost_after=1000.0), 5.0, OK, OK, OK, OK, UNREACHABLE)
    campaign, steps = go(campaign, 60.0, FAILED, OK, OK, OK, OK)
    assert steps == ["verify", "rollback", "verify", "undrain", "cleanup"]
    assert campaign.hosts[0].state == "rolled_back"


def test_an_outcome_that_nobody_knows_is_found_out_by_doing_it_again() -> None:
    campaign, steps = go(one(), 5.0, OK, {}, OK)
    assert steps == ["prepare", "snapshot", "snapshot"], "at once, the first time"
    # A connection breaks now and then: one that was not changed is asked twice.
    campaign, _ = go(one(), 5.0, UNREACHABLE)
    assert campaign.hosts[0].state == "planned" and not campaign.hosts[0].failed
    campaign, _ = go(campaign, 100.0, UNREACHABLE)
    assert campaign.hosts[0].state == "left_out" and campaign.hosts[0].failed


def test_a_run_that_cannot_be_carried_out_says_nothing_of_hosts() -> None:
    campaign = one()
    now = 5.0
    for _ in range(20):
        run = next_of(campaign, now)
        assert isinstance(run, Run) and run.step == "prepare"
        campaign = after(begun(campaign, run), run, {}, now, could_not_run="the playbook cannot be read")
        waits = next_of(campaign, now)
        assert isinstance(waits, Wait)
        now = waits.until
    assert waits.stuck and "the playbook cannot be read" in waits.why
    assert campaign.hosts[0].state == "planned" and not campaign.hosts[0].failed


def test_nothing_else_begins_while_a_host_waits_to_be_put_back() -> None:
    campaign = fleet(Spec("os", rings=(Ring("r", rest=True, batch=Amount(1)),)), [0, 0])
    campaign, steps = go(campaign, 5.0, *[OK] * 6, FAILED)
    assert steps[-1] == "undrain"
    for now in (40.0, 110.0, 240.0):
        campaign, steps = go(campaign, now, FAILED)
        assert steps == ["undrain"]
    waits = next_of(campaign, 241.0)
    assert isinstance(waits, Wait) and waits.stuck and "h0 waits for undrain; tried 4 times" in waits.why
    campaign, steps = go(campaign, 1000.0, OK, OK, OK)
    assert steps == ["undrain", "cleanup", "prepare"], "it is well, and was never counted as failed"


def test_a_snapshot_that_cannot_be_removed_holds_nobody_up() -> None:
    campaign, _ = go(one(), 5.0, *[OK] * 7, FAILED)
    for now in (100.0, 300.0):
        campaign, _ = go(campaign, now, FAILED)
    (host,) = campaign.hosts
    assert (host.state, campaign.state, host.undo) == ("done", "finished", frozenset({SNAPSHOT}))
    campaign, steps = go(campaign, 5000.0, OK)
    assert steps == ["cleanup"] and not campaign.hosts[0].undo


def test_the_gate_is_asked_twice_and_stops_what_is_not_well_any_more() -> None:
    spec = Spec(
        "os", rings=(Ring("a", count=2, batch=Amount(2)), Ring("b", rest=True)), soak=600.0, max_failures=Amount(5)
    )
    campaign, _ = go(fleet(spec, [0, 0, 1]), 0.0, *[OK] * 8)
    waits = next_of(campaign, 599.0)
    assert isinstance(waits, Wait) and (waits.until, waits.why) == (600.0, "the ring a soaks")
    gate = next_of(campaign, 600.0)
    assert isinstance(gate, Run) and (gate.step, gate.hosts, gate.gate) == ("verify", ("h0", "h1"), True)
    bad, _ = go(campaign, 600.0, {"h0": OK, "h1": FAILED})
    assert isinstance(next_of(bad, 601.0), Wait)
    _, steps = go(bad, 700.0, OK, OK)
    assert steps == ["verify", "prepare"]
    bad, steps = go(bad, 700.0, {"h0": OK, "h1": FAILED})
    assert bad.state == STOPPED and "not well after the soak: h1" in bad.why
    assert [(host.state, host.failed) for host in bad.hosts] == [("done", False), ("done", True), ("planned", False)]


def test_a_ring_of_which_no_host_came_through_stops_it_within_the_limit() -> None:
    spec = Spec("os", rings=(Ring("a", count=1), Ring("b", rest=True)), max_failures=Amount(100, True))
    campaign, _ = go(fleet(spec, [0, 1]), 0.0, FAILED)
    assert campaign.state == STOPPED and campaign.why == "no host of the ring a came through"


def test_a_batch_begins_only_where_its_way_back_fits_as_measured() -> None:
    campaign = fleet(Spec("os", steps=("plan", "apply", "reboot", "verify")), [0, 0])
    planned = expected(campaign, campaign.hosts[:1])
    assert planned == MARGIN * ((60 + 60 + 60) + (60 + 60 + 60)), "apply by its plan, the others as usual; and back"
    needs = replace(campaign.hosts[0], reboot=True, seconds={"apply": 100.0, "reboot": 200.0})
    assert expected(campaign, [needs]) == MARGIN * 2 * (100 + 200 + 60)
    measured = replace(campaign, measured={"apply": 10.0, "reboot": 20.0, "verify": 5.0, "rollback": 40.0})
    measured = with_hosts(measured, [replace(host, seconds={"apply": 6.0}) for host in measured.hosts])
    slow = replace(needs, seconds={"download": 50.0, "apply": 600.0, "reboot": 300.0})
    assert expected(measured, [slow]) == MARGIN * (50 + 2 * 900), "what its host would refuse is not begun"
    need = expected(measured, measured.hosts[:1])
    assert need == MARGIN * ((10 + 20 + 5) + (40 + 20 + 5))
    assert isinstance(decide(measured, 1000.0, [(0.0, 1000.0 + need)], {}), Run)
    later = decide(measured, 1000.5, [(0.0, 1000.0 + need), (5000.0, 5100.0), (9000.0, 9999.0)], {})
    assert isinstance(later, Wait) and later.until == 9000.0 and not later.stuck
    never = decide(measured, 1000.0, [(900.0, 1010.0), (5000.0, 5010.0)], {})
    assert isinstance(never, Wait) and never.stuck and "no window has room" in never.why


def test_hosts_at_work_come_to_their_end_outside_of_any_window_and_in_a_freeze() -> None:
    campaign, _ = go(one(), 0.0, OK, OK, OK, OK)
    decision = decide(campaign, 100.0, [], {"h0": 9e9})
    assert isinstance(decision, Run) and decision.step == "reboot"


def test_frozen_hosts_wait_and_others_go_before_them() -> None:
    campaign = fleet(Spec("os", rings=(Ring("r", rest=True, batch=Amount(1)),)), [0, 0])
    first = decide(campaign, 0.0, ALWAYS, {"h0": 500.0})
    assert isinstance(first, Run) and first.hosts == ("h1",)
    both = decide(campaign, 0.0, ALWAYS, {"h0": 500.0, "h1": 300.0})
    assert isinstance(both, Wait) and both.until == 300.0


def test_the_rest_of_a_cluster_is_left_as_it_is_when_a_member_failed() -> None:
    spec = Spec("os", rings=(Ring("r", rest=True, batch=Amount(1)),), max_failures=Amount(5))
    campaign, _ = go(fleet(spec, [0, 0, 0], [0, 0, None]), 0.0, OK, OK, OK, FAILED, OK, OK, OK, OK, OK)
    assert [host.state for host in campaign.hosts] == ["rolled_back", "left_out", "prechecked"]
    assert "h0 of its group failed" in campaign.hosts[1].why and not campaign.hosts[1].failed


def test_who_is_released_is_verified_first_and_undone() -> None:
    campaign, _ = go(one(), 5.0, OK, OK, OK, FAILED, FAILED)
    back, steps = go(release(campaign, ["h0"]), 9.0, FAILED)
    assert steps == ["verify"] and back.hosts[0].state == "quarantined" and next_step(back, back.hosts[0]) is None
    free, steps = go(release(campaign, ["h0"]), 9.0, OK, OK, OK)
    assert steps == ["verify", "undrain", "cleanup"] and free.hosts[0].state == "released" and not free.hosts[0].undo
    _, steps = go(release(campaign, ["h0"], unverified=True), 9.0, OK, OK)
    assert steps == ["undrain", "cleanup"]
    assert release(campaign, ["h1"]) == campaign


def test_paused_it_rests_and_stopped_hosts_that_were_not_changed_are_left() -> None:
    spec = Spec("os", rings=(Ring("r", rest=True, batch=Amount(2)),))
    campaign, _ = go(fleet(spec, [0, 0, 0]), 0.0, OK, {"h0": OK, "h1": FAILED})
    assert [(host.state, host.way) for host in campaign.hosts[:2]] == [("snapshotted", "out"), ("prechecked", "out")]
    campaign, steps = go(campaign, 0.0, OK)
    assert steps == ["cleanup"] and campaign.state == STOPPED
    assert [(host.state, host.failed) for host in campaign.hosts] == [
        ("left_out", False), ("left_out", True), ("planned", False),
    ]  # fmt: skip
    resting = replace(campaign, state=PAUSED, why="by anna")
    assert decide(resting, 5.0, ALWAYS, {}) == Wait(ENDLESS, "by anna")


def test_an_ended_ring_without_hosts_asks_for_nothing() -> None:
    spec = Spec("os", rings=(Ring("a", hosts="none"), Ring("b", rest=True)))
    campaign, steps = go(fleet(spec, [1]), 0.0, OK)
    assert steps == ["prepare"] and campaign.rings[0] == RingState(over=0.0, gated=0.0)
    assert campaign.state == RUNNING


def test_what_another_campaign_has_is_neither_taken_nor_asked() -> None:
    spec = Spec("os", rings=(Ring("a", rest=True, batch=Amount(2)), Ring("b", rest=True)), soak=0.0)
    campaign = fleet(spec, [0, 0, 0, 1])
    theirs = {"h0": Held("h0 is at work in campaign 3, db")}
    run = decide(campaign, 10.0, ALWAYS, {}, theirs)
    assert isinstance(run, Run) and run.hosts == ("h1", "h2"), "the others of the ring go first"
    done = [replace(host, state="done", batch=1, verified=True) for host in campaign.hosts[1:3]]
    campaign = with_hosts(campaign, done)
    waits = decide(campaign, 10.0, ALWAYS, {}, theirs)
    assert isinstance(waits, Wait) and waits.until == 25.0 and not waits.stuck
    assert waits.why == "the next batch of a waits: h0 is at work in campaign 3, db"
    # One that a person must let go: nobody waits for it by itself.
    waits = decide(campaign, 10.0, ALWAYS, {}, {"h0": Held("h0 is quarantined by campaign 3, db", True)})
    assert isinstance(waits, Wait) and waits.until == ENDLESS and waits.stuck
    # Frozen and held: the freeze has an end.
    waits = decide(campaign, 10.0, ALWAYS, {"h0": 500.0}, theirs)
    assert isinstance(waits, Wait) and waits.until == 500.0
    # The gate verifies nobody whom another one has taken out of service.
    over = replace(
        with_hosts(campaign, [replace(campaign.hosts[0], state="done", batch=2)]),
        rings=(RingState(over=5.0), RingState()),
    )
    gate = decide(over, 10.0, ALWAYS, {})
    assert isinstance(gate, Run) and gate.gate
    waits = decide(over, 10.0, ALWAYS, {}, {"h2": Held("h2 is at work in campaign 3, db")})
    assert isinstance(waits, Wait) and waits.why == "the gate behind a waits: h2 is at work in campaign 3, db"
