# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a host's volumes taken, removed or reverted to: the flow, whatever the volumes lie on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import posixpath
import time
from typing import TYPE_CHECKING, Any

from .._applying.journal import BASE
from .._applying.runner import LOCK as TRANSACTION
from .._findings import Review, clean_line, places, plain
from .._host import AS_ROOT
from .._mounts import Mount, parse_mountinfo
from . import volumes as tree
from .btrfs import Btrfs
from .lvm import Lvm
from .model import FAILED, LEFT, UNSUPPORTED, Mark, Stop, hours, no_reboot, tell_ahead, tell_left
from .options import AUTO
from .sets import INVALID, REVERTED, REVERTING, TAKEN, Decision, Member, Set, Volume, decide, sets_of, shown
from .zfs import Zfs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._host import Host
    from .backend import Backend

LOCK = "/run/upkeep-snapshots.lock"
AT_WORK = (BASE + "/" + TRANSACTION, "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/rpm/.rpm.lock")
"""Who holds one of these changes packages just now."""
_POLL = 0.2


def snapshot(host: Host, options: Mapping[str, Any], lock: str = LOCK) -> dict[str, Any]:
    """The result of host_snapshot (see the module's RETURN), and ``ok``."""
    return _Run(host, options).result(lock)


class _Run:
    def __init__(self, host: Host, options: Mapping[str, Any]) -> None:
        self.host = host
        self.options = dict(options)
        self.state, self.name = str(options["state"]), str(options["name"])
        self.subject = "revert" if self.state == "reverted" else "snapshot"
        self.review = Review("patch")
        self.told: dict[str, Any] = {
            "ok": False, "msg": "", "changed": False, "snapshots": [], "swept": [], "left": [], "not_included": [],
            "undo": [], "reboot": no_reboot(), "milliseconds": 0.0, "diff": {"before": "", "after": ""},
        }  # fmt: skip
        self.backends: list[Backend] = []
        self.mounts: list[Mount] = []

    def result(self, lock: str) -> dict[str, Any]:
        try:
            if not self.host.is_root():
                raise Stop(FAILED, self.subject, "high", "Only root may take, remove or revert snapshots.", [], AS_ROOT)
            if self.options["check_mode"]:
                self._go()
            else:
                with self._alone(lock):
                    self._go()
                self._covered()
            self.told["ok"] = True
        except Stop as stop:
            check, _subject, severity, summary, evidence, remedy = stop.finding
            # What a backend says of its own commands is about what was asked for.
            subject = self.subject if check == FAILED else stop.finding[1]
            severity = "critical" if (check, self.state) == (FAILED, "reverted") else severity
            self._failed(check, subject, severity, summary, evidence, remedy)
        except OSError as error:
            text = "%s: %s" % (error.filename or "the system", error.strerror or error)
            self._failed(FAILED, self.subject, "high", "It could not be done: %s." % text, [text], "")
        except Exception as error:  # noqa: BLE001 - a bug is told; what was done until then stands
            why = "Upkeep itself failed with %s." % type(error).__name__
            remedy = (
                "Report this as a fault of Upkeep, with the evidence, and run it again, which mends what is half done."
            )
            self._failed(FAILED, self.subject, "high", why, places(error), remedy)
        self.told.update({key: plain(self.told[key]) for key in ("snapshots", "swept", "left", "not_included", "undo")})
        self.told.update(self.review.result())
        return self.told

    def _failed(
        self, check: str, subject: str, severity: str, summary: str, evidence: Sequence[str], remedy: str
    ) -> None:
        self.told["msg"] = clean_line(summary, 1000)
        self.review.found(check, subject, severity, summary, evidence, remedy)

    def _covered(self) -> None:
        self.review.covered(FAILED, self.subject)
        if self.state == "reverted":
            return
        self.review.covered(LEFT)
        if self.state == "present":
            self.review.covered(UNSUPPORTED)

    @contextlib.contextmanager
    def _alone(self, path: str) -> Iterator[None]:
        """Only one run of this module changes anything here at a time: wait for another one, then name it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            until = time.monotonic() + self.options["timeout"]
            while True:
                try:
                    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() >= until:
                        holder = self.host.lock_holder(path)
                        raise Stop(
                            FAILED, self.subject, "medium", "Another run of this module is at work here (process %s)."
                            % (holder or "that just ended"), [], "Wait for it, or raise timeout.",
                        ) from None  # fmt: skip
                self.host.sleep(_POLL)
            yield
        finally:
            os.close(descriptor)

    # -- the flow ----------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        members = self._look()
        wanted = self._volumes() if self.state == "present" else []
        decision = decide(
            self.state, self.name, sets_of(members), wanted, self.host.now(), self.options["max_age_hours"]
        )
        self.told["diff"]["before"] = shown(members)
        self.told["snapshots"] = [member.told() for member in members if member.mark.name == self.name]
        if decision.refused:
            raise Stop(
                FAILED, self.subject, "high", "%s%s." % (decision.refused[:1].upper(), decision.refused[1:]),
                shown(members).splitlines() or ["There is no snapshot of Upkeep on this host."], decision.remedy,
            )  # fmt: skip
        for member in decision.ahead:
            tell_ahead(self.review, member.label, member.volume, member.mark, self.host.now())
        if decision.take:
            self._room(wanted)
        if self.state == "reverted" and decision.keep is not None:
            self._refuse(decision.keep)
        if self.options["check_mode"]:
            self._predict(members, wanted, decision)
            return
        self._remove(decision)
        if decision.take:
            self._take(wanted, self._mark(members, len(wanted)))
        if self.state == "reverted" and decision.keep is not None:
            self._revert(decision.keep.members)
        after = self._look()
        self.told["snapshots"] = [member.told() for member in after if member.mark.name == self.name]
        self.told["diff"]["after"] = shown(after, members)
        self._verify(after)

    def _look(self) -> list[Member]:
        self.mounts = parse_mountinfo(self.host.read_bytes("/proc/self/mountinfo") or b"")
        made: list[Backend] = [kind(self.host, self.mounts, self.options) for kind in (Btrfs, Lvm, Zfs)]
        self.backends = [one for one in made if one.here]
        found: list[Member] = []
        for backend in self.backends:
            try:
                found += backend.members()
            except Stop as stop:
                # What cannot be looked at may hold one of ours, and of this set too.
                raise Stop(
                    FAILED, self.subject, "high", "The snapshots of %s cannot be looked at: %s"
                    % (backend.name, stop.summary), stop.finding[4], "See why, and run it again.",
                ) from stop  # fmt: skip
        return found

    def _backend(self, name: str) -> Backend:
        return next(one for one in self.backends if one.name == name)

    def _volumes(self) -> list[Volume]:
        """The volumes that were asked for, and what below them is not in their snapshots. Raises Stop."""
        real = {path: os.path.realpath(path) for path in tree.WRITTEN if self.host.exists(path)}
        paths: list[str] = []
        for path in self.options["volumes"]:
            paths += tree.automatic(real, self.mounts) if path == AUTO else [path]
        by_path = {mount.path: mount for mount in self.mounts}
        found: dict[tuple[str, str], Volume] = {}
        for path in sorted(set(paths)):
            mount = by_path.get(path)
            if mount is None:
                on = tree.holding(path, self.mounts)
                raise Stop(
                    UNSUPPORTED, path, "high", "%s is not a mount point, so it has no snapshot of its own." % path, [],
                    "Name the mount point that it lies on: %s" % (on.path if on else "/"),
                )  # fmt: skip
            volume = self._volume(mount)
            found.setdefault((volume.backend, volume.origin), volume)
        volumes = list(found.values())
        self._not_included(volumes, real)
        return volumes

    def _volume(self, mount: Mount) -> Volume:
        wanted = self.options["backend"]
        for backend in self.backends:
            volume = backend.volume(mount)
            if volume is not None and wanted in (AUTO, backend.name):
                return volume
        raise Stop(
            UNSUPPORTED, mount.path, "high", "There can be no snapshot of %s: it is %s on %s, and not on %s."
            % (mount.path, mount.type, mount.source, "btrfs, LVM or ZFS" if wanted == AUTO else wanted),
            [], "Patch without a snapshot: the packages themselves can be put back (patch_rollback).",
        )  # fmt: skip

    def _not_included(self, volumes: Sequence[Volume], real: Mapping[str, str]) -> None:
        paths = [volume.path for volume in volumes]
        told = tree.not_included(paths, self.mounts)
        for volume in volumes:
            backend = self._backend(volume.backend)
            if not isinstance(backend, Btrfs):
                continue
            on = {path: tree.holding(path, self.mounts) for path in real.values()}
            inside = backend.inside(volume, [path for path, mount in on.items() if mount and mount.path == volume.path])
            if inside:
                raise Stop(
                    UNSUPPORTED, volume.path, "high", "%s is in a subvolume below %s, and not in a snapshot of that."
                    % (inside[0], volume.path), inside, "Mount that subvolume by its name (fstab).",
                )  # fmt: skip
            nested = backend.nested(volume)
            told += [{"path": path, "why": "a subvolume of its own"} for path in nested[: tree.TOLD]]
            if nested:
                self.review.found(
                    UNSUPPORTED, volume.path, "info", "%d subvolumes below %s are not in its snapshot: %s."
                    % (len(nested), volume.path, nested[0]), nested,
                    "They stay as they are when it is reverted. What shall go back with it must be a volume (mounted).",
                )  # fmt: skip
        self.told["not_included"] = told

    def _room(self, wanted: Sequence[Volume]) -> None:
        lacks: list[str] = []
        for backend in self.backends:
            mine = [volume for volume in wanted if volume.backend == backend.name]
            if mine:
                lacks += backend.lacks_room(mine)
        if lacks:
            raise Stop(
                FAILED, self.subject, "high", "There is no room for the snapshots: %s." % lacks[0], lacks,
                "Make room, or ask for less (room_percent, size_percent). Nothing was taken.",
            )  # fmt: skip

    def _mark(self, members: Sequence[Member], count: int) -> Mark:
        """The mark of a new set; of two in one second, the later one says a second more."""
        created = int(self.host.now())
        taken = {member.mark.created for member in members if member.mark.name == self.name}
        while created in taken:
            created += 1
        return Mark(self.name, created, count)

    def _predict(self, members: Sequence[Member], wanted: Sequence[Volume], decision: Decision) -> None:
        gone = [member for member, _why in decision.remove]
        after = [member for member in members if member not in gone]
        self.told["swept"] = [dict(m.told(), why=why) for m, why in decision.remove if why]
        if decision.take:
            mark = self._mark(members, len(wanted))
            after += [Member(v.backend, mark, v.path, v.origin, "", TAKEN) for v in wanted]
        if self.state == "reverted" and decision.keep is not None:
            todo = [member for member in decision.keep.members if member.state in (TAKEN, REVERTING)]
            self.told["changed"] = any(member.state == TAKEN for member in todo)
            after = [_as(member, REVERTED) if member in todo else member for member in members]
        else:
            self.told["changed"] = bool(decision.take or gone)
        self.told["diff"]["after"] = shown(after, members)

    def _remove(self, decision: Decision) -> None:
        for member, why in decision.remove:
            if member.state == REVERTING:
                kept = "%s, and a reboot is due" % (member.why or "it is being reverted")
            else:
                kept = self._backend(member.backend).remove(member)
            if not kept:
                self.told["changed"] = True
                if why:
                    self.told["swept"].append(dict(member.told(), why=why))
                elif member.state == INVALID:
                    self.review.found(
                        FAILED, member.label, "low", "The snapshot %s had become worthless before it was removed: %s."
                        % (member.label, member.why), [member.mark.text], "Give more room next time (size_percent).",
                    )  # fmt: skip
                continue
            self.told["left"].append(dict(member.told(), why=kept))
            tell_left(
                self.review, member.label, member.volume, member.mark, self.host.now(), kept,
                "Remove it by hand, or see what holds it: %s" % member.where,
            )  # fmt: skip

    def _take(self, wanted: Sequence[Volume], mark: Mark) -> None:
        """All of them, or none."""
        began = time.monotonic()
        try:
            for backend in self.backends:
                mine = [volume for volume in wanted if volume.backend == backend.name]
                if mine:
                    backend.take(mine, mark)
        except (Stop, OSError) as failed:
            why = failed.summary if isinstance(failed, Stop) else str(failed)
            remains = self._take_back(mark)
            raise Stop(
                FAILED, self.subject, "high", "The snapshots were not taken: %s" % why,
                [*(failed.finding[4] if isinstance(failed, Stop) else []), *remains],
                "What was taken of them is removed again." if not remains else "Remove what is left: state absent.",
            ) from failed  # fmt: skip
        self.told["milliseconds"] = round((time.monotonic() - began) * 1000, 1)
        self.told["changed"] = True

    def _take_back(self, mark: Mark) -> list[str]:
        """Remove what was taken of a set that could not be taken whole: what could not be removed."""
        remains = []
        try:
            for member in self._look():
                if member.mark == mark:
                    kept = self._backend(member.backend).remove(member)
                    if kept:
                        remains.append("%s is left: %s" % (member.label, kept))
                        tell_left(
                            self.review, member.label, member.volume, mark, self.host.now(), kept, "state absent"
                        )  # fmt: skip
        except (Stop, OSError) as error:
            remains.append("What was taken could not be removed again: %s" % error)
        return remains

    def _refuse(self, keep: Set) -> None:
        """What forbids a revert is found before anything is put back, and in check mode too. Raises Stop."""
        for member in keep.members:
            why = self._backend(member.backend).blocked(member) if member.state == TAKEN else ""
            if why:
                raise self._not_begun("%s cannot be put back: %s" % (member.volume, why))
        if keep.states != {TAKEN}:
            return  # what is begun is better finished
        kernels = self._later_kernels(keep.mark, [member.volume for member in keep.members])
        if kernels:
            raise self._not_begun(
                "/boot is not in the snapshot, and has kernels that came after it, whose modules would be gone: %s"
                % ", ".join(kernels)
            )
        until = self.host.now() + (0 if self.options["check_mode"] else self.options["timeout"])
        while True:
            holders = {path: self.host.lock_holder(path) for path in AT_WORK}
            at_work = ["%s: process %d" % (path, pid) for path, pid in holders.items() if pid is not None]
            if not at_work:
                return
            if self.host.now() >= until:
                raise self._not_begun("packages are being changed just now (%s)" % at_work[0])
            self.host.sleep(_POLL)

    def _not_begun(self, why: str) -> Stop:
        return Stop(
            FAILED, self.subject, "critical", "%s%s." % (why[:1].upper(), why[1:]), [why, "Nothing was put back."],
            "Put the packages back instead, or before (patch_rollback): it also ends a transaction that hangs.",
        )  # fmt: skip

    def _revert(self, members: Sequence[Member]) -> None:
        began = time.monotonic()
        # Also those that are reverted: a run may have been ended before they were mounted again.
        todo = sorted(members, key=lambda member: (member.volume == "/", member.volume))
        done: list[str] = []
        for member in todo:
            try:
                self.told["changed"] = self._backend(member.backend).revert(member) or self.told["changed"]
                done.append(member.volume)
            except (Stop, OSError) as failed:
                why = failed.summary if isinstance(failed, Stop) else str(failed)
                state = "Put back: %s. Not put back: %s." % (
                    ", ".join(done) or "nothing",
                    ", ".join(one.volume for one in todo if one.volume not in done),
                )
                raise Stop(
                    FAILED, self.subject, "critical", "%s could not be put back: %s %s" % (member.volume, why, state),
                    [state, *(failed.finding[4] if isinstance(failed, Stop) else [])],
                    "See why, and run it again: it goes on where it stopped.",
                ) from failed  # fmt: skip
        if self.told["changed"]:
            self.told["milliseconds"] = round((time.monotonic() - began) * 1000, 1)

    def _verify(self, members: Sequence[Member]) -> None:
        """What was asked for must be what is there now. Raises Stop."""
        mine = [one for one in sets_of(members) if one.mark.name == self.name]
        now = self.host.now()
        if self.state == "absent":
            if mine:
                what = ", ".join(sorted({member.label for one in mine for member in one.members}))
                left = next((one["why"] for one in self.told["left"] if one["name"] == self.name), "it is still there")
                raise Stop(LEFT, mine[0].members[0].label, "medium", "Not all is gone: %s (%s)." % (what, left), [], "")
            return
        newest = mine[0] if mine else None
        if self.state == "present":
            if newest is None or not newest.whole or newest.states != {TAKEN}:
                why = newest.why() if newest else "it is not there"
                raise Stop(
                    FAILED, self.subject, "high", "The snapshot %s is not what it should be: %s." % (self.name, why),
                    shown(members).splitlines(), "Remove it (state absent), and see the log of the kernel.",
                )  # fmt: skip
            return
        if newest is None or not newest.states <= {REVERTING, REVERTED}:
            raise Stop(
                FAILED, self.subject, "critical", "%s is not as the snapshot %s has it." % ("A volume", self.name),
                shown(members).splitlines(), "See why, and run it again.",
            )  # fmt: skip
        waits = [member for member in newest.members if member.state == REVERTING]
        kernels = self._later_kernels(newest.mark, [member.volume for member in newest.members]) if waits else []
        self.told["reboot"] = {
            "needed": bool(waits),
            "why": [clean_line("%s: %s" % (member.volume, member.why), 300) for member in waits],
            "blocked": clean_line(
                "/boot is not in the snapshot, and has kernels that came %s ago or later, whose modules are gone: %s"
                % (hours(newest.mark, now), ", ".join(kernels)),
                300,
            )
            if kernels
            else "",
        }
        self.told["undo"] = [self._backend(member.backend).undo(member) for member in newest.members]

    def _later_kernels(self, mark: Mark, volumes: Sequence[str]) -> list[str]:
        """Kernels that the boot loader would start with modules that a revert takes away."""
        on = {path: getattr(tree.holding(path, self.mounts), "path", "") for path in ("/boot", "/usr", "/")}
        if on["/boot"] in volumes or not {on["/usr"], on["/"]} & set(volumes):
            return []
        files = [(posixpath.basename(path), found.st_ctime) for path, found, _folder in self.host.walk("/boot", 2000)]
        return tree.later_kernels(files, mark.created)


def _as(member: Member, state: str) -> Member:
    return Member(member.backend, member.mark, member.volume, member.origin, member.where, state)
