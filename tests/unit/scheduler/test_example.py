# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of the configuration is one, and has every key."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from pydantic import BaseModel

from upkeep import config_file
from upkeep.config import BUILT_IN
from upkeep.sla import Settings, deadlines
from upkeep.store import Clock

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "docs" / "upkeep.example.yml"


def test_the_example_is_valid(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path / "upkeep.yml")
    shutil.copy(ROOT / "inventories" / "local" / "hosts.yml", tmp_path / "hosts.yml")
    read, problems = config_file.check(tmp_path / "upkeep.yml", tmp_path)
    assert read is not None, problems
    ours = set(BUILT_IN)
    assert set(read.jobs) == ours | {"web_patch_state", "after_patch_tuesday", "web_patches"}


def test_when_a_clock_is_due_soon_is_told_as_it_is(tmp_path: Path) -> None:
    """The part that has passed, not the part that is left: the figure is the default of sla.py, and its words too."""
    shutil.copy(EXAMPLE, tmp_path / "upkeep.yml")
    shutil.copy(ROOT / "inventories" / "local" / "hosts.yml", tmp_path / "hosts.yml")
    settings = config_file.read(tmp_path / "upkeep.yml", tmp_path).sla
    assert settings.due_soon == Settings().due_soon
    (words,) = re.findall(r"due_soon: .*# (.*)", EXAMPLE.read_text(encoding="utf-8"))
    assert "has passed" in words
    # What the words say, by the code: of four hours, three have passed.
    clocks = (Clock("P2", 0.0),)
    assert deadlines(clocks, 0.0, None, 2.9 * 3600, settings).solve.state == "within"
    assert deadlines(clocks, 0.0, None, 3.1 * 3600, settings).solve.state == "due soon"


@pytest.mark.parametrize(
    "model",
    [
        model
        for model in vars(config_file).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and model is not BaseModel
    ],
)
def test_every_key_is_in_the_example(model: type[BaseModel]) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    missing = [name for name in model.model_fields if not re.search(rf"\b{name}:", text)]
    # skip_tags is what tags is, the other way round.
    assert [name for name in missing if name != "skip_tags"] == []
