# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States on their way to whoever keeps them: what one may hold, and whose states are believed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _areas, _results
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import (
    STATE_LIMIT,
    Review,
    state,
    state_errors,
)

MODULE = "upkeep.maintenance.patch_info"
GOOD: dict[str, Any] = {"kind": "patches", "subject": "os", "data": {"verdict": "pending", "pending": [{"name": "a"}]}}


def records(result: dict[str, Any]) -> list[dict[str, Any]]:
    return list(_results.of_result("web1", "Look", MODULE, {"findings": [], "coverage": [], **result}))


def states(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in told if record["type"] == "state"]


def broken(told: list[dict[str, Any]]) -> list[str]:
    return [
        line
        for record in told
        if record["type"] == "finding" and record["finding"]["check"] == _results.CONTRACT_BROKEN
        for line in record["finding"]["evidence"]
    ]


def test_a_review_hands_on_its_states_and_only_when_there_are_any() -> None:
    review = Review("patch")
    assert "states" not in review.result()
    review.state(GOOD["kind"], GOOD["subject"], GOOD["data"])
    assert review.result()["states"] == [GOOD]
    told = records(review.result())
    assert states(told) == [{"type": "state", "host": "web1", **GOOD}]
    assert not broken(told)


def test_the_review_of_several_areas_hands_them_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def review_area(_host: Any, _options: Any) -> dict[str, Any]:
        review = Review("patch")
        review.state("patches", "os", {})
        return review.result()

    monkeypatch.setattr(_areas, "AREAS", {"patch": ({}, review_area), "backup": ({}, review_area)})
    joined = _areas.review_areas(object(), {"patch": {}, "backup": {}}, check_mode=False)  # type: ignore[arg-type]
    assert [one["kind"] for one in joined["states"]] == ["patches", "patches"]
    assert joined["patch"] == {}


def test_a_state_is_cleaned_and_one_that_is_too_large_is_dropped() -> None:
    made = state("patches", "os\x07", {"why": "\x1b[31mred", "bytes": float("inf"), "password": "hunter2"})
    assert made["subject"] == "os\N{REPLACEMENT CHARACTER}"
    assert made["data"] == {"why": "red", "bytes": None, "password": "********"}
    large = {"pending": [{"name": "x" * 100}] * (STATE_LIMIT // 100)}
    assert state("patches", "os", large)["data"] == {"dropped": f"the state is larger than {STATE_LIMIT} characters"}
    with pytest.raises(ValueError, match="kind is a word"):
        state("../etc", "os", {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": ""}, "kind is a text"),
        ({"kind": None}, "kind is a text"),
        ({"kind": "Patches"}, "kind is a word"),
        ({"kind": "patches\n"}, "kind is a word"),
        ({"kind": "p" * 51}, "kind is a word"),
        ({"subject": " "}, "subject is a text"),
        ({"subject": "\x1b[31m"}, "subject is a text"),
        ({"data": []}, "data is a dictionary"),
        ({"data": None}, "data is a dictionary"),
    ],
)
def test_a_broken_state_is_told_and_no_state_of_that_result_is_believed(change: dict[str, Any], said: str) -> None:
    assert state_errors(GOOD) == []
    told = records({"states": [{**GOOD, **change}, GOOD]})
    assert any(line.startswith("state 1: ") and said in line for line in broken(told)), broken(told)
    assert states(told) == []


@pytest.mark.parametrize("wrong", ["p", {"kind": "patches"}, 7])
def test_states_that_are_none_are_a_broken_contract(wrong: object) -> None:
    assert broken(records({"states": wrong}))


def test_the_state_that_a_failed_task_tells_is_not_believed() -> None:
    result = {"findings": [], "states": [GOOD], "msg": "it failed"}
    assert states(list(_results.of_failure("web1", "Look", MODULE, result))) == []
