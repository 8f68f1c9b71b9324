# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a results file to tickets: read it, keep it, reconcile it; all of it in one transaction, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .reconcile import Policy
    from .store import Finding, HostState, Run, Store, TicketChange


@dataclass(frozen=True)
class Recorded:
    """What recording a results file did."""

    run: Run
    """With its counts of findings by severity, and of hosts by state."""
    already: bool
    """It was recorded before: nothing was changed now."""
    findings: tuple[Finding, ...]
    """Worst first, at most ``findings_limit``; ``sum(run.counts.values())`` tells how many there are."""
    hosts: tuple[HostState, ...]
    """Hosts that are not ok first, then by name."""
    changes: tuple[TicketChange, ...]
    """One for each ticket touched, most urgent first."""
    notes: tuple[str, ...]
    """What was not taken over, and why: sentences for a person."""
    exit_code: int
    """As the command ends: see errors.py."""


def record_file(
    store: Store, path: Path, policy: Policy, now: float, job: str | None = None, findings_limit: int = 500
) -> Recorded:
    """Take a results file over into the store, once for each run id.

    Raises UpkeepError: WRONG_USE for a file that is missing or breaks the format (naming the line), NOT_RUN when the
    store fails (naming the command that records it again). Nothing is half recorded.
    """
    raise NotImplementedError
