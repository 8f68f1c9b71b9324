# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of ticket systems on emulators: stand-ins that speak the vendors' documented protocols."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.ticketing.contract")

from tests.ticketing.contract import *  # noqa: E402, F403 - the tests themselves
from tests.ticketing.contract import make  # noqa: E402
from tests.ticketing.sites import EMULATED, Site, glpi, jira, zammad  # noqa: E402
from upkeep.ticketing.protocol import Refused  # noqa: E402


@pytest.fixture(params=EMULATED)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    made = EMULATED[request.param]()
    yield made
    made.stop()


@pytest.mark.parametrize("kind", [jira, zammad])
def test_a_search_that_lags_behind(kind: type[Site]) -> None:
    made = kind()
    made.there.lag = 1.0
    try:
        system = made.system()
        draft = make()
        remote = system.open(draft)
        assert system.find(draft.key) is None, "this is what settle is for"
        assert system.settle >= 60
        time.sleep(1.1)
        found = system.find(draft.key)
        assert found is not None and found.id == remote.id
    finally:
        made.stop()


def test_a_session_of_glpi_that_has_ended_is_begun_again() -> None:
    made = glpi()
    try:
        system = made.system()
        draft = make()
        remote = system.open(draft)
        made.there.end_sessions()
        system.comment(remote.id, "After the night.", "line-1")
        made.there.end_sessions()
        assert [one.marker for one in system.read(remote.id).comments] == ["line-1"]
        system.close()
        assert made.there.sessions == {}
    finally:
        made.stop()


def test_zammad_without_the_attribute_for_the_key_gets_no_ticket() -> None:
    made = zammad()
    try:
        made.system().open(make())
        made.there.attribute_is_there = False
        system = made.system()
        with pytest.raises(Refused, match="upkeep_key"):
            system.open(make())
        assert [one.what for one in system.probe() if not one.ok] == ["attribute upkeep_key"]
        assert len(made.there.tickets) == 1
    finally:
        made.stop()


def test_hundreds_of_comments_are_read_by_pages(site: Site) -> None:
    system = site.system()
    remote = system.open(make())
    for number in range(230):
        site.there.person_comments(remote.id, f"comment {number}")
    texts = [one.text for one in system.read(remote.id).comments]
    assert texts == [f"comment {number}" for number in range(230)]
