# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What zfs and zpool say, understood, and what of it is ours. Pure. See zfs-get(8), zfs-list(8), zpool-list(8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .model import mark_of
from .sets import REVERTED, REVERTING, TAKEN, Member
from .volumes import WRITTEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._mounts import Mount

MARK, BOOT = "upkeep:snapshot", "upkeep:reverted"
"""Our properties, on the snapshot itself: its mark; and in which boot it was reverted to."""
GET = ["zfs", "get", "-Hp", "-t", "snapshot", "-s", "local", "-o", "name,property,value", "%s,%s" % (MARK, BOOT)]
"""What is inherited from a dataset marks nothing, so only what is set locally is asked for."""
_USABLE = ("ONLINE", "DEGRADED")


class Pool(NamedTuple):
    """Bytes."""

    name: str
    size: int
    free: int
    health: str


def pools_of(text: str) -> dict[str, Pool]:
    """What ``zpool list -Hp -o name,size,free,health`` says. Raises ValueError when it cannot be read."""
    found = {}
    for line in text.splitlines():
        words = line.split("\t")
        if len(words) != 4:
            raise ValueError("zpool list printed %r" % line[:80])
        found[words[0]] = Pool(words[0], int(words[1]), int(words[2]), words[3])
    return found


def pool_of(dataset: str) -> str:
    return dataset.partition("/")[0]


def members_of(text: str, mounts: Iterable[Mount], boot: str) -> list[Member]:
    """The snapshots of ours, by what GET prints. Raises ValueError when it cannot be read."""
    properties: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        words = line.split("\t")
        if len(words) != 3:
            raise ValueError("zfs get printed %r" % line[:80])
        properties.setdefault(words[0], {})[words[1]] = words[2]
    by_dataset = {mount.source: mount.path for mount in reversed(list(mounts)) if mount.type == "zfs"}
    found = []
    for name, given in properties.items():
        mark, (dataset, at, _snapshot) = mark_of(given.get(MARK, "")), name.partition("@")
        if mark is None or not at:
            continue
        volume = by_dataset.get(dataset, dataset)
        state, why = TAKEN, ""
        if BOOT in given:
            state = REVERTED
            if given[BOOT] == boot and volume in WRITTEN:
                state, why = REVERTING, "what runs was begun from what was replaced"
        found.append(Member("zfs", mark, volume, dataset, name, state, "", why))
    return found


def newer(text: str, snapshot: str) -> list[str]:
    """What came after a snapshot, by ``zfs list -s createtxg``; the snapshot itself when it is not there."""
    names = [line.strip() for line in text.splitlines() if line.strip()]
    return names[names.index(snapshot) + 1 :] if snapshot in names else [snapshot]


def lacks_room(paths: Iterable[tuple[str, str]], pools: dict[str, Pool], percent: int) -> list[str]:
    """What there is too little of: sentences. ``paths`` are mount points with their datasets."""
    found = []
    for name in sorted({pool_of(dataset) for _path, dataset in paths}):
        pool = pools.get(name)
        if pool is None or pool.size <= 0:
            found.append("zpool list does not name the pool %s" % name)
        elif pool.health not in _USABLE:
            found.append("the pool %s is %s" % (name, pool.health))
        elif pool.free * 100 < pool.size * percent:
            found.append(
                "the pool %s has %.1f %% free, and room_percent asks for %d %%"
                % (name, 100.0 * pool.free / pool.size, percent)
            )
    return found
