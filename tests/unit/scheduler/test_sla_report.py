# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of what was kept: courses, pauses, changes of the clocks, words that did not hold."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scheduler import results_file
from upkeep import sla_report
from upkeep.cli import main
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.sla import BusinessHours, Settings
from upkeep.store import Clock, Cycle, Pause, Ticket, open_store

BERLIN = Settings(hours=BusinessHours(time_zone="Europe/Berlin"))
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NOW = 1_800_000_000.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()


def ticket(number: int, priority: str, since: float, react: float | None, solve: float | None, **more: Any) -> Ticket:
    """A ticket that somebody reacted to, and solved, so long after it was opened."""
    made = Ticket(
        number=number,
        key=f"k{number}",
        cause="capacity.disk.full",
        title=f"the disk is full ({number})",
        state="resolved" if solve is not None else "open",
        priority=priority,
        severity="high",
        opened=since,
        updated=since,
        acknowledged=None if react is None else since + react,
        acknowledged_by="ann" if react is not None else "",
        resolved=None if solve is None else since + solve,
        resolved_by="upkeep" if solve is not None else "",
        reopened=0,
        follows=None,
        entries=1,
        hosts=1,
        clocks=(Clock(priority, since),),
    )
    return replace(made, **more)


def rows(tickets: list[Ticket], since: float = NOW - 30 * DAY, now: float = NOW) -> dict[tuple[str, str], Any]:
    made = sla_report.report(tickets, since, now, BERLIN)
    return {(row.priority, row.clock): row for row in made.rows}


def test_kept_missed_and_running_by_priority_and_clock() -> None:
    begun = NOW - 5 * DAY
    found = rows(
        [
            ticket(1, "P2", begun, 5 * MINUTE, 1 * HOUR),
            ticket(2, "P2", begun, 10 * MINUTE, 3 * HOUR),
            ticket(3, "P2", begun, 20 * MINUTE, 6 * HOUR),  # both late
            ticket(4, "P2", begun, 1 * MINUTE, None),  # late, and not done
            ticket(5, "P2", NOW - HOUR, None, None),  # not reacted to, and late by 45 minutes; may still be solved
            ticket(6, "P1", begun, 1 * MINUTE, 30 * MINUTE),
        ]
    )
    react, solve = found["P2", "react"], found["P2", "solve"]
    assert (react.kept, react.missed, react.runs, react.part_kept) == (3, 2, 0, 0.6)
    assert (react.median, react.worst) == (7.5 * MINUTE, 45 * MINUTE)
    assert (solve.kept, solve.missed, solve.runs, solve.part_kept) == (2, 2, 1, 0.5)
    assert (solve.median, solve.worst, solve.promised) == (3 * HOUR, 5 * DAY - 4 * HOUR, 4 * HOUR)
    assert (found["P1", "solve"].part_kept, found["P1", "solve"].worst) == (1.0, 0)


def test_what_is_late_now_and_what_was_the_worst() -> None:
    begun = NOW - 5 * DAY
    made = sla_report.report(
        [
            ticket(1, "P2", begun, 1, 9 * HOUR),
            ticket(2, "P2", begun, 1, None, pauses=(Pause(begun + 5 * HOUR, None),)),
            ticket(3, "P1", NOW - 2 * HOUR, 1, None),
        ],
        NOW - 30 * DAY,
        NOW,
        BERLIN,
    )
    assert [(one.ticket, one.late, one.waits) for one in made.open_breaches] == [
        (3, HOUR, False),
        (2, HOUR, True),
    ]
    assert [(one.ticket, one.late) for one in made.worst] == [(1, 5 * HOUR), (2, HOUR), (3, HOUR)]
    assert made.tickets == 3


def test_what_was_decided_before_does_not_count() -> None:
    old = ticket(1, "P2", NOW - 50 * DAY, MINUTE, 20 * DAY + HOUR)
    found = rows([old], NOW - 30 * DAY)
    assert ("P2", "react") not in found, "that was kept before"
    assert found["P2", "solve"].missed == 1
    assert rows([old], NOW - 29.9 * DAY) == {}


def test_pauses_and_changes_of_the_clocks_in_business_hours() -> None:
    # Friday 27 March 2026 to Monday: the night to Sunday has an hour less, and nobody works in it.
    begun = at("2026-03-27 16:00")
    spring = ticket(1, "P3", begun, MINUTE, at("2026-03-30 14:00") - begun)
    found = rows([spring], begun, begun + 9 * DAY)["P3", "solve"]
    assert (found.kept, found.median) == (1, 7 * HOUR)
    # It waited from Friday 17:00 to Monday 10:00: an hour on Friday and one on Monday do not count.
    waited = replace(spring, pauses=(Pause(at("2026-03-27 17:00"), at("2026-03-30 10:00")),))
    assert rows([waited], begun, begun + 9 * DAY)["P3", "solve"].median == 5 * HOUR
    # Round the clock, the night in which an hour comes twice: by the wall 3 hours, in truth 4.
    begun = at("2026-10-25 00:30")
    autumn = ticket(2, "P2", begun, MINUTE, at("2026-10-25 03:30") - begun)
    found = rows([autumn], begun, begun + DAY)["P2", "solve"]
    assert (found.median, found.kept) == (4 * HOUR, 1)
    late = ticket(3, "P2", begun, MINUTE, at("2026-10-25 03:31") - begun)
    assert rows([late], begun, begun + DAY)["P2", "solve"].missed == 1


def course(since: float, react: float, solve: float, *, still: bool) -> Cycle:
    return Cycle((Clock("P2", since),), (), since + react, "ann", since + solve, "ann", still)


def test_each_course_is_judged_by_itself() -> None:
    begun = NOW - 10 * DAY
    again = ticket(1, "P2", NOW - 2 * DAY, MINUTE, HOUR, cycles=(course(begun, MINUTE, 5 * HOUR, still=False),))
    found = rows([again])
    assert (found["P2", "solve"].kept, found["P2", "solve"].missed) == (1, 1)
    assert (found["P2", "react"].kept, found["P2", "react"].missed) == (2, 0)


def test_a_word_that_did_not_hold_kept_nothing() -> None:
    begun = NOW - DAY
    # Resolved by hand after three hours, in time; found again an hour later, solved two hours after that: six hours.
    again = ticket(1, "P2", begun + 4 * HOUR, MINUTE, 2 * HOUR, cycles=(course(begun, MINUTE, 3 * HOUR, still=True),))
    found = rows([again])
    assert (found["P2", "solve"].kept, found["P2", "solve"].missed, found["P2", "solve"].worst) == (0, 1, 2 * HOUR)
    assert (found["P2", "react"].kept, found["P2", "react"].median) == (1, MINUTE)
    # Twice, and then still open: one course.
    twice = replace(
        ticket(1, "P2", begun + 5 * HOUR, None, None),
        cycles=(course(begun, MINUTE, HOUR, still=True), course(begun + 2 * HOUR, MINUTE, HOUR, still=True)),
    )
    assert len(sla_report.courses(twice)) == 1
    assert rows([twice])["P2", "solve"].worst == 20 * HOUR
    # What it waited in each of them does not count.
    pauses = Pause(begun + 10 * MINUTE, begun + 40 * MINUTE), Pause(begun + 6 * HOUR, begun + 7 * HOUR)
    waited = replace(twice, cycles=(replace(twice.cycles[0], pauses=pauses[:1]), twice.cycles[1]), pauses=pauses[1:])
    assert rows([waited])["P2", "solve"].worst == 18.5 * HOUR


TICKETS = st.lists(
    st.tuples(
        st.sampled_from(["P1", "P2", "P3"]),
        st.integers(1, 60 * 24 * 60),
        st.none() | st.integers(0, 3000),
        st.none() | st.integers(0, 30000),
    ),
    max_size=12,
)


@given(TICKETS, st.integers(0, 70))
def test_every_promise_is_kept_missed_or_runs_and_counted_once(
    given_tickets: list[tuple[str, int, int | None, int | None]], days: int
) -> None:
    made = [
        ticket(
            number,
            priority,
            NOW - ago * MINUTE,
            None if react is None else react * MINUTE,
            None if solve is None else solve * MINUTE,
        )
        for number, (priority, ago, react, solve) in enumerate(given_tickets, 1)
        if (react or 0) <= ago and (solve or 0) <= ago
    ]
    since = NOW - days * DAY
    found = sla_report.report(made, since, NOW, BERLIN)
    wanted = 0
    for one in made:
        reacted = one.acknowledged if one.acknowledged is not None else one.resolved
        wanted += sum(done is None or done >= since for done in (reacted, one.resolved))
    assert sum(row.kept + row.missed + row.runs for row in found.rows) == wanted
    assert sum(row.missed for row in found.rows) >= len(found.open_breaches)
    by_name = sla_report.report(made, since, NOW, BERLIN, lambda one: ["a", "b"] if one.number % 2 else ["a", "a"])
    assert sum(row.kept + row.missed + row.runs for row in by_name.rows if row.name == "a") == wanted


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hosts").write_text("[web]\nweb1\n[front]\nweb1\n[db]\ndb1\n")
    (tmp_path / "upkeep.yml").write_text("inventory: hosts\ntime_zone: UTC\n")
    now = time.time()
    with open_store(None, tmp_path / "home") as store:
        for number, (host, check) in enumerate(
            (("web1", "capacity.disk.full"), ("db1", "patch.security.pending"), ("old9", "patch.x.y")), 1
        ):
            path = results_file.write(tmp_path / "r", f"r{number}", [(host, check, "/", "high")], started=now - 20000)
            record_file(store, path, Policy(), now - 20000 + number)
        store.resolve(1, "ann", "", now - 19000)

    def shown(*words: str) -> dict[str, Any]:
        assert main(["sla", "--json", *words]) == 0
        return dict(json.loads(capsys.readouterr().out))

    def names(*words: str) -> set[str]:
        return {row["name"] for row in shown(*words)["rows"]}

    document = shown()
    solve = next(row for row in document["rows"] if row["clock"] == "solve")
    assert (solve["kept"], solve["missed"], solve["part_kept"]) == (1, 2, pytest.approx(1 / 3))
    assert document["since"].endswith("Z")
    assert [one["ticket"] for one in document["open_breaches"]] == [2, 3, 2, 3]  # to react is later
    assert names("--by", "area") == {"capacity", "patch"}
    assert names("--by", "host") == {"web1", "db1", "old9"}
    assert names("--by", "group") >= {"web", "front", "db", "(no group)"}
    assert shown("--since", "1m")["tickets"] == 2
    assert main(["sla", "--by", "area"]) == 0
    out = capsys.readouterr().out
    assert "Late now" in out
    assert "33 %" not in out
    assert "100 %" in out
    assert main(["sla", "--since", "later"]) == 2


def test_nothing_was_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(["sla"]) == 0
    assert "Nothing was promised" in capsys.readouterr().out
