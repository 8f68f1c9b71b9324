# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database says when it fails, told as what is wrong and what to do."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import redact

from ..errors import NOT_RUN, UpkeepError

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY_SECONDS = 30.0
"""How long to wait for another writer. Recording 100,000 findings holds the store for a third of it."""

MIN_ROOM = 64 * 1024 * 1024
"""Bytes that must be free before a run. A finding with three lines of evidence takes 0.6 kB in the file, and as much in
the write-ahead log until that is merged (measured with 20,000): it is the room for some 50,000 of them."""
MIN_INODES = 32
"""Files that must be possible before a run."""
NO_ROOM = 1024 * 1024
"""Bytes: with less than this free, a write that failed failed for want of room. Not 0: SQLite writes whole pages and
grows its log by them, so it fails with a little room left; with more than this left, the cause is another."""


@dataclass(frozen=True)
class Place:
    """Where a store is."""

    url: str
    """Without a password."""
    path: Path | None
    """The SQLite file; None for a server."""


def store_error(what: str, *, expected: str = "", found: str = "", remedy: str = "") -> UpkeepError:
    """A failure of the store."""
    return UpkeepError(what, expected=expected, found=found, remedy=remedy, exit_code=NOT_RUN)


@contextlib.contextmanager
def told_apart(place: Place) -> Iterator[None]:
    """Turn what the database raises into an UpkeepError that says what is wrong."""
    try:
        yield
    except DBAPIError as error:
        raise translated(error.orig, place) from error
    except sqlite3.Error as error:
        raise translated(error, place) from error


def translated(error: BaseException | None, place: Place) -> UpkeepError:
    """The UpkeepError that tells of an error of the database's driver."""
    if place.path is not None:
        return _of_sqlite(error, place.path)
    return _of_postgresql(error, place)


def _of_sqlite(error: BaseException | None, path: Path) -> UpkeepError:
    code = getattr(error, "sqlite_errorcode", 0) or 0
    primary = code & 0xFF  # the rest of an extended code says where it happened
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return locked(path)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return corrupt(path, str(error))
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return not_writable(path) or read_only(path, str(error))
    failed_to_write = primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    if primary == sqlite3.SQLITE_FULL or (failed_to_write and _has_no_room(path.parent)):
        return full(path.parent)
    if primary == sqlite3.SQLITE_CANTOPEN:
        return not_writable(path) or store_error(
            f"the store {path} cannot be opened",
            expected="a file that this user may read and write, in a folder where it may make files",
            found=str(error),
            remedy=f"Look at: ls -ld {path} {path.parent}",
        )
    return store_error(
        f"the store {path} failed",
        expected="a statement to be carried out",
        found=f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}",
        remedy="Look at the disk (dmesg, free room); with the store itself in doubt: upkeep doctor",
    )


def read_only(path: Path, found: str) -> UpkeepError:
    """The store cannot be written."""
    return store_error(
        f"the store {path} is read-only",
        expected="a file and a folder that this user may write",
        found=found,
        remedy="Make both writable for this user, or choose another place with UPKEEP_HOME or store.url.",
    )


def not_writable(path: Path) -> UpkeepError | None:
    """Why a SQLite file cannot be written, by what the file system says; None when it says nothing against it."""
    folder = path.parent
    try:
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return read_only(path, f"the file system of {folder} is mounted read-only")
    except OSError as error:
        return store_error(
            f"the store {path} cannot be reached",
            expected=f"the folder {folder}",
            found=error.strerror or str(error),
            remedy="Make the folder, or choose another place with UPKEEP_HOME or store.url.",
        )
    # Bits of permission do not tell everything (root, access lists, immutable files): ask the kernel.
    for place, mode in ((folder, os.W_OK | os.X_OK), (path, os.R_OK | os.W_OK)):
        if os.access(folder, os.X_OK) and not place.exists():
            continue
        if not os.access(place, mode):
            return read_only(path, f"no permission to write {place} (mode {place.stat().st_mode & 0o7777:04o})")
    return None


def locked(path: Path) -> UpkeepError:
    """Another process holds the store."""
    holders = lock_holders(path)
    named = ", ".join(f"process {pid} ({name})" if name else f"process {pid}" for pid, name in holders)
    return store_error(
        f"the store {path} is locked",
        expected=f"a turn to write within {BUSY_SECONDS:g} seconds",
        found=f"it is held by {named}" if named else "another process is writing to it",
        remedy="Wait for it to end"
        + (f", or see what it does: ps -fp {holders[0][0]}" if holders else f", or find it: fuser -v {path}")
        + ". Do not delete the files beside the store: they hold its last changes.",
    )


def locked_server(place: Place, holders: list[str]) -> UpkeepError:
    """Another client holds the store's lock on its server."""
    return store_error(
        f"the store {place.url} is locked",
        expected=f"a turn to write within {BUSY_SECONDS:g} seconds",
        found="it is held by " + "; ".join(holders) if holders else "another client was writing to it",
        remedy="Wait for it to end; on the server, pg_terminate_backend(PID) ends it.",
    )


def lock_holders(path: Path, locks: str = "/proc/locks") -> list[tuple[int, str]]:
    """Pid and name of the processes that hold a write lock on a SQLite database, as far as the kernel tells."""
    inodes = {}
    for file in (path, path.with_name(path.name + "-shm")):
        with contextlib.suppress(OSError):
            inodes[str(file.stat().st_ino)] = file
    try:
        lines = Path(locks).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    pids = []
    for line in lines:
        # "1: POSIX  ADVISORY  WRITE 4242 fe:01:1234 120 120": kind, mode, access, pid, device:inode, first, last byte.
        fields = line.split()
        if "->" in fields or len(fields) < 8 or fields[3] != "WRITE" or fields[5].rsplit(":", 1)[-1] not in inodes:
            continue
        if fields[4].isdigit() and int(fields[4]) > 0 and int(fields[4]) not in pids:
            pids.append(int(fields[4]))
    holders = []
    for pid in pids:
        name = ""
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
        holders.append((pid, name))
    return holders


def corrupt(path: Path, found: str) -> UpkeepError:
    """The file is not a whole SQLite database."""
    copies = sorted(path.parent.glob(path.name + ".before-*"))
    copy = f"{copies[-1]} (made before the last migration)" if copies else "your last backup of it"
    return store_error(
        f"the store {path} is damaged",
        expected="a whole SQLite database",
        found=found,
        remedy=f"Move it and its -wal and -shm files aside (nothing is deleted by Upkeep), then put back {copy}, "
        f"or save what can be saved: sqlite3 {path} .recover | sqlite3 NEW. "
        "Results files of later runs can be recorded again: upkeep record FILE.",
    )


def _room(folder: Path) -> tuple[int, int | None]:
    """Free bytes, and free inodes (None where the file system does not count them)."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize, stat.f_favail if stat.f_files else None


def _has_no_room(folder: Path) -> bool:
    """Whether a write may have failed for want of room."""
    try:
        room, inodes = _room(folder)
    except OSError:
        return False
    return room < NO_ROOM or inodes == 0


def full(folder: Path) -> UpkeepError:
    """There is no room for what must be kept."""
    try:
        room, inodes = _room(folder)
        found = f"{room / 1024 / 1024:.1f} MB free" + (f", {inodes} inodes free" if inodes is not None else "")
    except OSError as error:
        found = str(error)
    return store_error(
        f"the disk of {folder} is full",
        expected=f"at least {MIN_ROOM // 1024 // 1024} MB and {MIN_INODES} inodes free for the store",
        found=found,
        remedy=f"Make room on the file system of {folder}, or move the store with UPKEEP_HOME or store.url.",
    )


def room_error(folder: Path) -> UpkeepError | None:
    """An error when there is too little room for a run's results."""
    room, inodes = _room(folder)
    return full(folder) if room < MIN_ROOM or (inodes is not None and inodes < MIN_INODES) else None


def newer(place: Place, revision: str, ours: str) -> UpkeepError:
    """The store was made by a newer Upkeep."""
    return store_error(
        f"the store {place.path or place.url} was made by a newer Upkeep",
        expected=f"schema {ours} or older",
        found=f"schema {revision}",
        remedy="Upgrade Upkeep here to the version that last used this store; nothing was changed.",
    )


def foreign(place: Place, found: str) -> UpkeepError:
    """The database belongs to something else."""
    return store_error(
        f"{place.path or place.url} is not a store of Upkeep",
        expected="an empty database, or one that Upkeep made",
        found=found,
        remedy="Name another database in store.url; nothing was changed.",
    )


# SQLSTATE of PostgreSQL (its manual, appendix A): class or code → what is wrong, what was expected, what to do.
LOCK_NOT_AVAILABLE = "55P03"
_POSTGRESQL: dict[str, tuple[str, str, str]] = {
    "25006": ("is read-only", "a server that takes writes", "Point store.url at the primary."),
    "53100": ("has no room left", "room on the server's disk", "Make room on the database server."),
    "53300": ("takes no more connections", "a free connection", "Raise max_connections, or end idle clients."),
    LOCK_NOT_AVAILABLE: (
        "is locked",
        f"a turn to write within {BUSY_SECONDS:g} seconds",
        "Wait for its holder to end.",
    ),
    "28": ("does not let us in", "a user and a password that the server accepts", "Correct store.url or pg_hba.conf."),
    "3D": ("does not exist", "the database that store.url names", "Create it: createdb NAME"),
    "42501": ("does not allow it", "a user that owns its schema", "Grant it CREATE on the schema."),
    "XX00": ("is damaged", "a whole database", "Restore the database from its backup; see the server's log."),
    "57P": ("is shutting down or starting", "a server that answers", "Try again when it is up."),
    "08": ("cannot be reached", "a server that answers", "Look at its host, port, and firewall."),
}


def _of_postgresql(error: BaseException | None, place: Place) -> UpkeepError:
    state: Any = getattr(error, "sqlstate", None)
    found = redact(" ".join(str(error).split()))
    if state is None:  # the connection was never made, or broke: libpq has only words for it
        for words, code in (("authentication failed", "28"), ("does not exist", "3D"), ("no pg_hba.conf entry", "28")):
            if words in found:
                state = "28" if 'role "' in found else code
    for code, (what, expected, remedy) in _POSTGRESQL.items():
        if (state or "08").startswith(code):
            return store_error(f"the store {place.url} {what}", expected=expected, found=found, remedy=remedy)
    return store_error(
        f"the store {place.url} failed",
        expected="a statement to be carried out",
        found=f"SQLSTATE {state}: {found}",
        remedy="See the server's log.",
    )
