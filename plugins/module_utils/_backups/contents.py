# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a review needs of a snapshot's names: which paths are there and filled, dumps, the sizes of folders. Pure.

Of the names themselves only their hashes are kept, and only up to a limit: a snapshot may have millions.
"""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .model import Entry

DUMPS = 200
"""Dumps that are remembered."""
FOLDERS = 5_000
"""Folders whose sizes are summed up; those beyond count for what is above them."""

DUMP = re.compile(
    r"(?i)[^/]*(?:\.(?:sql|pgdump|pg_dump|dump|dmp|bak|rdb|bson|archive|mysql|pgsql)|(?:^|[_.-])dump(?:[_.-][^/]*)?|"
    r"(?:all|globals|postgres(?:ql)?|mysql|mariadb|mongo(?:db)?)[^/]*\.(?:tar|sql|dump|out|gz|zst|xz|bz2))"
    r"(?:\.(?:gz|zst|xz|bz2|lz4|age|gpg|enc))*"
)
"""Names that dumps of databases have."""


class Dump(NamedTuple):
    path: str
    size: int
    mtime: float


class Contents:
    """Fed with each entry of a snapshot; then it answers."""

    def __init__(self, wanted: Iterable[str] = (), *, names: int = 0, depth: int = 0) -> None:
        """``wanted``: paths and patterns to look for; ``names``: how many names may be remembered for a comparison;
        ``depth``: the levels of folders whose sizes are summed up."""
        wanted = list(wanted)
        self.patterns = {
            pattern: re.compile(fnmatch.translate(pattern)) for pattern in wanted if re.search(r"[*?\[]", pattern)
        }
        self.wanted = frozenset(path.rstrip("/") or "/" for path in wanted if path not in self.patterns)
        self.matched: dict[str, int] = {}
        self.types: dict[str, str] = {}
        self.filled: set[str] = set()
        self.names: set[int] | None = set() if names else None
        self.names_limit = names
        self.depth = depth
        self.sizes: dict[str, list[int]] = {}
        self.dumps: list[Dump] = []
        self.entries = 0
        self.files = self.bytes = 0
        self.whole = True
        """Whether all names were seen."""

    def add(self, entry: Entry) -> None:
        path = entry.path
        self.entries += 1
        parent = path.rpartition("/")[0] or "/"
        if path in self.wanted:
            self.types[path] = entry.type
        while parent not in self.filled and path != "/":
            # Once a folder is known to be filled, so are those above it.
            self.filled.add(parent)
            if parent == "/":
                break
            parent = parent.rpartition("/")[0] or "/"
        for pattern, compiled in self.patterns.items():
            if compiled.match(path):
                self.matched[pattern] = self.matched.get(pattern, 0) + 1
        if self.names is not None:
            if len(self.names) < self.names_limit:
                self.names.add(hash(path))
            else:
                self.names = None  # a part of them would be of no use
        if entry.type == "file":
            self.files += 1
            self.bytes += entry.size
            if len(self.dumps) < DUMPS and DUMP.fullmatch(path.rpartition("/")[2]):
                self.dumps.append(Dump(path, entry.size, entry.mtime))
            if self.depth:
                self._sum(path, entry.size)

    def _sum(self, path: str, size: int) -> None:
        # The folder that the file is in, or the one above it at that depth.
        folder = "/".join(path.split("/")[:-1][: self.depth + 1])
        if folder not in self.sizes and len(self.sizes) >= FOLDERS:
            folder = "/".join(folder.split("/")[:2])
        total = self.sizes.setdefault(folder or "/", [0, 0])
        total[0] += 1
        total[1] += size

    def state(self, path: str) -> str:
        """``filled``, ``empty`` (a folder with nothing in it), or ``missing``."""
        if path in self.patterns:
            return "filled" if self.matched.get(path) else "missing"
        path = path.rstrip("/") or "/"
        if path in self.filled:
            return "filled"
        kind = self.types.get(path)
        return "missing" if kind is None else "empty" if kind == "dir" else "filled"


def vanished(before: Contents, after: Contents, limit: int = 15) -> list[str]:
    """What the one snapshot has and the other has not, folder by folder, the greatest loss first: lines of evidence."""
    losses = []
    for folder, (files, size) in before.sizes.items():
        left_files, left_size = after.sizes.get(folder, [0, 0])
        if files > left_files or size > left_size:
            losses.append((size - left_size, files - left_files, folder, left_files))
    losses.sort(reverse=True)
    lines = []
    for size, files, folder, left in losses[:limit]:
        what = "is gone" if not left else "shrank"
        lines.append("%s %s: %d files and %d bytes less" % (folder, what, max(0, files), max(0, size)))
    return lines
