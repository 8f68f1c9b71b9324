# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the capacity role saw, against what pytest-testinfra sees on the host by itself."""

from __future__ import annotations

from typing import Any

import pytest

from molecule.shared.results import covered, findings

testinfra_hosts = ["ansible://fleet_debian", "ansible://fleet_dnf"]


def name_of(host: Any) -> str:
    return str(host.ansible.get_variables()["inventory_hostname"])


def test_failed_units_are_those_that_systemd_names(host: Any) -> None:
    listed = host.check_output("systemctl list-units --state=failed --plain --no-legend").splitlines()
    found = {subject for check, subject in findings(name_of(host)) if check == "capacity.unit.failed"}
    assert found == {line.split()[0] for line in listed}
    assert "doomed.service" in found or name_of(host) != "web1"


def test_the_evidence_and_the_remedy_name_the_unit(host: Any) -> None:
    for (check, subject), finding in findings(name_of(host)).items():
        if check == "capacity.unit.failed":
            assert subject in finding["remedy"]
            assert finding["evidence"]


@pytest.mark.parametrize("check", ["capacity.filesystem.full", "capacity.inodes.full", "capacity.unit.failed"])
def test_the_checks_ran_to_their_end(host: Any, check: str) -> None:
    assert check in covered(name_of(host))


def test_the_history_is_the_is_written_by_root_alone(host: Any) -> None:
    history = host.file("/var/lib/upkeep/capacity.json")
    assert history.exists and history.user == "root" and history.mode & 0o022 == 0
