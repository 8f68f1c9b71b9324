# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control group for each fleet and each host in it: systemd inside needs one of its own, and we kill by it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from functools import partial
from pathlib import Path

from .system import FleetError, wait_for

ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """Where groups are made: cgroup v2 alone, or on a hybrid machine v2 and systemd's own v1 tree."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    found = [p for p in (ROOT / "unified", ROOT / "systemd") if (p / "cgroup.procs").exists()]
    if not found:
        raise FleetError(f"No cgroup hierarchy of systemd's under {ROOT}: mount cgroup v2 there.")
    return found


def all_fleets(home: Path) -> str:
    """The group above every fleet of one state folder, relative to a hierarchy."""
    return f"upkeep-fleet/{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"


def enter(group: str) -> None:
    """Make a group where needed and move this process into it."""
    for top in hierarchies():
        (top / group).mkdir(parents=True, exist_ok=True)
        (top / group / "cgroup.procs").write_text(str(os.getpid()))


def leave() -> None:
    """Move this process up to the root group."""
    for top in hierarchies():
        (top / "cgroup.procs").write_text(str(os.getpid()))


def members(group: str) -> list[int]:
    """Pids in a group and all below it."""
    found: set[int] = set()
    for top in hierarchies():
        for folder, _, files in os.walk(top / group):
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):
                    found.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
    return sorted(found)


def destroy(group: str) -> None:
    """SIGKILL everything in a group, wait until it is gone, remove the group. Nothing to do is fine."""
    for top in hierarchies():
        with contextlib.suppress(OSError):
            (top / group / "cgroup.kill").write_text("1")

    def empty() -> bool:
        left = members(group)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    if not wait_for(empty, 15):
        raise FleetError(f"Processes of {group} survive SIGKILL: {members(group)}")
    for top in hierarchies():
        for folder, _, _ in os.walk(top / group, topdown=False):
            # The kernel lets a group go a moment after its last process.
            wait_for(partial(_rmdir, folder), 5)


def _rmdir(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def sweep(home: Path) -> None:
    """Remove the groups above the fleets when no fleet is left in them."""
    for top in hierarchies():
        for folder in (top / all_fleets(home), top / "upkeep-fleet"):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
