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
from .sets import TAKEN, Member, Volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._host import Host
    from .._mounts import Mount


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
        mine = {member.mark.text, REVERTED_TAG + member.mark.text}
        if not mine & set(lv.tags):
            return "it does not bear our mark any more"
        if lv.merging:
            return "it is being merged into %s" % member.origin
        snapshot = bool(lv.origin) and lv.name.startswith(PREFIX)
        argv = [["lvremove", "--yes", lv.path]] if snapshot else []
        # What bears a mark and is no snapshot of ours is a volume that was merged, or was going to be.
        argv += [
            ["lvchange", "--deltag", tag, one.path]
            for one in self.lvs()
            if one.path in (lv.path, member.origin) and not (snapshot and one is lv)
            for tag in one.tags
            if tag in mine
        ]
        for words in argv:
            ran = self.host.run(words, timeout=self.timeout)
            if ran.rc != 0:
                return said(ran)
        there = next((one for one in self.lvs(again=True) if one.path == member.where), None)
        return "LVM said that it is gone, and it is there" if there and mine & set(there.tags) else ""

    def blocked(self, member: Member) -> str:
        """Why a volume cannot go back to its snapshot: nothing that could be known before."""
        return ""

    def revert(self, member: Member) -> bool:
        """Merge a snapshot into its volume; whether anything was done.

        A volume that is mounted is not unmounted for it: LVM merges when it is activated next, which a reboot does.
        """
        if member.state != TAKEN:
            return False
        # The snapshot is gone when it is merged; this stays.
        self._run(["lvchange", "--addtag", REVERTED_TAG + member.mark.text, member.origin])
        self._run(["lvconvert", "--merge", "--background", member.where])
        self._all = None
        return True

    def undo(self, member: Member) -> str:
        return "%s: LVM merges a snapshot away; the revert cannot be taken back." % member.volume

    def _run(self, argv: list[str]) -> None:
        ran = self.host.run(argv, timeout=self.timeout)
        if ran.rc != 0:
            raise Stop(
                FAILED, "lvm", "high", "%s failed: %s." % (argv[0], said(ran)), [ran.err, " ".join(argv)],
                "See lvs -a, vgs, and the log of the kernel.",
            )  # fmt: skip
