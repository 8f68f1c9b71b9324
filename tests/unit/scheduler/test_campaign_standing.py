# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands of a campaign is told, and kept, however many were planned since."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review
from tests.unit.scheduler.campaign_world import fleet
from upkeep.campaign import drive, look, model
from upkeep.campaign.model import DRAIN, FINISHED, QUARANTINED, RELEASED, RUNNING, STOPPED, Campaign, Ring, Spec
from upkeep.commands import campaign
from upkeep.config import Config
from upkeep.errors import HOSTS_FAILED, NOT_RUN, OK
from upkeep.store import Store, campaigns, open_store

SPEC = Spec("os", rings=(Ring("a", rest=True),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "home") as opened:
        yield opened


def stands(store: Store, after: Campaign, name: str = "os", now: float = 200.0) -> int:
    spec = replace(SPEC, name=name)
    with store.database.write() as connection:
        number = campaigns.create(connection, spec, "anna", 100.0)
        hosts = fleet(spec, [0, 0]).hosts
        campaigns.planned(connection, number, hosts, {}, model.digest(spec, hosts), 101.0)
        campaigns.set_started(connection, number, "anna", 150.0)
        was = campaigns.one(connection, number).campaign
        campaigns.save(connection, number, was, replace(after, spec=spec), "", now)
    return number


def told(store: Store) -> set[tuple[str, str]]:
    review = Review("upkeep")
    with store.database.read() as connection:
        look.look(connection, review, Config(None, Path(), campaigns={"os": SPEC}, jobs={}), 10_000.0)
    assert {entry["check"] for entry in review.coverage} >= set(look.CHECKS)
    return {(one["check"], one["subject"]) for one in review.findings}


@pytest.mark.parametrize(
    ("state", "failed", "code"),
    [(FINISHED, False, OK), (RUNNING, False, NOT_RUN), (STOPPED, True, HOSTS_FAILED), (RUNNING, True, HOSTS_FAILED)],
)
def test_the_exit_code_of_one_that_waits_for_a_person_is_not_that_of_one_that_went_well(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, failed: bool, code: int
) -> None:
    one, two = fleet(SPEC, [0, 0]).hosts
    number = stands(store, Campaign(SPEC, (replace(one, failed=failed), two), state))

    def rests(store: Store, _config: Config, number: int, *_more: object) -> campaigns.Kept:
        with store.database.read() as connection:
            return campaigns.one(connection, number)

    monkeypatch.setattr(drive, "drive", rests)
    config = Config(None, tmp_path, campaigns={"os": SPEC}, jobs={})
    with store.database.read() as connection:
        kept = campaigns.one(connection, number)
    arguments = argparse.Namespace(detach=False, json=True)
    assert campaign._go_on(config, store, arguments, kept) == code


def test_what_stands_of_an_old_campaign_is_still_told_and_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "NEWEST", 2)
    one, two = fleet(SPEC, [0, 0]).hosts
    quarantined = replace(one, state=QUARANTINED, batch=1, failed=True, why="rollback failed")
    idle = replace(one, state="done", ring=None)
    drained = replace(two, state="done", batch=1, undo=frozenset({DRAIN}))
    first = stands(store, Campaign(SPEC, (quarantined, replace(two, state="done")), FINISHED), "one")
    second = stands(store, Campaign(SPEC, (idle, drained), FINISHED), "two")
    stands(store, Campaign(SPEC, (one, two), STOPPED, why="1 failed"), "three")
    over = stands(store, Campaign(SPEC, (idle, replace(two, state="done")), FINISHED), "over")
    expected = {
        (look.QUARANTINED, "h0, campaign one"),
        (look.LEFT, "h1 drain, campaign two"),
        (look.STOPPED, "three"),
    }
    assert told(store) == expected
    with store.database.write() as connection:
        for number in range(3):
            campaigns.create(connection, replace(SPEC, name=f"new{number}"), "anna", 300.0)
    assert told(store) == expected, "more are newer than are looked at"
    with store.database.write() as connection:
        assert campaigns.prune(connection, 5000.0) == 1, f"only {over} is over"
        kept = campaigns.one(connection, first)
        released = (replace(kept.campaign.hosts[0], state=RELEASED), *kept.campaign.hosts[1:])
        campaigns.save(connection, first, kept.campaign, replace(kept.campaign, hosts=released), "anna", 400.0)
        assert campaigns.prune(connection, 5000.0) == 1
        assert campaigns.one(connection, second).number == second
    assert told(store) == expected - {(look.QUARANTINED, "h0, campaign one")}
