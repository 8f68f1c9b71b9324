# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emergency on real hosts: one with apt, one with dnf, one that is not affected, and one that does not answer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.patching.test_os_patch_fleet import Run, version
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import exposures, open_store

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(500)]

CVE, OPEN = "CVE-2025-10001", "CVE-2025-10005"
HOSTS = ("emdeb", "emdnf", "emsafe", "emgone")
OLD, NEW, SEC = "1.0-1", "2.0-1", "1.0-1+deb12u1"
DAEMON = "upkeep-demo.service"
MITIGATION = {"name": "no-demo", "cves": [OPEN], "service": [DAEMON]}


class Emergency(Run):
    """One run of the playbook, with its report."""

    def __init__(self, ran: subprocess.CompletedProcess[str], results: Path, report: Path) -> None:
        super().__init__(ran, results)
        self.report = json.loads(report.read_text()) if report.exists() else {}
        self.told = report.with_suffix(".md").read_text() if report.exists() else ""

    def exposed(self, key: str) -> dict[str, str]:
        return {row["host"]: row["state"] for row in self.report.get("rows", []) if row["asked"] == key}

    def row(self, host: str, key: str = "") -> dict[str, Any]:
        return next(dict(row) for row in self.report["rows"] if row["host"] == host and key in ("", row["asked"]))

    def exposures(self, host: str, key: str) -> list[str]:
        """The states of the exposure that the host told in this run, in order."""
        told = [r for r in self.records if r["type"] == "state" and r["kind"] == "exposure" and r["host"] == host]
        return [one["data"]["exposure"][key]["state"] for one in told]


class Rig:
    """The fleet, a folder of vulnerability data, and a folder for what runs leave."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.folder, self.number, self.began = fleet, folder, 0, time.time()
        self.results: list[Path] = []
        self.first: dict[str, float] = {}
        """When hosts were first seen exposed."""
        self.data = folder / "data"
        self.data.mkdir()
        self.tracker({"status": "open", "urgency": "low"})

    def tracker(self, later: dict[str, str]) -> None:
        """What Debian's tracker says; ``later``: of the CVE that has no fix at first."""
        fixed = {"status": "resolved", "fixed_version": SEC, "urgency": "high"}
        document = {
            "upkeep-demo-sec": {CVE: {"releases": {"bookworm": fixed}}},
            "libupkeepdemo1": {OPEN: {"releases": {"bookworm": later}}},
        }
        (self.data / "json").write_text(json.dumps(document))

    def run(self, *words: str, rc: int = 0, **variables: Any) -> Emergency:
        self.number += 1
        base = self.folder / str(self.number)
        given = {
            "patch_plan_vulnerability_data": str(self.data), "emergency_patch_report": str(base),
            "os_patch_health_wait": 10, "os_patch_lock_timeout": 30, **variables,
        }  # fmt: skip
        extra = base.with_suffix(".vars")
        extra.write_text(json.dumps(given))
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.fleet.ansible_inventory)]
        ran = subprocess.run(
            [*command, "-T", "3", "upkeep.maintenance.emergency_patch", "-e", f"@{extra}", *words],
            capture_output=True, text=True, timeout=400, check=False,
            env={**os.environ, "UPKEEP_RESULTS_FILE": str(base.with_suffix(".jsonl"))},
        )  # fmt: skip
        made = Emergency(ran, base.with_suffix(".jsonl"), base.with_suffix(".json"))
        assert made.rc == rc, made.out
        if made.report:
            self.results.append(base.with_suffix(".jsonl"))
        return made


@pytest.fixture(scope="module")
def rig(fleet_factory: Factory, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    fleet = fleet_factory("emdeb", "emdnf:dnf", "emsafe", "emgone")
    fleet["emgone"].link(up=False)
    fleet.repo.publish("v2", "upkeep-demo-sec", "libupkeepdemo1", "libupkeepdemo")
    fleet["emsafe"].run("apt-get -q -y purge upkeep-demo-sec; apt-get -q update; apt-get -q -y install libupkeepdemo1")
    return Rig(fleet, tmp_path_factory.mktemp("emergency"))


def test_who_is_exposed_is_told_of_all_hosts_and_nothing_is_changed(rig: Rig) -> None:
    did = rig.run("-e", f"cve={CVE.lower()}", rc=4)
    assert did.exposed(CVE) == {
        "emdeb": "exposed",
        "emdnf": "exposed",
        "emsafe": "not_installed",
        "emgone": "not_known",
    }
    assert did.states == {"emdeb": "ok", "emdnf": "ok", "emsafe": "ok", "emgone": "unreachable"}
    row = did.row("emdeb")
    rig.first = {host: did.row(host)["exposed_since"] for host in ("emdeb", "emdnf")}
    assert row["packages"] == [{"name": "upkeep-demo-sec", "installed": OLD, "fixed": SEC, "candidate": SEC}]
    assert row["plan"] == did.plans["emdeb"]["id"] and row["seconds_to_patch"] is None
    assert did.row("emdnf")["packages"][0]["fixed"].startswith("1.1-1") and did.row("emdnf")["published"]
    assert did.row("emgone")["why"] == "it does not answer"
    table = re.search(rf"{CVE}: 4 host\(s\) asked; 2 exposed, 1 not known, 1 not installed", did.out)
    assert table is not None, did.out
    assert re.search(rf"emdeb +{CVE} +exposed +upkeep-demo-sec +{re.escape(OLD)} ", did.out), did.out
    assert did.told.count("\n| em") == 4
    assert [did.exposures(host, CVE) for host in HOSTS] == [["exposed"], ["exposed"], ["not_installed"], []]
    assert [f["severity"] for f in did.findings("emdeb", "patch.exposure.exposed")] == ["high"]
    assert set(did.changed.values()) == {0} and version(rig.fleet["emdeb"], "upkeep-demo-sec") == OLD


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["cve=CVE-26-1"], "cves are named CVE-YEAR-NUMBER, this is 'CVE-26-1'"),
        (["version=1.0"], "expected -e package=NAME with -e version=1.0; found no package"),
        (
            ["cve=CVE-2025-10001", "emergency_patch_max_failures=some"],
            "emergency_patch_max_failures: expected a number",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused_before_any_host_is_asked(rig: Rig, words: list[str], told: str) -> None:
    did = rig.run("--limit", "emdeb", *[part for word in words for part in ("-e", word)], rc=2)
    assert told in re.sub(r"\s+", " ", did.out) and did.report == {}


def test_mitigated_while_there_is_no_patch_and_lifted_once_there_is_one(rig: Rig) -> None:
    deb = rig.fleet["emdeb"]
    asked = {"cve": OPEN, "emergency_patch_apply": True, "emergency_patch_mitigations": [MITIGATION]}
    did = rig.run("--limit", "emdeb,emgone", rc=4, **asked)
    assert did.exposed(OPEN) == {"emdeb": "mitigated", "emgone": "not_known"}, did.out
    assert deb.run(f"systemctl is-enabled {DAEMON} || true").stdout.strip() == "masked"
    assert did.exposures("emdeb", OPEN) == ["exposed", "mitigated"]
    assert [f["severity"] for f in did.findings("emdeb", "patch.exposure.exposed")] == ["low"]
    assert "no repository of it has a patch" in did.row("emdeb")["why"]
    again = rig.run("--limit", "emdeb", **asked)
    assert again.changed == {"emdeb": 0} and again.exposed(OPEN) == {"emdeb": "mitigated"}


def test_patched_in_rings_and_lifted_and_how_long_that_took(rig: Rig) -> None:
    rig.tracker({"status": "resolved", "fixed_version": SEC, "urgency": "low"})
    deb = rig.fleet["emdeb"]
    did = rig.run("-e", f"cve={CVE},{OPEN}", rc=4, emergency_patch_apply=True)
    assert did.exposed(CVE) == {
        "emdeb": "patched", "emdnf": "patched", "emsafe": "not_installed", "emgone": "not_known",
    }, did.out  # fmt: skip
    assert did.exposed(OPEN) == {"emdeb": "patched", "emdnf": "not_known", "emsafe": "patched", "emgone": "not_known"}
    assert [version(deb, name) for name in ("upkeep-demo-sec", "libupkeepdemo1")] == [SEC, SEC]
    assert deb.run(f"systemctl is-active {DAEMON}").stdout.strip() == "active", "as before it was mitigated"
    assert deb.run("ls /var/lib/upkeep/mitigations").stdout.strip() == ""
    assert did.exposures("emdeb", OPEN) == ["mitigated", "patched"]
    assert did.exposures("emdnf", CVE) == ["exposed", "patched"]
    rows = [did.row(host, CVE) for host in ("emdeb", "emdnf")]
    since = time.time() - rig.began
    assert all(0 < row["seconds_to_patch"] < since and row["plan"] for row in rows)
    assert rows[0]["patched_at"] < rows[1]["patched_at"], "one ring after the other"
    # A finding would stay open though it was mended in the same run.
    assert all(not did.findings(host, "patch.exposure.exposed") for host in HOSTS)
    with open_store(None, rig.folder / "home") as store:
        for path in rig.results:
            record_file(store, path, Policy(), now=time.time())
        with store.database.read() as connection:
            told = {one.host: one for one in exposures.about(connection, CVE)[0]}
    assert {host: one.state for host, one in told.items()} == {
        "emdeb": "patched", "emdnf": "patched", "emsafe": "not_installed", "emgone": "no_answer",
    }  # fmt: skip
    first = rig.first["emdeb"]
    assert told["emdeb"].exposed_since == first and told["emdeb"].patched_at == rows[0]["patched_at"]


def test_a_canary_that_fails_stops_the_rings_and_the_report_comes(rig: Rig) -> None:
    rig.fleet.repo.publish("v2", "upkeep-demo-dies")
    asked = {"package": "upkeep-demo-dies", "version": NEW, "emergency_patch_apply": True}
    did = rig.run("--limit", "!emgone", rc=2, **asked)
    assert did.states == {"emdeb": "failed", "emdnf": "ok", "emsafe": "ok"}, did.out
    assert set(did.exposed(f"upkeep-demo-dies={NEW}").values()) == {"exposed"}
    assert "put back" in did.row("emdeb")["why"] and "its ring was not begun" in did.row("emdnf")["why"]
    assert "emergency_patch_max_failures" in did.row("emsafe")["why"]
    assert [version(rig.fleet[host], "upkeep-demo-dies") for host in HOSTS[:3]] == [OLD] * 3
    assert [f["severity"] for f in did.findings("emdnf", "patch.exposure.exposed")] == ["high"]
