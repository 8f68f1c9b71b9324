# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clearing up after runs whose own process was killed: nobody watches what they started, nobody removes their secrets.

The store only tells which they are, and only of this machine; a command that reads it must be able to without killing.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import paths
from . import processes

if TYPE_CHECKING:
    from ..store import Store


def clear_up(store: Store, home: Path) -> None:
    """End what is left of such runs and remove their private files; before the store marks them as interrupted.

    In this order, so that what is broken off here is done by the next command. What cannot be ended is told on standard
    error.
    """
    for run in store.lost():
        left = processes.end_all(run.id)
        if left:
            pids = ", ".join(map(str, sorted(left)))
            print(f"upkeep: run {run.number} was killed; not ours to end, and still running: {pids}", file=sys.stderr)
        folder = paths.runs_folder(home) / run.id
        if Path(run.artifacts) == folder:  # else it is another's home, or a hand's work: nothing of ours to remove
            shutil.rmtree(folder / paths.PRIVATE, ignore_errors=True)
