# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows: opened and closed by the wall clock. Pure.

A window that opens or closes at a time that a spring gap skips does so at the first instant after the gap; at one that
autumn brings twice, at its first coming. So a window never reaches beyond what its owner reads on the wall.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from .clock import DAYS, ByWallClock, instants, wall_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from zoneinfo import ZoneInfo

FORMS = '"22:00-06:00", "Sat,Sun 02:00-05:00", "Fri 22:00-Mon 04:00" or "2nd Sat 20:00-02:00"'
"""What a window may look like, for error messages."""

HORIZON = 400.0 * 86400
"""Seconds: how far ahead a window is looked for; one that opens once a year is found."""

FIRST_LOOK = 2 * 86400.0
"""Seconds that are looked through first."""

Span = tuple[float, float]
"""From, to (exclusive): seconds since the epoch."""

_WINDOW = re.compile(r"(?:(.+?) )?(\d{1,2}:\d{2}) ?- ?(?:([a-z]{3,9}) )?(\d{1,2}:\d{2})")


@dataclass(frozen=True)
class Window:
    """A recurring time in which a job may be at work."""

    opens: ByWallClock
    days: int
    """After how many days it closes (0 the same day, 1 over midnight)."""
    closes: time

    @classmethod
    def parse(cls, text: str) -> Window:
        """From its words. Raises ValueError that says what was expected."""
        from ..schedule import parse

        match = _WINDOW.fullmatch(" ".join(text.lower().split()))
        if not match:
            raise ValueError(f"a window, as {FORMS}, not {text!r}")
        days, start, closing_day, end = match.groups()
        opens = parse(f"{days or 'daily'} {start}")
        if not isinstance(opens, ByWallClock):
            raise ValueError(f"a window on days of the calendar, as {FORMS}, not {text!r}")
        midnight = end == "24:00"
        closes = time(0) if midnight else wall_time(end)
        over = closes <= wall_time(start)
        if closing_day is None:
            return cls(opens, int(over), closes)
        if days is None or days[:3] not in DAYS or not days.isalpha() or closing_day[:3] not in DAYS:
            raise ValueError(f'a day of the week on both sides, as "Fri 22:00-Mon 04:00", not {text!r}')
        between = (DAYS.index(closing_day[:3]) - DAYS.index(days[:3])) % 7 + midnight
        return cls(opens, between or 7 * over, closes)

    def spans(self, start: float, end: float, zone: ZoneInfo) -> Iterator[Span]:
        """Its openings that reach into a time, in order; whole ones, also where they reach beyond it."""
        first = datetime.fromtimestamp(start, zone).date() - timedelta(days=self.days + 1)
        last = datetime.fromtimestamp(end, zone).date()
        for wall in self.opens.local(first, last):
            opened = instants(wall, zone)[0].timestamp()
            closing = datetime.combine(wall.date() + timedelta(days=self.days), self.closes)
            closed = instants(closing, zone)[0].timestamp()
            if opened < closed and closed > start and opened < end:
                yield opened, closed

    def longest(self) -> float:
        """Seconds between opening and closing on a day whose clocks are not changed."""
        opened = next(iter(self.opens.local(date(2026, 1, 1), date(2038, 1, 1))), None)
        if opened is None:
            return 0.0
        return (datetime.combine(opened.date() + timedelta(days=self.days), self.closes) - opened).total_seconds()


def united(windows: Iterable[Window], start: float, zone: ZoneInfo) -> Iterator[Span]:
    """The times in which one of the windows is open, from a moment on, in order; those that touch are one.

    Looked for in growing steps: what is asked for is nearly always in the first.
    """
    windows = list(windows)
    open_since: Span | None = None
    begin, step = start, FIRST_LOOK
    while begin < start + HORIZON:
        end = min(begin + step, start + HORIZON)
        # Openings that reach beyond a step come again with the next: they only grow what is there.
        for opened, closed in sorted(span for window in windows for span in window.spans(begin, end, zone)):
            if open_since is None:
                open_since = (opened, closed)
            elif opened <= open_since[1]:
                open_since = (open_since[0], max(closed, open_since[1]))
            else:
                yield open_since
                open_since = (opened, closed)
        begin, step = end, step * 4
    if open_since is not None:
        yield open_since


def without(spans: Iterable[Span], closed: Iterable[Span]) -> Iterator[Span]:
    """The spans less some times, in order."""
    closed = sorted(closed)
    for start, end in spans:
        begin = start
        for stop, again in closed:
            if again <= begin or stop >= end:
                continue
            if stop > begin:
                yield begin, stop
            begin = max(begin, again)
        if begin < end:
            yield begin, end
