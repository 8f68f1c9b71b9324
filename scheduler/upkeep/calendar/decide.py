# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with a job now: begin, skip, wait. Pure; all times are seconds since the epoch (float).

The service keeps for each job a *cursor*: its occurrences up to there are decided. At each look it calls ``decide()``
and, in one transaction, writes a row of `firings` for each Begin (its claim) and each Skip, and moves the cursor to
``Decided.cursor``. A Wait leaves the cursor before its occurrence: it is decided anew when it is time, so that a
freeze, a pause or a changed window between counts. Nothing else is remembered: after a crash the same call gives the
same.

The rules, in order, for an occurrence that is due:

1. A paused job: skipped; what a pause let pass is not made up.
2. Several at once (an outage, a stalled node): ``catch_up`` says which: ``skip`` none later than PROMPT after it could
   begin, ``once`` (default) the newest, ``all`` the newest ``catch_up_limit``, in order, one at a time.
3. It may begin at the first moment that lies in one of the job's windows with room for its length (what it usually
   takes, or its time limit), outside every freeze that stops the job, after what it depends on, plus its jitter.
4. That moment must not be later than its deadline: ``misfire`` after it was due; without ``misfire``, the end of the
   first window with room; without windows, an hour for a job that changes systems, no limit for one that only reads.
   Later: skipped. So a job with a window never begins outside it, and a night job is not made up in the morning.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from ..durations import shown
from ..moments import with_day
from .windows import Span, united, without

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

LISTED = 50
"""Occurrences that are decided one by one; when more are owed, the older ones are skipped as one."""
LOOK = 60.0
"""Seconds between two looks at what is held by a lock or a dependency."""
MARGIN = 1.25
"""A run is given this much more than it usually takes."""

JITTER = "spread by its jitter"

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
    begin_by: float | None = None
    """It must not begin later than this (its deadline, or what the window leaves of room); None: no such time."""
    ends_by: float | None = None
    """When its window ends or a freeze begins. If it is not over by then, the job's ``overrun`` says what to do."""
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
    """Not None: all its occurrences from ``due`` until before this, told as one (there were more than LISTED)."""


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
    return Timetable(
        job=job.name,
        schedule=job.schedule,
        zone=config.zone_of(job),
        windows=job.windows,
        jitter=job.jitter,
        misfire=job.misfire,
        catch_up=job.catch_up,
        catch_up_limit=job.catch_up_limit,
        time_limit=job.time_limit if job.own_time_limit else None,
        changes=job.changes,
        after=job.after,
        freezes=tuple(freeze for freeze in config.freezes if freeze.concerns(job.name)),
    )


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
    ``typical``: seconds that it usually takes (the service's: of its last good runs), None when that is not known.
    A job without a schedule is due when what it comes ``after`` has ended: ask whenever a run ended.
    """
    ends = ends or {}
    pending, before = _pending(table, cursor, now, ends)
    following = next_moment(table, max(cursor, now))
    if not pending:
        return Decided((), cursor, following)
    decisions: list[Decision] = []
    if before is not None:
        decisions.append(
            Skip(before, paused or "more of them were missed than are made up for", not paused, pending[0])
        )
    owed = _owed(table, pending, paused, decisions)
    for place, due in enumerate(owed):
        then = owed[place + 1] if place + 1 < len(owed) else following
        decision = _one(table, due, now, then, held, ends, typical)
        decisions.append(decision)
        if not isinstance(decision, Skip):
            break
    decided = [decision.due for decision in decisions if not isinstance(decision, Wait)]
    last = decisions[-1]
    moments = [following, last.until if isinstance(last, Wait) else None]
    if not isinstance(last, Wait) and last.due != pending[-1]:
        moments.append(now)  # the next of those that are made up for
    again = min((moment for moment in moments if moment is not None), default=None)
    return Decided(tuple(decisions), max([cursor, *decided]), again)


def _owed(table: Timetable, pending: list[float], paused: str, decisions: list[Decision]) -> list[float]:
    """Which of several are to run, as far as pauses and catch_up say so; skips of the others are added."""
    if paused:
        decisions += [Skip(due, f"the job is paused: {paused}", False) for due in pending]
        return []
    kept = pending[-table.catch_up_limit :] if table.catch_up == "all" else pending[-1:]
    place = f"a newer one, {_clock(kept[0], table.zone)}, takes its place"
    if table.catch_up == "all":
        place = f"of those that were missed only the newest {table.catch_up_limit} are made up for"
    decisions += [Skip(due, place, table.catch_up == "all") for due in pending[: -len(kept)]]
    return kept


def _one(
    table: Timetable,
    due: float,
    now: float,
    following: float | None,
    held: str,
    ends: Mapping[str, LastRun],
    typical: float | None,
) -> Decision:
    """What is to be done with one occurrence that is due."""
    place = _place(table, due, following, typical)
    if isinstance(place, Skip):
        return place
    start = place.not_before
    ends_by = place.ends_by
    if now > start:
        later = _first(table, now, place.room, place.deadline)
        start, ends_by = later or (math.inf, math.inf)
    if start > place.deadline:
        late = f"it was not begun by {_clock(min(place.deadline, now), table.zone)}, its last moment"
        return Skip(due, f"{late}: {held or 'no scheduler was at work, or it came too late'}", True)
    waits_for, in_vain = _dependencies(table, due, now, ends)
    if in_vain:
        return Skip(due, in_vain, True)
    if start > now:
        return Wait(due, start, f"{place.why or JITTER} until {_clock(start, table.zone)}")
    if table.catch_up == "skip" and now - place.not_before > PROMPT:
        return Skip(due, f"missed by {shown(now - place.not_before)}, and catch_up is skip", True)
    begin_by = min(place.deadline, ends_by - place.room)
    if waits_for or held:
        return Wait(due, max(now + 1, min(begin_by, now + LOOK)), waits_for or held)
    frozen = _without(table, now, place.room)
    why = [f"made up for after {shown(now - place.not_before)}"] if now - place.not_before > PROMPT else []
    why += [f"not on {', '.join(frozen)}: frozen"] if frozen else []
    return Begin(
        due,
        place.not_before,
        None if math.isinf(begin_by) else begin_by,
        None if math.isinf(ends_by) else ends_by,
        frozen,
        "; ".join(why),
    )


@dataclass(frozen=True)
class _Place:
    """Where an occurrence lies by the calendar, whatever the clock shows now."""

    not_before: float
    deadline: float
    """The last moment at which it may begin; infinity when there is none."""
    ends_by: float
    room: float
    why: str
    """What it is until ``not_before``: frozen, outside its window; "" when it is later only for its jitter."""


def _place(table: Timetable, due: float, following: float | None, typical: float | None) -> _Place | Skip:
    """Rules 3 and 4: the first moment at which it may begin, and the last one."""
    known = [seconds for seconds in (table.time_limit, typical and typical * MARGIN) if seconds]
    room = min(known, default=0.0)
    deadline = due + table.misfire if table.misfire is not None else math.inf
    if table.windows and table.misfire is None:
        opening = next((span for span in _open(table, due) if span[1] - max(span[0], due) >= max(room, 1)), None)
        if opening is None:
            return Skip(due, f"none of its windows has room for it: it takes {shown(room)}", True)
        deadline = opening[1] - room
    elif table.misfire is None and table.changes:
        deadline = due + CHANGE_GRACE
    found = _first(table, due, room, deadline)
    if found is None:
        frozen = _frozen(table, due, deadline)
        why = f"frozen by {frozen.named()}" if frozen else "outside its window"
        return Skip(due, f"{why} beyond its last moment to begin, {_clock(deadline, table.zone)}", frozen is None)
    first, ends_by = found
    # Spread within what there is: never out of the window, beyond the deadline, or past its next occurrence.
    spread = min(table.jitter, ends_by - room - first, deadline - first, max(0.0, (following or math.inf) - first))
    why = ""
    if first > due:
        frozen = _frozen(table, due, math.nextafter(first, due))
        why = f"frozen by {frozen.named()}" if frozen else "outside its window"
    return _Place(first + spread * fraction(table.job, due), deadline, ends_by, room, why)


def fraction(job: str, due: float) -> float:
    """A number from 0 to 1 (exclusive) that is the same for one occurrence everywhere, and differs between jobs."""
    digest = hashlib.blake2b(f"{job}\n{due:.3f}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _open(table: Timetable, start: float) -> Iterator[Span]:
    """The times in which its windows are open, from a moment on; always, when it has none."""
    return united(table.windows, start, table.zone) if table.windows else iter([(start, math.inf)])


def _first(table: Timetable, start: float, room: float, deadline: float) -> Span | None:
    """The first moment from ``start`` to the deadline at which it may begin with room for it, and when that ends."""
    stops = [(one.start, one.end) for one in table.freezes if table.changes and not one.hosts]
    for opened, closed in without(_open(table, start), stops):
        begin = max(opened, start)
        if begin > deadline:
            return None
        if begin < closed and closed - begin >= room:
            return begin, closed
    return None


def _frozen(table: Timetable, start: float, end: float) -> Freeze | None:
    """The freeze of the whole job that lies in a time and ends last."""
    stops = [one for one in table.freezes if table.changes and not one.hosts and one.start <= end and one.end > start]
    return max(stops, key=lambda one: one.end, default=None)


def _without(table: Timetable, now: float, room: float) -> tuple[str, ...]:
    """The hosts that are frozen now, or before it would be over."""
    frozen = [one for one in table.freezes if table.changes and one.start <= now + room and now < one.end]
    return tuple(dict.fromkeys(host for one in frozen for host in one.hosts))


def _dependencies(table: Timetable, due: float, now: float, ends: Mapping[str, LastRun]) -> tuple[str, str]:
    """What it still waits for, and what it waited for in vain; "" when it does not."""
    for after in table.after:
        last = ends.get(after.job, LastRun())
        good = last.finished is not None and (last.succeeded or after.outcome == "finished")
        recent = last.finished is not None and last.finished >= due - after.within
        if good and recent and not last.running:
            continue
        has = f"{after.job} has not {after.outcome} since {_clock(due - after.within, table.zone)}"
        if now > due + after.within:
            return "", has
        return f"{after.job} is at work" if last.running else has, ""
    return "", ""


def _pending(
    table: Timetable, cursor: float, now: float, ends: Mapping[str, LastRun]
) -> tuple[list[float], float | None]:
    """The newest LISTED occurrences after the cursor that are due, and the first of those before them."""
    if table.schedule is None:
        due = _triggered(table, ends)
        return ([due] if due is not None and cursor < due <= now else []), None
    found: list[float] = []
    back = 3600.0
    # Backwards in growing steps: after a year's outage, a job for every minute owes half a million.
    while True:
        start = max(cursor, now - back)
        found = []
        for due in _dues(table.schedule, start, table.zone):
            if due > now:
                break
            found.append(due)
        if start <= cursor or len(found) > LISTED:
            break
        back *= 8
    if len(found) > LISTED or start > cursor:
        first = next(_dues(table.schedule, cursor, table.zone))
        kept = found[-LISTED:]
        return kept, first if first < kept[0] else None
    return found, None


def _triggered(table: Timetable, ends: Mapping[str, LastRun]) -> float | None:
    """When a job without a schedule became due: the last of what it comes after has ended, all of it well."""
    runs = [(after, ends.get(after.job, LastRun())) for after in table.after]
    if not runs or any(last.finished is None or last.running for _, last in runs):
        return None
    due = max(last.finished for _, last in runs if last.finished is not None)
    return None if any(_dependencies(table, due, due, ends)) else due


def _dues(schedule: Schedule, after: float, zone: ZoneInfo) -> Iterator[float]:
    return (at.timestamp() for at in schedule.instants(datetime.fromtimestamp(after, UTC), zone))


def _clock(at: float, zone: ZoneInfo) -> str:
    if math.isinf(at):
        return "never"
    return with_day(at, zone)


@dataclass(frozen=True)
class Occurrence:
    """One time of a job in the future, as `upkeep jobs next` shows it."""

    due: float
    starts: float | None
    """When it will begin; None: it will be skipped."""
    why: str = ""
    """Why it will be skipped; or what it is until it begins: frozen, outside its window."""
    ends_by: float | None = None
    without: tuple[str, ...] = ()


def outlook(table: Timetable, after: float, *, paused: str = "", typical: float | None = None) -> Iterator[Occurrence]:
    """The occurrences after a moment, in order, with what will become of each if nothing goes wrong."""
    if table.schedule is None:
        return
    dues = _dues(table.schedule, after, table.zone)
    due = next(dues, None)
    while due is not None:
        following = next(dues, None)
        if paused:
            yield Occurrence(due, None, f"the job is paused: {paused}")
        else:
            yield _outlook(table, due, following, typical)
        due = following


def _outlook(table: Timetable, due: float, following: float | None, typical: float | None) -> Occurrence:
    place = _place(table, due, following, typical)
    if isinstance(place, Skip):
        return Occurrence(due, None, place.why)
    if following is not None and place.not_before >= following and table.catch_up != "all":
        until = _clock(place.not_before, table.zone)
        return Occurrence(due, None, f"{place.why or JITTER} until {until}; a newer one takes its place")
    frozen = _without(table, place.not_before, place.room)
    ends_by = None if math.isinf(place.ends_by) else place.ends_by
    return Occurrence(due, place.not_before, place.why, ends_by, frozen)


def next_moment(table: Timetable, cursor: float) -> float | None:
    """The first time after the cursor at which the job is due; None: never, or not by a schedule."""
    return None if table.schedule is None else next(_dues(table.schedule, cursor, table.zone), None)


def frozen_now(table: Timetable, now: float) -> tuple[Freeze | None, tuple[str, ...]]:
    """For a run by hand: the freeze that stops the whole job now, and the hosts that are frozen."""
    return _frozen(table, now, now), _without(table, now, table.time_limit or 0.0)


def limit_without(limit: str | None, without: tuple[str, ...]) -> str | None:
    """Ansible's limit that leaves out some hosts: ("web", ("db", "x1")) gives "web:!db:!x1"."""
    return ":".join([limit or "all", *(f"!{pattern}" for pattern in without)]) if without else limit
