# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do with tickets: whose it is, that it waits, what was learned; and the draft of a post-mortem."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.unit.scheduler import results_file
from upkeep import postmortem, sla
from upkeep.cli import main
from upkeep.errors import WRONG_USE, UpkeepError
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import Pause, Store, audit, open_store

DISK = "capacity.disk.full"
OTHER = "patch.security.pending"
UTC = ZoneInfo("UTC")
Record = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "home") as made:
        yield made


@pytest.fixture
def record(store: Store, tmp_path: Path) -> Record:
    """Record a run that looked at one check on web1 and found it, or not."""
    made: list[float] = []

    def do(at: float, severity: str | None, check: str = DISK, host: str = "web1") -> None:
        made.append(at)
        name = f"run{len(made)}"
        findings = [(host, check, "/", severity)] if severity else []
        path = results_file.write(
            tmp_path / name,
            name,
            findings,
            coverage=[(host, check, "*")],
            hosts={host: "ok"},
            started=at - 10,
            finished=at - 5,
        )
        record_file(store, path, Policy(), at)

    return do


def kinds(store: Store, number: int = 1) -> list[str]:
    return [line.kind for line in store.ticket(number).history]


def acts(store: Store, number: int = 1) -> list[tuple[str, str]]:
    with store.database.read() as connection:
        return [(act.action, act.actor) for act in audit.listed(connection, object=f"ticket #{number}")]


def test_whose_it_is(store: Store, record: Record) -> None:
    record(1000, "high")
    assert store.assign(1, "bob", "ann", 1100).ticket.assignee == "ann"
    store.assign(1, "bob", "ann", 1200)
    assert store.assign(1, "bob", "", 1300).ticket.assignee == ""
    assert kinds(store) == ["opened", "added", "assigned", "assigned"], "the same again is no event"
    assert [line.text for line in store.ticket(1).history[2:]] == ["ann", "nobody"]
    assert store.ticket(1).ticket.acknowledged is None, "to be given it is no reaction"
    store.assign(1, "bob", "ann\x1b[31m\nroot", 1400)
    assert store.ticket(1).ticket.assignee == "ann root"
    assert store.tickets(assignee="ann root")[0].number == 1
    assert store.tickets(assignee="") == []
    store.resolve(1, "ann", "", 1500)
    with pytest.raises(UpkeepError, match="resolved already"):
        store.assign(1, "bob", "ann", 1600)
    assert acts(store) == [("ticket.assigned", "bob")] * 3 + [("ticket.resolved", "ann")]


def test_it_waits_and_goes_on(store: Store, record: Record) -> None:
    record(1000, "high")
    waiting = store.wait(1, "ann", "the disk comes on Friday", 1100).ticket
    assert (waiting.state, waiting.acknowledged, waiting.acknowledged_by) == ("waiting", 1100, "ann")
    assert waiting.pauses == (Pause(1100, None, "the disk comes on Friday"),)
    store.wait(1, "ann", "", 1150)
    store.wait(1, "ann", "on Monday", 1200)
    assert kinds(store)[2:] == ["waiting", "comment"], "it waits already: a reason more is a word"
    store.acknowledge(1, "ann", "", 1250)
    assert store.ticket(1).ticket.state == "waiting"
    assert [ticket.number for ticket in store.tickets()] == [1], "what waits is not forgotten"
    going = store.go_on(1, "ann", "it came", 1300).ticket
    assert (going.state, going.pauses) == ("acknowledged", (Pause(1100, 1300, "the disk comes on Friday"),))
    with pytest.raises(UpkeepError, match="does not wait") as error:
        store.go_on(1, "ann", "", 1400)
    assert error.value.exit_code == WRONG_USE
    store.wait(1, "ann", "", 1500)
    assert [pause.until for pause in store.resolve(1, "ann", "", 1600).ticket.pauses] == [1300, 1600]


def test_what_is_resolved_by_evidence_waits_no_more(store: Store, record: Record) -> None:
    record(1000, "high")
    store.wait(1, "ann", "", 1100)
    record(2000, None)
    ticket = store.ticket(1).ticket
    assert (ticket.state, ticket.resolved_by, ticket.pauses) == ("resolved", "upkeep", (Pause(1100, 2000),))


def test_reopened_by_hand_and_by_a_run(store: Store, record: Record) -> None:
    record(1000, "high")
    with pytest.raises(UpkeepError, match="is not resolved"):
        store.reopen(1, "ann", "", 1050)
    store.wait(1, "ann", "why", 1060)
    store.resolve(1, "ann", "", 1100)
    ticket = store.reopen(1, "bob", "still slow", 1200).ticket
    assert (ticket.state, ticket.reopened, ticket.acknowledged, ticket.pauses) == ("open", 1, None, ())
    assert [clock.since for clock in ticket.clocks] == [1200]
    (first,) = ticket.cycles
    assert (first.clocks[0].since, first.acknowledged, first.resolved, first.still) == (1000, 1060, 1100, True)
    assert first.pauses == (Pause(1060, 1100, "why"),)
    record(2000, None)
    record(3000, "high")
    assert [cycle.still for cycle in store.ticket(1).ticket.cycles] == [True, False], "it was away in between"
    assert len(store.ticket(1).ticket.cycles[0].pauses) == 1
    assert kinds(store)[-4:] == ["cleared", "resolved", "reopened", "added"]


def test_there_is_one_open_ticket_of_a_cause(store: Store, record: Record) -> None:
    record(1000, "high")
    record(2000, None)
    record(2000 + 15 * 86400, "high")  # too late to reopen: a new one
    with pytest.raises(UpkeepError, match="cannot be reopened") as error:
        store.reopen(1, "ann", "", 3e6)
    assert "#2 is open" in error.value.found


def test_the_next_ticket_of_the_cause_shows_what_was_learned(store: Store, record: Record) -> None:
    record(1000, "high")
    store.learn(1, "ann", "workaround", "move the logs\x1b[2J\npassword=hunter2", 1100)
    store.learn(1, "ann", "root_cause", "never rotated", 1200)
    store.learn(1, "ann", "root_cause", "never rotated", 1250)
    record(2000, None)
    store.learn(1, "ann", "prevention", "logrotate is part of the role", 2100)  # learned later
    assert kinds(store)[2:4] == ["workaround", "root_cause"]
    store.prune(2000 + 500 * 86400, 400)
    record(2000 + 600 * 86400, "high")
    detail = store.ticket(2)
    assert detail.history[0].kind == "opened"
    assert detail.history[0].text == (
        "P2, after #1; learned from #1: workaround: move the logs password=********; cause: never rotated; "
        "how not to repeat it: logrotate is part of the role"
    )
    assert [(lesson.number, lesson.root_cause) for lesson in detail.learned] == [(1, "never rotated")]
    with pytest.raises(UpkeepError, match="without text"):
        store.learn(1, "ann", "prevention", " ", 1)


def test_lessons_of_the_same_check_elsewhere_come_second(store: Store, record: Record) -> None:
    fallen = "upkeep.host.unreachable"  # a ticket for each host
    for number, host in enumerate(("web1", "web2"), 1):
        record(1000 * number, "high", fallen, host)
        store.learn(number, "ann", "root_cause", f"the switch of {host}", 1000 * number + 10)
        record(1000 * number + 500, None, fallen, host)
    record(5000, "high", OTHER)
    record(6000, "high", fallen, "web3")
    assert [lesson.number for lesson in store.ticket(3).learned] == [], "another check has nothing to teach"
    assert [lesson.number for lesson in store.ticket(4).learned] == [2, 1], "the newest first"
    far = 2000 + 20 * 86400
    record(far, "high", fallen, "web1")
    assert [lesson.number for lesson in store.ticket(5).learned] == [1, 2], "its own cause first"
    assert "the switch of web1" in store.ticket(5).history[0].text


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SUDO_USER", "ann")
    monkeypatch.chdir(tmp_path)

    def do(*words: str, code: int = 0) -> str:
        assert main(["tickets", *words]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return do


def test_the_whole_work_by_the_command(store: Store, record: Record, run: Any) -> None:
    record(time.time() - 600, "critical")
    said = run("ack", "1", "on it")
    assert re.match(r"#1: acknowledged. Now acknowledged by ann, P1, react done, solve \d+ min left.\n", said)
    assert "Critical: first a workaround" in said and len(said.splitlines()) == 2
    assert run("ack", "1").startswith("#1: nothing to do. Now acknowledged by ann")
    assert run("assign", "1").startswith("#1: given to ann. Now acknowledged by ann, P1, whose: ann, react done")
    assert run("assign", "1", "nobody").startswith("#1: given to nobody. Now acknowledged by ann, P1, react done")
    assert "whose: bob" in run("assign", "#1", "bob")
    assert "whose:    bob" in run("show", "1")
    assert re.search(r"ann.*assigned bob", run("show", "1"))
    assert "bob" in run("--assignee", "bob")
    assert "No open tickets of assignee nobody." in run("--assignee", "")
    said = run("wait", "1", "the", "disk", "comes")
    assert said.startswith("#1: waits. Now waiting, P1, whose: bob") and "(its clocks stand still)" in said
    said = run("show", "1")
    assert re.search(r"waits: +since .*: the disk comes", said)
    assert "stands still" in said
    assert "waiting" in run("--state", "waiting")
    assert "stand still" not in (said := run("continue", "1")) and said.startswith("#1: goes on. Now acknowledged")
    said = run("workaround", "1", "logs elsewhere")
    assert said.startswith("#1: workaround noted. ")
    assert "Critical" not in said
    assert "workaround: logs elsewhere" in run("show", "1")
    said = run("resolve", "1", "replaced", "--cause", "old disk")
    assert said.startswith(
        "#1: resolved. Now resolved by ann, P1, whose: bob. The next run confirms it, or reopens it."
    )
    assert "cause:      old disk" in run("show", "1")
    assert "How is it not to happen again? upkeep tickets prevent 1 TEXT" in said
    assert "Why did it come?" not in said
    assert "How is it" not in run("prevent", "1", "disks are watched")
    assert run("reopen", "1", "still slow").startswith("#1: reopened. Now open, P1")
    assert "state:    open" in run("show", "1")
    document = json.loads(run("show", "1", "--json"))
    assert document["hints"] == []
    assert document["prevention"] == "disks are watched"
    assert document["cycles"][0]["pauses"][0]["until"].endswith("Z")
    assert document["history"][-1]["kind"] == "reopened"
    assert json.loads(run("--json"))["tickets"][0]["assignee"] == "bob"
    assert {actor for _action, actor in acts(store)} == {"ann"}


def test_what_is_to_be_done_stands_before_what_was_seen(store: Store, record: Record, run: Any) -> None:
    record(1000, "high")
    store.resolve(1, "ann", "", 1500, cause="old firmware", prevention="watch it")
    record(5_000_000, "high")
    said = run("show", "2")
    places = [said.index(word) for word in ("state:", "to do:", "old firmware", "what was seen", "History")]
    assert places == sorted(places)
    assert said.count("mend it") == 1, "once, where it is the same everywhere"


@pytest.mark.parametrize("words", [["comment"], ["wait"], ["workaround"], ["cause"], ["prevent"]])
@pytest.mark.parametrize("text", [[], [" "]])
def test_what_needs_a_text_asks_for_it(
    store: Store, record: Record, run: Any, words: list[str], text: list[str]
) -> None:
    record(1000, "high")
    said = run(*words, "1", *text, code=2)
    assert f"{words[0]} needs a" in said and f"to do:    as: upkeep tickets {words[0]} 1 " in said
    assert store.ticket(1).ticket.acknowledged is None, "nor does its clock of reaction end"


@pytest.mark.parametrize(
    "words",
    [
        ["prevent"],
        ["show", "1", "x"],
        ["ack", "1", "--cause", "x"],
        ["--prevent", "x"],
        ["ack", "²"],
        ["ack", "9" * 30],
        ["postmortem", "1", "x"],
        ["wiat", "1"],
    ],
)
def test_wrong_use(run: Any, words: list[str]) -> None:
    said = run(*words, code=2)
    assert "is not understood" in said
    assert "Traceback" not in said


# --- the post-mortem --------------------------------------------------------------------------------------------------


def test_a_post_mortem_tells_it_all_and_its_digests_can_be_checked(store: Store, tmp_path: Path, run: Any) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    started = time.time() - 7200
    store.begin_run("r1", "weekly", started, job="weekly", actor="ann", artifacts=str(folder))
    evil = ("```", "| a | b |", "<script>alert(1)</script>", "\x1b[31mred", "token=hunter2", "````` five")
    path = results_file.write(
        folder / "results.jsonl", "r1", [("web1", DISK, "/", "critical")], started=started, evidence=evil
    )
    record_file(store, path, Policy(), started + 60)
    store.wait(1, "ann", "the disk", started + 120)
    store.go_on(1, "ann", "", started + 180)
    store.resolve(1, "ann", "done", started + 400, cause="*old* disk", prevention="watch\nthem")
    store.reopen(1, "bob", "no", started + 500)
    draft = run("postmortem", "1")
    for head in ("# Post-mortem of ticket #1", "## What happened", "## Root cause", "## Evidence", "## Runs"):
        assert head in draft
    assert "\\*old\\* disk" in draft
    assert "_(to be written)_" in draft.partition("## Workaround")[2].partition("##")[0]
    assert "solve (1. time) | 1 h |" in draft
    assert "It waited for somebody else:" in draft
    assert "not resolved yet" in draft
    assert "hunter2" not in draft
    assert "\x1b" not in draft
    # Nothing of the evidence stands outside its block, and none of it closes the block.
    fence = "`" * 6
    block = re.search(rf"^{fence}text\n(.*?)^{fence}$", draft, re.S | re.M)
    assert block is not None
    assert "<script>" in block[1]
    assert "<script>" not in draft.replace(block[1], "")
    entry = store.ticket(1).entries[0]
    assert f"SHA-256: `{postmortem.digest_of(entry)}`" in draft
    assert hashlib.sha256(path.read_bytes()).hexdigest() in draft
    path.unlink()
    assert "not kept (any more)" in run("postmortem", "1")
    assert json.loads(run("postmortem", "1", "--json"))["markdown"].startswith("# Post-mortem")
    # A digest is of the evidence, whoever computes it; other evidence has another one.
    assert postmortem.digest_of(entry) == postmortem.digest_of(store.ticket(1).entries[0])
    assert postmortem.digest_of(entry) != postmortem.digest_of(type(entry)(**{**vars(entry), "evidence": ("x",)}))


def test_a_post_mortem_after_retention(store: Store, record: Record) -> None:
    record(1000, "high")
    store.learn(1, "ann", "root_cause", "x", 1100)
    record(2000, None)
    store.prune(2000 + 500 * 86400, 400)
    detail = store.ticket(1)
    draft = postmortem.draft(detail, postmortem.results_of(store, [1, 2, 99]), sla.Settings(), UTC, 3000)
    assert "1970-01-01 00:33:20" in draft
    assert "not resolved yet" not in draft
