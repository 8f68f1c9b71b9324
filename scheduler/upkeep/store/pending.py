# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which patches hosts lack, since when, and how they got them: statements only, on the caller's connection.

What follows from a look is store/missing.py's work. This one loads what a batch of looks needs of a few hosts, and
writes what changed: of a host of which nothing changed, three rows and one statement over the open ones.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Text, bindparam, cast, delete, func, insert, or_, select, update

from . import schema
from .missing import BACK_DAYS, DAY, Episode, History, Look, UnreadableError, look_of, verdict_of
from .schema_patches import patch_hosts, patch_looks, patch_missing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Select

    from .states import Reported

Place = tuple[str, str]
"""Host and subject."""

MANY = 400
"""Hosts that one statement asks for: SQLite takes a bounded number of values."""


@dataclass(frozen=True)
class HostLook:
    """How a host stood when it was looked at last."""

    host: str
    subject: str
    looked: float
    known: float | None
    """When it was last looked at with a verdict that is not unknown."""
    verdict: str
    why: tuple[str, ...]
    manager: str
    release: str
    run: int


def keep(connection: Connection, reported: Sequence[Reported]) -> list[str]:
    """Take over what hosts say of their patches; sentences about what could not be read."""
    told: list[str] = []
    looks: dict[Place, list[Look]] = {}
    hosts: dict[Place, HostLook] = {}
    for one in reported:
        place = (one.host, one.subject)
        try:
            verdict, why = verdict_of(one.data)
            if "dropped" not in one.data:
                looks.setdefault(place, []).append(look_of(one.data, one.at))
        except UnreadableError as error:
            told.append(f"What {one.host} says of its patches cannot be read, and is not known: {error}.")
            verdict, why = "unknown", [f"what it told cannot be read: {error}"]
        if place not in hosts or hosts[place].looked <= one.at:
            words = [str(one.data.get(name) or "")[:200] for name in ("manager", "release")]
            known = one.at if verdict != "unknown" else None
            hosts[place] = HostLook(*place, one.at, known, verdict, tuple(why), words[0], words[1], one.run)
    before = {place: row for place, row in _hosts(connection, sorted(hosts)) if place in hosts}
    _take(connection, looks, before)
    _keep_hosts(connection, hosts, looks, before)
    return told


def _hosts(connection: Connection, places: Sequence[Place]) -> Iterator[tuple[Place, Row[Any]]]:
    for part in _parts({host for host, _subject in places}):
        for row in connection.execute(select(patch_hosts).where(patch_hosts.c.host.in_(part))):
            yield (row.host, row.subject), row


def _take(connection: Connection, looks: dict[Place, list[Look]], before: dict[Place, Row[Any]]) -> None:
    # What was recorded in order needs the open episodes only; a look from before needs the whole history.
    late = {
        place for place, some in looks.items() if place in before and min(o.at for o in some) <= before[place].looked
    }
    first = min((look.at for some in looks.values() for look in some), default=0.0)
    table = patch_missing.c
    lately = or_(table.gone_seen.is_(None), table.gone_seen >= first - BACK_DAYS * DAY)
    episodes = _episodes(connection, {host for host, _ in set(looks) & set(before) - late}, lately)
    episodes |= _episodes(connection, {host for host, _ in late}, None)
    seen = _looks(connection, {host for host, _ in late})
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    still: list[dict[str, Any]] = []
    looked: list[dict[str, Any]] = []
    for place, some in looks.items():
        known = episodes.get(place, [])
        history = History(known, seen.get(place, []))
        for look in sorted(some, key=lambda look: look.at):
            history.take(look)
        looked += [_place(place, at=look.at) for look in some if look.complete]
        _differences(place, {one.id: one for one in known}, history.episodes, new, changed, still)
    if looked:
        connection.execute(schema.upsert(connection, patch_looks).on_conflict_do_nothing(), looked)
    if new:
        connection.execute(insert(patch_missing), new)
    if still:
        of_host = (table.host == bindparam("of_host")) & (table.subject == bindparam("of_subject"))
        is_open = of_host & table.gone_seen.is_(None)
        connection.execute(update(patch_missing).where(is_open).values(last_seen=bindparam("seen")), still)
    if changed:
        connection.execute(update(patch_missing).where(table.id == bindparam("of_id")), changed)


def _differences(
    place: Place,
    known: dict[int | None, Episode],
    episodes: Sequence[Episode],
    new: list[dict[str, Any]],
    changed: list[dict[str, Any]],
    still: list[dict[str, Any]],
) -> None:
    """What is to be written of a host: new rows, changed ones, and those that were only seen once more, at once."""
    seen_again = []
    for episode in episodes:
        if episode.id is None:
            new.append({"host": place[0], "subject": place[1], **_row(episode)})
        elif episode != known[episode.id]:
            if episode == replace(known[episode.id], last_seen=episode.last_seen) and episode.gone_seen is None:
                seen_again.append(episode)
            else:
                changed.append({"of_id": episode.id, **_row(episode)})
    is_open = [one for one in episodes if one.gone_seen is None and one.id is not None]
    times = {one.last_seen for one in is_open}
    if seen_again and len(times) == 1:
        still.append({"of_host": place[0], "of_subject": place[1], "seen": times.pop()})
    else:
        changed += [{"of_id": one.id, **_row(one)} for one in seen_again]


def _row(episode: Episode) -> dict[str, Any]:
    return {
        "name": episode.name,
        "arch": episode.arch,
        "first_seen": episode.first_seen,
        "last_seen": episode.last_seen,
        "installed": episode.installed,
        "candidate": episode.candidate,
        "security": episode.security,
        "severity": episode.severity,
        "clocks": dict(episode.clocks),
        "cves": list(episode.cves),
        "advisories": list(episode.advisories),
        "exploited": episode.exploited,
        "published": episode.published,
        "left_out": episode.left_out,
        "source": episode.source,
        "source_version": episode.source_version,
        "gone_seen": episode.gone_seen,
        "gone_at": episode.gone_at,
        "gone_how": episode.gone_how,
        "gone_version": episode.gone_version,
    }


def _select() -> Select[Any]:
    # JSON as text: the same few times and CVEs stand in thousands of rows, and are read once.
    return select(*(cast(c, Text).label(c.name) if isinstance(c.type, JSON) else c for c in patch_missing.c))


@functools.lru_cache(maxsize=50_000)
def _words(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


@functools.lru_cache(maxsize=50_000)
def _clocks(text: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(text)
    return found


def _episode(row: Row[Any]) -> Episode:
    return Episode(
        name=row.name,
        arch=row.arch,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        installed=row.installed,
        candidate=row.candidate,
        clocks=_clocks(row.clocks),
        cves=_words(row.cves),
        advisories=_words(row.advisories),
        exploited=row.exploited,
        published=row.published,
        left_out=row.left_out,
        source=row.source,
        source_version=row.source_version,
        gone_seen=row.gone_seen,
        gone_at=row.gone_at,
        gone_how=row.gone_how,
        gone_version=row.gone_version,
        id=row.id,
    )


def _keep_hosts(
    connection: Connection, hosts: dict[Place, HostLook], looks: dict[Place, list[Look]], before: dict[Place, Row[Any]]
) -> None:
    """Where each host stands now; a look that is recorded late does not unsay a newer one."""
    rows = []
    for place, host in hosts.items():
        row = before.get(place)
        complete = [look.at for look in looks.get(place, ()) if look.complete]
        if row is not None and row.known is not None:
            complete.append(row.known)
        newer = row is None or row.looked <= host.looked
        rows.append(
            {
                "host": place[0],
                "subject": place[1],
                "known": max(complete, default=None),
                **{
                    name: getattr(host if newer else row, name)
                    for name in ("looked", "verdict", "manager", "release", "run")
                },
                "why": list(host.why if newer or row is None else row.why),
            }
        )
    if rows:
        statement = schema.upsert(connection, patch_hosts)
        told = {name: statement.excluded[name] for name in rows[0] if name not in ("host", "subject")}
        connection.execute(statement.on_conflict_do_update(index_elements=["host", "subject"], set_=told), rows)


def _place(place: Place, **more: Any) -> dict[str, Any]:
    return {"host": place[0], "subject": place[1], **more}


def _parts(names: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(names)
    for start in range(0, len(ordered), MANY):
        yield ordered[start : start + MANY]


def _episodes(
    connection: Connection, hosts: Collection[str], which: ColumnElement[bool] | None
) -> dict[Place, list[Episode]]:
    found: dict[Place, list[Episode]] = {}
    for part in _parts(hosts):
        query = _select().where(patch_missing.c.host.in_(part))
        for row in connection.execute(query if which is None else query.where(which)):
            found.setdefault((row.host, row.subject), []).append(_episode(row))
    return found


def _looks(connection: Connection, hosts: Collection[str]) -> dict[Place, list[float]]:
    found: dict[Place, list[float]] = {}
    for part in _parts(hosts):
        for row in connection.execute(select(patch_looks).where(patch_looks.c.host.in_(part))):
            found.setdefault((row.host, row.subject), []).append(row.at)
    return found


# --- readers ----------------------------------------------------------------------------------------------------------


def hosts(connection: Connection, subject: str) -> dict[str, HostLook]:
    """How each host stood when it was looked at last."""
    rows = connection.execute(select(patch_hosts).where(patch_hosts.c.subject == subject))
    return {
        row.host: HostLook(
            row.host, row.subject, row.looked, row.known, row.verdict, tuple(row.why), row.manager, row.release, row.run
        )
        for row in rows
    }


def looks(connection: Connection, subject: str, since: float) -> dict[str, list[float]]:
    """When each host was looked at with a verdict that is not unknown, oldest first."""
    table = patch_looks.c
    found: dict[str, list[float]] = {}
    query = select(table.host, table.at).where(table.subject == subject, table.at >= since).order_by(table.at)
    for host, at in connection.execute(query):
        found.setdefault(host, []).append(at)
    return found


def missing(
    connection: Connection, subject: str, *, gone_since: float | None = None, security: bool = True
) -> dict[str, list[Episode]]:
    """What each host lacks; with ``gone_since`` also what it lacked until then or later. Of security updates only,
    unless told otherwise."""
    table = patch_missing.c
    which: ColumnElement[bool] = table.gone_seen.is_(None)
    if gone_since is not None:
        which = or_(which, table.gone_at >= gone_since)
    query = _select().where(table.subject == subject, which)
    if security:
        query = query.where(table.security.is_(True))
    found: dict[str, list[Episode]] = {}
    for row in connection.execute(query, execution_options={"yield_per": 2000}):
        found.setdefault(row.host, []).append(_episode(row))
    return found


def newest_look(connection: Connection) -> tuple[int, float]:
    """How many hosts there are, and when one was looked at last: what has changed since changes these."""
    count, last = connection.execute(select(func.count(), func.max(patch_hosts.c.looked))).one()
    return count, last or 0.0


def prune(connection: Connection, before: float) -> int:
    """Forget what went before a moment, and the hosts that were not looked at since; how many rows."""
    gone = patch_hosts.c.looked < before
    hosts_gone = select(patch_hosts.c.host).where(gone)
    table = patch_missing.c
    # A host is forgotten as a whole; of the others, what it lacks stays, however old.
    forgotten = table.host.in_(hosts_gone) & (table.last_seen < before)
    rows = connection.execute(delete(patch_missing).where(or_(table.gone_at < before, forgotten))).rowcount
    rows += connection.execute(delete(patch_looks).where(patch_looks.c.at < before)).rowcount
    return rows + connection.execute(delete(patch_hosts).where(gone)).rowcount
