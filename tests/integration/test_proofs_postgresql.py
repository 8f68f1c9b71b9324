# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The auditor's record on a real PostgreSQL server: all that holds on SQLite, and what only a server does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.unit.scheduler.test_store_proofs import *  # noqa: F403 - its tests, with the store of this module
from tests.unit.scheduler.test_store_proofs import BEGAN, DAY, one, results
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import Store, open_store, proofs, schema

from .test_store_postgresql import Server, server, url  # noqa: F401 - fixtures

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:  # noqa: F811
    # For the command, which the tests call in this folder.
    (tmp_path / "upkeep.yml").write_text(f'store:\n  url: "{url}"\n')
    with open_store(url, tmp_path / "home") as opened:
        yield opened


def test_more_than_the_server_hands_over_at_once_are_verified_to_the_last(store: Store, tmp_path: Path) -> None:
    facts = {"text": "Füße 🦶", "odd": "a\udc80b\u2028", "tiny": 1e-300, "third": 1 / 3, "large": 2**53, "none": None}
    made = [("db1", one(f"repository {n}", started=BEGAN + n / 3, **facts)) for n in range(1203)]
    record_file(store, results(tmp_path / "r", "r1", *made), Policy(), BEGAN + 500)
    with store.database.read() as connection:
        assert proofs.verify(connection) == proofs.Verified(1203, 1, ())
    with store.database.write() as connection:
        connection.execute(update(schema.proofs).where(schema.proofs.c.number == 1203).values(summary="all is well"))
    with store.database.read() as connection:
        (fault, sealed) = (*proofs.verify(connection).faults, "")[:2]
        assert "proof 1203 (backup.restore.sample of db1) was changed" in fault
        assert sealed == "", "its digest is what the audit sealed"


def test_the_latest_of_each_place_are_those_of_sqlite(store: Store, tmp_path: Path) -> None:
    with open_store(None, tmp_path / "file") as other:
        for week in range(4):
            at = BEGAN + week * 7 * DAY
            told = [
                (host, one(subject, started=at)) for host in ("db1", "DB1", "db2") for subject in ("off", "Off", "ön")
            ]
            path = results(tmp_path / "r", f"r{week}", *told, began=at)
            for each in (store, other):
                record_file(each, path, Policy(), at + 100)
        places = [("db2", "ön"), ("db1", "Off"), ("DB1", "off"), ("db1", "absent"), ("db2", "ön")]
        with store.database.read() as server_side, other.database.read() as file_side:
            latest = proofs.latest(server_side, places, 2)
            assert latest == proofs.latest(file_side, places, 2)
    assert [(proof.host, proof.subject) for proof in latest] == [place for place in places[:3] for _ in range(2)]
    assert [(proof.started - BEGAN) / DAY for proof in latest] == [21, 14] * 3
