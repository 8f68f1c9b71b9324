# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of hosts, as runs reported them: statements only, each on a connection whose transaction the caller holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from . import schema
from .schema_campaigns import campaign_hosts, campaigns, plans

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection, Row

_KEY = ["run", "host", "subject"]
MANY = 500
"""Hosts that one statement asks for: SQLite takes a bounded number of values."""


@dataclass(frozen=True)
class Plan:
    """What a run would do to a host."""

    host: str
    subject: str
    id: str
    run: int
    at: float
    summary: str
    plan: dict[str, Any]


def keep(connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Add plans (with all columns of the table); one that is there already is left as it is."""
    made = list(rows)
    if made:
        connection.execute(schema.upsert(connection, plans).on_conflict_do_nothing(index_elements=_KEY), made)


def of_run(connection: Connection, run: int, subject: str) -> dict[str, Plan]:
    """The plans that a run made, by host."""
    rows = connection.execute(select(plans).where(plans.c.run == run, plans.c.subject == subject))
    return {row.host: _plan(row) for row in rows}


def first_of_run(connection: Connection, run: int, limit: int) -> tuple[tuple[Plan, ...], int]:
    """The plans that a run made, by host, and how many there are beyond the limit, too."""
    of = plans.c.run == run
    total = connection.execute(select(func.count()).select_from(plans).where(of)).scalar_one()
    rows = connection.execute(select(plans).where(of).order_by(plans.c.host, plans.c.subject).limit(limit))
    return tuple(_plan(row) for row in rows) if total else (), total


def newest(connection: Connection, hosts: Collection[str], subject: str) -> dict[str, Plan]:
    """The newest plan of each host that has one."""
    found: dict[str, Plan] = {}
    names = sorted(hosts)
    for start in range(0, len(names), MANY):
        some = plans.c.host.in_(names[start : start + MANY]) & (plans.c.subject == subject)
        last = select(plans.c.host, func.max(plans.c.run).label("run")).where(some).group_by(plans.c.host).subquery()
        joined = (plans.c.host == last.c.host) & (plans.c.run == last.c.run) & (plans.c.subject == subject)
        found |= {row.host: _plan(row) for row in connection.execute(select(plans).join(last, joined))}
    return found


def of_hosts(connection: Connection, campaign: int, hosts: Collection[str] | None = None) -> dict[str, Plan]:
    """The plans that a campaign carries out, by host; of some hosts, or of all."""
    joined = (
        (plans.c.run == campaign_hosts.c.plan_run)
        & (plans.c.host == campaign_hosts.c.host)
        & (plans.c.id == campaign_hosts.c.plan)
    )
    query = select(plans).join(campaign_hosts, joined).where(campaign_hosts.c.campaign == campaign)
    found = {row.host: _plan(row) for row in connection.execute(query)}
    return found if hosts is None else {host: plan for host, plan in found.items() if host in hosts}


def prune(connection: Connection, before: float, ended: Collection[str]) -> int:
    """Forget the plans of runs that began before a moment, but not those of a campaign that is in none of ``ended``."""
    needed = (
        select(campaign_hosts.c.plan_run)
        .join(campaigns, campaigns.c.number == campaign_hosts.c.campaign)
        .where(campaigns.c.state.not_in(list(ended)), campaign_hosts.c.plan_run.is_not(None))
    )
    return connection.execute(delete(plans).where(plans.c.at < before, plans.c.run.not_in(needed))).rowcount


def _plan(row: Row[Any]) -> Plan:
    return Plan(row.host, row.subject, row.id, row.run, row.at, row.summary, row.plan)
