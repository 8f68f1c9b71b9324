# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service on a real host of systemd: installed by command and by role, killed, restarted, rebooted, removed."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.host import Host

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SITE = Path(sysconfig.get_paths()["purelib"])
FAR = "/opt/upkeep"
UPKEEP = f"{FAR}/bin/python3 -m upkeep"
HOME = "/var/lib/upkeep"
LEFT_OUT = (
    "*mypyc*",
    "mypy",
    "ansible_test",
    "_pytest",
    "hypothesis",
    "ansiblelint",
    "molecule",
    "__pycache__",
    "docutils",
)
COLLECTION = ("galaxy.yml", "meta", "plugins", "roles", "playbooks", "inventories")
CONFIG = """
inventory: hosts.yml
time_zone: UTC
jobs:
  nap: {playbook: nap.yml, schedule: "* * * * *", changes: false}
"""
PLAYBOOK = "[{hosts: all, gather_facts: false, tasks: [{ansible.builtin.command: sleep 12}]}]\n"
INVENTORY = "all: {hosts: {localhost: {ansible_connection: local, ansible_python_interpreter: /usr/bin/python3}}}\n"


def send(host: Host, source: Path, names: list[str], to: str, *options: str) -> None:
    """Copy files into the host, past the network."""
    host.run(["mkdir", "-p", to])
    with subprocess.Popen(["tar", "-C", str(source), "-ch", *options, *names], stdout=subprocess.PIPE) as packed:
        subprocess.run([*host.exec_command(), "tar", "--no-same-owner", "-xC", to], stdin=packed.stdout, check=True)
    assert packed.returncode == 0


@pytest.fixture(scope="module")
def machines(fleet_factory: Factory) -> Fleet:
    return fleet_factory("control1")


@pytest.fixture(scope="module")
def host(machines: Fleet) -> Host:
    """A host with this Upkeep in a virtual environment of its own."""
    made = machines["control1"]
    made.run(f"python3 -m venv --without-pip {FAR}")
    site = f"{FAR}/lib/python3.{sys.version_info.minor}/site-packages"
    options = [f"--exclude={pattern}" for pattern in (*LEFT_OUT, "ansible_collections", "*.pth")]
    send(made, SITE, ["."], site, *options)
    send(made, ROOT / "scheduler", ["upkeep"], site, "--exclude=__pycache__")
    send(made, ROOT, list(COLLECTION), f"{site}/ansible_collections/upkeep/maintenance", "--exclude=__pycache__")
    for name, module in (("ansible-playbook", "playbook"), ("ansible", "adhoc"), ("ansible-inventory", "inventory")):
        made.write(f"{FAR}/bin/{name}", f"#!{FAR}/bin/python3\nfrom ansible.cli.{module} import main\nmain()\n")
        made.run(f"chmod 755 {FAR}/bin/{name}")
    made.run(f"mkdir -p {HOME}")
    for name, text in (("upkeep.yml", CONFIG), ("nap.yml", PLAYBOOK), ("hosts.yml", INVENTORY)):
        made.write(f"{HOME}/{name}", text)
    return made


def runs(host: Host) -> list[dict[str, Any]]:
    """The runs of the job, oldest first."""
    said = host.run(f"runuser -u upkeep -- env UPKEEP_HOME={HOME} {UPKEEP} runs --job nap --json").stdout
    found: list[dict[str, Any]] = json.loads(said)["runs"]
    return found[::-1]


def main_pid(host: Host) -> int:
    return int(host.run("systemctl show -p MainPID --value upkeep").stdout)


def until(host: Host, what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() >= deadline:
            journal = host.run("journalctl -u upkeep -n 40 --no-pager").stdout
            logs = host.run(f"tail -n 20 {HOME}/firings/*.log {HOME}/runs/*/ansible.log", check=False).stdout
            pytest.fail(f"not within {seconds} s\n{journal}\n{logs}\n{runs(host)}")
        time.sleep(1.0)


def at_work(host: Host) -> bool:
    return bool(runs(host)) and runs(host)[-1]["state"] == "running"


def test_1_it_is_installed_and_nothing_is_done_twice(host: Host) -> None:
    told = host.run(f"{UPKEEP} install-service --dry-run").stdout
    assert "+KillMode=process" in told
    assert "would make the user upkeep" in told
    assert host.run("test -e /etc/systemd/system/upkeep.service", check=False).returncode == 1, "a dry run does nothing"
    host.run(f"{UPKEEP} install-service")
    assert host.run("systemctl is-active upkeep").stdout == "active\n"
    assert "Nothing to do" in host.run(f"{UPKEEP} install-service").stdout


def test_2_a_killed_service_comes_back_and_its_run_goes_on(host: Host) -> None:
    until(host, lambda: at_work(host), 90)
    before = main_pid(host)
    host.run(f"kill -9 {before}")
    until(host, lambda: main_pid(host) not in (0, before), 30)
    until(host, lambda: runs(host)[0]["state"] != "running", 60)
    first = runs(host)[0]
    assert first["state"] == "finished", first["message"]
    assert first["hosts"]["ok"] == 1


def test_3_a_restart_breaks_no_run_off(host: Host) -> None:
    until(host, lambda: at_work(host), 90)
    number = runs(host)[-1]["number"]
    host.run("systemctl restart upkeep")
    until(host, lambda: next(run for run in runs(host) if run["number"] == number)["state"] == "finished", 60)


def test_4_a_reboot_is_seen_and_the_next_minute_comes(host: Host) -> None:
    until(host, lambda: at_work(host), 90)
    number = runs(host)[-1]["number"]
    host.power_off()  # no order in it: the plug is pulled
    host.release()
    until(host, lambda: host.run("systemctl is-active upkeep", check=False).stdout == "active\n", 60)
    until(host, lambda: next(run for run in runs(host) if run["number"] == number)["state"] == "interrupted", 60)
    until(host, lambda: runs(host)[-1]["number"] > number and runs(host)[-1]["state"] == "finished", 120)


def role(host: Host, inventory: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = json.dumps([f"{FAR}/bin/python3", "-m", "upkeep", "scheduler"])
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            *("upkeep.maintenance.install_service", "-i", inventory, "--diff"),
            *("-e", json.dumps({"service_command": json.loads(command)}), *words),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_5_the_role_makes_the_same_service(host: Host, machines: Fleet) -> None:
    inventory = str(machines.ansible_inventory)
    told = role(host, inventory, "-v").stdout
    assert "changed=0 " in told, "what the command has made is as the role wants it"
    told = role(host, inventory, "--check", "-e", "service_remote_only=true").stdout
    assert "+ProtectSystem=strict" in told
    assert "ProtectSystem" not in host.read("/etc/systemd/system/upkeep.service"), "check mode changes nothing"
    assert "changed=0 " not in role(host, inventory, "-e", "service_remote_only=true").stdout
    assert "changed=0 " in role(host, inventory, "-e", "service_remote_only=true").stdout
    before = max((run["number"] for run in runs(host)), default=0)
    until(host, lambda: any(run["number"] > before and run["state"] == "finished" for run in runs(host)), 120)


def test_6_it_is_removed_and_its_data_stay(host: Host, machines: Fleet) -> None:
    inventory = str(machines.ansible_inventory)
    role(host, inventory, "-e", "service_state=absent")
    assert host.run("systemctl is-active upkeep", check=False).stdout != "active\n"
    assert "changed=0 " in role(host, inventory, "-e", "service_state=absent").stdout
    assert "Nothing to do" in host.run(f"{UPKEEP} install-service --remove").stdout
    assert runs(host)
