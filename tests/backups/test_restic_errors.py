# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restic says of each fault, in each version: told apart, without a secret, and within its time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.restic import (
    Limits,
    Repository,
    Restic,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.restic_errors import Kind, ResticError
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from tests.backups import repositories, restics
from tests.backups.fixture import program, whole  # noqa: F401 - a fixture


@pytest.fixture(params=restics.NAMES)
def restic(request: pytest.FixtureRequest) -> Path:
    """Every version: what they say, and how they end, is what differs."""
    return program(request.param)


LIMITS = Limits(timeout=60, idle=5, nice=None, ionice=None)


def of(made: repositories.Made, limits: Limits = LIMITS, **other: object) -> Restic:
    made_of = {"name": "office", "repository": str(made.folder), "password": made.password, **other}
    return Restic(Host(), Repository.of(made_of), str(made.program), limits, no_cache=True)


KINDS = {
    "config_flipped": Kind.CONFIG_DAMAGED,
    "config_deleted": Kind.NO_CONFIG,
    "path_missing": Kind.MISSING,
    "path_is_a_file": Kind.MISSING,
    "folder_empty": Kind.EMPTY,
    "wrong_password": Kind.WRONG_PASSWORD,
    "no_password": Kind.NO_PASSWORD,
    "keys_removed": Kind.NO_KEY,
    "key_cut": Kind.KEY_DAMAGED,
}


@pytest.mark.parametrize("fault", KINDS)
def test_a_fault_has_its_kind(whole: repositories.Made, fault: str) -> None:  # noqa: F811
    broken = whole.damage(fault)
    with of(broken) as restic_of_it, pytest.raises(ResticError) as raised:
        restic_of_it.snapshots()
    error = raised.value
    assert error.kind == KINDS[fault], (error.why, error.evidence)
    assert error.remedy
    assert repositories.PASSWORD not in str((error.why, error.evidence, error.remedy))


def test_a_snapshot_that_cannot_be_read_is_left_out_and_named(whole: repositories.Made) -> None:  # noqa: F811
    lost = min((whole.folder / "snapshots").iterdir()).name
    with of(whole.damage("snapshot_cut")) as restic_of_it:
        assert lost not in [one.id for one in restic_of_it.snapshots()]
        assert list(restic_of_it.unreadable) == [lost]
        with pytest.raises(ResticError) as raised:
            restic_of_it.ask(["cat", "snapshot", lost])
    assert raised.value.kind == Kind.CORRUPT, (raised.value.why, raised.value.evidence)


def test_what_cannot_be_reached_is_told_before_restic_gives_up(whole: repositories.Made) -> None:  # noqa: F811
    began = time.monotonic()
    with (
        of(whole, repository="rest:http://somebody:letmein@127.0.0.1:9/") as restic_of_it,
        pytest.raises(ResticError) as raised,
    ):
        restic_of_it.snapshots()
    assert raised.value.kind == Kind.UNREACHABLE, raised.value.evidence
    assert time.monotonic() - began < 30
    assert "letmein" not in str((raised.value.why, raised.value.evidence))


@pytest.mark.parametrize("fault", ["tree_deleted", "data_deleted"])
def test_a_missing_pack_does_not_hold_us_for_minutes(whole: repositories.Made, fault: str, tmp_path: Path) -> None:  # noqa: F811
    # 0.14 tries again for 15 minutes.
    whole.damage(fault)
    began = time.monotonic()
    with of(whole) as restic_of_it, pytest.raises(ResticError) as raised:
        restic_of_it.restore("latest", str(tmp_path / "target"))
    assert time.monotonic() - began < 30
    assert raised.value.kind == Kind.CORRUPT, (raised.value.why, raised.value.evidence)


def test_no_such_snapshot(whole: repositories.Made, tmp_path: Path) -> None:  # noqa: F811
    with of(whole) as restic_of_it:
        with pytest.raises(ResticError) as raised:
            restic_of_it.ls("deadbeef", lambda entry: None)
        assert raised.value.kind == Kind.NO_SNAPSHOT
        with pytest.raises(ResticError) as raised:
            restic_of_it.restore("deadbeef", str(tmp_path / "target"))
        assert raised.value.kind == Kind.NO_SNAPSHOT


@pytest.mark.parametrize("fault", ["lock_live", "lock_dead"])
def test_a_lock_is_told_and_stays(whole: repositories.Made, fault: str) -> None:  # noqa: F811
    before = time.time()
    whole.damage(fault)
    holder = repositories.HOLDERS[-1].pid if fault == "lock_live" else None
    with of(whole) as restic_of_it:
        (lock,) = restic_of_it.locks()
        assert len(restic_of_it.snapshots()) == 2
    assert holder in (None, lock.pid)
    assert lock.host
    assert before - 1 <= lock.time <= time.time()
    assert len(list((whole.folder / "locks").iterdir())) == 1


def test_a_healthy_repository_answers(whole: repositories.Made) -> None:  # noqa: F811
    with of(whole) as restic_of_it:
        assert restic_of_it.version() == restics.version(whole.program)
        first, second = restic_of_it.snapshots()
        assert first.time < second.time
        assert second.parent == first.id
        assert second.paths == (str(whole.source),)
        assert (second.files is None) == (restic_of_it.version() < (0, 17))
        entries: dict[str, object] = {}
        told = restic_of_it.ls(second.id, lambda entry: entries.setdefault(entry.path, entry))
        assert told.id == second.id
        large = entries[str(whole.source / "large")]
        status = (whole.source / "large").stat()
        assert (large.size, large.mode) == (status.st_size, status.st_mode & 0o7777)  # type: ignore[attr-defined]
        assert large.mtime == pytest.approx(status.st_mtime, abs=1e-5)  # type: ignore[attr-defined]
        names: list[str] = []
        restic_of_it.ls(second.id, lambda entry: names.append(entry.path), [str(whole.source / "folder1")])
        assert str(whole.source / "folder1" / "file1") in names
        assert str(whole.source / "large") not in names
        assert "nodes" in restic_of_it.cat_tree(second.tree)
        assert restic_of_it.stats(second.id)["total_size"] > status.st_size
        pack = restic_of_it.packs()[0]
        assert restic_of_it.pack_digest(pack) == pack
        assert len(restic_of_it.config()["id"]) == 64


def test_a_bad_program_is_told(whole: repositories.Made, tmp_path: Path) -> None:  # noqa: F811
    for path, kind in (("/nonexistent/restic", Kind.NOT_RESTIC), ("/bin/true", Kind.NOT_RESTIC)):
        with pytest.raises(ResticError) as raised:
            Restic(Host(), Repository("office", str(whole.folder), password="x"), path).version()
        assert raised.value.kind == kind
