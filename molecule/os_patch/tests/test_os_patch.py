# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role os_patch did, against what the package managers say on the hosts, and what check mode had foretold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from molecule.shared.results import FILE, covered, findings

testinfra_hosts = ["ansible://fleet_debian", "ansible://fleet_dnf"]


def name_of(host: Any) -> str:
    return str(host.ansible.get_variables()["inventory_hostname"])


def foretold(host: Any) -> dict[str, Any]:
    """The plan that check mode made."""
    lines = FILE.with_name("foretold.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    (plan,) = [one["plan"]["plan"] for one in records if one["type"] == "plan" and one["host"] == name_of(host)]
    return dict(plan)


def journal(host: Any) -> dict[str, Any]:
    with host.sudo():
        folder = host.check_output("ls -d /var/lib/upkeep/patching/p-*")
        assert len(folder.split()) == 1, "check mode and the second run prepared nothing"
        told: dict[str, Any] = json.loads(host.check_output("cat %s/journal.json", folder))
    return told


def installed(host: Any, name: str) -> str:
    if host.exists("apt-get"):
        return str(host.check_output("dpkg-query -W -f '${Version}' %s", name))
    return str(host.check_output("rpm -q --qf '%%{VERSION}-%%{RELEASE}' %s", name))


def test_what_was_foretold_is_what_is_installed(host: Any) -> None:
    rows = [row for row in foretold(host)["packages"] if row["to"]]
    assert {"upkeep-demo", "upkeep-demo-sec"} <= {row["name"] for row in rows}
    shown = FILE.with_name("foretold.txt").read_text(encoding="utf-8")
    assert all(f"+{row['name']}:{row['arch']} {row['to']}" in shown for row in rows), shown
    assert {row["name"]: installed(host, row["name"]) for row in rows} == {
        row["name"]: row["to"].partition(":")[2] or row["to"] for row in rows
    }


def test_the_transaction_was_the_one_of_its_journal(host: Any) -> None:
    kept = journal(host)
    assert kept["phase"] == "restarted" and kept["plan"]["id"] == foretold(host)["id"]
    assert kept["health"]["services"], "the health from before"


def test_nothing_is_pending_but_what_is_held(host: Any) -> None:
    if host.exists("apt-get"):
        assert "Inst " not in host.check_output("apt-get -s dist-upgrade")
        assert installed(host, "upkeep-demo-held").startswith("1")
    else:
        with host.sudo():
            assert host.run("dnf -q check-update --security").rc == 0


def test_services_run(host: Any) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
    assert host.service("ssh" if host.exists("apt-get") else "sshd").is_running or host.service("ssh").is_running


@pytest.mark.parametrize("check", ["patch.plan.not_known", "patch.plan.would_remove"])
def test_the_second_run_looked_and_found_nothing_to_do(host: Any, check: str) -> None:
    assert check in covered(name_of(host))
    assert not [key for key, one in findings(name_of(host)).items() if one["severity"] in ("critical", "high")]
