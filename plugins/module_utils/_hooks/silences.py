# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Silences, as the servers have them and as they shall be: what is to be done. Pure."""

from __future__ import annotations

import calendar
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .silence_options import identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


class Silence(NamedTuple):
    """One silence of a server. Times are epochs in seconds."""

    id: str
    active: bool
    """False when its time is still to come."""
    matchers: frozenset[tuple[str, str, bool, bool]]
    starts: float
    ends: float
    starts_text: str
    """As the server said it, for it takes a silence with another beginning for another silence."""
    comment: str


class Steps(NamedTuple):
    """What is to be done, in this order: make or move first, so that there is never a gap; then end."""

    kept: Silence | None
    """The one that stays, as it is or with another end."""
    ends: float
    """When the one that stays or is made shall end; of no meaning when none shall be."""
    make: bool
    move: bool
    end: Sequence[Silence]

    @property
    def changes(self) -> bool:
        return self.make or self.move or bool(self.end)


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


def steps_to_present(found: Iterable[Silence], options: Mapping[str, Any], now: float) -> Steps:
    """What is to be done so that exactly one silence of the key is active, for these matchers, for long enough.

    An end is never brought forward: who lengthened a silence by hand had a reason.
    """
    found = list(found)
    wanted = frozenset(identity(matcher) for matcher in options["matchers"])
    asked = options["ends"] if options["ends"] is not None else now + options["minutes"] * 60
    fits = [one for one in found if one.active and one.matchers == wanted]
    kept = max(fits, key=lambda one: (one.ends, one.id)) if fits else None
    rest = [one for one in found if one is not kept]
    if kept is None:
        return Steps(None, asked, make=True, move=False, end=rest)
    # With minutes, the end that is asked for moves on with every run; half of it is soon enough to be moved again.
    enough = asked - 1 if options["ends"] is not None else now + options["minutes"] * 30
    move = options["extend"] and kept.ends < enough
    return Steps(kept, asked if move else kept.ends, make=False, move=move, end=rest)


def steps_to_absent(found: Iterable[Silence]) -> Steps:
    """What is to be done so that no silence of the key is left."""
    return Steps(None, 0.0, make=False, move=False, end=list(found))


def shown(key: str, silences: Iterable[tuple[Iterable[tuple[str, str, bool, bool]], float]]) -> str:
    """Silences (matchers, end) as a person reads them in a diff."""
    lines = ["silence %s until %s: %s" % (key, rfc3339(ends), matchers_text(matchers)) for matchers, ends in silences]
    return "".join(line + "\n" for line in sorted(lines))


def matchers_text(matchers: Iterable[tuple[str, str, bool, bool]]) -> str:
    """Matchers as Alertmanager writes them."""
    words = [
        "%s%s%s" % (name, ("=~" if equal else "!~") if regex else "=" if equal else "!=", _quoted(value))
        for name, value, regex, equal in sorted(matchers)
    ]
    return "{%s}" % ", ".join(words)


def _quoted(value: str) -> str:
    return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"')
