# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a list of snapshots without their names tells of one: a restore has to keep it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .listing import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .model import Snapshot
    from .verify_walk import Seen

MISSING = "file_missing"
CONTENT = "content_mismatch"


class Awaited:
    """How many files of how many bytes a snapshot has, and under which paths, as far as that is told."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.files = snapshot.files
        self.bytes = snapshot.bytes
        # What does not begin at the root (a volume, a drive) has no place that would be known.
        self.paths = {escaped("/" + path.strip("/")): path for path in snapshot.paths if path.startswith("/")}
        self._there = {b"/"}

    def watched(self, walked: Iterable[Seen]) -> Iterator[Seen]:
        """Pass on what was restored, and see whether it has the paths."""
        for one in walked:
            if one.path in self.paths:
                self._there.add(one.path)
            yield one

    def broken(self, files: int, size: int) -> dict[str, list[str]]:
        """What was not kept, by the check that it belongs to, of ``files`` of ``size`` bytes that came back."""
        content: list[str] = []
        missing = ["%s is not there" % path for at, path in self.paths.items() if at not in self._there]
        content = []
        if self.files is not None and files != self.files:
            (missing if files < self.files else content).append(
                "%d files came back instead of %d" % (files, self.files)
            )
        if self.bytes is not None and size != self.bytes:
            content.append("%d bytes came back instead of %d" % (size, self.bytes))
        return {check: lines for check, lines in ((MISSING, missing), (CONTENT, content)) if lines}

    def proves(self) -> set[str]:
        """The checks for which there is something to compare with."""
        told = {MISSING} if self.files is not None or self.paths else set()
        return told | ({CONTENT} if self.bytes is not None else set())

    def told(self) -> list[str]:
        """What was compared, in words; empty where there was nothing."""
        words = [
            "%d %s" % (count, unit)
            for count, unit in ((self.files, "files"), (self.bytes, "bytes"))
            if count is not None
        ]
        words += ["its paths"] if self.paths else []
        return ["what its list tells (%s)" % ", ".join(words)] if words else []

    def facts(self) -> dict[str, Any]:
        """The same for the proof."""
        return {"files": self.files, "bytes": self.bytes, "paths": list(self.paths.values())[:20]}
