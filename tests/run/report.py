# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ran and how it ended: reading JUnit files, judging skips, the table at the end."""

from __future__ import annotations

import fnmatch
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

PASSED = "passed"
FAILED = "failed"
SKIPPED = "skipped"


@dataclass(frozen=True)
class Test:
    """One test: its name within its part, ``passed``, ``failed`` or ``skipped``, and why if not passed."""

    __test__ = False  # pytest, which looks for classes of this name

    name: str
    outcome: str
    why: str = ""


@dataclass
class PartReport:
    """What one part of the run gave. A part that ran no test has failed: nothing was proven."""

    name: str
    tests: list[Test] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, outcome: str) -> int:
        """The number of tests that ended so."""
        return sum(test.outcome == outcome for test in self.tests)

    @property
    def ok(self) -> bool:
        """Whether something passed and nothing failed."""
        return self.count(FAILED) == 0 and self.count(PASSED) > 0


def read_junit(path: Path) -> list[Test]:
    """The tests of a JUnit file, as pytest and ansible-test write them.

    A file that is missing or cut off (the writer was killed) is a failed test, not an empty list.
    """
    try:
        cases = ET.parse(path).getroot().iter("testcase")
        return [_junit_test(case) for case in cases]
    except (OSError, ET.ParseError) as error:
        return [Test(path.stem, FAILED, f"no readable report {path}: {error}")]


def _junit_test(case: ET.Element) -> Test:
    name = "::".join(part for part in (case.get("classname"), case.get("name")) if part)
    for tag, outcome in (("failure", FAILED), ("error", FAILED), ("skipped", SKIPPED)):
        found = case.find(tag)
        if found is not None:
            why = found.get("message") or found.text or "no reason given"
            if why.endswith(":"):  # ansible-test: only the text says what it is
                why += f" {found.text}"
            return Test(name, outcome, " ".join(why.split())[:200])
    return Test(name, PASSED)


def read_allowed_skips(text: str) -> dict[str, str]:
    """Patterns of tests (``part::name``) that may be skipped in CI, each with its reason: ``pattern  # reason`` a line.

    Raises ValueError for a line without a reason.
    """
    allowed: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, mark, reason = line.partition("  # ")
        if not mark or not reason.strip():
            raise ValueError(f"line {number}: expected 'pattern  # reason', found {line!r}")
        allowed[pattern.strip()] = reason.strip()
    return allowed


def refuse_skips(report: PartReport, allowed: dict[str, str]) -> None:
    """Turn each skip that is not allowed into a failure: in CI all is installed, so nothing may be left out."""
    report.tests = [
        Test(test.name, FAILED, f"skipped, which CI does not allow: {test.why}")
        if test.outcome == SKIPPED
        and not any(fnmatch.fnmatchcase(f"{report.name}::{test.name}", pattern) for pattern in allowed)
        else test
        for test in report.tests
    ]


def summary(reports: list[PartReport], total_seconds: float) -> str:
    """The end of a run: failures and skips with their reasons, the table, and the line that CI reads."""
    lines: list[str] = []
    for outcome, title in ((FAILED, "failed"), (SKIPPED, "skipped")):
        rows = [(report.name, test) for report in reports for test in report.tests if test.outcome == outcome]
        if rows:
            lines += ["", f"{title}:"]
            lines += [f"  {part}  {test.name}" + (f"\n      {test.why}" if test.why else "") for part, test in rows]
    lines += ["", f"{'part':<12} {'result':<7} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}"]
    for report in reports:
        counts = f"{report.count(PASSED):>7} {report.count(FAILED):>7} {report.count(SKIPPED):>8}"
        lines.append(f"{report.name:<12} {'ok' if report.ok else 'FAILED':<7} {counts} {report.seconds:>8.1f}")
    passed, failed, skipped = (sum(r.count(o) for r in reports) for o in (PASSED, FAILED, SKIPPED))
    lines += [f"{'all':<12} {'':<7} {passed:>7} {failed:>7} {skipped:>8} {total_seconds:>8.1f}", ""]
    lines.append(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return "\n".join(lines)
