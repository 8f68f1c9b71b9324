# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run does to a campaign, when it begins and when it has ended; and what a person does. Pure and total.

Whoever carries a decision out keeps :func:`begun` before the run begins, and :func:`after` when it has ended; each in
one transaction. A run of which nothing is known is run again: steps are idempotent on the host.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..durations import shown
from .decide import steps_left
from .model import (
    BACK,
    DONE,
    DRAIN,
    FAILED,
    FORWARD,
    OK,
    OUT,
    QUARANTINED,
    REACHES,
    RELEASE,
    REVERTED,
    ROLLBACK,
    RUNNING,
    STOPPED,
    UNDONE_BY,
    UNDRAINED,
    UNREACHABLE,
    VERIFIED,
)
from .moves import PAUSES, again, back_to_quarantine, hosts_of, quarantined, reach, with_hosts, with_ring

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .decide import Run
    from .model import Campaign, Host, Spec

UNKNOWN = 5
"""Runs without a word about a host after which it counts as one that does not answer."""
REBOOTS = 3
"""Reboots of which a host did not come back in time, after which it is quarantined although it answers in between."""
GATE_AGAIN = 60.0
"""Seconds after which a gate that failed is tried once more: a moment's trouble is no fault of the patch."""


def begun(campaign: Campaign, run: Run) -> Campaign:
    """How it stands when a run is about to begin: what it may leave behind is written down before."""
    changed = []
    for host in hosts_of(campaign, run.hosts):
        batch = host.batch if run.batch is None else run.batch
        undo = host.undo | {run.step} if run.step in UNDONE_BY else host.undo
        unwell = run.step in ("apply", "reboot", ROLLBACK)
        applying = host.applying or run.step == "apply"
        changed.append(replace(host, batch=batch, undo=undo, applying=applying, verified=host.verified and not unwell))
    return with_hosts(campaign, changed)


def after(
    campaign: Campaign,
    run: Run,
    outcomes: Mapping[str, str],
    now: float,
    whys: Mapping[str, str] | None = None,
    could_not_run: str = "",
) -> Campaign:
    """How it stands when a run has ended. ``outcomes``: by host; of a host that is not in it nobody knows.

    ``whys``: for hosts that did not succeed, what they said. ``could_not_run``: why the run itself could not be carried
    out (a playbook that cannot be read): that says nothing of the hosts, and is tried until it can.
    """
    whys = whys or {}
    if could_not_run:
        hosts = [] if run.gate else hosts_of(campaign, run.hosts)
        waits = with_hosts(campaign, [again(host, now, could_not_run) for host in hosts])
        if run.gate and run.ring is not None:
            ring = replace(campaign.ring_states[run.ring], retry_at=now + GATE_AGAIN)
            waits = replace(with_ring(campaign, run.ring, ring), why=could_not_run)
        return waits
    if run.gate:
        return _after_gate(campaign, run, outcomes, now, whys)
    changed = []
    for host in hosts_of(campaign, run.hosts):
        outcome = outcomes.get(host.name)
        why = whys.get(host.name, "") or (f"{run.step}: {outcome}" if outcome in (FAILED, UNREACHABLE) else "")
        if outcome == OK:
            changed.append(_succeeded(campaign, host, run.step, now))
        elif outcome == FAILED:
            changed.append(_failed(host, run.step, now, why))
        elif outcome == UNREACHABLE or host.tries + 1 >= UNKNOWN:
            why = why or f"{run.step}: its outcome is not known"
            changed.append(_silent(campaign.spec, host, run.step, now, why))
        else:
            changed.append(again(host, now, "", PAUSES[min(host.tries, len(PAUSES) - 1)]))
    return with_hosts(campaign, changed)


def _after_gate(
    campaign: Campaign, run: Run, outcomes: Mapping[str, str], now: float, whys: Mapping[str, str]
) -> Campaign:
    assert run.ring is not None
    ring, name = campaign.ring_states[run.ring], campaign.spec.rings[run.ring].name
    unwell = [host for host in run.hosts if outcomes.get(host) != OK]
    if not unwell:
        return replace(with_ring(campaign, run.ring, replace(ring, gated=now)), why="")
    unknown = all(host not in outcomes for host in unwell)
    tries = ring.tries + 1
    why = f"the gate behind {name}: not well after the soak: {', '.join(unwell[:5])}"
    if tries < (UNKNOWN if unknown else 2):
        return replace(with_ring(campaign, run.ring, replace(ring, tries=tries, retry_at=now + GATE_AGAIN)), why=why)
    hosts = [
        replace(host, failed=True, verified=False, why=whys.get(host.name, "not well after the soak"))
        for host in hosts_of(campaign, unwell)
    ]
    stopped = replace(campaign, ending=STOPPED, why=why)
    # Should a person let it go on, the others are asked once more.
    return with_hosts(with_ring(stopped, run.ring, replace(ring, tries=0, retry_at=0.0)), hosts)


def _succeeded(campaign: Campaign, host: Host, step: str, now: float) -> Host:
    is_probe = host.silent_since is not None and next(iter(steps_left(campaign, host)), "") != "verify"
    kept = replace(host, tries=0, retry_at=0.0, silent_since=None)
    if step in UNDONE_BY.values():
        undone = frozenset(what for what in host.undo if UNDONE_BY[what] != step)
        kept = replace(kept, undo=undone)
        if kept.settled or kept.way in (OUT, RELEASE):
            return kept
        if step == UNDONE_BY[DRAIN]:
            return reach(kept, UNDRAINED, now, kept.why)
        return reach(kept, UNDRAINED, now, kept.why) if kept.way == BACK else reach(kept, DONE, now, kept.why)
    if kept.way == RELEASE:
        return replace(kept, verified=True, lost=False)
    if step == ROLLBACK:
        return reach(kept, REVERTED, now, kept.why)
    if step == "verify" and kept.way == FORWARD and is_probe:
        # It has come back. What was under way when it fell silent is done again; how often that was is not forgotten.
        return replace(kept, tries=host.tries)
    if step == "verify":
        return replace(reach(kept, VERIFIED, now, kept.why), verified=True)
    return reach(kept, REACHES[step], now, "")


def _failed(host: Host, step: str, now: float, why: str) -> Host:
    kept = replace(host, silent_since=None, why=why)
    if step in UNDONE_BY.values():
        return again(kept, now, why)
    if host.way == RELEASE:
        return back_to_quarantine(kept, why)
    if step == ROLLBACK or (step == "verify" and host.way == BACK):
        return quarantined(kept, why, now)
    way = BACK if host.applying else OUT
    return replace(kept, way=way, failed=True, tries=0, retry_at=0.0)


def _silent(spec: Spec, host: Host, step: str, now: float, why: str) -> Host:
    """It did not answer."""
    if step in UNDONE_BY.values():
        return again(host, now, why)
    if host.way == FORWARD and not host.applying:
        # Nothing was changed: it is asked once more, for a connection breaks now and then.
        return _failed(host, step, now, why) if host.tries else again(host, now, why)
    if host.way == RELEASE:
        return back_to_quarantine(host, why)
    since = now if host.silent_since is None else host.silent_since
    over = since + spec.lost_after
    if host.silent_since is not None and host.retry_at >= over:
        # It was asked when its time was over: until then others may have been at work, and nobody asked it.
        return quarantined(host, f"no answer for {shown(now - since)}: {why}", now, lost=True)
    tried = again(replace(host, silent_since=since), now, why)
    tried = replace(tried, retry_at=max(now, min(tried.retry_at, over)))
    if step == "reboot" and host.silent_since is None and tried.tries >= REBOOTS:
        return quarantined(tried, "it did not come back in time from one reboot after another", now)
    return tried


# --- what a person does -----------------------------------------------------------------------------------------------


def release(campaign: Campaign, names: Iterable[str], *, unverified: bool = False) -> Campaign:
    """Let hosts out of quarantine: verified first, unless a person says that they are well."""
    hosts = [
        replace(host, way=RELEASE, verified=unverified, lost=host.lost and not unverified, tries=0, retry_at=0.0)
        for host in hosts_of(campaign, names)
        if host.state == QUARANTINED
    ]
    return with_hosts(campaign, hosts)


def resumed(campaign: Campaign) -> Campaign:
    """Let a paused or stopped campaign go on; the failures until now are forgiven."""
    forgiven = campaign.forgiven + max(0, campaign.failures) if campaign.state == STOPPED else campaign.forgiven
    return replace(campaign, state=RUNNING, ending="", why="", forgiven=forgiven)
