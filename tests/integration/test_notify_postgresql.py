# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told whom, on a real PostgreSQL server, also by two who plan at the same time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.scheduler.notify_rig import DISK, HOUR, MINUTE, PATCH, World, at, channel, settings
from upkeep.notify import heartbeat, plan
from upkeep.notify.settings import EVENTS, Heartbeat, Rate, Route
from upkeep.secret import SecretPlace
from upkeep.store import marks, open_store

from .test_store_postgresql import Server, server, url  # noqa: F401 - fixtures

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

CRITICAL = ("web1", DISK, "/", "critical")
LOW = ("web1", PATCH, "x", "low")


@pytest.fixture
def world(url: str, tmp_path: Path) -> Iterator[World]:  # noqa: F811
    made = settings(channel("duty", rate=Rate(100, HOUR)), channel("db"))
    with World(tmp_path, made, at("2026-11-22 03:00"), url=url) as opened:
        yield opened


def test_a_ticket_s_life(world: World) -> None:
    world.use(routes=(Route("db", ("db",), host=("db*",), check=("patch.*",), event=EVENTS),))
    told = world.run(CRITICAL, LOW, ("db1", PATCH, "x", "high"))
    # The first is a P1 that no route takes: it goes everywhere.
    assert {one.queue: one.about for one in told} == {
        "notify:duty": [(1, "opened")],
        "notify:db": [(1, "opened"), (2, "opened")],
    }
    told = world.until(world.now + 31 * MINUTE, MINUTE)
    assert Counter(one.queue for one in told) == {"notify:duty": 2, "notify:db": 2}
    world.store.acknowledge(1, "anna", "", world.now)
    world.store.acknowledge(2, "anna", "", world.now)
    world.now += HOUR
    assert [(one.queue, one.about) for one in world.step()] == [("notify:db", [(2, "acknowledged")])]
    world.now += HOUR
    told = world.run(LOW, ("db1", PATCH, "x", "high"))
    assert sorted((one.queue, one.about) for one in told) == [
        ("notify:db", [(1, "resolved")]),
        ("notify:duty", [(1, "resolved")]),
    ]


def test_two_who_plan_at_once_tell_it_once(world: World, url: str, tmp_path: Path) -> None:  # noqa: F811
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with open_store(url, tmp_path) as store:
                plan.step(store, world.config, world.now)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    for number in range(5):
        found = [(f"web{number}", f"area.thing{count}.fault", "x", "high") for count in range(number + 1)]
        world.run(*found, step=False)
        world.now += MINUTE
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
    told = Counter(
        (message.queue, number) for message in world.messages() for number, what in message.about if what == "opened"
    )
    assert told == {(queue, number): 1 for queue in ("notify:duty", "notify:db") for number in range(1, 6)}


def test_the_heartbeat_s_marks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.config = replace(
        world.config, notify=replace(world.notify, heartbeat=Heartbeat(SecretPlace("env", "UPKEEP_NONE")))
    )
    assert heartbeat.step(world.store, world.config, world.now) == 0
    with world.store.database.read() as connection:
        assert heartbeat.failing_since(connection) == world.now
        assert marks.read(connection, heartbeat.SINCE) == (world.now, "")
    monkeypatch.setattr(heartbeat, "call", lambda _beat: "")
    assert heartbeat.step(world.store, world.config, world.now + 60) == 1
    assert heartbeat.step(world.store, world.config, world.now + 120) == 0
