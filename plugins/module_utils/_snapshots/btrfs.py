# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of btrfs subvolumes, and the swap of a subvolume for its snapshot.

In the top level of each filesystem: .upkeep-snapshots/MARK/ (0700) with, for each subvolume by its number N, ``N.json``
(where it was), ``N`` (its snapshot, read-only) and after a revert ``N.replaced`` (the subvolume as it was then). What
has been done is read from the uuids of the subvolumes, never from a note: a swap is one system call, done or not.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import stat
import tempfile
from typing import TYPE_CHECKING, Any

from .._mounts import parse_fstab, parse_mountinfo
from .btrfs_parse import (
    GET_SUBVOL_INFO,
    INFO_BYTES,
    Info,
    cannot,
    children_of,
    found_by,
    info_of,
    lacks_room,
    name_of,
    number_of,
    room_of,
)
from .model import FAILED, UNSUPPORTED, Mark, Stop, mark_of, said
from .sets import BROKEN, INVALID, REVERTED, REVERTING, TAKEN, Member, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._host import Host
    from .._mounts import Mount

FOLDER = ".upkeep-snapshots"
_CLONE_NEWNS = 0x00020000
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_ROOT_INODE = 256
"""The number of a subvolume's root folder (BTRFS_FIRST_FREE_OBJECTID)."""
_NOTE_LIMIT = 64 * 1024
_NOTE = ("path", "volume", "mode", "source", "options")
"""What is noted of a subvolume: its path, where and how it was mounted, and how the next mount finds it."""


class Btrfs:
    """The subvolumes that are mounted on this host. Methods raise :class:`Stop` and OSError."""

    name = "btrfs"

    def __init__(self, host: Host, mounts: Sequence[Mount], options: Mapping[str, Any]) -> None:
        self.host = host
        self.options = options
        self.timeout = options["timeout"]
        self.mounts = _btrfs(mounts)

    @property
    def here(self) -> bool:
        return bool(self.mounts)

    # -- what there is -----------------------------------------------------------------------------------------------

    def volume(self, mount: Mount) -> Volume | None:
        """The subvolume that is mounted there, None when it is not one of btrfs."""
        if mount.type != "btrfs":
            return None
        if not self.host.which("btrfs"):
            raise Stop(
                UNSUPPORTED, mount.path, "high", "%s is btrfs, and its program is not on this host." % mount.path, [],
                "Install it: btrfs-progs",
            )  # fmt: skip
        why = cannot(mount)
        if not why:
            try:
                self._mode(mount)
            except ValueError as error:
                why = str(error)
        if why:
            raise Stop(
                UNSUPPORTED, mount.path, "high", "There is no snapshot of %s that could be reverted to: %s."
                % (mount.path, why), ["%s, %s" % (mount.source, ",".join(sorted(mount.super_options)))],
                "Have it as a subvolume of its own that fstab mounts by subvol=NAME, without subvolid=.",
            )  # fmt: skip
        return Volume(self.name, mount.path, "%s#%d" % (mount.device, number_of(mount.super_options) or 0), mount)

    def inside(self, volume: Volume, paths: Sequence[str]) -> list[str]:
        """Those of the paths on a volume's mount that are in a subvolume below it, and so not in its snapshot."""
        device = os.stat(volume.path).st_dev
        found = []
        for path in paths:
            with contextlib.suppress(OSError):
                if os.stat(path).st_dev != device:
                    found.append(path)
        return found

    def members(self) -> list[Member]:
        found: list[Member] = []
        for mount in self._filesystems():
            with _top(self.host, mount, self.timeout) as top:
                for folder, mark in _marked(top):
                    names = sorted(os.listdir(folder))
                    numbers = {name.partition(".")[0] for name in names}
                    found += [self._member(mount, top, folder, mark, n) for n in sorted(numbers) if n.isdigit()]
        return found

    def _filesystems(self) -> list[Mount]:
        """One mount of each filesystem."""
        return list({mount.device: mount for mount in self.mounts}.values())

    def _member(self, mount: Mount, top: str, folder: str, mark: Mark, number: str) -> Member:
        below = folder[len(top) :]
        note = _note(folder, number)
        snapshot, kept = _info(os.path.join(folder, number)), _info(os.path.join(folder, number + ".replaced"))
        place = "%s/%s" % (below, number)
        state, why, replaced = TAKEN, "", ""
        now = _info(os.path.join(top, note["path"])) if note else None
        if note is None or snapshot is None or not snapshot.read_only:
            state, why = BROKEN, "its taking, or its removal, was interrupted"
        elif now is not None and now.uuid == snapshot.parent:
            pass
        elif now is not None and now.parent == snapshot.uuid:
            replaced = place + ".replaced" if kept is not None and kept.uuid == snapshot.parent else ""
            state, why = REVERTED, ""
            live = self._live(mount.device, replaced)
            if live:
                state = REVERTING
                why = "%s still shows what was replaced, until it is mounted anew" % ", ".join(m.path for m in live)
            elif note["mode"] == "default" and self._default(top) != now.number:
                state, why = REVERTING, "the default subvolume is another one"
            elif replaced and self._children(os.path.join(top, replaced.strip("/")), note["path"]):
                state, why = REVERTING, "subvolumes below it have not come along"
        else:
            state, why = INVALID, "%s is not the subvolume any more that it was taken of" % note["path"]
        return Member(
            self.name, mark, note["volume"] if note else mount.path, "%s#%s" % (mount.device, number), place, state,
            replaced, why, {"mount": mount, "note": note, "number": int(number)},
        )  # fmt: skip

    def _live(self, device: str, below: str) -> list[Mount]:
        """The mounts that show a subvolume, or a folder in it, given by its path from the top level."""
        return [
            mount
            for mount in self.mounts
            if below and mount.device == device and (mount.root == below or mount.root.startswith(below + "/"))
        ]

    def _mode(self, mount: Mount) -> str:
        return found_by(
            mount, parse_fstab(self.host.read("/etc/fstab") or ""), self.host.read("/proc/cmdline") or "",
            self._default(mount.path),
        )  # fmt: skip

    def _default(self, path: str) -> int:
        words = self._run(["btrfs", "subvolume", "get-default", path]).split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    def nested(self, volume: Volume) -> list[str]:
        """The subvolumes below a volume, as paths on this host; they are not in its snapshot."""
        name = name_of(volume.source.super_options) or ""
        told = self._run(["btrfs", "subvolume", "list", "-o", volume.path])
        ours = FOLDER + "/"
        return sorted(
            os.path.join(volume.path, path[len(name) + 1 :])
            for path in children_of(told)
            if path.startswith(name + "/") and not path.startswith(ours)
        )

    def lacks_room(self, volumes: Sequence[Volume]) -> list[str]:
        """What there is too little of, a sentence for each volume; for filesystems of several volumes only once."""
        found = []
        for volume in {volume.source.device: volume for volume in volumes}.values():
            told = self._run(["btrfs", "filesystem", "usage", "-b", volume.path])
            try:
                why = lacks_room(room_of(told), self.options["room_percent"])
            except ValueError as error:
                why = "btrfs filesystem usage was not understood: %s" % error
            if why:
                found.append("%s: %s" % (volume.path, why))
        return found

    # -- what is done ------------------------------------------------------------------------------------------------

    def take(self, volumes: Sequence[Volume], mark: Mark) -> None:
        for device in sorted({volume.source.device for volume in volumes}):
            group = [volume for volume in volumes if volume.source.device == device]
            with _top(self.host, group[0].source, self.timeout) as top:
                folder = _made(top, mark)
                for volume in group:
                    self._take(top, folder, volume)

    def _take(self, top: str, folder: str, volume: Volume) -> None:
        path, number = name_of(volume.source.super_options) or "", number_of(volume.source.super_options) or 0
        origin = os.path.join(top, path)
        before = _info(origin)
        if before is None or before.number != number:
            raise Stop(
                FAILED, "snapshot", "high", "%s is not the subvolume any more that %s shows." % (path, volume.path), [],
                "Was it renamed while it is mounted? Reboot, or mount it anew, and try again.",
            )  # fmt: skip
        _write(
            os.path.join(folder, "%d.json" % number),
            json.dumps(
                {
                    "path": path,
                    "volume": volume.path,
                    "mode": self._mode(volume.source),
                    "source": volume.source.source,
                    "options": _options(volume.source, path),
                }
            ),
        )
        target = os.path.join(folder, str(number))
        self._run(["btrfs", "subvolume", "snapshot", "-r", origin, target])
        made = _info(target)
        if made is None or not made.read_only or made.parent != before.uuid:
            raise Stop(
                FAILED, "snapshot", "high", "btrfs said that it took a snapshot of %s, and there is none."
                % volume.path, [str(made)], "Look at the filesystem: btrfs subvolume list %s" % volume.path,
            )  # fmt: skip

    def remove(self, member: Member) -> str:
        """Remove a snapshot, and what a revert kept. Why it was not, empty when it is gone."""
        source = member.source
        live = self._live(source["mount"].device, member.where + ".replaced")
        if live:
            return "%s still runs from what the revert replaced: reboot the host first" % live[0].path
        with _top(self.host, source["mount"], self.timeout) as top:
            place = os.path.join(top, member.where.strip("/"))
            for path in (place + ".replaced", place):
                if _info(path) is None:
                    continue
                ran = self.host.run(["btrfs", "subvolume", "delete", "-c", path], timeout=self.timeout)
                if _info(path) is not None:
                    inside = children_of(self._run(["btrfs", "subvolume", "list", "-o", path]))
                    if inside:
                        return "it holds subvolumes that came after the snapshot: %s" % ", ".join(inside[:3])
                    return said(ran)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place + ".json")
            # With others of the set, or somebody else's things in it, they stay.
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(place))
                os.rmdir(os.path.join(top, FOLDER))
        return ""

    def blocked(self, member: Member) -> str:
        """Why a subvolume cannot go back to its snapshot, empty when it can."""
        mount = member.source["mount"]
        return "%s is mounted read-only" % mount.path if mount.read_only else ""

    def revert(self, member: Member) -> bool:
        """Put a subvolume back to its snapshot, or go on with that; whether anything was done."""
        source, note = member.source, member.source["note"]
        changed = False
        with _top(self.host, source["mount"], self.timeout) as top:
            snapshot = os.path.join(top, member.where.strip("/"))
            live, swap = os.path.join(top, note["path"]), snapshot + ".replaced"
            taken = _must(snapshot)
            if _must(live).uuid == taken.parent:
                if _info(swap) is not None:  # made by a run that was ended before the swap
                    self._run(["btrfs", "subvolume", "delete", swap])
                self._run(["btrfs", "subvolume", "snapshot", snapshot, swap])
                _exchange(swap, live)
                changed = True
            kept = _info(swap)
            if kept is not None and kept.uuid == taken.parent:
                changed = self._bring(top, swap, live, note["path"]) or changed
            new = _must(live)
            if new.parent != taken.uuid:
                raise Stop(
                    FAILED, "revert", "critical", "%s is not what its snapshot says after the swap." % member.volume,
                    [str(new), str(taken)], "See what became of it: btrfs subvolume list -uq %s" % member.volume,
                )  # fmt: skip
            if note["mode"] == "default" and self._default(top) != new.number:
                self._run(["btrfs", "subvolume", "set-default", str(new.number), top])
                changed = True
            self._run(["btrfs", "filesystem", "sync", top])
        return self._mount_anew(source["mount"].device, member, note) or changed

    def _children(self, path: str, name: str) -> list[str]:
        """The subvolumes in a subvolume that can come along: where they are in it. See :meth:`_bring`."""
        base = path[path.index("/" + FOLDER + "/") + 1 :]
        top = path[: -len(base)]
        told = children_of(self._run(["btrfs", "subvolume", "list", "-o", path]))
        # Users name subvolumes, and a name may hold a line feed and what looks like another line.
        found = {one[len(base) + 1 :] for one in told if one.startswith(base + "/")}
        return sorted(one for one in found if _is_subvolume(path, one) and _has_place(os.path.join(top, name), one))

    def _bring(self, top: str, old: str, new: str, name: str) -> bool:
        """Move the subvolumes that lie in the old tree to where they were in the new one: whether there were any.

        One for which the snapshot has no place came after it; it stays where it is.
        """
        moved = False
        for path in self._children(old, name):
            _move(old, new, path)
            moved = True
        return moved

    def _mount_anew(self, device: str, member: Member, note: dict[str, Any]) -> bool:
        """Have what shows the replaced subvolume show the new one, where nothing uses it: whether anything was."""
        changed = False
        old = member.where + ".replaced"
        mounts = parse_mountinfo(self.host.read_bytes("/proc/self/mountinfo") or b"")
        self.mounts = _btrfs(mounts)
        for mount in self._live(device, old):
            if mount.path == "/" or mount.root != old:
                continue
            if self.host.run(["umount", mount.path], timeout=self.timeout).rc != 0:
                continue  # in use: a reboot is due, and told
            self._mount(mount.path, note)
            changed = True
        if all(mount.path != note["volume"] for mount in mounts):  # a run was ended after its umount
            self._mount(note["volume"], note)
            changed = True
        return changed

    def _mount(self, path: str, note: dict[str, Any]) -> None:
        known = path in parse_fstab(self.host.read("/etc/fstab") or "")
        how = [path] if known else ["-t", "btrfs", "-o", note["options"], note["source"], path]
        ran = self.host.run(["mount", *how], timeout=self.timeout)
        if ran.rc != 0:
            raise Stop(
                FAILED, "revert", "critical", "%s was put back, and cannot be mounted: %s." % (path, said(ran)),
                [ran.err, "mount " + " ".join(how)], "Mount it by hand: mount %s" % " ".join(how),
            )  # fmt: skip

    def undo(self, member: Member) -> str:
        """How a revert is taken back."""
        note = member.source["note"]
        if not member.replaced or not note:
            return "What the revert of %s replaced is not there any more." % member.volume
        return (
            "%s: with the filesystem's top level mounted (mount -o subvolid=5 %s /mnt), mv --exchange /mnt%s /mnt/%s, "
            "or by renaming both; then mount it anew, or reboot." % (
                member.volume, member.source["mount"].source, member.replaced, note["path"],
            )
        )  # fmt: skip

    def _run(self, argv: list[str]) -> str:
        ran = self.host.run(argv, timeout=self.timeout)
        if ran.rc == 0:
            return ran.out
        why = said(ran)
        raise Stop(FAILED, "btrfs", "high", "%s failed: %s." % (" ".join(argv[:3]), why), [ran.err, " ".join(argv)])


def _btrfs(mounts: Sequence[Mount]) -> list[Mount]:
    return [mount for mount in mounts if mount.type == "btrfs"]


def _options(mount: Mount, path: str) -> str:
    """The options by which a subvolume is mounted again as it is now, by its name."""
    # seclabel is what the kernel tells, and no option that mount takes.
    kept = [one for one in sorted(mount.options | mount.super_options) if not one.startswith(("subvol", "seclabel"))]
    return ",".join([*kept, "subvol=/" + path])


def _info(path: str) -> Info | None:
    """What the kernel says of a subvolume; None when there is none at that path."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_ino != _ROOT_INODE:
            return None
        data = bytearray(INFO_BYTES)
        fcntl.ioctl(descriptor, GET_SUBVOL_INFO, data)
    finally:
        os.close(descriptor)
    return info_of(bytes(data))


def _must(path: str) -> Info:
    found = _info(path)
    if found is None:
        raise Stop(FAILED, "revert", "critical", "The subvolume %s is not there." % path, [], "")
    return found


def _marked(top: str) -> Iterator[tuple[str, Mark]]:
    """The folders of ours, with their marks. What root does not own is not ours."""
    base = os.path.join(top, FOLDER)
    if not _safe(base):
        return
    for name in sorted(os.listdir(base)):
        mark, folder = mark_of(name), os.path.join(base, name)
        if mark is not None and _safe(folder):
            yield folder, mark


def _safe(folder: str) -> bool:
    """Whether it is a folder into which only root may write."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o022


def _made(top: str, mark: Mark) -> str:
    """The folder of a new set."""
    base = os.path.join(top, FOLDER)
    folder = os.path.join(base, mark.text)
    for path in (base, folder):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        if not _safe(path):
            raise Stop(
                FAILED, "snapshot", "high", "%s in the filesystem's top level is not a folder of root's alone."
                % FOLDER, [], "See who made it, and remove it.",
            )  # fmt: skip
    return folder


def _note(folder: str, number: str) -> dict[str, Any] | None:
    """Where a subvolume was, None when that is not known."""
    try:
        with open(os.path.join(folder, number + ".json"), encoding="utf-8") as stream:
            note = json.loads(stream.read(_NOTE_LIMIT))
    except (OSError, ValueError):
        return None
    if not isinstance(note, dict) or not all(isinstance(note.get(k), str) for k in _NOTE):
        return None
    parts = note["path"].split("/")
    return None if not note["path"] or ".." in parts or "" in parts else note


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _folder(base: str, path: str) -> int:
    """A descriptor of a folder below another one, by no link. Raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(base, flags)
    for part in path.split("/"):
        if part in ("", "."):
            continue
        try:
            if part == "..":
                raise OSError(errno.EINVAL, "a path below a folder does not lead out of it", path)
            step = os.open(part, flags, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = step
    return descriptor


def _is_subvolume(base: str, path: str) -> bool:
    """Whether there is a subvolume at a path in a tree, by no link."""
    try:
        found = _folder(base, path)
    except OSError:
        return False
    try:
        return os.fstat(found).st_ino == _ROOT_INODE
    finally:
        os.close(found)


def _has_place(base: str, path: str) -> bool:
    """Whether the tree has a folder in which a subvolume can go, and an empty one, or nothing, in its place."""
    try:
        above = _folder(base, os.path.dirname(path))
    except OSError:
        return False
    try:
        there = os.open(os.path.basename(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        os.close(above)
    try:
        return not os.listdir(there)
    finally:
        os.close(there)


def _move(old: str, new: str, path: str) -> None:
    """Move what is at a path in one tree to the same path in another one.

    The folders on the way are walked by descriptors: whoever may write into one could put a link there meanwhile.
    """
    folder, name = os.path.split(path)
    source = _folder(old, folder)
    try:
        target = _folder(new, folder)
        try:
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _exchange(one: str, other: str) -> None:
    """Swap two names in one step, so that there is no moment without either. Raises OSError."""
    try:
        rename = _libc().renameat2
    except AttributeError:
        raise OSError(errno.ENOSYS, "glibc 2.28 or newer is needed to swap subvolumes", other) from None
    code = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if code != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), other)


@contextlib.contextmanager
def _top(host: Host, mount: Mount, timeout: float) -> Iterator[str]:
    """The top level of a filesystem, mounted where no other process sees it, and gone with this one in any case."""
    libc = _libc()
    outside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.unshare(_CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "cannot have mounts of its own: " + os.strerror(ctypes.get_errno()))
        try:
            how = "subvolid=5" + (",ro" if "ro" in mount.super_options else "")
            folder = "/run" if os.path.isdir("/run") else tempfile.gettempdir()
            for argv in (
                ["mount", "--make-rprivate", "/"],
                ["mount", "-t", "tmpfs", "-o", "mode=0700,size=64k", "upkeep", folder],
                ["mount", "-t", "btrfs", "-o", how, mount.source, os.path.join(folder, "top")],
            ):
                if argv[-1].endswith("/top"):
                    os.mkdir(argv[-1], 0o700)
                ran = host.run(argv, timeout=timeout)
                if ran.rc != 0:
                    raise Stop(
                        FAILED, "btrfs", "high", "The top level of %s cannot be mounted: %s."
                        % (mount.source, said(ran)), [ran.err, " ".join(argv)],
                    )  # fmt: skip
            yield os.path.join(folder, "top")
        finally:
            if libc.setns(outside, _CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "cannot return to the host's mounts")
            # It also left the root that this process had, which is another one in a chroot.
            os.fchdir(root)
            os.chroot(".")
            os.chdir("/")
    finally:
        os.close(root)
        os.close(outside)
