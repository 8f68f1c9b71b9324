# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The auditor's record: statements only, each on a connection whose transaction the caller holds.

A proof outlives its run: it carries who ran it, as what and when. Each has a SHA-256 digest of its content, and the
audit, which is only ever added to, holds one digest over all proofs of a run: one that was changed, removed or put in
later is seen by :func:`verify`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import OUTCOMES

from ..errors import UpkeepError
from . import audit, schema
from .model import UPKEEP, Proof
from .runs import next_number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy import ColumnElement, Connection, Row

RECORDED = "proofs.recorded"
FORGOTTEN = "proofs.forgotten"
"""Acts of the audit."""

RESTORES = ("backup.restore.", "backup.dump.", "backup.archive.")
"""What the names of tests begin with that restore something."""
FORGOTTEN_AFTER = 100.0
"""Days."""
_WORSE = ("passed", "cannot", "failed")

_PROOFS = schema.proofs
_KEY = ["run", "host", "check_name", "subject", "started"]


@dataclass(frozen=True)
class Verified:
    """What looking through the proofs found."""

    proofs: int
    runs: int
    faults: tuple[str, ...]
    """What does not hold, the first of it; empty: every proof is as it was recorded."""


@dataclass(frozen=True)
class Tested:
    """What restore tests of one kind have shown of one thing on one host."""

    host: str
    subject: str
    check: str
    outcome: str
    """Of the latest."""
    passed: float | None
    """When the run began in which it passed last (by our clock; a proof's own times are the host's); None: never."""
    recovery: float | None = None
    """Seconds that recovering all takes, by that one; None: it does not say."""


def keep(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Add proofs, those that are there already (of a file that is recorded again) left as they are.

    A row has all of the table's columns but number, digest and recovery.
    """
    if not rows:
        return
    first = next_number(connection, "proofs", len(rows))
    numbered = [
        {**row, "number": first + place, "digest": digest_of(row), "recovery": recovery(row["facts"])}
        for place, row in enumerate(rows)
    ]
    statement = schema.upsert(connection, _PROOFS).on_conflict_do_nothing(index_elements=_KEY)
    connection.execute(statement, numbered)


def recovery(facts: Mapping[str, Any]) -> float | None:
    """Seconds that recovering all of it takes, as a restore test measured it or worked it out from a sample."""
    rto = facts.get("rto")
    found = [rto.get("seconds")] if isinstance(rto, dict) else []
    # A dump: what starting the server and loading took. Another program's snapshot: the whole restore.
    found += [facts.get(name) for name in ("restore_seconds", "recovery_seconds", "seconds")]
    numbers = [one for one in found if isinstance(one, (int, float)) and not isinstance(one, bool) and one >= 0]
    return float(numbers[0]) if numbers else None


def digest_of(row: Mapping[str, Any]) -> str:
    """The SHA-256 digest of a proof's content, in hexadecimal."""
    names = ("run_id", "began", "job", "playbook", "actor", "host", "check_name", "subject", "outcome")
    content = [row[name] for name in (*names, "started", "ended", "summary", "facts")]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(connection: Connection, run: int, actor: str, now: float) -> None:
    """Write into the audit what proofs a run has, if it has any, and the digest over them."""
    sealed = _sealed(connection, run)
    if sealed["proofs"]:
        audit.write(connection, actor or UPKEEP, RECORDED, f"run {run}", sealed, now)


def _sealed(connection: Connection, run: int) -> dict[str, Any]:
    total = hashlib.sha256()
    count, began = 0, None
    query = select(_PROOFS.c.digest, _PROOFS.c.began).where(_PROOFS.c.run == run).order_by(_PROOFS.c.digest)
    for row in connection.execute(query):
        total.update(row.digest.encode())
        count, began = count + 1, row.began
    return {"proofs": count, "sha256": total.hexdigest(), "began": began}


def listed(
    connection: Connection,
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
    query = select(_PROOFS).order_by(_PROOFS.c.started.desc(), _PROOFS.c.number.desc()).limit(limit)
    for column, value in (("host", host), ("subject", subject), ("outcome", outcome), ("run", run)):
        if value is not None:
            query = query.where(_PROOFS.c[column] == value)
    if check is not None:
        beginning = _PROOFS.c.check_name.startswith(check.rstrip(".") + ".", autoescape=True)
        query = query.where((_PROOFS.c.check_name == check) | beginning)
    if since is not None:
        query = query.where(_PROOFS.c.started >= since)
    return [_proof(row) for row in connection.execute(query)]


def one(connection: Connection, number: int) -> Proof:
    """A proof by its number; UpkeepError (WRONG_USE) when there is none."""
    row = connection.execute(select(_PROOFS).where(_PROOFS.c.number == number)).first()
    if row is None:
        raise UpkeepError(
            f"there is no proof {number}",
            expected="a proof's number",
            found=str(number),
            remedy="See the list: upkeep proofs",
        )
    return _proof(row)


def latest(connection: Connection, places: Iterable[tuple[str, str]], each: int = 3, most: int = 30) -> list[Proof]:
    """The newest ``each`` proofs of each of the first ``most`` (host, subject), in the order that they are given in."""
    wanted = list(dict.fromkeys(places))[:most]
    newest = (_PROOFS.c.started.desc(), _PROOFS.c.number.desc())
    place = func.row_number().over(partition_by=(_PROOFS.c.host, _PROOFS.c.subject), order_by=newest)
    hosts, subjects = {host for host, _subject in wanted}, {subject for _host, subject in wanted}
    near = _PROOFS.c.host.in_(hosts) & _PROOFS.c.subject.in_(subjects)
    ranked = select(_PROOFS, place.label("place")).where(near).subquery()
    rows = connection.execute(select(ranked).where(ranked.c.place <= each).order_by(ranked.c.place))
    found: dict[tuple[str, str], list[Proof]] = {pair: [] for pair in wanted}
    for row in rows:
        if (row.host, row.subject) in found:
            found[row.host, row.subject].append(_proof(row))
    return [proof for proofs in found.values() for proof in proofs]


def count(connection: Connection, run: int) -> dict[str, int]:
    """A run's proofs by outcome, all three named."""
    query = select(_PROOFS.c.outcome, func.count()).where(_PROOFS.c.run == run).group_by(_PROOFS.c.outcome)
    found: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    return {outcome: found.get(outcome, 0) for outcome in OUTCOMES}


def newest_by_host(connection: Connection, hosts: Collection[str] | None = None) -> dict[str, list[dict[str, Any]]]:
    """How the newest restore test of each thing on each host ended; of some hosts, or of all.

    What the proofs of FORGOTTEN_AFTER before the newest one no longer name is forgotten: it may be there no more. Each:
    ``subject``, ``kind`` (the test), ``verdict`` (passed | failed | cannot), ``at`` (when the run of the newest one
    began, by our clock), and ``passed`` (the same of the last one that passed; None: none did).
    """
    newest = connection.scalar(select(func.max(_PROOFS.c.began)))
    found: dict[str, list[dict[str, Any]]] = {}
    if newest is None:
        return found
    young = _PROOFS.c.began > newest - FORGOTTEN_AFTER * 86400.0
    wanted = None if hosts is None else sorted(hosts)
    for start in range(0, 1 if wanted is None else len(wanted), 500):
        some = young if wanted is None else young & _PROOFS.c.host.in_(wanted[start : start + 500])
        for (host, subject, check), began in sorted(_ended(connection, some).items()):
            verdict = _newest(began)
            made = {"subject": subject, "kind": check, "verdict": verdict, "at": began[verdict]}
            found.setdefault(host, []).append({**made, "passed": began.get("passed")})
    return found


def _ended(connection: Connection, which: ColumnElement[bool]) -> dict[tuple[str, str, str], dict[str, float]]:
    """By host, subject and test, when each outcome of restore tests was last seen."""
    table = _PROOFS.c
    # As an expression: SQLite would else walk through all of another index that has the groups in their order.
    host = func.coalesce(table.host, "").label("host")
    place = (host, table.subject, table.check_name)
    ends = select(*place, table.outcome, func.max(table.began).label("began")).where(which)
    ended: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in connection.execute(ends.group_by(*place, table.outcome)):
        if row.check_name.startswith(RESTORES):
            ended.setdefault((row.host, row.subject, row.check_name), {})[row.outcome] = row.began
    return ended


def _newest(began: Mapping[str, float]) -> str:
    """The outcome that was seen last; of two in one run the worse one counts."""
    return max(began, key=lambda outcome: (began[outcome], _WORSE.index(outcome)))


def figures(connection: Connection, days: float, most: int) -> tuple[list[Tested], int]:
    """What restore tests have shown of each host, subject and test, at the most so many; and how many are left out.

    Those that passed longest ago come first. One that the proofs of some ``days`` before the newest no longer name is
    forgotten; what counts is the time between proofs, not the time since: while nothing is tested, all stay.
    """
    table = _PROOFS.c
    newest = connection.scalar(select(func.max(table.began)))
    if newest is None:
        return [], 0
    ended = _ended(connection, table.began > newest - days * 86400.0)
    recoveries: dict[tuple[str, str, str, float], float | None] = {}
    # Of the runs in which something passed last: few, for each run tests much.
    lasts = sorted({began["passed"] for began in ended.values() if "passed" in began})
    for start in range(0, len(lasts), 500):
        part = lasts[start : start + 500]
        place = (func.coalesce(table.host, "").label("host"), table.subject, table.check_name)
        took = select(*place, table.began, func.max(table.recovery)).group_by(*place, table.began)
        took = took.where(table.began.in_(part), table.outcome == "passed")
        recoveries |= {(row[0], row[1], row[2], row[3]): row[4] for row in connection.execute(took)}
    found = [
        Tested(
            *key,
            outcome=_newest(began),
            passed=began.get("passed"),
            recovery=recoveries.get((*key, began.get("passed", 0.0))),
        )
        for key, began in ended.items()
    ]
    found.sort(key=lambda one: (one.passed or 0.0, one.host, one.subject, one.check))
    return found[:most], max(0, len(found) - most)


def prune(connection: Connection, before: float, now: float) -> int:
    """Remove the proofs of the runs that began before a moment, and say so in the audit; how many."""
    old = _PROOFS.c.began < before
    if connection.scalar(select(_PROOFS.c.number).where(old).limit(1)) is None:
        return 0
    gone = connection.execute(delete(_PROOFS).where(old)).rowcount
    audit.write(connection, UPKEEP, FORGOTTEN, "proofs", {"proofs": gone, "began_before": before}, now)
    return gone


def verify(connection: Connection, faults: int = 20) -> Verified:
    """Hold every proof against its digest, and those of each run against what the audit says of them."""
    found: list[str] = [f"the audit: {fault}" for fault in audit.verify(connection, faults).faults]
    proofs = 0
    rows = connection.execution_options(yield_per=500).execute(select(_PROOFS).order_by(_PROOFS.c.number))
    for row in rows:
        proofs += 1
        if digest_of(dict(row._mapping)) != row.digest:
            found.append(f"proof {row.number} ({row.check_name} of {row.host}) was changed")
    sealed = {int(act.object.split()[-1]): act.detail for act in audit.listed(connection, action=RECORDED)}
    forgotten = [act.detail["began_before"] for act in audit.listed(connection, action=FORGOTTEN)]
    runs = set(connection.scalars(select(_PROOFS.c.run).distinct()))
    for run in sorted(runs - set(sealed)):
        found.append(f"the audit knows of no proofs of run {run}: they were put in")
    for run, said in sorted(sealed.items()):
        if run in runs:
            there = _sealed(connection, run)
            if there["sha256"] != said["sha256"]:
                found.append(
                    f"run {run} had {said['proofs']} proof(s) when it was recorded, and has {there['proofs']}: "
                    "they are not the same"
                )
        elif said["began"] >= max(forgotten, default=0.0):
            found.append(f"run {run} had {said['proofs']} proof(s), and they are gone")
    return Verified(proofs, len(runs), tuple(found[:faults]))


def _proof(row: Row[Any]) -> Proof:
    return Proof(
        number=row.number,
        host=row.host,
        check=row.check_name,
        subject=row.subject,
        outcome=row.outcome,
        started=row.started,
        ended=row.ended,
        summary=row.summary,
        facts=row.facts,
        run=row.run,
        run_id=row.run_id,
        job=row.job,
        playbook=row.playbook,
        actor=row.actor,
        digest=row.digest,
    )
