# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run that was cut off left on a host: the script that ends it there, and the settings that it leaves alone."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from upkeep.running import leftovers, processes


def test_only_what_bears_the_run_s_id_is_ended() -> None:
    def start(run_id: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(words or ("sleep", "86322"), env={**os.environ, leftovers.MARK: run_id})

    ours, other = start("run-a"), start("run-b")
    stubborn = start("run-a", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    try:
        script = leftovers._SCRIPT.format(mark=leftovers.MARK, run_id="run-a")
        # As under sudo, which names the command that it runs: the visit must not take itself for a part of the run.
        env = {**os.environ, "SUDO_COMMAND": f"/bin/sh -c {script}"}
        assert subprocess.run(["sh", "-c", script], env=env, timeout=20, check=False).returncode == 0
        assert ours.wait(5) == -signal.SIGTERM
        assert stubborn.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (ours, other, stubborn):
            process.kill()
            process.wait()


def test_the_user_s_own_arguments_for_ssh_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    mark = f"-o SendEnv={leftovers.MARK}"
    assert leftovers.environment("x") == {leftovers.MARK: "x", "ANSIBLE_SSH_EXTRA_ARGS": mark}
    (tmp_path / "ansible.cfg").write_text("[ssh_connection]\nssh_extra_args = -J gate%h\n")
    assert leftovers.environment("x")["ANSIBLE_SSH_EXTRA_ARGS"] == f"-J gate%h {mark}"
    (tmp_path / "other.cfg").write_text("[defaults]\nforks = 3\n")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / "other.cfg"))
    assert leftovers.environment("x")["ANSIBLE_SSH_EXTRA_ARGS"] == mark
    (tmp_path / "other.cfg").write_text("no section\n")
    assert leftovers.environment("x")["ANSIBLE_SSH_EXTRA_ARGS"] == mark
    monkeypatch.setenv("ANSIBLE_SSH_EXTRA_ARGS", "-v")
    assert leftovers.environment("x")["ANSIBLE_SSH_EXTRA_ARGS"] == f"-v {mark}"


def test_the_processes_of_a_run_are_found_by_its_id_and_their_children_with_them() -> None:
    script = "env -i sleep 86323 & wait"  # as sudo does: the mark is gone, the parent is not
    process = subprocess.Popen(["sh", "-c", script], env={**os.environ, processes.MARK: "run-c"})
    try:
        while len(found := processes.of_run("run-c")) < 2:
            assert process.poll() is None
        assert process.pid in found
        assert sorted(map(processes.program, found)) == ["sh", "sleep"]
        assert processes.of_run("run-d") == set()
        assert processes.end_all("run-c") == set()
        assert not any(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found if Path(f"/proc/{pid}").exists())
    finally:
        process.kill()
        process.wait()
