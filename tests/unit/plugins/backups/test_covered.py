# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has no backup at all: hosts, databases, volumes; from files and processes to findings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.contents import Contents
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.gather_sources import (
    Database,
    Volume,
    databases,
    other_programs,
    processes,
    volumes,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.info import TURN, review, turn
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.judge_covered import (
    Covered,
    Sources,
    judge_databases,
    judge_volumes,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.model import Entry
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_info import defaults
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review, contract_errors
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Statvfs
from tests.unit.fake_host import FakeHost

PG = "/var/lib/postgresql/15/main"
MOUNTS = """\
27 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw
31 27 254:16 / /srv rw shared:61 - ext4 /dev/vdb rw
32 27 254:17 / /boot rw shared:61 - ext4 /dev/vdc rw
33 27 0:40 / /net rw shared:61 - nfs4 store:/x rw
34 27 254:18 / /empty rw shared:61 - ext4 /dev/vdd rw
35 27 254:19 / /tmp rw shared:61 - ext4 /dev/vde rw
"""


def host(**more: Any) -> FakeHost:
    files: dict[str, str | bytes] = {
        "/proc/sys/kernel/hostname": "web1\n",
        "/proc/self/mountinfo": MOUNTS,
        f"{PG}/PG_VERSION": "15\n",
        "/proc/7/comm": "postgres\n",
        "/proc/7/cmdline": f"/usr/lib/postgresql/15/bin/postgres\0-D\0{PG}\0",
        "/var/lib/grafana/grafana.db": b"SQLite format 3\0" + b"x" * 70_000,
        "/var/lib/PackageKit/transactions.db": b"SQLite format 3\0" + b"x" * 70_000,
        **more.pop("files", {}),
    }
    blocks = 1 << 20
    full, empty = Statvfs(blocks, blocks // 2, blocks // 2, 4096), Statvfs(blocks, blocks - 100, blocks - 100, 4096)
    return FakeHost(files, statvfs={"/srv": full, "/empty": empty, "/boot": full, "/net": full, "/tmp": full}, **more)


def run(host: FakeHost, **options: Any) -> dict[str, Any]:
    result = review(host, dict(defaults(), check_mode=False, **options))
    for finding in result["findings"]:
        assert contract_errors(finding) == []
        assert "check itself failed" not in finding["summary"], finding
    json.dumps(result, allow_nan=False)
    return result


def told(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return sorted((one["check"], one["subject"], one["severity"]) for one in result["findings"])


def test_a_host_without_any_backup() -> None:
    fake = host()
    result = run(fake)
    assert told(result) == [
        ("backup.database.uncovered", f"postgresql {PG}", "high"),
        ("backup.database.uncovered", "sqlite /var/lib/grafana/grafana.db", "high"),
        ("backup.host.uncovered", "host", "high"),
    ]
    uncovered = next(one for one in result["findings"] if one["check"] == "backup.host.uncovered")
    assert "/srv, 2.0 GiB in use" in uncovered["evidence"]
    assert {"check": "backup.host.uncovered", "subject": "host"} in result["coverage"]
    assert fake.ran == []


def test_a_reason_is_told_and_settles_a_ticket() -> None:
    result = run(host(), no_backup_reason="Veeam backs up the virtual machine", databases=False)
    assert told(result) == []
    (entry,) = [one for one in result["not_applicable"] if one["check"] == "backup.host.uncovered"]
    assert "Veeam backs up the virtual machine" in entry["why"]
    assert {"check": "backup.host.uncovered", "subject": "host"} in result["coverage"]


def test_another_program_that_backs_up_makes_it_unknown() -> None:
    result = run(host(files={"/etc/borgmatic/config.yaml": "x", "/proc/9/comm": "bareos-fd\n"}), databases=False)
    (one,) = result["findings"]
    assert (one["check"], one["severity"], one["facts"]) == (
        "backup.host.uncovered",
        "medium",
        {"programs": ["Bareos", "borgmatic"]},
    )


def test_what_is_not_understood_does_not_make_a_host_without_backup() -> None:
    result = run(host(files={"/etc/cron.daily/x": "#!/bin/sh\nrestic backup /etc\n"}), databases=False)
    assert told(result) == [("backup.repository.not_understood", "/etc/cron.daily/x", "medium")]
    excluded = run(
        host(files={"/etc/cron.daily/x": "#!/bin/sh\nrestic backup /etc\n"}),
        databases=False,
        exclusions=[{"path": "/etc/cron.daily/x", "reason": "a relic"}],
    )
    assert told(excluded) == [("backup.host.uncovered", "host", "high")]


def test_databases_by_process_and_by_folder() -> None:
    fake = host(
        files={
            "/proc/8/comm": "mariadbd\n",
            "/proc/8/cmdline": "/usr/sbin/mariadbd\0--datadir=/srv/mysql\0",
            "/srv/mysql/ibdata1": "x",
            "/proc/9/comm": "postgres\n",
            "/proc/9/cmdline": "postgres\0-D\0/tmp/pytest/data\0",
            "/tmp/pytest/data/PG_VERSION": "15",
            "/proc/10/comm": "redis-server\n",
            "/proc/11/comm": "mongod\n",
        }
    )
    assert set(databases(fake, processes(fake))) == {
        Database("postgresql", PG, True),
        Database("mysql", "/srv/mysql", True),
        Database("mongodb", "", True),
        Database("sqlite", "/var/lib/grafana/grafana.db", False, 65536),
    }


def test_volumes_are_those_with_data_of_this_host() -> None:
    assert [one.path for one in volumes(host(), defaults())] == ["/srv"]
    assert {one.path for one in volumes(host(), dict(defaults(), volume_minimum_mib=0.1))} == {"/srv", "/empty"}


def test_no_other_program_on_a_plain_host() -> None:
    assert other_programs(host(), []) == {}


def holding(*paths: str, size: int = 10) -> Covered:
    contents = Contents([PG, "/srv", "/var/lib/grafana/grafana.db"])
    for path in paths:
        folder = path.endswith("/")
        contents.add(Entry(path.rstrip("/"), "dir" if folder else "file", size, 0o600, 0, 0, 0.0))
    return Covered("main", ("/",), contents)


SQLITE = Database("sqlite", "/var/lib/grafana/grafana.db", False)
POSTGRESQL = Database("postgresql", PG, True)
MYSQL = Database("mysql", "/var/lib/mysql", True)


@pytest.mark.parametrize(
    ("found", "covered", "options", "expected"),
    [
        ([POSTGRESQL], [], {}, [("nothing", "high")]),
        ([POSTGRESQL], [holding(f"{PG}/base/1")], {}, [("live files", "medium")]),
        ([POSTGRESQL._replace(running=False)], [holding(f"{PG}/base/1")], {}, [("live files", None)]),
        ([POSTGRESQL], [holding("/backup/pg_all.sql.gz")], {}, [("dump", None)]),
        ([POSTGRESQL], [holding("/backup/shop.dump")], {}, [("dump", None)]),
        # A dump of 0 bytes is none, and one of no known engine is nobody's.
        ([POSTGRESQL], [holding("/backup/pg.sql", size=0)], {}, [("nothing", "high")]),
        ([POSTGRESQL, MYSQL], [holding("/backup/shop.sql")], {}, [("nothing", "high"), ("nothing", "high")]),
        ([POSTGRESQL, MYSQL], [holding("/backup/mysql/shop.sql")], {}, [("nothing", "high"), ("dump", None)]),
        ([POSTGRESQL], [Covered("main", ("/pg.sql",), None)], {}, [("dump", None)]),
        ([SQLITE], [Covered("main", ("/",), None), holding("/var/lib/grafana/grafana.db")], {}, [("files", None)]),
        ([SQLITE], [holding("/var/lib/grafana/grafana.db")], {}, [("files", None)]),
        ([SQLITE], [holding("/etc/x")], {}, [("nothing", "high")]),
        (
            [POSTGRESQL],
            [],
            {"exclusions": [{"path": "/var/lib/postgresql/*", "reason": "a test"}]},
            [("excluded", None)],
        ),
    ],
)
def test_how_a_database_is_covered(
    found: list[Database], covered: list[Covered], options: dict[str, Any], expected: list[tuple[str, str | None]]
) -> None:
    review = Review("backup")
    shown = judge_databases(review, Sources(found, [], {}), covered, [], {**defaults(), **options})
    assert [entry["covered"] for entry in shown] == [how for how, _severity in expected]
    assert [one["severity"] for one in review.findings] == [severity for _how, severity in expected if severity]
    assert {"check": "backup.database.uncovered", "subject": "*"} in review.coverage


@pytest.mark.parametrize(
    "blind", [Covered("main", ("/",), None), Covered("main", ("../x",), Contents([PG, "/srv"], paths=["../x"]))]
)
@pytest.mark.parametrize("more", [[], [holding(f"{PG}/base/1")]])
def test_what_may_be_in_a_snapshot_that_was_not_listed_is_neither_covered_nor_uncovered(
    blind: Covered, more: list[Covered]
) -> None:
    review = Review("backup")
    sources = Sources([POSTGRESQL], [Volume("/srv", "/dev/vdb", "ext4", 1 << 30)], {})
    (database,) = judge_databases(review, sources, [blind, *more], [], defaults())
    (volume,) = judge_volumes(review, sources, [blind, *more], [], [], defaults())
    assert (database["covered"], volume["state"]) == ("unknown", "unknown")
    assert [(one["check"], one["subject"]) for one in review.findings] == [
        ("backup.check.not_run", f"backup.{what}.uncovered") for what in ("database", "volume")
    ]
    assert review.coverage == []
    assert "main, which could not be looked into" in review.findings[0]["summary"]
    assert "backup_review_look_timeout" in review.findings[0]["remedy"]


def test_a_volume_that_does_not_answer_is_told() -> None:
    fake = FakeHost({"/proc/self/mountinfo": MOUNTS}, statvfs={"/empty": None})
    found = volumes(fake, defaults())
    assert [(one.path, one.used) for one in found] == [("/srv", None), ("/empty", None)]
    review = Review("backup")
    judge_volumes(review, Sources([], found[:1], {}), [holding("/x")], [], [], defaults())
    assert told(review.result()) == [("backup.check.not_run", "backup.volume.uncovered", "medium")]
    assert "/srv did not answer" in review.findings[0]["summary"] and review.coverage == []


def test_many_sqlite_databases_are_all_told_in_one() -> None:
    found = [Database("sqlite", f"/srv/app/{number}.db", False) for number in range(300)]
    review = Review("backup")
    shown = judge_databases(review, Sources(found, [], {}), [holding("/etc/x")], [], defaults())
    assert [entry["covered"] for entry in shown] == ["nothing"] * 300
    (one,) = review.findings
    assert (one["subject"], one["facts"]["count"]) == ("sqlite", 300) and "300 SQLite databases" in one["summary"]
    assert contract_errors(one) == []


def test_every_sqlite_database_is_looked_for() -> None:
    files: dict[str, str | bytes] = {
        f"/srv/app/{number}.db": b"SQLite format 3\0" + b"x" * 70_000 for number in range(250)
    }
    fake = host(files=files)
    assert len([one for one in databases(fake, processes(fake)) if one.engine == "sqlite"]) == 251


@pytest.mark.parametrize("every", [1, 2, 7, 14, 28, 30, 31])
@pytest.mark.parametrize("count", [13, 24, 60, 84, 96])
def test_every_series_has_its_turn_whatever_the_days_between_two_runs(every: int, count: int) -> None:
    members = list(range(count))
    assert sorted(turn(members, 1_790_000_000.0)) == members
    for begin in range(5):
        seen: set[int] = set()
        runs = 0
        while len(seen) < count:
            seen.update(turn(members, 1_790_000_000.0 + (begin + runs * every) * 86_400)[:TURN])
            runs += 1
        assert runs <= 3 * -(-count // TURN), (begin, runs)


def test_nothing_has_a_turn_of_nothing() -> None:
    assert turn([], 1_790_000_000.0) == []


def test_where_a_dump_is_may_be_said() -> None:
    contents = Contents(["/backup/*.sql"])
    contents.add(Entry("/backup/shop.sql", "file", 5, 0o600, 0, 0, 0.0))
    options = {**defaults(), "dumps": [{"engine": "mysql", "path": "/backup/*.sql"}]}
    shown = judge_databases(Review("backup"), Sources([MYSQL], [], {}), [Covered("m", ("/",), contents)], [], options)
    assert shown[0]["covered"] == "dump"


def test_while_a_repository_cannot_be_opened_nothing_is_called_uncovered() -> None:
    review = Review("backup")
    sources = Sources([POSTGRESQL], [Volume("/srv", "/dev/vdb", "ext4", 1 << 30)], {})
    judge_databases(review, sources, [], ["main"], defaults())
    judge_volumes(review, sources, [], ["main"], [], defaults())
    assert {one["check"] for one in review.findings} == {"backup.check.not_run"}
    assert not any(one["check"].endswith(".uncovered") for one in review.coverage)


@pytest.mark.parametrize(
    ("covered", "stores", "options", "state"),
    [
        ([holding("/etc/x")], [], {}, "uncovered"),
        ([holding("/srv/")], [], {}, "uncovered"),  # an empty folder: --one-file-system left it out
        ([holding("/srv/www/x")], [], {}, "covered"),
        ([Covered("main", ("/etc",), None)], [], {}, "uncovered"),
        ([holding("/etc/x")], ["/srv/restic"], {}, "repository"),
        ([holding("/etc/x")], [], {"exclusions": [{"path": "/srv", "reason": "a cache"}]}, "excluded"),
    ],
)
def test_how_a_volume_is_covered(
    covered: list[Covered], stores: list[str], options: dict[str, Any], state: str
) -> None:
    review = Review("backup")
    sources = Sources([], [Volume("/srv", "/dev/vdb", "ext4", 1 << 30)], {})
    (shown,) = judge_volumes(review, sources, covered, [], stores, {**defaults(), **options})
    assert shown["state"] == state
    assert [one["subject"] for one in review.findings] == (["/srv"] if state == "uncovered" else [])
