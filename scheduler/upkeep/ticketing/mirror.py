# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded tracker's mirror in a ticket system: what happens here goes there, what people do there comes back.

The embedded tracker is always first: it opens, judges and resolves, whether the other system answers or not. Its
history is one stream; each system has a reader with a cursor of its own, which turns lines into items of the outbox in
one transaction with moving the cursor. An item is one request that changes something, so that after an attempt of
unknown outcome one look tells whether it was done.

Of a look there only a *change since the last look* counts, and only when nothing of ours is under way that would
explain it: what we did ourselves must not come back as somebody's word.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line

from .. import outbox as outboxes
from ..errors import UpkeepError
from ..outbox import Held, Item, Later, Refused, Sent
from ..store import cursors, marks, mirrors, tickets
from ..store import outbox as box
from ..store.mirrors import GONE, LOST, Line, Link, Pace
from ..store.model import RESOLVED, UPKEEP, WAITING
from . import words
from .protocol import Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from ..config import Config
    from ..store import Store, Ticket, TicketDetail
    from .protocol import Remote, RemoteState, TicketSystem

LINES = 500
"""Lines of history that one transaction reads."""
BATCH = 100
"""Tickets, and what happened to them, that one transaction plans: others wait for the store meanwhile (a ticket takes
some 1.3 ms)."""
TURN = 0.1
"""Seconds between two such transactions: who waits for an SQLite store looks that often, and would not get its turn."""
POLLED = 50
"""Images that are read in one step of one system, at most."""
POLL_SECONDS = 5.0
"""What one step waits for that."""
AUTHOR_LIMIT = 100
"""Characters of a name from there."""
BASELINE = 120.0
"""Seconds after an image was made in which what is read first is what the system made of it, not people."""
VERIFY_AFTER = 600.0
"""Seconds after which a ticket that was made in a second attempt is looked for once more: is it the only one?"""
STATEFUL = ("open", "resolve", "reopen", "anew")
"""Kinds of items that change an image's state."""
ANY_KIND = (*STATEFUL, "comment", "attach", "update")
"""Some systems take a comment for the beginning of work."""

_DAY = 86_400.0


@dataclass(frozen=True)
class Mirrored:
    """A ticket system as the configuration has it."""

    name: str
    takes: Callable[[Draft], bool]
    """Whether a ticket is to have an image there."""
    make: Callable[[], TicketSystem]
    on_gone: Literal["new", "unlink"] = "new"
    """What becomes of an open ticket whose image was removed there."""
    every: float = 300.0
    """Seconds between two looks at what changed lately. What is older is looked at less often; what was resolved two
    weeks ago is nobody's any more."""

    @property
    def pace(self) -> Pace:
        """How often images are read, by the age of the last change here."""
        return Pace(
            steps=((_DAY, self.every), (7 * _DAY, 4 * self.every), (1e12, 12 * self.every)),
            resolved=((_DAY, 4 * self.every), (14 * _DAY, 72 * self.every)),
        )

    @property
    def queue(self) -> str:
        """Its queue in the outbox."""
        return f"ticket:{self.name}"

    @property
    def cursor(self) -> str:
        """Its reader of history."""
        return f"{mirrors.READER}{self.name}"

    @property
    def catching_up(self) -> str:
        """The mark of a system that is new to us, with the last ticket that it was told of."""
        return f"{self.cursor} catches up"

    def actor(self, name: str) -> str:
        """Somebody there, as the embedded tracker names them."""
        cleaned = clean_line(name, AUTHOR_LIMIT).replace("(", "").replace(")", "").strip()
        return f"{cleaned or 'somebody'} ({self.name})"

    def is_from_there(self, actor: str) -> bool:
        """Whether a line of history came from there: it is not sent back."""
        return actor.endswith(f" ({self.name})")


def mirrored(config: Config) -> list[Mirrored]:
    """The ticket systems of the configuration."""
    from . import build

    return [
        Mirrored(one.name, one.takes, partial(build, one), on_gone=one.on_gone, every=one.poll)
        for one in config.ticket_systems.values()
    ]


def senders(store: Store, config: Config) -> dict[str, Callable[[], TicketSender]]:
    """For the outbox: what makes the sender of each system's queue."""
    return {one.queue: partial(TicketSender, store, one) for one in mirrored(config)}


def step(store: Store, config: Config, now: float, seconds: float = POLL_SECONDS) -> int:
    """Put what happened here into the outbox, and take over what people did there; the number of both.

    Raises UpkeepError when the store fails, and nothing for what happens outside.
    """
    if not config.ticket_systems:
        return 0
    systems = mirrored(config)
    planned = sum(plan(store, one, now) for one in systems)
    jobs = {
        f"read {one.queue}": partial(poll, store, one, now, seconds) for one in systems if _may_poll(store, one, now)
    }
    return planned + outboxes.side_by_side(store, jobs, seconds)


# --- from here to there: planning -------------------------------------------------------------------------------------


def plan(store: Store, system: Mirrored, now: float) -> int:
    """Turn new lines of history into items of the outbox; returns how many items were put in."""
    with store.database.read() as connection:
        at = cursors.read(connection, system.cursor)
        is_new = at is None or marks.read(connection, system.catching_up) is not None
        if not is_new and at == cursors.end_of_history(connection):
            return 0
    planned = 0
    while True:
        with store.database.write() as connection:
            made, more = _plan_some(connection, system, now)
        planned += made
        if not more:
            return planned
        time.sleep(TURN)


def _plan_some(connection: Connection, system: Mirrored, now: float) -> tuple[int, bool]:
    """One transaction's worth of planning: items put in, and whether there is more."""
    end = cursors.end_of_history(connection)
    at = cursors.read(connection, system.cursor)
    planner = _Planner(connection, system, now)
    if at is None:
        # New to us: it is told of all that is open, not of what is past.
        at = end
        cursors.move(connection, system.cursor, end)
        marks.make(connection, system.catching_up, now, "0")
    lines = mirrors.lines_after(connection, min(at, end), LINES)
    groups = [list(group) for _key, group in groupby(lines, key=lambda line: (line.ticket, line.line.run or -line.id))]
    more = len(lines) == LINES and len(groups) > 1
    if more:
        groups.pop()  # its end may be in the next ones
    if len(groups) > BATCH:
        groups, more = groups[:BATCH], True
    for group in groups:
        planner.take(group)
    cursors.move(connection, system.cursor, groups[-1][-1].id if groups else end)
    if groups:
        return planner.planned, more or marks.read(connection, system.catching_up) is not None
    # Only when every line is taken in: a draft says what has happened so far, and that is not to be said once more.
    return planner.planned, _catch_up(connection, planner)


def _catch_up(connection: Connection, planner: _Planner) -> bool:
    """Tell a system that is new to us of some more open tickets; whether there may be more."""
    mark = marks.read(connection, planner.system.catching_up)
    if mark is None:
        return False
    numbers = mirrors.unresolved(connection, int(mark.what), BATCH)
    for number in numbers:
        planner.open_now(number)
    if len(numbers) == BATCH:
        marks.make(connection, planner.system.catching_up, planner.now, str(numbers[-1]))
        return True
    marks.remove(connection, planner.system.catching_up)
    return False


class _Planner:
    """Lines of history on their way into one system's queue."""

    def __init__(self, connection: Connection, system: Mirrored, now: float) -> None:
        self.connection = connection
        self.system = system
        self.now = now
        self.planned = 0

    def open_now(self, number: int) -> None:
        """A ticket is to have an image, whatever happened to it before."""
        detail = self._detail(number)
        if (
            detail is not None
            and mirrors.is_wanted(self.connection, number, self.system.name, self.system.queue) is None
        ):
            self._open(detail)

    def take(self, group: Sequence[Line]) -> None:
        """What one run, or one person, did to one ticket."""
        group = [line for line in group if not self.system.is_from_there(line.line.actor)]
        lines = [line.line for line in group]
        kinds = {line.kind for line in lines}
        if not kinds & {"opened", "reopened", "resolved", *words.PEOPLES, *words.OF_RUNS}:
            return
        number = group[0].ticket
        wanted = self._is_wanted(number)
        if wanted is False:
            return
        detail = self._detail(number)
        if detail is None:
            return
        if wanted is None:
            # Also one that was below what this system takes, until its priority rose. A ticket that is resolved by
            # now still gets its record, if this is its beginning.
            begins = "opened" in kinds or "reopened" in kinds or detail.ticket.state != RESOLVED
            if not begins or not self._open(detail):
                return
            kinds -= {"opened", "reopened", "priority", "added", "cleared", "ignored", "moved"}  # the draft says it
        last = group[-1]
        if "reopened" in kinds:
            text = words.reopened(lines, detail)
            self._put(detail.ticket, last, "reopen", text, draft=words.draft(detail).as_json())
            self._put_draft(detail, last)
        elif "resolved" in kinds:
            if "priority" in kinds:
                self._put_draft(detail, last)
            self._put(detail.ticket, last, "resolve", words.resolved(lines, detail))
        elif kinds & set(words.OF_RUNS):
            if "priority" in kinds:
                self._put_draft(detail, last)
            self._put(detail.ticket, last, "comment", words.of_run(lines, detail))
        for line in group:
            if line.line.kind in words.PEOPLES and line.line.kind in kinds:
                self._put(detail.ticket, line, "comment", words.of_person(line.line))

    def _is_wanted(self, number: int) -> bool | None:
        return mirrors.is_wanted(self.connection, number, self.system.name, self.system.queue)

    def _detail(self, number: int) -> TicketDetail | None:
        try:
            return tickets.detail(self.connection, number, 500)
        except UpkeepError:
            return None  # retention removed it

    def _open(self, detail: TicketDetail) -> bool:
        draft = words.draft(detail)
        if not self.system.takes(draft):
            return False
        self._enqueue(detail.ticket, f"{draft.key}:open", "open", {"draft": draft.as_json()})
        if words.is_long(detail):
            name = f"evidence-{detail.ticket.key[:12]}.txt"
            self._enqueue(
                detail.ticket, f"{draft.key}:evidence", "attach", {"name": name, "text": words.evidence(detail)}
            )
        return True

    def _put(self, ticket: Ticket, line: Line, kind: str, text: str, **more: Any) -> None:
        payload = {"text": text, "marker": marker(ticket, line), **more}
        self._enqueue(ticket, f"{ticket.key}:{line.id}:{kind}", kind, payload)

    def _put_draft(self, detail: TicketDetail, line: Line) -> None:
        """Its priority (and title) as it is now."""
        payload = {"draft": words.draft(detail).as_json()}
        self._enqueue(detail.ticket, f"{detail.ticket.key}:{line.id}:update", "update", payload)

    def _enqueue(self, ticket: Ticket, key: str, kind: str, payload: dict[str, Any]) -> None:
        self.planned += box.enqueue(
            self.connection, self.system.queue, key, kind, payload, self.now, ticket=ticket.number
        )


def marker(ticket: Ticket, line: Line) -> str:
    """What a comment is known by: its line of history, and what that says (a store that was restored counts anew)."""
    said = hashlib.sha256(f"{line.line.at} {line.line.kind} {line.line.text}".encode()).hexdigest()
    return f"{ticket.key[:32]}.{line.id}.{said[:8]}"


def next_key(key: str) -> str:
    """The correlation key of an image that takes the place of another: KEY, KEY-2, KEY-3 ..."""
    base, _dash, count = key.partition("-")
    return f"{base}-{int(count) + 1 if count.isdigit() else 2}"


# --- from here to there: sending --------------------------------------------------------------------------------------


class TicketSender:
    """Sends the items of one ticket system's queue: see outbox.Sender."""

    def __init__(self, store: Store, system: Mirrored) -> None:
        self.store = store
        self.mirrored = system
        self.system = system.make()
        self.settle = self.system.settle

    def close(self) -> None:
        """Let go of the connections."""
        self.system.close()

    def probe(self) -> None:
        """Raise Held unless every right is there again."""
        wrong = [check for check in self.system.probe() if not check.ok]
        if wrong:
            raise Held(f"{wrong[0].what}: {wrong[0].found}")

    def dead(self, connection: Connection, item: Item, why: str, now: float) -> None:
        """Say in the ticket's history that something of it does not arrive there."""
        if item.ticket is not None and item.ticket in tickets.of_numbers(connection, [item.ticket]):
            refused = f"{self.mirrored.name} refuses this ({item.kind}): {clean_line(why, 500)}"
            text = f"{refused}. upkeep outbox retry {item.id}"
            tickets.write_history(connection, [(item.ticket, "mirror", text, None)], UPKEEP, now)

    def send(self, item: Item, first: bool) -> Sent:
        """Do one thing there."""
        if item.kind == "open":
            return self._open(item, Draft.of_json(item.payload["draft"]), first)
        if item.kind == "verify":
            self._verify(str(item.payload["key"]), int(item.payload["ticket"]))
            return Sent()
        link = self._link(item)
        if link is None or link.state == GONE:
            return Sent()  # a person dropped it, or it was removed there and is to stay away
        if link.state == LOST:
            link = self._anew(item, link)
        if item.kind == "anew":
            return Sent()
        try:
            return self._do(item, link, first)
        except Refused as error:
            if self._is_gone(link):
                removed_text = ""
            elif item.kind == "reopen":
                removed_text = f"{link.shown} in {link.system} has no way back ({error}); a new one takes its place"
            else:
                raise
        with self.store.database.write() as connection:
            state = removed(connection, self.mirrored, link, item.now, removed_text)
        if state == GONE:
            return Sent()
        link = self._anew(item, link)
        return Sent() if item.kind == "reopen" else self._do(item, link, first)

    def _do(self, item: Item, link: Link, first: bool) -> Sent:
        """The one request that the item stands for."""
        item.check_time()
        given, again = item.payload, not first
        ticket, name = link.ticket, link.system
        match item.kind:
            case "comment":
                self.system.comment(link.remote_id, given["text"], given["marker"], again=again)
            case "attach":
                self.system.attach(link.remote_id, given["name"], given["text"].encode(), again=again)
            case "update":
                self.system.update(link.remote_id, Draft.of_json(given["draft"]))
            case "resolve":
                self.system.resolve(link.remote_id, given["text"], given["marker"], again=again)
                return Sent(lambda connection, _now: mirrors.change(connection, ticket, name, **_is(RESOLVED)))
            case "reopen":
                self.system.reopen(link.remote_id, given["text"], given["marker"], again=again)
                return Sent(lambda connection, _now: mirrors.change(connection, ticket, name, **_is("open")))
            case kind:
                raise Refused(f"an item of the kind {kind}, which this version of Upkeep does not know")
        return Sent()

    def _open(self, item: Item, draft: Draft, first: bool) -> Sent:
        link = self._link(item)
        if link is not None or item.ticket is None:
            return Sent()
        number, system = item.ticket, self.mirrored
        remote = None if first else self._found(draft.key)
        made = remote is None
        if remote is None:
            item.check_time()
            remote = self.system.open(draft)

        def keep(connection: Connection, now: float) -> None:
            mirrors.put(connection, number, system.name, draft.key, remote.id, remote.shown, remote.url, now)
            if made and not first:
                later = now + max(VERIFY_AFTER, 10 * self.settle)
                payload = {"key": draft.key, "ticket": number}
                box.enqueue(connection, system.queue, f"{draft.key}:verify", "verify", payload, now, not_before=later)

        return Sent(keep)

    def _found(self, key: str) -> Remote | None:
        """The ticket that carries a key; further ones, which should not be, are resolved."""
        remote = self.system.find(key)
        if remote is not None:
            self._resolve_doubles(remote.doubles, remote.shown, key)
        return remote

    def _verify(self, key: str, ticket: int) -> None:
        """A request may have been carried out long after everybody had given it up: whether there is one ticket."""
        with self.store.database.read() as connection:
            link = mirrors.link(connection, ticket, self.mirrored.name)
        remote = self.system.find(key)
        if link is not None and remote is not None and link.key == key:
            others = [one for one in (remote.id, *remote.doubles) if one != link.remote_id]
            self._resolve_doubles(others, link.shown, key)

    def _resolve_doubles(self, doubles: Sequence[str], shown: str, key: str) -> None:
        for double in doubles:
            self.system.resolve(
                double, f"The same as {shown}: an answer came too late.", f"{key[:60]}.double", again=True
            )

    def _anew(self, item: Item, link: Link) -> Link:
        """Make an image in the place of one that is no more, or that has no way back."""
        with self.store.database.read() as connection:
            detail = tickets.detail(connection, link.ticket, 500)
        draft = words.draft(detail, next_key(link.key), link.shown)
        remote = self._found(draft.key)
        if remote is None:
            item.check_time()
            remote = self.system.open(draft)
        with self.store.database.write() as connection:
            mirrors.put(connection, link.ticket, link.system, draft.key, remote.id, remote.shown, remote.url, item.now)
            made = mirrors.link(connection, link.ticket, link.system)
        return made or link

    def _link(self, item: Item) -> Link | None:
        if item.ticket is None:
            return None
        with self.store.database.read() as connection:
            return mirrors.link(connection, item.ticket, self.mirrored.name)

    def _is_gone(self, link: Link) -> bool:
        return self.system.read(link.remote_id).state == "gone"


def _is(state: str) -> dict[str, str]:
    """What is known of an image that we brought into a state: how the system names it, the next look tells."""
    return {"state": state, "raw_state": ""}


def removed(connection: Connection, system: Mirrored, link: Link, now: float, text: str = "") -> str:
    """An image is no more (``text``: or of no more use): say so, and what becomes of it; returns GONE or LOST."""
    ticket = tickets.of_numbers(connection, [link.ticket]).get(link.ticket)
    again = ticket is not None and ticket.state != RESOLVED and (system.on_gone == "new" or bool(text))
    state = LOST if again else GONE
    mirrors.change(connection, link.ticket, link.system, state=state)
    if ticket is not None:
        after = "a new one takes its place" if again else "nothing more is sent there about this ticket"
        said = text or f"{link.shown} in {link.system} was removed there; {after}"
        tickets.write_history(connection, [(link.ticket, "mirror", said, None)], UPKEEP, now)
        if again:
            key = f"{next_key(link.key)}:anew"
            box.enqueue(connection, system.queue, key, "anew", {}, now, ticket=link.ticket)
    return state


# --- from there to here -----------------------------------------------------------------------------------------------


def _may_poll(store: Store, system: Mirrored, now: float) -> bool:
    """Whether something is to be read there, and the system may be asked."""
    with store.database.read() as connection:
        return not box.rests(connection, system.queue, now) and bool(
            mirrors.due(connection, system.name, system.pace, 1, now)
        )


def poll(store: Store, system: Mirrored, now: float, seconds: float) -> int:
    """Read what people did to the images that are due; returns how many images had something new.

    Several processes share the work: an image is taken before it is read.
    """
    began, new = time.monotonic(), 0

    def clock() -> float:
        return now + time.monotonic() - began

    try:
        remote = system.make()
    except Held as error:  # a secret that cannot be read
        with store.database.write() as connection:
            box.hold(connection, system.queue, str(error), now + outboxes.PROBE_DELAYS[0], now)
        return 0
    try:
        for _number in range(POLLED):
            if time.monotonic() - began > seconds:
                break
            with store.database.write() as connection:
                if box.rests(connection, system.queue, clock()):
                    break
                taken = mirrors.take(connection, mirrors.due(connection, system.name, system.pace, 1, now), clock())
            if not taken:
                break
            link, looked = taken[0], clock()
            try:
                state = remote.read(link.remote_id)
            except Refused:
                continue  # one image that cannot be read says nothing of the others
            except Held as error:
                if _looks_well(remote):
                    continue  # only this one is out of our sight
                with store.database.write() as connection:
                    box.hold(connection, system.queue, str(error), clock() + outboxes.PROBE_DELAYS[0], clock())
                break
            except Later as error:
                with store.database.write() as connection:
                    outboxes.rest(connection, system.queue, error, clock())
                break
            with store.database.write() as connection:
                new += take_over(connection, system, link, state, looked, clock())
    finally:
        remote.close()
    return new


def _looks_well(remote: TicketSystem) -> bool:
    try:
        return all(check.ok for check in remote.probe())
    except (Held, Later, Refused):
        return False


def take_over(
    connection: Connection, system: Mirrored, seen: Link, there: RemoteState, looked: float, now: float
) -> bool:
    """Write down here what people did there since the last look; whether there was something.

    ``seen``: the image as it was known when the look began, at ``looked``; ``there``: what the look found.
    """
    link = mirrors.link(connection, seen.ticket, system.name)
    ticket = tickets.of_numbers(connection, [seen.ticket]).get(seen.ticket)
    if link is None or ticket is None or link.remote_id != seen.remote_id or link.state in (GONE, LOST):
        return False
    if there.state == "gone":
        removed(connection, system, link, now)
        return True
    reader = _Reader(connection, system, ticket, link, there, now)
    reader.comments()
    # A look that began before our own change went out, or while it does, would tell of the time before it.
    if not mirrors.is_moving(connection, link.ticket, system.queue, STATEFUL, looked - 1):
        reader.people(seen.read)
        reader.state()
    return reader.found


class _Reader:
    """One look at one image, compared with the last one."""

    def __init__(
        self, connection: Connection, system: Mirrored, ticket: Ticket, link: Link, there: RemoteState, now: float
    ) -> None:
        self.connection = connection
        self.system = system
        self.number = ticket.number
        self.link = link
        self.there = there
        self.now = now
        self.found = False

    def _ticket(self) -> Ticket:
        return tickets.of_numbers(self.connection, [self.number])[self.number]

    def _keep(self, **values: Any) -> None:
        mirrors.change(self.connection, self.number, self.system.name, **values)

    def comments(self) -> None:
        """What people wrote there, each once, by its identifier there."""
        known = set(self.link.comments)
        new = [one for one in self.there.comments if not one.ours and one.id not in known]
        for one in new:
            text = tickets.clean_text(one.text)
            if text:
                tickets.comment(self.connection, self.number, self.system.actor(one.author), text, self.now)
                self.found = True
        if new:
            self._keep(comments=[*self.link.comments, *(one.id for one in new)][-mirrors.COMMENTS_KEPT :])

    def people(self, last_look: float | None) -> None:
        """Who took it there, and whether somebody began with it: that stops the reaction clock here."""
        there, link = self.there, self.link
        first_look = not link.raw_state
        # What the system itself made of a new ticket (a default assignee), or of what we did, is nobody's reaction.
        ours = first_look and self.now - link.created < BASELINE
        ours = ours or (
            last_look is not None
            and mirrors.is_moving(self.connection, self.number, self.system.queue, ANY_KIND, last_look - 1)
        )
        ticket = self._ticket()
        is_open = ticket.state != RESOLVED and there.state != "resolved"
        if there.assignee != link.assignee and is_open and (there.assignee or ticket.assignee == link.assignee):
            tickets.assign(self.connection, self.number, self._somebody(), there.assignee, self.now)
            self.found = True
        taken = bool(there.assignee) and there.assignee != link.assignee
        moved = not first_look and there.raw_state != link.raw_state and there.state == link.state == "open"
        if is_open and not ours and (taken or moved) and ticket.acknowledged is None:
            text = f"{there.raw_state} there" if there.raw_state else ""
            tickets.acknowledge(self.connection, self.number, self._somebody(), text, self.now)
            self.found = True
        self._keep(assignee=there.assignee, raw_state=there.raw_state)

    def state(self) -> None:
        """Whether people resolved it, opened it again, let it wait or went on."""
        before, after = self.link.state, self.there.state
        if before == after:
            return
        self.found = True
        ticket, who = self._ticket(), self._somebody()
        said = f"{self.there.raw_state or after} there"
        if after == "resolved" and ticket.state != RESOLVED:
            tickets.resolve(self.connection, self.number, who, said, self.now)
        elif before == "resolved" and ticket.state == RESOLVED:
            try:
                tickets.reopen(self.connection, self.number, who, said, self.now)
            except UpkeepError as error:  # another ticket of the same cause is open
                self._send_back(f"{who} opened {self.link.shown} again, but {error.found}")
        ticket = self._ticket()
        if after == "waiting" and ticket.state not in (RESOLVED, WAITING):
            tickets.wait(self.connection, self.number, who, said, self.now)
        elif before == "waiting" and after == "open" and ticket.state == WAITING:
            tickets.go_on(self.connection, self.number, who, said, self.now)
        self._keep(state=after)

    def _send_back(self, why: str) -> None:
        """It was opened there, and cannot be opened here: resolved there again, with the reason."""
        tickets.write_history(self.connection, [(self.number, "mirror", why, None)], UPKEEP, self.now)
        name = f"{self.link.key}.back.{self.now:.0f}"
        payload = {"text": why, "marker": name}
        box.enqueue(self.connection, self.system.queue, name, "resolve", payload, self.now, ticket=self.number)

    def _somebody(self) -> str:
        return self.system.actor(self.there.assignee)
