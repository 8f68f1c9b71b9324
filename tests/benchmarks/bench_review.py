# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The weekly patch and capacity review of 20 fleet hosts, against ping and setup on the same hosts and forks."""

from __future__ import annotations

from .fleet_commands import logging_in_anew
from .measure import Contender, Row, arguments, by_turns, ratio, show

HOSTS = 20
FORKS = 20


def main() -> None:
    args = arguments(__doc__, 3)
    with logging_in_anew("bench", HOSTS, FORKS) as (words, env):
        ping = Contender("ping", words("ansible", "all", "-m", "ansible.builtin.ping"), env=env)
        setup = Contender("setup", words("ansible", "all", "-m", "ansible.builtin.setup"), env=env)
        review = Contender("review", words("ansible-playbook", "upkeep.maintenance.weekly"), env=env)
        two = Contender(
            "two roles",
            words("ansible-playbook", "upkeep.maintenance.patch_state", "upkeep.maintenance.capacity"),
            env=env,
        )
        by_turns([ping, setup, review, two], args.runs)
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
