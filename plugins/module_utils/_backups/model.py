# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup is made of, whichever program wrote it. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Snapshot(NamedTuple):
    """One backup of one host at one time. Times are seconds since the epoch, sizes bytes."""

    id: str
    short_id: str
    time: float
    host: str
    user: str
    paths: tuple[str, ...]
    tags: tuple[str, ...]
    tree: str
    """The digest that stands for all its names and contents."""
    parent: str | None
    program_version: str
    """The program that wrote it, empty where that was not noted (restic before 0.15)."""
    files: int | None
    """Files that were looked at; None where that was not noted (restic before 0.17)."""
    bytes: int | None
    """Bytes of these files; None as above."""
    excludes: tuple[str, ...] = ()
    """The patterns of files that were left out (``backup --exclude``)."""


class Entry(NamedTuple):
    """One name in a snapshot. What is not UTF-8 in it has become U+FFFD, so it may stand for several names."""

    path: str
    type: str
    """file, dir, symlink, dev, chardev, fifo or socket."""
    size: int
    mode: int | None
    """Permissions with the set-user-id, set-group-id and sticky bits; None where the program does not tell."""
    uid: int
    gid: int
    mtime: float
