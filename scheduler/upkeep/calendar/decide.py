# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with a job now: begin, skip, wait. Pure; all times are seconds since the epoch (float).

The service keeps for each job a *cursor*: its occurrences up to there are decided. At each look it calls ``decide()``
and, in one transaction, writes a row of `firings` for each Begin (its claim) and each Skip, and moves the cursor to
``Decided.cursor``. A Wait leaves the cursor before its occurrence: it is decided anew when it is time, so that a freeze,
a pause or a changed window between counts. Nothing else is remembered: after a crash the same call gives the same.

The rules, in order, for an occurrence that is due:

1. A paused job: skipped; what a pause let pass is not made up.
2. Several at once (an outage, a stalled node): ``catch_up`` says which: ``skip`` none that is later than PROMPT, ``once``
   (default) the newest, ``all`` the newest ``catch_up_limit``, in order, one at a time.
3. It may begin at the first moment that lies in one of the job's windows with room for its length (what it usually takes,
   or its time limit), outside every freeze that stops the job, after what it depends on, plus its jitter.
4. That moment must not be later than its deadline: ``misfire`` after it was due; without ``misfire``, the end of the first
   window with room; without windows, an hour for a job that changes systems, and no limit for one that only reads.
   Later: skipped. So a job with a window never begins outside it, and a night job is not made up in the morning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from zoneinfo import ZoneInfo

    from ..config import Config, Job
    from ..schedule import Schedule
    from .freezes import Freeze
    from .windows import Window

PROMPT = 300.0
"""Seconds: an occurrence that begins within this of its time was not missed (a tick, a failover, a restart)."""
CHANGE_GRACE = 3600.0
"""Seconds: how late a job that changes systems may begin when neither a window nor ``misfire`` says so."""

CatchUp = Literal["skip", "once", "all"]


@dataclass(frozen=True)
class After:
    """A job that has to have run before."""

    job: str
    outcome: Literal["succeeded", "finished"] = "succeeded"
    """``succeeded``: its run ended by itself and no host failed. ``finished``: it ended, however."""
    within: float = 86400.0
    """Seconds: its end counts when it is at most this much older than the occurrence; and how long is waited for it."""


@dataclass(frozen=True)
class LastRun:
    """The newest run of a job that others depend on. Check runs of a job that asks for approval do not count."""

    finished: float | None = None
    """When its newest ended run ended; None: never."""
    succeeded: bool = False
    """Whether that one ended by itself, no host failed or unreachable."""
    running: bool = False
    """Whether one is under way."""


@dataclass(frozen=True)
class Timetable:
    """All of a job (and of the configuration around it) that says when it runs."""

    job: str
    schedule: Schedule | None
    """With its rule for holidays in it. None: by hand only, or whenever what it comes ``after`` has ended."""
    zone: ZoneInfo
    windows: tuple[Window, ...] = ()
    jitter: float = 0.0
    """Seconds over which its beginning is spread: the same for one occurrence on every node."""
    misfire: float | None = None
    """Seconds that it may begin late; None: see rule 4."""
    catch_up: CatchUp = "once"
    catch_up_limit: int = 10
    time_limit: float | None = None
    """Seconds that it may take, as far as the job itself says so."""
    changes: bool = True
    """Whether it changes systems: freezes stop only such a job."""
    after: tuple[After, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    """Those that concern this job, also those of some hosts only."""


@dataclass(frozen=True)
class Begin:
    """Claim (job, due) and begin now."""

    due: float
    not_before: float
    """From when it could begin (its jitter, its window): the firing lag is counted from here."""
    ends_by: float | None = None
    """The end of the window that it begins in. What to do when it is not over by then, the job's ``overrun`` says."""
    without: tuple[str, ...] = ()
    """Patterns of hosts that a freeze takes out: ``limit_without(limit, without)`` gives the run's limit."""
    why: str = ""
    """What is particular: that it is made up for, what it waited for, who is frozen. For people; "" when nothing is."""


@dataclass(frozen=True)
class Skip:
    """This occurrence does not run."""

    due: float
    why: str
    missed: bool
    """Whether something went wrong (an outage, a lock held too long, a dependency that failed): that becomes a finding
    `upkeep.job.missed`. False when it is meant (paused, frozen, a newer one takes its place)."""
    until: float | None = None
    """Not None: all its occurrences from ``due`` to here, told as one (there were more than LISTED)."""


@dataclass(frozen=True)
class Wait:
    """This occurrence is owed and may not begin yet."""

    due: float
    until: float
    """When to look again at the latest."""
    why: str


Decision = Begin | Skip | Wait


@dataclass(frozen=True)
class Decided:
    """What to do now."""

    decisions: tuple[Decision, ...] = ()
    """In the order of their ``due``."""
    cursor: float = 0.0
    """The cursor after Begin and Skip were carried out; never before the one given."""
    again: float | None = None
    """When there is something to decide next (a wait's end, the next occurrence); None: nothing ever, as it stands."""


def timetable(config: Config, job: Job) -> Timetable:
    """The timetable of a configured job."""
    raise NotImplementedError


def decide(
    table: Timetable,
    cursor: float,
    now: float,
    *,
    paused: str = "",
    held: str = "",
    ends: Mapping[str, LastRun] | None = None,
    typical: float | None = None,
) -> Decided:
    """What to do with a job now.

    ``cursor``: its occurrences up to there (inclusive) are decided; ``now`` for a new job or a changed schedule.
    ``paused``: why it is paused, "" when it is not. ``held``: why it cannot begin at this moment although it may (an
    earlier run of it goes on, a lock is held): waits, until its deadline. ``ends``: for the jobs in ``table.after``.
    ``typical``: seconds that it usually takes (the service's: of its last good runs); used where the job has no time
    limit, and where that is shorter than it.
    """
    raise NotImplementedError


@dataclass(frozen=True)
class Occurrence:
    """One time of a job in the future, as `upkeep jobs next` shows it."""

    due: float
    starts: float | None
    """When it will begin; None: it will be skipped."""
    why: str = ""
    """Why it will be skipped, or begins later than it is due."""
    ends_by: float | None = None
    without: tuple[str, ...] = ()


def outlook(table: Timetable, after: float, *, paused: str = "", typical: float | None = None) -> Iterator[Occurrence]:
    """The occurrences after a moment, in order, with what will become of each if nothing goes wrong."""
    raise NotImplementedError


def next_moment(table: Timetable, cursor: float) -> float | None:
    """The first time after the cursor at which the job is due; None: never, or not by a schedule."""
    raise NotImplementedError


def limit_without(limit: str | None, without: tuple[str, ...]) -> str | None:
    """Ansible's limit that leaves out some hosts: ("web", ("db", "x1")) gives "web:!db:!x1"."""
    return ":".join([limit or "all", *(f"!{pattern}" for pattern in without)]) if without else limit
