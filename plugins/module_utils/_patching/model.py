# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a host's patch state before it is judged: the same for every package manager. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Problem:
    """Something that could not be found out: why, what to do, and the lines that show it (as CannotCheck)."""

    why: str
    remedy: str = ""
    evidence: list[str] = field(default_factory=list)


@dataclass
class Update:
    """An installed package for which a newer version can be had.

    Times are seconds since the epoch. ``published`` is exact (an advisory's date); ``published_by`` is the latest that
    it can have been published (the date of the archive's Release file): its age is *at least* the time since then.
    """

    name: str
    installed: str
    candidate: str
    arch: str = ""
    origins: list[str] = field(default_factory=list)
    security: bool = False
    severity: str = ""
    """The vendor's own word (Critical, Important, Moderate, Low), where the metadata has one."""
    advisories: list[str] = field(default_factory=list)
    cves: list[str] = field(default_factory=list)
    published: float | None = None
    published_by: float | None = None
    held: bool = False
    pinned: bool = False
    phased: bool = False
    kept_back: str = ""
    """Why the ordinary upgrade leaves this package alone; empty when it does not."""

    def age_days(self, now: float) -> int | None:
        """Whole days since publication; a lower bound when only ``published_by`` is known; None when nothing is."""
        since = self.published if self.published is not None else self.published_by
        return None if since is None else max(0, int((now - since) // 86400))


@dataclass
class Hold:
    """A package that the administrator keeps from being upgraded: by hold, pin, versionlock or exclude."""

    name: str
    installed: str
    how: str
    newer: str = ""
    """The newest version that is kept away, empty when there is none."""
    security: bool = False


@dataclass
class Repository:
    """A configured source of packages, with what its signed metadata says. Times are seconds since the epoch."""

    name: str
    """What a person calls it: address and suite, or the id of a dnf repository."""
    security: bool = False
    date: float | None = None
    valid_until: float | None = None
    fetched: bool = True
    """Whether metadata of it is on this host."""
    unreachable: str = ""
    """Why it could not be reached or never was, empty when that is not known to be so."""
    expired: str = ""
    """What the package manager said of its age during a refresh."""
    unsigned: str = ""
    """Why its signature proves nothing, empty when it does."""
    unsigned_by_choice: bool = False
    """Whether that was configured so (trusted=yes, gpgcheck=0), and is no fault of the metadata."""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Lock:
    """A package manager's lock that somebody holds."""

    path: str
    pid: int
    command: str = ""
    since: float | None = None
    """When the holder was started, in seconds since the epoch."""


@dataclass
class Installed:
    """An installed package, and the source package that it was built from."""

    name: str
    arch: str
    version: str
    source: str
    source_version: str
    size: int | None = None
    """Bytes that it takes."""


@dataclass
class Present:
    """A package that is there, and since when (seconds since the epoch, by the host's clock) in this version."""

    name: str
    arch: str
    version: str
    since: float | None = None


@dataclass
class Managed:
    """What the package manager knows. A Problem stands where something could not be found out."""

    manager: str
    version: str = ""
    updates: list[Update] = field(default_factory=list)
    updates_problem: Problem | None = None
    kept_back_problem: Problem | None = None
    removals: list[str] = field(default_factory=list)
    """What a full upgrade would remove."""
    holds: list[Hold] = field(default_factory=list)
    packages: int = 0
    database: list[str] = field(default_factory=list)
    """What is broken in the package database, one sentence each."""
    database_problem: Problem | None = None
    database_remedy: str = ""
    repositories: list[Repository] = field(default_factory=list)
    repositories_problem: Problem | None = None
    checked: float | None = None
    """When the metadata was last known to be fetched."""
    tried: float | None = None
    """When somebody last tried to fetch it, whether or not that succeeded."""
    refreshed: bool = False
    refresh_problem: Problem | None = None
    locks: list[Lock] = field(default_factory=list)
    locks_problem: Problem | None = None
    last_upgrade: float | None = None
    automatic: dict[str, Any] = field(default_factory=dict)
    """Whether the host updates itself, and why not; empty when that could not be found out."""
    names: set[str] = field(default_factory=set)
    """Of the installed packages."""
    installed: list[Installed] = field(default_factory=list)
    """The installed packages; of dnf only when they were asked for."""
    present: list[Present] = field(default_factory=list)
    """The same of either manager, only when the patch state is reviewed."""
    native: str = ""
    """apt's name of this machine's architecture."""
    kernel_packages: dict[str, str] = field(default_factory=dict)
    """Of Debian's kernels: release of the kernel to version of its package."""
    core_updated: list[str] = field(default_factory=list)
    """Packages that need a reboot and were installed after the boot (the rpm family has no flag file)."""
    core_problem: Problem | None = None
    """Why ``core_updated`` says nothing."""


@dataclass
class Process:
    """A process that runs code which was replaced or removed on disk."""

    pid: int
    command: str
    unit: str
    """Its systemd unit, ``session`` of a person, ``init`` for PID 1, or empty."""
    files: list[str] = field(default_factory=list)


@dataclass
class System:
    """What the machine itself knows, whatever its package manager."""

    os_release: dict[str, str] = field(default_factory=dict)
    distro_info: str = ""
    """The text of the installed distro-info-data table of this distribution."""
    boot: float | None = None
    container: str = ""
    reboot_flag: float | None = None
    """When /run/reboot-required was made, None when it is not there."""
    reboot_packages: list[str] = field(default_factory=list)
    running_kernel: str = ""
    running_kernel_build: str = ""
    installed_kernels: list[str] = field(default_factory=list)
    """The releases of the kernels in /boot."""
    processes: list[Process] = field(default_factory=list)
    processes_seen: int = 0
    processes_denied: int = 0
    processes_elsewhere: int = 0
    """Processes with replaced code that belong to a container of this host."""
    processes_problem: Problem | None = None


@dataclass
class Change:
    """What a transaction does to one package. Sizes are bytes, None when they are not known."""

    name: str
    arch: str
    before: str
    """The version now, empty when it is not installed."""
    after: str
    """The version afterwards, empty when it is removed."""
    action: str
    """upgrade | install | remove | downgrade"""
    origin: str = ""
    source: str = ""
    source_before: str = ""
    source_after: str = ""
    """Of the source package, where it is another than that of the package itself."""
    download: int | None = None
    size_change: int | None = None
    update: dict[str, Any] | None = None
    """What dnf's advisories say of it, when it was not among the pending updates that were selected."""


@dataclass
class Resolved:
    """A transaction that the package manager worked out and would carry out."""

    changes: list[Change] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """What was wanted and cannot be had: its name, why (would_remove | kept_back) and the reason."""
    problem: Problem | None = None
    """Why nothing could be worked out."""
    owned: dict[str, str] = field(default_factory=dict)
    """Paths of programs, libraries and units as they are now -> the package of the transaction that owns them."""
    scripts: dict[str, str] = field(default_factory=dict)
    """The installed maintainer scripts of the packages of the transaction, by package."""
    core: set[str] = field(default_factory=set)
    """dnf: the packages after whose update a reboot is due."""


@dataclass
class Running:
    """A process of a unit, and what of the transaction's files it has in use."""

    pid: int
    unit: str
    packages: set[str] = field(default_factory=set)
