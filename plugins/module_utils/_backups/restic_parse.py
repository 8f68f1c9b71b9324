# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restic prints, understood: its JSON from 0.14 to 0.19. Pure."""

from __future__ import annotations

import calendar
import json
import re
from typing import Any, NamedTuple

from .model import Entry, Snapshot

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")
_VERSION = re.compile(r"restic (\d+)\.(\d+)(?:\.(\d+))?")
_HEX = re.compile(r"[0-9a-f]{64}")

# Go's os.FileMode, as ``ls --json`` gives it: the permissions, and set-user-id, set-group-id and sticky far above.
_GO_SETUID, _GO_SETGID, _GO_STICKY = 1 << 23, 1 << 22, 1 << 20


class Lock(NamedTuple):
    """A lock in a repository: who took it, and when (seconds since the epoch)."""

    id: str
    time: float
    exclusive: bool
    host: str
    user: str
    pid: int


class NotUnderstood(ValueError):  # noqa: N818 - reads as a sentence where it is raised
    """What restic printed is not what any version that we know prints: what was expected."""


def version(text: str) -> tuple[int, int, int]:
    """The version in the answer to ``restic version``; development builds say so behind it. Raises NotUnderstood."""
    found = _VERSION.match(text)
    if not found:
        raise NotUnderstood("expected `restic X.Y.Z`")
    return int(found.group(1)), int(found.group(2)), int(found.group(3) or 0)


def moment(text: Any) -> float:
    """Seconds since the epoch of an RFC 3339 time with up to nine digits of a second. Raises NotUnderstood."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise NotUnderstood("expected a time such as 2026-01-31T12:00:00.123456789+01:00")
    fraction, zone = found.group(7), found.group(8)
    seconds = float(calendar.timegm(tuple(int(part) for part in found.groups()[:6])))
    if zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return seconds + (float("0" + fraction) if fraction else 0.0)


def document(out: bytes) -> Any:
    """A JSON document; bytes that are not UTF-8 are replaced. Raises NotUnderstood."""
    try:
        return json.loads(out.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise NotUnderstood("expected JSON (%s)" % type(error).__name__) from None


def snapshots(out: bytes) -> list[Snapshot]:
    """The answer to ``snapshots --json``, oldest first. Raises NotUnderstood."""
    listed = document(out)
    if listed is None:  # 0.17 and later, of a repository without any
        listed = []
    if not isinstance(listed, list):
        raise NotUnderstood("expected a list of snapshots")
    return sorted((snapshot(entry) for entry in listed), key=lambda one: (one.time, one.id))


def snapshot(entry: Any) -> Snapshot:
    """One snapshot of ``snapshots --json``, or the first line of ``ls --json``. Raises NotUnderstood."""
    if not isinstance(entry, dict) or not _HEX.fullmatch(str(entry.get("id"))):
        raise NotUnderstood("expected a snapshot with an id")
    summary = entry.get("summary")
    summary = summary if isinstance(summary, dict) else {}
    return Snapshot(
        id=entry["id"],
        short_id=str(entry.get("short_id") or entry["id"][:8]),
        time=moment(entry.get("time")),
        host=str(entry.get("hostname") or ""),
        user=str(entry.get("username") or ""),
        paths=tuple(str(path) for path in entry.get("paths") or ()),
        tags=tuple(str(tag) for tag in entry.get("tags") or ()),
        tree=str(entry.get("tree") or ""),
        parent=entry.get("parent") or None,
        program_version=str(entry.get("program_version") or ""),
        files=_count(summary.get("total_files_processed")),
        bytes=_count(summary.get("total_bytes_processed")),
        excludes=tuple(str(pattern) for pattern in entry.get("excludes") or ()),
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def ls_line(line: bytes) -> Entry | Snapshot:
    """One line of ``ls --json``: the first is the snapshot. Raises NotUnderstood."""
    made = document(line)
    if not isinstance(made, dict):
        raise NotUnderstood("expected one JSON object a line")
    kind = made.get("struct_type") or made.get("message_type")
    if kind == "snapshot":
        return snapshot(made)
    if kind != "node" or not isinstance(made.get("path"), str):
        raise NotUnderstood("expected a snapshot or a node")
    mode = made.get("mode")
    return Entry(
        path=made["path"],
        type=str(made.get("type") or ""),
        size=_count(made.get("size")) or 0,
        mode=permissions(mode) if isinstance(mode, int) else None,
        uid=_count(made.get("uid")) or 0,
        gid=_count(made.get("gid")) or 0,
        mtime=moment(made["mtime"]) if made.get("mtime") else 0.0,
    )


def permissions(go_mode: int) -> int:
    """Permissions as chmod(2) has them, of Go's os.FileMode."""
    mode = go_mode & 0o777
    for bit, ours in ((_GO_SETUID, 0o4000), (_GO_SETGID, 0o2000), (_GO_STICKY, 0o1000)):
        if go_mode & bit:
            mode |= ours
    return mode


def lock(identity: str, out: bytes) -> Lock:
    """The answer to ``cat lock ID``. Raises NotUnderstood."""
    made = document(out)
    if not isinstance(made, dict):
        raise NotUnderstood("expected a lock as a JSON object")
    return Lock(
        id=identity,
        time=moment(made.get("time")),
        exclusive=bool(made.get("exclusive")),
        host=str(made.get("hostname") or ""),
        user=str(made.get("username") or ""),
        pid=_count(made.get("pid")) or 0,
    )


def identities(out: bytes) -> list[str]:
    """The digests in the answer to ``list packs``, ``list locks`` and the like: one a line, or as JSON."""
    return [word for word in re.split(r"[\s\",\[\]{}:]+", out.decode("utf-8", "replace")) if _HEX.fullmatch(word)]
