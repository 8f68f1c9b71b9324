# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The auditor's records: what a proof may hold, and whose proofs are believed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _areas, _findings, _results
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review, proof, proof_errors
from ansible_collections.upkeep.maintenance.plugins.module_utils._harvest import Harvest
from ansible_collections.upkeep.maintenance.plugins.plugin_utils.table import FindingsTable
from tests.unit.fake_host import FakeHost

MODULE = "upkeep.maintenance.restic_restore_test"
GOOD: dict[str, Any] = {
    "check": "backup.restore.sample",
    "subject": "offsite",
    "outcome": "passed",
    "started": 1000.0,
    "ended": 1012.5,
    "summary": "12 files of snapshot 1a2b3c4d were restored and compared.",
    "facts": {"snapshot": "1a2b3c4d", "files": 12, "rpo": 3600.5},
}


def records(result: dict[str, Any]) -> list[dict[str, Any]]:
    return list(_results.of_result("db1", "Test", MODULE, {"findings": [], "coverage": [], **result}))


def proofs(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["proof"] for record in told if record["type"] == "proof"]


def broken(told: list[dict[str, Any]]) -> list[str]:
    faults = [
        r["finding"] for r in told if r["type"] == "finding" and r["finding"]["check"] == "upkeep.contract.broken"
    ]
    return [line for fault in faults for line in fault["evidence"]]


def test_a_review_hands_on_its_proofs_and_only_when_there_are_any() -> None:
    review = Review("backup")
    assert "proofs" not in review.result()
    review.proof(**GOOD)
    assert review.result()["proofs"] == [GOOD]
    assert review.result()["findings"] == []


def test_a_proof_is_cut_cleaned_and_redacted() -> None:
    facts = {"paths": ["a\x1b[31mb\nc"], "password": "hunter2", "query": "select 'token=abc'", "rto": float("inf")}
    made = proof("a.b.c", "x\x07", "failed", 1, 2, "s" * 1000 + " password=hunter2", facts)
    assert made["subject"] == "x\N{REPLACEMENT CHARACTER}"
    assert len(made["summary"]) == _findings.SUMMARY_LIMIT
    assert "hunter2" not in str(made)
    assert "abc" not in str(made)
    assert made["facts"]["rto"] is None
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_what_passed_is_no_password() -> None:
    made = proof("a.b.c", "x", "passed", 1, 2, "3 queries passed: all of them", {"passed": 3, "passphrase": "hunter2"})
    assert made["summary"] == "3 queries passed: all of them"
    assert made["facts"] == {"passed": 3, "passphrase": "********"}


def test_of_facts_that_are_too_large_the_largest_go_and_say_so() -> None:
    rows = [{"row": number, "text": "x" * 50} for number in range(2000)]
    made = proof("a.b.c", "x", "passed", 1, 2, "s", {"rows": rows, "snapshot": "1a2b", "files": 3})
    assert (made["facts"]["snapshot"], made["facts"]["files"]) == ("1a2b", 3)
    assert made["facts"]["rows"].startswith("(left out: ")
    many = proof("a.b.c", "x", "passed", 1, 2, "s", {f"name {number}": number for number in range(5000)})
    assert len(str(many["facts"])) <= _findings.FACTS_LIMIT


def test_a_clock_that_was_set_back_breaks_nothing() -> None:
    assert proof("a.b.c", "x", "passed", 100, 40, "s")["ended"] == 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outcome": "fine"}, "outcome is one of passed, failed, cannot"),
        ({"outcome": None}, "outcome is a text"),
        ({"check": "restore"}, "named area.thing.fault"),
        ({"check": "a.b." + "c" * 300}, "at most 200 characters"),
        ({"subject": " "}, "subject is a text"),
        ({"summary": 3}, "summary is a text"),
        ({"started": "yesterday"}, "started is seconds"),
        ({"started": True}, "started is seconds"),
        ({"ended": None}, "ended is seconds"),
        ({"ended": float("nan")}, "ended is seconds"),
        ({"ended": 1e13}, "ended is seconds"),
        ({"started": 2000.0}, "ended is no earlier"),
        ({"facts": ["x"]}, "facts is a dictionary"),
    ],
)
def test_a_broken_proof_is_told_as_a_broken_contract(change: dict[str, Any], said: str) -> None:
    assert proof_errors(GOOD) == []
    told = records({"proofs": [{**GOOD, **change}, GOOD], "coverage": [{"check": "a.b.c", "subject": "*"}]})
    assert any(line.startswith("proof 1: ") and said in line for line in broken(told)), broken(told)
    # Whose contract is broken is not believed in what speaks for it, and keeps what speaks against it.
    assert proofs(told) == []
    assert not any("a.b.c" in str(record) for record in told if record["type"] == "coverage")
    bad = {**GOOD, "outcome": "failed"}
    assert proofs(records({"proofs": [{**GOOD, **change}, bad]})) == [bad]


@pytest.mark.parametrize("wrong", ["all", {"a": 1}, [None], ["x"]])
def test_proofs_that_are_none_are_a_broken_contract(wrong: object) -> None:
    told = records({"proofs": wrong})
    assert broken(told)
    assert proofs(told) == []


def test_a_proof_of_which_cleaning_leaves_nothing_is_a_broken_contract() -> None:
    assert broken(records({"proofs": [{**GOOD, "summary": "\x1b[31m"}]}))


def test_good_proofs_become_records_and_facts_that_are_nested_deep_end_nothing() -> None:
    assert proofs(records({"proofs": [GOOD]})) == [GOOD]
    assert not broken(records({"proofs": [GOOD]}))
    facts: dict[str, Any] = {}
    for _level in range(100_000):
        facts = {"a": facts}
    told = records({"proofs": [{**GOOD, "facts": facts}]})
    assert len(proofs(told)) == 1
    assert all(_results.line(record) for record in told)


def test_of_a_task_that_failed_a_proof_that_passed_is_not_believed() -> None:
    bad = {**GOOD, "outcome": "cannot"}
    told = list(_results.of_failure("db1", "Test", MODULE, {"msg": "x", "findings": [], "proofs": [GOOD, bad]}))
    assert proofs(told) == [bad]


def test_another_collections_module_proves_nothing() -> None:
    assert not proofs(list(_results.of_result("db1", "Test", "other.one.test", {"findings": [], "proofs": [GOOD]})))


def test_the_harvest_streams_them_and_keeps_none() -> None:
    harvest = Harvest()
    result = {"findings": [], "coverage": [], "proofs": [GOOD]}
    data = {"host": "db1", "task": "Test", "task_action": MODULE, "resolved_action": MODULE, "res": result}
    told = list(harvest.feed({"event": "runner_on_ok", "event_data": data}))
    assert proofs(told) == [GOOD]
    assert not list(harvest.finish())
    # A failure that is ignored is none; what its test saw stands.
    failed = {**result, "proofs": [{**GOOD, "outcome": "failed"}], "msg": "x"}
    told = list(
        harvest.feed({"event": "runner_on_failed", "event_data": {**data, "res": failed, "ignore_errors": True}})
    )
    assert [one["outcome"] for one in proofs(told)] == ["failed"]


def test_host_review_joins_the_proofs_of_its_areas(monkeypatch: pytest.MonkeyPatch) -> None:
    def area(*told: dict[str, Any]) -> Any:
        review = Review("backup")
        for one in told:
            review.proof(**one)
        return {}, lambda _host, _options: {"seen": 1, **review.result()}

    other = {**GOOD, "subject": "onsite"}
    monkeypatch.setattr(_areas, "AREAS", {"one": area(GOOD), "two": area(), "three": area(other)})
    joined = _areas.review_areas(FakeHost(), {"one": {}, "two": {}, "three": {}}, check_mode=False)
    assert joined["proofs"] == [GOOD, other]
    assert joined["one"] == {"seen": 1}
    assert "proofs" not in _areas.review_areas(FakeHost(), {"two": {}}, check_mode=False)


def test_the_table_counts_them() -> None:
    table = FindingsTable()
    for outcome in ("passed", "cannot", "passed"):
        table.add({"type": "proof", "host": "db1", "proof": {**GOOD, "outcome": outcome}})
    assert "3 test(s) on record: 2 passed, 1 could not be carried out" in list(table.lines(100, 10))
    assert not any("on record" in line for line in FindingsTable().lines(100, 10))


def test_the_results_file_says_who_began_the_run() -> None:
    assert _results.run_record("r", "p", False, 1.0, actor="ann\x1b[31m")["actor"] == "ann"
    assert "actor" not in _results.run_record("r", "p", False, 1.0)
