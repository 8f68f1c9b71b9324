# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: whole or as it was, never believed blindly, and nothing under way is thrown away."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import journal as journals
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.journal import Journal, JournalError, Store
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model


def plan(version: str = "2.0-1") -> dict[str, Any]:
    row = {"name": "demo", "arch": "all", "from": "1.0-1", "to": version, "action": "upgrade", "asked": True}
    return plan_model.make("apt", "all", [row])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "patching"))


def saved(store: Store, version: str, now: float, phase: str = "prepared") -> Journal:
    made = Journal(plan(version))
    store.open(made.plan_id)
    made.enter(phase, now)
    store.save(made)
    return made


def test_what_was_saved_is_read_back(store: Store) -> None:
    made = saved(store, "2.0-1", 100.0)
    made.before, made.kept = {"demo:all": "1.0-1"}, {"demo:all": {"file": "demo_1.0-1_all.deb", "sha256": "0"}}
    made.enter("applying", 200.0)
    store.save(made)
    assert store.load(made.plan_id) == made == journals.load(store.base, made.plan_id)
    assert made.times == {"prepared": 100.0, "applying": 200.0}
    assert stat.S_IMODE(os.stat(store.folder(made.plan_id)).st_mode) == 0o700
    assert [name for name in os.listdir(store.folder(made.plan_id)) if name.startswith(".")] == []


def test_there_is_none(store: Store) -> None:
    assert store.newest() is None and store.load("p-0123456789ab") is None and store.ids() == []
    assert journals.newest(store.base) is None


@pytest.mark.parametrize("plan_id", ["", "../../etc", "p-0123456789ab/..", "p-0123456789AB", "p-0123456789abc"])
def test_an_id_is_no_path(store: Store, plan_id: str) -> None:
    with pytest.raises(JournalError, match="not the id of a plan"):
        store.load(plan_id)


@pytest.mark.parametrize(
    "change",
    [
        {"plan": {"id": "p-0123456789ab"}},
        {"phase": "elsewhere"},
        {"before": []},
        {"kept": {"demo:all": {"file": "../../../etc/passwd"}}},
        {"kept": {"demo:all": {"file": "--root=/"}}},
        {"new": {"demo:all": {}}},
        {"new": {"demo:all": "demo.deb"}},
    ],
)
def test_a_damaged_journal_is_told_and_not_followed(store: Store, change: dict[str, Any]) -> None:
    made = saved(store, "2.0-1", 100.0)
    path = Path(store.path(made.plan_id, "journal.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(JournalError, match="is damaged"):
        store.load(made.plan_id)
    assert store.newest() is None
    path.write_text(path.read_text()[:50])
    with pytest.raises(JournalError, match="is damaged"):
        store.load(made.plan_id)


def test_the_newest_is_the_one_last_worked_on(store: Store) -> None:
    first, second = saved(store, "2.0-1", 100.0), saved(store, "3.0-1", 200.0)
    assert store.newest() == second
    first.enter("applied", 300.0)
    store.save(first)
    assert store.newest() == first


def test_old_journals_go_and_what_is_under_way_stays(store: Store) -> None:
    made = [saved(store, f"2.{number}-1", 100.0 + number) for number in range(9)]
    made[0].enter("applying", 50.0)
    made[0].times = {"applying": 50.0}
    store.save(made[0])
    made[1].times, made[1].phase = {"rolling_back": 51.0}, "rolling_back"
    store.save(made[1])
    removed = store.prune(spare=made[2].plan_id)
    assert sorted(removed) == sorted([made[3].plan_id])
    assert {journal.plan_id for journal in store.all()} == {made[n].plan_id for n in (0, 1, 2, 4, 5, 6, 7, 8)}


def test_a_phase_that_is_none(store: Store) -> None:
    with pytest.raises(ValueError, match="no phase"):
        Journal(plan()).enter("done", 1.0)


def test_one_session_at_a_time(store: Store) -> None:
    program = (
        "import sys; from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.journal import Store\n"
        "with Store(sys.argv[1]).alone() as mine: print(mine)"
    )
    command = [sys.executable, "-c", program, store.base]
    with store.alone() as mine:
        assert mine
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be written"):
        Store(str(tmp_path / "file" / "base")).open("p-0123456789ab")


def test_a_folder_that_others_may_write_to_is_not_believed(store: Store) -> None:
    made = saved(store, "2.0-1", 100.0)
    os.chmod(store.base, 0o777)
    for attempt in (lambda: store.load(made.plan_id), lambda: store.open(made.plan_id)):
        with pytest.raises(JournalError, match="only this account may write"):
            attempt()
    os.chmod(store.base, 0o700)
    other = Store(store.base + "-link")
    os.symlink(store.base, other.base)
    with pytest.raises(JournalError, match="only this account may write"):
        other.load(made.plan_id)
