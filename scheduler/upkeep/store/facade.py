# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store as commands see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

    from .model import Pruned, Run, RunDetail, Ticket, TicketDetail


class Store:
    """An open store. Every method raises UpkeepError (exit code NOT_RUN) when the database fails it."""

    url: str
    """Where it is, without a password."""

    def close(self) -> None:
        """Close the connections."""
        raise NotImplementedError

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check_writable(self) -> None:
        """Raise UpkeepError unless a run's results can be kept: writable, not locked, whole, room left on its disk."""
        raise NotImplementedError

    def begin_run(
        self,
        run_id: str,
        playbook: str,
        started: float,
        *,
        job: str | None = None,
        check_mode: bool = False,
        actor: str = "",
        artifacts: str = "",
    ) -> Run:
        """Register a run of this process as under way; UpkeepError (WRONG_USE) when the id is known already."""
        raise NotImplementedError

    def end_run(self, run_id: str, state: str, finished: float, message: str = "") -> Run:
        """Say how a run ended (one of RUN_STATES without running) and why; its results are not touched."""
        raise NotImplementedError

    def runs(self, limit: int = 20, *, job: str | None = None) -> list[Run]:
        """The newest runs, newest first. Runs whose process is gone are marked interrupted first."""
        raise NotImplementedError

    def run(self, which: str | int, findings: int = 500) -> RunDetail:
        """One run by its number, its id or an unambiguous beginning of it; UpkeepError (WRONG_USE) when there is none."""
        raise NotImplementedError

    def tickets(
        self,
        state: str | Collection[str] | None = ("open", "acknowledged"),
        *,
        priority: str | None = None,
        host: str | None = None,
        check: str | None = None,
        limit: int = 200,
    ) -> list[Ticket]:
        """Tickets, most urgent first (priority, then age); ``state`` None: all. host and check: exact names of an entry."""
        raise NotImplementedError

    def ticket(self, number: int, entries: int = 500) -> TicketDetail:
        """One ticket; UpkeepError (WRONG_USE) when there is none with this number."""
        raise NotImplementedError

    def acknowledge(self, number: int, actor: str, text: str, now: float) -> TicketDetail:
        """A person is on it. Harmless when it is acknowledged already; WRONG_USE when it is resolved."""
        raise NotImplementedError

    def resolve(self, number: int, actor: str, text: str, now: float) -> TicketDetail:
        """A person says that it is done; the next run confirms it, or reopens it. WRONG_USE when it is resolved already."""
        raise NotImplementedError

    def comment(self, number: int, actor: str, text: str, now: float) -> TicketDetail:
        """Write a line into its history; WRONG_USE when the text is empty."""
        raise NotImplementedError

    def prune(self, now: float, keep_days: float) -> Pruned:
        """Retention: remove runs and findings older than ``keep_days`` days that no ticket shows, and tickets resolved before."""
        raise NotImplementedError
