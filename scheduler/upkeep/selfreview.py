# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upkeep's own troubles, as findings: they become tickets and notifications by the way of all findings.

A weekly that did not run is itself an alert. What is looked at:

``upkeep.job.missed``         a job with a schedule that was to begin more than GRACE ago, and has not run since
``upkeep.job.failed``         a scheduled job whose newest run failed, timed out or was cut off
``upkeep.job.overran``        a run that is still at work after its window's end
``upkeep.job.paused``         a job that has been paused for longer than FORGOTTEN
``upkeep.approval.waiting``   a plan that waits for a person's word (see approval.py)
``upkeep.outbox.dead``        messages or tickets that can never be delivered as they are, by queue
``upkeep.outbox.late``        a queue whose oldest item waits for longer than LATE
``upkeep.queue.held``         a queue that is stopped, as its credentials are refused
``upkeep.heartbeat.failed``   the dead man's switch is not accepted: then nobody outside watches
``upkeep.scheduler.lost``     a scheduler that went without ending, by node
``upkeep.store.room``         too little room where store and results are kept
``upkeep.config.unreadable``  the configuration was changed, and cannot be read any more
``patch.campaign.…``          what became of campaigns (see campaign/look.py)
``patch.compliance.…``        hosts that do not keep the policy of their patches (see compliance/look.py)

The host of a finding is this node. What is true of the whole store goes on standing under the node that saw it first,
whichever leads later. It is recorded as a run of its own (``upkeep.self_review``) only when something changed, and once
a day while something stands; so it is resolved by evidence as well. A store without troubles gets no such runs.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils import _results
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import NotApplicable, Review

from .durations import shown
from .errors import NOT_RUN as EXIT_NOT_RUN
from .errors import UpkeepError
from .moments import with_day

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from .config import Config, Job
    from .store import Store, marks
    from .store.firings import Firing, JobState
    from .store.model import Run

PLAYBOOK = "upkeep.self_review"

GRACE = 3600.0
"""Seconds after a job could have begun: the longest that anything of ours makes it wait without saying so."""
EARLY = 300.0
"""Seconds before it was due in which a run counts as the one that was due: clocks of machines differ."""
FORGOTTEN = 7 * 86400.0
"""Seconds after which a pause is asked about; for so long a lost scheduler is told as well."""
LATE = 3600.0
"""Seconds that something may wait to be sent: the usual backoff is over by then."""
GONE = 600.0
"""Seconds without a sign of life, by the clock of another machine."""
AGAIN = 86400.0
"""Seconds after which what stands is recorded once more."""
PATIENCE = 3600.0
"""Seconds after which the same is recorded once more when it did not take (a ticket that a person resolved)."""
LITTLE_ROOM = 512 * 1024 * 1024
"""Bytes: eight times of what a run asks for before it begins."""
SPANS = (3 * 3600.0, 2 * 86400.0, 9 * 86400.0, 40 * 86400.0, 400 * 86400.0)
"""Seconds that are looked back for a job's last time, the short ones first: some come each minute, some once a year."""

MISSED = "upkeep.job.missed"
FAILED = "upkeep.job.failed"
OVERRAN = "upkeep.job.overran"
PAUSED = "upkeep.job.paused"
APPROVAL = "upkeep.approval.waiting"
DEAD = "upkeep.outbox.dead"
OUTBOX_LATE = "upkeep.outbox.late"
HELD = "upkeep.queue.held"
HEARTBEAT = "upkeep.heartbeat.failed"
LOST = "upkeep.scheduler.lost"
ROOM = "upkeep.store.room"
UNREADABLE = "upkeep.config.unreadable"
NOT_RUN = "upkeep.check.not_run"

CAMPAIGNS = tuple(
    f"patch.campaign.{fault}" for fault in ("awaits_approval", "stopped", "failed", "quarantined", "left")
)
COMPLIANCE = tuple(f"patch.compliance.{fault}" for fault in ("overdue", "not_known", "exception_expired"))
OF_THE_STORE = (
    *(MISSED, FAILED, OVERRAN, PAUSED, APPROVAL, DEAD, OUTBOX_LATE, HELD, HEARTBEAT, LOST),
    *(*CAMPAIGNS, *COMPLIANCE),
)
"""The same on whichever node one looks."""
OURS = (*OF_THE_STORE, ROOM, UNREADABLE, NOT_RUN)

_LAST = "self-review"
"""The mark of its last record, with a digest of what was found."""


@dataclass(frozen=True)
class Standing:
    """A fault of ours that stands in a ticket."""

    host: str
    check: str
    subject: str
    severity: str
    is_open: bool
    """Whether its ticket is not resolved by a person's word."""


def step(store: Store, config: Config, now: float) -> int:
    """Look, and record what changed; the number of faults that were recorded. Raises UpkeepError for the store."""
    from .store import marks

    node = this_node()
    with store.database.read() as connection:
        since, unknown = _since(connection, config, now)
    if unknown:
        with store.database.write() as connection:
            for name, schedule in unknown.items():
                marks.make(connection, name, now, schedule)
    with store.database.read() as connection:
        made = look(connection, config, store.database.place.path, now, since)
        standing = _standing(connection)
        last = marks.read(connection, _LAST)
    ignored = {check for check in OURS if config.policy.of_check(check).ignore}
    homes = {(one.check, one.subject): one.host for one in standing if one.check in OF_THE_STORE}
    found = {
        (homes.get((one["check"], one["subject"]), node), one["check"], one["subject"]): one
        for one in made.findings
        if one["check"] not in ignored
    }
    digest = _digest(node, found)
    if not _is_news(node, made, found, standing, now, last, digest):
        return 0
    _record(store, config, node, made, found, standing, now)
    with store.database.write() as connection:
        marks.make(connection, _LAST, now, digest)
    return len(found)


def this_node() -> str:
    """The name under which this machine's troubles are found."""
    return os.uname().nodename


Key = tuple[str, str, str]
"""Host, check, subject."""


def _is_news(
    node: str,
    made: Review,
    found: Mapping[Key, Mapping[str, Any]],
    standing: Sequence[Standing],
    now: float,
    last: marks.Mark | None,
    digest: str,
) -> bool:
    """Whether it is worth a record: something came, went or changed, or a day has passed. Pure."""
    age = now - last.at if last is not None and last.at <= now else float("inf")  # a clock that was set back
    same = last is not None and last.what == digest
    if found and age >= AGAIN:
        return True
    covered = {entry["check"] for entry in made.coverage}
    known = {(one.host, one.check, one.subject): one for one in standing}
    came = any(
        key not in known or known[key].severity != one["severity"] or not known[key].is_open
        for key, one in found.items()
    )
    went = any(
        key not in found and one.check in covered and (one.host == node or one.check in OF_THE_STORE)
        for key, one in known.items()
    )
    # The same as was recorded already, and yet it does not stand so: a person's word, or a rule, is against it.
    return (came or went) and (not same or age >= PATIENCE)


def look(
    connection: Connection, config: Config, store_path: Path | None, now: float, since: Mapping[str, float]
) -> Review:
    """All checks. ``since``: from when on a job's schedule is held against it."""
    from . import approval
    from .campaign import look as campaigns
    from .compliance import look as compliance
    from .store import firings

    review = Review("upkeep")
    states = firings.job_states(connection)
    scheduled = {name: job for name, job in config.jobs.items() if job.schedule is not None or job.after}
    with review.check(MISSED):
        for job in scheduled.values():
            if job.schedule is not None and not _is_paused(states.get(job.name)):
                _missed(connection, review, config, job, now, since[job.name])
    with review.check(FAILED):
        for job in scheduled.values():
            _failed(connection, review, config, job)
    with review.check(OVERRAN):
        for firing in firings.open_ones(connection):
            if firing.state == "running" and firing.until is not None and now > firing.until:
                _overran(review, config, firing, now)
    with review.check(PAUSED):
        for name, state in states.items():
            if state.paused is not None and now - state.paused > FORGOTTEN and name in config.jobs:
                _forgotten(review, state, now)
    with review.check(APPROVAL):
        approval.look(connection, review, config, now)
    _outgoing(connection, review, now)
    campaigns.look(connection, review, config, now)
    compliance.look(connection, review, config, now)
    with review.check(HEARTBEAT):
        _heartbeat(connection, review, config, now)
    with review.check(LOST):
        _lost(connection, review, now)
    with review.check(ROOM):
        for place in dict.fromkeys((config.home, store_path.parent if store_path else config.home)):
            _room(review, place)
    with review.check(UNREADABLE):
        _unreadable(review, config)
    return review


def _is_paused(state: JobState | None) -> bool:
    return state is not None and state.paused is not None


def _missed(connection: Connection, review: Review, config: Config, job: Job, now: float, since: float) -> None:
    from .store import firings, runs

    expected = _last_expected(config, job, now - GRACE, since)
    newest = next(iter(firings.newest(connection, job.name, 1)), None)
    run = next(iter(runs.newest(connection, 1, job.name)), None)
    why = ""
    if newest is not None and newest.state == firings.MISSED and (run is None or run.started < newest.due - EARLY):
        due, why = newest.due, newest.why
    elif newest is not None and newest.state == firings.WAITING and now - newest.touched > GRACE:
        due, why = newest.due, firings.FORSAKEN
    elif (
        expected is not None
        and (newest is None or newest.due < expected)
        and (run is None or run.started < expected - EARLY)
    ):
        due, why = expected, "no scheduler and no cron line began it"
    if not why:
        return
    zone = config.zone_of(job)
    last = f"its last run began {with_day(run.started, zone)} ({run.state})" if run else "it has never run"
    review.found(
        MISSED,
        job.name,
        "high",
        f"The job {job.name} did not run: it was due {with_day(due, zone)}, {shown(now - due)} ago.",
        [f"schedule: {job.schedule_text} ({zone.key})", why, last],
        f"Run it now: upkeep run {job.name}. Is a scheduler at work? systemctl status upkeep",
        {"due": due, "last_run": run.number if run else None},
    )


def _last_expected(config: Config, job: Job, until: float, since: float) -> float | None:
    """When the job was last to begin, by its calendar, not after ``until``; its due time. None: never since then."""
    from .calendar.decide import outlook, timetable

    table = timetable(config, job)
    for span in SPANS:
        found = None
        for occurrence in outlook(table, max(until - span, since)):
            if occurrence.due > until:
                break
            if occurrence.starts is not None and occurrence.starts <= until:
                found = occurrence.due
        if found is not None or until - span <= since:
            return found
    return None


def _failed(connection: Connection, review: Review, config: Config, job: Job) -> None:
    from .store import firings, runs

    newest = next(iter(firings.newest(connection, job.name, 1)), None)
    run = next((one for one in runs.newest(connection, 5, job.name) if one.state != "running"), None)
    if newest is not None and newest.state == firings.BROKEN and newest.run is None:
        if run is None or run.started < newest.due:
            why = newest.why or "its run could not begin"
            _found_failed(review, job.name, "high", f"could not begin: {why}", [why], f"upkeep run {job.name}")
        return
    if run is None or run.state == "finished":
        return
    if run.state == "interrupted" and _was_asked(connection, run):
        return  # somebody wanted it so
    words = {"error": "could not be carried out", "timed_out": "was ended at its time limit"}
    evidence = [f"run {run.number}, begun {with_day(run.started, config.zone_of(job))}: {run.state}"]
    _found_failed(
        review,
        job.name,
        "medium" if run.state == "interrupted" else "high",
        words.get(run.state, "was cut off") + (f": {run.message.splitlines()[0]}" if run.message else "."),
        [*evidence, *run.message.splitlines()],
        f"upkeep runs show {run.number}; then: upkeep run {job.name}",
    )


def _found_failed(review: Review, job: str, severity: str, said: str, evidence: Sequence[str], remedy: str) -> None:
    review.found(FAILED, job, severity, f"The last run of the job {job} {said}", evidence, remedy)


def _was_asked(connection: Connection, run: Run) -> bool:
    from sqlalchemy import select

    from .store import schema

    asked = select(schema.runs.c.cancel_asked).where(schema.runs.c.number == run.number)
    return connection.scalar(asked) is not None


def _overran(review: Review, config: Config, firing: Firing, now: float) -> None:
    zone = config.zone_of(config.jobs[firing.job]) if firing.job in config.jobs else config.time_zone
    until = firing.until or now
    review.found(
        OVERRAN,
        firing.job,
        "medium",
        f"The job {firing.job} is still at work, {shown(now - until)} after its window's end.",
        [f"its window ended {with_day(until, zone)}", f"run {firing.run}"],
        f"upkeep runs show {firing.run}; to end it: upkeep runs cancel {firing.run}",
    )


def _forgotten(review: Review, state: JobState, now: float) -> None:
    assert state.paused is not None
    why = f": {state.paused_why}" if state.paused_why else ""
    review.found(
        PAUSED,
        state.job,
        "low",
        f"The job {state.job} has been paused for {shown(now - state.paused)}.",
        [f"paused by {state.paused_by}{why}"],
        f"upkeep jobs resume {state.job}",
    )


def _outgoing(connection: Connection, review: Review, now: float) -> None:
    from .outbox import DEAD as CANNOT
    from .store import outbox

    queues = outbox.queues(connection)
    with review.check(DEAD):
        for queue in queues:
            if queue.dead:
                items = outbox.listed(connection, (CANNOT,), queue.queue, 5)
                review.found(
                    DEAD,
                    queue.queue,
                    "high",
                    f"{queue.dead} item(s) of the queue {queue.queue} cannot be delivered.",
                    [f"{one.id} {one.kind}: {one.error}" for one in items],
                    "upkeep outbox; correct what is wrong, then: upkeep outbox retry N",
                )
    with review.check(HELD):
        for queue in queues:
            if queue.held_since is not None:
                review.found(
                    HELD,
                    queue.queue,
                    "high",
                    f"The queue {queue.queue} is stopped: {queue.held_why}",
                    [f"for {shown(now - queue.held_since)}; {queue.waiting} item(s) wait"],
                    f"Correct the credentials; then: upkeep outbox release {queue.queue}",
                )
    with review.check(OUTBOX_LATE):
        for queue in queues:
            if queue.oldest is not None and queue.held_since is None and now - queue.oldest > LATE:
                why = f": {queue.failing_why}" if queue.failing_why else ""
                review.found(
                    OUTBOX_LATE,
                    queue.queue,
                    "medium",
                    f"The queue {queue.queue} is not delivered: its oldest item waits for {shown(now - queue.oldest)}.",
                    [f"{queue.waiting} item(s) wait{why}"],
                    "upkeep outbox",
                )


def _heartbeat(connection: Connection, review: Review, config: Config, now: float) -> None:
    beat = config.notify.heartbeat if config.notify else None
    if beat is None:
        return
    from .notify import heartbeat

    since = heartbeat.failing_since(connection)
    if since is not None and now - since > LATE:
        review.found(
            HEARTBEAT,
            "heartbeat",
            "high",
            f"The heartbeat has not been accepted for {shown(now - since)}: nobody outside notices a dead Upkeep.",
            [f"its URL is in {beat.url}"],
            "Correct the URL of notify.heartbeat, or the service behind it.",
        )


def _lost(connection: Connection, review: Review, now: float) -> None:
    from .store import audit, nodes
    from .store.process import is_gone

    lost: dict[str, float] = {}
    alive: dict[str, float] = {}
    for node in nodes.listed(connection):
        name = node.process.node
        if is_gone(node.process) or now - node.seen > GONE:
            lost[name] = max(lost.get(name, 0.0), node.seen)
        else:
            alive[name] = max(alive.get(name, 0.0), node.started)
    # The leader removes the row of one that is gone, and says so in the audit.
    for act in audit.listed(connection, since=now - FORGOTTEN, action="scheduler.lost"):
        lost[act.object] = max(lost.get(act.object, 0.0), act.at)
    for name, at in lost.items():
        if name not in alive:
            others = ", ".join(sorted(alive))
            review.found(
                LOST,
                name,
                "medium" if alive else "high",
                f"The scheduler on {name} is gone: it gave its last sign of life {shown(now - at)} ago.",
                [f"at work: {others}" if others else "no other is at work: nothing is begun on time"],
                f"On {name}: systemctl status upkeep; journalctl -u upkeep. When it is gone for good, this "
                f"ends by itself after {shown(FORGOTTEN)}.",
            )


def _room(review: Review, place: Path) -> None:
    from .store.errors import MIN_INODES, MIN_ROOM

    try:
        status = _space(place)
    except FileNotFoundError as error:
        raise NotApplicable(f"{place} is not made yet", "upkeep run weekly") from error
    room = status.f_bavail * status.f_frsize
    few_files = status.f_files > 0 and status.f_favail < 8 * MIN_INODES  # some file systems do not count them
    if room < LITTLE_ROOM or few_files:
        is_short = room < 2 * MIN_ROOM or status.f_favail < 2 * MIN_INODES
        review.found(
            ROOM,
            str(place),
            "high" if is_short else "medium",
            f"There is little room in {place}: {room // 1024**2} MB, and {status.f_favail} files.",
            [f"a run begins only with {MIN_ROOM // 1024**2} MB and {MIN_INODES} files left"],
            f"Make room in the file system of {place}; or keep less: store.keep_days",
        )


def _space(place: Path) -> os.statvfs_result:
    return os.statvfs(place)


_read: dict[Path, tuple[tuple[int, int, int], list[str]]] = {}
"""What was wrong with a file, by its place in the file system: it is read anew only when it is another one."""


def _unreadable(review: Review, config: Config) -> None:
    path = config.path
    if path is None:
        raise NotApplicable("there is no configuration file, and none is needed")
    try:
        status = path.stat()
        mark = (status.st_mtime_ns, status.st_size, status.st_ino)
    except OSError as error:
        problems = [f"{path}: {error.strerror or error}"]
    else:
        if path not in _read or _read[path][0] != mark:
            from .config_file import check

            wrong = check(path, config.home)[1]
            _read[path] = (mark, [" ".join(one.error(path).lines()) for one in wrong])
        problems = _read[path][1]
    if problems:
        review.found(
            UNREADABLE,
            str(path),
            "high",
            f"The configuration {path} cannot be used: what it said before goes on to hold, or nothing does.",
            problems,
            "upkeep config check",
        )


# --- what it remembers, and how it is recorded ------------------------------------------------------------------------


def _since(connection: Connection, config: Config, now: float) -> tuple[dict[str, float], dict[str, str]]:
    """From when on each job's schedule counts; and the marks to be made, by name, of schedules that were not known."""
    from .store import firings, marks

    states = firings.job_states(connection)
    since, unknown = {}, {}
    for job in config.jobs.values():
        if job.schedule is None:
            continue
        name, schedule = f"schedule of {job.name}", f"{job.schedule_text} ({config.zone_of(job).key})"
        mark = marks.read(connection, name)
        known = mark.at if mark is not None and mark.what == schedule else None
        if known is None:
            unknown[name] = schedule
        state = states.get(job.name)
        # What the scheduler decided before this schedule was there was another schedule's.
        since[job.name] = max(now if known is None else known, state.since if state is not None else 0.0)
    return since, unknown


def _standing(connection: Connection) -> list[Standing]:
    from sqlalchemy import select

    from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import SEVERITIES

    from .store import RESOLVED, schema

    entries, tickets = schema.ticket_entries, schema.tickets
    query = (
        select(entries.c.host, entries.c.check_name, entries.c.subject, entries.c.rank, tickets.c.state)
        .join(tickets, tickets.c.number == entries.c.ticket)
        .where(entries.c.cleared.is_(None), entries.c.check_name.in_(OURS))
        .order_by(entries.c.ticket)
    )
    found = [
        Standing(row.host, row.check_name, row.subject, SEVERITIES[row.rank], row.state != RESOLVED)
        for row in connection.execute(query)
    ]
    # Modules of ours on hosts have a check.not_run of their own area; this one is only of self-review.
    return [one for one in found if one.check != NOT_RUN or one.subject in OURS]


def _digest(node: str, found: Mapping[Key, Mapping[str, Any]]) -> str:
    """What was found, in short."""
    text = repr((node, sorted((*key, one["severity"]) for key, one in found.items())))
    return hashlib.sha256(text.encode()).hexdigest()


def _record(
    store: Store,
    config: Config,
    node: str,
    made: Review,
    found: Mapping[Key, Mapping[str, Any]],
    standing: Sequence[Standing],
    now: float,
) -> None:
    """As a run of its own, by the way of all runs."""
    from .record import record_file

    lines = list(map(_results.line, _records(node, made, found, standing, now)))
    try:
        with tempfile.TemporaryDirectory(prefix="upkeep-self-review-") as folder:
            path = Path(folder) / "results.jsonl"
            path.write_text("".join(lines), encoding="utf-8")
            record_file(store, path, config.policy, now, findings_limit=0)
    except OSError as error:
        raise UpkeepError(
            "what Upkeep found of its own troubles could not be kept",
            expected=f"a folder for temporary files that can be written (TMPDIR, now {tempfile.gettempdir()})",
            found=error.strerror or str(error),
            remedy="Make room in it; it is looked at again within minutes.",
            exit_code=EXIT_NOT_RUN,
        ) from error


def _records(
    node: str,
    made: Review,
    found: Mapping[Key, Mapping[str, Any]],
    standing: Sequence[Standing],
    now: float,
) -> Iterator[dict[str, Any]]:
    coverage: dict[str, list[dict[str, str]]] = defaultdict(list)
    coverage[node] = list(made.coverage)
    for host in {one.host for one in standing} - {node}:
        coverage[host] = [entry for entry in made.coverage if entry["check"] in OF_THE_STORE]
    yield _results.run_record(str(uuid.uuid4()), PLAYBOOK, False, now)
    for (host, _check, _subject), one in found.items():
        yield {"type": "finding", "host": host, "finding": dict(one)}
    for host, entries in coverage.items():
        yield {"type": "coverage", "host": host, "coverage": entries}
    for host in coverage:
        yield {"type": "host", "host": host, "state": "ok", "ok": len(made.coverage), "changed": 0, "failed": 0}
    yield _results.end_record(now, "finished")
