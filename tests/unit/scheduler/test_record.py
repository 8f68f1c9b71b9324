# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording a results file: from its lines to runs, findings and tickets; what is broken, hostile, late or repeated."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.upkeep.maintenance.plugins.module_utils import _results
from tests.unit.scheduler import results_file
from upkeep import record
from upkeep.errors import FINDINGS, HOSTS_FAILED, NOT_RUN, OK, WRONG_USE, UpkeepError
from upkeep.reconcile import Policy, Rule
from upkeep.record import record_file
from upkeep.store import Store, open_store

DISK = "capacity.disk.full"
PATCH = "patch.security.pending"
POLICY = Policy()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "home") as opened:
        yield opened


def everything(store: Store) -> Any:
    """All that the store shows."""
    tickets = store.tickets(None)
    return tickets, [store.ticket(ticket.number) for ticket in tickets], [store.run(run.number) for run in store.runs()]


def test_from_findings_to_a_ticket_and_its_end(store: Store, tmp_path: Path) -> None:
    both = [("web1", PATCH, "*"), ("web2", PATCH, "*")]
    first = results_file.write(
        tmp_path / "1", "r1", [("web1", PATCH, "nginx", "high"), ("web2", PATCH, "curl", "low")], coverage=both
    )
    done = record_file(store, first, POLICY, 1011.0, job="weekly")
    assert (done.already, done.exit_code, done.notes) == (False, FINDINGS, ())
    assert done.run.counts == {"critical": 0, "high": 1, "medium": 0, "low": 1, "info": 0}
    assert (done.run.job, done.run.state, done.run.finished, done.run.complete) == ("weekly", "finished", 1010.0, True)
    assert done.run.hosts == {"ok": 2, "failed": 0, "unreachable": 0}
    assert [found.subject for found in done.findings] == ["nginx", "curl"]
    (change,) = done.changes
    assert (change.what, change.priority, change.added) == ("opened", "P2", 2)
    assert change.title == f"{PATCH} of nginx is high"

    second = results_file.write(tmp_path / "2", "r2", [("web2", PATCH, "curl", "low")], coverage=both, started=2000)
    (change,) = record_file(store, second, POLICY, 2011.0).changes
    assert (change.what, change.cleared, change.seen) == ("updated", 1, 1)
    (ticket,) = store.tickets()
    assert (ticket.title, ticket.entries, ticket.hosts, ticket.priority) == (f"{PATCH} of curl is low", 1, 1, "P2")

    third = results_file.write(tmp_path / "3", "r3", coverage=both, started=3000)
    done = record_file(store, third, POLICY, 3011.0)
    assert (done.exit_code, [change.what for change in done.changes]) == (OK, ["resolved"])
    assert store.tickets() == []
    detail = store.ticket(change.number)
    assert (detail.ticket.resolved_by, detail.ticket.resolved) == ("upkeep", 3011.0)
    assert [line.kind for line in detail.history] == ["opened", "added", "cleared", "cleared", "resolved"]
    assert [line.run for line in detail.history] == [1, 1, 2, 3, 3]
    assert detail.entries[0].evidence == ("what was seen",)
    assert detail.entries[0].remedy == "mend it"


def test_a_file_is_recorded_once(store: Store, tmp_path: Path) -> None:
    path = results_file.write(tmp_path / "1", "r1", [("web1", DISK, "/", "critical")])
    record_file(store, path, POLICY, 1011.0)
    before = everything(store)
    again = record_file(store, path, POLICY, 5000.0)
    assert (again.already, again.changes, again.exit_code) == (True, (), FINDINGS)
    assert everything(store) == before


def test_a_run_that_was_cut_off_clears_nothing_and_can_be_recorded_again_when_it_is_whole(
    store: Store, tmp_path: Path
) -> None:
    covered = [("web1", DISK, "*")]
    record_file(store, results_file.write(tmp_path / "1", "r1", [("web1", DISK, "/", "high")]), POLICY, 1011.0)
    path = results_file.write(tmp_path / "2", "r2", coverage=covered, started=2000, end=None)
    done = record_file(store, path, POLICY, 2011.0)
    assert (done.run.state, done.run.complete, done.exit_code) == ("interrupted", False, NOT_RUN)
    assert "taken for clean" in done.notes[0]
    assert len(store.tickets()) == 1
    before = everything(store)
    record_file(store, path, POLICY, 2012.0)
    assert everything(store)[:2] == before[:2]
    results_file.write(path, "r2", coverage=covered, started=2000)
    assert [change.what for change in record_file(store, path, POLICY, 2013.0).changes] == ["resolved"]
    assert record_file(store, path, POLICY, 2014.0).already


@pytest.mark.parametrize("state", ["interrupted", "timed_out", "error"])
def test_a_run_that_did_not_finish_clears_nothing(store: Store, tmp_path: Path, state: str) -> None:
    record_file(store, results_file.write(tmp_path / "1", "r1", [("web1", DISK, "/", "high")]), POLICY, 1011.0)
    path = results_file.write(tmp_path / "2", "r2", coverage=[("web1", DISK, "*")], started=2000, end=state)
    assert record_file(store, path, POLICY, 2011.0).exit_code == NOT_RUN
    assert len(store.tickets()) == 1


def test_a_line_that_was_cut_in_its_middle_is_told_and_the_rest_stands(store: Store, tmp_path: Path) -> None:
    path = results_file.write(tmp_path / "1", "r1", [("web1", DISK, "/", "high")], end=None)
    with path.open("a") as file:
        file.write('{"type":"finding","host":"web1","fin')
    done = record_file(store, path, POLICY, 1011.0)
    assert done.run.counts["high"] == 1
    assert "Line 3 of the file is cut off" in done.notes[0]


@pytest.mark.parametrize(
    ("hosts", "findings", "expected"),
    [
        ({"web1": "ok"}, [("web1", DISK, "/", "low")], OK),
        ({"web1": "ok"}, [("web1", DISK, "/", "medium")], FINDINGS),
        ({"web1": "failed"}, [("web1", DISK, "/", "critical")], HOSTS_FAILED),
        ({"web1": "ok", "web2": "unreachable"}, [], HOSTS_FAILED),
    ],
)
def test_exit_codes(store: Store, tmp_path: Path, hosts: dict[str, str], findings: Any, expected: int) -> None:
    path = results_file.write(tmp_path / "1", "r1", findings, hosts=hosts)
    done = record_file(store, path, POLICY, 1011.0)
    assert done.exit_code == expected
    assert [host.host for host in done.hosts] == sorted(hosts, key=lambda host: hosts[host] == "ok")


RUN = _results.line(_results.run_record("r1", "weekly", False, 1000.0))
END = _results.line(_results.end_record(1010.0, "finished"))


def of_finding(**change: Any) -> str:
    """A finding's line, with what the contract's maker would not let through."""
    made = {"check": DISK, "subject": "/", "severity": "high", "summary": "full", **change}
    return json.dumps({"type": "finding", "host": "web1", "finding": made}) + "\n"


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", 1, "a record of type run"),
        (END, 1, "a record of type run first"),
        (RUN.replace('"format":1', '"format":2'), 1, "another one needs another version"),
        (RUN.replace("1000.0", "NaN"), 1, "JSON"),
        (RUN.replace("1000.0", "-5"), 1, "started: seconds since the epoch"),
        (RUN.replace("1000.0", "1e400"), 1, "started: seconds since the epoch"),
        (RUN.replace('"r1"', '" "'), 1, "id: a text"),
        (RUN.replace('"r1"', "7"), 1, "id: a text"),
        (RUN.replace("false", '"no"'), 1, "check_mode: true or false"),
        (RUN + RUN + END, 2, "a record of type finding"),
        (RUN + END + END, 3, "nothing after the record of type end"),
        (RUN + '{"type":"finding"\n' + END, 2, "JSON"),
        (RUN + "[1]\n" + END, 2, "a JSON object"),
        (RUN + "[" * 100_000 + "\n" + END, 2, "JSON"),
        (RUN + "9" * 10_000 + "\n" + END, 2, "JSON"),
        (RUN + '{"type":"finding","host":"","finding":{}}\n', 2, "host: a text"),
        (RUN + '{"type":"finding","host":"a","finding":[]}\n', 2, "a finding that keeps the contract"),
        (RUN + '{"type":"finding","host":"a","finding":{"check":"DISK"}}\n', 2, "a finding that keeps the contract"),
        (RUN + of_finding(summary="\x1b[31m"), 2, "a finding that keeps the contract"),
        (RUN + of_finding(subject=" " * 9000 + "/"), 2, "a finding that keeps the contract"),
        (RUN + of_finding(check=DISK + "\n"), 2, "a finding that keeps the contract"),
        (RUN + of_finding(check=DISK + "x" * 200), 2, "a finding that keeps the contract"),
        (RUN + '{"type":"coverage","host":"a","coverage":{}}\n', 2, "coverage: a list"),
        (RUN + '{"type":"coverage","host":"a","coverage":[{}]}\n', 2, "coverage that keeps the contract"),
        (RUN + '{"type":"host","host":"a","state":"gone"}\n', 2, "state: one of ok"),
        (RUN + '{"type":"host","host":"a","state":"ok","ok":-1}\n', 2, "ok: a number of tasks"),
        (RUN + '{"type":"end","finished":1,"state":"done"}\n', 2, "state: one of finished"),
        (RUN + '{"type":"note"}\n', 2, "a record of type finding"),
    ],
)
def test_broken_files_are_refused_by_their_line_and_nothing_is_recorded(
    store: Store, tmp_path: Path, text: str, line: int, expected: str
) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(text)
    with pytest.raises(UpkeepError) as error:
        record_file(store, path, POLICY, 2000.0)
    assert error.value.exit_code == WRONG_USE
    assert f"{path}, line {line}:" in error.value.what
    assert expected in error.value.expected
    assert everything(store) == ([], [], [])


def test_facts_that_are_nested_deep_are_cut(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    facts = json.loads('{"a":' * 500 + "1" + "}" * 500)
    path.write_text(RUN + of_finding(facts=facts) + END)
    (kept,) = record_file(store, path, POLICY, 2000.0).findings
    assert "nested deeper than" in str(kept.facts)


def test_a_broken_last_line_undoes_all_before_it(store: Store, tmp_path: Path) -> None:
    many = [("web1", DISK, f"/{n}", "high") for n in range(3 * record.BATCH)]
    path = results_file.write(tmp_path / "1", "r1", many)
    with path.open("ab") as file:
        file.write(b"\xff\xfe\n")
    with pytest.raises(UpkeepError, match=f"line {3 * record.BATCH + 4}"):
        record_file(store, path, POLICY, 2000.0)
    assert everything(store) == ([], [], [])


def test_files_that_are_none(store: Store, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, found in (
        (tmp_path / "missing", "No such file"),
        (tmp_path, "not an ordinary"),
        (pipe, "not an ordinary"),
    ):
        with pytest.raises(UpkeepError) as error:
            record_file(store, path, POLICY, 2000.0)
        assert error.value.exit_code == WRONG_USE
        assert found in error.value.found


def test_a_line_without_end_is_refused_without_reading_it_whole(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MAX_LINE", 1000)
    path = tmp_path / "1"
    path.write_text(RUN + '"' + "x" * 2000 + '"\n')
    with pytest.raises(UpkeepError, match="line 2") as error:
        record_file(store, path, POLICY, 2000.0)
    assert "at most 1000 bytes" in error.value.expected


def test_hostile_texts_are_cleaned(store: Store, tmp_path: Path) -> None:
    made = {
        "check": DISK,
        "subject": "/\x1b[2J\u202e",
        "severity": "high",
        "summary": "full\x00 \ud800 password=hunter2",
        "evidence": ["token: abcdef", "\x1b]0;title\x07line\nsecond"],
        "remedy": "x" * 5000,
        "facts": {"a\x00b": ["\x9b31m", float(2), None]},
    }
    record_ = {"type": "finding", "host": "web\x1b[31m1", "finding": made}
    path = tmp_path / "1"
    path.write_text(RUN + json.dumps(record_) + "\n" + END)
    (found,) = record_file(store, path, POLICY, 2000.0).findings
    text = repr(found)
    for bad in ("hunter2", "abcdef", "\\x1b", "\\x00", "\\x9b", "\\ud800", "\\u202e", "\\n"):
        assert bad not in text
    assert (found.host, found.subject, len(found.remedy)) == ("web1", "/�", 600)


def test_bounds_of_findings_mute_the_hosts_that_they_are_from(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    covered = [("web1", DISK, "*"), ("web2", DISK, "*")]
    old = [("web1", DISK, "/old", "high"), ("web2", DISK, "/old", "high")]
    record_file(store, results_file.write(tmp_path / "1", "r1", old), POLICY, 1011.0)
    monkeypatch.setattr(record, "MAX_FINDINGS", 3)
    many = [("web1", DISK, f"/{n}", "low") for n in range(5)]
    path = results_file.write(tmp_path / "2", "r2", many, coverage=covered, started=2000)
    done = record_file(store, path, POLICY, 2011.0)
    assert sum(done.run.counts.values()) == 3
    assert "2 findings beyond the first 3" in done.notes[0]
    standing = {(entry.host, entry.subject) for entry in store.ticket(1).entries if entry.cleared is None}
    assert standing == {("web1", "/old"), ("web1", "/0"), ("web1", "/1"), ("web1", "/2")}


def test_bounds_of_evidence_and_coverage(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_EVIDENCE", 100)
    monkeypatch.setattr(record, "MAX_COVERAGE", 1)
    rows = [("web1", DISK, f"/{n}", "low") for n in range(3)]
    path = results_file.write(
        tmp_path / "1", "r1", rows, coverage=[("a", DISK, "*"), ("b", DISK, "*")], evidence=("x" * 40,)
    )
    done = record_file(store, path, POLICY, 1011.0)
    assert [found.evidence[0][:9] for found in done.findings] == ["x" * 9, "x" * 9, "(left out"]
    assert len(done.notes) == 2


def test_of_one_identity_in_a_run_the_worst_is_kept(store: Store, tmp_path: Path) -> None:
    rows = [("web1", DISK, "/", severity) for severity in ("low", "critical", "high")]
    done = record_file(store, results_file.write(tmp_path / "1", "r1", rows), POLICY, 1011.0)
    assert [(found.severity, found.summary) for found in done.findings] == [("critical", f"{DISK} of / is critical")]
    assert done.run.counts["critical"] == sum(done.run.counts.values()) == 1


def test_an_older_run_recorded_late_opens_and_clears_nothing(store: Store, tmp_path: Path) -> None:
    covered = [("web1", DISK, "*")]
    clean = results_file.write(tmp_path / "2", "new", [("web1", PATCH, "x", "low")], coverage=covered, started=5000)
    record_file(store, clean, POLICY, 5011.0)
    old = [("web1", DISK, "/", "high"), ("web1", "capacity.load.high", "cpu", "low")]
    path = results_file.write(tmp_path / "1", "old", old, coverage=[("web1", PATCH, "*")], started=1000)
    done = record_file(store, path, POLICY, 6000.0)
    # Of the load, the newer run said nothing: that stands. The patch was seen after this run looked.
    assert [(change.what, change.title) for change in done.changes] == [("opened", "capacity.load.high of cpu is low")]
    assert "1 finding(s) change no ticket" in done.notes[0]
    assert {ticket.cause for ticket in store.tickets()} == {PATCH, "capacity.load.high"}


@pytest.mark.parametrize("late", ["the long run", "the short run"])
def test_a_look_older_than_the_fault_resolves_nothing(store: Store, tmp_path: Path, late: str) -> None:
    """A long run looked at web1 in its first minute; a short one within it found the fault. In which order ever."""
    hour = 3600.0
    covered = [("web1", DISK, "*")]
    long = results_file.write(tmp_path / "a", "a", coverage=covered, started=10 * hour, finished=12 * hour)
    fault = [("web1", DISK, "/", "high")]
    short = results_file.write(tmp_path / "b", "b", fault, coverage=covered, started=10.5 * hour, finished=10.6 * hour)
    if late == "the long run":
        record_file(store, short, POLICY, 10.7 * hour)
        assert record_file(store, long, POLICY, 12 * hour).changes == ()
    else:
        record_file(store, long, POLICY, 12 * hour)
        done = record_file(store, short, POLICY, 12.1 * hour)
        assert ([change.what for change in done.changes], done.notes) == (["opened"], ())
    assert [ticket.number for ticket in store.tickets()] == [1]
    # A run that began after the fault was seen, and found nothing, ends it.
    path = results_file.write(tmp_path / "c", "c", coverage=covered, started=13 * hour)
    assert [change.what for change in record_file(store, path, POLICY, 14 * hour).changes] == ["resolved"]


def test_a_clock_that_was_an_hour_fast_does_not_make_later_runs_stale(store: Store, tmp_path: Path) -> None:
    covered = [("web1", DISK, "*")]
    fault = [("web1", DISK, "/", "high")]
    record_file(store, results_file.write(tmp_path / "1", "r1", coverage=covered, started=8600), POLICY, 8611.0)
    done = record_file(
        store, results_file.write(tmp_path / "2", "r2", fault, coverage=covered, started=5000), POLICY, 5011.0
    )
    assert [change.what for change in done.changes] == ["opened"]
    path = results_file.write(tmp_path / "3", "r3", coverage=covered, started=5100)
    assert [change.what for change in record_file(store, path, POLICY, 5111.0).changes] == ["resolved"]


def test_a_file_dated_in_the_future_counts_from_now(store: Store, tmp_path: Path) -> None:
    path = results_file.write(tmp_path / "1", "r1", [("web1", DISK, "/", "high")], started=9e8)
    record_file(store, path, POLICY, 5000.0)
    assert store.ticket(1).entries[0].last_seen == 5000.0


def test_a_raised_priority_keeps_its_clocks(store: Store, tmp_path: Path) -> None:
    for number, severity in enumerate(("low", "critical", "low")):
        path = results_file.write(
            tmp_path / "f", f"r{number}", [("web1", DISK, "/", severity)], started=1000 * number + 1
        )
        done = record_file(store, path, POLICY, 1000.0 * number + 20)
        assert done.changes[0].old_priority == ("P3" if number == 1 else None)
    (ticket,) = store.tickets()
    assert [(clock.priority, clock.since) for clock in ticket.clocks] == [("P3", 20.0), ("P1", 1020.0)]
    assert (ticket.priority, ticket.severity) == ("P1", "low")


def test_a_ticket_resolved_by_a_person_is_reopened_and_later_followed(store: Store, tmp_path: Path) -> None:
    day = 86400.0

    def run(number: int, at: float) -> Any:
        path = results_file.write(tmp_path / "f", f"r{number}", [("web1", DISK, "/", "high")], started=at - 20)
        return record_file(store, path, POLICY, at).changes[0]

    run(1, day)
    store.acknowledge(1, "ann", "on it", 1.1 * day)
    store.resolve(1, "ann", "cleaned up", 1.2 * day)
    assert run(2, 2 * day).what == "reopened"
    ticket = store.ticket(1).ticket
    assert (ticket.state, ticket.reopened, ticket.acknowledged, ticket.resolved_by) == ("open", 1, None, "")
    assert [clock.since for clock in ticket.clocks] == [2 * day]
    store.resolve(1, "ann", "", 3 * day)
    change = run(3, 18 * day)
    assert (change.what, change.number, change.follows) == ("opened", 2, 1)
    assert (store.ticket(2).follows, store.ticket(1).followed_by) == (1, 2)
    assert store.ticket(1).ticket.key != store.ticket(2).ticket.key
    assert run(4, 19 * day).what == "seen"
    assert [ticket.number for ticket in store.tickets()] == [2]
    store.resolve(2, "ann", "", 20 * day)
    path = results_file.write(tmp_path / "f", "r5", coverage=[("web1", DISK, "*")], started=21 * day)
    assert [change.what for change in record_file(store, path, POLICY, 21.1 * day).changes] == ["confirmed"]


def test_the_file_of_a_run_that_is_still_under_way_is_refused(store: Store, tmp_path: Path) -> None:
    store.begin_run("r1", "weekly", 1000.0, job="weekly")
    path = results_file.write(tmp_path / "1", "r1", [("web1", DISK, "/", "high")], end=None)
    # This very process may: it knows that its run is over.
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with open_store(None, tmp_path / "home") as other:
                record_file(other, path, POLICY, 1011.0)
        except UpkeepError as error:
            code = 7 if "still under way" in error.what else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    done = record_file(store, path, POLICY, 1011.0)
    assert (done.run.number, done.run.job, done.run.state) == (1, "weekly", "interrupted")


def test_what_the_run_said_of_its_end_holds_where_its_file_has_none(store: Store, tmp_path: Path) -> None:
    store.begin_run("r1", "weekly", 1000.0, actor="ann", artifacts="/somewhere")
    store.end_run("r1", "timed_out", 1500.0, "longer than 8 minutes")
    path = results_file.write(tmp_path / "1", "r1", [("web1", DISK, "/", "high")], end=None)
    run = record_file(store, path, POLICY, 1511.0).run
    assert (run.state, run.finished, run.message, run.actor) == ("timed_out", 1500.0, "longer than 8 minutes", "ann")
    assert store.ticket(1).entries[0].last_seen == 1500.0


def test_coverage_in_check_mode_says_nothing_of_tasks(store: Store, tmp_path: Path) -> None:
    task = _results.TASK_FAILED
    record_file(store, results_file.write(tmp_path / "1", "r1", [("web1", task, "Gather", "medium")]), POLICY, 1011.0)
    path = results_file.write(tmp_path / "2", "r2", coverage=[("web1", task, "Gather")], started=2000, check_mode=True)
    assert record_file(store, path, POLICY, 2011.0).changes == ()
    failing = [("web1", task, "Report", "medium")]
    path = results_file.write(tmp_path / "3", "r3", failing, started=3000, check_mode=True)
    done = record_file(store, path, POLICY, 3011.0)
    assert (done.changes, len(done.notes)) == ((), 1)


def test_many_tickets_at_once(store: Store, tmp_path: Path) -> None:
    rows = [(f"h{n}", DISK, "/", "low") for n in range(1200)]
    policy = Policy((Rule("*", group_by="host"),))
    done = record_file(store, results_file.write(tmp_path / "1", "r1", rows), policy, 1011.0, findings_limit=10)
    assert [change.number for change in done.changes] == list(range(1, 1201))
    assert len(done.findings) == 10
    assert len(store.tickets(limit=5000)) == 1200


SEVERITIES = st.sampled_from(["critical", "high", "medium", "low", "info"])
IDENTITIES = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([DISK, PATCH]), st.sampled_from(["x", "y"]))
RUNS = st.lists(
    st.fixed_dictionaries(
        {
            "findings": st.dictionaries(IDENTITIES, SEVERITIES, max_size=5),
            "coverage": st.lists(IDENTITIES, max_size=5),
            "end": st.sampled_from(["finished", "finished", "interrupted", None]),
            "close": st.booleans(),
        }
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RUNS)
def test_the_store_keeps_to_the_evidence(
    tmp_path_factory: pytest.TempPathFactory, sequence: list[dict[str, Any]]
) -> None:
    """As the model of test_reconcile.py, through the real tables."""
    folder = tmp_path_factory.mktemp("sequence")
    evidence: dict[tuple[str, str, str], str] = {}
    now = 0.0
    with open_store(None, folder) as store:
        for number, run in enumerate(sequence):
            now += 86400
            if run["close"]:
                for ticket in store.tickets():
                    store.resolve(ticket.number, "ann", "", now - 5000)
            rows = [(*identity, severity) for identity, severity in run["findings"].items()]
            path = results_file.write(
                folder / "f", f"r{number}", rows, coverage=run["coverage"], end=run["end"], started=now - 60
            )
            record_file(store, path, POLICY, now)
            if run["end"] == "finished":
                evidence = {one: how for one, how in evidence.items() if one not in run["coverage"]}
            evidence |= run["findings"]
            evidence = {one: how for one, how in evidence.items() if how != "info"}
            details = [store.ticket(ticket.number) for ticket in store.tickets(None)]
            entries = [entry for detail in details for entry in detail.entries if entry.cleared is None]
            standing = {(entry.host, entry.check, entry.subject): entry.severity for entry in entries}
            assert len(entries) == len(standing)
            assert standing == evidence
            for detail in details:
                here = [entry for entry in detail.entries if entry.cleared is None]
                assert detail.ticket.entries == len(here)
                assert detail.ticket.hosts == len({entry.host for entry in here})
                if here:
                    assert detail.ticket.title in {entry.summary for entry in here}
                    assert detail.ticket.severity == here[0].severity
            open_causes = [ticket.cause for ticket in store.tickets()]
            assert len(open_causes) == len(set(open_causes))
