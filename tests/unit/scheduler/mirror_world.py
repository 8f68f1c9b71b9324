# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store, a ticket system that can fail, and time that goes by only here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.scheduler import results_file
from tests.unit.scheduler.fake_tickets import FakeSystem, There, TicketServer
from upkeep import outbox as outboxes
from upkeep.outbox import Delivery, Settings
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import Store, TicketDetail, mirrors, open_store, outbox
from upkeep.store.mirrors import Link
from upkeep.ticketing import mirror
from upkeep.ticketing.mirror import Mirrored

DISK = "capacity.disk.full"
PATCH = "patch.security.pending"
ALL = [(host, check, "*") for host in ("web1", "web2") for check in (DISK, PATCH)]


class World:
    """A store, a ticket system, and time that goes by only here."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store: Store = open_store(None, home / "state")
        self.server = TicketServer()
        self.now = 1_000_000.0
        self.runs = 0
        self.system = self.mirrored()

    def mirrored(self, name: str = "fake", **options: Any) -> Mirrored:
        options.setdefault("takes", lambda _draft: True)
        return Mirrored(name, make=lambda: FakeSystem(self.server, name), every=60.0, **options)

    def run(
        self,
        *findings: tuple[str, str, str, str],
        evidence: tuple[str, ...] = ("seen",),
        proofs: list[tuple[str, dict[str, Any]]] = [],  # noqa: B006 - not changed
    ) -> None:
        """A run over both hosts that finds these, and makes these proofs (by host)."""
        self.runs += 1
        self.later(20)
        path = results_file.write(
            self.home / f"{self.runs}.jsonl",
            f"r{self.runs}",
            list(findings),
            coverage=ALL,
            started=self.now - 15,
            finished=self.now - 1,
            evidence=evidence,
            proofs=proofs,
        )
        record_file(self.store, path, Policy(), self.now)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.server.advance(seconds)

    def plan(self) -> int:
        return mirror.plan(self.store, self.system, self.now)

    def deliver(self) -> int:
        makers: dict[str, Callable[[], Any]] = {self.system.queue: lambda: mirror.TicketSender(self.store, self.system)}
        delivery = Delivery(self.store, makers, Settings(), self.now, rng=lambda _low, high: high)
        delivery.recover()
        return delivery.turn(self.system.queue, 60)

    def poll(self) -> int:
        return mirror.poll(self.store, self.system, self.now, 60)

    def sync(self, seconds: float = 61.0) -> None:
        """Out, and back."""
        self.plan()
        self.deliver()
        self.later(seconds)
        self.poll()

    def ticket(self, number: int = 1) -> TicketDetail:
        return self.store.ticket(number)

    def image(self, number: int = 1) -> Link:
        """What is known of the image of a ticket."""
        with self.store.database.read() as connection:
            link = mirrors.link(connection, number, self.system.name)
        assert link is not None
        return link

    def there(self, number: int = 1) -> There:
        """The image of a ticket."""
        return self.server.tickets[self.image(number).remote_id]

    def history(self, number: int = 1) -> list[tuple[str, str, str]]:
        return [(line.kind, line.actor, line.text) for line in self.ticket(number).history]

    def states(self) -> list[tuple[str, str]]:
        with self.store.database.read() as connection:
            return [(item.kind, item.state) for item in outbox.listed(connection, outboxes.STATES, None, 100)]
