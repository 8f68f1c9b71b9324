# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the checks of a loaded server are shared among sessions."""

from __future__ import annotations

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.postgresql_check import (
    WORTH_A_SESSION,
    shares,
)


def test_every_index_is_looked_at_once_and_the_sessions_have_as_much_to_do() -> None:
    sizes = {number: WORTH_A_SESSION * size for number, size in enumerate((7, 1, 3, 2, 1, 6))}
    parts = shares(sizes, 2)
    assert sorted(one for part in parts for one in part) == sorted(sizes)
    assert [sum(sizes[one] for one in part) for part in parts] == [10 * WORTH_A_SESSION] * 2
    assert parts[0][0] == 0, "the largest comes first"


def test_what_is_small_stays_in_one_session() -> None:
    assert shares({1: 8192, 2: 8192}, 8) == [[1, 2]]
    assert shares({1: WORTH_A_SESSION, 2: WORTH_A_SESSION - 1}, 8) == [[1, 2]]


def test_one_index_needs_one_session_and_none_still_asks_once() -> None:
    assert shares({5: WORTH_A_SESSION * 100}, 8) == [[5]]
    assert shares({}, 8) == [[]]
    assert shares({5: 0}, 1) == [[5]]
