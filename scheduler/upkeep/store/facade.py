# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store as commands see it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from sqlalchemy import delete as sql_delete
from sqlalchemy import exists, select, update

from ..errors import UpkeepError
from . import audit, cursors, errors, firings, locks, proofs, runs, schema, tickets
from .model import RESOLVED, RUN_STATES, RUNNING, UNRESOLVED, UPKEEP, Pruned
from .process import this_process

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path
    from types import TracebackType

    from .database import Database
    from .model import Proof, Run, RunDetail, Ticket, TicketDetail

DAY = 86400.0
PROOF_DAYS = 1100.0
"""Three years: what ISO/IEC 27001 certifies for, so that an auditor can look through the whole of it."""


class Store:
    """An open store. Every method raises UpkeepError (exit code NOT_RUN) when the database fails it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.url = database.place.url
        """Where it is, without a password."""

    def close(self) -> None:
        """Close the connections."""
        self.database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check_writable(self) -> None:
        """Raise UpkeepError unless a run's results can be kept: writable, not locked, whole, room left on its disk."""
        path = self.database.place.path
        if path is not None:
            wrong = errors.not_writable(path) or errors.room_error(path.parent)
            if wrong is not None:
                raise wrong
        with self.database.write() as connection:
            if path is not None:
                # Reads every page, at about 1 GB/s: too slow for each command, cheap beside a run.
                answer = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
                if answer != "ok":
                    raise errors.corrupt(path, str(answer))
            # A write that changes nothing: a server that only reads refuses it.
            connection.execute(update(schema.counters).values(value=schema.counters.c.value))

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
        wanted: Sequence[locks.Wanted] = (),
        firing: int | None = None,
        campaign_step: int | None = None,
    ) -> Run:
        """Register a run of this process as under way, with the locks that it wants and the firing that it carries out.

        UpkeepError (WRONG_USE) when the id is known already, locks.Busy when another run holds what it wants,
        locks.NotOurs when the firing, or the step of a campaign, is not (any more) to be begun; then nothing is
        registered.
        """
        with self.database.write() as connection:
            runs.mark_lost(connection)
            if runs.by_id(connection, run_id) is not None:
                raise UpkeepError(
                    f"the run {run_id} is in the store already",
                    expected="an id of its own for each run",
                    found=run_id,
                    remedy=f"See it: upkeep runs show {run_id}",
                )
            holder = locks.holder(connection, wanted)
            if holder is not None:
                raise locks.Busy(holder)
            if firing is not None and not firings.begin(connection, firing, run_id):
                raise locks.NotOurs(firing)
            if campaign_step is not None:
                from . import campaigns  # only here: start-up time is a feature

                if not campaigns.begin(connection, campaign_step, run_id):
                    raise locks.NotOurs(campaign_step)
            number = runs.insert(
                connection,
                run_id,
                playbook,
                started,
                this_process(),
                job=job,
                check_mode=check_mode,
                actor=actor,
                artifacts=artifacts,
                seen=started,
            )
            locks.take(connection, number, wanted, started)
            run = runs.one(connection, run_id)
            detail = {"job": job, "playbook": playbook, "check_mode": check_mode, "id": run_id}
            audit.write(connection, actor or UPKEEP, "run.started", f"run {run.number}", detail, started)
            return run

    def end_run(self, run_id: str, state: str, finished: float, message: str = "") -> Run:
        """Say how a run ended (one of RUN_STATES without running) and why; its results are not touched."""
        if state == RUNNING or state not in RUN_STATES:
            raise ValueError(f"a run ends in one of {RUN_STATES[1:]}, not {state!r}")
        with self.database.write() as connection:
            run = runs.one(connection, run_id)
            values = {"state": state, "finished": finished, "message": tickets.clean_text(message)}
            connection.execute(update(schema.runs).where(schema.runs.c.number == run.number).values(**values))
            locks.free(connection, run.number)
            firings.follow(connection, finished, run_id)
            detail = {"state": state, "message": values["message"], "job": run.job}
            audit.write(connection, run.actor or UPKEEP, "run.ended", f"run {run.number}", detail, finished)
            return runs.one(connection, run.number)

    def cancel(self, which: str | int, actor: str, now: float) -> Run:
        """Ask a run to end: its own process looks for that, on whichever machine. WRONG_USE when it has ended."""
        with self.database.write() as connection:
            runs.mark_lost(connection)
            run = runs.one(connection, which)
            if run.state != RUNNING:
                raise UpkeepError(
                    f"the run {run.number} is not under way",
                    expected="a run that is",
                    found=f"it is {run.state}" + (f": {run.message}" if run.message else ""),
                    remedy="See which are: upkeep runs",
                )
            asked = {"cancel_asked": now, "cancel_by": tickets.clean_text(actor)}
            connection.execute(update(schema.runs).where(schema.runs.c.number == run.number).values(**asked))
            audit.write(connection, actor, "run.cancelled", f"run {run.number}", {"job": run.job}, now)
            return run

    def note_config(self, path: Path | None, actor: str, now: float) -> None:
        """Write into the audit that the configuration is another one than that of the run before."""
        with self.database.read() as connection:
            changed = audit.config_change(connection, path)
        if changed:
            with self.database.write() as connection:
                audit.note_config(connection, path, actor, now)

    def _mark_lost(self) -> None:
        with self.database.read() as connection:
            lost = runs.lost(connection)
        if lost:
            # Showing what happened must not fail because somebody else is writing just now.
            with contextlib.suppress(UpkeepError), self.database.write() as connection:
                runs.mark_lost(connection)

    def lost(self) -> list[Run]:
        """The runs of this machine that are under way by their state, and whose process is gone. Changes nothing."""
        with self.database.read() as connection:
            return [runs.one(connection, number) for number in runs.lost(connection)]

    def run_ids(self, *, recorded_before: float | None = None) -> set[str]:
        """The ids of all runs; or of those that were recorded and began before a time (seconds since the epoch)."""
        table = schema.runs.c
        query = select(table.id)
        if recorded_before is not None:
            query = query.where(table.recorded.is_not(None), table.started < recorded_before)
        with self.database.read() as connection:
            return set(connection.scalars(query))

    def runs(self, limit: int = 20, *, job: str | None = None) -> list[Run]:
        """The newest runs, newest first. Runs whose process is gone are marked interrupted first."""
        self._mark_lost()
        with self.database.read() as connection:
            return runs.newest(connection, limit, job)

    def run(self, which: str | int, findings: int = 500) -> RunDetail:
        """One run by its number, its id or an unambiguous beginning of it, with its worst findings.

        Raises UpkeepError (WRONG_USE) when there is none.
        """
        self._mark_lost()
        with self.database.read() as connection:
            detail = runs.detail(connection, runs.one(connection, which), findings)
            return replace(detail, proofs=proofs.count(connection, detail.run.number))

    def tickets(
        self,
        state: str | Collection[str] | None = UNRESOLVED,
        *,
        priority: str | None = None,
        host: str | None = None,
        check: str | None = None,
        assignee: str | None = None,
        limit: int = 200,
    ) -> list[Ticket]:
        """Tickets, most urgent first (priority, then age). ``state`` None: all; ``host``, ``check``: of an entry.

        ``assignee`` "": nobody's.
        """
        states = [state] if isinstance(state, str) else state
        with self.database.read() as connection:
            return tickets.listed(connection, states, priority, host, check, limit, assignee)

    def ticket(self, number: int, entries: int = 500) -> TicketDetail:
        """One ticket; UpkeepError (WRONG_USE) when there is none with this number."""
        with self.database.read() as connection:
            return tickets.detail(connection, number, entries)

    def acknowledge(self, number: int, actor: str, text: str, now: float) -> TicketDetail:
        """A person is on it. Harmless when it is acknowledged already; WRONG_USE when it is resolved."""
        with self.database.write() as connection:
            tickets.acknowledge(connection, number, actor, text, now)
        return self.ticket(number)

    def resolve(
        self, number: int, actor: str, text: str, now: float, *, cause: str = "", prevention: str = ""
    ) -> TicketDetail:
        """A person says that it is done; a later run confirms it, or reopens it. WRONG_USE when it is resolved.

        ``cause``, ``prevention``: what was learned, as with :meth:`learn`; "": nothing is said.
        """
        with self.database.write() as connection:
            for what, lesson in (("root_cause", cause), ("prevention", prevention)):
                if lesson:
                    tickets.learn(connection, number, actor, what, lesson, now)
            tickets.resolve(connection, number, actor, text, now)
        return self.ticket(number)

    def assign(self, number: int, actor: str, assignee: str, now: float) -> TicketDetail:
        """Say whose it is; "" for nobody's. Harmless when it is theirs already; WRONG_USE when it is resolved."""
        with self.database.write() as connection:
            tickets.assign(connection, number, actor, assignee, now)
        return self.ticket(number)

    def wait(self, number: int, actor: str, why: str, now: float) -> TicketDetail:
        """It waits for somebody else, and its clocks stand still. Harmless when it does; WRONG_USE when resolved."""
        with self.database.write() as connection:
            tickets.wait(connection, number, actor, why, now)
        return self.ticket(number)

    def go_on(self, number: int, actor: str, text: str, now: float) -> TicketDetail:
        """It waits no more, and its clocks run again. WRONG_USE when it does not wait."""
        with self.database.write() as connection:
            tickets.go_on(connection, number, actor, text, now)
        return self.ticket(number)

    def learn(self, number: int, actor: str, what: str, text: str, now: float) -> TicketDetail:
        """Write down what was learned: a workaround, root_cause or prevention; also when it is resolved."""
        with self.database.write() as connection:
            tickets.learn(connection, number, actor, what, text, now)
        return self.ticket(number)

    def reopen(self, number: int, actor: str, text: str, now: float) -> TicketDetail:
        """A person says that it is not done. WRONG_USE when it is open, or another ticket of its cause is."""
        with self.database.write() as connection:
            tickets.reopen(connection, number, actor, text, now)
        return self.ticket(number)

    def comment(self, number: int, actor: str, text: str, now: float) -> TicketDetail:
        """Write a line into its history; WRONG_USE when the text is empty."""
        with self.database.write() as connection:
            tickets.comment(connection, number, actor, text, now)
        return self.ticket(number)

    def proofs(
        self,
        *,
        host: str | None = None,
        check: str | None = None,
        subject: str | None = None,
        outcome: str | None = None,
        run: int | None = None,
        since: float | None = None,
        limit: int = 50,
    ) -> list[Proof]:
        """The newest proofs, newest first. ``check``: it, or all that begin with it and a dot."""
        with self.database.read() as connection:
            return proofs.listed(
                connection, host=host, check=check, subject=subject, outcome=outcome, run=run, since=since, limit=limit
            )

    def proof(self, number: int) -> Proof:
        """One proof; UpkeepError (WRONG_USE) when there is none with this number."""
        with self.database.read() as connection:
            return proofs.one(connection, number)

    def prune(self, now: float, keep_days: float, keep_proofs_days: float = PROOF_DAYS) -> Pruned:
        """Retention: remove what is older than ``keep_days`` days and shown by no ticket.

        Tickets go when they were resolved before, with their entries. Open ones stay, with all of theirs but those that
        were cleared before: a ticket that is always open, as there are always patches pending, must not grow for ever.
        Those into which people wrote what they learned stay as well. Proofs have a time of their own.
        """
        from . import outbox  # only here: start-up time is a feature

        before = now - keep_days * DAY
        entries, found, all_runs, all_tickets = schema.ticket_entries, schema.findings, schema.runs, schema.tickets
        with self.database.write() as connection:
            # What people learned is for the next ticket of that cause, which may come years later.
            done = (all_tickets.c.state == RESOLVED) & (all_tickets.c.resolved < before) & ~tickets.TAUGHT
            removed_tickets = connection.execute(sql_delete(all_tickets).where(done)).rowcount
            of_open = entries.c.ticket.in_(select(all_tickets.c.number).where(all_tickets.c.state != RESOLVED))
            connection.execute(sql_delete(entries).where((entries.c.cleared < before) & of_open))
            old = (all_runs.c.started < before) & (all_runs.c.state != RUNNING)
            shown = exists().where(
                entries.c.run == found.c.run,
                entries.c.host == found.c.host,
                entries.c.check_name == found.c.check_name,
                entries.c.subject == found.c.subject,
            )
            of_old = found.c.run.in_(select(all_runs.c.number).where(old))
            removed = connection.execute(sql_delete(found).where(of_old & ~shown)).rowcount
            unused = old & ~exists().where(entries.c.run == all_runs.c.number)
            removed_runs = connection.execute(sql_delete(all_runs).where(unused)).rowcount
            connection.execute(sql_delete(schema.coverage).where(schema.coverage.c.at < before))
            connection.execute(sql_delete(schema.job_hosts).where(schema.job_hosts.c.seen < before))
            outbox.prune(connection, before)
            cursors.clamp(connection)
            removed_proofs = proofs.prune(connection, now - keep_proofs_days * DAY, now)
        return Pruned(runs=removed_runs, findings=removed, tickets=removed_tickets, proofs=removed_proofs)
