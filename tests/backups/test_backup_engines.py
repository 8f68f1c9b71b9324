# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories of borg in every state of decay, and a made-up appliance behind the adapter `command`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import borg as borg_engine
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import engine_review, options_engine
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from tests.backups.mysqls import Result

pytestmark = pytest.mark.timeout(180)

SPECS = {
    "info": (options_engine.INFO_SPEC, engine_review.info),
    "check": (options_engine.CHECK_SPEC, engine_review.check),
    "restore": (options_engine.RESTORE_SPEC, engine_review.restore_test),
}


def asked(what: str, repository: dict[str, Any], check_mode: bool = False, **params: Any) -> Result:
    spec, review = SPECS[what]
    checked = ArgumentSpecValidator(spec).validate({"repositories": [repository], **params})
    assert not checked.error_messages, checked.error_messages
    return Result(review(Host(), {**checked.validated_parameters, "check_mode": check_mode}))  # type: ignore[operator]


class Borg:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "repository"
        self.source = folder / "source"
        self.env = dict(os.environ, BORG_PASSPHRASE="correct horse", BORG_BASE_DIR=str(folder / "base"))

    def run(self, *words: str) -> None:
        subprocess.run(["borg", *words], env=self.env, check=True, capture_output=True, cwd=self.folder)

    def params(self, **more: Any) -> dict[str, Any]:
        environment = {"BORG_BASE_DIR": str(self.folder / "base")}
        given = {"password": "correct horse", **more}
        return {"name": "offsite", "engine": "borg", "repository": str(self.path), "environment": environment, **given}


@pytest.fixture
def borg(tmp_path: Path) -> Borg:
    if shutil.which("borg") is None:
        pytest.fail("expected borg, found none; to do: apt-get install borgbackup")
    made = Borg(tmp_path)
    made.source.mkdir()
    for number in range(20):
        (made.source / f"file {number}\n\x1b").write_bytes(os.urandom(50_000))
    os.link(made.source / "file 1\n\x1b", made.source / "linked")
    (made.source / "link").symlink_to("/etc/passwd")
    (made.source / os.fsdecode(b"\xff\xfe")).write_text("not UTF-8")
    os.mkfifo(made.source / "pipe")
    (made.source / "set-uid").write_text("x")
    (made.source / "set-uid").chmod(0o4755)
    made.run("init", "-e", "repokey", str(made.path))
    made.run("create", f"{made.path}::one", str(made.source))
    return made


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="upkeep-scratch-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder) / "scratch"
        assert list((Path(folder) / "scratch").glob("*")) == []


def test_a_healthy_repository_is_silent(borg: Borg, place: Path) -> None:
    told = asked("info", borg.params(), rpo_hours=1)
    assert told["findings"] == []
    assert told.covers("backup.snapshot.stale")
    assert told["repositories"][0]["version"].startswith("1.")
    for data in (False, True):
        checked = asked("check", borg.params(), data=data)
        assert checked["findings"] == []
        assert checked["proofs"][0]["outcome"] == "passed"
    restored = asked("restore", borg.params(), scratch=str(place), compare=True)
    assert restored["findings"] == [], [one["evidence"] for one in restored["findings"]]
    one = restored["restores"][0]
    assert (one["outcome"], one["files"]) == ("passed", 23)
    assert one["compared"] >= 23
    assert "correct horse" not in json.dumps([told, checked, restored])


def test_check_mode_restores_nothing(borg: Borg, place: Path) -> None:
    result = asked("restore", borg.params(), scratch=str(place), check_mode=True)
    assert result["restores"][0]["needs_bytes"] > 1_000_000
    assert "proofs" not in result and not place.exists()


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("missing", "backup.repository.missing"),
        ("empty", "backup.repository.empty"),
        ("wrong password", "backup.repository.wrong_password"),
        ("no password", "backup.repository.no_password"),
        ("no program", "backup.program.missing"),
        ("locked", "backup.repository.locked"),
    ],
)
@pytest.mark.parametrize("what", ["info", "check", "restore"])
def test_a_repository_that_does_not_open(borg: Borg, place: Path, fault: str, check: str, what: str) -> None:
    params = borg.params()
    holder = None
    if fault == "missing":
        params["repository"] = str(borg.folder / "nowhere")
    elif fault == "empty":
        (borg.folder / "empty").mkdir()
        params["repository"] = str(borg.folder / "empty")
    elif fault == "wrong password":
        params["password"] = "hunter2-hunter2"
    elif fault == "no password":
        del params["password"]
    elif fault == "no program":
        params["program"] = "/nowhere/borg"
    else:
        holder = subprocess.Popen(["borg", "with-lock", str(borg.path), "sleep", "60"], env=borg.env)
        while not (borg.path / "lock.exclusive").exists():
            time.sleep(0.05)
    try:
        result = asked(what, params, **({"scratch": str(place)} if what == "restore" else {}))
    finally:
        if holder is not None:
            holder.terminate()
            holder.wait()
    found = result["findings"]
    assert [one["check"] for one in found] == [check], found
    assert found[0]["remedy"] and "restic" not in found[0]["remedy"]
    assert "hunter2" not in json.dumps(result)
    if fault == "locked":
        assert any("held by process" in line for line in found[0]["evidence"])


def test_damaged_data(borg: Borg, place: Path) -> None:
    (segment,) = [path for path in (borg.path / "data" / "0").iterdir() if path.stat().st_size > 500_000]
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    checked = asked("check", borg.params())
    assert checked.checks() == ["backup.structure.damaged"]
    assert checked["findings"][0]["evidence"]
    assert "borg check --repair" in checked["findings"][0]["remedy"]
    assert checked["proofs"][0]["outcome"] == "failed"
    restored = asked("restore", borg.params(), scratch=str(place))
    assert restored.checks(), restored
    assert restored["proofs"][0]["outcome"] in ("failed", "cannot")


def test_damage_is_told_by_what_borg_met_and_not_by_where_it_was(borg: Borg, place: Path) -> None:
    (segment,) = [path for path in (borg.path / "data" / "0").iterdir() if path.stat().st_size > 500_000]
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    (found,) = asked("restore", borg.params(), scratch=str(place))["findings"]
    assert found["check"] == "backup.structure.damaged"
    assert "Data integrity error" in found["summary"]
    assert "Traceback" not in json.dumps(found)


def test_a_repository_that_was_moved_is_told_with_where_it_was(borg: Borg) -> None:
    moved = borg.folder / "moved"
    borg.path.rename(moved)
    (found,) = asked("info", {**borg.params(), "repository": str(moved)})["findings"]
    assert (found["check"], found["severity"]) == ("backup.repository.untrusted", "high")
    assert f"previously located at {borg.path}" in found["summary"]
    assert "BORG_RELOCATED_REPO_ACCESS_IS_OK=yes" in found["remedy"] and str(moved) in found["remedy"]


@pytest.mark.parametrize("command", ["echo 'x", " "])
def test_a_command_for_the_passphrase_that_is_none_is_a_finding(borg: Borg, command: str) -> None:
    params = {**borg.params(), "password_command": command}
    del params["password"]
    (found,) = asked("info", params)["findings"]
    assert (found["check"], found["subject"]) == ("backup.repository.no_password", "offsite")
    assert "password_command" in found["remedy"]


def test_looking_leaves_nothing_that_looks_as_if_a_job_backed_this_host_up(
    borg: Borg, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, notes = borg.folder / "home", borg.folder / "notes"
    home.mkdir()
    for name in ("BORG_BASE_DIR", "BORG_CONFIG_DIR", "BORG_SECURITY_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(borg_engine, "SECURITY", str(notes))
    monkeypatch.setattr(borg_engine, "SECURITY_OF_USER", str(notes))
    params = {**borg.params(), "environment": {"HOME": str(home)}}
    assert asked("info", params)["findings"] == []
    assert not (home / ".config").exists()
    assert any(notes.iterdir())


def test_an_old_newest_archive_is_stale_and_none_is_told(borg: Borg) -> None:
    borg.run("create", "--timestamp", "2020-01-01T00:00:00", f"{borg.path}::old", str(borg.source))
    borg.run("delete", f"{borg.path}::one")
    stale = asked("info", borg.params(), rpo_hours=26)
    assert "backup.snapshot.stale" in stale.checks() or "backup.snapshot.none" in stale.checks(), stale["findings"]
    borg.run("delete", f"{borg.path}::old")
    none = asked("info", borg.params(), rpo_hours=26)
    assert none.checks() == ["backup.snapshot.none"]
    assert not any("restic" in one["remedy"] for one in [*stale["findings"], *none["findings"]])


def test_a_policy_for_it_that_fits_nothing_is_told(borg: Borg) -> None:
    fits = {"repository": "off*", "rpo_hours": 26, "paths": ["/etc"]}
    lost = {"repository": "offsite", "host": "nobody", "rpo_hours": 1}
    policies = [fits, lost, {"repository": "restic", "host": "x"}]
    told = asked("info", borg.params(), policies=policies)
    assert [(one["check"], one["subject"]) for one in told["findings"]] == [
        ("backup.policy.unmatched", "repository: offsite, host: nobody")
    ]
    # That names are not looked for here is not passed over.
    assert "backup.snapshot.path_missing" in {entry["check"] for entry in told["not_applicable"]}
    assert asked("info", borg.params(), policies=[fits])["findings"] == []


def test_paths_that_match_nothing(borg: Borg, place: Path) -> None:
    result = asked("restore", borg.params(), scratch=str(place), paths=["/nowhere"])
    assert result.checks() == ["backup.restore.nothing_restored"]


APPLIANCE = """
import json, os, shutil, sys, time
what = sys.argv[1]
mode = os.environ.get("MODE", "")
if what == "list":
    print("oops" if mode == "garbage" else json.dumps([] if mode == "none" else [
        {"id": "b-1", "time": time.time() - (9e6 if mode == "stale" else 0), "host": os.uname().nodename,
         "paths": [os.environ["SOURCE"]], **json.loads(os.environ.get("TOLD", '{"files": 2, "bytes": 10}'))}]))
elif what == "check":
    print("block 7 is bad" if mode == "damaged" else "fine", file=sys.stderr)
    sys.exit({"damaged": 1, "broken": 5}.get(mode, 0))
else:
    assert os.environ["UPKEEP_SNAPSHOT"] == sys.argv[2] == "b-1" and os.environ["UPKEEP_TARGET"] == sys.argv[3]
    if mode != "nothing":
        shutil.copytree(os.environ["SOURCE"], sys.argv[3] + os.environ["SOURCE"])
    if mode == "half":
        os.unlink(sys.argv[3] + os.environ["SOURCE"] + "/b")
    if mode == "elsewhere":
        os.rename(sys.argv[3] + os.environ["SOURCE"], sys.argv[3] + "/new")
    if mode == "altered":
        path = sys.argv[3] + os.environ["SOURCE"] + "/a"
        before = os.stat(path)
        open(path, "w").write("other")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
"""


@pytest.fixture
def appliance(tmp_path: Path) -> dict[str, Any]:
    source = tmp_path / "source; touch pwned $(touch pwned)"
    source.mkdir()
    (source / "a").write_text("hello")
    (source / "b").write_text("world")
    for name in ("a", "b"):
        os.utime(source / name, (1_700_000_000, 1_700_000_000))
    script = tmp_path / "appliance.py"
    script.write_text(APPLIANCE)
    words = [sys.executable, str(script)]
    return {
        "name": "appliance",
        "engine": "command",
        "list_command": [*words, "list"],
        "check_command": [*words, "check"],
        "restore_command": [*words, "restore", "{snapshot}", "{target}"],
        "environment": {"SOURCE": str(source)},
    }


@pytest.mark.parametrize(
    ("what", "mode", "checks"),
    [
        ("info", "", []),
        ("info", "garbage", ["backup.repository.not_understood"]),
        ("info", "none", ["backup.snapshot.none"]),
        ("check", "", []),
        ("check", "damaged", ["backup.structure.damaged"]),
        ("check", "broken", ["backup.repository.failed"]),
        ("restore", "", []),
        ("restore", "nothing", ["backup.restore.nothing_restored"]),
        ("restore", "altered", ["backup.restore.source_differs"]),
    ],
)
def test_an_appliance_by_commands(
    appliance: dict[str, Any], place: Path, what: str, mode: str, checks: list[str]
) -> None:
    appliance["environment"]["MODE"] = mode
    more = {"restore": {"scratch": str(place), "compare": True}, "info": {"rpo_hours": 1}}.get(what, {})
    result = asked(what, appliance, **more)
    assert result.checks() == checks, result["findings"]
    if what != "info" and checks:
        assert all(one["outcome"] in ("failed", "cannot") for one in result.get("proofs", []))


@pytest.mark.parametrize(
    ("mode", "told", "checks", "outcome"),
    [
        ("", {"files": 2, "bytes": 10}, [], "passed"),
        (
            "half",
            {"files": 2, "bytes": 10},
            ["backup.restore.content_mismatch", "backup.restore.file_missing"],
            "failed",
        ),
        ("half", {"files": 2}, ["backup.restore.file_missing"], "failed"),
        ("", {"files": 1, "bytes": 10}, ["backup.restore.content_mismatch"], "failed"),
        ("", {"files": 2, "bytes": 5_000_000}, ["backup.restore.content_mismatch"], "failed"),
        ("elsewhere", {"files": 2, "bytes": 10}, ["backup.restore.file_missing"], "failed"),
        # What nobody can compare proves nothing, and is told.
        ("", {}, ["backup.check.not_run"], "cannot"),
        ("", {"files": 2}, ["backup.check.not_run"], "cannot"),
    ],
)
def test_what_the_list_of_an_appliance_tells_must_come_back(
    appliance: dict[str, Any], place: Path, mode: str, told: dict[str, int], checks: list[str], outcome: str
) -> None:
    appliance["environment"].update(MODE=mode, TOLD=json.dumps(told))
    result = asked("restore", appliance, scratch=str(place))
    assert sorted(result.checks()) == checks, result["findings"]
    (proof,) = result["proofs"]
    assert (proof["check"], proof["outcome"]) == ("backup.restore.whole", outcome)
    # What was compared with nothing is not covered.
    assert result.covers("backup.restore.content_mismatch") == ("bytes" in told or outcome == "failed")
    assert not result.covers("backup.restore.source_differs")
    assert not result.covers("backup.restore.metadata_mismatch")


def test_live_files_that_are_all_other_by_now_prove_nothing(appliance: dict[str, Any], place: Path) -> None:
    appliance["environment"]["TOLD"] = "{}"
    empty = place.parent / "empty"
    empty.mkdir()
    other = asked("restore", appliance, scratch=str(place), compare=True, source_root=str(empty))
    assert other["restores"][0]["compared"] == 0
    assert [one["outcome"] for one in other["proofs"]] == ["cannot"]
    assert not other.covers("backup.restore.source_differs")
    live = asked("restore", appliance, scratch=str(place), compare=True)
    assert live["findings"] == []
    assert [one["outcome"] for one in live["proofs"]] == ["passed"]
    assert "live files" in live["proofs"][0]["summary"]


KILLED = """
import json, sys
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import cancellable
from tests.backups.test_backup_engines import asked
given = json.load(sys.stdin)
with cancellable():
    asked("restore", given["repository"], scratch=given["scratch"])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_whatever_ends_the_module_ends_the_command_and_the_next_run_sweeps(
    tmp_path: Path, place: Path, number: signal.Signals
) -> None:
    script, middle = tmp_path / "appliance.py", tmp_path / "in-the-middle"
    script.write_text(
        "import json, os, sys, time\n"
        "if sys.argv[1] == 'list':\n"
        "    print(json.dumps([{'id': 'one', 'time': time.time(), 'files': 1, 'bytes': 1000}]))\n"
        "else:\n"
        "    open(os.path.join(sys.argv[2], 'half'), 'w').write('x' * 1000)\n"
        f"    open({str(middle)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(0 if os.environ['MODE'] == 'fast' else 600)\n"
    )
    words = [sys.executable, str(script)]
    params: dict[str, Any] = {
        "name": "appliance",
        "engine": "command",
        "list_command": [*words, "list"],
        "restore_command": [*words, "restore", "{target}"],
        "environment": {"MODE": "slow"},
    }
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdin=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdin is not None
    process.stdin.write(json.dumps({"repository": params, "scratch": str(place)}).encode())
    process.stdin.close()
    deadline = time.monotonic() + 60
    while not middle.exists() or not middle.read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    process.wait(30)
    left = list(place.iterdir())
    assert bool(left) == (number == signal.SIGKILL)
    while Path("/proc", middle.read_text()).exists():
        assert time.monotonic() < deadline, "the command goes on"
        time.sleep(0.02)
    result = asked("restore", {**params, "environment": {"MODE": "fast"}}, scratch=str(place))
    assert result["findings"] == []
    assert [(one["path"], one["left"]) for one in result["swept"]] == [(str(one), []) for one in left]
