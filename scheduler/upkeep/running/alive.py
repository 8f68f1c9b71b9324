# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside a run: a thread that gives signs of life, and looks whether somebody asks for the run's end.

The store may be away for minutes: the run goes on without it, and the next sign is given when it is there again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Self

from ..errors import NOT_RUN, UpkeepError
from ..moments import full
from ..store import RUNNING, nodes

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from zoneinfo import ZoneInfo

    from ..store import Store

LOOK = 2.0
"""Seconds between two looks at whether its end is asked for: a person waits for that."""
SIGN = 10.0
"""Seconds between two signs of life; the others' patience is several of them (scheduler.node_lost_after)."""

STOP_FILE = "stop"
"""In the run's folder: asks ansible-playbook to end before its next play or batch (callback/)."""


class Alive:
    """The thread, and what it found. As a context: it begins with it and ends with it."""

    def __init__(
        self, store: Store, run_id: str, folder: Path, until: float | None, overrun: str, zone: ZoneInfo
    ) -> None:
        self._store = store
        self._run_id = run_id
        self.stop_file = folder / STOP_FILE
        """Its coming ends ansible-playbook before the next play or batch."""
        self._until = until
        self._overrun = overrun
        self._zone = zone
        self._asked: tuple[str, UpkeepError] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="alive", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(LOOK)

    def asked(self) -> tuple[str, UpkeepError] | None:
        """The state and the error of a run whose end somebody asks for now; None: it may go on."""
        return self._asked

    def ended(self) -> tuple[str, UpkeepError] | None:
        """The same for a run that has ended, and has not come to its end: whether it stopped at its window's end."""
        obeyed = self.stop_file.with_name(STOP_FILE + ".obeyed")
        if not obeyed.exists():
            return None
        obeyed.unlink(missing_ok=True)
        return "interrupted", UpkeepError(
            "the run was stopped at the end of its window, before its next play or batch",
            expected=f"to be over by {full(self._until or 0, self._zone)}",
            found="plays or batches that had not begun",
            remedy="a wider window, fewer hosts, or more forks; upkeep run --limit … does the rest",
            exit_code=NOT_RUN,
        )

    @property
    def overran(self) -> str:
        """That it is, or was, at work beyond its window; empty when it was not, or has none."""
        if self._until is None or time.time() <= self._until:
            return ""
        return f"it was still at work at the end of its window, {full(self._until, self._zone)}"

    def _watch(self) -> None:
        signed = time.monotonic()
        while not self._over.wait(LOOK):
            if self._until is not None and time.time() > self._until and self._overrun == "stop":
                with contextlib.suppress(OSError):
                    self.stop_file.touch(0o600)
                self._overrun = "asked"
            sign = time.monotonic() - signed >= SIGN
            try:
                if sign:
                    with self._store.database.write() as connection:
                        found = nodes.beat_run(connection, self._run_id, time.time())
                    signed = time.monotonic()
                else:
                    with self._store.database.read() as connection:
                        found = nodes.asked(connection, self._run_id)
            except UpkeepError:
                continue  # It is away, or busy; a run that goes on is worth more than its sign.
            if found is not None:
                self._judge(found)

    def _judge(self, found: nodes.Asked) -> None:
        if self._asked is not None:
            return
        if found.cancel_asked is not None:
            self._asked = (
                "interrupted",
                UpkeepError(
                    f"the run was cancelled by {found.cancel_by or 'somebody'}",
                    found=f"asked for at {full(found.cancel_asked, self._zone)}",
                    remedy="start it again: hosts that were not reached keep their tickets as they are",
                    exit_code=NOT_RUN,
                ),
            )
        elif found.state != RUNNING:
            # Another node took us for dead and gave our locks away: going on could collide.
            self._asked = (
                "interrupted",
                UpkeepError(
                    "the run was given up by another node, which had no sign of life of this one",
                    expected="the store to be within reach from here",
                    found=f"the run as {found.state} there",
                    remedy="look at the network between this machine and the store; then start it again",
                    exit_code=NOT_RUN,
                ),
            )
