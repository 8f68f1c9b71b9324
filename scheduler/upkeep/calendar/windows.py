# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows: opened and closed by the wall clock. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..schedule import Schedule


@dataclass(frozen=True)
class Window:
    """A recurring time in which a job may be at work."""

    opens: Schedule
    days: int
    """After how many days it closes (0 the same day, 1 over midnight)."""
    closes: time
