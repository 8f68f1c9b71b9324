# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress without a terminal, JSON documents, and texts that nobody may take for markup. The tables: test_cli.py."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from upkeep import render
from upkeep.store import Clock


def event(name: str, host: str = "", **data: Any) -> dict[str, Any]:
    return {"event": name, "event_data": {"task": "Look", "host": host, **data}}


def test_progress_says_each_task_and_each_failure_once(capsys: pytest.CaptureFixture[str]) -> None:
    with render.Progress("weekly") as progress:
        progress.watch(event("playbook_on_task_start"))
        for host in ("web1", "web2", "web3", "db1"):
            progress.watch(event("runner_on_start", host))
        progress.watch(event("runner_on_ok", "web1"))
        progress.watch(event("runner_on_failed", "web2", res={"msg": "disk on \x1b[31mfire\nand more"}))
        progress.watch(event("runner_on_failed", "db1", ignore_errors=True, res={"msg": "ignored"}))
        assert progress.where() == "the task 'Look'; 3 hosts done, 1 failed; running: web3"
        progress.watch(event("runner_on_unreachable", "web3", res={"msg": "no route"}))
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.splitlines() == [
        "weekly: task: Look",
        "weekly: web2: failed at Look: disk on fire",
        "weekly: web3: unreachable at Look: no route",
        "weekly: 4 hosts seen, 0:00",
    ]


def test_progress_does_not_flood(capsys: pytest.CaptureFixture[str]) -> None:
    with render.Progress("weekly") as progress:
        for number in range(500):
            progress.watch(event("runner_on_start", f"web{number}"))
            progress.watch(event("runner_on_failed", f"web{number}", res={"msg": "no"}))
        for number in range(10):
            progress.watch(event("runner_on_start", f"db{number}"))
        assert progress.where().endswith("running: db0, db1, db2, db3 and 6 more")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == render.NOTED_LIMIT + 2
    assert lines[-2] == "weekly: more hosts fail; all of them are named at the end"


def test_a_long_silence_is_broken_by_a_sign_of_life(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "HEARTBEAT", 0.05)
    with render.Progress("weekly") as progress:
        progress.watch(event("playbook_on_task_start"))
        progress.watch(event("runner_on_start", "slow"))
        time.sleep(0.3)
    assert "weekly: 0:00 the task 'Look'; running: slow" in capsys.readouterr().err.splitlines()


def test_json_of_dataclasses_times_and_odd_texts(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_json(
        {
            "clock": Clock("P1", 0.0),
            "started": 1_000_000_000.4,
            "remaining": 5.5,
            "seen": (1, None, True),
            "at": datetime(2026, 1, 1, tzinfo=UTC),
            "odd": "a\ud800b",
            "finished": None,
        }
    )
    assert json.loads(capsys.readouterr().out) == {
        "clock": {"priority": "P1", "since": "1970-01-01T00:00:00Z"},
        "started": "2001-09-09T01:46:40Z",
        "remaining": 5.5,
        "seen": [1, None, True],
        "at": "2026-01-01T00:00:00+00:00",
        "odd": "a?b",
        "finished": None,
    }


def test_times_and_counts_as_people_read_them() -> None:
    assert render.when(0.0, ZoneInfo("Asia/Tokyo")) == "1970-01-01 09:00"
    assert render.when(None, ZoneInfo("UTC")) == "-"
    assert (render.count(1, "host"), render.count(2, "host"), render.count(0, "entry", "entries")) == (
        "1 host",
        "2 hosts",
        "0 entries",
    )
    assert render.hosts_line({"ok": 3, "failed": 0, "unreachable": 1}) == "hosts: 3 ok, 1 unreachable"
    assert render.hosts_line({}) == ""


def test_what_a_host_says_is_no_markup_and_no_escape(capsys: pytest.CaptureFixture[str]) -> None:
    out = render.console()
    out.print(
        render.table(
            ("a", "b"), [(render.text("[red]x[/red] :smile:"), render.with_remedy("y\x1b[2J", "z\x07"))], wide=1
        )
    )
    said = capsys.readouterr().out
    assert "[red]x[/red] :smile:" in said
    assert "→ z" in said
    assert not {"\x1b", "\x07"} & set(said)


def test_many_reasons_for_which_checks_do_not_apply_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    skips = [{"check": f"a.b.c{n % 20}", "why": f"reason {n}", "force": "", "hosts": n + 1} for n in range(40)]
    render.show_skipped(render.console(), skips)
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert lines[0] == "Not applicable: 20 checks"
    assert lines[1].rstrip() == "  a.b.c19 (40 hosts): reason 39"
    assert lines[-1].strip() == f"… and {40 - render.SKIPPED_ROWS} more; --json shows all"
    assert len(lines) == render.SKIPPED_ROWS + 2


def test_checks_that_one_setting_would_bring_share_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    in_container = {"why": "a container", "force": "host_kind: machine", "hosts": 2}
    other = {"check": "a.b.c", "why": "no systemd", "force": "", "hosts": 9}
    skips = [{"check": "a.disk.bad", **in_container}, other, {"check": "a.clock.off", **in_container}]
    render.show_skipped(render.console(), skips)
    assert [line.rstrip() for line in capsys.readouterr().out.rstrip().splitlines()] == [
        "Not applicable: 3 checks",
        "  a.b.c (9 hosts): no systemd",
        "  a.disk.bad, a.clock.off (2 hosts); to have them: host_kind: machine",
    ]


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_a_sentence_stays_readable_on_a_narrow_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    heads = ("ticket", "priority", "state", "about", "hosts", "age", "react", "solve")
    row = ("#12", "P1", "open", "Everything stands still here", "3", "2 days", "38 min late", "3 h 6 min left")
    render.console().print(render.table(heads, [row], wide=3))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert any("Everything stands still here" in line for line in lines)
    assert all(any(head in line for line in lines) for head in heads)


def test_columns_stand_below_each_other_where_sentences_stand_below_their_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    rows = [("1", "a", "2026-11-22 10:00", "All of it is told here", "x"), ("12", "a longer name", "-", "-", "y")]
    render.console().print(render.table(("run", "job", "started", "what", "by"), rows, wide=3))
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "run  job            started           by",
        "    what",
        "\u2500" * 60,
        "1    a              2026-11-22 10:00  x",
        "    All of it is told here",
        "12   a longer name  -                 y",
    ]
    narrow = [("1", "a" * 30, "b" * 20, "All of it is told here", "x")]
    monkeypatch.setenv("COLUMNS", "40")
    render.console().print(render.table(("run", "job", "started", "what", "by"), narrow, wide=3))
    assert max(map(len, (lines := capsys.readouterr().out.splitlines()))) <= 40
    assert "a" * 30 in "".join(line[5:20].strip() for line in lines[3:]), "nothing is cut off"
