# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store in figures: plain numbers, read in one short transaction. Knows nothing of Prometheus, reads no clock.

Each query is bounded: by an index over a window of time, by the number of jobs and hosts, or by a limit; none walks
through a year of runs. Times are seconds since the epoch; moments rather than ages, for a figure that was written into
a file an hour ago must not be an hour too young.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, literal, select, text

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import SEVERITIES, CannotCheck

from .. import sla
from ..calendar.decide import outlook, timetable
from ..store import RESOLVED, RUN_STATES, RUNNING, TICKET_STATES, approvals, cursors, proofs, runs, schema
from ..store import tickets as store_tickets
from ..store.firings import SKIPPED, STATES
from ..store.model import WAITING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from ..calendar.decide import Timetable
    from ..config import Config
    from ..store import Ticket
    from ..store.facade import Store

DAY = 86400.0

MAX_TICKETS = 5000
"""Open tickets whose clocks are looked at, and as many resolved ones; there is one for each cause, so seldom 100."""
MAX_FIRINGS = 1000
"""The newest firings over which the lag's quantiles are taken."""
PROVEN_DAYS = 100.0
"""Days before the newest proof after which one that is not tested any more is forgotten: three monthly rounds."""
MAX_QUEUES = 50
MAX_NODES = 50

PROMISES = ("react", "solve")
UNSENT = ("waiting", "sending", "dead")
"""States of the outbox that count: what was sent, or dropped by a person, is history."""
MOST_SKIPPED = 400
"""Times of a schedule, skipped one after another by a freeze or a holiday, that are looked through."""
RUN_PAST = 400 * DAY
"""How far back a job's newest run is looked for when it is older than the window."""


@dataclass
class JobFigures:
    """One job of the configuration."""

    name: str
    succeeded: float | None = None
    """When its last run ended by itself and did all its tasks on at least one host; None: never."""
    due: float | None = None
    """When it may begin for the first time after that, by its schedule, windows and freezes; None: no schedule, or
    nothing known to count from."""
    next: float | None = None
    """Likewise the first time from now."""
    paused: bool = False
    time_limit: float | None = None
    """Seconds."""
    running: int = 0
    running_since: float | None = None
    """When the oldest of those under way began."""
    started: float | None = None
    """The last run that has ended: when it began, how it ended, the seconds it took, what it found, hosts by state."""
    state: str = ""
    duration: float | None = None
    findings: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    """Of the window, by state; likewise the durations of those that ended by themselves, in seconds."""
    duration_mean: float | None = None
    duration_max: float | None = None
    firings: dict[str, int] = field(default_factory=dict)
    """Of the window, by state."""
    lag: float | None = None
    """Seconds between the moment at which its last firing might begin and its beginning."""


@dataclass(frozen=True)
class HostFigures:
    """One host with one job."""

    host: str
    job: str
    succeeded: float | None


@dataclass
class QueueFigures:
    """One queue of the outbox."""

    name: str
    items: dict[str, int] = field(default_factory=dict)
    oldest: float | None = None
    """When the oldest item that waits was put in."""
    held_since: float | None = None


@dataclass(frozen=True)
class NodeFigures:
    """One scheduler."""

    name: str
    seen: float
    started: float
    leads: bool


@dataclass(frozen=True)
class ComplianceFigures:
    """How hosts keep the policy of their patches."""

    hosts: Mapping[str, int]
    """By state."""
    missing: Mapping[str, Mapping[str, int]]
    """Missing patches by severity and state."""
    oldest: Mapping[str, float]
    """Since when the oldest of them is missing, by severity; without what is excepted."""
    patched: Mapping[str, tuple[int, float]]
    """Of the window, by severity: how many security patches came, and the seconds that half of them took at most."""


@dataclass
class Figures:
    """All of it."""

    at: float
    runs_begun: int = 0
    """Ever; likewise tickets opened."""
    tickets_opened: int = 0
    jobs: list[JobFigures] = field(default_factory=list)
    jobs_left_out: int = 0
    other_runs: dict[str, int] = field(default_factory=dict)
    """Of the window: runs of playbooks and of jobs that are configured no more, by state."""
    lag: dict[float, float] = field(default_factory=dict)
    """Seconds of the newest firings of all jobs, by quantile."""
    hosts: list[HostFigures] = field(default_factory=list)
    hosts_left_out: int = 0
    host_states: dict[str, int] = field(default_factory=dict)
    """Hosts by their state in the newest run of any job that they were part of."""
    tickets: dict[tuple[str, str], int] = field(default_factory=dict)
    """Those not resolved, by priority and state."""
    oldest_ticket: dict[str, float] = field(default_factory=dict)
    """When the oldest of them was opened, by priority."""
    clocks: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """Promises that run, by priority, promise and state."""
    next_deadline: dict[tuple[str, str], float] = field(default_factory=dict)
    """The earliest deadline that is still ahead, by priority and promise."""
    kept: dict[tuple[str, str], int] = field(default_factory=dict)
    """Of the tickets resolved in the window, by priority and promise; likewise those not kept."""
    missed: dict[tuple[str, str], int] = field(default_factory=dict)
    restores: list[proofs.Tested] = field(default_factory=list)
    """What was restored on trial; those that passed longest ago come first."""
    restores_left_out: int = 0
    compliance: ComplianceFigures | None = None
    """None: there is no policy, or it cannot be judged."""
    queues: list[QueueFigures] = field(default_factory=list)
    nodes: list[NodeFigures] = field(default_factory=list)
    approvals: int = 0
    """Plans that wait for a person's word."""
    behind: dict[str, int] = field(default_factory=dict)
    """Lines of history that a reader of them has not read yet, by its name."""
    store_bytes: int | None = None
    store_free: int | None = None
    """Bytes left where a SQLite store is."""
    oldest_run: float | None = None
    seconds: float = 0.0
    """What reading this took; the caller's to say."""


def collect(store: Store, config: Config, now: float) -> Figures:
    """Read the store. Raises UpkeepError (NOT_RUN) when it fails."""
    figures = Figures(at=now)
    since = now - config.metrics.window
    with store.database.read() as connection:
        _counters(connection, figures)
        _jobs(connection, config, figures, now, since)
        _lag(connection, figures, since)
        _hosts(connection, config, figures)
        _tickets(connection, config, figures, now, since)
        found = proofs.figures(connection, PROVEN_DAYS, config.metrics.max_restores)
        figures.restores, figures.restores_left_out = found
        if config.compliance is not None:
            figures.compliance = _compliance(connection, config, now)
        _queues(connection, figures)
        _scheduler(connection, figures, now)
        figures.store_bytes = _size(connection, store)
    if store.database.place.path is not None:
        with contextlib.suppress(OSError):
            figures.store_free = shutil.disk_usage(store.database.place.path.parent).free
    return figures


def _counters(connection: Connection, figures: Figures) -> None:
    """Numbers are given once and never again, so the last one given counts all there ever were, also those pruned."""
    values = {row.name: row.value for row in connection.execute(select(schema.counters))}
    figures.runs_begun = values.get("runs", 0)
    figures.tickets_opened = values.get("tickets", 0)


# --- jobs -------------------------------------------------------------------------------------------------------------


def _jobs(connection: Connection, config: Config, figures: Figures, now: float, since: float) -> None:
    found = {name: JobFigures(name, time_limit=job.time_limit) for name, job in config.jobs.items()}
    _successes(connection, config, found)
    kept = sorted(found.values(), key=lambda job: (job.succeeded or 0, job.name))[: config.metrics.max_jobs]
    figures.jobs_left_out = len(found) - len(kept)
    jobs = {job.name: job for job in kept}
    figures.jobs = sorted(kept, key=lambda job: job.name)
    _run_states(connection, figures, jobs, since)
    _last_runs(connection, jobs, since, now)
    _firings(connection, jobs, since)
    _times(connection, config, jobs, now, since)


def _successes(connection: Connection, config: Config, jobs: dict[str, JobFigures]) -> None:
    table = schema.job_hosts.c
    query = select(table.job, table.check_mode, func.max(table.succeeded)).group_by(table.job, table.check_mode)
    for name, check_mode, succeeded in connection.execute(query):
        # A trial run in check mode is no success of a job that is there to change something.
        if name in jobs and succeeded is not None and check_mode == config.jobs[name].check:
            jobs[name].succeeded = succeeded


def _run_states(connection: Connection, figures: Figures, jobs: dict[str, JobFigures], since: float) -> None:
    table = schema.runs.c
    took = case((table.state == "finished", table.finished - table.started))
    query = (
        select(table.job, table.state, func.count(), func.avg(took), func.max(took))
        .where(table.started > since)
        .group_by(table.job, table.state)
    )
    figures.other_runs = dict.fromkeys(RUN_STATES, 0)
    for job in jobs.values():
        job.runs = dict.fromkeys(RUN_STATES, 0)
        job.firings = dict.fromkeys(STATES, 0)
    for name, state, count, mean, longest in connection.execute(query):
        if name in jobs:
            jobs[name].runs[state] = count
            if state == "finished":
                jobs[name].duration_mean, jobs[name].duration_max = mean, longest
        else:
            figures.other_runs[state] = figures.other_runs.get(state, 0) + count


def _last_runs(connection: Connection, jobs: dict[str, JobFigures], since: float, now: float) -> None:
    table = schema.runs.c
    _take_last_runs(connection, jobs, and_(table.started > since, table.job.is_not(None)))
    older = [name for name, job in jobs.items() if job.started is None]
    if older:
        ago = and_(table.started > now - RUN_PAST, table.started <= since)
        for part in _parts(older):
            _take_last_runs(connection, jobs, and_(ago, table.job.in_(part)))
    under_way = select(table.job, func.count(), func.min(table.started)).where(table.state == RUNNING)
    for name, count, oldest in connection.execute(under_way.group_by(table.job)):
        if name in jobs:
            jobs[name].running, jobs[name].running_since = count, oldest


def _take_last_runs(connection: Connection, jobs: dict[str, JobFigures], which: ColumnElement[bool]) -> None:
    table = schema.runs
    # One that is under way has found nothing yet: that is not to be taken for clean.
    ended = and_(which, table.c.state != RUNNING)
    last = select(table.c.job, func.max(table.c.started).label("started")).where(ended).group_by(table.c.job).subquery()
    columns = [table.c[name] for name in ("job", "started", "finished", "state", *SEVERITIES)]
    columns += [table.c[f"hosts_{state}"] for state in runs.HOST_STATES]
    same = and_(table.c.started == last.c.started, table.c.job == last.c.job, table.c.state != RUNNING)
    query = select(*columns).join(last, same)
    for row in connection.execute(query):
        job = jobs.get(row.job)
        if job is not None:
            job.started, job.state = row.started, row.state
            job.duration = None if row.finished is None else max(0.0, row.finished - row.started)
            job.findings = {severity: getattr(row, severity) for severity in SEVERITIES}
            job.hosts = {state: getattr(row, f"hosts_{state}") for state in runs.HOST_STATES}


def _firings(connection: Connection, jobs: dict[str, JobFigures], since: float) -> None:
    table = schema.firings.c
    query = select(table.job, table.state, func.count()).where(table.due > since).group_by(table.job, table.state)
    for name, state, count in connection.execute(query):
        if name in jobs:
            jobs[name].firings[state] = count
    began = _launched(since).subquery()
    latest = select(began.c.job, func.max(began.c.due).label("due")).group_by(began.c.job).subquery()
    lags = select(began.c.job, began.c.lag).join(latest, and_(began.c.job == latest.c.job, began.c.due == latest.c.due))
    for name, lag in connection.execute(lags):
        if name in jobs:
            jobs[name].lag = max(0.0, lag)


def _launched(since: float) -> Select[Any]:
    """Firings that became a run, with the seconds by which it began later than it might have."""
    fired, ran = schema.firings.c, schema.runs.c
    # What is due at 03:00 and may begin at 03:10 for its jitter or its window is not late at 03:10.
    ready = case((fired.not_before > fired.due, fired.not_before), else_=fired.due)
    lag = (ran.started - ready).label("lag")
    return select(fired.job, fired.due, lag).join(schema.runs, ran.id == fired.run).where(fired.due > since)


def _lag(connection: Connection, figures: Figures, since: float) -> None:
    newest = _launched(since).order_by(schema.firings.c.due.desc()).limit(MAX_FIRINGS)
    lags = sorted(max(0.0, row.lag) for row in connection.execute(newest))
    if lags:
        # The nearest rank: a lag that really was.
        figures.lag = {part: lags[min(len(lags) - 1, int(part * len(lags)))] for part in (0.5, 0.99, 1.0)}


def _times(connection: Connection, config: Config, jobs: dict[str, JobFigures], now: float, since: float) -> None:
    table = schema.firings.c
    # What a rule left out (a freeze, a holiday, a pause) is not owed; what was missed is.
    left_out = select(table.job, func.max(table.due)).where(table.due > since, table.state == SKIPPED)
    skipped = {row[0]: row[1] for row in connection.execute(left_out.group_by(table.job))}
    states = {row.job: row for row in connection.execute(select(schema.job_states))}
    for name, job in jobs.items():
        state = states.get(name)
        job.paused = state is not None and state.paused is not None
        if config.jobs[name].schedule is None:
            continue
        table_of = timetable(config, config.jobs[name])
        job.next = _begins(table_of, now)
        # A job that never succeeded is due from when the scheduler learned of it; without one, nobody knows since when.
        known = job.succeeded if job.succeeded is not None else state.since if state is not None else None
        if known is not None:
            job.due = _begins(table_of, min(now, max(known, skipped.get(name, 0.0))))


def _begins(table: Timetable, after: float) -> float | None:
    """When a job may begin for the first of its times after a moment that its windows and freezes let happen."""
    ahead = itertools.islice(outlook(table, after), MOST_SKIPPED)
    return next((occurrence.starts for occurrence in ahead if occurrence.starts is not None), None)


# --- hosts ------------------------------------------------------------------------------------------------------------


def _hosts(connection: Connection, config: Config, figures: Figures) -> None:
    table = schema.job_hosts.c
    rows = connection.execute(select(table.job, table.check_mode, table.host, table.state, table.seen, table.succeeded))
    known = [tuple(row) for row in rows]
    # A host that the newest runs of its job no longer name has left the inventory, and nobody wants to hear of it. What
    # counts is the time between runs: while a job stands still, its hosts stay.
    last_seen: dict[str, float] = {}
    for job, _check_mode, _host, _state, seen, _succeeded in known:
        last_seen[job] = max(seen, last_seen.get(job, 0.0))
    jobs = {job.name for job in figures.jobs}
    pairs: list[HostFigures] = []
    newest: dict[str, tuple[float, str]] = {}
    for job, check_mode, host, state, seen, succeeded in known:
        if seen < last_seen[job] - config.metrics.window:
            continue
        newest[host] = max(newest.get(host, (0.0, "")), (seen, state))
        if job in jobs and check_mode == config.jobs[job].check:
            pairs.append(HostFigures(host, job, succeeded))
    figures.host_states = dict.fromkeys(runs.HOST_STATES, 0)
    for _seen, state in newest.values():
        figures.host_states[state] = figures.host_states.get(state, 0) + 1
    pairs.sort(key=lambda pair: (pair.succeeded or 0.0, pair.host, pair.job))
    figures.hosts = pairs[: config.metrics.max_hosts]
    figures.hosts_left_out = max(0, len(pairs) - config.metrics.max_hosts)


# --- tickets ----------------------------------------------------------------------------------------------------------


def _tickets(connection: Connection, config: Config, figures: Figures, now: float, since: float) -> None:
    table = schema.tickets.c
    priorities = list(config.sla.targets)
    counts = select(table.priority, table.state, func.count(), func.min(table.opened)).where(table.state != RESOLVED)
    states = [state for state in TICKET_STATES if state != RESOLVED]
    figures.tickets = {(priority, state): 0 for priority in priorities for state in states}
    for priority, state, count, oldest in connection.execute(counts.group_by(table.priority, table.state)):
        figures.tickets[priority, state] = count
        figures.oldest_ticket[priority] = min(oldest, figures.oldest_ticket.get(priority, oldest))
    figures.clocks = {
        (priority, promise, state): 0
        for priority in priorities
        for promise in PROMISES
        for state in (sla.WITHIN, sla.DUE_SOON, sla.BREACHED)
    }
    figures.kept = {(priority, promise): 0 for priority in priorities for promise in PROMISES}
    figures.missed = dict(figures.kept)
    open_ones = store_tickets.listed(connection, states, None, None, None, MAX_TICKETS)
    for ticket, promise, deadline in _deadlines(open_ones, config, now):
        if deadline.done is not None:
            continue
        figures.clocks[ticket.priority, promise, deadline.state] += 1
        if deadline.due > now and ticket.state != WAITING:  # nobody knows when its clocks run again
            key = (ticket.priority, promise)
            figures.next_deadline[key] = min(deadline.due, figures.next_deadline.get(key, deadline.due))
    done = and_(table.state == RESOLVED, table.resolved > since)
    newest = select(table.number).where(done).order_by(table.resolved.desc()).limit(MAX_TICKETS)
    resolved = store_tickets.of_numbers(connection, connection.scalars(newest))
    for ticket, promise, deadline in _deadlines(list(resolved.values()), config, now):
        target = figures.missed if deadline.state == sla.BREACHED else figures.kept
        target[ticket.priority, promise] += 1


def _deadlines(tickets: Sequence[Ticket], config: Config, now: float) -> list[tuple[Ticket, str, sla.Deadline]]:
    found = []
    for ticket in tickets:
        if ticket.clocks and ticket.priority in config.sla.targets:
            both = sla.of_ticket(ticket, now, config.sla)
            found += [(ticket, "react", both.react), (ticket, "solve", both.solve)]
    return found


# --- what goes out, who is at work ------------------------------------------------------------------------------------


def _queues(connection: Connection, figures: Figures) -> None:
    table = schema.outbox.c
    found = {name: QueueFigures(name, dict.fromkeys(UNSENT, 0)) for name in _queue_names(connection)}
    for queue in found.values():
        counts = select(table.state, func.count(), func.min(table.created))
        counts = counts.where(table.queue == queue.name, table.state.in_(UNSENT)).group_by(table.state)
        for state, count, oldest in connection.execute(counts):
            queue.items[state] = count
            if state != "dead":
                queue.oldest = oldest if queue.oldest is None else min(oldest, queue.oldest)
    for row in connection.execute(select(schema.held_queues).limit(MAX_QUEUES)):
        queue = found.setdefault(row.queue, QueueFigures(row.queue, dict.fromkeys(UNSENT, 0)))
        queue.held_since = row.since
    figures.queues = sorted(found.values(), key=lambda queue: queue.name)


def _queue_names(connection: Connection) -> list[str]:
    """Step by step through the index on queue: DISTINCT would read all that was ever sent."""
    table = schema.outbox
    steps = select(func.min(table.c.queue).label("name"), literal(1).label("place")).cte("names", recursive=True)
    following = select(func.min(table.c.queue)).where(table.c.queue > steps.c.name).scalar_subquery()
    more = select(following, steps.c.place + 1).where(steps.c.name.is_not(None), steps.c.place < MAX_QUEUES)
    steps = steps.union_all(more)
    return [name for name in connection.scalars(select(steps.c.name)) if name is not None]


def _scheduler(connection: Connection, figures: Figures, now: float) -> None:
    nodes = select(schema.nodes).order_by(schema.nodes.c.seen.desc()).limit(MAX_NODES)
    newest: dict[str, NodeFigures] = {}
    for row in connection.execute(nodes):
        # A scheduler that was restarted has left its old row: the one seen last is it.
        newest.setdefault(row.node, NodeFigures(row.node, row.seen, row.started, row.leads))
    figures.nodes = sorted(newest.values(), key=lambda node: node.name)
    waiting = schema.approvals.c
    asked = select(func.count()).where(waiting.state == approvals.ASKED, waiting.until > now)
    figures.approvals = connection.scalar(asked) or 0
    figures.behind = cursors.behind(connection, MAX_QUEUES)
    figures.oldest_run = connection.scalar(select(func.min(schema.runs.c.started)))


_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname = ANY(:names)
"""


def _compliance(connection: Connection, config: Config, now: float) -> ComplianceFigures | None:
    from ..compliance import judge, look
    from ..compliance.settings import KINDS

    try:
        made = look.judged(connection, config, now)
    except CannotCheck:
        return None  # self-review tells why
    missing = {kind: dict.fromkeys((judge.OVERDUE, judge.WITHIN, judge.EXCEPTED), 0) for kind in KINDS}
    oldest: dict[str, float] = {}
    for patch in (patch for host in made.hosts for patch in host.missing):
        missing[patch.severity][patch.state] += 1
        if patch.state != judge.EXCEPTED:
            oldest[patch.severity] = min(patch.since, oldest.get(patch.severity, patch.since))
    patched = {one.severity: (one.patched, one.median * DAY) for one in made.took if one.severity}
    return ComplianceFigures(made.counts(), missing, oldest, patched)


def _size(connection: Connection, store: Store) -> int | None:
    """Bytes of the store: its files, or its tables with their indexes."""
    path = store.database.place.path
    if path is None:
        return int(connection.scalar(text(_SIZE), {"names": list(schema.metadata.tables)}) or 0)
    total = 0
    for end in ("", "-wal"):
        with contextlib.suppress(OSError):
            total += path.with_name(path.name + end).stat().st_size
    return total


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    """Databases bound the number of parameters."""
    return [names[start : start + 500] for start in range(0, len(names), 500)]
