# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd unit: the command and the role make the same one, and systemd takes it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest

from upkeep.service import install
from upkeep.service.unit import Unit, quoted, text

ROLE = Path(__file__).parents[3] / "roles" / "service"
UNITS = [
    Unit(("/opt/upkeep/bin/upkeep", "scheduler"), "/var/lib/upkeep", "upkeep"),
    Unit(("/opt/a b/100%/$x", "scheduler", "--config", 'a"b'), "/srv/with space", "ops", remote_only=True),
]


@pytest.mark.parametrize("unit", UNITS, ids=["plain", "odd"])
def test_the_command_and_the_role_make_the_same_unit(unit: Unit) -> None:
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    environment.tests["search"] = lambda value, pattern: re.search(pattern, value) is not None
    template = environment.from_string((ROLE / "templates" / "upkeep.service.j2").read_text())
    made = template.render(
        service_command=unit.command,
        service_home=unit.home,
        service_user=unit.user,
        service_remote_only=unit.remote_only,
    )
    assert made == text(unit)


@pytest.mark.parametrize(
    "unit", [*UNITS, Unit(("/usr/bin/upkeep", "scheduler"), "/home/a/b")], ids=["plain", "odd", "own"]
)
def test_systemd_understands_it(unit: Unit, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("expected systemd-analyze, found none; to do: apt-get install systemd")
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o755)
    path = tmp_path / "upkeep.service"
    command = (str(tmp_path / "program"), *unit.command[1:])
    path.write_text(text(Unit(command, unit.home, unit.user and "root", unit.remote_only)))
    ran = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True)
    assert "upkeep.service" not in ran.stderr, ran.stderr


def test_one_of_a_users_own_manager_asks_for_nothing_of_the_systems() -> None:
    lines = text(Unit(("/usr/bin/upkeep", "scheduler"), "/home/a/b")).splitlines()
    assert lines[0].endswith("systemctl --user edit upkeep")
    assert "WantedBy=default.target" in lines
    # A user's manager knows neither other users nor the system's targets, and its home needs no folder made.
    for word in ("User=", "EnvironmentFile=", "WorkingDirectory=", "Wants=", "After="):
        assert not [line for line in lines if line.startswith(word)]


def test_words_are_quoted_for_systemd() -> None:
    assert quoted("/plain/word") == "/plain/word"
    assert quoted("a b") == '"a b"'
    assert quoted('50%"$x') == '"50%%\\"$$x"'


def test_what_is_to_be_done_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "SYSTEM", tmp_path)
    monkeypatch.setattr(install, "_call", lambda _words: subprocess.CompletedProcess([], 1, "", ""))
    wanted = install.Wanted(Unit(("/bin/x", "scheduler"), str(tmp_path / "home"), "root"))
    assert [step.told for step in install.steps(wanted)] == [
        f"make the folder {tmp_path}/home",
        f"write {tmp_path}/upkeep.service",
        "let systemd read it",
        "start it at boot",
        "start it",
    ]
    assert install.difference(wanted).count("\n+") > 10
    for step in install.steps(wanted)[:2]:
        step.do()
    assert install.difference(wanted) == ""
    assert [step.told for step in install.steps(wanted)] == ["start it at boot", "start it"]
    assert len(install.removal(wanted)) == 3
