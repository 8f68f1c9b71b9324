# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From hosts to rings, and from a ring to its next batch. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

from .model import DONE, PLANNED, Host

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from .model import Campaign, Spec, Together

NAMED = 5
"""Hosts that a sentence names; the others are counted."""


class WrongRingsError(ValueError):
    """The spec does not fit the inventory; its text says what was found."""


@dataclass(frozen=True)
class Place:
    """Where a host comes."""

    ring: int | None
    """None: no ring has it."""
    place: int
    cluster: int | None


def patterns(spec: Spec) -> list[str]:
    """All patterns of hosts in a spec, each once: they are resolved before :func:`assign`."""
    given = [ring.hosts for ring in spec.rings] + [one.hosts for one in spec.one_at_a_time]
    return list(dict.fromkeys(pattern for pattern in given if pattern))


def assign(
    spec: Spec,
    hosts: Sequence[str],
    matched: Mapping[str, Collection[str]],
    variables: Mapping[str, Mapping[str, Any]],
) -> dict[str, Place]:
    """The place of each host, in the order of their turns. Raises WrongRingsError.

    ``hosts``: those of the campaign, in the inventory's order; ``matched``: the hosts of each pattern of the spec;
    ``variables``: of hosts, for ``order_by``. A host is of the first ring that takes it; rings by hosts choose before
    those by percent and count, which take what is left, in the inventory's order.
    """
    cluster_of, ordered = _clusters(spec, hosts, matched, variables)
    queue = _in_cluster_order(hosts, ordered)
    ring_of: dict[str, int] = {}
    for number, ring in enumerate(spec.rings):
        for host in queue:
            if ring.hosts is not None and host in matched[ring.hosts]:
                ring_of.setdefault(host, number)
    for number, ring in enumerate(spec.rings):
        left = [host for host in queue if host not in ring_of]
        wanted = len(left) if ring.rest else ring.count or 0
        if ring.percent is not None:
            wanted = ceil(len(hosts) * ring.percent / 100 - 1e-9)
        for host in left[:wanted] if ring.hosts is None else ():
            ring_of[host] = number
    for members in ordered:
        _refuse_disorder(spec, members, ring_of)
    places = {host: place for place, host in enumerate(queue)}
    made = {host: Place(ring_of.get(host), places[host], cluster_of.get(host)) for host in queue}
    last = len(spec.rings)
    return dict(sorted(made.items(), key=lambda one: (last if one[1].ring is None else one[1].ring, one[1].place)))


def _clusters(
    spec: Spec,
    hosts: Sequence[str],
    matched: Mapping[str, Collection[str]],
    variables: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, int], list[list[str]]]:
    """Which cluster each host is of, and the members of each in their order."""
    cluster_of: dict[str, int] = {}
    ordered = []
    for number, together in enumerate(spec.one_at_a_time):
        members = [host for host in hosts if host in matched[together.hosts]]
        for host in members:
            if host in cluster_of:
                raise WrongRingsError(f"{host} is of two one_at_a_time groups; a host is of one")
            cluster_of[host] = number
        ordered.append(_ordered(together, members, variables))
    return cluster_of, ordered


def _ordered(together: Together, members: list[str], variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not together.order:
        return members
    by = {host: host for host in members}
    if together.order_by is not None:
        by = {host: str(variables.get(host, {}).get(together.order_by, "")) for host in members}
    unknown = [host for host in members if by[host] not in together.order]
    if unknown:
        what = f"{together.order_by} of " if together.order_by else ""
        found = ", ".join(f"{host}: {by[host] or 'none'}" if together.order_by else host for host in unknown[:NAMED])
        raise WrongRingsError(
            f"the order of {together.hosts} does not say when its turn is: {what}{found} "
            f"(the order is {', '.join(together.order)})"
        )
    return sorted(members, key=lambda host: together.order.index(by[host]))


def _in_cluster_order(hosts: Sequence[str], clusters: Iterable[list[str]]) -> list[str]:
    """The hosts, with the members of each cluster in its order within the places that they have together."""
    queue = list(hosts)
    for members in clusters:
        slots = [place for place, host in enumerate(queue) if host in members]
        for slot, host in zip(slots, members, strict=True):
            queue[slot] = host
    return queue


def _refuse_disorder(spec: Spec, members: Sequence[str], ring_of: Mapping[str, int]) -> None:
    """Rings must not turn a cluster's order round: its primary in the canary ring before its standby."""
    rings = [(ring_of[host], host) for host in members if host in ring_of]
    for (before, first), (after, second) in pairwise(rings):
        if before > after:
            names = [spec.rings[number].name for number in (before, after)]
            raise WrongRingsError(
                f"{first} comes before {second} in its one_at_a_time group, and after it by rings "
                f"({names[0]} after {names[1]}): put both into one ring"
            )


def next_batch(campaign: Campaign, ring: int, away: Collection[str]) -> list[Host]:
    """The hosts whose turn is next in a ring, none when none is left that may begin.

    ``away``: hosts that must not begin now (frozen). Of a cluster, one at a time, and never before those before it.
    """
    members = [host for host in campaign.hosts if host.ring == ring]
    size = campaign.spec.rings[ring].batch.at_least_one(len(members))
    taken: list[Host] = []
    closed: set[int] = set()
    for host in sorted(members, key=lambda one: one.place):
        if len(taken) >= size:
            break
        if host.settled:
            continue
        if host.cluster is not None and (host.cluster in closed or _has_one_before(campaign, host)):
            continue
        if host.state != PLANNED or host.batch is not None or host.name in away:
            # Those behind it in its cluster wait for it.
            closed |= {host.cluster} if host.cluster is not None else set()
            continue
        taken.append(host)
        closed |= {host.cluster} if host.cluster is not None else set()
    return taken


def _has_one_before(campaign: Campaign, host: Host) -> bool:
    """Whether a member of its cluster is at work, or is to come before it."""
    others = (one for one in campaign.hosts if one.cluster == host.cluster and one.name != host.name)
    return any(
        one.at_work or (one.ring is not None and not one.settled and (one.ring, one.place) < (host.ring, host.place))
        for one in others
    )


def preview(campaign: Campaign) -> list[tuple[int, list[str]]]:
    """The batches as they come when all goes well: (ring, hosts)."""
    batches: list[tuple[int, list[str]]] = []
    for ring in range(len(campaign.spec.rings)):
        while batch := next_batch(campaign, ring, ()):
            names = [host.name for host in batch]
            batches.append((ring, names))
            hosts = tuple(replace(one, state=DONE) if one.name in names else one for one in campaign.hosts)
            campaign = replace(campaign, hosts=hosts)
    return batches
