# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts are frozen, and that no batch begins while nobody knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.scheduler.campaign_world import fleet
from upkeep.calendar.freezes import Freeze
from upkeep.campaign import carry, engine, model, times
from upkeep.campaign.model import Ring, Spec
from upkeep.config import Config
from upkeep.errors import UpkeepError
from upkeep.store import campaigns, open_store

SPEC = Spec("os", rings=(Ring("a", rest=True),))


def test_no_batch_begins_while_the_inventory_does_not_say_who_is_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory: list[str] | UpkeepError = UpkeepError("the inventory cannot be read")

    def check_limit(_sources: object, _limit: str, *, strict: bool = True) -> list[str]:
        if isinstance(inventory, UpkeepError):
            raise inventory
        return inventory

    launched: list[tuple[str, ...]] = []
    monkeypatch.setattr(times.inventory, "check_limit", check_limit)
    monkeypatch.setattr(carry, "launch", lambda _config, step, _playbook: launched.append(step.hosts))
    freeze = Freeze("audit", 0.0, 10_000.0, hosts=("web*",))
    config = Config(None, tmp_path, campaigns={"os": SPEC}, freezes=(freeze,), jobs={})
    with open_store(None, tmp_path / "home") as store:
        with store.database.write() as connection:
            number = campaigns.create(connection, SPEC, "anna", 100.0)
            hosts = fleet(SPEC, [0, 0]).hosts
            campaigns.planned(connection, number, hosts, {}, model.digest(SPEC, hosts), 101.0)
            was = campaigns.one(connection, number).campaign
            campaigns.save(connection, number, was, replace(was, state=model.RUNNING), "anna", 102.0)
        looks = engine.Engine(store, config)
        look = looks.look(number, 1000.0)
        assert isinstance(look, engine.Resting) and not launched and look.until > 1000.0
        assert look.why == "nobody knows which hosts are frozen: the inventory cannot be read"
        inventory = ["h0"]
        assert isinstance(looks.look(number, 1100.0), engine.Working) and launched == [("h1",)]


def test_a_freeze_of_hosts_that_the_inventory_does_not_know_freezes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_limit(_sources: object, _limit: str, *, strict: bool = True) -> list[str]:
        raise UpkeepError("'web[5]' in --limit matches no host")

    monkeypatch.setattr(times.inventory, "check_limit", check_limit)
    assert times.matching(["hosts"], "web[5]") == []
