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

DUMPS = 20_000
"""Dumps that are remembered: some 4 MB."""
FOLDERS = 5_000
"""Folders whose sizes are summed up; those beyond count for what is above them."""

TOPS = 1_000
"""Names at the root of the tree that are remembered: those of one path more are enough."""

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


_DRIVE = re.compile(r"([A-Za-z]):[\\/](.*)", re.S)
"""A path of Windows: in the tree its drive is a folder."""


def _forms(path: str) -> list[str]:
    """The names under which a path that was backed up may stand in the tree: the whole, less and less of it, nothing.

    restic keeps a path as it was given: ``cd /srv; restic backup www/a`` makes a tree with ``/www/a``, notes the path
    ``/srv/www/a``, and of ``restic backup .`` the content lies at the root.
    """
    drive = _DRIVE.fullmatch(path)
    if drive:
        return [("/%s/%s" % (drive.group(1), drive.group(2).replace("\\", "/"))).rstrip("/")]
    if not path.startswith("/"):
        return []
    parts = [part for part in path.split("/") if part]
    return ["/" + "/".join(parts[at:]) for at in range(len(parts))] + [""]


class Contents:
    """Fed with each entry of a snapshot; then it answers, by the paths of the host that was backed up."""

    def __init__(
        self, wanted: Iterable[str] = (), *, paths: Iterable[str] = ("/",), names: int = 0, depth: int = 0
    ) -> None:
        """``wanted``: paths and patterns to look for; ``paths``: those that the snapshot is of; ``names``: how many
        names may be remembered for a comparison; ``depth``: the levels of folders whose sizes are summed up."""
        wanted = list(wanted)
        self.patterns = {
            pattern: re.compile(fnmatch.translate(pattern)) for pattern in wanted if re.search(r"[*?\[]", pattern)
        }
        self.forms = {path.rstrip("/") or "/": _forms(path) for path in paths}
        asked = {path.rstrip("/") or "/" for path in wanted if path not in self.patterns}
        for path, forms in self.forms.items():
            asked |= {form + one[len(path) :] for one in list(asked) if one.startswith(path + "/") for form in forms}
        self.wanted = frozenset(asked.union(*self.forms.values()) - {""})
        # Of a tree that does not begin as the paths do, patterns are tried with what may stand above it.
        self.begins = frozenset(forms[0].split("/")[1] for forms in self.forms.values() if forms and forms[0])
        self.above = sorted(
            {path[: len(path) - len(form)] for path, forms in self.forms.items() for form in forms[1:]} - {""}
        )
        self.tops: set[str] = set()
        self.matched: dict[tuple[str, str], int] = {}
        self.types: dict[str, str] = {}
        self.filled: set[str] = set()
        self.names: set[int] | None = set() if names else None
        self.names_limit = names
        self.depth = depth
        self.sizes: dict[str, list[int]] = {}
        self.dumps: list[Dump] = []
        self.entries = 0
        self.files = self.bytes = 0
        self.places_of = -1
        self.places_found: dict[str, str | None] = {}

    def add(self, entry: Entry) -> None:
        path = entry.path
        self.entries += 1
        parent = path.rpartition("/")[0] or "/"
        if path in self.wanted:
            self.types[path] = entry.type
        if parent == "/" and len(self.tops) < TOPS:
            self.tops.add(path)
        while parent not in self.filled and path != "/":
            # Once a folder is known to be filled, so are those above it.
            self.filled.add(parent)
            if parent == "/":
                break
            parent = parent.rpartition("/")[0] or "/"
        for pattern, compiled in self.patterns.items():
            if compiled.match(path):
                self.matched[pattern, ""] = self.matched.get((pattern, ""), 0) + 1
            if self.above and path.split("/", 2)[1] not in self.begins:
                for top in self.above:
                    if compiled.match(top + path):
                        self.matched[pattern, top] = self.matched.get((pattern, top), 0) + 1
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

    def close(self) -> None:
        """All was seen: forget what nobody will ask for. A repository may have hundreds of series."""
        self.filled &= self.wanted | {"/"}

    def places(self) -> dict[str, str | None]:
        """Where each path of the snapshot lies in the tree: its name there, empty for the root; None: unknown."""
        if self.places_of != self.entries:
            self.places_of = self.entries
            self.places_found = self._places()
        return self.places_found

    def _places(self) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for path, forms in self.forms.items():
            if not forms or forms[0] == "" or forms[0] in self.types:
                found[path] = forms[0] if forms else None
        whole = [place for place in found.values() if place]
        relative = []
        for path, forms in self.forms.items():
            if path in found:
                continue
            for form in forms[1:-1]:
                # What lies in another path, or holds it, is there for that one's sake.
                if form in self.types and not any(_within(form, one) or _within(one, form) for one in whole):
                    found[path] = form
                    relative.append(path)
                    break
        lost = [path for path in self.forms if path not in found]
        if "/" not in self.forms and None not in found.values():
            explained = {"/" + place.split("/")[1] for place in found.values() if place}
            if self.tops - explained:
                # There is more at the root: a path whose content lies there.
                if len(self.forms) == 1 or len(lost) == 1:
                    found[lost[0] if lost else next(iter(self.forms))] = ""
                else:
                    found.update(dict.fromkeys((*lost, *relative), None))
        for path in lost:
            found.setdefault(path, self.forms[path][0])  # it is not there
        return found

    def state(self, path: str) -> str:
        """``filled``, ``empty`` (a folder with nothing in it), ``missing``, or ``unknown``: not to be told."""
        places = self.places()
        if path in self.patterns:
            tops = {one[: len(one) - len(place)] for one, place in places.items() if place and one.endswith(place)}
            tops |= {"" if one == "/" else one for one, place in places.items() if place == ""}
            if any(self.matched.get((path, top)) for top in tops):
                return "filled"
            return "unknown" if None in places.values() else "missing"
        path = path.rstrip("/") or "/"
        found = set()
        for one, place in places.items():
            if not self.forms[one]:
                found.add("unknown")  # it may be anywhere
            elif _within(path, one):
                name = path[len(one.rstrip("/")) :]
                # What lies at the root for the sake of another path is not this one's.
                others = [other for other in places.values() if other and place == "" and name]
                unclear = place is None or any(_within(name, other) for other in others)
                found.add("unknown" if unclear else self._look((place or "") + name))
            elif _within(one, path):
                there = place is None or self._look(place)
                found.add("unknown" if place is None else "missing" if there == "missing" else "filled")
        return next((state for state in ("filled", "unknown", "empty") if state in found), "missing")

    def _look(self, name: str) -> str:
        """As :meth:`state`, by the name in the tree."""
        if (name or "/") in self.filled:
            return "filled"
        kind = self.types.get(name)
        return "missing" if kind is None else "empty" if kind == "dir" else "filled"


def _within(path: str, other: str) -> bool:
    return path == other or path.startswith(other.rstrip("/") + "/")


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
