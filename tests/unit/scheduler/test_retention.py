# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention bounds the store, also where a ticket never ends."""

from __future__ import annotations

from pathlib import Path

from tests.unit.scheduler import results_file
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import cursors, notices, open_store

DAY = 86400.0
PENDING = "patch.security.pending"


def test_a_ticket_that_is_always_open_keeps_what_stands_and_what_was_cleared_lately(tmp_path: Path) -> None:
    """Each week other packages are pending: the ticket stays, its old entries go, and their runs and findings too."""
    covered = [("web1", PENDING, "*")]
    with open_store(None, tmp_path) as store:
        for week in range(30):
            now = 1e6 + week * 7 * DAY
            seen = [("web1", PENDING, f"package{week}", "high"), ("web1", PENDING, "kernel", "high")]
            path = results_file.write(tmp_path / "r", f"r{week}", seen, coverage=covered, started=now)
            record_file(store, path, Policy(), now + 20, "weekly")
            store.prune(now + DAY, 60)
        detail = store.ticket(1)
        standing = {entry.subject for entry in detail.entries if entry.cleared is None}
        cleared = {entry.subject for entry in detail.entries if entry.cleared is not None}
        assert standing == {"package29", "kernel"}
        # Of the last 60 days; what was seen in week 20 was cleared in week 21, 57 days before.
        assert cleared == {f"package{week}" for week in range(20, 29)}
        assert next(entry for entry in detail.entries if entry.subject == "kernel").first_seen == 1e6 + 10
        assert len(store.runs(100)) <= 10
        # What comes back after that is a new sight of it, in the same ticket.
        now = 1e6 + 30 * 7 * DAY
        seen = [("web1", PENDING, "package1", "high")]
        path = results_file.write(tmp_path / "r", "again", seen, coverage=covered, started=now)
        assert record_file(store, path, Policy(), now + 20, "weekly").changes[0].number == 1
        assert next(e for e in store.ticket(1).entries if e.subject == "package1").first_seen == now + 10


def test_retention_brings_readers_back_to_the_end_of_history(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        with store.database.write() as connection:
            for name in ("mirror:rt", notices.CURSOR):
                cursors.move(connection, name, 1_700_000_000)
        store.prune(1_700_000_000.0, 30)
        with store.database.read() as connection:
            assert cursors.read(connection, "mirror:rt") == 0
            assert cursors.read(connection, notices.CURSOR) == 0
