# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host, or a ring, comes to stand otherwise: what deciding and learning have in common. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .model import (
    FORWARD,
    QUARANTINED,
    SETTLED,
    RingState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .model import Campaign, Host, RingState

PAUSES = (0.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds before a step is tried again, by how often it was; the last holds for all further ones."""
SELDOM = 3600.0
"""The same for a host whose turn is over, when all of those have passed: nothing waits for it."""


def again(host: Host, now: float, why: str, pause: float | None = None) -> Host:
    """Its step was tried in vain, and is tried once more after a pause that grows."""
    tries = host.tries + 1
    wait = PAUSES[min(tries, len(PAUSES) - 1)] if pause is None else pause
    wait = SELDOM if host.settled and tries > len(PAUSES) else wait
    return replace(host, tries=tries, retry_at=now + wait, why=why or host.why)


def quarantined(host: Host, why: str, now: float, *, lost: bool = False) -> Host:
    """It stays as it is, until a person has looked."""
    kept = replace(host, failed=True, lost=lost, verified=False, tries=0, retry_at=0.0, silent_since=None)
    return reach(kept, QUARANTINED, now, why)


def back_to_quarantine(host: Host, why: str) -> Host:
    """It was to be released, and is not well."""
    return replace(
        host, way=FORWARD, state=QUARANTINED, verified=False, why=why, tries=0, retry_at=0.0, silent_since=None
    )


def reach(host: Host, state: str, now: float, why: str) -> Host:
    """It has come to a state of its way."""
    if state in SETTLED:
        host = replace(host, silent_since=None)
        if not host.undo:  # else its undoing goes on as often as before
            host = replace(host, tries=0, retry_at=0.0)
    return replace(host, state=state, why=why, times={**host.times, state: now})


def with_hosts(campaign: Campaign, changed: Iterable[Host]) -> Campaign:
    """The campaign with some of its hosts as they are now."""
    new = {host.name: host for host in changed}
    return replace(campaign, hosts=tuple(new.get(host.name, host) for host in campaign.hosts))


def with_ring(campaign: Campaign, number: int, ring: RingState) -> Campaign:
    """The campaign with one of its rings as it is now."""
    rings = campaign.ring_states
    return replace(campaign, rings=(*rings[:number], ring, *rings[number + 1 :]))


def hosts_of(campaign: Campaign, names: Iterable[str]) -> list[Host]:
    """Those of its hosts, in its order."""
    wanted = set(names)
    return [host for host in campaign.hosts if host.name in wanted]
