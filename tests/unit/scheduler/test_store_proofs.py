# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs in the store: recorded once, with who ran it; found again; kept longer than runs; what is forged is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from ansible_collections.upkeep.maintenance.plugins.module_utils import _results
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import finding, proof
from upkeep import cli, record
from upkeep.errors import NOT_RUN, OK, WRONG_USE, UpkeepError
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import Store, audit, open_store, proofs, schema

DAY = 86400.0
BEGAN = 1_790_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "home") as opened:
        yield opened


def one(subject: str = "offsite", outcome: str = "passed", started: float = BEGAN, **facts: Any) -> dict[str, Any]:
    return proof("backup.restore.sample", subject, outcome, started, started + 12.5, f"{subject} {outcome}", facts)


def results(
    path: Path,
    run_id: str,
    *told: tuple[str, Any],
    found: tuple[str, ...] = (),
    began: float = BEGAN,
    end: bool = True,
    actor: str = "ann",
) -> Path:
    """A results file with proofs by (host, proof), and findings about these subjects of db1."""
    lines = [_results.run_record(run_id, "upkeep.maintenance.weekly", False, began, actor=actor)]
    for subject in found:
        made = finding("backup.restore.failed", subject, "high", f"{subject} cannot be restored")
        lines.append({"type": "finding", "host": "db1", "finding": made})
    lines += [{"type": "proof", "host": host, "proof": made} for host, made in told]
    if end:
        for host in sorted({"db1", *(host for host, _made in told)}):
            lines.append({"type": "host", "host": host, "state": "ok", "ok": 3, "changed": 0, "failed": 0})
        lines.append(_results.end_record(began + 60, "finished"))
    path.write_text("".join(map(_results.line, lines)), encoding="utf-8")
    return path


def test_a_proof_is_kept_with_its_run_and_who_ran_it(store: Store, tmp_path: Path) -> None:
    made = one(snapshot="1a2b", files=12, rpo=3600.5, answers=[{"query": "select 1", "answer": [[1]]}])
    path = results(tmp_path / "r", "r1", ("db1", made), ("db2", one(outcome="failed")))
    recorded = record_file(store, path, Policy(), BEGAN + 100, "weekly")
    assert recorded.proofs == {"passed": 1, "failed": 1, "cannot": 0}
    kept = store.proof(1)
    assert (kept.host, kept.check, kept.subject, kept.outcome) == ("db1", "backup.restore.sample", "offsite", "passed")
    assert (kept.started, kept.ended, kept.facts) == (BEGAN, BEGAN + 12.5, made["facts"])
    assert (kept.run, kept.run_id, kept.job, kept.playbook) == (1, "r1", "weekly", "upkeep.maintenance.weekly")
    assert kept.actor == "ann"
    assert store.run(1).run.actor == "ann"
    assert store.run(1).proofs == recorded.proofs
    with store.database.read() as connection:
        (act,) = audit.listed(connection, action=proofs.RECORDED)
    assert (act.actor, act.object, act.detail["proofs"]) == ("ann", "run 1", 2)


def test_of_a_run_of_upkeep_its_own_actor_counts_not_the_files(store: Store, tmp_path: Path) -> None:
    store.begin_run("r1", "upkeep.maintenance.weekly", BEGAN, job="weekly", actor="scheduler")
    record_file(store, results(tmp_path / "r", "r1", ("db1", one()), actor="mallory"), Policy(), BEGAN + 100)
    assert (store.proof(1).actor, store.proof(1).job) == ("scheduler", "weekly")


def test_a_file_that_says_nobody_is_recorded_all_the_same(store: Store, tmp_path: Path) -> None:
    record_file(store, results(tmp_path / "r", "r1", ("db1", one()), actor=""), Policy(), BEGAN + 100)
    assert store.proof(1).actor == ""


def test_a_file_that_is_recorded_again_doubles_nothing(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "r"
    record_file(store, results(path, "r1", ("db1", one()), end=False), Policy(), BEGAN + 50)
    whole = results(path, "r1", ("db1", one()), ("db1", one("onsite")))
    assert record_file(store, whole, Policy(), BEGAN + 100).proofs["passed"] == 2
    assert record_file(store, whole, Policy(), BEGAN + 200).already
    assert [kept.subject for kept in store.proofs()] == ["onsite", "offsite"]
    with store.database.read() as connection:
        assert proofs.verify(connection).faults == ()


def test_two_tests_of_one_thing_in_one_run_are_two_proofs(store: Store, tmp_path: Path) -> None:
    twice = (("db1", one(started=BEGAN + 1)), ("db1", one(started=BEGAN + 20, outcome="failed")))
    record_file(store, results(tmp_path / "r", "r1", *twice), Policy(), BEGAN + 100)
    assert [kept.outcome for kept in store.proofs()] == ["failed", "passed"]


@pytest.mark.parametrize(
    "change", [{"outcome": "fine"}, {"started": "x"}, {"check": "x"}, {"summary": "\x1b[31m"}, {"facts": [1]}]
)
def test_a_broken_proof_in_a_file_is_named_by_its_line(store: Store, tmp_path: Path, change: dict[str, Any]) -> None:
    path = results(tmp_path / "r", "r1", ("db1", one()), ("db1", {**one(), **change}))
    with pytest.raises(UpkeepError, match="line 3") as error:
        record_file(store, path, Policy(), BEGAN + 100)
    assert error.value.exit_code == WRONG_USE
    assert not store.proofs()


def test_a_hostile_file_is_cleaned_again(store: Store, tmp_path: Path) -> None:
    made = {**one(), "summary": "\x1b[2Jpassword=hunter2", "facts": {"token": "hunter2", "text": "x" * 50_000}}
    record_file(store, results(tmp_path / "r", "r1", ("db1", made)), Policy(), BEGAN + 100)
    kept = store.proof(1)
    assert "hunter2" not in str(kept)
    assert "\x1b" not in str(kept)
    assert len(str(kept.facts)) < 20_000


def test_what_is_too_much_is_left_out_and_told(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_PROOFS", 250)
    many = [("db1", one(f"repository {number}")) for number in range(300)]
    recorded = record_file(store, results(tmp_path / "r", "r1", *many), Policy(), BEGAN + 100)
    assert recorded.proofs["passed"] == 250
    assert "50 proofs beyond the first 250 were not kept." in recorded.notes


def test_a_ticket_shows_the_latest_proofs_of_what_it_is_about(store: Store, tmp_path: Path) -> None:
    for week in range(5):
        at = BEGAN + week * 7 * DAY
        told = [("db1", one(subject, started=at)) for subject in ("offsite", "onsite", "other")]
        told.append(("db2", one("offsite", started=at)))
        path = results(tmp_path / "r", f"r{week}", *told, found=("offsite", "onsite"), began=at)
        record_file(store, path, Policy(), at + 100)
    shown = store.ticket(1).proofs
    assert [(kept.host, kept.subject, (kept.started - BEGAN) / DAY) for kept in shown] == [
        (host, subject, day) for host, subject in (("db1", "offsite"), ("db1", "onsite")) for day in (28, 21, 14)
    ]


def test_filters(store: Store, tmp_path: Path) -> None:
    record_file(store, results(tmp_path / "a", "r1", ("db1", one()), ("db2", one())), Policy(), BEGAN + 100)
    later = ("db1", one("onsite", "failed", BEGAN + DAY))
    record_file(store, results(tmp_path / "b", "r2", later, began=BEGAN + DAY), Policy(), BEGAN + DAY + 100)

    def numbers(**wanted: Any) -> list[int]:
        return [kept.number for kept in store.proofs(**wanted)]

    assert numbers() == [3, 2, 1]
    assert numbers(host="db1") == [3, 1]
    assert numbers(subject="offsite") == [2, 1]
    assert numbers(outcome="failed") == [3]
    assert numbers(run=1) == [2, 1]
    assert numbers(since=BEGAN + 1) == [3]
    assert (
        numbers(check="backup.restore")
        == numbers(check="backup.restore.sample")
        == numbers(check="backup")
        == [3, 2, 1]
    )
    assert numbers(check="backup.rest") == []
    assert numbers(limit=1) == [3]


def test_proofs_outlive_their_run_and_go_after_their_own_time(store: Store, tmp_path: Path) -> None:
    for number, began in ((1, BEGAN), (2, BEGAN + 700 * DAY)):
        path = results(tmp_path / "r", f"r{number}", ("db1", one(started=began)), began=began)
        record_file(store, path, Policy(), began + 100)
    assert store.prune(BEGAN + 705 * DAY, 400).proofs == 0
    assert [run.number for run in store.runs()] == [2]
    assert [kept.run for kept in store.proofs()] == [2, 1]
    assert store.prune(BEGAN + 1101 * DAY, 400).proofs == 1
    assert [kept.run for kept in store.proofs()] == [2]
    assert store.prune(BEGAN + 1101 * DAY, 400, 30).proofs == 1
    with store.database.read() as connection:
        acts = audit.listed(connection, action=proofs.FORGOTTEN)
        # What retention took is no fault.
        assert proofs.verify(connection).faults == ()
    assert [act.detail["proofs"] for act in acts] == [1, 1]


def test_what_was_forged_is_seen(store: Store, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        made = (("db1", one(started=BEGAN + number)), ("db1", one("onsite", "failed", BEGAN + number)))
        record_file(store, results(tmp_path / "r", f"r{number}", *made), Policy(), BEGAN + 100)
    table = schema.proofs

    def faults(*statements: Any) -> str:
        with store.database.write() as connection:
            for statement in statements:
                connection.execute(statement)
            found = "; ".join(proofs.verify(connection).faults)
            connection.rollback()
        return found

    assert faults() == ""
    whitewash = update(table).where(table.c.number == 2).values(outcome="passed")
    assert "proof 2 (backup.restore.sample of db1) was changed" in faults(whitewash)
    with store.database.read() as connection:
        row = dict(connection.execute(select(table).where(table.c.number == 2)).one()._mapping)
    digest = proofs.digest_of({**row, "outcome": "passed"})
    assert "run 1 had 2 proof(s)" in faults(whitewash, update(table).where(table.c.number == 2).values(digest=digest))
    assert "run 1 had 2 proof(s) when it was recorded, and has 1" in faults(delete(table).where(table.c.number == 2))
    assert "run 2 had 2 proof(s), and they are gone" in faults(delete(table).where(table.c.run == 2))
    forged = {**row, "number": 99, "run": 9, "run_id": "r9"}
    forged["digest"] = proofs.digest_of(forged)
    assert "the audit knows of no proofs of run 9" in faults(insert(table).values(**forged))


def test_the_command(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["proofs"]) == OK
    assert "No proofs yet." in capsys.readouterr().out
    answers = [{"query": "select count(*) from orders", "answer": "42"}]
    made = one(snapshot="1a2b", queries=answers, digest="ab" * 32, empty=[])
    path = results(tmp_path / "r", "r1", ("db1", made), ("db2", one(outcome="failed")), found=("offsite",))
    assert cli.main(["record", str(path)]) == 1
    assert "Proofs: 1 passed, 1 failed: upkeep proofs --run 1" in capsys.readouterr().out
    assert cli.main(["proofs", "--host", "db1"]) == OK
    assert "offsite passed" in (shown := capsys.readouterr().out)
    assert "db2" not in shown
    assert cli.main(["proofs", "--host", "db9", "--check", "backup"]) == OK
    assert "No proofs with host db9, check backup." in capsys.readouterr().out
    assert cli.main(["proofs", "show", "1"]) == OK
    shown = capsys.readouterr().out
    for line in ("outcome:  passed", "by:       ann, run 1 (r1)", "snapshot: 1a2b", "answer: 42", "empty: []"):
        assert line in shown, shown
    assert cli.main(["proofs", "--json", "--outcome", "passed", "--run", "1", "--since", "2026-01-01"]) == OK
    (document,) = json.loads(capsys.readouterr().out)["proofs"]
    assert (document["facts"]["queries"], document["ended"][:4]) == (answers, "2026")
    assert cli.main(["tickets", "show", "1"]) == OK
    assert "(upkeep proofs show 1)" in capsys.readouterr().out
    assert cli.main(["tickets", "show", "1", "--json"]) == OK
    assert [kept["number"] for kept in json.loads(capsys.readouterr().out)["proofs"]] == [1]
    assert cli.main(["runs", "show", "1"]) == OK
    assert "upkeep proofs --run 1" in capsys.readouterr().out
    assert cli.main(["proofs", "--verify"]) == OK
    assert "All 2 proofs, of 1 run, are as they were recorded." in capsys.readouterr().out
    with store.database.write() as connection:
        connection.execute(update(schema.proofs).values(summary="all is well"))
    assert cli.main(["proofs", "--verify"]) == NOT_RUN
    assert "tampered" in capsys.readouterr().err
    assert cli.main(["proofs", "--verify", "--json"]) == NOT_RUN
    assert json.loads(capsys.readouterr().out)["whole"] is False


@pytest.mark.parametrize("words", [["show"], ["show", "x"], ["list", "3"], ["show", "77"], ["--run", "x"]])
def test_wrong_use_of_the_command(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["proofs", *words]) == WRONG_USE
    assert "upkeep proofs" in capsys.readouterr().err
