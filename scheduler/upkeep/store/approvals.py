# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Approvals: plans that wait for a person's word. Statements only, each on a connection that the caller holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from . import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

ASKED = "asked"
APPROVED = "approved"
"""A person said yes; it has not been applied yet."""
APPLIED = "applied"
"""The run that applied it has begun; how it went, that run says."""
REJECTED = "rejected"
EXPIRED = "expired"
"""Nobody said yes in time."""
DRIFTED = "drifted"
"""The world had changed since: another plan was found, and asked for anew."""
STATES = (ASKED, APPROVED, APPLIED, REJECTED, EXPIRED, DRIFTED)

_APPROVALS = schema.approvals


@dataclass(frozen=True)
class Approval:
    """A plan. ``run`` is the number of the check run that made it; times are seconds since the epoch."""

    run: int
    job: str
    due: float | None
    """The occurrence that it belongs to; None: of a check run by hand, until it is approved."""
    state: str  # one of STATES
    plan_hash: str
    plan: dict[str, Any]
    asked: float
    until: float
    answered: float | None
    answered_by: str
    why: str
    applied_by_run: int | None
    ticket: int | None


def ask(connection: Connection, run: int, job: str, plan_hash: str, plan: dict[str, Any], **values: Any) -> None:
    """Present a plan: ``values`` are due, asked, until."""
    row = {"answered": None, "answered_by": "", "why": "", "applied_by_run": None, "ticket": None, **values}
    connection.execute(insert(_APPROVALS).values(run=run, job=job, state=ASKED, plan_hash=plan_hash, plan=plan, **row))


def one(connection: Connection, run: int) -> Approval | None:
    """That of a check run; None when it has none."""
    row = connection.execute(select(_APPROVALS).where(_APPROVALS.c.run == run)).first()
    return None if row is None else _approval(row)


def in_state(connection: Connection, *states: str) -> list[Approval]:
    """All that are in some states, oldest first."""
    query = select(_APPROVALS).where(_APPROVALS.c.state.in_(states)).order_by(_APPROVALS.c.asked)
    return [_approval(row) for row in connection.execute(query)]


def newest(connection: Connection, limit: int) -> list[Approval]:
    """The newest, newest first."""
    query = select(_APPROVALS).order_by(_APPROVALS.c.asked.desc(), _APPROVALS.c.run.desc()).limit(limit)
    return [_approval(row) for row in connection.execute(query)]


def to_apply(connection: Connection, job: str, due: float) -> Approval | None:
    """The one that was approved for an occurrence, and is not applied yet."""
    wanted = (_APPROVALS.c.job == job) & (_APPROVALS.c.due == due) & (_APPROVALS.c.state == APPROVED)
    row = connection.execute(select(_APPROVALS).where(wanted).order_by(_APPROVALS.c.asked.desc()).limit(1)).first()
    return None if row is None else _approval(row)


def change(connection: Connection, run: int, was: str, **values: Any) -> bool:
    """Change one if it still is in a state; whether it was."""
    where = (_APPROVALS.c.run == run) & (_APPROVALS.c.state == was)
    return connection.execute(update(_APPROVALS).where(where).values(**values)).rowcount == 1


def _approval(row: Row[Any]) -> Approval:
    return Approval(**{name: getattr(row, name) for name in Approval.__dataclass_fields__})
