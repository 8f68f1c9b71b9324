# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A campaign over real hosts by the real role: a canary, a ring behind it, and a host that its patch breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet

from .test_os_patch_fleet import HOOK, NEW, OLD, version

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(400)]

HOSTS = ("cmpdeb1", "cmpdeb2", "cmpdnf")


def campaign(fleet: Fleet, folder: Path) -> dict[str, Any]:
    """Drains at a balancer that is a file."""
    hooks = {}
    for word in ("drain", "undrain"):
        path = folder / f"{word}.yml"
        path.write_text("---" + HOOK.format(path=folder / "balancer", word=word))
        hooks[f"os_patch_{word}_tasks"] = str(path)
    return {
        "rings": [{"name": "canary", "hosts": "cmpdeb1"}, {"name": "rest", "rest": True, "batch": 2}],
        "soak": 0,
        "max_failures": 1,
        "steps": ["prepare", "drain", "apply", "verify", "undrain"],
        "extra_vars": {
            "patch_plan_select": "all",
            "patch_plan_show": False,
            "os_patch_health_wait": 20,
            "os_patch_restart_services": True,
            **hooks,
        },
    }


def test_the_canary_first_and_who_breaks_is_put_back(fleet_factory: Factory, tmp_path: Path) -> None:
    fleet = fleet_factory("cmpdeb1", "cmpdeb2", "cmpdnf:dnf")
    fleet["cmpdeb1"].run("apt-get -q -y purge upkeep-demo-dies")
    fleet["cmpdnf"].run("rpm -e upkeep-demo-dies")
    fleet.repo.publish("v2", "upkeep-demo", "upkeep-demo-dies")
    for host in HOSTS[:2]:
        fleet[host].run("apt-get -q update")
    fleet["cmpdnf"].run("dnf -q --refresh makecache")
    config = {"inventory": str(fleet.ansible_inventory), "campaigns": {"os": campaign(fleet, tmp_path)}}
    (tmp_path / "upkeep.yml").write_text(json.dumps(config))

    def upkeep(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "upkeep", "campaign", *words],
            cwd=tmp_path, capture_output=True, text=True, timeout=380, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "UPKEEP_HOME": str(tmp_path / "home")},
        )  # fmt: skip
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    told = json.loads(upkeep("plan", "os", "--json"))
    assert [batch["hosts"] for batch in told["batches"]] == [["cmpdeb1"], ["cmpdeb2", "cmpdnf"]]
    assert [version(fleet[host], "upkeep-demo") for host in HOSTS] == [OLD] * 3
    upkeep("approve", "os")
    upkeep("start", "os", code=3)
    told = json.loads(upkeep("status", "os", "--json"))
    states = {host["name"]: host["state"] for host in told["hosts"]}
    assert states == {"cmpdeb1": "done", "cmpdeb2": "rolled_back", "cmpdnf": "done"}, told
    assert told["state"] == "finished" and told["failures"] == 1
    assert [version(fleet[host], "upkeep-demo") for host in HOSTS] == [NEW, OLD, NEW]
    assert version(fleet["cmpdeb2"], "upkeep-demo-dies") == OLD
    assert fleet["cmpdeb2"].run("systemctl is-active upkeep-demo-dies").stdout.strip() == "active"
    lines = (tmp_path / "balancer").read_text().splitlines()
    assert lines[:2] == ["drain cmpdeb1", "undrain cmpdeb1"], "the canary is through before any other begins"
    assert sorted(lines[2:]) == ["drain cmpdeb2", "drain cmpdnf", "undrain cmpdeb2", "undrain cmpdnf"]
    assert all(undo["cleared"] is not None for undo in told["undo"])
