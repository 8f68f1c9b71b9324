# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.alertmanager import matchers_text
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silences import (
    Silence,
    epoch,
    rfc3339,
    steps_to_absent,
    steps_to_present,
)

NOW = 1_790_000_000.0
HOUR = 3600
WEB1 = frozenset({("instance", "web1", False, True)})
WEB2 = frozenset({("instance", "web2", False, True)})


def one(name: str, left: float, *, active: bool = True, matchers: Any = WEB1) -> Silence:
    return Silence(name, active, matchers, NOW - HOUR, NOW + left, rfc3339(NOW - HOUR), "")


def options(**more: Any) -> dict[str, Any]:
    return {"minutes": 120, "ends": None, "extend": True, **more}


def did(found: list[Silence], in_place: bool = False, **more: Any) -> tuple[str, bool, bool, list[str], float]:
    """What stays, whether one is made or changed, what is ended, and the hours that are left in the end."""
    steps = steps_to_present(found, WEB1, options(**more), NOW, in_place)
    kept = steps.kept.id if steps.kept else ""
    return kept, steps.make, steps.change, [old.id for old in steps.end], (steps.ends - NOW) / HOUR


def test_none_is_made_and_one_is_left_alone() -> None:
    assert did([]) == ("", True, False, [], 2)
    assert did([one("a", 1.9 * HOUR)]) == ("a", False, False, [], 1.9)
    assert did([one("a", 9 * HOUR)]) == ("a", False, False, [], 9), "an end is never brought forward"


def test_one_that_ends_too_soon_is_moved() -> None:
    assert did([one("a", 0.9 * HOUR)]) == ("a", False, True, [], 2)
    assert did([one("a", 0.9 * HOUR)], extend=False) == ("a", False, False, [], 0.9)
    assert did([one("a", 1.9 * HOUR)], ends=NOW + 3 * HOUR) == ("a", False, True, [], 3)
    assert did([one("a", 3 * HOUR - 0.5)], ends=NOW + 3 * HOUR)[2] is False, "the server's own rounding"


def test_exactly_one_is_left() -> None:
    found = [one("a", HOUR), one("b", 2 * HOUR), one("c", 9 * HOUR, matchers=WEB2), one("d", 9 * HOUR, active=False)]
    assert did(found) == ("b", False, False, ["a", "c", "d"], 2)
    assert did(found[2:]) == ("", True, False, ["c", "d"], 2)
    assert [old.id for old in steps_to_absent(found).end] == ["a", "b", "c", "d"]
    assert not steps_to_absent([]).changes


def test_where_there_can_be_only_one_it_is_changed() -> None:
    assert did([], in_place=True) == ("", True, False, [], 2)
    assert did([one("a", 1.9 * HOUR)], in_place=True) == ("a", False, False, [], 1.9)
    assert did([one("a", 1.9 * HOUR, matchers=WEB2)], in_place=True) == ("a", False, True, [], 1.9)
    assert did([one("a", 0.5 * HOUR, matchers=WEB2)], in_place=True, extend=False) == ("a", False, True, [], 0.5)
    over = [one("a", -9 * HOUR, active=False)]
    assert did(over, in_place=True) == ("a", False, True, [], 2)
    assert did(over, in_place=True, extend=False) == ("a", False, True, [], 2)


def test_times_go_there_and_back() -> None:
    assert rfc3339(0.9996) == "1970-01-01T00:00:01.000Z"
    assert epoch(rfc3339(NOW + 0.25)) == NOW + 0.25
    assert epoch("2026-11-22T22:12:00+01:00") == epoch("2026-11-22T21:12:00Z") == epoch("2026-11-22T15:42:00-05:30")
    for text in ("", "2026-11-22", "yesterday", "2026-11-22T22:12:00", "2026-11-22T21:12:00Z\n"):
        with pytest.raises(ValueError, match="a time was expected"):
            epoch(text)


def test_matchers_are_shown_as_alertmanager_has_them() -> None:
    matchers = {("a", 'x"\\', False, True), ("b", "y", True, True), ("c", "", False, False), ("d", "z", True, False)}
    assert matchers_text(matchers) == '{a="x\\"\\\\", b=~"y", c!="", d!~"z"}'
