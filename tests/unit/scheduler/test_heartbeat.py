# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The heartbeat is called when it is time, whatever the phase in which the service looks; servers: tests/service/."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from upkeep.config import Config
from upkeep.notify import heartbeat
from upkeep.notify.settings import Heartbeat, Settings
from upkeep.secret import SecretPlace
from upkeep.service.steps import STEPS
from upkeep.store import Store, open_store

BEGAN = 1_000_000.0
(EVERY,) = (step.every for step in STEPS if step.name == "heartbeat")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path) as made:
        yield made


def config(tmp_path: Path, every: float) -> Config:
    beat = Heartbeat(SecretPlace("env", "X"), every=every, jobs=())
    return Config(None, tmp_path, notify=Settings(channels={}, heartbeat=beat))


def calls(
    store: Store, made: Config, looks: list[float], monkeypatch: pytest.MonkeyPatch, wrong: str = ""
) -> list[float]:
    """When it is called, of all the moments at which the service looks."""
    called: list[float] = []
    moment = 0.0

    def call(_beat: Heartbeat) -> str:
        called.append(moment)
        return wrong

    monkeypatch.setattr(heartbeat, "call", call)
    for moment in looks:
        heartbeat.step(store, made, moment)
    return called


@pytest.mark.parametrize("every", [10.0, 60.0, 90.0])
@pytest.mark.parametrize("down", [0.0, 3.3, 7.7])
def test_it_is_on_time_also_after_a_restart(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: float, down: float
) -> None:
    assert heartbeat.EVERY == EVERY
    before = [BEGAN + number * EVERY for number in range(46)]  # it is ended in the middle, and looks in another phase
    after = [before[-1] + down + number * EVERY for number in range(1, 60)]
    found = calls(store, config(tmp_path, every), before + after, monkeypatch)
    gaps = [later - sooner for sooner, later in itertools.pairwise(found)]
    assert len(gaps) > 4
    assert max(gaps) <= every + EVERY / 2 + down and min(gaps) >= every - EVERY / 2


def test_what_was_not_accepted_is_tried_again_in_a_minute(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [BEGAN + number * EVERY for number in range(60)]
    assert calls(store, config(tmp_path, 300.0), looks, monkeypatch, "no answer") == [BEGAN + 60 * n for n in range(5)]
    assert calls(store, config(tmp_path, 300.0), [BEGAN + 310, BEGAN + 370], monkeypatch) == [BEGAN + 310]
