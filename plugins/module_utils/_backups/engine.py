# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every backup program gives us, whichever it is: its snapshots, a check, a list of names, a restore.

Faults are the same as restic's (restic_errors.Kind), so that findings bear the same names.
"""

from __future__ import annotations

import abc
import datetime
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _process
from .restic import Limits
from .restic_errors import FULL, Kind, ResticError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .._host import Host
    from .model import Snapshot
    from .names import Names


class Checked(NamedTuple):
    """What a check said."""

    damaged: bool
    lines: list[str]


class Engine(abc.ABC):
    """One repository of one program. Everything raises ResticError."""

    def __init__(self, host: Host, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self.host = host
        self.params = params
        self.name = str(params["name"])
        self.limits = Limits.of(options)
        self.extra = {str(key): str(value) for key, value in (params.get("environment") or {}).items()}

    shown = ""
    """Where it is, without secrets."""
    repair = ""
    """The command that saves what can be saved."""

    @abc.abstractmethod
    def version(self) -> str:
        """The program's version, empty where it has none to tell."""

    @abc.abstractmethod
    def snapshots(self) -> list[Snapshot]:
        """All snapshots, oldest first."""

    @abc.abstractmethod
    def check(self, data: bool) -> Checked:
        """Check the structure, with ``data`` every byte too."""

    @abc.abstractmethod
    def ls(self, snapshot: Snapshot, names: Names) -> bool:
        """Whether it can list the names in a snapshot; then each of them was told."""

    @abc.abstractmethod
    def restore(self, snapshot: Snapshot, target: str, paths: Sequence[str]) -> None:
        """Restore a snapshot, or some paths of it, into a folder."""

    def program(self, name: str) -> str:
        """The full path of a program. Raises ResticError."""
        path = name if "/" in name else self.host.which(name)
        if path is None or not os.access(path, os.X_OK):
            raise ResticError(
                Kind.NOT_RESTIC,
                "the program %s is not on this host" % name,
                remedy="Install it (apt-get install %s), or name its path." % os.path.basename(name),
            )
        return path

    def call(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        on_line: Callable[[bytes], None] | None = None,
        pass_fds: tuple[int, ...] = (),
        cwd: str = "/",
    ) -> _process.Ended:
        """Run a program within the limits. Raises ResticError when it cannot be started, or is ended at a limit."""
        try:
            ended = _process.run(
                [self.program(argv[0]), *argv[1:]],
                env=_process.environment(extra={**self.extra, **env}),
                on_line=on_line,
                timeout=self.limits.timeout,
                idle=self.limits.idle,
                nice=self.limits.nice,
                ionice=self.limits.ionice,
                pass_fds=pass_fds,
                cwd=cwd,
            )
        except OSError as error:
            if error.errno in FULL:
                raise  # of a file of ours, into which on_line writes
            raise ResticError(
                Kind.NOT_RESTIC,
                "%s cannot be started: %s" % (argv[0], error.strerror),
                remedy="See that it is a program, and may be run.",
            ) from None
        if ended.ended_by:
            raise ResticError(
                Kind.TIMED_OUT,
                "%s was ended at its limit (%s) after %d s" % (argv[0], ended.ended_by, ended.seconds),
                said(ended.err),
                "See whether its storage answers; a longer limit: timeout, idle_timeout (backup_review_*_timeout).",
            )
        return ended


def said(data: bytes, count: int = 12) -> list[str]:
    """The last lines that a program printed."""
    return [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()][-count:]


def moment(value: Any) -> float | None:
    """Seconds since the epoch of a number, or of a text as ISO 8601 has it; without a zone it is this host's time."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if value - value == 0 else None
    try:
        # Python before 3.11 does not take a Z.
        return datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def make(host: Host, params: Mapping[str, Any], options: Mapping[str, Any]) -> Engine:
    """The engine for one element of ``repositories``."""
    if params["engine"] == "borg":
        from .borg import Borg

        return Borg(host, params, options)
    from .command import Command

    return Command(host, params, options)
