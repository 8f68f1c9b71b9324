# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a snapshot of another program than restic holds: names that come in any order, given back in that of the walk.

They are kept in a file of SQLite's (a nameless database, gone with us), as there may be millions.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from .._findings import CannotCheck
from .listing import KINDS, REPLACED, escaped, line, order, shown, unescaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .model import Entry

_AT_ONCE = 5000
_CACHE_KIB = 8192
_SORTED = "SELECT line, path FROM names WHERE place NOT NULL ORDER BY place, line"


def odd(path: bytes) -> bytes:
    """borg writes a question mark for each byte that is not UTF-8: U+FFFD, as names are told whose place is unknown."""
    return path.replace(b"?", REPLACED.encode())


class Names:
    """Fed by :meth:`add`, then :meth:`done`; then ``lines()``. ``wanted`` says of a path whether it counts.

    ``files``, ``bytes`` and ``entries`` count what is wanted; ``parents`` are the folders (escaped) above it that were
    not backed up themselves. Raises CannotCheck where this host's Python has no SQLite.
    """

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        try:
            import sqlite3
        except ImportError:
            raise CannotCheck(
                "Python on this host is without the module sqlite3, by which names are sorted", "Install it."
            ) from None
        self._wanted = wanted
        self._full = sqlite3.OperationalError
        self._rows: list[tuple[bytes | None, bytes, int | None, bytes | None, bytes | None]] = []
        self._links = False
        self.files = self.bytes = self.entries = 0
        self.parents: set[bytes] = set()
        self._database = sqlite3.connect("", isolation_level=None)
        for words in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -%d" % _CACHE_KIB, "temp_store = FILE"):
            self._database.execute("PRAGMA " + words)
        # Of what is not wanted the size alone is kept: a link may be to it.
        self._database.execute("CREATE TABLE names (place BLOB, path BLOB, size INTEGER, line BLOB, link BLOB)")
        self._database.execute("BEGIN")

    def close(self) -> None:
        self._database.close()

    def add(self, entry: Entry, link: str = "") -> None:
        """One more name; ``link``: the path of the file that this is a further name of, whose size it has."""
        raw = entry.path.encode("utf-8", "surrogateescape")
        # As the walk shows it: what is not UTF-8 became U+FFFD.
        path = odd(escaped(shown(raw)))
        place = made = None
        if self._wanted(entry.path):
            place = order(unescaped(path).encode())  # the place that the comparison takes it to have
            kind, mtime = KINDS[entry.type], round(entry.mtime * 1_000_000)
            made = line(path, kind, entry.size, entry.mode, entry.uid, entry.gid, mtime)
            self.entries += 1
            if entry.type == "file":
                self.files += 1
                self.bytes += entry.size
        other = link.encode("utf-8", "surrogateescape") if link else None
        self._links = self._links or other is not None
        if place is not None or entry.type == "file":
            size = entry.size if entry.type == "file" and other is None else None
            self._rows.append((place, raw, size, made, other))
        if len(self._rows) >= _AT_ONCE:
            self._flush()

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        """A full file system is told as any other write tells it."""
        try:
            yield
        except self._full as error:
            if "full" not in str(error):
                raise
            raise OSError(errno.ENOSPC, "%s, where names are sorted" % os.strerror(errno.ENOSPC)) from None

    def _flush(self) -> None:
        with self._room():
            self._database.executemany("INSERT INTO names VALUES (?, ?, ?, ?, ?)", self._rows)
        self._rows.clear()

    def done(self) -> None:
        """All names were told. Raises OSError (ENOSPC), as :meth:`add` does, where there is no room for them."""
        with self._room():
            self._done()

    def _done(self) -> None:
        self._flush()
        if self._links:
            self._resolve()
        # A folder comes before what is in it: what has none before it stands below one that was not backed up.
        opened: list[bytes] = []
        for made, raw in self._database.execute(_SORTED):
            path, kind, _rest = made.split(b"\t", 2)
            folder = path.rpartition(b"/")[0]
            while opened and opened[-1] != folder and not folder.startswith(opened[-1] + b"/"):
                opened.pop()
            above = escaped(shown(raw)).rpartition(b"/")[0]
            while folder and (not opened or opened[-1] != folder) and above not in self.parents:
                self.parents.add(above)
                folder, above = folder.rpartition(b"/")[0], above.rpartition(b"/")[0]
            if kind == b"d":
                opened.append(path)

    def _resolve(self) -> None:
        """Give links the size of their files."""
        self._database.execute("CREATE INDEX by_path ON names (path)")
        last = 0
        while True:
            found = self._database.execute(
                "SELECT link.rowid, link.line, file.size "
                "FROM names AS link JOIN names AS file ON file.path = link.link "
                "WHERE link.rowid > ? AND link.link NOT NULL AND link.line NOT NULL AND file.size NOT NULL "
                "ORDER BY link.rowid LIMIT ?",
                (last, _AT_ONCE),
            ).fetchall()
            if not found:
                return
            changed = []
            for row, made, size in found:
                words = made.split(b"\t")
                self.bytes += size - int(words[2])
                words[2] = b"%d" % size
                changed.append((b"\t".join(words), row))
            self._database.executemany("UPDATE names SET line = ? WHERE rowid = ?", changed)
            last = found[-1][0]

    def lines(self) -> Iterator[bytes]:
        """The lines of what is wanted, as :mod:`listing` has them, in the order of the walk."""
        with self._room():
            for made, _path in self._database.execute(_SORTED):
                yield made
