# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""upkeep doctor: whether what is configured can be used, without going over the network; and what a probe advises."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from upkeep import checkup
from upkeep.checkup import HINT, MISSING, OK, Row
from upkeep.cli import main
from upkeep.commands.doctor import _conclusion
from upkeep.outbox import Held, Later, Refused

CONFIG = """\
ticket_systems:
  itsm: {kind: redmine, url: "http://192.0.2.1", token: {env: UPKEEP_T_TOKEN}, project: p, type: Bug, key_field: "1"}
  desk: {kind: servicenow, url: "http://192.0.2.1", user: u, password: {file: secret}}
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("UPKEEP_T_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkup, "ENVIRONMENT", str(tmp_path / "environment"))
    (tmp_path / "upkeep.yml").write_text(CONFIG)


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str, str]]:
    main(["doctor", "--no-hosts", "--json"])
    found = json.loads(capsys.readouterr().out)["rows"]
    return {row["item"]: (row["state"], row["found"], row["remedy"]) for row in found}


def test_the_secrets_of_ticket_systems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", None)  # nothing goes over the network
    found = rows(capsys)
    state, said, remedy = found["ticket system itsm"]
    assert (state, said) == (HINT, "the secret {env: UPKEEP_T_TOKEN} is not there: not set")
    assert remedy.endswith(str(tmp_path / "environment"))
    assert found["ticket system desk"][:2] == (
        HINT,
        "the secret {file: secret} is not there: No such file or directory",
    )
    (tmp_path / "environment").write_text('UPKEEP_T_TOKEN="hunter2"\n')
    (tmp_path / "secret").write_text("hunter3")
    found = rows(capsys)
    state, said, _ = found["ticket system itsm"]
    assert state == OK and "upkeep ticket-systems probe itsm" in said
    state, said, _ = found["ticket system desk"]
    assert state == OK and "password from {file: secret}" in said
    assert "hunter" not in str(found)
    assert "nobody is told" in found["channels"][1]


def test_a_variable_that_is_empty_for_the_service_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "environment").write_text('UPKEEP_T_TOKEN=""\nUPKEEP_T_TOKEN2=x\n')
    assert rows(capsys)["ticket system itsm"][0] == HINT


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([OK], "Nothing is missing"),
        ([OK, HINT], "Nothing is missing; 1 hint above, of what works less, or not yet"),
        ([MISSING, MISSING], "2 things missing"),
        ([MISSING, HINT, HINT], "1 thing missing; 2 hints above, of what works less, or not yet"),
    ],
)
def test_its_last_line_hides_no_hint(states: list[str], said: str) -> None:
    assert _conclusion([Row("a", "controller", "b", state, "c") for state in states]) == said


@pytest.mark.parametrize(
    ("error", "what", "advice"),
    [
        (Later("Connection refused"), "answers", "is the server up"),
        (Held("401"), "credentials", "upkeep outbox release itsm"),
        (Refused("404"), "answers", "see url, project"),
    ],
)
def test_a_probe_advises_what_helps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, what: str, advice: str
) -> None:
    def fail(_self: object) -> None:
        raise error

    monkeypatch.setenv("UPKEEP_T_TOKEN", "x")
    monkeypatch.setattr("upkeep.ticketing.redmine.Adapter._probe", fail)
    assert main(["ticket-systems", "probe", "itsm", "--json"]) == 1
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert (check["what"], check["ok"]) == (what, False)
    assert advice in check["remedy"]
