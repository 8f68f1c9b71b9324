# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a dump is: on this host, or in the newest fitting snapshot of a restic repository; the newest of several."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from .dump_stream import Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._host import Host
    from .model import Entry, Snapshot
    from .restic import Restic


class NotThere(Exception):  # noqa: N818 - an outcome, not a bug
    """There is no such dump: why, and what is there instead."""

    def __init__(self, why: str, evidence: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.evidence = list(evidence)
        self.remedy = remedy


class Located(NamedTuple):
    """A dump that is there."""

    source: Source
    """For a folder in a snapshot, its stage gives a tar."""
    folder: bool
    size: int
    """Bytes as they are stored, of a folder with all in it."""
    mtime: float
    """When it was last written, in seconds since the epoch: of a folder, its newest file."""
    snapshot: Snapshot | None
    beside: tuple[str, ...] = ()
    """The paths of the other files in its folder."""

    def facts(self) -> dict[str, Any]:
        """As a result and a proof carry it."""
        facts: dict[str, Any] = {"path": self.source.path, "bytes": self.size, "modified": self.mtime}
        if self.snapshot is not None:
            facts.update(snapshot=self.snapshot.id, snapshot_time=self.snapshot.time, snapshot_host=self.snapshot.host)
        return facts


def subject(option: Mapping[str, Any]) -> str:
    """How findings call a dump: the same in every run, whatever file of a pattern is the newest."""
    return "%s:%s" % (option.get("repository") or option["name"], option["path"])


def locate(host: Host, option: Mapping[str, Any], restic: Restic | None) -> Located:
    """The dump that an element of the option ``dumps`` means. Raises NotThere and ResticError.

    ``path`` may be a shell pattern: the newest that matches is taken. ``snapshot`` is ``latest``, of those of ``host``
    and with ``tag``, or an id.
    """
    return _on_host(host, option) if restic is None else _in_snapshot(option, restic)


# --- on this host -----------------------------------------------------------------------------------


def _on_host(host: Host, option: Mapping[str, Any]) -> Located:
    path = option["path"]
    found = [one for one in (_looked_at(path) for path in (host.glob(path) if _is_pattern(path) else [path])) if one]
    if not found:
        folder = posixpath.dirname(path.rstrip("/")) or "/"
        there = host.listdir(folder)[:20]
        raise NotThere(
            "there is no %s" % ("file that matches %s" % path if _is_pattern(path) else path),
            ["%s holds: %s" % (folder, ", ".join(there) or "nothing that can be seen")],
            "Does the job that dumps still run? Look at its log; or correct the option path.",
        )
    mtime, path, folder, size = max(found)
    above = posixpath.dirname(path)
    beside = tuple(posixpath.join(above, name) for name in host.listdir(above))
    return Located(Source(option["name"], path, None, size, mtime), folder, size, mtime, None, beside)


def _looked_at(path: str) -> tuple[float, str, bool, int] | None:
    try:
        found = os.stat(path)
        if not stat.S_ISDIR(found.st_mode):
            return (found.st_mtime, path, False, found.st_size) if stat.S_ISREG(found.st_mode) else None
        os.listdir(path)  # os.walk says nothing of a folder that it may not read
        inner = [os.lstat(os.path.join(top, name)) for top, _folders, names in os.walk(path) for name in names]
    except OSError:
        return None
    files = [one for one in inner if stat.S_ISREG(one.st_mode)]
    newest = max((one.st_mtime for one in files), default=found.st_mtime)
    return newest, path, True, sum(one.st_size for one in files)


def _is_pattern(path: str) -> bool:
    return any(character in path for character in "*?[")


# --- in a snapshot ------------------------------------------------------------------------------------


def fitting(snapshots: Sequence[Snapshot], option: Mapping[str, Any]) -> list[Snapshot]:
    """The snapshots that may hold the dump, newest first: of that host, with these tags, with a path above it."""
    wanted = option.get("snapshot") or "latest"
    path = posixpath.normpath(option["path"])
    kept = [
        one
        for one in snapshots
        if (not option.get("host") or one.host == option["host"])
        and (not option.get("tag") or option["tag"] in one.tags)
        and (one.id.startswith(wanted) if wanted != "latest" else any(_above(top, path) for top in one.paths))
    ]
    return sorted(kept, key=lambda one: -one.time)


def _above(top: str, path: str) -> bool:
    """Whether a dump with this path (or pattern) can lie in what a backup of ``top`` holds."""
    top = posixpath.normpath(top)
    if top in ("/", path) or path.startswith(top + "/"):
        return True
    return _is_pattern(path) and (fnmatch.fnmatchcase(top, path) or top.startswith(_fixed(path) + "/"))


def _fixed(path: str) -> str:
    """The folder of a path; of a pattern, the folders before the first that is one."""
    kept: list[str] = []
    for part in path.split("/")[:-1]:
        if _is_pattern(part):
            break
        kept.append(part)
    return "/".join(kept)


def _in_snapshot(option: Mapping[str, Any], restic: Restic) -> Located:
    snapshots = restic.snapshots()
    kept = fitting(snapshots, option)
    if not kept:
        newest = sorted(snapshots, key=lambda one: -one.time)[:10]
        raise NotThere(
            "no snapshot of repository %s holds %s" % (option["repository"], option["path"]),
            ["%s of %s: %s" % (one.short_id, one.host, ", ".join(one.paths)) for one in newest]
            or ["it has no snapshot"],
            "Is the dump's folder among those that are backed up? Look at the job's paths and excludes; or correct the "
            "options path, snapshot, host and tag.",
        )
    snapshot = kept[0]
    path = posixpath.normpath(option["path"])
    entries: list[Entry] = []
    restic.ls(snapshot.id, entries.append, [_fixed(path) or "/"])
    matching = [one for one in entries if _matches(one.path, path)]
    if not matching:
        entries.sort(key=lambda one: (posixpath.dirname(one.path) != posixpath.dirname(path), one.path))
        raise NotThere(
            "the newest snapshot of repository %s, %s, holds no %s" % (option["repository"], snapshot.short_id, path),
            ["it holds: %s" % one.path for one in entries[:10]] or ["nothing is in that folder"],
            "Does the job that dumps run before the backup, and into a folder that is not excluded?",
        )
    found = max((_of_entry(one, entries) for one in matching), key=lambda one: (one[0], one[1]))
    mtime, path, folder, size = found
    stage = restic.dump_argv(snapshot.id, path)
    beside = tuple(one.path for one in entries if posixpath.dirname(one.path) == posixpath.dirname(path))
    return Located(Source(option["name"], path, stage, size, mtime), folder, size, mtime, snapshot, beside)


def _matches(path: str, wanted: str) -> bool:
    # As a shell does, a wildcard does not cross a slash.
    return path.count("/") == wanted.count("/") and all(
        fnmatch.fnmatchcase(part, pattern) for part, pattern in zip(path.split("/"), wanted.split("/"))
    )


def _of_entry(entry: Entry, entries: list[Entry]) -> tuple[float, str, bool, int]:
    if entry.type != "dir":
        return entry.mtime, entry.path, False, entry.size
    inner = [one for one in entries if one.type == "file" and one.path.startswith(entry.path + "/")]
    return max((one.mtime for one in inner), default=entry.mtime), entry.path, True, sum(one.size for one in inner)
