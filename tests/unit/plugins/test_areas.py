# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several areas in one round trip: one that fails does not end the others; options are checked as in its own module."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.upkeep.maintenance.plugins.module_utils import _areas
from ansible_collections.upkeep.maintenance.plugins.modules import host_review
from tests.unit.fake_host import FakeHost


def good(host: Any, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "seen": options,
        "findings": [],
        "coverage": [{"check": "capacity.clock.wrong", "subject": "*"}],
        "not_applicable": [],
    }


def bad(host: Any, options: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("a bug")


@pytest.fixture
def areas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_areas, "AREAS", {"patch": ({}, bad), "capacity": ({}, good)})


def test_an_area_that_fails_is_a_finding_and_the_other_stands(areas: None) -> None:
    joined = _areas.review_areas(FakeHost(), {"patch": {}, "capacity": {"history": False}}, check_mode=True)
    (found,) = joined["findings"]
    assert (found["check"], found["subject"]) == ("patch.check.not_run", "patch.review.failed")
    assert "RuntimeError: a bug" in found["evidence"][0]
    assert joined["capacity"]["seen"] == {"history": False, "check_mode": True}
    covered = {entry["check"] for entry in joined["coverage"]}
    assert "capacity.clock.wrong" in covered
    assert not any(check.startswith("patch.") for check in covered)


def test_an_area_that_was_not_asked_for_is_neither_run_nor_covered(areas: None) -> None:
    joined = _areas.review_areas(FakeHost(), {"patch": None, "capacity": {}}, check_mode=False)
    assert joined["findings"] == []
    assert not any(entry["check"].startswith("patch.") for entry in joined["coverage"])


def run_module(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    with patch_module_args(options), pytest.raises(SystemExit):
        host_review.main()
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"capacity": {"histroy": False}}, "capacity: histroy. Supported parameters"),
        ({"patch": {"manager": "yum"}}, "patch: value of manager must be one of"),
        ({"patch": {"metadata_max_age_days": "soon"}}, "patch: "),
        ({}, "one of the following is required: patch, capacity, backup"),
        ({"backup": {"rpo_hours": "soon"}}, "backup: "),
    ],
)
def test_wrong_options_are_told(capsys: pytest.CaptureFixture[str], options: dict[str, Any], complaint: str) -> None:
    answer = run_module(capsys, **options)
    assert answer["failed"]
    assert complaint in answer["msg"]


def test_passwords_of_backups_are_hidden_and_nothing_else_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def look(host: Any, options: dict[str, Any]) -> dict[str, Any]:
        seen.append(options)
        return {"path": "/srv/restic", "findings": [], "coverage": [], "not_applicable": [], "leak": "swordfish-7"}

    monkeypatch.setitem(_areas.AREAS, "backup", (_areas.AREAS["backup"][0], look))
    repository = {"name": "main", "repository": "/srv/restic", "password": "swordfish-7", "environment": {"A": "1"}}
    answer = run_module(capsys, backup={"repositories": [repository], "rpo_hours": 24})
    assert seen[0]["repositories"][0]["password"] == "swordfish-7"
    assert seen[0]["rpo_hours"] == 24.0 and seen[0]["discover"] is True
    assert answer["backup"]["path"] == "/srv/restic"
    assert "swordfish-7" not in json.dumps(answer)
