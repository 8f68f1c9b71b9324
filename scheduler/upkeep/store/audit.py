# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: who did what, to what, and when. Only ever added to, in the transaction of what is done.

The database refuses to change or remove a row (triggers, see migration 0002). Whoever gets round them is seen: rows are
numbered without gaps, their number stands in ``counters``, and each carries the SHA-256 digest of its own content and
of the digest before it, so that a row changed, removed or put between breaks the chain from there on (the linking of
Haber and Stornetta, 1991). A forger who writes the whole chain anew is seen by the newest digest of an export that was
kept elsewhere.

Retention never touches it: a row takes some 250 bytes (measured on SQLite), so ten thousand acts a year are 2.5 MB.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line, plain

from . import schema
from .runs import next_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection, Row

ACTOR_LIMIT = 200
OBJECT_LIMIT = 500
"""Characters."""
DETAIL_LIMIT = 8_000
"""Characters of a detail as JSON; a larger one is replaced by its size and digest."""

FIRST = "0" * 64
"""The digest before the first row."""

_AUDIT = schema.audit


@dataclass(frozen=True)
class Act:
    """One row. ``at`` in seconds since the epoch."""

    id: int
    at: float
    actor: str
    action: str
    object: str
    detail: dict[str, Any]
    digest: str


@dataclass(frozen=True)
class Verified:
    """What looking through the chain found."""

    rows: int
    newest: str
    """The digest of the newest row: what to compare with an export that is kept elsewhere."""
    faults: tuple[str, ...]
    """What does not hold, the first places of it; empty: the chain is whole."""


def write(connection: Connection, actor: str, action: str, object: str, detail: Mapping[str, Any], now: float) -> None:
    """Add a row, in the caller's transaction that writes: what is not committed was not done.

    ``action`` is dotted (``ticket.acknowledged``), ``object`` says to what (``ticket #12``, ``job weekly``,
    ``run 17``), ``detail`` is what JSON can hold. Secrets in it, by their names or their looks, are masked before it is
    stored.
    """
    kept = _bounded(plain(dict(detail)))
    newest = connection.execute(select(_AUDIT.c.digest).order_by(_AUDIT.c.id.desc()).limit(1)).scalar()
    act = Act(
        id=next_number(connection, "audit"),
        at=float(now),
        actor=clean_line(actor, ACTOR_LIMIT),
        action=clean_line(action, 50),
        object=clean_line(object, OBJECT_LIMIT),
        detail=kept,
        digest="",
    )
    values = {**vars(act), "digest": digest_of(act, newest or FIRST)}
    connection.execute(insert(_AUDIT).values(**values))


def _bounded(detail: dict[str, Any]) -> dict[str, Any]:
    text = _canonical(detail)
    if len(text) <= DETAIL_LIMIT:
        return detail
    return {"too_long": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def digest_of(act: Act, before: str) -> str:
    """The SHA-256 digest of a row's content behind the digest of the row before it, in hexadecimal."""
    content = [before, act.id, act.at, act.actor, act.action, act.object, act.detail]
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def listed(
    connection: Connection,
    *,
    since: float | None = None,
    actor: str | None = None,
    object: str | None = None,
    action: str | None = None,
    limit: int | None = None,
) -> list[Act]:
    """Rows, oldest first; with a limit the newest ones. ``action``: it, or all that begin with it and a dot."""
    query = select(_AUDIT).order_by(_AUDIT.c.id.desc()).limit(limit)
    if since is not None:
        query = query.where(_AUDIT.c.at >= since)
    if actor is not None:
        query = query.where(_AUDIT.c.actor == actor)
    if object is not None:
        query = query.where(_AUDIT.c.object == object)
    if action is not None:
        prefix = _AUDIT.c.action.startswith(action.rstrip(".") + ".", autoescape=True)
        query = query.where((_AUDIT.c.action == action) | prefix)
    return [_act(row) for row in connection.execute(query)][::-1]


def verify(connection: Connection, faults: int = 20) -> Verified:
    """Look through the whole chain, oldest first; at most ``faults`` places are named."""
    found: list[str] = []
    before, rows = FIRST, 0
    for act in _all(connection):
        rows += 1
        if act.id != rows and len(found) < faults:
            found.append(f"row {rows} is expected, row {act.id} found: rows were removed or put in")
            rows = act.id
        if digest_of(act, before) != act.digest and len(found) < faults:
            found.append(f"row {act.id} ({act.action} by {act.actor}) or the one before it was changed")
        before = act.digest
    counted = connection.scalar(select(schema.counters.c.value).where(schema.counters.c.name == "audit")) or 0
    if counted != rows:
        found.append(f"{counted} rows were written, the last one found is row {rows}: rows were removed at the end")
    total = connection.scalar(select(func.count()).select_from(_AUDIT)) or 0
    return Verified(int(total), before, tuple(found[:faults]))


def export_lines(connection: Connection) -> Iterator[str]:
    """All rows as JSON, one a line, oldest first: what `upkeep audit --export` writes, and --against reads."""
    for act in _all(connection):
        yield json.dumps(vars(act), ensure_ascii=False, allow_nan=False) + "\n"


def digests(connection: Connection) -> dict[int, str]:
    """The digest of each row, by its number."""
    return {row.id: row.digest for row in connection.execute(select(_AUDIT.c.id, _AUDIT.c.digest))}


def note_config(connection: Connection, path: Path | None, actor: str, now: float) -> None:
    """Say that the configuration of this node is another one than before, by its digest; nothing when it is the same.

    It is called where work begins: who edits a file with an editor cannot be seen, but from when on it held can. The
    actor is therefore the one who first worked with it. A file that cannot be read is not noted: its user is told.
    """
    changed = config_change(connection, path)
    if changed:
        write(connection, actor, "config.changed", _configuration(), changed, now)


def config_change(connection: Connection, path: Path | None) -> dict[str, str]:
    """What note_config would write; empty when the configuration is the one that was noted last."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path is not None else ""
    except OSError:
        return {}
    newest = select(_AUDIT.c.detail).where(_AUDIT.c.object == _configuration()).order_by(_AUDIT.c.id.desc()).limit(1)
    known = connection.scalar(newest) or {"file": "", "sha256": ""}
    file = str(path) if path is not None else ""
    if (known.get("file"), known.get("sha256")) == (file, digest):
        return {}
    return {"file": file, "sha256": digest, "before": known.get("sha256", "")}


def _configuration() -> str:
    """Nodes have files of their own: what one of them reads is no change of another's."""
    return f"configuration on {os.uname().nodename}"


def _all(connection: Connection) -> Iterator[Act]:
    rows = connection.execution_options(yield_per=1000).execute(select(_AUDIT).order_by(_AUDIT.c.id))
    return (_act(row) for row in rows)


def _act(row: Row[Any]) -> Act:
    return Act(row.id, row.at, row.actor, row.action, row.object, row.detail, row.digest)
