# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is exposed, since when, and when it was mended: from results files to what `upkeep exposure` shows."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.scheduler import results_file
from upkeep import record
from upkeep.cli import main
from upkeep.errors import FINDINGS, OK, WRONG_USE
from upkeep.reconcile import Policy
from upkeep.store import Store, exposures, open_store
from upkeep.store.exposures import Answer, Stand, stands

CVE = "CVE-2026-0001"
PACKAGE = {"name": "openssl", "installed": "3.0.16-1", "fixed": "3.0.17-1", "candidate": "3.0.17-1"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.chdir(tmp_path)
    with open_store(None, tmp_path / "home") as opened:
        yield opened


def state(state: str, at: float | None = None, **more: Any) -> dict[str, Any]:
    packages = [PACKAGE] if state in ("exposed", "mitigated") else []
    told = {"state": state, "why": "w", "packages": packages, **more}
    data: dict[str, Any] = {"plan": "p-0", "exposure": {CVE: told}}
    return {"kind": "exposure", "subject": "os", "data": data if at is None else {**data, "at": at}}


def run(
    store: Store, number: int, started: float, hosts: dict[str, str], states: list[tuple[str, dict[str, Any]]]
) -> record.Recorded:
    path = Path.cwd() / f"{number}.jsonl"
    results_file.write(path, f"r{number}", hosts=hosts, started=started, states=states)
    return record.record_file(store, path, Policy(), now=100_000.0)


def about(store: Store, asked: str = CVE) -> tuple[dict[str, Stand], list[str]]:
    with store.database.read() as connection:
        told, never = exposures.about(connection, asked)
    return {one.host: one for one in told}, never


def test_exposed_patched_silent_and_never_asked(store: Store) -> None:
    run(store, 1, 1000.0, {"a": "ok", "b": "ok", "c": "unreachable"},
        [("a", state("exposed", 1005.0, published=500.0)), ("b", state("exposed", 1006.0)),
         ("a", state("patched", 1065.0))])  # fmt: skip
    run(store, 2, 2000.0, {"other": "ok"}, [])
    told, never = about(store)
    a, b, c = told["a"], told["b"], told["c"]
    assert (a.state, a.exposed_since, a.patched_at, a.seconds_to_patch) == ("patched", 1005.0, 1065.0, 60.0)
    assert a.packages == (PACKAGE,) and a.published == 500.0, "what it was, though the last answer tells of none"
    assert (b.state, b.patched_at, b.plan) == ("exposed", None, "p-0")
    assert (c.state, c.exposed_since) == (exposures.NO_ANSWER, None)
    assert never == ["other"]
    # Later it answers, and another one does not any more.
    run(store, 3, 3000.0, {"b": "unreachable", "c": "ok"}, [("c", state("not_installed", 3001.0))])
    told, _never = about(store)
    assert told["c"].state == "not_installed" and told["c"].seconds_to_patch is None
    assert told["b"].state == "exposed" and told["b"].why.endswith("it did not answer when it was asked since")


STEPS = [
    Answer("h", CVE, 10.0, 1, "not_known"),
    Answer("h", CVE, 20.0, 2, "exposed"),
    Answer("h", CVE, 30.0, 3, "mitigated"),
    Answer("h", CVE, 40.0, 4, "patched"),
    Answer("h", CVE, 50.0, 5, "exposed"),  # put back
    Answer("h", CVE, 60.0, 6, "not_known"),
    Answer("h", CVE, 70.0, 7, "patched"),
]


@pytest.mark.parametrize(
    ("count", "state", "since", "mitigated", "patched"),
    [
        (1, "not_known", None, None, None),
        (2, "exposed", 20.0, None, None),
        (3, "mitigated", 20.0, 30.0, None),
        (4, "patched", 20.0, 30.0, 40.0),
        (5, "exposed", 20.0, 30.0, None),
        (6, "not_known", 20.0, 30.0, None),
        (7, "patched", 20.0, 30.0, 70.0),
    ],
)
def test_what_follows_from_answers_in_any_order(
    count: int, state: str, since: float | None, mitigated: float | None, patched: float | None
) -> None:
    answers = STEPS[:count]
    for seed in range(5):
        some = random.Random(seed).sample(answers, len(answers))
        told = stands(some)["h"]
        times = (told.exposed_since, told.mitigated_at, told.patched_at)
        assert (told.state, *times) == (state, since, mitigated, patched)


def test_results_that_come_late_or_twice_change_nothing_but_what_they_tell(store: Store) -> None:
    files = [(1, 1000.0, "exposed"), (2, 2000.0, "patched"), (3, 3000.0, "patched")]
    seen = set()
    for places in itertools.permutations(files):
        for number, started, what in places:
            run(store, number, started, {"a": "ok"}, [("a", state(what))])
        told = about(store)[0]["a"]
        seen.add((told.state, told.exposed_since, told.patched_at))
    assert seen == {("patched", 1000.0, 2000.0)}


DAY = 86400.0


@pytest.mark.parametrize(("days", "since"), [(29.0, 0.0), (31.0, 31.0)])
def test_what_comes_back_long_after_it_was_mended_counts_anew(days: float, since: float) -> None:
    """The key of a package without a version is asked again and again."""
    answers = [
        Answer("h", "openssl", 0.0, 1, "mitigated"),
        Answer("h", "openssl", 1.0, 2, "patched"),
        Answer("h", "openssl", 20 * DAY, 3, "patched"),
        Answer("h", "openssl", 1.0 + days * DAY, 4, "exposed"),
        Answer("h", "openssl", 2.0 + days * DAY, 5, "patched"),
    ]
    told = stands(answers)["h"]
    begun = 0.0 if since == 0.0 else 1.0 + since * DAY
    assert told.exposed_since == begun and told.seconds_to_patch == 2.0 + days * DAY - begun
    assert told.mitigated_at == (0.0 if since == 0.0 else None)


@pytest.mark.parametrize("entry", ["hostile", {"state": "fine"}, {}, None])
def test_an_answer_that_cannot_be_read_does_not_leave_an_older_one_standing(store: Store, entry: Any) -> None:
    run(store, 1, 1000.0, {"a": "ok"}, [("a", state("patched"))])
    told = {"kind": "exposure", "subject": "os", "data": {"exposure": {CVE: entry}}}
    did = run(store, 2, 2000.0, {"a": "ok"}, [("a", told)])
    assert did.notes == ("What a says of its exposure cannot be read, and is not known.",)
    a = about(store)[0]["a"]
    assert (a.state, a.why) == ("not_known", "what it told cannot be read")


def test_never_asked_are_the_hosts_of_the_inventory(store: Store) -> None:
    run(store, 1, 1000.0, {"a": "ok", "b": "ok"}, [("a", state("exposed")), ("b", state("patched"))])
    run(store, 2, 2000.0, {"gone": "ok"}, [])
    with store.database.read() as connection:
        told, never = exposures.about(connection, CVE, {"a", "new"})
    assert never == ["new"] and [one.host for one in told] == ["a", "b"]
    assert told[1].why.endswith("it is in no inventory of upkeep.yml")


@pytest.mark.parametrize(
    "data",
    [
        {"dropped": "too large"},
        {"exposure": "hostile"},
        {"exposure": {"": {"state": "exposed"}}},
    ],
)
def test_what_cannot_be_read_is_told_and_is_not_known(store: Store, data: dict[str, Any]) -> None:
    did = run(store, 1, 1000.0, {"a": "ok"}, [("a", {"kind": "exposure", "subject": "os", "data": data})])
    assert did.notes == ("What a says of its exposure cannot be read, and is not known.",)
    assert about(store) == ({}, ["a"])


def test_a_time_that_cannot_be_is_not_believed(store: Store) -> None:
    hostile = {"state": "exposed", "packages": ["x", {"name": 1}], "mitigations": "x", "published": 1e300}
    for number, at in enumerate((-1.0, 9e9, "x", True)):
        data = {"at": at, "exposure": {CVE: hostile}}
        run(store, number, 1000.0, {"a": "ok"}, [("a", {"kind": "exposure", "subject": "os", "data": data})])
    told = about(store)[0]["a"]
    assert (told.asked_at, told.exposed_since, told.published) == (1000.0, 1000.0, None)
    assert told.packages == ({"name": "1", "installed": "", "fixed": "", "candidate": ""},)


def test_forgotten_all_at_once_when_nobody_asks_any_more(store: Store) -> None:
    run(store, 1, 1000.0, {"a": "ok"}, [("a", state("exposed"))])
    run(store, 2, 5000.0, {"a": "ok"}, [("a", state("patched"))])
    with store.database.write() as connection:
        assert exposures.prune(connection, 4000.0) == 0
    assert about(store)[0]["a"].exposed_since == 1000.0
    with store.database.write() as connection:
        assert exposures.prune(connection, 6000.0) == 2


def test_the_command(store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    inventory: dict[str, Any] | None = None
    monkeypatch.setattr("upkeep.commands.exposure.groups_of_hosts", lambda _config: inventory)
    assert main(["exposure"]) == OK and "Nobody was asked yet" in capsys.readouterr().out
    assert main(["exposure", CVE]) == FINDINGS, "nobody knows"
    assert f"No host was asked for {CVE} yet. Ask: upkeep run emergency_patch -e cve={CVE}" in capsys.readouterr().out
    run(store, 1, 1000.0, {"a": "ok", "b": "ok", "c": "unreachable"},
        [("a", state("exposed", 1005.0, published=505.0)), ("b", state("exposed", 1006.0)),
         ("a", state("patched", 1065.0))])  # fmt: skip
    run(store, 2, 2000.0, {"other": "ok"}, [])
    assert main(["exposure", CVE.lower()]) == FINDINGS
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines() if line and line.split()[0] in ("a", "b", "c")}
    assert "patched" in rows["a"] and "60 s" in rows["a"] and "patched 9 min after it was published" in rows["a"]
    assert "openssl 3.0.16-1 → 3.0.17-1" in rows["b"] and "so far" in rows["b"]
    assert "no answer" in rows["c"] and "it did not answer" in rows["c"]
    assert f"{CVE}: 1 exposed, 1 no answer, 1 patched, 1 never asked" in out and "Never asked: other" in out
    assert "The inventory cannot be read" in out
    inventory = {"a": (), "b": (), "c": (), "new": ()}
    assert main(["exposure", CVE]) == FINDINGS
    out = capsys.readouterr().out
    assert "Never asked: new" in out and "cannot be read" not in out
    assert main(["exposure", CVE, "--json"]) == FINDINGS
    document = json.loads(capsys.readouterr().out)
    assert document["left"] == 2 and document["seconds_to_patch"] == {"hosts": 1, "median": 60.0, "longest": 60.0}
    first = next(host for host in document["hosts"] if host["host"] == "a")
    assert first["patched_at"].startswith("1970-01-01T00:17:45") and first["seconds_to_patch"] == 60.0
    assert main(["exposure", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["questions"][0]["hosts"] == 2
    assert main(["exposure", "a b"]) == WRONG_USE
    inventory = {"a": (), "b": ()}
    states = [("a", state("patched", 3001.0)), ("b", state("mitigated", 3001.0)), ("c", state("patched", 3001.0))]
    run(store, 3, 3000.0, {"a": "ok", "b": "ok", "c": "ok"}, states)
    assert main(["exposure", CVE]) == OK, "patched, or mitigated, which is of low severity"
