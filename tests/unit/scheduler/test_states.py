# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""States out of a results file: each goes to the keeper of its kind, and what cannot be kept is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.unit.scheduler import results_file
from upkeep import record
from upkeep.errors import UpkeepError
from upkeep.reconcile import Policy
from upkeep.store import Store, open_store, states
from upkeep.store.states import Reported


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Reported]:
    """What the keeper of the kind ``weather`` is handed; of a host in the rain it says that it cannot read it."""
    found: list[Reported] = []

    def keep(_connection: Connection, reported: Sequence[Reported]) -> list[str]:
        found.extend(reported)
        return [f"{one.host} is wet" for one in reported if one.data.get("rain")]

    monkeypatch.setitem(states.KEEPERS, "weather", keep)
    return found


def state(subject: str = "sky", kind: str = "weather", **data: object) -> dict[str, object]:
    return {"kind": kind, "subject": subject, "data": data}


def test_states_reach_the_keeper_of_their_kind_in_order(store: Store, tmp_path: Path, kept: list[Reported]) -> None:
    made = [("a", state(sun=1)), ("b", state(sun=2)), ("a", state(sun=3)), ("a", state("roof", rain=True))]
    path = results_file.write(tmp_path / "f", "r1", hosts={"a": "ok", "b": "failed"}, started=1000.0, states=made)
    told = record.record_file(store, path, Policy(), now=2000.0)
    expected = [
        Reported(told.run.number, host, "weather", one["subject"], at, one["data"])
        for at, (host, one) in zip((1000.0, 1000.0, 1000.001, 1000.0), made, strict=True)
    ]  # type: ignore[arg-type]
    assert kept == expected
    assert told.notes == ("a is wet",)
    assert record.record_file(store, path, Policy(), now=3000.0).already
    assert kept == expected


def test_a_clock_that_is_ahead_dates_nothing_later_than_now(store: Store, tmp_path: Path, kept: list[Reported]) -> None:
    path = results_file.write(tmp_path / "f", "r1", hosts={"a": "ok"}, started=9e9, states=[("a", state())])
    record.record_file(store, path, Policy(), now=2000.0)
    assert [one.at for one in kept] == [2000.0]


def test_a_kind_that_nobody_keeps_is_told_and_ends_nothing(store: Store, tmp_path: Path, kept: list[Reported]) -> None:
    made = [("a", state(kind="tides")), ("b", state(kind="tides")), ("a", state())]
    made += [("a", state(kind=f"k{number}")) for number in range(100)]
    told = record.record_file(store, results_file.write(tmp_path / "f", "r1", states=made), Policy(), now=2000.0)
    assert len(kept) == 1
    assert "2 state(s) of the kind tides were left out: this version of Upkeep keeps none." in told.notes
    assert len(told.notes) == record.MAX_TOLD + 1


def test_what_is_more_than_can_be_kept_is_told(
    store: Store, tmp_path: Path, kept: list[Reported], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MAX_STATES", 5)
    monkeypatch.setattr(record, "STATES_BATCH", 2)
    made = [(f"h{number}", state(rain=True)) for number in range(7)]
    monkeypatch.setattr(record, "MAX_TOLD", 3)
    told = record.record_file(store, results_file.write(tmp_path / "f", "r1", states=made), Policy(), now=2000.0)
    assert [one.host for one in kept] == ["h0", "h1", "h2", "h3", "h4"]
    assert told.notes == (
        "2 states beyond the first 5 were not kept: they are not known.",
        "h0 is wet",
        "h1 is wet",
        "h2 is wet",
        "2 more state(s) could not be read.",
    )


@pytest.mark.parametrize(
    ("change", "said"), [({"kind": "No Word"}, "kind is a word"), ({"data": 7}, "data is a dictionary")]
)
def test_a_record_that_breaks_the_contract_is_refused_with_its_line(
    store: Store, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = results_file.write(tmp_path / "f", "r1", states=[("a", {**state(), **change})])
    with pytest.raises(UpkeepError) as caught:
        record.record_file(store, path, Policy(), now=2000.0)
    assert "line 2" in str(caught.value) and said in str(caught.value.found)
    assert store.runs() == []
