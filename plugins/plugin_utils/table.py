# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of findings as plain text, for runs without the `upkeep` command. Pure."""

from __future__ import annotations

import heapq
import textwrap
import unicodedata

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import OUTCOMES, SEVERITIES

_RANK = {severity: number for number, severity in enumerate(SEVERITIES)}
_HEADS = ("severity", "host", "subject", "found → to do")
_ENDED = {"passed": "passed", "failed": "failed", "cannot": "could not be carried out"}
_KEPT = 1000
"""Findings that are held for the table at the most; all are counted."""


class FindingsTable:
    """Takes records of the results file one by one; holds the worst findings and counts the rest."""

    def __init__(self):
        self.counts = dict.fromkeys(SEVERITIES, 0)
        self.hosts = {}
        self.checks = set()
        self.proofs = dict.fromkeys(OUTCOMES, 0)
        self._worst = []
        self._number = 0

    def add(self, record):
        """Take in one record, of whatever type."""
        if record["type"] == "host":
            self.hosts[record["host"]] = record["state"]
        elif record["type"] == "coverage":
            self.checks.update(entry["check"] for entry in record["coverage"])
        elif record["type"] == "proof":
            self.proofs[record["proof"]["outcome"]] += 1
        elif record["type"] == "finding":
            found = record["finding"]
            self.counts[found["severity"]] += 1
            self._number += 1
            # A heap with the mildest on top; among equals the first found stays.
            entry = (-_RANK[found["severity"]], -self._number, record["host"], found)
            if len(self._worst) < _KEPT:
                heapq.heappush(self._worst, entry)
            else:
                heapq.heappushpop(self._worst, entry)

    def lines(self, columns, rows):
        """The table as lines of at most ``columns`` cells, with at most ``rows`` findings, the worst first."""
        total = sum(self.counts.values())
        states = list(self.hosts.values())
        hosts = ", ".join(
            "%s %s" % (states.count(state), state) for state in ("ok", "failed", "unreachable") if state in states
        )
        said = ", ".join("%s %s" % (count, severity) for severity, count in self.counts.items() if count)
        yield ""
        yield "UPKEEP: %s; %d check(s); hosts: %s" % (
            "findings: " + said if total else "nothing found" if hosts else "nothing was looked at",
            len([name for name in self.checks if not name.startswith("upkeep.")]),
            hosts or "none",
        )
        tests = sum(self.proofs.values())
        if tests:
            ended = ", ".join("%s %s" % (count, _ENDED[outcome]) for outcome, count in self.proofs.items() if count)
            yield "%d test(s) on record: %s" % (tests, ended)
        shown = sorted(self._worst, reverse=True)[: max(rows, 0)]
        if shown:
            yield from _table(shown, max(columns, 60))
        if total > len(shown):
            yield "… and %d more finding(s)" % (total - len(shown))


def _table(entries, columns):
    cells = [
        (found["severity"], host, found["subject"], found["summary"], found.get("remedy", ""))
        for _rank, _number, host, found in entries
    ]
    widths = [max(len(_HEADS[0]), *(len(row[0]) for row in cells))]
    for place, most in ((1, min(24, columns // 5)), (2, min(28, columns // 4))):
        widths.append(min(most, max(len(_HEADS[place]), *(_width(row[place]) for row in cells))))
    widths.append(max(16, columns - sum(widths) - 3 * 2))
    yield _row(_HEADS, widths)
    yield _row(tuple("─" * width for width in widths), widths)
    for severity, host, subject, summary, remedy in cells:
        text = _wrapped(summary, widths[3]) + _wrapped("→ " + remedy if remedy else "", widths[3])
        columns_of_lines = [[severity], _wrapped(host, widths[1]), _wrapped(subject, widths[2]), text]
        for number in range(max(map(len, columns_of_lines))):
            yield _row(tuple(lines[number] if number < len(lines) else "" for lines in columns_of_lines), widths)


def _row(cells, widths):
    padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths))
    return "  ".join(padded).rstrip()


def _wrapped(text, width):
    return textwrap.wrap(text, width, break_long_words=True, break_on_hyphens=False)


def _width(text):
    """Cells that a text takes on a terminal: East Asian wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
