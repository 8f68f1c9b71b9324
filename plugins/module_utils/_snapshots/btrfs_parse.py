# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What btrfs, fstab and the kernel say of a subvolume, understood. Pure."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._mounts import Mount

TOP = 5
"""The number of the top level, which is a subvolume that cannot be swapped for another one (BTRFS_FS_TREE_OBJECTID)."""
GET_SUBVOL_INFO = (2 << 30) | (504 << 16) | (0x94 << 8) | 60
"""BTRFS_IOC_GET_SUBVOL_INFO, _IOR(0x94, 60, struct btrfs_ioctl_get_subvol_info_args); Linux 4.18 and later."""
INFO_BYTES = 504
_NO_UUID = b"\0" * 16
_SPARE_METADATA = 16 << 20
"""Bytes of metadata that must be free: a snapshot writes a few nodes, and each first change after it copies its own."""


class Info(NamedTuple):
    """What the kernel says of a subvolume."""

    number: int
    read_only: bool
    uuid: str
    parent: str
    """The uuid of the one that it is a snapshot of, empty when it is none."""


class Room(NamedTuple):
    """Bytes."""

    size: int
    free: int
    """What can be written in the worst case."""
    metadata: int
    """What can be written of metadata."""


def info_of(data: bytes) -> Info:
    """What struct btrfs_ioctl_get_subvol_info_args holds (linux/btrfs.h)."""
    number, flags = struct.unpack_from("=Q", data, 0)[0], struct.unpack_from("=Q", data, 288)[0]
    uuid, parent = struct.unpack_from("=16s16s", data, 296)
    return Info(number, bool(flags & 1), uuid.hex(), "" if parent == _NO_UUID else parent.hex())


def room_of(text: str) -> Room:
    """What ``btrfs filesystem usage -b`` says. Raises ValueError when that cannot be read."""
    size, unallocated = _number(r"Device size:\s+(\d+)", text), _number(r"Device unallocated:\s+(\d+)", text)
    free = _number(r"Free \(estimated\):\s+\d+\s+\(min: (\d+)\)", text)
    reserve = _number(r"Global reserve:\s+(\d+)", text)
    groups = re.findall(r"^Metadata,\s*\S+: Size:(\d+), Used:(\d+)", text, re.M)
    if not groups:  # block groups that hold both
        groups = re.findall(r"^Data\+Metadata,\s*\S+: Size:(\d+), Used:(\d+)", text, re.M)
    if not groups:
        raise ValueError("it says nothing of metadata")
    # Half of what is not allocated: metadata are mostly kept twice.
    metadata = sum(int(total) - int(used) for total, used in groups) - reserve + unallocated // 2
    return Room(size, free, max(0, metadata))


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError("it does not say %s" % pattern.split(":", maxsplit=1)[0].replace("\\", ""))
    return int(match.group(1))


def lacks_room(room: Room, percent: int) -> str:
    """What there is too little of, empty when there is enough."""
    if room.size <= 0:
        return "the size of its filesystem is not known"
    if room.free * 100 < room.size * percent:
        return "%.1f %% of its filesystem are free, and room_percent asks for %d %%" % (
            100.0 * room.free / room.size,
            percent,
        )
    if room.metadata < _SPARE_METADATA:
        return "its filesystem has room for %d MiB of metadata, and needs %d MiB" % (
            room.metadata >> 20,
            _SPARE_METADATA >> 20,
        )
    return ""


def number_of(options: Iterable[str]) -> int | None:
    """The number of a subvolume in the options of a mount."""
    for option in options:
        if option.startswith("subvolid=") and option[9:].isdigit():
            return int(option[9:])
    return None


def name_of(options: Iterable[str]) -> str | None:
    """The path of a subvolume in the options of a mount, from the top level, without a slash before it."""
    for option in options:
        if option.startswith("subvol="):
            return option[7:].strip("/")
    return None


def boot_options(cmdline: str) -> frozenset[str]:
    """The options that the kernel's command line gives for the root filesystem."""
    found: list[str] = []
    for word in cmdline.split():
        if word.startswith("rootflags="):
            found += word[10:].split(",")
    return frozenset(found)


def cannot(mount: Mount) -> str:
    """Why a mount of btrfs is nothing that can be swapped for its snapshot, empty when it is."""
    number, name = number_of(mount.super_options), name_of(mount.super_options)
    if number is None or name is None:
        return "the kernel does not say which subvolume it is"
    if number == TOP:
        return "it is the top level of its filesystem, which cannot be swapped for a snapshot"
    if mount.root.strip("/") != name:
        return "only a folder of the subvolume %s is mounted there" % name
    if mount.read_only:
        return "it is mounted read-only"
    return ""


def found_by(mount: Mount, fstab: Mapping[str, frozenset[str]], cmdline: str, default: int) -> str:
    """How the next mount finds the subvolume: ``name`` or ``default``. Raises ValueError when it is by number.

    ``default`` is the number of the default subvolume. The root filesystem is mounted by what the kernel's command line
    says; what fstab says of it counts where that says nothing.
    """
    options = boot_options(cmdline) if mount.path == "/" else frozenset()
    if number_of(options) is None and name_of(options) is None:
        options = fstab.get(mount.path, frozenset())
    if number_of(options) is not None:
        raise ValueError(
            "it is mounted by its number (subvolid=%s), which a snapshot does not have" % number_of(options)
        )
    if name_of(options) is not None:
        return "name"
    return "default" if default == number_of(mount.super_options) else "name"


def children_of(text: str) -> list[str]:
    """The paths that ``btrfs subvolume list -o`` tells, from the top level."""
    return [line.split(" path ", 1)[1] for line in text.split("\n") if line.startswith("ID ") and " path " in line]
