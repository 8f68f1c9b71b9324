# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What self-review finds of campaigns: it becomes tickets and messages by the way of all findings.

``patch.campaign.awaits_approval``  a plan that waits for a person's word (see approving.py)
``patch.campaign.stopped``          a campaign that has stopped, or is held up, until a person looks
``patch.campaign.failed``           a host that was not changed, or was brought back, and why
``patch.campaign.quarantined``      a host that could be neither changed nor brought back: it is out of service
``patch.campaign.left``             what could not be undone (a drain, a snapshot), and is still tried
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import plan_text
from ..durations import shown
from ..store import campaigns
from . import model, planning
from .decide import GIVE_UP, Wait, decide, next_step
from .times import spans_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review

    from ..config import Config
    from ..store.campaigns import Kept

WAITING = "patch.campaign.awaits_approval"
STOPPED = "patch.campaign.stopped"
FAILED = "patch.campaign.failed"
QUARANTINED = "patch.campaign.quarantined"
LEFT = "patch.campaign.left"
CHECKS = (WAITING, STOPPED, FAILED, QUARANTINED, LEFT)

LEFT_AFTER = 1800.0
"""Seconds for which something may be left to be undone before a person is told."""
NEWEST = 50
"""Campaigns that are looked at, beside those in which something stands."""


def look(connection: Connection, review: Review, config: Config, now: float) -> None:
    """All checks."""
    found = campaigns.to_tell(connection, NEWEST)
    with review.check(WAITING):
        for kept in found:
            if kept.waits_for_approval:
                _waiting(review, kept, planning.changed_since(connection, kept, config))
    with review.check(STOPPED):
        seen: set[str] = set()
        for kept in found:
            if kept.name not in seen and kept.started is not None:
                seen.add(kept.name)
                _stopped(review, config, kept, campaigns.held(connection, kept.number), now)
    with review.check(FAILED):
        told: dict[str, set[str]] = {}
        for kept in found:  # the newest first: what an older one has said of a host is past
            past = told.get(kept.name, set()) | told.get(kept.campaign.spec.name, set())
            for host in kept.campaign.hosts if kept.started is not None else ():
                if host.failed and host.settled and host.name not in past:
                    _failed(review, kept, host)
            told.setdefault(kept.name, set()).update(host.name for host in kept.campaign.hosts if is_told(host))
    with review.check(QUARANTINED):
        through: set[str] = set()
        for kept in found:  # the newest first: a host that came through since is no longer told of
            for host in kept.campaign.hosts:
                if host.state == model.QUARANTINED and host.way != model.RELEASE and host.name not in through:
                    _quarantined(review, kept, host, now)
            through |= {host.name for host in kept.campaign.hosts if host.ring is not None and is_told(host)}
    with review.check(LEFT):
        for kept in found:
            since = {(undo.host, undo.kind): undo.since for undo in campaigns.undo_of(connection, kept.number)}
            for host in kept.campaign.hosts:
                if next_step(kept.campaign, host) is not None and host.settled:
                    for kind in sorted(host.undo):
                        _left(review, kept, host, kind, now - since.get((host.name, kind), now))


def is_told(host: model.Host) -> bool:
    """Whether what a campaign says of a host takes the place of what an older one of its name has said."""
    return host.settled and (host.failed or host.state in (model.DONE, model.RELEASED))


def subject(kept: Kept) -> str:
    """What the ticket of a plan that waits is about: each plan has one of its own."""
    return f"{kept.name}, campaign {kept.number}"


def _waiting(review: Review, kept: Kept, changed: list[str]) -> None:
    campaign = kept.campaign
    changed_hosts = sum(host.ring is not None for host in campaign.hosts)
    by_ring = [
        f"{ring.name}: {plan_text.named([host.name for host in campaign.hosts if host.ring == number], 20)}"
        for number, ring in enumerate(campaign.spec.rings)
        if any(host.ring == number for host in campaign.hosts)
    ]
    left = [host for host in campaign.hosts if host.state == model.LEFT_OUT]
    review.found(
        WAITING,
        subject(kept),
        "medium" if campaign.spec.asked is None else "high",
        f"The {'emergency' if campaign.spec.asked else 'campaign'} {kept.name} would change {changed_hosts} "
        f"host{'' if changed_hosts == 1 else 's'}, and waits for approval.",
        [f"no longer as it was planned: {line}" for line in changed]
        + by_ring
        + [f"left out: {host.name}: {host.why}" for host in left],
        f"See it: upkeep campaign status {kept.name}; then: upkeep campaign approve {kept.name}, or upkeep campaign "
        f"abort {kept.name}. Acknowledging this ticket approves as well. To start it then: upkeep campaign start "
        f"{kept.name}",
        {"campaign": kept.number, "digest": kept.digest},
    )


def _failed(review: Review, kept: Kept, host: model.Host) -> None:
    how = {
        model.LEFT_OUT: "was not changed",
        model.ROLLED_BACK: "was brought back to what it was",
        model.DONE: "is changed, and was not well after the soak",
    }.get(host.state)
    if how is None:  # in quarantine, or released by a person
        return
    review.found(
        FAILED,
        f"{host.name}, campaign {kept.name}",
        "medium",
        f"{host.name} {how} by the campaign {kept.name}: {host.why.rstrip('.')}.",
        [f"it had come to: {', '.join(host.times) or 'nothing'}"],
        f"See it: upkeep campaign status {kept.name}. Put it right; then plan it anew: upkeep campaign plan "
        f"{kept.name}",
        {"campaign": kept.number, "plan": host.plan, "state": host.state},
    )


def _stopped(review: Review, config: Config, kept: Kept, held: Mapping[str, model.Held], now: float) -> None:
    campaign = kept.campaign
    bad = [host for host in campaign.hosts if host.failed]
    evidence = [f"{host.name}: {host.state}: {host.why}" for host in bad]
    if campaign.state == model.STOPPED:
        review.found(
            STOPPED,
            kept.name,
            "high",
            f"The campaign {kept.name} has stopped: {campaign.why}.",
            evidence,
            f"See it: upkeep campaign status {kept.name}; to let it go on: upkeep campaign resume {kept.name}; to end "
            f"it: upkeep campaign abort {kept.name}",
            {"campaign": kept.number},
        )
    if campaign.state != model.RUNNING or campaign.ending:
        return
    decision = decide(campaign, now, spans_of(config, campaign.spec, now), {}, held)
    if isinstance(decision, Wait) and decision.stuck:
        stuck = [host for host in campaign.hosts if host.at_work and host.tries >= GIVE_UP]
        review.found(
            STOPPED,
            kept.name,
            "high",
            f"The campaign {kept.name} is held up: {decision.why}.",
            [f"{host.name}: {host.state}: {host.why}" for host in stuck],
            f"See it: upkeep campaign status {kept.name}. It is tried again until it can go on.",
            {"campaign": kept.number},
        )


def _quarantined(review: Review, kept: Kept, host: model.Host, now: float) -> None:
    since = host.times.get(model.QUARANTINED, now)
    held = {model.DRAIN: "drained, and its monitoring silenced", model.SNAPSHOT: "its snapshot kept"}
    left = [held[kind] for kind in sorted(host.undo)]
    review.found(
        QUARANTINED,
        f"{host.name}, campaign {kept.name}",
        "critical",
        f"{host.name} is quarantined by the campaign {kept.name}: {host.why}.",
        [
            f"for {shown(now - since)}; it had come to: {', '.join(host.times) or 'nothing'}",
            f"as it was left: {', '.join(left) or 'nothing to undo'}",
        ],
        f"Repair it; then: upkeep campaign release {kept.name} {host.name}   (verifies it, and puts it back)",
        {"campaign": kept.number, "plan": host.plan, "undo": sorted(host.undo)},
    )


def _left(review: Review, kept: Kept, host: model.Host, kind: str, seconds: float) -> None:
    if seconds < LEFT_AFTER:
        return
    what = {model.DRAIN: "is still drained or silenced", model.SNAPSHOT: "still has its snapshot"}[kind]
    review.found(
        LEFT,
        f"{host.name} {kind}, campaign {kept.name}",
        "high" if kind == model.DRAIN else "medium",
        f"{host.name} {what}, {shown(seconds)} after the campaign {kept.name} made it so.",
        [f"tried {host.tries} times" + (f": {host.why}" if host.why else "")],
        f"upkeep campaign status {kept.name}; it is tried again, also by: upkeep campaign resume {kept.name}",
        {"campaign": kept.number},
    )
