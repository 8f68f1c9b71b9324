# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks of runs: a job has one run at a time, and two runs of one lock group are never at work on the same host.

They are rows, taken all at once or not at all in the transaction that registers the run, and go with it: a row whose
run is not under way counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from ..errors import NOT_RUN, UpkeepError
from . import schema
from .model import RUNNING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

ALL = "*"
"""Stands for every host."""

_LOCKS = schema.host_locks
_RUNS = schema.runs


@dataclass(frozen=True)
class Wanted:
    """A lock on some hosts."""

    lock: str
    hosts: tuple[str, ...] = (ALL,)


@dataclass(frozen=True)
class Holder:
    """Who holds what is wanted."""

    lock: str
    host: str
    run: int
    run_id: str
    job: str | None
    playbook: str
    since: float
    node: str
    pid: int
    actor: str

    def told(self) -> str:
        """As part of a sentence."""
        on = "" if self.host == ALL else f" on {self.host}"
        return f"run {self.run} of {self.job or self.playbook} holds {self.lock}{on} (by {self.actor or 'unknown'})"


class Busy(UpkeepError):  # noqa: N818 - as it reads where it is raised
    """What a run needs is held by another one."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(
            "another run is at work",
            expected=f"{holder.lock} to be free",
            found=f"{holder.told()}, process {holder.pid} on {holder.node}",
            remedy=f"wait for its end (--wait TIME does), or end it: upkeep runs cancel {holder.run}",
            exit_code=NOT_RUN,
        )
        self.holder = holder


class NotOurs(UpkeepError):  # noqa: N818 - likewise
    """The firing that a run was started for is carried out by another one, or is decided otherwise."""

    def __init__(self, firing: int) -> None:
        super().__init__(
            f"the occurrence {firing} is not to be carried out by this process",
            expected="one that waits for its run",
            found="another process was quicker, or it was decided otherwise",
            remedy="nothing: see upkeep runs",
            exit_code=NOT_RUN,
        )


def of_job(job: str) -> Wanted:
    """The lock that lets a job have one run at a time."""
    return Wanted(f"the job {job}")


def of_group(group: str, hosts: Collection[str]) -> Wanted:
    """The lock of a group of jobs on the hosts of one run; without hosts, on all."""
    return Wanted(f"the lock {group}", tuple(sorted(hosts)) or (ALL,))


def holder(connection: Connection, wanted: Sequence[Wanted]) -> Holder | None:
    """One of those who hold something of it; None when all of it is free."""
    hosts = {one.lock: frozenset(one.hosts) for one in wanted}
    query = (
        select(_LOCKS, _RUNS.c.id.label("run_id"), _RUNS.c.job, _RUNS.c.playbook, _RUNS.c.node, _RUNS.c.pid)
        .add_columns(_RUNS.c.actor)
        .join(_RUNS, _LOCKS.c.run == _RUNS.c.number)
        .where(_RUNS.c.state == RUNNING, _LOCKS.c.lock.in_(list(hosts)))
    )
    for row in connection.execute(query):
        of_it = hosts[row.lock]
        if row.host == ALL or ALL in of_it or row.host in of_it:
            return Holder(**row._mapping)
    return None


def take(connection: Connection, run: int, wanted: Sequence[Wanted], now: float) -> None:
    """Take what :func:`holder` told as free, in the same transaction."""
    locks = [one.lock for one in wanted]
    ended = _LOCKS.c.lock.in_(locks) & _LOCKS.c.run.in_(select(_RUNS.c.number).where(_RUNS.c.state != RUNNING))
    connection.execute(delete(_LOCKS).where(ended))
    rows = [{"lock": one.lock, "host": host, "run": run, "since": now} for one in wanted for host in one.hosts]
    if rows:
        connection.execute(insert(_LOCKS), rows)


def free(connection: Connection, run: int) -> None:
    """Give back all that a run holds."""
    connection.execute(delete(_LOCKS).where(_LOCKS.c.run == run))
