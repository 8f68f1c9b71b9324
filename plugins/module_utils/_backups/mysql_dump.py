# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of a dump of mysqldump or mariadb-dump while it passes: its sections by line, and its end. Pure."""

from __future__ import annotations

import bisect
import re
from typing import TYPE_CHECKING, NamedTuple

from . import dumps

if TYPE_CHECKING:
    from collections.abc import Sequence

SECTIONS = 50_000
"""Sections that are remembered; a dump has two or three for each table."""

# The comments that mysqldump writes before what they speak of (client/mysqldump.c, print_comment).
_SECTION = re.compile(
    rb"-- (Table structure for table|Dumping data for table|Temporary table structure for view|"
    rb"Temporary view structure for view|Final view structure for view|Sequence structure for|Current Database:|"
    rb"Dumping routines for database|Dumping events for database) ([^\r\n]{1,300})"
)
_WORDS = {
    b"Table structure for table": "table",
    b"Dumping data for table": "rows of",
    b"Current Database:": "database",
    b"Dumping routines for database": "routines of",
    b"Dumping events for database": "events of",
    b"Sequence structure for": "sequence",
}
_HEADER = re.compile(rb"-- (?:MySQL|MariaDB) dump ")
_TRAILER = re.compile(rb"-- Dump completed")
# What a dump without comments begins and ends with all the same (not with --compact).
_SAVED = b"@OLD_SQL_NOTES=@@SQL_NOTES"
_GIVEN_BACK = b"SQL_NOTES=@OLD_SQL_NOTES"


class Passed(NamedTuple):
    """What a dump was seen to be once all of it passed."""

    lines: int
    headers: int
    """Dumps that it consists of: each begins with a header."""
    trailers: int
    """Of these, the ones that were completed."""
    complete: bool | None
    """Whether it goes on to its end; None where nothing tells (SQL without header and settings: --compact)."""
    last: str
    """Its last line."""


class Watch:
    """Looks at a dump block by block; memory does not grow with it. :meth:`take` gives each block back as it is."""

    def __init__(self) -> None:
        self.headers = 0
        self.trailers = 0
        self.saved = False
        self._lines = 0
        self._rest = b"\n"
        """The line that is not at its end yet, cut, with the line feed before it."""
        self._starts: list[int] = []
        self._names: list[str] = []

    def take(self, block: bytes) -> bytes:
        """Look at the next block; nothing when it was the last one."""
        data = self._rest + block
        at = counted = 0
        limit = len(data) if not block else max(0, data.rfind(b"\n", 1))
        while True:
            at = data.find(b"\n-- ", at)
            # A line that is not whole yet is looked at with the next block, unless it is long past any comment.
            if at < 0 or (at >= limit and len(data) - at < 400):
                break
            self._lines += data.count(b"\n", counted, at)
            counted = at
            self._comment(data, at + 1)
            at += 3
        if not self.saved and self._lines < 200:
            self.saved = _SAVED in data
        # What has been counted: all line feeds before the one that the rest begins with.
        cut = data.rfind(b"\n")
        self._lines += data.count(b"\n", counted, cut) if cut > counted else 0
        rest = data[max(cut, 0) :]
        # A line without an end is data: its first bytes have told that it is no comment.
        self._rest = rest if len(rest) < 400 else b"\n!"
        return block

    def _comment(self, data: bytes, at: int) -> None:
        found = _SECTION.match(data, at)
        if found:
            if len(self._starts) < SECTIONS:
                self._starts.append(self._lines + 1)
                self._names.append("%s %s" % (_WORDS.get(found[1], "view"), found[2].decode("utf-8", "replace")))
        elif _HEADER.match(data, at):
            self.headers += 1
        elif _TRAILER.match(data, at):
            self.trailers += 1

    def section(self, line: int) -> str:
        """What the dump deals with at a line: ``rows of `orders```; empty before the first section."""
        place = bisect.bisect_right(self._starts, line) - 1
        return self._names[place] if place >= 0 and line else ""

    def passed(self, tail: bytes) -> Passed:
        """What all of it was; ``tail``: its last bytes, as dumps.ending wants them."""
        last = tail.rstrip().rsplit(b"\n", 1)[-1][-500:].decode("utf-8", "replace")
        complete: bool | None = None
        if self.headers:
            told = dumps.ending(dumps.Dump("mysql", "plain"), tail).complete
            # Several dumps in one file, of which one in the middle is cut, are as incomplete as a cut one.
            complete = bool(told) and self.trailers >= self.headers
        elif self.saved:
            complete = _GIVEN_BACK in tail
        return Passed(self._lines, self.headers, self.trailers, complete, last)


def databases(head: bytes) -> bool:
    """Whether a dump chooses its databases itself (``USE``), as one of --databases or --all-databases does."""
    return re.search(rb"(?im)^(?:USE `|CREATE DATABASE )", head) is not None


def suits(wanted: str, offered: str) -> str:
    """How a server's major version suits a dump's: ``same``, ``newer``, ``older``, or ``unknown``."""
    if not wanted or not offered:
        return "unknown"
    ours, theirs = _numbers(offered), _numbers(wanted)
    return "same" if ours == theirs else "newer" if ours > theirs else "older"


def choose(engine: str, wanted: str, offered: Sequence[tuple[str, str]], others: str) -> tuple[int | None, str]:
    """Which of the servers on a host to take for a dump, and how it suits (:func:`suits`).

    ``engine`` and ``wanted`` are the dump's (empty where it does not tell), ``offered`` engine and major version of
    each server, ``others``: ``refuse``, ``newer`` or ``any`` version that is not the dump's. Nothing tells: the newest.
    """
    ranked = []
    for place, (kind, major) in enumerate(offered):
        how = suits(wanted, major)
        if engine and kind != engine:
            how = "other"
        order = ("same", "unknown", "newer", "older", "other").index(how)
        ranked.append((order, _numbers(major) if how == "newer" else tuple(-n for n in _numbers(major)), place, how))
    ranked.sort()
    if not ranked:
        return None, ""
    _order, _version, place, how = ranked[0]
    fits = how in ("same", "unknown") or others == "any" or (others == "newer" and how == "newer")
    return (place if fits else None), how


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
