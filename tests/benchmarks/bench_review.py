# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The weekly patch and capacity review of 20 fleet hosts, against ping and setup on the same hosts and forks."""

from __future__ import annotations

import itertools
import os

from tests.fleet import fleets, state

from .measure import Contender, Row, arguments, by_turns, ratio, show

HOSTS = 20
FORKS = 20


def main() -> None:
    args = arguments(__doc__, 3)
    home = state.default_home()
    fleet = fleets.up(
        home,
        "bench",
        fleets.parse_hosts(",".join(f"web{number + 1}" for number in range(HOSTS)), "debian"),
        owner_pid=os.getpid(),
    )
    try:
        common = ["-i", str(fleet.ansible_inventory), "--forks", str(FORKS)]
        count = itertools.count()

        def words(*command: str) -> list[str]:
            # A control path of its own for each run: every run logs in anew, as the weekly one does.
            folder = fleet.folder / f"cp{next(count)}"
            folder.mkdir()
            return [*command, *common, "-e", f"ansible_control_path_dir={folder}"]

        env = {"ANSIBLE_GATHERING": "explicit", "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=3s"}
        ping = Contender("ping", lambda: words("ansible", "all", "-m", "ansible.builtin.ping"), env=env)
        setup = Contender("setup", lambda: words("ansible", "all", "-m", "ansible.builtin.setup"), env=env)
        review = Contender("review", lambda: words("ansible-playbook", "upkeep.maintenance.weekly"), env=env)
        two = Contender(
            "two roles",
            lambda: words("ansible-playbook", "upkeep.maintenance.patch_state", "upkeep.maintenance.capacity"),
            env=env,
        )
        by_turns([ping, setup, review, two], args.runs)
    finally:
        fleets.down(home, "bench")
    rows = [
        Row(
            f"{one.name} / ping",
            ratio(one, ping),
            aim,
            f"{one.median('wall'):.2f} s against {ping.median('wall'):.2f} s",
        )
        for one, aim in ((review, 1.6), (setup, None), (two, None))
    ]
    rows.append(Row("review / setup", ratio(review, setup), None, f"{HOSTS} hosts, {FORKS} forks, pipelining"))
    show("weekly review of a fleet", rows, args.json)


if __name__ == "__main__":
    main()
