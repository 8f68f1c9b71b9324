# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet for pytest. In a conftest.py: `from tests.fleet.fixture import *  # noqa: F403`.

    def test_something(fleet):                       # a fresh fleet of its own: web1 and web2; 1 s
        fleet["web1"].run("systemctl stop cron")
        ansible_playbook("-i", fleet.ansible_inventory, …)

    def test_other(fleet_factory):                   # the hosts you name; they live until the session ends
        fleet = fleet_factory("web1", "db1:dnf")

The fleets belong to the process of pytest: when it ends, however it ends, they go.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Protocol

import pytest

from . import fleets
from .fleets import Fleet
from .image import Images
from .state import default_home
from .system import FleetError, check_machine

__all__ = ["fleet", "fleet_factory", "pytest_collection_finish"]


class Factory(Protocol):
    """Makes a fleet with these hosts: "web1", "db1:dnf"."""

    def __call__(self, *hosts: str, name: str | None = None, flavour: str = "debian") -> Fleet: ...


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the images before the first test that needs them, so that no test's time limit has to hold that."""
    wanted = any("fleet_factory" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or session.config.option.collectonly:
        return
    try:
        check_machine()
        images = Images(default_home(), lambda line: print(f"test fleet: {line}", file=sys.stderr, flush=True))
        for flavour in ("debian", "dnf"):
            images.layers(flavour)
    except FleetError:
        # The fixture meets it again, and then it belongs to the tests that it concerns.
        return


@pytest.fixture(scope="session")
def fleet_factory() -> Iterator[Factory]:
    """Makes fleets that live until the session ends; see Factory."""
    made: list[Fleet] = []

    def make(*hosts: str, name: str | None = None, flavour: str = "debian") -> Fleet:
        wanted = fleets.parse_hosts(",".join(hosts or ("web1",)), flavour)
        try:
            fleet = fleets.up(default_home(), name or f"t{os.getpid()}-{len(made) + 1}", wanted, owner_pid=os.getpid())
        except FleetError as error:
            pytest.fail(f"The test fleet cannot be made: {error}", pytrace=False)
        made.append(fleet)
        return fleet

    yield make
    for fleet in made:
        fleet.down()


@pytest.fixture
def fleet(fleet_factory: Factory) -> Iterator[Fleet]:
    """A fresh fleet for one test: web1 and web2."""
    mine = fleet_factory("web1", "web2")
    yield mine
    mine.down()
