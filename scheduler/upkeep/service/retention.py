# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Once a day: what is older than ``store.keep_days`` is forgotten, also when no run ends to do it.

Proofs have a time of their own, ``store.keep_proofs_days``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .. import paths
from ..campaign.model import ENDED
from ..store import campaigns, exposures, firings, pending, plans

if TYPE_CHECKING:
    from ..config import Config
    from ..store import Store


def step(store: Store, config: Config, now: float) -> int:
    """Remove old runs, tickets, firings and folders; how many rows and folders went."""
    before = now - config.keep_days * 86400
    # First the files, then the rows that say which of them may go.
    folders = paths.prune_run_folders(config.home, before, store.run_ids(recorded_before=before), store.run_ids())
    pruned = store.prune(now, config.keep_days, config.keep_proofs_days)
    with store.database.write() as connection:
        firings.forget_lost(connection, now)
        gone = firings.prune(connection, before) + campaigns.prune(connection, before)
        gone += plans.prune(connection, before, ENDED) + pending.prune(connection, before)
        gone += exposures.prune(connection, before)
    for log in (*(config.home / "firings").glob("*.log"), *(config.home / "campaigns").glob("*")):
        with contextlib.suppress(FileNotFoundError):  # its process has ended well meanwhile
            if log.stat().st_mtime < before:
                log.unlink()
    return folders + gone + pruned.runs + pruned.findings + pruned.tickets + pruned.proofs
