# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exactly once to the outside: what is to be done there is written down first, then sent by whoever comes by.

Each attempt is written down before anything goes out. Whatever ends it (a crash, a time-out, a dropped line), the next
one knows that the outcome is unknown, waits until the other side has settled, and looks before it does it again.
A queue is a ticket system or a channel of notification; a slow or dead one never keeps another one waiting.

Imports nothing heavy: settings and outcomes are used by the configuration and by every sender.
"""

from __future__ import annotations

import importlib
import random
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from .ticketing.protocol import Held, Later, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from .config import Config
    from .store import Store

__all__ = ["Delivery", "Held", "Item", "Later", "Refused", "Sender", "Sent", "Settings", "backoff", "senders", "step"]

WAITING, SENDING, SENT, DEAD, DROPPED = STATES = ("waiting", "sending", "sent", "dead", "dropped")
"""Of an item: see store/outbox.py."""

STEP_SECONDS = 5.0
"""What one step takes at most; what a system keeps us waiting for longer goes on beside the next step."""
TURN_SECONDS = 60.0
"""What one queue is worked at without a break."""
SEND_LIMIT = 300.0
"""Seconds in which a sender must have begun its last request: well before another node may take the item from it."""
SETTLE = 30.0
"""Seconds until a look can be believed, of a sender that does not say."""
QUEUES_AT_ONCE = 16
"""Queues that one process works at side by side; the others have the next turn."""

BASE_DELAY = 4.0
MAX_DELAY = 900.0
"""Seconds between attempts: in an outage of days each system is asked about four times an hour."""
MAX_ASKED = 86_400.0
"""Seconds that a server may ask us to wait: what is longer is a mistake there."""
PROBE_DELAYS = (900.0, 1800.0, 3600.0, 7200.0, 14_400.0)
"""Seconds between looks at a queue that is held: few enough that no account is locked by them."""
ALONE_ATTEMPTS = 8
"""Attempts of an item that alone is refused, or at which we fail by a bug of ours, before a person must look."""


@dataclass(frozen=True)
class Settings:
    """The section ``outbox`` of the configuration."""

    give_up_after: float | None = None
    """Seconds after which what could not be delivered is given up (dead, a person can retry it); None: never."""


@dataclass(frozen=True)
class Item:
    """One thing to be done outside."""

    id: int
    queue: str
    key: str
    """Unique in its queue, and stable: what goes out carries it where the other side can be asked for it."""
    kind: str
    ticket: int | None
    payload: Mapping[str, Any]
    created: float
    attempts: int
    """Counts this one."""
    first: bool
    """No earlier attempt has an unknown outcome."""
    now: float = 0.0
    """When this attempt began, in epoch seconds."""
    expires: float = field(default=float("inf"))
    """By time.monotonic(): no request that changes something may begin after it."""

    def check_time(self) -> None:
        """Raise Later when it is too late to begin another request: somebody else may hold the item soon."""
        if time.monotonic() > self.expires:
            raise Later(f"it took longer than {SEND_LIMIT:.0f} seconds", unknown=True)


@dataclass(frozen=True)
class Sent:
    """It is done outside."""

    keep: Callable[[Connection, float], None] | None = None
    """What is to be written down together with that, in one transaction: (connection, now)."""


class Sender(Protocol):
    """How items of one queue go out. It may also have (each is looked for by its name):

    ``settle: float``, seconds until a look after an attempt of unknown outcome can be believed (default SETTLE);
    ``probe() -> None``, a cheap look whether a held queue can go on, that raises Held when not;
    ``dead(connection, item, why, now)``, called in the transaction that gives an item up;
    ``close()``.
    """

    def send(self, item: Item, first: bool) -> Sent:
        """Do it. ``first`` False: an earlier attempt may have done it, so look before doing it again.

        Raises Refused, Held or Later for what happens outside (see ticketing/protocol.py).
        """
        ...


# Where senders come from: the field of Config that must be set, and a function (store, config) that returns what makes
# the sender of each queue. A name that ends in ":" stands for all queues that begin so.
SOURCES = (
    ("ticket_systems", "upkeep.ticketing.mirror:senders"),
    ("notify", "upkeep.notify.senders:senders"),
)


def senders(store: Store, config: Config) -> dict[str, Callable[[], Sender]]:
    """What makes the sender of each configured queue. Made in the thread that uses it, and closed there."""
    made: dict[str, Callable[[], Sender]] = {}
    for name, place in SOURCES:
        if getattr(config, name, None):
            module, _colon, function = place.partition(":")
            made |= getattr(importlib.import_module(module), function)(store, config)
    return made


def backoff(failures: int, rng: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds until the next attempt after so many failures: exponential, with full jitter.

    Full jitter (any time up to the bound) spreads clients best after an outage: see "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015. At least a second, so that a short turn does not spin.
    """
    bound = min(MAX_DELAY, BASE_DELAY * 2.0 ** min(failures, 20))
    return max(1.0, rng(0.0, bound))


def rest(
    connection: Connection, queue: str, error: Later, now: float, rng: Callable[[float, float], float] = random.uniform
) -> None:
    """Let a queue rest after a failure that may be its system's: by how many there were in a row, or as it asked."""
    from .store import outbox

    failures = outbox.failures(connection, queue)
    outbox.pause(connection, queue, str(error), now + max(_asked(error), backoff(failures, rng)), now)


def _asked(error: Later) -> float:
    return min(max(error.after or 0.0, 0.0), MAX_ASKED)


# What this process is at: jobs (with their store), and the tokens of turns. What hangs on a system outlives its step,
# and is then left alone until it ends.
_busy_jobs: set[tuple[str, str]] = set()
_busy_tokens: set[str] = set()
_busy_lock = threading.Lock()


def step(store: Store, config: Config, now: float, seconds: float = STEP_SECONDS) -> int:
    """Deliver what is due, all queues side by side; returns how many items were done until the time was over.

    ``now``: epoch seconds at its beginning. Raises UpkeepError when the store fails, and nothing for the outside.
    """
    from .store import outbox

    with store.database.read() as connection:
        due, probes = outbox.due_queues(connection, now), outbox.probes_due(connection, now)
        stuck = outbox.any_sending(connection)
    if not due and not probes and not stuck:
        return 0
    delivery = Delivery(store, senders(store, config), getattr(config, "outbox", None) or Settings(), now)
    if stuck:
        delivery.recover()
        with store.database.read() as connection:
            due = outbox.due_queues(connection, now)
    queues = [queue for queue in {*due, *probes} if delivery.make(queue) is not None]
    random.shuffle(queues)  # more than fit: none is always the last
    jobs = {queue: partial(delivery.turn, queue, TURN_SECONDS) for queue in queues[:QUEUES_AT_ONCE]}
    return side_by_side(store, jobs, seconds)


def side_by_side(store: Store, jobs: Mapping[str, Callable[[], int]], seconds: float) -> int:
    """Do jobs in threads of their own until the time is over; the sum of what they returned until then.

    One that goes on is not begun again before it ends. Raises the first error of those that ended.
    """
    done: list[int] = []
    errors: list[BaseException] = []

    def work(job: Callable[[], int], place: tuple[str, str]) -> None:
        try:
            done.append(job())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread of who called
            errors.append(error)
        finally:
            with _busy_lock:
                _busy_jobs.discard(place)

    threads = []
    for name, job in jobs.items():
        place = (store.url, name)
        with _busy_lock:
            if place in _busy_jobs:
                continue
            _busy_jobs.add(place)
        # Daemons: a command ends when its time is over. What was being sent then is looked up before it is sent again.
        threads.append(threading.Thread(target=work, args=(job, place), name=name, daemon=True))
        threads[-1].start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    if errors:
        raise errors[0]
    return sum(done)


class Delivery:
    """The delivery of due items by this process."""

    def __init__(
        self,
        store: Store,
        makers: Mapping[str, Callable[[], Sender]],
        settings: Settings,
        now: float,
        *,
        rng: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.store = store
        self.makers = makers
        self.settings = settings
        self.rng = rng
        self._now = now
        self._began = time.monotonic()

    def now(self) -> float:
        """Epoch seconds, counted on from the step's beginning."""
        return self._now + (time.monotonic() - self._began)

    def make(self, queue: str) -> Callable[[], Sender] | None:
        """What makes a queue's sender; None for one that is not configured (any more)."""
        return self.makers.get(queue) or self.makers.get(queue.partition(":")[0] + ":")

    def recover(self) -> int:
        """Let go of what was being sent by a process that is gone."""
        from .store import outbox

        with _busy_lock:
            busy = set(_busy_tokens)
        with self.store.database.write() as connection:
            return outbox.recover(connection, busy, self.now())

    def turn(self, queue: str, seconds: float) -> int:
        """Work at one queue until nothing of it is due, it must rest, or the time is over. Returns how many items."""
        from .store import outbox

        make = self.make(queue)
        if make is None:
            return 0
        token, done = uuid.uuid4().hex, 0
        with _busy_lock:
            _busy_tokens.add(token)
        try:
            turn = _Turn(self, queue, make, outbox.holder(token))
            try:
                end = time.monotonic() + seconds
                while time.monotonic() < end and turn.next():
                    done += 1
            finally:
                turn.close()
        finally:
            with _busy_lock:
                _busy_tokens.discard(token)
        return done


class _Turn:
    """One queue, worked at by one thread."""

    def __init__(self, delivery: Delivery, queue: str, make: Callable[[], Sender], holder: str) -> None:
        self.delivery = delivery
        self.store = delivery.store
        self.queue = queue
        self.holder = holder
        self._make = make
        self._sender: Sender | None = None

    def sender(self) -> Sender:
        if self._sender is None:
            self._sender = self._make()
        return self._sender

    def close(self) -> None:
        close = getattr(self._sender, "close", None)
        if close is not None:
            close()

    def next(self) -> bool:
        """Send one item; False when the turn is over."""
        from .store import outbox

        try:
            if not self._may_go_on():
                return False
            settle = float(getattr(self.sender(), "settle", SETTLE))
        except Held as error:  # a secret that cannot be read
            self._hold(str(error))
            return False
        with self.store.database.write() as connection:
            item = outbox.claim(connection, self.queue, self.holder, settle, self.delivery.now())
        if item is None:
            return False
        item = replace(item, now=self.delivery.now(), expires=time.monotonic() + SEND_LIMIT)
        try:
            sent = self.sender().send(item, item.first)
        except Refused as error:
            self._dead(item, str(error))
            return True
        except Held as error:
            if self._looks_well() is not True:
                self._held(item, str(error))
                return False
            # Our rights are well, only not for this one: a ticket that was moved to where we may not write.
            return self._failed(item, str(error))
        except Later as error:
            self._later(item, error)
            return False
        except Exception as error:  # noqa: BLE001 - a bug of a sender must not end the deliveries of all others
            return self._failed(item, f"a fault of Upkeep itself: {type(error).__name__}: {error}")
        now = self.delivery.now()
        with self.store.database.write() as connection:
            # Else somebody took it for abandoned. They look before they send, and write down the same.
            if outbox.sent(connection, item, self.holder, now) and sent.keep is not None:
                sent.keep(connection, now)
        return True

    def _may_go_on(self) -> bool:
        """Whether the queue is not held; when it is and a look is due, looks."""
        from .store import outbox

        now = self.delivery.now()
        with self.store.database.read() as connection:
            if self.queue not in outbox.probes_due(connection, now):
                return True  # that it is held, claim() sees
        with self.store.database.write() as connection:
            if not outbox.claim_probe(connection, self.queue, PROBE_DELAYS, now):
                return True
        if not self._looks_well():
            return False
        with self.store.database.write() as connection:
            outbox.release(connection, self.queue)
        return True

    def _looks_well(self) -> bool | None:
        """What the sender's probe says of our credentials and rights; None: it has none."""
        probe = getattr(self.sender(), "probe", None)
        if probe is None:
            return None
        try:
            probe()
        except Exception:  # noqa: BLE001 - whatever it is: only a look that succeeds says that all is well
            return False
        return True

    def _failed(self, item: Item, why: str) -> bool:
        """What concerns this item alone, and may pass: a bounded number of attempts. Whether the turn goes on."""
        if item.attempts >= ALONE_ATTEMPTS:
            self._dead(item, why)
            return True
        self._later(item, Later(why, unknown=True))
        return False

    def _dead(self, item: Item, why: str) -> None:
        from .store import outbox

        now = self.delivery.now()
        told = getattr(self.sender(), "dead", None)
        with self.store.database.write() as connection:
            if outbox.dead(connection, item, self.holder, why, now) and told is not None:
                told(connection, item, why, now)

    def _held(self, item: Item, why: str) -> None:
        from .store import outbox

        with self.store.database.write() as connection:
            outbox.give_back(connection, item, self.holder, self.delivery.now())
        self._hold(why)

    def _hold(self, why: str) -> None:
        from .store import outbox

        now = self.delivery.now()
        with self.store.database.write() as connection:
            outbox.hold(connection, self.queue, why, now + PROBE_DELAYS[0], now)

    def _later(self, item: Item, error: Later) -> None:
        from .store import outbox

        now, limit = self.delivery.now(), self.delivery.settings.give_up_after
        if limit is not None and item.created + limit < now:
            self._dead(item, f"given up after {limit / 86400:.1f} days: {error}")
            return
        with self.store.database.write() as connection:
            # The item by its own failures, the queue by those in a row: one that always fails does not stop the rest.
            alone = now + max(_asked(error), backoff(item.attempts, self.delivery.rng))
            outbox.later(connection, item, self.holder, str(error), error.unknown, alone, now)
            rest(connection, self.queue, error, now, self.delivery.rng)
