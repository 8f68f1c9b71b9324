# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history file: bounded, forgiving of nothing but absence, never larger than it says."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.upkeep.maintenance.plugins.module_utils._capacity import history as store

NOW = 1_790_000_000.0
DAY = 86_400.0


def sample(days_ago: float, used: float = 1.0) -> list[float]:
    return [NOW - days_ago * DAY, used, 100.0, 5.0, 50.0]


def test_no_file_is_an_empty_history() -> None:
    assert store.decode(None) == ({}, "")


def test_what_is_written_is_read_again() -> None:
    history = {"/": [sample(7), sample(0)], "/sp ace\n\x1b[31m": [sample(0)], "/by\udcffte": [sample(1)]}
    assert store.decode(store.encode(history, NOW)) == (history, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("\ufffd\ufffd", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "not a history of format 1"),
        ('{"format": 2, "filesystems": {}}', "not a history of format 1"),
        ('{"format": 1, "filesystems": []}', "not a history of format 1"),
        ('{"format": 1, "filesystems": {"/": 3}}', "not lists of five numbers"),
        ('{"format": 1, "filesystems": {"/": [[1, 2, 3]]}}', "not lists of five numbers"),
        ('{"format": 1, "filesystems": {"/": [[1, 2, 3, 4, "x"]]}}', "not lists of five numbers"),
        ('{"format": 1, "filesystems": {"/": [[1, 2, 3, 4, true]]}}', "not lists of five numbers"),
        ('{"format": 1, "filesystems": {"/": [[1, 2, 3, 4, NaN]]}}', "not lists of five numbers"),
        ('{"format": 1, "filesystems": {"/": [[1, 2, 3, 4, 1e999]]}}', "not lists of five numbers"),
        ('{"format": 1, "filesystems": {"/": [[1, 2, 3, 4, -1]]}}', "not lists of five numbers"),
        ('{"format": 1, "filesystems": {"/": [[1, 2, 3, 4, %s]]}}' % ("9" * 400), "not lists of five numbers"),
        (" " * store.SIZE_LIMIT, "larger than"),
    ],
)
def test_what_is_no_history_is_told(text: str, problem: str) -> None:
    history, told = store.decode(text)
    assert history == {}
    assert problem in told


def test_runs_shortly_after_one_another_share_a_place() -> None:
    history: dict[str, list[list[float]]] = {"/": [sample(14), sample(7)]}
    for minutes in range(100):
        store.add(history, "/", sample(-minutes / 1440, used=minutes))
    assert len(history["/"]) == 4
    assert history["/"][-1][1] == 99
    assert history["/"][:2] == [sample(14), sample(7)]


def test_a_year_of_weeks_stays_whole() -> None:
    history = {"/": [sample(7 * n) for n in range(52, -1, -1)]}
    assert store.decode(store.encode(history, NOW))[0] == history


def test_more_is_thinned_evenly_and_the_newest_stays() -> None:
    samples = [sample(n) for n in range(365, -1, -1)]
    thinned = store.thin(samples, NOW)
    assert len(thinned) == store.SAMPLES
    assert thinned[0] == samples[0]
    assert thinned[-1] == samples[-1]
    gaps = [(b[0] - a[0]) / DAY for a, b in itertools.pairwise(thinned)]
    assert max(gaps) <= 8


def test_a_wrong_clock_destroys_nothing() -> None:
    """Set to 1970 for one run, and to 2099 for another: the samples of between are still there."""
    history = {"/": [sample(7 * n) for n in range(20, -1, -1)]}
    before = list(history["/"])
    for wrong in (0.0, 4_070_908_800.0):
        store.add(history, "/", [wrong, 1.0, 100.0, 0.0, 0.0])
        history, problem = store.decode(store.encode(history, wrong))
        assert not problem
    assert [entry for entry in history["/"] if entry in before] == before


def test_strange_ones_give_way_first() -> None:
    samples = [[1.0, 0.0, 0.0, 0.0, 0.0], *([NOW - n * DAY, 0.0, 0.0, 0.0, 0.0] for n in range(59, -1, -1))]
    assert store.thin(samples, NOW) == samples[1:]


def test_the_mounts_seen_last_are_kept() -> None:
    history = {f"/m{n}": [sample(n / 100)] for n in range(5_000)}
    kept = store.decode(store.encode(history, NOW))[0]
    assert set(kept) == {f"/m{n}" for n in range(store.MOUNTS)}


def test_samples_handed_in_are_not_doubled() -> None:
    history = {"/": [sample(7)]}
    given: list[dict[str, Any]] = [
        {"mount": "/", "time": NOW - 7 * DAY, "used_bytes": 5.0},
        {"mount": "/", "time": NOW - 14 * DAY, "used_bytes": 4.0, "usable_bytes": 100.0},
        {"mount": "/new", "time": NOW, "used_bytes": 3.0, "inodes_used": 2.0, "inodes_usable": None},
    ]
    store.merge(history, given)
    assert history["/"] == [[NOW - 14 * DAY, 4.0, 100.0, 0, 0], sample(7)]
    assert history["/new"] == [[NOW, 3.0, 0, 2.0, 0]]


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=150))
@settings(max_examples=100, deadline=None)
def test_always_bounded_and_in_order(times: list[int]) -> None:
    history: dict[str, list[list[float]]] = {}
    for time in times:
        store.add(history, "/", [max(0.0, NOW + time), 1.0, 2.0, 3.0, 4.0])
        text = store.encode(history, NOW)
        history, problem = store.decode(text)
        assert not problem
    kept = json.loads(text)["filesystems"]["/"]
    assert kept == sorted(kept)
    assert 1 <= len(kept) <= store.SAMPLES
