# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real repositories with every fault of snapshots and selection: found, named, with a remedy; the healthy case silent.

The source that is backed up lies in a folder of the test, and ``--time`` puts snapshots into the past.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import info
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.info import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_info import defaults
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import contract_errors, coverage_errors
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from tests.backups import repositories, restics
from tests.backups.fixture import program, restic, whole
from tests.backups.repositories import PASSWORD, Made
from tests.unit.fake_host import FakeHost

__all__ = ["restic", "whole"]

pytestmark = pytest.mark.timeout(300)

DAY = 86_400.0
HERE = platform.node()


class Place:
    """A source, and a repository of it."""

    def __init__(self, made: Made) -> None:
        self.made = made
        self.source = made.source

    def backup(self, days: float, *words: str, paths: tuple[Path, ...] = (), rc: tuple[int, ...] = (0,)) -> None:
        """A backup that says it was made so many days ago."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - days * DAY))
        asked = ["backup", "--time", moment, *words, *(str(path) for path in paths or (self.source,))]
        done = self.made.restic(*asked, check=False)
        assert done.returncode in rc, done.stdout + done.stderr

    def daily(self, days: int, *, until: float = 0.1, **more: Any) -> None:
        for day in range(days - 1, -1, -1):
            self.backup(until + day, **more)

    def look(self, host: Host | None = None, **options: Any) -> Result:
        repository = {
            "name": "main",
            "repository": str(self.made.folder),
            "password": self.made.password,
            "environment": {"RESTIC_CACHE_DIR": str(self.made.folder.parent / "cache")},
        }
        given: dict[str, Any] = {
            "repositories": [repository],
            "discover": False,
            "databases": False,
            "volumes": False,
            "program": str(self.made.program),
            **options,
        }
        return Result(review(host or Host(), dict(defaults(), check_mode=False, **given)))


class Result(dict[str, Any]):
    def __init__(self, made: dict[str, Any]) -> None:
        super().__init__(made)
        for one in made["findings"]:
            assert contract_errors(one) == []
            assert "check itself failed" not in one["summary"], one
            assert one["remedy"]
        for entry in made["coverage"]:
            assert coverage_errors(entry) == []
        assert PASSWORD not in json.dumps(made, allow_nan=False)

    def told(self) -> list[str]:
        return sorted(one["check"] for one in self["findings"] if one["severity"] != "info")

    def one(self, check: str) -> dict[str, Any]:
        found = [one for one in self["findings"] if one["check"] == check]
        assert len(found) == 1, [(one["check"], one["subject"], one["summary"]) for one in self["findings"]]
        return dict(found[0])

    def covers(self, check: str, subject: str = "*") -> bool:
        return {"check": check, "subject": subject} in self["coverage"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty repository of this machine's restic (0.14), and a source."""
    yield new_place(program("machine"), tmp_path)
    repositories.release()


def new_place(restic: Path, tmp_path: Path) -> Place:
    source = tmp_path / "source"
    for number in range(12):
        path = source / f"folder{number % 3}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(20_000))
    made = Made(restic, tmp_path / "repository", source)
    made.begin()
    return Place(made)


def test_a_healthy_repository_is_silent_and_every_check_is_covered(restic: Path, tmp_path: Path) -> None:
    place = new_place(restic, tmp_path)
    place.daily(5)
    policy = {"repository": "main", "rpo_hours": 24.0, "paths": [str(place.source)], "keep": {"daily": 3}}
    before = sorted(path for path in place.made.folder.rglob("*"))
    result = place.look(policies=[policy])
    assert result["findings"] == []
    series = f"main {HERE}:{place.source}"
    for check in ("stale", "gap", "shrunk", "retention", "future", "incomplete"):
        assert result.covers(f"backup.snapshot.{check}", series), check
    for check in ("none", "foreign"):
        assert result.covers(f"backup.snapshot.{check}", "main"), check
    assert result.covers("backup.snapshot.path_missing", f"main {HERE}")
    assert result.covers("backup.repository.wrong_password", "main")
    (told,) = result["repositories"]
    assert (told["opened"], told["fault"], told["snapshots"], told["hosts"]) == (True, None, 5, [HERE])
    assert told["format"] == 2
    (one,) = result["series"]
    assert (one["state"], one["snapshots"], one["rhythm_hours"]) == ("fresh", 5, 24.0)
    assert one["files"] == 12 and one["bytes"] == 240_000
    assert result["restic"] == ".".join(str(part) for part in told["restic"].split("."))
    # Looked at again, it is the same; and nothing in the repository has changed.
    assert place.look(policies=[policy])["findings"] == []
    assert sorted(path for path in place.made.folder.rglob("*")) == before


def test_the_newest_backup_is_ten_days_old(restic: Path, tmp_path: Path) -> None:
    place = new_place(restic, tmp_path)
    place.daily(3, until=10)
    result = place.look(rpo_hours=24.0)
    assert result.told() == ["backup.snapshot.stale"]
    one = result.one("backup.snapshot.stale")
    assert (one["subject"], one["severity"]) == (f"main {HERE}:{place.source}", "high")
    assert "10 days old" in one["summary"] and "24 hours are agreed" in one["summary"]
    assert one["facts"]["age_hours"] == pytest.approx(240, abs=1)
    # A backup now, and it is well; the check covers it, so its ticket closes.
    place.backup(0)
    healthy = place.look(rpo_hours=24.0)
    assert "backup.snapshot.stale" not in healthy.told()
    assert healthy.covers("backup.snapshot.stale", one["subject"])


def test_what_is_stale_without_an_agreement_follows_the_rhythm_of_the_series(place: Place) -> None:
    for days in (31, 24, 17, 10, 3):
        place.backup(days)
    assert place.look()["findings"] == []  # weekly
    result = place.look(policies=[{"repository": "*", "rpo_hours": 48.0}])
    assert "backup.snapshot.stale" in result.told()


class Later(Host):
    """This host, some days from now."""

    def __init__(self, days: float) -> None:
        super().__init__()
        self.days = days

    def now(self) -> float:
        return super().now() + self.days * DAY


def test_a_vault_with_many_hosts_is_looked_through_by_turns_and_nothing_passes_unseen(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"web{number}" for number in range(5)]
    hollow = place.source.parent / "hollow"
    hollow.mkdir()
    for days in (1.1, 0.1):
        for name in names:
            (place.source / name).write_text(name)  # each has a tree of its own
            place.backup(days, "--host", name, paths=(place.source, hollow))
            (place.source / name).unlink()
        for number in range(11):
            (place.source / f"folder{number % 3}" / f"file{number}").unlink(missing_ok=True)
    policy = {"repository": "main", "hosts": ["web*"], "paths": [str(hollow)], "rpo_hours": 9000.0}
    checks = ("backup.snapshot.path_missing", "backup.snapshot.shrunk")

    def looked(host: Host | None = None) -> tuple[Result, dict[str, tuple[set[str], set[str]]]]:
        result = place.look(host, policies=[policy])
        hosts: dict[str, tuple[set[str], set[str]]] = {}
        for check in checks:
            found = {one["subject"] for one in result["findings"] if one["check"] == check}
            covered = {entry["subject"] for entry in result["coverage"] if entry["check"] == check}
            hosts[check] = (
                {name for name in names if any(f" {name}" in subject for subject in found)},
                {name for name in names if any(f" {name}" in subject for subject in covered)},
            )
        return result, hosts

    result, hosts = looked()
    assert result.told() == [checks[0]] * 5 + [checks[1]] * 5
    assert hosts == {check: (set(names), set(names)) for check in checks}
    # Where there is time for two only, the others are not covered: their tickets stay, and they have their turn.
    monkeypatch.setattr(info, "TURN", 2)
    clock = itertools.count(0, 10_000)
    monkeypatch.setattr(info, "monotonic", lambda: next(clock))
    seen: dict[str, set[str]] = {check: set() for check in checks}
    for day in range(8):
        result, hosts = looked(Later(day))
        assert set(result.told()) == set(checks)
        for check in checks:
            found, covered = hosts[check]
            assert len(found) == 2 and found == covered
            assert check in {entry["check"] for entry in result["not_applicable"]}
            seen[check] |= found
        if all(one == set(names) for one in seen.values()):
            break
    assert seen == {check: set(names) for check in checks}
    # Where a round takes too long, that is told, with what to raise.
    monkeypatch.setattr(info, "ROUND", 2)
    told = [one for one in looked()[0]["findings"] if one["check"] == "backup.check.not_run"]
    assert [one["subject"] for one in told] == list(checks)
    assert "of 5 series in main only 2 could be" in told[0]["summary"]
    assert "backup_review_look_timeout" in told[0]["remedy"]


def test_a_policy_that_fits_nothing_is_told(place: Place) -> None:
    place.backup(0.1, "--tag", "nightly")
    policies = [
        {"repository": "main", "rpo_hours": 26.0},
        {"repository": "ofsite", "rpo_hours": 1.0, "paths": ["/nowhere"], "keep": {"daily": 14}},
        {"repository": "main", "tags": ["nightli"], "rpo_hours": 1.0},
    ]
    result = place.look(policies=policies)
    assert result.told() == ["backup.policy.unmatched"] * 2
    assert [one["subject"] for one in result["findings"]] == ["repository: ofsite", "repository: main, tags: nightli"]
    first, second = result["findings"]
    assert "agreed is rpo_hours: 1.0" in first["evidence"] and "there is the repository main" in first["evidence"]
    assert any("tags nightly" in line for line in second["evidence"])
    # It is another module's.
    elsewhere = place.look(policies=policies[:2], elsewhere=["ofsite"])
    assert elsewhere["findings"] == []
    healthy = place.look(policies=policies[:1])
    assert healthy["findings"] == [] and healthy.covers("backup.policy.unmatched")


def test_all_snapshots_are_deleted(whole: Made) -> None:
    result = Place(whole.damage("all_snapshots_deleted")).look()
    assert result.told() == ["backup.snapshot.none"]
    assert result.one("backup.snapshot.none")["severity"] == "critical"
    assert result.covers("backup.snapshot.none", "main")


def _recovered(made: Made, lost: Path, copy: bytes) -> None:
    """What the remedy says, in either way."""
    version = restics.version(made.program)
    if version < (0, 17):  # both ways, once: each start of recover costs
        lost.chmod(0o600)
        lost.write_bytes(copy)
        return
    lost.unlink()
    before = {one["id"] for one in made.snapshots()}
    made.restic("recover")
    (back,) = [one for one in made.snapshots() if one["id"] not in before]
    assert "/source/folder0/file0" in made.restic("ls", back["id"]).stdout


@pytest.mark.parametrize("fault", ["snapshot_cut", "snapshot_flipped"])
def test_a_snapshot_that_cannot_be_read_is_told_and_its_remedy_works(whole: Made, fault: str) -> None:
    lost = min((whole.folder / "snapshots").iterdir())
    copy = lost.read_bytes()
    assert Place(whole).look()["findings"] == []
    shutil.rmtree(whole.folder.parent / "cache")
    result = Place(whole.damage(fault)).look()
    assert "backup.snapshot.unreadable" in result.told()
    one = result.one("backup.snapshot.unreadable")
    assert (one["subject"], one["severity"], one["facts"]["snapshots"]) == ("main", "high", [lost.name])
    assert f"snapshots/{lost.name}" in one["remedy"] and "restic recover" in one["remedy"]
    assert len(result["series"]) == 1 and result["repositories"][0]["snapshots"] == 1
    _recovered(whole, lost, copy)
    # 0.14 has what it read wrong in its cache now: that is not held against the repository.
    healthy = Place(whole).look()
    assert "backup.snapshot.unreadable" not in healthy.told()
    assert healthy.covers("backup.snapshot.unreadable", "main")


def test_only_another_host_s_snapshots(restic: Path, tmp_path: Path) -> None:
    place = new_place(restic, tmp_path)
    place.backup(0.1, "--host", "db7")
    result = place.look()
    assert result.told() == ["backup.snapshot.foreign"]
    one = result.one("backup.snapshot.foreign")
    assert "db7" in one["summary"] and HERE in one["summary"] and one["facts"]["hosts"] == ["db7"]
    # A server that stores the backups of others says whose it expects.
    policy = {"repository": "main", "hosts": ["db7"]}
    assert place.look(policies=[policy])["findings"] == []
    missing = place.look(policies=[dict(policy, hosts=["db7", "web1"])])
    assert missing.told() == ["backup.snapshot.none"]
    assert missing.one("backup.snapshot.none")["facts"]["missing"] == ["web1"]
    assert place.look(hosts=["db7"])["findings"] == []


def test_a_gap_in_the_series(place: Place) -> None:
    for days in (16, 15, 14, 13, 7.1, 6.1, 5.1, 4.1, 3.1, 2.1, 1.1, 0.1):
        place.backup(days)
    result = place.look()
    assert result.told() == ["backup.snapshot.gap"]
    one = result.one("backup.snapshot.gap")
    assert "5 days without one" in one["summary"] and "24 hours are usual" in one["summary"]
    assert len(one["facts"]["gaps"]) == 1


def test_a_series_that_retention_thinned_out_has_no_gap(place: Place) -> None:
    for days in (120, 90, 60, 35, 28, 21, 14, 7, 6, 5, 4, 3, 2, 1, 0.1):
        place.backup(days)
    assert place.look()["findings"] == []


@pytest.mark.parametrize("name", ["machine", "sid"])
def test_half_the_usual_size_is_told_with_what_vanished(name: str, tmp_path: Path) -> None:
    place = new_place(program(name), tmp_path)
    place.daily(4, until=4)
    shutil.rmtree(place.source / "folder1")
    (place.source / "folder2" / "file2").unlink()
    shutil.rmtree(place.source / "folder0")
    place.daily(3, until=0.1)
    result = place.look()
    assert result.told() == ["backup.snapshot.shrunk"]
    one = result.one("backup.snapshot.shrunk")
    assert one["subject"] == f"main {HERE}:{place.source}"
    assert "234.4 KiB to 58.6 KiB" in one["summary"]
    assert any("folder1 is gone: 4 files and 80000 bytes less" in line for line in one["evidence"]), one["evidence"]
    snapshots = place.made.snapshots()
    assert one["facts"]["usual"] == 240_000 and one["facts"]["now"] == 60_000
    if name != "machine":  # every snapshot has its summary, so the day is known
        assert one["facts"]["after"] == snapshots[4]["id"]
    assert f"restic diff {one['facts']['before'][:8]} {one['facts']['after'][:8]}" in one["remedy"]
    # A lower bound: it was meant.
    assert place.look(policies=[{"repository": "main", "shrunk_percent": 10.0}])["findings"] == []


def test_one_of_two_sources_is_missing(restic: Path, tmp_path: Path) -> None:
    place = new_place(restic, tmp_path)
    other = tmp_path / "mail"
    other.mkdir()
    (other / "box").write_text("x")
    for days in (2.1, 1.1):
        place.backup(days, paths=(place.source, other))
    shutil.move(other, tmp_path / "elsewhere")
    place.backup(0.1, paths=(place.source, other), rc=(0, 3))
    result = place.look()
    one = result.one("backup.snapshot.path_missing")
    assert result.told() == ["backup.snapshot.path_missing"]
    assert one["facts"]["missing"] == [str(other)] and str(other) in one["summary"]
    # From the first backup on, when a policy names both.
    agreed = place.look(policies=[{"repository": "main", "paths": [str(place.source), str(other), "/srv/*.sql"]}])
    assert agreed.one("backup.snapshot.path_missing")["facts"]["missing"] == [str(other), "/srv/*.sql"]
    # It was meant.
    meant = place.look(exclusions=[{"path": str(other), "reason": "moved to the mail server"}])
    assert "backup.snapshot.path_missing" not in meant.told()


@pytest.mark.parametrize("inside", ["", "source"])
def test_relative_paths_are_found_where_they_lie(restic: Path, tmp_path: Path, inside: str) -> None:
    """``cd …; restic backup .``, and ``restic backup source hollow``: their trees lack what is above."""
    place = new_place(restic, tmp_path / "deep")
    hollow = place.source.parent / "hollow"
    hollow.mkdir()
    time.sleep(2.2)  # what is as old as the backup may be younger, and is not held against it
    where = (place.source.parent, "source", "hollow") if inside else (place.source, ".")
    words = ["--repo", str(place.made.folder), "backup", *map(str, where[1:]), "--exclude", "*.tmp"]
    done = subprocess.run(
        [str(place.made.program), *words],
        env={"RESTIC_PASSWORD": PASSWORD, "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        cwd=where[0],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    good = [str(place.source), str(place.source / "folder1"), str(place.source / "folder2" / "file*")]
    result = place.look(policies=[{"repository": "main", "paths": good}])
    assert result["findings"] == []
    assert result.covers("backup.snapshot.path_missing", f"main {HERE}")
    assert "backup.snapshot.incomplete" in {entry["check"] for entry in result["coverage"]}
    # What is missing is told by its place on the host; what stands elsewhere in the tree is not taken for it.
    bad = [str(place.source / "folder9"), "/folder1", str(place.source / "*.sql"), *([str(hollow)] if inside else [])]
    one = place.look(policies=[{"repository": "main", "paths": bad}]).one("backup.snapshot.path_missing")
    assert one["facts"] == {"missing": bad[:3], "empty": bad[3:]}


def test_an_empty_mount(restic: Path, tmp_path: Path) -> None:
    place = new_place(restic, tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "x").write_text("x")
    place.backup(1.1, paths=(place.source, data))
    (data / "x").unlink()
    place.backup(0.1, paths=(place.source, data))
    result = place.look()
    assert result.told() == ["backup.snapshot.path_missing"]
    one = result.one("backup.snapshot.path_missing")
    assert one["facts"] == {"missing": [], "empty": [str(data)]}
    assert any("in snapshot" in line and "it was not" in line for line in one["evidence"]), one["evidence"]


def test_a_folder_that_was_always_empty_is_no_fault_unless_a_policy_names_it(place: Place, tmp_path: Path) -> None:
    data = tmp_path / "srv"
    data.mkdir()
    for days in (1.1, 0.1):
        place.backup(days, paths=(place.source, data))
    assert place.look()["findings"] == []
    result = place.look(policies=[{"repository": "main", "paths": [str(data)]}])
    assert result.one("backup.snapshot.path_missing")["facts"]["empty"] == [str(data)]


def test_dumps_are_excluded_by_a_pattern(restic: Path, tmp_path: Path) -> None:
    place = new_place(restic, tmp_path)
    (place.source / "dumps").mkdir()
    (place.source / "dumps" / "shop.sql").write_text("x")
    (place.source / "dumps" / "notes.tmp").write_text("x")
    time.sleep(2.2)
    place.backup(0, "--exclude", "*.sql", "--exclude", "*.tmp")
    result = place.look()
    assert result.told() == ["backup.snapshot.incomplete"]
    one = result.one("backup.snapshot.incomplete")
    assert one["facts"]["left_out"] == [str(place.source / "dumps" / "shop.sql")]
    assert any("left out by the pattern *.sql" in line for line in one["evidence"])
    meant = place.look(exclusions=[{"path": "*.sql", "reason": "the server is dumped by pgBackRest"}])
    assert meant["findings"] == []
    missing = place.look(policies=[{"repository": "main", "paths": [str(place.source / "dumps" / "*.sql")]}])
    assert "backup.snapshot.path_missing" in missing.told()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run a backup as somebody else")
def test_a_file_that_the_backup_could_not_read(restic: Path, tmp_path: Path) -> None:
    place = new_place(restic, tmp_path)
    secret = place.source / "folder1" / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    os.chmod(place.made.folder.parent, 0o755)
    for folder, _folders, files in os.walk(place.made.folder):
        os.chown(folder, 65534, 65534)
        for name in files:
            os.chown(os.path.join(folder, name), 65534, 65534)
    above = tmp_path
    while above != above.parent:
        above.chmod(above.stat().st_mode | 0o755)
        above = above.parent
    time.sleep(1.1)
    program = tmp_path / "restic"
    shutil.copy(place.made.program, program)
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(program), "--no-cache"]
    done = subprocess.run(
        [*argv, "--repo", str(place.made.folder), "backup", str(place.source)],
        env={"RESTIC_PASSWORD": PASSWORD, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    result = place.look()
    assert result.told() == ["backup.snapshot.incomplete"]
    one = result.one("backup.snapshot.incomplete")
    assert one["severity"] == "high" and one["facts"]["left_out"] == [str(secret)]


def test_what_changed_since_the_backup_is_not_held_against_it(place: Place) -> None:
    (place.source / "folder1" / "goes").write_text("x")
    (place.source / "folder1" / "stays").write_text("x")
    (place.source / "CACHE").mkdir()
    (place.source / "CACHE" / "x").write_text("x")
    time.sleep(1.1)
    place.backup(0)
    (place.source / "new").write_text("created later")
    os.rename(place.source / "folder1", place.source / "renamed")
    (place.source / "folder0" / "file0").write_text("changed")
    os.unlink(place.source / "renamed" / "goes")
    strange = os.fsencode(place.source) + b"/\xff\xfe name\nline"
    with open(strange, "w") as stream:
        stream.write("x")
    assert place.look()["findings"] == []
    time.sleep(1.1)
    place.backup(0)
    assert place.look()["findings"] == []


def test_a_snapshot_of_the_future(place: Place) -> None:
    place.backup(1.1)
    place.backup(0.1)
    place.backup(-400)
    result = place.look()
    assert result.told() == ["backup.snapshot.future"]
    assert result.one("backup.snapshot.future")["facts"]["snapshots"] == [place.made.snapshots()[-1]["id"]]


def test_a_future_snapshot_does_not_hide_that_the_backup_is_stale(place: Place) -> None:
    place.backup(10)
    place.backup(-400)
    assert place.look().told() == ["backup.snapshot.future", "backup.snapshot.stale"]


def test_retention_that_deletes_too_much_and_too_little(place: Place) -> None:
    place.daily(12)
    result = place.look(policies=[{"repository": "main", "keep": {"last": 2}}])
    assert result.told() == ["backup.snapshot.retention"]
    one = result.one("backup.snapshot.retention")
    assert one["severity"] == "low" and "--keep-last 2" in one["remedy"]
    place.made.restic("forget", "--keep-last", "1")
    # When the backups began is not to be seen any more: it has to be said.
    since = time.strftime("%Y-%m-%d", time.localtime(time.time() - 12 * DAY))
    gone = place.look(policies=[{"repository": "main", "keep": {"daily": 7}, "since": since}])
    assert gone.told() == ["backup.snapshot.retention"]
    one = gone.one("backup.snapshot.retention")
    assert one["severity"] == "medium" and len(one["facts"]["missing"]["daily"]) in (6, 7)
    last = place.look(policies=[{"repository": "main", "keep": {"last": 5}}])
    assert last.one("backup.snapshot.retention")["severity"] == "medium"
    assert place.look()["findings"] == []


def test_a_second_job_for_some_of_the_paths_is_no_loss_of_the_others(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "mail"
    other.mkdir()
    (other / "box").write_text("x")
    for days in (2.4, 1.4, 0.4):
        place.backup(days, paths=(place.source, other))
    place.backup(0.1, paths=(other,))  # by hand
    assert place.look()["findings"] == []


def test_the_old_format(restic: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "x").write_text("x")
    made = Made(restic, tmp_path / "repository", source)
    made.begin("--repository-version", "1")
    place = Place(made)
    place.backup(0.1)
    result = place.look()
    assert result.told() == ["backup.repository.format_old"]
    assert "migrate upgrade_repo_v2" in result.one("backup.repository.format_old")["remedy"]


def test_a_dead_lock_is_told_with_its_owner_and_a_living_one_is_not(whole: Made) -> None:
    living = Place(whole.damage("lock_live")).look()
    assert living["findings"] == []
    assert living["repositories"][0]["locks"][0]["host"] == HERE
    repositories.release()
    dead = Place(whole).look()
    assert dead.told() == ["backup.repository.locked"]
    one = dead.one("backup.repository.locked")
    assert f"on {HERE}" in one["summary"] and "restic unlock" in one["remedy"]
    assert "that process is gone" in one["evidence"][0]


FAULTS = {
    "config_flipped": "backup.repository.config_damaged",
    "config_deleted": "backup.repository.no_config",
    "path_missing": "backup.repository.missing",
    "folder_empty": "backup.repository.empty",
    "wrong_password": "backup.repository.wrong_password",
    "no_password": "backup.repository.no_password",
    "keys_removed": "backup.repository.no_key",
    "key_cut": "backup.repository.key_damaged",
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What each version says of each fault is the matter of test_restic_errors; here one version is enough."""
    return Made.new(program("machine"), tmp_path_factory.mktemp("sound"), megabytes=1)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_repository_is_told_apart_and_nothing_else_is_covered(
    sound: Made, tmp_path: Path, fault: str
) -> None:
    result = Place(sound.copy(tmp_path / "repository").damage(fault)).look()
    assert result.told() == [FAULTS[fault]]
    assert result["findings"][0]["subject"] == "main"
    assert not any(entry["check"].startswith("backup.snapshot.") for entry in result["coverage"])
    assert not result.covers("backup.repository.missing", "*")


def test_a_damaged_tree_is_told_and_the_rest_goes_on(whole: Made) -> None:
    result = Place(whole.damage("tree_deleted")).look(idle_timeout=10)
    assert "backup.structure.damaged" in result.told()
    assert result["repositories"][0]["opened"]


def test_a_repository_is_found_by_itself_and_its_job_is_what_is_expected(place: Place, tmp_path: Path) -> None:
    """From a cron line to its script to the repository; the host's files are stand-ins, the rest is real."""
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    mail = tmp_path / "mail"
    script = f"""#!/bin/bash
export RESTIC_REPOSITORY={place.made.folder} RESTIC_PASSWORD_FILE={password}
restic backup {place.source} {mail}
restic forget --keep-daily 7
"""
    files: dict[str, str | bytes] = {
        "/etc/cron.d/backup": "0 2 * * * root /usr/local/bin/backup.sh\n",
        "/usr/local/bin/backup.sh": script,
        "/proc/sys/kernel/hostname": HERE,
    }
    host = FakeHost(files, now=time.time(), programs=["restic"])
    options = {"repositories": [], "discover": True, "program": "restic"}
    place.daily(3)
    result = place.look(host, **options)
    assert result.told() == ["backup.snapshot.path_missing"]
    one = result.one("backup.snapshot.path_missing")
    assert one["subject"] == f"{place.made.folder} {HERE}"
    assert (
        one["evidence"][0]
        == f"{mail} is missing; /etc/cron.d/backup (/usr/local/bin/backup.sh) (/usr/local/bin/backup.sh:3) names it"
    )
    assert result["repositories"][0]["jobs"] == ["/usr/local/bin/backup.sh:3", "/usr/local/bin/backup.sh:4"]
    assert result["jobs"][0]["schedule"] == "0 2 * * *"
    mail.mkdir()
    (mail / "box").write_text("x")
    place.backup(0, paths=(place.source, mail))
    healthy = place.look(host, **options)
    assert healthy["findings"] == []
    assert healthy.covers("backup.snapshot.stale", "*") and healthy.covers("backup.repository.missing", "*")
    assert healthy.covers("backup.host.uncovered", "host")


def test_without_the_program_it_is_the_program_that_is_told(place: Place) -> None:
    result = place.look(program="/nonexistent/restic")
    assert result.told() == ["backup.program.missing"]
    assert result["findings"][0]["subject"] == "restic"
