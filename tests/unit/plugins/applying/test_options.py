# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that make no sense are refused, with what was expected and what was found."""

from __future__ import annotations

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.options import (
    APPLY_SPEC,
    PREPARE_SPEC,
    ROLLBACK_SPEC,
    errors_of,
)


@pytest.mark.parametrize("spec", [PREPARE_SPEC, APPLY_SPEC, ROLLBACK_SPEC])
def test_the_defaults_make_sense(spec: dict[str, dict[str, object]]) -> None:
    assert errors_of({name: one.get("default") for name, one in spec.items()}) == []


def test_each_number_that_makes_none_is_named() -> None:
    assert errors_of({"timeout": 0, "lock_timeout": -1, "room_reserve_mib": -5, "ends": float("nan")}) == [
        "timeout is at least 1 s, this is 0",
        "lock_timeout is at least 0 s, this is -1",
        "room_reserve_mib is at least 0 MiB, this is -5",
        "ends is at least 0 as an epoch, this is nan",
    ]
