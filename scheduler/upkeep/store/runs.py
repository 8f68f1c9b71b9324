# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the store: statements only, each on a connection whose transaction the caller holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select, update
from sqlalchemy import insert as plain_insert

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import SEVERITIES

from ..errors import UpkeepError
from . import plans, schema
from .model import RUNNING, Finding, HostState, Run, RunDetail
from .process import Process, is_gone

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

HOST_STATES = ("ok", "failed", "unreachable")

GONE = "The process that carried it out is gone."

_RUNS = schema.runs
_FINDINGS = schema.findings


def next_number(connection: Connection, name: str, amount: int = 1) -> int:
    """The first of ``amount`` new numbers of a kind (a table's name)."""
    counters = schema.counters
    value = connection.scalar(select(counters.c.value).where(counters.c.name == name))
    if value is None:
        connection.execute(plain_insert(counters).values(name=name, value=amount))
        return 1
    connection.execute(update(counters).where(counters.c.name == name).values(value=value + amount))
    return int(value) + 1


def insert(connection: Connection, run_id: str, playbook: str, started: float, process: Process, **values: Any) -> int:
    """A new run; its number."""
    number = next_number(connection, "runs")
    defaults: dict[str, Any] = {
        "job": None,
        "check_mode": False,
        "state": RUNNING,
        "complete": False,
        "actor": "",
        "artifacts": "",
        "message": "",
        **dict.fromkeys(SEVERITIES, 0),
        **{f"hosts_{state}": 0 for state in HOST_STATES},
    }
    place = {"node": process.node, "boot": process.boot, "pid": process.pid, "pid_start": process.start}
    row = {**defaults, "number": number, "id": run_id, "playbook": playbook, "started": started, **place, **values}
    connection.execute(plain_insert(_RUNS).values(row))
    return number


def by_id(connection: Connection, run_id: str) -> Row[Any] | None:
    """The row of a run by its id."""
    return connection.execute(select(_RUNS).where(_RUNS.c.id == run_id)).first()


def lost(connection: Connection) -> list[int]:
    """Numbers of the runs under way whose process is gone."""
    columns = (_RUNS.c.number, _RUNS.c.node, _RUNS.c.boot, _RUNS.c.pid, _RUNS.c.pid_start)
    rows = connection.execute(select(*columns).where(_RUNS.c.state == RUNNING))
    return [row.number for row in rows if is_gone(Process(row.node, row.boot, row.pid, row.pid_start))]


def mark_lost(connection: Connection) -> None:
    """Mark those as interrupted. When they ended, nobody knows."""
    for number in lost(connection):
        connection.execute(
            update(_RUNS).where(_RUNS.c.number == number).values(state="interrupted", message=GONE, finished=None)
        )


def newest(connection: Connection, limit: int, job: str | None) -> list[Run]:
    """The newest runs, newest first."""
    query = select(_RUNS).order_by(_RUNS.c.started.desc(), _RUNS.c.number.desc()).limit(limit)
    if job is not None:
        query = query.where(_RUNS.c.job == job)
    return [_run(row) for row in connection.execute(query)]


def one(connection: Connection, which: str | int) -> Run:
    """A run by its number, its id, or the beginning of its id."""
    text = str(which).strip().lstrip("#")
    rows = []
    if text.isdigit() and len(text) < 10:
        rows = list(connection.execute(select(_RUNS).where(_RUNS.c.number == int(text))))
    if not rows and text:
        beginning = _RUNS.c.id.startswith(text, autoescape=True)
        rows = list(connection.execute(select(_RUNS).where(beginning).order_by(_RUNS.c.id != text).limit(2)))
        if len(rows) == 2 and rows[0].id == text:
            rows = rows[:1]
    if len(rows) == 1:
        return _run(rows[0])
    raise UpkeepError(
        f"there is no run {which}" if not rows else f"{which} is the beginning of several runs' ids",
        expected="a run's number, or enough of its id",
        found=str(which),
        remedy="See the list: upkeep runs",
    )


def detail(connection: Connection, run: Run, limit: int) -> RunDetail:
    """A run with its hosts, its worst findings and its plans."""
    planned, total = plans.first_of_run(connection, run.number, limit)
    found = worst(connection, run.number, limit)
    return RunDetail(run, hosts(connection, run.number), found, plans=planned, plans_total=total)


def hosts(connection: Connection, number: int) -> tuple[HostState, ...]:
    """A run's hosts, those that are not ok first."""
    table = schema.run_hosts
    order = case((table.c.state == "unreachable", 0), (table.c.state == "failed", 1), else_=2)
    rows = connection.execute(select(table).where(table.c.run == number).order_by(order, table.c.host))
    return tuple(HostState(row.host, row.state, row.ok, row.changed, row.failed) for row in rows)


def worst(connection: Connection, number: int, limit: int) -> tuple[Finding, ...]:
    """A run's findings, worst first."""
    table = _FINDINGS
    order = (table.c.rank, table.c.check_name, table.c.host, table.c.subject)
    rows = connection.execute(select(table).where(table.c.run == number).order_by(*order).limit(limit))
    return tuple(
        Finding(
            row.host,
            row.check_name,
            row.subject,
            SEVERITIES[row.rank],
            row.summary,
            tuple(row.evidence),
            row.remedy,
            row.facts,
        )
        for row in rows
    )


def count(connection: Connection, number: int) -> dict[str, int]:
    """A run's findings by severity, all five named."""
    table = _FINDINGS
    rows = connection.execute(select(table.c.rank, func.count()).where(table.c.run == number).group_by(table.c.rank))
    found: dict[int, int] = {row[0]: row[1] for row in rows}
    return {severity: found.get(rank, 0) for rank, severity in enumerate(SEVERITIES)}


def _run(row: Row[Any]) -> Run:
    return Run(
        number=row.number,
        id=row.id,
        job=row.job,
        playbook=row.playbook,
        check_mode=row.check_mode,
        state=row.state,
        started=row.started,
        finished=row.finished,
        recorded=row.recorded,
        complete=row.complete,
        actor=row.actor,
        artifacts=row.artifacts,
        message=row.message,
        counts={severity: getattr(row, severity) for severity in SEVERITIES},
        hosts={state: getattr(row, f"hosts_{state}") for state in HOST_STATES},
    )
