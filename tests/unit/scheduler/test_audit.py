# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: only ever added to, and whoever gets round that is seen."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.unit.scheduler import results_file
from upkeep.cli import main
from upkeep.errors import NOT_RUN, UpkeepError
from upkeep.store import audit, open_store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with open_store(None, tmp_path / "home") as store, store.database.write() as connection:
        for number in range(5):
            audit.write(connection, "ann", "job.paused", f"job {number}", {"why": f"because {number}"}, 1000.0 + number)
    return tmp_path / "home"


def verified(home: Path) -> audit.Verified:
    with open_store(None, home) as store, store.database.read() as connection:
        return audit.verify(connection)


def tamper(home: Path, *statements: str) -> None:
    """As somebody with a database client, who takes the triggers away first."""
    db = sqlite3.connect(home / "upkeep.db")
    db.executescript("; ".join(["DROP TRIGGER audit_update", "DROP TRIGGER audit_delete", *statements]))
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'bob'",
        "DELETE FROM audit WHERE id = 3",
        "DELETE FROM audit",
        "REPLACE INTO audit SELECT id, at, 'bob', action, object, detail, digest FROM audit WHERE id = 3",
        "INSERT OR REPLACE INTO audit SELECT id, at, 'bob', action, object, detail, digest FROM audit WHERE id = 3",
    ],
)
def test_the_database_itself_refuses_to_change_or_remove(home: Path, statement: str) -> None:
    db = sqlite3.connect(home / "upkeep.db")
    with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
        db.execute(statement)
    db.close()
    with (
        pytest.raises(UpkeepError) as error,
        open_store(None, home) as store,
        store.database.write() as connection,
    ):
        connection.exec_driver_sql(statement)
    assert error.value.exit_code == NOT_RUN
    assert verified(home).faults == ()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit SET actor = 'bob' WHERE id = 3", "row 3 "),
        ("UPDATE audit SET at = 1.0 WHERE id = 1", "row 1 "),
        ("UPDATE audit SET detail = '{}' WHERE id = 5", "row 5 "),
        ("DELETE FROM audit WHERE id = 3", "row 3 is expected, row 4 found"),
        ("DELETE FROM audit WHERE id = 1", "row 1 is expected, row 2 found"),
        ("DELETE FROM audit WHERE id = 5", "rows were removed at the end"),
        ("DELETE FROM audit", "rows were removed at the end"),
        (
            "INSERT INTO audit SELECT 6, at, actor, action, object, detail, digest FROM audit WHERE id = 5",
            "row 6 ",
        ),
    ],
)
def test_tampering_is_seen(home: Path, statement: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(home).faults == ()
    assert main(["audit", "--verify"]) == 0
    tamper(home, statement)
    assert said in "; ".join(verified(home).faults)
    capsys.readouterr()
    assert main(["audit", "--verify"]) == NOT_RUN
    assert said in capsys.readouterr().err


def test_a_chain_written_anew_is_seen_against_an_export(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--export", "kept.jsonl"]) == 0
    assert main(["audit", "--verify", "--against", "kept.jsonl"]) == 0
    assert "each of the 6 rows" in capsys.readouterr().out
    rows = [json.loads(line) for line in Path("kept.jsonl").read_text().splitlines()]
    assert (rows[-1]["action"], rows[-1]["id"]) == ("audit.exported", 6), "the export itself is audited"
    assert Path("kept.jsonl").stat().st_mode & 0o077 == 0
    # An export is never written over another file.
    assert main(["audit", "--export", "kept.jsonl"]) == NOT_RUN
    assert verified(home).rows == 6, "what failed was not done"
    # Somebody who knows how: row 2 is another one, and all digests fit again.
    db = sqlite3.connect(home / "upkeep.db")
    before = audit.FIRST
    statements = []
    for number, at, actor, action, of, detail in db.execute("SELECT id,at,actor,action,object,detail FROM audit"):
        act = audit.Act(number, at, "bob" if number == 2 else actor, action, of, json.loads(detail), "")
        before = audit.digest_of(act, before)
        statements.append(f"UPDATE audit SET actor = '{act.actor}', digest = '{before}' WHERE id = {number}")
    db.close()
    tamper(home, *statements)
    assert verified(home).faults == ()
    capsys.readouterr()
    assert main(["audit", "--verify", "--against", "kept.jsonl", "--json"]) == NOT_RUN
    told = json.loads(capsys.readouterr().out)
    assert "5 of the 6 rows" in told["faults"][0]
    assert "first is row 2" in told["faults"][0]


def test_what_is_not_committed_was_not_done_and_leaves_no_gap(home: Path) -> None:
    with open_store(None, home) as store:
        with pytest.raises(ZeroDivisionError), store.database.write() as connection:
            audit.write(connection, "ann", "a.b", "x", {}, 1.0)
            raise ZeroDivisionError
        with store.database.write() as connection:
            audit.write(connection, "ann", "a.c", "x", {}, 2.0)
    assert (verified(home).rows, verified(home).faults) == (6, ())


@pytest.mark.parametrize(
    "detail",
    [
        {"password": "hunter2"},
        {"why": "see https://bob:hunter2@db/x"},
        {"deep": [{"api_key": "hunter2"}]},
        {"lines": ["token=hunter2", "x"]},
    ],
)
def test_no_secret_gets_in(home: Path, detail: dict[str, Any]) -> None:
    with open_store(None, home) as store, store.database.write() as connection:
        audit.write(connection, "ann", "a.b", "x", detail, 2.0)
    assert b"hunter2" not in (home / "upkeep.db").read_bytes()
    assert not any(b"hunter2" in path.read_bytes() for path in home.glob("upkeep.db*"))


def test_hostile_and_huge_details_are_bounded_and_verify(home: Path) -> None:
    with open_store(None, home) as store, store.database.write() as connection:
        audit.write(connection, "a\x1b[31mnn\n" * 200, "a.b", "x\ud800\x00", {"n": float("nan"), "x": 1e300}, 2.0)
        audit.write(connection, "ann", "a.b", "x", {str(n): "y" * 100 for n in range(1000)}, 2.0)
        acts = audit.listed(connection, limit=2)
    assert "\x1b" not in acts[0].actor
    assert len(acts[0].actor) <= audit.ACTOR_LIMIT
    assert acts[0].detail == {"n": None, "x": 1e300}
    assert set(acts[1].detail) == {"too_long", "sha256"}
    assert verified(home).faults == ()


def test_listing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*words: str) -> list[dict[str, Any]]:
        assert main(["audit", "--json", *words]) == 0
        return list(json.loads(capsys.readouterr().out)["audit"])

    assert [act["object"] for act in shown()] == [f"job {number}" for number in range(5)]
    assert [act["object"] for act in shown("--limit", "2")] == ["job 3", "job 4"]
    assert [act["at"] for act in shown("--object", "job 3")] == ["1970-01-01T00:16:43Z"]
    assert len(shown("--action", "job")) == 5
    assert shown("--action", "jo") == shown("--actor", "bob") == shown("--since", "30d") == []
    assert len(shown("--since", "1970-01-01T00:16:43+00:00")) == 2
    assert main(["audit"]) == 0
    assert "because 4" in capsys.readouterr().out
    assert main(["audit", "--since", "yesterday"]) == 2
    assert "a time ago, as 30d" in capsys.readouterr().err
    assert main(["audit", "--verify", "--export", "x"]) == 2


def test_the_configuration_that_changes_between_runs(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "upkeep.yml"

    def note(path: Path | None) -> list[dict[str, Any]]:
        with open_store(None, home) as store, store.database.write() as connection:
            audit.note_config(connection, path, "ann", 2000.0)
            return [act.detail for act in audit.listed(connection, action="config.changed")]

    assert note(None) == [], "none is configured, none was: nothing changed"
    file.write_text("time_zone: UTC\n")
    assert len(note(file)) == 1
    assert len(note(file)) == 1
    file.write_text("time_zone: Europe/Berlin\n")
    changes = note(file)
    assert len(changes) == 2
    assert changes[1]["before"] == changes[0]["sha256"] != changes[1]["sha256"]
    assert note(None)[2]["sha256"] == ""
    assert len(note(tmp_path / "gone.yml")) == 3


def test_what_is_run_recorded_and_done_to_tickets_is_in_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    results_file.write(tmp_path / "r.jsonl", "r1", [("web1", "a.b.c", "x", "high")])
    assert main(["record", "r.jsonl"]) == 1
    assert main(["record", "r.jsonl"]) == 1
    assert main(["tickets", "ack", "1", "token=hunter2"]) == 0
    with open_store(None, home) as store:
        store.begin_run("r2", "p.yml", 5000.0, job="weekly", actor="bob")
        store.end_run("r2", "timed_out", 6000.0, "it took too long")
    capsys.readouterr()
    assert main(["audit", "--json", "--limit", "4"]) == 0
    acts = json.loads(capsys.readouterr().out)["audit"]
    assert [(act["actor"], act["action"], act["object"]) for act in acts] == [
        ("ann", "run.recorded", "run 1"),
        ("ann", "ticket.acknowledged", "ticket #1"),
        ("bob", "run.started", "run 2"),
        ("bob", "run.ended", "run 2"),
    ]
    assert acts[1]["detail"]["text"] == "token=********"
    assert (acts[3]["detail"]["state"], acts[3]["detail"]["message"]) == ("timed_out", "it took too long")
    assert verified(home).faults == ()


def test_another_node_s_file_is_no_change(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yml").write_text("time_zone: UTC\n")
    (tmp_path / "b.yml").write_text("time_zone: Europe/Berlin\n")
    with open_store(None, home) as store:
        for _ in range(3):
            for node in ("a", "b"):
                with monkeypatch.context() as patch:
                    patch.setattr(audit, "_configuration", lambda node=node: f"configuration on {node}")
                    store.note_config(tmp_path / f"{node}.yml", "upkeep", 1.0)
        with store.database.read() as connection:
            assert len(audit.listed(connection, action="config.changed")) == 2
