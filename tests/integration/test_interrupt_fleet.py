# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run over SSH that is ended: nothing of it goes on, neither here nor on the hosts, and that is recorded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet

from .upkeep_command import Upkeep

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(200)]

MARK = "86399"
"""Seconds that the task sleeps: a number by which its process is found."""


@pytest.fixture(scope="module")
def hosts(fleet_factory: Factory) -> Fleet:
    return fleet_factory("web1", "web2")


def sleeping(hosts: Fleet) -> int:
    """Hosts on which the task's process is there."""
    return sum(host.run(f"pgrep -f '[s]leep {MARK}'", check=False).returncode == 0 for host in hosts.hosts)


def wait_for(count: int, hosts: Fleet, seconds: float) -> None:
    end = time.monotonic() + seconds
    while sleeping(hosts) != count:
        assert time.monotonic() < end, f"after {seconds} s the task runs on {sleeping(hosts)} hosts, not on {count}"
        time.sleep(0.3)


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    path = tmp_path / "sleep.yml"
    task = {"name": "Sleep", "ansible.builtin.command": {"argv": ["sleep", MARK]}}
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_ended_by_a_person(hosts: Fleet, playbook: Path, tmp_path: Path, number: signal.Signals) -> None:
    upkeep = Upkeep(tmp_path)
    run = subprocess.Popen(
        [sys.executable, "-m", "upkeep", "run", str(playbook), "-i", str(hosts.ansible_inventory)],
        env={**os.environ, "UPKEEP_HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(2, hosts, 40)
        run.send_signal(number)
        assert run.wait(40) == 4
    finally:
        run.kill()
    wait_for(0, hosts, 10)
    (recorded,) = upkeep.json("runs")["runs"]
    assert recorded["state"] == "interrupted"
    here = subprocess.run(["pgrep", "-f", str(playbook)], capture_output=True, text=True, check=False)
    assert here.stdout == "", "ansible-playbook went on without us"


def test_ended_at_its_time_limit(hosts: Fleet, playbook: Path, tmp_path: Path) -> None:
    upkeep = Upkeep(tmp_path)
    document = upkeep.json("run", playbook, "-i", hosts.ansible_inventory, "--time-limit", "8s")
    assert document["run"]["state"] == "timed_out"
    assert document["exit_code"] == 4
    # Which host hung is told; neither counts as clean.
    assert {finding["host"] for finding in document["findings"]} == {"web1", "web2"}
    wait_for(0, hosts, 10)
