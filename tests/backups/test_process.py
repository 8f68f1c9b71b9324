# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real programs within limits: ended at them, with all that they started; secrets by a file without a name."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _process
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import Stage, chain, run, secret_fd


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_output_and_exit_code() -> None:
    ended = run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10)
    assert (ended.rc, ended.ended_by, ended.out, ended.err) == (3, "", b"out\n", b"err\n")


def test_lines_come_one_by_one_and_a_last_one_without_its_end() -> None:
    lines: list[bytes] = []
    ended = run(["printf", "a\\n\\nb\\xff"], on_line=lines.append, timeout=10)
    assert (lines, ended.out) == ([b"a", b"", b"b\xff"], b"")


@pytest.mark.parametrize(("limits", "by"), [({"timeout": 1}, "timeout"), ({"timeout": 60, "idle": 1}, "idle")])
def test_at_a_limit_it_is_ended_with_its_children(limits: dict[str, float], by: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        f"trap '' TERM; sleep 600 & echo $! > {pids}; echo $$ >> {pids}; while :; do echo retry >&2; sleep 0.2; done"
    )
    began = time.monotonic()
    ended = run(["sh", "-c", script], **limits)  # type: ignore[arg-type]
    assert (ended.rc, ended.ended_by) == (None, by)
    assert b"retry" in ended.err  # what it says there is no progress
    assert time.monotonic() - began < 10
    # A child that nobody waits for is gone a moment after its signal.
    deadline = time.monotonic() + 10
    while not all(gone(int(pid)) for pid in pids.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_reading_in_silence_is_progress() -> None:
    program = "import time,sys\nf=open('/dev/zero','rb')\nfor i in range(6): f.read(3000000); time.sleep(.4)"
    assert run(["python3", "-c", program], timeout=30, idle=1).rc == 0


def test_too_much_output_is_a_limit() -> None:
    assert run(["yes"], timeout=30, limit=1 << 20).ended_by == "limit"
    ended = run(["head", "-c", str(_process.LINE_LIMIT * 2), "/dev/zero"], on_line=lambda line: None, timeout=30)
    assert ended.ended_by in ("limit", "")


def test_an_error_of_ours_ends_the_program(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def fail(line: bytes) -> None:
        raise RuntimeError(line.decode())

    with pytest.raises(RuntimeError, match="now"):
        run(["sh", "-c", f"echo $$ > {pid}; echo now; exec sleep 600"], on_line=fail, timeout=30)
    assert gone(int(pid.read_text()))


def test_a_pipe_hands_on_and_tells_of_each() -> None:
    stages = [Stage(["printf", "b\\na\\n"]), Stage(["sort"]), Stage(["sh", "-c", "cat; exit 4"])]
    ended = chain(stages, timeout=10)
    assert [one.rc for one in ended] == [0, 0, 4]
    assert ended[-1].out == b"a\nb\n"
    ended = chain([Stage(["yes"]), Stage(["head", "-n1"])], timeout=10)
    assert [one.rc for one in ended] == [-13, 0]


def test_a_pipe_is_ended_as_a_whole() -> None:
    began = time.monotonic()
    ended = chain([Stage(["sleep", "600"]), Stage(["cat"])], timeout=1)
    assert [one.ended_by for one in ended] == ["timeout", "timeout"]
    assert time.monotonic() - began < 8


def test_a_secret_can_be_read_again_and_again_and_has_no_name() -> None:
    with secret_fd(b"a secret\n") as descriptor:
        path = f"/proc/self/fd/{descriptor}"
        ended = run(["sh", "-c", f"cat {path} {path}; readlink {path}"], pass_fds=(descriptor,), timeout=10)
    assert ended.out.startswith(b"a secret\na secret\n")
    assert not os.path.exists(ended.out.splitlines()[-1].decode())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_as_another_account_with_a_secret_and_its_home() -> None:
    with secret_fd(b"a secret\n") as descriptor:
        script = f"id -un; id -G; echo $HOME; cat /proc/self/fd/{descriptor}"
        ended = run(["sh", "-c", script], account="nobody", pass_fds=(descriptor,), timeout=10)
    user, groups, home, secret = ended.out.decode().splitlines()
    assert (user, home, secret) == ("nobody", "/nonexistent", "a secret")
    assert "0" not in groups.split()


def test_no_program_and_no_account() -> None:
    with pytest.raises(OSError, match="No such file"):
        run(["no-such-program"], timeout=5)
    with pytest.raises(KeyError):
        run(["true"], account="no-such-account", timeout=5)


def test_what_was_begun_is_read_later_or_ended(tmp_path: Path) -> None:
    lines: list[bytes] = []
    stage = Stage(["sh", "-c", f"echo $$ > {tmp_path}/first; seq 100000; echo late >&2; exit 3"])
    with _process.begun(stage) as read:
        ended = read(30, 5, lines.append)
    assert (ended.rc, ended.err, len(lines), lines[-1]) == (3, b"late\n", 100_000, b"100000")
    with _process.begun(Stage(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 600"])):
        deadline = time.monotonic() + 10
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert gone(int((tmp_path / "pid").read_text()))
