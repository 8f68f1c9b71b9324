# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs of life: of the schedulers, and of the processes that carry out runs. Statements on a caller's connection.

A sign is a value that changes. Whoever watches measures by its own clock how long it has stood still (see
service/watch.py): clocks of machines differ and jump, and none of them is compared with another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from . import schema
from .model import RUNNING
from .process import Process

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

_NODES = schema.nodes
_RUNS = schema.runs


@dataclass(frozen=True)
class Node:
    """A scheduler at work."""

    id: str
    process: Process
    started: float
    seen: float
    leads: bool


@dataclass(frozen=True)
class Asked:
    """What the process of a run finds when it gives a sign of life."""

    state: str
    cancel_asked: float | None
    cancel_by: str


def beat(connection: Connection, node: Node) -> None:
    """A scheduler's sign of life; makes its row when there is none."""
    process = node.process
    values = {
        "node": process.node,
        "boot": process.boot,
        "pid": process.pid,
        "pid_start": process.start,
        "started": node.started,
        "seen": node.seen,
        "leads": node.leads,
    }
    statement = schema.upsert(connection, _NODES).values(id=node.id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


def remove(connection: Connection, ids: Collection[str]) -> None:
    """Forget schedulers: they ended, or are gone."""
    connection.execute(delete(_NODES).where(_NODES.c.id.in_(list(ids))))


def listed(connection: Connection) -> list[Node]:
    """The schedulers that there are, or were, the longest at work first."""
    rows = connection.execute(select(_NODES).order_by(_NODES.c.started, _NODES.c.id))
    return [
        Node(row.id, Process(row.node, row.boot, row.pid, row.pid_start), row.started, row.seen, row.leads)
        for row in rows
    ]


def beat_run(connection: Connection, run_id: str, now: float) -> Asked | None:
    """A run's sign of life, and what it is asked for; None when the store does not know it any more."""
    here = _RUNS.c.id == run_id
    connection.execute(update(_RUNS).where(here).values(seen=now))
    row = connection.execute(select(_RUNS.c.state, _RUNS.c.cancel_asked, _RUNS.c.cancel_by).where(here)).first()
    return None if row is None else Asked(row.state, row.cancel_asked, row.cancel_by)


def asked(connection: Connection, run_id: str) -> Asked | None:
    """What a run is asked for, without a sign of life: needs no turn to write."""
    query = select(_RUNS.c.state, _RUNS.c.cancel_asked, _RUNS.c.cancel_by).where(_RUNS.c.id == run_id)
    row = connection.execute(query).first()
    return None if row is None else Asked(row.state, row.cancel_asked, row.cancel_by)


def signs(connection: Connection, but_of: str) -> dict[int, float | None]:
    """The signs of life of the runs under way on other machines than ``but_of``, by number."""
    query = select(_RUNS.c.number, _RUNS.c.seen).where(_RUNS.c.state == RUNNING, _RUNS.c.node != but_of)
    return {row.number: row.seen for row in connection.execute(query)}


def mark_dead(connection: Connection, number: int, sign: float | None, why: str) -> bool:
    """Mark a run as interrupted if its sign still is the one that stood still. Its tickets are not touched."""
    same = _RUNS.c.seen.is_(None) if sign is None else _RUNS.c.seen == sign
    dead = (_RUNS.c.number == number) & (_RUNS.c.state == RUNNING) & same
    values = {"state": "interrupted", "message": why, "finished": None}
    return connection.execute(update(_RUNS).where(dead).values(values)).rowcount == 1
