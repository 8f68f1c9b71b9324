# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which volumes hold what packages write, what is below them and not in their snapshots, and kernels. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._mounts import IMAGES, PSEUDO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._mounts import Mount

WRITTEN = (
    "/", "/usr", "/etc", "/opt", "/var", "/var/lib", "/var/lib/dpkg", "/var/lib/rpm", "/usr/lib/sysimage/rpm",
)  # fmt: skip
"""What packages write, and where dpkg and rpm keep what is installed: put back apart, they contradict each other."""
_NO_DATA = PSEUDO | IMAGES | {"tmpfs", "overlay", "devtmpfs"}
_KERNEL = re.compile(r"(?:vmlinuz|vmlinux|Image|kernel)-(.+)")
TOLD = 50
"""Of what is not included, so many are told."""


def holding(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount on which a path lies."""
    found = None
    for mount in mounts:
        if below(path, mount.path) and (found is None or len(mount.path) > len(found.path)):
            found = mount
    return found


def below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def automatic(real: Mapping[str, str], mounts: Iterable[Mount]) -> list[str]:
    """The mount points that hold what packages write; ``real`` has where each path of WRITTEN that exists leads to."""
    mounts = list(mounts)
    found = (holding(path, mounts) for path in real.values())
    return sorted({mount.path for mount in found if mount is not None})


def not_included(volumes: Iterable[str], mounts: Iterable[Mount]) -> list[dict[str, str]]:
    """Filesystems that are seen below the volumes and are none of them."""
    volumes = list(volumes)
    return [
        {"path": mount.path, "why": "another filesystem"}
        for mount in sorted(mounts, key=lambda one: one.path)
        if mount.type not in _NO_DATA
        and mount.path not in volumes
        and any(below(mount.path, volume) for volume in volumes)
    ][:TOLD]


def later_kernels(files: Iterable[tuple[str, float]], created: float) -> list[str]:
    """The kernels in /boot that came after a snapshot was taken; ``files`` are names with their times of change.

    Their modules are not in the snapshot. The time of change (ctime) is that of the installation on this host, while
    the file's own time (mtime) is that of the package.
    """
    found = ((_KERNEL.fullmatch(name), changed) for name, changed in files)
    return sorted(match.group(1) for match, changed in found if match and changed > created)
