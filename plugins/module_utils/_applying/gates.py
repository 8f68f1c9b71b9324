# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether patching may begin now: does it fit before the window closes, and was the backup restored lately. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DAY = 86400.0
MARGIN = 1.25
"""What is taken on top of the expected time, as a campaign does before a batch: a quarter."""
CLOCKS = 600.0
"""Seconds that a host's clock may be behind the one that a result bears."""
MOST = 40
"""Backups that are told one by one."""


def seconds_needed(plan: Mapping[str, Any], fetched: bool) -> float:
    """Seconds until a plan is applied and, should that fail, put back: what its ``seconds`` expect, and ``MARGIN``.

    The way back takes as long as the way there, and reboots as often. What is fetched already is not fetched again.
    """
    expected = plan.get("seconds") or {}
    there = float(expected.get("apply") or 0) + float(expected.get("reboot") or 0)
    return ((0.0 if fetched else float(expected.get("download") or 0)) + 2 * there) * MARGIN


def minutes(seconds: float) -> str:
    """For people: "12 min", or seconds where it is less than two minutes."""
    return "%d s" % seconds if seconds < 120 else "%d min" % math.ceil(seconds / 60)


def window_is_short(plan: Mapping[str, Any], fetched: bool, ends: float, now: float) -> str:
    """Why the plan does not fit before ``ends`` (an epoch in seconds; 0: no window); empty when it does."""
    need, left = seconds_needed(plan, fetched), ends - now
    if not ends or need <= left:
        return ""
    if left <= 0:
        return "The maintenance window closed %s ago." % minutes(-left)
    return "The maintenance window closes in %s, and the patch with its way back may take %s." % (
        minutes(left), minutes(need),
    )  # fmt: skip


def unproven(results: Sequence[Mapping[str, Any]], max_age_days: int, now: float) -> list[str]:
    """Which backups have not been restored within ``max_age_days``: a line each. ``now`` is an epoch in seconds.

    ``results``: how the newest restore test of each backup ended: ``subject``, ``kind``, ``verdict`` (passed | failed |
    cannot), ``at`` (epoch of that test) and ``passed`` (epoch of the last that passed; None: none did).
    """
    lines = []
    for one in results:
        what = "%s (%s)" % (one.get("subject") or "a backup", one.get("kind") or "restore test")
        verdict = one.get("verdict")
        passed = _epoch(one.get("passed", one.get("at") if verdict == "passed" else None))
        if verdict not in ("passed", "failed", "cannot"):
            lines.append("%s: its result is not known" % what)
        elif verdict == "failed":
            lines.append("%s: its newest restore test failed" % what)
        elif passed is None:
            lines.append("%s: no restore test of it has passed" % what)
        elif passed > now + CLOCKS:
            lines.append("%s: its restore test bears a time that is still to come" % what)
        elif now - passed > max_age_days * _DAY:
            lines.append("%s: last restored %.1f days ago" % (what, (now - passed) / _DAY))
    more = len(lines) - MOST
    return lines if more <= 0 else [*lines[:MOST], "and %d more" % more]


def _epoch(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
