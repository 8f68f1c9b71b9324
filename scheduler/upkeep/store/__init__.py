# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: runs, findings, tickets; SQLite by default, PostgreSQL by URL.

    with open_store(None, home) as store:
        for ticket in store.tickets():
            …

SQLAlchemy is imported when a store is opened, Alembic only when its schema must change: start-up time is a feature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .model import (
    ACKNOWLEDGED,
    OPEN,
    RESOLVED,
    RUN_STATES,
    RUNNING,
    TICKET_STATES,
    UNRESOLVED,
    UPKEEP,
    WAITING,
    Clock,
    Cycle,
    Entry,
    Finding,
    HistoryLine,
    HostState,
    Lesson,
    Pause,
    Proof,
    Pruned,
    Run,
    RunDetail,
    Ticket,
    TicketChange,
    TicketDetail,
)

if TYPE_CHECKING:
    from pathlib import Path

    from .facade import Store

__all__ = [
    "ACKNOWLEDGED",
    "OPEN",
    "RESOLVED",
    "RUNNING",
    "RUN_STATES",
    "TICKET_STATES",
    "UNRESOLVED",
    "UPKEEP",
    "WAITING",
    "Clock",
    "Cycle",
    "Entry",
    "Finding",
    "HistoryLine",
    "HostState",
    "Lesson",
    "Pause",
    "Proof",
    "Pruned",
    "Run",
    "RunDetail",
    "Store",
    "Ticket",
    "TicketChange",
    "TicketDetail",
    "open_store",
]


def open_store(url: str | None, home: Path) -> Store:
    """Open the store, making or migrating it where needed.

    ``url``: an SQLAlchemy URL (``sqlite:///PATH`` or ``postgresql://USER:PASSWORD@HOST/DATABASE``); None:
    ``upkeep.db`` in ``home`` (made when missing, mode 0700). A relative path of SQLite is seen from ``home``; that of
    upkeep.yml was made absolute before, seen from that file. Raises UpkeepError with exit code NOT_RUN, each told
    apart: read-only, locked, newer schema, corrupt, full disk, not ours, unreachable; WRONG_USE for a wrong URL.
    """
    from .open import open_store as really_open

    return really_open(url, home)


def __getattr__(name: str) -> Any:
    if name == "Store":  # for annotations evaluated at run time; importing it costs SQLAlchemy
        from .facade import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
