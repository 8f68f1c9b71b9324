# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run does with its events, without Ansible. Real runs are in tests/integration/test_runner.py."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from upkeep.errors import UpkeepError
from upkeep.running import runner
from upkeep.running.runner import extra_vars_of


def test_a_fault_of_ours_ends_the_run_and_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def prepare(*given: Any) -> Any:
        token, handle, _to_be_killed = given[-3:]

        def event(host: str) -> dict[str, Any]:
            data = {"host": host, "task": "Ping", "task_action": "ping", "res": {"ping": "pong"}}
            return {"event": "runner_on_ok", "job_id": token, "stdout": "log\ufeff", "event_data": data}

        def run() -> None:
            handle(event("good"))
            handle(event("bad"))

        return SimpleNamespace(run=run)

    def watch(event: dict[str, Any]) -> None:
        if event["event_data"]["host"] == "bad":
            raise KeyError("\x1b[31msurprise")

    monkeypatch.setattr(runner, "_prepare", prepare)
    outcome = runner.carry_out(runner.Plan("p.yml", ()), tmp_path, "id", 1.0, watch)
    assert outcome.state == "error"
    assert outcome.error is not None
    assert "KeyError" in outcome.error.found
    assert "\x1b" not in outcome.error.found
    assert outcome.error.exit_code == 4
    records = [json.loads(line) for line in (tmp_path / runner.RESULTS).read_text().splitlines()]
    assert [record["host"] for record in records if record["type"] == "coverage"] == ["good", "bad"]
    assert records[-1]["state"] == "error"
    assert (tmp_path / runner.LOG).read_text() == "log\n" * 2


@pytest.mark.parametrize(
    ("given", "variables"),
    [
        ("a=1 b='two words'", {"a": "1", "b": "two words"}),
        ('{"a": [1, true]}', {"a": [1, True]}),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_extra_vars(given: str, variables: dict[str, object]) -> None:
    assert extra_vars_of(given) == variables


@pytest.mark.parametrize("given", ["a", "a='open", "{bad", "[1]", "@/no/such/file", ""])
def test_extra_vars_that_are_not_understood(given: str) -> None:
    with pytest.raises(UpkeepError, match="-e is not understood") as raised:
        extra_vars_of(given)
    assert raised.value.expected and raised.value.remedy
