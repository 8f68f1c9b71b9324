# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The selection of parts, the Debian packages, and children that must end."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.run import machine
from tests.run.__main__ import _parse, _run_part
from tests.run.machine import ROOT, TIMED_OUT, SetupError, install_packages, read_packages, run
from tests.run.parts import PARTS, Part
from tests.run.report import FAILED


def test_without_a_selection_all_run_in_order_but_the_benchmarks() -> None:
    selection, options, known = _parse([])
    assert list(selection) == [
        "static",
        "unit",
        "sanity",
        "package",
        "integration",
        "backups",
        "patching",
        "service",
        "fleet",
        "molecule",
    ]
    assert (options, known.json, known.lanes) == ([], False, 3)


def test_a_selection_keeps_names_with_their_part_and_the_order_of_the_parts() -> None:
    assert _parse(["molecule", "weekly", "static", "mypy", "ruff"])[0] == {
        "static": ["mypy", "ruff"],
        "molecule": ["weekly"],
    }
    selection, options, known = _parse(["unit", "--", "-k", "disk"])
    assert (selection, options, known.json, known.lanes) == ({"unit": []}, ["-k", "disk"], False, 1)
    selection, options, known = _parse(["bench", "review", "--json"])
    assert (selection, options, known.json) == ({"bench": ["review"]}, [], True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["units"], "no part 'units'"),
        (["--json"], "--json goes with bench alone"),
        (["--", "-k", "x"], "name it"),
        (["unit", "fleet", "--", "-x"], "name it"),
        (["--lanes", "2", "unit", "plugins"], "goes with whole parts"),
        (["--report", "x.json", "unit", "fleet"], "goes with one part"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        _parse(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["unit", "static", "molecule", "bench"])
def test_a_name_that_a_part_does_not_have_fails_it(name: str) -> None:
    report = _run_part(PARTS[name], ["no-such-thing"], [])
    assert [test.outcome for test in report.tests] == [FAILED]
    assert "no-such-thing" in report.tests[0].why or "found none" in report.tests[0].why


def test_pytest_finding_no_test_is_a_failure(tmp_path: Path) -> None:
    folder = ROOT / ".cache" / "no-tests-here"
    folder.mkdir(parents=True, exist_ok=True)
    part = Part("empty", "", PARTS["unit"].function, 60, str(folder.relative_to(ROOT)))
    report = _run_part(part, [], [])
    assert not report.ok
    assert report.tests[-1].why == "ended with 5: no test found"


def test_packages_are_those_of_the_chosen_parts() -> None:
    text = "# a comment\n\ngit  # lists files\nmmdebstrap  # [fleet molecule] builds an image\nlibc6-dev # [unit] x\n"
    assert read_packages(text, {"fleet"}) == {"git": "lists files", "mmdebstrap": "builds an image"}
    assert read_packages(text, {"unit"}) == {"git": "lists files", "libc6-dev": "x"}


@pytest.mark.parametrize("line", ["git", "git  #", "Git  # why", "git; rm -rf /  # why", "--yes  # why"])
def test_a_package_needs_a_plain_name_and_a_reason(line: str) -> None:
    with pytest.raises(ValueError, match="line 1: expected"):
        read_packages(line, {"unit"})


def test_the_projects_own_lists_are_well_formed() -> None:
    text = (ROOT / "tests" / "debian-packages.txt").read_text(encoding="utf-8")
    assert "shellcheck" in read_packages(text, {"static"})


def test_who_may_not_install_gets_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine, "_installed", lambda names: set())
    which = shutil.which
    monkeypatch.setattr(machine.shutil, "which", lambda name: None if name == "sudo" else which(name))
    with pytest.raises(SetupError) as refused:
        install_packages({"static"})
    assert str(refused.value).splitlines()[-1] == "  sudo apt-get install -y --no-install-recommends git shellcheck"
    told = capsys.readouterr().err
    assert "shellcheck               checks the shell scripts" in told


def test_what_is_installed_is_not_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine._installed(["dpkg", "no-such-package"]) == {"dpkg"}
    monkeypatch.setattr(machine, "_installed", set)
    install_packages({"static"})  # as root it would run apt-get, otherwise ask for it


def test_a_child_that_hangs_is_ended_with_its_descendants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_GRACE_SECONDS", 0.3)
    beat = tmp_path / "beat"
    # A child that ignores being asked, with a descendant that goes on writing.
    script = f"trap '' INT TERM; (trap '' INT TERM; while :; do date +%N >{beat}; sleep 0.05; done) & wait"
    start = time.monotonic()
    assert run(["sh", "-c", script], limit=0.5) == (TIMED_OUT, "")
    assert time.monotonic() - start < 5
    last = beat.read_text()
    time.sleep(0.3)
    assert beat.read_text() == last


def test_a_child_gets_our_tools_and_not_the_callers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_CONFIG", "/somewhere/ansible.cfg")
    monkeypatch.setenv("UPKEEP_HOME", "/somewhere")
    code, output = run(["sh", "-c", "env; command -v python"], limit=10, capture=True)
    assert code == 0
    assert "/somewhere" not in output
    assert output.rstrip().endswith(str(machine.VENV / "bin" / "python"))
