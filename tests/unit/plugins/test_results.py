# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task's result becomes in the results file."""

from __future__ import annotations

import json

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _results as results

GOOD = {"check": "patch.security.pending", "subject": "apt", "severity": "high", "summary": "3 updates are pending."}
MODULE = "upkeep.maintenance.patch_info"


def findings(records: list[dict]) -> dict[str, dict]:
    return {record["finding"]["check"]: record["finding"] for record in records if record["type"] == "finding"}


def covered(records: list[dict]) -> set[tuple[str, str]]:
    return {(e["check"], e["subject"]) for r in records if r["type"] == "coverage" for e in r["coverage"]}


def test_a_module_of_ours_gives_its_findings_and_coverage() -> None:
    result = {"findings": [GOOD], "coverage": [{"check": "patch.security.pending", "subject": "*"}]}
    records = list(results.of_result("web1", "Review", MODULE, result))
    assert findings(records)["patch.security.pending"]["summary"] == GOOD["summary"]
    assert covered(records) == {
        ("patch.security.pending", "*"),
        ("upkeep.task.failed", "Review"),
        ("upkeep.result.lost", "Review"),
        ("upkeep.contract.broken", MODULE),
    }


def test_a_module_of_others_only_covers_its_task() -> None:
    records = list(results.of_result("web1", "Ping", "ansible.builtin.ping", {"ping": "pong", "findings": [GOOD]}))
    assert covered(records) == {("upkeep.task.failed", "Ping")}
    assert not findings(records)


@pytest.mark.parametrize("lost", [None, {}, {"changed": False}])
def test_a_lost_result_is_a_finding_and_covers_nothing(lost: dict | None) -> None:
    records = list(results.of_result("web1", "Review", MODULE, lost))
    assert findings(records)["upkeep.result.lost"]["severity"] == "high"
    assert covered(records) == {("upkeep.task.failed", "Review")}


@pytest.mark.parametrize(
    "result",
    [
        {
            "findings": [GOOD, {**GOOD, "severity": "urgent"}],
            "coverage": [{"check": "patch.security.pending", "subject": "*"}],
        },
        {"findings": "none", "coverage": []},
        {"findings": [], "coverage": "all"},
        {"findings": [], "coverage": [{"check": "patch.security.pending"}]},
        {"findings": [None], "coverage": []},
        {"findings": [{**GOOD, "summary": "\x1b[31m"}], "coverage": [{"check": "patch.a.b", "subject": "*"}]},
        {"findings": [{**GOOD, "subject": " " * 900 + "apt"}], "coverage": [{"check": "patch.a.b", "subject": "*"}]},
        {"findings": [], "coverage": [{"check": "patch.a.b", "subject": "\x1b[31m"}]},
    ],
)
def test_a_broken_contract_is_the_modules_fault_and_is_not_believed(result: dict) -> None:
    records = list(results.of_result("web1", "Review", MODULE, result))
    fault = findings(records)["upkeep.contract.broken"]
    assert fault["subject"] == MODULE
    assert fault["evidence"]
    assert not any(check.startswith("patch.") for check, _subject in covered(records))


def test_the_good_findings_beside_a_broken_one_stand() -> None:
    records = list(results.of_result("web1", "Review", MODULE, {"findings": [{}, GOOD], "coverage": []}))
    assert set(findings(records)) == {"upkeep.contract.broken", "patch.security.pending"}


def test_a_finding_made_elsewhere_is_cleaned_again() -> None:
    hostile = {**GOOD, "summary": "\x1b[2J password=hunter2", "evidence": ["x"] * 1000}
    found = findings(list(results.of_result("web1", "Review", MODULE, {"findings": [hostile], "coverage": []})))
    assert found["patch.security.pending"]["summary"] == "password=********"
    assert len(found["patch.security.pending"]["evidence"]) == 40


def test_facts_that_are_nested_deep_end_nothing() -> None:
    facts: dict = {}
    for _level in range(100_000):
        facts = {"a": facts}
    records = list(results.of_result("web1", "Review", MODULE, {"findings": [{**GOOD, "facts": facts}, GOOD]}))
    assert set(findings(records)) == {"patch.security.pending"}
    assert all(results.line(record) for record in records)
    assert "too deep" in str(list(results.of_failure("web1", "Review", MODULE, {"msg": facts})))


def test_a_private_key_in_a_message_is_masked() -> None:
    message = "cannot read -----BEGIN PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nc2Vj\n-----END PRIVATE KEY-----\nthe end"
    found = findings(list(results.of_failure("web1", "Review", MODULE, {"msg": message})))["upkeep.task.failed"]
    assert found["evidence"] == ["cannot read ********", "the end"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "Validation of arguments failed:\nos_patch_drains is no list",
            "Validation of arguments failed: os_patch_drains is no list",
        ),
        ("It broke.\nand more", "It broke."),
        ("It says:", "It says:"),
        ("", "no message"),
    ],
)
def test_a_first_line_that_only_announces_the_reason_takes_it_along(message: str, said: str) -> None:
    found = findings(list(results.of_failure("web1", "Review", MODULE, {"msg": message})))["upkeep.task.failed"]
    assert found["summary"] == f"The task 'Review' failed: {said}"


@pytest.mark.parametrize(
    ("result", "remedy"),
    [
        (
            {
                "msg": "MODULE FAILURE",
                "module_stderr": "ansible-core requires a minimum of Python version 3.8. Current version: 3.7",
            },
            "Python 3.8 or newer",
        ),
        (
            {
                "msg": "MODULE FAILURE",
                "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found\npython interpreter not found",
            },
            "Install Python",
        ),
        ({"msg": "Missing sudo password"}, "sudo rights"),
        ({"msg": "disk on fire"}, "-vvv"),
        ({}, "-vvv"),
    ],
)
def test_a_failed_task_is_a_finding_with_its_remedy(result: dict, remedy: str) -> None:
    records = list(results.of_failure("web1", "Review", MODULE, result))
    assert remedy in findings(records)["upkeep.task.failed"]["remedy"]
    assert covered(records) == set()


def test_what_a_failed_module_found_stands_but_covers_nothing() -> None:
    result = {"msg": "broke off", "findings": [GOOD], "coverage": [{"check": "patch.security.pending", "subject": "*"}]}
    records = list(results.of_failure("web1", "Review", MODULE, result))
    assert set(findings(records)) == {"upkeep.task.failed", "patch.security.pending"}
    assert covered(records) == set()


def test_a_host_is_covered_only_when_it_answered() -> None:
    assert ("upkeep.host.unreachable", "a") in covered(list(results.of_stats("a", 2, 0, 1, 0)))
    assert covered(list(results.of_stats("a", 2, 0, 0, 1))) == set()
    assert covered(list(results.of_stats("a", 0, 0, 0, 0))) == set()
    assert list(results.of_stats("a", 2, 0, 0, 1))[-1]["state"] == "unreachable"


def test_every_record_is_one_line_of_json() -> None:
    records = [
        results.run_record("id", "weekly.yml", False, 1.5),
        *results.of_failure("web1", "two\nlines", MODULE, {"msg": "a\nb \u2028 c"}),
        *results.of_unreachable("web1", {"msg": "no route"}),
        results.end_record(2.5, "finished"),
    ]
    for record in records:
        text = results.line(record)
        assert text.count("\n") == 1
        assert json.loads(text) == record


def test_the_reason_stands_before_what_is_true_of_every_failure() -> None:
    ssh = "ssh: connect to host 10.0.0.1 port 22: Connection timed out"
    where = "Make sure this host can be reached over ssh: "
    said = f'Task failed: Data could not be sent to remote host "10.0.0.1". {where}{ssh}'
    found = findings(list(results.of_unreachable("web1", {"msg": said})))["upkeep.host.unreachable"]
    assert found["summary"] == f"web1 cannot be reached: {ssh}"
    assert found["evidence"] == [ssh]


CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Host key verification failed."""


@pytest.mark.parametrize(
    ("message", "summary", "remedy"),
    [
        (CHANGED, "web1 cannot be reached: WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!", "before you trust it"),
        (
            "Timeout (12s) waiting for privilege escalation prompt: ",
            "web1 cannot be reached: no answer in 12 s: its link or its sshd is silent",
            "-i INVENTORY web1",
        ),
        ("ops@10.0.0.1: Permission denied (publickey).", "Permission denied (publickey).", "accept the key"),
    ],
)
def test_why_a_host_cannot_be_reached_is_said_first(message: str, summary: str, remedy: str) -> None:
    found = findings(list(results.of_unreachable("web1", {"msg": message})))["upkeep.host.unreachable"]
    assert found["summary"].endswith(summary)
    assert remedy in found["remedy"]
