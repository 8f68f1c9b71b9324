# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that carries out a transaction: found, followed, ended, and whole whatever becomes of who began it.

Real processes, without systemd: as a session of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import transaction
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.journal import Store
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.transaction import CannotStart, Command
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host, Ran

PLAN = "p-0123456789ab"
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


class Plain(Host):
    """This machine, as if it had no systemd."""

    def exists(self, path: str) -> bool:
        return path != "/run/systemd/system" and super().exists(path)

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = 0) -> Ran:
        return Ran(127, "", "not found")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(str(tmp_path / "base"))
    made.open(PLAN)
    return made


def shell(text: str, when: str = "ok", counts: bool = True) -> Command:
    return Command(["sh", "-c", text], when, counts)


def begin(store: Store, *commands: Command, token: str = "t1") -> Host:
    host = Plain()
    transaction.start(host, store, PLAN, token, commands, ENVIRONMENT)
    return host


def wait_for(path: Path) -> None:
    until = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.02)


def test_commands_run_in_order_and_their_ends_are_kept(store: Store) -> None:
    host = begin(
        store, shell("echo one; echo $SECRET"), shell("exit 3"), shell("echo never"), shell("echo mended", "failed"),
        shell("echo last; exit 1", "always", counts=False), shell("echo on"),
    )  # fmt: skip
    ended, still = transaction.follow(host, store, PLAN, "t1", host.now() + 30)
    assert ended is not None and not still
    assert [result["rc"] for result in ended.results] == [0, 3, 0, 0] and ended.ok
    log = [line for line in store.read(PLAN, "transaction.log").splitlines() if line and not line.startswith("==")]
    assert log == ["one", "mended", "last", "on"]
    assert transaction.outcome(store, PLAN, "t2") is None  # of another transaction


def test_a_program_that_is_not_there(store: Store) -> None:
    host = begin(store, Command(["/nowhere/apt-get", "-y"]))
    ended, _still = transaction.follow(host, store, PLAN, "t1", host.now() + 30)
    assert ended is not None and ended.results[0]["rc"] == 127 and not ended.ok


def test_it_outlives_who_began_it_and_is_found_again(store: Store, tmp_path: Path) -> None:
    go = tmp_path / "go"
    program = (
        "import os, signal, sys\n"
        "from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import transaction\n"
        "from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.journal import Store\n"
        "from tests.unit.plugins.applying.test_transaction import Plain, shell, ENVIRONMENT, PLAN\n"
        f"work = shell('touch {tmp_path}/begun; until [ -e {go} ]; do sleep 0.05; done')\n"
        "transaction.start(Plain(), Store(sys.argv[1]), PLAN, 't1', [work], ENVIRONMENT)\n"
        f"while not os.path.exists('{tmp_path}/begun'): pass\n"
        "os.killpg(0, signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[4]
    env = dict(os.environ, PYTHONPATH=str(root))
    ran = subprocess.run([sys.executable, "-c", program, store.base], env=env, start_new_session=True, check=False)
    assert ran.returncode == -signal.SIGKILL
    host = Plain()
    at_work = transaction.running(host, store)
    assert at_work is not None and at_work.plan_id == PLAN
    assert transaction.follow(host, store, PLAN, "t1", host.now() + 0.5) == (None, True)
    go.touch()
    ended, still = transaction.follow(host, store, PLAN, "t1", host.now() + 30)
    assert ended is not None and ended.ok and not still


def test_there_is_never_a_second_one(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = begin(store, shell(f"touch {tmp_path}/begun; exec sleep 60"))
    wait_for(tmp_path / "begun")
    ticks = iter(range(0, 1000, 5))
    monkeypatch.setattr(host, "now", lambda: float(next(ticks)))
    with pytest.raises(CannotStart, match="another transaction"):
        transaction.start(host, store, PLAN, "t2", [shell("true")], ENVIRONMENT)
    monkeypatch.undo()
    # And where two begin in the same moment, the second runner leaves without touching anything.
    runner = [sys.executable, "-I", store.path(PLAN, "runner.py"), store.folder(PLAN), store.base]
    assert subprocess.run(runner, check=False, timeout=30).returncode == 75
    assert transaction.end(host, store, PLAN)


def test_it_is_ended_with_all_that_it_started(store: Store, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    host = begin(store, shell(f"trap '' TERM; sleep 600 & echo $! > {pid}.part; mv {pid}.part {pid}; wait; wait"))
    wait_for(pid)
    child = int(pid.read_text())
    # SIGTERM, as at a shutdown, does not end it: what it runs comes to its end.
    at_work = transaction.running(host, store)
    assert at_work is not None
    os.kill(at_work.pid, signal.SIGTERM)
    time.sleep(0.3)
    assert transaction.running(host, store) is not None
    os.kill(child, 0)
    assert transaction.end(host, store, PLAN)
    assert transaction.running(host, store) is None
    ended = transaction.outcome(store, PLAN, "t1")
    assert ended is not None and not ended.ok and ended.ended_by == "request"
    until = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_killed_from_outside_it_has_no_outcome(store: Store, tmp_path: Path) -> None:
    host = begin(store, shell(f"touch {tmp_path}/begun; exec sleep 5"))
    wait_for(tmp_path / "begun")
    at_work = transaction.running(host, store)
    assert at_work is not None
    os.kill(at_work.pid, signal.SIGKILL)
    assert transaction.follow(host, store, PLAN, "t1", host.now() + 30) == (None, False)
