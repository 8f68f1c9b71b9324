# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trial restores of real repositories on this machine, whole, damaged and hostile."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import judge_restore, options_restore
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.restic import Repository, Restic
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.review_restore import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from tests.backups import crafted, repositories, restics
from tests.backups.fixture import program, restic, whole  # noqa: F401 - fixtures

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners, devices and capabilities need root")


@pytest.fixture(scope="module")
def machine() -> Path:
    return program(restics.MACHINE)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where scratch places are made; nothing may be in it when a test is over."""
    return tmp_path / "scratch"


@pytest.fixture(autouse=True)
def nothing_left(place: Path) -> Iterator[None]:
    yield
    assert not place.exists() or list(place.iterdir()) == []


def options(made: repositories.Made, place: Path, **changed: Any) -> dict[str, Any]:
    named = {"name": "lab", "repository": str(made.folder), "password": made.password}
    return {
        **options_restore.defaults(),
        "repositories": [named],
        "discover": False,
        "program": str(made.program),
        "scratch": str(place),
        "history_dir": str(place.parent / "history"),
        "reserve_mib": 0,
        "nice": 0,
        "ionice": "none",
        "check_mode": False,
        **changed,
    }


def run(made: repositories.Made, place: Path, **changed: Any) -> dict[str, Any]:
    return review(Host(), options(made, place, **changed))


def checks(result: dict[str, Any]) -> list[str]:
    return sorted(one["check"] for one in result["findings"])


def of(program_: Path, folder: Path, source: Path) -> repositories.Made:
    """A repository with one snapshot of a folder."""
    made = repositories.Made(program_, folder / "repository", source)
    made.begin()
    made.restic("backup", str(source))
    return made


# -- the healthy case ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "sample"])
def test_a_whole_repository_is_silent(whole: repositories.Made, place: Path, mode: str) -> None:  # noqa: F811
    result = run(whole, place, mode=mode)
    assert result["findings"] == []
    (test,) = result["tests"]
    assert test["outcome"] == "passed"
    assert test["whole"]
    assert test["restored"]["files"] == test["holds"]["files"] == 23
    assert test["restored"]["manifest_sha256"] == test["holds"]["manifest_sha256"]
    assert test["restored"]["source"]["compared_bytes"] == test["holds"]["bytes"]
    assert test["rto"]["measured"]
    (proof,) = result["proofs"]
    assert proof["outcome"] == "passed"
    assert proof["facts"]["tree"] == whole.snapshots()[-1]["tree"]
    covered = {entry["check"] for entry in result["coverage"]}
    assert {"backup.restore.failed", "backup.restore.content_mismatch", "backup.restore.slow"} <= covered
    assert repositories.PASSWORD not in json.dumps(result)


def logging(machine: Path, folder: Path) -> Path:
    """A restic that notes what it is asked, a line each in ``asked``."""
    wrapper = folder / "logging-restic"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >> {folder}/asked\nexec {machine} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def test_the_repository_is_opened_no_more_than_three_times(restic: Path, tmp_path: Path, place: Path) -> None:  # noqa: F811
    """Each opening takes half a second of a core: the names, the listing (begun ahead of them), the restore."""
    made = repositories.Made.new(restic, tmp_path / "made", 1)
    result = run(made, place, mode="full", program=str(logging(restic, tmp_path)))
    assert result["findings"] == []
    asked = [line for line in (tmp_path / "asked").read_text().splitlines() if line != "version"]
    assert len(asked) == 3, asked
    assert sum(" ls --json " in line for line in asked) == 1
    # The newest was listed ahead, by the name that only a guess has; not so where a program is asked for the password.
    assert sum(line.endswith("-- latest") for line in asked) == (len(os.sched_getaffinity(0)) > 1)
    (tmp_path / "asked").unlink()
    given = options(made, place, mode="full", program=str(logging(restic, tmp_path)))
    (named,) = given["repositories"]
    named.update(password=None, password_command=shlex.join(["printf", "%s", repositories.PASSWORD]))
    assert review(Host(), given)["findings"] == []
    assert "latest" not in (tmp_path / "asked").read_text()


def test_what_was_listed_ahead_is_used_only_where_it_is_what_is_asked(
    restic: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    made = repositories.Made.new(restic, tmp_path / "made", 2)
    older, newer = (one["id"] for one in made.snapshots())
    repository = Repository.of({"name": "lab", "repository": str(made.folder), "password": made.password})
    with Restic(Host(), repository, str(logging(restic, tmp_path))) as calls:

        def listed(snapshot: str) -> list[str]:
            names: list[str] = []
            assert calls.ls(snapshot, lambda entry: names.append(entry.path)).id == snapshot
            return names

        def count() -> int:
            return (tmp_path / "asked").read_text().count(" ls --json ")

        plain = {snapshot: listed(snapshot) for snapshot in (older, newer)}
        assert len(plain[newer]) == len(plain[older]) + 1
        before = count()
        calls.begin_ls("latest")
        assert (listed(newer), count()) == (plain[newer], before + 1)
        calls.begin_ls("latest")
        assert (listed(older), count()) == (plain[older], before + 3)
        calls.begin_ls("latest", ["nobody"])
        assert (listed(newer), count()) == (plain[newer], before + 5)
        assert (listed(newer), count()) == (plain[newer], before + 6)
        calls.begin_ls("latest")
        deadline = time.monotonic() + 20
        while count() < before + 7:  # it is on its way, and nobody asks for it
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert sleepers(made.folder) == []


def test_samples_see_everything_in_a_round(machine: Path, tmp_path: Path, place: Path) -> None:
    source = tmp_path / "source"
    for number in range(60):
        path = source / f"d{number % 12}" / f"s{number % 3}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(60_000))
    made = of(machine, tmp_path, source)
    wanted = {str(path) for path in source.rglob("f*")}
    seen: set[str] = set()
    turns = 1
    run_number = 0
    while run_number < turns:
        # Whole megabytes are the smallest sample; 3.6 MB need several turns.
        result = run(made, place, mode="sample", sample_mib=1, seed=7)
        assert result["findings"] == []
        (test,) = result["tests"]
        assert (test["outcome"], test["whole"]) == ("passed", False)
        assert test["sample"]["left_out"] == 0
        assert test["sample"]["turn"] == run_number + 1
        assert test["sample"]["seed"] == 7
        assert not test["rto"]["measured"]
        assert test["rto"]["low"] <= test["rto"]["seconds"] <= test["rto"]["high"]
        for unit in test["sample"]["why"]["turn"]:
            seen |= {path for path in wanted if path == unit or path.startswith(unit + "/")}
        turns = test["sample"]["turns"]
        run_number += 1
        assert turns < 40
    assert turns > 2
    assert seen == wanted


def test_the_paths_that_matter(machine: Path, tmp_path: Path, place: Path) -> None:
    source = tmp_path / "source"
    odd = source / "a*b?[x]\\y"
    odd.mkdir(parents=True)
    (odd / "inner").write_text("matters")
    (source / "a-b").write_text("its like")
    for number in range(4):
        (source / f"big{number}").write_bytes(os.urandom(700_000))
    made = of(machine, tmp_path, source)
    result = run(made, place, sample_mib=1, paths=[str(odd), "/nowhere/at/all"])
    assert checks(result) == ["backup.restore.file_missing"]
    assert result["findings"][0]["evidence"] == ["/nowhere/at/all"]
    (test,) = result["tests"]
    assert str(odd) in test["sample"]["why"]["important"]
    assert test["restored"]["differences"] == {}


def test_check_mode_says_what_it_would_do(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1)
    result = run(made, place, check_mode=True)
    assert not place.exists()
    assert not (tmp_path / "history").exists()
    (test,) = result["tests"]
    assert test["outcome"] == "planned"
    assert test["chosen"]["files"] == 22
    assert test["room_needed"] > test["chosen"]["bytes"] > 8 << 20
    assert "restored" not in test
    assert "proofs" not in result
    assert [entry["check"] for entry in result["not_applicable"]] == ["backup.restore.failed"]


def test_another_host_compares_no_live_tree(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 0)
    made.restic("backup", "--host", "db7", str(made.source))
    nothing = run(made, place)
    assert checks(nothing) == ["backup.restore.nothing_restored"]
    assert "of the host db7" in nothing["findings"][0]["evidence"]
    result = run(made, place, hosts=["db7"], mode="full")
    assert result["findings"] == []
    (test,) = result["tests"]
    assert not test["source_compared"]
    assert "db7" in test["source_why_not"]


def test_a_relative_path_is_found_in_the_live_tree(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 0)
    subprocess.run(
        [machine, "--repo", made.folder, "backup", "-q", "source/folder1"],
        cwd=made.source.parent,
        env=os.environ | {"RESTIC_PASSWORD": repositories.PASSWORD},
        check=True,
    )
    result = run(made, place, mode="full")
    assert result["findings"] == []
    assert result["tests"][0]["restored"]["source"]["compared_bytes"] > 0
    assert "source_gone" not in result["tests"][0]["restored"]["differences"]


# -- what was changed ------------------------------------------------------------------------------------------------


def test_metadata_of_all_kinds(restic: Path, tmp_path: Path, place: Path) -> None:  # noqa: F811
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "plain").write_text("x")
    (source / "attribute").write_text("x")
    os.setxattr(source / "attribute", "user.note", b"kept")
    (source / "owned").write_text("x")
    os.chown(source / "owned", 12345, 23456)
    (source / "suid").write_text("x")
    (source / "suid").chmod(0o4755)
    os.link(source / "plain", source / "inner" / "hard")
    (source / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "pipe")
    os.mknod(source / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(source / "suid", "security.capability", capability)
    with (source / "sparse").open("wb") as stream:
        stream.truncate(5 << 20)
    time.sleep(0.05)
    made = of(restic, tmp_path, source)
    result = run(made, place, mode="full")
    assert result["findings"] == []
    told = result["tests"][0]["restored"]["source"]
    assert (told["with_attributes"], told["with_capabilities"], told["hard_links"]) == (2, 1, 2)
    assert (told["sparse"], told["sparse_bytes_more"]) == (1, 5 << 20)
    assert result["tests"][0]["restored"]["links_by_snapshot"] == 0  # the live tree vouched for the link


def meddling(machine: Path, folder: Path, line: str) -> Path:
    """A restic whose restore is followed by a line of shell in the restored tree, before it says that all is written.

    The line finds the restored source in ``$tree``.
    """
    wrapper = folder / "meddling-restic"
    wrapper.write_text(
        f"""#!/bin/sh
case "$*" in *restore*) ;; *) exec {machine} "$@";; esac
{machine} "$@" > {folder}/said; ended=$?
tree=$(echo {folder}/scratch/*/content{folder}/source)
{line}
cat {folder}/said
exit $ended
"""
    )
    wrapper.chmod(0o755)
    return wrapper


# An owner, a named user and a mask (posix_acl_xattr.h): 4 bytes of version; tag, permissions, number of each entry.
ACL = (2).to_bytes(4, "little") + b"".join(
    tag.to_bytes(2, "little") + permissions.to_bytes(2, "little") + number.to_bytes(4, "little")
    for tag, permissions, number in [
        (0x01, 6, 0xFFFFFFFF),
        (0x02, 4, 12345),
        (0x04, 4, 0xFFFFFFFF),
        (0x10, 4, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    ]
)


def test_a_lost_acl_is_found(restic: Path, tmp_path: Path, place: Path) -> None:  # noqa: F811
    source = tmp_path / "source"
    source.mkdir()
    for name in ("kept", "lost", "other"):
        (source / name).write_text(name)
        os.setxattr(source / name, "system.posix_acl_access", ACL)
    (source / "plain").write_text("x")
    time.sleep(0.05)
    made = of(restic, tmp_path, source)
    result = run(made, place, mode="full")
    assert result["findings"] == []
    assert result["tests"][0]["restored"]["source"]["with_acl"] == 3
    strip = f"""{sys.executable} -c 'import os, sys
os.removexattr(sys.argv[1] + "/lost", "system.posix_acl_access")
os.setxattr(sys.argv[1] + "/other", "system.posix_acl_access", os.getxattr(sys.argv[1] + "/kept", \
"system.posix_acl_access").replace((12345).to_bytes(4, "little"), (54321).to_bytes(4, "little")))' "$tree" """
    result = run(made, place, mode="full", program=str(meddling(restic, tmp_path, strip)))
    assert checks(result) == ["backup.restore.metadata_mismatch"]
    told = sorted(result["findings"][0]["evidence"])
    assert told == [f"live: {source}/lost: lacks the ACL", f"live: {source}/other: differs in the ACL"]


def test_links_of_another_host_are_compared_with_the_snapshot(
    restic: Path,  # noqa: F811
    tmp_path: Path,
    place: Path,
) -> None:
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "file").write_text("x")
    for number, target in enumerate(["/etc/passwd", "../up", "a -> b", os.fsdecode(b"caf\xe9"), "\x1b[31m"]):
        (source / "folder" / f"link{number}").symlink_to(target)
        Path(os.fsdecode(os.fsencode(source) + b"/odd\xff%d -> x" % number)).symlink_to(target)
    made = of(restic, tmp_path, source)
    result = run(made, place, mode="full", source="never")
    assert result["findings"] == []
    assert result["tests"][0]["restored"]["links_by_snapshot"] == 10
    turn = 'ln -sfn /etc/shadow "$tree/folder/link1" && touch -hd @0 "$tree/folder/link1"'
    turn += ' && touch -hr "$tree/folder/link0" "$tree/folder/link1" && touch -r "$tree/folder/file" "$tree/folder"'
    result = run(made, place, mode="full", source="never", program=str(meddling(restic, tmp_path, turn)))
    assert "backup.restore.content_mismatch" in checks(result)
    found = next(one for one in result["findings"] if one["check"] == "backup.restore.content_mismatch")
    assert found["evidence"] == [f"{source}/folder/link1: it leads to /etc/shadow instead of ../up"]
    assert result["proofs"][0]["outcome"] == "failed"


def test_changed_meanwhile_is_no_fault(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1)
    (made.source / "large").write_bytes(b"new")
    (made.source / "folder0" / "file0").unlink()
    result = run(made, place, mode="full")
    assert result["findings"] == []
    differences = result["tests"][0]["restored"]["differences"]
    assert differences["source_changed"] >= 1
    assert differences["source_gone"] == 1


def test_a_live_file_that_changed_without_a_trace(
    machine: Path, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit rot changes bytes and neither time: the ctime is that of before the snapshot."""
    made = repositories.Made.new(machine, tmp_path / "made", 1)
    rotten = made.source / "folder1" / "file1"
    before = rotten.stat()
    repositories.flip(rotten, 500)
    rotten.chmod(stat.S_IMODE(before.st_mode))
    os.utime(rotten, ns=(before.st_atime_ns, before.st_mtime_ns))
    from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import verify_source

    # The kernel lets nobody set a ctime: the bound moves instead.
    original = verify_source.Source.__init__

    def later(self: Any, before: float, *rest: Any) -> None:
        original(self, before + 3600, *rest)

    monkeypatch.setattr(verify_source.Source, "__init__", later)
    result = run(made, place, mode="full")
    assert checks(result) == ["backup.restore.source_differs"]
    assert str(rotten) in result["findings"][0]["evidence"][0]
    assert result["proofs"][0]["outcome"] == "passed"  # the backup is what was backed up; the live file is not


# -- what is damaged -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["data_flipped", "data_cut", "data_deleted"])
def test_damaged_data(whole: repositories.Made, place: Path, fault: str) -> None:  # noqa: F811
    result = run(whole.damage(fault), place, mode="full", idle_timeout=20)
    assert len(result["findings"]) == 1, result["findings"]
    found = result["findings"][0]
    assert found["check"] in ("backup.restore.failed", "backup.data.damaged", "backup.structure.damaged")
    assert found["severity"] in ("critical", "high")
    assert "check --read-data" in found["remedy"] or "--read-data" in found["remedy"]
    assert result["tests"] == [] or result["tests"][0]["outcome"] in ("failed", "cannot")


def test_a_flipped_byte_names_the_file(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1).damage("data_flipped")
    result = run(made, place, mode="full")
    (found,) = result["findings"]
    assert found["check"] == "backup.restore.failed"
    assert any(str(made.source) in line for line in found["evidence"])
    assert result["proofs"][0]["outcome"] == "failed"
    assert not any(entry["check"] == "backup.check.not_run" for entry in result["findings"])


def test_damaged_trees(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1).damage("tree_flipped")
    result = run(made, place)
    assert len(result["findings"]) == 1
    assert result["findings"][0]["severity"] == "critical"
    assert all(test["outcome"] != "passed" for test in result["tests"])


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("path_missing", "backup.repository.missing"),
        ("folder_empty", "backup.repository.empty"),
        ("wrong_password", "backup.repository.wrong_password"),
        ("keys_removed", "backup.repository.no_key"),
        ("config_deleted", "backup.repository.no_config"),
        ("all_snapshots_deleted", "backup.restore.nothing_restored"),
    ],
)
def test_what_cannot_be_opened(machine: Path, tmp_path: Path, place: Path, fault: str, check: str) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1).damage(fault)
    result = run(made, place)
    assert checks(result) == [check]
    assert not [entry for entry in result["coverage"] if entry["check"].startswith("backup.restore.content")]


def test_a_lock_does_not_matter(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1).damage("lock_live")
    try:
        assert run(made, place)["findings"] == []
    finally:
        repositories.release()


def test_a_file_that_is_written_wrongly(machine: Path, tmp_path: Path, place: Path) -> None:
    """The disk of the scratch place turns bytes over after restic wrote them: its comparison must see it."""
    made = repositories.Made.new(machine, tmp_path / "made", 1)
    wrapper = tmp_path / "restic"
    wrapper.write_text(
        f"""#!{sys.executable}
import os, subprocess, sys, threading, time
words = sys.argv[1:]
if "restore" not in words:
    os.execv({str(machine)!r}, ["restic", *words])
target = words[words.index("--target") + 1] + {str(made.source / "large")!r}
open_ones = [n for n in range(3, 30) if os.path.exists("/proc/self/fd/%d" % n)]
child = subprocess.Popen([{str(machine)!r}, *words], pass_fds=open_ones)
while child.poll() is None:
    try:
        with open(target, "r+b") as stream:
            for place in range(0, 8 << 20, 50_000):
                stream.seek(place)
                stream.write(b"rotten")
    except OSError:
        pass
sys.exit(child.returncode)
"""
    )
    wrapper.chmod(0o755)
    result = run(made, place, mode="full", program=str(wrapper))
    assert "backup.restore.content_mismatch" in checks(result)
    assert result["proofs"][0]["outcome"] == "failed"
    assert any("large" in line for line in result["findings"][0]["evidence"])


# -- the selection and the target ------------------------------------------------------------------------------------


def test_an_empty_mount(machine: Path, tmp_path: Path, place: Path) -> None:
    (tmp_path / "source").mkdir()
    made = of(machine, tmp_path, tmp_path / "source")
    result = run(made, place, mode="full")
    assert result["tests"][0]["holds"]["files"] == 0
    assert checks(result) == ["backup.restore.nothing_restored"]


def test_a_small_scratch_place_is_refused_before(machine: Path, tmp_path: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1, megabytes=40)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m,mode=0700", "tmpfs", str(small)], check=True)
    try:
        result = run(made, small, mode="full")
        assert checks(result) == ["backup.restore.no_room"]
        assert result["findings"][0]["facts"]["needed"] > 40 << 20
        assert result["proofs"][0]["outcome"] == "cannot"
        assert list(small.iterdir()) == []
        assert not [entry for entry in result["coverage"] if entry["check"] == "backup.restore.content_mismatch"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_another_account_than_root(machine: Path, tmp_path: Path) -> None:
    """As nobody: content is proven, owners are not, and that is told."""
    home = Path("/tmp") / f"upkeep-test-restore-{os.getpid()}"
    home.mkdir(mode=0o700)
    try:
        made = repositories.Made.new(machine, home / "made", 1)
        subprocess.run(["chown", "-R", "nobody:", str(home)], check=True)
        result = as_process(options(made, home / "scratch", mode="full"), account="nobody")
        assert checks(result) == ["backup.restore.metadata_unproven"], result["findings"]
        assert result["tests"][0]["outcome"] == "passed"
        assert list((home / "scratch").iterdir()) == []
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)


def above_the_collection() -> str:
    import ansible_collections.upkeep.maintenance as collection

    return str(Path(next(iter(collection.__path__))).parents[2])


PROGRAM = """
import json, os, sys
from ansible_collections.upkeep.maintenance.plugins.module_utils import _process
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.review_restore import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
options = json.loads(sys.stdin.read())
try:
    with _process.cancellable():
        result = review(Host(), options)
except _process.Cancelled:
    sys.exit(7)
print(json.dumps(result))
"""


def started(options_: dict[str, Any], account: str | None = None) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        user=account,
        cwd="/",
        env={**os.environ, "PYTHONPATH": above_the_collection(), "HOME": "/nonexistent"},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(options_))
    process.stdin.close()
    process.stdin = None
    return process


def as_process(options_: dict[str, Any], account: str | None = None) -> dict[str, Any]:
    out, err = started(options_, account).communicate(timeout=120)
    assert out, err
    made: dict[str, Any] = json.loads(out)
    return made


def slow(machine: Path, folder: Path) -> Path:
    """A restic that waits in the middle of a restore: when something has been written."""
    wrapper = folder / "slow-restic"
    wrapper.write_text(
        f"""#!/bin/sh
case "$*" in *restore*) ;; *) exec {machine} "$@";; esac
{machine} "$@"
touch {folder}/in-the-middle
sleep 60
"""
    )
    wrapper.chmod(0o755)
    return wrapper


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def sleepers(folder: Path) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return [pid for pid in found if int(pid) != os.getpid()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_in_the_middle_cleans_up(machine: Path, tmp_path: Path, place: Path, number: signal.Signals) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1)
    process = started(options(made, place, mode="full", program=str(slow(machine, tmp_path))))
    wait_for(tmp_path / "in-the-middle", process)
    assert list(place.iterdir())
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 7
    assert list(place.iterdir()) == []
    assert sleepers(place) == []


def test_a_connection_that_is_lost_cleans_up(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1)
    process = started(options(made, place, mode="full", program=str(slow(machine, tmp_path))))
    wait_for(tmp_path / "in-the-middle", process)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=30) == 7
    assert process.stderr is not None
    process.stderr.close()
    assert list(place.iterdir()) == []


def test_a_time_limit_cleans_up(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1)
    result = run(made, place, mode="full", program=str(slow(machine, tmp_path)), timeout=4)
    assert checks(result) == ["backup.restore.failed"]
    assert "in time" in result["findings"][0]["summary"]
    assert sleepers(place) == []


def test_what_a_kill_leaves_is_swept_by_the_next_run(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1)
    wrapper = slow(machine, tmp_path)
    process = started(options(made, place, mode="full", program=str(wrapper), run="run-13"))
    wait_for(tmp_path / "in-the-middle", process)
    process.kill()
    process.communicate()
    (left,) = place.iterdir()
    assert list(left.rglob("large"))
    result = run(made, place, mode="full")
    assert result["findings"] == []
    (swept,) = result["swept"]
    assert (swept["path"], swept["run"], swept["left"]) == (str(left), "run-13", [])
    assert list(place.iterdir()) == []


# -- what is hostile -------------------------------------------------------------------------------------------------


def test_strange_names_and_files_are_restored_and_shown_clean(
    restic: Path,  # noqa: F811
    tmp_path: Path,
    place: Path,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    names = [
        b"caf\xe9",
        b"caf\xe8",
        b"new\nline",
        b"esc\x1b[31m",
        b"tab\there",
        b"back\\slash",
        b"\xe2\x82",
        b"zz",
        b"-rf",
    ]
    for name in names:
        Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_bytes(name)
    odd = os.fsdecode(os.fsencode(source) + b"/folder\xff")
    os.mkdir(odd)
    Path(odd, "inner").touch()
    (source / "absolute").symlink_to("/etc/passwd")
    (source / "up").symlink_to("../../../../../../etc/shadow")
    os.mkfifo(source / "pipe")
    os.mknod(source / "device", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    (source / "suid").write_text("#!/bin/sh\n")
    (source / "suid").chmod(0o6777)
    time.sleep(0.05)
    made = of(restic, tmp_path, source)
    result = run(made, place, mode="full")
    assert result["findings"] == []
    test = result["tests"][0]
    assert test["restored"]["files"] == len(names) + 2
    assert test["restored"]["source"]["compared"] >= len(names) + 7
    assert "\x1b" not in json.dumps(result, ensure_ascii=False)
    assert "\\n" not in json.dumps(test["sha256"])


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param(
            [crafted.folder("a", [], 0o777), crafted.link("a", "OUTSIDE")],
            id="a folder that becomes a link, and its rights with it",
        ),
        pytest.param(
            [crafted.link("a", "OUTSIDE"), crafted.folder("a", [crafted.file("planted")])],
            id="a link that is a folder as well",
        ),
        pytest.param([crafted.file("../../../../OUTSIDE/planted")], id="a name with a way out"),
        pytest.param([crafted.folder("..", [crafted.file("planted")])], id="a folder that is the one above"),
        pytest.param([crafted.folder("a/b", [crafted.file("planted")])], id="a name with a slash"),
    ],
)
def test_a_tree_that_restic_would_not_write_is_refused(
    restic: Path,  # noqa: F811
    tmp_path: Path,
    place: Path,
    nodes: list[dict[str, Any]],
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    made = repositories.Made.new(restic, tmp_path / "made", 0)
    text = json.dumps(nodes).replace("/OUTSIDE", str(outside)).replace("OUTSIDE", str(outside))
    crafted.Forger(made).snapshot(json.loads(text))
    result = run(made, place, mode="full")
    assert checks(result) == ["backup.restore.refused"], result["findings"]
    assert result["tests"][0]["outcome"] == "failed"
    assert list(outside.iterdir()) == []
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700


def test_a_crafted_tree_that_is_in_order_is_restored(machine: Path, tmp_path: Path, place: Path) -> None:
    """The forger's own proof: what it writes is a snapshot to restic, and only what is wrong with it is refused."""
    made = repositories.Made.new(machine, tmp_path / "made", 0)
    crafted.Forger(made).snapshot([crafted.folder("a", [crafted.file("b")]), crafted.link("c", "/etc")])
    result = run(made, place, mode="full")
    assert result["findings"] == []
    assert result["tests"][0]["restored"]["folders"] == 1


def test_a_link_in_the_live_tree_leads_nowhere(machine: Path, tmp_path: Path, place: Path) -> None:
    """After the backup, a folder of the live tree is exchanged for a link, and a file for a pipe that nobody writes."""
    made = repositories.Made.new(machine, tmp_path / "made", 1)
    elsewhere = tmp_path / "elsewhere"
    (made.source / "folder1").rename(elsewhere)
    (made.source / "folder1").symlink_to(elsewhere)
    (made.source / "large").unlink()
    os.mkfifo(made.source / "large")
    result = run(made, place, mode="full")
    assert result["findings"] == []
    assert result["tests"][0]["restored"]["differences"]["source_gone"] >= 5


# -- the time --------------------------------------------------------------------------------------------------------


def test_slower_than_agreed_and_older_than_agreed(machine: Path, tmp_path: Path, place: Path) -> None:
    made = repositories.Made.new(machine, tmp_path / "made", 1)
    result = run(made, place, mode="full", rto_hours=1e-6, rpo_hours=1e-6)
    assert checks(result) == ["backup.restore.slow", "backup.snapshot.stale"]
    assert result["proofs"][0]["outcome"] == "passed"


def test_slower_than_it_used_to_be(machine: Path, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_restore, "TREND_SECONDS", 0.0)  # 20 MB take less than what counts
    made = repositories.Made.new(machine, tmp_path / "made", 1, megabytes=20)
    assert run(made, place, mode="full")["findings"] == []
    (kept,) = (tmp_path / "history").iterdir()
    memory = json.loads(kept.read_text())
    (first,) = memory["history"]
    assert first["bytes"] > 20 << 20
    # It has taken a thousandth of the time in all of four weeks.
    memory["history"] = [{**first, "seconds": first["seconds"] / 1000}] * 4
    kept.write_text(json.dumps(memory))
    result = run(made, place, mode="full")
    assert checks(result) == ["backup.restore.slow"]
    assert "times slower" in result["findings"][0]["summary"]
    assert len(json.loads(kept.read_text())["history"]) == 5
