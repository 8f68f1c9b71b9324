# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is still to be sent to ticket systems and to people: what waits, what was refused, which queue stands still."""

from __future__ import annotations

import difflib
import time
from typing import TYPE_CHECKING, Any

from .. import config as configuration
from ..cli import positive
from ..errors import OK, UpkeepError

if TYPE_CHECKING:
    import argparse

    from ..config import Config
    from ..store import Store
    from ..store.outbox import Listed, Queue

EPILOG = """\
examples:
  upkeep outbox                       the queues, and what is not sent yet; what was refused first
  upkeep outbox --state all --queue ticket:itsm
  upkeep outbox show 17               one item, with all that it says
  upkeep outbox retry 17              the cause is mended: try it again now
  upkeep outbox drop 17 "told by phone"   never send it
  upkeep outbox release ticket:itsm   the password is right again: let the queue go on

Nothing is given up for an outage: what cannot be delivered waits, and is tried again. What a system refuses for good is
dead until it is retried or dropped. Wrong credentials hold the whole queue, so that no account is locked.
"""

_STATES = {
    "unsent": ("waiting", "sending", "dead"),
    "dead": ("dead",),
    "sent": ("sent",),
    "all": ("waiting", "sending", "sent", "dead", "dropped"),
}
_ACTIONS = ("list", "show", "retry", "drop", "release")
_FORMS = "upkeep outbox, or upkeep outbox show|retry N, upkeep outbox drop N [WHY], upkeep outbox release QUEUE"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "action", nargs="?", choices=_ACTIONS, default="list", help="list (default), show, retry, drop, release"
    )
    parser.add_argument("which", nargs="?", metavar="N|QUEUE", help="the item's number; of release: the queue")
    parser.add_argument("why", nargs="*", metavar="WHY", help="of drop and release: a word on it, for the audit")
    parser.add_argument("--state", choices=tuple(_STATES), default="unsent", help="of list: which (default: unsent)")
    parser.add_argument("--queue", metavar="QUEUE", help="of list: only these")
    parser.add_argument("-n", "--limit", type=positive, default=50, metavar="N", help="of list: how many (default 50)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """List what is to be sent, or do something with it."""
    wanted = _wanted(arguments)
    config = configuration.load(arguments.config)
    from ..store import open_store

    with open_store(config.store_url, config.home) as store:
        if wanted is None:
            _list(arguments, config, store)
        elif arguments.action == "show":
            _show(arguments, config, store, int(wanted))
        elif arguments.action == "release":
            _release(arguments, store, wanted)
        else:
            _change(arguments, store, int(wanted))
    return OK


def _wanted(arguments: argparse.Namespace) -> str | None:
    """The item's number, or the queue; None for the list. Raises UpkeepError."""
    given = str(arguments.which or "")
    if arguments.action == "list" and not given:
        return None
    number = given.removeprefix("#")
    wrong = arguments.action == "list" or not given
    wrong = wrong or (arguments.action != "release" and not (number.isascii() and number.isdigit()))
    if wrong or (arguments.action in ("show", "retry") and arguments.why):
        raise UpkeepError(
            "the command is not understood",
            expected=_FORMS,
            found="upkeep outbox " + " ".join(filter(None, [arguments.action, given, *arguments.why])),
            remedy="upkeep outbox   (shows the numbers and the queues)",
        )
    return given if arguments.action == "release" else number


def _change(arguments: argparse.Namespace, store: Store, number: int) -> None:
    from ..store import audit, outbox
    from .run import actor

    now = time.time()
    with store.database.write() as connection:
        if arguments.action == "retry":
            done = 1
            outbox.retry(connection, number, now)
        else:
            done = outbox.drop(connection, number, now)
        item, _payload = outbox.one(connection, number)
        detail = {"queue": item.queue, "kind": item.kind, "ticket": item.ticket, "why": " ".join(arguments.why)}
        act = "outbox.retried" if arguments.action == "retry" else "outbox.dropped"
        audit.write(connection, actor(), act, f"outbox item {number}", {**detail, "items": done}, now)
    said = f"Item {number} is tried again with the next delivery."
    if arguments.action == "drop":
        said = f"Item {number} is not sent."
        if done > 1:
            said += f" Nor are the {done - 1} later ones of ticket #{item.ticket}, which need it."
    _tell(arguments, {"item": item, "items": done}, said)


def _release(arguments: argparse.Namespace, store: Store, queue: str) -> None:
    from ..store import audit, outbox
    from .run import actor

    now = time.time()
    with store.database.write() as connection:
        still = {one.queue for one in outbox.queues(connection) if _stands(one)}
        known = outbox.queues(connection)
        if not any(_is(one.queue, queue) for one in known):
            raise _no_such_queue(queue, known)
        matching = [one for one in still if _is(one, queue)]
        if len(matching) != 1:
            raise UpkeepError(
                f"the queue {queue} does not stand still" if not matching else f"{queue} names several queues",
                expected="a queue that is held or paused: " + (", ".join(sorted(still)) or "there is none just now"),
                found=queue,
                remedy="upkeep outbox   (shows the queues)",
            )
        outbox.release(connection, matching[0])
        audit.write(
            connection, actor(), "outbox.released", f"queue {matching[0]}", {"why": " ".join(arguments.why)}, now
        )
    _tell(arguments, {"released": matching[0]}, f"{matching[0]} goes on with the next delivery.")


def _no_such_queue(named: str, queues: list[Queue]) -> UpkeepError:
    known = [one.queue for one in queues]
    near = difflib.get_close_matches(named, [*known, *(one.partition(":")[2] for one in known)], 1)
    return UpkeepError(
        f"there is no queue {named!r}",
        expected="one of " + ", ".join(known) if known else "a queue; there is none, as nothing was to be sent",
        found=named,
        remedy=f"did you mean {near[0]}?" if near else "upkeep outbox   (shows the queues)",
    )


def _is(queue: str, named: str) -> bool:
    """Whether a person means it: ticket:itsm, or only itsm."""
    return named in (queue, queue.partition(":")[2])


def _tell(arguments: argparse.Namespace, document: dict[str, Any], said: str) -> None:
    from .. import render

    if arguments.json:
        render.print_json(document)
    else:
        render.console().print(render.text(said))


def _list(arguments: argparse.Namespace, config: Config, store: Store) -> None:
    from .. import render
    from ..store import outbox

    with store.database.read() as connection:
        queues = outbox.queues(connection)
        items = outbox.listed(connection, _STATES[arguments.state], arguments.queue, arguments.limit)
    if arguments.json:
        render.print_json({"queues": queues, "items": items})
        return
    now, out = time.time(), render.console()
    if not queues:
        out.print(render.text("Nothing was ever to be sent."))
        return
    if arguments.queue is not None and all(one.queue != arguments.queue for one in queues):
        raise _no_such_queue(arguments.queue, queues)
    rows = [
        tuple(
            render.text(value)
            for value in (
                one.queue,
                one.waiting,
                one.dead,
                "-" if one.oldest is None else render.age(one.oldest, now),
                _standing(one, config, now),
            )
        )
        for one in queues
        if arguments.queue in (None, one.queue)
    ]
    out.print(render.table(("queue", "waiting", "dead", "oldest", "state"), rows, wide=4))
    out.print()
    if not items:
        out.print(render.text(f"No items that are {arguments.state}."))
        return
    by_name = {one.queue: one for one in queues}
    oldest: dict[tuple[str, int], int] = {}
    for item in sorted(items, key=lambda one: one.id):
        in_the_way = item.state in ("waiting", "sending") or (item.state == "dead" and item.kind in outbox.FOUNDATIONS)
        if item.ticket is not None and in_the_way:
            oldest.setdefault((item.queue, item.ticket), item.id)
    rows = [
        tuple(
            render.text(value)
            for value in (
                item.id,
                item.queue,
                f"#{item.ticket}" if item.ticket else "-",
                item.kind,
                item.state,
                item.attempts,
                render.age(item.created, now),
                _next(item, by_name[item.queue], oldest.get((item.queue, item.ticket or 0)), config, now),
            )
        )
        for item in items
    ]
    out.print(render.table(("item", "queue", "ticket", "what", "state", "tries", "age", "next → why"), rows, wide=7))
    if len(items) == arguments.limit:
        out.print(render.text(f"… there may be more: --limit {arguments.limit * 5}"))


def _stands(queue: Queue) -> bool:
    return queue.held_since is not None or queue.failing_since is not None


def _at(moment: float, config: Config, now: float) -> str:
    """When something that waits until a moment goes out: what has no more to wait for needs a scheduler, or a run."""
    from .. import render

    return f"at {render.when(moment, config.time_zone)}" if moment > now else "with the next delivery"


def _standing(queue: Queue, config: Config, now: float) -> str:
    from .. import render

    zone = config.time_zone
    if queue.held_since is not None:
        since = render.when(queue.held_since, zone)
        return f"HELD since {since}: {queue.held_why} → upkeep outbox release {queue.queue}"
    if queue.failing_since is not None:
        then = _at(queue.next_attempt or 0.0, config, now)
        return f"fails since {render.when(queue.failing_since, zone)}, next try {then}: {queue.failing_why}"
    return f"goes on, {queue.sent} sent"


def _next(item: Listed, queue: Queue, first: int | None, config: Config, now: float) -> str:
    """When it goes out, and why not now. ``first``: the oldest item of its ticket that is still to go there."""

    if item.state == "dead":
        return f"refused: {item.error} → upkeep outbox retry {item.id}"
    if item.state != "waiting":
        return item.error
    at = max(item.not_before, queue.next_attempt or 0.0)
    if queue.held_since is not None:
        then = "when its queue is released"
    elif first is not None and first != item.id:
        then = f"after item {first}"
    else:
        then = _at(at, config, now)
    return then + (f": {item.error}" if item.error else "")


def _show(arguments: argparse.Namespace, config: Config, store: Store, number: int) -> None:
    from .. import render
    from ..store import outbox

    with store.database.read() as connection:
        item, payload = outbox.one(connection, number)
    if arguments.json:
        render.print_json({**vars(item), "payload": payload})
        return
    zone, out = config.time_zone, render.console()
    out.print(render.text(f"Item {item.id}: {item.kind} for {item.queue}", "bold"))
    for name, value in (
        ("state", f"{item.state}, {render.count(item.attempts, 'try', 'tries')}"),
        ("ticket", f"#{item.ticket}" if item.ticket else ""),
        ("made", render.when(item.created, zone)),
        ("changed", render.when(item.changed, zone)),
        ("next", render.when(item.not_before, zone) if item.state == "waiting" else ""),
        ("error", item.error),
        ("key", item.key),
    ):
        if value:
            out.print(render.text(f"{name + ':':<10}{value}"))
    out.print()
    for name, value in payload.items():
        text = value if isinstance(value, str) else "\n".join(f"{k}: {v}" for k, v in _flat(value))
        out.print(render.text(f"{name}:"))
        for line in text.splitlines():
            out.print(render.indented(line, 2, "dim"))


def _flat(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else [("", value)]
