# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown of a fault of ours: what it says may come from a host."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from upkeep import cli


@pytest.mark.parametrize("said", ["\x1b[31mred", "\n\n", "password=hunter2", "x" * 5000, "\u202eevil"])
def test_a_fault_is_shown_as_one_clean_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    error = cli._our_fault(RuntimeError(said))
    assert error.found.startswith("RuntimeError:")
    assert error.found.isprintable()
    assert len(error.found) <= 300
    assert "hunter2" not in error.found + "".join(path.read_text() for path in tmp_path.iterdir())
