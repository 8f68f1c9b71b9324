# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds the locks of a repository that were taken on this very host."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .._host import Host
    from .restic_parse import Lock

CLOCK_STEP = 60.0
"""Seconds by which the clock may have been set between the boot and a lock: ``btime`` moves with it."""


def holders(host: Host, locks: Sequence[Lock], here: Collection[str]) -> dict[int, str]:
    """The processes that hold the locks taken by the hosts ``here``: their names, empty for one that is gone.

    A number is given again: who was started after the lock was written (restic writes it anew every five minutes) is
    another process.
    """
    found = {}
    for lock in locks:
        if lock.host in here:
            started = host.started(lock.pid)
            other = started is not None and started > lock.time + CLOCK_STEP
            found[lock.pid] = "" if other else (host.read("/proc/%d/comm" % lock.pid, 64) or "").strip()
    return found
