# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Since when a patch is missing: the same in whatever order results come, and never more than was seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upkeep.store.missing import (
    DAY,
    NOT_KNOWN,
    ORDINARY,
    PATCHED,
    REMOVED,
    WITHDRAWN,
    Episode,
    History,
    Look,
    UnreadableError,
    Update,
    look_of,
    verdict_of,
)

PACKAGES = ("bash", "openssl", "zlib")
FAR = 40 * DAY
"""Between two looks: long enough that what comes back counts anew."""


def update(name: str, severity: str = "high", candidate: str = "2", installed: str = "1", **more: Any) -> Update:
    return Update(name, "amd64", installed, candidate, severity, **more)


def look(at: float, *pending: Update, complete: bool = True, **more: Any) -> Look:
    names = frozenset(PACKAGES)
    return Look(at, complete, {(one.name, one.arch): one for one in pending}, **{"names": names, **more})


def after(*looks: Look) -> History:
    history = History([], [])
    for one in looks:
        history.take(one)
    return history


def shown(episodes: Iterable[Episode]) -> list[tuple[Any, ...]]:
    return sorted((one.name, one.first_seen, one.last_seen, one.gone_seen) for one in episodes)


def model(looks: Sequence[Look]) -> list[tuple[Any, ...]]:
    """What follows from a set of looks, by its definition."""
    found = []
    for name in PACKAGES:
        current: list[Any] | None = None
        for one in sorted(looks, key=lambda look: look.at):
            if (name, "amd64") in one.pending:
                current = current or [name, one.at, one.at, None]
                current[2] = one.at
            elif one.complete and current is not None:
                found.append((*current[:3], one.at))
                current = None
        if current is not None:
            found.append(tuple(current))
    return sorted(found)


def looks_of(complete: st.SearchStrategy[bool]) -> st.SearchStrategy[list[Look]]:
    one = st.tuples(st.integers(1, 12), st.frozensets(st.sampled_from(PACKAGES)), complete)
    several = st.lists(one, min_size=1, max_size=10, unique_by=lambda row: row[0])
    return several.map(lambda rows: [look(at * FAR, *map(update, sorted(names)), complete=c) for at, names, c in rows])


@settings(max_examples=400, deadline=None)
@given(looks_of(st.just(True)), st.randoms())
def test_in_whatever_order_and_however_often_results_come_dates_are_the_same(looks: list[Look], random: Any) -> None:
    told = [*looks, *random.choices(looks, k=3)]
    random.shuffle(told)
    assert shown(after(*told).episodes) == model(looks)


@settings(max_examples=300, deadline=None)
@given(looks_of(st.booleans()))
def test_in_order_what_is_unknown_opens_and_goes_on_and_ends_nothing(looks: list[Look]) -> None:
    looks = sorted(looks, key=lambda one: one.at)
    assert shown(after(*looks).episodes) == model(looks)


@settings(max_examples=300, deadline=None)
@given(looks_of(st.booleans()), st.randoms())
def test_nothing_is_closed_but_by_a_complete_look_and_nothing_is_lost(looks: list[Look], random: Any) -> None:
    random.shuffle(looks)
    episodes = after(*looks).episodes
    complete = {one.at: one for one in looks if one.complete}
    for episode in episodes:
        assert episode.first_seen <= episode.last_seen
        assert episode.first_seen == min(episode.clocks.values())
        if episode.gone_seen is not None:
            assert episode.gone_seen > episode.last_seen
            assert episode.key not in complete[episode.gone_seen].pending
    for one in complete.values():
        for key in one.pending:
            assert [e for e in episodes if e.key == key and e.first_seen <= one.at <= e.last_seen], "a look was lost"
    for name in PACKAGES:
        still = {row[0] for row in model(looks) if row[3] is None}
        assert (name in still) == any(e.name == name and e.gone_seen is None for e in episodes)


def test_a_newer_candidate_of_what_is_still_missing_keeps_the_date() -> None:
    (one,) = after(look(10, update("bash", candidate="2")), look(20, update("bash", candidate="3"))).episodes
    assert (one.first_seen, one.last_seen, one.candidate, one.clocks) == (10, 20, "3", {"high": 10})


def test_a_worse_severity_has_a_clock_of_its_own_and_what_was_a_fix_stays_one() -> None:
    seen = [
        look(10, update("bash", ORDINARY)),
        look(20, update("bash", "low", cves=("CVE-1",))),
        look(30, update("bash", "critical", cves=("CVE-2",))),
        look(40, update("bash", ORDINARY)),
    ]
    (one,) = after(*seen).episodes
    assert one.clocks == {ORDINARY: 10, "low": 20, "critical": 30}
    assert (one.severity, one.security, one.cves) == ("critical", True, ("CVE-1", "CVE-2"))
    (again,) = after(*reversed(seen)).episodes
    assert (again.clocks, again.cves) == (one.clocks, one.cves)


def test_what_was_rolled_back_goes_on_with_its_clock() -> None:
    patched = look(10 * DAY, changed={("bash", "amd64"): ("2", 9 * DAY)}, manager="apt")
    first, second = after(look(DAY, update("bash")), patched, look(12 * DAY, update("bash"))).episodes
    assert (first.gone_how, second.first_seen, second.clocks) == (PATCHED, 12 * DAY, {"high": DAY})
    # Another version, or much later: it is another gap.
    for at, installed in ((12 * DAY, "2"), (50 * DAY, "1")):
        again = look(at, update("bash", installed=installed))
        assert after(look(DAY, update("bash")), patched, again).episodes[1].clocks == {"high": at}


@pytest.mark.parametrize(
    ("manager", "version", "installed_at", "expected"),
    [
        ("apt", "2", 4 * DAY, (PATCHED, "2", 4 * DAY)),
        ("apt", "2.1", 4 * DAY, (PATCHED, "2.1", 4 * DAY)),
        ("dnf", "2-1.el9", 4 * DAY, (PATCHED, "2-1.el9", 4 * DAY)),
        # A host's clock is not believed beyond what we saw ourselves.
        ("apt", "2", 0.0, (PATCHED, "2", 2 * DAY)),
        ("apt", "2", 900 * DAY, (PATCHED, "2", 9 * DAY)),
        # It was rebuilt or reinstalled, and still is older than what it lacked.
        ("apt", "1.9", 4 * DAY, (WITHDRAWN, "", 9 * DAY)),
    ],
)
def test_how_it_went(manager: str, version: str, installed_at: float, expected: tuple[str, str, float]) -> None:
    gone = look(9 * DAY, manager=manager, changed={("bash", "amd64"): (version, installed_at)})
    (one,) = after(look(2 * DAY, update("bash")), gone).episodes
    assert (one.gone_how, one.gone_version, one.gone_at) == expected


def test_what_was_removed_what_was_taken_back_and_what_nobody_can_tell() -> None:
    seen = look(DAY, update("bash"))
    assert after(seen, look(2 * DAY)).episodes[0].gone_how == WITHDRAWN
    assert after(seen, look(2 * DAY, names=frozenset({"zlib"}))).episodes[0].gone_how == REMOVED
    assert after(seen, look(2 * DAY, names=frozenset())).episodes[0].gone_how == NOT_KNOWN
    assert after(seen, look(90 * DAY)).episodes[0].gone_how == NOT_KNOWN


GOOD: dict[str, Any] = {
    "verdict": "pending",
    "why": [],
    "manager": "apt",
    "pending": [{"name": "bash", "arch": "amd64", "installed": "1", "candidate": "2", "security": True}],
    "names": ["bash"],
    "changed": [{"name": "zlib", "arch": "amd64", "version": "3", "at": 7.0}, {"name": "x", "arch": "", "at": None}],
}


def test_what_a_host_tells_is_read() -> None:
    read = look_of(GOOD, 5.0)
    assert read.pending["bash", "amd64"].severity == "unrated"
    assert read.changed == {("zlib", "amd64"): ("3", 7.0)}
    assert (read.complete, read.names, read.at) == (True, frozenset({"bash"}), 5.0)
    assert not look_of({**GOOD, "verdict": "unknown"}, 5.0).complete
    assert not look_of({**GOOD, "truncated": 3}, 5.0).complete
    assert verdict_of({"dropped": "too large"}) == ("unknown", ["too large"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verdict": "fine"}, "verdict is one of"),
        ({"verdict": None}, "verdict is one of"),
        ({"verdict": "compliant"}, "yet packages are pending"),
        ({"pending": {}}, "pending is a list"),
        ({"pending": ["bash"]}, "pending is a list"),
        ({"pending": [{"name": ""}]}, "has a name"),
        ({"pending": [{"name": ["bash"]}]}, "name is a text"),
        ({"pending": [{"name": "bash", "severity": "apocalyptic"}]}, "severity is one of"),
        ({"pending": [{"name": "bash", "cves": "CVE-1"}]}, "cves is a list"),
        ({"pending": [{}] * 20_001}, "at most 20000"),
        ({"names": "bash"}, "names is a list"),
        ({"changed": 7}, "changed is a list"),
        ({"changed": [{"name": 7, "at": 1}]}, "name is a text"),
    ],
)
def test_what_cannot_be_read_says_why(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        look_of({**GOOD, **change}, 5.0)
