# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plain table of findings: the worst first, bounded, within the terminal's width."""

from __future__ import annotations

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import finding
from ansible_collections.upkeep.maintenance.plugins.plugin_utils.table import FindingsTable


def record(severity: str, host: str = "web1", subject: str = "apt", summary: str = "Something is wrong.") -> dict:
    return {"type": "finding", "host": host, "finding": finding("a.b.c", subject, severity, summary, remedy="mend it")}


def lines(records: list[dict], columns: int = 100, rows: int = 10) -> list[str]:
    table = FindingsTable()
    for one in records:
        table.add(one)
    return list(table.lines(columns, rows))


def test_the_worst_come_first_and_what_was_cut_is_told() -> None:
    shown = lines([record("low"), record("critical", "db1"), record("info"), record("high")], rows=2)
    body = [line for line in shown if line.startswith(("critical", "high", "medium", "low", "info"))]
    assert [line.split()[0] for line in body] == ["critical", "high"]
    assert shown[-1] == "… and 2 more finding(s)"
    assert "1 critical, 1 high, 1 low, 1 info" in shown[1]


def test_among_equals_the_first_found_comes_first() -> None:
    shown = lines([record("high", f"web{number}") for number in range(5)])
    assert [line.split()[1] for line in shown if line.startswith("high")] == [f"web{number}" for number in range(5)]


def test_thousands_of_mild_findings_never_push_out_a_bad_one() -> None:
    shown = lines([record("critical", "db1"), *(record("low", f"h{number}") for number in range(5000))], rows=1)
    assert any(line.startswith("critical") for line in shown)
    assert shown[-1] == "… and 5000 more finding(s)"


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    wide = "日本語の要約" * 20
    shown = lines(
        [record("high", "a-very-long-host-name-of-a-machine.example.com", "/var/lib/some/path" * 4, "w" * 250)], columns
    )
    assert max(map(len, shown)) <= columns
    assert lines([record("high", summary=wide)], columns)


def test_nothing_found_says_what_was_looked_at() -> None:
    shown = lines(
        [
            {"type": "coverage", "host": "web1", "coverage": [{"check": "a.b.c", "subject": "*"}]},
            {"type": "host", "host": "web1", "state": "ok"},
            {"type": "host", "host": "web2", "state": "unreachable"},
        ]
    )
    assert shown == ["", "UPKEEP: nothing found; 1 check(s); hosts: 1 ok, 1 unreachable"]
    assert lines([]) == ["", "UPKEEP: nothing was looked at; 0 check(s); hosts: none"]
