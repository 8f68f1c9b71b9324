# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process carries out a run, and whether it is still there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process that no later one can be taken for: its pid comes again, its start does not."""

    node: str
    boot: str
    pid: int
    start: int
    """Clock ticks from the boot to its start (proc(5), field 22 of stat); 0 when it cannot be told."""


def this_process() -> Process:
    """The process that calls."""
    return Process(os.uname().nodename, _boot(), os.getpid(), _start(os.getpid()) or 0)


def is_gone(process: Process) -> bool:
    """Whether a process of this machine is known to be over. Of other machines nothing is known: False."""
    if process.node != os.uname().nodename:
        return False
    return process.boot != _boot() or _start(process.pid) != process.start


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start(pid: int) -> int | None:
    """When a process started; None when there is none, or only what is left of one (a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses, and may hold anything, parentheses too.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
