# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of a snapshot is restored on trial, so that over a number of runs everything is. Pure.

The tree is cut into *units*: the largest folders that are small enough, and the single files of those that are not.
A unit belongs to the turn that its path's digest says, so what belongs to a turn does not depend on what is added or
removed elsewhere. Each run takes one turn of a round, and beside it the newest files, the largest, some at random
(their seed stands in the result), and the paths that matter. Memory does not grow with the number of names.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .listing import Listed

UNIT_SHARE = 16
"""A folder is a unit when it holds at most this part (one sixteenth) of what a run may restore."""
TURN_SHARE = 0.6
"""What the turn's units take of a run on the average; the rest is for their spread, and for what is taken beside."""
NEWEST, LARGEST, RANDOM = 3, 1, 3
"""How many files are taken beside the turn's units."""
MOST_PATTERNS = 400
"""restic compares each name with each pattern: 0.4 microseconds each (0.14 and 0.19, 20,000 names, 2,000 patterns)."""
_COMPARISONS = 4_000_000
"""So this many cost 2 s at the most."""


class Unit(NamedTuple):
    """What is restored as a whole: a folder with all in it, or one name. ``files`` are regular files, ``names`` all."""

    path: str
    names: int
    files: int
    bytes: int


class Turn(NamedTuple):
    """Which turn of how many it is; ``round`` counts the rounds that were begun."""

    number: int
    of: int
    round: int


class Sample(NamedTuple):
    """What a run restores, and why."""

    units: tuple[Unit, ...]
    whole: bool
    """Everything is restored, because it is not more than a sample may be."""
    turn: Turn
    seed: int
    why: dict[str, list[str]]
    """``turn``, ``newest``, ``largest``, ``random``, ``important`` -> the paths, at most MOST_PATTERNS each."""
    left_out: int
    """Units of this turn that did not fit: they are not seen in this round."""
    too_large: int
    """Files that are larger than a sample may be: only a full test sees them."""
    absent: tuple[str, ...]
    """Paths that matter, and the snapshot lacks."""

    @property
    def files(self) -> int:
        return sum(unit.files for unit in self.units)

    @property
    def names(self) -> int:
        return sum(unit.names for unit in self.units)

    @property
    def bytes(self) -> int:
        return sum(unit.bytes for unit in self.units)


class Bounds(NamedTuple):
    """How much one run may restore, and the snapshot that it is chosen from."""

    bytes: int
    files: int
    total_bytes: int
    total_names: int

    @property
    def unit_bytes(self) -> int:
        return max(1, self.bytes // UNIT_SHARE)

    @property
    def unit_files(self) -> int:
        return max(1, self.files // UNIT_SHARE)

    @property
    def patterns(self) -> int:
        """How many patterns restic may be given without taking longer over them than over restoring."""
        return max(20, min(MOST_PATTERNS, _COMPARISONS // max(1, self.total_names)))


def units(listed: Iterable[Listed], most_bytes: int, most_files: int) -> Iterator[Unit]:
    """Cut a tree, as it is listed, into units. One unit ``/`` when all of it is small enough."""
    stack = [_Folder("/")]
    for entry in listed:
        folder = entry.path.rpartition("/")[0] + "/"
        while stack[-1].path != folder:
            yield from _close(stack, most_bytes, most_files)
        if entry.kind == "d":
            stack.append(_Folder(entry.path + "/"))
        else:
            is_file = entry.kind == "f"
            unit = Unit(entry.path, 1, int(is_file), entry.size if is_file else 0)
            yield from _add(stack, unit, most_bytes, most_files)
    while len(stack) > 1:
        yield from _close(stack, most_bytes, most_files)
    if not stack[0].large:
        yield Unit("/", stack[0].names, stack[0].files, stack[0].bytes)


class _Folder:
    def __init__(self, path: str) -> None:
        self.path = path
        self.large = False
        self.names = 1
        self.files = 0
        self.bytes = 0
        self.inside: list[Unit] = []


def _add(stack: list[_Folder], unit: Unit, most_bytes: int, most_files: int) -> Iterator[Unit]:
    folder = stack[-1]
    if folder.large:
        yield unit
        return
    folder.inside.append(unit)
    folder.names += unit.names
    folder.files += unit.files
    folder.bytes += unit.bytes
    # Names count as files do: a folder may hold a million symbolic links.
    if folder.bytes > most_bytes or folder.names > most_files:
        for large in stack:  # a folder is no smaller than what is in it
            if not large.large:
                large.large = True
                yield from large.inside
                large.inside = []


def _close(stack: list[_Folder], most_bytes: int, most_files: int) -> Iterator[Unit]:
    folder = stack.pop()
    if not folder.large:
        unit = Unit(folder.path.rstrip("/"), folder.names, folder.files, folder.bytes)
        yield from _add(stack, unit, most_bytes, most_files)


class Extremes:
    """The newest and the largest files of a listing, and some at random, taken while it passes by."""

    def __init__(self, seed: int, most_bytes: int) -> None:
        self.seed = seed
        self.most_bytes = most_bytes
        self.too_large = 0
        self._newest: list[tuple[float, str, int]] = []
        self._largest: list[tuple[int, str]] = []
        self._random: list[Unit] = []
        self._seen = 0
        self._dice = random.Random(seed)

    def add_file(self, path: str, size: int, mtime: float) -> None:
        """Look at one regular file; ``mtime`` in any unit."""
        if size > self.most_bytes:
            self.too_large += 1
        if size > self.most_bytes // 4:
            return  # its turn will come; beside a turn there is no room for it
        newest = (mtime, path, size)
        if len(self._newest) < NEWEST:
            heapq.heappush(self._newest, newest)
        elif newest > self._newest[0]:
            heapq.heapreplace(self._newest, newest)
        largest = (size, path)
        if len(self._largest) < LARGEST:
            heapq.heappush(self._largest, largest)
        elif largest > self._largest[0]:
            heapq.heapreplace(self._largest, largest)
        # Reservoir sampling (Vitter's algorithm R): each file is as likely as any other.
        self._seen += 1
        if len(self._random) < RANDOM:
            self._random.append(_file(path, size))
        else:
            place = int(self._dice.random() * self._seen)
            if place < RANDOM:
                self._random[place] = _file(path, size)

    def newest(self) -> list[Unit]:
        return [_file(path, size) for _mtime, path, size in sorted(self._newest, reverse=True)]

    def largest(self) -> list[Unit]:
        return [_file(path, size) for size, path in sorted(self._largest, reverse=True)]

    def at_random(self) -> list[Unit]:
        return list(self._random)


def _file(path: str, size: int) -> Unit:
    return Unit(path, 1, 1, size)


def next_turn(state: Mapping[str, Any], bounds: Bounds, count_units: int) -> Turn:
    """The turn that follows in the round; a new round when the last one is over, or its turns have grown too large.

    ``state`` is what :func:`after` gave, or anything else for the first time.
    """
    needed = turns(bounds, count_units)
    of, number, round_ = (_whole(state.get(key)) for key in ("of", "number", "round"))
    if of < 1 or number + 1 >= of or needed > 2 * of:
        return Turn(0, needed, round_ + 1)
    return Turn(number + 1, of, round_)


def after(turn: Turn) -> dict[str, int]:
    """What is kept of a turn that was taken."""
    return turn._asdict()


def _whole(value: Any) -> int:
    return (
        value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else -1 if value is None else 0
    )


def turns(bounds: Bounds, count_units: int) -> int:
    """How many turns a round has, so that each is within the bounds."""
    shares = (
        bounds.total_bytes / max(1, bounds.bytes),
        bounds.total_names / max(1, bounds.files),
        count_units / bounds.patterns,
    )
    return max(1, int(max(shares) / TURN_SHARE + 0.999))


def turn_of(path: str, of: int) -> int:
    """The turn that a path belongs to, of ``of``."""
    return int.from_bytes(hashlib.sha256(path.encode("utf-8", "replace")).digest()[:8], "big") % of


def choose(
    listed: Iterable[Listed],
    bounds: Bounds,
    turn: Turn,
    extremes: Extremes,
    important: Sequence[str],
) -> Sample:
    """What this run restores. The paths that matter come whatever they weigh; the room is somebody else's question."""
    wanted = {_clean(path): [0, 0, 0] for path in important}
    of_turn: list[Unit] = []
    left_out = 0
    taken_bytes = taken_files = 0
    whole = False
    for unit in units(_watched(listed, wanted), bounds.unit_bytes, bounds.unit_files):
        if unit.path == "/":
            whole = True
            of_turn.append(unit)
            break
        if turn_of(unit.path, turn.of) != turn.number or unit.bytes > bounds.bytes:
            continue
        if (
            taken_bytes + unit.bytes > bounds.bytes
            or taken_files + unit.names > bounds.files
            or len(of_turn) >= bounds.patterns
        ):
            left_out += 1
            continue
        taken_bytes += unit.bytes
        taken_files += unit.names
        of_turn.append(unit)
    matter = [Unit(path, names, files, size) for path, (names, files, size) in wanted.items() if names]
    taken = _Taken()
    left = [bounds.bytes - taken_bytes]
    why = {
        "important": taken.take(matter),
        "turn": taken.take(of_turn),
        "newest": taken.take(extremes.newest(), left),
        "largest": taken.take(extremes.largest(), left),
        "random": taken.take(extremes.at_random(), left),
    }
    absent = tuple(path for path, (names, _files, _size) in wanted.items() if not names)
    return Sample(taken.all(), whole, turn, extremes.seed, why, left_out, extremes.too_large, absent)


def _watched(listed: Iterable[Listed], wanted: dict[str, list[int]]) -> Iterator[Listed]:
    """Pass the names on, and sum up those that lie in the paths that matter."""
    for entry in listed:
        for path, sums in wanted.items():
            if entry.path == path or entry.path.startswith(path + "/") or path == "":
                sums[0] += 1
                if entry.kind == "f":
                    sums[1] += 1
                    sums[2] += entry.size
        yield entry


def _clean(path: str) -> str:
    return "/" + re.sub("/+", "/", path).strip("/") if path.strip("/") else ""


class _Taken:
    """Units without those that lie in others."""

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}

    def take(self, more: Iterable[Unit], left: list[int] | None = None) -> list[str]:
        """The paths of those that were taken, or were there already. ``left``: bytes for which there is room yet."""
        paths = []
        for unit in more:
            if not any(above in self.units for above in above_of(unit.path)):
                if left is not None:
                    if unit.bytes > left[0]:
                        continue
                    left[0] -= unit.bytes
                self.units[unit.path] = unit
            paths.append(unit.path)
        return paths[:MOST_PATTERNS]

    def all(self) -> tuple[Unit, ...]:
        # What was taken first may lie in what came later.
        return tuple(
            unit
            for path, unit in sorted(self.units.items())
            if not any(above in self.units for above in above_of(path) if above != path)
        )


def above_of(path: str) -> Iterator[str]:
    """The path itself, all folders above it, and the root in both its spellings."""
    while path.strip("/"):
        yield path
        path = path.rpartition("/")[0]
    yield "/"
    yield ""
