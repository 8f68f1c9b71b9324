# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upkeep's own troubles: they become tickets, once, and are resolved by evidence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from upkeep import config_file, selfreview
from upkeep.config import Config, Job
from upkeep.errors import UpkeepError
from upkeep.reconcile import Policy, Rule
from upkeep.schedule import parse
from upkeep.store import Store, Ticket, audit, firings, nodes, open_store, outbox, schema
from upkeep.store.process import Process, this_process

UTC = ZoneInfo("UTC")
HOUR, DAY = 3600.0, 86400.0
NODE = os.uname().nodename


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


SUNDAY = at("2026-11-22 03:00")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    plenty = SimpleNamespace(f_bavail=10**9, f_frsize=4096, f_files=10**6, f_favail=10**6)
    monkeypatch.setattr(selfreview, "_space", lambda _place: plenty)
    with open_store(None, tmp_path / "home") as made:
        yield made


def config_of(home: Path, **jobs: Job) -> Config:
    return Config(None, home, time_zone=UTC, jobs=jobs)


def weekly(**changes: object) -> Job:
    job = Job("weekly", "p.yml", schedule=parse("Sun 03:00"), schedule_text="Sun 03:00", changes=False)
    return replace(job, **changes)  # type: ignore[arg-type]


@pytest.fixture
def config(store: Store, tmp_path: Path) -> Config:
    """A weekly job that Upkeep has known since Friday."""
    made = config_of(tmp_path / "home", weekly=weekly())
    assert selfreview.step(store, made, SUNDAY - 2 * DAY) == 0
    return made


def runs_of(store: Store) -> int:
    return sum(run.playbook == selfreview.PLAYBOOK for run in store.runs(1000))


def open_tickets(store: Store) -> dict[str, Ticket]:
    return {ticket.cause: ticket for ticket in store.tickets()}


def ran(store: Store, began: float, state: str = "finished", message: str = "", job: str = "weekly") -> int:
    run = store.begin_run(f"run-{began}-{state}", "p.yml", began, job=job, actor="cron")
    store.end_run(run.id, state, began + 60, message)
    return run.number


def test_a_store_without_troubles_is_left_alone(store: Store, config: Config) -> None:
    for hours in range(0, 48, 7):
        assert selfreview.step(store, config, SUNDAY - 2 * DAY + hours * HOUR) == 0
    assert runs_of(store) == 0
    assert store.tickets(None) == []


def test_a_weekly_that_did_not_run_is_a_ticket_until_it_ran(store: Store, config: Config) -> None:
    assert selfreview.step(store, config, SUNDAY + 0.9 * HOUR) == 0
    assert selfreview.step(store, config, SUNDAY + 1.1 * HOUR) == 1
    (ticket,) = store.tickets()
    assert (ticket.cause, ticket.priority) == (selfreview.MISSED, "P2")
    entry = store.ticket(ticket.number).entries[0]
    assert (entry.host, entry.subject) == (NODE, "weekly")
    assert "was due Sun 2026-11-22 03:00, 1 h 6 min ago" in entry.summary
    assert "it has never run" in entry.evidence
    # Nothing new is nothing to record; once a day it is.
    for minutes in range(70, 600, 10):
        assert selfreview.step(store, config, SUNDAY + minutes * 60) == 0
    assert runs_of(store) == 1
    assert selfreview.step(store, config, SUNDAY + 26 * HOUR) == 1
    assert store.ticket(1).entries[0].last_seen == SUNDAY + 26 * HOUR
    # While it runs, and when it ran, it is there no more: by evidence.
    store.begin_run("late", "p.yml", SUNDAY + 27 * HOUR, job="weekly", actor="ann")
    selfreview.step(store, config, SUNDAY + 27.1 * HOUR)
    assert (store.ticket(1).ticket.state, store.ticket(1).ticket.resolved_by) == ("resolved", "upkeep")
    store.end_run("late", "finished", SUNDAY + 28 * HOUR)
    recorded = runs_of(store)
    assert selfreview.step(store, config, SUNDAY + 6 * DAY) == 0
    assert runs_of(store) == recorded
    # The next Sunday it is missed again: the same ticket.
    assert selfreview.step(store, config, SUNDAY + 7 * DAY + 2 * HOUR) == 1
    assert open_tickets(store)[selfreview.MISSED].number == 1


def test_one_whose_process_died_before_it_began_is_missed(store: Store, config: Config) -> None:
    with store.database.write() as connection:
        number = firings.claim(connection, "weekly", SUNDAY, node=NODE, now=SUNDAY)
        assert number is not None
        firings.launching(connection, number, SUNDAY)
    assert selfreview.step(store, config, SUNDAY + 0.9 * HOUR) == 0
    assert selfreview.step(store, config, SUNDAY + 1.1 * HOUR) == 1
    (ticket,) = store.tickets()
    assert ticket.cause == selfreview.MISSED
    assert firings.FORSAKEN in store.ticket(ticket.number).entries[0].evidence


@pytest.mark.parametrize(
    "began", [SUNDAY - 200, SUNDAY, SUNDAY + 1800, SUNDAY + 2 * HOUR], ids=["early", "prompt", "late", "very late"]
)
def test_a_run_by_plain_cron_counts(store: Store, config: Config, began: float) -> None:
    ran(store, began)
    assert selfreview.step(store, config, SUNDAY + 3 * HOUR) == 0


def test_what_was_due_before_the_schedule_was_there_is_not_held_against_it(store: Store, tmp_path: Path) -> None:
    made = config_of(tmp_path / "home", weekly=weekly())
    assert selfreview.step(store, made, SUNDAY + HOUR * 5) == 0
    assert selfreview.step(store, made, SUNDAY + HOUR * 50) == 0
    # A changed schedule is another one.
    changed = config_of(tmp_path / "home", weekly=weekly(schedule=parse("Sat 01:00"), schedule_text="Sat 01:00"))
    assert selfreview.step(store, changed, SUNDAY + 6.5 * DAY) == 0
    assert selfreview.step(store, changed, SUNDAY + 14 * DAY) == 1


def test_what_was_meant_not_to_run_was_not_missed(store: Store, config: Config) -> None:
    with store.database.write() as connection:
        firings.set_cursors(connection, {"weekly": ("Sun 03:00", SUNDAY - 3 * DAY)}, SUNDAY - 3 * DAY)
        firings.pause(connection, "weekly", "Sun 03:00", "ann", "the move", SUNDAY - DAY)
    assert selfreview.step(store, config, SUNDAY + 2 * HOUR) == 0
    # But who pauses forgets.
    assert selfreview.step(store, config, SUNDAY + 7 * DAY) == 1
    (ticket,) = store.tickets()
    assert (ticket.cause, ticket.priority) == (selfreview.PAUSED, "P3")
    assert store.ticket(1).entries[0].evidence == ("paused by ann: the move",)


@pytest.mark.parametrize(("state", "is_missed"), [("skipped", False), ("waiting", False), ("missed", True)])
def test_what_the_scheduler_decided_counts(store: Store, config: Config, state: str, is_missed: bool) -> None:
    with store.database.write() as connection:
        # A scheduler comes back each half minute to what waits.
        values = {"node": "n", "now": SUNDAY + 9, "not_before": SUNDAY + 2 * HOUR - 10}
        firings.claim(connection, "weekly", SUNDAY, state=state, why="a lock was held", **values)
    assert selfreview.step(store, config, SUNDAY + 2 * HOUR) == int(is_missed)
    if is_missed:
        assert "a lock was held" in store.ticket(1).entries[0].evidence
        ran(store, SUNDAY + 3 * HOUR)
        selfreview.step(store, config, SUNDAY + 4 * HOUR)
        assert store.tickets() == []


@pytest.mark.parametrize(
    ("state", "priority", "said"),
    [
        ("error", "P2", "could not be carried out: no vault password"),
        ("timed_out", "P2", "was ended at its time limit: no vault password"),
        ("interrupted", "P3", "was cut off: no vault password"),
    ],
)
def test_a_job_that_failed(store: Store, config: Config, state: str, priority: str, said: str) -> None:
    number = ran(store, SUNDAY, state, "no vault password\nsecond line")
    assert selfreview.step(store, config, SUNDAY + 120) == 1
    (ticket,) = store.tickets()
    assert (ticket.cause, ticket.priority) == (selfreview.FAILED, priority)
    assert said in ticket.title
    assert f"upkeep runs show {number}" in store.ticket(1).entries[0].remedy
    assert selfreview.step(store, config, SUNDAY + 3 * HOUR) == 0, "it failed, but it was not missed"
    ran(store, SUNDAY + 4 * HOUR)
    selfreview.step(store, config, SUNDAY + 5 * HOUR)
    assert store.tickets() == []


def test_what_somebody_ended_did_not_fail(store: Store, config: Config) -> None:
    number = ran(store, SUNDAY, "interrupted")
    with store.database.write() as connection:
        asked = update(schema.runs).where(schema.runs.c.number == number).values(cancel_asked=1.0, cancel_by="ann")
        connection.execute(asked)
    assert selfreview.step(store, config, SUNDAY + 120) == 0


def test_jobs_without_a_schedule_are_their_callers_affair(store: Store, tmp_path: Path) -> None:
    made = config_of(tmp_path / "home", mine=Job("mine", "p.yml"))
    ran(store, SUNDAY, "error", job="mine")
    assert selfreview.step(store, made, SUNDAY + 120) == 0


def test_a_run_that_is_at_work_after_its_window(store: Store, config: Config) -> None:
    store.begin_run("long", "p.yml", SUNDAY, job="weekly")
    with store.database.write() as connection:
        number = firings.claim(connection, "weekly", SUNDAY, node="n", now=SUNDAY, until=SUNDAY + HOUR)
        assert number is not None
        firings.begin(connection, number, "long")
    assert selfreview.step(store, config, SUNDAY + 0.9 * HOUR) == 0
    assert selfreview.step(store, config, SUNDAY + 1.5 * HOUR) == 1
    assert "30 min after its window's end" in store.tickets()[0].title


def test_what_cannot_be_delivered(store: Store, config: Config) -> None:
    now = SUNDAY - DAY
    with store.database.write() as connection:
        for number in range(3):
            outbox.enqueue(connection, "notify:ops", f"k{number}", "message", {}, now)
        outbox.enqueue(connection, "ticket:itsm", "k", "open", {}, now)
        connection.execute(
            update(schema.outbox).where(schema.outbox.c.key == "k0").values(state="dead", error="chat not found")
        )
        outbox.hold(connection, "ticket:itsm", "401: password=hunter2", now + 60, now)
    assert selfreview.step(store, config, now + 60) == 2
    opened = open_tickets(store)
    assert set(opened) == {selfreview.DEAD, selfreview.HELD}
    assert "chat not found" in store.ticket(opened[selfreview.DEAD].number).entries[0].evidence[0]
    assert "hunter2" not in opened[selfreview.HELD].title
    assert selfreview.step(store, config, now + 2 * HOUR) == 3
    late = open_tickets(store)[selfreview.OUTBOX_LATE]
    assert "notify:ops" in late.title, "a queue that is held is told of as held"
    assert late.priority == "P3"
    with store.database.write() as connection:
        outbox.release(connection, "ticket:itsm")
        connection.execute(update(schema.outbox).values(state="sent"))
    selfreview.step(store, config, now + 3 * HOUR)
    assert store.tickets() == []


def test_a_scheduler_that_went_without_ending(store: Store, config: Config) -> None:
    now = SUNDAY - DAY
    other = Process("node-b", "boot", 4711, 1)
    with store.database.write() as connection:
        nodes.beat(connection, nodes.Node("b", other, now - DAY, now, True))
    assert selfreview.step(store, config, now + 500) == 0
    assert selfreview.step(store, config, now + 700) == 1
    (ticket,) = store.tickets()
    assert (ticket.cause, ticket.priority) == (selfreview.LOST, "P2")
    assert "The scheduler on node-b is gone" in ticket.title
    # Another takes over: it forgets the row, and writes it into the audit. One of two is less bad.
    with store.database.write() as connection:
        nodes.remove(connection, ["b"])
        audit.write(connection, "upkeep", "scheduler.lost", "node-b", {}, now + 800)
        nodes.beat(connection, nodes.Node("a", this_process(), now, now + 900, True))
    assert selfreview.step(store, config, now + 900) == 1
    assert store.ticket(ticket.number).entries[0].severity == "medium"
    # It comes back.
    with store.database.write() as connection:
        for name, process in (("a", this_process()), ("b2", other)):
            nodes.beat(connection, nodes.Node(name, process, now + 1000, now + 1000, False))
    selfreview.step(store, config, now + 1000)
    assert store.tickets() == []


def test_one_that_ended_for_good_is_forgotten(store: Store, config: Config) -> None:
    now = SUNDAY - DAY
    with store.database.write() as connection:
        audit.write(connection, "upkeep", "scheduler.lost", "node-b", {}, now)
    assert selfreview.step(store, config, now + 60) == 1
    ran(store, SUNDAY)
    selfreview.step(store, config, now + 7.1 * DAY)
    assert selfreview.LOST not in open_tickets(store)


@pytest.mark.parametrize(
    ("room", "files", "priority"), [(300, 10**6, "P3"), (100, 10**6, "P2"), (10**6, 40, "P2"), (10**6, 200, "P3")]
)
def test_little_room(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch, room: int, files: int, priority: str
) -> None:
    little = SimpleNamespace(f_bavail=room * 256, f_frsize=4096, f_files=10**6, f_favail=files)
    with monkeypatch.context() as patch:
        patch.setattr(selfreview, "_space", lambda _place: little)
        assert selfreview.step(store, config, SUNDAY - DAY) == 1
    (ticket,) = store.tickets()
    assert (ticket.cause, ticket.priority) == (selfreview.ROOM, priority)
    selfreview.step(store, config, SUNDAY - DAY + 60)
    assert store.tickets() == []


def test_a_configuration_that_cannot_be_read_any_more(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "upkeep.yml"
    file.write_text("time_zone: UTC\n")
    made = config_file.read(file, tmp_path / "home")
    assert selfreview.step(store, made, SUNDAY) == 0
    file.write_text("time_zone: Mars\n")
    assert selfreview.step(store, made, SUNDAY + 60) == 1
    (ticket,) = store.tickets()
    assert ticket.cause == selfreview.UNREADABLE
    assert any("upkeep.yml:1" in line for line in store.ticket(1).entries[0].evidence)
    file.unlink()
    selfreview.step(store, made, SUNDAY + 120)
    assert len(store.tickets()) == 1
    file.write_text("time_zone: Europe/Berlin\n")
    selfreview.step(store, made, SUNDAY + 180)
    assert store.tickets() == []


def test_another_node_goes_on_with_what_one_has_found(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert selfreview.step(store, config, SUNDAY + 2 * HOUR) == 1
    monkeypatch.setattr(selfreview, "this_node", lambda: "node-b")
    assert selfreview.step(store, config, SUNDAY + 3 * HOUR) == 0, "it stands already, though under another name"
    assert selfreview.step(store, config, SUNDAY + 30 * HOUR) == 1
    (entry,) = store.ticket(1).entries
    assert (entry.host, entry.last_seen) == (NODE, SUNDAY + 30 * HOUR)
    ran(store, SUNDAY + 31 * HOUR)
    selfreview.step(store, config, SUNDAY + 32 * HOUR)
    assert store.tickets() == []


def test_a_word_against_the_evidence_is_reopened_within_the_hour_and_not_each_minute(
    store: Store, config: Config
) -> None:
    now = SUNDAY + 2 * HOUR
    selfreview.step(store, config, now)
    store.resolve(1, "ann", "seen", now + 60)
    for minute in range(2, 50):
        assert selfreview.step(store, config, now + minute * 60) == 0
    for minute in range(50, 90):
        selfreview.step(store, config, now + minute * 60)
    assert (store.ticket(1).ticket.state, store.ticket(1).ticket.reopened) == ("open", 1)
    assert runs_of(store) == 2


def test_what_the_configuration_ignores_makes_no_runs(store: Store, config: Config) -> None:
    quiet = replace(config, policy=Policy((Rule("upkeep.job.*", ignore=True),)))
    for hour in range(2, 60):
        assert selfreview.step(store, quiet, SUNDAY + hour * HOUR) == 0
    assert runs_of(store) == 0


def test_a_check_that_breaks_is_told_and_nothing_is_taken_for_mended(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    selfreview.step(store, config, SUNDAY + 2 * HOUR)
    with monkeypatch.context() as patch:
        patch.setattr(selfreview, "_last_expected", lambda *_arguments: 1 / 0)
        assert selfreview.step(store, config, SUNDAY + 3 * HOUR) == 1
    assert set(open_tickets(store)) == {selfreview.MISSED, f"{selfreview.NOT_RUN} of {selfreview.MISSED}"}
    selfreview.step(store, config, SUNDAY + 5 * HOUR)
    assert set(open_tickets(store)) == {selfreview.MISSED}


def test_no_room_for_what_was_found_is_told_and_tried_again(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(UpkeepError, match="could not be kept") as error:
        patch.setattr(Path, "write_text", full)
        selfreview.step(store, config, SUNDAY + 2 * HOUR)
    assert error.value.found == "No space left on device"
    assert selfreview.step(store, config, SUNDAY + 2 * HOUR + 60) == 1


def test_findings_of_others_are_left_alone(store: Store, config: Config, tmp_path: Path) -> None:
    from tests.unit.scheduler import results_file
    from upkeep.record import record_file

    path = results_file.write(
        tmp_path / "r", "r", [("web1", "upkeep.host.unreachable", "web1", "high")], started=SUNDAY - DAY
    )
    record_file(store, path, Policy(), SUNDAY - DAY + 20)
    selfreview.step(store, config, SUNDAY + 2 * HOUR)
    ran(store, SUNDAY + 3 * HOUR)
    selfreview.step(store, config, SUNDAY + 4 * HOUR)
    assert set(open_tickets(store)) == {"upkeep.host.unreachable on web1"}


def test_a_job_of_every_minute_does_not_take_long(store: Store, tmp_path: Path) -> None:
    import time

    jobs = {
        f"j{number}": Job(f"j{number}", "p.yml", schedule=parse("* * * * *"), schedule_text="* * * * *", changes=False)
        for number in range(10)
    }
    made = config_of(tmp_path / "home", **jobs)
    selfreview.step(store, made, SUNDAY - 300 * DAY)
    began = time.perf_counter()
    selfreview.step(store, made, SUNDAY)
    assert time.perf_counter() - began < 5
    assert len(store.ticket(1).entries) == 10
