# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit, the clocks, what people do with tickets and the self-review, on a real PostgreSQL server."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.scheduler import results_file
from upkeep import escalation, selfreview, sla_report
from upkeep.config import Config, Job
from upkeep.errors import NOT_RUN, UpkeepError
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.schedule import parse
from upkeep.store import audit, open_store, outbox, tickets

from .test_store_postgresql import Server, server, url  # noqa: F401 - fixtures

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

DISK = "capacity.disk.full"
BEGAN = 1_800_000_000.0
HOUR, DAY = 3600.0, 86400.0


def test_the_server_itself_keeps_the_audit(server: Server, url: str, tmp_path: Path) -> None:  # noqa: F811
    database = url.partition("@/")[2].partition("?")[0]
    with open_store(url, tmp_path) as store:
        with store.database.write() as connection:
            for number in range(5):
                detail = {"why": f"because {number}", "password": "hunter2", "at": 1.1 * number, "text": "Füße 🦶"}
                audit.write(connection, "ann", "job.paused", f"job {number}", detail, BEGAN + number / 3)
        for statement in ("UPDATE audit SET actor = 'bob'", "DELETE FROM audit WHERE id = 2", "TRUNCATE audit"):
            with pytest.raises(UpkeepError) as error, store.database.write() as connection:
                connection.exec_driver_sql(statement)
            assert error.value.exit_code == NOT_RUN
            assert "only ever added to" in error.value.found
        # What is rolled back leaves no gap, unlike a sequence's numbers.
        with pytest.raises(ZeroDivisionError), store.database.write() as connection:
            audit.write(connection, "ann", "a.b", "x", {}, BEGAN)
            raise ZeroDivisionError
        with store.database.write() as connection:
            audit.write(connection, "ann", "a.b", "x", {}, BEGAN + 9)
        with store.database.read() as connection:
            assert (audit.verify(connection).rows, audit.verify(connection).faults) == (6, ())
            assert [act.object for act in audit.listed(connection, action="job", limit=2)] == ["job 3", "job 4"]
            assert "hunter2" not in "".join(audit.export_lines(connection))
        server.sql("ALTER TABLE audit DISABLE TRIGGER USER; UPDATE audit SET actor = 'bob' WHERE id = 3", database)
        with store.database.read() as connection:
            assert "row 3" in audit.verify(connection).faults[0]


def test_a_ticket_s_life_by_people(url: str, tmp_path: Path) -> None:  # noqa: F811
    with open_store(url, tmp_path) as store:
        path = results_file.write(tmp_path / "1", "r1", [("web1", DISK, "/", "high")], started=BEGAN - 20)
        record_file(store, path, Policy(), BEGAN)
        store.assign(1, "bob", "ann", BEGAN + 10)
        store.wait(1, "ann", "the disk", BEGAN + 60)
        store.go_on(1, "ann", "", BEGAN + HOUR)
        store.wait(1, "ann", "another", BEGAN + HOUR + 60)
        path = results_file.write(tmp_path / "2", "r2", [("web1", DISK, "/", "critical")], started=BEGAN + 2 * HOUR)
        record_file(store, path, Policy(), BEGAN + 2 * HOUR + 30)
        ticket = store.ticket(1).ticket
        assert (ticket.state, ticket.priority, len(ticket.pauses)) == ("acknowledged", "P1", 2)
        made = Config(None, tmp_path)
        assert escalation.step(store, made, BEGAN + 4.1 * HOUR) == 2
        assert escalation.step(store, made, BEGAN + 4.1 * HOUR) == 0
        store.resolve(1, "ann", "", BEGAN + 5 * HOUR, cause="old disk", prevention="watch them")
        store.reopen(1, "bob", "still", BEGAN + 6 * HOUR)
        assert store.ticket(1).ticket.cycles[0].pauses == ticket.pauses
        path = results_file.write(tmp_path / "3", "r3", coverage=[("web1", DISK, "*")], started=BEGAN + 7 * HOUR)
        record_file(store, path, Policy(), BEGAN + 7 * HOUR + 30)
        store.prune(BEGAN + 500 * DAY, 400)
        path = results_file.write(tmp_path / "4", "r4", [("web2", DISK, "/", "high")], started=BEGAN + 510 * DAY)
        record_file(store, path, Policy(), BEGAN + 510 * DAY + 30)
        assert "cause: old disk; how not to repeat it: watch them" in store.ticket(2).history[0].text
        assert [one.number for one in store.tickets(assignee="ann", state=None)] == [1]
        with store.database.read() as connection:
            found = tickets.since(connection, BEGAN)
            assert tickets.hosts_of(connection, [1, 2]) == {1: {"web1"}, 2: {"web2"}}
        report = sla_report.report(found, BEGAN, BEGAN + 8 * HOUR, made.sla)
        assert {(row.priority, row.clock): (row.kept, row.missed) for row in report.rows if row.priority == "P1"} == {
            ("P1", "solve"): (0, 1)
        }
        with store.database.read() as connection:
            assert audit.verify(connection).faults == ()


def test_several_schedulers_tell_each_step_once(url: str, tmp_path: Path) -> None:  # noqa: F811
    with open_store(url, tmp_path) as store:
        seen = [(f"web{number}", f"a.b.c{number}", "x", "high") for number in range(20)]
        record_file(store, results_file.write(tmp_path / "1", "r1", seen, started=BEGAN - 20), Policy(), BEGAN)
    counts: list[int] = []

    def look() -> None:
        with open_store(url, tmp_path) as mine:
            counts.append(escalation.step(mine, Config(None, tmp_path), BEGAN + 9 * HOUR))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 20 * 6


def test_the_self_review(url: str, tmp_path: Path) -> None:  # noqa: F811
    job = Job("weekly", "p.yml", schedule=parse("daily 03:00"), schedule_text="daily 03:00", changes=False)
    made = replace(Config(None, tmp_path), jobs={"weekly": job})
    with open_store(url, tmp_path) as store:
        assert selfreview.step(store, made, BEGAN) == 0
        with store.database.write() as connection:
            outbox.hold(connection, "ticket:itsm", "401", BEGAN + 60, BEGAN)
        assert selfreview.step(store, made, BEGAN + 60) == 1
        assert selfreview.step(store, made, BEGAN + 120) == 0
        assert selfreview.step(store, made, BEGAN + 2 * DAY) == 2
        assert {one.cause for one in store.tickets()} == {selfreview.HELD, selfreview.MISSED}
        store.begin_run("r1", "p.yml", BEGAN + 2 * DAY + 1, job="weekly", actor="cron")
        store.end_run("r1", "finished", BEGAN + 2 * DAY + 60)
        with store.database.write() as connection:
            outbox.release(connection, "ticket:itsm")
        selfreview.step(store, made, BEGAN + 2 * DAY + 90)
        assert store.tickets() == []
