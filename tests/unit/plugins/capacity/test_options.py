# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An option stands in the spec, in the documentation of the module, and in five files of the role. They agree."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.upkeep.maintenance.plugins.module_utils._capacity.options import ARGUMENT_SPEC, defaults

ROOT = Path(__file__).parents[4]
ROLE = ROOT / "roles" / "capacity"
REFERENCE = "{{ now().timestamp() }}"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def documentation() -> dict[str, Any]:
    tree = ast.parse((ROOT / "plugins" / "modules" / "capacity_info.py").read_text())
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "DOCUMENTATION"
        ):
            options = yaml.safe_load(ast.literal_eval(node.value))["options"]
            assert isinstance(options, dict)
            return options
    raise AssertionError("capacity_info has no DOCUMENTATION")


def test_the_module_documents_the_spec() -> None:
    told = documentation()
    assert list(told) == list(ARGUMENT_SPEC)
    for name, spec in ARGUMENT_SPEC.items():
        for key in ("type", "elements", "choices", "default"):
            assert told[name].get(key) == spec.get(key), (name, key)
        assert list(told[name].get("suboptions", {})) == list(spec.get("options", {})), name


def test_the_role_has_every_option_with_the_modules_default() -> None:
    variables = load(ROLE / "defaults" / "main.yml")
    expected = {f"capacity_{name}": value for name, value in defaults().items()}
    expected["capacity_reference_time"] = REFERENCE
    assert variables == expected


def test_the_roles_argument_spec_tells_the_same() -> None:
    spec = load(ROLE / "meta" / "argument_specs.yml")["argument_specs"]
    assert set(spec) == {"main", "options"}
    assert spec["options"]["options"] == {}
    told = spec["main"]["options"]
    assert list(told) == [f"capacity_{name}" for name in ARGUMENT_SPEC]
    for name, option in ARGUMENT_SPEC.items():
        if name != "reference_time":
            for key in ("type", "elements", "choices", "default"):
                assert told[f"capacity_{name}"].get(key) == option.get(key), (name, key)
        assert told[f"capacity_{name}"]["description"]


@pytest.mark.parametrize("name", ARGUMENT_SPEC)
def test_the_role_hands_every_option_on(name: str) -> None:
    handed = load(ROLE / "vars" / "main.yml")["__capacity_options"]
    assert f"capacity_{name}" in handed[name]
    (task,) = load(ROLE / "tasks" / "main.yml")
    assert task["module_defaults"] == {"upkeep.maintenance.capacity_info": "{{ __capacity_options }}"}
    assert f"`capacity_{name}`" in (ROLE / "README.md").read_text()


def test_the_entry_point_options_has_no_task() -> None:
    assert load(ROLE / "tasks" / "options.yml") == []
