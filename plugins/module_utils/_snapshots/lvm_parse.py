# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lvs says of logical volumes, understood, and what of it is ours. Pure.

Field names and attributes: lvs(8), lvmreport(7); merging: lvconvert(8); characters of tags: lvm(8). The form of the
report was seen with LVM 2.03.16.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from .model import Mark, mark_of
from .sets import INVALID, REVERTED, REVERTING, TAKEN, Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._mounts import Mount

FIELDS = (
    "vg_name", "lv_name", "lv_attr", "lv_size", "origin", "pool_lv", "lv_tags", "data_percent", "metadata_percent",
    "lv_merging", "lv_kernel_major", "lv_kernel_minor", "vg_free_count", "vg_extent_size",
)  # fmt: skip
LVS = ["lvs", "-a", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", ",".join(FIELDS)]
PREFIX = "upkeep-"
"""How our snapshots begin: only what does, and has an origin, is ever removed. Merging a thin snapshot leaves its tags
on the volume itself, and lvremove would take that with all its snapshots."""
REVERTED_TAG = "reverted:"
"""Before a mark, on a volume that was merged with its snapshot of that mark."""


class Lv(NamedTuple):
    """A logical volume."""

    group: str
    name: str
    attr: str
    size: int
    """Bytes."""
    origin: str
    pool: str
    tags: tuple[str, ...]
    data: float | None
    """Percent that are used, of a classic snapshot or a pool."""
    metadata: float | None
    merging: bool
    device: str
    """major:minor, empty when it is not active."""
    free_extents: int
    """Of its group."""
    extent: int
    """Bytes of one."""

    @property
    def path(self) -> str:
        return "%s/%s" % (self.group, self.name)

    @property
    def thin(self) -> bool:
        return bool(self.pool)


def lvs_of(text: str) -> list[Lv]:
    """The logical volumes of a report in JSON. Raises ValueError when it cannot be read."""
    try:
        rows = [row for part in json.loads(text)["report"] for row in part["lv"]]
        return [_lv(row) for row in rows]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("lvs did not report %s" % error) from error


def _lv(row: Mapping[str, str]) -> Lv:
    major, minor = row["lv_kernel_major"], row["lv_kernel_minor"]
    return Lv(
        row["vg_name"], row["lv_name"].strip("[]"), row["lv_attr"], int(row["lv_size"]), row["origin"].strip("[]"),
        row["pool_lv"].strip("[]"), tuple(tag for tag in row["lv_tags"].split(",") if tag),
        _percent(row["data_percent"]), _percent(row["metadata_percent"]), row["lv_merging"] == "merging",
        "%s:%s" % (major, minor) if major.isdigit() and minor.isdigit() else "",
        int(row["vg_free_count"]), int(row["vg_extent_size"]),
    )  # fmt: skip


def _percent(text: str) -> float | None:
    return float(text) if text else None


def members_of(lvs: Iterable[Lv], mounts: Iterable[Mount], merging_now: Iterable[str] = ()) -> list[Member]:
    """The snapshots of ours. ``merging_now``: paths of the volumes that the kernel is merging already."""
    lvs = list(lvs)
    by_device = {mount.device: mount.path for mount in reversed(list(mounts))}
    by_path = {lv.path: lv for lv in lvs}
    found = []
    for lv in lvs:
        for tag in lv.tags:
            mark = mark_of(tag[len(REVERTED_TAG) :] if tag.startswith(REVERTED_TAG) else tag)
            if mark is None:
                continue
            snapshot = bool(lv.origin) and lv.name.startswith(PREFIX)
            base = by_path.get("%s/%s" % (lv.group, lv.origin)) if snapshot else lv
            origin = base.path if base else "%s/%s" % (lv.group, lv.origin)
            volume = by_device.get(base.device, origin) if base and base.device else origin
            state, why = (REVERTED, "") if not snapshot else _state(lv, origin, merging_now)
            found.append(Member("lvm", mark, volume, origin, lv.path, state, "", why, lv))
    # A snapshot that is being merged has a tag on its volume already: the one that says more counts.
    waits = {(one.mark, one.origin) for one in found if one.state != REVERTED}
    unique: dict[tuple[Mark, str], Member] = {}
    for one in found:
        if one.state != REVERTED or (one.mark, one.origin) not in waits:
            unique.setdefault((one.mark, one.origin), one)
    return list(unique.values())


def _state(lv: Lv, origin: str, merging_now: Iterable[str]) -> tuple[str, str]:
    if lv.attr[4:5] in ("m", "M"):
        return INVALID, "merging it failed"
    if lv.attr[4:5] in ("I", "S") or (not lv.thin and lv.data is not None and lv.data >= 100):
        return INVALID, "it overflowed: more was changed than it has room for (%d MiB)" % (lv.size >> 20)
    if lv.merging:
        if origin in merging_now:
            return REVERTED, ""  # reads see the snapshot from the first moment on
        return REVERTING, "%s is in use, and is merged when it is activated next" % origin
    return TAKEN, ""


def needed(lv: Lv, size_percent: int) -> int:
    """Extents of a classic snapshot."""
    return max(1, -(-lv.size * size_percent // 100 // lv.extent))


def lacks_room(volumes: Iterable[tuple[str, Lv]], lvs: Iterable[Lv], size_percent: int, room_percent: int) -> list[str]:
    """What there is too little of: sentences. ``volumes`` are mount points with their logical volumes."""
    volumes = list(volumes)
    pools = {lv.path: lv for lv in lvs}
    found = []
    for group in sorted({lv.group for _path, lv in volumes if not lv.thin}):
        mine = [(path, lv) for path, lv in volumes if lv.group == group and not lv.thin]
        wanted, free = sum(needed(lv, size_percent) for _path, lv in mine), mine[0][1].free_extents
        if wanted > free:
            found.append(
                "the volume group %s has %d free extents, and %d %% of %s are %d"
                % (group, free, size_percent, ", ".join(path for path, _lv in mine), wanted)
            )
    for path in sorted({"%s/%s" % (lv.group, lv.pool) for _path, lv in volumes if lv.thin}):
        pool = pools.get(path)
        for what, used in (("data", pool.data if pool else None), ("metadata", pool.metadata if pool else None)):
            if used is None:
                found.append("the thin pool %s does not say how much of its %s is used" % (path, what))
            elif 100 - used < room_percent:
                found.append(
                    "the thin pool %s has %.1f %% of its %s free, and room_percent asks for %d %%"
                    % (path, 100 - used, what, room_percent)
                )
    return found


def cannot(lv: Lv) -> str:
    """Why there can be no snapshot of a volume, empty when there can be."""
    if lv.attr[:1] in ("s", "S") or (lv.origin and not lv.thin):
        return "it is a snapshot itself"
    if lv.merging or lv.attr[:1] == "O":
        return "a snapshot is being merged into it"
    return ""


def snapshot_name(mark: Mark, lv: Lv) -> str:
    """The name of a snapshot: at most 127 characters, and without the _tdata, _cow and their like that LVM reserves."""
    base = "%s%s-%d-%s" % (PREFIX, mark.name, mark.created, lv.name)
    return base.replace("_", "-")[:120]


def take_command(mark: Mark, lv: Lv, size_percent: int) -> list[str]:
    size = [] if lv.thin else ["--extents", str(needed(lv, size_percent))]
    # A thin snapshot is not activated with its group: two filesystems of one uuid must not be seen.
    skip = ["--setactivationskip", "y"] if lv.thin else []
    name = snapshot_name(mark, lv)
    return ["lvcreate", "--yes", "--snapshot", *size, *skip, "--addtag", mark.text, "--name", name, lv.path]


def merges_now(table: str) -> bool:
    """Whether ``dmsetup table`` of a volume says that the kernel is merging its snapshot into it."""
    words = table.split()
    return len(words) > 2 and words[2] == "snapshot-merge"
