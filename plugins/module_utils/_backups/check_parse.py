# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``restic check`` prints, understood: as text (all versions) and as JSON (0.18 and later). Pure."""

from __future__ import annotations

import codecs
import json
import re
from typing import NamedTuple

KEPT = 200
"""Entries of each kind that are kept; a repository that is broken throughout names a million."""

_PACK = r"([0-9a-f]{64})"
_GONE = r"no such file or directory|does not exist|NoSuchKey|not found|404"
_LINES = [
    ("missing", re.compile(r"pack %s: does not exist" % _PACK)),
    ("cut", re.compile(r"pack %s: unexpected file size: (got \d+, expected \d+)" % _PACK)),
    ("unindexed", re.compile(r"pack %s: not referenced in any index" % _PACK)),
    ("damaged", re.compile(r"Pack ID does not match, want %s, (.*)" % _PACK)),
    ("damaged", re.compile(r"pack %s (contains \d+ errors: .*)" % _PACK)),
    ("damaged", re.compile(r"pack %s: (.*)" % _PACK)),
]
_TREE = re.compile(r"error for tree ([0-9a-f]{8,64}):")
_FILE = re.compile(r'tree ([0-9a-f]{64}): file "((?:[^"\\]|\\.)*)" blob ([0-9a-f]{64}) (.*)')
_LOST_TREE = re.compile(r"id ([0-9a-f]{64}) not found in repository")
_INDEX = re.compile(r"(?:error: )*(?:error loading index ([0-9a-f]{64})|load(?:Raw\()?\s*<index/([0-9a-f]{10}))", re.I)
_SNAPSHOT = re.compile(
    r"(?:error: )*(?:failed to load snapshot ([0-9a-f]{8,64})|load(?:Raw\()?\s*<snapshot/([0-9a-f]{10}))", re.I
)
_LOADING = re.compile(r"Load\(<data/([0-9a-f]{10})>.*(?:retrying after|failed)(.*)")
_BLOB = re.compile(r"blob ([0-9a-f]{64})")
_BEGIN = '{"object_type"'
_OBJECT = 65536
"""Characters that an object of find's answer may have; its path is the longest part."""
_TAIL = 200
"""Characters that the line may have that tells of a folder which cannot be read, and what begins an object."""
_LOST_FOLDER = re.compile(r"Unable to load tree ([0-9a-f]{8})")
_LOST_IN = re.compile(r"which belongs to snapshot ([0-9a-f]{8})")
_READ = re.compile(r"read (?:group #\d+ of )?(?:all data|\d+ data packs|\d+ bytes)")
_COUNT = re.compile(r"\[[\d:]+\]\s+(?:[\d.]+%\s+)?(\d+)(?: / (\d+))? packs")
# What is said to the reader, and is no fault.
_TALK = re.compile(
    r"using temporary cache|create exclusive lock|load indexes|check all packs|check snapshots, trees|read all data|"
    r"read group|read \d|no errors were found|\[[\d:]+\]|This is non-critical|\d+ additional files were found|"
    r"The repository (?:contains damaged|is damaged|index is damaged)|restic repair |Damaged pack files can be caused|"
    r"Fatal: |restic prune|prune`|checking for|check all|found \d+ old|repository [0-9a-f]+ opened|"
    r"\d+ deprecated|some of these|created new cache|unused blobs?|Non-critical errors? found|Non-critical",
    re.I,
)


class Damage(NamedTuple):
    """What a check found broken. ``packs``: digest -> (missing, cut, damaged or unreachable; what restic says)."""

    packs: dict[str, tuple[str, str]]
    blobs: tuple[str, ...]
    trees: tuple[str, ...]
    """Folders that cannot be read, by the beginning of their digests."""
    files: tuple[str, ...]
    """Names (without their folders) of files that lack a part of their content."""
    snapshots: tuple[str, ...]
    """Snapshots that cannot be read, by the beginning of their ids."""
    indexes: tuple[str, ...]
    unindexed: tuple[str, ...]
    """Packs that no index names: left by an interrupted backup, or their index is gone."""
    other: tuple[str, ...]
    """Errors that are none of these."""
    not_indexed: bool
    """Whether something that is needed is in no index: the index is lost, or what it named."""
    errors: int | None
    """How many errors restic itself counted (0.18 and later)."""
    suggests_index: bool

    @property
    def structure(self) -> bool:
        """Whether more is broken than the content of packs that are there."""
        gone = any(what in ("missing", "cut", "unreachable") for what, _detail in self.packs.values())
        return bool(gone or self.trees or self.files or self.snapshots or self.indexes or self.other)

    @property
    def data(self) -> bool:
        """Whether packs that are there do not hold what was written."""
        return any(what == "damaged" for what, _detail in self.packs.values())

    def common(self, other: Damage) -> Damage:
        """What both found; of a repository that others write to, only that is broken for sure."""
        return Damage(
            {pack: what for pack, what in self.packs.items() if pack in other.packs or what[0] == "damaged"},
            tuple(one for one in self.blobs if one in other.blobs),
            tuple(one for one in self.trees if one in other.trees),
            tuple(one for one in self.files if one in other.files),
            tuple(one for one in self.snapshots if one in other.snapshots),
            tuple(one for one in self.indexes if one in other.indexes),
            tuple(one for one in self.unindexed if one in other.unindexed),
            tuple(one for one in self.other if one in other.other),
            self.not_indexed and other.not_indexed,
            self.errors,
            self.suggests_index and other.suggests_index,
        )


NONE = Damage({}, (), (), (), (), (), (), (), False, None, False)


class Output:
    """Takes the lines of a check as they come, of both streams, and keeps what matters of them within bounds."""

    def __init__(self) -> None:
        self.packs: dict[str, tuple[str, str]] = {}
        self.short: dict[str, tuple[str, str]] = {}
        self.kept: dict[str, dict[str, None]] = {
            name: {} for name in ("blobs", "trees", "files", "snapshots", "indexes", "unindexed", "other")
        }
        self.errors: int | None = None
        self.not_indexed = False
        self.suggests_index = False
        self.reading = False
        """Whether it came to the data; known of text only."""
        self.packs_read: int | None = None
        self.said: dict[str, None] = {}

    def line(self, raw: bytes) -> None:
        """One line of standard output or error."""
        text = raw.decode("utf-8", "replace")
        if not text.startswith("{"):
            # The progress of a terminal is redrawn in place.
            for part in text.split("\r"):
                self._text(part)
            return
        try:
            made = json.loads(text)
        except (ValueError, RecursionError):
            made = None
        if not isinstance(made, dict):
            self._text(text)
        elif made.get("message_type") == "summary":
            self._summary(made)
        else:
            for part in str(made.get("message", "")).splitlines():
                self._text(part)

    def damage(self, packs: list[str] | None = None) -> Damage:
        """What was found; ``packs``, where they are known, give the packs that are told by their beginnings a name."""
        found = dict(self.packs)
        for beginning, what in self.short.items():
            if not any(pack.startswith(beginning) for pack in found):
                whole = [pack for pack in packs or () if pack.startswith(beginning)]
                found[whole[0] if len(whole) == 1 else beginning] = what
        kept = {name: tuple(entries) for name, entries in self.kept.items()}
        return Damage(
            packs=found, not_indexed=self.not_indexed, errors=self.errors, suggests_index=self.suggests_index, **kept
        )

    def _summary(self, made: dict[str, object]) -> None:
        errors = made.get("num_errors")
        self.errors = errors if isinstance(errors, int) else None
        self.suggests_index = bool(made.get("suggest_repair_index"))
        broken = made.get("broken_packs")
        for pack in broken if isinstance(broken, list) else []:
            if isinstance(pack, str) and re.fullmatch(_PACK, pack) and len(self.packs) < KEPT:
                self.packs.setdefault(pack, ("damaged", "named in restic's summary"))

    def _text(self, line: str) -> None:
        text = line.strip()
        if not text:
            return
        if _READ.match(text):
            self.reading = True
        count = _COUNT.match(text)
        if count and self.reading:
            self.packs_read = int(count.group(1))
        if self._pack(text) or self._structure(text):
            self._keep_line(text)
            return
        if not _TALK.match(text) and not text.startswith("Is there a repository"):
            self._keep("other", text[:300])
            self._keep_line(text)

    def _keep_line(self, text: str) -> None:
        if len(self.said) < KEPT:
            self.said[text[:500]] = None

    def _pack(self, text: str) -> bool:
        for what, pattern in _LINES:
            found = pattern.match(text)
            if not found:
                continue
            pack = found.group(1)
            detail = found.group(2) if pattern.groups > 1 else ""
            if what == "unindexed":
                self._keep("unindexed", pack)
            elif len(self.packs) < KEPT:
                # What is said first is nearest to the cause: a pack that was cut has a wrong content too.
                self.packs.setdefault(pack, (what, detail[:300]))
            for blob in _BLOB.findall(detail)[:KEPT]:
                self._keep("blobs", blob)
            return True
        loading = _LOADING.match(text)
        if loading:
            gone = re.search(_GONE, loading.group(2))
            cut = re.search(r"unexpected EOF|too short", loading.group(2))
            what = "missing" if gone else "cut" if cut else "unreachable"
            if len(self.short) < KEPT:
                self.short.setdefault(loading.group(1), (what, loading.group(2).strip(" :")[:300]))
        return bool(loading)

    def _structure(self, text: str) -> bool:
        self.not_indexed = self.not_indexed or text.endswith((" not found in repository", " not found in index"))
        tree = _TREE.match(text) or _LOST_TREE.match(text)
        if tree:
            self._keep("trees", tree.group(1)[:8])
            return True
        file = _FILE.match(text)
        if file:
            self._keep("files", file.group(2))
            self._keep("blobs", file.group(3))
            return True
        for name, pattern in (("indexes", _INDEX), ("snapshots", _SNAPSHOT)):
            found = pattern.search(text)
            if found:
                self._keep(name, (found.group(1) or found.group(2))[:8])
                return True
        # What follows a tree says why: the tree is told already.
        return bool(re.match(r"decrypting blob|ReadFull\(|download error|blob .* not found|tree .* load", text))

    def _keep(self, name: str, value: str) -> None:
        if len(self.kept[name]) < KEPT:
            self.kept[name][value] = None


class Touched(NamedTuple):
    """Where a pack's content is used."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    snapshots: tuple[str, ...]
    """By the beginning of their ids; all of them."""
    unreadable: tuple[str, ...]
    """Folders that cannot be read, by the beginning of their digests."""
    more: bool = False
    """Whether there are more files or folders than are named."""


class Uses:
    """Takes the answer to ``find --blob … --json`` as it comes: it names each file of each snapshot again.

    Where restic cannot read a folder, text stands between its objects.
    """

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self.folders: dict[str, None] = {}
        self.snapshots: dict[str, None] = {}
        self.unreadable: dict[str, None] = {}
        self.more = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._objects = json.JSONDecoder()
        self._text = ""

    def feed(self, data: bytes) -> None:
        """The next piece, of any length."""
        self._text += self._decoder.decode(data)
        self._take(_OBJECT)

    def end(self) -> Touched:
        """What was found, when all of it has come."""
        self._text += self._decoder.decode(b"", final=True)
        self._take(0)
        return Touched(tuple(self.files), tuple(self.folders), tuple(self.snapshots), tuple(self.unreadable), self.more)

    def _take(self, wait: int) -> None:
        """Take what is whole; of what is not, ``wait`` characters wait for the rest."""
        text, place = self._text, 0
        for pattern, kept in ((_LOST_FOLDER, self.unreadable), (_LOST_IN, self.snapshots)):
            for found in pattern.finditer(text):
                kept[found.group(1)] = None
        while True:
            start = text.find(_BEGIN, place)
            if start < 0:
                # The beginning of the next one may be all that has come of it.
                place = max(place, len(text) - min(wait, _TAIL))
                break
            try:
                made, place = self._objects.raw_decode(text, start)
            except (ValueError, RecursionError):
                place = start
                if len(text) - start < wait:
                    break
                place += 1
                continue
            self._one(made)
        self._text = text[place:]

    def _one(self, made: dict[str, object]) -> None:
        snapshot = str(made.get("snapshot", ""))[:8]
        if snapshot:
            self.snapshots[snapshot] = None
        kept, path = (self.folders if made.get("object_type") == "tree" else self.files), str(made.get("path", "?"))
        if path in kept:
            return
        if len(self.files) + len(self.folders) < KEPT:
            kept[path] = None
        else:
            self.more = True
