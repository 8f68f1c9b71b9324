# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was restored, against what the snapshot says of itself, and against the live tree.

Both lists come in one order, so they are laid side by side like two sorted decks: memory does not grow with them. The
bytes of the files are compared by ``restic restore --verify``, blob by blob with the snapshot's own digests; here it is
the names, the metadata, and the live source.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from . import verify_source
from .listing import REPLACED, Listed, order, parsed, unescaped
from .sample import above_of
from .verify_walk import Seen, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .listing import Listing
    from .verify_source import Source

MOST_TOLD = 40
"""Names that are told of one kind of difference; all are counted."""
MOST_ODD = 20_000
"""Names with bytes that are not UTF-8 that are kept back because their place in the order is not known."""

MISSING = "missing"
UNEXPECTED = "unexpected"
CONTENT = "content"
METADATA = "metadata"
SOURCE_DIFFERS = "source_differs"
SOURCE_METADATA = "source_metadata"
SOURCE_CHANGED = "source_changed"
SOURCE_GONE = "source_gone"
SOURCE_UNREAD = "source_unread"
UNREADABLE = "unreadable"

_OF_SOURCE = {
    verify_source.CHANGED: SOURCE_CHANGED,
    verify_source.GONE: SOURCE_GONE,
    verify_source.UNREAD: SOURCE_UNREAD,
    verify_source.DIFFERS: SOURCE_DIFFERS,
}
_NAMES = {"f": "file", "d": "folder", "l": "symbolic link", "b": "device", "c": "device", "p": "pipe", "s": "socket"}


class Difference:
    """How often a kind of difference was seen, and the first names with what differs."""

    def __init__(self) -> None:
        self.count = 0
        self.told: list[str] = []


class Abilities(NamedTuple):
    """What can be proven here: ``owner`` (as root only), and how exactly the file system keeps times, microseconds."""

    owner: bool
    granularity: int = 2


class Verified:
    """What came of comparing. Counts are of what was restored; ``digest`` is the SHA-256 of its lines.

    Where all of a snapshot was restored as it is listed, that is the digest of the listing.
    """

    def __init__(self) -> None:
        self.files = 0
        self.folders = 0
        self.others = 0
        self.bytes = 0
        self.digest = ""
        self.sockets = 0
        """Sockets in the selection: restic never restores one."""
        self.digests: dict[str, str] = {}
        """Path -> SHA-256 of the files that were asked for."""
        self.links_open = 0
        """Symbolic links whose targets were not proven yet: neither against the live tree, nor by :class:`Links`."""
        self.links_proven = 0
        """Those that were, against what the snapshot says of them."""
        self.found: dict[str, Difference] = {}
        self.ended = False
        """Whether the walk came to its end."""

    def add(self, what: str, path: str, detail: str = "") -> None:
        difference = self.found.setdefault(what, Difference())
        difference.count += 1
        if len(difference.told) < MOST_TOLD:
            difference.told.append("%s: %s" % (path, detail) if detail else path)

    def count(self, what: str) -> int:
        return self.found[what].count if what in self.found else 0

    def told(self, what: str) -> list[str]:
        return self.found[what].told if what in self.found else []


class Selection:
    """Whether a path is to be restored: all are when there are no units."""

    def __init__(self, units: Iterable[str]) -> None:
        self.units = frozenset(units)
        self._folder: bytes | None = None
        self._inside = False

    def has(self, path: bytes) -> bool:
        """``path`` is escaped."""
        if not self.units:
            return True
        folder = path[: path.rindex(b"/")]
        if folder != self._folder:  # the names of a folder come one after the other
            self._folder = folder
            self._inside = any(above in self.units for above in above_of(unescaped(folder)))
        return self._inside or unescaped(path) in self.units


class Verifier:
    """Lays the restored tree beside the listing. ``source`` and ``digests`` may be left out."""

    def __init__(
        self,
        abilities: Abilities,
        selection: Selection,
        source: Source | None = None,
        digests: Iterable[str] = (),
    ) -> None:
        self.abilities = abilities
        self.selection = selection
        self.source = source
        self.wanted_digests = frozenset(digests)
        self.result = Verified()
        self._sha256 = hashlib.sha256()
        self._odd_listed: dict[bytes, list[bytes]] = {}
        self._odd_seen: dict[bytes, list[bytes]] = {}
        self._odd = 0

    def run(
        self,
        listing: Listing,
        top: str,
        live: str | None,
        above: frozenset[bytes],
        stopped: Callable[[], bool],
        spill: str | None = None,
    ) -> Verified:
        """Compare the folder ``top`` with the listing, and with the folder ``live``. See :func:`verify_walk.walk`."""

        def unreadable(path: bytes, error: OSError) -> None:
            self.result.add(UNREADABLE, unescaped(path), error.strerror or "")

        seen = walk(top, live if self.source else None, above, stopped, spill, unreadable)
        self.match(listing.lines(), seen)
        self.result.digest = self._sha256.hexdigest()
        self.result.ended = not stopped()
        return self.result

    def match(self, lines: Iterable[bytes], walked: Iterator[Seen]) -> None:
        """Lay the two side by side to their ends."""
        seen = next(walked, None)
        if seen is not None:
            self._count(seen)
        for data in lines:
            if seen is not None and data == seen.line:
                self._sha256.update(data)
                self._same(seen)
                seen = self._next(walked)
                continue
            path = data[: data.index(b"\t")]
            if seen is not None and path == seen.path:
                self._differs(data, seen)
                seen = self._next(walked)
                continue
            if not self.selection.has(path):
                continue
            place = order(unescaped(path).encode("utf-8", "replace"))
            while seen is not None and order(seen.raw) < place:
                self._unexpected(seen)
                seen = self._next(walked)
            if seen is not None and path == seen.path:
                self._differs(data, seen)
                seen = self._next(walked)
            else:
                self._missing(path, data)
        while seen is not None:
            self._unexpected(seen)
            seen = self._next(walked)
        self._settle()

    def _next(self, walked: Iterator[Seen]) -> Seen | None:
        seen = next(walked, None)
        if seen is not None:
            self._count(seen)
        return seen

    def _count(self, seen: Seen) -> None:
        result = self.result
        if seen.kind == b"f":
            result.files += 1
            result.bytes += seen.stat.st_size
        elif seen.kind == b"d":
            result.folders += 1
        else:
            result.others += 1

    def _same(self, seen: Seen) -> None:
        if self.wanted_digests:
            path = unescaped(seen.path)
            if path in self.wanted_digests and seen.kind == b"f":
                self.result.digests[path] = verify_source.digest(seen)
        outcome = ""
        if self.source is not None and self.selection.has(seen.path):
            outcome = self._against_source(seen, self.source)
        if seen.kind == b"l" and outcome != verify_source.SAME:
            self.result.links_open += 1

    def _against_source(self, seen: Seen, source: Source) -> str:
        path = unescaped(seen.path)
        if seen.source < 0:
            self.result.add(SOURCE_GONE, path)
            return verify_source.GONE
        outcome, metadata = source.compare(seen)
        if outcome in _OF_SOURCE:
            detail = "its bytes differ from the live file" if seen.kind == b"f" else "it differs from the live one"
            self.result.add(_OF_SOURCE[outcome], path, detail if outcome == verify_source.DIFFERS else "")
        if metadata:
            self.result.add(SOURCE_METADATA, path, "; ".join(metadata))
        return outcome

    def _differs(self, data: bytes, seen: Seen) -> None:
        """The same name, another line."""
        if not self.selection.has(seen.path):
            return  # a folder on the way to what was asked for: restic makes it, and need not finish it
        listed, restored = parsed(data), parsed(seen.line)
        before = self.result.count(METADATA)
        equal = self._judge(listed, restored)
        # A time that is rounded otherwise is no difference, and must make none in the digest.
        self._sha256.update(data if equal and self.result.count(METADATA) == before else seen.line)
        if equal:
            self._same(seen)

    def _judge(self, listed: Listed, restored: Listed) -> bool:
        """Whether they are the same as far as can be proven here; what differs is recorded."""
        if listed.kind != restored.kind:
            detail = "a %s was restored instead of a %s" % (_NAMES.get(restored.kind, "?"), _NAMES[listed.kind])
            self.result.add(CONTENT, listed.path, detail)
            return False
        if listed.size != restored.size:
            self.result.add(CONTENT, listed.path, "%d bytes instead of %d" % (restored.size, listed.size))
            return False
        differs = []
        if listed.mode is not None and listed.mode != restored.mode:
            differs.append("mode %04o instead of %04o" % (restored.mode or 0, listed.mode))
        if self.abilities.owner and (listed.uid, listed.gid) != (restored.uid, restored.gid):
            differs.append("owner %d:%d instead of %d:%d" % (restored.uid, restored.gid, listed.uid, listed.gid))
        if abs(listed.mtime - restored.mtime) > self.abilities.granularity:
            differs.append("changed at %.6f instead of %.6f" % (restored.mtime / 1e6, listed.mtime / 1e6))
        if differs:
            self.result.add(METADATA, listed.path, "; ".join(differs))
        return True

    def _missing(self, path: bytes, data: bytes) -> None:
        if data[len(path) + 1 : len(path) + 2] == b"s":
            self.result.sockets += 1
            return
        if not self._keep(self._odd_listed, path, data):
            self.result.add(MISSING, unescaped(path))

    def _unexpected(self, seen: Seen) -> None:
        self._sha256.update(seen.line)
        if not self._keep(self._odd_seen, seen.path, seen.line):
            self.result.add(UNEXPECTED, unescaped(seen.path))
        elif seen.kind == b"l":
            self.result.links_open += 1

    def _keep(self, kept: dict[bytes, list[bytes]], path: bytes, data: bytes) -> bool:
        """Keep a name back whose place in the order is not known."""
        if self._odd >= MOST_ODD or REPLACED not in unescaped(path):
            return False
        self._odd += 1
        kept.setdefault(path, []).append(data)
        return True

    def _settle(self) -> None:
        """Lay together the names whose place in the order was not known."""
        for path, listed in self._odd_listed.items():
            seen = self._odd_seen.pop(path, [])
            for data in [data for data in listed if data in seen]:
                listed.remove(data)
                seen.remove(data)
            for data, other in zip(listed, seen):
                self._judge(parsed(data), parsed(other))
            for _data in listed[len(seen) :]:
                self.result.add(MISSING, unescaped(path))
            for _data in seen[len(listed) :]:
                self.result.add(UNEXPECTED, unescaped(path))
        for path, seen in self._odd_seen.items():
            for _data in seen:
                self.result.add(UNEXPECTED, unescaped(path))


class Links:
    """The targets of the restored symbolic links, laid beside those that the snapshot tells (``Restic.ls_links``).

    ``walked`` is the restored tree; both come in one order. What cannot be told apart (a name or a target with a line
    feed in it, a name that restic shows in other bytes) stays open, and counts as ``Verified.links_open``.
    """

    def __init__(self, result: Verified, walked: Iterator[Seen]) -> None:
        self.result = result
        self._walked = (seen for seen in walked if seen.kind == b"l")
        self._seen = next(self._walked, None)
        result.links_open = 0

    def take(self, told: bytes) -> None:
        """One line of what the snapshot says: ``PATH -> TARGET``."""
        while self._seen is not None:
            begins = self._seen.raw + b" -> "
            if told.startswith(begins):
                self._compare(self._seen, told[len(begins) :])
                self._seen = next(self._walked, None)
                return
            if order(told) < order(begins):
                return  # one that was not restored
            self._leave_open()

    def end(self) -> None:
        """All was told."""
        while self._seen is not None:
            self._leave_open()

    def _leave_open(self) -> None:
        self.result.links_open += 1
        self._seen = next(self._walked, None)

    def _compare(self, seen: Seen, target: bytes) -> None:
        try:
            found = os.fsencode(os.readlink(seen.name, dir_fd=seen.folder))
        except OSError as error:
            self.result.add(UNREADABLE, unescaped(seen.path), error.strerror or "")
            return
        if found == target:
            self.result.links_proven += 1
        elif b"\n" in found and found.startswith(target):
            self.result.links_open += 1  # the rest of it is on the next line
        else:
            leads, meant = (name.decode("utf-8", "replace") for name in (found, target))
            detail = "it leads to %s instead of %s" % (leads, meant)
            self.result.add(CONTENT, unescaped(seen.path), detail)


def facts(result: Verified, source: Source | None) -> dict[str, Any]:
    """What was compared, for the result and the proof."""
    made: dict[str, Any] = {
        "files": result.files,
        "folders": result.folders,
        "others": result.others,
        "bytes": result.bytes,
        "sockets_left_out": result.sockets,
        "links_by_snapshot": result.links_proven,
        "manifest_sha256": result.digest,
        "differences": {what: found.count for what, found in sorted(result.found.items())},
    }
    if source is not None:
        made["source"] = {
            "compared": source.compared,
            "compared_bytes": source.compared_bytes,
            "turn": source.turn + 1,
            "turns": source.turns,
            "metadata_only": source.metadata_only,
            "changed_since": result.count(SOURCE_CHANGED),
            "gone_since": result.count(SOURCE_GONE),
            "not_readable": result.count(SOURCE_UNREAD),
            "with_attributes": source.attributes,
            "with_acl": source.acls,
            "with_capabilities": source.capabilities,
            "hard_links": source.links,
            "sparse": source.sparse,
            "sparse_bytes_more": source.sparse_bytes,
        }
    return made
