# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Missing patches in the store: written as the looks say, whatever comes in which batch; forgotten in time."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from tests.unit.scheduler import results_file
from tests.unit.scheduler.test_missing import FAR
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import Store, open_store, pending, schema
from upkeep.store import open as opening
from upkeep.store.missing import DAY, History, look_of
from upkeep.store.schema_patches import patch_looks
from upkeep.store.states import Reported


def before_it_was_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of the schema before the tables were there, with a run."""
    with monkeypatch.context() as old:
        folder = home.parent / "migrations"
        shutil.copytree(opening.MIGRATIONS, folder)
        for path in (folder / "versions").glob("*.py"):
            if path.name[:4] > "0005":
                path.unlink()
        old.setattr(opening, "MIGRATIONS", folder)
        old.setattr(schema, "REVISION", "0005")
        with open_store(None, home) as store:
            record_file(store, results_file.write(home.parent / "r0", "r0", hosts={"web1": "ok"}), Policy(), now=2000.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "home") as opened:
        yield opened


def package(name: str, candidate: str = "2", **more: Any) -> dict[str, Any]:
    plain = {"arch": "amd64", "installed": "1", "candidate": candidate, "security": True, "severity": "high"}
    return {"name": name, **plain, **more}


def data(*packages: dict[str, Any], verdict: str = "", **more: Any) -> dict[str, Any]:
    return {
        "verdict": verdict or ("pending" if packages else "compliant"),
        "why": [],
        "manager": "apt",
        "release": "debian:12",
        "pending": list(packages),
        "names": ["bash", "openssl", "zlib"],
        "changed": [],
        **more,
    }


def told(host: str, at: float, told: dict[str, Any], run: int = 1) -> Reported:
    return Reported(run, host, "patches", "os", at, told)


def keep(store: Store, *reported: Reported) -> list[str]:
    with store.database.write() as connection:
        return pending.keep(connection, reported)


def rows(store: Store, **asked: Any) -> dict[str, list[tuple[Any, ...]]]:
    with store.database.read() as connection:
        found = pending.missing(connection, "os", gone_since=0.0, **asked)
    names = ("name", "first_seen", "last_seen", "gone_seen", "gone_how", "candidate")
    return {host: sorted(tuple(getattr(e, n) for n in names) for e in some) for host, some in found.items()}


def test_a_run_brings_what_is_missing_and_a_later_one_what_went(store: Store, tmp_path: Path) -> None:
    for number, packages in ((1, ("bash", "openssl")), (2, ("bash",)), (3, ())):
        states = [("web1", {"kind": "patches", "subject": "os", "data": data(*map(package, packages))})]
        path = results_file.write(tmp_path / str(number), f"r{number}", started=number * DAY, states=states)
        assert record_file(store, path, Policy(), now=number * DAY + 60).notes == ()
    assert rows(store) == {
        "web1": [
            ("bash", DAY, 2 * DAY, 3 * DAY, "withdrawn", "2"),
            ("openssl", DAY, DAY, 2 * DAY, "withdrawn", "2"),
        ]
    }
    with store.database.read() as connection:
        host = pending.hosts(connection, "os")["web1"]
        assert pending.looks(connection, "os", 0.0) == {"web1": [DAY, 2 * DAY, 3 * DAY]}
    assert (host.looked, host.known, host.verdict, host.manager, host.release, host.run) == (
        3 * DAY,
        3 * DAY,
        "compliant",
        "apt",
        "debian:12",
        3,
    )


def test_an_older_store_gets_the_tables_and_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    before_it_was_there(home, monkeypatch)
    with open_store(None, home) as store:
        assert [run.id for run in store.runs()] == ["r0"]
        keep(store, told("web1", 10.0, data(package("bash"))))
        assert rows(store) == {"web1": [("bash", 10.0, 10.0, None, "", "2")]}


def test_what_is_not_known_closes_nothing_and_is_told(store: Store) -> None:
    keep(store, told("web1", 10.0, data(package("bash"))))
    keep(store, told("web1", 20.0, data(verdict="unknown", why=["the lists are old"])))
    keep(store, told("web1", 30.0, {"dropped": "the state is larger than 1000000 characters"}))
    notes = keep(store, told("web1", 40.0, {"verdict": "fine", "pending": []}))
    assert notes == [
        "What web1 says of its patches cannot be read, and is not known: "
        "verdict is one of compliant, pending, unknown, this is 'fine'."
    ]
    assert rows(store) == {"web1": [("bash", 10.0, 10.0, None, "", "2")]}
    with store.database.read() as connection:
        host = pending.hosts(connection, "os")["web1"]
    assert (host.looked, host.known, host.verdict) == (40.0, 10.0, "unknown")
    assert host.why[0].startswith("what it told cannot be read")


def test_the_host_in_one_run_before_and_after_it_was_patched(store: Store, tmp_path: Path) -> None:
    made = [data(package("bash")), data(changed=[{"name": "bash", "arch": "amd64", "version": "2", "at": 11.0}])]
    states = [("web1", {"kind": "patches", "subject": "os", "data": one}) for one in made]
    record_file(store, results_file.write(tmp_path / "f", "r", started=10.0, states=states), Policy(), now=60.0)
    ((one,),) = rows(store).values()
    assert one[4] == "patched"


@pytest.mark.parametrize("seed", range(8))
def test_in_any_order_and_in_any_batches_the_rows_are_what_the_looks_say(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    looks = [
        told(host, at * FAR, data(*(package(n, str(at)) for n in ("bash", "openssl", "zlib") if chance.random() < 0.5)))
        for host in ("a", "b", "c")
        for at in range(1, 8)
    ]
    expected = {}
    for host in ("a", "b", "c"):
        history = History([], [])
        for one in looks:
            if one.host == host:
                history.take(look_of(one.data, one.at))
        expected[host] = sorted((e.name, e.first_seen, e.last_seen, e.gone_seen) for e in history.episodes)
    given = [*looks, *chance.choices(looks, k=5)]
    chance.shuffle(given)
    while given:
        batch = [given.pop() for _ in range(min(len(given), chance.randint(1, 5)))]
        keep(store, *batch)
    assert {host: [row[:4] for row in some] for host, some in rows(store).items()} == expected


def test_ordinary_updates_are_kept_and_only_asked_for_by_name(store: Store) -> None:
    keep(store, told("web1", 10.0, data(package("bash", security=False), package("zlib"))))
    assert [row[0] for row in rows(store)["web1"]] == ["zlib"]
    assert [row[0] for row in rows(store, security=False)["web1"]] == ["bash", "zlib"]


def test_what_went_long_ago_is_forgotten_and_what_is_missing_is_not(store: Store) -> None:
    keep(store, told("old", 10 * DAY, data(package("bash"))), told("web1", 10 * DAY, data(package("bash"))))
    keep(store, told("web1", 11 * DAY, data(package("zlib"))), told("web1", 500 * DAY, data(package("zlib"))))
    with store.database.write() as connection:
        pending.prune(connection, 100 * DAY)
        assert connection.scalar(select(func.count()).select_from(patch_looks)) == 1
        assert list(pending.hosts(connection, "os")) == ["web1"]
    assert rows(store) == {"web1": [("zlib", 11 * DAY, 500 * DAY, None, "", "2")]}


def test_hosts_with_fifty_patches_each_take_few_statements(store: Store) -> None:
    hosts = [f"host{number:04d}" for number in range(300)]
    packages = [package(f"package{number}", cves=[f"CVE-2026-{number:05d}"]) for number in range(50)]
    statements: list[str] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda _c, _k, sql, *_: statements.append(sql))
    took = []
    # All of it new; the same again; one patched and a newer candidate on each.
    for at, made in ((DAY, packages), (8 * DAY, packages), (15 * DAY, [package("package0", "3"), *packages[2:]])):
        statements.clear()
        began = time.process_time()
        with store.database.write() as connection:
            for start in range(0, len(hosts), 100):
                pending.keep(connection, [told(host, at, data(*made)) for host in hosts[start : start + 100]])
        took.append(time.process_time() - began)
        assert len(statements) <= 3 * 8, "statements grow with the hosts"

    assert max(took) < 15, took  # 0.7 s here, as 2,000 hosts take 5 s
    found = rows(store)
    assert len(found) == 300 and all(len(some) == 50 for some in found.values())
