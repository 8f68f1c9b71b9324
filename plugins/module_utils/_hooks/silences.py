# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Silences, as the servers have them and as they shall be: what is to be done. Pure."""

from __future__ import annotations

import calendar
import re
import time
from typing import TYPE_CHECKING, Any, FrozenSet, NamedTuple, Tuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


Scope = FrozenSet[Tuple[Any, ...]]
"""What a silence covers, as each kind has it, so that it can be compared: two that cover the same are equal."""


class Silence(NamedTuple):
    """One silence of a server. Times are epochs in seconds."""

    id: str
    active: bool
    """False when its time is still to come, or is over."""
    scope: Scope
    starts: float
    ends: float
    starts_text: str
    """As the server said it, where it takes a silence with another beginning for another silence."""
    comment: str


class Steps(NamedTuple):
    """What is to be done, in this order: make or change first, so that there is never a gap; then end."""

    kept: Silence | None
    """The one that stays, as it is or changed."""
    scope: Scope
    """What the one that stays or is made shall cover."""
    ends: float
    """When it shall end; of no meaning when none shall be."""
    make: bool
    change: bool
    end: Sequence[Silence]

    @property
    def changes(self) -> bool:
        return self.make or self.change or bool(self.end)


def epoch(text: str) -> float:
    """The epoch, in seconds, of a time as RFC 3339 has it. Raises ValueError."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("a time was expected, such as 2026-11-22T21:12:00.000Z")
    zone = found[8]
    shift = 0
    if zone not in "Zz":
        shift = (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60) * (1 if zone[0] == "+" else -1)
    whole = calendar.timegm((*(int(found[n]) for n in range(1, 7)), 0, 0, 0))
    return whole + float(found[7] or 0) - shift


def rfc3339(moment: float) -> str:
    """An epoch as RFC 3339 has it, in UTC and in milliseconds."""
    milliseconds = round(moment * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + ".%03dZ" % (milliseconds % 1000)


def steps_to_present(
    found: Iterable[Silence], wanted: Scope, options: Mapping[str, Any], now: float, in_place: bool = False
) -> Steps:
    """What is to be done so that exactly one silence of the key is active, covers what is wanted, for long enough.

    An end is never brought forward: who lengthened a silence by hand had a reason. ``in_place``: one that covers
    something else, or whose time is over, becomes the one that is wanted, rather than giving way to a new one.
    """
    found = list(found)
    asked = options["ends"] if options["ends"] is not None else now + options["minutes"] * 60
    fits = [one for one in found if one.active and (one.scope == wanted or in_place)] or (found if in_place else [])
    if not fits:
        return Steps(None, wanted, asked, make=True, change=False, end=found)
    kept = max(fits, key=lambda one: (one.scope == wanted, one.ends, one.id))
    rest = [one for one in found if one is not kept]
    # With minutes, the end that is asked for moves on with every run; half of it is soon enough to be moved again.
    enough = asked - 1 if options["ends"] is not None else now + options["minutes"] * 30
    move = not kept.active or (options["extend"] and kept.ends < enough)
    change = move or kept.scope != wanted
    return Steps(kept, wanted, asked if move else kept.ends, make=False, change=change, end=rest)


def steps_to_absent(found: Iterable[Silence]) -> Steps:
    """What is to be done so that no silence of the key is left."""
    return Steps(None, frozenset(), 0.0, make=False, change=False, end=list(found))


def shown(key: str, silences: Iterable[tuple[str, float]]) -> str:
    """Silences (what they cover, end) as a person reads them in a diff."""
    lines = ["silence %s until %s: %s" % (key, rfc3339(ends), covers) for covers, ends in silences]
    return "".join(line + "\n" for line in sorted(lines))
