# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole commands, measured by turns in one run; what counts are the ratios, as a machine's speed drifts."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent


@dataclass
class Cost:
    """What one run of a command cost."""

    wall: float
    """Seconds from start to end."""
    cpu: float
    """Seconds of processor time, with all its descendants that were waited for."""
    peak: int
    """Bytes of memory that the command's own process (without its children) had at the most."""


@dataclass
class Contender:
    """A command, and what its runs cost. ``make`` gives its words anew for each run."""

    name: str
    make: Callable[[], Sequence[str]]
    accept: tuple[int, ...] = (0,)
    env: Mapping[str, str] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)

    def median(self, what: str) -> float:
        return statistics.median(getattr(cost, what) for cost in self.costs)


def measure(contender: Contender) -> Cost:
    """Run it once. Ends the benchmark when the command fails: the cost of a failure says nothing."""
    words = list(contender.make())  # may prepare what the command works on: not its cost
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**_plain(), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **contender.env},
        )
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(child.pid, peak), daemon=True)
        watcher.start()
        _pid, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        watcher.join()
        if child.returncode not in contender.accept:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace")[-4000:])
            raise SystemExit(f"{contender.name} ended with {child.returncode}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak[0])


def _plain() -> dict[str, str]:
    """Our environment without what a developer sets for Python (no bytecode kept, no buffers) and a user does not."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _watch(pid: int, peak: list[int]) -> None:
    """Read the high-water mark of a process until it is gone."""
    while True:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return
        marks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
        if not marks:
            return  # it has ended and waits to be reaped
        peak[0] = max(peak[0], *marks)
        time.sleep(0.02)


def by_turns(contenders: Sequence[Contender], runs: int, warm_up: int = 1) -> None:
    """Run each in turn, ``runs`` times, after ``warm_up`` rounds that do not count."""
    for number in range(warm_up + runs):
        for contender in contenders:
            cost = measure(contender)
            if number >= warm_up:
                contender.costs.append(cost)
            print(f"  {contender.name}: {cost.wall:.2f} s", file=sys.stderr, flush=True)


def ratio(one: Contender, other: Contender, what: str = "wall") -> float:
    """The median of the ratios of runs that stood side by side."""
    return statistics.median(getattr(a, what) / getattr(b, what) for a, b in zip(one.costs, other.costs, strict=True))


@dataclass(frozen=True)
class Row:
    """One line of a benchmark's table: a ratio, what it is aimed at, and the medians behind it."""

    name: str
    ratio: float
    aim: float | None
    detail: str


def arguments(about: str, runs: int) -> argparse.Namespace:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--runs", type=int, default=runs, help="counted runs of each command (default: %(default)s)")
    return parser.parse_args()


def show(title: str, rows: Sequence[Row], as_json: bool) -> None:
    """Print the table. A missed aim is shown, not punished: the machine may be noisy, the reader judges."""
    if as_json:
        print(json.dumps({"benchmark": title, "rows": [vars(row) for row in rows]}, ensure_ascii=False))
        return
    print(f"\n{title}")
    width = max(len(row.name) for row in rows)
    for row in rows:
        aim = f"aim <= {row.aim:g}" if row.aim is not None else ""
        met = "" if row.aim is None else "met" if row.ratio <= row.aim else "MISSED"
        print(f"  {row.name:<{width}}  {row.ratio:7.2f}  {aim:<12} {met:<7} {row.detail}")
