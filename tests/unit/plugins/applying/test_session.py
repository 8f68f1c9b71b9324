# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stops the three modules before they touch anything; each says why, and nothing is written or run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import options as specs
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.apply import apply
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.journal import Journal, Store
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.prepare import prepare
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.rollback import rollback
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model
from tests.unit.fake_host import NOW, FakeHost

STATUS = "Package: demo\nStatus: install ok installed\nArchitecture: all\nVersion: %s\n"


def plan(**changes: Any) -> dict[str, Any]:
    row = {"name": "demo", "arch": "all", "from": "1.0-1", "to": "2.0-1", "action": "upgrade", "asked": True}
    return {**plan_model.make("apt", "all", [row]), **changes}


def host(version: str = "1.0-1", **more: Any) -> FakeHost:
    return FakeHost({"/var/lib/dpkg/status": STATUS % version}, programs=["apt-get"], **more)


def defaults(spec: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {**{name: one.get("default") for name, one in spec.items()}, "lock_timeout": 1, **given}


def checks(result: dict[str, Any]) -> list[tuple[str, str]]:
    assert result["ok"] is (not result["findings"]) and bool(result["msg"]) is bool(result["findings"])
    return [(found["check"], found["subject"]) for found in result["findings"]]


@pytest.mark.parametrize("work, spec", [(prepare, specs.PREPARE_SPEC), (apply, specs.APPLY_SPEC)])
@pytest.mark.parametrize(
    "given, machine, subject, said",
    [
        ({"plan": plan(id="p-0123456789ab")}, host(), "plan", "changed after it was made"),
        ({"plan": {}}, host(), "plan", "manager is one of"),
        ({"plan": plan()}, host(root=False), "apt", "Only root"),
        ({"plan": plan()}, FakeHost(), "apt", "which is not on this host"),
        ({"plan": plan_model.make("dnf", "all", [])}, host(), "dnf", "which is not on this host"),
    ],
)
def test_it_does_not_begin(
    work: Any, spec: dict[str, Any], given: dict[str, Any], machine: FakeHost, subject: str, said: str, tmp_path: Path
) -> None:
    result = work(machine, defaults(spec, **given), str(tmp_path / "base"))
    area = "prepare" if work is prepare else "apply"
    assert checks(result) == [(f"patch.{area}.failed", subject)]
    assert said in result["msg"] and result["changed"] is False
    assert result["coverage"] == [] and machine.ran == [] and not (tmp_path / "base").exists()


def test_nothing_to_put_back(tmp_path: Path) -> None:
    result = rollback(host(), defaults(specs.ROLLBACK_SPEC), str(tmp_path / "base"))
    assert checks(result) == [("patch.rollback.impossible", "packages")]
    result = rollback(host(), defaults(specs.ROLLBACK_SPEC, plan_id="../x"), str(tmp_path / "base"))
    assert "is not the id of a plan" in result["msg"]


def test_another_sessions_plan_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "base"))
    machine = host(locks={store.base + "/transaction.lock": 77})
    machine.files[store.base + "/transaction.lock"] = "p-999999999999\n"
    result = apply(machine, defaults(specs.APPLY_SPEC, plan=plan()), store.base)
    assert checks(result) == [("patch.apply.failed", "apt")] and "p-999999999999" in result["msg"]


def test_a_locked_package_manager_is_waited_for_and_named(tmp_path: Path) -> None:
    machine = host(locks={"/var/lib/dpkg/lock-frontend": 42})
    machine.files["/proc/42/cmdline"] = "unattended-upgr\0--now\0"
    result = prepare(machine, defaults(specs.PREPARE_SPEC, plan=plan(), lock_timeout=30), str(tmp_path / "base"))
    assert checks(result) == [("patch.prepare.locked", "apt")]
    assert "process 42 (unattended-upgr --now), still after 30 s" in result["msg"] and machine.time >= NOW + 30


def test_a_damaged_journal_stops_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "base"))
    store.open(plan()["id"])
    Path(store.path(plan()["id"], "journal.json")).write_text("{")
    for work, spec in ((prepare, specs.PREPARE_SPEC), (apply, specs.APPLY_SPEC)):
        result = work(host(), defaults(spec, plan=plan()), store.base)
        assert "is damaged" in result["msg"] and result["findings"][0]["remedy"]


@pytest.mark.parametrize(
    "phase, said", [("rolled_back", "was rolled back"), ("rolling_back", "was begun and has not ended")]
)
def test_what_was_put_back_is_not_applied_by_accident(phase: str, said: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "base"))
    journal = Journal(plan())
    store.open(journal.plan_id)
    journal.enter(phase, NOW)
    store.save(journal)
    for check_mode in (True, False):
        result = apply(host(), defaults(specs.APPLY_SPEC, plan=plan(), check_mode=check_mode), store.base)
        assert checks(result) == [("patch.apply.failed", "apt")] and said in result["msg"]
    foretold = defaults(specs.APPLY_SPEC, plan=plan(), check_mode=True, assume_prepared=True)
    result = apply(host(), foretold, store.base)
    assert result["ok"] is (phase == "rolled_back"), "what patch_prepare would have prepared anew in the same run"


def test_done_already_needs_no_journal(tmp_path: Path) -> None:
    result = apply(host("2.0-1"), defaults(specs.APPLY_SPEC, plan=plan()), str(tmp_path / "base"))
    assert result["ok"] and not result["changed"] and result["packages"][0]["done"]


def test_a_database_that_is_cut_is_not_believed(tmp_path: Path) -> None:
    machine = host()
    machine.files["/var/lib/dpkg/status"] = "Package: demo\nStatus: install ok inst"
    result = prepare(machine, defaults(specs.PREPARE_SPEC, plan=plan()), str(tmp_path / "base"))
    assert checks(result) == [("patch.prepare.database_broken", "apt")]
    result = apply(machine, defaults(specs.APPLY_SPEC, plan=plan(), check_mode=True), str(tmp_path / "base"))
    assert checks(result) == [("patch.apply.failed", "apt")] and "middle of a line" in result["msg"]


def test_a_fault_of_our_own_is_told_and_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = host()
    monkeypatch.setattr(machine, "lock_holder", lambda path: 1 // 0)
    result = prepare(machine, defaults(specs.PREPARE_SPEC, plan=plan()), str(tmp_path / "base"))
    assert checks(result) == [("patch.prepare.failed", "apt")] and "ZeroDivisionError" in result["msg"]


def test_a_diff_has_a_line_a_package(tmp_path: Path) -> None:
    rows = [
        {"name": name, "arch": "all", "from": "1.0-1", "to": "2.0-1", "action": "upgrade", "asked": True}
        for name in ("demo", "other")
    ]
    machine = host()
    machine.files["/var/lib/dpkg/status"] += "\n" + STATUS.replace("demo", "other") % "1.0-1"
    two = plan_model.make("apt", "all", rows)
    told = apply(machine, defaults(specs.APPLY_SPEC, plan=two, check_mode=True), str(tmp_path / "base"))
    assert told["diff"]["before"] == "demo:all 1.0-1\nother:all 1.0-1\n", told
    assert told["diff"]["after"] == "demo:all 2.0-1\nother:all 2.0-1\n"
    assert told["diff"]["before_header"] == "packages"
