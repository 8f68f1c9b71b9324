# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a run saw to what happens to tickets. Pure: no store, no process, no clock."""

from __future__ import annotations

from dataclasses import dataclass

PRIORITIES = ("P1", "P2", "P3")
"""Most urgent first."""

GROUP_BY = ("check", "host", "subject", "host_subject")
"""What makes one ticket beside the check's name: nothing more, the host, the subject, or both."""

REOPEN_WITHIN = 14 * 86400.0
"""Seconds after its resolution in which a ticket is reopened; later, a new one follows it."""


@dataclass(frozen=True)
class Rule:
    """What the configuration says of the checks whose name matches ``check`` (fnmatch). None: this rule does not say.

    For each property the first rule that says something holds. A priority does not make tickets of info findings.
    """

    check: str
    group_by: str | None = None
    priority: str | None = None
    ignore: bool | None = None


@dataclass(frozen=True)
class Policy:
    """How findings become tickets."""

    rules: tuple[Rule, ...] = ()
    reopen_within: float = REOPEN_WITHIN
