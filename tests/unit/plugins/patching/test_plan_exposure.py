# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exposure to packages, what mitigations make of it, and which of them are left or lost."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_annotate, plan_exposure
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.model import Update
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.versions import compare_deb

CVE = "CVE-2026-0001"


def update(candidate: str) -> Update:
    return Update("openssl", "3.0.16-1", candidate)


@pytest.mark.parametrize(
    ("version", "installed", "updates", "doubts", "state", "candidate"),
    [
        ("3.0.17-1", ["3.0.16-1"], [update("3.0.17-2")], [], "exposed", "3.0.17-2"),
        ("3.0.17-1", ["3.0.16-1"], [update("3.0.16-2")], [], "exposed", ""),  # what can be had does not mend it
        ("3.0.17-1", ["3.0.16-1"], [], ["the lists are old"], "exposed", ""),
        ("3.0.17-1", ["3.0.17-1"], [], ["the lists are old"], "patched", None),  # what is installed is known
        ("3.0.17-1", ["3.0.17-1", "3.0.16-1"], [], [], "exposed", ""),  # of another architecture
        ("3.0.17-1", [], [update("3.0.17-1")], [], "not_installed", None),
        ("", ["3.0.16-1"], [update("3.0.17-1"), update("3.0.17-2")], [], "exposed", "3.0.17-2"),
        ("", ["3.0.16-1"], [], [], "patched", None),
        ("", ["3.0.16-1"], [], ["the lists are old"], "not_known", None),  # never "not exposed"
    ],
)
def test_packages(
    version: str, installed: list[str], updates: list[Update], doubts: list[str], state: str, candidate: str | None
) -> None:
    asked = {"name": "openssl", "version": version}
    told = plan_exposure.of_package(asked, installed, updates, doubts, compare_deb)
    assert told["state"] == state
    assert [p["candidate"] for p in told["packages"]] == ([] if candidate is None else [candidate])
    assert plan_exposure.key_of(asked) == ("openssl=3.0.17-1" if version else "openssl")


def mitigation(**given: Any) -> dict[str, Any]:
    return {"name": "m", "cves": [CVE], "in_force": True, "why": "", "packages": {"openssl": "3.0.16-1"}, **given}


def exposed(**given: Any) -> dict[str, Any]:
    rows = [{"name": "openssl", "installed": "3.0.16-1", "fixed": "", "candidate": ""}]
    return {"state": "exposed", "why": "it is old", "packages": rows, **given}


@pytest.mark.parametrize(
    ("one", "state", "severity"),
    [
        (mitigation(), "mitigated", "low"),
        (mitigation(in_force=False), "exposed", "high"),
        (mitigation(in_force=None), "exposed", "high"),
        (mitigation(cves=["CVE-2026-0002"]), "exposed", "high"),
    ],
)
def test_mitigated_is_only_what_was_seen_to_be(one: dict[str, Any], state: str, severity: str) -> None:
    told = plan_exposure.with_mitigations(CVE, exposed(), [one])
    assert told["state"] == state
    assert plan_exposure.with_mitigations(CVE, exposed(state="not_known"), [one])["state"] == "not_known"
    reviewed = Review("patch")
    plan_exposure.tell(reviewed, CVE, told, {})
    assert [(f["check"], f["subject"], f["severity"]) for f in reviewed.findings] == [
        ("patch.exposure.exposed", CVE, severity)
    ]


LOST, LEFT = "patch.mitigation.lost", "patch.mitigation.left"


@pytest.mark.parametrize(
    ("one", "exposure", "installed", "found", "covered"),
    [
        (mitigation(), {CVE: exposed(state="mitigated")}, "3.0.16-1", [], {LOST, LEFT}),
        (mitigation(), {CVE: exposed(state="patched")}, "3.0.17-1", [(LEFT, "medium")], {LOST}),
        # A mitigation that is over need not be in force.
        (mitigation(in_force=False), {CVE: exposed(state="patched")}, "3.0.17-1", [(LEFT, "medium")], {LOST}),
        (mitigation(in_force=False), {CVE: exposed()}, "3.0.16-1", [(LOST, "high")], {LEFT}),
        (mitigation(in_force=False), {}, "3.0.16-1", [(LOST, "high")], {LEFT}),
        # Nobody asked for its CVE: an update of its package tells that it may be over.
        (mitigation(), {}, "3.0.17-1", [(LEFT, "low")], {LOST}),
        (mitigation(), {}, "3.0.16-1", [], {LOST, LEFT}),
        (mitigation(packages={}), {}, "3.0.17-1", [], {LOST}),
        (mitigation(in_force=None), {}, "3.0.16-1", [], {LEFT}),
        (mitigation(cves=[CVE, "CVE-2026-0002"]), {CVE: exposed(state="patched")}, "3.0.16-1", [], {LOST, LEFT}),
    ],
)
def test_mitigations_that_are_left_or_lost(
    one: dict[str, Any], exposure: dict[str, Any], installed: str, found: list[tuple[str, str]], covered: set[str]
) -> None:
    reviewed = Review("patch")
    plan_exposure.tell_mitigations(reviewed, [one], exposure, {"openssl": [installed]})
    assert [(f["check"], f["severity"]) for f in reviewed.findings] == found
    told = {check for check, _severity in found}
    everywhere = {entry["check"] for entry in reviewed.coverage if entry["subject"] == "*"}
    named = {entry["check"] for entry in reviewed.coverage if entry["subject"] == "m"}
    assert (named | everywhere) - told == covered, "what could not be said of it is not covered, as * or by its name"


def test_without_mitigations_earlier_findings_are_over() -> None:
    reviewed = Review("patch")
    plan_exposure.tell_mitigations(reviewed, [], {}, {})
    assert {(entry["check"], entry["subject"]) for entry in reviewed.coverage} == {(LOST, "*"), (LEFT, "*")}


def test_the_controller_dates_what_a_host_tells() -> None:
    result = {"exposure": {}, "states": [{"kind": "exposure", "subject": "os", "data": {"at": 1.0}}, "hostile", {}]}
    told = plan_annotate.dated(result, 5.0)
    assert told["asked_at"] == 5.0 and told["states"][0]["data"]["at"] == 5.0
    assert plan_annotate.dated({"states": None}, 5.0) == {"states": None}


def test_published_is_that_of_the_vulnerability_or_of_what_mends_it() -> None:
    plan = {"packages": [{"name": "openssl", "published": 7.0}, {"name": "other", "published": 3.0}]}
    assert plan_exposure.published(exposed(), {"published": 5.0}, plan) == 5.0
    assert plan_exposure.published(exposed(), {}, plan) == 7.0
    assert plan_exposure.published(exposed(packages=[]), {}, plan) is None
