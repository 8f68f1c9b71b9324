# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `upkeep run` says when the store fails it after the run."""

from __future__ import annotations

from pathlib import Path

from upkeep.commands.run import _and_then


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
