# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ./run-tests says at its end: nothing that failed or was left out may get lost on the way to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.run.report import (
    FAILED,
    PASSED,
    SKIPPED,
    PartReport,
    Test,
    read_allowed_skips,
    read_junit,
    refuse_skips,
    summary,
)

JUNIT = """<?xml version="1.0" ?>
<testsuites><testsuite name="pytest">
  <testcase classname="tests.unit.a" name="test_good"/>
  <testcase classname="tests.unit.a" name="test_bad"><failure message="assert 1 == 2">long text</failure></testcase>
  <testcase classname="tests.unit.a" name="test_broken"><error message="fixture failed"/></testcase>
  <testcase classname="sanity" name="pylint"><skipped>No tests applicable.</skipped></testcase>
  <testcase name="test_left_out"><skipped message="no  network
     here"/></testcase>
</testsuite></testsuites>"""


def test_junit_gives_each_test_its_outcome_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "unit.xml"
    path.write_text(JUNIT, encoding="utf-8")
    assert read_junit(path) == [
        Test("tests.unit.a::test_good", PASSED),
        Test("tests.unit.a::test_bad", FAILED, "assert 1 == 2"),
        Test("tests.unit.a::test_broken", FAILED, "fixture failed"),
        Test("sanity::pylint", SKIPPED, "No tests applicable."),
        Test("test_left_out", SKIPPED, "no network here"),
    ]


@pytest.mark.parametrize("content", [None, "", "<testsuites><testcase name='cut"])
def test_a_report_that_is_missing_or_cut_off_is_a_failure(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "unit.xml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    (test,) = read_junit(path)
    assert test.outcome == FAILED
    assert str(path) in test.why


def test_a_part_without_a_passed_test_is_not_ok() -> None:
    assert not PartReport("fleet").ok
    assert not PartReport("fleet", [Test("a", SKIPPED, "no root")]).ok
    assert PartReport("fleet", [Test("a", SKIPPED, "no root"), Test("b", PASSED)]).ok
    assert not PartReport("fleet", [Test("a", FAILED), Test("b", PASSED)]).ok


def test_in_ci_only_allowed_skips_stay_skips() -> None:
    allowed = read_allowed_skips("# a comment\n\nunit::*windows*  # no Windows host here\n")
    assert allowed == {"unit::*windows*": "no Windows host here"}
    report = PartReport("unit", [Test("test_windows_updates", SKIPPED, "x"), Test("test_disk", SKIPPED, "y")])
    refuse_skips(report, allowed)
    assert [test.outcome for test in report.tests] == [SKIPPED, FAILED]
    assert report.tests[1].why.endswith("y")


@pytest.mark.parametrize("line", ["unit::x", "unit::x  # ", "unit::x # one space"])
def test_a_skip_is_allowed_with_a_reason_only(line: str) -> None:
    with pytest.raises(ValueError, match="line 1: expected 'pattern  # reason'"):
        read_allowed_skips(line)


def test_the_last_line_counts_the_tests_of_all_parts() -> None:
    reports = [
        PartReport("static", [Test("ruff", PASSED), Test("mypy", FAILED, "mypy ended with 1")], 3.21),
        PartReport("unit", [Test("a", PASSED), Test("b", SKIPPED, "no network")], 4.0),
    ]
    lines = summary(reports, 7.3).splitlines()
    assert lines[-1] == "2 passed, 1 failed, 1 skipped"
    assert lines[-2] == ""
    text = "\n".join(lines)
    assert re.search(r"failed:\n  static  mypy\n      mypy ended with 1\n", text)
    assert re.search(r"skipped:\n  unit  b\n      no network\n", text)
    assert re.search(r"^static +FAILED +1 +1 +0 +3\.2$", text, re.M)
    assert re.search(r"^unit +ok +1 +0 +1 +4\.0$", text, re.M)
    assert summary(reports[:1], 1).splitlines()[-1] == "1 passed, 1 failed"
