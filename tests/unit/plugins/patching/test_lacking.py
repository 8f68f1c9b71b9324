# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a host's patches: all that it lacks, pins included, and what came lately; and never more certainty."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import state_errors
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import lacking
from tests.unit.fake_host import NOW
from tests.unit.plugins.patching.debian import DAY, MAIN, SECURITY, Deb, DebianHost, Result, reviewed
from tests.unit.plugins.patching.test_dnf import ANSWER, DnfHost

INFO = "/var/lib/dpkg/info/"
QUIET = [Deb("bash"), Deb("apt", "2.6.1")]
FIX = Deb("openssl", "3.0.19-1", [("3.0.22-1", SECURITY)])


def patches(result: Result) -> dict[str, Any]:
    (told,) = result["states"]
    assert state_errors(told) == []
    assert (told["kind"], told["subject"]) == ("patches", "os")
    data: dict[str, Any] = told["data"]
    return data


def test_a_host_that_is_up_to_date_tells_what_it_has_and_what_came_lately() -> None:
    files: dict[str, str | bytes] = {INFO + "bash.list": "", INFO + "apt:amd64.list": ""}
    mtimes = {INFO + "bash.list": NOW - 70 * DAY, INFO + "apt:amd64.list": NOW - DAY}
    data = patches(reviewed(DebianHost(QUIET, files=files, mtimes=mtimes)))
    assert data == {
        "verdict": "compliant",
        "why": [],
        "manager": "apt",
        "release": "debian:13",
        "pending": [],
        "truncated": 0,
        "names": ["apt", "bash"],
        "changed": [{"name": "apt", "arch": "amd64", "version": "2.6.1", "at": NOW - DAY}],
    }


def test_what_is_pending_security_first_with_its_source() -> None:
    data = patches(reviewed(DebianHost([*QUIET, Deb("aaa", "1", [("2", MAIN)]), FIX])))
    assert data["verdict"] == "pending"
    assert [(one["name"], one["security"]) for one in data["pending"]] == [("openssl", True), ("aaa", False)]
    assert data["pending"][0] == {
        "name": "openssl",
        "arch": "amd64",
        "installed": "3.0.19-1",
        "candidate": "3.0.22-1",
        "security": True,
        "severity": "",
        "cves": [],
        "advisories": [],
        "known_exploited": None,
        "published": None,
        "left_out_why": "",
        "source": "openssl",
        "source_version": "3.0.19-1",
    }


def test_a_fix_that_a_pin_hides_is_missing_all_the_same() -> None:
    pinned = Deb("openssl", "3.0.19-1", [("3.0.22-1", SECURITY)], candidate="3.0.19-1", pin="3.0.19-1", priority=-1)
    data = patches(reviewed(DebianHost([*QUIET, pinned])))
    (one,) = data["pending"]
    assert (one["name"], one["arch"], one["candidate"], one["security"]) == ("openssl", "amd64", "3.0.22-1", True)
    assert one["left_out_why"] == "held by pin"


def test_lists_that_cannot_be_believed_are_unknown_and_what_they_tell_is_told() -> None:
    from tests.unit.plugins.patching.debian import LISTS

    mtimes = {LISTS + "deb.example.org_debian-security_dists_bookworm-security_InRelease": NOW - 90 * DAY}
    host = DebianHost([*QUIET, FIX], mtimes=mtimes)
    host.files[LISTS + "deb.example.org_debian-security_dists_bookworm-security_InRelease"] = "no Release file"
    data = patches(reviewed(host))
    assert data["verdict"] == "unknown"
    assert data["why"]
    assert [one["name"] for one in data["pending"]] == ["openssl"]


def test_a_host_without_a_package_manager_says_that_nothing_is_known() -> None:
    data = patches(reviewed(DebianHost([], programs=[])))
    assert data["verdict"] == "unknown"
    assert (data["manager"], data["pending"], data["names"]) == ("", [], [])


def test_dnf_tells_ratings_in_the_words_of_all_and_when_each_was_installed() -> None:
    present = [["upkeep-demo", "noarch", "1.0-1.el9", NOW - 2 * DAY], ["old", "x86_64", "1-1", NOW - 100 * DAY]]
    data = patches(reviewed(DnfHost({**ANSWER, "present": present})))
    first = data["pending"][0]
    assert (first["name"], first["severity"], first["published"]) == ("libupkeepdemo", "critical", NOW - 3 * DAY)
    assert first["cves"] == ["CVE-2025-10002", "CVE-2025-10003"]
    assert data["names"] == ["old", "upkeep-demo"]
    assert [one["name"] for one in data["changed"]] == ["upkeep-demo"]


def test_more_than_can_be_told_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lacking, "PENDING_LIMIT", 2)
    debs = [Deb(f"p{number}", "1", [("2", MAIN)]) for number in range(4)]
    data = patches(reviewed(DebianHost([*QUIET, *debs, FIX])))
    assert [one["name"] for one in data["pending"]] == ["openssl", "p0"]
    assert data["truncated"] == 3


def test_names_that_look_like_secrets_arrive_as_they_are() -> None:
    debs = [Deb(name, "1:1.0-1") for name in ("passwd", "libsecret-1-0", "libpam-passwdqc", "gnome-keyring-token")]
    data = patches(reviewed(DebianHost([*QUIET, *debs])))
    assert {deb.name for deb in debs} < set(data["names"])
