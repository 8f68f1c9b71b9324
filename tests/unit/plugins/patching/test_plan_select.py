# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy: (what is pending, what is asked) -> what is wanted, in which order, and what is left out and why."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_options
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.model import Hold, Managed, Update
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_select import (
    Selection,
    select,
    urgency,
    why_barred,
)
from tests.unit.fake_host import NOW

TODAY = "2026-09-21"


def update(name: str, **more: Any) -> Update:
    return Update(**{"name": name, "installed": "1.0-1", "candidate": "2.0-1", "arch": "amd64", **more})


FIX = update("openssl", security=True, severity="Important", cves=["CVE-2026-1111"])
WORSE = update("bind9", security=True, severity="Critical")
UNRATED = update("curl", security=True)
NEWS = update("bash")


def selected(*updates: Update, holds: tuple[Hold, ...] = (), manager: str = "apt", **options: Any) -> Selection:
    known = Managed(
        manager, updates=list(updates), holds=list(holds), names={u.name.partition(":")[0] for u in updates}
    )
    named = options.get("cves", [])
    given = {**plan_options.defaults(), **options}
    return select(known, given, lambda one: [cve for cve in named if cve in one.cves], NOW)


def wanted(selection: Selection) -> list[str]:
    return [one.name for one in selection.wanted]


def left(selection: Selection) -> dict[str, tuple[str, str]]:
    return {entry["name"]: (entry["why"], entry["reason"]) for entry in selection.left_out}


def test_security_worst_first_and_the_rest_is_told() -> None:
    selection = selected(NEWS, UNRATED, FIX, WORSE)
    assert wanted(selection) == ["bind9", "openssl", "curl"]
    assert left(selection) == {"bash": ("not_selected", "it is no security update")}
    assert wanted(selected(NEWS, UNRATED, FIX, WORSE, select="all")) == ["bind9", "openssl", "curl", "bash"]


def test_named_cves_and_named_packages() -> None:
    assert wanted(selected(NEWS, FIX, WORSE, select="cves", cves=["CVE-2026-1111"])) == ["openssl"]
    foreign = update("libc6:i386")
    named = [{"name": "libc6", "version": ""}, {"name": "bash", "version": "1.5-1"}, {"name": "gone", "version": ""}]
    selection = selected(foreign, NEWS, FIX, select="packages", packages=named)
    assert [(one.name, one.version) for one in selection.wanted] == [("bash", "1.5-1"), ("libc6:i386", "2.0-1")]
    assert selection.missing == ["gone"]
    assert left(selection) == {"openssl": ("not_selected", "it was not asked for")}


@pytest.mark.parametrize(("version", "kept"), [("1.0-1", []), ("0.9-7", []), ("1.0-2", ["bash"])])
def test_a_version_is_never_a_way_back(version: str, kept: list[str]) -> None:
    selection = selected(NEWS, select="packages", packages=[{"name": "bash", "version": version}])
    assert wanted(selection) == kept
    assert kept or left(selection) == {"bash": ("not_selected", f"it is newer than {version}")}


def test_severities_leave_out_what_is_rated_otherwise_and_nothing_else() -> None:
    selection = selected(FIX, WORSE, UNRATED, severities=["critical"])
    assert wanted(selection) == ["bind9", "curl"]
    assert left(selection)["openssl"] == ("not_selected", "it is rated high")
    ratings = {"curl": {"severity": "low", "known_exploited": False}, "openssl": {"known_exploited": True}}
    selection = selected(FIX, UNRATED, severities=["critical"], vulnerabilities={"ratings": ratings})
    assert wanted(selection) == ["openssl"], "known to be exploited"
    assert left(selection)["curl"] == ("not_selected", "it is rated low")
    assert wanted(selected(FIX, NEWS, select="all", severities=["critical"])) == ["openssl", "bash"], "all is all"


@pytest.mark.parametrize(
    ("until", "excluded"),
    [("", True), ("2026-12-31", True), (TODAY, True), ("2026-09-20", False), ("2020-01-01", False)],
)
def test_an_exclusion_counts_to_the_end_of_its_last_day(until: str, excluded: bool) -> None:
    entry = {"name": "open*", "reason": "not released", "until": until}
    selection = selected(FIX, exclude=[entry])
    assert bool(selection.wanted) is not excluded
    assert bool(selection.expired) is not excluded
    if excluded:
        assert selection.left_out[0]["until"] == until
        assert left(selection)["openssl"] == ("excluded", "not released")
        assert why_barred("openssl-provider", selection.barred) == "excluded: not released"
    else:
        assert selection.expired == [entry]
        assert why_barred("openssl", selection.barred) == ""


def test_held_pinned_phased_and_kept_back() -> None:
    held = update("held", held=True, security=True)
    phased = update("phased", phased=True, security=True)
    breaking = update("breaking", kept_back="apt cannot upgrade it without breaking another package", security=True)
    needs_new = update("linux-image-amd64", kept_back="needs new packages", security=True)
    holds = (Hold("held", "1.0-1", "hold", "2.0-1", True), Hold("pinned", "1.0-1", "pin", "3.0-1", True))
    selection = selected(breaking, held, phased, needs_new, holds=holds)
    assert wanted(selection) == ["linux-image-amd64", "breaking"], "what may spoil the others comes last"
    assert left(selection) == {
        "held": ("held", "apt-mark hold"),
        "phased": ("phased", "its archive gives it to a part of the hosts first, and this one is not among them"),
        "pinned": ("pinned", "pin"),
    }
    assert why_barred("held", selection.barred) == "held"
    assert why_barred("pinned", selection.barred) == ""
    by_name = selected(phased, select="packages", packages=[{"name": "phased", "version": ""}])
    assert wanted(by_name) == ["phased"], "who names it wants it now"
    locked = selected(
        update("held", held=True), holds=(Hold("held", "1", "versionlock", "2"),), manager="dnf", select="all"
    )
    assert left(locked) == {"held": ("held", "dnf versionlock")}


def test_the_order_of_a_plan() -> None:
    rows: list[dict[str, Any]] = [
        {"name": "e", "security": False},
        {"name": "d", "security": True},
        {"name": "c", "security": True, "severity": "Low"},
        {"name": "b", "security": True, "severity": "critical"},
        {"name": "a2", "known_exploited": True, "severity": "low"},
        {"name": "a1", "known_exploited": True, "severity": "high"},
        {"name": "d2", "security": True, "asked": False},
    ]
    assert [row["name"] for row in sorted(rows, key=urgency)] == ["a1", "a2", "b", "c", "d", "d2", "e"]
