# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures, dates and steps, as the checks of this area say them. Pure."""

from __future__ import annotations

import time


def size(number: float) -> str:
    """Bytes in words: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(number) < 1024:
            return ("%d %s" if unit == "B" else "%.1f %s") % (number, unit)
        number /= 1024
    return "%.1f PiB" % number


def day(moment: float) -> str:
    """The day of a moment (seconds since the epoch) in UTC: ``2026-11-22``."""
    return time.strftime("%Y-%m-%d", time.gmtime(min(max(moment, 0.0), 253_402_300_799)))


def minute(moment: float) -> str:
    """A moment to the minute, in UTC: ``2026-11-22 03:15``."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(min(max(moment, 0.0), 253_402_300_799)))


def inside(container: str) -> str:
    """A container in words: ``this container (docker)``."""
    return "this container" if container == "container" else "this container (%s)" % container


def step(value: float, *steps: tuple[float, str]) -> str | None:
    """The severity of the first step that the value reaches; name the worst first. None below all of them."""
    return next((severity for bound, severity in steps if value >= bound), None)
