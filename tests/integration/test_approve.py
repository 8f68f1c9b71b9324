# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check, approve, apply, with a real playbook: what was shown is done, and nothing else ever is."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rig import Rig

pytestmark = pytest.mark.timeout(300)  # some fifteen processes, half of them with ansible-playbook


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    made.write(
        "upkeep.yml", json.dumps({"inventory": "one", "jobs": {"patch": {"playbook": "./p.yml", "approve": True}}})
    )
    made.write("one", made.hosts("h1"))
    return made


def tasks(rig: Rig, *more: dict[str, Any]) -> None:
    content = "port=1\npassword=very-secret-word\n"
    copy = {"content": content, "dest": str(rig.folder / "out"), "mode": "0600"}
    rig.playbook("p.yml", {"name": "Write it", "ansible.builtin.copy": copy}, *more)


def waiting(rig: Rig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(rig.upkeep("approvals", "--json").stdout)["approvals"]
    return found


def test_what_was_approved_is_applied_and_only_as_long_as_it_is_the_same(rig: Rig) -> None:
    touched = rig.folder / "touched"
    command = {"name": "Touch", "ansible.builtin.command": f"touch {touched}"}
    tasks(rig, command)
    done = rig.upkeep("run", "patch")
    assert done.returncode == 0 and "waits for approval: upkeep approvals 1" in done.stderr
    assert not (rig.folder / "out").exists() and not touched.exists()

    shown = rig.upkeep("approvals", "1").stdout
    assert "Write it: h1" in shown and "+port=1" in shown and "Touch [it runs unless" in shown
    assert "very-secret-word" not in shown + rig.upkeep("approvals", "1", "--json").stdout
    assert b"very-secret-word" not in (rig.home / "upkeep.db").read_bytes()

    # What a command does cannot be seen in check mode; that it is another one can.
    command["ansible.builtin.command"] = f"touch {touched} {touched}2"
    tasks(rig, command)
    done = rig.upkeep("approve", "1", "--now")
    assert "not applied: what it would do is not what was approved" in done.stderr
    assert not (rig.folder / "out").exists() and not touched.exists()
    (again,) = waiting(rig)
    assert again["run"] == 2

    done = rig.upkeep("approve", "2", "seen", "--now")
    assert done.returncode == 0, done.stderr
    assert (rig.folder / "out").read_text().startswith("port=1") and touched.exists()
    assert waiting(rig) == []
    states = {one["run"]: one for one in json.loads(rig.upkeep("approvals", "--all", "--json").stdout)["approvals"]}
    assert (states[1]["state"], states[2]["state"], states[2]["applied_by_run"]) == ("drifted", "applied", 4)

    refused = rig.upkeep("approve", "2")
    assert refused.returncode == 2 and "is applied already" in refused.stderr
    assert "; applied by run 4" in refused.stderr and "upkeep runs show 4" in refused.stderr
    runs = json.loads(rig.upkeep("runs", "--json").stdout)["runs"]
    assert {one["actor"] for one in runs} == {getpass.getuser()}, "who applies by hand is no scheduler"


def test_what_would_change_nothing_needs_no_word_and_a_failed_check_gives_no_plan(rig: Rig) -> None:
    rig.playbook("p.yml", {"name": "Look", "ansible.builtin.ping": {}})
    assert "it would change nothing" in rig.upkeep("run", "patch").stderr
    rig.playbook("p.yml", {"name": "Fail", "ansible.builtin.fail": {"msg": "no"}})
    assert "check mode failed on 1 host(s): h1" in rig.upkeep("run", "patch").stderr
    assert waiting(rig) == []


def test_rejected_by_hand(rig: Rig) -> None:
    tasks(rig)
    rig.upkeep("run", "patch", "--check")
    assert rig.upkeep("reject", "1", "not before the fair").returncode == 0
    refused = rig.upkeep("approve", "1")
    assert refused.returncode == 2 and "not before the fair" in refused.stderr
    assert rig.upkeep("approve", "7").returncode == 2
    assert not (rig.folder / "out").exists()
