# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several parts at a time: each is a ``./run-tests PART`` of its own, whose output is shown when it has ended.

Most parts wait more than they compute, so three side by side take less than half the time on two cores.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from .machine import ROOT, say
from .parts import REPORTS, Part
from .report import FAILED, PartReport, Test

_GRACE_SECONDS = 90
"""For a part that is told to stop: its own children have two times twenty seconds, and its fleet is taken down."""


def in_order(parts: Sequence[Part]) -> list[Part]:
    """The order in which lanes take the parts: the longest first, by their limits, so that all lanes end together."""
    return sorted(parts, key=lambda part: -part.limit)


def write_report(path: Path, report: PartReport) -> None:
    """Keep a part's report for the lane that started it."""
    path.write_text(json.dumps(asdict(report)), encoding="utf-8")


def _read_report(name: str, path: Path, code: int) -> PartReport:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return PartReport(found["name"], [Test(**test) for test in found["tests"]], found["seconds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return PartReport(name, [Test(name, FAILED, f"ended with {code} and left no report: {error}")])


def run_beside(
    parts: Sequence[Part], lanes: int, command: Callable[[str, Path], Sequence[str]], done: list[PartReport]
) -> None:
    """Run the parts in so many lanes; each one's report is added to ``done`` when it has ended.

    ``command`` makes the command of a part's name and the file for its report. Raises KeyboardInterrupt when this
    process is told to stop, with every part ended.
    """
    waiting: queue.SimpleQueue[Part] = queue.SimpleQueue()
    for part in in_order(parts):
        waiting.put(part)
    running: dict[str, subprocess.Popen[bytes]] = {}
    lock = threading.Lock()
    stopping = threading.Event()

    # Not Thread.join: interrupted, Python 3.11's takes the thread for ended, and nobody would wait for it any more.
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def lane() -> None:
        try:
            one_after_another()
        finally:
            ended.put(None)

    def one_after_another() -> None:
        while True:
            with lock:
                if stopping.is_set() or waiting.empty():
                    return
                part = waiting.get()
                log, result = REPORTS / f"{part.name}.log", REPORTS / f"{part.name}.json"
                result.unlink(missing_ok=True)
                say(f"run-tests: {part.name} begins; what it says goes to {os.path.relpath(log, ROOT)}")
                with log.open("wb") as output:
                    child = running[part.name] = subprocess.Popen(
                        command(part.name, result),
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                    )
            start = time.monotonic()
            code = child.wait()
            report = _read_report(part.name, result, code)
            report.seconds = report.seconds or time.monotonic() - start
            with lock:
                del running[part.name]
                done.append(report)
                say(log.read_text(encoding="utf-8", errors="replace"))
                say(f"run-tests: {part.name} {'is ok' if report.ok else 'FAILED'} after {report.seconds:.0f} s")

    for number in range(lanes):
        threading.Thread(target=lane, name=f"lane-{number + 1}").start()
    left = lanes
    try:
        while left:
            ended.get()
            left -= 1
    except KeyboardInterrupt:
        with lock:
            stopping.set()
            for child in running.values():
                child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        with contextlib.suppress(queue.Empty):
            for _lane in range(left):
                ended.get(timeout=max(0.0, deadline - time.monotonic()))
        for child in list(running.values()):
            child.kill()
        raise


def default_command(name: str, report: Path) -> list[str]:
    """What a lane starts for a part."""
    return [sys.executable, "-m", "tests.run", name, "--report", str(report)]
