# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of the machine's shared memory, only what a throw-away server of ours left is removed."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import scratch
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.shared_memory import give_back

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.shmat.restype = ctypes.c_void_p


@pytest.fixture
def segment() -> Iterator[tuple[int, int]]:
    """Key and number of a segment that this process made."""
    key = 0x7550_0000 + os.getpid() % 0xFFFF
    number = LIBC.shmget(key, 56, 0o1600)
    assert number >= 0, os.strerror(ctypes.get_errno())
    yield key, number
    LIBC.shmctl(number, 0, None)


def there(number: int) -> bool:
    return any(line.split()[1] == str(number) for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:])


def noted(data: Path, segment: tuple[int, int], pid: int, folder: Path | None = None) -> str:
    """The file of a server whose data folder that is."""
    data.mkdir(parents=True, exist_ok=True)
    text = f"{pid}\n{folder or data}\n1700000000\n5432\n{data}\n\n{segment[0]:9d} {segment[1]:9d}\nready   \n"
    (data / "postmaster.pid").write_text(text)
    return str(data)


def test_what_a_killed_server_left_is_removed(tmp_path: Path, segment: tuple[int, int]) -> None:
    assert give_back(noted(tmp_path / "data", segment, os.getpid()))
    assert not there(segment[1])


@pytest.mark.parametrize("other", ["process", "folder", "key", "used", "none", "link"])
def test_what_may_be_anothers_stays(tmp_path: Path, segment: tuple[int, int], other: str) -> None:
    data = noted(tmp_path / "data", segment, os.getpid())
    if other == "process":
        noted(tmp_path / "data", segment, os.getpid() + 1)
    elif other == "folder":
        noted(tmp_path / "data", segment, os.getpid(), tmp_path / "production")
    elif other == "key":
        noted(tmp_path / "data", (segment[0] + 1, segment[1]), os.getpid())
    elif other == "none":
        (tmp_path / "data" / "postmaster.pid").write_text("1\n")
    elif other == "link":
        (tmp_path / "data" / "postmaster.pid").rename(tmp_path / "x")
        (tmp_path / "data" / "postmaster.pid").symlink_to(tmp_path / "x")
    held = LIBC.shmat(segment[1], None, 0) if other == "used" else None
    assert not give_back(data)
    assert there(segment[1])
    if held:
        LIBC.shmdt(ctypes.c_void_p(held))


def test_the_sweep_gives_it_back(tmp_path: Path, segment: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "base"
    base.mkdir(mode=0o755)
    monkeypatch.setattr(scratch, "_prepare", lambda _base: None)  # whatever is above pytest's folder
    with scratch.Scratch(str(base), "postgresql", 1) as place:
        noted(Path(place.path) / "data", segment, os.getpid())
    assert place.left == ()
    assert not there(segment[1])
