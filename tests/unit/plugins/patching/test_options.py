# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One list of options, told in five places: all of them say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import judge
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.options import ARGUMENT_SPEC
from ansible_collections.upkeep.maintenance.plugins.modules import patch_info

ROLE = Path(__file__).parents[4] / "roles" / "patch_state"


def role(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text(encoding="utf-8"))


def test_the_role_hands_every_option_to_the_module() -> None:
    expected = {name: f"{{{{ patch_state_{name} }}}}" for name in ARGUMENT_SPEC}
    assert role("vars/main.yml") == {"__patch_state_options": expected}


def test_the_defaults_are_those_of_the_module() -> None:
    assert role("defaults/main.yml") == {f"patch_state_{name}": spec["default"] for name, spec in ARGUMENT_SPEC.items()}


def test_the_argument_specification_of_the_role() -> None:
    told = role("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert {
        name: {key: value for key, value in spec.items() if key != "description"} for name, spec in told.items()
    } == {f"patch_state_{name}": spec for name, spec in ARGUMENT_SPEC.items()}


def test_the_documentation_of_the_module() -> None:
    told = yaml.safe_load(patch_info.DOCUMENTATION)["options"]
    assert {
        name: {key: value for key, value in spec.items() if key != "description"} for name, spec in told.items()
    } == (ARGUMENT_SPEC)


def test_the_readme_names_every_variable_and_every_check() -> None:
    text = (ROLE / "README.md").read_text(encoding="utf-8")
    for name in (*(f"patch_state_{name}" for name in ARGUMENT_SPEC), *judge.MANAGER_CHECKS, *judge.SYSTEM_CHECKS):
        assert f"| `{name}` |" in text
