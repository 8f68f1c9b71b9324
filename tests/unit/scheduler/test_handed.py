# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is handed out of the store: for whom, and that no host's text becomes a template of the controller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.scheduler.test_store_proofs import BEGAN, DAY, one, results
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.running import handed
from upkeep.running.runner import Plan, no_templates
from upkeep.store import Store, open_store, proofs


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "home") as opened:
        yield opened


def test_of_each_thing_the_newest_test_counts_and_the_last_that_passed_is_told(store: Store, tmp_path: Path) -> None:
    runs = [
        (0, [("db1", one("offsite")), ("db1", one("gone")), ("web1", one("files", "failed"))]),
        (100, [("db1", one("offsite")), ("db1", one("local"))]),
        (107, [("db1", one("offsite", "failed")), ("db1", one("local", "cannot")), ("db1", one("local", started=1.0))]),
    ]
    for day, told in runs:
        path = results(tmp_path / f"r{day}", f"r{day}", *told, began=BEGAN + day * DAY)
        record_file(store, path, Policy(), BEGAN + day * DAY + 90)
    kind = "backup.restore.sample"
    newest = BEGAN + 107 * DAY
    of_db1 = [
        # Of two in one run the worse one counts; what no proof of 100 days has named is no backup any more.
        {"subject": "local", "kind": kind, "verdict": "cannot", "at": newest, "passed": newest},
        {"subject": "offsite", "kind": kind, "verdict": "failed", "at": newest, "passed": BEGAN + 100 * DAY},
    ]
    with store.database.read() as connection:
        assert proofs.newest_by_host(connection) == {"db1": of_db1}
        assert proofs.newest_by_host(connection, ["db1", "db2"]) == {"db1": of_db1}
        assert proofs.newest_by_host(connection, ["db2"]) == proofs.newest_by_host(connection, []) == {}
    assert handed.of_run(store, Plan("upkeep.maintenance.os_patch", ())) == {"upkeep_backup_results": {"db1": of_db1}}
    assert handed.of_run(store, Plan("upkeep.maintenance.weekly", ())) == {}
    own = Plan("upkeep.maintenance.os_patch", (), extra_vars={"upkeep_backup_results": {}})
    assert handed.of_run(store, own) == {}, "what the job says itself holds"


def test_a_store_without_proofs_hands_none(store: Store) -> None:
    plan = Plan("upkeep.maintenance.emergency_patch", ())
    assert handed.of_run(store, plan) == {"upkeep_backup_results": {}}


@pytest.mark.parametrize(
    ("name", "text", "asks"),
    [
        ("site.yml", "- import_playbook: upkeep.maintenance.os_patch\n", True),
        ("site.yml", "- hosts: all\n  roles: [upkeep.maintenance.os_patch]\n", True),
        ("emergency_patch.yml", "", True),
        ("site.yml", "- hosts: all\n", False),
        ("site.yml", "\udcff", False),
    ],
)
def test_who_asks(tmp_path: Path, name: str, text: str, asks: bool) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert handed.asks(str(path)) is asks
    assert handed.asks("acme.site.os_patch") and not handed.asks("acme.site.other")
    assert not handed.asks(str(tmp_path)) and not handed.asks(str(tmp_path / "none.yml"))


def test_what_hosts_say_is_no_template() -> None:
    told = {"a": ["{{ lookup('pipe', 'id') }}", "plain", 1, None, True], "b": {"{{ x }}": "{% set a = 1 %}"}}
    unsafe = "__ansible_unsafe"
    assert no_templates(told) == {
        "a": [{unsafe: "{{ lookup('pipe', 'id') }}"}, "plain", 1, None, True],
        "b": {"{{ x }}": {unsafe: "{% set a = 1 %}"}},
    }
