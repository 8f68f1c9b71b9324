# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration as the rest of Upkeep uses it. Reading and checking the file is config_file.py's work.

Without a file nothing heavy is imported: start-up time is a feature.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from . import paths
from .errors import UpkeepError
from .metrics.settings import Settings as MetricsSettings
from .reconcile import Policy
from .service.settings import SchedulerSettings
from .sla import BusinessHours
from .sla import Settings as SlaSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .calendar.decide import After, CatchUp
    from .calendar.freezes import Freeze
    from .calendar.windows import Window
    from .campaign.model import Spec
    from .compliance.settings import Settings as ComplianceSettings
    from .notify.settings import Settings as NotifySettings
    from .outbox import Settings as OutboxSettings
    from .schedule import Schedule
    from .ticketing.settings import TicketSystemSettings

FILE_NAME = "upkeep.yml"


@dataclass(frozen=True)
class Job:
    """A playbook with what it is run over, by name."""

    name: str
    playbook: str
    description: str = ""
    inventory: tuple[str, ...] = ()
    """Empty: the configuration's."""
    limit: str | None = None
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False
    time_limit: float | None = None
    """Seconds."""
    forks: int | None = None
    schedule: Schedule | None = None
    schedule_text: str = ""
    time_zone: ZoneInfo | None = None
    """None: the configuration's."""
    holidays: str = "run"
    """What becomes of a time on a holiday: run | skip | next | previous (working day). In ``schedule`` already."""
    windows: tuple[Window, ...] = ()
    """When it may be at work; none: always."""
    windows_text: tuple[str, ...] = ()
    overrun: str = "tell"
    """When it is not over at its window's end: tell (a finding; it goes on) | stop (it is ended)."""
    jitter: float = 0.0
    """Seconds over which its beginning is spread."""
    misfire: float | None = None
    """Seconds that it may begin late; None: see calendar/decide.py."""
    catch_up: CatchUp = "once"
    catch_up_limit: int = 10
    after: tuple[After, ...] = ()
    """Jobs that have to have run before."""
    changes: bool = True
    """Whether it changes systems."""
    locks: tuple[str, ...] = ("changes",)
    """Lock groups: two runs with a group in common are never at work on one host."""
    approve: bool = False
    """Whether it runs in check mode first, and applies that only with a person's word."""
    priority: int = 50
    """Which goes first when not all can: the higher one (0 to 100)."""
    restart: str = "never"
    """What becomes of an occurrence whose run was cut off (its process or node died): never | once: it is carried out
    once more, for the hosts that were not done."""
    own_time_limit: bool = False
    """Whether the file says its time limit, or it is the built-in one, which only ends what hangs."""


BUILT_IN_TIME_LIMIT = 4 * 3600.0
"""Seconds: the weekly review of a thousand hosts takes well under an hour; what takes four hangs."""
RESTORE_TIME_LIMIT = 24 * 3600.0
"""Seconds: a test of everything takes as long as a recovery would; what takes more than a day is no recovery."""
BACKUPS_LOCK = "backups"
"""Two restore tests at once on one host would measure each other."""

BUILT_IN = {
    job.name: job
    for job in (
        Job(
            "weekly",
            "upkeep.maintenance.weekly",
            "The weekly review: patch state, capacity and backups, of which a sample is restored. Reads only.",
            time_limit=BUILT_IN_TIME_LIMIT,
            changes=False,
            locks=(),
        ),
        Job(
            "monthly",
            "upkeep.maintenance.monthly",
            "The monthly maintenance: every backup restored on trial, databases loaded and queried. Changes nothing.",
            time_limit=RESTORE_TIME_LIMIT,
            changes=False,
            locks=(BACKUPS_LOCK,),
        ),
        Job(
            "patch_state",
            "upkeep.maintenance.patch_state",
            "Pending updates, restarts due, end of life. Reads only.",
            time_limit=BUILT_IN_TIME_LIMIT,
            changes=False,
            locks=(),
        ),
        Job(
            "capacity",
            "upkeep.maintenance.capacity",
            "What fills up and when; failed units, clocks, disks. Reads only.",
            time_limit=BUILT_IN_TIME_LIMIT,
            changes=False,
            locks=(),
        ),
        Job(
            "backup_review",
            "upkeep.maintenance.backup_review",
            "Backups: fresh, complete, intact; a sample is restored and compared. Changes nothing.",
            time_limit=BUILT_IN_TIME_LIMIT,
            changes=False,
            locks=(BACKUPS_LOCK,),
        ),
        Job(
            "backup_restore_test",
            "upkeep.maintenance.backup_restore_test",
            "Everything restored on trial into a scratch place, databases loaded and queried. Changes nothing.",
            time_limit=RESTORE_TIME_LIMIT,
            changes=False,
            locks=(BACKUPS_LOCK,),
        ),
    )
}
"""Jobs that are there without a configuration; the file may change each of their properties."""


def system_zone() -> ZoneInfo:
    """This machine's time zone by its IANA name; UTC when it has none."""
    names = [os.environ.get("TZ", "").lstrip(":")]
    try:
        names.append(Path("/etc/localtime").resolve().as_posix().partition("/zoneinfo/")[2])
        names.append(Path("/etc/timezone").read_text(encoding="utf-8").strip())
    except OSError:
        pass
    for name in names:
        if name and not name.startswith("/"):
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue
    return ZoneInfo("UTC")


@dataclass(frozen=True)
class Config:
    """All settings, with their defaults."""

    path: Path | None
    """The file; None when there is none and all are defaults."""
    home: Path
    inventory: tuple[str, ...] = ()
    """Empty: the embedded one, this machine."""
    store_url: str | None = None
    """None: SQLite in ``home``."""
    keep_days: float = 400.0
    keep_proofs_days: float = 1100.0
    """As store/facade.py has it, which is not imported here."""
    time_zone: ZoneInfo = field(default_factory=system_zone)
    jobs: Mapping[str, Job] = field(default_factory=lambda: dict(BUILT_IN))
    policy: Policy = field(default_factory=Policy)
    sla: SlaSettings = field(default_factory=lambda: SlaSettings(hours=BusinessHours(time_zone=system_zone().key)))
    metrics: MetricsSettings = field(default_factory=MetricsSettings)

    freezes: tuple[Freeze, ...] = ()
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    notify: NotifySettings | None = None
    """None: nobody is told anything."""
    ticket_systems: Mapping[str, TicketSystemSettings] = field(default_factory=dict)
    """By name; the embedded tracker is always there."""
    outbox: OutboxSettings | None = None
    """None: as outbox.Settings has it."""
    campaigns: Mapping[str, Spec] = field(default_factory=dict)
    compliance: ComplianceSettings | None = None
    """None: as compliance/settings.py has it, and nobody is told."""

    def inventory_of(self, job: Job | None, given: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The inventory to use: the one given, the job's, the configuration's, or this machine."""
        return given or (job.inventory if job else ()) or self.inventory or (str(paths.local_inventory()),)

    def zone_of(self, job: Job) -> ZoneInfo:
        """The time zone of a job's schedule."""
        return job.time_zone or self.time_zone


def find(given: str | None = None) -> Path | None:
    """The configuration file: the one given, UPKEEP_CONFIG, upkeep.yml in the current folder, or in UPKEEP_HOME.

    Raises UpkeepError when one that was named is not there.
    """
    for name, source in ((given, "--config"), (os.environ.get("UPKEEP_CONFIG"), "UPKEEP_CONFIG")):
        if name:
            path = Path(name).expanduser().absolute()
            if not path.is_file():
                raise UpkeepError(
                    f"the configuration {path} is not there",
                    expected=f"the file that {source} names",
                    found="a folder" if path.is_dir() else "nothing of that name",
                    remedy="correct the name, or leave it out: Upkeep works without a configuration",
                )
            return path
    for folder in (Path.cwd(), paths.home()):
        path = folder / FILE_NAME
        try:
            if path.is_file():
                return path
        except OSError as error:
            raise UpkeepError(
                f"{folder} cannot be looked into",
                expected="a folder that this user may read"
                + (" (UPKEEP_HOME names it)" if folder == paths.home() else ""),
                found=error.strerror or str(error),
                remedy="set UPKEEP_HOME to a folder of your own, or correct the rights",
            ) from error
    return None


def load(given: str | None = None) -> Config:
    """The configuration in force. Raises UpkeepError (WRONG_USE) that names file, line and what was expected."""
    path = find(given)
    home = paths.home()
    if path is None:
        return Config(None, home)
    from .config_file import read

    return read(path, home)
