# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restored tree, walked in the order in which restic lists one, beside the tree that it was made of.

Names are bytes. Folders are opened by their descriptors and no link is followed, so nothing that a snapshot holds leads
out of the tree; nothing but folders is opened here. Memory does not grow with the tree, nor with a single folder.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import resource
import stat
import tempfile
from typing import IO, TYPE_CHECKING, NamedTuple

from .listing import escaped, line, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_CHUNK = 50_000
"""Names of a folder that are sorted in memory; of a larger one, sorted parts go to a file first."""

_KINDS = {
    stat.S_IFREG: b"f",
    stat.S_IFDIR: b"d",
    stat.S_IFLNK: b"l",
    stat.S_IFBLK: b"b",
    stat.S_IFCHR: b"c",
    stat.S_IFIFO: b"p",
    stat.S_IFSOCK: b"s",
}


class Seen(NamedTuple):
    """One restored name. The descriptors are good until the next one is asked for."""

    line: bytes
    """As :func:`listing.line` makes it of the same name of the snapshot."""
    path: bytes
    """As it stands in the line."""
    raw: bytes
    """The path in its own bytes, for its place in the order."""
    kind: bytes
    folder: int
    """The folder that it is in, open."""
    name: str
    """Its name in that folder, as os.fsdecode gives it."""
    stat: os.stat_result
    source: int
    """The same folder in the live tree, open, or -1."""


class _Level:
    __slots__ = ("folder", "names", "path", "raw", "source")

    def __init__(self, folder: int, source: int, path: bytes, raw: bytes, spill: str | None) -> None:
        self.folder = folder
        self.source = source
        self.path = path
        self.raw = raw
        self.names = names_of(folder, spill)

    def close(self) -> None:
        for descriptor in (self.folder, self.source):
            if descriptor >= 0:
                os.close(descriptor)


def walk(
    top: str,
    source: str | None,
    above: frozenset[bytes],
    stopped: Callable[[], bool],
    spill: str | None = None,
    on_unreadable: Callable[[bytes, OSError], None] | None = None,
) -> Generator[Seen, None, None]:
    """All that is in the folder ``top``. ``source`` is the folder of the live tree that corresponds to it, or None.

    ``above``: the escaped paths of folders in which the live tree may be reached by a symbolic link, as they were not
    backed up themselves. ``spill``: a folder for large folders' names. Ends early when ``stopped`` says so.
    """
    many_descriptors()
    stack: list[_Level] = []
    try:
        live = -1
        if source is not None:
            with contextlib.suppress(OSError):
                live = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.append(_Level(os.open(top, _FOLDER), live, b"", b"", spill))
        while stack:
            level = stack[-1]
            name = next(level.names, None)
            if name is None or stopped():
                level.close()
                stack.pop()
                continue
            own = os.fsencode(name)
            path = level.path + b"/" + escaped(shown(own))
            raw = level.raw + b"/" + own
            found = os.stat(name, dir_fd=level.folder, follow_symlinks=False)
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), b"?")
            made = line(
                path,
                kind,
                found.st_size,
                stat.S_IMODE(found.st_mode),
                found.st_uid,
                found.st_gid,
                (found.st_mtime_ns + 500) // 1000,
            )
            yield Seen(made, path, raw, kind, level.folder, name, found, level.source)
            if kind == b"d":
                try:
                    folder = os.open(name, _FOLDER, dir_fd=level.folder)
                except OSError as error:
                    if on_unreadable is not None:
                        on_unreadable(path, error)
                    continue
                stack.append(_Level(folder, _live(level.source, name, path in above), path, raw, spill))
    finally:
        for level in stack:
            level.close()


def _live(source: int, name: str, may_be_link: bool) -> int:
    if source < 0:
        return -1
    try:
        return os.open(name, _FOLDER & ~os.O_NOFOLLOW if may_be_link else _FOLDER, dir_fd=source)
    except OSError:
        return -1


def names_of(folder: int, spill: str | None = None) -> Iterator[str]:
    """The names in an open folder, in the order of their bytes."""
    parts: list[IO[bytes]] = []
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries)
        chunk = _sorted_chunk(names)
        while len(chunk) == _CHUNK:
            parts.append(_spilled(chunk, spill))
            chunk = _sorted_chunk(names)
    if not parts:
        return iter(chunk)
    parts.append(_spilled(chunk, spill))
    return (os.fsdecode(name) for name in heapq.merge(*(_unspilled(part) for part in parts)))


def _sorted_chunk(names: Iterator[str]) -> list[str]:
    return sorted(itertools.islice(names, _CHUNK), key=os.fsencode)


def _spilled(names: list[str], folder: str | None) -> IO[bytes]:
    stream = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as what is read of it
    for name in names:
        stream.write(os.fsencode(name) + b"/")  # the one byte that no name holds and is no trouble to read
    stream.seek(0)
    return stream


def _unspilled(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    with stream:
        while True:
            chunk = stream.read(1 << 16)
            if not chunk:
                return
            names = (rest + chunk).split(b"/")
            rest = names.pop()
            yield from names


def many_descriptors(wanted: int = 16384) -> None:
    """Let this process open a descriptor for each level of a deep tree; paths end at 4096 bytes, so 2048 levels."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
