# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a lock: the process of that number, unless it is gone or was started after the lock was written."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.restic_locks import holders
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.restic_parse import Lock
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host


@pytest.mark.parametrize(
    ("host", "pid", "age", "holds"),
    [
        ("web1", os.getpid(), 0.0, {os.getpid(): True}),
        ("web1", os.getpid(), 10 * 86400.0, {os.getpid(): False}),  # before this process: of another of its number
        ("web1", 2**22 + 1, 0.0, {2**22 + 1: False}),  # above the kernel's largest number
        ("elsewhere", os.getpid(), 0.0, {}),
    ],
)
def test_holders(host: str, pid: int, age: float, holds: dict[int, bool]) -> None:
    found = holders(Host(), [Lock("x", time.time() - age, False, host, "root", pid)], ["web1"])
    assert {number: bool(name) for number, name in found.items()} == holds
