# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real runs by ansible-runner: what hosts and people do to them, and what must be left of it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rig import PYTHON, Rig, finding
from upkeep.running import leftovers, processes

LOOK = {"name": "Look", "upkeep.maintenance.says": {"result": {"findings": [finding()], "coverage": []}}}
CLEAN = {
    "name": "Look",
    "upkeep.maintenance.says": {
        "result": {"findings": [], "coverage": [{"check": "area.thing.fault", "subject": "*"}]}
    },
}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def found(document: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(one["host"], one["check"], one["subject"]) for one in document["findings"]}


def test_findings_open_one_ticket_and_its_end_resolves_it(rig: Rig) -> None:
    bad, good = rig.playbook("bad.yml", LOOK), rig.playbook("good.yml", CLEAN)
    code, first = rig.run(bad)
    assert code == 1
    assert found(first) == {("h1", "area.thing.fault", "it"), ("h2", "area.thing.fault", "it")}
    assert [(one["what"], one["added"]) for one in first["tickets"]] == [("opened", 2)]
    assert first["run"]["state"] == "finished"
    assert {one["host"]: one["state"] for one in first["hosts"]} == {"h1": "ok", "h2": "ok"}
    code, second = rig.run(bad)
    assert code == 1
    assert [one["what"] for one in second["tickets"]] == ["seen"]
    code, third = rig.run(good, "--limit", "h1")
    assert code == 0
    assert [(one["what"], one["cleared"]) for one in third["tickets"]] == [("updated", 1)]
    code, last = rig.run(good)
    assert code == 0
    assert [one["what"] for one in last["tickets"]] == ["resolved"]


def test_an_unreachable_host_resolves_nothing_and_is_a_ticket_of_its_own(rig: Rig) -> None:
    rig.run(rig.playbook("bad.yml", LOOK))
    rig.write("hosts", rig.hosts("h1") + "h2 ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n")
    code, document = rig.run(rig.playbook("good.yml", CLEAN))
    assert code == 3
    assert found(document) == {("h2", "upkeep.host.unreachable", "h2")}
    (gone,) = document["findings"]
    assert "Connection refused" in gone["summary"]
    assert gone["remedy"] == "Try: ansible -i INVENTORY h2 -m ansible.builtin.ping -vvv"
    assert sorted((one["what"], one["cleared"]) for one in document["tickets"]) == [("opened", 0), ("updated", 1)]


def test_a_finding_that_breaks_the_contract_is_a_fault_of_its_module_and_the_rest_stands(rig: Rig) -> None:
    result = {
        "findings": [finding(), {"check": "Bad Name", "severity": "terrible"}],
        "coverage": [{"check": "a.b.c", "subject": "*"}],
    }
    _code, document = rig.run(
        rig.playbook("p.yml", {"name": "Look", "upkeep.maintenance.says": {"result": result}}), "-l", "h1"
    )
    assert found(document) == {
        ("h1", "area.thing.fault", "it"),
        ("h1", "upkeep.contract.broken", "upkeep.maintenance.says"),
    }
    assert not any(
        entry["check"] == "a.b.c" for record in rig.records(document) for entry in record.get("coverage", [])
    )


@pytest.mark.parametrize(
    "hostile", ["[red]not red[/red] :smile:", "\x1b]0;title\x07\x1b[31mred", "a\ud800b", "x" * 5000]
)
def test_hostile_texts_reach_nobody(rig: Rig, hostile: str) -> None:
    answer = rig.folder / "answer.json"
    answer.write_text(json.dumps({"findings": [finding(subject=hostile)], "coverage": []}))
    playbook = rig.playbook("p.yml", {"name": "Look", "upkeep.maintenance.says": {"path": str(answer)}})
    done = rig.upkeep("run", playbook, "-i", rig.inventory, "-l", "h1")
    assert "\x1b" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if hostile.startswith("["):
        assert "[red]not red[/red] :smile:" in done.stdout


def test_an_answer_of_50_mb_is_told_and_its_coverage_not_believed(rig: Rig) -> None:
    playbook = rig.playbook("p.yml", {"name": "Flood", "upkeep.maintenance.floods": {}})
    code, document = rig.run(playbook, "-l", "h1")
    assert code == 1
    assert found(document) == {("h1", "upkeep.result.lost", "Flood")}
    assert sum(path.stat().st_size for path in Path(document["artifacts"]).iterdir()) < 200_000


def test_a_failure_of_50_mb_on_the_terminal_is_bounded(rig: Rig) -> None:
    playbook = rig.playbook("p.yml", {"name": "Flood", "upkeep.maintenance.floods": {"fail": True}})
    code, document = rig.run(playbook, "-l", "h1")
    assert code == 3
    assert found(document) == {("h1", "upkeep.task.failed", "Flood")}
    assert "too large" in document["findings"][0]["summary"]
    assert sum(path.stat().st_size for path in Path(document["artifacts"]).iterdir()) < 200_000


def test_output_that_is_not_utf_8_fails_its_task_and_nothing_else(rig: Rig) -> None:
    playbook = rig.playbook(
        "p.yml", {"name": "Garble", "upkeep.maintenance.garbles": {}, "when": "inventory_hostname == 'h1'"}, LOOK
    )
    code, document = rig.run(playbook)
    assert code == 3
    assert ("h1", "upkeep.task.failed", "Garble") in found(document)
    assert ("h2", "area.thing.fault", "it") in found(document)


def test_a_host_cannot_forge_the_events_of_another(rig: Rig) -> None:
    rig.run(rig.playbook("bad.yml", LOOK))
    playbook = rig.playbook("p.yml", {"name": "Forge", "upkeep.maintenance.forges": {}})
    _code, document = rig.run(playbook, "-l", "h2")
    records = rig.records(document)
    # The attack did arrive: ansible-runner took the forged event for one, and cut it out of the warning's text.
    assert "[WARNING]: \n" in (Path(document["artifacts"]) / "ansible.log").read_text()
    assert not any(record.get("host") == "h1" for record in records)
    assert all(one["cleared"] == 0 for one in document["tickets"])


def test_no_python_on_the_host(rig: Rig) -> None:
    rig.write("hosts", "h1 ansible_connection=local ansible_python_interpreter=/nowhere/python3\n")
    code, document = rig.run(rig.playbook("p.yml", LOOK))
    assert code == 3
    (one,) = document["findings"]
    assert (one["check"], one["subject"]) == ("upkeep.task.failed", "Look")
    assert one["remedy"] == "Install Python 3.8 or newer on h1, or set ansible_python_interpreter to where it is."


def test_no_sudo_rights(rig: Rig) -> None:
    sudo = rig.write("sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    sudo.chmod(0o755)
    rig.write(
        "hosts", rig.hosts("h1", more=f"ansible_become=true ansible_become_user=daemon ansible_become_exe={sudo}")
    )
    code, document = rig.run(rig.playbook("p.yml", LOOK))
    assert code == 3
    (one,) = document["findings"]
    assert one["check"] == "upkeep.task.failed"
    assert "sudo: a password is required" in json.dumps(one)
    assert one["remedy"] == (
        "Give the connecting user of h1 sudo rights, or a become password (ansible_become_password, from a vault)."
    )


def test_ignored_and_rescued_failures_are_none_and_the_last_one_is(rig: Rig) -> None:
    fails = {"ansible.builtin.command": "false"}
    code, document = rig.run(
        rig.playbook(
            "p.yml",
            {"name": "Ignored", **fails, "ignore_errors": True},
            {"block": [{"name": "Rescued", **fails}], "rescue": [{"ansible.builtin.debug": {"msg": "all right"}}]},
            {"name": "Counts", **fails, "when": "inventory_hostname == 'h1'"},
        )
    )
    assert code == 3
    assert found(document) == {("h1", "upkeep.task.failed", "Counts")}


def test_a_loop_is_told_item_by_item(rig: Rig) -> None:
    results = [{"findings": [finding(subject=name)], "coverage": []} for name in ("a", "b")]
    task = {"name": "Look", "upkeep.maintenance.says": {"result": "{{ item }}"}, "loop": results}
    _code, document = rig.run(rig.playbook("p.yml", task), "-l", "h1")
    assert found(document) == {("h1", "area.thing.fault", "a"), ("h1", "area.thing.fault", "b")}


def test_checks_that_do_not_apply_are_shown_with_why_and_how_to_force_them(rig: Rig) -> None:
    skip = {"check": "area.disk.failing", "why": "smartctl is not there", "force": "apt-get install smartmontools"}
    result = {"findings": [], "coverage": [], "not_applicable": [skip]}
    playbook = rig.playbook("p.yml", {"name": "Look", "upkeep.maintenance.says": {"result": result}})
    code, document = rig.run(playbook)
    assert code == 0
    assert document["skipped"] == [{**skip, "hosts": 2}]
    shown = rig.upkeep("run", playbook, "-i", rig.inventory).stdout
    assert "area.disk.failing (2 hosts): smartctl is not there; to have it: apt-get install smartmontools" in shown


def test_secrets_and_traces_of_the_run_are_not_left_behind(rig: Rig) -> None:
    playbook = rig.playbook(
        "p.yml",
        {"name": "Tell", "ansible.builtin.fail": {"msg": "login with password={{ word }} failed"}},
    )
    _code, document = rig.run(playbook, "-l", "h1", "-e", "word=hunter2", SOME_TOKEN="s3cr3t-in-environment")
    folder = Path(document["artifacts"])
    left = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert "hunter2" not in left + json.dumps(document)
    assert "s3cr3t-in-environment" not in left
    assert sorted(path.name for path in folder.iterdir()) == ["ansible.log", "results.jsonl"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_variables_are_given_as_ansible_takes_them_and_not_by_arguments(rig: Rig) -> None:
    rig.write("more.yml", "fourth: from a file\n")
    playbook = rig.playbook(
        "p.yml",
        {
            "ansible.builtin.assert": {
                "that": ["first == 'two words'", "second == '1'", "third == [3]", "fourth == 'over'"]
            }
        },
        {"ansible.builtin.shell": "! tr '\\0' '\\n' </proc/$(pgrep -of ansible-playbook.*p.yml)/cmdline | grep -q two"},
    )
    words = ["-e", "first='two words' second=1", "-e", '{"third": [3]}', "-e", "@more.yml", "-e", "fourth=over"]
    code, document = rig.run(playbook, "-l", "h1", *words)
    assert (code, document["findings"]) == (0, [])


def test_the_settings_of_ansible_cfg_in_the_current_folder_hold(rig: Rig) -> None:
    rig.write("ansible.cfg", "[defaults]\nforks = 3\nhost_key_checking = False\n")
    check = "from ansible import constants as C; assert (C.DEFAULT_FORKS, C.HOST_KEY_CHECKING) == (3, False)"
    playbook = rig.playbook("p.yml", {"ansible.builtin.command": {"argv": [sys.executable, "-c", check]}})
    assert rig.run(playbook, "-l", "h1")[0] == 0
    rig.write("ansible.cfg", "")
    check = check.replace("False", "True").replace("3, ", "5, ")
    playbook = rig.playbook("p.yml", {"ansible.builtin.command": {"argv": [sys.executable, "-c", check]}})
    assert rig.run(playbook, "-l", "h1")[0] == 0  # ansible-runner by itself would turn the check of host keys off


def test_a_playbook_that_asks_is_told_at_once_rather_than_left_waiting(rig: Rig) -> None:
    prompt = [{"name": "word", "prompt": "The word"}]
    playbook = rig.playbook("p.yml", {"ansible.builtin.debug": {"msg": "{{ word }}"}}, vars_prompt=prompt)
    code, document = rig.run(playbook)
    assert (code, document["error"]["what"]) == (2, "the playbook asks for the variable word")
    assert document["run"]["state"] == "error"
    assert rig.run(playbook, "-e", "word=given")[0] == 0


def test_settings_that_ask_for_passwords_do_not_leave_a_run_waiting(rig: Rig) -> None:
    rig.write(
        "ansible.cfg",
        "[defaults]\nask_pass = True\nask_vault_pass = True\n[privilege_escalation]\nbecome_ask_pass = True\n",
    )
    assert rig.run(rig.playbook("p.yml", {"ansible.builtin.ping": None}))[0] == 0


# --- ended from outside -----------------------------------------------------------------------------------------------

SLEEP = "86321"
"""Seconds, unlike those of anybody else's sleep on this machine."""


def sleepers() -> int:
    return int(subprocess.run(["pgrep", "-fc", f"^sleep {SLEEP}"], capture_output=True, text=True, check=False).stdout)


class Terminal:
    """`upkeep` on a terminal of its own, as a person has it."""

    def __init__(self, rig: Rig, *words: str | Path) -> None:
        self.main, self.side = pty.openpty()
        self.before = termios.tcgetattr(self.side)
        self.said = b""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "upkeep", *map(str, words)],
            cwd=rig.folder,
            env=rig.environment(TERM="xterm"),
            stdin=self.side,
            stdout=self.side,
            stderr=self.side,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def read(self, seconds: float) -> None:
        ready, _, _ = select.select([self.main], [], [], seconds)
        if ready:
            self.said += os.read(self.main, 65536)

    def until_asleep(self, hosts: int) -> None:
        deadline = time.monotonic() + 60
        while sleepers() < hosts:
            assert time.monotonic() < deadline and self.process.poll() is None, self.said
            self.read(0.1)

    def end(self) -> int:
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.said
            self.read(0.1)
        self.read(0.1)
        return self.process.returncode


HANG = {"name": "Hang", "ansible.builtin.command": f"sleep {SLEEP}"}


@pytest.mark.parametrize("how", ["ctrl-c", "ctrl-c twice", "SIGTERM", "SIGHUP"])
def test_ended_by_a_person(rig: Rig, how: str) -> None:
    rig.run(rig.playbook("bad.yml", LOOK))
    terminal = Terminal(rig, "run", rig.playbook("p.yml", CLEAN, HANG), "-i", rig.inventory)
    terminal.until_asleep(2)
    if how.startswith("ctrl-c"):
        os.write(terminal.main, b"\x03")
        if how.endswith("twice"):
            time.sleep(0.2)
            os.write(terminal.main, b"\x03")
    else:
        terminal.process.send_signal(getattr(signal, how))
    assert terminal.end() == 4
    assert sleepers() == 0
    assert termios.tcgetattr(terminal.side) == terminal.before
    said = terminal.said.decode()
    assert said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l")  # the cursor is there again
    assert "upkeep: the run was interrupted" in said
    assert "the task 'Hang'; running: h1, h2" in said
    runs = json.loads(rig.upkeep("runs", "--json").stdout)["runs"]
    assert runs[0]["state"] == "interrupted"
    tickets = json.loads(rig.upkeep("tickets", "--json").stdout)["tickets"]
    assert [one["entries"] for one in tickets] == [2]  # it had been seen clean, in a run that did not come to its end
    assert not processes.of_run(runs[0]["id"])


def test_a_module_that_will_not_end_is_killed(rig: Rig) -> None:
    task = {"ansible.builtin.shell": f"trap '' TERM INT HUP; while :; do sleep {SLEEP}; done"}
    terminal = Terminal(rig, "run", rig.playbook("p.yml", task), "-i", rig.inventory, "-l", "h1")
    terminal.until_asleep(1)
    os.write(terminal.main, b"\x03")
    assert terminal.end() == 4
    assert sleepers() == 0


def test_a_task_that_hangs_ends_with_the_time_limit_and_is_a_finding(rig: Rig) -> None:
    began = time.monotonic()
    code, document = rig.run(rig.playbook("p.yml", CLEAN, HANG), "--time-limit", "5s")
    assert time.monotonic() - began < 30
    assert (code, document["run"]["state"]) == (4, "timed_out")
    assert document["error"]["what"] == "the run was ended at its time limit"
    assert document["error"]["found"] == "at the task 'Hang'; running: h1, h2"
    assert found(document) == {("h1", "upkeep.task.failed", "Hang"), ("h2", "upkeep.task.failed", "Hang")}
    assert "did not end before the time limit" in document["findings"][0]["summary"]
    assert sleepers() == 0


def test_a_daemon_that_a_local_task_starts_outlives_a_run_that_ends_well(rig: Rig) -> None:
    start = {"ansible.builtin.shell": f"setsid sleep {SLEEP} >/dev/null 2>&1 </dev/null &"}
    try:
        assert rig.run(rig.playbook("p.yml", start), "-l", "h1")[0] == 0
        assert sleepers() == 1
    finally:
        subprocess.run(["pkill", "-f", f"^sleep {SLEEP}"], check=False)


def test_a_run_whose_upkeep_was_killed_is_ended_by_the_next_look(rig: Rig) -> None:
    rig.playbook("p.yml", HANG)
    rig.write("upkeep.yml", "inventory: hosts\njobs: {mine: {playbook: p.yml, extra_vars: {word: hunter2}}}\n")
    terminal = Terminal(rig, "run", "mine")
    terminal.until_asleep(2)
    terminal.process.kill()
    terminal.process.wait()
    (folder,) = (rig.home / "runs").iterdir()
    try:
        # It goes on without us, and its secrets lie there: that is what must be cleared up.
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes.of_run(folder.name)]
        assert any(b"ansible-playbook" in command for command in commands)
        assert "hunter2" in (folder / "runner" / "job-vars.json").read_text()
        shown = rig.upkeep("runs")
        assert re.search(r"mine +interrupted +- +- +-", shown.stdout), shown.stdout
        assert (processes.of_run(folder.name), sleepers()) == (set(), 0)
        assert sorted(path.name for path in folder.iterdir()) == ["ansible.log", "results.jsonl"]
    finally:
        processes.end_all(folder.name)
    (run,) = json.loads(rig.upkeep("runs", "--json").stdout)["runs"]
    assert (run["state"], run["finished"]) == ("interrupted", None)


def test_hosts_are_visited_with_the_run_s_variables_and_those_that_cannot_be_are_named(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in rig.environment().items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("ANSIBLE_FORCE_COLOR", "1")
    rig.write(
        "hosts",
        'h1 ansible_connection="{{ how }}"\nh2 ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n',
    )
    variables = rig.write("vars.json", '{"how": "local"}')
    run_id = f"run-{os.getpid()}"
    left = subprocess.Popen(["sleep", SLEEP], env={**os.environ, leftovers.MARK: run_id})
    try:
        both = ["h1", "h2"]
        words = ["-e", f"@{variables}"]
        assert leftovers.end([str(rig.inventory)], both, run_id, [], given_up=lambda: False) == both
        assert left.poll() is None
        assert leftovers.end([str(rig.inventory)], both, run_id, words, given_up=lambda: False) == ["h2"]
        assert left.wait(5) == -signal.SIGTERM
    finally:
        left.kill()
        left.wait()


def test_hosts_that_cannot_be_visited_after_the_time_limit_are_named(rig: Rig) -> None:
    # An ssh that hangs in the first session, and reaches nobody afterwards.
    marker = rig.folder / "seen"
    ssh = rig.write("ssh", f"#!/bin/sh\n[ -e {marker} ] && exit 255\n: > {marker}\nsleep {SLEEP}\n:\n")
    ssh.chmod(0o755)
    rig.write("hosts", f"h1 ansible_connection=ssh ansible_ssh_executable={ssh} ansible_python_interpreter={PYTHON}\n")
    code, document = rig.run(rig.playbook("p.yml", HANG), "--time-limit", "5s")
    assert (code, document["run"]["state"]) == (4, "timed_out")
    assert document["error"]["found"] == (
        "what it began may go on there, for they were not visited again: h1; at the task 'Hang'; running: h1"
    )
    assert sleepers() == 0


# --- memory -----------------------------------------------------------------------------------------------------------

MEASURE = """
import json, resource, sys, time, uuid
from pathlib import Path
from upkeep.running import runner
folder = Path(sys.argv[3]); folder.mkdir()
seen = [0]
def watch(event): seen[0] += 1
outcome = runner.carry_out(runner.Plan(sys.argv[1], (sys.argv[2],)), folder, str(uuid.uuid4()), time.time(), watch)
print(json.dumps([outcome.state, seen[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def test_memory_does_not_grow_with_the_number_of_events(rig: Rig) -> None:
    peaks = []
    for number, items in enumerate((10, 200)):
        playbook = rig.playbook(
            f"{items}.yml", {"ansible.builtin.debug": {"msg": "x" * 50_000}, "loop": list(range(items))}
        )
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, playbook, rig.inventory, rig.folder / f"run-{number}"],
            env=rig.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        state, seen, peak = json.loads(done.stdout)
        assert (state, seen >= 2 * items) == ("finished", True)  # two hosts
        peaks.append(peak)
    # 400 events with 20 MB of results and as much output.
    assert peaks[1] - peaks[0] < 8 * 1024, peaks
