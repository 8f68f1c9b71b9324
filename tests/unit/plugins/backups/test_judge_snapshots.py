# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshots are whose, which series are alive, what was agreed of them, and what their findings say."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.contents import DUMP, Contents, vanished
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.discover_model import Access, Job, Place
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.gather_sources import LEFT, left_out
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.judge_paths import (
    judge_left_out,
    pattern_that_excludes,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.judge_snapshots import (
    Seen,
    judge_policies,
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
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host

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


def unmatched(policy: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    review = Review("backup")
    (one,) = group(series((2, 1), "/srv", host="db1", tags=("db",)), ["host", "paths"])
    judge_policies(review, [policy], more.pop("looked", {"main": [one], "other": []}), **more)
    for found in review.findings:
        assert contract_errors(found) == [] and found["remedy"] and found["check"] == "backup.policy.unmatched"
    covered = {(entry["check"], entry["subject"]) for entry in review.coverage}
    told = [(found["subject"], "finding") for found in review.findings]
    told += [(entry["why"], "skipped") for entry in review.skipped]
    assert bool(review.skipped) is not (("backup.policy.unmatched", _subject(policy)) in covered)
    return told


def _subject(policy: dict[str, Any]) -> str:
    named = [(key, policy[key]) for key in ("repository", "host", "tags", "source") if key in policy]
    return ", ".join(f"{key}: {','.join(value) if isinstance(value, list) else value}" for key, value in named)


@pytest.mark.parametrize(
    "policy",
    [
        {"repository": "main", "rpo_hours": 4.0},
        {"repository": "m*", "host": "db*"},
        {"repository": "main", "tags": ["db"], "source": "/sr?"},
        {"repository": "*", "host": "db1"},
    ],
)
def test_a_policy_that_fits_is_silent(policy: dict[str, Any]) -> None:
    assert unmatched(policy) == []


@pytest.mark.parametrize(
    "policy",
    [
        {"repository": "mian", "rpo_hours": 4.0},
        {"repository": "other", "host": "db1"},
        {"repository": "main", "host": "bd1"},
        {"repository": "main", "tags": ["db", "nightly"]},
        {"repository": "main", "tags": ["db"], "source": "/etc"},
        {"repository": "*", "host": "web1", "keep": {"daily": 7}},
    ],
)
def test_a_policy_that_fits_nothing_is_told(policy: dict[str, Any]) -> None:
    assert unmatched(policy) == [(_subject(policy), "finding")]
    # What could not be looked into may be what it is for; where its name is another one, it is not.
    maybe = unmatched(policy, unknown=[policy["repository"].replace("*", "x")])
    assert [entry[1] for entry in maybe] == (["skipped"] if len(policy.keys() - {"rpo_hours"}) > 1 else [])
    assert unmatched(policy, unknown=["vault"])[0][1] == ("skipped" if policy["repository"] == "*" else "finding")


def test_a_policy_for_whatever_there_is_needs_nothing() -> None:
    review = Review("backup")
    judge_policies(review, [{"repository": "*", "rpo_hours": 26.0}], {})
    assert review.findings == []


def test_a_job_that_stopped_or_paused_is_not_said_to_have_deleted() -> None:
    policy = [{"repository": "main", "keep": {"daily": 14}}]
    assert judged(seen(series((25, 24, 23, 22, 21))), policy) == [("stale", "high")]
    before, after = series((12, 11, 10, 9)), series((3, 2, 1, 0.1))
    assert ("retention", "medium") in judged(seen([*before, *after]), policy)  # nothing says that none was there
    after[0] = after[0]._replace(parent=before[-1].id)
    assert judged(seen([*before, *after]), policy) == [("gap", "medium")]


def test_a_series_whose_sizes_are_not_all_known_is_not_covered_as_shrunk() -> None:
    made = seen(series((3, 2, 1)))
    review = Review("backup")
    judge_series(review, made._replace(unsized={made.snapshots[-1].id}), [], defaults(), ["web1"], NOW)
    assert review.findings == []
    assert not any(entry["check"] == "backup.snapshot.shrunk" for entry in review.coverage)
    (entry,) = review.skipped
    assert entry["check"] == "backup.snapshot.shrunk" and "main" in entry["why"]


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


def test_what_the_live_tree_has_is_counted_and_what_needs_no_backup_hides_nothing(tmp_path: Path) -> None:
    names = [f"a_cache{number}" for number in range(250)] + [f"b_dump{number}.sql" for number in range(250)]
    names += [f"lost{number}" for number in range(250)] + ["kept"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "a_folder").mkdir()
    place = "/" + tmp_path.name
    one = snapshot(0, str(tmp_path))._replace(time=time.time() + 100, excludes=("*.sql", "a_folder"))
    there = {hash(f"{place}/kept")}
    made = left_out(
        Host(), one, there, 5000, places={str(tmp_path): place}, needless=lambda path: "/a_cache" in path and "a reason"
    )
    assert (made.total, made.whole) == (500, True)
    assert [sum(bool(left.excluded_by) is dump for left in made.left) for dump in (True, False)] == [LEFT, LEFT]
    assert not left_out(Host(), one, there, 100, places={str(tmp_path): place}).whole
    # Where it lies cannot be told: nothing is missing, and not all was looked at.
    assert left_out(Host(), one, there, 5000, places={str(tmp_path): None}) == ([], 0, False)
    review = Review("backup")
    (standing,) = standings(seen([one]), group([one], ["host", "paths"]), [], defaults(), NOW)
    judge_left_out(review, seen([one]), standing, made.left, made.total, ("not all was looked at", "Look."))
    (found,) = review.findings
    assert "leaves out 500 that were there" in found["summary"] and found["facts"]["count"] == 500
    assert review.coverage == [] and review.skipped[0]["why"] == "not all was looked at"


def tree(wanted: list[str], paths: list[str], *entries: str) -> Contents:
    made = Contents(wanted, paths=paths)
    for one in sorted(entries):
        made.add(Entry(one.rstrip("/"), "dir" if one.endswith("/") else "file", 1, 0o600, 0, 0, 0.0))
    made.close()
    return made


SRV = ["/a/", "/a/etc/", "/a/etc/x", "/hollow/"]
ASKED = ["/srv", "/srv/a/etc", "/srv/hollow", "/srv/none", "/etc", "/srv/a/etc/*", "/a/etc/*", "/", "/srv/a"]


@pytest.mark.parametrize(
    ("paths", "entries", "states"),
    [
        # cd /srv; restic backup .
        (["/srv"], SRV, "filled filled empty missing missing filled missing filled filled"),
        # cd /srv; restic backup a/etc hollow
        (["/srv/a/etc", "/srv/hollow"], SRV, "filled filled empty missing missing filled missing filled filled"),
        # cd /srv/a; restic backup etc: /etc stands there, and is another one
        (["/srv/a/etc"], ["/etc/", "/etc/x"], "filled filled missing missing missing filled missing filled filled"),
        # cd /srv/a; restic backup etc ../hollow /etc
        (
            ["/srv/a", "/srv/hollow", "/etc"],
            ["/b", "/hollow/", "/etc/", "/etc/x"],
            "filled unknown empty missing filled missing missing filled filled",
        ),
        # cd /srv/a; restic backup . ../hollow
        (
            ["/srv/a", "/srv/hollow"],
            ["/etc/", "/etc/x", "/hollow/"],
            "filled filled empty missing missing filled missing filled filled",
        ),
        # Whole ones, of which one could not be read: what stands for the other is not taken for it.
        (
            ["/srv/a/etc", "/etc"],
            ["/etc/", "/etc/x"],
            "missing missing missing missing filled missing missing filled missing",
        ),
        (
            ["/srv/a", "/etc"],
            ["/etc/", "/etc/x"],
            "missing missing missing missing filled missing missing filled missing",
        ),
        (["/srv"], [], "missing missing missing missing missing missing missing missing missing"),
        # Two of which either may be the one whose content lies at the root.
        (["/srv/a", "/srv/b"], ["/x", "/y"], "unknown unknown missing missing missing unknown unknown unknown unknown"),
        # As another program notes them.
        (["a/etc"], SRV, " ".join(["unknown"] * 5 + ["unknown", "unknown", "unknown", "unknown"])),
    ],
)
def test_where_relative_paths_lie(paths: list[str], entries: list[str], states: str) -> None:
    made = tree(ASKED, paths, *entries)
    assert [made.state(path) for path in ASKED] == states.split()


def test_a_path_of_windows_has_its_drive_as_a_folder() -> None:
    made = tree(["C:\\Users"], ["C:\\Users"], "/C/", "/C/Users/", "/C/Users/x")
    assert made.state("C:\\Users") == "filled"


def test_many_dumps_are_all_known() -> None:
    made = tree(["/"], ["/"], *(f"/d/{number}.sql" for number in range(3000)))
    assert len(made.dumps) == 3000


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
