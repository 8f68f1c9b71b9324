# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad stores, made for real: read-only, locked, newer, foreign, damaged, on a full disk. Each is told apart."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.scheduler import results_file
from upkeep.errors import NOT_RUN, UpkeepError
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import Store, errors, open_store
from upkeep.store.schema import REVISION

ROOT = Path(__file__).parents[3]
NOBODY = 65534
DISK = "capacity.disk.full"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems, or becomes another user: needs root")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose store has one ticket."""
    home = tmp_path / "home"
    with open_store(None, home) as store:
        path = results_file.write(tmp_path / "first.jsonl", "first", [("web1", DISK, "/", "high")])
        record_file(store, path, Policy(), 1011.0)
    return home


def refused(home: Path) -> UpkeepError:
    """What opening the store says."""
    with pytest.raises(UpkeepError) as error:
        open_store(None, home)
    assert error.value.exit_code == NOT_RUN
    assert all((error.value.what, error.value.expected, error.value.found, error.value.remedy))
    return error.value


def contents(home: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in home.iterdir()}


# --- not ours, or not whole ------------------------------------------------------------------------------


def test_a_newer_schema(home: Path) -> None:
    with sqlite3.connect(home / "upkeep.db") as db:
        db.execute("UPDATE upkeep_schema SET version_num = '9001'")
    db.close()
    before = contents(home)["upkeep.db"]
    error = refused(home)
    assert "newer Upkeep" in error.what
    assert (error.expected, error.found) == (f"schema {REVISION} or older", "schema 9001")
    assert "Upgrade Upkeep" in error.remedy
    assert contents(home)["upkeep.db"] == before


def test_a_database_of_something_else(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "upkeep.db") as db:
        db.execute("CREATE TABLE cookies (name)")
    db.close()
    before = contents(tmp_path)
    error = refused(tmp_path)
    assert "not a store of Upkeep" in error.what
    assert "cookies" in error.found
    assert contents(tmp_path) == before


def test_a_schema_that_no_version_has(home: Path) -> None:
    with sqlite3.connect(home / "upkeep.db") as db:
        db.execute("UPDATE upkeep_schema SET version_num = 'f00f00f00f00'")
    db.close()
    assert "no version of Upkeep" in refused(home).found


@pytest.mark.parametrize("damage", ["text", "header", "truncated"])
def test_a_damaged_file(home: Path, damage: str) -> None:
    path = home / "upkeep.db"
    raw = bytearray(path.read_bytes())
    if damage == "text":
        raw = bytearray(b"this is no database\n" * 500)
    elif damage == "header":
        raw[:100] = os.urandom(100)
    else:
        del raw[5000:]
    path.write_bytes(raw)
    before = contents(home)["upkeep.db"]
    error = refused(home)
    assert "is damaged" in error.what
    assert "your last backup" in error.remedy
    assert contents(home)["upkeep.db"] == before


def test_damage_in_the_middle_is_found_before_a_run(home: Path) -> None:
    path = home / "upkeep.db"
    raw = bytearray(path.read_bytes())
    raw[4 * 4096 :] = b"\xa5" * (len(raw) - 4 * 4096)
    path.write_bytes(raw)
    with pytest.raises(UpkeepError, match="is damaged") as error, open_store(None, home) as store:
        store.check_writable()
    assert error.value.exit_code == NOT_RUN


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "upkeep.db").touch()
    with open_store(None, tmp_path) as store:
        assert store.tickets() == []


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "upkeep.db").mkdir()
    assert refused(tmp_path).found == "a folder"


# --- locked ----------------------------------------------------------------------------------------------

HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    db.execute(statement)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that is writing to the store."""
    monkeypatch.setattr(errors, "BUSY_SECONDS", 0.3)
    yield from _hold(home, "BEGIN IMMEDIATE", "UPDATE runs SET message = 'x'")


def _hold(home: Path, *statements: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", HOLDER, str(home / "upkeep.db"), *statements]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child


def test_locked_names_its_holder_and_readers_go_on(home: Path, tmp_path: Path, held: subprocess.Popen[bytes]) -> None:
    with open_store(None, home) as store:
        assert len(store.tickets()) == 1
        assert len(store.runs()) == 1
        path = results_file.write(tmp_path / "results.jsonl", "r2", [("web2", DISK, "/", "high")], started=2000)
        with pytest.raises(UpkeepError, match="is locked") as error:
            record_file(store, path, Policy(), 2011.0)
        assert error.value.exit_code == NOT_RUN
        assert f"process {held.pid} (python" in error.value.found
        assert f"upkeep record {path}" in error.value.remedy
        with pytest.raises(UpkeepError, match="is locked"):
            store.check_writable()
        assert held.stdin is not None
        held.stdin.close()
        held.wait()
        assert record_file(store, path, Policy(), 2011.0).changes[0].added == 1


def test_a_store_that_is_held_whole_is_locked_when_it_is_opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "BUSY_SECONDS", 0.3)
    for child in _hold(home, "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"):
        error = refused(home)
        assert "is locked" in error.what
        assert str(child.pid) in error.found


def test_a_new_store_that_somebody_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "BUSY_SECONDS", 0.3)
    for _ in _hold(tmp_path, "BEGIN EXCLUSIVE"):
        assert "is locked" in refused(tmp_path).what


# --- read-only -------------------------------------------------------------------------------------------


def as_nobody(home: Path) -> UpkeepError | None:
    """What a user without rights is told."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            told: list[object] = []
            try:
                open_store(None, home).close()
            except UpkeepError as error:
                told = [error.what, error.expected, error.found, error.remedy, error.exit_code]
            os.write(write, json.dumps(told).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = json.loads(pipe.read())
    os.waitpid(child, 0)
    if not said:
        return None
    return UpkeepError(said[0], expected=said[1], found=said[2], remedy=said[3], exit_code=said[4])


@needs_root
@pytest.mark.parametrize(
    ("folder", "file", "found"),
    [
        (0o755, 0o666, "no permission to write"),
        (0o777, 0o644, "upkeep.db (mode 0644)"),
        (0o700, 0o666, "no permission to write"),
    ],
)
def test_no_permission(home: Path, folder: int, file: int, found: str) -> None:
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        place = Path(open_to_all) / "home"
        shutil.copytree(home, place)
        assert as_nobody(place) is not None
        (place / "upkeep.db").chmod(file)
        place.chmod(folder)
        error = as_nobody(place)
        assert error is not None
        assert error.exit_code == NOT_RUN
        assert "read-only" in error.what or "cannot" in error.what
        assert found in error.found
        place.chmod(0o777)
        (place / "upkeep.db").chmod(0o666)
        assert as_nobody(place) is None, "with the rights, it opens"


@needs_root
def test_no_permission_to_make_the_home(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as other:
        Path(other).chmod(0o755)
        error = as_nobody(Path(other) / "home")
        assert error is not None
        assert "cannot be made" in error.what
        assert "Permission denied" in error.found


# --- file systems: each in a mount namespace of its own, so that nothing is left behind ------------------

PRELUDE = """
import sys, os, json, subprocess
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/scheduler"]
from upkeep.errors import UpkeepError
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import open_store
from tests.unit.scheduler import results_file
disk, results = Path(sys.argv[2]), Path(sys.argv[3])
home = disk / "home"

def remount(options):
    subprocess.run(["mount", "-o", "remount," + options, str(disk)], check=True)

def told(call):
    try:
        call()
    except UpkeepError as error:
        return [error.what, error.expected, error.found, error.remedy, error.exit_code]
    return None

answer = {}
"""


def mounted(tmp_path: Path, options: str, script: str) -> dict[str, list[str] | None]:
    """Run a script on a small file system of its own; its ``answer``."""
    disk = tmp_path / "disk"
    disk.mkdir()
    shell = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    program = PRELUDE + script + "\nprint(json.dumps(answer))"
    python = [sys.executable, "-c", program, str(ROOT), str(disk), str(tmp_path)]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell, "sh", options, str(disk), *python]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer: dict[str, list[str] | None] = json.loads(done.stdout)
    return answer


@needs_root
def test_a_read_only_file_system(tmp_path: Path) -> None:
    answer = mounted(
        tmp_path,
        "size=32m",
        """
with open_store(None, home) as store:
    remount("ro")
    path = results_file.write(results / "r", "r1", [("a", "capacity.disk.full", "/", "high")])
    answer["while open"] = told(lambda: record_file(store, path, Policy(), 1011.0))
    answer["check"] = told(store.check_writable)
answer["open"] = told(lambda: open_store(None, home))
answer["new"] = told(lambda: open_store(None, disk / "another"))
""",
    )
    for name, told in answer.items():
        assert told is not None, name
        assert "read-only" in told[0] or "Read-only" in told[2], (name, told)
        assert told[4] == NOT_RUN
    assert answer["open"] is not None
    assert "mounted read-only" in answer["open"][2]


@needs_root
def test_a_full_disk(tmp_path: Path) -> None:
    answer = mounted(
        tmp_path,
        "size=1500k",
        """
rows = [("a", "capacity.disk.full", f"/{n}", "high") for n in range(3000)]
path = results_file.write(results / "r", "r1", rows, evidence=("x" * 300,) * 3)
with open_store(None, home) as store:
    answer["check"] = told(store.check_writable)
    answer["record"] = told(lambda: record_file(store, path, Policy(), 1011.0))
    answer["after"] = [len(store.tickets()), len(store.runs())]
(disk / "filler").write_bytes(b"")
with open(disk / "filler", "wb", buffering=0) as filler:
    try:
        while True:
            filler.write(b"x" * 4096)
    except OSError:
        pass
answer["new"] = told(lambda: open_store(None, disk / "another"))
(disk / "filler").unlink()
remount("size=64m")
with open_store(None, home) as store:
    done = record_file(store, path, Policy(), 1011.0)
    answer["again"] = [done.changes[0].added, done.run.counts["high"], len(store.tickets())]
""",
    )
    for name in ("check", "record", "new"):
        told = answer[name]
        assert told is not None, name
        assert "is full" in told[0], (name, told)
        assert told[4] == NOT_RUN
    assert answer["record"] is not None
    assert f"upkeep record {tmp_path / 'r'}" in answer["record"][3]
    assert answer["after"] == [0, 0], "nothing is half recorded"
    assert answer["again"] == [3000, 3000, 1]


@needs_root
def test_no_inodes_left(tmp_path: Path) -> None:
    answer = mounted(
        tmp_path,
        "size=256m,nr_inodes=40",
        """
open_store(None, home).close()
answer["check"] = None
made = 0
try:
    while True:
        (disk / str(made)).touch()
        made += 1
except OSError:
    pass
answer["open"] = told(lambda: open_store(None, home))
answer["new"] = told(lambda: open_store(None, disk / "another"))
(disk / "0").unlink(); (disk / "1").unlink(); (disk / "2").unlink(); (disk / "3").unlink()
with open_store(None, home) as store:
    answer["check"] = told(store.check_writable)
""",
    )
    for name in ("check", "open", "new"):
        told = answer[name]
        assert told is not None, name
        assert "is full" in told[0], (name, told)
        assert "inodes free" in told[2]


def test_lock_holders_reads_the_kernels_list(tmp_path: Path, home: Path) -> None:
    inode = (home / "upkeep.db").stat().st_ino
    locks = tmp_path / "locks"
    locks.write_text(
        f"1: POSIX  ADVISORY  WRITE {os.getpid()} fe:01:{inode} 120 120\n"
        f"1: -> POSIX  ADVISORY  WRITE 7 fe:01:{inode} 120 120\n"
        f"2: POSIX  ADVISORY  READ 8 fe:01:{inode} 120 120\n"
        f"3: POSIX  ADVISORY  WRITE 9 fe:01:{inode}0 120 120\n"
        f"4: POSIX  ADVISORY  WRITE -1 fe:01:{inode} 120 120\n"
        "what is this\n"
    )
    ((pid, name),) = errors.lock_holders(home / "upkeep.db", str(locks))
    assert pid == os.getpid()
    assert name
    assert errors.lock_holders(home / "upkeep.db", str(tmp_path / "missing")) == []


def test_an_unexpected_failure_of_the_database_is_still_told(home: Path) -> None:
    with sqlite3.connect(home / "upkeep.db") as db:
        db.execute("DROP TABLE ticket_history")
    db.close()
    with open_store(None, home) as store, pytest.raises(UpkeepError, match="failed") as error:
        _comment(store)
    assert "ticket_history" in error.value.found


def _comment(store: Store) -> None:
    store.comment(1, "ann", "text", 2000.0)
