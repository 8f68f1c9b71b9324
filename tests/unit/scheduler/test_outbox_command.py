# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""upkeep outbox: what waits, what was refused, which queue stands still; and a person's word on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.scheduler import results_file
from upkeep import config_file
from upkeep.cli import main
from upkeep.errors import OK, WRONG_USE
from upkeep.outbox import Delivery, Held, Item, Later, Refused, Sent, Settings
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import Store, audit, open_store, outbox


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with open_store(None, tmp_path / "home") as opened:
        yield opened


def fail(store: Store, queue: str, error: Exception) -> None:
    """Something for a queue, and what becomes of it."""

    class Failing:
        def send(self, item: Item, first: bool) -> Sent:
            raise error

    with store.database.write() as connection:
        outbox.enqueue(connection, queue, "key", "comment", {"text": "hello\nthere"}, 1.0)
    Delivery(store, {queue: Failing}, Settings(), 1.0).turn(queue, 5)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["outbox", *arguments]) == OK
    return " ".join(capsys.readouterr().out.split())


def shown_lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["outbox", *arguments]) == OK
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["outbox", *arguments, "--json"]) == OK
    return json.loads(capsys.readouterr().out)


def acts(store: Store) -> list[tuple[str, str]]:
    with store.database.read() as connection:
        return [(act.action, act.object) for act in audit.listed(connection)]


def test_nothing_to_show(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing was ever to be sent." in shown(capsys)
    assert document(capsys) == {"queues": [], "items": []}


def test_what_was_refused_is_shown_retried_and_dropped(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    fail(store, "ticket:itsm", Refused("no such \x1b[31mproject"))
    text = shown(capsys)
    assert "refused: no such project → upkeep outbox retry 1" in text.replace("�", "")
    assert "\x1b" not in text
    assert "hello" in shown(capsys, "show", "1")
    assert document(capsys, "show", "#1")["payload"] == {"text": "hello\nthere"}
    assert document(capsys, "retry", "1")["item"]["state"] == "waiting"
    assert "is not sent" in shown(capsys, "drop", "1", "told", "by", "phone")
    assert "No items that are unsent." in shown(capsys)
    (item,) = document(capsys, "--state", "all", "--queue", "ticket:itsm")["items"]
    assert item["state"] == "dropped"
    assert acts(store) == [("outbox.retried", "outbox item 1"), ("outbox.dropped", "outbox item 1")]


def test_a_held_queue_is_shown_and_released(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    fail(store, "ticket:itsm", Held("401 Unauthorized"))
    fail(store, "notify:sms", Later("503"))
    text = shown(capsys)
    assert "401 Unauthorized → upkeep outbox release ticket:itsm" in text
    assert "503" in text
    assert document(capsys, "release", "itsm")["released"] == "ticket:itsm"
    assert "notify:sms goes on" in shown(capsys, "release", "notify:sms")
    assert document(capsys)["queues"][1]["held_since"] is None
    assert main(["outbox", "release", "itsm"]) == WRONG_USE
    assert "does not stand still" in capsys.readouterr().err
    assert acts(store)[0] == ("outbox.released", "queue ticket:itsm")


def test_a_queue_that_is_not_there_is_told_as_that(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outbox", "release", "itsm"]) == WRONG_USE
    assert "there is no queue 'itsm'" in (said := capsys.readouterr().err) and "there is none" in said
    fail(store, "ticket:itsm", Held("401"))
    assert main(["outbox", "release", "itms"]) == WRONG_USE
    assert "expected: one of ticket:itsm" in (said := capsys.readouterr().err) and "did you mean itsm?" in said
    assert main(["outbox", "--queue", "ticket:itms"]) == WRONG_USE
    assert "did you mean ticket:itsm?" in capsys.readouterr().err


def test_what_waits_says_for_what(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = [("web1", check, "/", "high") for check in ("area.one.bad", "area.two.bad")]  # two tickets
    path = results_file.write(tmp_path / "r", "run1", found, hosts={"web1": "ok"}, started=1.0, finished=2.0)
    record_file(store, path, Policy(), 3.0)

    def put(queue: str, kind: str, ticket: int, key: str) -> None:
        with store.database.write() as connection:
            outbox.enqueue(connection, queue, key, kind, {}, 1.0, ticket=ticket)

    def next_of() -> list[str]:
        lines = shown_lines(capsys)
        return [line.rsplit("  ", 1)[-1].strip() for line in lines[lines.index("") + 3 :]]

    for number, kind in enumerate(("open", "attach", "comment")):
        put("ticket:itsm", kind, 1, f"k{number}")
    put("ticket:itsm", "open", 2, "k9")
    now = ["with the next delivery", "after item 1", "after item 1", "with the next delivery"]
    assert next_of() == now
    with store.database.write() as connection:
        outbox.pause(connection, "ticket:itsm", "no answer", 4102444800.0, 1.0)
    assert [line[:3] for line in next_of()] == ["at ", "aft", "aft", "at "]
    with store.database.write() as connection:
        outbox.hold(connection, "ticket:itsm", "401", 1.0, 1.0)
    assert next_of() == ["when its queue is released"] * 4


@pytest.mark.parametrize(
    "arguments", [["retry"], ["retry", "x"], ["17"], ["drop", "²"], ["show", "1", "more"], ["release"], ["list", "3"]]
)
def test_wrong_use_is_told(store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["outbox", *arguments]) == WRONG_USE
    assert "upkeep outbox" in capsys.readouterr().err


def test_no_such_item(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outbox", "retry", "7"]) == WRONG_USE
    assert "there is no item 7" in capsys.readouterr().err


def test_its_section_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "upkeep.yml"
    path.write_text("outbox: {give_up_after: 30d}\n")
    config, problems = config_file.check(path, tmp_path)
    assert config is not None, problems
    assert config.outbox == Settings(give_up_after=30 * 86400.0)
    path.write_text("outbox:\n  give_up_after: soon\n")
    _config, (problem,) = config_file.check(path, tmp_path)
    assert (problem.line, problem.key) == (2, "outbox.give_up_after")
