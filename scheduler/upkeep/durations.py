# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as people write and read them. Pure."""

from __future__ import annotations

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def duration(value: object) -> float:
    """Seconds from "90m", "1h30m", "14d", or a number of seconds. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and re.fullmatch(r"(\d+[smhdw])+", value.replace(" ", "")):
        parts = re.findall(r"(\d+)([smhdw])", value.replace(" ", ""))
        seconds = float(sum(int(number) * _UNITS[unit] for number, unit in parts))
    else:
        raise ValueError('a duration, as "90m", "1h30m" or "14d" (s, m, h, d, w), or a number of seconds')
    if not 0 < seconds < 100 * 366 * 86400:
        raise ValueError("a duration longer than nothing and shorter than a century")
    return seconds


def shown(seconds: float) -> str:
    """A duration in its two largest units, as "3 h 20 min"; "under a minute" below."""
    left = abs(seconds)
    if left < 60:
        return "under a minute"
    units = [("d", 86400), ("h", 3600), ("min", 60)]
    parts = []
    for name, size in units:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count:.0f} {name}")
    return " ".join(parts[:2])
