# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain `ansible-playbook` shows the table of findings and leaves the results file, with no configuration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PLAYBOOK = """
- name: Try
  hosts: all
  gather_facts: false
  tasks:
    - name: Answer
      ansible.builtin.ping:
    - name: Fail and go on
      ansible.builtin.command: /bin/false
      ignore_errors: true
    - name: A net below
      block:
        - name: Fail and be rescued
          ansible.builtin.command: /bin/false
      rescue:
        - name: Rescue
          ansible.builtin.ping:
    - name: Fail
      ansible.builtin.command: "{{ item }}"
      loop: [/bin/true, /bin/false]
"""


def command(playbook: str) -> list[str]:
    """Run a playbook on this machine and on one host that does not exist."""
    return [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        "localhost,nobody.invalid,",
        "-e",
        json.dumps({"ansible_connection": "local", "ansible_python_interpreter": sys.executable}),
        playbook,
    ]


def play(playbook: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(playbook),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def playbook(tmp_path: Path) -> str:
    path = tmp_path / "try.yml"
    path.write_text(PLAYBOOK)
    return str(path)


def test_table_and_file(playbook: str, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    ran = play(playbook, ANSIBLE_CALLBACKS_ENABLED="upkeep.maintenance.findings", UPKEEP_RESULTS_FILE=str(results))
    assert "UPKEEP: findings: 2 medium" in ran.stdout
    assert len([line for line in ran.stdout.splitlines() if line.startswith("medium ")]) == 2
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert records[0]["type"] == "run" and records[0]["playbook"] == "try.yml"
    assert records[-1]["type"] == "end" and records[-1]["state"] == "finished"
    failed = [record["finding"]["subject"] for record in records if record["type"] == "finding"]
    assert failed == ["Fail", "Fail"], "an ignored or rescued failure is nobody's finding"
    assert not list(tmp_path.glob(".upkeep-*")), "the spool is gone"


def test_no_file_unless_asked_and_silent_under_upkeep(playbook: str, tmp_path: Path) -> None:
    ran = play(playbook, ANSIBLE_CALLBACKS_ENABLED="upkeep.maintenance.findings", UPKEEP_RUN_ID="x")
    assert "UPKEEP:" not in ran.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["try.yml"]


def test_a_results_file_that_cannot_be_written_is_told_and_the_run_goes_on(playbook: str, tmp_path: Path) -> None:
    ran = play(
        playbook,
        ANSIBLE_CALLBACKS_ENABLED="upkeep.maintenance.findings",
        UPKEEP_RESULTS_FILE=str(tmp_path / "nowhere" / "results.jsonl"),
    )
    assert "the results file cannot be written" in (ran.stderr + ran.stdout).replace("\n", " ")
    assert "UPKEEP: findings: 2 medium" in ran.stdout


def test_the_collections_own_playbooks_bring_the_table_with_them(tmp_path: Path) -> None:
    ran = play("upkeep.maintenance.patch_state", HOME=str(tmp_path))
    assert ran.stdout.count("UPKEEP:") == 1, ran.stdout + ran.stderr


INTERRUPTED = """
- name: Try
  hosts: all
  gather_facts: false
  tasks:
    - name: Fail
      ansible.builtin.command: /bin/false
      when: inventory_hostname == 'localhost'
    - name: Begin
      ansible.builtin.file:
        path: "{{ playbook_dir }}/begun"
        state: touch
        mode: "0600"
    - name: Hang
      ansible.builtin.command: sleep 60
"""


def test_a_run_that_is_interrupted_leaves_what_it_found(tmp_path: Path) -> None:
    path = tmp_path / "try.yml"
    path.write_text(INTERRUPTED)
    results, log = tmp_path / "results.jsonl", tmp_path / "log"
    settings = {"ANSIBLE_CALLBACKS_ENABLED": "upkeep.maintenance.findings", "UPKEEP_RESULTS_FILE": str(results)}
    with log.open("w") as output:
        # In a group of its own: at a terminal, Ctrl-C goes to ansible-playbook and its workers.
        run = subprocess.Popen(
            command(str(path)),
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + 60
            while not (tmp_path / "begun").exists():
                assert run.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.1)
            time.sleep(1)
            os.killpg(run.pid, signal.SIGINT)
            assert run.wait(30) != 0
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
    assert "Results until the run was cut off" in log.read_text()
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert [record["type"] for record in records].count("run") == 1, "a worker is not to write what it has a copy of"
    assert [record["finding"]["subject"] for record in records if record["type"] == "finding"] == ["Fail"]
    assert "end" not in {record["type"] for record in records}, "nothing that it did not see is taken for clean"
    assert not list(tmp_path.glob(".upkeep-*")), "the spool is gone"


def test_a_playbook_whose_name_is_not_utf8_leaves_its_file(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.yml"
    Path(os.fsdecode(path)).write_text(PLAYBOOK)
    results = tmp_path / "results.jsonl"
    ran = play(
        os.fsdecode(path),
        ANSIBLE_CALLBACKS_ENABLED="upkeep.maintenance.findings",
        UPKEEP_RESULTS_FILE=str(results),
    )
    assert results.exists(), ran.stdout + ran.stderr
    assert json.loads(results.read_text().splitlines()[0])["playbook"] == "caf?.yml"
