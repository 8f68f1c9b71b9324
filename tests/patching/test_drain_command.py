# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers drained and taken back by programs of the customer, here scripts that keep the state in a file."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain import drain
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_options import SPEC, errors_of

pytestmark = pytest.mark.timeout(120)


class Pool:
    """The file ``state`` holds the exit code that the check ends with; ``ran`` what was run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.set(3)
        self.program("check", 'exit "$(cat state)"')
        self.program("drain", 'echo drain "$@" >> ran; echo 0 > state')
        self.program("undrain", 'echo undrain "$@" >> ran; echo 3 > state')

    def program(self, name: str, does: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\ncd '{self.folder}' || exit 1\n{does}\n")
        path.chmod(0o755)

    def set(self, code: int) -> None:
        new = self.folder / "new"
        new.write_text(str(code))
        new.replace(self.folder / "state")

    def options(self, state: str, **more: Any) -> dict[str, Any]:
        words = {
            "drain_command": [str(self.folder / "drain"), "web 1; touch x"],
            "active_command": [str(self.folder / "undrain"), "$HOME"], "check_command": [str(self.folder / "check")],
        }  # fmt: skip
        return {"kind": "command", "server": "web1", "state": state, **words, **more}

    def call(self, state: str, check: bool = False, **more: Any) -> dict[str, Any]:
        defaults = {name: one.get("default") for name, one in SPEC.items()}
        given = {**defaults, "timeout": 20, **self.options(state, **more)}
        assert errors_of(given) == []
        return drain(given, check)

    @property
    def ran(self) -> list[str]:
        path = self.folder / "ran"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


def failed(told: dict[str, Any], check: str = "patch.drain.failed") -> dict[str, Any]:
    [one] = told["findings"]
    assert not told["ok"] and told["msg"] and told["coverage"] == [] and one["check"] == check and one["remedy"], told
    return dict(one)


def test_drained_and_taken_back_without_a_shell(pool: Pool) -> None:
    would = pool.call("drained", check=True)
    assert would["changed"] and pool.ran == [] and would["coverage"] == []
    assert would["diff"] == {"before": "web1: ready\n", "after": "web1: drained\n"}
    did = pool.call("drained")
    assert did["ok"] and did["changed"] and did["findings"] == [] and pool.ran == ["drain web 1; touch x"]
    assert did["coverage"] == [{"check": "patch.drain.failed", "subject": "web1"}]
    assert [one["state"] for one in did["servers"]] == ["drained"]
    for check in (False, True):
        assert not pool.call("drained", check=check)["changed"]
    assert pool.call("active", check=True)["changed"] and len(pool.ran) == 1
    back = pool.call("active")
    assert back["ok"] and back["changed"] and pool.ran[1:] == ["undrain $HOME"]
    assert back["coverage"] == [{"check": "patch.drain.left", "subject": "web1"}]
    assert not pool.call("active")["changed"] and len(pool.ran) == 2


def test_what_is_on_its_way_is_waited_for(pool: Pool) -> None:
    pool.program("drain", "echo drain >> ran; echo 4 > state")
    late = pool.call("drained", timeout=1)
    assert late["changed"] and "not drained after 1 s: check_command says it is draining" in failed(late)["summary"]
    goes_on = pool.call("drained", timeout=0, on_timeout="continue")
    assert goes_on["ok"] and not goes_on["changed"] and [one["severity"] for one in goes_on["findings"]] == ["low"]
    assert not pool.call("drained", check=True)["changed"]
    threading.Timer(1.2, pool.set, [0]).start()
    did = pool.call("drained")
    assert did["ok"] and did["waited"] >= 0.5 and not did["changed"] and pool.ran == ["drain"], "not drained again"
    pool.set(5)
    late = pool.call("active", timeout=0)
    assert "not ready after 0 s" in failed(late, "patch.drain.left")["summary"] and not late["changed"]
    assert late["undone"] is True
    pool.set(0)
    pool.program("undrain", "true")
    late = pool.call("active", timeout=0)
    assert failed(late, "patch.drain.left") and late["undone"] is False
    pool.program("undrain", 'echo undrain "$@" >> ran; echo 3 > state')
    pool.set(4)
    assert pool.call("active")["changed"] and pool.ran[-1] == "undrain $HOME", "a drain in the middle is taken back"


def test_a_state_that_is_not_known_changes_nothing(pool: Pool) -> None:
    for code in (1, 2, 127):
        pool.program("check", f"echo 'no such \x1b[31mpool, token=abc123' >&2; exit {code}")
        for state, check in (("drained", "patch.drain.failed"), ("active", "patch.drain.left")):
            one = failed(pool.call(state), check)
            assert f"check_command ended with {code}: no such pool" in one["summary"] and "not known" in one["remedy"]
            assert "abc123" not in json.dumps(one) and "\\u001b" not in json.dumps(one)
    assert pool.ran == []


def test_programs_that_fail_hang_or_flood_are_named(pool: Pool) -> None:
    pool.program("drain", "echo half >> ran; echo nobody there >&2; exit 7")
    told = pool.call("drained")
    one = failed(told)
    assert "drain_command ended with 7: nobody there" in one["summary"] and not told["changed"]
    assert "nobody there" in one["evidence"]
    pool.program("check", "sleep 600")
    began = time.monotonic()
    assert "did not end within step_timeout" in failed(pool.call("drained", step_timeout=1))["summary"]
    assert time.monotonic() - began < 20
    pool.program("check", "exec yes")
    assert "printed more than 1 MiB" in failed(pool.call("drained"))["summary"]
    pool.program("check", "kill -9 $$")
    assert "ended by signal 9" in failed(pool.call("drained"))["summary"]
    assert "cannot be started" in failed(pool.call("drained", check_command=["/none/such"]))["summary"]


def test_by_ansible(pool: Pool) -> None:
    def run(state: str, **more: Any) -> dict[str, Any]:
        command = [str(Path(sys.executable).with_name("ansible")), "-i", "localhost,", "-c", "local", "localhost"]
        command += ["-e", f"ansible_python_interpreter={sys.executable}", "-m", "upkeep.maintenance.traffic_drain"]
        words = [*command, "-a", json.dumps(pool.options(state, **more))]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=60)
        return {"failed": "FAILED!" in ran.stdout, **json.loads(ran.stdout[ran.stdout.index("=> ") + 3 :])}

    assert run("drained")["changed"] and not run("drained")["changed"] and run("active")["changed"]
    bad = run("active", active_command=[])
    assert bad["failed"] and "state active needs active_command" in bad["msg"]
    other = run("active", backends=["shop"])
    assert other["failed"] and "backends is an option of kind haproxy" in other["msg"]
