# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`upkeep run` against bare `ansible-playbook` of the same playbook: 10, 100 and 1,000 hosts on local connections."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from .measure import Contender, Row, arguments, by_turns, ratio, show

SIZES = (10, 100, 1000)
PLAYBOOK = """\
- name: Review in little
  hosts: all
  gather_facts: false
  tasks:
    - name: Answer
      upkeep.maintenance.capacity_info:
        history: false
"""


def main() -> None:
    args = arguments(__doc__, 3)
    rows = []
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        playbook = Path(folder) / "review.yml"
        playbook.write_text(PLAYBOOK)
        for size in SIZES:
            inventory = Path(folder) / f"hosts{size}"
            inventory.write_text(
                "[all:vars]\nansible_connection=local\nansible_python_interpreter="
                + sys.executable
                + "\n[all]\n"
                + "".join(f"host{number:04}\n" for number in range(size))
            )
            common = ["-i", str(inventory), "--forks", "10"]
            bare = Contender(f"ansible-playbook, {size}", lambda c=common: ["ansible-playbook", str(playbook), *c])
            ours = Contender(
                f"upkeep run, {size}",
                lambda c=common: [sys.executable, "-m", "upkeep", "run", str(playbook), *c],
                accept=(0, 1),  # 1: the review found something, which is its work
                env={"UPKEEP_HOME": str(Path(folder) / "home")},
            )
            # The large one takes minutes: once, and nothing is left to warm up.
            runs, warm_up = (args.runs, 1) if size < SIZES[-1] else (1, 0)
            by_turns([bare, ours], runs, warm_up)
            peaks[size] = ours.median("peak")
            seconds = f"{ours.median('wall'):.2f} s against {bare.median('wall'):.2f} s"
            rows.append(Row(f"wall, {size} hosts", ratio(ours, bare), 1.10, seconds))
            rows.append(
                Row(
                    f"CPU, {size} hosts",
                    ratio(ours, bare, "cpu"),
                    None,
                    f"peak of upkeep itself {peaks[size] / 2**20:.0f} MiB",
                )
            )
    most = SIZES[-1]
    rows.append(
        Row(f"peak memory, {most} / {SIZES[0]} hosts", peaks[most] / peaks[SIZES[0]], 1.5, "of upkeep's own process")
    )
    show("upkeep run against ansible-playbook", rows, args.json)


if __name__ == "__main__":
    main()
