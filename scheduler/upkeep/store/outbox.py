# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox in the store: what is to be done outside, exactly once each. Statements on a caller's transaction.

An item goes ``waiting`` → ``sending`` (written down before anything goes out, with its holder) → ``sent``; or back to
``waiting`` for a later attempt, or to ``dead`` (it can never succeed as it stands) until a person retries or drops it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, exists, func, or_, select, update
from sqlalchemy import delete as sql_delete

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line

from ..errors import UpkeepError
from ..outbox import DEAD, DROPPED, SENDING, SENT, STATES, WAITING, Item
from . import schema
from .process import Process, is_gone, this_process

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, Row

KEY_LIMIT = 200
QUEUE_LIMIT = 100
"""Characters; what is longer is a bug of ours."""
ERROR_LIMIT = 1000
"""Characters of why an attempt failed that are kept."""
LEASE = 600.0
"""Seconds after which an item that another machine holds is taken from it. A sender ends far earlier (see Item)."""

FOUNDATIONS = ("open",)
"""Kinds without which the later items of the same ticket cannot be delivered: while one is dead, they wait."""

_OUTBOX = schema.outbox
_HELD = schema.held_queues
_PAUSED = schema.paused_queues


# --- putting in -------------------------------------------------------------------------------------------------------


def enqueue(
    connection: Connection,
    queue: str,
    key: str,
    kind: str,
    payload: dict[str, Any],
    now: float,
    *,
    ticket: int | None = None,
    not_before: float | None = None,
) -> bool:
    """Write down what is to be done outside; False when ``key`` is known in this queue already (then nothing is done).

    ``kind`` and ``payload`` (JSON) are the sender's own. Items of one ``ticket`` in one queue go out in their order.
    """
    if not 0 < len(queue) <= QUEUE_LIMIT or not 0 < len(key) <= KEY_LIMIT:
        raise ValueError(f"a queue of 1 to {QUEUE_LIMIT} and a key of 1 to {KEY_LIMIT} characters: {queue!r} {key!r}")
    row = {
        "queue": queue,
        "key": key,
        "ticket": ticket,
        "kind": kind,
        "payload": payload,
        "state": WAITING,
        "attempts": 0,
        "not_before": now if not_before is None else not_before,
        "created": now,
        "changed": now,
        "error": "",
        "holder": "",
    }
    statement = schema.upsert(connection, _OUTBOX).values(row).on_conflict_do_nothing(index_elements=["queue", "key"])
    return connection.execute(statement).rowcount == 1


# --- delivering -------------------------------------------------------------------------------------------------------


def holder(token: str) -> str:
    """This process and one turn of it, for :func:`recover`."""
    process = this_process()
    return json.dumps([process.node, process.boot, process.pid, process.start, token])


def recover(connection: Connection, busy: Collection[str], now: float) -> int:
    """Let go of items whose holder is gone: what became of their attempt nobody knows. Returns how many.

    ``busy``: the tokens of the turns that this process is at.
    """
    columns = (_OUTBOX.c.id, _OUTBOX.c.holder, _OUTBOX.c.changed)
    lost = [
        row
        for row in connection.execute(select(*columns).where(_OUTBOX.c.state == SENDING)).all()
        if _is_lost(row.holder, row.changed, busy, now)
    ]
    for row in lost:
        values = {
            "state": WAITING,
            "holder": "",
            "unsure": now,
            "changed": now,
            "error": "The process that sent it is gone; what became of it is looked up first.",
        }
        mine = and_(_OUTBOX.c.id == row.id, _OUTBOX.c.state == SENDING, _OUTBOX.c.holder == row.holder)
        connection.execute(update(_OUTBOX).where(mine).values(values))
    return len(lost)


def any_sending(connection: Connection) -> bool:
    """Whether some item is held: only then is there something to recover."""
    return connection.scalar(select(_OUTBOX.c.id).where(_OUTBOX.c.state == SENDING).limit(1)) is not None


def _is_lost(held_by: str, since: float, busy: Collection[str], now: float) -> bool:
    try:
        node, boot, pid, start, token = json.loads(held_by)
        process = Process(str(node), str(boot), int(pid), int(start))
    except (ValueError, TypeError):
        return True  # nobody of ours wrote that
    if process == this_process():
        return token not in busy
    if process.node == os.uname().nodename:
        return is_gone(process)
    return since + LEASE < now


def due_queues(connection: Connection, now: float) -> list[str]:
    """Queues in which something is due, and that are neither held nor paused."""
    queue = _OUTBOX.c.queue
    held = exists().where(_HELD.c.queue == queue)
    paused = exists().where(_PAUSED.c.queue == queue, _PAUSED.c.until > now)
    query = select(queue).where(_OUTBOX.c.state == WAITING, _OUTBOX.c.not_before <= now, ~held, ~paused).distinct()
    return sorted(connection.scalars(query))


def rests(connection: Connection, queue: str, now: float) -> bool:
    """Whether a queue is held or paused."""
    held = select(_HELD.c.queue).where(_HELD.c.queue == queue)
    paused = select(_PAUSED.c.queue).where(_PAUSED.c.queue == queue, _PAUSED.c.until > now)
    return connection.scalar(held.union_all(paused).limit(1)) is not None


def claim(connection: Connection, queue: str, held_by: str, settle: float, now: float) -> Item | None:
    """Take the next due item of a queue; None when there is none, or the queue is held or paused.

    ``settle``: seconds after an attempt of unknown outcome in which a look outside would not tell the truth.
    """
    if rests(connection, queue, now):
        return None
    earlier = _OUTBOX.alias()
    in_its_way = exists().where(
        earlier.c.queue == queue,
        earlier.c.ticket == _OUTBOX.c.ticket,
        earlier.c.id < _OUTBOX.c.id,
        or_(
            earlier.c.state.in_((WAITING, SENDING)),
            and_(earlier.c.state == DEAD, earlier.c.kind.in_(FOUNDATIONS)),
        ),
    )
    settled = or_(_OUTBOX.c.unsure.is_(None), _OUTBOX.c.unsure <= now - settle)
    due = and_(_OUTBOX.c.queue == queue, _OUTBOX.c.state == WAITING, _OUTBOX.c.not_before <= now, settled, ~in_its_way)
    row = connection.execute(select(_OUTBOX).where(due).order_by(_OUTBOX.c.id).limit(1)).first()
    if row is None:
        return None
    values = {"state": SENDING, "holder": held_by, "attempts": row.attempts + 1, "changed": now}
    connection.execute(update(_OUTBOX).where(_OUTBOX.c.id == row.id).values(values))
    return _item(row, attempts=row.attempts + 1)


def sent(connection: Connection, item: Item, held_by: str, now: float) -> bool:
    """It is done outside. False when somebody else took the item meanwhile: then nothing is to be written down."""
    # Its key is remembered; what it said is not needed any more, and may be long.
    done = _end(connection, item, held_by, {"state": SENT, "payload": {}, "error": "", "changed": now})
    if done:
        connection.execute(sql_delete(_PAUSED).where(_PAUSED.c.queue == item.queue))
    return done


def later(
    connection: Connection, item: Item, held_by: str, why: str, unknown: bool, not_before: float, now: float
) -> bool:
    """Another attempt is due at ``not_before``; ``unknown``: this one may have been done nevertheless."""
    values: dict[str, Any] = {"state": WAITING, "error": _why(why), "not_before": not_before, "changed": now}
    return _end(connection, item, held_by, values | ({"unsure": now} if unknown else {}))


def dead(connection: Connection, item: Item, held_by: str, why: str, now: float) -> bool:
    """It can never succeed as it stands: until a person retries or drops it. A part of it may have been done."""
    return _end(connection, item, held_by, {"state": DEAD, "error": _why(why), "unsure": now, "changed": now})


def give_back(connection: Connection, item: Item, held_by: str, now: float) -> bool:
    """The queue was stopped. The attempt does not count, but a part of it may have been done."""
    values = {"state": WAITING, "attempts": item.attempts - 1, "unsure": now, "changed": now}
    return _end(connection, item, held_by, values)


def _end(connection: Connection, item: Item, held_by: str, values: dict[str, Any]) -> bool:
    mine = and_(_OUTBOX.c.id == item.id, _OUTBOX.c.state == SENDING, _OUTBOX.c.holder == held_by)
    return connection.execute(update(_OUTBOX).where(mine).values(values | {"holder": ""})).rowcount == 1


def _why(text: str) -> str:
    return clean_line(text, ERROR_LIMIT)


# --- queues that stand still ------------------------------------------------------------------------------------------


def hold(connection: Connection, queue: str, why: str, next_probe: float, now: float) -> bool:
    """Stop a queue; False when it is stopped already."""
    row = {"queue": queue, "since": now, "why": _why(why), "probes": 0, "next_probe": next_probe}
    statement = schema.upsert(connection, _HELD).values(row).on_conflict_do_nothing(index_elements=["queue"])
    return connection.execute(statement).rowcount == 1


def release(connection: Connection, queue: str) -> bool:
    """Let a queue go on; False when it was neither held nor paused."""
    gone = [connection.execute(sql_delete(table).where(table.c.queue == queue)).rowcount for table in (_HELD, _PAUSED)]
    return any(gone)


def claim_probe(connection: Connection, queue: str, delays: Sequence[float], now: float) -> bool:
    """Whether the caller is to look if a held queue can go on: for each such moment one process hears yes."""
    due = and_(_HELD.c.queue == queue, _HELD.c.next_probe <= now)
    probes = connection.scalar(select(_HELD.c.probes).where(due))
    if probes is None:
        return False
    values = {"probes": probes + 1, "next_probe": now + delays[min(probes + 1, len(delays) - 1)]}
    connection.execute(update(_HELD).where(due).values(values))
    return True


def probes_due(connection: Connection, now: float) -> list[str]:
    """Held queues at which somebody should look again."""
    return sorted(connection.scalars(select(_HELD.c.queue).where(_HELD.c.next_probe <= now)))


def pause(connection: Connection, queue: str, why: str, until: float, now: float) -> None:
    """Let a queue rest: its system does not answer, or asked for it."""
    statement = schema.upsert(connection, _PAUSED)
    new = statement.excluded
    statement = statement.values(queue=queue, since=now, until=until, failures=1, why=_why(why)).on_conflict_do_update(
        index_elements=["queue"],
        # An answer to an attempt that began earlier does not shorten what a later one was told.
        set_={
            "until": case((new.until > _PAUSED.c.until, new.until), else_=_PAUSED.c.until),
            "failures": _PAUSED.c.failures + 1,
            "why": new.why,
        },
    )
    connection.execute(statement)


def failures(connection: Connection, queue: str) -> int:
    """How many attempts of a queue failed since the last that succeeded."""
    return connection.scalar(select(_PAUSED.c.failures).where(_PAUSED.c.queue == queue)) or 0


# --- what a person sees and does --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Queue:
    """A queue as a whole. Times are epoch seconds; None: it is not so."""

    queue: str
    waiting: int
    """Items to be sent, those that are under way included."""
    dead: int
    sent: int
    """Of those that retention kept."""
    oldest: float | None
    """When the oldest waiting item was put in."""
    held_since: float | None
    held_why: str
    failing_since: float | None
    """Since when every attempt fails, the last until now."""
    failing_why: str
    next_attempt: float | None


def queues(connection: Connection) -> list[Queue]:
    """Every queue that has or had items, or is stopped, by name."""
    unsent = _OUTBOX.c.state.in_((WAITING, SENDING))
    columns = (
        func.sum(case((unsent, 1), else_=0)).label("waiting"),
        func.sum(case((_OUTBOX.c.state == DEAD, 1), else_=0)).label("dead"),
        func.sum(case((_OUTBOX.c.state == SENT, 1), else_=0)).label("sent"),
        func.min(case((unsent, _OUTBOX.c.created))).label("oldest"),
    )
    counted = {row.queue: row for row in connection.execute(select(_OUTBOX.c.queue, *columns).group_by("queue"))}
    held = {row.queue: row for row in connection.execute(select(_HELD))}
    paused = {row.queue: row for row in connection.execute(select(_PAUSED))}
    return [
        Queue(
            queue=name,
            waiting=int(counted[name].waiting) if name in counted else 0,
            dead=int(counted[name].dead) if name in counted else 0,
            sent=int(counted[name].sent) if name in counted else 0,
            oldest=counted[name].oldest if name in counted else None,
            held_since=held[name].since if name in held else None,
            held_why=held[name].why if name in held else "",
            failing_since=paused[name].since if name in paused else None,
            failing_why=paused[name].why if name in paused else "",
            next_attempt=paused[name].until if name in paused else None,
        )
        for name in sorted({*counted, *held, *paused})
    ]


@dataclass(frozen=True)
class Listed:
    """An item as a list shows it."""

    id: int
    queue: str
    key: str
    kind: str
    ticket: int | None
    state: str
    attempts: int
    created: float
    changed: float
    not_before: float
    error: str


def listed(connection: Connection, states: Collection[str], queue: str | None, limit: int) -> list[Listed]:
    """Items of some states, dead ones first, then by age."""
    for state in states:
        if state not in STATES:
            raise ValueError(f"no state of an item: {state!r}")
    order = (_OUTBOX.c.state != DEAD, _OUTBOX.c.id)
    query = select(_OUTBOX).where(_OUTBOX.c.state.in_(states)).order_by(*order).limit(limit)
    if queue is not None:
        query = query.where(_OUTBOX.c.queue == queue)
    return [_listed(row) for row in connection.execute(query)]


def one(connection: Connection, number: int) -> tuple[Listed, dict[str, Any]]:
    """An item with its payload; UpkeepError when there is none."""
    row = connection.execute(select(_OUTBOX).where(_OUTBOX.c.id == number)).first()
    if row is None:
        raise UpkeepError(
            f"there is no item {number} in the outbox",
            expected="an item's number",
            found=str(number),
            remedy="See the list: upkeep outbox --state all",
        )
    return _listed(row), dict(row.payload)


def retry(connection: Connection, number: int, now: float) -> Listed:
    """Try a dead or waiting item again at once (what is settling still settles). UpkeepError when it is neither."""
    item, _payload = one(connection, number)
    _only(item, (DEAD, WAITING), "retried")
    values = {"state": WAITING, "not_before": now, "attempts": 0}
    connection.execute(update(_OUTBOX).where(_OUTBOX.c.id == number).values(values))
    # Who asks for it now does not want to wait for the end of a pause.
    connection.execute(sql_delete(_PAUSED).where(_PAUSED.c.queue == item.queue))
    return one(connection, number)[0]


def drop(connection: Connection, number: int, now: float) -> int:
    """Never send a dead or waiting item; returns how many were dropped. UpkeepError when it is neither.

    Without its foundation (see FOUNDATIONS) the later items of its ticket go with it.
    """
    item, _payload = one(connection, number)
    _only(item, (DEAD, WAITING), "dropped")
    which = _OUTBOX.c.id == number
    if item.kind in FOUNDATIONS and item.ticket is not None:
        behind = and_(_OUTBOX.c.queue == item.queue, _OUTBOX.c.ticket == item.ticket, _OUTBOX.c.id > number)
        which = or_(which, behind)
    unsent = _OUTBOX.c.state.in_((DEAD, WAITING))
    return connection.execute(update(_OUTBOX).where(which, unsent).values(state=DROPPED, changed=now)).rowcount


def _only(item: Listed, states: Sequence[str], what: str) -> None:
    if item.state not in states:
        raise UpkeepError(
            f"item {item.id} of the outbox cannot be {what}",
            expected=f"an item that is {' or '.join(states)}",
            found=f"{item.state} (under way just now)" if item.state == SENDING else item.state,
            remedy="See the list: upkeep outbox",
        )


def prune(connection: Connection, before: float) -> int:
    """Retention: remove what was sent or dropped before a time and whose ticket is gone or was never one."""
    done = and_(_OUTBOX.c.state.in_((SENT, DROPPED)), _OUTBOX.c.changed < before)
    return connection.execute(sql_delete(_OUTBOX).where(done, _OUTBOX.c.ticket.is_(None))).rowcount


def _item(row: Row[Any], attempts: int) -> Item:
    return Item(
        id=row.id,
        queue=row.queue,
        key=row.key,
        kind=row.kind,
        ticket=row.ticket,
        payload=dict(row.payload),
        created=row.created,
        attempts=attempts,
        first=row.unsure is None,
    )


def _listed(row: Row[Any]) -> Listed:
    return Listed(
        row.id,
        row.queue,
        row.key,
        row.kind,
        row.ticket,
        row.state,
        row.attempts,
        row.created,
        row.changed,
        row.not_before,
        row.error,
    )
