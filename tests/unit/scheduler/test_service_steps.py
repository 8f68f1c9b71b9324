# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The areas' steps are there, and the store's own failure is told past it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from upkeep.config import Config
from upkeep.errors import UpkeepError
from upkeep.service import alarm, steps
from upkeep.store import open_store

SAID: list[str] = []


def _note(_config: Config, said: dict[str, tuple[str, str]]) -> None:
    SAID.append(" ".join(said["en"]))
    assert set(said) == {"en", "ru"}


@pytest.mark.parametrize("step", steps.STEPS, ids=lambda step: step.name)
def test_each_step_is_there_and_does_nothing_with_nothing_to_do(step: steps.Step, tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        assert step.function()(store, Config(None, tmp_path), time.time()) == 0


def test_a_step_that_fails_does_not_keep_the_others_from_sending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []

    def of(step: steps.Step) -> object:
        def work(*_: object) -> int:
            called.append(step.name)
            if step.name == "outbox":
                raise ZeroDivisionError
            raise UpkeepError("away", found="nobody")

        return work

    monkeypatch.setattr(steps.Step, "function", of)
    with open_store(None, tmp_path) as store:
        steps.outgoing(store, Config(None, tmp_path), 10.0)
        wanted = [step.name for step in steps.STEPS if step.outgoing and not step.configured]
        assert called == wanted
        called.clear()
        steps.outgoing(store, Config(None, tmp_path), -1.0)
        assert called == [], "for a bounded time"


def test_a_store_that_fails_is_told_once_when_it_has_lasted(tmp_path: Path) -> None:
    SAID.clear()
    bell, config = alarm.Alarm(_note), Config(None, tmp_path)
    bell.look(config, "the disk is full", 1000.0)
    bell.look(config, "the disk is full", 1100.0)
    bell.look(config, "", 1110.0)
    bell.look(config, "the disk is full", 1115.0)
    bell.look(config, "the disk is full", 1230.0)
    assert SAID == []
    bell.look(config, "the disk is full", 1236.0)
    bell.look(config, "another error", 1300.0)
    assert len(SAID) == 1
    assert "the disk is full" in SAID[0]
    bell.look(config, "", 1400.0)
    bell.look(config, "", 1500.0)
    assert len(SAID) == 2
    assert "again" in SAID[1]


def test_without_channels_there_is_nobody_to_tell(tmp_path: Path) -> None:
    alarm.to_all_channels(Config(None, tmp_path), {"en": ("a", "b"), "ru": ("a", "b")})
