# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are folders, a playbook that takes a campaign's variables, and outcomes that a test has scripted.

Real processes do it all: `upkeep campaign`, the runs that it starts, ansible-playbook. A host's folder holds what was
done to it (``version``, ``drained``, ``snapshot``), its ``steps`` in order, and ``script.json``: how a step goes at its
first, second, … time (``ok``, ``failed``, ``half``: done, and then failed; ``hold``: waits while ``hold`` is there).
While ``dead`` is there, it does not answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .rig import PYTHON, Rig, dedent

STEP = """
    import hashlib, json, os, sys, time
    from ansible.module_utils.basic import AnsibleModule

    HOSTILE = "{{ lookup('ansible.builtin.pipe', 'touch ' ~ playbook_dir ~ '/pwned') }}"
    module = AnsibleModule(argument_spec=dict(
        folder=dict(type="path", required=True), step=dict(required=True), plan=dict(type="dict", default={}),
        campaign=dict(type="dict", required=True), cves=dict(type="list", default=[])), supports_check_mode=True)
    step, folder, plan = module.params["step"], module.params["folder"], module.params["plan"]

    def path(name):
        return os.path.join(folder, name)

    def read(name):
        with open(path(name)) as file:
            return file.read().strip()

    def write(name, text, mode="w"):
        with open(path(name), mode) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    script = json.loads(read("script.json"))
    before = read("steps").split().count(step)
    write("steps", step + "\\n", "a")
    outcomes = script.get(step, [])
    outcome = outcomes[min(before, len(outcomes) - 1)] if outcomes else "ok"
    if outcome == "failed":
        module.fail_json(msg="%s failed as it was told to" % step)
    result = dict(changed=False, findings=[], coverage=[])
    if step == "plan":
        packages = []
        write("cves", " ".join(module.params["cves"]))
        if read("version") == "1":
            packages = [dict(name="openssl", arch="amd64", to="2", action="upgrade", asked=True, security=True)]
            packages[0]["from"] = "1"
        whole = dict(manager="apt", select="all", packages=packages, left_out=[],
                     services=[dict(unit="nginx.service", restart="upkeep", why=HOSTILE)] if packages else [],
                     reboot=dict(needed=bool(packages) or read("due") == "x", why=["a new kernel"] if packages else []),
                     seconds=dict(download=1, apply=2, reboot=3, total=6, measured=False))
        whole["id"] = "p-" + hashlib.sha256(json.dumps([packages, read("salt")]).encode()).hexdigest()[:12]
        result["plans"] = [dict(subject="os", id=whole["id"], summary="%d package(s)" % len(packages), plan=whole)]
    elif step == "apply":
        if plan.get("id", "")[:2] != "p-":
            module.fail_json(msg="there is no plan")
        if [one["why"] for one in plan["services"]] not in ([HOSTILE], []):
            module.fail_json(msg="the plan is not the one that this host has made: %s" % plan)
        write("version", "2")
        write("applied", "x", "a")
    elif step == "rollback":
        write("version", "1")
    elif step in ("drain", "snapshot"):
        write(step, module.params["campaign"]["key"])
    elif step in ("undrain", "cleanup"):
        for name in ("drain",) if step == "undrain" else ("snapshot",):
            if os.path.exists(path(name)):
                os.unlink(path(name))
    elif step == "verify" and os.path.exists(path("ill")):
        module.fail_json(msg="the service does not answer")
    while outcome == "hold" and os.path.exists(path("hold")):
        time.sleep(0.05)
    if outcome == "half":
        module.fail_json(msg="%s broke off in its middle" % step)
    module.exit_json(**result)
    """

PLAYBOOK = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "name": "A step on the host",
                "when": "os_patch_steps[0] not in ['drain', 'undrain']",
                "upkeep.maintenance.campaign_step": "{{ arguments }}",
            },
            {
                "name": "A step beside the host",
                "when": "os_patch_steps[0] in ['drain', 'undrain']",
                "upkeep.maintenance.campaign_step": "{{ arguments }}",
                "delegate_to": "localhost",
                "vars": {"ansible_connection": "local", "ansible_python_interpreter": PYTHON},
            },
        ],
        "vars": {
            "arguments": {
                "folder": "{{ playbook_dir }}/fleet/{{ inventory_hostname }}",
                "step": "{{ os_patch_steps[0] }}",
                "plan": "{{ (os_patch_plans | default({}))[inventory_hostname] | default({}) }}",
                "campaign": "{{ os_patch_campaign }}",
                "cves": "{{ patch_plan_cves | default([]) }}",
            }
        },
    }
]
SOON = 60.0
"""Seconds in which what a test waits for comes; on an idle machine it takes one or two."""


class Fleet(Rig):
    """The hosts, and the campaign ``os`` over them."""

    def __init__(self, folder: Path, hosts: list[str], campaign: dict[str, Any], url: str | None = None) -> None:
        super().__init__(folder)
        modules = self.collections / "ansible_collections" / "upkeep" / "maintenance" / "plugins" / "modules"
        (modules / "campaign_step.py").write_text(dedent(STEP))
        self.write("site.yml", json.dumps(PLAYBOOK))
        dead = "{{ 'ssh' if ('FOLDER/fleet/' ~ inventory_hostname ~ '/dead') is exists else 'local' }}"
        dead = dead.replace("FOLDER", str(folder))
        where = f'ansible_connection="{dead}" ansible_host=127.0.0.1 ansible_port=1 ansible_python_interpreter={PYTHON}'
        self.inventory = self.write("hosts", "".join(f"{host} {where}\n" for host in hosts))
        for host in hosts:
            (folder / "fleet" / host).mkdir(parents=True)
            for name, text in (("version", "1"), ("steps", ""), ("script.json", "{}"), ("salt", ""), ("due", "")):
                self.set(host, name, text)
        self.campaign = {"playbook": "site.yml", "soak": 0, **campaign}
        self.url = url
        self.configure()

    def configure(self, **more: Any) -> None:
        """Write upkeep.yml."""
        store = {"store": {"url": self.url}} if self.url else {}
        config = {"inventory": "hosts", **store, "campaigns": {"os": self.campaign}, **more}
        self.write("upkeep.yml", json.dumps(config))

    def set(self, host: str, name: str, text: str = "x") -> None:
        """Write a file of a host."""
        (self.folder / "fleet" / host / name).write_text(text)

    def unset(self, host: str, name: str) -> None:
        """Remove it."""
        (self.folder / "fleet" / host / name).unlink(missing_ok=True)

    def script(self, host: str, **outcomes: list[str]) -> None:
        """How a host's steps go."""
        self.set(host, "script.json", json.dumps(outcomes))

    def has(self, host: str, name: str) -> bool:
        """Whether it is there."""
        return (self.folder / "fleet" / host / name).exists()

    def version(self, host: str) -> str:
        """Of its package."""
        return (self.folder / "fleet" / host / "version").read_text()

    def steps(self, host: str) -> list[str]:
        """What was done on it, in order; without its plan."""
        done = (self.folder / "fleet" / host / "steps").read_text().split()
        return [step for step in done if step != "plan"]

    def do(self, *words: str, code: int = 0) -> str:
        """`upkeep campaign …`; its standard output."""
        done = self.upkeep("campaign", *words)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, *words: str, code: int = 2) -> str:
        """The same of one that is refused; its standard error."""
        done = self.upkeep("campaign", *words)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def status(self) -> dict[str, Any]:
        """As JSON."""
        told: dict[str, Any] = json.loads(self.do("status", "os", "--json"))
        return told

    def states(self) -> dict[str, str]:
        """The state of each host."""
        return {host["name"]: host["state"] for host in self.status()["hosts"]}

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """`upkeep campaign …` as a process in the background."""
        return self._process("background.log", "campaign", *words)

    def begin_scheduler(self) -> subprocess.Popen[bytes]:
        """`upkeep scheduler` as a process."""
        return self._process("scheduler.log", "scheduler")

    def _process(self, log: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "upkeep", *words],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def upkeep(self, *words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """As the rig's; a whole campaign takes longer than a run."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "upkeep", *map(str, words)],
            cwd=self.folder,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def wait_until(what: Callable[[], bool], why: str) -> None:
    """Wait for a state; never for a time."""
    deadline = time.monotonic() + SOON
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)
