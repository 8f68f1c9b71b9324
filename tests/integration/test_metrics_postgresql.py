# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures out of a store on PostgreSQL are those out of one on SQLite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.scheduler import busy_store
from upkeep import config
from upkeep.metrics.collect import collect
from upkeep.metrics.exposition import as_json
from upkeep.store import open_store

from .test_store_postgresql import Server, server, url  # noqa: F401 - fixtures

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

NOW = 1_795_359_600.0
OWN = ("upkeep_store_size_bytes", "upkeep_store_free_bytes")
"""What each store has of its own."""


def test_both_stores_give_the_same_figures(url: str, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "upkeep.yml").write_text(busy_store.UPKEEP_YML)
    configured = replace(config.load(str(tmp_path / "upkeep.yml")), home=tmp_path)
    documents = []
    for place in (url, None):
        folder = tmp_path / ("postgresql" if place else "sqlite")
        folder.mkdir()
        with open_store(place, folder) as store:
            busy_store.fill(store, folder, NOW)
            documents.append(as_json(collect(store, configured, NOW)))
    server_side, file_side = documents
    size = server_side["upkeep_store_size_bytes"]
    assert isinstance(size, dict)
    assert size["series"][0]["value"] > 500_000
    for name in OWN:
        server_side.pop(name), file_side.pop(name)
    assert server_side == file_side
    assert len(server_side) > 35
