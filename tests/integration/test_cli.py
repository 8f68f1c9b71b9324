# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as a user calls it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _results
from tests.integration.rig import Rig, finding
from upkeep.cli import COMMANDS

LOOK = {"name": "Look", "upkeep.maintenance.says": {"result": {"findings": [finding()], "coverage": []}}}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def errors(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a command: the four lines and nothing else."""
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr


# --- help and wrong use -----------------------------------------------------------------------------------------------


def test_help_names_every_command_and_every_exit_code(rig: Rig) -> None:
    done = rig.upkeep("--help")
    assert done.returncode == 0
    for command, summary in COMMANDS.items():
        assert re.search(rf"^ +{command} +", done.stdout, re.M)
        assert summary.split(",")[0] in " ".join(done.stdout.split())
    assert "exit codes:" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(rig: Rig, command: str) -> None:
    done = rig.upkeep(command, "--help")
    assert done.returncode == 0
    assert "examples:" in done.stdout
    assert f"upkeep {command}" in done.stdout.partition("examples:")[2]
    assert not rig.home.exists()  # to read it changes nothing


def test_version(rig: Rig) -> None:
    assert re.fullmatch(r"upkeep \d+\.\d+\.\d+\n", rig.upkeep("--version").stdout)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["rnu"], ["there is no command 'rnu'", "expected: one of run, record", "to do:    did you mean run?"]),
        (
            ["run"],
            [
                "the command is not understood",
                "expected: upkeep run [-h]",
                "found:    the following arguments are required",
            ],
        ),
        (
            ["run", "weekly", "--lmit", "x"],
            ["found:    --lmit x, which upkeep run does not know", "did you mean --limit?"],
        ),
        (["run", "weekly", "--forks", "many"], ["found:    argument -f/--forks", "'many'"]),
        (["run", "weekly", "--forks", "0"], ["found:    argument -f/--forks", "'0'"]),
        (
            ["run", "wekly"],
            [
                "there is no job 'wekly'",
                "expected: one of backup_restore_test, backup_review, capacity, monthly, patch_state, weekly, ",
                "or a playbook: a file, or one of the collection's (",
                "os_patch",
                "did you mean weekly?",
            ],
        ),
        (
            ["run", "nosuch.yml"],
            ["the playbook nosuch.yml is not there", "expected: a file, seen from the current folder"],
        ),
        (["run", "."], ["there is no job '.'"]),
        (
            ["run", "weekly", "--time-limit", "soon"],
            ["--time-limit is not understood", 'expected: a duration, as "90m"', "found:    soon"],
        ),
        (["run", "weekly", "-i", "nosuch"], ["the inventory nosuch is not there", "found:    nothing of that name"]),
        (
            ["run", "p.yml", "-i", "hosts", "-e", "no pairs"],
            ["-e is not understood", "expected: key=value", "found:    no pairs"],
        ),
        (
            ["run", "p.yml", "-i", "hosts", "-e", "a='b"],
            ["-e is not understood", "a quotation mark that is not closed"],
        ),
        (
            ["tickets", "show"],
            ["expected: upkeep tickets, or upkeep tickets show|ack|resolve|comment N", "found:    upkeep tickets show"],
        ),
        (["tickets", "ack", "twelve"], ["found:    upkeep tickets ack twelve"]),
        (["tickets", "comment", "1"], ["comment needs a text", "to do:    as: upkeep tickets comment 1"]),
        (["tickets", "show", "1"], ["there is no ticket #1"]),
        (["runs", "show"], ["expected: upkeep runs show RUN"]),
        (["runs", "show", "9"], ["there is no run 9"]),
        (["jobs", "next", "no"], ["expected: upkeep jobs, or upkeep jobs next N"]),
        (["--config", "nosuch.yml", "jobs"], ["nosuch.yml is not there", "expected: the file that --config names"]),
        (["jobs", "--config", "nosuch.yml"], ["nosuch.yml is not there", "expected: the file that --config names"]),
        (["record", "nosuch.jsonl"], ["nosuch.jsonl"]),
        (["doctor", "-i", "nosuch"], ["the inventory nosuch is not there"]),
    ],
)
def test_wrong_use_is_told_with_what_to_do(rig: Rig, words: list[str], lines: list[str]) -> None:
    rig.playbook("p.yml", LOOK)
    done = rig.upkeep(*words)
    said = errors(done)
    assert done.returncode == 2
    assert said.startswith("upkeep: ")
    assert "  to do:    " in said
    for line in lines:
        assert line in said
    assert done.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "c.yml", "jobs", "--json"],
        ["--config=c.yml", "jobs", "--json"],
        ["jobs", "--json", "--config", "c.yml"],
    ],
)
def test_config_may_stand_before_the_command_too(rig: Rig, words: list[str]) -> None:
    rig.write("c.yml", "jobs: {mine: {playbook: p.yml}}\n")
    assert "mine" in [job["name"] for job in json.loads(rig.upkeep(*words).stdout)["jobs"]]


def test_no_words_at_all_show_the_help(rig: Rig) -> None:
    done = rig.upkeep()
    assert (done.returncode, done.stdout) == (2, "")
    assert "commands:" in done.stderr


def test_errors_are_json_too(rig: Rig) -> None:
    done = rig.upkeep("run", "wekly", "--json")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document["exit_code"] == 2
    assert document["error"]["what"] == "there is no job 'wekly'"
    assert set(document["error"]) == {"what", "expected", "found", "remedy"}


# --- what keeps a run from being carried out --------------------------------------------------------------------------

GROUPS = "[web]\nweb1\nweb2\n[db]\ndb1\n[all:vars]\nansible_connection=local\n"


@pytest.mark.parametrize(
    ("files", "words", "code", "lines"),
    [
        (
            {"bad": "[web\nx"},
            ["-i", "bad"],
            2,
            ["bad cannot be read", "Completely failed to parse inventory source", "--graph"],
        ),
        (
            {"bad.yml": "all:\n  hosts:\n    a: {\n"},
            ["-i", "bad.yml"],
            2,
            ["bad.yml cannot be read", "YAML parsing failed", "Origin: {folder}/bad.yml:4:1"],
        ),
        (
            {},
            ["-i", "hosts", "--limit", "web3"],
            2,
            ["'web3' in --limit matches no host", "did you mean web or web2", "the inventory knows all, db"],
        ),
        ({}, ["-i", "hosts", "--limit", "web,dbb"], 2, ["'dbb' in --limit matches no host", "did you mean db"]),
        ({}, ["-i", "hosts", "--limit", "web[7]"], 2, ["'web[7]' in --limit matches no host"]),
        ({}, ["-i", "hosts", "--limit", "@nosuch"], 4, ["Unable to find limit file"]),
        ({"p.yml": "- hosts: nobody\n  tasks: []\n"}, ["-i", "hosts"], 2, ["no host was there for", "nobody"]),
        (
            {"p.yml": "- hosts: all\n tasks:\n"},
            ["-i", "hosts"],
            2,
            ["the playbook cannot be read", "Origin: {folder}/p.yml:2:7"],
        ),
        ({"p.yml": "- hosts: all\n  tasks:\n    - nosuch:\n"}, ["-i", "hosts"], 2, ["the module nosuch is not there"]),
        ({"p.yml": "- hosts: all\n  roles: [nosuch]\n"}, ["-i", "hosts"], 2, ["the role nosuch is not there"]),
        (
            {
                "p.yml": "- hosts: all\n  gather_facts: false\n  vars_files: [v.yml]\n  tasks: [{ping: }]\n",
                "v.yml": "VAULT",
            },
            ["-i", "hosts"],
            4,
            ["something is encrypted by Ansible Vault, and its password is not there", "ANSIBLE_VAULT_PASSWORD_FILE"],
        ),
    ],
)
def test_why_a_run_could_not_be_carried_out(
    rig: Rig, files: dict[str, str], words: list[str], code: int, lines: list[str]
) -> None:
    rig.write("hosts", GROUPS)
    rig.write("p.yml", "- hosts: all\n  gather_facts: false\n  tasks: [{ping: }]\n")
    for name, text in files.items():
        rig.write(name, text)
    if files.get("v.yml") == "VAULT":
        rig.write("v.yml", "secret: 1\n")
        rig.write("password", "word\n")
        vault = Path(sys.executable).parent / "ansible-vault"
        subprocess.run(
            [vault, "encrypt", "--vault-password-file", rig.folder / "password", rig.folder / "v.yml"],
            env=rig.environment(),
            capture_output=True,
            check=True,
        )
    done = rig.upkeep("run", "p.yml", *words)
    assert (done.returncode, errors(done) != "") == (code, True)
    for line in lines:
        assert line.replace("{folder}", str(rig.folder)) in done.stderr
    assert "Tickets" not in done.stdout
    assert json.loads(rig.upkeep("tickets", "--json", "--state", "all").stdout)["tickets"] == []


def test_a_host_that_a_broken_inventory_hides_is_not_taken_for_clean(rig: Rig) -> None:
    rig.run(rig.playbook("p.yml", LOOK))
    folder = rig.folder / "inventory"
    folder.mkdir()
    (folder / "a").write_text(rig.hosts("h1"))
    (folder / "b.ini").write_text("[web\nh2")
    done = rig.upkeep("run", "p.yml", "-i", folder)
    assert done.returncode == 2
    assert "cannot be read" in errors(done)
    assert [one["entries"] for one in json.loads(rig.upkeep("tickets", "--json").stdout)["tickets"]] == [2]


def test_a_home_that_cannot_be_written(rig: Rig) -> None:
    rig.write("file", "")
    done = rig.upkeep("run", rig.playbook("p.yml", LOOK), "-i", "hosts", UPKEEP_HOME=str(rig.folder / "file" / "home"))
    assert done.returncode == 4
    assert str(rig.folder / "file") in errors(done)


def test_a_fault_of_ours_is_kept_in_a_file_and_not_shown(rig: Rig) -> None:
    rig.write("upkeep.yml", "inventory: hosts\n")
    code = (
        "import upkeep.config as c, upkeep.cli, sys; c.load = lambda given: 1 / 0; sys.exit(upkeep.cli.main(['jobs']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=rig.environment(TMPDIR=str(rig.folder)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "found:    ZeroDivisionError" in errors(done)
    (kept,) = rig.folder.glob("upkeep-fault-*.txt")
    assert str(kept) in done.stderr
    assert "ZeroDivisionError" in kept.read_text()


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_a_run_as_a_person_sees_it(rig: Rig) -> None:
    playbook = rig.playbook("p.yml", LOOK)
    done = rig.upkeep("run", playbook, "-i", "hosts")
    assert done.returncode == 1
    for words in (
        r"Findings: 2 medium",
        r"medium +h1 +it +it is broken",
        r"→ mend it",
        r"Tickets: 1 opened",
        r"#1 +P3 +opened",
        r"Run 1: finished in \d+ s; hosts: 2 ok",
        r"Artifacts: .*/home/runs/[0-9a-f-]{36}\n",
    ):
        assert re.search(words, done.stdout), words
    assert re.search(r"p.yml: task: Look", done.stderr)
    again = rig.upkeep("run", playbook, "-i", "hosts").stdout
    assert "Tickets: 1 unchanged" in again
    assert "opened" not in again


def test_the_life_of_a_ticket(rig: Rig) -> None:
    rig.run(rig.playbook("p.yml", LOOK))
    listed = rig.upkeep("tickets").stdout
    assert re.search(r"#1 +P3 +open +.*h left|#1 +P3 +open +.*min left", listed)
    shown = rig.upkeep("tickets", "show", "#1").stdout
    assert "area.thing.fault; first seen" in shown
    assert "to do:    mend it" in shown
    acknowledged = rig.upkeep("tickets", "ack", "1", "I am", "on it").stdout
    assert re.fullmatch(r"#1: acknowledged. Now acknowledged by \w+, P3, react done, solve .* left.\n", acknowledged)
    assert "acknowledged I am on it" in rig.upkeep("tickets", "show", "1").stdout
    assert rig.upkeep("tickets", "comment", "1", "disk ordered").stdout.startswith("#1: comment added. Now")
    assert re.match(
        r"#1: resolved. Now resolved by \w+, P3. The next run", rig.upkeep("tickets", "resolve", "1").stdout
    )
    assert rig.upkeep("tickets").stdout == "No open tickets.\n"
    assert "#1" in rig.upkeep("tickets", "--state", "resolved").stdout
    _code, document = rig.run(rig.folder / "p.yml")
    assert [one["what"] for one in document["tickets"]] == ["reopened"]
    (ticket,) = json.loads(rig.upkeep("tickets", "--json").stdout)["tickets"]
    assert ticket["reopened"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", ticket["opened"])
    assert ticket["sla"]["react"]["state"] == "within"


def test_runs_and_one_run(rig: Rig) -> None:
    assert "No runs yet" in rig.upkeep("runs").stdout
    rig.run(rig.playbook("p.yml", LOOK), "--check")
    assert re.search(
        r"1 +\d{4}-\d\d-\d\d \d\d:\d\d +.*p\.yml +finished \(check\) +\d+ s +2 ok +2 medium", rig.upkeep("runs").stdout
    )
    shown = rig.upkeep("runs", "show", "1").stdout
    for words in ("in check mode", "artifacts: ", "h1", "tasks ok", "it is broken"):
        assert words in shown
    document = json.loads(rig.upkeep("runs", "show", "1", "--json").stdout)
    assert len(document["findings"]) == 2


def test_jobs_of_a_configuration(rig: Rig) -> None:
    rig.playbook("p.yml", LOOK)
    rig.write(
        "upkeep.yml",
        "inventory: hosts\ntime_zone: Asia/Tokyo\njobs:\n"
        "  mine: {playbook: p.yml, schedule: 'Sun 03:00', limit: h1, description: Look at it}\n"
        "  other: {playbook: p.yml, schedule: 'daily 04:00'}\n",
    )
    listed = rig.upkeep("jobs").stdout
    assert re.search(r"mine +Look at it +Sun 03:00 +Sun \d{4}-\d\d-\d\d 03:00 JST", listed)
    assert re.search(r"weekly +.* by hand +-", listed)
    times = json.loads(rig.upkeep("jobs", "next", "16", "--json").stdout)["times"]
    assert [one["at"] for one in times] == sorted(one["at"] for one in times)
    assert {one["job"]: sum(other["job"] == one["job"] for other in times) for one in times} == {"mine": 2, "other": 14}
    code, document = rig.run(Path("mine"))
    assert code == 1
    assert {one["host"] for one in document["findings"]} == {"h1"}
    assert document["run"]["job"] == "mine"


def test_config_check_tells_all_of_it(rig: Rig) -> None:
    assert "the defaults hold" in rig.upkeep("config", "check").stdout
    rig.write("upkeep.yml", "jobz: 1\nsla: {P1: {react: soon}}\n")
    done = rig.upkeep("config", "check")
    assert done.returncode == 2
    assert "upkeep.yml:1: jobz: unknown key" in errors(done)
    assert "upkeep.yml:2: sla.P1.react: wrong value" in done.stderr
    assert "2 problems in" in done.stderr
    assert rig.upkeep("tickets").returncode == 2
    document = json.loads(rig.upkeep("config", "check", "--json").stdout)
    assert [(one["line"], one["key"]) for one in document["problems"]] == [(1, "jobz"), (2, "sla.P1.react")]
    rig.write("upkeep.yml", "inventory: hosts\n")
    done = rig.upkeep("config")
    assert (done.returncode, "is well: 6 jobs" in done.stdout) == (0, True)


def test_a_results_file_is_recorded_once(rig: Rig) -> None:
    records = [
        _results.run_record("6f0a", "site.yml", False, time.time() - 60),
        {"type": "finding", "host": "web1", "finding": {**finding(), "evidence": [], "facts": {}}},
        *_results.of_stats("web1", 1, 0, 0, 0),
        _results.end_record(time.time(), "finished"),
    ]
    path = rig.write("results.jsonl", "".join(map(_results.line, records)))
    done = rig.upkeep("record", path)
    assert done.returncode == 1
    assert "Tickets: 1 opened" in done.stdout
    again = rig.upkeep("record", path)
    assert again.returncode == 1
    assert "was recorded before, as run 1" in again.stdout
    assert json.loads(rig.upkeep("record", path, "--json").stdout)["already_recorded"] is True


def test_a_store_that_fails_after_the_run_loses_nothing(rig: Rig) -> None:
    rig.run(rig.playbook("good.yml", {"ping": None}))
    # From the middle of the run on somebody holds the database.
    hold = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); time.sleep(60)"
    holder = rig.write("hold.py", hold)
    held = f"{sys.executable} {holder} {rig.home}/upkeep.db >/dev/null 2>&1 </dev/null"
    start = f"setsid {held} & echo $! > {rig.folder}/pid; sleep 1"
    playbook = rig.playbook("p.yml", LOOK, {"ansible.builtin.shell": start})
    try:
        done = rig.upkeep("run", playbook, "-i", "hosts", "-l", "h1")
    finally:
        os.kill(int((rig.folder / "pid").read_text()), signal.SIGKILL)
    assert done.returncode == 4
    assert "Tickets" not in done.stdout
    command = re.search(r"upkeep record (\S+/results\.jsonl)", errors(done))
    assert command
    later = rig.upkeep("record", command[1])
    assert later.returncode == 1
    assert "Tickets: 1 opened" in later.stdout


def test_a_reader_that_has_seen_enough(rig: Rig) -> None:
    done = subprocess.run(
        f"{sys.executable} -P -m upkeep jobs --json | head -c 1",
        shell=True,
        env=rig.environment(),
        cwd=rig.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{", "")


# --- doctor -----------------------------------------------------------------------------------------------------------


def test_doctor_tells_what_each_host_lacks(rig: Rig) -> None:
    sudo = rig.write("sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    sudo.chmod(0o755)
    nobody = f"ansible_become_exe={sudo} ansible_become_user=daemon"
    rig.write(
        "hosts",
        rig.hosts("well")
        + "gone ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n"
        + rig.hosts("poor", more=nobody),
    )
    done = rig.upkeep("doctor", "-i", "hosts", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"]) == (3, 3)
    rows = {(row["where"], row["item"]): row for row in document["rows"]}
    assert rows["controller", "ansible-core"]["state"] == "ok"
    assert rows["controller", "store"]["state"] == "ok"
    assert rows["well", "Python"]["state"] == "ok"
    assert re.match(r"3\.\d+\.\d+ /usr/bin/python3", rows["well", "Python"]["found"])
    assert rows["gone", "connection"]["state"] == "missing"
    assert "Connection refused" in rows["gone", "connection"]["found"]
    assert rows["gone", "connection"]["remedy"] == "ansible -i INVENTORY gone -m ansible.builtin.ping -vvv"
    shown = rig.upkeep("doctor", "-i", "hosts").stdout
    assert "→ ansible -i INVENTORY gone -m ansible.builtin.ping -vvv" in shown
    assert json.loads(rig.upkeep("runs", "--json").stdout)["runs"] == []  # a look is no run


def test_doctor_on_a_controller_whose_configuration_is_wrong(rig: Rig) -> None:
    rig.write("upkeep.yml", "jobz: 1\n")
    done = rig.upkeep("doctor")
    assert done.returncode == 1
    assert "1 thing missing" in done.stdout
    rows = json.loads(rig.upkeep("doctor", "--json").stdout)["rows"]
    (wrong,) = [row for row in rows if row["state"] == "missing"]
    assert (wrong["item"], wrong["remedy"]) == ("configuration", "did you mean jobs?")
    assert wrong["found"].endswith("upkeep.yml:1: jobz: unknown key")


def test_doctor_sees_a_second_collection_that_would_win(rig: Rig) -> None:
    done = rig.upkeep("doctor", "--no-hosts", "--json")
    rows = [row for row in json.loads(done.stdout)["rows"] if row["item"] == "collection upkeep.maintenance"]
    assert [row["state"] for row in rows] == ["ok", "hint"]  # the rig's own
    assert str(rig.collections) in rows[1]["found"]


# --- speed ------------------------------------------------------------------------------------------------------------


def test_what_must_start_fast_imports_little(tmp_path: Path) -> None:
    """Seconds depend on the machine; what is imported does not. tests/benchmarks holds the seconds."""
    heavy = ("pydantic", "ruamel", "sqlalchemy", "alembic", "ansible_runner", "pexpect", "rich", "dateutil", "asyncio")
    heavy += ("apprise", "apscheduler", "holidays", "jinja2", "prometheus_client", "requests")
    code = f"""
import sys
from upkeep.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print([name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""

    def imported(*words: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            env={**os.environ, "UPKEEP_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return list(json.loads(done.stderr.splitlines()[-1].replace("'", '"')))

    assert imported("--help") == []
    assert imported("run", "--help") == []
    imported("tickets")  # the first one makes the store
    for command in ("tickets", "jobs"):  # which jobs are paused is in the store
        assert set(imported(command, "--json")) <= {"sqlalchemy", "asyncio"}  # SQLAlchemy brings asyncio


def test_an_output_that_takes_nothing_is_told(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    words = [sys.executable, "-P", "-m", "upkeep", "tickets"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            words, env=rig.environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert done.returncode == 4
    assert "the output could not be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_output_is_no_fault(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    shell = ["/bin/sh", "-c", 'exec "$0" "$@" >&-', sys.executable, "-P", "-m", "upkeep", "tickets", "--json"]
    done = subprocess.run(shell, env=rig.environment(), stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_without_arrows_still_gets_its_table(tmp_path: Path) -> None:
    done = Rig(tmp_path).upkeep("jobs", PYTHONIOENCODING="latin-1", LC_ALL="C")
    assert done.returncode == 0
    assert "weekly" in done.stdout and "Traceback" not in done.stderr
