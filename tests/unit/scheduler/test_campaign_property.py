# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever fails, falls silent, crashes, or is paused: what a campaign must never do, and what it comes to in the end.

What must never be is asserted by campaign_world.py at each turn.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduler.campaign_world import ENDLESS, Chances, World, fleet
from upkeep.campaign import decide as deciding
from upkeep.campaign import learn
from upkeep.campaign.model import (
    ABORTED,
    DONE,
    FINISHED,
    LEFT_OUT,
    PAUSED,
    QUARANTINED,
    RELEASED,
    ROLLED_BACK,
    RUNNING,
    STEPS,
    STOPPED,
    Amount,
    Campaign,
    Ring,
    Spec,
    Together,
)

chances = st.builds(
    Chances,
    fails=st.sampled_from((0.0, 0.02, 0.2, 0.6)),
    silent=st.sampled_from((0.0, 0.02, 0.2, 0.6)),
    dead=st.sampled_from((0.0, 0.3)),
    crash=st.sampled_from((0.0, 0.05, 0.4)),
    person=st.sampled_from((0.0, 0.05, 0.3)),
    frozen=st.sampled_from((0.0, 0.1)),
)


@st.composite
def campaigns(draw: st.DrawFn) -> Campaign:
    number = draw(st.integers(1, 3))
    batches = st.sampled_from((Amount(1), Amount(2), Amount(50, True), Amount(100, True)))
    rings = tuple(
        Ring(f"r{place}", rest=True, batch=draw(batches), soak=draw(st.sampled_from((None, 60.0, 7200.0))))
        for place in range(number)
    )
    without = draw(st.sampled_from(((), ("snapshot", "cleanup"), ("drain", "undrain"), ("reboot",))))
    steps = tuple(step for step in STEPS if step not in without)
    spec = Spec(
        "os",
        rings=rings,
        one_at_a_time=(Together("db"),),
        max_failures=draw(st.sampled_from((Amount(0), Amount(1), Amount(30, True), Amount(100, True)))),
        rollback=draw(st.sampled_from((True, True, False))),
        steps=steps,
        lost_after=draw(st.sampled_from((60.0, 1800.0))),
    )
    of_ring = sorted(draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=8)))
    clusters = draw(st.lists(st.sampled_from((None, None, 0)), max_size=len(of_ring)))
    return fleet(spec, of_ring, clusters)


def calm(world: World) -> None:
    """Nothing goes wrong any more but what is dead; people let it go on. It must then come to its end."""
    world.chances = Chances()
    world.frozen = {}
    world.spans = ((0.0, ENDLESS),)
    for _ in range(3000):
        decision = world.turn()
        campaign = world.campaign
        # What is tried for ever: the snapshot of a host that never answers again, once its turn is over.
        ever = {host.name for host in campaign.hosts if host.name in world.dead and host.settled}
        left = [host for host in campaign.hosts if host.name not in ever and deciding.next_step(campaign, host)]
        if isinstance(decision, deciding.Wait) and campaign.state != RUNNING:
            if campaign.state in (PAUSED, STOPPED):
                world.campaign = learn.resumed(campaign)
            elif not left:
                return
    hosts = [(host.name, host.state, host.way, host.why, sorted(host.undo)) for host in world.campaign.hosts]
    raise AssertionError(f"it comes to no end: {world.campaign.state} {hosts}")


@settings(deadline=None, max_examples=400)
@given(campaigns(), chances, st.integers(0, 2**32), st.integers(1, 150), st.booleans())
def test_whatever_happens_nothing_is_left_and_nothing_goes_too_far(
    campaign: Campaign, chances: Chances, seed: int, turns: int, windows: bool
) -> None:
    spans = tuple((day * 86400.0, day * 86400.0 + 14400.0) for day in range(400)) if windows else ((0.0, ENDLESS),)
    world = World(campaign, Random(seed), chances, spans)
    for _ in range(turns):
        world.turn()
    calm(world)
    states = {host.name: host for host in world.campaign.hosts}
    for name in world.drained:
        assert states[name].state == QUARANTINED and not states[name].lost, "left out of service, and nobody knows"
    for name in world.snapshots:
        assert states[name].state == QUARANTINED or name in world.dead, "a snapshot is left"
    for host in world.campaign.hosts:
        assert not host.at_work
        if world.campaign.state == FINISHED:
            assert host.settled
        if host.state == DONE and "reboot" not in world.campaign.spec.steps:
            assert host.name in world.changed
        if host.state in (ROLLED_BACK, LEFT_OUT):
            assert host.name not in world.changed, f"{host.state}, and yet changed"
        if host.state in (DONE, ROLLED_BACK) and not host.failed:
            assert host.name in world.seen_well
    assert world.campaign.state in (FINISHED, ABORTED)


@settings(deadline=None, max_examples=200)
@given(campaigns(), st.integers(0, 2**32), st.integers(0, 40))
def test_crashes_alone_change_nothing_but_the_time(campaign: Campaign, seed: int, _turns: int) -> None:
    world = World(campaign, Random(seed), Chances(crash=0.2))
    for _ in range(300):
        world.turn()
    calm(world)
    assert world.campaign.state == FINISHED
    # Five crashes in a row may be taken for silence; anything less is not even seen.
    patched = [host for host in world.campaign.hosts if host.state == DONE and not host.failed]
    assert {host.name for host in patched} == world.changed - {h.name for h in world.campaign.hosts if h.failed}


@settings(deadline=None, max_examples=100)
@given(campaigns(), st.integers(0, 2**32), st.integers(0, 60), st.sampled_from((PAUSED, ABORTED)))
def test_at_any_moment_an_end_brings_all_hosts_at_work_to_theirs(
    campaign: Campaign, seed: int, turns: int, ending: str
) -> None:
    world = World(campaign, Random(seed), Chances())
    for _ in range(turns):
        world.turn()
    if world.campaign.state != RUNNING:
        return
    begun = len(world.begun)
    world.campaign = replace(world.campaign, ending=ending, why="somebody wants it")
    for _ in range(300):
        if world.campaign.state == ending:
            break
        world.turn()
    assert world.campaign.state == ending
    assert not world.drained and not world.snapshots
    assert len(world.begun) == begun, "another batch began"
    assert all(host.settled or host.batch is None for host in world.campaign.hosts)
    assert RELEASED not in {host.state for host in world.campaign.hosts}


@settings(deadline=None, max_examples=60)
@given(campaigns(), campaigns(), chances, st.integers(0, 2**32))
def test_two_campaigns_never_have_the_same_host(one: Campaign, two: Campaign, chances: Chances, seed: int) -> None:
    random = Random(seed)
    first, second = World(one, random, chances), World(two, random, chances)
    first.other, second.other = second, first
    for _ in range(120):
        world = random.choice((first, second))
        world.now = max(first.now, second.now)
        if random.random() < 0.5:
            world.turn()
        else:  # as far as it goes without a wait
            while not isinstance(world.turn(), deciding.Wait):
                pass
        at_work = [{host.name for host in world.campaign.hosts if host.at_work} for world in (first, second)]
        assert not at_work[0] & at_work[1]
    # Neither waits for the other for ever: what is held is let go, unless a person must look.
    for world in (first, second) * 3:
        world.now = max(first.now, second.now)
        world.chances, world.frozen = Chances(), {}
        for _ in range(500):
            decision = world.turn()
            if isinstance(decision, deciding.Wait) and world.campaign.state in (PAUSED, STOPPED):
                world.campaign = learn.resumed(world.campaign)
    for world in (first, second):
        dead = {host.name for host in world.campaign.hosts if host.name in world.dead}
        free = [host for host in world.campaign.hosts if host.name not in dead | set(world.held())]
        assert not any(host.at_work for host in free)
