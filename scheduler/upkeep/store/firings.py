# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firings: the claim on one occurrence of one job, and what became of it. Statements on a caller's connection.

The row's uniqueness on (job, due) is what makes an occurrence single, however many schedulers and cron lines there are;
a run takes it over by one conditional update, so that of several processes started for it one carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from . import schema
from .model import RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Row

WAITING = "waiting"
"""Claimed, and not begun: its jitter, its window, a lock, its turn, or an approval."""
SKIPPED = "skipped"
"""Decided not to be carried out, by a rule."""
MISSED = "missed"
"""It should have been carried out, and its time has passed."""
BROKEN = "error"
"""Its run could not be carried out, or not even begin."""
FORSAKEN = "the process that was to carry it out ended before it began, and nobody came back to it"
"""Why one that waits is told as missed."""
OPEN = (WAITING, RUNNING)
STATES = (WAITING, RUNNING, "finished", "interrupted", "timed_out", BROKEN, SKIPPED, MISSED)
"""A firing's states: those of its run, and those without one."""

_FIRINGS = schema.firings
_STATES = schema.job_states
_RUNS = schema.runs


@dataclass(frozen=True)
class Firing:
    """One occurrence of a job. Times are seconds since the epoch."""

    id: int
    job: str
    due: float
    state: str
    why: str
    """Why it waits, or is in the state that it is in; a sentence, or empty."""
    node: str
    decided: float
    not_before: float
    run: str | None
    """The id of its run."""
    until: float | None
    """The end of the window that it began in."""
    attempts: int
    launched: float | None
    """When a process was last started for it."""
    done: tuple[str, ...] | None
    """Not None: it is carried out a second time, as its first run was cut off; without these hosts, which are done."""
    without: tuple[str, ...]
    """Patterns of hosts that a freeze takes out."""
    ended: float | None

    @property
    def touched(self) -> float:
        """When somebody last did something for it, or is to come back to it."""
        return max(self.decided, self.not_before, self.launched or 0.0)


@dataclass(frozen=True)
class Followed:
    """A firing whose run has ended."""

    firing: Firing
    cut_off: bool
    """Whether its process or its node died, rather than that somebody or something ended it in order."""
    artifacts: str
    seen: float | None
    """Its run's last sign of life."""


@dataclass(frozen=True)
class JobState:
    """How far a job's schedule is decided, and whether it is paused."""

    job: str
    schedule: str
    since: float
    cursor: float
    paused: float | None
    paused_by: str
    paused_why: str


def claim(
    connection: Connection,
    job: str,
    due: float,
    *,
    node: str,
    now: float,
    state: str = WAITING,
    why: str = "",
    not_before: float | None = None,
    until: float | None = None,
    without: Sequence[str] = (),
) -> int | None:
    """Make an occurrence ours; its number, or None when somebody else has it already."""
    statement = schema.upsert(connection, _FIRINGS).on_conflict_do_nothing(index_elements=["job", "due"])
    values: dict[str, Any] = {
        "job": job,
        "due": due,
        "state": state,
        "why": why,
        "node": node,
        "decided": now,
        "not_before": due if not_before is None else not_before,
        "until": until,
        "without": list(without) or None,
        "ended": now if state not in OPEN else None,
    }
    return connection.execute(statement.values(values).returning(_FIRINGS.c.id)).scalar()


def one(connection: Connection, number: int) -> Firing | None:
    """A firing by its number."""
    row = connection.execute(select(_FIRINGS).where(_FIRINGS.c.id == number)).first()
    return None if row is None else _firing(row)


def open_ones(connection: Connection) -> list[Firing]:
    """Those that wait or are at work, oldest first."""
    rows = connection.execute(select(_FIRINGS).where(_FIRINGS.c.state.in_(OPEN)).order_by(_FIRINGS.c.due))
    return [_firing(row) for row in rows]


def between(connection: Connection, job: str, after: float, to: float) -> list[Firing]:
    """A job's firings that were due in (after, to], oldest first."""
    due = _FIRINGS.c.due
    query = select(_FIRINGS).where(_FIRINGS.c.job == job, due > after, due <= to).order_by(due)
    return [_firing(row) for row in connection.execute(query)]


def newest(connection: Connection, job: str | None = None, limit: int = 50) -> list[Firing]:
    """The newest firings, of one job or of all, newest first."""
    query = select(_FIRINGS).order_by(_FIRINGS.c.due.desc(), _FIRINGS.c.id.desc()).limit(limit)
    rows = connection.execute(query if job is None else query.where(_FIRINGS.c.job == job))
    return [_firing(row) for row in rows]


def last_ended(connection: Connection, jobs: Iterable[str], at_or_before: float) -> dict[str, Firing]:
    """For each job the newest firing that was due by then, whatever its state."""
    names = list(jobs)
    newest_due = (
        select(_FIRINGS.c.job, func.max(_FIRINGS.c.due).label("due"))
        .where(_FIRINGS.c.job.in_(names), _FIRINGS.c.due <= at_or_before)
        .group_by(_FIRINGS.c.job)
        .subquery()
    )
    joined = (_FIRINGS.c.job == newest_due.c.job) & (_FIRINGS.c.due == newest_due.c.due)
    return {row.job: _firing(row) for row in connection.execute(select(_FIRINGS).join(newest_due, joined))}


def launching(
    connection: Connection, number: int, now: float, until: float | None = None, without: Sequence[str] = ()
) -> None:
    """A process is started for it; ``until`` and ``without`` as they are now."""
    values = {"launched": now, "attempts": _FIRINGS.c.attempts + 1, "why": ""}
    values |= {"until": until, "without": list(without) or None}
    connection.execute(update(_FIRINGS).where(_FIRINGS.c.id == number, _FIRINGS.c.state == WAITING).values(values))


def begin(connection: Connection, number: int, run_id: str) -> bool:
    """Make a run the one of this firing. False: it has one, or is decided otherwise; then the run must not begin."""
    waiting = (_FIRINGS.c.id == number) & (_FIRINGS.c.state == WAITING) & _FIRINGS.c.run.is_(None)
    values = {"state": RUNNING, "run": run_id, "why": ""}
    return connection.execute(update(_FIRINGS).where(waiting).values(values)).rowcount == 1


def put_off(connection: Connection, number: int, why: str, not_before: float, *, failed: bool = False) -> None:
    """It waits, for a reason that a person may read. ``failed``: what was started for it counts as an attempt."""
    waiting = (_FIRINGS.c.id == number) & (_FIRINGS.c.state == WAITING)
    values: dict[str, Any] = {"why": why, "not_before": not_before, "launched": None}
    if not failed:
        values["attempts"] = 0
    connection.execute(update(_FIRINGS).where(waiting).values(values))


def still_waits(connection: Connection, number: int, why: str, now: float) -> None:
    """The process that was started for it is alive and waits; nobody else needs to take it up."""
    waiting = (_FIRINGS.c.id == number) & (_FIRINGS.c.state == WAITING)
    connection.execute(update(_FIRINGS).where(waiting).values(why=why, launched=now))


def end(connection: Connection, number: int, state: str, why: str, now: float) -> bool:
    """Decide a firing that waits without a run; False when it does not (any more)."""
    waiting = (_FIRINGS.c.id == number) & (_FIRINGS.c.state == WAITING)
    values = {"state": state, "why": why, "ended": now}
    return connection.execute(update(_FIRINGS).where(waiting).values(values)).rowcount == 1


def note(connection: Connection, number: int, why: str) -> None:
    """Add to what is told of a firing."""
    said = connection.scalar(select(_FIRINGS.c.why).where(_FIRINGS.c.id == number)) or ""
    told = "; ".join(filter(None, [said, why]))
    connection.execute(update(_FIRINGS).where(_FIRINGS.c.id == number).values(why=told))


def follow(connection: Connection, now: float, run_id: str | None = None) -> list[Followed]:
    """Give the firings whose run has ended (or that of one run) its state; those firings."""
    joined = _FIRINGS.join(_RUNS, _FIRINGS.c.run == _RUNS.c.id)
    query = (
        select(_FIRINGS.c.id, _RUNS.c.state, _RUNS.c.message, _RUNS.c.finished)
        .add_columns(_RUNS.c.cancel_asked, _RUNS.c.artifacts, _RUNS.c.seen)
        .select_from(joined)
        .where(_FIRINGS.c.state == RUNNING, _RUNS.c.state != RUNNING)
    )
    ended = []
    for row in connection.execute(query if run_id is None else query.where(_RUNS.c.id == run_id)).all():
        values = {"state": row.state, "why": row.message, "ended": now if row.finished is None else row.finished}
        connection.execute(update(_FIRINGS).where(_FIRINGS.c.id == row.id).values(values))
        firing = one(connection, row.id)
        if firing is not None:
            cut_off = row.state == "interrupted" and row.finished is None and row.cancel_asked is None
            ended.append(Followed(firing, cut_off, row.artifacts, row.seen))
    return ended


def any_to_follow(connection: Connection) -> bool:
    """Whether :func:`follow` would find something."""
    joined = _FIRINGS.join(_RUNS, _FIRINGS.c.run == _RUNS.c.id)
    ended = (_FIRINGS.c.state == RUNNING) & (_RUNS.c.state != RUNNING)
    return connection.execute(select(_FIRINGS.c.id).select_from(joined).where(ended).limit(1)).first() is not None


def forget_lost(connection: Connection, now: float) -> None:
    """End the firings whose run the store does not know any more: retention, or a person, took it away."""
    gone = (_FIRINGS.c.state == RUNNING) & _FIRINGS.c.run.not_in(select(_RUNS.c.id))
    connection.execute(update(_FIRINGS).where(gone).values(state="interrupted", why="its run is gone", ended=now))


def again(connection: Connection, number: int, done: Iterable[str], why: str, not_before: float) -> None:
    """Let a firing whose run was cut off be carried out once more, without the hosts that are done."""
    values = {
        "state": WAITING,
        "run": None,
        "why": why,
        "done": list(done),
        "not_before": not_before,
        "launched": None,
        "ended": None,
    }
    connection.execute(update(_FIRINGS).where(_FIRINGS.c.id == number).values(values))


def job_states(connection: Connection) -> dict[str, JobState]:
    """All jobs' states by name."""
    return {row.job: JobState(**row._mapping) for row in connection.execute(select(_STATES))}


def paused(connection: Connection) -> dict[str, JobState]:
    """The jobs that are paused, by name."""
    rows = connection.execute(select(_STATES).where(_STATES.c.paused.is_not(None)))
    return {row.job: JobState(**row._mapping) for row in rows}


def job_state(connection: Connection, job: str) -> JobState | None:
    """One job's state; None when it was never looked at."""
    row = connection.execute(select(_STATES).where(_STATES.c.job == job)).first()
    return None if row is None else JobState(**row._mapping)


def set_cursors(connection: Connection, states: Mapping[str, tuple[str, float]], now: float) -> None:
    """Occurrences up to there are decided: ``states`` gives (schedule, cursor) by job. Never moves one back."""
    known = {row.job: row for row in connection.execute(select(_STATES).where(_STATES.c.job.in_(list(states))))}
    new = []
    for job, (schedule, cursor) in states.items():
        row = known.get(job)
        if row is None:
            values = {"job": job, "schedule": schedule, "since": now, "cursor": cursor}
            new.append({**values, "paused": None, "paused_by": "", "paused_why": ""})
        elif row.schedule != schedule:
            changed = {"schedule": schedule, "since": now, "cursor": cursor}
            connection.execute(update(_STATES).where(_STATES.c.job == job).values(changed))
        elif cursor > row.cursor:
            connection.execute(update(_STATES).where(_STATES.c.job == job).values(cursor=cursor))
    if new:
        connection.execute(insert(_STATES), new)


def pause(connection: Connection, job: str, schedule: str, by: str, why: str, now: float) -> bool:
    """Hold a job's occurrences back; False when it is paused already."""
    if job_state(connection, job) is None:
        set_cursors(connection, {job: (schedule, now)}, now)
    running = (_STATES.c.job == job) & _STATES.c.paused.is_(None)
    values = {"paused": now, "paused_by": by, "paused_why": why}
    return connection.execute(update(_STATES).where(running).values(values)).rowcount == 1


def resume(connection: Connection, job: str) -> bool:
    """Let them come again; False when it was not paused."""
    paused = (_STATES.c.job == job) & _STATES.c.paused.is_not(None)
    values: dict[str, Any] = {"paused": None, "paused_by": "", "paused_why": ""}
    return connection.execute(update(_STATES).where(paused).values(values)).rowcount == 1


def prune(connection: Connection, before: float) -> int:
    """Retention: forget what ended, and was due, before a time."""
    old = (_FIRINGS.c.due < before) & _FIRINGS.c.state.not_in(OPEN)
    return connection.execute(delete(_FIRINGS).where(old)).rowcount


def _firing(row: Row[Any]) -> Firing:
    values = {name: getattr(row, name) for name in Firing.__dataclass_fields__}
    values["done"] = None if row.done is None else tuple(row.done)
    values["without"] = tuple(row.without or ())
    return Firing(**values)
