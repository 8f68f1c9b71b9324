# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only door from a module to its host: run a command, read a file, ask the time.

Everything that gathers takes a :class:`Host`, so that a test can hand it a stand-in (``tests/unit/fake_host.py``).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from typing import NamedTuple

OUTPUT_LIMIT = 8 * 1024 * 1024
"""Bytes of a command's standard output, or of a file, that are kept; what comes after is thrown away and told."""


class Ran(NamedTuple):
    """What a command did: its exit code (None when it was ended at its time limit), and what it printed."""

    rc: int | None
    out: str
    err: str
    truncated: bool = False


class Host:
    """This machine, as a module sees it."""

    def now(self) -> float:
        """Seconds since the epoch by this host's clock."""
        return time.time()

    def which(self, name: str) -> str | None:
        """The full path of a program, looked for in the administrator's folders too, or None."""
        path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
        return shutil.which(name, path=path)

    def is_root(self) -> bool:
        """Whether this process may read what only root may."""
        return os.geteuid() == 0

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def listdir(self, path: str) -> list[str]:
        """The names in a folder, sorted; empty when there is none or it may not be read."""
        try:
            return sorted(os.listdir(path))
        except OSError:
            return []

    def mtime(self, path: str) -> float | None:
        """When a file was last changed, in seconds since the epoch, or None when it cannot be asked."""
        try:
            return os.stat(path).st_mtime
        except OSError:
            return None

    def readlink(self, path: str) -> str | None:
        try:
            return os.readlink(path)
        except OSError:
            return None

    def read(self, path: str, limit: int = OUTPUT_LIMIT) -> str | None:
        """The text of a file (bytes that are not UTF-8 replaced), or None when it cannot be read."""
        try:
            with open(path, "rb") as stream:
                return stream.read(limit).decode("utf-8", "replace")
        except OSError:
            return None

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = OUTPUT_LIMIT) -> Ran:
        """Run a program without a shell, with the C locale and no input; never raises for what the program does.

        ``timeout`` is in seconds. The program's whole process group is ended at the limit, and also when whoever
        reads this module's output has gone away (the connection was cut, the run was cancelled): then nobody is
        left to tell, and this process ends too.
        """
        program = self.which(argv[0]) if "/" not in argv[0] else argv[0]
        if program is None:
            return Ran(127, "", "%s: not found" % argv[0])
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON", "LD_"))
        }
        environment.update(LC_ALL="C.UTF-8", LANGUAGE="C", DEBIAN_FRONTEND="noninteractive")
        environment["PATH"] = environment.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
        try:
            process = subprocess.Popen(
                [program, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return Ran(126, "", "%s: %s" % (program, error.strerror))
        return _collect(process, time.monotonic() + timeout, limit)


def _collect(process: subprocess.Popen[bytes], deadline: float, limit: int) -> Ran:
    """Read what the process prints, within the limits of time and size."""
    assert process.stdout is not None
    assert process.stderr is not None
    streams = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    out, err = streams.values()
    truncated = False
    poll = select.poll()
    for descriptor in streams:
        poll.register(descriptor, select.POLLIN)
    # Asked for no event, a descriptor still reports that its other end was closed.
    poll.register(1, 0)
    left = len(streams)
    rc: int | None = None
    try:
        while left:
            wait = deadline - time.monotonic()
            if wait <= 0:
                return Ran(None, _text(out), _text(err), truncated)
            for descriptor, event in poll.poll(min(wait, 5.0) * 1000):
                if descriptor == 1:
                    if event & (select.POLLERR | select.POLLHUP):
                        _end(process)
                        os._exit(1)
                    poll.unregister(1)  # POLLNVAL: there is no standard output to watch
                    continue
                chunk = os.read(descriptor, 65536)
                if not chunk:
                    poll.unregister(descriptor)
                    left -= 1
                    continue
                kept = streams[descriptor]
                truncated = truncated or len(kept) + len(chunk) > limit
                kept.extend(chunk[: limit - len(kept)])
        try:
            rc = process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            rc = None
        return Ran(rc, _text(out), _text(err), truncated)
    finally:
        if process.returncode is None:
            _end(process)
        process.stdout.close()
        process.stderr.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process group: politely, and two seconds later for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            return
        try:
            process.wait(2.0)
            return
        except subprocess.TimeoutExpired:
            continue


def _text(data: bytearray) -> str:
    return data.decode("utf-8", "replace")
