# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts side by side: all are run, none is lost, and none outlives a run that is ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.run import lanes
from tests.run.lanes import in_order, run_beside
from tests.run.parts import Part
from tests.run.report import FAILED, PASSED, PartReport, Test


def part(name: str, limit: float = 10) -> Part:
    return Part(name, "", lambda *_: [], limit)


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lanes, "REPORTS", tmp_path)
    return tmp_path


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_longest_part_goes_first_and_equals_keep_their_order() -> None:
    assert [p.name for p in in_order([part("a"), part("b", 99), part("c"), part("d", 50)])] == ["b", "d", "a", "c"]


def test_all_parts_run_side_by_side_and_each_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def command(name: str, report: Path) -> list[str]:
        lanes.write_report(report, PartReport(name, [Test(f"{name}-1", PASSED)], 1.5))
        # Each waits for the other one to have begun: one after another would never end.
        other = {"a": "b", "b": "a"}.get(name, name)
        return python(
            "import pathlib, time\n"
            f"folder = pathlib.Path({str(tmp_path)!r})\n"
            f"(folder / 'began-{name}').touch()\n"
            "deadline = time.monotonic() + 20\n"
            f"while not (folder / 'began-{other}').exists():\n"
            "    assert time.monotonic() < deadline\n"
            "    time.sleep(0.01)\n"
            f"print('hello from {name}')\n"
        )

    # The report is written by the command maker; what run_beside unlinks is what an earlier run left.
    (tmp_path / "a.json").write_text("from an earlier run")
    made: list[PartReport] = []
    run_beside([part("a"), part("b"), part("c")], 2, command, made)
    assert sorted((report.name, report.ok, report.seconds) for report in made) == [
        ("a", True, 1.5), ("b", True, 1.5), ("c", True, 1.5),
    ]  # fmt: skip
    assert all(
        f"hello from {name}" in capfd.readouterr().err + (tmp_path / f"{name}.log").read_text() for name in "abc"
    )


def test_a_part_that_leaves_no_report_has_failed() -> None:
    done: list[PartReport] = []
    run_beside([part("a")], 2, lambda _name, _report: python("raise SystemExit(3)"), done)
    (made,) = done
    assert [test.outcome for test in made.tests] == [FAILED]
    assert "ended with 3 and left no report" in made.tests[0].why


def test_an_interrupted_run_ends_its_parts(tmp_path: Path) -> None:
    def command(name: str, _report: Path) -> list[str]:
        return python(
            "import os, pathlib, time\n"
            f"pathlib.Path({str(tmp_path)!r}, '{name}.pid').write_text(str(os.getpid()))\n"
            "time.sleep(60)"
        )

    def interrupt() -> None:
        deadline = time.monotonic() + 20
        while not all((tmp_path / f"{name}.pid").exists() for name in "ab") and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_beside([part("a"), part("b"), part("c")], 2, command, [])
    for name in "ab":
        pid = int((tmp_path / f"{name}.pid").read_text())
        assert not Path(f"/proc/{pid}").exists()
    assert not (tmp_path / "c.pid").exists()
