# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of ticket systems on a real Request Tracker 5 and a real Redmine, in a host of the test fleet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.ticketing.contract")

from tests.ticketing.contract import *  # noqa: E402, F403 - the tests themselves
from tests.ticketing.contract import make  # noqa: E402
from tests.ticketing.sites import Site, redmine, rt, wait_until_up  # noqa: E402
from upkeep.ticketing.protocol import Held  # noqa: E402

# The first time the image with both systems is built: about 70 s on two cores, then it is kept.
pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]


@pytest.fixture(scope="session")
def trackers(fleet_factory: Any) -> str:
    """The address of a host with both systems up."""
    address = str(fleet_factory("track1:trackers")["track1"].address)
    for url in (f"http://{address}:8080", f"http://{address}:3000"):
        wait_until_up(url)
    return address


@pytest.fixture(params=["rt", "redmine"])
def site(request: pytest.FixtureRequest, trackers: str) -> Iterator[Site]:
    made = {"rt": rt, "redmine": redmine}[request.param](trackers)
    yield made
    made.stop()


def test_request_tracker_without_the_custom_field_gets_no_ticket(trackers: str) -> None:
    """RT answers 201 to a ticket whose custom field it does not know; it would never be found again."""
    made = rt(trackers)
    system = made.system(project="Bare")
    with pytest.raises(Held, match="UpkeepKey"):
        system.open(make())
    assert "custom field UpkeepKey" in [one.what for one in system.probe() if not one.ok]
    made.stop()


def test_redmine_without_the_custom_field_gets_no_ticket(trackers: str) -> None:
    """Redmine leaves out a custom field and a filter that it does not know."""
    made = redmine(trackers)
    made.system().open(make())
    before = made.there._ask("GET", "/issues.json?status_id=*")["total_count"]
    system = made.system(key_field="99")
    assert system.find(make().key) is None
    with pytest.raises(Held, match="99"):
        system.open(make())
    assert not all(one.ok for one in system.probe())
    assert made.there._ask("GET", "/issues.json?status_id=*")["total_count"] == before
    made.stop()
