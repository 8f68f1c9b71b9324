# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet that a campaign is carried out on, and that breaks: what was really done to each host, and what was wrong.

The campaign that is "stored" is the one that decide.py is given at each turn; a crash loses what was learned of a run,
never what the run did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from upkeep.campaign import decide as deciding
from upkeep.campaign import learn
from upkeep.campaign.model import (
    ABORTED,
    DRAIN,
    PAUSED,
    QUARANTINED,
    RELEASE,
    RELEASED,
    RUNNING,
    SNAPSHOT,
    STOPPED,
    Campaign,
    Held,
    Host,
    Spec,
)

ENDLESS = float("inf")


@dataclass
class Chances:
    """How often things go wrong, from 0 to 1."""

    fails: float = 0.0
    silent: float = 0.0
    dead: float = 0.0
    """A host that falls silent never answers again."""
    crash: float = 0.0
    person: float = 0.0
    """Somebody pauses, resumes or aborts."""
    frozen: float = 0.0


@dataclass
class World:
    """What is so, whatever the store says."""

    campaign: Campaign
    random: Random
    chances: Chances
    spans: Sequence[tuple[float, float]] = ((0.0, ENDLESS),)
    now: float = 0.0
    drained: set[str] = field(default_factory=set)
    snapshots: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    seen_well: set[str] = field(default_factory=set)
    """Verified since its last change."""
    dead: set[str] = field(default_factory=set)
    unheard: set[str] = field(default_factory=set)
    """Fell silent when it was rebooted or verified, and has not answered since."""
    frozen: dict[str, float] = field(default_factory=dict)
    begun: list[tuple[str, ...]] = field(default_factory=list)
    steps: list[tuple[float, str, tuple[str, ...]]] = field(default_factory=list)
    watched: dict[int, float] = field(default_factory=dict)
    """When the gate behind a ring was last passed."""
    other: World | None = None
    """Another campaign over the same hosts."""

    def turn(self) -> deciding.Decision:
        """One look: decide, keep, carry out, keep; broken off anywhere."""
        self._people()
        if self.random.random() < self.chances.frozen and self.campaign.hosts:
            self.frozen[self.random.choice(self.campaign.hosts).name] = self.now + self.random.uniform(10, 5000)
        self.frozen = {host: until for host, until in self.frozen.items() if until > self.now}
        decision = deciding.decide(self.campaign, self.now, self._ahead(), self.frozen, self.held())
        if isinstance(decision, deciding.Become):
            if not self._crashes():
                assert decision.campaign != self.campaign, f"it goes round in a circle: {decision.why}"
                self.campaign = decision.campaign
        elif isinstance(decision, deciding.Run):
            if not self._crashes():
                self._carry_out(decision)
        elif decision.until != ENDLESS:
            assert decision.until > self.now, f"it waits for what has passed: {decision.why}"
            self.now = decision.until
        return decision

    def held(self) -> dict[str, Held]:
        """What the other campaign has, as store/campaigns.py tells it."""
        hosts = self.other.campaign.hosts if self.other is not None else ()
        found = {}
        for host in hosts:
            if host.at_work or host.way == RELEASE:
                found[host.name] = Held(f"{host.name} is at work")
            elif DRAIN in host.undo or (host.state == QUARANTINED and host.undo):
                found[host.name] = Held(f"{host.name} is out", host.state == QUARANTINED and not host.lost)
        return found

    def _ahead(self) -> list[tuple[float, float]]:
        return [span for span in self.spans if span[1] > self.now][:5]

    def _crashes(self) -> bool:
        return self.random.random() < self.chances.crash

    def _people(self) -> None:
        if self.random.random() >= self.chances.person:
            return
        what = self.random.choice(("pause", "resume", "resume", "abort", "release"))
        campaign = self.campaign
        if what == "pause" and campaign.state == RUNNING and not campaign.ending:
            self.campaign = replace(campaign, ending=PAUSED, why="somebody wants it")
        elif what == "resume" and campaign.state in (PAUSED, STOPPED):
            self.campaign = learn.resumed(campaign)
        elif what == "abort" and campaign.state == RUNNING and self.random.random() < 0.2:
            self.campaign = replace(campaign, ending=ABORTED, why="somebody wants it")
        elif what == "release":
            held = [host.name for host in campaign.hosts if host.state == QUARANTINED]
            if held:
                self.campaign = learn.release(campaign, [self.random.choice(held)])

    def _carry_out(self, run: deciding.Run) -> None:
        hosts = {host.name: host for host in self.campaign.hosts}
        self._judge(run, [hosts[name] for name in run.hosts])
        self.campaign = learn.begun(self.campaign, run)
        self.steps.append((self.now, run.step, run.hosts))
        if self._crashes():  # the process never began
            self._learn(run, {})
            return
        outcomes = {name: self._effect(run.step, hosts[name]) for name in run.hosts}
        self.now += self.random.uniform(1, 300)
        if self._crashes():
            outcomes = {name: outcome for name, outcome in outcomes.items() if self.random.random() < 0.5}
        if run.gate and run.ring is not None and all(outcomes.get(name) == "ok" for name in run.hosts):
            self.watched[run.ring] = self.now
        self._learn(run, outcomes)

    def _learn(self, run: deciding.Run, outcomes: Mapping[str, str]) -> None:
        self.campaign = learn.after(self.campaign, run, outcomes, self.now)
        by_name = {host.name: host for host in self.campaign.hosts}
        # The ledger: nothing is out of service, and no snapshot there, without a row that says so.
        assert all(DRAIN in by_name[name].undo for name in self.drained), "drained without an undo row"
        assert all(SNAPSHOT in by_name[name].undo for name in self.snapshots), "a snapshot without an undo row"

    def _effect(self, step: str, host: Host) -> str:
        """What a step does to a host, and how it ends there."""
        name = host.name
        from_outside = step in ("drain", "undrain")
        outcome = "ok"
        if not from_outside and (name in self.dead or self.random.random() < self.chances.silent):
            outcome = "unreachable"
            if self.random.random() < self.chances.dead:
                self.dead.add(name)
        elif self.random.random() < self.chances.fails:
            outcome = "failed"
        really = outcome == "ok" or (name not in self.dead and self.random.random() < 0.5)
        if step == "apply" and really:
            self.changed.add(name)
        if step in ("apply", "reboot", "rollback"):
            self.seen_well.discard(name)
        if step == "rollback":
            assert name not in self.unheard, f"{name} is reverted although nobody asked how it is"
            if really:
                self.changed.discard(name)
        if step == "verify" and outcome == "ok":
            self.seen_well.add(name)
        if step in ("reboot", "verify") and outcome == "unreachable":
            self.unheard.add(name)
        elif step == "verify":
            self.unheard.discard(name)
        for kind, kept in ((DRAIN, self.drained), (SNAPSHOT, self.snapshots)):
            if step == kind and really:
                kept.add(name)
            if step == deciding.UNDONE_BY[kind] and really:
                kept.discard(name)
        return outcome

    def _judge(self, run: deciding.Run, hosts: Sequence[Host]) -> None:
        """Whether this run may begin at all."""
        assert run.hosts, "a run over nobody"
        assert len({host.name for host in hosts}) == len(run.hosts)
        if run.gate:
            return
        for host in hosts:
            if run.step in ("prepare", "snapshot", "drain", "apply", "reboot"):
                assert not host.settled, f"{host.name} is {host.state}, and changed again by {run.step}"
            if run.step == "undrain" and host.name in self.changed | set(self.steps_of(host.name, "apply")):
                well = host.name in self.seen_well or host.lost
                assert well, f"{host.name} goes back into service unseen"
            if run.step == "undrain":
                assert not (host.state == QUARANTINED and not host.lost and host.way != "release")
        if run.batch is not None:
            self._judge_batch(run, hosts)

    def steps_of(self, name: str, step: str) -> list[str]:
        """The steps of that name that a host has had."""
        return [name for _, its, names in self.steps if its == step and name in names]

    def _judge_batch(self, run: deciding.Run, hosts: Sequence[Host]) -> None:
        campaign, spec = self.campaign, self.campaign.spec
        assert campaign.state == RUNNING and not campaign.ending
        assert run.ring is not None
        assert not any(host.at_work for host in campaign.hosts), "a batch begins beside another"
        assert campaign.failures <= campaign.allowed, "a batch begins beyond the failure limit"
        before = {name for batch in self.begun for name in batch}
        assert not before & set(run.hosts), "a host in two batches"
        of_ring = [host for host in campaign.hosts if host.ring == run.ring]
        assert len(run.hosts) <= spec.rings[run.ring].batch.at_least_one(len(of_ring))
        clusters = [host.cluster for host in hosts if host.cluster is not None]
        assert len(clusters) == len(set(clusters)), "two of a cluster at once"
        assert not set(run.hosts) & set(self.held()), "another campaign has it"
        for host in hosts:
            assert host.ring == run.ring and host.batch is None and host.name not in self.frozen
            for mate in campaign.hosts:
                if host.cluster is not None and mate.cluster == host.cluster and mate.place < host.place:
                    assert mate.settled and not mate.failed, "its standby is not well"
        for ring in range(run.ring):
            members = [host for host in campaign.hosts if host.ring == ring]
            assert all(host.settled for host in members), "a ring begins before the one before it is through"
            if any(host.state == "done" and not host.failed for host in members):
                over = max(host.times[host.state] for host in members if host.state not in (RELEASED,))
                assert self.watched.get(ring, -1.0) >= over + spec.soak_of(ring), "not soaked, or not gated"
        need = deciding.expected(campaign, hosts)
        assert any(start <= self.now and self.now + need <= end for start, end in self.spans), "out of its window"
        self.begun.append(run.hosts)


def fleet(
    spec: Spec, rings: Sequence[int | None], clusters: Sequence[int | None] = (), state: str = RUNNING
) -> Campaign:
    """A campaign whose hosts h0, h1, … are of these rings and clusters."""
    of = [*clusters, *[None] * (len(rings) - len(clusters))]
    hosts = tuple(
        Host(f"h{place}", ring, place, of[place], f"p-{place:012x}", {"apply": 60.0})
        for place, ring in enumerate(rings)
    )
    return Campaign(spec, hosts, state)
