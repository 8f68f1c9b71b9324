# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patch audit of 20 fleet hosts: playbook patch_state against ping, setup, and what people write by hand.

Measured with 20 forks and pipelining; each run logs in anew. By hand are eight tasks with facts: what is pending, held,
half installed and removable, what runs, what is full, whether a reboot is due.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from .fleet_commands import logging_in_anew
from .measure import Contender, Row, arguments, by_turns, ratio, show

HOSTS = 20
FORKS = 20
COMMANDS = (
    "apt-get -s upgrade", "apt-mark showhold", "dpkg --audit", "apt-get -s autoremove", "uname -r",
    "df --output=pcent /", "stat /run/reboot-required",
)  # fmt: skip


def by_hand(folder: Path) -> Path:
    """The playbook that people write: facts, and a task for each question."""
    tasks = [
        {"ansible.builtin.command": command, "changed_when": False, "failed_when": False, "name": command}
        for command in COMMANDS
    ]
    service_facts = {"ansible.builtin.service_facts": {}, "name": "services"}
    play = {"hosts": "all", "gather_facts": True, "tasks": [*tasks, service_facts]}
    path = folder / "by_hand.yml"
    path.write_text(json.dumps([play]))
    return path


def main() -> None:
    args = arguments(__doc__, 3)
    with tempfile.TemporaryDirectory() as folder, logging_in_anew("bench-audit", HOSTS, FORKS) as (words, env):
        ping = Contender("ping", words("ansible", "all", "-m", "ansible.builtin.ping"), env=env)
        setup = Contender("setup", words("ansible", "all", "-m", "ansible.builtin.setup"), env=env)
        audit = Contender("audit", words("ansible-playbook", "upkeep.maintenance.patch_state"), env=env)
        hand = Contender("by hand", words("ansible-playbook", str(by_hand(Path(folder)))), env=env)
        by_turns([ping, setup, audit, hand], args.runs)

    def row(one: Contender, other: Contender, aim: float | None) -> Row:
        detail = f"{one.median('wall'):.2f} s against {other.median('wall'):.2f} s"
        return Row(f"{one.name} / {other.name}", ratio(one, other), aim, detail)

    rows = [row(audit, ping, 1.6), row(audit, setup, None), row(setup, ping, None), row(audit, hand, 1 / 6)]
    show(f"patch audit of {HOSTS} hosts, {FORKS} forks, pipelining", rows, args.json)


if __name__ == "__main__":
    main()
