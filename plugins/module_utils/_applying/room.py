# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a transaction fits: how many bytes and files it needs on which filesystem. Pure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._host import Statvfs
    from .._mounts import Mount

MIB = 1024 * 1024
RESERVE_SHARE = 10
"""The room that is to stay free is at most this part of a filesystem: a small /boot needs no reserve that / needs."""


class Need(NamedTuple):
    """What is needed on one filesystem."""

    size: int = 0
    files: int = 0

    def __add__(self, other: Need) -> Need:  # type: ignore[override] # no tuple is meant to be joined to another
        return Need(self.size + other.size, self.files + other.files)


def mount_of(path: str, points: Sequence[str]) -> str:
    """The mount point that a path lies below. ``points``: the longest first, "/" among them."""
    for point in points:
        if path == point or path.startswith(point.rstrip("/") + "/"):
            return point
    return "/"


def by_mount(files: Iterable[tuple[str, int]], points: Sequence[str]) -> dict[str, Need]:
    """What these files (path, bytes) take, in whole blocks of 4 KiB."""
    found: dict[str, Need] = {}
    folders: dict[str, str] = {}
    for path, size in files:
        folder = os.path.dirname(path)
        if folder not in folders:
            folders[folder] = mount_of(folder, points)
        point = path if path in points else folders[folder]
        found[point] = found.get(point, Need()) + Need((size + 4095) // 4096 * 4096, 1)
    return found


def peak(packages: Iterable[tuple[Mapping[str, Need], Mapping[str, Need]]]) -> dict[str, Need]:
    """The most that a transaction needs at any time, by mount point; packages: what the new and the old one take.

    dpkg and rpm unpack one package beside its old version, and then remove that. So at the worst all that have grown
    are there, and the largest one is just being unpacked.
    """
    growth: dict[str, Need] = {}
    largest: dict[str, Need] = {}
    for new, old in packages:
        for point, need in new.items():
            before = old.get(point, Need())
            more = Need(max(0, need.size - before.size), max(0, need.files - before.files))
            growth[point] = growth.get(point, Need()) + more
            top = largest.get(point, Need())
            largest[point] = Need(max(top.size, need.size), max(top.files, need.files))
    return {point: growth[point] + largest[point] for point in growth}


def points_of(mounts: Iterable[Mount]) -> list[str]:
    """The mount points, the longest first."""
    return sorted({mount.path for mount in mounts} | {"/"}, key=lambda path: (-len(path), path))


class Lack(NamedTuple):
    """A filesystem on which there is too little room. Bytes, or numbers of files where ``files``."""

    mount: str
    needed: int
    free: int
    files: bool = False

    def told(self) -> str:
        if self.files:
            return "%s: %d more files are needed, it can take %d" % (self.mount, self.needed, self.free)
        return "%s: %.1f MiB are needed, %.1f MiB are free" % (self.mount, self.needed / MIB, self.free / MIB)


def lacks(
    needs: Mapping[str, Need], answers: Mapping[str, Statvfs | None], reserve: int
) -> tuple[list[Lack], list[str]]:
    """Where there is too little room, and of which mount points that is not known. ``reserve``: bytes to stay free.

    What root may still use counts, as dpkg and rpm run as root.
    """
    found, unknown = [], []
    for point, need in sorted(needs.items()):
        value = answers.get(point)
        if value is None or value.error or value.blocks <= 0:
            unknown.append("%s: %s" % (point, value.error if value and value.error else "it does not answer"))
            continue
        free = value.free * value.block_size
        wanted = need.size + min(reserve, value.blocks * value.block_size // RESERVE_SHARE)
        if need.size and free < wanted:
            found.append(Lack(point, wanted, free))
        # A filesystem that makes its inodes as it needs them (btrfs) says 0.
        if value.files > 0 and value.files_free < need.files:
            found.append(Lack(point, need.files, value.files_free, files=True))
    return found, unknown


def add(needs: dict[str, Need], point: str, size: int, files: int = 1) -> None:
    """Count something more."""
    needs[point] = needs.get(point, Need()) + Need(size, files)
