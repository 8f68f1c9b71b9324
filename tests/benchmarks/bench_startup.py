# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long `upkeep --help` and `upkeep tickets` take to answer, against Python itself and `ansible --version`."""

from __future__ import annotations

import sys
import tempfile

from .measure import Contender, Row, arguments, by_turns, ratio, show


def main() -> None:
    args = arguments(__doc__, 7)
    with tempfile.TemporaryDirectory() as home:
        env = {"UPKEEP_HOME": home}
        python = Contender("python -c pass", lambda: [sys.executable, "-c", "pass"])
        ansible = Contender("ansible --version", lambda: ["ansible", "--version"])
        commands = [
            Contender(f"upkeep {words}", lambda words=words: [sys.executable, "-m", "upkeep", *words.split()], env=env)
            for words in ("--help", "tickets")
        ]
        by_turns([python, ansible, *commands], args.runs)
    rows = [
        Row(
            f"{command.name} / {peer.name}",
            ratio(command, peer),
            1.0 if peer is ansible else None,
            f"{command.median('wall'):.3f} s against {peer.median('wall'):.3f} s",
        )
        for command in commands
        for peer in (ansible, python)
    ]
    # Half a second is what a person takes for at once; the figure is the machine's, so it stands beside the ratios.
    rows += [
        Row(f"{command.name}, seconds", command.median("wall"), 0.5, f"{command.median('cpu'):.3f} s of CPU")
        for command in commands
    ]
    show("start-up time", rows, args.json)


if __name__ == "__main__":
    main()
