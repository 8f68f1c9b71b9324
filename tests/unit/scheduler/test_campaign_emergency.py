# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emergency: what it is made of, what is no CVE and no package, and that nothing of it is mixed with others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.scheduler.test_campaign_store import having, planned
from upkeep.campaign import emergency, model
from upkeep.campaign.model import Amount, Asked, Emergency, Ring, Spec
from upkeep.campaign.planning import changed_since
from upkeep.store import campaigns, open_store

SPEC = Spec("os", windows=("Sat 22:00-06:00",), extra_vars={"patch_plan_select": "all", "x": 1}, soak=9.0)
LOG4J = Asked(("CVE-2021-44228",))


def test_it_is_the_campaign_in_short_rings_and_for_this_only() -> None:
    made = emergency.of(SPEC, LOG4J)
    assert [(ring.name, str(ring.batch)) for ring in made.rings] == [
        ("canary", "1"),
        ("early", "100%"),
        ("rest", "25%"),
    ]
    assert (made.soak, made.windows, made.max_failures) == (300.0, SPEC.windows, SPEC.max_failures)
    assert made.extra_vars == {
        "x": 1,
        "patch_plan_select": "cves",
        "patch_plan_cves": ["CVE-2021-44228"],
        "patch_plan_packages": [],
        "patch_plan_severities": [],
    }
    assert Spec.from_json(json.loads(json.dumps(made.as_json()))) == made != SPEC
    own = replace(SPEC, emergency=Emergency((Ring("all", rest=True),), 0.0, Amount(5), True))
    made = emergency.of(own, Asked(packages=(("openssl", "3.0.17-1"), ("curl", ""))))
    assert (made.rings, made.soak, made.windows, made.max_failures) == ((Ring("all", rest=True),), 0.0, (), Amount(5))
    assert made.extra_vars["patch_plan_select"] == "packages"
    openssl = {"name": "openssl", "version": "3.0.17-1", "at_least": True}
    assert made.extra_vars["patch_plan_packages"] == [openssl, {"name": "curl", "at_least": True}]


def test_what_is_asked_for_is_read_from_words() -> None:
    assert emergency.asked_of([" cve-2026-1234", "CVE-2026-1234", "CVE-2025-99999"], []) == Asked(
        ("CVE-2025-99999", "CVE-2026-1234")
    )
    assert emergency.asked_of([], ["openssl=3.0.17-1~deb12u2", "libc6"]) == Asked(
        packages=(("libc6", ""), ("openssl", "3.0.17-1~deb12u2"))
    )
    assert str(Asked(packages=(("libc6", ""), ("openssl", "3")))) == "libc6, openssl 3"


@pytest.mark.parametrize(
    ("cves", "packages", "said"),
    [
        (["CVE-2026"], [], "CVE-YEAR-NUMBER"),
        (["{{ lookup('pipe', 'id') }}"], [], "CVE-YEAR-NUMBER"),
        ([""], [], "CVE-YEAR-NUMBER"),
        ([], ["openssl="], "the version is missing"),
        ([], ["=3"], "the name of a package"),
        ([], ["-y"], "the name of a package"),
        ([], ["openssl={{ x }}"], "a version"),
        ([], ["openssl=3", "openssl=4"], "openssl twice: 3 and 4"),
    ],
)
def test_what_is_none_is_refused(cves: list[str], packages: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        emergency.asked_of(cves, packages)


def test_each_has_a_name_of_its_own() -> None:
    def title(*cves: str, packages: tuple[tuple[str, str], ...] = ()) -> str:
        return replace(SPEC, asked=Asked(cves, packages)).title

    assert SPEC.title == "os"
    assert title("CVE-2026-1234") == "os:CVE-2026-1234"
    assert title(packages=(("openssl", "3"),)) == "os:openssl=3" and title(packages=(("curl", ""),)) == "os:curl"
    several = {title("CVE-2026-1234", "CVE-2026-5"), title("CVE-2026-1234", "CVE-2026-6"), title("CVE-2026-1234")}
    assert len(several) == 3 and all(one.startswith("os:CVE-2026-1234") for one in several)
    assert title("CVE-2026-1234", "CVE-2026-5").startswith("os:CVE-2026-1234+1-")
    assert len(title(packages=(("x" * 200, ""),))) <= 100, "what the store takes"


def test_campaigns_of_one_name_do_not_mix(tmp_path: Path) -> None:
    one, two = emergency.of(SPEC, LOG4J), emergency.of(SPEC, Asked(("CVE-2026-1234",)))
    with open_store(None, tmp_path / "home") as store:
        numbers = [planned(store, spec=spec) for spec in (SPEC, one, two, SPEC)]
        with store.database.read() as connection:
            kept = [campaigns.one(connection, number) for number in numbers]
            assert [one.campaign.state for one in kept] == [model.REPLACED, *[model.WAITS] * 3]
            assert [campaigns.newest(connection, spec.title) for spec in (SPEC, one, two)] == [4, 2, 3]
            # Held against the campaign as it would be an emergency now.
            of_plans = ["h0: its plan is not in the store any more"]
            assert changed_since(connection, kept[1], having(SPEC))[:1] == of_plans
            slower = replace(SPEC, emergency=Emergency(soak=5.0))
            assert changed_since(connection, kept[1], having(slower))[0] == "soak in upkeep.yml is another"
            assert changed_since(connection, kept[3], having(slower))[:1] == of_plans
            assert changed_since(connection, kept[1], having()) == ["os is not in upkeep.yml any more"]
