# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of a repository's data is to be read next, so that all of it is read within some weeks. Pure.

restic's ``--read-data-subset=n/t`` reads the packs whose digest's first byte, modulo t, is n - 1. So what was read is
noted for each of the 256 first bytes: it stays true when t changes because the repository has grown. A random part of
5 % a week leaves 7 % unread after a year; a part by turns leaves none.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DIGEST = re.compile(r"[0-9a-f]{64}")
WEEK = 7 * 86400.0
BYTES = 256
PACKS_A_GROUP = 8
"""Packs that a group holds at least on average: with fewer, groups are empty, and say that all is well."""
FORMAT = 1
REPOSITORIES_KEPT = 200
INDEXES_KEPT = 5000
BAD_KEPT = 200
GRACE = 1.5 * WEEK
"""How late a part may be before that is told: a run that was missed, and its next."""


class State(NamedTuple):
    """What is known of one repository: seconds since the epoch, by first byte; 0.0 for never."""

    read: tuple[float, ...] = (0.0,) * BYTES
    since: float = 0.0
    """When it was first seen."""
    last: float = 0.0
    """When a part was last read, or was found not to be due."""
    credit: float = 0.0
    """Groups, and parts of them, that are owed."""
    indexes: tuple[str, ...] = ()
    """The index files of the last run: packs that only others name are newer."""
    bad: tuple[str, ...] = ()
    """Packs that were found damaged: their turn to be read comes each time, until they are sound or gone."""


class Plan(NamedTuple):
    """What to read now."""

    total: int
    """t: how many groups there are."""
    groups: tuple[int, ...]
    """n of each group that is due, from 1."""
    credit: float
    packs: int
    """How many packs these groups hold."""


class Coverage(NamedTuple):
    """How much of a repository was read within the period: packs, by the parts that they belong to."""

    packs: int
    read: int
    oldest: float
    """When the part that waits longest was read; 0.0 for never, or for none."""
    behind: int
    """Packs that wait for longer than the period and its grace."""


def by_byte(packs: Sequence[str]) -> tuple[int, ...]:
    """How many packs there are of each first byte."""
    counts = [0] * BYTES
    for pack in packs:
        counts[int(pack[:2], 16)] += 1
    return tuple(counts)


def group_of(pack: str, total: int) -> int:
    """The group (n of n/t) that holds a pack."""
    return int(pack[:2], 16) % total + 1


def plan(state: State, packs: Sequence[str], weeks: int, now: float) -> Plan:
    """The groups that are due now, so that each is read once in ``weeks`` weeks, however often this is asked.

    A run that comes a little early (a quarter of a group's share) still reads its group; runs that were missed are
    caught up with.
    """
    period = weeks * WEEK
    total = max(1, min(weeks, len(packs) // PACKS_A_GROUP, BYTES))
    # The first run, or a clock that was set back: as if the last one had been a week ago.
    elapsed = now - state.last if 0.0 < state.last <= now else WEEK
    credit = min(state.credit + total * elapsed / period, float(total))
    if not state.last:
        credit = max(1.0, credit)
    due = max(0, min(total, math.floor(credit + 0.25)))
    counts = by_byte(packs)
    groups = sorted(range(1, total + 1), key=lambda group: (_age(state, counts, group, total), group))[:due]
    held = sum(counts[byte] for byte in range(BYTES) if byte % total + 1 in groups)
    return Plan(total, tuple(groups), credit - due, held)


def _age(state: State, counts: Sequence[int], group: int, total: int) -> float:
    """When a group's longest unread part was read; one without any pack comes last."""
    times = [state.read[byte] for byte in range(group - 1, BYTES, total) if counts[byte]]
    return min(times) if times else math.inf


def mark(state: State, groups: Sequence[int], total: int, now: float) -> State:
    """The state after these groups were read."""
    read = tuple(now if byte % total + 1 in groups else time for byte, time in enumerate(state.read))
    return state._replace(read=read)


def coverage(state: State, packs: Sequence[str], weeks: int, now: float) -> Coverage:
    """What was read within the period, and what waits for too long."""
    period = weeks * WEEK
    counts = by_byte(packs)
    fresh = sum(count for byte, count in enumerate(counts) if now - state.read[byte] <= period)
    # What was never read waits since the repository is known.
    late = sum(
        count
        for byte, count in enumerate(counts)
        if state.since and now - (state.read[byte] or state.since) > period + GRACE
    )
    times = [state.read[byte] for byte in range(BYTES) if counts[byte]]
    return Coverage(len(packs), fresh, min(times) if times else 0.0, late)


# -- the state file ------------------------------------------------------------------------------------------------


def load(text: str | None) -> tuple[dict[str, State], str]:
    """The states in a file, by repository id; and what is wrong with the file, empty when nothing is.

    A file that is damaged or somebody else's is as none: the rotation begins anew, and reads something twice.
    """
    if text is None:
        return {}, ""
    try:
        made = json.loads(text)
    except (ValueError, RecursionError):
        return {}, "it is not JSON"
    entries = made.get("repositories") if isinstance(made, dict) and made.get("format") == FORMAT else None
    if not isinstance(entries, dict):
        return {}, "it is not a state of restic_check in format %d" % FORMAT
    states: dict[str, State] = {}
    strange = 0
    for identity, entry in entries.items():
        state = _state(entry)
        if state is None:
            strange += 1
        else:
            states[identity] = state
    return states, "%d of its entries are not understood" % strange if strange else ""


def _state(entry: Any) -> State | None:
    if not isinstance(entry, dict):
        return None
    read = entry.get("read")
    numbers = [entry.get(key) for key in ("since", "last", "credit")]
    if not isinstance(read, list) or len(read) != BYTES or not all(_number(one) for one in (*read, *numbers)):
        return None
    indexes: Any = entry.get("indexes")
    bad: Any = entry.get("bad", [])
    if not _texts(indexes) or not _texts(bad) or not all(_DIGEST.fullmatch(one) for one in bad):
        return None
    since, last, credit = (float(entry[key]) for key in ("since", "last", "credit"))
    return State(tuple(map(float, read)), since, last, credit, tuple(indexes), tuple(bad))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def dump(states: Mapping[str, State]) -> str:
    """The text of the state file: the repositories that were looked at last, within bounds."""
    kept = sorted(states, key=lambda identity: -states[identity].last)[:REPOSITORIES_KEPT]
    entries = {
        identity: {
            "read": [round(time) for time in states[identity].read],
            "since": round(states[identity].since),
            "last": round(states[identity].last),
            "credit": round(states[identity].credit, 3),
            "indexes": list(states[identity].indexes[:INDEXES_KEPT]),
            "bad": list(states[identity].bad[:BAD_KEPT]),
        }
        for identity in kept
    }
    return json.dumps({"format": FORMAT, "repositories": entries}, sort_keys=True) + "\n"
