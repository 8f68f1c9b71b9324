# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was begun on this host, written down before it is done: the journal of one plan, and the folder that holds it.

/var/lib/upkeep/patching/PLANID/ (0700): journal.json, new/ (the packages to install), old/ (the packages that lead
back), transaction.log, and what runner.py reads and leaves (transaction.json, outcome.json).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .._patching.plan_model import PLAN_ID, errors_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BASE = "/var/lib/upkeep/patching"
PHASES = ("prepared", "applying", "applied", "restarted", "rolling_back", "rolled_back")
UNDER_WAY = ("applying", "rolling_back")
"""Phases in which something may be half done."""
KEPT_JOURNALS = 5
LIMIT = 16 * 1024 * 1024
"""Bytes of a journal; one of 3,000 packages has some two million."""


class JournalError(Exception):
    """The journal cannot be read or written: why, and what to do."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy


@dataclass
class Journal:
    """What is known of one plan on this host. Packages are named "name:arch"; times are seconds since the epoch."""

    plan: dict[str, Any]
    phase: str = "prepared"
    times: dict[str, float] = field(default_factory=dict)
    """When each phase was entered last."""
    before: dict[str, str] = field(default_factory=dict)
    """The version of each package of the plan before it was applied, empty where it was not there."""
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The old package of each: file (in old/), sha256, how (cache | repository | repacked)."""
    new: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The package to install of each: file (in new/), sha256."""
    automatic: list[str] = field(default_factory=list)
    """Those that were marked as installed automatically (apt)."""
    residual: list[str] = field(default_factory=list)
    """Those of which only configuration files were there (apt): the way back must not purge them."""
    active: list[str] = field(default_factory=list)
    """Units of services that were active before."""
    units: dict[str, list[str]] = field(default_factory=dict)
    """The units that each package brings."""
    boot_id: str = ""
    """Of the boot in which the last transaction began."""
    token: str = ""
    """Names the last transaction: its outcome bears the same."""
    deadline: float = 0
    """Until when the last transaction was given time; the way back may end it afterwards."""
    health: dict[str, Any] = field(default_factory=dict)
    log: str = ""

    @property
    def plan_id(self) -> str:
        return str(self.plan["id"])

    def enter(self, phase: str, now: float) -> None:
        """Go over to another phase."""
        if phase not in PHASES:
            raise ValueError("a journal has no phase %r" % phase)
        self.phase = phase
        self.times[phase] = now

    def last(self) -> float:
        """When it was last written to, for finding the newest one."""
        return max(self.times.values(), default=0.0)


def of_text(text: str) -> Journal:
    """The journal of a text that :meth:`Store.save` wrote. Raises ValueError when it is none."""
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("it is no dictionary")
    known = {entry.name: entry for entry in fields(Journal)}
    wrong = errors_of(data.get("plan"))
    if wrong:
        raise ValueError("its plan is not one: %s" % wrong[0])
    made = Journal(**{name: value for name, value in data.items() if name in known})
    if made.phase not in PHASES:
        raise ValueError("it has no phase that is known")
    for name in ("times", "before", "kept", "new", "units", "health"):
        if not isinstance(getattr(made, name), dict):
            raise ValueError("%s is no dictionary" % name)
    for entries in (made.kept, made.new):
        for entry in entries.values():
            # They become words of a command line, and files that root installs.
            if not isinstance(entry, dict) or "/" in str(entry.get("file", "/")) or str(entry["file"]).startswith("-"):
                raise ValueError("it names a file outside its own folder")
    return made


class Store:
    """The journals of this host, below one folder. All methods raise JournalError."""

    def __init__(self, base: str = BASE) -> None:
        self.base = base

    def folder(self, plan_id: str) -> str:
        if not PLAN_ID.fullmatch(plan_id):
            raise JournalError(
                "%r is not the id of a plan" % plan_id[:60], "Give the id that patch_plan returned (p-…)."
            )
        return os.path.join(self.base, plan_id)

    def path(self, plan_id: str, name: str) -> str:
        return os.path.join(self.folder(plan_id), name)

    def check(self) -> None:
        """Root installs what the folder holds and runs what it says: nobody else may write to it."""
        try:
            found = os.lstat(self.base)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _cannot_write(self.base, error) from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise JournalError(
                "%s is not a folder that only this account may write to" % self.base,
                "See who made it (ls -ld %s), remove it, and prepare the plan again." % self.base,
            )

    def load(self, plan_id: str) -> Journal | None:
        """The journal of a plan, None when there is none."""
        self.check()
        path = self.path(plan_id, "journal.json")
        try:
            with open(path, encoding="utf-8") as stream:
                text = stream.read(LIMIT)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise JournalError("%s cannot be read: %s" % (path, error), "Run as root, and look at the disk.") from error
        try:
            return of_text(text)
        except (ValueError, TypeError, KeyError) as error:
            raise JournalError(
                "%s is damaged: %s" % (path, error),
                "See what was done in %s and on the host, then remove the folder and plan anew."
                % self.path(plan_id, "transaction.log"),
            ) from error

    def ids(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.base) if PLAN_ID.fullmatch(name))
        except OSError:
            return []

    def all(self) -> list[Journal]:
        """The journals that can be read, the newest first."""
        found = []
        for plan_id in self.ids():
            with contextlib.suppress(JournalError):
                journal = self.load(plan_id)
                if journal is not None:
                    found.append(journal)
        return sorted(found, key=Journal.last, reverse=True)

    def newest(self) -> Journal | None:
        """The one that was last written to; not one without packages, which only keeps the health before a reboot."""
        return next((journal for journal in self.all() if journal.plan["packages"]), None)

    def open(self, plan_id: str) -> None:
        """Make the folders of a plan."""
        self.check()
        try:
            os.makedirs(self.base, 0o700, exist_ok=True)
            for name in ("", "old", "new"):
                os.makedirs(self.path(plan_id, name), 0o700, exist_ok=True)
        except OSError as error:
            raise _cannot_write(self.base, error) from error

    def save(self, journal: Journal) -> None:
        """Write it, on the disk when this returns: whole, or as it was."""
        self.write(journal.plan_id, "journal.json", json.dumps(asdict(journal), sort_keys=True, indent=1) + "\n")

    def write(self, plan_id: str, name: str, text: str) -> None:
        """Replace a file of the plan's folder at once, on the disk when this returns."""
        folder = self.folder(plan_id)
        temporary = ""
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=".%s." % name, dir=folder)
            with open(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, os.path.join(folder, name))
            sync_folder(folder)
        except OSError as error:
            if temporary:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            raise _cannot_write(folder, error) from error

    def read(self, plan_id: str, name: str, limit: int = LIMIT) -> str:
        """The end of a file of the plan's folder, at most ``limit`` bytes; empty when there is none."""
        try:
            with open(self.path(plan_id, name), "rb") as stream:
                stream.seek(0, os.SEEK_END)
                stream.seek(max(0, stream.tell() - limit))
                return stream.read(limit).decode("utf-8", "replace")
        except OSError:
            return ""

    def forget(self, plan_id: str, name: str) -> None:
        """Remove a file of the plan's folder."""
        try:
            os.unlink(self.path(plan_id, name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise _cannot_write(self.folder(plan_id), error) from error

    def prune(self, spare: str, keep: int = KEPT_JOURNALS) -> list[str]:
        """Remove the oldest journals beyond ``keep``; none that is under way, and not the one to spare."""
        removed = []
        for journal in self.all()[keep:]:
            if journal.phase not in UNDER_WAY and journal.plan_id != spare:
                shutil.rmtree(self.folder(journal.plan_id), ignore_errors=True)
                removed.append(journal.plan_id)
        return removed

    @contextlib.contextmanager
    def alone(self, name: str = "session.lock") -> Iterator[bool]:
        """Whether this process is the only one of Upkeep at work here; held until the block ends, or we do."""
        self.check()
        try:
            os.makedirs(self.base, 0o700, exist_ok=True)
            descriptor = os.open(os.path.join(self.base, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _cannot_write(self.base, error) from error
        try:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)


def sync_folder(folder: str) -> None:
    """Have the names in a folder on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(folder: str, error: OSError) -> JournalError:
    return JournalError(
        "%s cannot be written to: %s" % (folder, error.strerror or error),
        "Run as root, and make room: nothing is changed on a host where it cannot be written down first.",
    )


def load(base: str, plan_id: str) -> Journal | None:
    """The journal of a plan, None when there is none. Raises JournalError."""
    return Store(base).load(plan_id)


def newest(base: str) -> Journal | None:
    """The journal that was last written to, None when there is none that can be read."""
    return Store(base).newest()


def as_told(journal: Journal) -> Mapping[str, Any]:
    """What a module returns of a journal."""
    return {"plan_id": journal.plan_id, "phase": journal.phase, "times": dict(journal.times), "log": journal.log}
