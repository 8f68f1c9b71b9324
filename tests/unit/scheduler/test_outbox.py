# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox: each thing once, in its order, through failures, crashes, outages and several deliverers."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from upkeep import outbox as outboxes
from upkeep.errors import UpkeepError
from upkeep.outbox import Delivery, Held, Item, Later, Refused, Sent, Settings, backoff
from upkeep.store import Store, open_store, outbox, schema

QUEUE = "notify:chat"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "home") as opened:
        yield opened


class Crash(BaseException):
    """The process is gone, as far as the code under test can see."""


class Fake:
    """A sender that answers as it is told: a list of outcomes, then all is well."""

    def __init__(self, *outcomes: BaseException | None, settle: float = 10.0) -> None:
        self.outcomes = list(outcomes)
        self.settle = settle
        self.seen: list[tuple[str, bool]] = []
        self.closed = 0

    def send(self, item: Item, first: bool) -> Sent:
        self.seen.append((item.key, first))
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        return Sent()

    def close(self) -> None:
        self.closed += 1


def put(
    store: Store, *keys: str, queue: str = QUEUE, now: float = 0.0, ticket: int | None = None, kind: str = "x"
) -> None:
    with store.database.write() as connection:
        for key in keys:
            assert outbox.enqueue(connection, queue, key, kind, {"text": key}, now, ticket=ticket)


def deliver(store: Store, sender: Any, now: float, queue: str = QUEUE, settings: Settings | None = None) -> int:
    """One step of a deliverer whose jitter is always the longest."""
    delivery = Delivery(store, {queue: lambda: sender}, settings or Settings(), now, rng=lambda _low, high: high)
    with store.database.read() as connection:
        stuck = outbox.any_sending(connection)
    if stuck:
        delivery.recover()
    return delivery.turn(queue, 60)


def states(store: Store) -> dict[str, str]:
    with store.database.read() as connection:
        return {item.key: item.state for item in outbox.listed(connection, outboxes.STATES, None, 100)}


def tickets(store: Store, count: int) -> None:
    """Rows that items may refer to."""
    row = {"cause": "c", "title": "t", "state": "resolved", "priority": "P3", "rank": 1, "opened": 0.0, "updated": 0.0}
    rest = {"acknowledged_by": "", "resolved_by": "", "reopened": 0, "entries": 0, "hosts": 0, "clocks": []}
    with store.database.write() as connection:
        for number in range(1, count + 1):
            connection.execute(schema.tickets.insert().values(number=number, key=f"k{number}", **row, **rest))


def test_a_key_is_known_once_in_its_queue(store: Store) -> None:
    put(store, "a")
    put(store, "a", queue="notify:mail")
    with store.database.write() as connection:
        assert not outbox.enqueue(connection, QUEUE, "a", "x", {}, 1.0)
    sender = Fake()
    assert deliver(store, sender, 2.0) == 1
    with store.database.write() as connection:
        assert not outbox.enqueue(connection, QUEUE, "a", "x", {}, 3.0), "sent ones are remembered"
    assert (deliver(store, sender, 4.0), sender.seen, sender.closed) == (0, [("a", True)], 2)


def test_what_is_written_down_with_it_is_kept_or_lost_with_it(store: Store) -> None:
    class Keeping(Fake):
        def send(self, item: Item, first: bool) -> Sent:
            super().send(item, first)

            def keep(connection: Any, now: float) -> None:
                connection.execute(schema.cursors.insert().values(name=item.key, value=1))
                if len(self.seen) == 1:
                    raise Crash

            return Sent(keep)

    put(store, "a")
    sender = Keeping(settle=0)
    with pytest.raises(Crash):
        deliver(store, sender, 1.0)
    assert states(store) == {"a": "sending"}
    assert deliver(store, sender, 2.0) == 1
    assert sender.seen == [("a", True), ("a", False)], "the second time it must look first"


def test_an_attempt_is_written_down_before_anything_goes_out(store: Store) -> None:
    put(store, "a")

    class Looking(Fake):
        def send(self, item: Item, first: bool) -> Sent:
            assert states(store) == {"a": "sending"}
            with store.database.read() as connection:
                row = connection.execute(schema.outbox.select()).one()
            assert json.loads(row.holder)[2] == os.getpid()
            return super().send(item, first)

    assert deliver(store, Looking(), 1.0) == 1
    assert states(store) == {"a": "sent"}


def test_after_a_crash_it_waits_until_the_other_side_has_settled_and_looks_first(store: Store) -> None:
    put(store, "a")
    sender = Fake(Crash())
    with pytest.raises(Crash):
        deliver(store, sender, 1.0)
    for now, done in ((2.0, 0), (11.0, 0), (12.1, 1)):  # it was found at 2, and settles for 10
        assert deliver(store, sender, now) == done
    assert sender.seen == [("a", True), ("a", False)]


def test_an_unknown_outcome_settles_a_known_one_does_not(store: Store) -> None:
    put(store, "a", "b")
    sender = Fake(Later("reset", unknown=True), Later("refused connection"), settle=100.0)
    deliver(store, sender, 0.0)
    deliver(store, sender, 5.0)
    assert sender.seen == [("a", True), ("b", True)]
    deliver(store, sender, 50.0)
    assert sender.seen[2:] == [("b", True)], "a settles still"
    deliver(store, sender, 101.0)
    assert sender.seen[3:] == [("a", False)]


def test_a_person_who_retries_does_not_shorten_the_settling(store: Store) -> None:
    put(store, "a")
    sender = Fake(Later("reset", unknown=True), settle=100.0)
    deliver(store, sender, 0.0)
    with store.database.write() as connection:
        outbox.retry(connection, 1, 1.0)
    assert deliver(store, sender, 2.0) == 0
    assert deliver(store, sender, 101.0) == 1


def test_retry_after_is_obeyed_for_the_whole_queue(store: Store) -> None:
    put(store, "a", "b")
    sender = Fake(Later("429", after=3600.0))
    deliver(store, sender, 0.0)
    for now in (10.0, 1000.0, 3599.0):
        assert deliver(store, sender, now) == 0
    assert sender.seen == [("a", True)]
    assert deliver(store, sender, 3601.0) == 2


def test_a_mistaken_retry_after_is_bounded(store: Store) -> None:
    put(store, "a")
    sender = Fake(Later("429", after=1e12), Later("429", after=-5.0))
    deliver(store, sender, 0.0)
    deliver(store, sender, outboxes.MAX_ASKED + 1)
    assert len(sender.seen) == 2


def test_days_of_outage_lose_nothing_and_cost_little(store: Store) -> None:
    keys = [f"k{number}" for number in range(20)]
    put(store, *keys)
    outage = 5 * 86400.0
    sender = Fake()
    down = Fake(*[Later("no connection") for _ in range(100_000)])
    now = 0.0
    while now < outage:
        deliver(store, down, now)
        now += 240.0
    assert len(down.seen) < outage / 300, "asked seldom"
    assert set(states(store).values()) == {"waiting"}
    while now < outage + 3600 and len(sender.seen) < 20:
        deliver(store, sender, now)
        now += 60.0
    assert sorted(key for key, _first in sender.seen) == sorted(keys)
    assert now < outage + 2000, "all of it soon after the end"
    with store.database.read() as connection:
        (queue,) = outbox.queues(connection)
    assert (queue.sent, queue.waiting, queue.failing_since) == (20, 0, None)


def test_one_item_that_always_fails_does_not_stop_the_others(store: Store) -> None:
    put(store, "poison", *[f"k{number}" for number in range(20)])

    class Poisoned(Fake):
        def send(self, item: Item, first: bool) -> Sent:
            super().send(item, first)
            if item.key == "poison":
                raise Later("500", unknown=True)
            return Sent()

    sender = Poisoned()
    for minute in range(10):
        deliver(store, sender, minute * 60.0)
    assert [key for key, state in states(store).items() if state != "sent"] == ["poison"]


def test_given_up_only_when_configured(store: Store) -> None:
    put(store, "a")
    sender = Fake(*[Later("down") for _ in range(10)])
    settings = Settings(give_up_after=86400.0)
    deliver(store, sender, 0.0, settings=settings)
    deliver(store, sender, 80_000.0, settings=settings)
    assert states(store) == {"a": "waiting"}
    deliver(store, sender, 90_000.0, settings=settings)
    assert states(store) == {"a": "dead"}
    with store.database.read() as connection:
        assert "given up after 1.0 days: down" in outbox.one(connection, 1)[0].error


def test_refused_is_dead_until_a_person_retries_or_drops_it(store: Store) -> None:
    put(store, "a", "b")
    sender = Fake(Refused("no such \x1b[31mproject"), Refused("no"))
    assert deliver(store, sender, 0.0) == 2
    assert deliver(store, sender, 1e6) == 0
    with store.database.write() as connection:
        first, second = outbox.listed(connection, ["dead"], None, 10)
        assert "\x1b" not in first.error
        assert outbox.retry(connection, first.id, 1e6).state == "waiting"
        assert outbox.drop(connection, second.id, 1e6) == 1
    deliver(store, sender, 1e6 + 1)
    assert states(store) == {"a": "sent", "b": "dropped"}
    assert sender.seen[2:] == [("a", False)], "a part of it may have been done"
    with store.database.write() as connection, pytest.raises(UpkeepError, match="cannot be retried"):
        outbox.retry(connection, 1, 1e6)
    with store.database.write() as connection, pytest.raises(UpkeepError, match="no item 99"):
        outbox.drop(connection, 99, 1e6)


def test_held_stops_the_queue_once_and_burns_nothing(store: Store) -> None:
    put(store, "a", "b")
    sender = Fake(Held("401 Unauthorized"))
    for now in range(0, 800, 100):
        deliver(store, sender, float(now))
    assert sender.seen == [("a", True)]
    with store.database.read() as connection:
        (queue,) = outbox.queues(connection)
        assert (queue.held_since, queue.held_why) == (pytest.approx(0, abs=5), "401 Unauthorized")
        assert [item.attempts for item in outbox.listed(connection, ["waiting"], None, 10)] == [0, 0]
    with store.database.write() as connection:
        assert outbox.release(connection, QUEUE)
        assert not outbox.release(connection, QUEUE)
    assert deliver(store, sender, 810.0) == 2


def test_a_held_queue_goes_on_when_a_probe_succeeds(store: Store) -> None:
    probes: list[float] = []
    clock = [0.0]

    class Probed(Fake):
        def probe(self) -> None:
            probes.append(clock[0])
            if clock[0] < 10_000:
                raise Held("still")

    put(store, "a")
    sender = Probed(Held("401"))
    while clock[0] < 20_000:
        deliver(store, sender, clock[0])
        clock[0] += 100.0
    # Ever less often: accounts can be locked by it.
    assert probes == pytest.approx([0, 900, 2700, 6300, 13500], abs=350)
    assert states(store) == {"a": "sent"}


def test_one_item_that_alone_is_refused_does_not_hold_the_queue(store: Store) -> None:
    class Moved(Fake):
        def send(self, item: Item, first: bool) -> Sent:
            super().send(item, first)
            if item.key == "moved":
                raise Held("403: that ticket is in a project of others now")
            return Sent()

        def probe(self) -> None:
            return

    put(store, "moved", "a", "b")
    sender = Moved()
    for hour in range(12):
        deliver(store, sender, hour * 3600.0)
    assert states(store) == {"moved": "dead", "a": "sent", "b": "sent"}
    assert len([key for key, _first in sender.seen if key == "moved"]) == outboxes.ALONE_ATTEMPTS
    with store.database.read() as connection:
        assert outbox.queues(connection)[0].held_since is None


def test_a_secret_that_cannot_be_read_holds_the_queue(store: Store) -> None:
    put(store, "a")

    def make() -> Any:
        raise Held("the file of the token is not there")

    Delivery(store, {QUEUE: make}, Settings(), 1.0).turn(QUEUE, 5)
    with store.database.read() as connection:
        assert outbox.queues(connection)[0].held_why == "the file of the token is not there"
    assert states(store) == {"a": "waiting"}


def test_items_of_one_ticket_keep_their_order_and_others_pass(store: Store) -> None:
    tickets(store, 2)
    put(store, "1-open", "1-comment", "1-resolve", ticket=1)
    put(store, "2-open", ticket=2)
    sender = Fake(Later("lock conflict"))
    deliver(store, sender, 0.0)
    deliver(store, sender, 5.0)  # the first one waits for longer than the queue
    deliver(store, sender, 100.0)
    assert [key for key, _first in sender.seen] == ["1-open", "2-open", "1-open", "1-comment", "1-resolve"]


def test_without_its_foundation_a_ticket_waits_and_goes_with_it(store: Store) -> None:
    tickets(store, 2)
    put(store, "1-open", ticket=1, kind="open")
    put(store, "1-comment", ticket=1)
    put(store, "2-comment", "2-resolve", ticket=2)
    sender = Fake(Refused("no such project"), Refused("too long"))
    deliver(store, sender, 0.0)
    deliver(store, sender, 100.0)
    assert states(store) == {"1-open": "dead", "1-comment": "waiting", "2-comment": "dead", "2-resolve": "sent"}
    with store.database.write() as connection:
        assert outbox.drop(connection, 1, 0.0) == 2
    assert states(store)["1-comment"] == "dropped"


def test_a_fault_of_ours_is_bounded_and_seen(store: Store) -> None:
    put(store, "a", "b")
    sender = Fake(*[ZeroDivisionError("oops") for _ in range(1000)])
    now = 0.0
    while "waiting" in states(store).values():
        deliver(store, sender, now)
        now += 600.0
    assert set(states(store).values()) == {"dead"}
    assert len(sender.seen) == 2 * outboxes.ALONE_ATTEMPTS
    with store.database.read() as connection:
        assert "a fault of Upkeep itself: ZeroDivisionError: oops" in outbox.one(connection, 1)[0].error


def test_of_another_machine_an_item_is_taken_when_its_lease_is_over(store: Store) -> None:
    put(store, "a")
    sender = Fake(Crash(), settle=0.0)
    with pytest.raises(Crash):
        deliver(store, sender, 0.0)
    elsewhere = json.dumps(["another", "boot", 1, 1, "token"])
    with store.database.write() as connection:
        connection.execute(update(schema.outbox).values(holder=elsewhere))
    assert deliver(store, sender, outbox.LEASE - 5) == 0
    assert deliver(store, sender, outbox.LEASE + 5) == 1
    assert sender.seen[1:] == [("a", False)]


def test_of_this_machine_the_processes_life_counts(store: Store) -> None:
    put(store, "a")
    sender = Fake(Crash(), settle=0.0)
    with pytest.raises(Crash):
        deliver(store, sender, 0.0)
    parent = outbox.this_process()
    assert parent.pid == os.getpid()
    alive = json.dumps([parent.node, parent.boot, 1, _start_of_init(), "token"])
    with store.database.write() as connection:
        connection.execute(update(schema.outbox).values(holder=alive))
    assert deliver(store, sender, 1e9) == 0, "init lives"
    with store.database.write() as connection:
        connection.execute(update(schema.outbox).values(holder=alive.replace("[", "[", 1).replace(" 1, ", " 999999, ")))
    assert deliver(store, sender, 1e9) == 1


def _start_of_init() -> int:
    return int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])


def test_who_lost_the_item_writes_nothing_down(store: Store) -> None:
    kept: list[str] = []
    put(store, "a")

    class Robbed(Fake):
        def send(self, item: Item, first: bool) -> Sent:
            with store.database.write() as connection:
                connection.execute(update(schema.outbox).values(state="dead", holder=""))
            return Sent(lambda _connection, _now: kept.append(item.key))

    deliver(store, Robbed(), 0.0)
    assert kept == []
    assert states(store) == {"a": "dead"}


def test_a_slow_queue_blocks_neither_the_others_nor_the_step(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "slow1", "slow2", queue="notify:slow")
    put(store, "fast", queue="notify:fast")
    go_on = threading.Event()
    seen: list[str] = []

    class Slow(Fake):
        def send(self, item: Item, first: bool) -> Sent:
            seen.append(item.key)
            if item.queue == "notify:slow":
                assert go_on.wait(30)
            return Sent()

    monkeypatch.setattr(outboxes, "senders", lambda _store, _config: {"notify:": Slow})
    config: Any = None
    before = time.monotonic()
    assert outboxes.step(store, config, 100.0, seconds=1.0) == 1
    assert outboxes.step(store, config, 101.0, seconds=0.2) == 0, "the slow one is under way, and taken by nobody else"
    assert time.monotonic() - before < 5
    assert states(store) == {"slow1": "sending", "slow2": "waiting", "fast": "sent"}
    go_on.set()
    end = time.monotonic() + 10
    while states(store)["slow2"] != "sent" and time.monotonic() < end:
        time.sleep(0.02)
    assert sorted(seen) == ["fast", "slow1", "slow2"]


def test_nothing_due_builds_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> Any:
        raise AssertionError

    monkeypatch.setattr(outboxes, "senders", fail)
    config: Any = None
    assert outboxes.step(store, config, 0.0) == 0


def test_a_queue_that_is_no_longer_configured_keeps_its_items(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a", queue="ticket:old")
    monkeypatch.setattr(outboxes, "senders", lambda _store, _config: {})
    config: Any = None
    assert outboxes.step(store, config, 1.0) == 0
    assert states(store) == {"a": "waiting"}


def test_jitter_is_full_and_bounded() -> None:
    assert [backoff(n, lambda _low, high: high) for n in range(10)] == [4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert backoff(10**9, lambda _low, high: high) == 900
    assert backoff(5, lambda low, _high: low) == 1.0


@pytest.mark.parametrize("deliverers", [4])
def test_several_deliverers_side_by_side_send_each_once(store: Store, deliverers: int) -> None:
    keys = [f"k{number}" for number in range(60)]
    put(store, *keys)
    seen: list[str] = []

    class Counting(Fake):
        def send(self, item: Item, first: bool) -> Sent:
            seen.append(item.key)
            return Sent()

    make: Callable[[], Any] = Counting
    others = [open_store(store.url, Path("/")) for _ in range(deliverers)]
    try:
        threads = [
            threading.Thread(target=Delivery(other, {QUEUE: make}, Settings(), 1.0).turn, args=(QUEUE, 60))
            for other in others
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for other in others:
            other.close()
    assert sorted(seen) == sorted(keys)


def test_retention_keeps_what_a_ticket_shows_and_what_is_not_sent(store: Store) -> None:
    tickets(store, 1)
    put(store, "of a ticket", ticket=1)
    put(store, "old")
    deliver(store, Fake(), 10.0)
    put(store, "waiting")
    with store.database.write() as connection:
        assert outbox.prune(connection, 1000.0) == 1
    assert sorted(states(store)) == ["of a ticket", "waiting"]
