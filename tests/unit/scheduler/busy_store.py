# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store in which there is something of everything, for tests of what is shown of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, update

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import proof
from tests.unit.scheduler import results_file
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import facade, outbox, schema

HOUR = 3600.0
DAY = 24 * HOUR

UPKEEP_YML = """\
time_zone: UTC
inventory: "web1,web2,db1,"
jobs:
  weekly: {schedule: "Sun 03:00", time_limit: 2h}
  nightly: {playbook: upkeep.maintenance.patch_state, schedule: "0 * * * *"}
  never: {playbook: upkeep.maintenance.capacity, schedule: "daily 05:00"}
"""


def fill(store: facade.Store, folder: Path, now: float) -> None:
    """Runs that went well and badly, tickets of each priority, clocks of each state, queues, schedulers."""
    ok = {"web1": "ok", "web2": "ok", "db1": "ok"}
    clean = [(host, "*", "*") for host in ok]
    for number in (4, 3, 2, 1):
        # A failed disk, replaced before the next night.
        bad = [("db1", "capacity.disk.failing", "sdb", "critical")] if number == 4 else []
        covered = [("db1", "capacity.disk.failing", "*"), *clean]
        started = now - number * DAY
        path = results_file.write(
            folder / f"n{number}.jsonl",
            f"n{number}",
            bad,
            coverage=covered,
            hosts=ok,
            started=started,
            finished=started + 900,
        )
        _record(store, path, "nightly", started, started + 910)
    hosts = {**ok, "db1": "unreachable"}
    found = [
        ("web1", "capacity.filesystem.filling", "/var", "critical"),
        ("web1", "patch.security.pending", "openssl", "high"),
        ("web2", "patch.security.pending", "openssl", "high"),
        ("web2", "patch.automatic.disabled", "*", "low"),
        ("web2", "patch.kernel.old", "*", "info"),
        ("db1", "upkeep.host.unreachable", "*", "high"),
    ]
    started = now - 9 * DAY
    path = results_file.write(folder / "w1.jsonl", "w1", [], coverage=clean, hosts=ok, started=started)
    _record(store, path, "weekly", started, started + 60)
    started = now - 2 * DAY
    whole, sample, load = "backup.restore.whole", "backup.restore.sample", "backup.dump.load"
    tested = [
        (
            "web1",
            proof(whole, "offsite", "passed", started, started + 9, "All came.", {"rto": {"seconds": 840.5}}),
        ),
        ("web1", proof(sample, "offsite", "failed", started, started + 9, "Some did not.", {"rto": {"seconds": 7}})),
        ("db1", proof(load, "shop", "cannot", started, started + 9, "There was no room.")),
        ("db1", proof("backup.data.read", "offsite", "passed", started, started + 9, "All packs were read.")),
    ]
    path = results_file.write(
        folder / "w2.jsonl", "w2", found, hosts=hosts, started=started, finished=started + 3000, proofs=tested
    )
    _record(store, path, "weekly", started, started + 3100)
    path = results_file.write(folder / "p.jsonl", "p", [], hosts={"web1": "ok"}, started=now - HOUR, end="interrupted")
    _record(store, path, None, now - HOUR, now - HOUR + 20)
    store.begin_run("under-way", "upkeep.maintenance.patch_state", now - 120, job="nightly")
    tickets = {ticket.cause: ticket.number for ticket in store.tickets()}
    store.acknowledge(tickets["patch.security.pending"], "ann", "on it", now - 2 * DAY + 3200)
    with store.database.write() as connection:
        _tables(connection, now)


def _record(store: facade.Store, path: Path, job: str | None, started: float, now: float) -> None:
    record_file(store, path, Policy(), now, job)


def _tables(connection: Connection, now: float) -> None:
    def add(table: Any, *rows: dict[str, Any]) -> None:
        connection.execute(insert(table), list(rows))

    blank = {"why": "", "node": "node1", "decided": now, "not_before": 0.0}
    add(
        schema.firings,
        {
            **blank,
            "job": "weekly",
            "due": now - 2 * DAY - 62,
            "not_before": now - 2 * DAY - 2,
            "state": "finished",
            "run": "w2",
        },
        {**blank, "job": "nightly", "due": now - 1 * DAY - 4, "state": "finished", "run": "n1"},
        {**blank, "job": "nightly", "due": now - 2 * DAY - 40, "state": "finished", "run": "n2"},
        {**blank, "job": "nightly", "due": now - 5 * DAY, "state": "skipped", "run": None},
    )
    add(
        schema.nodes,
        *(
            {
                "id": name,
                "node": name,
                "boot": "b",
                "pid": 7,
                "pid_start": 1,
                "started": now - DAY,
                "seen": now - age,
                "leads": leads,
            }
            for name, age, leads in (("node1", 3, True), ("node2", 5, False))
        ),
    )
    state = {"schedule": "s", "since": now - 30 * DAY, "cursor": now, "paused_by": "", "paused_why": ""}
    add(schema.job_states, {**state, "job": "weekly", "paused": None}, {**state, "job": "never", "paused": now - HOUR})
    add(schema.cursors, {"name": "mirror:itsm", "value": 2})
    for number in range(5):
        outbox.enqueue(connection, "ticket:itsm", f"k{number}", "open", {}, now - (10 - number) * HOUR)
    outbox.enqueue(connection, "notify:ops", "k", "message", {}, now - 60)
    connection.execute(update(schema.outbox).where(schema.outbox.c.key == "k0").values(state="dead"))
    connection.execute(update(schema.outbox).where(schema.outbox.c.key == "k1").values(state="sent"))
    held = {"queue": "ticket:itsm", "since": now - 2 * HOUR, "why": "401", "probes": 0, "next_probe": now}
    add(schema.held_queues, held)
