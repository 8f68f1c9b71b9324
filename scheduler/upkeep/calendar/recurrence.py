# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 5545's recurrence rules, moved by some days. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from .clock import ByWallClock, wall_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Recurrence(ByWallClock):
    """A recurrence rule for the day, moved by some days, at a time."""

    rule: str
    start: date
    offset: timedelta
    at: time
    counts: bool
    """Whether it counts from its start (COUNT, INTERVAL); if not, its days are the same from wherever one looks."""

    @classmethod
    def parse(cls, given: Mapping[str, object]) -> Recurrence:
        """From its configuration. Raises ValueError."""
        from dateutil.rrule import rrulestr

        known = ("rrule", "offset_days", "at", "start")
        unknown = [str(key) for key in given if key not in known]
        rule, offset, at, start = (given.get(key) for key in known)
        if unknown or not isinstance(rule, str):
            more = f"; unknown: {', '.join(unknown)}" if unknown else ""
            raise ValueError("the keys rrule and at, and if need be offset_days and start" + more)
        if not isinstance(at, str):
            raise ValueError('at: the time of day, as "02:00"')
        if offset is not None and (isinstance(offset, bool) or not isinstance(offset, int) or abs(offset) > 366):
            raise ValueError("offset_days: a whole number of days, at most 366")
        if isinstance(start, str):
            start = date.fromisoformat(start)
        if start is not None and type(start) is not date:
            raise ValueError("start: a date, as 2026-01-31")
        rule = "".join(rule.upper().split()).removeprefix("RRULE:")
        parts = dict(part.partition("=")[::2] for part in rule.split(";"))
        if parts.get("FREQ") not in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
            raise ValueError("FREQ=DAILY, WEEKLY, MONTHLY or YEARLY in rrule")
        for key in ("BYHOUR", "BYMINUTE", "BYSECOND", "DTSTART"):
            if key in rule:
                raise ValueError(f"an rrule without {key}: the time of day is said by at, the first day by start")
        days_named = any(key in parts for key in ("BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"))
        counts = "COUNT" in parts or parts.get("INTERVAL", "1") != "1"
        counts = counts or not (days_named or parts["FREQ"] == "DAILY")
        if start is None and counts:
            raise ValueError("start (a date from which the rule counts), for the rule does not name its days by itself")
        made = cls(rule, start or date(2000, 1, 1), timedelta(days=offset or 0), wall_time(at), counts)
        try:
            comes = next(iter(rrulestr(rule, dtstart=datetime.combine(made.start, made.at))), None)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"a recurrence rule as RFC 5545 has it ({error})") from error
        if comes is None:
            raise ValueError(f"a recurrence rule that comes at all, not {rule!r}")
        return made

    def local(self, first: date, last: date) -> Iterator[datetime]:
        """Its times on the wall."""
        from dateutil.rrule import rrule, rrulestr

        low, high = (datetime.combine(day, time()) - self.offset for day in (first, last))
        # dateutil walks from the start of a rule: a quarter of a century of days would take longer than all else.
        start = self.start if self.counts else max(self.start, date(low.year - 1, 1, 1))
        rule = rrulestr(self.rule, dtstart=datetime.combine(start, self.at))
        assert isinstance(rule, rrule)  # one rule, as parse() has seen to
        for wall in rule.xafter(low, inc=True):
            if wall >= high + timedelta(days=1):
                return
            yield wall + self.offset
