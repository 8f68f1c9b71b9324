# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshots are whose, which series are alive, what was agreed of them, and what their findings say."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.contents import DUMP, Contents, vanished
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.discover_model import Access, Job, Place
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.judge_paths import pattern_that_excludes
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.judge_snapshots import (
    Seen,
    judge_repository,
    judge_series,
    policy_for,
    same_host,
    standings,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.model import Entry, Snapshot
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_info import defaults
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.restic_parse import Lock
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.series import DAY, HOUR, group
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review, contract_errors

NOW = 1_790_000_000.0


def snapshot(days: float, *paths: str, host: str = "web1", tags: tuple[str, ...] = (), size: int = 100) -> Snapshot:
    name = f"{days}{paths}{host}"
    return Snapshot(name, "abcd1234", NOW - days * DAY, host, "root", paths or ("/etc",), tags, "t", None, "", 5, size)


def series(days: range | tuple[float, ...], *paths: str, **more: Any) -> list[Snapshot]:
    return [snapshot(day, *paths, **more) for day in days]


def job(*paths: str) -> Job:
    return Job(Place("/etc/cron.d/b", 3), "cron", "b", Access("/r"), paths)


def seen(snapshots: list[Snapshot], **more: Any) -> Seen:
    ordered = tuple(sorted(snapshots, key=lambda one: one.time))
    return Seen("main", "/r", "0.14.0", 2, ordered, (), **more)


def states(made: Seen, policies: list[dict[str, Any]] | None = None, **options: Any) -> dict[str, str]:
    chosen = {**defaults(), **options}
    stood = standings(made, group(made.snapshots, chosen["group_by"]), policies or [], chosen, NOW)
    return {",".join(one.series.paths): one.state for one in stood}


def judged(made: Seen, policies: list[dict[str, Any]] | None = None, own: str = "web1") -> list[tuple[str, str]]:
    review = Review("backup")
    judge_series(review, made, policies or [], defaults(), [own], NOW)
    for one in review.findings:
        assert contract_errors(one) == [] and one["remedy"] and "check itself failed" not in one["summary"]
    return sorted((one["check"].rpartition(".")[2], one["severity"]) for one in review.findings)


def test_a_path_that_was_added_to_a_job_makes_the_old_series_superseded() -> None:
    made = seen([*series((9, 8, 7, 6), "/etc"), *series((5, 4, 3, 2, 1), "/etc", "/home")])
    assert states(made) == {"/etc": "superseded", "/etc,/home": "fresh"}
    assert judged(made) == []


def test_a_folder_above_supersedes_what_is_in_it_and_a_neighbour_does_not() -> None:
    assert states(seen([*series((9, 8, 7), "/srv/www"), *series((2, 1), "/srv")]))["/srv/www"] == "superseded"
    assert states(seen([*series((9, 8, 7), "/srv/www"), *series((2, 1), "/srv/ww")]))["/srv/www"] == "stale"


def test_a_series_that_lost_a_path_is_narrowed() -> None:
    made = seen([*series((6, 5, 4), "/etc", "/home"), *series((3, 2, 1), "/etc")])
    assert states(made) == {"/etc,/home": "narrowed", "/etc": "fresh"}


def test_one_or_two_by_hand_beside_a_job_are_not_late_and_a_job_of_the_host_is() -> None:
    made = seen([snapshot(50, "/tmp/x"), *series((3, 2, 1), "/etc")])
    assert states(made)["/tmp/x"] == "single"
    assert states(made._replace(jobs=(job("/tmp/x"),)))["/tmp/x"] == "stale"
    assert states(made, [{"repository": "main", "source": "/tmp/*", "rpo_hours": 24.0}])["/tmp/x"] == "stale"
    assert states(made, exclusions=[{"path": "/tmp", "reason": "scratch"}])["/tmp/x"] == "excluded"
    assert states(seen([snapshot(50, "/tmp/x")]))["/tmp/x"] == "stale"  # there is no other


@pytest.mark.parametrize(
    ("host", "pattern", "same"),
    [
        ("web1", "web1", True),
        ("web1.example.com", "web1", True),
        ("web1", "web1.example.com", True),
        ("WEB1", "web1", True),
        ("web10", "web1", False),
        ("web10", "web*", True),
    ],
)
def test_whose_a_snapshot_is(host: str, pattern: str, same: bool) -> None:
    assert same_host(host, pattern) is same


def test_another_hosts_snapshots_are_not_judged_here() -> None:
    made = seen([*series((90, 80), "/etc", host="db1"), snapshot(0.5, "/etc")])
    assert judged(made) == []
    assert judged(made, own="mail") == [("foreign", "high")]
    assert judged(made, [{"repository": "main", "hosts": ["*"]}]) == [("stale", "high")]


def test_later_policies_override_what_they_name_and_keep_the_rest() -> None:
    (one,) = group(series((2, 1), "/srv", tags=("db",)), ["host", "paths"])
    policies = [
        {"repository": "*", "rpo_hours": 24.0, "paths": ["/a"], "keep": {"daily": 7, "last": None}},
        {"repository": "m*", "tags": ["db"], "rpo_hours": 4.0, "paths": ["/b"]},
        {"repository": "other", "rpo_hours": 1.0},
        {"repository": "main", "host": "db*", "rpo_hours": 1.0},
    ]
    made = policy_for(policies, defaults(), "main", one)
    assert (made.rpo, made.paths, made.keep, made.named) == (4 * HOUR, ("/a", "/b"), {"daily": 7}, True)
    assert policy_for(policies, defaults(), "main", None).rpo == 24 * HOUR


def test_nothing_at_all_and_only_the_future() -> None:
    assert judged(seen([])) == [("none", "critical")]
    assert judged(seen([snapshot(-9)])) == [("future", "medium"), ("stale", "high")]


def test_hostile_names_stay_within_the_contract() -> None:
    made = seen(series((90, 80, 70), "/\x1b[31m$(reboot)\n'; rm -rf /" * 20, host="web1"))
    review = Review("backup")
    judge_series(review, made, [], defaults(), ["web1"], NOW)
    assert review.findings
    for one in review.findings:
        assert contract_errors(one) == []
        assert "\x1b" not in str(one) and "\n" not in one["summary"]


@pytest.mark.parametrize(
    ("age", "exclusive", "holder", "severity"),
    [
        (60.0, False, None, None),
        (60.0, True, None, "info"),
        (3600.0, False, None, "medium"),
        (3600.0, True, None, "high"),
        (60.0, False, "", "medium"),
        (60.0, False, "restic", None),
    ],
)
def test_locks(age: float, exclusive: bool, holder: str | None, severity: str | None) -> None:
    lock = Lock("x", NOW - age, exclusive, "web1", "root", 77)
    made = seen([])._replace(locks=(lock,), lock_holders={} if holder is None else {77: holder})
    review = Review("backup")
    judge_repository(review, made, NOW)
    assert [one["severity"] for one in review.findings] == ([severity] if severity else [])
    assert {"check": "backup.repository.locked", "subject": "main"} in review.coverage
    if severity:
        assert "process 77" in review.findings[0]["summary"] and "web1" in review.findings[0]["summary"]


@pytest.mark.parametrize(
    ("path", "patterns", "by"),
    [
        ("/srv/a.sql", ("*.sql",), "*.sql"),
        ("/srv/a.sql", ("/srv/*.sql",), "/srv/*.sql"),
        ("/srv/x/a.sql", ("/srv/*.sql",), ""),
        ("/srv/x/a.sql", ("/srv/**/*.sql",), "/srv/**/*.sql"),
        ("/srv/cache/a", ("cache",), "cache"),
        ("/srv/a.sql", ("*.sql", "!a.sql"), ""),
        ("/srv/a.sqlite", ("*.sql",), ""),
        ("/srv/a", ("/",), ""),
    ],
)
def test_which_pattern_leaves_a_path_out(path: str, patterns: tuple[str, ...], by: str) -> None:
    assert pattern_that_excludes(path, patterns) == by


@pytest.mark.parametrize(
    ("name", "dump"),
    [
        ("shop.sql", True),
        ("shop.sql.gz", True),
        ("db.dump", True),
        ("pg_dump-2026.tar.zst", True),
        ("mysql-all.gz", True),
        ("readme.md", False),
        ("dumpling.txt", False),
        ("schema.sqlite", False),
    ],
)
def test_what_looks_like_a_dump(name: str, dump: bool) -> None:
    assert (DUMP.fullmatch(name) is not None) is dump


def test_the_contents_of_a_snapshot() -> None:
    made = Contents(["/srv", "/empty", "/gone", "/srv/*.sql", "/x/*.sql"], names=3, depth=1)
    for path, kind in (("/srv", "dir"), ("/srv/a", "dir"), ("/srv/a/b.sql", "file"), ("/empty", "dir"), ("/f", "file")):
        made.add(Entry(path, kind, 10, 0o600, 0, 0, 0.0))
    asked = ("/srv", "/srv/", "/srv/a", "/empty", "/gone", "/", "/srv/*.sql", "/x/*.sql")
    told = ["filled", "filled", "filled", "empty", "missing", "filled", "filled", "missing"]
    assert [made.state(path) for path in asked] == told
    assert made.names is None  # more than may be remembered
    assert (made.files, made.bytes, [one.path for one in made.dumps]) == (2, 20, ["/srv/a/b.sql"])
    assert vanished(made, Contents(depth=1)) == [
        "/srv is gone: 1 files and 10 bytes less",
        "/ is gone: 1 files and 10 bytes less",
    ]
