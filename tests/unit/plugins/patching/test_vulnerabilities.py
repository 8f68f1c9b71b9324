# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a CVE means on a host: exposed, patched, not installed, not known; what a package of a plan fixes; CVSS."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import vulnerabilities as vuln
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.model import Installed
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.versions import compare_deb, compare_evr

HERE = "debian:12"


def fix(state: str = "fixed", fixed: str = "3.0.17-1", source: str = "openssl", release: str = HERE) -> dict[str, Any]:
    return {
        "source": source,
        "release": release,
        "state": state,
        "fixed": fixed if state == "fixed" else "",
        "note": "",
    }


def deb(name: str = "libssl3", version: str = "3.0.16-1", source: str = "openssl", built_from: str = "") -> Installed:
    return Installed(name, "amd64", version, source, built_from or version)


OPENSSL = [deb(), deb("openssl")]
AND_EDK2 = [*OPENSSL, deb("ovmf", "5", "edk2")]


@pytest.mark.parametrize(
    ("fixes", "installed", "state", "told"),
    [
        ([], OPENSSL, "not_known", "no vulnerability data"),
        ([fix()], [deb("bash", source="bash")], "not_installed", "openssl"),
        ([fix()], OPENSSL, "exposed", "older than 3.0.17-1"),
        ([fix(fixed="3.0.16-1")], OPENSSL, "patched", "has the fix"),
        ([fix(fixed="3.0.9-1")], OPENSSL, "patched", "has the fix"),
        # Said of another release only: not known, and never "not exposed".
        ([fix(release="debian:13")], OPENSSL, "not_known", "says nothing of openssl in debian:12"),
        # Of Rocky's packages only, whose httpd is apache2 here: nobody knows whether that is installed.
        ([fix(source="httpd", release="rocky:9")], [deb("apache2", source="apache2")], "not_known", "of rocky only"),
        ([fix(source="bash", release="rocky:9"), fix()], [deb("bash", source="bash")], "not_installed", "openssl"),
        ([fix("undetermined")], OPENSSL, "not_known", "not determined"),
        ([fix("not_affected")], OPENSSL, "patched", "not affected"),
        ([fix("open")], OPENSSL, "exposed", "no fix yet"),
        # Two sources of data: one that knows a fix beats one that does not, the later fix beats the earlier.
        ([fix("open"), fix(fixed="3.0.16-1")], OPENSSL, "patched", "has the fix"),
        ([fix(fixed="3.0.16-1"), fix()], OPENSSL, "exposed", "older than 3.0.17-1"),
        ([fix("not_affected"), fix("open")], OPENSSL, "exposed", "no fix yet"),
        # One of two sources is exposed: the host is.
        ([fix(fixed="3.0.1-1"), fix(source="edk2", fixed="9")], AND_EDK2, "exposed", "edk2"),
        ([fix(fixed="3.0.1-1"), fix("undetermined", source="edk2")], [*OPENSSL, deb("ovmf", "5", "edk2")],
         "not_known", "edk2"),
    ],
)  # fmt: skip
def test_whether_a_host_is_exposed(
    fixes: list[dict[str, Any]], installed: list[Installed], state: str, told: str
) -> None:
    found = vuln.exposure(fixes, HERE, installed, {}, "apt")
    assert found["state"] == state and told in found["why"]
    assert bool(found["packages"]) is (
        state == "exposed" or "edk2" in told or "in debian:12" in told or "determined" in told
    )


def test_the_patch_that_can_be_had() -> None:
    offered = {"libssl3": ("3.0.17-1", "3.0.17-1"), "openssl": ("3.0.16-5", "3.0.16-5")}
    found = vuln.exposure([fix()], HERE, OPENSSL, offered, "apt")
    rows = [(p["name"], p["installed"], p["fixed"], p["candidate"]) for p in found["packages"]]
    assert rows == [
        ("libssl3", "3.0.16-1", "3.0.17-1", "3.0.17-1"),
        ("openssl", "3.0.16-1", "3.0.17-1", "3.0.17-1"),  # its own candidate is too old; that of its source is not
    ]
    assert vuln.exposure([fix(fixed="9")], HERE, OPENSSL, offered, "apt")["packages"][0]["candidate"] == ""
    assert vuln.exposure([fix("open")], HERE, OPENSSL, offered, "apt")["packages"][0]["candidate"] == ""


def test_it_is_the_source_version_that_counts() -> None:
    rebuilt = [deb("libx1", "2:1.0-1+b2", "x", "1.0-1")]
    assert vuln.exposure([fix(fixed="1.0-2", source="x")], HERE, rebuilt, {}, "apt")["state"] == "exposed"
    assert vuln.exposure([fix(fixed="1.0-1", source="x")], HERE, rebuilt, {}, "apt")["state"] == "patched"


def test_the_kernel_that_runs_counts_and_its_fix_comes_by_another_package() -> None:
    old = deb("linux-image-6.1.0-37-amd64", "6.1.140-1", "linux-signed-amd64", "6.1.140+1")
    new = deb("linux-image-6.1.0-38-amd64", "6.1.147-1", "linux-signed-amd64", "6.1.147+1")
    meta = deb("linux-image-amd64", "6.1.147-1", "linux-signed-amd64", "6.1.147+1")
    fixes = [fix(fixed="6.1.147-1", source="linux")]
    found = vuln.exposure(fixes, HERE, [old, new], {}, "apt", "6.1.0-37-amd64")
    assert (found["state"], found["reboot"]) == ("exposed", True) and "does not run yet" in found["why"]
    assert found["packages"][0]["candidate"] == "6.1.147-1", "it is here already"
    assert vuln.exposure(fixes, HERE, [old, new, meta], {}, "apt", "6.1.0-37-amd64")["state"] == "exposed"
    assert vuln.exposure(fixes, HERE, [old, new, meta], {}, "apt", "6.1.0-38-amd64")["state"] == "patched"
    assert vuln.exposure(fixes, HERE, [old, new, meta], {}, "apt", "5.0-of-the-machine")["state"] == "exposed"
    behind = deb("linux-image-amd64", "6.1.140-1", "linux-signed-amd64", "6.1.140+1")
    offered = {"linux-image-amd64": ("6.1.147-1", "6.1.147-1")}
    found = vuln.exposure(fixes, HERE, [old, behind], offered, "apt", "6.1.0-37-amd64")
    assert {p["name"]: p["candidate"] for p in found["packages"]} == {
        "linux-image-6.1.0-37-amd64": "6.1.147-1",
        "linux-image-amd64": "6.1.147-1",
    }


@pytest.mark.parametrize(
    ("os_release", "key"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, "debian:12"),
        ({"ID": "debian", "VERSION_CODENAME": "forky"}, "debian:14"),
        ({"ID": "debian"}, ""),
        ({"ID": "ubuntu", "VERSION_ID": "22.04"}, "ubuntu:22.04"),
        ({"ID": "rocky", "VERSION_ID": "9.6"}, "rocky:9"),
        ({}, ""),
    ],
)
def test_the_release_as_the_data_names_it(os_release: dict[str, str], key: str) -> None:
    assert vuln.release_key(os_release) == key


def test_a_package_of_a_plan_gets_its_cves_the_worst_first() -> None:
    package = {
        "name": "libssl3", "from": "3.0.16-1", "to": "3.0.17-1", "source": "openssl", "cves": [], "severity": "",
        "known_exploited": False,
    }  # fmt: skip

    def known(cve: str, fixed: str, severity: str = "", exploited: bool = False) -> dict[str, Any]:
        return {"cve": cve, "fixes": [fix(fixed=fixed)], "severity": severity, "known_exploited": exploited}

    entries = [
        known("CVE-2026-0001", "3.0.17-1", "low"),
        known("CVE-2026-0002", "3.0.17-1", "critical"),
        known("CVE-2026-0003", "3.0.17-1", "low", exploited=True),
        known("CVE-2026-0004", "3.0.16-1", "critical", exploited=True),  # has it already
        known("CVE-2026-0005", "3.0.18-1", "critical", exploited=True),  # does not bring it
    ]
    told = vuln.annotated(package, entries, "apt")
    assert told["cves"] == ["CVE-2026-0003", "CVE-2026-0002", "CVE-2026-0001"]
    assert (told["severity"], told["known_exploited"]) == ("critical", True)
    assert package["cves"] == [], "what was handed in stays as it was"
    install = vuln.annotated(dict(package, **{"from": ""}), entries, "apt")
    assert install["cves"] == [], "what was not there had no hole"
    rebuilt = dict(package, **{"from": "2:1+b1", "to": "2:2+b1", "source_from": "3.0.16-1", "source_to": "3.0.17-1"})
    assert len(vuln.annotated(rebuilt, entries, "apt")["cves"]) == 3
    by_advisory = dict(package, cves=["CVE-2026-0009"], severity="Important")
    about = [{"cve": "CVE-2026-0009", "fixes": [], "severity": "medium", "known_exploited": True}]
    told = vuln.annotated(by_advisory, about, "dnf")
    assert (told["cves"], told["severity"], told["known_exploited"]) == (["CVE-2026-0009"], "Important", True)


# The examples of https://www.first.org/cvss/v3.1/examples and of the specification.
@pytest.mark.parametrize(
    ("vector", "score", "rating"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8, "critical"),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0, "critical"),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1, "medium"),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4, "medium"),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5, "high"),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8, "high"),
        ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.6, "low"),
        ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1, "low"),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0, ""),
    ],
)
def test_cvss(vector: str, score: float, rating: str) -> None:
    assert vuln.cvss_score(vector) == score
    assert vuln.cvss_rating(score) == rating


@pytest.mark.parametrize("vector", ["", "CVSS:4.0/AV:N", "AV:N/AC:L/Au:N/C:P/I:P/A:P", "CVSS:3.1/AV:X/AC:L"])
def test_no_cvss(vector: str) -> None:
    assert vuln.cvss_score(vector) is None


@pytest.mark.parametrize(
    ("left", "right", "sign"),
    [
        ("1.0-1.el9", "1.0-1.el9", 0),
        ("1.0-1.el9", "1.0-2.el9", -1),
        ("1:0.9-1.el9", "2.0-1.el9", 1),
        ("0:1.0-1", "1.0-1", 0),
        ("1.0", "1.0-7.el9", 0),
        ("3.0.7-27.el9", "3.0.7-6.el9_2", 1),
        ("1.0~rc1-1", "1.0-1", -1),
    ],
)
def test_the_order_of_rpm_versions(left: str, right: str, sign: int) -> None:
    def of(number: int) -> int:
        return (number > 0) - (number < 0)

    assert (of(compare_evr(left, right)), of(compare_evr(right, left))) == (sign, -sign)
    assert vuln.comparer("dnf") is compare_evr and vuln.comparer("apt") is compare_deb
