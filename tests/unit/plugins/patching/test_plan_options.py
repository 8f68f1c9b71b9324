# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of patch_plan, told in five places, and what is wrong with those that are handed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_options
from ansible_collections.upkeep.maintenance.plugins.modules import patch_plan

ROLE = Path(__file__).parents[4] / "roles" / "patch_plan"
OF_THE_CONTROLLER = {"plan", "vulnerabilities", "vulnerability_data"}
OWN = {"approved", "approved_from", "save_to", "show", "vulnerability_data"}
"""Variables that are no options of the module by that name."""


def role(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text(encoding="utf-8"))


def without_descriptions(spec: dict[str, Any]) -> dict[str, Any]:
    told = {
        "options" if key == "suboptions" else key: value
        for key, value in spec.items()
        if key != "description"
    }  # fmt: skip
    if "options" in told:
        told["options"] = {name: without_descriptions(inner) for name, inner in told["options"].items()}
    return told


def test_the_role_hands_every_option_to_the_module() -> None:
    handed = next(task[name] for task in role("tasks/main.yml") for name in task if name.endswith(".patch_plan"))
    names = set(plan_options.ARGUMENT_SPEC) - OF_THE_CONTROLLER
    assert set(handed) == names | {"plan", "vulnerability_data"}
    assert all(handed[name] == f"{{{{ patch_plan_{name} }}}}" for name in names)


def test_the_defaults_are_those_of_the_module_but_for_the_refresh() -> None:
    told = {name[len("patch_plan_") :]: value for name, value in role("defaults/main.yml").items()}
    expected = {n: s["default"] for n, s in plan_options.ARGUMENT_SPEC.items() if n not in OF_THE_CONTROLLER}
    assert {name: value for name, value in told.items() if name not in OWN} == {**expected, "refresh": True}


def test_the_argument_specification_of_the_role() -> None:
    told = role("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    seen = {name[len("patch_plan_") :]: without_descriptions(spec) for name, spec in told.items()}
    expected = {n: s for n, s in plan_options.ARGUMENT_SPEC.items() if n not in OF_THE_CONTROLLER}
    expected["refresh"] = dict(expected["refresh"], default=True)
    assert {name: spec for name, spec in seen.items() if name not in OWN} == expected
    defaults = role("defaults/main.yml")
    assert {f"patch_plan_{name}": spec["default"] for name, spec in seen.items()} == defaults


def test_the_documentation_of_the_module() -> None:
    told = yaml.safe_load(patch_plan.DOCUMENTATION)["options"]
    assert {name: without_descriptions(spec) for name, spec in told.items()} == plan_options.ARGUMENT_SPEC


def test_the_readme_names_every_variable_and_every_check() -> None:
    text = (ROLE / "README.md").read_text(encoding="utf-8")
    checks = [f"patch.plan.{fault}" for fault in ("not_known", "would_remove", "changed", "exclusion_expired")]
    for name in (*role("defaults/main.yml"), *checks, "patch.exposure.exposed", "patch.exposure.not_known"):
        assert f"| `{name}` |" in text


def options(**given: Any) -> dict[str, Any]:
    return {**plan_options.defaults(), **given}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"select": "cves", "cves": ["cve-2026-12345"]},
        {"select": "packages", "packages": [{"name": "libc6:i386", "version": "2.36-9+deb12u13"}]},
        {"exclude": [{"name": "postgresql-[0-9]*", "reason": "because", "until": "2026-12-31"}]},
        {"exclude": [{"name": "*", "reason": "a frozen host", "until": ""}]},
    ],
)
def test_options_that_can_be_followed(given: dict[str, Any]) -> None:
    assert plan_options.errors_of(options(**given)) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"select": "cves"}, "cves must name at least one"),
        ({"select": "packages"}, "packages must name at least one"),
        ({"cves": ["CVE-26-1"]}, "CVE-YEAR-NUMBER"),
        ({"cves": ["CVE-2026-1234; id"]}, "CVE-YEAR-NUMBER"),
        ({"packages": [{"name": "-oX", "version": ""}]}, "the name of a package"),
        ({"packages": [{"name": "a b", "version": ""}]}, "the name of a package"),
        ({"exclude": [{"name": "--x", "reason": "r"}]}, "shell pattern"),
        ({"exclude": [{"name": "a", "reason": " "}]}, "says why a is left out"),
        ({"exclude": [{"name": "a", "reason": "r", "until": "31.12.2026"}]}, "last day"),
        ({"exclude": [{"name": "a", "reason": "r", "until": "2026-02-30"}]}, "last day"),
    ],
)
def test_options_that_cannot_be_followed_are_told(given: dict[str, Any], told: str) -> None:
    assert told in "\n".join(plan_options.errors_of(options(**given)))


def test_the_last_day_counts_to_its_end_in_utc() -> None:
    assert plan_options.last_day("1970-01-01") == 86400
    assert plan_options.last_day("soon") is None
