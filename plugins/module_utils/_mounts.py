# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted, read from /proc/self/mountinfo and /etc/fstab, and which of it is a filesystem to look at. Pure."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._host import Statvfs

PSEUDO = frozenset(
    {
        *("autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs", "devpts"),
        *("devtmpfs", "efivarfs", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "fusectl", "hugetlbfs", "mqueue"),
        *("nfsd", "none", "nsfs", "pipefs", "proc", "pstore", "ramfs", "resctrl", "rootfs", "rpc_pipefs"),
        *("securityfs", "selinuxfs", "smackfs", "sockfs", "sysfs", "tracefs", "usbfs", "vboxsf"),
    }
)
"""Types that hold no data of anybody's."""
IMAGES = frozenset({"squashfs", "iso9660", "erofs", "cramfs", "romfs", "udf"})
"""Types that are full by nature."""
REMOTE = frozenset(
    {
        *(
            "9p",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "davfs",
            "gfs2",
            "glusterfs",
            "gpfs",
            "lustre",
            "ncpfs",
            "nfs",
            "nfs4",
        ),
        *("ocfs2", "orangefs", "smb3", "smbfs", "virtiofs"),
    }
)
"""Types that another machine answers for; each is asked by itself, as every type that begins with "fuse"."""

CLOSED = frozenset({"emergency_ro", "shutdown"})
"""How Linux 6.15 and later show a filesystem that the kernel has closed: after errors=remount-ro, and after a shutdown.
The mount itself still says "rw" then."""

_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A line of /proc/self/mountinfo (see proc(5))."""

    device: str
    """major:minor, the same for all mounts of one filesystem"""
    root: str
    """the folder in the filesystem that is seen at ``path``"""
    path: str
    options: frozenset[str]
    type: str
    source: str
    super_options: frozenset[str]

    @property
    def read_only(self) -> bool:
        return "ro" in self.options or bool(self.super_options & {"ro", *CLOSED})

    @property
    def remote(self) -> bool:
        return self.type in REMOTE or self.type.startswith("fuse")


def _plain(word: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), word) if "\\" in word else word


def parse_mountinfo(data: bytes) -> list[Mount]:
    """The mounts that can be seen: of several on one mount point the topmost. A line that makes no sense is left out.

    Paths keep bytes that are not UTF-8 as surrogates, so that they name the same file when asked for.
    """
    mounts: dict[str, Mount] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        before, separator, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if not separator or len(left) < 6 or len(right) < 3:
            continue
        path = _plain(left[4])
        mounts[path] = Mount(
            left[2],
            _plain(left[3]),
            path,
            frozenset(left[5].split(",")),
            right[0],
            _plain(right[1]),
            frozenset(right[-1].split(",")),
        )
    return list(mounts.values())


def parse_fstab(text: str) -> dict[str, frozenset[str]]:
    """The options that /etc/fstab gives, by mount point."""
    table = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and not words[0].startswith("#"):
            table[_plain(words[1])] = frozenset(words[3].split(","))
    return table


def unexpectedly_read_only(mounts: Iterable[Mount], fstab: Mapping[str, frozenset[str]]) -> list[Mount]:
    """Mounts that cannot be written to although /etc/fstab says that they can, or that the kernel itself has closed."""
    closed = []
    for mount in mounts:
        if mount.type in PSEUDO or mount.type in IMAGES:
            continue
        emergency = mount.super_options & CLOSED
        wanted = fstab.get(mount.path)
        if emergency or (mount.read_only and wanted is not None and not wanted & {"ro", "noauto"}):
            closed.append(mount)
    return closed


def candidates(mounts: Iterable[Mount], exclude_mounts: Iterable[str], exclude_types: Iterable[str]) -> list[Mount]:
    """One mount for each filesystem that may hold data: the one nearest to its root that can be written to."""
    types = PSEUDO | IMAGES | frozenset(exclude_types)
    patterns = [re.compile(fnmatch.translate(pattern)) for pattern in exclude_mounts]
    chosen: dict[str, Mount] = {}
    for mount in mounts:
        if mount.type in types or any(pattern.match(mount.path) for pattern in patterns):
            continue
        other = chosen.get(mount.device)
        if other is None or _rank(mount) < _rank(other):
            chosen[mount.device] = mount
    return list(chosen.values())


def _rank(mount: Mount) -> tuple[bool, bool, int, str]:
    return (mount.read_only, mount.root != "/", len(mount.path), mount.path)


def figures(mounts: Iterable[Mount], answers: Mapping[str, Statvfs | None]) -> list[dict[str, Any]]:
    """Size and use of the filesystems that answered, the fullest first; those without a size of their own are left out.

    As df does it: ``usable`` is what is used and what an ordinary user may still have, so the blocks reserved for root
    do not count, and 100 % is where services begin to fail.
    """
    found: list[dict[str, Any]] = []
    sizes: set[tuple[int, int]] = set()
    pools: dict[tuple[str, int], dict[str, Any]] = {}
    # Overlays last: such a one shows the figures of the filesystem that it writes to.
    for mount in sorted(mounts, key=lambda mount: (mount.type == "overlay" and mount.path != "/", mount.path)):
        value = answers.get(mount.path)
        if value is None or value.error or value.blocks <= 0 or value.block_size <= 0 or not value.folder:
            continue
        size = (value.blocks, value.block_size)
        if mount.type == "overlay" and mount.path != "/" and size in sizes:
            continue
        sizes.add(size)
        entry = _figures(mount, value)
        if mount.type == "zfs":
            # The datasets of a pool share its room: the one that uses the most stands for them.
            key = (mount.source.split("/")[0], entry["available_bytes"] >> 24)
            other = pools.get(key)
            if other is not None and other["used_bytes"] >= entry["used_bytes"]:
                continue
            pools[key] = entry
            if other is not None:
                found.remove(other)
        found.append(entry)
    return sorted(found, key=lambda entry: (-entry["used_percent"], entry["mount"]))


def _figures(mount: Mount, value: Statvfs) -> dict[str, Any]:
    free = min(max(value.free, 0), value.blocks)
    # Some servers hand out a negative number here, which reads as a huge one.
    available = value.available if 0 <= value.available <= value.blocks else 0
    used = value.blocks - free
    usable = used + available
    files = value.files if 0 < value.files < 1 << 62 and 0 <= value.files_free <= value.files else 0
    files_used = files - value.files_free if files else 0
    return {
        "mount": mount.path,
        "device": mount.source,
        "type": mount.type,
        "read_only": mount.read_only,
        "size_bytes": value.blocks * value.block_size,
        "used_bytes": used * value.block_size,
        "available_bytes": available * value.block_size,
        "reserved_bytes": max(0, free - available) * value.block_size,
        "used_percent": round(100.0 * used / usable, 2) if usable else 100.0,
        "inodes": files or None,
        "inodes_used": files_used if files else None,
        "inodes_used_percent": round(100.0 * files_used / files, 2) if files else None,
    }
