# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold before patching begins: it fits into the window, and the backup was restored lately."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import gates
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import options as specs
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.journal import Store
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.prepare import prepare
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model
from tests.unit.fake_host import NOW

from .test_session import checks, defaults, host, plan

DAY = 86400.0
TIMES = {"download": 40, "apply": 100, "reboot": 180, "total": 320, "measured": True}
"""(40 + 2 * 280) * 1.25 = 750 s; fetched: 700 s."""


@pytest.mark.parametrize(
    "fetched, left, said",
    [
        (False, 750, ""),
        (False, 749, "closes in 13 min, and the patch with its way back may take 13 min"),
        (True, 749, ""),
        (True, 60, "closes in 60 s, and the patch with its way back may take 12 min"),
        (True, -300, "closed 5 min ago"),
        (True, -1, "closed 1 s ago"),
    ],
)
def test_what_does_not_fit_into_the_window(fetched: bool, left: float, said: str) -> None:
    told = gates.window_is_short({"seconds": TIMES}, fetched, NOW + left, NOW)
    assert said in told and bool(said) is bool(told)


def test_no_window_and_no_times() -> None:
    assert gates.window_is_short({"seconds": TIMES}, False, 0, NOW) == ""
    assert gates.window_is_short({"seconds": None}, False, NOW + 1, NOW) == ""
    assert "closed" in gates.window_is_short({}, False, NOW - 1, NOW)


def result(**changes: Any) -> dict[str, Any]:
    return {
        "subject": "/srv", "kind": "backup.restore.content_mismatch", "verdict": "passed", "at": NOW - DAY,
        "passed": NOW - DAY, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes, said",
    [
        ({}, ""),
        ({"passed": NOW - 7 * DAY}, ""),
        ({"passed": NOW - 7.1 * DAY}, "last restored 7.1 days ago"),
        ({"verdict": "cannot"}, ""),
        ({"verdict": "cannot", "passed": None}, "no restore test of it has passed"),
        ({"verdict": "failed"}, "its newest restore test failed"),
        ({"passed": NOW + 300}, ""),
        ({"passed": NOW + 700}, "still to come"),
        ({"passed": math.nan}, "no restore test"),
        ({"passed": "yesterday"}, "no restore test"),
        ({"passed": True}, "no restore test"),
        ({"verdict": "PASSED"}, "its result is not known"),
    ],
)
def test_which_backups_are_not_proven(changes: dict[str, Any], said: str) -> None:
    lines = gates.unproven([result(), result(**changes)], 7, NOW)
    assert len(lines) == (1 if said else 0) and said in "".join(lines)


def test_results_by_hand_need_no_time_of_the_last_that_passed() -> None:
    short = {"subject": "db", "verdict": "passed", "at": NOW - 2 * DAY}
    assert gates.unproven([short], 2, NOW) == []
    assert gates.unproven([{**short, "verdict": "cannot"}], 2, NOW) == [
        "db (restore test): no restore test of it has passed"
    ]
    assert len(gates.unproven([{}] * 100, 1, NOW)) == gates.MOST + 1


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    "given, check, said",
    [
        ({"ends": NOW + 600}, "patch.prepare.window_short", "closes in 10 min"),
        ({"backup": {"max_age_days": 3, "results": []}}, "patch.prepare.backup_stale", "no restore test of this host"),
        ({"backup": {"max_age_days": -7, "results": []}}, "patch.prepare.failed", "a number of days"),
        (
            {"ends": NOW + 751, "backup": {"max_age_days": 3, "results": [result(passed=NOW - 4 * DAY)]}},
            "patch.prepare.backup_stale", "not restored within 3 days: /srv",
        ),
    ],
)  # fmt: skip
def test_prepare_refuses_and_changes_nothing(
    given: dict[str, Any], check: str, said: str, check_mode: bool, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    options = defaults(specs.PREPARE_SPEC, plan=plan(seconds=TIMES), check_mode=check_mode, **given)
    told = prepare(host(), options, str(base))
    assert [name for name, _ in checks(told)] == [check] and said in told["msg"] and not told["changed"]
    assert not any(base.glob("p-*"))


def test_the_health_before_a_reboot_is_kept_for_a_plan_without_packages(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "base"))
    empty = plan_model.make("apt", "all", [])
    for seen in ({"units": {"a": 1}}, {"units": {"b": 1}}):
        told = prepare(host(), defaults(specs.PREPARE_SPEC, plan=empty, health=seen), store.base)
        assert checks(told) == [] and told["changed"] is False and told["phase"] == "prepared"
        kept = store.load(empty["id"])
        assert kept is not None and kept.health == seen
    assert store.newest() is None, "it is not what a way back is looked for in"
    told = prepare(host(), defaults(specs.PREPARE_SPEC, plan=empty, health={}, check_mode=True), store.base)
    assert checks(told) == []
    late = defaults(specs.PREPARE_SPEC, plan=empty, ends=NOW - 60, health={"units": {}})
    assert checks(prepare(host(), late, store.base)) == [("patch.prepare.window_short", "window")]
