# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a ticket may take: deadlines by priority. Pure: no store, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .store.model import Clock

MINUTE = 60.0
HOUR = 3600.0


@dataclass(frozen=True)
class Target:
    """What is promised for one priority."""

    react: float
    """Seconds until a person acknowledges."""
    solve: float
    """Seconds until it is resolved."""
    business_hours: bool
    """Whether only business hours count, or every hour."""


TARGETS: Mapping[str, Target] = {
    "P1": Target(15 * MINUTE, 1 * HOUR, business_hours=False),
    "P2": Target(15 * MINUTE, 4 * HOUR, business_hours=False),
    "P3": Target(15 * MINUTE, 8 * HOUR, business_hours=True),
}
"""The mission's table of priorities."""


@dataclass(frozen=True)
class BusinessHours:
    """When people work: days (0 Monday … 6 Sunday) from start to end, in a time zone (IANA name)."""

    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    start: time = time(9)
    end: time = time(18)
    """The end of the day; time(0) means midnight at its end."""
    time_zone: str = "UTC"


@dataclass(frozen=True)
class Settings:
    """The SLA as configured."""

    targets: Mapping[str, Target] = field(default_factory=lambda: TARGETS)
    hours: BusinessHours = BusinessHours()
    due_soon: float = 0.75
    """The part of the promised time after which it is due soon."""


@dataclass(frozen=True)
class Deadline:
    """One promise. Times in seconds since the epoch."""

    due: float
    done: float | None
    """When it was kept or missed; None while it runs."""
    state: str
    """within | due soon | breached; for one that is done: within | breached."""
    remaining: float
    """Seconds of counted time left (business hours where these count), negative when late; at ``done`` when it is done."""


@dataclass(frozen=True)
class Deadlines:
    """Both promises of a ticket."""

    react: Deadline
    solve: Deadline


def deadlines(
    clocks: Sequence[Clock],
    acknowledged: float | None,
    resolved: float | None,
    now: float,
    settings: Settings = Settings(),  # noqa: B008 - frozen
) -> Deadlines:
    """Where a ticket stands: ``deadlines(ticket.clocks, ticket.acknowledged, ticket.resolved, now, settings)``."""
    raise NotImplementedError
