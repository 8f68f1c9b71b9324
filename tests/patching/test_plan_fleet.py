# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of real hosts, with apt and with dnf: what they bring and leave out, and that they foretell what happens.

Most plans are made by the collection's code from a zip inside the host, as Ansible would, in a tenth of the time. What
needs the controller's vulnerability data, and the first of each package manager, goes through Ansible. The data are
small files of the true shape: the real ones (70 MB and more) cannot be had where the tests run.
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

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model
from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.host import Host

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
ARCHIVE = "/opt/upkeep-plan-code.zip"
DRIVER = """
import json, sys
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.options import defaults as of_info
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_options import defaults, errors_of
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_review import review as plan
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.review import review as info
given = json.loads(sys.argv[2])
if sys.argv[1] == "info":
    print(json.dumps(info(Host(), {**of_info(), **given})))
else:
    options = {**defaults(), **given}
    assert not errors_of(options), errors_of(options)
    print(json.dumps(plan(Host(), options)))
"""
CANNOT = "patch.check.not_run"
DISTANT = "2099-12-31"


class Planned:
    """One answer of patch_plan."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self.state = result["state"]
        self.plan: dict[str, Any] = result["plan"] or {}
        self.findings = result["findings"]
        if result["plan"] is not None:
            assert plan_model.errors_of(json.loads(json.dumps(self.plan))) == []
            assert [p["id"] for p in result["plans"]] == [self.plan["id"]]

    @property
    def packages(self) -> dict[str, dict[str, Any]]:
        return {package["name"]: package for package in self.plan["packages"]}

    @property
    def steps(self) -> list[str]:
        return sorted(f"{p['name']} {p['from']}>{p['to']}" for p in self.plan["packages"])

    @property
    def left(self) -> dict[str, tuple[str, str]]:
        return {entry["name"]: (entry["why"], entry["reason"]) for entry in self.plan["left_out"]}

    def checks(self) -> list[tuple[str, str, str]]:
        return sorted((f["check"], f["subject"], f["severity"]) for f in self.findings)

    def get(self, check: str, subject: str | None = None) -> dict[str, Any]:
        found = [f for f in self.findings if f["check"] == check and subject in (None, f["subject"])]
        assert len(found) == 1, f"{len(found)} of {check}; there are {self.checks()}"
        return dict(found[0])

    def covers(self, check: str, subject: str = "os") -> bool:
        return {"check": check, "subject": subject} in self.result["coverage"]


def call(host: Host, what: str, **options: Any) -> dict[str, Any]:
    words = ["env", f"PYTHONPATH={ARCHIVE}", "/usr/bin/python3", "-c", DRIVER, what, json.dumps(options)]
    return dict(json.loads(host.run(words).stdout))


def planned(host: Host, **options: Any) -> Planned:
    """Plan the host."""
    return Planned(call(host, "plan", **options))


def by_ansible(fleet: Fleet, host: str, *words: str, fails: bool = False, **options: Any) -> dict[str, Any]:
    """Plan the host with the module."""
    command = [str(Path(sys.executable).with_name("ansible")), "-i", str(fleet.ansible_inventory), host]
    command += ["-m", "upkeep.maintenance.patch_plan", *(["-a", json.dumps(options)] if options else []), *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, env=dict(os.environ), check=False)
    assert ran.returncode == (2 if fails else 0), ran.stdout + ran.stderr
    answer = dict(json.loads(ran.stdout.partition("=> ")[2]))
    assert answer["changed"] is False
    return answer


@pytest.fixture(scope="module")
def fleet(fleet_factory: Factory) -> Fleet:
    made = fleet_factory("pdeb", "pdnf:dnf")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((ROOT / "plugins" / "module_utils").rglob("*.py")):
            archive.write(path, f"ansible_collections/upkeep/maintenance/{path.relative_to(ROOT)}")
        for folder in ("", "/upkeep", "/upkeep/maintenance", "/upkeep/maintenance/plugins"):
            archive.writestr(f"ansible_collections{folder}/__init__.py", "")
        archive.writestr("ansible_collections/upkeep/maintenance/plugins/module_utils/__init__.py", "")
    for name in ("pdeb", "pdnf"):
        made[name].run(f"base64 -d > {ARCHIVE}", input=base64.b64encode(packed.getvalue()).decode())
    return made


@pytest.fixture
def deb(fleet: Fleet) -> Iterator[Host]:
    yield fleet["pdeb"]
    fleet.repo.up()


@pytest.fixture
def dnf(fleet: Fleet) -> Iterator[Host]:
    yield fleet["pdnf"]
    fleet.repo.up()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vulnerability data of the true shape, for the packages of the fleet."""
    folder = tmp_path_factory.mktemp("vulnerabilities")
    fixed = {"status": "resolved", "fixed_version": "1.0-1+deb12u1", "urgency": "not yet assigned"}
    tracker = {
        "upkeep-demo-sec": {
            "CVE-2025-10001": {
                "description": "a command injection",
                "scope": "remote",
                "releases": {
                    "bookworm": {
                        **fixed,
                        "repositories": {"bookworm": "1.0-1", "bookworm-security": "1.0-1+deb12u1"},
                        "urgency": "high",
                    },
                    "trixie": {**fixed, "fixed_version": "0"},
                },
            },
        },
        "libupkeepdemo1": {
            "CVE-2025-10002": {"releases": {"bookworm": fixed}},
            "CVE-2025-10005": {"releases": {"bookworm": {"status": "open", "urgency": "low", "nodsa": "Minor issue"}}},
            "CVE-2025-10006": {"releases": {"bookworm": {**fixed, "fixed_version": "1.0-1"}}},
            "CVE-2025-10007": {"releases": {"bookworm": {**fixed, "fixed_version": "1.0-1+deb12u9"}}},
        },
        "not-installed-here": {"CVE-2025-10008": {"releases": {"bookworm": {"status": "open"}}}},
    }
    (folder / "json").write_text(json.dumps(tracker))
    exploited = {
        "title": "CISA Catalog of Known Exploited Vulnerabilities",
        "catalogVersion": "2025.03.11",
        "count": 1,
        "vulnerabilities": [{"cveID": "CVE-2025-10002", "vendorProject": "Upkeep", "dateAdded": "2025-03-11"}],
    }
    (folder / "known_exploited_vulnerabilities.json").write_text(json.dumps(exploited))
    return folder


# -- apt: in this order, since what one publishes the next one has ---------------


def test_apt_nothing_to_do_is_said_and_nothing_is_touched(fleet: Fleet, deb: Host) -> None:
    watched = "find /etc /var /run /usr /root -xdev -newermt @{} -not -path '*/log/journal/*' -not -path '/var/tmp*'"
    began = time.time()
    time.sleep(1.1)
    seen = Planned(by_ansible(fleet, "pdeb"))
    assert (seen.state, seen.plan["packages"], seen.findings) == ("nothing", [], [])
    assert seen.covers("patch.plan.not_known") and seen.plan["id"] == plan_model.plan_id(seen.plan)
    changed = deb.run(watched.format(began)).stdout.splitlines()
    ours = [path for path in changed if any(word in path for word in ("apt", "dpkg", "upkeep"))]
    assert ours in ([], ["/var/cache/apt", "/var/cache/apt/pkgcache.bin", "/var/cache/apt/srcpkgcache.bin"]), ours


def test_apt_security_by_policy_alike_in_check_mode_and_under_a_held_lock(fleet: Fleet, deb: Host) -> None:
    fleet.repo.publish("v2")
    assert by_ansible(fleet, "pdeb", "--check", refresh=True)["state"] == "nothing", "check mode fetches nothing"
    first = planned(deb, refresh=True)
    assert first.state == "planned" and first.findings == []
    assert first.steps == ["libupkeepdemo1 1.0-1>1.0-1+deb12u1", "upkeep-demo-sec 1.0-1>1.0-1+deb12u1"]
    library = first.packages["libupkeepdemo1"]
    assert library["asked"] and library["security"] and library["origin"] == "Debian-Security:bookworm-security"
    assert library["download_bytes"] > 1000 and first.plan["download_bytes"] > library["download_bytes"]
    assert [(s["unit"], s["restart"]) for s in first.plan["services"]] == [("upkeep-demo.service", "upkeep")]
    assert first.plan["reboot"] == {"needed": False, "why": []}
    assert first.plan["seconds"]["total"] > 0 and first.plan["seconds"]["measured"] is False
    assert first.left["upkeep-demo"] == ("not_selected", "it is no security update")
    deb.break_("package-lock")
    try:
        again = Planned(by_ansible(fleet, "pdeb", "--check"))
    finally:
        deb.mend("package-lock")
    assert again.plan == first.plan, "the same plan with the same id: in check mode, by Ansible, under a lock"


def test_apt_everything_with_what_comes_along_held_and_excluded(deb: Host) -> None:
    deb.run("apt-mark hold upkeep-demo-held")
    try:
        seen = planned(deb, select="all")
        assert seen.steps == [
            "libupkeepdemo1 1.0-1>1.0-1+deb12u1",
            "upkeep-demo 1.0-1>2.0-1",
            "upkeep-demo-conf 1.0-1>2.0-1",
            "upkeep-demo-kept 1.0-1>2.0-1",
            "upkeep-demo-new >2.0-1",
            "upkeep-demo-sec 1.0-1>1.0-1+deb12u1",
        ]
        new = seen.packages["upkeep-demo-new"]
        assert (new["action"], new["asked"]) == ("install", False)
        assert seen.packages["upkeep-demo-kept"]["asked"], "an ordinary upgrade keeps it back, for it needs a new one"
        assert seen.left == {"upkeep-demo-held": ("held", "apt-mark hold")}
    finally:
        deb.run("apt-mark unhold upkeep-demo-held")
    deb.write("/etc/apt/preferences.d/pin", "Package: upkeep-demo\nPin: version 1.0-1\nPin-Priority: 1001\n")
    try:
        seen = planned(deb, select="all")
        assert seen.left == {"upkeep-demo": ("pinned", "pin")} and "upkeep-demo-held" in seen.packages
    finally:
        deb.run("rm /etc/apt/preferences.d/pin")
    exclusions = [
        {"name": "upkeep-demo-new", "reason": "not wanted here", "until": DISTANT},
        {"name": "upkeep-demo-[ch]*", "reason": "the vendor asks for it", "until": ""},
        {"name": "libupkeepdemo1", "reason": "tested no longer than", "until": "2025-06-30"},
    ]
    seen = planned(deb, select="all", exclude=exclusions)
    assert seen.left["upkeep-demo-conf"] == ("excluded", "the vendor asks for it")
    assert seen.left["upkeep-demo-held"] == ("excluded", "the vendor asks for it")
    why, reason = seen.left["upkeep-demo-kept"]
    assert why == "kept_back" and "upkeep-demo-new" in reason and "not wanted here" in reason
    assert seen.steps == [
        "libupkeepdemo1 1.0-1>1.0-1+deb12u1", "upkeep-demo 1.0-1>2.0-1", "upkeep-demo-sec 1.0-1>1.0-1+deb12u1",
    ]  # fmt: skip
    expired = seen.get("patch.plan.exclusion_expired")
    assert expired["subject"] == "libupkeepdemo1" and "2025-06-30" in expired["summary"]


def test_apt_an_interrupted_dpkg_is_told_beside_the_plan(deb: Host) -> None:
    before = planned(deb)
    deb.run("cp /var/lib/dpkg/status /root/status; touch /var/lib/dpkg/updates/0001; "
            "sed -i '/^Package: upkeep-demo-slow$/,/^$/s/install ok installed/install ok half-configured/' "
            "/var/lib/dpkg/status")  # fmt: skip
    try:
        seen = planned(deb)
    finally:
        deb.run("mv /root/status /var/lib/dpkg/status; rm /var/lib/dpkg/updates/0001")
    assert seen.state == "planned" and seen.plan == before.plan, "it is mended before packages are changed"
    assert any("upkeep-demo-slow" in line for line in seen.result["database"])
    assert any("interrupted" in line for line in seen.result["database"]) and before.result["database"] == []


def test_the_role_shows_the_plan_and_writes_it_down(fleet: Fleet, tmp_path: Path) -> None:
    before = planned(fleet["pdeb"])
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(fleet.ansible_inventory)]
    command += [str(ROOT / "playbooks" / "patch_plan.yml"), "--limit", "pdeb", "--check", "-e"]
    folder = tmp_path / "plans"  # made by the role
    command.append(json.dumps({"patch_plan_save_to": str(folder), "patch_plan_refresh": False}))
    for changed in ("changed=1", "changed=0"):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=100, env=dict(os.environ), check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert changed in ran.stdout and "upgrade libupkeepdemo1 (amd64) 1.0-1 -> 1.0-1+deb12u1" in ran.stdout
    saved = json.loads((folder / "pdeb.json").read_text())
    assert saved == before.plan and (folder / "pdeb.json").stat().st_mode & 0o77 == 0
    command[-1] = json.dumps({"patch_plan_approved": {"pdeb": saved}, "patch_plan_select": "all"})
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, env=dict(os.environ), check=False)
    assert ran.returncode == 0 and f"The approved plan {saved['id']} is not what would be done now" in " ".join(
        ran.stdout.split()
    ), ran.stdout


def test_apt_named_packages(deb: Host) -> None:
    named = [{"name": "upkeep-demo", "version": "2.0-1"}, {"name": "upkeep-demo-sec"}, {"name": "no-such-package"}]
    seen = planned(deb, select="packages", packages=named)
    assert seen.steps == ["upkeep-demo 1.0-1>2.0-1", "upkeep-demo-sec 1.0-1>1.0-1+deb12u1"]
    assert seen.result["missing"] == ["no-such-package"]
    seen = planned(deb, select="packages", packages=[{"name": "upkeep-demo", "version": "9.9"}])
    assert seen.steps == [] and seen.left["upkeep-demo"][0] == "kept_back" and "9.9" in seen.left["upkeep-demo"][1]
    # It has that version, or a newer one: nothing is ever put back by asking for a version.
    seen = planned(deb, select="packages", packages=[{"name": "upkeep-demo", "version": "0.9"}])
    assert (seen.state, seen.steps) == ("nothing", [])


def test_apt_exposure_to_named_cves_and_the_packages_that_fix_them(fleet: Fleet, deb: Host, data: Path) -> None:
    cves = [f"CVE-2025-1000{number}" for number in (1, 2, 5, 6, 7, 8, 9)]
    seen = Planned(by_ansible(fleet, "pdeb", select="cves", cves=cves, vulnerability_data=str(data)))
    exposure = seen.result["exposure"]
    states = {cve: exposure[cve]["state"] for cve in cves}
    assert states == {
        "CVE-2025-10001": "exposed",
        "CVE-2025-10002": "exposed",
        "CVE-2025-10005": "exposed",  # open, no patch
        "CVE-2025-10006": "patched",
        "CVE-2025-10007": "exposed",  # fixed by a version that no repository has yet
        "CVE-2025-10008": "not_installed",
        "CVE-2025-10009": "not_known",
    }
    told = {"name": "libupkeepdemo1", "installed": "1.0-1", "fixed": "1.0-1+deb12u1", "candidate": "1.0-1+deb12u1"}
    assert exposure["CVE-2025-10002"]["packages"] == [told] and exposure["CVE-2025-10002"]["known_exploited"]
    assert exposure["CVE-2025-10005"]["packages"] == [{**told, "fixed": "", "candidate": ""}]
    assert exposure["CVE-2025-10007"]["packages"] == [{**told, "fixed": "1.0-1+deb12u9", "candidate": ""}]
    assert seen.steps == ["libupkeepdemo1 1.0-1>1.0-1+deb12u1", "upkeep-demo-sec 1.0-1>1.0-1+deb12u1"]
    # What is known to be exploited comes first, whatever its rating.
    names = [(p["name"], p["cves"], p["known_exploited"], p["severity"]) for p in seen.plan["packages"]]
    assert names == [
        ("libupkeepdemo1", ["CVE-2025-10002"], True, ""),
        ("upkeep-demo-sec", ["CVE-2025-10001"], False, "high"),
    ]
    assert seen.get("patch.exposure.exposed", "CVE-2025-10005")["facts"]["patch"] is False
    assert "known to be exploited" in seen.get("patch.exposure.exposed", "CVE-2025-10002")["summary"]
    assert seen.get("patch.exposure.not_known")["subject"] == "CVE-2025-10009"
    assert seen.covers("patch.exposure.exposed", "CVE-2025-10006")
    assert not seen.covers("patch.exposure.exposed", "CVE-2025-10009")
    assert [f["kind"] for f in seen.result["vulnerability_files"]] == ["debian-tracker", "kev"]
    gone = by_ansible(fleet, "pdeb", fails=True, vulnerability_data=str(data / "gone"))["msg"]
    assert "is a folder on the controller with mirrored data" in gone and "Traceback" not in gone
    # Without data nothing is known of any.
    bare = planned(deb, select="cves", cves=cves[:1])
    assert bare.result["exposure"]["CVE-2025-10001"]["state"] == "not_known" and bare.steps == []
    rated = Planned(by_ansible(fleet, "pdeb", severities=["critical", "high"], vulnerability_data=str(data)))
    assert rated.steps == ["libupkeepdemo1 1.0-1>1.0-1+deb12u1", "upkeep-demo-sec 1.0-1>1.0-1+deb12u1"]
    rated = Planned(by_ansible(fleet, "pdeb", severities=["critical"], vulnerability_data=str(data)))
    assert rated.steps == ["libupkeepdemo1 1.0-1>1.0-1+deb12u1"], "not rated, and known to be exploited"
    assert rated.left["upkeep-demo-sec"] == ("not_selected", "it is rated high")


def test_apt_removals_are_refused_phased_ones_wait_and_a_kernel_asks_for_a_reboot(fleet: Fleet, deb: Host) -> None:
    before = planned(deb, select="all")
    fleet.repo.publish("v2", "upkeep-demo-kernel", "upkeep-demo-phased", "upkeep-demo-replacing", "upkeep-demo-dies")
    seen = planned(deb, select="all", refresh=True, plan=before.plan)
    assert seen.left == {
        "upkeep-demo-phased": seen.left["upkeep-demo-phased"],
        "upkeep-demo-replacing": ("would_remove", "it would remove upkeep-demo-replaced"),
    }
    assert seen.left["upkeep-demo-phased"][0] == "phased"
    assert seen.get("patch.plan.would_remove")["subject"] == "upkeep-demo-replacing"
    assert seen.plan["reboot"] == {
        "needed": True, "why": ["a kernel is installed: linux-image-9.9.9-upkeep 9.9.9-1"],
    }  # fmt: skip
    services = {service["unit"]: service["restart"] for service in seen.plan["services"]}
    assert services == {"upkeep-demo.service": "upkeep", "upkeep-demo-dies.service": "package"}
    changed = seen.get("patch.plan.changed")
    assert changed["severity"] == "high" and before.plan["id"] in changed["summary"]
    assert seen.result["approved"]["differences"] == [
        "install linux-image-9.9.9-upkeep (amd64) 9.9.9-1 is planned now and was not approved",
        "upgrade upkeep-demo-dies (all) 1.0-1 -> 2.0-1 is planned now and was not approved",
        "upgrade upkeep-demo-kernel (all) 1.0-1 -> 2.0-1 is planned now and was not approved",
        "a reboot is needed now, and none was when it was approved: a kernel is installed: "
        "linux-image-9.9.9-upkeep 9.9.9-1",
    ]
    allowed = planned(deb, select="all", allow_removals=True)
    gone = allowed.packages["upkeep-demo-replaced"]
    assert (gone["from"], gone["to"], gone["action"], gone["asked"]) == ("1.0-1", "", "remove", False)
    assert allowed.findings == [] and allowed.plan["id"] != seen.plan["id"]
    never = planned(deb, select="all", restart_never=["upkeep-demo*"])
    told = {service["unit"]: service for service in never.plan["services"]}
    assert told["upkeep-demo.service"]["restart"] == "never"
    assert (
        told["upkeep-demo-dies.service"]["restart"] == "package"
        and "whatever" in told["upkeep-demo-dies.service"]["why"]
    )
    # An approved plan is untrusted input: it is not taken when it was changed.
    forged = json.loads(json.dumps(before.plan))
    forged["packages"][0]["to"] = "9.9"
    assert "changed after it was made" in by_ansible(fleet, "pdeb", fails=True, plan=forged)["msg"]


def test_apt_the_plan_foretells_what_the_transaction_does(deb: Host) -> None:
    # Without what breaks, and half of it first: what is done of an approved plan is no difference.
    seen = planned(deb, select="all", exclude=[{"name": "upkeep-demo-dies", "reason": "it dies", "until": ""}])
    words = [f"{p['name']}={p['to']}" for p in seen.plan["packages"]]
    install = "DEBIAN_FRONTEND=noninteractive apt-get -y -q install --no-install-recommends "
    deb.run(install + " ".join(word for word in words if word.startswith(("libupkeep", "upkeep-demo="))))
    half = planned(
        deb, select="all", plan=seen.plan, exclude=[{"name": "upkeep-demo-dies", "reason": "it dies", "until": ""}]
    )
    assert half.result["approved"]["differences"] == [] and half.checks() == seen.checks()
    assert half.result["approved"]["done"] == ["libupkeepdemo1 (amd64)", "upkeep-demo (all)"]
    outdated = {process["unit"] for process in call(deb, "info")["processes"]["outdated"]}
    assert outdated == {s["unit"] for s in seen.plan["services"] if s["restart"] == "upkeep"} == {"upkeep-demo.service"}
    deb.run(install + " ".join(words))
    versions = dict(
        line.split() for line in deb.run("dpkg-query -W -f '${Package} ${Version}\\n'").stdout.splitlines() if line
    )
    assert {p["name"]: versions[p["name"]] for p in seen.plan["packages"]} == {
        p["name"]: p["to"] for p in seen.plan["packages"]
    }
    assert call(deb, "info")["reboot"]["required"] is seen.plan["reboot"]["needed"] is True
    after = planned(deb, select="security", plan=seen.plan)
    assert (after.state, after.findings, after.steps) == ("nothing", [], [])


def test_apt_a_repository_that_is_down_makes_the_plan_not_known(fleet: Fleet, deb: Host) -> None:
    fleet.repo.down()
    seen = planned(deb, select="security", refresh=True)
    assert seen.state == "not_known" and seen.result["plan"] is None and seen.result["reasons"]
    finding = seen.get("patch.plan.not_known")
    assert finding["severity"] == "medium" and "packages.fleet.test" in json.dumps(finding["evidence"])
    # What is known to be pending can still be planned, and is not taken for all there is.
    seen = planned(deb, select="all", refresh=True)
    assert seen.state == "not_known" and "upkeep-demo-dies" in seen.packages
    fleet.repo.up()
    assert planned(deb, select="security", refresh=True).state == "nothing"


def test_apt_a_broken_configuration_makes_the_plan_not_known(deb: Host, fleet: Fleet, data: Path) -> None:
    deb.write("/etc/apt/apt.conf.d/99broken", 'APT::Get "1\n')
    try:
        seen = planned(deb)
        assert seen.state == "not_known" and seen.result["plan"] is None
        seen = Planned(by_ansible(fleet, "pdeb", cves=["CVE-2025-10005"], vulnerability_data=str(data)))
        assert seen.result["exposure"]["CVE-2025-10005"]["state"] == "exposed", "dpkg's status needs no apt"
    finally:
        deb.run("rm /etc/apt/apt.conf.d/99broken")
    assert planned(deb).state == "nothing"


# -- dnf ------------------------------------------------------------------------


def test_dnf_security_with_its_advisories(fleet: Fleet, dnf: Host) -> None:
    fleet.repo.publish("v1")
    dnf.run("dnf -q --refresh makecache")
    assert Planned(by_ansible(fleet, "pdnf")).state == "nothing"
    fleet.repo.publish("v2")
    first = planned(dnf, refresh=True)
    assert first.state == "planned" and first.findings == []
    assert first.steps == ["libupkeepdemo 1.0-1.el9>1.1-1.el9", "upkeep-demo-sec 1.0-1.el9>1.1-1.el9"]
    worst = first.plan["packages"][0]
    assert (worst["name"], worst["severity"]) == ("libupkeepdemo", "Critical")
    assert worst["cves"] == ["CVE-2025-10002", "CVE-2025-10003"] and worst["published"] == 1741600800
    assert worst["source"] == "libupkeepdemo" and worst["download_bytes"] > 1000
    assert [(s["unit"], s["restart"]) for s in first.plan["services"]] == [("upkeep-demo.service", "upkeep")]
    assert Planned(by_ansible(fleet, "pdnf", "--check")).plan == first.plan
    rated = planned(dnf, severities=["critical"])
    assert rated.steps == ["libupkeepdemo 1.0-1.el9>1.1-1.el9"]
    assert rated.left["upkeep-demo-sec"] == ("not_selected", "it is rated high")


def test_dnf_exposure_by_advisories_and_known_exploited_by_the_controller(fleet: Fleet, dnf: Host, data: Path) -> None:
    fleet.repo.publish("v2", "kernel")
    dnf.run("dnf -q --refresh makecache")
    cves = ["CVE-2025-10001", "CVE-2025-10002", "CVE-2025-10004", "CVE-2025-10009"]
    seen = Planned(by_ansible(fleet, "pdnf", select="cves", cves=cves, vulnerability_data=str(data)))
    states = {cve: seen.result["exposure"][cve]["state"] for cve in cves}
    assert states == dict(zip(cves, ["exposed", "exposed", "not_installed", "not_known"], strict=True))
    told = {"name": "upkeep-demo-sec", "installed": "1.0-1.el9", "fixed": "1.1-1.el9", "candidate": "1.1-1.el9"}
    assert seen.result["exposure"]["CVE-2025-10001"]["packages"] == [told]
    assert seen.result["exposure"]["CVE-2025-10002"]["known_exploited"] is True
    assert [(p["name"], p["known_exploited"]) for p in seen.plan["packages"]] == [
        ("libupkeepdemo", True),
        ("upkeep-demo-sec", False),
    ]
    only = planned(dnf, select="cves", cves=["CVE-2025-10003"])
    assert only.steps == ["libupkeepdemo 1.0-1.el9>1.1-1.el9"]


KERNEL_SPEC = """\
Name: kernel
Version: {version}
Release: 1.el9
Summary: kernel-like
License: GPL
AutoReqProv: no
%description
kernel-like
%files
"""


def test_dnf_a_kernel_is_installed_beside_the_others_and_asks_for_a_reboot(fleet: Fleet, dnf: Host) -> None:
    for version in ("8.8.7", "8.8.8"):
        dnf.write("/root/kernel.spec", KERNEL_SPEC.format(version=version))
        dnf.run("rpmbuild -bb --quiet --target x86_64-linux --define '_topdir /root/rpm' /root/kernel.spec")
    dnf.run("rpm -i --nodeps /root/rpm/RPMS/x86_64/kernel-*.rpm && echo installonly_limit=2 >> /etc/dnf/dnf.conf")
    try:
        seen = planned(dnf, select="cves", cves=["CVE-2025-10004"])
        told = seen.result["exposure"]["CVE-2025-10004"]
        assert told["state"] == "exposed" and {row["candidate"] for row in told["packages"]} == {"9.9.9-1.el9"}
        # dnf keeps two, by its own rule: the oldest goes, and that is no removal to be refused.
        assert seen.steps == ["kernel 8.8.7-1.el9>", "kernel >9.9.9-1.el9"] and seen.left.get("kernel") is None
        # The other reason is what this test has installed before: it is due already.
        assert "a kernel is installed: kernel 9.9.9-1.el9" in seen.plan["reboot"]["why"]
        dnf.run("dnf -y -q upgrade kernel-9.9.9-1.el9.x86_64")
        there = dnf.run("rpm -q kernel --qf '%{VERSION} '").stdout.split()
        assert there == ["8.8.8", "9.9.9"], "as it was foretold"
        after = planned(dnf, select="cves", cves=["CVE-2025-10004"], plan=seen.plan)
        assert after.result["approved"]["differences"] == [] and after.plan["packages"] == []
        assert after.result["approved"]["done"] == ["kernel (x86_64)", "kernel (x86_64)"]
        assert after.result["exposure"]["CVE-2025-10004"]["state"] == "patched", "what is kept beside it does not count"
    finally:
        dnf.run("rpm -e --nodeps --allmatches kernel; sed -i /installonly_limit/d /etc/dnf/dnf.conf")


def test_dnf_locked_excluded_unmet_and_obsoleting(fleet: Fleet, dnf: Host) -> None:
    fleet.repo.publish("v2", "upkeep-demo-unmet", "upkeep-demo-replacing")
    before = planned(dnf, select="all")
    dnf.run("dnf -q versionlock add upkeep-demo-held")
    try:
        seen = planned(dnf, select="all", refresh=True, plan=before.plan,
                       exclude=[{"name": "upkeep-demo-c*", "reason": "tuned by hand", "until": DISTANT}])  # fmt: skip
        assert seen.left["upkeep-demo-held"] == ("held", "dnf versionlock")
        assert seen.left["upkeep-demo-conf"] == ("excluded", "tuned by hand")
        assert seen.left["upkeep-demo-unmet"][0] == "kept_back"
        assert "upkeep-demo-nowhere" in seen.left["upkeep-demo-unmet"][1]
        assert seen.left["upkeep-demo-replaced"][0] == "would_remove"
        assert seen.get("patch.plan.would_remove")["subject"] == "upkeep-demo-replaced"
        assert seen.steps == [
            "libupkeepdemo 1.0-1.el9>1.1-1.el9", "upkeep-demo 1.0-1.el9>2.0-1.el9",
            "upkeep-demo-sec 1.0-1.el9>1.1-1.el9",
        ]  # fmt: skip
        assert seen.get("patch.plan.changed")["evidence"] == [
            "upgrade upkeep-demo-conf (noarch) 1.0-1.el9 -> 2.0-1.el9 is no longer planned",
            "upgrade upkeep-demo-held (noarch) 1.0-1.el9 -> 2.0-1.el9 is no longer planned",
        ]
    finally:
        dnf.run("dnf -q versionlock delete upkeep-demo-held")


def test_dnf_the_plan_foretells_what_the_transaction_does(dnf: Host) -> None:
    folder = "/etc/dnf/plugins/needs-restarting.d"
    dnf.run(f"mkdir -p {folder}; echo libupkeepdemo > {folder}/u.conf")
    try:
        seen = planned(dnf)
        assert seen.plan["reboot"] == {"needed": True, "why": ["libupkeepdemo 1.1-1.el9 is installed"]}
        words = [f"{p['name']}-{p['to']}.{p['arch']}" for p in seen.plan["packages"]]
        dnf.run("dnf -y -q upgrade " + words[0])
        half = planned(dnf, plan=seen.plan)
        assert half.result["approved"] == {
            "id": seen.plan["id"], "done": ["libupkeepdemo (x86_64)"], "differences": [],
        }  # fmt: skip
        info = call(dnf, "info")
        assert {process["unit"] for process in info["processes"]["outdated"]} == {"upkeep-demo.service"}
        assert info["reboot"]["required"] is True
        dnf.run("dnf -y -q upgrade " + " ".join(words))
        there = dnf.run("rpm -qa --qf '%{NAME} %{VERSION}-%{RELEASE}\\n'").stdout.splitlines()
        assert all(f"{p['name']} {p['to']}" in there for p in seen.plan["packages"])
        after = planned(dnf, plan=seen.plan, cves=["CVE-2025-10001"])
        assert (after.state, after.findings) == ("nothing", [])
        assert after.result["exposure"]["CVE-2025-10001"]["state"] == "patched"
    finally:
        dnf.run(f"rm -r {folder}")


def test_dnf_a_repository_that_is_down_makes_the_plan_not_known(fleet: Fleet, dnf: Host) -> None:
    fleet.repo.down()
    seen = planned(dnf, refresh=True, cves=["CVE-2025-10001"])
    assert seen.state == "not_known" and seen.result["plan"] is None
    assert seen.get("patch.plan.not_known")["severity"] == "medium"
    assert seen.result["exposure"]["CVE-2025-10001"]["state"] == "not_known", "advisories may be missing"
