# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place for what is restored on trial: its room is known before, and it is gone afterwards, whatever happens.

A scratch place is a folder ``BASE/upkeep-PURPOSE-RANDOM`` with an ``owner`` file, which its maker holds locked, and the
folder ``content``. A lock goes with its process, by ``kill -9`` and by a reboot too: a place whose lock is free has
lost its owner, and the next :func:`sweep` ends what still runs in it and removes it.

Removing walks by descriptors, follows no link, opens nothing but folders and enters no other file system.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import re
import secrets
import signal
import stat
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .shared_memory import give_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._process import Account

BASE = "/var/lib/upkeep/scratch"
"""Where scratch places are made when nobody says otherwise."""

_PREFIX = "upkeep-"
_OWNER = "owner"
_CONTENT = "content"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEP = 64
"""Levels below which folders are moved up before they are emptied: descriptors are few."""

RESERVE_SHARE = 0.05
RESERVE_MOST = 10 * 1024**3
"""What stays free of the file system after all that is needed: 5 %, as ext4 keeps for root, but not above 10 GiB."""

PROGRAMS = frozenset(
    (
        *("restic", "borg", "borgfs", "zstd", "gzip", "gunzip", "xz", "bzip2", "tar"),
        *("postgres", "pg_ctl", "initdb", "psql", "pg_restore", "pg_basebackup", "pg_amcheck", "pgbackrest"),
        *("mysqld", "mariadbd", "mysql", "mariadb", "mysql_install_db", "mariadb-install-db", "my_print_defaults"),
    )
)
"""Programs that may be ended when they work in a place without an owner; an administrator's shell in it is not."""
_BY_QUIT = frozenset(("postgres",))
"""Programs that end at once, and give back what they share, by SIGQUIT."""


class NoRoom(Exception):  # noqa: N818 - an outcome, not a bug
    """The file system of the scratch place has not the room. Sizes are bytes."""

    def __init__(self, base: str, needed: int, available: int, reserve: int, what: str = "bytes") -> None:
        self.base = base
        self.needed = needed
        self.available = available
        self.reserve = reserve
        self.what = what
        """``bytes`` or ``files`` (inodes): what there is too little of."""
        super().__init__(
            "%s needs room for %s and the file system has %s%s"
            % (
                base,
                _size(needed) if what == "bytes" else "%d files" % needed,
                _size(available) if what == "bytes" else "%d inodes free" % available,
                " of which %s stay free" % _size(reserve) if what == "bytes" else "",
            )
        )


class Unfit(Exception):  # noqa: N818 - an outcome, not a bug
    """The folder for scratch places cannot be used: why, and what to do."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy


class Swept(NamedTuple):
    """A scratch place that had lost its owner, and what was done about it."""

    path: str
    purpose: str
    run: str
    pid: int
    """The process that made it."""
    made: float
    """Seconds since the epoch."""
    ended: tuple[str, ...]
    """The processes that still ran in it and were ended: ``PROGRAM (PID)``."""
    left: tuple[str, ...]
    """What could not be removed, and why; empty when all is gone."""

    def facts(self) -> dict[str, Any]:
        """As a module's result and a finding's facts carry it."""
        return {**self._asdict(), "ended": list(self.ended), "left": list(self.left)}


class Scratch:
    """A context manager: a new, empty folder ``path`` (mode 0700) with room for ``needs_bytes`` and ``needs_files``.

    ``purpose`` (a word) and ``run`` are told by a later sweep. ``account``: the user that is to own the folder, where a
    program will work in it that refuses to be root. ``reserve``: bytes that must stay free; None for
    :data:`RESERVE_SHARE`. Entering raises :class:`NoRoom`, :class:`Unfit`, or KeyError for an unknown account.
    On leaving, whatever of :data:`PROGRAMS` still runs in it is ended and all is removed; ``left`` then says what could
    not be.
    """

    def __init__(
        self,
        base: str,
        purpose: str,
        needs_bytes: int,
        *,
        needs_files: int = 0,
        reserve: int | None = None,
        run: str = "",
        account: Account | None = None,
    ) -> None:
        self.base = os.path.realpath(base or BASE)
        self.purpose = re.sub(r"[^a-z0-9]+", "", purpose.lower())[:32] or "test"
        self.needs_bytes = needs_bytes
        self.needs_files = needs_files
        self.reserve = reserve
        self.run = run
        self.account = account
        self.root = ""
        self.path = ""
        self.left: tuple[str, ...] = ()
        self.ended: tuple[str, ...] = ()
        self._lock = -1

    def __enter__(self) -> Scratch:
        owner = _account(self.account)
        with undisturbed():
            _prepare(self.base)
            check_room(self.base, self.needs_bytes, self.needs_files, self.reserve)
            try:
                with _base_locked(self.base):
                    self._make()
                os.mkdir(os.path.join(self.root, _CONTENT), 0o700)
                self.path = os.path.join(self.root, _CONTENT)
                if owner is not None:
                    os.chown(self.path, *owner)
            except OSError as error:
                self._leave()
                raise Unfit(
                    "No scratch place could be made in %s: %s" % (self.base, error.strerror or error),
                    "Name a folder that this account may write to (option scratch).",
                ) from error
        return self

    def __exit__(self, *_exc: object) -> None:
        with undisturbed():
            self._leave()

    def _make(self) -> None:
        root = os.path.join(self.base, "%s%s-%s" % (_PREFIX, self.purpose, secrets.token_hex(6)))
        # Others may pass through (the account that owns the content must), and see no name.
        os.mkdir(root, 0o711)
        self.root = root
        os.chmod(root, 0o711)  # noqa: S103 - as said above; a umask may have taken it
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._lock = os.open(os.path.join(root, _OWNER), flags, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        owner = {
            "pid": os.getpid(),
            "started": start_time(os.getpid()),
            "boot": boot_id(),
            "purpose": self.purpose,
            "run": self.run,
            "made": time.time(),
        }
        os.write(self._lock, json.dumps(owner).encode() + b"\n")

    def _leave(self) -> None:
        try:
            if self.root:
                self.ended = tuple(end_processes(self.root))
                give_back(os.path.join(self.root, _CONTENT, "data"))
                self.left = tuple(_remove_place(self.base, os.path.basename(self.root)))
                if self.left and self._lock >= 0:
                    # This process may live on, and is its owner no more.
                    abandoned = dict(_owner(self._lock), pid=0)
                    os.ftruncate(self._lock, 0)
                    os.pwrite(self._lock, json.dumps(abandoned).encode() + b"\n", 0)
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1


def sweep(base: str) -> list[Swept]:
    """Remove the scratch places in ``base`` that have lost their owner. Never raises for what it finds there."""
    base = os.path.realpath(base or BASE)
    swept = []
    for name, lock, owner in _lost(base):
        path = os.path.join(base, name)
        try:
            with undisturbed():
                ended = end_processes(path)
                give_back(os.path.join(path, _CONTENT, "data"))
                left = _remove_place(base, name)
        finally:
            os.close(lock)
        swept.append(
            Swept(
                path,
                str(owner.get("purpose", "")),
                str(owner.get("run", "")),
                _number(owner.get("pid")),
                float(_number(owner.get("made"))),
                tuple(ended),
                tuple(left),
            )
        )
    return swept


def _lost(base: str) -> list[tuple[str, int, dict[str, Any]]]:
    """The places without an owner, each locked by us now: name, descriptor of the lock, what its owner file says."""
    lost: list[tuple[str, int, dict[str, Any]]] = []
    try:
        with _base_locked(base):
            for name in sorted(os.listdir(base)):
                if not re.fullmatch(_PREFIX + "[a-z0-9]+-[0-9a-f]{12}", name):
                    continue
                path = os.path.join(base, name)
                try:
                    lock = os.open(os.path.join(path, _OWNER), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                except OSError:
                    # Killed before it was marked, it holds nothing; what holds something without a mark is not ours.
                    with contextlib.suppress(OSError):
                        os.rmdir(path)
                    continue
                owner = _owner(lock)
                try:
                    if os.fstat(lock).st_uid not in (0, os.geteuid()) or _alive(owner):
                        raise BlockingIOError
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(lock)
                    continue
                lost.append((name, lock, owner))
    except OSError:
        pass  # there is no such folder yet, or it is not ours to look into
    return lost


def _owner(lock: int) -> dict[str, Any]:
    try:
        owner = json.loads(os.pread(lock, 4096, 0).decode("utf-8", "replace"))
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _alive(owner: dict[str, Any]) -> bool:
    """Whether the maker still runs: for a file system on which locks mean nothing. Never true of a number used anew."""
    pid = _number(owner.get("pid"))
    return pid > 0 and owner.get("boot") == boot_id() and owner.get("started") == start_time(pid) != 0


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and value - value == 0 else 0


def boot_id() -> str:
    """What tells this boot of the machine from all others; empty where the kernel does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def start_time(pid: int) -> int:
    """When a process was started, in clock ticks since boot; 0 when it does not run."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stream:
            words = stream.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if words[0] in (b"Z", b"X") else int(words[19])


def check_room(base: str, needs_bytes: int, needs_files: int = 0, reserve: int | None = None) -> int:
    """The bytes that are available at ``base`` (or where it will be made). Raises :class:`NoRoom`."""
    path = os.path.realpath(base)
    while not os.path.isdir(path) and path != "/":
        path = os.path.dirname(path)
    try:
        system = os.statvfs(path)
    except OSError as error:
        raise Unfit("%s cannot be asked for its room: %s" % (path, error.strerror), "Look at the mount.") from error
    size = system.f_frsize or system.f_bsize
    available = system.f_bavail * size
    if reserve is None:
        reserve = min(int(system.f_blocks * size * RESERVE_SHARE), RESERVE_MOST)
    if needs_bytes > available - reserve:
        raise NoRoom(base, needs_bytes, available, reserve)
    # Some file systems (btrfs) have no fixed number of inodes, and say 0.
    if system.f_files and needs_files > system.f_favail:
        raise NoRoom(base, needs_files, system.f_favail, 0, "files")
    return available


def _size(count: int) -> str:
    """Bytes as a person reads them."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return "%d %s" % (value, unit) if unit == "B" else "%.1f %s" % (value, unit)
        value /= 1024
    return "%.1f TiB" % value


def _account(name: Account | None) -> tuple[int, int] | None:
    if name is None or isinstance(name, tuple):
        return name
    import pwd

    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid


def _prepare(base: str) -> None:
    """Make the folder for scratch places, or see that nobody else can exchange what is in it. Raises Unfit."""
    try:
        os.makedirs(base, 0o711, exist_ok=True)
    except OSError as error:
        raise Unfit(
            "The folder for scratch places %s cannot be made: %s" % (base, error.strerror or error),
            "Name a folder that this account may write to (option scratch).",
        ) from error
    path = base
    while True:
        found = os.lstat(path)
        loose = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.geteuid()) or loose:
            raise Unfit(
                "%s is no safe way to a scratch place: other accounts may exchange what is in it" % path,
                "Name a folder that only root or this account may change, with all above it (option scratch).",
            )
        if path == "/":
            return
        path = os.path.dirname(path)


@contextlib.contextmanager
def _base_locked(base: str) -> Iterator[None]:
    """Between making a place and marking it, no sweep may look."""
    folder = os.open(base, _FOLDER)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back the signals that end us: what cleans up must not be broken off half-way by a second one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# Processes


def end_processes(root: str, wait: float = 10.0) -> list[str]:
    """End the processes of :data:`PROGRAMS` that work in the place ``root``; those that were, as ``PROGRAM (PID)``.

    A process works there when its working folder, its program's file or a file that it has open lies in it, or when its
    command line names a path in it. ``wait``: seconds before what did not end by itself is killed.
    """
    found = _working_in(root)
    told = ["%s (%d)" % (program, pid) for pid, (program, _started) in sorted(found.items())]
    deadline = time.monotonic() + wait
    asked: set[int] = set()
    while found:
        late = time.monotonic() >= deadline
        for pid, (program, started) in found.items():
            if (pid in asked and not late) or start_time(pid) != started:
                continue
            asked.add(pid)
            polite = signal.SIGQUIT if program in _BY_QUIT else signal.SIGTERM
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL if late else polite)
        if time.monotonic() >= deadline + 5:
            break  # in the kernel's hands (a dead disk); removing will say what is left
        time.sleep(0.02)
        found = _working_in(root)
    return told


def _working_in(root: str) -> dict[int, tuple[str, int]]:
    """The processes that may be ended: number -> program and start."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        pid = int(name)
        try:
            program = os.path.basename(os.readlink("/proc/%d/exe" % pid)).replace(" (deleted)", "")
        except OSError:
            continue  # it is a kernel thread, not ours to look at, or has just ended
        started = start_time(pid)
        if program in PROGRAMS and started and _works_in(pid, root):
            found[pid] = (program, started)
    return found


def _works_in(pid: int, root: str) -> bool:
    below = root + "/"
    with contextlib.suppress(OSError):
        if (os.readlink("/proc/%d/cwd" % pid) + "/").startswith(below):
            return True
    with contextlib.suppress(OSError):
        if os.readlink("/proc/%d/exe" % pid).startswith(below):
            return True
    with contextlib.suppress(OSError), open("/proc/%d/cmdline" % pid, "rb") as stream:
        if any(os.fsencode(below) in word + b"/" for word in stream.read(1 << 17).split(b"\0")):
            return True
    with contextlib.suppress(OSError):
        for descriptor in os.listdir("/proc/%d/fd" % pid):
            with contextlib.suppress(OSError):
                if os.readlink("/proc/%d/fd/%s" % (pid, descriptor)).startswith(below):
                    return True
    return False


# Removing


def _remove_place(base: str, name: str) -> list[str]:
    """Remove a place: its content first, its mark last, so that a kill in between leaves it to the next sweep."""
    left: list[str] = []
    try:
        folder = os.open(base, _FOLDER)
        try:
            place = os.open(name, _FOLDER, dir_fd=folder)
            try:
                for inner in os.listdir(place):
                    if inner != _OWNER:
                        remove(place, inner, os.path.join(base, name), left)
                if not left:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(_OWNER, dir_fd=place)
            finally:
                os.close(place)
            if not left:
                os.rmdir(name, dir_fd=folder)
        finally:
            os.close(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        left.append("%s: %s" % (os.path.join(base, name), error.strerror or error))
    return left


def remove(folder: int, name: str, where: str, left: list[str]) -> None:
    """Remove ``name`` and all in it from the open folder. ``where`` is its path for telling, ``left`` takes what stays.

    Names are as ``os.fsdecode`` gives them. What lies deep is moved up into ``folder`` first.
    """
    device = os.fstat(folder).st_dev
    names = [name]
    serial = 0
    while names:
        stack: list[_Level] = []
        current = names.pop()
        try:
            if not _unlinked(folder, current, where, device, left):
                stack.append(_Level(_opened(folder, current), current))
        except OSError as error:
            left.append("%s/%s: %s" % (where, current, error.strerror or error))
        while stack:
            level = stack[-1]
            child = level.next()
            if child is None:
                stack.pop()
                os.close(level.folder)
                try:
                    if not level.stays:
                        os.rmdir(level.name, dir_fd=stack[-1].folder if stack else folder)
                except OSError as error:
                    left.append("%s: %s" % (_shown(where, stack, level.name), error.strerror or error))
                    level.stays.add("")
                if level.stays and stack:
                    stack[-1].stays.add(level.name)
                continue
            before = len(left)
            try:
                if _unlinked(level.folder, child, _shown(where, stack, ""), device, left):
                    pass
                elif len(stack) >= _DEEP:
                    moved = ".upkeep-deep-%d" % serial
                    serial += 1
                    os.rename(child, moved, src_dir_fd=level.folder, dst_dir_fd=folder)
                    names.append(moved)
                else:
                    stack.append(_Level(_opened(level.folder, child), child))
            except FileNotFoundError:
                continue
            except OSError as error:
                left.append("%s: %s" % (_shown(where, stack, child), error.strerror or error))
            if len(left) > before:
                level.stays.add(child)


class _Level:
    """A folder that is being emptied: its names come by the thousand, as it may hold a million."""

    def __init__(self, folder: int, name: str) -> None:
        self.folder = folder
        self.name = name
        self.stays: set[str] = set()
        self.names: list[str] = []

    def next(self) -> str | None:
        """Another name that is still in it, or None."""
        if not self.names:
            os.lseek(self.folder, 0, os.SEEK_SET)  # all descriptors of one opening share their place
            with os.scandir(self.folder) as entries:
                fresh = (entry.name for entry in entries if entry.name not in self.stays)
                self.names = list(itertools.islice(fresh, 1000))
        return self.names.pop() if self.names else None


def _shown(where: str, stack: list[_Level], name: str) -> str:
    return "/".join([where, *(level.name for level in stack), *([name] if name else [])])


def _unlinked(folder: int, name: str, where: str, device: int, left: list[str]) -> bool:
    """Whether that is all there was to do: it was no folder, or a mount, which stays and is told."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        _unlink(folder, name)
        return True
    if found.st_dev != device:
        left.append("%s/%s: another file system is mounted there" % (where, name))
        return True
    return False


def _unlink(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except PermissionError:
        # A restored folder may be closed even to its owner.
        os.fchmod(folder, 0o700)
        os.unlink(name, dir_fd=folder)


def _opened(folder: int, name: str) -> int:
    try:
        opened = os.open(name, _FOLDER, dir_fd=folder)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.chmod("/proc/self/fd/%d" % handle, 0o700)  # by the handle: the name may be another file by now
        finally:
            os.close(handle)
        opened = os.open(name, _FOLDER, dir_fd=folder)
    if os.geteuid() != 0:
        with contextlib.suppress(OSError):
            os.fchmod(opened, 0o700)
    return opened
