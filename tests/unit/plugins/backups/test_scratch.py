# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch places: nothing is left of one, nothing but it is touched."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import scratch
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.leftovers import clear_away
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.scratch import NoRoom, Scratch, Unfit, sweep
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def orphan(base: Path, then: str = "") -> Path:
    """A place whose maker was killed by -9 after it did ``then``."""
    program = f"""
        import os, signal, subprocess, sys
        from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.scratch import Scratch
        place = Scratch({str(base)!r}, "files", 0, run="run-7", reserve=0).__enter__()
        os.chdir(place.path)
        {then}
        print(place.root, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    # Into a file: what the orphan leaves running would hold a pipe open.
    told = base.parent / "told"
    with told.open("w") as stream:
        subprocess.run([sys.executable, "-c", textwrap.dedent(program)], stdout=stream, check=False, timeout=60)
    root = told.read_text().strip()
    assert root, "the orphan died too early"
    return Path(root)


def test_a_place_is_private_and_gone_afterwards(base: Path) -> None:
    with Scratch(str(base), "Trial Restore!", 1000, run="r1") as place:
        content = Path(place.path)
        assert stat.S_IMODE(content.stat().st_mode) == 0o700
        assert content.parent.name.startswith("upkeep-trialrestore-")
        (content / "a").mkdir()
        (content / "a" / "b").write_bytes(b"x")
    assert place.left == ()
    assert list(base.iterdir()) == []


def test_it_is_gone_after_a_failure_too(base: Path) -> None:
    with pytest.raises(RuntimeError), Scratch(str(base), "t", 0) as place:
        Path(place.path, "x").touch()
        raise RuntimeError
    assert list(base.iterdir()) == []


def test_room_is_checked_before(base: Path) -> None:
    with pytest.raises(NoRoom) as told, Scratch(str(base), "t", 1 << 60):
        pytest.fail("there is no exbibyte")
    assert told.value.needed == 1 << 60
    assert "1024.0 PiB" in str(told.value) or "1048576.0 TiB" in str(told.value)
    with pytest.raises(NoRoom), Scratch(str(base), "t", 0, needs_files=1 << 60):
        pytest.fail("there are no such inodes")
    assert list(base.iterdir()) == []


def test_the_reserve_stays_free(base: Path) -> None:
    base.mkdir()
    available = scratch.check_room(str(base), 0)
    with pytest.raises(NoRoom):
        scratch.check_room(str(base), 1, reserve=available)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_file_system_of_30_mb_is_refused(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m,mode=0700", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(NoRoom), Scratch(str(small), "t", 40 << 20):
            pytest.fail("30 MB are no 40")
        with Scratch(str(small), "t", 20 << 20):
            pass
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_way_that_others_may_change_is_refused(tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    with pytest.raises(Unfit, match="exchange"), Scratch(str(loose / "scratch"), "t", 0):
        pytest.fail("anybody may exchange it")


def test_a_base_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unfit), Scratch(str(tmp_path / "file"), "t", 0):
        pytest.fail("a file is no folder")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_content_can_belong_to_another_account(base: Path) -> None:
    with Scratch(str(base), "t", 0, account="nobody") as place:
        assert Path(place.path).owner() == "nobody"
        os.chmod(base.parent, 0o755)
        walk = [sys.executable, "-c", "import os, sys; os.setuid(65534); os.mkdir(sys.argv[1] + '/x')", place.path]
        # pytest's own folders above are closed to others: only the way from the base on is ours
        os.chdir(base)
        relative = os.path.relpath(place.path, base)
        subprocess.run([*walk[:-1], relative], check=True, cwd=base)
    assert list(base.iterdir()) == []


def test_sweep_leaves_the_living_alone(base: Path) -> None:
    with Scratch(str(base), "t", 0) as place:
        assert sweep(str(base)) == []
        assert Path(place.path).is_dir()


def test_sweep_of_nothing(base: Path) -> None:
    assert sweep(str(base)) == []


def test_sweep_removes_what_a_killed_one_left(base: Path) -> None:
    root = orphan(base, "open('big', 'wb').write(b'x' * 100000)")
    assert (root / "content" / "big").stat().st_size == 100_000
    (told,) = sweep(str(base))
    assert (told.path, told.purpose, told.run, told.left, told.ended) == (str(root), "files", "run-7", (), ())
    assert told.facts()["ended"] == []
    assert list(base.iterdir()) == []
    assert sweep(str(base)) == []


def test_sweep_after_a_reboot_does_not_trust_the_number_of_a_process(base: Path) -> None:
    root = orphan(base)
    (root / "owner").write_text(f'{{"pid": {os.getpid()}, "started": 1, "boot": "x", "purpose": "x"}}')
    assert [told.path for told in sweep(str(base))] == [str(root)]


@pytest.mark.parametrize("mark", ["", "{", "[]", '{"pid": "x", "made": []}', "\x00\xff"])
def test_sweep_takes_a_mark_that_was_cut(base: Path, mark: str) -> None:
    root = orphan(base)
    (root / "owner").write_text(mark)
    assert [told.left for told in sweep(str(base))] == [()]
    assert not root.exists()


def test_sweep_touches_nothing_that_bears_no_mark(base: Path) -> None:
    base.mkdir()
    kept = [base / "upkeep-mine-0123456789ab", base / "other", base / "upkeep-x"]
    for folder in kept:
        folder.mkdir()
        (folder / "precious").touch()
    (base / "upkeep-empty-0123456789ab").mkdir()
    (base / "upkeep-link-0123456789ab").symlink_to(kept[0])
    assert sweep(str(base)) == []
    assert all((folder / "precious").exists() for folder in kept)
    assert not (base / "upkeep-empty-0123456789ab").exists()


def test_a_program_at_work_in_it_is_ended_and_others_are_not(base: Path, tmp_path: Path) -> None:
    # What counts is the program's file: a copy of sleep that is called restic.
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("restic", "shell"):
        shutil.copy("/bin/sleep", programs / name)
    root = orphan(base, f"[subprocess.Popen([{str(programs)!r} + '/' + name, '60']) for name in ('restic', 'shell')]")
    (told,) = sweep(str(base))
    assert len(told.ended) == 1
    assert told.ended[0].startswith("restic (")
    shells = [pid for pid in os.listdir("/proc") if pid.isdigit() and _runs(pid, str(programs / "shell"))]
    for pid in shells:
        os.kill(int(pid), signal.SIGKILL)
    assert len(shells) == 1
    assert not root.exists()


def test_a_program_that_does_not_end_by_itself_is_killed(base: Path, tmp_path: Path) -> None:
    shutil.copy("/bin/bash", tmp_path / "restic")
    with Scratch(str(base), "t", 0) as place:
        stubborn = "trap '' TERM; while :; do sleep 0.1; done"
        process = subprocess.Popen([tmp_path / "restic", "-c", stubborn], cwd=place.path)
        time.sleep(0.3)
        begin = time.monotonic()
        ended = scratch.end_processes(place.root, wait=1)
        assert ended == [f"restic ({process.pid})"]
        assert 0.9 < time.monotonic() - begin < 5
        assert process.wait(5) == -signal.SIGKILL


def _runs(pid: str, program: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/exe") == program
    except OSError:
        return False


def test_what_is_hostile_is_removed_and_nothing_else(base: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("here")
    with Scratch(str(base), "t", 0) as place:
        content = os.fsencode(place.path)
        os.symlink(os.fsencode(outside), content + b"/link")
        os.symlink(b"../../../outside", content + b"/up")
        os.mkfifo(content + b"/fifo")
        os.mkdir(content + b"/\xff\n\x1b[31m")
        os.link(outside / "precious", content + b"/\xff\n\x1b[31m/hard")
        os.mkdir(content + b"/closed", 0o700)
        os.mkdir(content + b"/closed/inner", 0)
        os.chmod(content + b"/closed", 0)
        if os.geteuid() == 0:
            os.mknod(content + b"/device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert place.left == ()
    assert list(base.iterdir()) == []
    assert (outside / "precious").read_text() == "here"


def test_a_tree_deeper_than_descriptors_and_paths_reach(base: Path) -> None:
    with Scratch(str(base), "t", 0) as place:
        here = os.open(place.path, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("deepdeep", dir_fd=here)
            below = os.open("deepdeep", os.O_RDONLY, dir_fd=here)
            os.close(os.open("file", os.O_CREAT, 0o600, dir_fd=below))
            os.close(here)
            here = below
        os.close(here)
    assert place.left == ()
    assert list(base.iterdir()) == []


def test_more_names_than_are_read_at_once(base: Path) -> None:
    with Scratch(str(base), "t", 0) as place:
        for number in range(3500):
            Path(place.path, str(number)).touch()
    assert (place.left, list(base.iterdir())) == ((), [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_what_a_dead_test_left_is_a_finding_until_it_is_gone(base: Path) -> None:
    review = Review("backup")
    options = {"scratch": str(base)}
    root = orphan(base, "os.mkdir('m')")
    mounted = next(root.rglob("m"))
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(mounted)], check=True)
    try:
        assert clear_away(Review("backup"), {**options, "check_mode": True}) == []
        (told,) = clear_away(review, options)
        assert (told["path"], told["run"]) == (str(root), "run-7")
        (found,) = review.findings
        assert (found["check"], found["subject"]) == ("backup.restore.leftovers", str(base))
        assert str(root) in found["remedy"] and "mounted" in found["evidence"][0]
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
    review = Review("backup")
    clear_away(review, options)
    assert review.findings == [] and list(base.iterdir()) == []
    assert {"check": "backup.restore.leftovers", "subject": str(base)} in review.coverage


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_what_is_mounted_in_it_is_left_and_told(base: Path) -> None:
    place = Scratch(str(base), "t", 0).__enter__()
    mounted = Path(place.path, "m")
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(mounted)], check=True)
    try:
        (mounted / "precious").touch()
        Path(place.path, "other").touch()
        place.__exit__(None, None, None)
        assert len(place.left) == 1
        assert "mounted" in place.left[0]
        assert (mounted / "precious").exists()
        assert not Path(place.path, "other").exists()
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
    (told,) = sweep(str(base))
    assert told.left == ()
    assert list(base.iterdir()) == []


def test_a_signal_does_not_break_off_the_cleaning(base: Path) -> None:
    """SIGTERM comes while much is being removed: all of it is removed first, and then the signal has its way."""
    program = f"""
        import os, signal, sys
        from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import scratch
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
        original = scratch._remove_place
        def slow(base, name):
            os.kill(os.getpid(), signal.SIGTERM)
            return original(base, name)
        scratch._remove_place = slow
        with scratch.Scratch({str(base)!r}, "t", 0) as place:
            open(place.path + "/x", "w").close()
        print("not reached")
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert list(base.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another account")
def test_a_closed_folder_is_removed_without_root_too(tmp_path: Path) -> None:
    """Run as another account, in a folder of its own: what was restored may be closed even to its owner."""
    home = Path("/tmp") / f"upkeep-test-scratch-{os.getpid()}"
    home.mkdir()
    os.chown(home, 65534, 65534)
    program = f"""
        import os, sys
        os.setgid(65534); os.setuid(65534)
        from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.scratch import Scratch
        with Scratch({str(home)!r} + "/s", "t", 0) as place:
            os.makedirs(place.path + "/a/b/c")
            open(place.path + "/a/b/f", "w").close()
            for name in ("/a/b/c", "/a/b", "/a"):
                os.chmod(place.path + name, 0)
        print(place.left, os.listdir({str(home)!r} + "/s"))
    """
    try:
        import ansible_collections.upkeep.maintenance as collection

        above = str(Path(next(iter(collection.__path__))).parents[2])
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": above},
        )
        assert ran.stdout.strip() == "() []", ran.stderr
    finally:
        shutil.rmtree(home, ignore_errors=True)
