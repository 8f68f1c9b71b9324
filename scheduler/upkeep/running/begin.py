# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beginning a run: with the locks that it needs and the occurrence that it is; or waiting for who holds them."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from .. import durations, inventory
from ..errors import UpkeepError
from ..store import locks

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import Job
    from ..store import Run, Store
    from .runner import Plan

LOOK = 1.0
"""Seconds between two looks whether what is wanted is free."""
SIGN = 5.0
"""Seconds between two signs that its process still waits: a part of service.engine.BEGIN_WITHIN."""


def wanted_locks(job: Job | None, plan: Plan) -> list[locks.Wanted]:
    """The locks of a run of a job: the job's own, and those of its groups on the hosts that it is run over.

    A playbook that is no job takes none: nobody has said what it collides with.
    """
    if job is None:
        return []
    wanted = [locks.of_job(job.name)]
    if job.locks:
        hosts = inventory.check_limit(plan.inventory, plan.limit or "all", strict=False)
        wanted += [locks.of_group(group, hosts) for group in job.locks]
    return wanted


def patiently(begin: Callable[[], Run], seconds: float, waits: Callable[[str], None] = lambda _why: None) -> Run:
    """Begin when what is wanted is free, at most after so many seconds; then locks.Busy is raised, which says who.

    ``waits`` is told at once, and each SIGN seconds, for whom it waits.
    """
    deadline = time.monotonic() + seconds
    told, signed = 0, float("-inf")
    while True:
        try:
            return begin()
        except locks.Busy as busy:
            if time.monotonic() >= deadline:
                raise
            if told != busy.holder.run:
                told = busy.holder.run
                left = durations.shown(deadline - time.monotonic())
                print(f"upkeep: waits, at most {left}: {busy.holder.told()}", file=sys.stderr)
            if time.monotonic() - signed >= SIGN:
                signed = time.monotonic()
                waits(busy.holder.told())
        time.sleep(LOOK)


def not_begun(store: Store, firing: int, error: locks.Busy, now: float, seconds: float) -> None:
    """Write into a firing that its run waits for another one, and for whom."""
    from ..store import firings

    with store.database.write() as connection:
        firings.put_off(connection, firing, error.holder.told(), now + seconds)


def still_waits(store: Store, firing: int, why: str) -> None:
    """Write into a firing that this process waits for it; a store that is away for a moment is not worth the wait."""
    from ..store import firings

    with contextlib.suppress(UpkeepError), store.database.write() as connection:
        firings.still_waits(connection, firing, why, time.time())


def note(store: Store, firing: int, why: str) -> None:
    """Write into a firing what is to be told of its run."""
    from ..store import firings

    with store.database.write() as connection:
        firings.note(connection, firing, why)
