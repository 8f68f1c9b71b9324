# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""upkeep jobs: what is shown of the jobs, their next times and what becomes of them, at 80 columns."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from upkeep.cli import main
from upkeep.errors import OK, WRONG_USE

CONFIG = """\
time_zone: Europe/Berlin
jobs:
  patch: {playbook: p.yml, schedule: "daily 20:00", window: "22:00-06:00", approve: true, holidays: previous}
  often: {playbook: p.yml, schedule: "every 6h", window: "20:00-22:30"}
freezes:
  - {name: fair, from: 2026-11-24, to: 2026-11-25, why: all are there, jobs: [patch]}
  - {name: stock, from: 2026-11-22 18:00, to: 2026-11-23 08:00, hosts: [web]}
"""
NOW = datetime(2026, 11, 22, 19, 0, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "upkeep.yml").write_text(CONFIG)
    monkeypatch.setattr("upkeep.commands.jobs.time.time", lambda: NOW)


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["jobs", *words]) == OK
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    return " ".join(out.split())


def test_what_narrows_a_job_and_its_freezes(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys)
    assert "only 22:00-06:00, holidays: the working day before, with approval" in text
    assert "Freeze fair (all are there): Tue 2026-11-24 to the end of Wed 2026-11-25, jobs patch" in text
    assert "Freeze stock: Sun 2026-11-22 18:00 to Mon 2026-11-23 08:00, hosts web - in force" in text


def test_what_becomes_of_the_next_times(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "next", "14")
    assert "begins Sun 2026-11-22 22:00 CET: until then outside its window; not on web: frozen" in text
    assert "skipped: outside its window until Mon 2026-11-23 20:00; a newer one takes its place" in text
    assert "skipped: frozen by fair (all are there) beyond its last moment to begin, Wed 2026-11-25 06:00" in text


def test_a_second_reason_for_a_pause_is_not_lost_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Your reason" not in shown(capsys, "pause", "patch")
    text = shown(capsys, "pause", "patch", "until the fair is over")
    assert "is paused already" in text and "Your reason is not kept" in text


@pytest.mark.parametrize("command", ["tickets", "runs", "outbox", "audit", "proofs"])
@pytest.mark.parametrize("number", ["0", "-5", "x", "²", "9" * 10])
def test_a_list_has_at_least_one_line(command: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "-n", number]) == WRONG_USE
    assert "expected a whole number" in (said := capsys.readouterr().err)
    assert "to do:" in said
