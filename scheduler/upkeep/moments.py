# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments (seconds since the epoch) as people read them, by the wall clock of a time zone. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo


def plain(at: float, zone: tzinfo) -> str:
    """ "2026-11-22 03:00": for a table, or where the zone is told elsewhere."""
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M")


def to_the_second(at: float, zone: tzinfo) -> str:
    """ "2026-11-22 03:00:07"."""
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S")


def with_day(at: float, zone: tzinfo) -> str:
    """ "Sun 2026-11-22 03:00": in sentences about schedules, which speak of days of the week."""
    return datetime.fromtimestamp(at, zone).strftime("%a %Y-%m-%d %H:%M")


def full(at: float, zone: tzinfo) -> str:
    """ "Sun 2026-11-22 03:00 CET": a person is to act by it, and may sit elsewhere."""
    return datetime.fromtimestamp(at, zone).strftime("%a %Y-%m-%d %H:%M %Z")
