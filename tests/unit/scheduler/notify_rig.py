# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store, a clock and ears: what the tests of notification stand on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from tests.unit.scheduler import results_file
from upkeep.config import Config
from upkeep.notify import messages, plan
from upkeep.notify.settings import Channel, Settings
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.secret import SecretPlace
from upkeep.sla import BusinessHours
from upkeep.sla import Settings as SlaSettings
from upkeep.store import Store, open_store, schema

ZONE = ZoneInfo("Europe/Moscow")
DISK = "capacity.disk.full"
PATCH = "patch.security.pending"
DOWN = "upkeep.host.unreachable"
CHECKS = (DISK, PATCH, DOWN)
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def at(text: str) -> float:
    """Seconds since the epoch of a time in Moscow: "2026-11-22 03:00" (that is a Sunday)."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()


def channel(name: str, **more: Any) -> Channel:
    return Channel(name, (SecretPlace("env", f"TEST_{name.upper()}"),), **more)


def settings(*channels: Channel, **more: Any) -> Settings:
    given = channels or (channel("duty"),)
    return Settings(channels={one.name: one for one in given}, **more)


@dataclass
class Message:
    """What went into the outbox."""

    id: int
    queue: str
    kind: str
    created: float
    payload: dict[str, Any]

    @property
    def about(self) -> list[tuple[int, str]]:
        return [(ticket["number"], ticket["event"]) for ticket in self.payload["tickets"]]

    def text(self, form: messages.Format = "text") -> str:
        made = messages.render(self.payload, form, self.created)
        return f"{made.title}\n{made.body}"


@dataclass
class World:
    """A store whose time goes on only when a test says so."""

    folder: Path
    notify: Settings
    now: float
    policy: Policy = field(default_factory=Policy)
    url: str | None = None
    """None: SQLite in the folder."""
    heard: int = 0
    runs: int = 0

    def __post_init__(self) -> None:
        hours = BusinessHours(time_zone=ZONE.key)
        self.store: Store = open_store(self.url, self.folder / "home")
        self.config = Config(None, self.folder, notify=self.notify, time_zone=ZONE, sla=SlaSettings(hours=hours))
        self.step()  # the cursor stands before all that comes

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_error: object) -> None:
        self.store.close()

    def use(self, **changes: Any) -> None:
        self.notify = replace(self.notify, **changes)
        self.config = replace(self.config, notify=self.notify)

    def run(
        self,
        *findings: results_file.Seen,
        coverage: tuple[str, ...] = CHECKS,
        hosts: dict[str, str] | None = None,
        step: bool = True,
    ) -> list[Message]:
        """A run of the weekly that finds this and covered these checks on its hosts; what is told of it."""
        self.runs += 1
        if hosts is None:
            hosts = dict.fromkeys(["web1", *(one[0] for one in findings)], "ok")
        name = f"run{self.runs}"
        covered = [(host, check, "*") for host, state in hosts.items() if state != "unreachable" for check in coverage]
        path = results_file.write(
            self.folder / name,
            name,
            list(findings),
            coverage=covered,
            hosts=hosts,
            started=self.now - 20,
            finished=self.now - 10,
        )
        record_file(self.store, path, self.policy, self.now, "weekly")
        return self.step() if step else []

    def step(self) -> list[Message]:
        plan.step(self.store, self.config, self.now)
        return self.messages()

    def messages(self) -> list[Message]:
        """Those that are new since the last look."""
        table = schema.outbox
        with self.store.database.read() as connection:
            rows = connection.execute(select(table).where(table.c.id > self.heard).order_by(table.c.id)).all()
        self.heard = rows[-1].id if rows else self.heard
        return [Message(row.id, row.queue, row.kind, row.created, dict(row.payload)) for row in rows]

    def until(self, then: float | str, every: float = 5 * MINUTE) -> list[Message]:
        """Let time pass, with a step now and then; all that is told on the way."""
        end = at(then) if isinstance(then, str) else then
        told: list[Message] = []
        while self.now < end:
            self.now = min(self.now + every, end)
            self.deliver()
            told += self.step()
        return told

    def deliver(self) -> None:
        """All that waits has gone out."""
        with self.store.database.write() as connection:
            connection.execute(schema.outbox.update().values(state="sent"))
