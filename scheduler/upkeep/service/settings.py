# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler's settings. Light: every command has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SchedulerSettings:
    """The section `scheduler` of upkeep.yml. Times are seconds."""

    max_runs: int = 4
    """Runs that the scheduler has at work at once; further ones wait for their turn."""
    node_lost_after: float = 60.0
    """Without a sign of life for so long, a run on another machine counts as cut off."""
    takeover_after: float = 15.0
    """Without a sign of life for so long, another scheduler takes over from one that still holds the lead."""
    lock_wait: float = 300.0
    """How long `upkeep run` waits for the locks of another run."""
