# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""restic_check over real repositories: every fault found, named, with its version's remedy; the whole ones silent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import check_rotation as rotation
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.check import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_check import defaults
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from tests.backups import repositories, restics
from tests.backups.fixture import restic, whole  # noqa: F401 - fixtures

pytestmark = pytest.mark.timeout(240)
MODULE = Path(__file__).parents[2] / "plugins" / "modules" / "restic_check.py"


class At(Host):
    """This machine at another time."""

    def __init__(self, weeks: float = 0.0) -> None:
        self.ahead = weeks * rotation.WEEK

    def now(self) -> float:
        return super().now() + self.ahead


def options(made: repositories.Made, **other: Any) -> dict[str, Any]:
    repository = {"name": "office", "repository": str(made.folder), "password": made.password}
    given = {
        "repositories": [repository],
        "program": str(made.program),
        "state_file": str(made.folder.parent / "state" / "check.json"),
        "idle_timeout": 6,
        "nice": 0,
        "ionice": "none",
    }
    return {**defaults(), **given, **other}


def checked(made: repositories.Made, host: Host | None = None, **other: Any) -> dict[str, Any]:
    return review(host or Host(), options(made, **other))


def covered(result: dict[str, Any]) -> set[str]:
    return {entry["check"] for entry in result["coverage"] if entry["subject"] == "office"}


def test_a_whole_repository_is_silent_and_proven(whole: repositories.Made) -> None:  # noqa: F811
    result = checked(whole)
    assert result["findings"] == []
    assert {"backup.structure.damaged", "backup.data.damaged", "backup.rotation.behind"} <= covered(result)
    structure, data = result["proofs"]
    assert (structure["check"], structure["outcome"]) == ("backup.structure.checked", "passed")
    assert (data["check"], data["outcome"]) == ("backup.data.read", "passed")
    assert data["facts"]["packs_read"] == len(whole.packs())
    (told,) = result["repositories"]
    assert told["outcome"] == "sound"
    assert json.loads(json.dumps(result)) == result
    assert checked(whole)["findings"] == []
    assert not list((whole.folder / "locks").iterdir())


def test_a_password_file_that_cannot_be_read_is_named(whole: repositories.Made) -> None:  # noqa: F811
    repository = {"name": "office", "repository": str(whole.folder), "password_file": "/nowhere/offsite.password"}
    (found,) = checked(whole, repositories=[repository])["findings"]
    assert found["check"] == "backup.repository.no_password"
    assert "password_file /nowhere/offsite.password is not there" in found["summary"]


# fault -> (check, what its facts call the pack, whether files are named)
FAULTS = {
    "data_flipped": ("backup.data.damaged", "damaged", True),
    "header_flipped": ("backup.data.damaged", "damaged", True),
    "tree_flipped": ("backup.structure.damaged", "damaged", False),
    "data_deleted": ("backup.structure.damaged", "missing", True),
    "data_cut": ("backup.structure.damaged", "cut", True),
    "tree_deleted": ("backup.structure.damaged", "missing", False),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_pack_is_named_with_its_files_and_snapshots(whole: repositories.Made, fault: str) -> None:  # noqa: F811
    check, what, names_files = FAULTS[fault]
    pack = whole.packs("tree" if fault.startswith("tree") else "data")[0]
    snapshots = {one["short_id"] for one in whole.snapshots()}
    whole.damage(fault)
    result = checked(whole)
    (found,) = result["findings"]
    assert (found["check"], found["subject"], found["severity"]) == (check, "office", "critical")
    assert found["facts"]["packs"] == {pack: what}
    assert found["facts"]["snapshots"]
    assert set(found["facts"]["snapshots"]) <= snapshots
    if names_files:
        assert set(found["facts"]["snapshots"]) == snapshots
        assert str(whole.source / "large") in found["facts"]["files"]
    old = restics.version(whole.program) < (0, 16)
    assert ("rebuild-index" if old else "repair packs" if what != "missing" else "repair index") in found["remedy"]
    assert "failed" in [proof["outcome"] for proof in result["proofs"]]
    assert repositories.PASSWORD not in str(result)
    if check == "backup.structure.damaged":
        assert "backup.data.damaged" not in covered(result)


@pytest.mark.parametrize("fault", ["index_deleted", "all_indexes_deleted", "index_flipped", "snapshot_cut"])
def test_a_broken_index_or_snapshot_is_named(whole: repositories.Made, fault: str) -> None:  # noqa: F811
    whole.damage(fault)
    result = checked(whole)
    (found,) = result["findings"]
    assert found["check"] == "backup.structure.damaged"
    version = restics.version(whole.program)
    if fault == "snapshot_cut":
        assert found["facts"]["snapshots"] == [min((whole.folder / "snapshots").iterdir()).name[:8]]
    else:
        assert ("restic rebuild-index" if version < (0, 16) else "restic repair index") in found["remedy"]
        if fault == "index_flipped":
            assert found["facts"]["indexes"] == [min((whole.folder / "index").iterdir()).name[:8]]
        else:
            assert found["facts"]["packs_without_index"]
        data = next(proof for proof in result["proofs"] if proof["check"] == "backup.data.read")
        assert data["outcome"] == "cannot"  # what no index names was not read


@pytest.mark.parametrize("fault", ["index_deleted", "all_indexes_deleted", "index_flipped"])
def test_the_remedy_for_an_index_heals_it(whole: repositories.Made, fault: str) -> None:  # noqa: F811
    whole.damage(fault)
    remedy = checked(whole)["findings"][0]["remedy"]
    for step in remedy.split("; "):
        if step.startswith("restic r"):
            whole.restic(*step.split()[1:])
    assert checked(whole)["findings"] == []


@pytest.mark.parametrize("fault", ["data_flipped", "header_flipped", "data_deleted"])
def test_the_remedy_for_a_pack_saves_what_can_be_saved(whole: repositories.Made, fault: str) -> None:  # noqa: F811
    pack = whole.packs("data")[0]
    whole.damage(fault)
    remedy = checked(whole)["findings"][0]["remedy"]
    for step in remedy.split("; "):
        if step.startswith("move "):
            whole.pack(pack).unlink()
        elif step.startswith("back up again"):
            whole.restic("backup", "--force", str(whole.source))
        elif step.startswith(("restic rebuild-index", "restic repair")):
            whole.restic(*step.partition(" (")[0].split()[1:])
    assert checked(whole)["findings"] == []
    # The content that the source still had came back.
    assert whole.restic("dump", "latest", str(whole.source / "folder0" / "file0")).returncode == 0


def test_a_flipped_byte_is_found_when_its_turn_comes_and_stays_found(restic: Path, tmp_path: Path) -> None:  # noqa: F811
    made = repositories.Made.new(restic, tmp_path / "many", backups=16, megabytes=0)
    total = len(made.packs()) // rotation.PACKS_A_GROUP
    assert total >= 4
    made.damage("data_flipped")
    bad = made.packs("data")[0]
    turn = rotation.group_of(bad, total)
    for week in range(total + 1):
        result = checked(made, At(week), weeks=total)
        (told,) = result["repositories"]
        assert told["read"]["groups"] == [week % total + 1]
        due = week + 1 >= turn
        assert [found["check"] for found in result["findings"]] == ["backup.data.damaged"] * due
        if due:
            # Its turn is over, and it is read again all the same: the ticket must not close itself.
            assert list(result["findings"][0]["facts"]["packs"]) == [bad]
    assert told["coverage"]["read"] == told["coverage"]["packs"]


def test_new_packs_are_read_before_their_turn(restic: Path, tmp_path: Path) -> None:  # noqa: F811
    made = repositories.Made.new(restic, tmp_path / "many", backups=16, megabytes=0)
    assert checked(made, weeks=4)["findings"] == []
    before = set(made.packs())
    (made.source / "new").write_bytes(os.urandom(100_000))
    made.restic("backup", str(made.source))
    new = next(pack for pack in made.packs("data") if pack not in before)
    repositories.flip(made.pack(new), 100)
    # Structure only would not see it: the next day no group is due.
    result = checked(made, At(1 / 7), weeks=4)
    assert result["repositories"][0]["read"]["groups"] == []
    assert list(result["findings"][0]["facts"]["packs"]) == [new]


def test_check_mode_tells_and_keeps_nothing(whole: repositories.Made) -> None:  # noqa: F811
    whole.damage("data_flipped")
    result = checked(whole, check_mode=True)
    (told,) = result["repositories"]
    assert told["outcome"] == "not run"
    assert told["planned"]["packs"] == len(whole.packs())
    assert result["findings"] == []
    assert "backup.structure.damaged" not in covered(result)
    assert not (whole.folder.parent / "state").exists()


@pytest.mark.parametrize("content", ["", "\0\0\0", '{"owner": "somebody else"}'])
def test_a_foreign_state_file_is_put_aside(whole: repositories.Made, content: str) -> None:  # noqa: F811
    state = whole.folder.parent / "state" / "check.json"
    state.parent.mkdir()
    state.write_text(content)
    result = checked(whole)
    assert result["findings"] == []
    assert "begun anew" in result["repositories"][0]["state"]
    assert rotation.load(state.read_text())[1] == ""
    assert (state.parent / "check.json.not-understood").read_text() == content


def test_a_place_that_cannot_be_kept_is_told(whole: repositories.Made) -> None:  # noqa: F811
    result = checked(whole, state_file="/proc/nowhere/check.json")
    (found,) = result["findings"]
    assert (found["check"], found["subject"]) == ("backup.check.not_run", "backup.rotation.kept")


def test_a_dead_lock_is_told_and_left(whole: repositories.Made) -> None:  # noqa: F811
    whole.damage("lock_dead")
    result = checked(whole)
    (found,) = result["findings"]
    assert found["check"] == "backup.repository.locked"
    (lock,) = result["repositories"][0]["locks"]
    assert str(lock["pid"]) in " ".join(found["evidence"])
    assert lock["host"] in " ".join(found["evidence"])
    assert len(list((whole.folder / "locks").iterdir())) == 1


def test_a_backup_at_work_is_no_fault(whole: repositories.Made) -> None:  # noqa: F811
    whole.damage("lock_live")
    result = checked(whole)
    assert [found for found in result["findings"] if found["severity"] != "info"] == []


@pytest.mark.parametrize("fault", ["wrong_password", "path_missing", "key_cut"])
def test_what_cannot_be_opened_is_told_and_not_covered(whole: repositories.Made, fault: str) -> None:  # noqa: F811
    result = checked(whole.damage(fault))
    (found,) = result["findings"]
    assert found["check"].startswith("backup.repository.")
    assert not covered(result) & {"backup.structure.damaged", "backup.data.damaged", found["check"]}
    assert [proof["outcome"] for proof in result["proofs"]] == ["cannot"]


# -- the module as Ansible runs it ------------------------------------------------------------------------------------


def started(made: repositories.Made, **other: Any) -> subprocess.Popen[bytes]:
    given = {"ANSIBLE_MODULE_ARGS": {**options(made, discover=False, **other), "_ansible_check_mode": False}}
    process = subprocess.Popen([sys.executable, str(MODULE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(json.dumps(given).encode())
    process.stdin.close()
    return process


def of_ours(parent: int) -> list[int]:
    """The processes below one, by their numbers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == parent and words[0] != "Z":
            found += [int(folder.name), *of_ours(int(folder.name))]
    return found


def command_lines() -> list[bytes]:
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((folder / "cmdline").read_bytes())
        except OSError:
            continue
    return lines


def test_no_password_is_ever_seen_in_the_process_list_or_the_result(whole: repositories.Made) -> None:  # noqa: F811
    process = started(whole)
    seen = 0
    while process.poll() is None:
        lines = command_lines()
        seen += any(str(whole.program).encode() in line.split(b"\0")[0] for line in lines)
        assert not any(repositories.PASSWORD.encode() in line for line in lines)
    assert process.stdout is not None
    said = process.stdout.read()
    process.stdout.close()
    assert seen, "restic was never seen at work"
    result = json.loads(said)
    assert result["findings"] == []
    assert repositories.PASSWORD.encode() not in said


def slow(tmp_path: Path, program: Path) -> Path:
    """A restic that checks for ever, and does all else as it should."""
    script = tmp_path / "restic"
    script.write_text(f'#!/bin/sh\nfor word; do [ "$word" = check ] && exec sleep 600; done\nexec {program} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, None])
def test_whatever_ends_the_module_ends_restic_too(
    whole: repositories.Made,  # noqa: F811
    tmp_path: Path,
    number: signal.Signals | None,
) -> None:
    before = set(Path("/tmp").iterdir())
    process = started(whole, program=str(slow(tmp_path, whole.program)), idle_timeout=0)
    assert process.stdout is not None
    deadline = time.monotonic() + 60
    while not any(b"sleep" in line.split(b"\0")[0] for line in _lines(of_ours(process.pid))):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    below = of_ours(process.pid)
    if number is None:
        process.stdout.close()  # the connection is cut
    else:
        process.send_signal(number)
    process.wait(20)
    if number is signal.SIGTERM:
        assert b"cancelled" in process.stdout.read()
    process.stdout.close()
    deadline = time.monotonic() + 10
    while any(b"sleep" in line for line in _lines(below)):
        assert time.monotonic() < deadline, "restic outlived the module"
        time.sleep(0.05)
    assert not [path for path in set(Path("/tmp").iterdir()) - before if "restic" in path.name]
    assert not list((whole.folder / "locks").iterdir())


def _lines(numbers: list[int]) -> list[bytes]:
    lines = []
    for number in numbers:
        try:
            lines.append(Path(f"/proc/{number}/cmdline").read_bytes())
        except OSError:
            continue
    return lines
