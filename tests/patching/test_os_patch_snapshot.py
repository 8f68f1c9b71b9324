# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook os_patch with a snapshot: taken before, gone back to when the patch does harm, never left in silence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.host import Host

from .test_os_patch_fleet import NEW, OLD, Rig, version
from .test_silence import url as alertmanager  # noqa: F401 - a fixture
from .test_snapshot_fleet import DEMO, DPKG, TOP, attach
from .vcenter import PASSWORD, USER, Vcenter, certificate, vcenter

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

HOST, VM = "ossnap", "/DC0/vm/DC0_H0_VM0"
WELL = {"name": "demo", "kind": "command", "argv": ["grep", "-qx", OLD, f"{DEMO}/version"]}
"""Passes with the old version of the demo and fails with the new one."""


@pytest.fixture(scope="module")
def rig(
    fleet_factory: Factory,
    tmp_path_factory: pytest.TempPathFactory,
    alertmanager: str,  # noqa: F811
) -> Iterator[Rig]:
    fleet = fleet_factory(f"{HOST}:btrfs")
    host = fleet[HOST]
    device = attach(host, "vdb", TOP)
    for name, folder in (("@demo", DEMO), ("@dpkg", DPKG)):
        host.run(
            f"btrfs -q subvolume create {TOP}/{name} && cp -a {folder}/. {TOP}/{name}/ &&"
            f" echo '{device} {folder} btrfs subvol={name} 0 0' >> /etc/fstab"
        )
    host.run("mount -a")
    fleet.repo.publish("v2", "upkeep-demo")
    host.run("apt-get -q update")
    made = Rig(fleet, tmp_path_factory.mktemp("ossnap"), alertmanager)
    yield made
    made.haproxy.stop()


@pytest.fixture
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vcenter]:
    with vcenter(*certificate(tmp_path_factory.mktemp("vcenter"), "vcenter")) as one:
        one.ordinary(VM)
        yield one


def by_host(**more: Any) -> dict[str, Any]:
    return {"kind": "host", "volumes": [DEMO, DPKG], **more}


def by_vcenter(center: Vcenter, **more: Any) -> dict[str, Any]:
    words = {"hostname": "127.0.0.1", "port": center.port, "username": USER, "password": PASSWORD}
    return {"kind": "vsphere", "vm": VM, "ca_file": str(center.ca_file), "timeout": 30, **words, **more}


def snapshots(host: Host) -> list[str]:
    return host.run(f"ls {TOP}/.upkeep-snapshots 2>/dev/null || true").stdout.split()


def test_a_patch_that_does_harm_is_taken_back_by_the_snapshot(rig: Rig) -> None:
    host = rig.fleet[HOST]
    first = host.boot_id()
    harm = {"os_patch_probes": [WELL], "os_patch_health_wait": 3, "os_patch_reboot_ok": True}
    did = rig.run(fails=True, os_patch_snapshot=by_host(), os_patch_rollback_by="snapshot", **harm)
    assert version(host, "upkeep-demo") == OLD and "It was put back, and is well." in did.out, did.out
    assert host.boot_id() == first, "none of these volumes needs a reboot"
    assert host.run(f"cat {DEMO}/version").stdout.strip() == OLD
    assert did.findings(HOST, "patch.health.probe_failed") and not did.findings(HOST, "patch.snapshot.left")
    assert snapshots(host) == [] and rig.haproxy.states() == {HOST: "UP"} and rig.silenced() == []
    # What is left to go back to is kept as long as the host is not well, and that is told; the next run has it yet.
    did = rig.run(fails=True, os_patch_snapshot=by_host(), os_patch_rollback=False, **harm)
    kept = re.search(r"Its snapshot (p-[0-9a-f]{12}) is kept\.", re.sub(r"\s+", " ", did.out))
    assert kept and version(host, "upkeep-demo") == NEW and len(snapshots(host)) >= 1, did.out
    plan = did.plans[HOST]
    steps = {"os_patch_plans": {HOST: plan}, "os_patch_snapshot": by_host()}
    did = rig.run(os_patch_steps=["rollback"], os_patch_rollback_by="snapshot", os_patch_reboot_ok=True, **steps)
    assert version(host, "upkeep-demo") == OLD and plan["id"] == kept[1]
    rig.run(os_patch_steps=["undrain"], **steps)
    assert rig.run(os_patch_steps=["cleanup"], **steps).changed == {HOST: 1} and snapshots(host) == []
    assert rig.run(os_patch_steps=["cleanup"], **steps).changed == {HOST: 0}


def test_without_the_snapshot_there_is_no_patch(rig: Rig, center: Vcenter) -> None:
    host = rig.fleet[HOST]
    center.machine(VM, create="NoDiskSpace")
    did = rig.run(fails=True, os_patch_snapshot=by_vcenter(center))
    assert version(host, "upkeep-demo") == OLD and "Nothing was changed." in did.out, did.out
    assert did.findings(HOST, "patch.snapshot.failed") and PASSWORD not in did.out
    center.ordinary(VM)
    did = rig.run("--check", os_patch_snapshot=by_vcenter(center))
    assert center.snapshots(VM) == [] and did.changed[HOST] >= 1
    did = rig.run(os_patch_snapshot=by_vcenter(center))
    assert version(host, "upkeep-demo") == NEW and center.snapshots(VM) == []
    assert center.calls().count("CreateSnapshot_Task") == 2 and PASSWORD not in did.out
    assert rig.run(os_patch_snapshot=by_vcenter(center)).changed == {HOST: 0}
