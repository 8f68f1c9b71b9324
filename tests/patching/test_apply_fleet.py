# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans carried out on real hosts: prepared, applied, put back, and gone on with after every kind of interruption.

Most calls run the collection's code from a zip inside the host, as Ansible would, in a tenth of the time; the first
test of each package manager goes through Ansible. Each test leaves its host as it found it.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model
from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.host import Host

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
ARCHIVE = "/opt/upkeep-code.zip"  # /tmp does not outlive a reboot
BASE = "/var/lib/upkeep/patching"
DRIVER = """
import json, sys
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import options as specs
what, given = sys.argv[1], json.loads(sys.argv[2])
if what == "plan":
    from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_options import defaults
    from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_review import review
    print(json.dumps(review(Host(), {**defaults(), **given})["plan"]))
    sys.exit()
if what == "prepare":
    from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.prepare import prepare as work
elif what == "apply":
    from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.apply import apply as work
else:
    from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.rollback import rollback as work
spec = getattr(specs, what.upper() + "_SPEC")
print(json.dumps(work(Host(), {**{name: one.get("default") for name, one in spec.items()}, **given})))
"""


class Did:
    """What one call returned."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self.ok, self.changed, self.phase = result["ok"], result["changed"], result["phase"]

    def checks(self) -> list[tuple[str, str]]:
        return sorted((f["check"], f["subject"]) for f in self.result["findings"])

    def get(self, check: str) -> dict[str, Any]:
        found = [f for f in self.result["findings"] if f["check"] == check]
        assert len(found) == 1, f"{len(found)} of {check}; there are {self.checks()}: {self.result['findings']}"
        return found[0]

    def told(self) -> str:
        return json.dumps(self.result["findings"], indent=1)


def words(what: str, options: dict[str, Any]) -> list[str]:
    short = {"lock_timeout": 2, "timeout": 60}
    return ["env", f"PYTHONPATH={ARCHIVE}", "/usr/bin/python3", "-c", DRIVER, what, json.dumps({**short, **options})]


def call(host: Host, what: str, **options: Any) -> Did:
    """Call one of the modules' functions in the host."""
    return Did(json.loads(host.run(words(what, options), timeout=150).stdout))


def planned(host: Host, *names: str) -> dict[str, Any]:
    """The plan that patch_plan makes for these packages."""
    options = {"select": "packages", "packages": [{"name": name, "version": ""} for name in names]}
    made: dict[str, Any] = json.loads(host.run(words("plan", options), timeout=150).stdout)
    return made


def ready(host: Host, plan: dict[str, Any], **options: Any) -> Did:
    """Prepare a plan that can be prepared."""
    did = call(host, "prepare", plan=plan, **options)
    assert did.ok and did.phase == "prepared", did.told()
    return did


def by_ansible(fleet: Fleet, host: str, module: str, *more: str, fails: bool = False, **options: Any) -> Did:
    """Run one of the modules through Ansible."""
    command = [str(Path(sys.executable).with_name("ansible")), "-i", str(fleet.ansible_inventory), host]
    command += ["-m", "upkeep.maintenance." + module, *(["-a", json.dumps(options)] if options else []), *more]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=150, env=dict(os.environ), check=False)
    assert ("FAILED!" in ran.stdout) is fails, ran.stdout + ran.stderr
    return Did(json.loads(ran.stdout.partition("=> ")[2]))


def deb_plan(*packages: tuple[str, str, str], arch: str = "all", **more: Any) -> dict[str, Any]:
    """A plan of (name, from, to)."""
    return make_plan("apt", packages, arch, **more)


def rpm_plan(*packages: tuple[str, str, str], arch: str = "noarch", **more: Any) -> dict[str, Any]:
    return make_plan("dnf", packages, arch, **more)


def make_plan(manager: str, packages: tuple[tuple[str, str, str], ...], arch: str, **more: Any) -> dict[str, Any]:
    rows = [
        {
            "name": name, "from": before, "to": after, "asked": True, "security": False,
            "arch": "x86_64" if name == "libupkeepdemo" else "amd64" if name.startswith(("lib", "linux")) else arch,
            "action": plan_model.action_of(before, after, newer=True), "download_bytes": 1000,
        }
        for name, before, after in packages
    ]  # fmt: skip
    return plan_model.make(manager, "all", rows, **more)


def deb_version(host: Host, name: str) -> str:
    """The version and the state of a package."""
    told = host.run(f"dpkg-query -W -f '${{Version}} ${{Status}}' {name} 2>/dev/null || true").stdout
    return "" if told.endswith("not-installed") else told


@pytest.fixture(scope="module")
def fleet(fleet_factory: Factory) -> Fleet:
    made = fleet_factory("deb1", "dnf1:dnf")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((ROOT / "plugins" / "module_utils").rglob("*.py")):
            archive.write(path, f"ansible_collections/upkeep/maintenance/{path.relative_to(ROOT)}")
        for folder in ("", "/upkeep", "/upkeep/maintenance", "/upkeep/maintenance/plugins"):
            archive.writestr(f"ansible_collections{folder}/__init__.py", "")
        archive.writestr("ansible_collections/upkeep/maintenance/plugins/module_utils/__init__.py", "")
    for name in ("deb1", "dnf1"):
        made[name].run(f"base64 -d > {ARCHIVE}", input=base64.b64encode(packed.getvalue()).decode())
    made.repo.publish("v2", everything=True)
    made["deb1"].run("apt-get -q update")
    made["dnf1"].run("dnf -q --refresh makecache")
    return made


def ours(host: Host) -> list[str]:
    """The fleet's own packages, as apt-get install takes them."""
    return host.run("dpkg-query -W -f '${Package}=${Version}\\n' | grep upkeep").stdout.split()


@pytest.fixture
def deb(fleet: Fleet) -> Iterator[Host]:
    """The host with apt: whatever a test did to its packages is put back, and its journals are gone."""
    host = fleet["deb1"]
    before = ours(host)
    yield host
    fleet.repo.up()
    fleet.repo.publish("v1")  # takes back what was withdrawn, too
    fleet.repo.publish("v2", everything=True)
    host.run(
        "systemctl kill -s KILL 'upkeep-patch-*'; pkill -9 -f '[a]pplying'; pkill -9 -f '[s]leep 600'; sleep 0.3;"
        f"rm -rf {BASE}; apt-get -q update; dpkg --set-selections </dev/null;"
        "for name in slow broken; do f=/var/lib/dpkg/info/upkeep-demo-$name.postinst;"
        " [ ! -e $f ] || printf '#!/bin/sh\\nexit 0\\n' > $f; done;"
        "apt-get -y -q --allow-downgrades -o Dpkg::Options::=--force-confnew install "
        + " ".join(before)
        + "; apt-get -y -q purge upkeep-demo-new linux-image-9.9.9-upkeep; rm -f /run/reboot-required*;"
        "apt-get clean; systemctl reset-failed; systemctl start upkeep-demo upkeep-demo-dies",
        check=False,
    )
    after = ours(host)
    assert after == before


# -- apt ---------------------------------------------------------------------------------------------------------


def test_apt_a_healthy_upgrade(fleet: Fleet, deb: Host) -> None:
    plan = planned(deb, "upkeep-demo", "libupkeepdemo1", "upkeep-demo-kept")
    assert sorted(p["name"] for p in plan["packages"] if not p["asked"]) == ["upkeep-demo-new"]
    did = call(deb, "apply", plan=plan)
    assert not did.ok and "not prepared" in did.get("patch.apply.failed")["summary"]
    did = ready(deb, plan)
    assert did.changed and set(did.result["kept"].values()) == {"archive"}
    assert not ready(deb, plan).changed
    did = call(deb, "apply", plan=plan, restart_services=True)
    assert did.ok and did.changed and did.phase == "restarted", did.told()
    assert deb_version(deb, "upkeep-demo-kept") == "2.0-1 install ok installed"
    assert [s["unit"] for s in did.result["services"]] == ["upkeep-demo.service"]
    assert "upkeep-demo-new" in deb.run("apt-mark showauto").stdout.split()
    assert "upkeep-demo-kept" not in deb.run("apt-mark showauto").stdout.split()
    again = call(deb, "apply", plan=plan, restart_services=True)
    assert again.ok and not again.changed and again.phase == "restarted"
    did = call(deb, "rollback")
    assert did.ok and did.changed and did.phase == "rolled_back", did.told()
    assert deb_version(deb, "upkeep-demo-new") == ""
    assert deb_version(deb, "libupkeepdemo1") == "1.0-1 install ok installed"
    assert not call(deb, "rollback").changed


BROKEN = (("upkeep-demo-broken", "1.0-1", "2.0-1"), ("upkeep-demo", "1.0-1", "2.0-1"))
SLOW = (("upkeep-demo-slow", "1.0-1", "2.0-1"), ("upkeep-demo", "1.0-1", "2.0-1"))
IN_POSTINST = "until pgrep -f '[s]leep 600' >/dev/null; do sleep 0.1; done"
HARMLESS = "#!/bin/sh\nexit 0\n"
SLOW_POSTINST = "/var/lib/dpkg/info/upkeep-demo-slow.postinst"


def test_apt_check_mode_says_what_the_run_then_does(deb: Host) -> None:
    plan = deb_plan(("upkeep-demo", "1.0-1", "2.0-1"), ("upkeep-demo-sec", "1.0-1", "1.0-1+deb12u1"))
    watched = "find /etc /usr /var/lib /var/cache /opt -xdev -newermt @{} -not -path '/var/lib/systemd/*' | sort"
    began = time.time()
    time.sleep(1.1)
    would = call(deb, "prepare", plan=plan, check_mode=True)
    assert would.ok and would.changed
    would = call(deb, "apply", plan=plan, check_mode=True)
    assert would.ok and would.changed
    assert call(deb, "rollback", check_mode=True).checks() == [("patch.rollback.impossible", "packages")]
    changed = deb.run(watched.format(began)).stdout.split()
    assert [path for path in changed if "pkgcache" not in path and path != "/var/cache/apt"] == []
    ready(deb, plan)
    did = call(deb, "apply", plan=plan)
    assert did.ok and did.result["diff"] == would.result["diff"]
    assert "upkeep-demo:all 1.0-1" in would.result["diff"]["before"]
    assert not call(deb, "apply", plan=plan, check_mode=True).changed
    back = call(deb, "rollback", check_mode=True)
    assert back.changed and back.result["diff"]["after"] == would.result["diff"]["before"]
    assert deb_version(deb, "upkeep-demo").startswith("2.0-1")


def test_apt_a_broken_postinst_is_put_back_without_the_mirror(fleet: Fleet, deb: Host) -> None:
    fleet.repo.withdraw("upkeep-demo-broken")
    deb.run("apt-get -q update")
    plan = deb_plan(*BROKEN)
    did = ready(deb, plan)
    assert did.result["kept"] == {"upkeep-demo-broken:all": "repacked", "upkeep-demo:all": "archive"}
    did = call(deb, "apply", plan=plan)
    assert not did.ok and did.phase == "applying"
    found = did.get("patch.apply.incomplete")
    assert found["severity"] == "critical" and "cannot migrate the data" in str(found["evidence"]), found
    fleet.repo.down()
    back = call(deb, "rollback", plan_id=plan["id"])
    assert back.ok and back.phase == "rolled_back", back.told()
    assert deb_version(deb, "upkeep-demo-broken") == "1.0-1 install ok installed"
    assert deb_version(deb, "upkeep-demo") == "1.0-1 install ok installed"
    assert deb.run("dpkg -V upkeep-demo-broken; dpkg --audit").stdout == ""
    fleet.repo.up()
    deb.run("apt-get -y -q install upkeep-demo")  # the next installs work
    refused = call(deb, "apply", plan=plan)
    assert not refused.ok and "rolled back" in refused.get("patch.apply.failed")["summary"]


def test_apt_a_service_that_dies_is_seen_and_put_back(fleet: Fleet, deb: Host) -> None:
    fleet.repo.withdraw("upkeep-demo-dies")
    deb.run("apt-get -q update")
    plan = deb_plan(("upkeep-demo-dies", "1.0-1", "2.0-1"))
    ready(deb, plan)
    did = call(deb, "apply", plan=plan)
    assert not did.ok and deb_version(deb, "upkeep-demo-dies").startswith("2.0-1")
    assert did.get("patch.apply.service_failed")["subject"] == "upkeep-demo-dies.service"
    back = call(deb, "rollback")
    assert back.ok, back.told()
    assert deb.run("systemctl is-active upkeep-demo-dies").stdout.strip() == "active"


def test_apt_an_interrupted_dpkg_is_mended_or_refused(deb: Host) -> None:
    deb.run("systemd-run -q --unit=slow env DEBIAN_FRONTEND=noninteractive apt-get -y install upkeep-demo-slow")
    deb.run(IN_POSTINST)
    plan = deb_plan(("upkeep-demo", "1.0-1", "2.0-1"))
    did = call(deb, "prepare", plan=plan, lock_timeout=1)
    assert "apt-get" in did.get("patch.prepare.locked")["summary"]
    deb.run("systemctl kill -s KILL slow; while systemctl -q is-active slow; do sleep 0.1; done")
    did = call(deb, "prepare", plan=plan, mend=False)
    assert "upkeep-demo-slow:all is unpacked" in did.get("patch.prepare.database_broken")["evidence"]
    did = call(deb, "prepare", plan=plan, timeout=3)
    assert "could not be mended within 3 s" in did.get("patch.prepare.database_broken")["summary"]
    assert deb.run("pgrep -f '[s]leep 600'", check=False).stdout == ""
    deb.write(SLOW_POSTINST, HARMLESS)
    did = ready(deb, plan)
    assert did.result["mended"] and deb_version(deb, "upkeep-demo-slow") == "2.0-1 install ok installed"
    deb.run("cp -p /var/lib/dpkg/status /root/status; head -c 3000 /root/status > /var/lib/dpkg/status")
    try:
        did = call(deb, "prepare", plan=plan)
        assert did.get("patch.prepare.database_broken")["severity"] == "high"
        assert call(deb, "apply", plan=plan).get("patch.apply.incomplete")["severity"] == "critical"
    finally:
        deb.run("cp -p /root/status /var/lib/dpkg/status")


def test_apt_a_disk_that_is_full(deb: Host) -> None:
    plan = deb_plan(("libupkeepdemo1", "1.0-1", "1.0-1+deb12u1"), ("upkeep-demo", "1.0-1", "2.0-1"))
    deb.run("mkdir -p /var/lib/upkeep; mount -t tmpfs -o size=64k none /var/lib/upkeep")
    deb.run("head -c 60000 /dev/zero > /var/lib/upkeep/full")
    did = call(deb, "prepare", plan=plan)
    assert did.get("patch.prepare.no_room")["subject"] == "/var/lib/upkeep", did.told()
    deb.run("umount /var/lib/upkeep; mount -t tmpfs -o size=64k none /var/cache/apt/archives")
    deb.run("mkdir /var/cache/apt/archives/partial; head -c 62000 /dev/zero > /var/cache/apt/archives/full")
    did = call(deb, "prepare", plan=plan)
    assert did.get("patch.prepare.no_room")["subject"] == "/var/cache/apt/archives", did.told()
    deb.run("umount /var/cache/apt/archives; mount -t tmpfs -o size=16k none /usr/share/upkeep-demo")
    deb.run("echo 1.0-1 > /usr/share/upkeep-demo/version; head -c 12000 /dev/zero > /usr/share/upkeep-demo/full")
    try:
        did = call(deb, "prepare", plan=plan)
        assert did.get("patch.prepare.no_room")["subject"] == "/usr/share/upkeep-demo", did.told()
        deb.run("rm /usr/share/upkeep-demo/full")
        ready(deb, plan)
        # It runs out nevertheless: the old version is whole.
        deb.run("head -c 12000 /dev/zero > /usr/share/upkeep-demo/full")
        did = call(deb, "apply", plan=plan)
        assert not did.ok
        assert "No space left on device" in str(did.get("patch.apply.incomplete")["evidence"]), did.told()
        assert deb_version(deb, "upkeep-demo") == "1.0-1 install ok installed"
        assert deb.read("/usr/share/upkeep-demo/version") == "1.0-1\n"
        # With room it goes on where it stopped.
        deb.run("rm /usr/share/upkeep-demo/full")
        did = call(deb, "apply", plan=plan)
        assert did.ok and did.changed, did.told()
    finally:
        deb.run("umount /usr/share/upkeep-demo; echo 1.0-1 > /usr/share/upkeep-demo/version")


def test_apt_mirror_down_and_versions_that_are_gone(fleet: Fleet, deb: Host) -> None:
    plan = deb_plan(("upkeep-demo", "1.0-1", "2.0-1"))
    fleet.repo.down()
    did = call(deb, "prepare", plan=plan)
    assert not did.ok and "onnection refused" in str(did.get("patch.prepare.download_failed")["evidence"])
    fleet.repo.up()
    ready(deb, plan)
    # Prepared is prepared: neither the mirror nor the lists are needed any more.
    fleet.repo.publish("v1", "upkeep-demo")
    deb.run("apt-get -q update; apt-get clean")
    fleet.repo.down()
    assert call(deb, "apply", plan=plan).ok
    fleet.repo.up()
    gone = deb_plan(("upkeep-demo-sec", "1.0-1", "7.0-1"))
    assert call(deb, "prepare", plan=gone).checks() == [("patch.prepare.metadata_stale", "apt")]


def test_apt_nothing_but_the_plan_is_done(deb: Host) -> None:
    did = call(deb, "prepare", plan=deb_plan(("upkeep-demo-replacing", "1.0-1", "2.0-1")))
    assert "upkeep-demo-replaced would be removed" in str(did.get("patch.plan.changed")["evidence"])
    did = call(deb, "prepare", plan=deb_plan(("upkeep-demo-kept", "1.0-1", "2.0-1")))
    assert "upkeep-demo-new would be 2.0-1" in str(did.get("patch.plan.changed")["evidence"])
    did = call(deb, "prepare", plan=deb_plan(("upkeep-demo", "0.9-1", "2.0-1")))
    assert "the plan begins with 0.9-1" in did.get("patch.plan.changed")["summary"]
    plan = deb_plan(("upkeep-demo", "1.0-1", "2.0-1"))
    plan["packages"][0]["name"] = "upkeep-demo;reboot"
    assert "not one that a package can have" in str(call(deb, "prepare", plan=plan).get("patch.prepare.failed"))
    # A hold that somebody set since is respected.
    deb.run("apt-mark hold upkeep-demo")
    plan = deb_plan(("upkeep-demo", "1.0-1", "2.0-1"))
    assert "eld packages were changed" in str(call(deb, "prepare", plan=plan).get("patch.prepare.metadata_stale"))
    deb.run("apt-mark unhold upkeep-demo")
    ready(deb, plan)
    deb.run("apt-mark hold upkeep-demo")
    assert "eld packages were changed" in str(call(deb, "apply", plan=plan).get("patch.apply.failed"))
    deb.run("apt-mark unhold upkeep-demo")
    # A removal that was approved is done, and comes back.
    plan = deb_plan(("upkeep-demo-replacing", "1.0-1", "2.0-1"), ("upkeep-demo-replaced", "1.0-1", ""))
    ready(deb, plan)
    did = call(deb, "apply", plan=plan)
    assert did.ok, did.told()
    assert not deb_version(deb, "upkeep-demo-replaced").endswith("installed")
    back = call(deb, "rollback")
    assert back.ok, back.told()
    assert deb_version(deb, "upkeep-demo-replaced") == "1.0-1 install ok installed"


def test_apt_a_changed_conffile_is_kept_and_a_kernel_asks_for_a_reboot(deb: Host) -> None:
    deb.write("/etc/upkeep-demo-conf.conf", "setting = mine\n")
    plan = deb_plan(
        ("upkeep-demo-conf", "1.0-1", "2.0-1"), ("upkeep-demo-kernel", "1.0-1", "2.0-1"),
        ("linux-image-9.9.9-upkeep", "", "9.9.9-1"),
    )  # fmt: skip
    ready(deb, plan)
    did = call(deb, "apply", plan=plan)
    assert did.ok, did.told()
    assert did.get("patch.apply.conffile_kept")["subject"] == "/etc/upkeep-demo-conf.conf"
    assert deb.read("/etc/upkeep-demo-conf.conf") == "setting = mine\n"
    assert did.result["conffiles"] == ["/etc/upkeep-demo-conf.conf (/etc/upkeep-demo-conf.conf.dpkg-dist)"]
    assert did.result["reboot"]["needed"] and "linux-image-9.9.9-upkeep" in did.result["reboot"]["why"][0]
    back = call(deb, "rollback")
    assert back.ok and deb_version(deb, "linux-image-9.9.9-upkeep") == "", back.told()
    assert deb.read("/etc/upkeep-demo-conf.conf") == "setting = mine\n"
    deb.run("rm -f /etc/upkeep-demo-conf.conf.dpkg-dist")


def test_apt_a_broken_sshd_stops_it_before(deb: Host) -> None:
    plan = deb_plan(("upkeep-demo", "1.0-1", "2.0-1"))
    deb.run("cp -p /etc/ssh/sshd_config /root/")
    try:
        ready(deb, plan)
        deb.run("echo Nonsense yes >> /etc/ssh/sshd_config")
        assert "Nonsense" in call(deb, "prepare", plan=plan).get("patch.prepare.sshd_broken")["summary"]
        assert call(deb, "apply", plan=plan).checks() == [("patch.apply.failed", "sshd")]
        assert deb_version(deb, "upkeep-demo").startswith("1.0-1")
        deb.run("cp -p /root/sshd_config /etc/ssh/")
        assert call(deb, "apply", plan=plan).ok
        deb.run("echo Nonsense yes >> /etc/ssh/sshd_config")  # as a package's script could
        did = call(deb, "apply", plan=plan)
        assert (
            did.get("patch.apply.service_failed")["subject"] == "sshd" and "Nonsense" in did.result["reboot"]["blocked"]
        )
    finally:
        deb.run("cp -p /root/sshd_config /etc/ssh/")


def test_apt_a_held_lock_is_waited_for(deb: Host) -> None:
    plan = deb_plan(("upkeep-demo", "1.0-1", "2.0-1"))
    ready(deb, plan)
    deb.break_("package-lock")
    try:
        did = call(deb, "apply", plan=plan, lock_timeout=1)
        assert not did.ok and "Another package manager is at work" in did.get("patch.apply.failed")["summary"]
        assert did.phase == "prepared"
    finally:
        deb.mend("package-lock")
    assert call(deb, "apply", plan=plan).ok


def begin(host: Host, plan: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Begin an apply over SSH, as Ansible would; returns when its transaction is in the slow postinst."""
    line = shlex.join(words("apply", {"plan": plan, "timeout": 120}))
    process = subprocess.Popen([*host.ssh_command("root"), line], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    host.run(IN_POSTINST, timeout=30)
    return process


def test_apt_the_transaction_outlives_the_module_and_the_connection(deb: Host) -> None:
    plan = deb_plan(*SLOW)
    ready(deb, plan)
    process = begin(deb, plan)
    deb.run("pkill -9 -f '[u]pkeep-code.zip|[a]pplying.apply'")
    process.communicate(timeout=30)
    assert deb.run("pgrep -f '[s]leep 600'").stdout
    other = deb_plan(("upkeep-demo-sec", "1.0-1", "1.0-1+deb12u1"))
    did = call(deb, "prepare", plan=other)
    assert not did.ok and plan["id"] in did.get("patch.prepare.failed")["summary"], did.told()
    did = call(deb, "apply", plan=plan, timeout=2)
    assert "still at work" in did.get("patch.apply.incomplete")["summary"]
    # Two at once: one follows, the other one waits for it and is told.
    first = begin(deb, plan)
    deb.run(f"until [ -s {BASE}/session.lock ] || pgrep -f '[a]pplying.apply'; do sleep 0.1; done")
    first.kill()  # the connection goes
    first.communicate(timeout=30)
    deb.run("pkill -f '[s]leep 600'")
    did = call(deb, "apply", plan=plan, lock_timeout=30)
    assert did.ok and did.phase == "restarted", did.told()
    assert deb_version(deb, "upkeep-demo-slow") == "2.0-1 install ok installed"
    assert deb.read(f"{BASE}/{plan['id']}/transaction.log").count("Unpacking upkeep-demo-slow") == 1


@pytest.mark.parametrize("how", ["killed", "power", "reboot", "link"])
def test_apt_interrupted_in_the_middle_it_is_gone_on_with(deb: Host, how: str) -> None:
    plan = deb_plan(*SLOW)
    ready(deb, plan)
    process = begin(deb, plan)
    if how == "killed":
        deb.run(f"systemctl kill -s KILL upkeep-patch-{plan['id']}.service")
    elif how == "power":
        deb.power_off()
        deb.release()
        deb.wait_ready()
    elif how == "link":
        # Nobody listens any more, and all goes on to its end.
        deb.link(up=False)
        deb.run("pkill -f '[s]leep 600'")
        deb.run(f'until grep -q \'"phase": "restarted"\' {BASE}/{plan["id"]}/journal.json; do sleep 0.2; done')
        deb.link(up=True)
        process.kill()
    else:
        # A shutdown waits for the transaction, which is at its end when the host is back.
        deb.run("systemd-run -q -p DefaultDependencies=no sh -c \"sleep 2; pkill -f '[s]leep 600'\"")
        deb.reboot()
        deb.wait_ready()
    process.communicate(timeout=60)
    whole = how in ("reboot", "link")
    if not whole:
        deb.write(SLOW_POSTINST, HARMLESS)
    did = call(deb, "apply", plan=plan)
    assert did.ok and did.phase == "restarted", did.told()
    assert [f["severity"] for f in did.result["findings"]] == ([] if whole else ["low"]), did.told()
    assert deb_version(deb, "upkeep-demo-slow") == "2.0-1 install ok installed"
    assert deb_version(deb, "upkeep-demo") == "2.0-1 install ok installed"
    assert deb.run("dpkg --audit").stdout == ""


def test_apt_the_health_from_before_is_not_that_of_the_middle(deb: Host) -> None:
    plan = deb_plan(("upkeep-demo-sec", "1.0-1", "1.0-1+deb12u1"))
    path = f"{BASE}/{plan['id']}/journal.json"
    ready(deb, plan, health={"taken": 1})
    ready(deb, plan, health={"taken": 2})
    assert json.loads(deb.read(path))["health"] == {"taken": 2}
    # Begun, and interrupted before the package manager did anything.
    deb.write(path, json.dumps({**json.loads(deb.read(path)), "phase": "applying"}))
    assert call(deb, "prepare", plan=plan, health={"taken": 3}).ok
    assert json.loads(deb.read(path))["health"] == {"taken": 2}


def test_apt_the_way_back_ends_a_transaction_that_hangs(fleet: Fleet, deb: Host) -> None:
    plan = deb_plan(*SLOW)
    ready(deb, plan)
    did = call(deb, "apply", plan=plan, timeout=4)
    assert "still at work" in did.get("patch.apply.incomplete")["summary"]
    fleet.repo.down()
    back = call(deb, "rollback")
    assert back.ok and back.phase == "rolled_back", back.told()
    assert deb.run("pgrep -f '[s]leep 600'", check=False).stdout == ""
    assert deb_version(deb, "upkeep-demo-slow") == "1.0-1 install ok installed"
    assert deb.run("dpkg --audit; ls /var/lib/dpkg/updates").stdout == ""


def test_apt_what_cannot_go_back_is_told(deb: Host) -> None:
    plan = deb_plan(("upkeep-demo", "1.0-1", "2.0-1"), ("upkeep-demo-sec", "1.0-1", "1.0-1+deb12u1"))
    ready(deb, plan, keep_old="never")
    assert call(deb, "apply", plan=plan).ok
    back = call(deb, "rollback")
    assert back.checks() == [("patch.rollback.impossible", "apt"), ("patch.rollback.incomplete", "apt")]
    assert back.get("patch.rollback.impossible")["severity"] == "critical"
    assert len(back.result["left"]) == 2


def test_apt_the_modules_in_four_beats(fleet: Fleet, deb: Host) -> None:
    plan = deb_plan(("upkeep-demo", "1.0-1", "2.0-1"))
    assert by_ansible(fleet, "deb1", "patch_prepare", "--check", plan=plan).changed
    assert by_ansible(fleet, "deb1", "patch_prepare", plan=plan).changed
    assert not by_ansible(fleet, "deb1", "patch_prepare", plan=plan).changed
    would = by_ansible(fleet, "deb1", "patch_apply", "--check", "--diff", plan=plan)
    assert would.changed and would.phase == "prepared"
    did = by_ansible(fleet, "deb1", "patch_apply", plan=plan)
    assert did.changed and did.phase == "restarted"
    assert not by_ansible(fleet, "deb1", "patch_apply", plan=plan).changed
    assert by_ansible(fleet, "deb1", "patch_rollback", "--check").changed
    assert by_ansible(fleet, "deb1", "patch_rollback").changed
    assert not by_ansible(fleet, "deb1", "patch_rollback").changed
    did = by_ansible(fleet, "deb1", "patch_apply", plan=plan, fails=True)
    assert did.get("patch.apply.failed") and did.result["msg"] == "The plan was rolled back on this host."


# -- dnf ---------------------------------------------------------------------------------------------------------

V1, V2 = "1.0-1.el9", "2.0-1.el9"


def rpm_versions(host: Host, name: str) -> list[str]:
    """The versions of a package in rpm's database."""
    return host.run(
        f"rpm -q --qf '%{{VERSION}}-%{{RELEASE}}\\n' {name} | grep -v 'not installed' || true"
    ).stdout.split()


@pytest.fixture
def dnf(fleet: Fleet) -> Iterator[Host]:
    """The host with dnf: whatever a test did to its packages is put back, and its journals are gone."""
    host = fleet["dnf1"]
    listing = "rpm -qa --qf '%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}\\n' | sort"
    before = host.run(listing).stdout.split()
    yield host
    fleet.repo.up()
    fleet.repo.publish("v1")
    host.run(
        "systemctl kill -s KILL 'upkeep-patch-*'; pkill -9 -f '[a]pplying'; pkill -9 -f '[s]leep 600'; sleep 0.3;"
        f"rm -rf {BASE}; dnf -y -q remove kernel upkeep-demo-replacing;"
        "for name in $(rpm -qa --qf '%{NAME}\\n' | sort | uniq -d); do rpm -e --nodeps $name-2.0; done;"
        "dnf -y -q --refresh distro-sync; dnf -y -q install upkeep-demo-replaced; ldconfig;"
        "systemctl reset-failed; systemctl start upkeep-demo upkeep-demo-dies",
        check=False,
    )
    fleet.repo.publish("v2", everything=True)
    host.run("dnf -q --refresh makecache")
    assert host.run(listing).stdout.split() == before


def test_dnf_a_healthy_upgrade_by_the_modules(fleet: Fleet, dnf: Host) -> None:
    plan = planned(dnf, "upkeep-demo", "libupkeepdemo")
    kernel = {"name": "kernel", "arch": "x86_64", "from": "", "to": "9.9.9-1.el9", "action": "install", "asked": True}
    plan["packages"].append(kernel)
    plan["id"] = plan_model.plan_id(plan)
    would = by_ansible(fleet, "dnf1", "patch_apply", "--check", plan=plan)
    assert would.changed and rpm_versions(dnf, "upkeep-demo") == [V1]
    assert by_ansible(fleet, "dnf1", "patch_prepare", plan=plan).changed
    assert not by_ansible(fleet, "dnf1", "patch_prepare", plan=plan).changed
    fleet.repo.down()
    did = by_ansible(fleet, "dnf1", "patch_apply", plan=plan, restart_services=True)
    assert did.changed and did.phase == "restarted"
    assert rpm_versions(dnf, "libupkeepdemo") == ["1.1-1.el9"] and rpm_versions(dnf, "kernel") == ["9.9.9-1.el9"]
    assert [(s["unit"], s["action"]) for s in did.result["services"]] == [("upkeep-demo.service", "restarted")]
    assert "kernel-9.9.9-1.el9" in str(did.result["reboot"]["why"])
    assert not by_ansible(fleet, "dnf1", "patch_apply", plan=plan).changed
    assert by_ansible(fleet, "dnf1", "patch_rollback").phase == "rolled_back"
    assert rpm_versions(dnf, "libupkeepdemo") == [V1] and rpm_versions(dnf, "kernel") == []
    assert not by_ansible(fleet, "dnf1", "patch_rollback").changed


@pytest.mark.parametrize("name", ["upkeep-demo-broken", "upkeep-demo-prefails", "upkeep-demo-dies"])
def test_dnf_a_script_that_fails_is_seen_and_put_back(fleet: Fleet, dnf: Host, name: str) -> None:
    plan = rpm_plan((name, V1, V2), ("upkeep-demo", V1, V2))
    ready(dnf, plan)
    fleet.repo.down()
    did = call(dnf, "apply", plan=plan)
    assert not did.ok, did.result
    expected = {
        "upkeep-demo-broken": ("patch.apply.scriptlet_failed", "cannot migrate"),
        "upkeep-demo-prefails": ("patch.apply.scriptlet_failed", "cannot stop"),
        "upkeep-demo-dies": ("patch.apply.service_failed", "upkeep-demo-dies"),
    }[name]
    assert expected[1] in json.dumps(did.get(expected[0])), did.told()
    assert not call(dnf, "apply", plan=plan).ok  # once more: it is no better
    back = call(dnf, "rollback")
    assert back.ok and back.phase == "rolled_back", back.told()
    assert rpm_versions(dnf, name) == [V1] and rpm_versions(dnf, "upkeep-demo") == [V1]
    assert dnf.run("systemctl is-active upkeep-demo-dies").stdout.strip() == "active"
    fleet.repo.up()
    dnf.run("dnf -y -q install upkeep-demo-sec")


def test_dnf_nothing_but_the_plan_is_done(fleet: Fleet, dnf: Host) -> None:
    did = call(dnf, "prepare", plan=rpm_plan(("upkeep-demo-replacing", "", V2)))
    assert "upkeep-demo-replaced would be removed" in str(did.get("patch.plan.changed")["evidence"])
    did = call(dnf, "prepare", plan=rpm_plan(("upkeep-demo-unmet", V1, V2)))
    assert "upkeep-demo-nowhere" in str(did.get("patch.prepare.metadata_stale")["evidence"]), did.told()
    did = call(dnf, "prepare", plan=rpm_plan(("upkeep-demo", V1, "7.0-1.el9")))
    assert "no repository offers it" in did.get("patch.prepare.metadata_stale")["summary"]
    # What obsoletes another is applied where that was approved, and both are as they were afterwards.
    plan = rpm_plan(("upkeep-demo-replacing", "", V2), ("upkeep-demo-replaced", V1, ""))
    ready(dnf, plan)
    did = call(dnf, "apply", plan=plan)
    assert did.ok and rpm_versions(dnf, "upkeep-demo-replaced") == [], did.told()
    back = call(dnf, "rollback")
    assert back.ok and rpm_versions(dnf, "upkeep-demo-replaced") == [V1], back.told()
    assert rpm_versions(dnf, "upkeep-demo-replacing") == []
    # An old version that is nowhere: no way back, by policy.
    fleet.repo.withdraw("upkeep-demo")
    dnf.run("dnf -q --refresh makecache")
    plan = rpm_plan(("upkeep-demo", V1, V2))
    assert call(dnf, "prepare", plan=plan).get("patch.prepare.no_way_back")["severity"] == "medium"
    assert ready(dnf, plan, keep_old="wanted").get("patch.prepare.no_way_back")["severity"] == "low"


def test_dnf_a_module_is_kept_to_its_stream(dnf: Host) -> None:
    name = "upkeep-demo-stream"
    dnf.run(f"dnf -y -q install {name}-1.0")  # of its default stream; 2.0 is in another one
    try:
        plan = planned(dnf, name)
        assert [(p["from"], p["to"]) for p in plan["packages"]] == [(V1, "1.1-1.el9")]
        refused = call(dnf, "prepare", plan=rpm_plan((name, V1, V2)))
        assert "no repository offers it" in refused.get("patch.prepare.metadata_stale")["summary"], refused.told()
        ready(dnf, plan)
        did = call(dnf, "apply", plan=plan)
        assert did.ok and rpm_versions(dnf, name) == ["1.1-1.el9"], did.told()
        back = call(dnf, "rollback")
        assert back.ok and rpm_versions(dnf, name) == [V1], back.told()
        assert "one [d][e]" in dnf.run("dnf -q module list").stdout
    finally:
        dnf.run(f"rpm -e {name}; dnf -y -q module reset {name}")


@pytest.mark.parametrize("how", ["module", "killed", "back"])
def test_dnf_interrupted_in_the_middle_it_is_gone_on_with(dnf: Host, how: str) -> None:
    plan = rpm_plan(("upkeep-demo-slow", V1, V2), ("upkeep-demo", V1, V2))
    dnf.write("/etc/upkeep-demo-conf.conf", "setting = mine\n")
    ready(dnf, plan)
    process = begin(dnf, plan)
    if how == "module":
        dnf.run("pkill -9 -f '[a]pplying.apply'")
        dnf.run("pkill -f '[s]leep 600'")
    else:
        dnf.run(f"systemctl kill -s KILL upkeep-patch-{plan['id']}.service; pkill -9 -f '[s]leep 600'", check=False)
    process.communicate(timeout=60)
    if how == "back":
        back = call(dnf, "rollback")
        assert back.ok, back.told()
        assert rpm_versions(dnf, "upkeep-demo-slow") == [V1] and rpm_versions(dnf, "upkeep-demo") == [V1]
        assert dnf.read("/usr/share/upkeep-demo-slow/version") == "1.0\n"
        return
    if how == "killed":
        # The script that hung runs again, as it never came to its end: this time it is let go.
        dnf.run("systemd-run -q sh -c \"until pkill -f '[s]leep 600'; do sleep 0.2; done\"")
    did = call(dnf, "apply", plan=plan)
    assert did.ok and did.phase == "restarted", did.told()
    assert rpm_versions(dnf, "upkeep-demo-slow") == [V2] and rpm_versions(dnf, "upkeep-demo") == [V2]
    assert dnf.read("/usr/share/upkeep-demo-slow/version") == "2.0\n"


def test_dnf_a_changed_conffile_is_kept(dnf: Host) -> None:
    dnf.write("/etc/upkeep-demo-conf.conf", "setting = mine\n")
    plan = rpm_plan(("upkeep-demo-conf", V1, V2))
    ready(dnf, plan)
    did = call(dnf, "apply", plan=plan)
    assert did.ok and dnf.read("/etc/upkeep-demo-conf.conf") == "setting = mine\n"
    assert "/etc/upkeep-demo-conf.conf" in str(did.result["conffiles"]), did.result
    dnf.run("rm -f /etc/upkeep-demo-conf.conf.rpmnew")
