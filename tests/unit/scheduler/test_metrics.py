# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures for Prometheus: what is counted, how it is written, who may ask for it."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from sqlalchemy import insert, update

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import proof
from tests.unit.scheduler import busy_store, results_file
from tests.unit.scheduler.busy_store import DAY, HOUR
from upkeep import cli, config, metrics
from upkeep.config import Config
from upkeep.errors import NOT_RUN, WRONG_USE, UpkeepError
from upkeep.metrics import server
from upkeep.metrics.collect import Figures, collect
from upkeep.metrics.exposition import families, render
from upkeep.metrics.settings import Address, Settings, address
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import facade, open_store, outbox, proofs, schema

NOW = 1_795_359_600.0  # Sunday 2026-11-22 15:00 UTC

Series = dict[tuple[str, ...], float]


def series(figures: Figures | None, name: str) -> Series:
    """The series of one metric as a reader of the text sees them, by the values of their labels in order."""
    text = render(figures)[0].decode()
    found: Series = {}
    for family in parse(text):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sample.labels[label] for label in sorted(sample.labels))] = sample.value
    return found


UNUSED = [(name,) for name in config.BUILT_IN if name != "weekly"]
"""Built-in jobs that this configuration leaves alone."""


@pytest.fixture
def configured(tmp_path: Path) -> Config:
    path = tmp_path / "upkeep.yml"
    path.write_text(busy_store.UPKEEP_YML)
    return replace(config.load(str(path)), home=tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[facade.Store]:
    with open_store(None, tmp_path) as opened:
        yield opened


@pytest.fixture
def busy(store: facade.Store, tmp_path: Path) -> facade.Store:
    busy_store.fill(store, tmp_path, NOW)
    return store


# --- what is counted --------------------------------------------------------------------------------------------------


def test_jobs(busy: facade.Store, configured: Config) -> None:
    figures = collect(busy, configured, NOW)
    assert series(figures, "upkeep_job_last_success_timestamp_seconds") == {
        **dict.fromkeys(UNUSED, 0),
        ("never",): 0,
        ("nightly",): NOW - DAY + 900,
        ("weekly",): NOW - 2 * DAY + 3000,
    }
    # The last Sunday's run of the weekly is owed: its last success was on Friday.
    due = series(figures, "upkeep_job_due_timestamp_seconds")
    assert due[("weekly",)] == NOW - 12 * HOUR
    assert due[("nightly",)] == NOW - 23 * HOUR
    assert ("capacity",) not in due, "without a schedule nothing is owed"
    assert series(figures, "upkeep_job_next_timestamp_seconds")[("weekly",)] == NOW + 7 * DAY - 12 * HOUR
    assert series(figures, "upkeep_job_paused") == {
        **dict.fromkeys(due, 0),
        **dict.fromkeys(UNUSED, 0),
        ("never",): 1,
    }
    # The run under way has found nothing yet: what is shown is the one before.
    assert series(figures, "upkeep_job_running")[("nightly",)] == 1
    assert series(figures, "upkeep_job_running_since_timestamp_seconds") == {("nightly",): NOW - 120}
    assert series(figures, "upkeep_job_last_run_timestamp_seconds")[("nightly",)] == NOW - DAY
    assert series(figures, "upkeep_job_last_run_duration_seconds") == {("nightly",): 900, ("weekly",): 3000}
    found = series(figures, "upkeep_job_last_run_findings")
    assert [found["weekly", severity] for severity in ("critical", "high", "medium", "low", "info")] == [1, 3, 0, 1, 1]
    hosts = series(figures, "upkeep_job_last_run_hosts")
    assert [hosts["weekly", state] for state in ("ok", "failed", "unreachable")] == [2, 0, 1]
    assert series(figures, "upkeep_job_last_run_state")["weekly", "finished"] == 1
    assert sum(series(figures, "upkeep_job_last_run_state").values()) == 2
    ran = series(figures, "upkeep_job_runs")
    assert (ran["nightly", "finished"], ran["nightly", "running"], ran["weekly", "finished"]) == (4, 1, 2)
    assert series(figures, "upkeep_other_runs")[("interrupted",)] == 1
    assert series(figures, "upkeep_runs_total") == {(): 8}
    assert series(figures, "upkeep_job_duration_mean_seconds")[("weekly",)] == (10 + 3000) / 2


def test_firings(busy: facade.Store, configured: Config) -> None:
    figures = collect(busy, configured, NOW)
    fired = series(figures, "upkeep_job_firings")
    assert (fired["nightly", "finished"], fired["nightly", "skipped"], fired["weekly", "missed"]) == (2, 1, 0)
    # Its jitter let it begin a minute later: only what is beyond that is a lag.
    assert series(figures, "upkeep_job_last_firing_lag_seconds") == {("nightly",): 4, ("weekly",): 2}
    assert series(figures, "upkeep_firing_lag_median_seconds") == {(): 4}
    assert series(figures, "upkeep_firing_lag_max_seconds") == {(): 40}


def test_what_a_rule_left_out_is_not_owed(busy: facade.Store, configured: Config) -> None:
    with busy.database.write() as connection:
        row = {"job": "weekly", "why": "a freeze", "node": "n", "decided": NOW, "not_before": 0.0}
        connection.execute(insert(schema.firings).values(**row, due=NOW - 12 * HOUR, state="skipped"))
    assert series(collect(busy, configured, NOW), "upkeep_job_due_timestamp_seconds")[("weekly",)] > NOW
    with busy.database.write() as connection:
        connection.execute(update(schema.firings).where(schema.firings.c.why == "a freeze").values(state="missed"))
    assert series(collect(busy, configured, NOW), "upkeep_job_due_timestamp_seconds")[("weekly",)] < NOW


def test_a_trial_in_check_mode_is_no_success(store: facade.Store, configured: Config, tmp_path: Path) -> None:
    path = results_file.write(tmp_path / "r", "r", hosts={"a": "ok"}, started=NOW - DAY, check_mode=True)
    record_file(store, path, Policy(), NOW, "weekly")
    assert series(collect(store, configured, NOW), "upkeep_job_last_success_timestamp_seconds")[("weekly",)] == 0
    jobs = {**configured.jobs, "weekly": replace(configured.jobs["weekly"], check=True)}
    figures = collect(store, replace(configured, jobs=jobs), NOW)
    assert series(figures, "upkeep_job_last_success_timestamp_seconds")[("weekly",)] == NOW - DAY + 10
    assert series(figures, "upkeep_host_last_success_timestamp_seconds") == {("a", "weekly"): NOW - DAY + 10}


def test_a_run_that_reached_nobody_is_no_success(store: facade.Store, configured: Config, tmp_path: Path) -> None:
    path = results_file.write(tmp_path / "r", "r", hosts={"a": "unreachable"}, started=NOW - DAY)
    record_file(store, path, Policy(), NOW, "weekly")
    figures = collect(store, configured, NOW)
    assert series(figures, "upkeep_job_last_success_timestamp_seconds")[("weekly",)] == 0
    assert series(figures, "upkeep_host_last_success_timestamp_seconds") == {("a", "weekly"): 0}
    assert series(figures, "upkeep_hosts")[("unreachable",)] == 1


def test_hosts_that_left_the_inventory_are_forgotten_but_not_while_the_job_stands_still(
    store: facade.Store, configured: Config, tmp_path: Path
) -> None:
    for number, hosts in enumerate([("a", "gone"), ("a",), ("a",)]):
        started = NOW - 300 * DAY + number * 20 * DAY
        path = results_file.write(
            tmp_path / f"r{number}", f"r{number}", hosts=dict.fromkeys(hosts, "ok"), started=started
        )
        record_file(store, path, Policy(), started + 20, "weekly")
    figures = collect(store, configured, NOW)
    assert series(figures, "upkeep_host_last_success_timestamp_seconds") == {("a", "weekly"): NOW - 260 * DAY + 10}
    assert series(figures, "upkeep_hosts")[("ok",)] == 1
    # Older than the window, and still known.
    assert series(figures, "upkeep_job_last_run_duration_seconds") == {("weekly",): 10}


def test_more_hosts_and_jobs_than_there_may_be_series(busy: facade.Store, configured: Config) -> None:
    few = replace(configured, metrics=Settings(max_hosts=2, max_jobs=3))
    figures = collect(busy, few, NOW)
    assert series(figures, "upkeep_left_out") == {("hosts",): 0, ("jobs",): len(configured.jobs) - 3, ("restores",): 0}
    kept = set(series(figures, "upkeep_job_paused"))
    assert len(kept) == 3
    assert kept < {*UNUSED, ("never",)}, "the worst stay: those that never succeeded"
    few = replace(configured, metrics=Settings(max_hosts=2))
    figures = collect(busy, few, NOW)
    assert series(figures, "upkeep_left_out")[("hosts",)] == 4
    assert ("db1", "weekly") in series(figures, "upkeep_host_last_success_timestamp_seconds")


def test_tickets_and_promises(busy: facade.Store, configured: Config) -> None:
    figures = collect(busy, configured, NOW)
    tickets = series(figures, "upkeep_tickets")
    assert {key: count for key, count in tickets.items() if count} == {
        ("P1", "open"): 1,
        ("P2", "open"): 1,
        ("P2", "acknowledged"): 1,
        ("P3", "open"): 1,
    }
    assert tickets["P1", "acknowledged"] == 0, "nothing of a kind is told as 0"
    assert series(figures, "upkeep_tickets_opened_total") == {(): 5}
    assert series(figures, "upkeep_tickets_oldest_timestamp_seconds")[("P1",)] == pytest.approx(NOW - 2 * DAY + 3100)
    clocks = series(figures, "upkeep_sla_tickets")
    # Labels in order: priority, promise, state. Who acknowledged in time has kept that promise, and its clock is out.
    assert clocks["P2", "react", "breached"] == 1
    assert clocks["P2", "solve", "breached"] == 2
    assert clocks["P3", "solve", "within"] == 1
    # Monday 09:00 and eight hours of work.
    assert series(figures, "upkeep_sla_next_deadline_timestamp_seconds")["P3", "solve"] > NOW
    done = series(figures, "upkeep_sla_resolved_tickets")
    assert {key: count for key, count in done.items() if count} == {
        ("missed", "P1", "react"): 1,
        ("missed", "P1", "solve"): 1,
    }
    with busy.database.write() as connection:
        connection.execute(
            update(schema.tickets).where(schema.tickets.c.state == "resolved").values(resolved=NOW - 31 * DAY)
        )
    assert sum(series(collect(busy, configured, NOW), "upkeep_sla_resolved_tickets").values()) == 0, "out of the window"


def test_a_promise_that_was_kept(store: facade.Store, configured: Config, tmp_path: Path) -> None:
    path = results_file.write(tmp_path / "r", "r", [("a", "x.y.z", "s", "critical")], started=NOW - HOUR)
    record_file(store, path, Policy(), NOW - HOUR, "weekly")
    store.acknowledge(1, "ann", "", NOW - HOUR + 60)
    store.resolve(1, "ann", "", NOW - HOUR + 120)
    done = series(collect(store, configured, NOW), "upkeep_sla_resolved_tickets")
    assert done["kept", "P1", "react"] == done["kept", "P1", "solve"] == 1
    assert sum(done.values()) == 2


def test_the_clocks_of_a_ticket_that_waits_stand_still(store: facade.Store, configured: Config, tmp_path: Path) -> None:
    path = results_file.write(tmp_path / "r", "r", [("a", "x.y.z", "s", "critical")], started=NOW - 9 * HOUR)
    record_file(store, path, Policy(), NOW - 9 * HOUR, "weekly")
    store.wait(1, "ann", "for the new disk", NOW - 9 * HOUR + 60)
    figures = collect(store, configured, NOW)
    assert series(figures, "upkeep_tickets")["P1", "waiting"] == 1
    assert series(figures, "upkeep_sla_tickets")["P1", "solve", "within"] == 1
    assert series(figures, "upkeep_sla_next_deadline_timestamp_seconds") == {}
    store.go_on(1, "ann", "", NOW - 30 * 60)
    figures = collect(store, configured, NOW)
    left = series(figures, "upkeep_sla_next_deadline_timestamp_seconds")
    assert left == {("P1", "solve"): NOW + 29 * 60}


def test_outbox_and_scheduler(busy: facade.Store, configured: Config) -> None:
    figures = collect(busy, configured, NOW)
    items = series(figures, "upkeep_outbox_items")
    assert [items["ticket:itsm", state] for state in ("waiting", "sending", "dead")] == [3, 0, 1]
    assert series(figures, "upkeep_outbox_oldest_timestamp_seconds") == {
        ("ticket:itsm",): NOW - 8 * HOUR,
        ("notify:ops",): NOW - 60,
    }
    assert series(figures, "upkeep_outbox_held") == {("ticket:itsm",): 1, ("notify:ops",): 0}
    assert series(figures, "upkeep_outbox_held_since_timestamp_seconds") == {("ticket:itsm",): NOW - 2 * HOUR}
    assert series(figures, "upkeep_scheduler_leader") == {("node1",): 1, ("node2",): 0}
    assert series(figures, "upkeep_scheduler_heartbeat_timestamp_seconds") == {("node1",): NOW - 3, ("node2",): NOW - 5}
    assert series(figures, "upkeep_history_unread")[("mirror:itsm",)] > 5


def test_restore_tests(busy: facade.Store, configured: Config) -> None:
    figures = collect(busy, configured, NOW)
    whole, sample = ("web1", "offsite", "backup.restore.whole"), ("web1", "offsite", "backup.restore.sample")
    load = ("db1", "shop", "backup.dump.load")
    passed = series(figures, "upkeep_restore_test_last_success_timestamp_seconds")
    assert passed == {whole: NOW - 2 * DAY, sample: 0, load: 0}, "what was only read is no restore"
    outcomes = series(figures, "upkeep_restore_test_last_outcome")
    # Labels in order: host, outcome, subject, test.
    assert {key for key, value in outcomes.items() if value} == {
        ("web1", "passed", *whole[1:]),
        ("web1", "failed", *sample[1:]),
        ("db1", "cannot", *load[1:]),
    }
    assert len(outcomes) == 9
    assert series(figures, "upkeep_restore_test_recovery_seconds") == {whole: 840.5}
    few = collect(busy, replace(configured, metrics=Settings(max_restores=2)), NOW)
    assert set(series(few, "upkeep_restore_test_last_success_timestamp_seconds")) == {sample, load}, "the worst stay"
    assert series(few, "upkeep_left_out")[("restores",)] == 1


def test_restore_tests_over_time(store: facade.Store, configured: Config, tmp_path: Path) -> None:
    def tested(days: float, *ended: tuple[str, str, dict[str, Any]], clock: float = 0.0) -> Figures:
        at = NOW + days * DAY
        made = [
            ("db1", proof("backup.restore.whole", *one[:2], at + clock + n, at + clock + n, "x", one[2]))
            for n, one in enumerate(ended)
        ]
        path = results_file.write(tmp_path / "r", f"r{days}", hosts={"db1": "ok"}, started=at, proofs=made)
        record_file(store, path, Policy(), at + 20, "monthly")
        return collect(store, configured, at + 30)

    def of(figures: Figures, what: str) -> dict[str, float]:
        return {key[1]: value for key, value in series(figures, f"upkeep_restore_test_{what}").items()}

    def outcome(figures: Figures, subject: str) -> str:
        (found,) = (one.outcome for one in figures.restores if one.subject == subject)
        return found

    tested(0, ("a", "passed", {"rto": {"seconds": 10}}), ("b", "passed", {"recovery_seconds": 2.5}))
    # A test that does not pass moves neither the last success nor what recovering took then; both ended so: the worse.
    figures = tested(30, ("a", "failed", {"rto": {"seconds": 99}}), ("a", "passed", {"seconds": {"load": 1}}))
    assert of(figures, "last_success_timestamp_seconds") == {"a": NOW + 30 * DAY, "b": NOW}
    assert (outcome(figures, "a"), outcome(figures, "b")) == ("failed", "passed")
    assert of(figures, "recovery_seconds") == {"b": 2.5}, "the last that passed does not say"
    # A host whose clock is wrong: ours counts.
    figures = tested(60, ("a", "passed", {"restore_seconds": 7}), clock=4000 * DAY)
    assert of(figures, "last_success_timestamp_seconds") == {"a": NOW + 60 * DAY, "b": NOW}
    assert of(figures, "recovery_seconds") == {"a": 7, "b": 2.5}
    # Not tested for long, while others are: it is gone. That nothing is tested at all makes nobody forget anything.
    assert set(of(collect(store, configured, NOW + 900 * DAY), "recovery_seconds")) == {"a", "b"}
    assert set(of(tested(101, ("a", "cannot", {})), "recovery_seconds")) == {"a"}


def test_figures_of_restore_tests_read_no_facts(busy: facade.Store) -> None:
    with busy.database.read() as connection:
        said: list[str] = []
        real = connection.connection.driver_connection
        assert real is not None
        real.set_trace_callback(said.append)
        proofs.figures(connection, 100.0, 10)
        real.set_trace_callback(None)
        plans = [str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}").all()) for one in said]
    assert len(plans) == 3
    assert all("COVERING INDEX ix_proofs_figures" in plan for plan in plans), plans


@pytest.mark.parametrize(
    ("facts", "seconds"),
    [
        ({"rto": {"seconds": 12.5, "measured": False}, "seconds": {"total": 3}}, 12.5),
        ({"restore_seconds": 4, "seconds": {"total": 3}}, 4.0),
        ({"recovery_seconds": 1.56}, 1.56),
        ({"seconds": 9.1}, 9.1),
        ({"seconds": {"total": 3}}, None),
        ({"rto": {"seconds": "12"}, "seconds": True}, None),
        ({"rto": None, "seconds": -1}, None),
        ({}, None),
    ],
)
def test_what_recovering_takes_out_of_the_facts(facts: dict[str, Any], seconds: float | None) -> None:
    assert proofs.recovery(facts) == seconds


def test_a_held_queue_without_items_is_told(store: facade.Store, configured: Config) -> None:
    with store.database.write() as connection:
        held = {"queue": "ticket:x", "since": NOW - 5, "why": "401", "probes": 0, "next_probe": NOW}
        connection.execute(insert(schema.held_queues).values(held))
    assert series(collect(store, configured, NOW), "upkeep_outbox_held") == {("ticket:x",): 1}


def test_what_was_sent_is_not_read(store: facade.Store, configured: Config) -> None:
    """The outbox keeps what it sent; asking how much waits must not walk through it."""
    with store.database.write() as connection:
        for number in range(60):
            outbox.enqueue(connection, f"q{number:02}", "k", "open", {}, NOW)
    figures = collect(store, configured, NOW)
    assert len(figures.queues) == 50, "bounded"
    with store.database.read() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT state, count(*), min(created) FROM outbox "
            "WHERE queue = 'q' AND state IN ('waiting', 'sending', 'dead') GROUP BY state"
        ).all()
    assert "USING INDEX ix_outbox_queue_state_not_before" in str(plan)


def test_the_empty_store(store: facade.Store, configured: Config) -> None:
    figures = collect(store, configured, NOW)
    assert series(figures, "upkeep_store_up") == {(): 1}
    assert series(figures, "upkeep_runs_total") == {(): 0}
    assert series(figures, "upkeep_store_size_bytes")[()] > 10_000
    assert series(figures, "upkeep_store_free_bytes")[()] > 0
    assert series(figures, "upkeep_firing_lag_max_seconds") == {}


# --- how it is written ------------------------------------------------------------------------------------------------


def test_every_metric_has_a_help_a_unit_and_a_name_of_its_own(busy: facade.Store, configured: Config) -> None:
    names = set()
    for family in families(collect(busy, configured, NOW)):
        assert family.name not in names
        names.add(family.name)
        assert family.name.startswith("upkeep_")
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert "job" not in sample.labels, "Prometheus's own label, which would push ours aside"
        if any(word in family.name for word in ("duration", "timestamp", "lag", "limit")):
            assert family.name.endswith("_seconds")
        if "size" in family.name or "free" in family.name:
            assert family.name.endswith("_bytes")
    assert len(names) > 35


def test_both_forms(busy: facade.Store, configured: Config) -> None:
    figures = collect(busy, configured, NOW)
    text, media_type = render(figures)
    assert media_type.startswith("text/plain; version=0.0.4")
    text, media_type = render(figures, "application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    assert sum(1 for _ in openmetrics(text.decode())) > 35


def test_hostile_names_cannot_break_out(store: facade.Store, configured: Config, tmp_path: Path) -> None:
    name = 'a"} 1\\nupkeep_store_up 0 \\'
    path = results_file.write(tmp_path / "r", "r", hosts={name: "ok"}, started=NOW - DAY)
    record_file(store, path, Policy(), NOW, "weekly")
    figures = collect(store, configured, NOW)
    assert series(figures, "upkeep_host_last_success_timestamp_seconds") == {(name, "weekly"): NOW - DAY + 10}
    assert series(figures, "upkeep_store_up") == {(): 1}


# --- who asks for it --------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint(busy: facade.Store, configured: Config) -> Iterator[server.Endpoint]:
    made = server.Endpoint(configured, Address("127.0.0.1", 0))
    yield made
    made.close()


def get(endpoint: server.Endpoint, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://127.0.0.1:{endpoint.port}{path}", headers=names)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def test_the_endpoint(endpoint: server.Endpoint) -> None:
    status, body, headers = get(endpoint, "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\nupkeep_store_up 1.0\n" in body
    status, packed, headers = get(endpoint, "/metrics?x=1", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert b"upkeep_store_up 1.0" in gzip.decompress(packed)
    assert get(endpoint, "/healthz")[:2] == (200, b"ok\n")
    assert get(endpoint, "/")[0] == 200
    assert get(endpoint, "/../etc/passwd")[0] == 404
    assert "Python" not in str(get(endpoint, "/")[2]), "no versions for strangers"


def test_the_store_is_gone_and_comes_back(
    endpoint: server.Endpoint, monkeypatch: pytest.MonkeyPatch, configured: Config
) -> None:
    monkeypatch.setattr(server, "SAME_FOR", 0.0)
    path = configured.home / "upkeep.db"
    kept = path.read_bytes()
    endpoint.reader.close()
    for left in configured.home.glob("upkeep.db*"):
        left.unlink()
    path.write_bytes(b"no database at all" * 1000)
    status, body, _headers = get(endpoint, "/metrics")
    assert (status, b"upkeep_store_up 0.0" in body, b"upkeep_job" in body) == (200, True, False)
    status, body, _headers = get(endpoint, "/healthz")
    assert status == 503
    assert b"upkeep.db" in body
    path.write_bytes(kept)
    assert get(endpoint, "/healthz")[0] == 200
    assert b"upkeep_store_up 1.0" in get(endpoint, "/metrics")[1]


def test_the_process_says_itself_whether_it_is_well(busy: facade.Store, configured: Config) -> None:
    endpoint = server.Endpoint(configured, Address("127.0.0.1", 0), lambda: "the loop has stood still for 90 s")
    try:
        assert get(endpoint, "/healthz")[:2] == (503, b"the loop has stood still for 90 s\n")
        assert get(endpoint, "/metrics")[0] == 200
    finally:
        endpoint.close()


def test_many_at_once_read_the_store_once(endpoint: server.Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SAME_FOR", 60.0)
    reads = []
    read = endpoint.reader._read

    def counted() -> tuple[Figures | None, str]:
        reads.append(1)
        time.sleep(0.1)
        return read()

    monkeypatch.setattr(endpoint.reader, "_read", counted)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(get(endpoint, "/metrics")[0])) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers, len(reads)) == ([200] * 40, 1)


def test_clients_that_say_nothing_do_not_keep_others_out(
    endpoint: server.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._Handler, "timeout", 0.5)
    silent = [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(3 * server.MOST_AT_ONCE)]
    try:
        assert get(endpoint, "/healthz")[0] == 200
        assert threading.active_count() <= server.MOST_AT_ONCE + 5
    finally:
        for one in silent:
            one.close()


def test_a_machine_without_room_for_a_thread_costs_no_place_for_good(
    endpoint: server.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(server.threading.Thread, "start", full)
        for _request in range(server.MOST_AT_ONCE):
            with socket.create_connection(("127.0.0.1", endpoint.port), 5) as client:
                assert client.recv(1) == b"", "it is let go"
    assert get(endpoint, "/")[0] == 200


def test_the_port_is_taken(endpoint: server.Endpoint, configured: Config) -> None:
    taken = replace(configured, metrics=Settings(listen=Address("127.0.0.1", endpoint.port)))
    with pytest.raises(UpkeepError) as error:
        metrics.serve(taken)
    assert error.value.exit_code == NOT_RUN
    assert str(endpoint.port) in error.value.what
    assert "in use" in error.value.found


def test_an_address_that_is_nowhere(configured: Config) -> None:
    with pytest.raises(UpkeepError) as error:
        metrics.serve(replace(configured, metrics=Settings(listen=Address("192.0.2.1", 19187))))
    assert "192.0.2.1:19187" in error.value.what


def test_nothing_is_served_unless_it_is_asked_for(configured: Config) -> None:
    assert configured.metrics.listen is None
    assert metrics.serve(configured) is None


def test_ipv6(busy: facade.Store, configured: Config) -> None:
    if not Path("/proc/net/if_inet6").exists() or not Path("/proc/net/if_inet6").read_text():
        with pytest.raises(UpkeepError):
            server.Endpoint(configured, Address("::1", 0))
        return
    endpoint = server.Endpoint(configured, Address("::1", 0))
    try:
        with urllib.request.urlopen(f"http://[::1]:{endpoint.port}/healthz", timeout=10) as answer:
            assert answer.status == 200
    finally:
        endpoint.close()


# --- the configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:19187", Address("127.0.0.1", 19187)),
        ("[::1]:9", Address("::1", 9)),
        ("metrics.example.com:80", Address("metrics.example.com", 80)),
        (":65535", Address("", 65535)),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert address(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["", "19187", "localhost", "::1:9", "a:0", "a:65536", "a:x", "a b:1", "http://a:1", "u@a:1", "[a:1", "a:\uff11"],
)
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="an address and a port"):
        address(text)


@pytest.mark.parametrize(
    ("section", "key", "expected"),
    [
        ("{listen: 19187}", "metrics.listen", "an address and a port"),
        ("{listen: 'here'}", "metrics.listen", "an address and a port"),
        ("{lisen: '127.0.0.1:1'}", "metrics.lisen", "listen"),
        ("{window: 1m}", "metrics.window", "at least 3600"),
        ("{max_hosts: 0}", "metrics.max_hosts", "at least 1"),
        ("{max_restores: 0}", "metrics.max_restores", "at least 1"),
        ("[1]", "metrics", "a mapping"),
    ],
)
def test_wrong_configurations(tmp_path: Path, section: str, key: str, expected: str) -> None:
    path = tmp_path / "upkeep.yml"
    path.write_text(f"time_zone: UTC\nmetrics: {section}\n")
    with pytest.raises(UpkeepError) as error:
        config.load(str(path))
    assert error.value.exit_code == WRONG_USE
    assert f"upkeep.yml:2: {key}:" in error.value.what
    assert expected in error.value.expected


def test_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "upkeep.yml"
    path.write_text('metrics: {listen: "[::1]:19187", window: 7d, max_jobs: 5}\n')
    assert config.load(str(path)).metrics == Settings(Address("::1", 19187), 7 * DAY, 5)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(busy: facade.Store, configured: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path))
    monkeypatch.delenv("UPKEEP_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_prints(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["metrics"]) == 0
    out = capsys.readouterr().out
    assert 'upkeep_job_time_limit_seconds{job_name="weekly"} 7200.0\n' in out
    assert cli.main(["metrics", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["upkeep_runs_total"]["series"] == [{"labels": {}, "value": 8.0}]


def test_the_command_writes_at_once_and_readable(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "upkeep.prom"
    target.parent.mkdir()
    old = os.umask(0o077)
    try:
        assert cli.main(["metrics", "--write", str(target)]) == 0
        first = target.stat().st_ino
        assert cli.main(["metrics", "--write", str(target)]) == 0
    finally:
        os.umask(old)
    assert target.stat().st_ino != first, "replaced, not written over"
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in target.parent.iterdir()] == ["upkeep.prom"], "nothing is left beside it"
    assert any(family.name == "upkeep_tickets" for family in parse(target.read_text()))


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [("upkeep.txt", WRONG_USE, ".prom"), ("missing/upkeep.prom", NOT_RUN, "a folder that this user may write in")],
)
def test_the_command_says_why_it_cannot_write(
    home: Path, capsys: pytest.CaptureFixture[str], name: str, code: int, expected: str
) -> None:
    assert cli.main(["metrics", "--write", name]) == code
    said = capsys.readouterr().err
    assert expected in said
    assert "to do:" in said


def test_a_store_that_cannot_be_read_leaves_the_old_file(home: Path, tmp_path: Path) -> None:
    """Its own age (upkeep_collected_timestamp_seconds) then tells: an alert is made of that."""
    target = tmp_path / "upkeep.prom"
    assert cli.main(["metrics", "--write", str(target)]) == 0
    kept = target.read_bytes()
    (tmp_path / "upkeep.yml").write_text("store: {url: 'sqlite:////nowhere/at/all.db'}\n")
    assert cli.main(["metrics", "--write", str(target)]) == NOT_RUN
    assert target.read_bytes() == kept
