# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several schedulers on one PostgreSQL server: who leads, who takes over, and one run for each occurrence."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_store_postgresql import Server, server  # noqa: F401 - a fixture
from tests.service.schedulers import Schedulers
from upkeep.store import RUNNING

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

JOBS = """
  a: {playbook: play.yml, schedule: daily 00:00, changes: false, catch_up: all, catch_up_limit: 50, misfire: 10m}
  b: {playbook: play.yml, schedule: daily 00:00, changes: false, catch_up: all, catch_up_limit: 50, misfire: 10m}
"""
SETTINGS = "scheduler: {takeover_after: 5s, node_lost_after: 30s}\n"
LEAD = 0x55504B454550 + 1


@pytest.fixture
def nodes(server: Server, tmp_path: Path) -> Iterator[Schedulers]:  # noqa: F811
    with Schedulers(tmp_path / "home", JOBS, store_url=server.url(server.database()), more=SETTINGS) as made:
        made.store().close()  # its tables
        yield made


def test_another_takes_over_within_seconds_and_each_occurrence_runs_once(nodes: Schedulers) -> None:
    for _ in range(4):
        nodes.start(5.0)
    nodes.until(lambda: nodes.leader() is not None)
    for how in (signal.SIGKILL, signal.SIGTERM):
        time.sleep(7)
        first = nodes.leader()
        assert first is not None
        os.kill(first, how)
        begin = time.monotonic()
        nodes.until(lambda first=first: nodes.leader() not in (None, first), 20)  # type: ignore[misc]
        took = time.monotonic() - begin
        print(f"after {how.name} another leads in {took:.1f} s")
        assert took < 10
    time.sleep(7)
    nodes.settle(5.0)
    assert nodes.check_once(5.0) >= 4


def test_a_leader_that_is_stopped_and_goes_on(nodes: Schedulers) -> None:
    for _ in range(2):
        nodes.start(5.0)
    nodes.until(lambda: nodes.leader() is not None)
    time.sleep(5)
    first = nodes.leader()
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    begin = time.monotonic()
    nodes.until(lambda: nodes.leader() not in (None, first), 40)
    print(f"another leads after {time.monotonic() - begin:.1f} s")
    time.sleep(8)
    os.kill(first, signal.SIGCONT)
    time.sleep(8)
    nodes.settle(5.0)
    assert nodes.check_once(5.0) >= 4


def test_a_session_that_is_dropped(nodes: Schedulers, server: Server) -> None:  # noqa: F811
    """The leader's lock goes with its session: for a moment there may be two of them, and still one run of each."""
    for _ in range(2):
        nodes.start(3.0)
    nodes.until(lambda: nodes.leader() is not None)
    for _ in range(5):
        time.sleep(3.0)
        server.sql(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted"
            f" AND (l.classid::bigint << 32 | l.objid::bigint) = {LEAD}"
        )
    nodes.settle(3.0)
    assert nodes.check_once(3.0) >= 3


def test_a_server_that_is_away_for_a_while(nodes: Schedulers, server: Server) -> None:  # noqa: F811
    nodes.start(5.0)
    nodes.start(5.0)
    nodes.until(lambda: len(nodes.firings()) >= 2)
    nodes.until(lambda: any(state == RUNNING for *_, state, _pid in nodes.runs()))
    server.stop("immediate")
    time.sleep(20)
    server.start()
    nodes.until(lambda: nodes.leader() is not None)
    time.sleep(12)
    nodes.settle(5.0)
    assert nodes.check_once(5.0) >= 4
    assert {one.state for one in nodes.firings()} == {"finished"}, "what was at work when it went away is kept"
    told = [line for line in nodes.logs().splitlines() if "the signs of life: " in line]
    assert 2 <= len(told) <= 8, "each of both tells it once, and once that it is well again"


def test_a_run_on_a_machine_that_died(nodes: Schedulers) -> None:
    """The run is made to look like one of another machine, whose signs of life end."""
    from sqlalchemy import update

    from upkeep.store import locks, schema

    with nodes.store() as store:
        run = store.begin_run("elsewhere", "play.yml", time.time(), job="a", wanted=[locks.of_job("a")])
        with store.database.write() as connection:
            connection.execute(update(schema.runs).values(node="other", boot="other"))
        nodes.start()
        nodes.until(lambda: store.run(run.number).run.state == "interrupted", 90)
        assert "no sign of life" in store.run(run.number).run.message
        with store.database.read() as connection:
            assert locks.holder(connection, [locks.of_job("a")]) is None
