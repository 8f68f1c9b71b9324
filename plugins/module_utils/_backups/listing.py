# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a snapshot holds, name by name, kept in a file: a snapshot may have more names than fit in memory. Pure.

Each name is one line, and a restored file makes the same line: equal lines need no further look. A line is::

    path TAB kind TAB size TAB mode TAB uid TAB gid TAB mtime in microseconds

restic lists a tree depth first, the names of a folder in the order of their bytes, and each but once. A listing that is
otherwise was not written by restic: two nodes of one name, one of them a symbolic link, are how a snapshot would reach
out of the folder that it is restored into. So :meth:`Listing.add` refuses it.
"""

from __future__ import annotations

import codecs
import hashlib
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .model import Entry

KINDS = {"file": b"f", "dir": b"d", "symlink": b"l", "dev": b"b", "chardev": b"c", "fifo": b"p", "socket": b"s"}
"""restic's types, and what stands for them in a line (as find -printf %y has it)."""
REPLACED = "\N{REPLACEMENT CHARACTER}"
_CHUNK = 1 << 20


def _each_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return REPLACED * (error.end - error.start), error.end


codecs.register_error("upkeep.each_byte", _each_byte)


def shown(name: bytes) -> str:
    """A name as restic's JSON shows it: each byte that is not UTF-8 is one U+FFFD (Go's encoding/json)."""
    return name.decode("utf-8", "upkeep.each_byte")


def escaped(path: str) -> bytes:
    """A path (or a name) as it stands in a line."""
    data = path.encode("utf-8", "replace")
    if b"\\" in data or b"\n" in data or b"\t" in data:
        data = data.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\t", b"\\t")
    return data


def unescaped(data: bytes) -> str:
    """What :func:`escaped` made, as it was."""
    if b"\\" in data:
        parts = data.split(b"\\\\")
        data = b"\\".join(part.replace(b"\\n", b"\n").replace(b"\\t", b"\t") for part in parts)
    return data.decode("utf-8", "replace")


class Disorder(ValueError):  # noqa: N818 - an outcome of reading, told to the user
    """The tree is not as restic writes one: it is damaged, or somebody made it to do harm. ``path`` is where."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__("%s: %s" % (path, why))
        self.path = path
        self.why = why


class Listed(NamedTuple):
    """One line, taken apart. ``mtime`` is in microseconds since the epoch, ``mode`` None where restic did not tell."""

    path: str
    kind: str
    size: int
    mode: int | None
    uid: int
    gid: int
    mtime: int


def line(path: bytes, kind: bytes, size: int, mode: int | None, uid: int, gid: int, mtime: int) -> bytes:
    """The line of one name; ``path`` is :func:`escaped`. Only a file has a size, and a symbolic link no mode."""
    if kind == b"l":
        mode = 0o777
    permissions = b"-" if mode is None else b"%o" % mode
    return b"%s\t%s\t%d\t%s\t%d\t%d\t%d\n" % (path, kind, size if kind == b"f" else 0, permissions, uid, gid, mtime)


def parsed(data: bytes) -> Listed:
    """A line, taken apart."""
    path, kind, size, mode, uid, gid, mtime = data.rstrip(b"\n").split(b"\t")
    return Listed(
        unescaped(path),
        kind.decode("ascii"),
        int(size),
        None if mode == b"-" else int(mode, 8),
        int(uid),
        int(gid),
        int(mtime),
    )


def order(path: bytes) -> bytes:
    """What puts escaped paths into restic's order: a folder's names before what comes after the folder."""
    return path.replace(b"/", b"\0")


class Listing:
    """The names of a snapshot, in ``stream``, a binary file open for writing and reading.

    ``files``, ``folders``, ``others`` and ``bytes`` count what was added; ``digest`` is the SHA-256 of all lines but
    those of sockets, which restic never restores.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.files = 0
        self.folders = 0
        self.others = 0
        self.bytes = 0
        self._sha256 = hashlib.sha256()
        self._lines: list[bytes] = []
        self._size = 0
        # The folders on the way to the last name, from the root: path with its slash, last name in it, odd names in it.
        self._open: list[_Open] = [_Open("/")]

    @property
    def entries(self) -> int:
        return self.files + self.folders + self.others

    @property
    def digest(self) -> str:
        return self._sha256.hexdigest()

    def add(self, entry: Entry) -> None:
        """Take one more name. Raises Disorder, and OSError when the file cannot be written."""
        kind = KINDS.get(entry.type)
        if kind is None:
            raise Disorder(entry.path, "it is of the type %r, which no version of restic writes" % entry.type)
        self._check(entry.path, kind)
        if kind == b"f":
            self.files += 1
            self.bytes += entry.size
        elif kind == b"d":
            self.folders += 1
            self._open.append(_Open(entry.path + "/"))
        else:
            self.others += 1
        made = line(
            escaped(entry.path), kind, entry.size, entry.mode, entry.uid, entry.gid, round(entry.mtime * 1_000_000)
        )
        if kind != b"s":
            self._sha256.update(made)
        self._lines.append(made)
        self._size += len(made)
        if self._size >= _CHUNK:
            self._flush()

    def _check(self, path: str, kind: bytes) -> None:
        folder, _slash, name = path.rpartition("/")
        folder += "/"
        while self._open[-1].path != folder:
            if len(self._open) == 1:
                raise Disorder(path, "it stands where its folder is not")
            self._open.pop()
        if not path.startswith("/") or name in ("", ".", "..") or "\0" in name:
            raise Disorder(path, "no file has such a name")
        place = self._open[-1]
        if REPLACED in name:
            # Several names are shown as this one, so its place says nothing. Two links would be too much to trust.
            before = place.odd.setdefault(name, kind)
            if before != kind or (kind == b"l" and name in place.twice):
                raise Disorder(path, "two nodes of this name are of different types")
            place.twice.add(name)
            return
        data = name.encode("utf-8", "replace")
        if place.last is not None and data <= place.last:
            raise Disorder(path, "there are two of it" if data == place.last else "it is not in its place")
        place.last = data

    def _flush(self) -> None:
        if self._lines:
            data = b"".join(self._lines)
            self._lines.clear()
            self._size = 0
            self.stream.write(data)

    def lines(self) -> Iterator[bytes]:
        """All lines from the first on, once more each time."""
        self._flush()
        self.stream.seek(0)
        yield from self.stream

    def __iter__(self) -> Iterator[Listed]:
        for data in self.lines():
            yield parsed(data)


class _Open:
    """A folder on the way to the last name."""

    __slots__ = ("last", "odd", "path", "twice")

    def __init__(self, path: str) -> None:
        self.path = path
        self.last: bytes | None = None
        self.odd: dict[str, bytes] = {}
        self.twice: set[str] = set()
