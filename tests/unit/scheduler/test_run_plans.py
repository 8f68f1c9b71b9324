# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run planned is shown with it: hosts with the same plan in one line, those with nothing to do counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.scheduler import results_file
from upkeep import plan_text, record, render
from upkeep.reconcile import Policy
from upkeep.store import open_store


def package(name: str, *, security: bool = False) -> dict[str, Any]:
    return {"name": name, "from": "1", "to": "2", "security": security, "asked": True}


def planned(plan_id: str, *packages: dict[str, Any], reboot: bool = False) -> dict[str, Any]:
    plan = {"id": plan_id, "packages": list(packages), "reboot": {"needed": reboot, "why": []}}
    return {"subject": "os", "id": plan_id, "summary": "it", "plan": plan}


def test_plans_are_kept_with_their_run_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = [
        ("web1", planned("p-1aaaaaaaaaaa", package("nginx"), package("openssl", security=True), reboot=True)),
        ("web2", planned("p-1aaaaaaaaaaa", package("nginx"), package("openssl", security=True), reboot=True)),
        ("db1", planned("p-2bbbbbbbbbbb")),
        ("db2", planned("p-3cccccccccc", package("postgresql"))),
    ]
    hosts = {host: "ok" for host, _ in made}
    path = results_file.write(tmp_path / "f", "r1", hosts=hosts, started=1000.0, plans=made)
    with open_store(None, tmp_path / "home") as store:
        told = record.record_file(store, path, Policy(), now=2000.0, findings_limit=3)
        detail = store.run(told.run.number)
    assert [one.host for one in told.plans] == ["db1", "db2", "web1"]
    assert told.plans_total == 4
    assert [one.host for one in detail.plans] == ["db1", "db2", "web1", "web2"]
    render.show_plans(render.console(), detail.plans, detail.plans_total)
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown[0] == "Plans: for 3 hosts; nothing for 1 host"
    assert shown[3:5] == [
        "db2 p-3cccccccccc - 1 package: postgresql 1 → 2",
        "web1, web2 p-1aaaaaaaaaaa yes 2 packages (1 security): openssl 1 → 2, nginx 1 → 2",
    ]
    render.show_plans(render.console(), told.plans, told.plans_total)
    assert "… and 1 more host" in capsys.readouterr().out


def test_a_long_plan_names_its_first_packages_security_first() -> None:
    many = [package(f"p{number}") for number in range(6)] + [package("safe", security=True)]
    assert plan_text.line({"packages": many}) == (
        "7 packages (1 security): safe 1 → 2, p0 1 → 2, p1 1 → 2, p2 1 → 2, and 3 more"
    )
    assert plan_text.line({}) == "no package"
