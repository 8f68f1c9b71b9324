# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What plans hold, for people: each change once; and whatever hosts have told, it is shown."""

from __future__ import annotations

from typing import Any

from upkeep import plan_text
from upkeep.plan_text import Change


def package(name: str, old: str, new: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "arch": "amd64", "from": old, "to": new, **more}


def test_each_change_is_told_once_with_its_hosts() -> None:
    ssl = package("openssl", "1", "2", security=True)
    plans: dict[str, dict[str, Any]] = {
        "a": {"packages": [package("nginx", "1", "2"), ssl, {**ssl, "arch": "i386"}]},
        "b": {"packages": [ssl, package("openssl", "1", "3"), package("old", "1", ""), package("dep", "", "1")]},
        "c": {"packages": []},
    }
    assert plan_text.changes(plans) == [
        (Change("openssl", "1", "2", True), ["a", "b"]),
        (Change("dep", "", "1", False), ["b"]),
        (Change("nginx", "1", "2", False), ["a"]),
        (Change("old", "1", "", False), ["b"]),
        (Change("openssl", "1", "3", False), ["b"]),
    ]
    assert [plan_text.count(plan) for plan in plans.values()] == ["3 (2 security)", "4 (1 security)", "-"]


def test_services_are_told_once_but_those_that_are_left_alone() -> None:
    web = {"unit": "nginx.service", "restart": "package"}
    plans = {"a": {"services": [web, {"unit": "dbus.service", "restart": "never"}]}, "b": {"services": [web]}}
    assert plan_text.restarts(plans) == {"nginx.service": ["a", "b"]}


def test_what_is_no_plan_is_shown_as_nothing() -> None:
    strange: dict[str, dict[str, Any]] = {
        "a": {"packages": [1, None], "services": ["x"]},
        "b": {},
        "c": {"packages": None},
    }
    assert plan_text.changes(strange) == [] and plan_text.restarts(strange) == {}
    assert plan_text.count(strange["a"]) == "-"
    assert plan_text.changes({"a": {"packages": [{"name": None}]}}) == [(Change("", "", "", False), ["a"])]
