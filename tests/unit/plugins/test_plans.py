# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on their way to whoever approves them: what one may hold, and whose plans are believed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _results
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import (
    PLAN_LIMIT,
    Review,
    plan,
    plan_errors,
)

MODULE = "upkeep.maintenance.patch_plan"
GOOD: dict[str, Any] = {
    "subject": "os",
    "id": "p-03aca58b6763",
    "summary": "Packages: 1 upgraded.",
    "plan": {"id": "p-03aca58b6763", "packages": [{"name": "openssl", "from": "1", "to": "2"}]},
}


def records(result: dict[str, Any]) -> list[dict[str, Any]]:
    return list(_results.of_result("web1", "Plan", MODULE, {"findings": [], "coverage": [], **result}))


def plans(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["plan"] for record in told if record["type"] == "plan"]


def broken(told: list[dict[str, Any]]) -> list[str]:
    return [
        line
        for record in told
        if record["type"] == "finding" and record["finding"]["check"] == _results.CONTRACT_BROKEN
        for line in record["finding"]["evidence"]
    ]


def test_a_review_hands_on_its_plans_and_only_when_there_are_any() -> None:
    review = Review("patch")
    assert "plans" not in review.result()
    review.plan(GOOD["subject"], GOOD["id"], GOOD["summary"], GOOD["plan"])
    assert review.result()["plans"] == [GOOD]
    assert plans(records(review.result())) == [GOOD]
    assert not broken(records(review.result()))


def test_a_plan_is_cleaned_and_one_that_is_too_large_is_dropped() -> None:
    made = plan("os\x07", "p-00000000", "s" * 1000, {"why": "\x1b[31mred", "bytes": float("nan")})
    assert made["subject"] == "os\N{REPLACEMENT CHARACTER}" and len(made["summary"]) == 300
    assert made["plan"] == {"why": "red", "bytes": None}
    large = {"packages": [{"name": "x" * 100}] * (PLAN_LIMIT // 100)}
    assert plan("os", "p-00000000", "s", large)["plan"] == {
        "dropped": f"the plan is larger than {PLAN_LIMIT} characters"
    }
    with pytest.raises(ValueError, match="id is a word"):
        plan("os", "../../etc", "s", {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"subject": ""}, "subject is a text"),
        ({"id": "p-xyz"}, "id is a word"),
        ({"id": "p-03aca58b6763\n"}, "id is a word"),
        ({"id": None}, "id is a text"),
        ({"summary": 7}, "summary is a text"),
        ({"plan": []}, "plan is a dictionary"),
        ({"plan": None}, "plan is a dictionary"),
    ],
)
def test_a_broken_plan_is_told_and_no_plan_of_that_result_is_believed(change: dict[str, Any], said: str) -> None:
    assert plan_errors(GOOD) == []
    told = records({"plans": [{**GOOD, **change}, GOOD]})
    assert any(line.startswith("plan 1: ") and said in line for line in broken(told)), broken(told)
    assert plans(told) == []


@pytest.mark.parametrize("wrong", ["p", {"subject": "os"}, 7])
def test_plans_that_are_none_are_a_broken_contract(wrong: object) -> None:
    assert broken(records({"plans": wrong}))
    assert plans(records({"plans": wrong})) == []


def test_the_plan_of_a_task_that_failed_is_not_for_approval() -> None:
    result = {"findings": [], "plans": [GOOD], "msg": "it failed"}
    assert plans(list(_results.of_failure("web1", "Plan", MODULE, result))) == []


def test_a_plan_of_another_collection_is_none_of_ours() -> None:
    assert plans(list(_results.of_result("web1", "Plan", "community.general.x", {"plans": [GOOD]}))) == []
