# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `upkeep run` understands, and what it says when the store fails it after the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from upkeep.cli import main
from upkeep.commands.run import _and_then, _is_asked, _seconds
from upkeep.errors import UpkeepError


def test_results_that_are_there_are_taken_over_later(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text("{}\n")
    remedy = _and_then("Make room.", results)
    assert remedy == f"Make room; then: upkeep record {results}   (the results are kept there)"
    assert _and_then(remedy, results) == remedy, "said once"


def test_results_that_could_not_be_written_are_not_promised(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    for _ in range(2):
        assert "run it again" in _and_then("Make room.", results)
        assert "upkeep record" not in _and_then("Make room.", results)
        results.touch()


def test_a_number_without_a_unit_is_seconds() -> None:
    assert (_seconds("--wait", "2"), _seconds("--wait", "2m")) == (2.0, 120.0)
    for wrong in ("2x", "-2", "", "²"):
        with pytest.raises(UpkeepError, match="--wait is not understood") as told:
            _seconds("--wait", wrong)
        assert "or a number of seconds" in told.value.expected


@pytest.mark.parametrize("more", [[], ["-e", "cve="], ["-e", "version=1.0"]])
def test_an_emergency_of_nothing_is_wrong_use_and_runs_nowhere(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "upkeep.yml"
    config.write_text("{}\n")
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    assert main(["--config", str(config), "run", "emergency_patch", "-i", "web1,", *more]) == 2
    assert "an emergency of what is not said" in capsys.readouterr().err
    _is_asked({"cve": "CVE-2026-12345"})
