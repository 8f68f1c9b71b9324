# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the host: files, a table of commands, and a clock that stands still. Nothing of the machine shows."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._host import OUTPUT_LIMIT, Host, Ran, Statvfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOW = 1_790_000_000.0
"""2026-09-21 14:13:20 UTC."""


class FakeHost(Host):
    """``files``: path -> text or bytes. ``commands``: argv as a tuple -> what it did, or its standard output.

    A program exists when a command of the table begins with it, or when ``programs`` names it. A command that is not in
    the table is not found (127), as on a host. ``ran`` lists the commands in order, ``written`` what was written.
    ``denied``: the files, and the folders with all in them, that may not be read.
    ``owners``: path -> user, group and mode of what is not root's own (0644).
    """

    def __init__(
        self,
        files: Mapping[str, str | bytes] | None = None,
        commands: Mapping[tuple[str, ...], Ran | str] | None = None,
        *,
        now: float = NOW,
        root: bool = True,
        programs: Iterable[str] = (),
        mtimes: Mapping[str, float] | None = None,
        links: Mapping[str, str] | None = None,
        statvfs: Mapping[str, Statvfs | None] | None = None,
        clock_error: float | None = 0.001,
        cpus: int = 2,
        kernel_records: list[str] | None = None,
        write_error: str = "",
        locks: Mapping[str, int] | None = None,
        denied: Iterable[str] = (),
        owners: Mapping[str, tuple[int, int, int]] | None = None,
    ) -> None:
        self.files: dict[str, str | bytes] = dict(files or {})
        self.commands = dict(commands or {})
        self.time = now
        self.root = root
        self.programs = set(programs) | {argv[0] for argv in self.commands}
        self.mtimes = dict(mtimes or {})
        self.links = dict(links or {})
        self.filesystems = dict(statvfs or {})
        self.clock = clock_error
        self.processors = cpus
        self.records = kernel_records
        self.write_error = write_error
        self.locks = dict(locks or {})
        self.closed = set(denied)
        self.owners = dict(owners or {})
        self.ran: list[list[str]] = []
        self.written: dict[str, str] = {}
        self.renamed: list[tuple[str, str]] = []

    def now(self) -> float:
        return self.time

    def which(self, name: str) -> str | None:
        return "/usr/bin/" + name if name in self.programs else None

    def is_root(self) -> bool:
        return self.root

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.links or bool(self.listdir(path))

    def denied(self, path: str) -> bool:
        return any((path + "/").startswith(closed + "/") for closed in self.closed)

    def listdir(self, path: str) -> list[str]:
        if self.denied(path):
            return []
        folder = path.rstrip("/") + "/"
        names = (name[len(folder) :].split("/")[0] for name in (*self.files, *self.links) if name.startswith(folder))
        return sorted(set(names))

    def mtime(self, path: str) -> float | None:
        return self.mtimes.get(path, self.time if path in self.files else None)

    def owner(self, path: str) -> tuple[int, int, int] | None:
        return self.owners.get(path, (0, 0, 0o100644)) if self.exists(path) else None

    def readlink(self, path: str) -> str | None:
        return self.links.get(path)

    def read_bytes(self, path: str, limit: int = OUTPUT_LIMIT) -> bytes | None:
        content = None if self.denied(path) else self.files.get(path)
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogateescape")
        return None if content is None else content[:limit]

    def lock_holder(self, path: str) -> int | None:
        return self.locks.get(path)

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def glob(self, pattern: str, limit: int = 1000) -> list[str]:
        depth = pattern.count("/")
        matched = (n for n in self.files if n.count("/") == depth and fnmatch.fnmatchcase(n, pattern))
        return sorted(name for name in matched if not self.denied(name.rpartition("/")[0]))[:limit]

    def write(self, path: str, text: str) -> str:
        if not self.write_error:
            self.files[path] = self.written[path] = text
        return self.write_error

    def rename(self, old: str, new: str) -> bool:
        self.renamed.append((old, new))
        self.files[new] = self.files.pop(old)
        return True

    def cpus(self) -> int:
        return self.processors

    def clock_error(self) -> float | None:
        return self.clock

    def kernel_records(self, limit: int = 100_000) -> list[str] | None:
        return None if self.records is None else self.records[:limit]

    def statvfs(self, lanes: list[list[str]], timeout: float) -> dict[str, Statvfs | None]:
        answers: dict[str, Statvfs | None] = {}
        for lane in lanes:
            for path in lane:
                answers[path] = self.filesystems.get(path, Statvfs(error="No such file or directory"))
                if answers[path] is None:
                    break
        return answers

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = OUTPUT_LIMIT) -> Ran:
        self.ran.append(argv)
        did: Any = self.commands.get(tuple(argv), Ran(127, "", f"{argv[0]}: not found"))
        return did if isinstance(did, Ran) else Ran(0, did, "")
