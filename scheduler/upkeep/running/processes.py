# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding and ending the processes of a run.

Ansible's workers make sessions of their own, so ending a process group leaves them running. Every process of a run
inherits the run's id in its environment; sudo cleans that away, but what it starts is still a child of such a process.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

MARK = "UPKEEP_RUN_ID"
"""The environment variable that marks the processes of a run."""

_PROC = Path("/proc")


def of_run(run_id: str) -> set[int]:
    """The process ids that belong to a run: marked by its id, or descendants of such. Empty where there is no /proc."""
    mark = f"{MARK}={run_id}".encode()
    children: dict[int, list[int]] = {}
    marked: list[int] = []
    for entry in _PROC.glob("[0-9]*"):
        pid = int(entry.name)
        try:
            stat = (entry / "stat").read_bytes()
            # The name in brackets may hold anything; after it: state, parent.
            state, parent = stat[stat.rindex(b")") + 2 :].split()[:2]
            if state == b"Z":
                continue
            children.setdefault(int(parent), []).append(pid)
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                marked.append(pid)
        except (OSError, ValueError):
            continue  # It ended meanwhile, or its environment is not ours to read.
    found: set[int] = set()
    while marked:
        pid = marked.pop()
        if pid not in found:
            found.add(pid)
            marked.extend(children.get(pid, ()))
    return found - {os.getpid()}


def program(pid: int) -> str:
    """The name of a process's program; empty when it ended meanwhile."""
    try:
        return (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def send(pids: set[int], number: signal.Signals) -> set[int]:
    """Send a signal; the ids of the processes that we may not signal (root's, for a user without its rights)."""
    refused = set()
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            refused.add(pid)
    return refused


def end_all(run_id: str, seconds: float = 5.0) -> set[int]:
    """Kill what is left of a run, until nothing is, at most ``seconds``; the ids of what could not be ended."""
    deadline = time.monotonic() + seconds
    left = of_run(run_id)
    while left and time.monotonic() < deadline:
        if send(left, signal.SIGKILL) == left:
            break
        time.sleep(0.05)
        left = of_run(run_id)
    return left
