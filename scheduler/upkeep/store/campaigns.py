# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns, how each of their hosts stands, and the claims on their steps. Statements on a caller's connection."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, delete, func, insert, select, update

from ..campaign import model
from ..campaign.model import Campaign, Held, Host, RingState, Spec
from ..errors import UpkeepError
from . import audit, schema
from .model import UPKEEP
from .runs import next_number
from .schema_campaigns import campaign_hosts, campaign_steps, campaign_undo, campaigns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

WAITING = "waiting"
"""A step that is claimed, and whose run has not begun."""
AT_WORK = "running"
ENDED = "ended"
OPEN = (WAITING, AT_WORK)

_HOST_COLUMNS = tuple(name for name in Host.__dataclass_fields__ if name not in ("name", "undo"))


@dataclass(frozen=True)
class Kept:
    """A campaign with what the store knows beside how it stands. Times are seconds since the epoch."""

    number: int
    name: str
    campaign: Campaign
    digest: str
    created: float
    created_by: str
    approved: float | None
    approved_by: str
    approved_why: str
    started: float | None
    started_by: str
    ended: float | None

    @property
    def waits_for_approval(self) -> bool:
        """Whether a person's word is all that it waits for."""
        campaign = self.campaign
        some = any(host.ring is not None for host in campaign.hosts)
        return campaign.state == model.WAITS and campaign.spec.approve and self.approved is None and some


@dataclass(frozen=True)
class Step:
    """One step that was claimed."""

    id: int
    campaign: int
    sequence: int
    step: str
    hosts: tuple[str, ...]
    ring: int | None
    batch: int | None
    gate: bool
    state: str  # waiting | running | ended
    run: str | None
    claimed: float
    launched: float | None
    ended: float | None
    seconds: float | None
    outcomes: dict[str, str]
    why: str


@dataclass(frozen=True)
class Undo:
    """What is, or was, to be undone."""

    host: str
    kind: str
    since: float
    cleared: float | None


def create(connection: Connection, spec: Spec, by: str, now: float) -> int:
    """A new campaign whose plan is being made; those of its name that were not started give way to it."""
    waiting = campaigns.c.state.in_((model.PLANNING, model.WAITS)) & (campaigns.c.name == spec.title)
    gone = {"state": model.REPLACED, "why": "a newer plan took its place", "ended": now}
    connection.execute(update(campaigns).where(waiting).values(gone))
    number = next_number(connection, "campaigns")
    row = {
        "number": number,
        "name": spec.title,
        "state": model.PLANNING,
        "ending": "",
        "why": "",
        "spec": spec.as_json(),
        "digest": "",
        "rings": [],
        "forgiven": 0,
        "created": now,
        "created_by": by,
        "approved_by": "",
        "approved_why": "",
        "started_by": "",
    }
    connection.execute(insert(campaigns).values(row))
    return number


def planned(
    connection: Connection, number: int, hosts: Sequence[Host], plan_runs: Mapping[str, int], digest: str, now: float
) -> None:
    """Its plan is there: the hosts with their rings. ``plan_runs``: which run planned each."""
    connection.execute(delete(campaign_hosts).where(campaign_hosts.c.campaign == number))
    rows = [{**_row(host), "campaign": number, "plan_run": plan_runs.get(host.name)} for host in hosts]
    if rows:
        connection.execute(insert(campaign_hosts), rows)
    connection.execute(update(campaigns).where(campaigns.c.number == number).values(state=model.WAITS, digest=digest))
    kept = one(connection, number)
    detail = {"name": kept.name, "hosts": sum(host.ring is not None for host in hosts), "digest": digest}
    audit.write(connection, kept.created_by or UPKEEP, "campaign.planned", f"campaign {number}", detail, now)


def forget(connection: Connection, number: int) -> None:
    """Remove a campaign whose plan came to nothing."""
    connection.execute(delete(campaigns).where(campaigns.c.number == number, campaigns.c.state == model.PLANNING))


def one(connection: Connection, number: int) -> Kept:
    """A campaign by its number; UpkeepError (WRONG_USE) when there is none."""
    row = connection.execute(select(campaigns).where(campaigns.c.number == number)).first()
    if row is None:
        raise UpkeepError(
            f"there is no campaign {number}",
            expected="a campaign's name or number",
            found=str(number),
            remedy="See the list: upkeep campaign",
        )
    return _kept(connection, row)


def newest(connection: Connection, name: str) -> int | None:
    """The number of the newest campaign of a name; None when it was never planned."""
    found: int | None = connection.scalar(select(func.max(campaigns.c.number)).where(campaigns.c.name == name))
    return found


def held(connection: Connection, number: int) -> dict[str, Held]:
    """The hosts that other campaigns have: at work, still drained, or in quarantine with something left to undo."""
    hosts, undo = campaign_hosts.c, campaign_undo.c
    left = (
        select(undo.campaign, undo.host, func.max(case((undo.kind == model.DRAIN, 1), else_=0)).label("drained"))
        .where(undo.cleared.is_(None))
        .group_by(undo.campaign, undo.host)
        .subquery()
    )
    at_work = hosts.batch.is_not(None) & (hosts.state.not_in(list(model.SETTLED)) | (hosts.way == model.RELEASE))
    kept = left.c.host.is_not(None) & ((left.c.drained == 1) | (hosts.state == model.QUARANTINED))
    query = (
        select(
            hosts.host, hosts.state, hosts.way, hosts.lost, hosts.campaign, campaigns.c.name, at_work.label("at_work")
        )
        .join(campaigns, campaigns.c.number == hosts.campaign)
        .join(left, (left.c.campaign == hosts.campaign) & (left.c.host == hosts.host), isouter=True)
        .where(hosts.campaign != number, at_work | kept)
        .order_by(hosts.campaign.desc())
    )
    found: dict[str, Held] = {}
    for row in connection.execute(query):
        quarantined = row.state == model.QUARANTINED and not row.at_work and not row.lost
        how = "is quarantined by" if quarantined else "is at work in" if row.at_work else "is still drained by"
        found[row.host] = Held(f"{row.host} {how} campaign {row.campaign}, {row.name}", quarantined)
    return found


def to_come(connection: Connection, number: int) -> dict[str, str]:
    """The hosts whose turn is not over in other campaigns that are under way: which campaign it is."""
    hosts = campaign_hosts.c
    query = (
        select(hosts.host, hosts.campaign, campaigns.c.name)
        .join(campaigns, campaigns.c.number == hosts.campaign)
        .where(hosts.campaign != number, campaigns.c.state == model.RUNNING)
        .where(hosts.ring.is_not(None), hosts.state.not_in(list(model.SETTLED)))
        .order_by(hosts.campaign.desc())
    )
    return {
        row.host: f"{row.host} is to come in campaign {row.campaign}, {row.name}" for row in connection.execute(query)
    }


def in_state(connection: Connection, *states: str) -> list[int]:
    """The numbers of the campaigns in some states, in their order."""
    wanted = select(campaigns.c.number).where(campaigns.c.state.in_(states)).order_by(campaigns.c.number)
    return list(connection.scalars(wanted))


def started(connection: Connection, name: str) -> int | None:
    """The number of the campaign of a name that is under way, paused or stopped; None when none is."""
    under_way = campaigns.c.state.in_((model.RUNNING, model.PAUSED, model.STOPPED)) & (campaigns.c.name == name)
    found: int | None = connection.scalar(select(func.max(campaigns.c.number)).where(under_way))
    return found


def listed(connection: Connection, limit: int) -> list[Kept]:
    """The newest campaigns, newest first; of their hosts too."""
    rows = connection.execute(select(campaigns).order_by(campaigns.c.number.desc()).limit(limit)).all()
    return [_kept(connection, row) for row in rows]


def to_tell(connection: Connection, limit: int) -> list[Kept]:
    """The newest campaigns, and older ones in which something stands still: waiting or under way, with a host in
    quarantine, or with something to undo. Newest first."""
    number = campaigns.c.number
    newest_ones = select(number).order_by(number.desc()).limit(limit).subquery()
    open_ones = campaigns.c.state.in_((model.WAITS, model.RUNNING, model.PAUSED, model.STOPPED))
    stands = open_ones | number.in_(_left()) | number.in_(select(newest_ones.c.number))
    rows = connection.execute(select(campaigns).where(stands).order_by(number.desc())).all()
    return [_kept(connection, row) for row in rows]


def _left() -> Select[Any]:
    """The numbers of campaigns with something that is not undone, or a host in quarantine."""
    undone = select(campaign_undo.c.campaign).where(campaign_undo.c.cleared.is_(None))
    quarantined = select(campaign_hosts.c.campaign).where(campaign_hosts.c.state == model.QUARANTINED)
    return select(undone.union(quarantined).subquery().c.campaign)


def of_interest(connection: Connection) -> list[int]:
    """Campaigns of which something may be to be done: under way, or ended with something that is not undone."""
    left = select(campaign_undo.c.campaign).where(campaign_undo.c.cleared.is_(None))
    released = select(campaign_hosts.c.campaign).where(campaign_hosts.c.way == model.RELEASE)
    open_steps = select(campaign_steps.c.campaign).where(campaign_steps.c.state.in_(OPEN))
    wanted = (
        (campaigns.c.state == model.RUNNING)
        | campaigns.c.number.in_(left)
        | campaigns.c.number.in_(released)
        | (campaigns.c.number.in_(open_steps) & (campaigns.c.state != model.PLANNING))
    )
    return list(connection.scalars(select(campaigns.c.number).where(wanted).order_by(campaigns.c.number)))


def save(connection: Connection, number: int, before: Campaign, after: Campaign, by: str, now: float) -> None:
    """Write what has changed of a campaign, and say in the audit when its state has.

    ``by``: the person who does it; "": Upkeep itself.
    """
    values: dict[str, Any] = {}
    for name in ("state", "ending", "why", "forgiven"):
        if getattr(before, name) != getattr(after, name):
            values[name] = getattr(after, name)
    if before.rings != after.rings:
        values["rings"] = [asdict(ring) for ring in after.rings]
    if after.state in model.ENDED and before.state not in model.ENDED:
        values["ended"] = now
    if values:
        connection.execute(update(campaigns).where(campaigns.c.number == number).values(values))
    if before.state != after.state:
        detail = {"name": after.spec.title, "was": before.state, "why": after.why, "forgiven": after.forgiven}
        audit.write(connection, by or UPKEEP, f"campaign.{after.state}", f"campaign {number}", detail, now)
    if after.ending and before.ending != after.ending:
        detail = {"name": after.spec.title, "to_be": after.ending, "why": after.why}
        audit.write(connection, by or UPKEEP, "campaign.ending", f"campaign {number}", detail, now)
    old = {host.name: host for host in before.hosts}
    for host in after.hosts:
        was = old[host.name]
        if host == was:
            continue
        this = (campaign_hosts.c.campaign == number) & (campaign_hosts.c.host == host.name)
        connection.execute(update(campaign_hosts).where(this).values(_row(host)))
        for kind in host.undo - was.undo:
            statement = schema.upsert(connection, campaign_undo)
            statement = statement.values(campaign=number, host=host.name, kind=kind, since=now, cleared=None)
            again = {"since": now, "cleared": None}
            key = ["campaign", "host", "kind"]
            connection.execute(statement.on_conflict_do_update(index_elements=key, set_=again))
        for kind in was.undo - host.undo:
            row = (campaign_undo.c.campaign == number) & (campaign_undo.c.host == host.name)
            connection.execute(update(campaign_undo).where(row, campaign_undo.c.kind == kind).values(cleared=now))


def set_approved(connection: Connection, number: int, by: str, why: str, now: float) -> None:
    """A person says yes to what its digest stands for."""
    kept = one(connection, number)
    values = {"approved": now, "approved_by": by, "approved_why": why}
    connection.execute(update(campaigns).where(campaigns.c.number == number).values(values))
    detail = {"name": kept.name, "digest": kept.digest, "why": why}
    audit.write(connection, by, "campaign.approved", f"campaign {number}", detail, now)


def set_started(connection: Connection, number: int, by: str, now: float) -> None:
    """Who started it, and when."""
    connection.execute(update(campaigns).where(campaigns.c.number == number).values(started=now, started_by=by))


# --- steps ------------------------------------------------------------------------------------------------------------


def claim(
    connection: Connection,
    number: int,
    step: str,
    hosts: Sequence[str],
    now: float,
    *,
    ring: int | None = None,
    batch: int | None = None,
    gate: bool = False,
) -> int | None:
    """Make the next step of a campaign ours to have carried out; its id, or None when somebody else has it already."""
    last = connection.scalar(select(func.max(campaign_steps.c.sequence)).where(campaign_steps.c.campaign == number))
    values: dict[str, Any] = {
        "campaign": number,
        "sequence": (last or 0) + 1,
        "step": step,
        "hosts": list(hosts),
        "ring": ring,
        "batch": batch,
        "gate": gate,
        "state": WAITING,
        "claimed": now,
        "outcomes": {},
        "why": "",
    }
    statement = schema.upsert(connection, campaign_steps).values(values)
    statement = statement.on_conflict_do_nothing(index_elements=["campaign", "sequence"])
    return connection.execute(statement.returning(campaign_steps.c.id)).scalar()


def open_step(connection: Connection, number: int) -> Step | None:
    """The step of a campaign that is claimed and has not ended."""
    query = select(campaign_steps).where(campaign_steps.c.campaign == number, campaign_steps.c.state.in_(OPEN))
    row = connection.execute(query.order_by(campaign_steps.c.sequence).limit(1)).first()
    return None if row is None else _step(row)


def step_of(connection: Connection, step: int) -> Step | None:
    """A step by its id."""
    row = connection.execute(select(campaign_steps).where(campaign_steps.c.id == step)).first()
    return None if row is None else _step(row)


def steps(connection: Connection, number: int) -> list[Step]:
    """All steps of a campaign, in their order."""
    query = select(campaign_steps).where(campaign_steps.c.campaign == number).order_by(campaign_steps.c.sequence)
    return [_step(row) for row in connection.execute(query)]


def launching(connection: Connection, step: int, now: float) -> None:
    """A process is started for it."""
    waits = (campaign_steps.c.id == step) & (campaign_steps.c.state == WAITING)
    connection.execute(update(campaign_steps).where(waits).values(launched=now))


def begin(connection: Connection, step: int, run_id: str) -> bool:
    """Make a run the one of this step. False: it has one; then the run must not begin."""
    waits = (campaign_steps.c.id == step) & (campaign_steps.c.state == WAITING) & campaign_steps.c.run.is_(None)
    return connection.execute(update(campaign_steps).where(waits).values(state=AT_WORK, run=run_id)).rowcount == 1


def end(
    connection: Connection, step: int, outcomes: Mapping[str, str], why: str, seconds: float | None, now: float
) -> bool:
    """It has ended; False when somebody else has said so already, and has learned from it."""
    is_open = (campaign_steps.c.id == step) & campaign_steps.c.state.in_(OPEN)
    values = {"state": ENDED, "outcomes": dict(outcomes), "why": why, "seconds": seconds, "ended": now}
    return connection.execute(update(campaign_steps).where(is_open).values(values)).rowcount == 1


def tells(connection: Connection, run_id: str) -> bool:
    """Whether a run is a step of a campaign that changes hosts: of those the campaign says what became of each."""
    query = select(campaign_steps.c.step).where(campaign_steps.c.run == run_id, campaign_steps.c.step != model.PLAN)
    return connection.scalar(query.limit(1)) is not None


def undo_of(connection: Connection, number: int) -> list[Undo]:
    """All that was to be undone, and when it was."""
    query = select(campaign_undo).where(campaign_undo.c.campaign == number)
    rows = connection.execute(query.order_by(campaign_undo.c.host, campaign_undo.c.since, campaign_undo.c.kind))
    return [Undo(row.host, row.kind, row.since, row.cleared) for row in rows]


def prune(connection: Connection, before: float) -> int:
    """Forget campaigns that ended before a moment, but not those with something that is not undone, or a host in
    quarantine."""
    old = (campaigns.c.ended < before) & campaigns.c.state.in_(list(model.ENDED)) & campaigns.c.number.not_in(_left())
    return connection.execute(delete(campaigns).where(old)).rowcount


def _measured(connection: Connection, number: int) -> dict[str, float]:
    table = campaign_steps.c
    longest = func.max(table.seconds).label("longest")
    query = select(table.step, longest).where(table.campaign == number, table.seconds.is_not(None))
    rows = connection.execute(query.where(table.gate.is_(False)).group_by(table.step))
    return {row.step: row.longest for row in rows if row.step != model.PLAN}


def _kept(connection: Connection, row: Row[Any]) -> Kept:
    undo: dict[str, set[str]] = {}
    query = select(campaign_undo.c.host, campaign_undo.c.kind)
    for one_of in connection.execute(
        query.where(campaign_undo.c.campaign == row.number, campaign_undo.c.cleared.is_(None))
    ):
        undo.setdefault(one_of.host, set()).add(one_of.kind)
    found = connection.execute(
        select(campaign_hosts)
        .where(campaign_hosts.c.campaign == row.number)
        .order_by(campaign_hosts.c.place, campaign_hosts.c.host)
    )
    hosts = tuple(
        Host(
            name=host.host,
            undo=frozenset(undo.get(host.host, ())),
            **{name: getattr(host, name) for name in _HOST_COLUMNS},
        )
        for host in found
    )
    campaign = Campaign(
        spec=Spec.from_json(row.spec),
        hosts=hosts,
        state=row.state,
        ending=row.ending,
        why=row.why,
        rings=tuple(RingState(**ring) for ring in row.rings),
        forgiven=row.forgiven,
        measured=_measured(connection, row.number),
    )
    told = ("number", "name", "digest", "created", "created_by", "approved", "approved_by", "approved_why")
    values = {name: getattr(row, name) for name in (*told, "started", "started_by", "ended")}
    return Kept(campaign=campaign, **values)


def _row(host: Host) -> dict[str, Any]:
    row = {name: getattr(host, name) for name in _HOST_COLUMNS}
    return {**row, "host": host.name, "seconds": dict(host.seconds), "times": dict(host.times)}


def _step(row: Row[Any]) -> Step:
    values = {name: getattr(row, name) for name in Step.__dataclass_fields__}
    return Step(**{**values, "hosts": tuple(row.hosts)})


def hosts_of_campaigns(connection: Connection, states: Collection[str]) -> list[tuple[int, str, Host]]:
    """The hosts in some states, of all campaigns: (campaign, its name, host)."""
    query = (
        select(campaign_hosts, campaigns.c.name.label("campaign_name"))
        .join(campaigns, campaigns.c.number == campaign_hosts.c.campaign)
        .where(campaign_hosts.c.state.in_(list(states)))
        .order_by(campaign_hosts.c.campaign, campaign_hosts.c.place)
    )
    return [
        (row.campaign, row.campaign_name, Host(row.host, **{name: getattr(row, name) for name in _HOST_COLUMNS}))
        for row in connection.execute(query)
    ]
