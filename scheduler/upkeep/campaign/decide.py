# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a campaign does next, from how it stands. Pure and total: every state has an answer, each with why.

:func:`decide` gives a run of one step over some hosts, a change of the campaign's own state, or a wait. Whoever carries
it out keeps what learn.py makes of it. Nothing else is remembered: after a crash the same call goes on.

The rules, in order:

1. Hosts at work are brought to their end first, whatever happens to the campaign: rolled back, put back into service.
   Only those that were not changed yet are given up when it stops.
2. A host that fails before it is changed is left out; after that it is rolled back, and quarantined when that fails.
   One that does not answer is asked for lost_after, by its verify step, before anything is concluded.
3. What must be undone is tried until it was seen done. While a host waits to be put back into service, no other is
   taken out. A quarantined host that answers stays out of service: nobody has seen it well.
4. The next batch begins when no host is at work, fewer hosts have failed than may, and what the batch is expected to
   take, its way back included, fits before the window closes.
5. A ring begins when the one before is through, has soaked, and its hosts were then verified once more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..durations import shown
from .model import (
    ABORTED,
    APPLIED,
    BACK,
    DONE,
    DRAIN,
    FINISHED,
    FORWARD,
    LEFT_OUT,
    OUT,
    PAUSED,
    QUARANTINED,
    REACHES,
    REBOOTED,
    RELEASE,
    RELEASED,
    REVERTED,
    ROLLBACK,
    ROLLED_BACK,
    RUNNING,
    SNAPSHOT,
    STOPPED,
    UNDONE_BY,
    UNDRAINED,
    VERIFIED,
)
from .moves import quarantined, reach, with_hosts, with_ring
from .rings import next_batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..calendar.windows import Span
    from .model import Campaign, Held, Host

GIVE_UP = 3
"""Tries after which a snapshot that cannot be removed no longer keeps its host at work; it is tried on."""
HELD_AGAIN = 15.0
"""Seconds after which it is looked again whether another campaign has let a host go."""
MARGIN = 1.25
"""A batch is given this much more than it is expected to take (as jobs are: calendar/decide.py)."""
USUAL = 60.0
"""Seconds of a step of which nothing was measured and the plan says nothing."""
USUAL_APPLY = 600.0
USUAL_REBOOT = 300.0

URGENCY = (ROLLBACK, "undrain", "prepare", "snapshot", "drain", "apply", "reboot", "verify", "cleanup")
"""Which step goes first when hosts are at different ones: broken services, then what is out of service, then who is
behind."""


@dataclass(frozen=True)
class Run:
    """Carry out one step over some hosts."""

    step: str
    hosts: tuple[str, ...]
    ring: int | None
    why: str
    batch: int | None = None
    """The number of the batch that begins with it."""
    gate: bool = False


@dataclass(frozen=True)
class Become:
    """The campaign is now this one; nothing is to be carried out for it."""

    campaign: Campaign
    why: str


@dataclass(frozen=True)
class Wait:
    """Nothing is to be done before ``until`` (infinity: before a person does something)."""

    until: float
    why: str
    stuck: bool = False
    """Whether a person must look: it will not go on by itself."""


Decision = Run | Become | Wait


def decide(
    campaign: Campaign,
    now: float,
    spans: Sequence[Span],
    frozen: Mapping[str, float],
    held: Mapping[str, Held] = MappingProxyType({}),
) -> Decision:
    """What to do now.

    ``spans``: when its windows are open, less the freezes of all hosts, from now on, in order. ``frozen``: hosts that
    must not be changed now, and until when. ``held``: hosts that other campaigns have.
    """
    settled = _settle(campaign, now)
    if settled is not None:
        return settled
    due: list[tuple[str, Host]] = []
    later: list[tuple[float, str, Host]] = []
    for host in campaign.hosts:
        step = next_step(campaign, host)
        if step is not None and host.retry_at <= now:
            due.append((step, host))
        elif step is not None:
            later.append((host.retry_at, step, host))
    if due:
        step = min((step for step, _ in due), key=URGENCY.index)
        hosts = [host for its, host in due if its == step]
        rings = {host.ring for host in hosts}
        return Run(step, tuple(host.name for host in hosts), min(rings, default=None, key=_ring), _why(step, hosts))
    retry = min(later, default=None, key=lambda one: one[0])
    if campaign.state == RUNNING:
        working = [host for host in campaign.hosts if host.at_work]
        if not working:
            if campaign.ending:
                return Become(replace(campaign, state=campaign.ending, ending=""), campaign.why)
            ahead = _ahead(campaign, now, spans, frozen, held)
            if retry is None or not isinstance(ahead, Wait) or ahead.until <= retry[0]:
                return ahead
            return replace(ahead, until=retry[0])
        if retry is not None:
            return Wait(retry[0], _retrying(retry[1], retry[2]), stuck=retry[2].tries >= GIVE_UP)
    if retry is not None:
        return Wait(retry[0], _retrying(retry[1], retry[2]))
    return Wait(math.inf, campaign.why)


def _ring(ring: int | None) -> int:
    return -1 if ring is None else ring


def next_step(campaign: Campaign, host: Host) -> str | None:
    """The step that a host needs next, in whatever state the campaign is; None: none."""
    if host.settled:
        if DRAIN in host.undo and (host.state != QUARANTINED or host.lost):
            return UNDONE_BY[DRAIN]
        return UNDONE_BY[SNAPSHOT] if SNAPSHOT in host.undo and host.state != QUARANTINED else None
    if host.way == RELEASE:
        return _release_step(host)
    if host.batch is None:
        return None
    if host.way == OUT:
        return next((UNDONE_BY[what] for what in (DRAIN, SNAPSHOT) if what in host.undo), None)
    if host.way == BACK:
        return _step_back(campaign, host)
    if host.silent_since is not None and host.state in (APPLIED, REBOOTED):
        return "verify"  # whether it has come back, before anything is concluded
    return next(iter(steps_left(campaign, host)), None)


def steps_left(campaign: Campaign, host: Host) -> tuple[str, ...]:
    """The steps of its way that a host has still before it."""
    way = campaign.spec.way()
    reached = next((place for place, step in enumerate(way, 1) if REACHES[step] == host.state), 0)
    return way[reached:]


def _step_back(campaign: Campaign, host: Host) -> str | None:
    if host.state == REVERTED:
        return "verify"
    if host.state == VERIFIED and DRAIN in host.undo:
        return UNDONE_BY[DRAIN]
    if host.state in (VERIFIED, UNDRAINED):
        return UNDONE_BY[SNAPSHOT] if SNAPSHOT in host.undo else None
    return ROLLBACK


def _release_step(host: Host) -> str | None:
    if not host.verified:
        return "verify"
    return next((UNDONE_BY[what] for what in (DRAIN, SNAPSHOT) if what in host.undo), None)


def _why(step: str, hosts: Sequence[Host]) -> str:
    if step == ROLLBACK:
        return hosts[0].why
    if any(host.tries for host in hosts):
        return "tried again"
    return ""


def _retrying(step: str, host: Host) -> str:
    silent = f"{host.name} does not answer" if host.silent_since is not None else f"{host.name} waits for {step}"
    return f"{silent}; tried {host.tries} {'time' if host.tries == 1 else 'times'}" + (f": {host.why}" * bool(host.why))


# --- the campaign's own state -----------------------------------------------------------------------------------------


def _settle(campaign: Campaign, now: float) -> Become | None:
    """What follows from how the hosts stand, without a run; None: nothing."""
    changed = {host.name: new for host in campaign.hosts if (new := _settled(campaign, host, now)) is not host}
    if changed:
        return Become(
            with_hosts(campaign, changed.values()), "; ".join(f"{one.name}: {one.state}" for one in changed.values())
        )
    if campaign.state != RUNNING:
        return None
    if campaign.ending in ("", PAUSED):
        why = _must_stop(campaign)
        if why:
            return Become(replace(campaign, ending=STOPPED, why=why), why)
    if campaign.ending in (STOPPED, ABORTED):
        given_up = [
            replace(host, way=OUT, why=campaign.why, tries=0, retry_at=0.0)
            for host in campaign.hosts
            if host.at_work and host.way == FORWARD and not host.applying
        ]
        if given_up:
            return Become(with_hosts(campaign, given_up), campaign.why)
    return None


def _settled(campaign: Campaign, host: Host, now: float) -> Host:
    """A host that has come to its end by itself, or the same."""
    spec = campaign.spec
    if host.settled:
        return host
    if host.batch is None:
        if campaign.state != RUNNING or host.ring is None or host.cluster is None:
            return host
        broken = next((one for one in campaign.hosts if one.cluster == host.cluster and one.failed), None)
        if broken is None:
            return host
        return reach(host, LEFT_OUT, now, f"{broken.name} of its group failed: the others are left as they are")
    left_over = SNAPSHOT in host.undo and host.tries >= GIVE_UP and DRAIN not in host.undo
    if host.way == RELEASE:
        if host.verified and (not host.undo or left_over):
            return reach(replace(host, way=FORWARD), RELEASED, now, host.why)
    elif host.way == OUT:
        if not host.undo or left_over:
            return reach(host, LEFT_OUT, now, host.why)
    elif host.way == BACK:
        if not spec.rollback and host.state not in (REVERTED, VERIFIED, UNDRAINED):
            return quarantined(host, host.why, now)
        if host.state in (VERIFIED, UNDRAINED) and (
            not host.undo or (left_over and host.state in (VERIFIED, UNDRAINED))
        ):
            return reach(host, ROLLED_BACK, now, host.why)
    elif not steps_left(campaign, host) or (steps_left(campaign, host) == ("cleanup",) and host.tries >= GIVE_UP):
        return reach(host, DONE, now, host.why)
    return host


def _must_stop(campaign: Campaign) -> str:
    """Why no further batch may begin; "" when it may."""
    if campaign.failures > campaign.allowed:
        bad = [host for host in campaign.hosts if host.failed]
        named = ", ".join(host.name for host in bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        may = campaign.allowed or "none"
        return f"{len(bad)} failed ({named}), {may} may (max_failures: {campaign.spec.max_failures})"
    for number, ring in enumerate(campaign.spec.rings):
        hosts = [host for host in campaign.hosts if host.ring == number]
        bad = [host for host in hosts if host.failed]
        is_over = campaign.ring_states[number].over is not None
        through = [host for host in hosts if not host.settled or (host.state == DONE and not host.failed)]
        if campaign.failures > 0 and bad and not is_over and not through:
            return f"no host of the ring {ring.name} came through"
    return ""


def _ahead(
    campaign: Campaign, now: float, spans: Sequence[Span], frozen: Mapping[str, float], held: Mapping[str, Held]
) -> Decision:
    """The next batch, soak or gate; when no host is at work."""
    for number, ring in enumerate(campaign.ring_states):
        name = campaign.spec.rings[number].name
        members = [host for host in campaign.hosts if host.ring == number]
        if any(not host.settled for host in members):
            return _begin(campaign, number, now, spans, frozen, held)
        if ring.over is None:
            changed = replace(ring, over=now)
            return Become(with_ring(campaign, number, changed), f"the ring {name} is through")
        behind = any(host.ring is not None and host.ring > number and not host.settled for host in campaign.hosts)
        if not behind or ring.gated is not None:
            continue
        well = tuple(host.name for host in members if host.state == DONE and not host.failed)
        if not well:
            return Become(with_ring(campaign, number, replace(ring, gated=now)), f"nothing of {name} to watch")
        soaked = ring.over + campaign.spec.soak_of(number)
        if now < soaked:
            return Wait(soaked, f"the ring {name} soaks")
        if now < ring.retry_at:
            return Wait(ring.retry_at, f"the gate behind {name} is tried once more: {campaign.why}")
        theirs = [held[host] for host in well if host in held]
        if theirs:
            return _until_free(f"the gate behind {name} waits", theirs, now)
        return Run("verify", well, number, f"the gate behind {name}", gate=True)
    return Become(replace(campaign, state=FINISHED, why=""), "all rings are through")


def _until_free(what: str, held: Sequence[Held], now: float) -> Wait:
    """A wait for what other campaigns have; without end when all of it needs a person."""
    stuck = all(one.stuck for one in held)
    more = f" (and {len(held) - 1} more)" if len(held) > 1 else ""
    return Wait(math.inf if stuck else now + HELD_AGAIN, f"{what}: {held[0].by}{more}", stuck)


def _begin(
    campaign: Campaign,
    ring: int,
    now: float,
    spans: Sequence[Span],
    frozen: Mapping[str, float],
    held: Mapping[str, Held],
) -> Run | Wait:
    name = campaign.spec.rings[ring].name
    batch = next_batch(campaign, ring, {*frozen, *held})
    if not batch:
        waiting = {host.name for host in campaign.hosts if host.ring == ring and not host.settled}
        theirs = [held[host] for host in held if host in waiting]
        until = min((at for host, at in frozen.items() if host in waiting and at > now), default=math.inf)
        if theirs and math.isinf(until):
            return _until_free(f"the next batch of {name} waits", theirs, now)
        return Wait(until, f"the hosts of {name} whose turn it is are frozen", stuck=math.isinf(until))
    need = expected(campaign, batch)
    number = max((host.batch for host in campaign.hosts if host.batch is not None), default=0) + 1
    run = Run(campaign.spec.way()[0], tuple(host.name for host in batch), ring, "", batch=number)
    longest = 0.0
    for opened, closed in spans:
        if max(opened, now) + need <= closed:
            if opened <= now:
                return run
            return Wait(
                opened, f"the next batch takes up to {shown(need)}, its way back included: it waits for a window"
            )
        longest = max(longest, closed - max(opened, now))
    return Wait(
        max((closed for _, closed in spans if closed > now), default=now + 3600.0),
        f"no window has room: the next batch takes up to {shown(need)}, its way back included; "
        f"the longest one has {shown(longest)}",
        stuck=True,
    )


def expected(campaign: Campaign, batch: Iterable[Host]) -> float:
    """Seconds that a batch takes at most, its way back included; measured by earlier batches, else by its plans."""
    hosts = list(batch)
    took = campaign.measured

    def planned(what: str, usual: float) -> float:
        return max((host.seconds.get(what, usual) for host in hosts), default=usual)

    usual = {"apply": planned("apply", USUAL_APPLY), "prepare": planned("download", USUAL), "reboot": USUAL}
    if any(host.reboot for host in hosts):
        usual["reboot"] = planned("reboot", USUAL_REBOOT)
    steps = {step: took.get(step, usual.get(step, USUAL)) for step in campaign.spec.way()}
    back = took.get(ROLLBACK, steps.get("apply", USUAL_APPLY)) + steps.get("reboot", 0.0) + steps.get("verify", 0.0)
    whole = sum(steps.values()) + (back if campaign.spec.rollback else 0.0)
    # However quick others were: a host refuses what does not fit by its own plan (patch_prepare's window).
    by_plan = max((_by_plan(host.seconds) for host in hosts), default=0.0)
    return MARGIN * max(whole, by_plan)


def _by_plan(seconds: Mapping[str, float]) -> float:
    """What a host's plan expects of the packages and reboots, there and back."""
    return seconds.get("download", 0.0) + 2 * (seconds.get("apply", 0.0) + seconds.get("reboot", 0.0))
