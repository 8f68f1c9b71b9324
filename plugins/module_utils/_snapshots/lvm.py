# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of logical volumes, classic and thin, by LVM's own commands.

Written against lvcreate(8), lvconvert(8), lvs(8) and Red Hat's guide to logical volumes; the project's machines have no
device-mapper, so that it was tried against what these document only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .lvm_parse import (
    LVS,
    PREFIX,
    REVERTED_TAG,
    Lv,
    cannot,
    lacks_room,
    lvs_of,
    members_of,
    merges_now,
    take_command,
)
from .model import FAILED, UNSUPPORTED, Mark, Stop, said
from .sets import Member, Volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._host import Host
    from .._mounts import Mount

_POLL = 2.0
_TRIED = 3
"""Times that a volume that was just unmounted is tried to be merged: udev may look at it for a moment."""


class Lvm:
    """The logical volumes of this host. Methods raise :class:`Stop`."""

    name = "lvm"

    def __init__(self, host: Host, mounts: Sequence[Mount], options: Mapping[str, Any]) -> None:
        self.host = host
        self.mounts = mounts
        self.options = options
        self.timeout = options["timeout"]
        self._all: list[Lv] | None = None

    @property
    def here(self) -> bool:
        """Whether the kernel shows a logical volume; asking LVM itself takes fifty times as long."""
        return any(
            (self.host.read(path) or "").startswith("LVM-") for path in self.host.glob("/sys/block/dm-*/dm/uuid")
        )

    def lvs(self, again: bool = False) -> list[Lv]:
        if self._all is None or again:
            ran = self.host.run(list(LVS), timeout=self.timeout)
            try:
                if ran.rc != 0:
                    raise ValueError(said(ran))
                self._all = lvs_of(ran.out)
            except ValueError as error:
                raise Stop(
                    FAILED, "lvm", "high", "lvs failed: %s." % error, [ran.err, ran.out[:400]],
                    "Run it by hand: lvs -a",
                ) from error  # fmt: skip
        return self._all

    def volume(self, mount: Mount) -> Volume | None:
        """The logical volume that is mounted there, None when it is none."""
        lv = next((one for one in self.lvs() if one.device and one.device == mount.device), None)
        if lv is None:
            return None
        why = cannot(lv)
        if why:
            raise Stop(
                UNSUPPORTED, mount.path, "high", "There can be no snapshot of %s (%s): %s."
                % (mount.path, lv.path, why), [lv.attr], "See lvs -a.",
            )  # fmt: skip
        return Volume(self.name, mount.path, lv.path, lv)

    def members(self) -> list[Member]:
        merging = {"%s/%s" % (lv.group, lv.origin) for lv in self.lvs() if lv.merging and lv.origin}
        now = [path for path in sorted(merging) if self._merges(path)]
        return members_of(self.lvs(), self.mounts, now)

    def _merges(self, path: str) -> bool:
        # What dmsetup calls a volume has each hyphen of its two names twice (lvm(8)).
        name = "-".join(part.replace("-", "--") for part in path.split("/"))
        return merges_now(self.host.run(["dmsetup", "table", name], timeout=self.timeout).out)

    def lacks_room(self, volumes: Sequence[Volume]) -> list[str]:
        pairs = [(volume.path, volume.source) for volume in volumes]
        return lacks_room(pairs, self.lvs(), self.options["size_percent"], self.options["room_percent"])

    def take(self, volumes: Sequence[Volume], mark: Mark) -> None:
        for volume in volumes:
            self._run(take_command(mark, volume.source, self.options["size_percent"]))
        self._all = None

    def remove(self, member: Member) -> str:
        """Remove a snapshot, or the tag that a merge left. Why it was not, empty when it is gone."""
        # Looked at once more: lvremove of a volume takes all its snapshots with it.
        lv = next((one for one in self.lvs(again=True) if one.path == member.where), None)
        if lv is None:
            return ""
        tag = member.source["tag"]
        if tag not in lv.tags:
            return "it does not bear our mark any more"
        if lv.merging:
            return "it is being merged into %s" % member.origin
        if lv.origin and lv.name.startswith(PREFIX) and not tag.startswith(REVERTED_TAG):
            ran = self.host.run(["lvremove", "--yes", lv.path], timeout=self.timeout)
        else:
            ran = self.host.run(["lvchange", "--deltag", tag, lv.path], timeout=self.timeout)
        if ran.rc != 0:
            return said(ran)
        there = next((one for one in self.lvs(again=True) if one.path == member.where), None)
        return "LVM said that it is gone, and it is there" if there and tag in there.tags else ""

    def blocked(self, _member: Member) -> str:
        """Why a volume cannot go back to its snapshot: nothing that could be known before."""
        return ""

    def revert(self, member: Member) -> bool:
        """Merge a snapshot into its volume; what is in use waits for its next activation. Whether anything was done."""
        lv = member.source["lv"]
        if lv.merging:
            return False
        self._run(["lvchange", "--addtag", REVERTED_TAG + member.mark.text, member.origin])
        mounted = next((mount for mount in self.mounts if mount.path == member.volume), None)
        closed = mounted is not None and mounted.path != "/" and self.host.run(
            ["umount", mounted.path], timeout=self.timeout
        ).rc == 0  # fmt: skip
        try:
            self._run(["lvconvert", "--merge", "--background", lv.path])
            if closed:
                self._wait(lv)
        finally:
            if closed and mounted is not None:
                self._mount(mounted)
        self._all = None
        return True

    def _wait(self, lv: Lv) -> None:
        """Wait until the merge is over or has begun; while it runs the volume shows the snapshot already."""
        origin = "%s/%s" % (lv.group, lv.origin)
        for _attempt in range(_TRIED):
            there = next((one for one in self.lvs(again=True) if one.path == lv.path), None)
            if there is None or not there.merging or self._merges(origin):
                return
            # Closed, and still not begun: activating it anew begins it.
            self.host.run(["lvchange", "--refresh", origin], timeout=self.timeout)
            self.host.sleep(_POLL)

    def _mount(self, mount: Mount) -> None:
        options = ",".join(sorted(mount.options))
        ran = self.host.run(["mount", "-t", mount.type, "-o", options, mount.source, mount.path], timeout=self.timeout)
        if ran.rc != 0:
            raise Stop(
                FAILED, "revert", "critical", "%s cannot be mounted again: %s." % (mount.path, said(ran)), [ran.err],
                "Mount it by hand: mount %s" % mount.path,
            )  # fmt: skip

    def undo(self, member: Member) -> str:
        return "%s: LVM merges a snapshot away; the revert cannot be taken back." % member.volume

    def _run(self, argv: list[str]) -> None:
        ran = self.host.run(argv, timeout=self.timeout)
        if ran.rc != 0:
            raise Stop(
                FAILED, "lvm", "high", "%s failed: %s." % (argv[0], said(ran)), [ran.err, " ".join(argv)],
                "See lvs -a, vgs, and the log of the kernel.",
            )  # fmt: skip
