# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the patch_state role saw, against what the package managers themselves say on the hosts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from molecule.shared.results import covered, findings

testinfra_hosts = ["ansible://fleet_debian", "ansible://fleet_dnf"]


def name_of(host: Any) -> str:
    return str(host.ansible.get_variables()["inventory_hostname"])


def evidence(host: Any, check: str) -> str:
    return "\n".join(
        line
        for (name, _subject), found in findings(name_of(host)).items()
        if name == check
        for line in found["evidence"]
    )


def test_pending_security_updates_are_those_of_the_package_manager(host: Any) -> None:
    if host.exists("apt-get"):
        lines = host.check_output("apt-get -s dist-upgrade").splitlines()
        expected = {line.split()[1] for line in lines if line.startswith("Inst ") and "Debian-Security" in line}
        assert {"upkeep-demo-sec", "libupkeepdemo1"} <= expected
    else:
        with host.sudo():
            listed = host.check_output("dnf -q updateinfo list --security")
        expected = set(re.findall(r"(\S+?)-\d\S*$", listed, re.MULTILINE))
        assert "upkeep-demo-sec" in expected
    told = evidence(host, "patch.security.pending")
    assert expected and all(package in told for package in expected), told


def test_advisories_are_named_where_the_metadata_has_them(host: Any) -> None:
    if host.exists("dnf"):
        assert "UKSA-2025:0002" in evidence(host, "patch.security.pending")
        assert "CVE-2025-10001" in evidence(host, "patch.security.pending")


def test_a_held_package_is_told(host: Any) -> None:
    if host.exists("apt-get"):
        assert "upkeep-demo-held" in host.check_output("apt-mark showhold")
        assert "upkeep-demo-held" in evidence(host, "patch.packages.held")


def test_nothing_was_changed_on_the_host(host: Any) -> None:
    if host.exists("apt-get"):
        assert host.package("upkeep-demo").version.startswith("1")
        assert host.check_output("apt-mark showhold") == "upkeep-demo-held"


@pytest.mark.parametrize("check", ["patch.security.pending", "patch.database.broken", "patch.reboot.required"])
def test_the_checks_ran_to_their_end(host: Any, check: str) -> None:
    assert check in covered(name_of(host))
