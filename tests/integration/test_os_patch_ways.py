# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modules the role os_patch calls in which order when something goes wrong: the real role, scripted modules.

What each module does is tested on real hosts elsewhere; here it is the ways through the role: no fleet takes them all.
Each way is a host of one run, as most of the time goes into starting Ansible.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]
MODULE = """
import json, os
from ansible.module_utils.basic import AnsibleModule

NAME, FOLDER = {name!r}, os.environ["UPKEEP_WAY"]
words = "plan plan_id restart_services timeout lock_timeout ends assume_prepared state name before_plan probes ignore"
words += " manager refresh refresh_timeout security_origins kernel_in_container metadata_max_age_days"
words += " lock_max_age_hours security_max_age_days updates_max_age_days release_warn_days allowed_holds updates_limit"
module = AnsibleModule(
    argument_spec=dict((word, dict(type="raw")) for word in (words + " wait server").split()), supports_check_mode=True
)
call = NAME + (":" + module.params["state"] if module.params["state"] else "") + ("?" if module.check_mode else "")
with open(os.path.join(FOLDER, "calls"), "a") as stream:
    stream.write(call + "\\n")
with open(os.path.join(FOLDER, "script.json")) as stream:
    script = json.load(stream)
answers = script.get(call, [dict()])
answer = answers.pop(0) if len(answers) > 1 else answers[0]
with open(os.path.join(FOLDER, "script.json"), "w") as stream:
    json.dump(script, stream)
if answer.get("failed"):
    module.fail_json(**answer)
module.exit_json(**answer)
"""
MODULES = ("patch_apply", "patch_rollback", "health_info", "host_snapshot", "traffic_drain", "patch_plan", "patch_info")
PLAN = {"id": "p-0123456789ab", "packages": [{"name": "demo"}]}
WELL: dict[str, Any] = {"difference": {"verdict": "healthy", "changes": []}}
UNWELL = {"difference": {"verdict": "unhealthy", "changes": [{"severity": "critical", "summary": "demo died."}]}}
TOLD = {"coverage": [{"check": "patch.services.outdated", "subject": "*"}]}
NO_REBOOT = {"needed": False, "why": [], "blocked": ""}


def snapshots(state: str, changed: bool, **more: Any) -> dict[str, Any]:
    return {"changed": changed, "snapshots": [{"state": state}], "swept": [], "reboot": NO_REBOOT, **more}


SCRIPT: dict[str, list[dict[str, Any]]] = {
    "patch_apply": [{"changed": True, "phase": "restarted", "reboot": NO_REBOOT}],
    "patch_apply?": [{"phase": "restarted", "reboot": NO_REBOOT}],
    "patch_rollback": [{"changed": True, "phase": "rolled_back", "reboot": NO_REBOOT}],
    "patch_rollback?": [{"changed": True, "phase": "applying"}],
    "health_info": [WELL],
    "patch_info": [TOLD],
    "host_snapshot:present": [snapshots("taken", True)],
    "host_snapshot:present?": [snapshots("taken", False)],
    "host_snapshot:reverted": [snapshots("reverted", True)],
    "host_snapshot:absent": [{"changed": True, "snapshots": [], "swept": []}],
}
BOOM = {"failed": True, "msg": "boom", "phase": "applying", "changed": True}
PREPARED = {"phase": "prepared", "reboot": NO_REBOOT}
BY_SNAPSHOT = {"os_patch_rollback_by": "snapshot"}
ROLLBACK = {**BY_SNAPSHOT, "os_patch_steps": ["rollback"]}
TAKEN, GONE, BACK = "host_snapshot:present", "host_snapshot:absent", "host_snapshot:reverted"


WAYS = [
    pytest.param(
        {"health_info": [UNWELL, UNWELL, WELL]}, {},
        [TAKEN, "patch_apply", "health_info", "patch_rollback", "health_info", BACK, BACK, "health_info",
         "patch_info", GONE],
        "It was put back, and is well.", id="the snapshot helps where the packages did not",
    ),
    pytest.param(
        {"patch_apply": [{"failed": True, "msg": "locked", "phase": "prepared"}]}, BY_SNAPSHOT,
        [TAKEN, "patch_apply", GONE], "locked. Nothing was changed.", id="refused at its gates",
    ),
    pytest.param(
        {"patch_apply": [BOOM], BACK: [snapshots("taken", False, failed=True, msg="a later kernel")]}, BY_SNAPSHOT,
        [TAKEN, "patch_apply", "health_info", "patch_rollback?", BACK, "patch_rollback", "health_info",
         "patch_info", GONE],
        "It was put back, and is well.", id="the snapshot refuses, the packages go back",
    ),
    pytest.param(
        {TAKEN: [snapshots("taken", False), snapshots("taken", True)], "patch_rollback?": [PREPARED]}, {},
        [TAKEN, "patch_rollback?", GONE, TAKEN, "patch_apply", "health_info", "patch_info", GONE], "failed=0",
        id="one that was kept by an earlier run is no way back",
    ),
    pytest.param(
        {TAKEN: [snapshots("taken", False)]}, {},
        [TAKEN, "patch_rollback?", "patch_apply", "health_info", "patch_info", GONE], "failed=0",
        id="one of a plan that is begun is kept",
    ),
    pytest.param(
        {"patch_rollback?": [PREPARED], "patch_rollback": [PREPARED]},
        ROLLBACK, ["patch_rollback?", "host_snapshot:present?", "patch_rollback"], "failed=0",
        id="what was not begun is not gone back from",
    ),
    pytest.param(
        {"patch_rollback?": [PREPARED],
         "host_snapshot:present?": [snapshots("reverting", False, failed=True, msg="about to be reverted")]},
        ROLLBACK, ["patch_rollback?", "host_snapshot:present?", BACK, BACK, "patch_rollback"], "rescued=1",
        id="going back that was begun is finished",
    ),
    pytest.param(
        {"patch_info": [{"failed": True, "msg": "no"}]}, {"os_patch_snapshot": {}},
        ["patch_apply", "health_info", "patch_info"], "failed=0 skipped",
        id="what is left to do cannot be told, and nothing is put back for it",
    ),
    pytest.param(
        {"health_info": [UNWELL]}, {"os_patch_rollback": False, "os_patch_snapshot": {}},
        ["patch_apply", "health_info"], "It is not put back as it was.",
        id="who is not well is not told to be done",
    ),
    pytest.param(
        {}, {"os_patch_plans": {"web1": {**PLAN, "packages": []}}, "os_patch_snapshot": {}},
        ["patch_info"], "failed=0", id="what an earlier run has left to do is told again",
    ),
    pytest.param({}, {"os_patch_steps": ["verify"]}, ["health_info", "patch_info"], "failed=0", id="one step"),
    pytest.param(
        {"patch_apply?": [{"reboot": {**NO_REBOOT, "needed": True, "why": ["a kernel"]}}]},
        {"os_patch_steps": ["reboot"], "os_patch_reboot_ok": False}, ["patch_apply?", "patch_info"], "failed=0",
        id="a reboot left pending is told where nobody verifies",
    ),
    pytest.param(
        {"traffic_drain:active": [{"failed": True, "msg": "a wrong option"}], "traffic_drain:drained": [
            {"failed": True, "msg": "a wrong option"}]},
        {"os_patch_steps": ["drain", "apply", "undrain"], "os_patch_drains": [{}], "os_patch_snapshot": {}},
        ["traffic_drain:drained", "traffic_drain:active"], '"a wrong option. Nothing was changed."',
        id="what fails both ways is told once",
    ),
    pytest.param(
        {"traffic_drain:active?": [{"changed": True}]},
        {"os_patch_steps": ["undrain", "cleanup"], "os_patch_plans": {"web1": {**PLAN, "packages": []}},
         "os_patch_drains": [{}], "os_patch_snapshot": {}},
        ["traffic_drain:active?"], "out of service (haproxy)", id="what a killed run left drained is told",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[str], str]]:
    """By the id of a way: the calls that the role made, and what ansible-playbook printed of its host."""
    folder = tmp_path_factory.mktemp("ways")
    collection = folder / "ansible_collections" / "upkeep" / "maintenance"
    (collection / "plugins" / "modules").mkdir(parents=True)
    (collection / "roles").symlink_to(ROOT / "roles")
    for name in MODULES:
        (collection / "plugins" / "modules" / f"{name}.py").write_text(MODULE.format(name=name))
    hosts: dict[str, dict[str, Any]] = {}
    for number, way in enumerate(WAYS):
        script, variables = way.values[:2]
        own = folder / f"way{number}"
        own.mkdir()
        (own / "script.json").write_text(json.dumps({**SCRIPT, **script}))
        (own / "calls").touch()
        hosts[own.name] = {
            "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "way": str(own),
            "os_patch_steps": ["snapshot", "apply", "verify", "cleanup"],
            "os_patch_snapshot": {"kind": "host"}, "os_patch_reboot_ok": True,
            **variables, "os_patch_plans": {own.name: variables.get("os_patch_plans", {}).get("web1", PLAN)},
        }  # fmt: skip
    play = {
        "hosts": "all", "gather_facts": False, "strategy": "ansible.builtin.host_pinned",
        "environment": {"UPKEEP_WAY": "{{ way }}"}, "roles": ["upkeep.maintenance.os_patch"],
    }  # fmt: skip
    (folder / "play.yml").write_text(json.dumps([play]))
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    program = Path(sys.executable).with_name("ansible-playbook")
    ended = subprocess.run(
        [program, "-i", "hosts.json", "-f", str(len(hosts)), "play.yml"], cwd=folder, capture_output=True, text=True,
        timeout=280, env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_NOCOLOR": "1"}, check=False,
    )  # fmt: skip
    lines = (ended.stdout + ended.stderr).splitlines()
    told = {}
    for way, name in zip(WAYS, hosts, strict=True):
        mine = [line for line in lines if f"[{name}]" in line or f"[{name} ->" in line or line.startswith(f"{name} ")]
        told[str(way.id)] = ((folder / name / "calls").read_text().split(), " ".join(" ".join(mine).split()))
    return told


@pytest.mark.parametrize(("script", "variables", "calls", "says"), WAYS)
def test_ways(
    ran: dict[str, tuple[list[str], str]],
    request: pytest.FixtureRequest,
    script: dict[str, Any],
    variables: dict[str, Any],
    calls: list[str],
    says: str,
) -> None:
    did, said = ran[request.node.callspec.id]
    assert did == calls, said
    assert says in said
