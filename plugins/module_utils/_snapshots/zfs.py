# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of ZFS datasets, by its own commands.

Written against OpenZFS' manual pages (zfs-snapshot(8), zfs-rollback(8), zfs-destroy(8)); the project's machines have no
ZFS, so that it was tried against what these document only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .model import FAILED, UNSUPPORTED, Mark, Stop, said
from .sets import Member, Volume
from .zfs_parse import BOOT, GET, MARK, lacks_room, members_of, newer, pool_of, pools_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._host import Host
    from .._mounts import Mount


class Zfs:
    """The datasets of this host. Methods raise :class:`Stop`."""

    name = "zfs"

    def __init__(self, host: Host, mounts: Sequence[Mount], options: Mapping[str, Any]) -> None:
        self.host = host
        self.mounts = mounts
        self.options = options

    @property
    def here(self) -> bool:
        return self.host.which("zfs") is not None and any(mount.type == "zfs" for mount in self.mounts)

    def volume(self, mount: Mount) -> Volume | None:
        """The dataset that is mounted there, None when it is none."""
        if mount.type != "zfs":
            return None
        if mount.read_only or "@" in mount.source:
            raise Stop(
                UNSUPPORTED, mount.path, "high", "There can be no snapshot of %s: it is mounted read-only."
                % mount.path, [mount.source], "Mount it so that it can be written to.",
            )  # fmt: skip
        return Volume(self.name, mount.path, mount.source, mount)

    def members(self) -> list[Member]:
        boot = (self.host.read("/proc/sys/kernel/random/boot_id") or "").strip()
        try:
            return members_of(self._run(GET), self.mounts, boot)
        except ValueError as error:
            raise Stop(
                FAILED, "zfs", "high", "%s." % error, [str(error)], "Run it by hand: %s" % " ".join(GET)
            ) from error

    def lacks_room(self, volumes: Sequence[Volume]) -> list[str]:
        try:
            pools = pools_of(self._run(["zpool", "list", "-Hp", "-o", "name,size,free,health"]))
        except ValueError as error:
            return [str(error)]
        return lacks_room([(volume.path, volume.origin) for volume in volumes], pools, self.options["room_percent"])

    def take(self, volumes: Sequence[Volume], mark: Mark) -> None:
        """Those of one pool are of the same moment."""
        for pool in sorted({pool_of(volume.origin) for volume in volumes}):
            names = [
                "%s@upkeep-%s-%d" % (volume.origin, mark.name, mark.created)
                for volume in volumes
                if pool_of(volume.origin) == pool
            ]
            self._run(["zfs", "snapshot", "-o", "%s=%s" % (MARK, mark.text), *names])

    def remove(self, member: Member) -> str:
        """Destroy a snapshot. Why it was not, empty when it is gone."""
        there = {one.where: one for one in self.members()}.get(member.where)
        if there is None or there.mark != member.mark:
            return "" if there is None else "it does not bear our mark any more"
        # Never with -r or -R, which take what somebody else made of it.
        ran = self.host.run(["zfs", "destroy", member.where], timeout=self.options["timeout"])
        if ran.rc != 0:
            return said(ran)
        return "zfs said that it is gone, and it is there" if member.where in {m.where for m in self.members()} else ""

    def blocked(self, member: Member) -> str:
        """Why a dataset cannot go back to its snapshot, empty when it can."""
        told = self._run(
            ["zfs", "list", "-Hp", "-d", "1", "-t", "snapshot,bookmark", "-s", "createtxg", "-o", "name", member.origin]
        )
        later = newer(told, member.where)
        if later:
            return "ZFS goes back to the newest snapshot only, and these came later: %s" % ", ".join(later[:5])
        return ""

    def revert(self, member: Member) -> bool:
        """Roll a dataset back; whether anything was done."""
        boot = (self.host.read("/proc/sys/kernel/random/boot_id") or "").strip() or "unknown"
        if member.state != "taken":
            return False
        # Never with -r, which destroys what came later.
        self._run(["zfs", "rollback", member.where])
        self._run(["zfs", "set", "%s=%s" % (BOOT, boot), member.where])
        return True

    def undo(self, member: Member) -> str:
        return "%s: ZFS discards what came after the snapshot; the revert cannot be taken back." % member.volume

    def _run(self, argv: list[str]) -> str:
        ran = self.host.run(list(argv), timeout=self.options["timeout"])
        if ran.rc != 0:
            raise Stop(
                FAILED, "zfs", "high", "%s failed: %s." % (" ".join(argv[:2]), said(ran)), [ran.err, " ".join(argv)],
                "See zpool status and zfs list -t all.",
            )  # fmt: skip
        return ran.out
