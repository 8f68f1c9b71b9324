# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks hold what pyproject.toml asks for, and nothing that only one machine could fetch; the versions agree."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import upkeep
from tests.run.machine import ROOT

LOCKS = ("bootstrap", "runtime", "dev")


def lock_text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==([^ ;\\]+)", lock_text(name), re.M))


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def assert_satisfied(requirements: list[str], lock: str) -> None:
    locked = pins(lock)
    for requirement in map(Requirement, requirements):
        name = re.sub(r"[._]", "-", requirement.name.lower())
        assert name in locked, f"{requirement} is not in {lock}.txt: ./run-tests lock"
        assert requirement.specifier.contains(locked[name]), f"{requirement} against {locked[name]}: ./run-tests lock"


def test_locks_hold_what_the_project_asks_for(project: dict[str, Any]) -> None:
    assert_satisfied(project["project"]["dependencies"], "runtime")
    assert_satisfied(project["project"]["optional-dependencies"]["postgresql"], "dev")
    assert_satisfied(project["dependency-groups"]["dev"], "dev")
    assert_satisfied(project["build-system"]["requires"], "dev")


def test_the_developers_environment_holds_the_users_one() -> None:
    dev = pins("dev")
    for lock in ("runtime", "bootstrap"):
        assert pins(lock)
        for name, version in pins(lock).items():
            assert dev.get(name) == version


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash_and_no_index_is_named(name: str) -> None:
    text = lock_text(name)
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.M)[1:]
    assert len(entries) == len(pins(name))
    for entry in entries:
        assert "--hash=sha256:" in entry
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--index|--extra-index|--find-links|--trusted)", text, re.M)


def test_one_version_everywhere() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert galaxy["version"] == upkeep.__version__


def test_the_launcher_takes_the_pythons_that_the_project_takes(project: dict[str, Any]) -> None:
    low, high = re.findall(r"3\.(\d+)", project["project"]["requires-python"])
    assert f"(3, {low}) <= sys.version_info < (3, {high})" in (ROOT / "upkeep").read_text(encoding="utf-8")
