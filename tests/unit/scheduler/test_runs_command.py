# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""upkeep runs at 80 columns, and what is said of a run that was asked to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from upkeep.cli import main
from upkeep.errors import OK
from upkeep.store import Store, open_store


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "upkeep.yml").write_text("time_zone: America/Argentina/Buenos_Aires\n")
    with open_store(None, tmp_path / "home") as store:
        store.begin_run("r1", "p.yml", 1000.0, job="patches", check_mode=True, actor="ann", artifacts="")
        store.end_run("r1", "finished", 1002.0)


def test_each_run_takes_one_line_and_its_head_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == OK
    head, rule, run, zone = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "started", "job", "state", "took", "hosts", "findings"]
    assert set(rule) == {"\u2500"}
    assert run.startswith("1    1969-12-31 21:16  patches")
    assert "America/Argentina/Buenos_Aires" in zone


def test_how_a_cancelled_run_ended_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cancel(store: Store, which: int, _actor: str, _now: float) -> object:
        return replace(store.run(which, 0).run, state="interrupted", message="the run was cancelled by ann")

    monkeypatch.setattr(Store, "cancel", cancel)
    assert main(["runs", "cancel", "1"]) == OK
    assert capsys.readouterr().out == "Run 1: interrupted: the run was cancelled by ann\n"
