# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a job is due: words, cron, intervals, or a recurrence rule, by the wall clock of a time zone. Pure.

The kinds of schedules are in calendar/; what is to be done with a job that is due, calendar/decide.py says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .calendar import words as in_words
from .calendar.clock import DAYS, HORIZON_YEARS, wall_time, weekdays
from .calendar.cron import MACROS, Cron
from .calendar.recurrence import Recurrence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from zoneinfo import ZoneInfo

__all__ = ["DAYS", "FORMS", "HORIZON_YEARS", "Schedule", "next_times", "parse", "wall_time", "weekdays"]

FORMS = (
    '"Sun 03:00", "Mon-Fri 02:30", "daily 04:00", "last Sun 02:00", "2nd Tue + 3d 02:00", "quarterly 1st Sat 04:00", '
    '"every 6h", a cron line "0 3 * * 0", or {rrule: "FREQ=MONTHLY;BYDAY=2TU", offset_days: 3, at: "02:00"}'
)
"""What a schedule may look like, for error messages."""


class Schedule(Protocol):
    """A recurring time."""

    def instants(self, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """The instants (UTC) after one at which it is due in a zone, in order; ends beyond the horizon."""
        ...


def parse(given: str | Mapping[str, object]) -> Schedule:
    """A schedule from its configuration. Raises ValueError whose text says what was expected."""
    if not isinstance(given, str):
        return Recurrence.parse(given)
    text = given.strip()
    found = in_words.parse(text)
    if found is not None:
        return found
    if text.lower() in MACROS or len(text.split()) == 5:
        return Cron.parse(MACROS.get(text.lower(), text))
    words = text.split()
    if len(words) != 2:
        raise ValueError(FORMS)
    days = range(7) if words[0].lower() in ("daily", "every") else weekdays(words[0])
    return Cron.on_weekdays(tuple(days), wall_time(words[1]))


def next_times(schedule: Schedule, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The instants at which a schedule is due after an instant, in order, in the zone; ends beyond the horizon."""
    return (instant.astimezone(zone) for instant in schedule.instants(after, zone))
