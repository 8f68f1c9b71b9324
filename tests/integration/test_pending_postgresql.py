# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Missing patches on a real PostgreSQL server: all that holds on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.scheduler.test_pending import *  # noqa: F403 - its tests, with the store of this module
from upkeep.store import Store, open_store

from .test_store_postgresql import Server, server, url  # noqa: F401 - fixtures

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:  # noqa: F811
    with open_store(url, tmp_path / "home") as opened:
        yield opened
