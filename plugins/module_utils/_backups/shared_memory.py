# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared memory (System V) that a killed PostgreSQL leaves to the whole machine: the one thing of a throw-away
server that is not in its scratch place, where the kernel gave it none of its own."""

from __future__ import annotations

import ctypes
import os

_TABLE = "/proc/sysvipc/shm"
_IPC_RMID = 0


def give_back(data: str) -> bool:
    """Remove the segment of the server that ran in the data folder ``data``; whether there was one to remove.

    Its line is the seventh of postmaster.pid (utils/pidfile.h): key and number. A number alone may be another's by now:
    the key, the process that made it, its account and the folder must be those of that file, and nothing may use it.
    """
    path = os.path.join(data, "postmaster.pid")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            owner = os.fstat(descriptor).st_uid
            lines = os.read(descriptor, 8192).decode("utf-8", "surrogateescape").split("\n")
        finally:
            os.close(descriptor)
        pid, folder = int(lines[0]), lines[1]
        key, number = (int(word) for word in lines[6].split())
        with open(_TABLE, encoding="ascii") as stream:
            rows = [line.split() for line in stream][1:]
    except (OSError, ValueError, IndexError):
        return False
    if os.path.realpath(folder) != os.path.realpath(data):
        return False  # a copy of production's file
    for row in rows:
        # key shmid perms size cpid lpid nattch uid gid cuid cgid …
        found = (int(row[0]) % (1 << 32), int(row[1]), int(row[4]), int(row[6]), int(row[9]))
        if found == (key % (1 << 32), number, pid, 0, owner):
            return bool(ctypes.CDLL(None).shmctl(number, _IPC_RMID, None) == 0)
    return False
