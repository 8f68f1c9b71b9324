# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nobody expected is told as a finding: a traceback helps nobody whose host is out of service."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks import http_json, silence_options
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain import drain
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_command import Command
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_options import SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.outcome import Failed
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence import silence


def silence_given(**more: Any) -> dict[str, Any]:
    plain = {name: one.get("default") for name, one in silence_options.SPEC.items()}
    return {**plain, "kind": "grafana", "key": "k", "url": "http://127.0.0.1:9", **more}


@pytest.mark.parametrize("end", ["1e400", "1e25"])
def test_a_time_that_is_none(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [{"id": 1, "time": 0, "timeEnd": json.loads(end), "tags": ["upkeep:k"]}]
    monkeypatch.setattr(http_json.Client, "ask", lambda *_words, **_named: said)
    told = silence(silence_given(state="absent"), False)
    [one] = told["findings"]
    assert not told["ok"] and one["check"] == "patch.silence.left" and "OverflowError" in one["summary"]
    assert any("silence.py" in line for line in one["evidence"])


def test_brackets_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def recurse(*_words: Any, **_named: Any) -> Any:
        return json.loads("[" * 200_000)

    monkeypatch.setattr(http_json.Client, "_ask", recurse)
    client = http_json.Client("http://127.0.0.1:9", 5, silence_given())
    with pytest.raises(Failed, match="RecursionError"):
        client.ask("GET", "/")


def test_a_fault_of_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: Command) -> Any:
        raise RuntimeError("never thought of")

    monkeypatch.setattr(Command, "look", broken)
    given = {name: one.get("default") for name, one in SPEC.items()}
    words = {
        "kind": "command",
        "server": "web1",
        "state": "active",
        "check_command": ["true"],
        "active_command": ["true"],
    }
    told = drain({**given, **words}, False)
    [one] = told["findings"]
    assert not told["ok"] and told["undone"] is False and one["check"] == "patch.drain.left"
    assert "RuntimeError" in one["summary"] and one["remedy"]
