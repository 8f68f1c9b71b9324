# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's commands over a fleet of many hosts, each run logging in anew, as a run of the week does."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.fleet import fleets, state

Make = Callable[[], Sequence[str]]


@contextmanager
def logging_in_anew(name: str, hosts: int, forks: int) -> Iterator[tuple[Callable[..., Make], dict[str, str]]]:
    """A fleet of Debian hosts. Gives what makes a contender's words of a command, and the environment for it."""
    home = state.default_home()
    wanted = fleets.parse_hosts(",".join(f"web{number + 1}" for number in range(hosts)), "debian")
    fleet = fleets.up(home, name, wanted, owner_pid=os.getpid())
    count = itertools.count()

    def words(*command: str) -> Make:
        def make() -> Sequence[str]:
            # Without a control path of its own a run would go over the connections of the one before.
            folder = fleet.folder / f"cp{next(count)}"
            folder.mkdir()
            inventory = ["-i", str(fleet.ansible_inventory), "--forks", str(forks)]
            return [*command, *inventory, "-e", f"ansible_control_path_dir={folder}"]

        return make

    try:
        yield words, {"ANSIBLE_GATHERING": "explicit", "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=3s"}
    finally:
        fleets.down(home, name)
