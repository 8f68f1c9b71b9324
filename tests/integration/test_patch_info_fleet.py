# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of patching made for real on hosts of the test fleet, with apt and with dnf: found, and gone when mended.

Most reviews run the collection's code from a zip inside the host, as Ansible would: a tenth of the time. The first and
the last test of each host go through Ansible.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.host import Host

from .upkeep_command import Upkeep

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
ARCHIVE = "/opt/upkeep-code.zip"  # /tmp does not outlive a reboot
DRIVER = """
import json, sys
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.options import defaults
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.review import review
print(json.dumps(review(Host(), {**defaults(), **json.loads(sys.argv[1])})))
"""
SLOW_POSTINST = "/var/lib/dpkg/info/upkeep-demo-slow.postinst"
ALWAYS = {"patch.automatic.disabled", "patch.release.end_of_life"}
"""What every host of the fleet has: it does not update itself, and Debian 12 is past its regular support."""


class Seen:
    """One review."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self.verdict = result["verdict"]
        self.findings = [f for f in result["findings"] if f["check"] not in ALWAYS]

    def identities(self) -> list[tuple[str, str, str]]:
        return sorted((f["check"], f["subject"], f["severity"]) for f in self.findings)

    def get(self, check: str, subject: str | None = None) -> dict[str, Any]:
        found = [f for f in self.findings if f["check"] == check and subject in (None, f["subject"])]
        assert len(found) == 1, f"{len(found)} of {check}; there are {self.identities()}, {self.result['reasons']}"
        return found[0]

    def covers(self, check: str) -> bool:
        return {"check": check, "subject": "*"} in self.result["coverage"]


def look(host: Host, user: str = "root", **options: Any) -> Seen:
    """Review the host."""
    words = ["env", f"PYTHONPATH={ARCHIVE}", "/usr/bin/python3", "-c", DRIVER, json.dumps(options)]
    if user != "root":
        words = ["setpriv", "--reuid", user, "--clear-groups", *words]
    return Seen(json.loads(host.run(words).stdout))


def by_ansible(fleet: Fleet, host: str, *words: str, **options: Any) -> Seen:
    """Review the host with the module."""
    command = [str(Path(sys.executable).with_name("ansible")), "-i", str(fleet.ansible_inventory), host]
    command += ["-m", "upkeep.maintenance.patch_info", *(["-a", json.dumps(options)] if options else []), *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, env=dict(os.environ), check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{host} | SUCCESS" in ran.stdout
    result = json.loads(ran.stdout.partition("=> ")[2])
    assert result["changed"] is False
    return Seen(result)


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
    return made


@pytest.fixture
def deb(fleet: Fleet) -> Iterator[Host]:
    """The host with apt, and the repository as it was when the fleet came up."""
    yield fleet["deb1"]
    fleet.repo.up()


@pytest.fixture
def dnf(fleet: Fleet) -> Iterator[Host]:
    yield fleet["dnf1"]
    fleet.repo.up()


def patches(seen: Seen) -> dict[str, Any]:
    """What is told for the history of the host's patches."""
    (state,) = seen.result["states"]
    data: dict[str, Any] = state["data"]
    return data


@pytest.fixture(scope="module")
def upkeep(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Upkeep:
    """The command, with a policy that gives patches a tenth of a second."""
    made = Upkeep(tmp_path_factory.mktemp("upkeep"))
    policy = "compliance:\n  days: {critical: 0.000001, high: 0.000001}\n  leave_out: {hosts: deb1}\n"
    (made.home / "upkeep.yml").write_text(f"inventory: {fleet.ansible_inventory}\n{policy}")
    return made


def weekly(upkeep: Upkeep, host: str) -> dict[str, Any]:
    """The host after a weekly run, as the compliance tells it."""
    run = upkeep.json("run", "weekly", "--limit", host)
    assert run["run"]["state"] == "finished", run["run"]
    document = upkeep.json("compliance")
    (found,) = [one for one in document["hosts"] if one["name"] == host]
    return {**found, "took": document["took"], "went": document["went"]}


def run_remedy(host: Host, finding: dict[str, Any]) -> None:
    """What a person would paste, with yes to every question."""
    yes = finding["remedy"].replace("dnf ", "dnf -y -q ").replace("apt-get install", "apt-get -y -q install")
    host.run(f"export DEBIAN_FRONTEND=noninteractive; {yes}")


# -- apt: in this order, since what one publishes the next one has ---------------


def test_apt_a_fresh_host_is_compliant_and_left_as_it_was(fleet: Fleet, deb: Host) -> None:
    watched = "find /etc /var /run /usr /root -xdev -newermt @{} -not -path '*/log/journal/*' -not -path '/var/tmp*'"
    began = time.time()
    time.sleep(1.1)
    seen = by_ansible(fleet, "deb1")
    assert seen.verdict == "compliant" and seen.findings == []
    assert seen.covers("patch.security.pending") and seen.covers("patch.services.outdated")
    changed = deb.run(watched.format(began)).stdout.splitlines()
    ours = [path for path in changed if any(word in path for word in ("apt", "dpkg", "upkeep"))]
    assert ours in ([], ["/var/cache/apt", "/var/cache/apt/pkgcache.bin", "/var/cache/apt/srcpkgcache.bin"]), ours


def test_apt_check_mode_fetches_nothing(fleet: Fleet, deb: Host) -> None:
    fleet.repo.publish("v2")
    seen = by_ansible(fleet, "deb1", "--check", refresh=True)
    assert seen.result["updates_total"] == 0 and seen.result["metadata"]["refreshed"] is False


def test_apt_pending_kept_back_held_and_pinned(fleet: Fleet, deb: Host) -> None:
    seen = look(deb, refresh=True)
    assert seen.identities() == [
        ("patch.packages.kept_back", "apt", "low"),
        ("patch.security.pending", "apt", "medium"),
        ("patch.updates.pending", "apt", "low"),
    ]
    assert seen.verdict == "pending"
    security = seen.get("patch.security.pending")
    assert [p["name"] for p in security["facts"]["packages"]] == ["libupkeepdemo1", "upkeep-demo-sec"]
    assert "Debian-Security:bookworm-security" in security["evidence"][0]
    assert seen.get("patch.packages.kept_back")["evidence"][0].endswith("needs new packages")
    assert "upkeep-demo-kept" in seen.get("patch.packages.kept_back")["evidence"][0]

    deb.run("apt-mark hold upkeep-demo-held upkeep-demo-sec")
    deb.write("/etc/apt/preferences.d/conf", "Package: upkeep-demo-c*\nPin: version 1.*\nPin-Priority: 1001\n")
    seen = look(deb)
    held = seen.get("patch.packages.held")
    assert held["severity"] == "medium"  # a security update is kept away
    assert held["evidence"] == [
        "upkeep-demo-sec 1.0-1 (hold): 1.0-1+deb12u1 is kept away, a security update",
        "upkeep-demo-conf 1.0-1 (pin): 2.0-1 is kept away",
        "upkeep-demo-held 1.0-1 (hold): 2.0-1 is kept away",
    ]
    assert [p["name"] for p in seen.get("patch.updates.pending")["facts"]["packages"]] == ["upkeep-demo"]
    assert look(deb, allowed_holds=["upkeep-demo-*"]).get("patch.packages.held")["facts"]["count"] == 1
    deb.run("apt-mark unhold upkeep-demo-held upkeep-demo-sec; rm /etc/apt/preferences.d/conf")
    assert "patch.packages.held" not in {check for check, _s, _v in look(deb).identities()}


def test_apt_the_remedies_mend_and_the_service_with_the_old_library_is_found(deb: Host) -> None:
    before = look(deb)
    run_remedy(deb, before.get("patch.security.pending"))
    run_remedy(deb, before.get("patch.updates.pending"))
    deb.run("DEBIAN_FRONTEND=noninteractive apt-get -y -q dist-upgrade")
    seen = look(deb)
    assert seen.identities() == [("patch.services.outdated", "services", "medium")]
    assert seen.verdict == "pending"
    finding = seen.get("patch.services.outdated")
    assert finding["remedy"] == "systemctl restart upkeep-demo.service"
    assert "libupkeepdemo.so.1" in finding["evidence"][0]
    run_remedy(deb, finding)
    told = patches(before)
    assert [one["name"] for one in told["pending"] if one["security"]] == ["libupkeepdemo1", "upkeep-demo-sec"]
    seen = look(deb)
    told = patches(seen)
    assert (told["verdict"], told["pending"], told["release"]) == ("compliant", [], "debian:12")
    came = {one["name"]: one for one in told["changed"]}
    assert came["upkeep-demo-sec"]["version"] == "1.0-1+deb12u1"
    assert time.time() - 120 < came["upkeep-demo-sec"]["at"] < time.time() + 5, "when dpkg brought it"
    assert {"upkeep-demo-sec", "passwd", "apt"} <= set(told["names"])
    assert seen.verdict == "compliant" and seen.covers("patch.services.outdated")
    assert seen.result["last_upgrade"] > seen.result["booted"]


def test_apt_phased_and_removals(fleet: Fleet, deb: Host) -> None:
    fleet.repo.publish("v2", "upkeep-demo-phased", "upkeep-demo-replacing")
    seen = look(deb, refresh=True)
    assert "phased" in seen.get("patch.updates.pending")["evidence"][0]
    assert seen.get("patch.updates.pending")["severity"] == "info"
    kept = seen.get("patch.packages.kept_back")
    assert kept["evidence"][-1] == "a full upgrade would remove upkeep-demo-replaced"
    assert seen.result["would_remove"] == ["upkeep-demo-replaced"]
    fleet.repo.publish("v1", "upkeep-demo-phased", "upkeep-demo-replacing")
    assert look(deb, refresh=True).verdict == "compliant"


def test_apt_an_interrupted_dpkg_and_a_broken_postinst(fleet: Fleet, deb: Host) -> None:
    fleet.repo.publish("v2", "upkeep-demo-slow", "upkeep-demo-broken")
    deb.run("apt-get -q update")
    deb.run("systemd-run -q --unit=slow env DEBIAN_FRONTEND=noninteractive apt-get -y install upkeep-demo-slow")
    deb.run("until grep -q 'half-configured upkeep-demo-slow:all 2' /var/log/dpkg.log; do sleep 0.1; done", timeout=30)
    # While it runs, nothing is broken yet: somebody is working on it, and who is told.
    seen = look(deb)
    assert "apt-get" in seen.get("patch.lock.held")["summary"]
    assert seen.get("patch.check.not_run")["subject"] == "patch.database.broken"
    assert seen.verdict == "unknown"
    deb.run("systemctl kill -s KILL slow; systemctl reset-failed slow || true")
    assert deb.run(["dpkg", "--audit"]).returncode == 0  # it says so with a 0
    seen = look(deb)
    finding = seen.get("patch.database.broken")
    assert finding["evidence"] == [
        "upkeep-demo-slow 2.0-1 is unpacked",
        "dpkg was interrupted: 2 unmerged changes in /var/lib/dpkg/updates",
    ]
    assert seen.verdict == "unknown" and not seen.covers("patch.security.pending")
    deb.write(SLOW_POSTINST, "#!/bin/sh\nexit 0\n")
    run_remedy(deb, finding)
    assert look(deb).verdict == "pending"

    deb.run("DEBIAN_FRONTEND=noninteractive apt-get -y -q install upkeep-demo-broken", check=False)
    finding = look(deb).get("patch.database.broken")
    assert finding["evidence"] == ["upkeep-demo-broken 2.0-1 is half-configured"]
    deb.write(SLOW_POSTINST.replace("slow", "broken"), "#!/bin/sh\nexit 0\n")
    run_remedy(deb, finding)
    fleet.repo.publish("v1", "upkeep-demo-slow", "upkeep-demo-broken")
    seen = look(deb, refresh=True)
    assert seen.findings == [], seen.identities()

    deb.run("install -m644 /dev/null /var/lib/dpkg/updates/0007")
    assert "dpkg was interrupted" in look(deb).get("patch.database.broken")["summary"]
    deb.run("rm /var/lib/dpkg/updates/0007; cp -p /var/lib/dpkg/status /root/status")
    deb.run("head -c 2000 /root/status > /var/lib/dpkg/status")
    assert look(deb).verdict == "unknown"
    assert "middle of a line" in str(look(deb).findings)
    deb.run("cp -p /root/status /var/lib/dpkg/status")
    assert "patch.database.broken" not in {check for check, _s, _v in look(deb).identities()}


def test_apt_repositories_that_cannot_be_believed(fleet: Fleet, deb: Host) -> None:
    fleet.repo.down()
    seen = look(deb, refresh=True)
    assert {check for check, _s, _v in seen.identities()} == {"patch.repository.unreachable"}
    assert seen.verdict == "unknown" and not seen.covers("patch.security.pending")
    assert "onnection refused" in str(seen.findings[0]["evidence"])
    fleet.repo.up()

    fleet.repo.expire(3)
    seen = look(deb, refresh=True)
    assert "patch.repository.expired" in {check for check, _s, _v in seen.identities()}
    assert seen.verdict == "unknown"
    # apt never takes a list that is older than the one it has.
    deb.run("rm -rf /var/lib/apt/lists/*; apt-get -q -o Acquire::Check-Valid-Until=false update")
    expired = look(deb)
    assert {check for check, _s, _v in expired.identities()} == {"patch.repository.expired"}
    assert (
        "expired 3 days ago" in expired.findings[0]["summary"] or "expired 2 days ago" in expired.findings[0]["summary"]
    )
    fleet.repo.fresh()

    for how in ("none", "unknown-key", "broken"):
        fleet.repo.sign(how)
        deb.run("rm -rf /var/lib/apt/lists/*InRelease")
        seen = look(deb, refresh=True)
        assert seen.verdict == "unknown", how
        assert seen.identities() != [], how
        if how == "unknown-key":
            assert "NO_PUBKEY" in str(
                seen.get("patch.repository.unsigned", "http://packages.fleet.test/debian bookworm")
            )
    fleet.repo.sign("good")
    deb.run("apt-get -q update; mv /usr/share/keyrings/upkeep-fleet.asc /root/")
    main = "http://packages.fleet.test/debian bookworm"
    assert "key to check it with is missing" in look(deb).get("patch.repository.unsigned", main)["summary"]
    assert "NO_PUBKEY" in look(deb, refresh=True).get("patch.repository.unsigned", main)["summary"]
    deb.run("mv /root/upkeep-fleet.asc /usr/share/keyrings/")

    wrong = "deb [signed-by=/usr/share/keyrings/upkeep-fleet.asc] http://packages.fleet.test/debian bullseye main"
    deb.write("/etc/apt/sources.list.d/wrong.list", wrong)
    subject = "http://packages.fleet.test/debian bullseye"
    assert "never fetched" in look(deb).get("patch.repository.unreachable", subject)["summary"]
    assert look(deb, refresh=True).get("patch.repository.unreachable", subject)
    deb.run("rm /etc/apt/sources.list.d/wrong.list")
    seen = look(deb, refresh=True)
    assert not {f["check"] for f in seen.findings} - {"patch.updates.pending"}, seen.identities()

    fleet.repo.hang()
    began = time.monotonic()
    seen = look(deb, refresh=True, refresh_timeout=6)
    assert time.monotonic() - began < 20
    assert seen.verdict == "unknown"
    fleet.repo.up()


def test_apt_stale_missing_and_broken(fleet: Fleet, deb: Host) -> None:
    assert look(deb, refresh=True).verdict in ("compliant", "pending")
    deb.clock(30 * 86_400)
    seen = look(deb)
    deb.clock(0)
    assert "30 days old" in seen.get("patch.metadata.stale")["summary"]
    assert seen.verdict == "unknown" and not seen.covers("patch.updates.pending")
    deb.write("/etc/apt/apt.conf.d/99broken", "{};\n")
    seen = look(deb)
    assert seen.verdict == "unknown" and "99broken" in str(seen.findings)
    deb.run("rm /etc/apt/apt.conf.d/99broken; rm -rf /var/lib/apt/lists/*")
    seen = look(deb)
    assert seen.get("patch.metadata.stale")["severity"] == "high" and seen.verdict == "unknown"
    run_remedy(deb, seen.get("patch.metadata.stale"))
    assert "patch.metadata.stale" not in {check for check, _s, _v in look(deb).identities()}


def test_apt_locks_are_reported_not_waited_for(deb: Host) -> None:
    deb.break_("package-lock")
    began = time.monotonic()
    seen = look(deb)
    assert time.monotonic() - began < 8
    assert "lock-holder" in str(seen.get("patch.lock.held")) or "python3" in str(seen.get("patch.lock.held"))
    assert {lock["path"] for lock in seen.result["locks"]} == {"/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend"}
    assert look(deb, lock_max_age_hours=-1).get("patch.lock.held")["severity"] == "medium"
    deb.mend("package-lock")
    deb.run(
        'systemd-run -q --unit=lists /usr/bin/python3 -c "import fcntl, time;'
        "f = open('/var/lib/apt/lists/lock', 'a'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(99)\";"
        "sleep 0.5"
    )
    seen = look(deb, refresh=True, lock_timeout=2)
    assert "locked by another process" in seen.get("patch.check.not_run", "patch.metadata.stale")["summary"]
    assert seen.verdict == "unknown"
    deb.run("systemctl stop lists")


def test_apt_reboot_kernel_and_stale_flag(fleet: Fleet, deb: Host) -> None:
    fleet.repo.publish("v2", "upkeep-demo-kernel")
    deb.run("apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -y -q install upkeep-demo-kernel")
    seen = look(deb)
    reboot = seen.get("patch.reboot.required")
    assert "linux-image-9.9.9-upkeep" in reboot["summary"] and reboot["remedy"] == "systemctl reboot"
    assert seen.verdict == "pending"
    forced = look(deb, kernel_in_container=True)
    assert forced.get("patch.kernel.outdated")["facts"]["newest"] == "9.9.9-upkeep"
    assert len(forced.get("patch.reboot.required")["evidence"]) == 2

    deb.reboot()
    seen = look(deb)
    assert seen.covers("patch.reboot.required") and seen.result["reboot"]["required"] is False
    deb.run("touch -d '3 days ago' /run/reboot-required")
    seen = look(deb)
    assert seen.get("patch.reboot.flag_stale")["severity"] == "low"
    assert seen.result["reboot"]["required"] is False
    run_remedy(deb, seen.get("patch.reboot.flag_stale"))
    deb.run("touch /run/reboot-required")
    assert "did not leave its name" in look(deb).get("patch.reboot.required")["summary"]
    deb.run("rm /run/reboot-required")


def test_apt_without_root(deb: Host) -> None:
    seen = look(deb, user="nosudo")
    assert seen.get("patch.check.not_run")["subject"] == "patch.services.outdated"
    assert seen.verdict == "unknown" and seen.covers("patch.security.pending")


# -- dnf -------------------------------------------------------------------------


def without_gpgcheck(seen: Seen) -> list[tuple[str, str, str]]:
    """The fleet's dnf repository is not signed, by choice."""
    return [entry for entry in seen.identities() if entry != ("patch.repository.unsigned", "fleet", "low")]


def test_dnf_a_fresh_host_is_compliant(fleet: Fleet, dnf: Host) -> None:
    fleet.repo.publish("v1")
    dnf.run("dnf -q makecache --refresh")
    seen = by_ansible(fleet, "dnf1")
    assert seen.verdict == "compliant" and without_gpgcheck(seen) == []
    assert seen.result["manager"]["name"] == "dnf"
    assert seen.covers("patch.security.pending")


def test_dnf_advisories_with_their_cves(fleet: Fleet, dnf: Host) -> None:
    fleet.repo.publish("v2")
    assert look(dnf).verdict == "compliant"  # nobody has fetched it yet
    seen = look(dnf, refresh=True)
    security = seen.get("patch.security.pending")
    assert security["severity"] == "high"
    worst, second = security["facts"]["packages"]
    assert (worst["name"], worst["severity"], worst["cves"]) == (
        "libupkeepdemo", "Critical", ["CVE-2025-10002", "CVE-2025-10003"],
    )  # fmt: skip
    assert (second["name"], second["severity"], second["cves"]) == ("upkeep-demo-sec", "Important", ["CVE-2025-10001"])
    assert "UKSA-2025:0002" in security["evidence"][1]
    update = next(u for u in seen.result["updates"] if u["name"] == "upkeep-demo-sec")
    assert update["published"] == "2025-03-10T10:00:00Z"
    assert seen.verdict == "pending"


def test_dnf_versionlock_and_exclude(dnf: Host) -> None:
    dnf.run("cp /etc/dnf/dnf.conf /root/; echo 'excludepkgs=upkeep-demo-held' >> /etc/dnf/dnf.conf")
    dnf.run("dnf -q -C versionlock add upkeep-demo-sec")
    seen = look(dnf)
    held = seen.get("patch.packages.held")
    assert held["severity"] == "medium"
    assert [(p["name"], p["how"], p["security"]) for p in held["facts"]["packages"]] == [
        ("upkeep-demo-sec", "versionlock", True),
        ("upkeep-demo-held", "exclude", False),
    ]
    names = [p["name"] for p in seen.get("patch.updates.pending")["facts"]["packages"]]
    assert names == ["upkeep-demo", "upkeep-demo-conf"]
    dnf.run("cp /root/dnf.conf /etc/dnf/dnf.conf; dnf -q -C versionlock clear")
    assert "patch.packages.held" not in {check for check, _s, _v in look(dnf).identities()}


def test_a_weekly_run_says_who_lacks_what_and_a_later_one_how_it_came(dnf: Host, upkeep: Upkeep) -> None:
    before = weekly(upkeep, "dnf1")
    assert before["state"] == "overdue"
    assert [(one["name"], one["severity"], one["cves"]) for one in before["missing"]] == [
        ("libupkeepdemo", "critical", ["CVE-2025-10002", "CVE-2025-10003"]),
        ("upkeep-demo-sec", "high", ["CVE-2025-10001"]),
    ]
    assert "patch.compliance.overdue" in upkeep.open_tickets()
    dnf.run("dnf -y -q upgrade upkeep-demo-sec")
    between = weekly(upkeep, "dnf1")
    assert [one["name"] for one in between["missing"]] == ["libupkeepdemo"]
    assert between["missing"][0]["since"] == before["missing"][0]["since"]
    assert between["went"] == {"patched": 1}
    (all_of_them, high) = between["took"]
    assert (high["severity"], high["patched"], all_of_them["late"]) == ("high", 1, 1)
    assert "patch.compliance.overdue" in upkeep.open_tickets()


def test_dnf_the_remedies_mend_and_the_service_with_the_old_library_is_found(dnf: Host) -> None:
    before = look(dnf)
    run_remedy(dnf, before.get("patch.security.pending"))
    run_remedy(dnf, before.get("patch.updates.pending"))
    seen = look(dnf)
    assert without_gpgcheck(seen) == [("patch.services.outdated", "services", "medium")]
    finding = seen.get("patch.services.outdated")
    assert finding["remedy"] == "systemctl restart upkeep-demo.service"
    run_remedy(dnf, finding)
    seen = look(dnf)
    assert seen.verdict == "compliant"
    assert seen.result["last_upgrade"] is not None


def test_dnf_a_repository_that_is_down_is_not_one_without_updates(fleet: Fleet, dnf: Host) -> None:
    dnf.run("cp /etc/yum.repos.d/fleet.repo /root/; echo skip_if_unavailable=1 >> /etc/yum.repos.d/fleet.repo")
    fleet.repo.down()
    assert dnf.run("dnf -q --refresh check-update", check=False).returncode == 0  # dnf says so with a 0
    seen = look(dnf, refresh=True)
    assert seen.get("patch.repository.unreachable")["subject"] == "fleet"
    assert seen.verdict == "unknown" and not seen.covers("patch.security.pending")
    fleet.repo.up()
    dnf.run("cp /root/fleet.repo /etc/yum.repos.d/; dnf -q clean all")
    seen = look(dnf)
    assert seen.get("patch.metadata.stale")["severity"] == "high"
    assert seen.get("patch.repository.unreachable") and seen.verdict == "unknown"
    run_remedy(dnf, seen.get("patch.metadata.stale"))
    assert look(dnf).verdict == "compliant"


def test_dnf_what_cannot_be_had_is_kept_back(fleet: Fleet, dnf: Host) -> None:
    fleet.repo.publish("v2", "upkeep-demo-unmet")
    seen = look(dnf, refresh=True)
    assert "upkeep-demo-unmet" in seen.get("patch.packages.kept_back")["evidence"][0]
    assert seen.verdict == "pending"
    fleet.repo.publish("v1", "upkeep-demo-unmet")
    assert look(dnf, refresh=True).verdict == "compliant"


def test_dnf_a_kernel_asks_for_a_reboot(fleet: Fleet, dnf: Host) -> None:
    time.sleep(1)
    fleet.repo.publish("v2", "kernel")
    dnf.run("dnf -y -q --refresh install kernel || dnf -y -q --refresh upgrade kernel")
    seen = look(dnf)
    assert "kernel" in seen.get("patch.reboot.required")["summary"]
    time.sleep(2)  # rpm's times and the boot's have whole seconds: a reboot within the same one proves nothing
    dnf.reboot()
    assert "patch.reboot.required" not in {check for check, _s, _v in look(dnf).identities()}


def test_dnf_stale_locked_and_broken(dnf: Host) -> None:
    dnf.clock(30 * 86_400)
    seen = look(dnf)
    dnf.clock(0)
    assert "30 days old" in seen.get("patch.metadata.stale")["summary"] and seen.verdict == "unknown"

    dnf.run(
        "systemd-run -q --unit=holder sleep 99;"
        "systemctl show -P MainPID holder | tr -d '\\n' > /var/cache/dnf/metadata_lock.pid"
    )
    seen = look(dnf, lock_timeout=1)
    assert "sleep 99" in seen.get("patch.lock.held")["summary"]
    assert "locked by another process" in seen.get("patch.check.not_run", "patch.security.pending")["summary"]
    assert seen.verdict == "unknown"
    dnf.run("systemctl stop holder; rm -f /var/cache/dnf/metadata_lock.pid")

    dnf.run("cp /etc/dnf/dnf.conf /root/; printf 'not a configuration\\n' > /etc/dnf/dnf.conf")
    seen = look(dnf)
    assert seen.verdict == "unknown" and seen.get("patch.check.not_run", "patch.security.pending")
    dnf.run("cp /root/dnf.conf /etc/dnf/dnf.conf")

    dnf.run(
        "mv /var/lib/rpm /root/rpm && mkdir /var/lib/rpm &&"
        "dd if=/dev/urandom of=/var/lib/rpm/rpmdb.sqlite bs=4k count=4 2>&1"
    )
    seen = look(dnf)
    assert seen.verdict == "unknown" and not seen.covers("patch.security.pending"), seen.identities()
    dnf.run("rm -rf /var/lib/rpm && mv /root/rpm /var/lib/rpm")
    assert look(dnf).verdict in ("compliant", "pending")


def test_dnf_without_root(dnf: Host) -> None:
    seen = look(dnf, user="nosudo")
    assert seen.get("patch.check.not_run")["subject"] == "patch.services.outdated"
    assert seen.covers("patch.security.pending") and seen.result["packages"] > 5
