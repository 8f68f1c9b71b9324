# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns by the real role: an emergency that takes a snapshot, and a host that only waits for its reboot.

test_faults.py has the rest: a campaign over a host for each fault.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet.fixture import Factory

from .campaigns import Campaigns
from .test_os_patch_fleet import NEW, version
from .test_snapshot_fleet import DEMO, DPKG, TOP, attach

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(400)]


def test_an_emergency_with_a_snapshot_and_a_host_that_only_waits_for_its_reboot(
    fleet_factory: Factory, tmp_path: Path
) -> None:
    fleet = fleet_factory("cmpsnap:btrfs", "cmpboot")
    snap, boot = fleet["cmpsnap"], fleet["cmpboot"]
    device = attach(snap, "vdb", TOP)
    for name, folder in (("@demo", DEMO), ("@dpkg", DPKG)):
        snap.run(
            f"btrfs -q subvolume create {TOP}/{name} && cp -a {folder}/. {TOP}/{name}/ &&"
            f" echo '{device} {folder} btrfs subvol={name} 0 0' >> /etc/fstab"
        )
    snap.run("mount -a && apt-get -q -y purge upkeep-demo-kernel")
    fleet.repo.publish("v2", "upkeep-demo", "upkeep-demo-kernel")
    boot.run("apt-get -q update && apt-get -q -y install upkeep-demo upkeep-demo-kernel")
    by_host = {"kind": "host", "volumes": [DEMO, DPKG]}
    spec = {
        "steps": ["prepare", "snapshot", "apply", "reboot", "verify", "cleanup"],
        "extra_vars": {
            "patch_plan_select": "packages",
            "patch_plan_packages": [{"name": "upkeep-demo"}, {"name": "upkeep-demo-kernel"}],
            "patch_plan_show": False,
            "os_patch_reboot_ok": True,
            "os_patch_health_wait": 30,
            "os_patch_snapshot": "{{ " + repr(by_host) + " if inventory_hostname == 'cmpsnap' else {} }}",
        },
        "emergency": {"rings": [{"name": "all", "rest": True, "batch": "100%"}], "window": "ignore"},
    }
    run = Campaigns(fleet, tmp_path, os=spec)
    told = run.told("campaign", "plan", "os", "--package", "upkeep-demo")
    hosts = {host["name"]: host for host in told["hosts"]}
    assert told["name"] == "os:upkeep-demo" and hosts["cmpsnap"]["ring"] == "all"
    assert hosts["cmpboot"]["why"] == "no package is to be changed, but a reboot is due: not in an emergency"
    run.upkeep("campaign", "approve", "os:upkeep-demo")
    run.upkeep("campaign", "start", "os:upkeep-demo")
    told = run.told("campaign", "status", "os:upkeep-demo")
    assert told["state"] == "finished" and version(snap, "upkeep-demo") == NEW
    assert [(one["host"], one["kind"], one["cleared"] is not None) for one in told["undo"]] == [
        ("cmpsnap", "snapshot", True)
    ]
    assert snap.run(f"ls -A {TOP}/.upkeep-snapshots 2>/dev/null || true").stdout.split() == [], "it is not left behind"
    # By the campaign itself the other one gets its reboot, and there is nothing else to do.
    before = boot.boot_id()
    told = run.told("campaign", "plan", "os")
    hosts = {host["name"]: host for host in told["hosts"]}
    assert (hosts["cmpboot"]["ring"], hosts["cmpboot"]["planned"]["packages"]) == ("all", [])
    assert hosts["cmpsnap"]["why"] == "there is nothing to do"
    run.upkeep("campaign", "approve", "os")
    run.upkeep("campaign", "start", "os")
    (host,) = (host for host in run.told("campaign", "status", "os")["hosts"] if host["name"] == "cmpboot")
    assert host["state"] == "done" and boot.boot_id() != before
    assert run.told("tickets")["tickets"] == []
