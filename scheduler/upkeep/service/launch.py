# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting `upkeep run JOB --firing ID` as a process that outlives us, and noticing its end.

It has a session of its own and writes into a file: whatever ends the scheduler, the run goes on and records itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line, redact

from ..errors import NOT_RUN, UpkeepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PUT_OFF = 75
"""The exit code of a process that may not begin yet, and has said so in its firing (EX_TEMPFAIL of sysexits.h)."""
TAIL = 8192
"""Bytes of a process's output that are read to tell why it could not begin."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    firing: int
    code: int
    """As subprocess has it: negative for a signal."""
    said: str
    """Why, in its own words."""


class Launcher:
    """The processes that this scheduler has started."""

    def __init__(self, home: Path, config_path: Path | None, wake: Callable[[], None]) -> None:
        self._folder = home / "firings"
        self._config_path = config_path
        self._wake = wake
        self._at_work: set[int] = set()
        self._ended: list[Ended] = []
        self._lock = threading.Lock()

    def at_work(self) -> set[int]:
        """The firings whose process is ours and has not ended."""
        with self._lock:
            return set(self._at_work)

    def ended(self) -> list[Ended]:
        """Those that ended since it was asked last."""
        with self._lock:
            ended, self._ended = self._ended, []
        return ended

    def start(self, firing: int, job: str) -> None:
        """Start the process of a firing. Raises UpkeepError (NOT_RUN) when this machine cannot."""
        log = self._folder / f"{firing}.log"
        child = begin([job, "--firing", str(firing)], self._config_path, log, f"the job {job}")
        with self._lock:
            self._at_work.add(firing)
        threading.Thread(target=self._follow, args=(firing, child, log), name=f"firing {firing}", daemon=True).start()

    def _follow(self, firing: int, child: subprocess.Popen[bytes], log: Path) -> None:
        code = child.wait()
        said = why(log)
        if code >= 0 and code not in (NOT_RUN, PUT_OFF):
            with contextlib.suppress(OSError):  # retention removes it later
                log.unlink()  # what counts is in the store and in the run's folder
        with self._lock:
            self._at_work.discard(firing)
            self._ended.append(Ended(firing, code, said))
        self._wake()


def begin(words: list[str], config_path: Path | None, log: Path, what: str) -> subprocess.Popen[bytes]:
    """Start ``upkeep run WORDS`` as a process that outlives us and writes into a file.

    Raises UpkeepError (NOT_RUN) when this machine cannot; ``what`` is how that calls it.
    """
    words = [sys.executable, "-m", "upkeep", "run", *words]
    if config_path is not None:
        words += ["--config", str(config_path)]
    # systemd's own are for us: a child that speaks to its socket would be taken for the service.
    environment = {key: value for key, value in os.environ.items() if key not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UpkeepError(
            f"the process for {what} cannot be started",
            expected=f"room for a process, and for {log}",
            found=error.strerror or str(error),
            remedy="see what fills this machine (df -h, free, ps)",
            exit_code=NOT_RUN,
        ) from error


def why(log: Path) -> str:
    """The error that `upkeep run` ended with, as one line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            lines = file.read(TAIL).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    begins = [place for place, line in enumerate(lines) if line.startswith("upkeep: ")]
    told = lines[begins[-1] :] if begins else lines[-3:]
    return clean_line(redact("; ".join(line.strip() for line in told if line.strip())).removeprefix("upkeep: "), 1000)
