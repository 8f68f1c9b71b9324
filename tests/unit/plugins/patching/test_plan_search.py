# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of many can be had together."""

from __future__ import annotations

import math
import random

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_search import search


class Solver:
    """Refuses the bad ones, and pairs that exclude each other; counts what it is asked."""

    def __init__(self, bad: set[int], pairs: tuple[tuple[int, int], ...] = ()) -> None:
        self.bad, self.pairs, self.asked = bad, pairs, 0

    def refused(self, items: list[int]) -> str:
        self.asked += 1
        wrong = [str(item) for item in items if item in self.bad]
        wrong += [f"{a}+{b}" for a, b in self.pairs if a in items and b in items]
        return ", ".join(wrong)


def test_all_can_be_had_in_one_trial() -> None:
    solver = Solver(set())
    assert search(list(range(100)), solver.refused) == (list(range(100)), [])
    assert solver.asked == 1
    assert search([], solver.refused) == ([], [])
    assert solver.asked == 1


def test_the_bad_ones_are_found_with_their_reasons() -> None:
    solver = Solver({3, 77})
    kept, left = search(list(range(120)), solver.refused)
    assert kept == [item for item in range(120) if item not in (3, 77)]
    assert [(item, why) for item, why in left] == [(3, "3"), (77, "77")]
    assert solver.asked <= 2 * 2 * math.ceil(math.log2(120)) + 2


def test_of_two_that_exclude_each_other_the_more_urgent_is_kept() -> None:
    kept, left = search([5, 1, 9, 2], Solver(set(), ((9, 5), (1, 2))).refused)
    assert kept == [5, 1]
    assert left == [(9, "9+5"), (2, "1+2")]


def test_a_hopeless_host_has_an_end() -> None:
    solver = Solver(set(range(500)))
    kept, left = search(list(range(500)), solver.refused, trials=20)
    assert solver.asked == 20 and kept == [] and len(left) == 500
    assert {why for _item, why in left} >= {"", "0"}, "what was not tried has no reason"


@pytest.mark.parametrize("seed", range(20))
def test_what_is_kept_can_be_had_and_nothing_can_be_added(seed: int) -> None:
    chance = random.Random(seed)
    items = list(range(chance.randint(1, 40)))
    bad = {item for item in items if chance.random() < 0.1}
    pairs = tuple((chance.choice(items), chance.choice(items)) for _ in range(5))
    pairs = tuple((a, b) for a, b in pairs if a != b)
    solver = Solver(bad, pairs)
    kept, left = search(items, solver.refused, trials=10_000)
    assert solver.refused(kept) == ""
    assert sorted(kept + [item for item, _why in left]) == items
    assert all(solver.refused([*kept, item]) for item, _why in left)
