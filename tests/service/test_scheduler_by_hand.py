# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`upkeep run` beside schedules and other runs: nothing is doubled, nothing collides. Real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.service.schedulers import Schedulers
from upkeep.store import RUNNING

pytestmark = pytest.mark.timeout(200)

MINUTELY = """
  now: {playbook: play.yml, schedule: "* * * * *", changes: false}
"""
GROUPED = """
  one: {playbook: play.yml, extra_vars: {nap: 10}, lock: web}
  two: {playbook: play.yml, extra_vars: {nap: 1}, lock: web}
  other: {playbook: play.yml, extra_vars: {nap: 1}, lock: db}
"""


def rest_of_the_minute(seconds: float) -> None:
    """Come to the beginning of a minute when less than so much of this one is left."""
    if time.time() % 60 > 60 - seconds:
        time.sleep(61 - time.time() % 60)


def test_cron_lines_that_come_at_once_are_one_run(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", MINUTELY) as home:
        home.store().close()
        rest_of_the_minute(40)
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda _n: home.call("run", "now", "--if-due"), range(4)))
        assert [ran.returncode for ran in done] == [0] * 4, [ran.stderr for ran in done]
        assert len([run for run in home.runs() if run[1] == "now"]) == 1
        later = home.call("run", "now", "--if-due", "--json")
        assert json.loads(later.stdout)["run"] is None


def test_a_plain_cron_line_beside_the_service_follows_its_run(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", MINUTELY) as home:
        home.start()
        home.until(lambda: any(job == "now" for _id, job, *_ in home.runs()), 80)
        ran = home.call("run", "now")
        assert ran.returncode == 0, ran.stderr
        assert "carried out by another process" in ran.stderr
        assert len([run for run in home.runs() if run[1] == "now"]) == 1
        again = home.call("run", "now", "--again", "--json")
        assert json.loads(again.stdout)["run"]["number"] > 1


def test_two_runs_of_a_lock_group_wait_for_each_other_and_others_do_not(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", GROUPED) as home:
        home.store().close()
        ended: dict[str, float] = {}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            ran = home.call("run", *words)
            ended[words[0]] = time.monotonic()
            return ran

        first = threading.Thread(target=run, args=("one",))
        first.start()
        home.until(lambda: any(state == RUNNING for *_, state, _pid in home.runs()), 30)
        refused = home.call("run", "two", "--wait", "0")
        assert refused.returncode == 4, refused.stdout
        assert "run 1 of one holds the lock web on h1" in refused.stderr
        assert "upkeep runs cancel 1" in refused.stderr
        with ThreadPoolExecutor(2) as pool:
            waits, passes = pool.map(run, ["two", "other"])
        first.join()
        assert (waits.returncode, passes.returncode) == (0, 0), waits.stderr + passes.stderr
        assert "upkeep: waits, at most" in waits.stderr
        assert ended["other"] < ended["one"] < ended["two"]
        same = home.call("run", "two", "--limit", "h1")
        assert same.returncode == 0, "the locks went with the runs"


def test_the_locks_of_a_run_that_was_killed_are_free(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", GROUPED) as home:
        home.store().close()
        process = subprocess.Popen(
            [sys.executable, "-m", "upkeep", "run", "one"],
            cwd=home.home,
            env=home.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        home.until(lambda: any(state == RUNNING for *_, state, _pid in home.runs()), 30)
        process.kill()
        process.wait()
        assert home.call("run", "two", "--wait", "0").returncode == 0


def test_a_run_is_cancelled_from_elsewhere(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", GROUPED.replace("nap: 10", "nap: 60")) as home:
        home.store().close()
        process = subprocess.Popen(
            [sys.executable, "-m", "upkeep", "run", "one"],
            cwd=home.home,
            env=home.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        home.until(lambda: any(state == RUNNING for *_, state, _pid in home.runs()), 30)
        time.sleep(2)
        told = home.call("runs", "cancel", "1", "--json")
        assert json.loads(told.stdout)["run"]["state"] == "interrupted", told.stderr
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 4
        assert "was cancelled by" in said
        refused = home.call("runs", "cancel", "1")
        assert refused.returncode == 2
        assert "it is interrupted" in refused.stderr
        audited = json.loads(home.call("audit", "--json").stdout)
        assert "run.cancelled" in json.dumps(audited)


def test_a_job_is_paused_and_comes_again(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", MINUTELY) as home:
        assert home.call("jobs", "pause", "now", "the sale").returncode == 0
        assert "already" in home.call("jobs", "pause", "now").stdout
        wrong = home.call("jobs", "pause", "nwo")
        assert wrong.returncode == 2
        assert "did you mean now?" in wrong.stderr
        home.start()
        home.until(lambda: any(one.state == "skipped" for one in home.firings()), 80)
        assert "the sale" in home.firings()[0].why
        assert home.runs() == []
        assert "comes again" in home.call("jobs", "resume", "now").stdout


def test_a_run_is_stopped_before_its_next_batch_when_its_window_ends(tmp_path: Path) -> None:
    from upkeep.running.alive import Alive

    with Schedulers(tmp_path / "home", GROUPED) as home, home.store() as store:
        until = time.time() + 6.0
        folder = home.home / "stop"
        folder.mkdir()
        script = (
            "import sys; from pathlib import Path; from zoneinfo import ZoneInfo\n"
            "from upkeep.running import runner; from upkeep.running.alive import Alive\n"
            "from upkeep.store import open_store\n"
            f"home = Path({str(home.home)!r}); folder = Path({str(folder)!r})\n"
            "store = open_store(None, home); store.begin_run('r', 'play.yml', 1.0, artifacts=str(folder))\n"
            f"alive = Alive(store, 'r', folder, {until}, 'stop', ZoneInfo('UTC'))\n"
            "plan = runner.Plan(str(home / 'play.yml'), (str(home / 'hosts.yml'),), extra_vars={'nap': 9},\n"
            "                   stop_file=str(alive.stop_file))\n"
            "with alive:\n"
            "    out = runner.carry_out(plan, folder, 'r', 1.0, lambda e: None, asked=alive.asked, ended=alive.ended)\n"
            "print(out.state, '|', out.error.what)\n"
        )
        begin = time.monotonic()
        ran = subprocess.run([sys.executable, "-c", script], cwd=home.home, capture_output=True, text=True, timeout=60)
        assert ran.stdout.startswith("interrupted | the run was stopped at the end of its window"), ran.stderr
        assert time.monotonic() - begin < 20
        log = (folder / "ansible.log").read_text()
        assert "changed: [h1]" in log, "the batch that was under way came to its end"
        assert "[h2]" not in log, "the next one did not begin"
        assert store.run("r").run.number == 1
        assert Alive.__doc__


def test_ctrl_c_of_one_that_waits_leaves_nothing(tmp_path: Path) -> None:
    with Schedulers(tmp_path / "home", GROUPED) as home:
        home.store().close()
        words = [sys.executable, "-m", "upkeep", "run"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        first = subprocess.Popen([*words, "one"], cwd=home.home, env=home.environment, **quiet)  # type: ignore[call-overload]
        home.until(lambda: any(state == RUNNING for *_, state, _pid in home.runs()), 30)
        second = subprocess.Popen([*words, "two"], cwd=home.home, env=home.environment, **quiet)  # type: ignore[call-overload]
        with first, second:  # whatever happens, neither is left to the next test
            try:
                assert b"waits" in second.stderr.readline()
                second.send_signal(signal.SIGINT)
                second.communicate(timeout=30)
                assert second.returncode == 4
                first.communicate(timeout=60)
            finally:
                first.kill()
                second.kill()
        assert len(home.runs()) == 1
        assert len(list((home.home / "runs").iterdir())) == 1
