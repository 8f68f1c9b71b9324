# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From job events to records: a table of events and what must come of them. Real runs are in test_runner.py."""

from __future__ import annotations

import tracemalloc
from typing import Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._harvest import HELD_LIMIT, Harvest
from tests.integration.rig import finding

OURS = "upkeep.maintenance.host_review"


def event(
    name: str, host: str | None = "web1", action: str = OURS, task: str = "Review", **data: Any
) -> dict[str, Any]:
    where = {} if host is None else {"host": host}
    origin = {"task": task, "task_uuid": f"uuid of {task}", "task_action": action, "resolved_action": action}
    return {"event": name, "job_id": 7, "event_data": {**origin, **where, **data}}


def stats(**counts: dict[str, int]) -> dict[str, Any]:
    hosts = {host for of in counts.values() for host in of}
    return event("playbook_on_stats", None, **{"processed": dict.fromkeys(hosts, 1), **counts})


def feed(*events: dict[str, Any], harvest: Harvest | None = None) -> list[dict[str, Any]]:
    harvest = harvest or Harvest(7)
    return [record for one in events for record in harvest.feed(one)]


def found(records: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (record["host"], record["finding"]["check"], record["finding"]["subject"])
        for record in records
        if record["type"] == "finding"
    ]


def covered(records: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (record["host"], entry["check"], entry["subject"])
        for record in records
        if record["type"] == "coverage"
        for entry in record["coverage"]
    }


RESULT = {"findings": [finding()], "coverage": [{"check": "area.thing.fault", "subject": "*"}]}
FAILURE = {"msg": "it broke", "failed": True}


def test_a_result_gives_its_findings_and_coverage_at_once() -> None:
    records = feed(event("runner_on_ok", res=RESULT))
    assert found(records) == [("web1", "area.thing.fault", "it")]
    assert ("web1", "area.thing.fault", "*") in covered(records)
    assert ("web1", "upkeep.task.failed", "Review") in covered(records)


def test_the_name_of_a_task_is_that_of_ansible_s_own_output() -> None:
    records = feed(
        event("runner_on_ok", res=RESULT, role="host_review", resolved_role="upkeep.maintenance.host_review")
    )
    assert ("web1", "upkeep.task.failed", "upkeep.maintenance.host_review : Review") in covered(records)


def test_an_empty_result_was_too_large_and_is_told() -> None:
    records = feed(event("runner_on_ok", res={}))
    assert found(records) == [("web1", "upkeep.result.lost", "Review")]
    assert not any(check.startswith("area.") for _host, check, _subject in covered(records))
    assert found(feed(event("runner_on_ok", action="ansible.builtin.command", res={}))) == []


def test_the_counts_of_the_host_tell_which_failures_count() -> None:
    failures = [event("runner_on_failed", task=task, res=FAILURE) for task in ("First", "Second")]
    assert found(feed(*failures)) == []
    assert found(feed(*failures, stats(ok={"web1": 3}, rescued={"web1": 2}))) == []
    one = feed(*failures, stats(failures={"web1": 1}, rescued={"web1": 1}))
    assert found(one) == [("web1", "upkeep.task.failed", "Second")]
    assert len(found(feed(*failures, stats(failures={"web1": 2})))) == 2


def test_an_ignored_failure_is_none_but_what_the_module_said_stands() -> None:
    records = feed(event("runner_on_failed", res={**FAILURE, **RESULT}, ignore_errors=True), stats(ok={"web1": 1}))
    assert found(records) == [("web1", "area.thing.fault", "it")]
    assert ("web1", "area.thing.fault", "*") not in covered(records)


def test_unreachable_counts_only_when_the_host_stayed_away() -> None:
    gone = event("runner_on_unreachable", res={"msg": "no route", "unreachable": True})
    assert found(feed(gone, stats(dark={"web1": 1}))) == [("web1", "upkeep.host.unreachable", "web1")]
    # Ignored at first, as a role does that goes on without it: one fault, told once.
    assert found(feed(gone, gone, gone, stats(dark={"web1": 1}))) == [("web1", "upkeep.host.unreachable", "web1")]
    came_back = feed(gone, stats(ok={"web1": 2}))
    assert found(came_back) == []
    assert ("web1", "upkeep.host.unreachable", "web1") in covered(came_back)


def test_a_failed_loop_tells_the_message_of_its_first_bad_item() -> None:
    items = [{"msg": "fine"}, {"msg": "disk on fire", "failed": True}]
    records = feed(
        event("runner_on_failed", res={"msg": "One or more items failed", "results": items}),
        stats(failures={"web1": 1}),
    )
    assert records[0]["finding"]["summary"] == "The task 'Review' failed: disk on fire"


def test_a_loop_of_ours_is_told_by_its_items_and_not_again_by_its_end() -> None:
    items = [event("runner_item_on_ok", res={"findings": [finding(subject=name)], "coverage": []}) for name in "ab"]
    records = feed(*items, event("runner_on_ok", res={"results": [RESULT, RESULT]}))
    assert found(records) == [("web1", "area.thing.fault", "a"), ("web1", "area.thing.fault", "b")]
    # And the next task of the same host is not taken for that loop's end.
    harvest = Harvest(7)
    records = feed(*items, event("runner_on_ok", task="Next", res=RESULT), harvest=harvest)
    assert len(found(records)) == 3


def test_a_run_that_was_cut_off_keeps_what_it_saw_and_resolves_nothing() -> None:
    harvest = Harvest(7)
    feed(
        event("runner_on_failed", "web1", res=FAILURE),
        event("runner_on_start", "web2", task="Hang"),
        harvest=harvest,
    )
    assert not harvest.stats_seen
    assert found(list(harvest.finish())) == [("web1", "upkeep.task.failed", "Review")]
    harvest = Harvest(7)
    feed(
        event("runner_on_start", "web1"),
        event("runner_on_ok", "web1", res=RESULT),
        event("runner_on_start", "web2", task="Hang"),
        harvest=harvest,
    )
    assert found(list(harvest.finish(timed_out=True))) == [("web2", "upkeep.task.failed", "Hang")]
    assert list(harvest.finish(timed_out=True)) == []


def test_states_of_hosts() -> None:
    harvest = Harvest(7)
    counted = stats(ok={"a": 1, "b": 1}, failures={"b": 1}, dark={"c": 1})
    records = feed(counted, harvest=harvest)
    assert harvest.stats_seen
    assert harvest.hosts == {"a": "ok", "b": "failed", "c": "unreachable"}
    assert [record["host"] for record in records if record["type"] == "host"] == ["a", "b", "c"]


def test_what_does_not_bear_the_token_is_passed_over() -> None:
    forged = {**event("runner_on_ok", res=RESULT), "job_id": 8}
    assert feed(forged) == []
    forged.pop("job_id")
    assert feed(forged) == []
    assert feed(forged, harvest=Harvest(None)) != []


def test_an_event_whose_data_is_gone_is_counted() -> None:
    harvest = Harvest(7)
    assert feed({"uuid": "x", "counter": 3, "stdout": ""}, harvest=harvest) == []
    assert harvest.lost == 1
    feed({"event": "verbose", "uuid": "y"}, {"event": "warning", "job_id": 7}, harvest=harvest)
    assert harvest.lost == 1


def test_plays_without_hosts_are_counted() -> None:
    harvest = Harvest(7)
    feed(event("playbook_on_no_hosts_matched", None), stats(), harvest=harvest)
    assert (harvest.no_hosts, harvest.stats_seen, harvest.hosts) == (1, True, {})


def test_hostile_names_are_cleaned_the_same_way_in_findings_and_coverage() -> None:
    task = "look\x1b[31m" + "x" * 500
    failed = feed(event("runner_on_failed", task=task, res=FAILURE), stats(failures={"web1": 1}))
    fine = feed(event("runner_on_ok", task=task, res=RESULT))
    (host, check, subject) = found(failed)[0]
    assert "\x1b" not in subject
    assert (host, check, subject) in covered(fine)


def test_odd_events_are_survived() -> None:
    for data in (None, {}, {"host": None}, {"host": 5, "res": "text"}, {"host": "web1", "res": [1]}):
        for name in (
            "runner_on_ok",
            "runner_on_failed",
            "runner_on_unreachable",
            "playbook_on_stats",
            "runner_item_on_ok",
        ):
            feed({"event": name, "job_id": 7, "event_data": data})
    assert found(feed(event("runner_on_ok", res={"findings": "none", "coverage": 3, "not_applicable": [4]}))) == [
        ("web1", "upkeep.contract.broken", OURS)
    ]


def test_memory_grows_with_hosts_and_not_with_events() -> None:
    harvest = Harvest(7)
    failed = event("runner_on_failed", res={"msg": "x" * 10_000})
    ok = event("runner_on_ok", res={**RESULT, "not_applicable": [{"check": "a.b.c", "why": "no", "force": ""}]})
    for _ in range(2 * HELD_LIMIT):
        feed(failed, ok, harvest=harvest)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2000):
            for one in (failed, ok):
                for _record in harvest.feed(one):
                    pass
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
    # More failures than can wait are told at once, rather than lost.
    assert len(found(feed(*[failed] * (HELD_LIMIT + 3)))) == 3


def test_results_that_are_no_list_are_passed_over() -> None:
    for results in (5, {"a": 1}, "text", None):
        records = feed(event("runner_on_failed", res={**FAILURE, "results": results}), stats(failures={"web1": 1}))
        assert found(records) == [("web1", "upkeep.task.failed", "Review")]


def test_a_name_of_which_cleaning_leaves_nothing_ends_nothing() -> None:
    nameless = "\x1b[31m"
    records = feed(event("runner_on_failed", nameless, task=nameless, res=FAILURE), stats(failures={nameless: 1}))
    assert found(records) == [("?", "upkeep.task.failed", "?")]
