# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole line on real hosts: `upkeep run weekly`, findings, tickets; and hosts that fail in each way they can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet

from .upkeep_command import Upkeep

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(400)]

BROKEN = {
    "nopython": "no-python",
    "oldpython": "python37",
    "nosudo": "no-sudo",
    "noisy": "noise",
    "flooding": "flood",
    "stranger": "host-key",
}
"""Hosts that a fault of the fleet is made on."""


@pytest.fixture(scope="module")
def hosts(fleet_factory: Factory) -> Fleet:
    return fleet_factory("web1", "dark", "hung", *BROKEN)


@pytest.fixture(scope="module")
def upkeep(tmp_path_factory: pytest.TempPathFactory) -> Upkeep:
    return Upkeep(tmp_path_factory.mktemp("upkeep"))


@pytest.fixture(scope="module")
def healthy(hosts: Fleet, upkeep: Upkeep) -> dict[str, Any]:
    """The first run: each host is as Debian made it, but for one unit that failed."""
    hosts["web1"].break_("failed-unit")
    return upkeep.json("run", "weekly", "-i", hosts.ansible_inventory, "-e", "host_review_timeout=60")


@pytest.fixture(scope="module")
def failing(healthy: dict[str, Any], hosts: Fleet, upkeep: Upkeep) -> dict[str, Any]:
    """The second run: all but web1 have a fault, and web1 is mended."""
    hosts["web1"].mend("failed-unit")
    # The SSH masters of the first run may still be there, and an open session tells nothing of keys and routes.
    for host in ("dark", "hung", "stranger"):
        hosts[host].run("pkill -u ops sshd")
    hosts["dark"].link(False)
    hosts["hung"].hang()
    for host, fault in BROKEN.items():
        hosts[host].break_(fault)
    return upkeep.json("run", "weekly", "-i", hosts.ansible_inventory, "-e", "host_review_timeout=60")


@pytest.fixture(scope="module")
def mended(failing: dict[str, Any], hosts: Fleet, upkeep: Upkeep) -> dict[str, Any]:
    """The third run: all is well again."""
    hosts["dark"].link(True)
    hosts["hung"].hang(False)
    for host, fault in BROKEN.items():
        hosts[host].mend(fault)
    return upkeep.json("run", "weekly", "-i", hosts.ansible_inventory, "-e", "host_review_timeout=60")


def found(run: dict[str, Any], host: str) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in run["findings"] if finding["host"] == host}


def test_a_fault_becomes_a_ticket_with_its_evidence(healthy: dict[str, Any], upkeep: Upkeep) -> None:
    assert {host["state"] for host in healthy["hosts"]} == {"ok"}
    assert healthy["exit_code"] == 1
    failed = found(healthy, "web1")["capacity.unit.failed"]
    assert failed["subject"] == "fleet-fails.service"
    assert failed["evidence"] and "fleet-fails" in failed["remedy"]
    opened = [ticket for ticket in healthy["tickets"] if ticket["what"] == "opened"]
    assert any("fleet-fails" in ticket["title"] for ticket in opened)


def test_a_mended_fault_resolves_its_ticket_and_the_others_are_not_doubled(
    healthy: dict[str, Any], failing: dict[str, Any]
) -> None:
    assert any(ticket["what"] == "resolved" and "fleet-fails" in ticket["title"] for ticket in failing["tickets"])
    before = {ticket["number"] for ticket in healthy["tickets"]}
    again = {finding["check"] for finding in healthy["findings"]} & {f["check"] for f in failing["findings"]}
    doubled = [t for t in failing["tickets"] if t["what"] == "opened" and any(check in t["title"] for check in again)]
    assert not [ticket for ticket in doubled if ticket["number"] not in before]


@pytest.mark.parametrize("host", ["dark", "hung", "stranger"])
def test_a_host_that_cannot_be_reached_is_one_finding(failing: dict[str, Any], host: str) -> None:
    assert set(found(failing, host)) == {"upkeep.host.unreachable"}
    assert found(failing, host)["upkeep.host.unreachable"]["severity"] == "high"


def test_the_reasons_are_told_apart(failing: dict[str, Any]) -> None:
    why = {
        host: " ".join(finding["evidence"])
        for host in ("dark", "hung", "stranger")
        for finding in found(failing, host).values()
    }
    assert any(words in why["dark"] for words in ("timed out", "No route", "no answer in"))
    assert any(words in why["hung"] for words in ("timed out", "banner", "no answer in"))
    assert "host key" in why["stranger"].lower()


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("nopython", "Install Python 3.8 or newer"),
        ("oldpython", "Python 3.8 or newer"),
        ("nosudo", "sudo rights"),
    ],
)
def test_a_host_that_cannot_be_reviewed_says_what_to_do(failing: dict[str, Any], host: str, words: str) -> None:
    findings = found(failing, host)
    assert "upkeep.task.failed" in findings, findings
    assert words in findings["upkeep.task.failed"]["remedy"]
    assert "Traceback" not in findings["upkeep.task.failed"]["summary"]


@pytest.mark.parametrize("host", ["noisy", "flooding"])
def test_what_a_host_prints_beside_its_answer_never_looks_clean(failing: dict[str, Any], host: str) -> None:
    state = next(entry["state"] for entry in failing["hosts"] if entry["host"] == host)
    findings = found(failing, host)
    # Either its review arrived whole through the noise, or it is told that it did not.
    assert state == "ok" or findings.keys() & {"upkeep.task.failed", "upkeep.host.unreachable", "upkeep.result.lost"}
    assert not any("\x1b" in line for finding in findings.values() for line in finding["evidence"])


def test_what_was_not_looked_at_resolves_nothing(
    healthy: dict[str, Any], failing: dict[str, Any], upkeep: Upkeep
) -> None:
    silent = {"dark", "hung", "stranger", "nopython", "oldpython", "nosudo"}
    standing = {
        (f["host"], f["check"], f["subject"])
        for f in healthy["findings"]
        if f["host"] in silent and f["severity"] != "info"
    }
    still = {
        (entry["host"], entry["check"], entry["subject"])
        for ticket in upkeep.json("tickets", "--state", "all")["tickets"]
        for entry in upkeep.json("tickets", "show", str(ticket["number"]))["entries"]
        if entry["cleared"] is None or entry["host"] not in silent
    }
    assert standing <= still


def test_failed_hosts_give_exit_code_3(failing: dict[str, Any]) -> None:
    assert failing["exit_code"] == 3
    assert failing["run"]["state"] == "finished"


def test_one_fallen_host_is_one_ticket(failing: dict[str, Any]) -> None:
    titles = [ticket["title"] for ticket in failing["tickets"] if ticket["what"] == "opened"]
    for host in ("dark", "hung", "stranger"):
        assert sum(host in title for title in titles) == 1, titles


def test_when_all_is_mended_those_tickets_resolve_by_themselves(mended: dict[str, Any], upkeep: Upkeep) -> None:
    assert {host["state"] for host in mended["hosts"]} == {"ok"}
    assert not [cause for cause in upkeep.open_tickets() if cause.startswith("upkeep.")]


def test_the_state_folder_is_private(mended: dict[str, Any], upkeep: Upkeep) -> None:
    loose = [path for path in upkeep.home.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert not loose
    assert Path(mended["artifacts"]).is_dir()
