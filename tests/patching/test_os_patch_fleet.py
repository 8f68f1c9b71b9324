# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook os_patch on real hosts, by hand: reboots, approved plans and gates, what is refused, what is undone.

All in one go, foretold by check mode and repeated, is molecule's scenario; who breaks is put back in test_faults.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.host import Host

from .test_silence import url as alertmanager  # noqa: F401 - a fixture

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
HOSTS = ("osdeb1", "osdeb2", "osdnf")
OLD, NEW = "1.0-1", "2.0-1"
SECRET = "not-for-your-eyes"
HOOK = """
- name: Write down what is done to the balancer
  ansible.builtin.lineinfile:
    path: {path}
    line: "{word} {{{{ inventory_hostname }}}}"
    insertafter: EOF
    firstmatch: false
    create: true
    mode: "0644"
  delegate_to: localhost
  become: false
  throttle: 1
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
"""


class Run:
    """One run of the playbook, with what its modules found."""

    def __init__(self, ran: subprocess.CompletedProcess[str], results: Path) -> None:
        self.rc, self.out = ran.returncode, ran.stdout + ran.stderr
        self.records = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
        self.states = {r["host"]: r["state"] for r in self.records if r["type"] == "host"}
        self.changed = {
            host: int(number)
            for host, number in re.findall(r"^(\w+)\s+: ok=\d+\s+changed=(\d+)", ran.stdout, re.MULTILINE)
        }
        self.plans = {r["host"]: r["plan"]["plan"] for r in self.records if r["type"] == "plan"}

    def findings(self, host: str, check: str) -> list[dict[str, Any]]:
        return [
            r["finding"]
            for r in self.records
            if r["type"] == "finding" and r["host"] == host and r["finding"]["check"] == check
        ]


class Balancer:
    """HAProxy before the hosts of a fleet, on this machine; each is up while its sshd listens."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
        assert program, "expected haproxy, found none; to do: apt-get install haproxy"
        self.socket = str(folder / "haproxy.sock")
        servers = "".join(f" server {h.name} {h.address}:22 check inter 200ms fall 1 rise 1\n" for h in fleet.hosts)
        (folder / "haproxy.cfg").write_text(
            f"global\n stats socket {self.socket} level admin\ndefaults\n mode tcp\n timeout connect 2s\n"
            f" timeout client 1m\n timeout server 1m\nbackend shop\n{servers}"
        )
        self.log = (folder / "haproxy.log").open("wb")
        words = [program, "-db", "-f", str(folder / "haproxy.cfg")]
        self.process = subprocess.Popen(words, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while not Path(self.socket).exists() or set(self.states().values()) != {"UP"}:
            assert time.monotonic() < deadline, "HAProxy finds its servers up"
            time.sleep(0.1)

    def states(self) -> dict[str, str]:
        """What HAProxy itself says of each host: UP, DRAIN, DOWN …"""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self.socket)
            line.sendall(b"show stat shop 4 -1\n")
            told = b""
            while part := line.recv(65536):
                told += part
        rows = [row.split(",") for row in told.decode().splitlines()[1:] if row]
        return {row[1]: row[17].split()[0] for row in rows}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


class Rig:
    """The fleet, a folder, and what the hosts are taken out of: HAProxy, Alertmanager and a file that tells."""

    def __init__(self, fleet: Fleet, folder: Path, silences: str) -> None:
        self.fleet, self.folder, self.number, self.alertmanager = fleet, folder, 0, silences
        self.haproxy = Balancer(fleet, folder)
        # Somebody whom nobody reaches, and this machine, which Ansible would give the settings of the fleet's hosts.
        inventory = fleet.ansible_inventory.read_text().splitlines()
        here = f"ansible_connection: local, ansible_python_interpreter: {sys.executable}"
        nobody = "ansible_host: 127.0.0.1, ansible_port: 9"
        inventory.insert(2, f"  hosts: {{nobody: {{{nobody}}}, localhost: {{{here}}}}}")
        self.inventory = folder / "inventory.yml"
        self.inventory.write_text("\n".join(inventory) + "\n")
        self.balancer = folder / "balancer"
        self.hooks = {}
        for word in ("drain", "undrain"):
            path = folder / f"{word}.yml"
            path.write_text("---" + HOOK.format(path=self.balancer, word=word))
            self.hooks[f"os_patch_{word}_tasks"] = str(path)

    def run(self, *words: str, fails: bool = False, **variables: Any) -> Run:
        self.number += 1
        given = {
            "patch_plan_select": "all", "patch_plan_show": False, "os_patch_health_wait": 20,
            "os_patch_lock_timeout": 30, "os_patch_restart_services": True, **self.hooks,
            "os_patch_silences": [self.silence()], "os_patch_drains": [self.drain()], **variables,
        }  # fmt: skip
        extra = self.folder / f"{self.number}.json"
        extra.write_text(json.dumps(given))
        results = self.folder / f"{self.number}.jsonl"
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.inventory)]
        ran = subprocess.run(
            [*command, "upkeep.maintenance.os_patch", "-l", "!nobody:!localhost", "-e", f"@{extra}", *words],
            capture_output=True, text=True, timeout=400, check=False,
            env={**os.environ, "UPKEEP_RESULTS_FILE": str(results)},
        )  # fmt: skip
        made = Run(ran, results)
        assert (made.rc != 0) is fails, made.out
        assert SECRET not in made.out + results.read_text()
        return made

    def silence(self, **options: Any) -> dict[str, Any]:
        matcher = {"name": "instance", "value": "{{ inventory_hostname }}(:[0-9]+)?", "regex": True}
        return {"url": self.alertmanager, "token": SECRET, "matchers": [matcher], "minutes": 30, **options}

    def drain(self, **options: Any) -> dict[str, Any]:
        return {"socket": self.haproxy.socket, "timeout": 20, "allow_last": True, **options}

    def silenced(self) -> list[str]:
        """By what keys there are silences now."""
        with urllib.request.urlopen(self.alertmanager + "/api/v2/silences", timeout=10) as told:
            return sorted(one["createdBy"] for one in json.load(told) if one["status"]["state"] == "active")

    def balanced(self, host: str) -> list[str]:
        """What was done to a host at the balancer since the last question."""
        lines = self.balancer.read_text().splitlines() if self.balancer.exists() else []
        return [line.split()[0] for line in lines if line.endswith(f" {host}")]

    def forget(self) -> None:
        self.balancer.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def rig(fleet_factory: Factory, tmp_path_factory: pytest.TempPathFactory, alertmanager: str) -> Iterator[Rig]:  # noqa: F811
    made = Rig(fleet_factory("osdeb1", "osdeb2", "osdnf:dnf"), tmp_path_factory.mktemp("os_patch"), alertmanager)
    yield made
    made.haproxy.stop()


@pytest.fixture(autouse=True)
def fresh(rig: Rig) -> Iterator[None]:
    rig.forget()
    yield
    assert rig.silenced() == []
    deadline = time.monotonic() + 30  # a link that was just raised
    while set(rig.haproxy.states().values()) != {"UP"}:
        assert time.monotonic() < deadline, rig.haproxy.states()
        time.sleep(0.2)


def version(host: Host, name: str) -> str:
    """The installed version of a package, without a release's suffix; "" when it is not there."""
    if host.flavour == "dnf":
        said = host.run(f"rpm -q --qf '%{{VERSION}}-%{{RELEASE}}' {name} || true").stdout
        return "" if "not installed" in said else said.removesuffix(".el9")
    return host.run(f"dpkg-query -W -f '${{Version}}' {name} 2>/dev/null || true").stdout.strip()


def test_reboots_only_where_allowed_and_who_does_not_come_back_is_named(rig: Rig) -> None:
    rig.fleet.repo.publish("v2", "upkeep-demo-kernel", "linux-image-9.9.9-upkeep", "kernel")
    before = {host: rig.fleet[host].boot_id() for host in HOSTS}
    pending = rig.run()
    assert {host: rig.fleet[host].boot_id() for host in HOSTS} == before
    assert all(pending.findings(host, "patch.reboot.required") for host in HOSTS[:2]), pending.out
    assert rig.run().changed == dict.fromkeys(HOSTS, 0)
    rig.forget()
    rig.fleet["osdeb2"].hold()
    try:
        did = rig.run(fails=True, os_patch_reboot_ok=True, os_patch_reboot_timeout=25)
        assert did.states["osdeb2"] == "failed" and "osdeb2 did not come back from its reboot" in did.out, did.out
    finally:
        rig.fleet["osdeb2"].release()
    assert did.states["osdeb1"] == did.states["osdnf"] == "ok"
    # The kernel that runs belongs to the machine under these hosts, and dnf leaves no flag: nothing is due there later.
    assert [rig.fleet[host].boot_id() != before[host] for host in HOSTS] == [True, True, False]
    assert [rig.balanced(host) for host in HOSTS] == [["drain", "undrain"], ["drain", "undrain"], []]
    assert rig.run(os_patch_reboot_ok=True).changed == dict.fromkeys(HOSTS, 0)


def test_services_that_go_on_with_replaced_code_are_told(rig: Rig) -> None:
    """Not restarted, as nobody asked for it: the host is patched and well, and the vulnerable code runs on."""
    rig.fleet.repo.publish("v2", "libupkeepdemo1")
    rig.fleet["osdeb2"].run("systemctl start upkeep-demo")
    plan = {"patch_plan_select": "packages", "patch_plan_packages": [{"name": "libupkeepdemo1"}]}
    did = rig.run("--limit", "osdeb2", os_patch_restart_services=False, **plan)
    assert did.states == {"osdeb2": "ok"} and version(rig.fleet["osdeb2"], "libupkeepdemo1") != OLD
    again = rig.run("--limit", "osdeb2", os_patch_restart_services=False, **plan)
    for ran in (did, again):
        (told,) = ran.findings("osdeb2", "patch.services.outdated")
        assert "upkeep-demo.service" in str(told), ran.out
        assert not ran.findings("osdeb2", "patch.exposure.exposed"), "an ordinary package in an ordinary run"
    rig.fleet["osdeb2"].run("systemctl restart upkeep-demo")
    assert not rig.run("--limit", "osdeb2", **plan).findings("osdeb2", "patch.services.outdated")


def test_approved_plans_from_their_folder_and_the_gates_before_them(rig: Rig) -> None:
    """Each step as a run of its own is what test_faults.py has campaigns do."""
    one = rig.fleet["osdeb1"]
    rig.fleet.repo.publish("v2", "upkeep-demo-held")
    approved = rig.folder / "approved"
    approved.mkdir()
    planned = rig.run("--limit", "osdeb1", os_patch_steps=["plan"], patch_plan_save_to=str(approved))
    assert json.loads((approved / "osdeb1.json").read_text()) == planned.plans["osdeb1"]
    common = {"os_patch_plans_from": str(approved)}
    late = {"os_patch_campaign": {"window_ends": time.time() + 5}, **common}
    did = rig.run("--limit", "osdeb1", os_patch_steps=["prepare"], fails=True, **late)
    assert did.findings("osdeb1", "patch.prepare.window_short"), did.out
    stale = {"os_patch_backup_max_age_days": 7, **common}
    did = rig.run("--limit", "osdeb1", os_patch_steps=["prepare"], fails=True, **stale)
    assert did.findings("osdeb1", "patch.prepare.backup_stale"), did.out
    proven = [{"subject": "/srv", "kind": "test", "verdict": "passed", "at": time.time() - 3600}]
    stale["upkeep_backup_results"] = {"osdeb1": proven}
    rig.run("--limit", "osdeb1", os_patch_steps=["prepare", "apply", "verify"], **stale)
    assert version(one, "upkeep-demo-held") == NEW and rig.balanced("osdeb1") == []
    did = rig.run("--limit", "osdeb2", os_patch_steps=["prepare", "apply"], fails=True, **common)
    assert "found no such file" in did.out and version(rig.fleet["osdeb2"], "upkeep-demo-held") == OLD
    # The way back, and the host back in service though it does not answer.
    back = rig.run("--limit", "osdeb1", os_patch_steps=["drain", "rollback", "verify"], **common)
    assert version(one, "upkeep-demo-held") == OLD and back.states == {"osdeb1": "ok"}
    # What was rolled back here is foretold as the run then does it: prepared anew.
    foretold = rig.run("--limit", "osdeb1", "--check", **common)
    assert foretold.changed["osdeb1"] >= 1
    one.link(up=False)
    try:
        did = rig.run(
            "--limit", "osdeb1", "-T", "3", os_patch_steps=["undrain"], os_patch_drains=[rig.drain(timeout=3)]
        )
        assert did.states == {"osdeb1": "ok"} and did.findings("osdeb1", "patch.drain.left"), did.out
    finally:
        one.link(up=True)
    assert rig.silenced() == []


def test_what_takes_a_host_out_of_service_fails_and_is_undone_all_the_same(rig: Rig) -> None:
    rig.fleet.repo.publish("v2", "libupkeepdemo1")
    nobody = rig.drain(delegate_to="nobody")
    did = rig.run("--limit", "osdeb1", "-T", "3", fails=True, os_patch_drains=[rig.drain(), nobody])
    assert did.states == {"osdeb1": "failed"}, "it answers; who does not is nobody"
    said = re.sub(r"\s+", " ", did.out)
    assert "nobody does not answer, where osdeb1 was to be drained" in said, did.out
    assert "Nothing was changed." in said and "nobody does not answer, where osdeb1 was to be taken back" in said
    assert version(rig.fleet["osdeb1"], "libupkeepdemo1") == OLD


def test_what_does_not_fit_is_refused_before_anything(rig: Rig) -> None:
    for variables, words in (
        ({"os_patch_steps": ["apply"]}, "no plan for osdeb1"),
        ({"os_patch_steps": ["apply", "rollback"]}, "either apply or rollback"),
        ({"os_patch_drain_tasks": "/nowhere/drain.yml"}, "found /nowhere/drain.yml"),
        ({"os_patch_undrain_tasks": ""}, "os_patch_undrain_tasks, which puts them back, is empty"),
        ({"os_patch_steps": ["aply"]}, "aply"),
        ({"os_patch_plans_from": "/nowhere"}, "plan of osdeb1 in /nowhere/osdeb1.json"),
        ({"os_patch_snapshot": {"kind": "tape"}}, "found kind tape"),
        ({"os_patch_rollback_by": "snapshot"}, "Expected os_patch_snapshot"),
        ({"os_patch_drains": [{"delegate_to": "osdeb1"}]}, "osdeb1 is to be silenced or drained from itself"),
        ({"os_patch_steps": ["undrain"], "os_patch_drains": [{"sokket": "/x"}]}, "Unsupported parameters"),
    ):
        did = rig.run("--limit", "osdeb1", fails=True, **variables)
        assert words in re.sub(r"\s+", " ", did.out), did.out
