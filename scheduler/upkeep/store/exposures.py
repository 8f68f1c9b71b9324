# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is exposed to what, since when, and when it was mended: statements only, on the caller's connection.

Each answer is kept as it came. What follows from them is :func:`stands`, which is pure: answers may be recorded in any
order, and twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_exposure import SAFE, STATES

from . import schema
from .missing import BACK_DAYS, DAY
from .schema_exposures import exposures

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection

    from .states import Reported

KEY_LIMIT = 300
KEYS = 200
"""What one answer may be about."""
PACKAGES = 50
LONGEST_RUN = 7 * 86400.0
"""Seconds: what an answer says of its time beyond that is not believed."""
MANY = 400
UNSAFE = ("exposed", "mitigated")
NO_ANSWER = "no_answer"
"""The state of a host that was in a run that asked, and told nothing."""


@dataclass(frozen=True)
class Answer:
    """What a host said of itself."""

    host: str
    asked: str
    at: float
    run: int
    state: str
    why: str = ""
    packages: tuple[dict[str, str], ...] = ()
    mitigations: tuple[str, ...] = ()
    published: float | None = None
    plan: str = ""


@dataclass(frozen=True)
class Stand:
    """How a host stands. Times are seconds since the epoch."""

    host: str
    state: str
    """One of the collection's STATES, or NO_ANSWER."""
    why: str
    asked_at: float
    exposed_since: float | None
    """When it was first seen exposed; anew when it is BACK_DAYS (see missing.py) after it was mended."""
    mitigated_at: float | None
    """When it was first seen mitigated."""
    patched_at: float | None
    """When it was first seen to be mended, after it was exposed last; None: it is not, or never was exposed."""
    published: float | None
    packages: tuple[dict[str, str], ...]
    mitigations: tuple[str, ...]
    plan: str
    run: int

    @property
    def seconds_to_patch(self) -> float | None:
        """From when it was first seen exposed until it was seen to be mended."""
        if self.patched_at is None or self.exposed_since is None:
            return None
        return self.patched_at - self.exposed_since


def keep(connection: Connection, reported: Sequence[Reported]) -> list[str]:
    """Take over what hosts answered; sentences about what could not be read."""
    rows: list[dict[str, Any]] = []
    wrong: Counter[str] = Counter()
    for one in reported:
        told = one.data.get("exposure")
        if not isinstance(told, dict):
            wrong[one.host] += 1
            continue
        at = one.data.get("at")
        believed = isinstance(at, (int, float)) and not isinstance(at, bool) and 0 <= at - one.at <= LONGEST_RUN
        for key, entry in list(told.items())[:KEYS]:
            if not 0 < len(key) <= KEY_LIMIT:
                wrong[one.host] += 1
                continue
            row = _row(key, entry)
            if row is None:  # what it said before is no answer to this question
                wrong[one.host] += 1
                row = _row(key, {"state": "not_known", "why": "what it told cannot be read"})
                assert row is not None
            row |= {"host": one.host, "at": at if believed else one.at, "run": one.run}
            rows.append({**row, "plan": str(one.data.get("plan") or "")[:100]})
    if rows:
        connection.execute(schema.upsert(connection, exposures).on_conflict_do_nothing(), rows)
    return [f"What {host} says of its exposure cannot be read, and is not known." for host in sorted(wrong)]


def _row(key: str, entry: Any) -> dict[str, Any] | None:
    if not isinstance(entry, dict) or entry.get("state") not in STATES:
        return None
    published = entry.get("published")
    is_time = isinstance(published, (int, float)) and not isinstance(published, bool) and 0 < published < 1e11
    packages = [one for one in _list(entry.get("packages")) if isinstance(one, dict)][:PACKAGES]
    return {
        "asked": key,
        "state": entry["state"],
        "why": str(entry.get("why") or "")[:1000],
        "packages": [
            {name: str(one.get(name) or "")[:200] for name in ("name", "installed", "fixed", "candidate")}
            for one in packages
        ],
        "mitigations": [str(one)[:64] for one in _list(entry.get("mitigations"))[:PACKAGES]],
        "published": float(published) if is_time and published is not None else None,
    }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def stands(answers: Iterable[Answer]) -> dict[str, Stand]:
    """How each host stands, by all of its answers to one question."""
    found = {}
    ordered = sorted(answers, key=lambda one: (one.host, one.at))
    for host, group in groupby(ordered, key=lambda one: one.host):
        some = list(group)
        last = some[-1]
        first = _begins(some)
        mended = mitigated = None
        if first is not None:
            mitigated = next((one.at for one in some[first:] if one.state == "mitigated"), None)
            unsafe = max(place for place, one in enumerate(some) if one.state in UNSAFE)
            # Not known is neither: a host that was exposed and does not tell any more counts as exposed until it does.
            mended = next((one.at for one in some[unsafe:] if one.state in SAFE), None)
        shown = next((one for one in reversed(some) if one.packages), last)
        planned = next((one.plan for one in reversed(some) if one.plan and one.state in UNSAFE), last.plan)
        found[host] = Stand(
            host, last.state, last.why, last.at, None if first is None else some[first].at, mitigated, mended,
            next((one.published for one in reversed(some) if one.published is not None), None),
            shown.packages, last.mitigations, planned, last.run,
        )  # fmt: skip
    return found


def _begins(some: Sequence[Answer]) -> int | None:
    """Which answer was the first one of its last exposure; one that was put back soon goes on."""
    first, mended = None, None
    for place, one in enumerate(some):
        if one.state in UNSAFE:
            if first is None or (mended is not None and one.at - mended > BACK_DAYS * DAY):
                first = place
            mended = None
        elif one.state in SAFE and mended is None:
            mended = one.at
    return first


def about(
    connection: Connection, asked: str, inventory: Collection[str] | None = None
) -> tuple[list[Stand], list[str]]:
    """How all hosts stand with one question, the exposed first; and the hosts that were never asked: those of the
    inventory, or of all runs where that is not known."""
    rows = connection.execute(select(exposures).where(exposures.c.asked == asked))
    answers = [
        Answer(
            row.host, row.asked, row.at, row.run, row.state, row.why, tuple(row.packages), tuple(row.mitigations),
            row.published, row.plan,
        )
        for row in rows
    ]  # fmt: skip
    told = stands(answers)
    silent = _silent(connection, answers)
    for host, (at, run) in silent.items():
        if host not in told:
            why = "it did not answer when it was asked"
            told[host] = Stand(host, NO_ANSWER, why, at, None, None, None, None, (), (), "", run)
        elif at > told[host].asked_at and told[host].state not in SAFE:
            told[host] = replace(told[host], why=f"{told[host].why}; it did not answer when it was asked since")
    order = ("exposed", "not_known", NO_ANSWER, "mitigated", "patched", "not_installed")
    if inventory is not None:
        known = set(inventory)
        for host in set(told) - known:
            told[host] = replace(told[host], why=f"{told[host].why}; it is in no inventory of upkeep.yml")
    else:
        known = {row[0] for row in connection.execute(select(schema.run_hosts.c.host).distinct())}
    return sorted(told.values(), key=lambda one: (order.index(one.state), one.host)), sorted(known - set(told))


def _silent(connection: Connection, answers: Sequence[Answer]) -> dict[str, tuple[float, int]]:
    """The hosts that were in a run that asked and told nothing in it: when that was last, and which run."""
    asked = {(one.host, one.run) for one in answers}
    numbers = sorted({one.run for one in answers})
    found: dict[str, tuple[float, int]] = {}
    hosts, runs = schema.run_hosts.c, schema.runs.c
    for start in range(0, len(numbers), MANY):
        part = hosts.run.in_(numbers[start : start + MANY])
        query = select(hosts.host, hosts.run, runs.started).join(schema.runs, runs.number == hosts.run)
        for row in connection.execute(query.where(part, hosts.state != "ok")):
            if (row.host, row.run) not in asked:
                found[row.host] = max(found.get(row.host, (0.0, 0)), (row.started, row.run))
    return found


def questions(connection: Connection, most: int = 50) -> list[tuple[str, float, int]]:
    """What was asked, the latest first: the question, when, and how many hosts have answered it."""
    column = exposures.c
    last = func.max(column.at).label("last")
    query = select(column.asked, last, func.count(column.host.distinct())).group_by(column.asked)
    return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(last.desc()).limit(most))]


def prune(connection: Connection, before: float) -> int:
    """Forget the questions that nobody asked since a moment: all answers to them, or none."""
    column = exposures.c
    old = select(column.asked).group_by(column.asked).having(func.max(column.at) < before)
    return connection.execute(delete(exposures).where(column.asked.in_(old))).rowcount


def insert_answers(connection: Connection, answers: Iterable[Answer]) -> None:
    """Write answers down as they are, for tests and benchmarks."""
    rows = [{**one.__dict__, "packages": list(one.packages), "mitigations": list(one.mitigations)} for one in answers]
    if rows:
        connection.execute(insert(exposures), rows)
