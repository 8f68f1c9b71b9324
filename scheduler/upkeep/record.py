# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a results file to tickets: read it, keep it, reconcile it; all of it in one transaction, or none.

The file is read as a stream, and nothing in it is believed: it may come from another machine, or from nobody's hand.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from sqlalchemy import case, delete, func, insert, select, update

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import (
    SEVERITIES,
    SUBJECT_LIMIT,
    clean_line,
    contract_errors,
    coverage_errors,
    plan_errors,
    proof_errors,
    remade,
    remade_plan,
    remade_proof,
    remade_state,
    state_errors,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._results import FORMAT, STATES, TASK_FAILED

from .errors import FINDINGS, HOSTS_FAILED, NOT_RUN, OK, WRONG_USE, UpkeepError
from .reconcile import RANK, Identity, is_superseded, reconcile, silent_hosts
from .store import RUNNING, apply, plans, proofs, runs, schema, states
from .store.process import Process, is_gone, this_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Row

    from .reconcile import Policy
    from .store import Finding, HostState, Run, Store, TicketChange

MAX_LINE = 32 * 1024 * 1024
"""Bytes of a record: a finding has at most some 400 kB, a host's coverage some MB."""
MAX_FINDINGS = 250_000
"""Findings of one run that are kept; of a host of which more arrived, absences say nothing."""
MAX_COVERAGE = 2_000_000
"""Entries of coverage of one run that are believed."""
MAX_EVIDENCE = 128 * 1024 * 1024
"""Characters of evidence and facts of one run that are kept; of later findings the summary and remedy stay."""
MAX_PROOFS = 100_000
"""Proofs of one run that are kept."""
MAX_PLANS = 20_000
"""Plans of one run that are kept, one a host."""
MAX_PLANNED = 256 * 1024 * 1024
"""Characters of all of them."""
MAX_STATES = 100_000
"""States of one run that are kept."""
MAX_STATED = 512 * 1024 * 1024
"""Characters of all of them: of 20,000 hosts, some 100 pending packages each."""
MAX_TOLD = 20
"""Sentences about states that are handed on to a person."""
HOST_LIMIT = 200
CHECK_LIMIT = 200
"""Characters; PostgreSQL's index entries are bounded."""
MAX_COUNT = 2**31 - 1

BATCH = 1_000
STATES_BATCH = 100
STATED_BATCH = 8 * 1024 * 1024
"""Characters: a state may have a million."""
PROOFS_BATCH = 100
"""Each may have 20,000 characters of facts."""


@dataclass(frozen=True)
class Recorded:
    """What recording a results file did."""

    run: Run
    """With its counts of findings by severity, and of hosts by state."""
    already: bool
    """It was recorded before: nothing was changed now."""
    findings: tuple[Finding, ...]
    """Worst first, at most ``findings_limit``; ``sum(run.counts.values())`` tells how many there are."""
    hosts: tuple[HostState, ...]
    """Hosts that are not ok first, then by name."""
    changes: tuple[TicketChange, ...]
    """One for each ticket touched, most urgent first."""
    proofs: dict[str, int]
    """Proofs by outcome, all three named."""
    plans: tuple[plans.Plan, ...]
    """What was planned, by host, at most ``findings_limit``; ``plans_total`` tells how many there are."""
    plans_total: int
    notes: tuple[str, ...]
    """What was not taken over, and why: sentences for a person."""
    exit_code: int
    """As the command ends: see errors.py."""


def record_file(
    store: Store, path: Path, policy: Policy, now: float, job: str | None = None, findings_limit: int = 500
) -> Recorded:
    """Take a results file over into the store, once for each run id.

    The file of a run that was cut off may be recorded again when there is more of it. Raises UpkeepError: WRONG_USE for
    a file that is missing or breaks the format (naming the line), NOT_RUN when the store fails (naming the command that
    records it again). Nothing is half recorded.
    """
    with _opened(path) as stream:
        reader = _Reader(path, stream)
        records = reader.records()
        header = _header(reader, next(records, None))
        try:
            with store.database.write() as connection:
                return _record(connection, reader, header, records, policy, now, job, findings_limit)
        except UpkeepError as error:
            if error.exit_code == NOT_RUN:
                again = f"The results are safe in {path}; then: upkeep record {shlex.quote(str(path))}"
                error.remedy = f"{error.remedy} {again}".strip()
            raise


def _record(
    connection: Connection,
    reader: _Reader,
    header: _Header,
    records: Iterator[dict[str, Any]],
    policy: Policy,
    now: float,
    job: str | None,
    findings_limit: int,
) -> Recorded:
    row = runs.by_id(connection, header.id)
    if row is not None and row.recorded is not None and row.complete:
        notes = ["It was recorded before: nothing was changed."]
        return _answer(connection, row.number, [], notes, findings_limit, already=True)
    if row is None:
        number = runs.insert(
            connection,
            header.id,
            header.playbook,
            header.started,
            Process(node="", boot="", pid=0, start=0),  # carried out by nobody whom we could look for
            check_mode=header.check_mode,
            actor=header.actor,
        )
    else:
        number = row.number
    named = job if job is not None else row.job if row is not None else None
    actor = row.actor if row is not None else header.actor
    intake = _Intake(connection, reader, number, header, named or "", actor, now)
    for record in records:
        intake.take(record)
    intake.flush()
    _refuse_running(row, intake, reader)

    state, finished = _ending(row, intake)
    complete = state == "finished" and intake.end is not None
    at = min(finished if finished is not None else header.started, now)
    began = min(header.started, at)
    superseded = _superseded(connection, at, now)
    from .store import campaigns  # only here: start-up time is a feature

    of_campaign = campaigns.tells(connection, header.id)
    changes = reconcile(
        ((identity, SEVERITIES[rank]) for identity, rank in intake.worst.items()),
        intake.coverage,
        intake.hosts_by_state,
        apply.known(connection),
        policy,
        now,
        at=at,
        began=began,
        complete=complete,
        check_mode=header.check_mode,
        of_campaign=of_campaign,
        muted=intake.muted,
        superseded=superseded,
    )
    told = apply.apply(connection, changes, number, header.id, at, now)
    if complete:
        silent = silent_hosts(intake.worst, intake.hosts_by_state) | intake.muted
        _keep_coverage(connection, intake.coverage, silent, header.check_mode, began, now)
    _keep_run(connection, number, intake, state=state, finished=finished, recorded=now, complete=complete, job=job)
    proofs.seal(connection, number, actor, now)
    _keep_job_hosts(connection, named or "", header.check_mode, intake, began, at if complete else None)
    notes = [*intake.notes(), *_notes(intake, complete, header.check_mode, of_campaign, superseded)]
    return _answer(connection, number, told, notes, findings_limit, already=False)


@dataclass(frozen=True)
class _Header:
    """The first record."""

    id: str
    playbook: str
    check_mode: bool
    started: float
    actor: str
    """Who began it, by the file's word; "": it does not say."""


class _Reader:
    """The records of a file, one after another, with the place where one is wrong."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path = path
        self.stream = stream
        self.line = 0
        self.torn = False
        """The last line was cut off in its middle."""

    def records(self) -> Iterator[dict[str, Any]]:
        """Each line's dictionary. A torn last line is what a run leaves that was killed while it wrote: no fault."""
        while True:
            line = self.stream.readline(MAX_LINE + 1)
            if not line:
                return
            self.line += 1
            if len(line) > MAX_LINE:
                self.wrong(f"a record of at most {MAX_LINE} bytes", "a longer line")
            try:
                record = _DECODER.decode(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n"):
                    self.torn = True
                    return
                self.wrong("a record as JSON", f"{type(error).__name__}: {error}")
            if not isinstance(record, dict):
                self.wrong("a record as a JSON object", type(record).__name__)
            yield record

    def wrong(self, expected: str, found: str) -> NoReturn:
        """Raise what is wrong with the current line."""
        raise UpkeepError(
            f"{self.path}, line {self.line}: not a record of a run's results",
            expected=expected,
            found=clean_line(found, 300),
            remedy="Record a file that upkeep run or the callback plugin upkeep.maintenance.findings wrote. "
            "Nothing of this one was recorded.",
            exit_code=WRONG_USE,
        )

    def text(self, record: dict[str, Any], key: str, limit: int) -> str:
        """A text of a record that is not empty, clean."""
        value = record.get(key)
        cleaned = clean_line(value, limit) if isinstance(value, str) else ""
        if not cleaned:
            self.wrong(f"{key}: a text that is not empty", repr(value))
        return cleaned

    def seconds(self, record: dict[str, Any], key: str) -> float:
        """A moment of a record."""
        value = record.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
            self.wrong(f"{key}: seconds since the epoch", repr(value))
        return float(value)

    def count(self, record: dict[str, Any], key: str) -> int:
        """A number of tasks."""
        value = record.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.wrong(f"{key}: a number of tasks", repr(value))
        return min(value, MAX_COUNT)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads would make one for each line


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    def refused(found: str) -> UpkeepError:
        return UpkeepError(
            f"{path} cannot be read",
            expected="a results file (one JSON record a line)",
            found=found,
            remedy="See where a run keeps its own: upkeep runs show ID",
        )

    try:
        # Not blocking: a pipe without a writer must be refused, not waited for with the store held.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise refused(error.strerror or str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refused("not an ordinary file")
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def _header(reader: _Reader, record: dict[str, Any] | None) -> _Header:
    if record is None:
        reader.line = 1
        reader.wrong("a record of type run", "half a line" if reader.torn else "an empty file")
    if record.get("type") != "run":
        reader.wrong("a record of type run first", f"type {record.get('type')!r}")
    if record.get("format") != FORMAT:
        reader.wrong(f"format {FORMAT}: another one needs another version of Upkeep", repr(record.get("format")))
    check_mode = record.get("check_mode")
    if not isinstance(check_mode, bool):
        reader.wrong("check_mode: true or false", repr(check_mode))
    return _Header(
        id=reader.text(record, "id", 200),
        playbook=reader.text(record, "playbook", 1000),
        check_mode=check_mode,
        started=reader.seconds(record, "started"),
        actor=reader.text(record, "actor", 200) if record.get("actor") else "",
    )


@dataclass
class _Intake:
    """The records of one run on their way into the store. What stays in memory is identities, not findings."""

    connection: Connection
    reader: _Reader
    run: int
    header: _Header
    job: str
    actor: str
    now: float
    worst: dict[Identity, int] = field(default_factory=dict)
    coverage: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    covered: int = 0
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    muted: set[str] = field(default_factory=set)
    dropped: int = 0
    bare: int = 0
    evidence: int = 0
    uncovered: int = 0
    proofs: int = 0
    unproven: int = 0
    plans: int = 0
    planned: int = 0
    unplanned: int = 0
    reported: int = 0
    stated: int = 0
    unstated: int = 0
    unkept: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    end: tuple[float, str] | None = None
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _proofs: list[dict[str, Any]] = field(default_factory=list)
    _states: list[states.Reported] = field(default_factory=list)
    _waiting: int = 0
    _looks: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _pairs: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    @property
    def hosts_by_state(self) -> dict[str, str]:
        return {host: str(row["state"]) for host, row in self.hosts.items()}

    def take(self, record: dict[str, Any]) -> None:
        """One record; raises UpkeepError when it is not one."""
        if self.end is not None:
            self.reader.wrong("nothing after the record of type end", f"type {record.get('type')!r}")
        match record.get("type"):
            case "finding":
                self._finding(record)
            case "coverage":
                self._coverage(record)
            case "proof":
                self._proof(record)
            case "plan":
                self._plan(record)
            case "state":
                self._state(record)
            case "host":
                self._host(record)
            case "end":
                state = record.get("state")
                if state not in STATES:
                    self.reader.wrong(f"state: one of {', '.join(STATES)}", repr(state))
                self.end = (self.reader.seconds(record, "finished"), str(state))
            case other:
                self.reader.wrong(
                    "a record of type finding, coverage, proof, plan, state, host or end", f"type {other!r}"
                )

    def _name(self, record: dict[str, Any]) -> str:
        """A host's name, held in memory once."""
        value = record.get("host")
        if isinstance(value, str) and value in self._names:
            return self._names[value]
        cleaned = self.reader.text(record, "host", HOST_LIMIT)
        return self._names.setdefault(str(value), cleaned)

    def _finding(self, record: dict[str, Any]) -> None:
        host = self._name(record)
        candidate = record.get("finding")
        wrong = contract_errors(candidate)
        if wrong or not isinstance(candidate, dict):
            self.reader.wrong("a finding that keeps the contract", "; ".join(wrong))
        check = self._names.setdefault(candidate["check"], candidate["check"])
        identity = Identity(host, check, clean_line(candidate["subject"], SUBJECT_LIMIT))
        rank = RANK[candidate["severity"]]
        if rank >= self.worst.get(identity, len(SEVERITIES)):
            return  # of one identity the worst is kept
        if identity not in self.worst and len(self.worst) >= MAX_FINDINGS:
            self.dropped += 1
            self.muted.add(host)
            return
        self.worst[identity] = rank
        try:
            self._rows.append(self._row(identity, rank, candidate))
        except (ValueError, RecursionError) as error:  # nothing is left of a text after cleaning
            self.reader.wrong("a finding that keeps the contract", str(error))
        if len(self._rows) >= BATCH:
            self.flush()

    def _row(self, identity: Identity, rank: int, candidate: dict[str, Any]) -> dict[str, Any]:
        # Made anew, so that its bounds and its cleaning hold whoever wrote the file.
        made = remade(candidate)
        size = sum(map(len, made["evidence"])) + len(str(made["facts"]))
        if self.evidence + size > MAX_EVIDENCE:
            self.bare += 1
            made["evidence"] = [f"(left out, this run brought too much: see line {self.reader.line} of its results)"]
            made["facts"] = {}
        else:
            self.evidence += size
        return {
            "run": self.run,
            "host": identity.host,
            "check_name": identity.check,
            "subject": identity.subject,
            "rank": rank,
            "summary": made["summary"],
            "evidence": made["evidence"],
            "remedy": made["remedy"],
            "facts": made["facts"],
        }

    def flush(self) -> None:
        """Write what waits."""
        if self._rows:
            statement = schema.upsert(self.connection, schema.findings)
            new = statement.excluded
            told = {name: new[name] for name in ("rank", "summary", "evidence", "remedy", "facts")}
            keys = ["run", "host", "check_name", "subject"]
            self.connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=told), self._rows)
            self._rows = []
        proofs.keep(self.connection, self._proofs)
        self._proofs = []
        self.told += states.keep(self.connection, self._states)
        self._states, self._waiting = [], 0

    def _proof(self, record: dict[str, Any]) -> None:
        host = self._name(record)
        candidate = record.get("proof")
        wrong = proof_errors(candidate)
        if wrong or not isinstance(candidate, dict):
            self.reader.wrong("a proof that keeps the contract", "; ".join(wrong))
        if self.proofs >= MAX_PROOFS:
            self.unproven += 1
            return
        self.proofs += 1
        try:
            made = remade_proof(candidate)
        except (ValueError, RecursionError) as error:
            self.reader.wrong("a proof that keeps the contract", str(error))
        self._proofs.append(
            {
                "run": self.run,
                "run_id": self.header.id,
                "began": self.header.started,
                "job": self.job,
                "playbook": self.header.playbook,
                "actor": self.actor,
                "host": host,
                "check_name": made["check"],
                "subject": made["subject"],
                "outcome": made["outcome"],
                "started": float(made["started"]),
                "ended": float(made["ended"]),
                "summary": made["summary"],
                "facts": made["facts"],
            }
        )
        if len(self._proofs) >= PROOFS_BATCH:
            self.flush()

    def _plan(self, record: dict[str, Any]) -> None:
        host = self._name(record)
        candidate = record.get("plan")
        wrong = plan_errors(candidate)
        if wrong or not isinstance(candidate, dict):
            self.reader.wrong("a plan that keeps the contract", "; ".join(wrong))
        try:
            made = remade_plan(candidate)
        except (ValueError, RecursionError) as error:
            self.reader.wrong("a plan that keeps the contract", str(error))
        self.planned += len(str(made["plan"]))
        if self.plans >= MAX_PLANS or self.planned > MAX_PLANNED:
            self.unplanned += 1
            return
        self.plans += 1
        # Each may be large: none waits for others.
        plans.keep(self.connection, [{"run": self.run, "host": host, "at": self.header.started, **made}])

    def _state(self, record: dict[str, Any]) -> None:
        host = self._name(record)
        wrong = state_errors(record)
        if wrong:
            self.reader.wrong("a state that keeps the contract", "; ".join(wrong))
        try:
            made = remade_state(record)
        except (ValueError, RecursionError) as error:
            self.reader.wrong("a state that keeps the contract", str(error))
        if not states.known(made["kind"]):
            # Of a newer collection, or of somebody else's module.
            kind = made["kind"] if len(self.unkept) < MAX_TOLD else "others"
            self.unkept[kind] += 1
            return
        size = len(str(made["data"]))
        if self.reported >= MAX_STATES or self.stated + size > MAX_STATED:
            self.unstated += 1
            return
        self.reported += 1
        self.stated += size
        self._waiting += size
        place = (host, made["kind"], made["subject"])
        earlier = self._looks[place] = self._looks.get(place, -1) + 1
        # What one run sees of the same twice (before and after it was changed) keeps its order.
        at = min(self.header.started, self.now) + earlier * 0.001
        self._states.append(states.Reported(self.run, host, made["kind"], made["subject"], at, made["data"]))
        if len(self._states) >= STATES_BATCH or self._waiting >= STATED_BATCH:
            self.flush()

    def _coverage(self, record: dict[str, Any]) -> None:
        host = self._name(record)
        entries = record.get("coverage")
        if not isinstance(entries, list):
            self.reader.wrong("coverage: a list", type(entries).__name__)
        covered = self.coverage.setdefault(host, set())
        for entry in entries:
            wrong = coverage_errors(entry)
            if wrong:
                self.reader.wrong("coverage that keeps the contract", "; ".join(wrong))
            if self.covered >= MAX_COVERAGE:
                self.uncovered += 1
                continue
            pair = (entry["check"], entry["subject"])
            if pair not in self._pairs:
                self._pairs[pair] = (clean_line(pair[0], CHECK_LIMIT), clean_line(pair[1], SUBJECT_LIMIT))
            self.covered += 1
            covered.add(self._pairs[pair])

    def _host(self, record: dict[str, Any]) -> None:
        state = record.get("state")
        if state not in runs.HOST_STATES:
            self.reader.wrong(f"state: one of {', '.join(runs.HOST_STATES)}", repr(state))
        host = self._name(record)
        counts = {key: self.reader.count(record, key) for key in ("ok", "changed", "failed")}
        self.hosts[host] = {"run": self.run, "host": host, "state": state, **counts}

    def notes(self) -> list[str]:
        """What was not taken over for want of room."""
        notes = []
        if self.reader.torn:
            notes.append(f"Line {self.reader.line} of the file is cut off in its middle, and was left out.")
        if self.dropped:
            notes.append(
                f"{self.dropped} findings beyond the first {MAX_FINDINGS} were not taken over; nothing is taken for "
                f"clean on {len(self.muted)} host(s) that they are from."
            )
        if self.bare:
            notes.append(f"{self.bare} findings were kept without their evidence: this run brought too much of it.")
        if self.unproven:
            notes.append(f"{self.unproven} proofs beyond the first {MAX_PROOFS} were not kept.")
        if self.unplanned:
            notes.append(f"{self.unplanned} plans beyond the first {self.plans} were not kept.")
        if self.unstated:
            notes.append(f"{self.unstated} states beyond the first {self.reported} were not kept: they are not known.")
        for kind, count in sorted(self.unkept.items()):
            notes.append(f"{count} state(s) of the kind {kind} were left out: this version of Upkeep keeps none.")
        notes += self.told[:MAX_TOLD]
        if len(self.told) > MAX_TOLD:
            notes.append(f"{len(self.told) - MAX_TOLD} more state(s) could not be read.")
        if self.uncovered:
            notes.append(f"{self.uncovered} entries of coverage beyond the first {MAX_COVERAGE} were not believed.")
        return notes


def _refuse_running(row: Row[Any] | None, intake: _Intake, reader: _Reader) -> None:
    """A file that is still being written is not recorded: its rest would be."""
    if row is None or row.state != RUNNING or intake.end is not None:
        return
    process = Process(row.node, row.boot, row.pid, row.pid_start)
    if process == this_process() or is_gone(process):
        return
    raise UpkeepError(
        f"the run {row.number} of {reader.path} is still under way",
        expected="a run that has ended",
        found=f"process {row.pid} on {row.node} carries it out",
        remedy="Wait for it to end: it records its results itself.",
    )


def _ending(row: Row[Any] | None, intake: _Intake) -> tuple[str, float | None]:
    """How a run ended, and when: by its file, else by what is known of its process, else cut off."""
    if intake.end is not None:
        return intake.end[1], intake.end[0]
    if row is not None and row.state not in (RUNNING, "finished"):
        return row.state, row.finished
    return "interrupted", None


def _superseded(connection: Connection, at: float, now: float) -> set[Identity]:
    """What newer runs looked at. What is dated later than now was written under a wrong clock, and says nothing."""
    table = schema.coverage
    newer = select(table.c.host, table.c.check_name, table.c.subject).where(table.c.at > at, table.c.at <= now)
    return {Identity(*row) for row in connection.execute(newer)}


def _keep_coverage(
    connection: Connection,
    coverage: dict[str, set[tuple[str, str]]],
    silent: set[str],
    check_mode: bool,
    began: float,
    now: float,
) -> None:
    """Dated by the run's beginning: it looked no earlier, and what another run saw since may be younger."""
    table = schema.coverage
    statement = schema.upsert(connection, table)
    later = case(((table.c.at > now) | (table.c.at < began), began), else_=table.c.at)
    statement = statement.on_conflict_do_update(index_elements=["host", "check_name", "subject"], set_={"at": later})
    rows: list[dict[str, Any]] = []
    for host, entries in coverage.items():
        if host in silent:
            continue
        for check, subject in entries:
            if not (check_mode and check == TASK_FAILED):
                rows.append({"host": host, "check_name": check, "subject": subject, "at": began})
        if len(rows) >= BATCH:
            connection.execute(statement, rows)
            rows = []
    if rows:
        connection.execute(statement, rows)


def _keep_run(connection: Connection, number: int, intake: _Intake, **values: Any) -> None:
    table = schema.runs
    if values["job"] is None:
        del values["job"]  # begin_run may have named it
    states = list(intake.hosts_by_state.values())
    hosts = {f"hosts_{state}": states.count(state) for state in runs.HOST_STATES}
    counts = runs.count(connection, number)
    connection.execute(update(table).where(table.c.number == number).values(**values, **counts, **hosts))
    connection.execute(delete(schema.run_hosts).where(schema.run_hosts.c.run == number))
    rows = list(intake.hosts.values())
    if rows:
        connection.execute(insert(schema.run_hosts), rows)


def _keep_job_hosts(
    connection: Connection, job: str, check_mode: bool, intake: _Intake, began: float, succeeded: float | None
) -> None:
    """Where each host stands with a job now; a run that is recorded late does not unsay a newer one."""
    table = schema.job_hosts
    statement = schema.upsert(connection, table)
    new = statement.excluded
    known = case((table.c.succeeded >= func.coalesce(new.succeeded, 0), table.c.succeeded), else_=new.succeeded)
    told = {
        "state": case((new.seen >= table.c.seen, new.state), else_=table.c.state),
        "seen": case((new.seen >= table.c.seen, new.seen), else_=table.c.seen),
        "succeeded": case((new.succeeded.is_(None), table.c.succeeded), else_=known),
    }
    key = {"job": job, "check_mode": check_mode}
    rows = [
        {
            **key,
            "host": host,
            "state": state,
            "seen": began,
            "succeeded": succeeded if state == "ok" else None,
        }
        for host, state in intake.hosts_by_state.items()
    ]
    if rows:
        keys = ["job", "check_mode", "host"]
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=told), rows)


def _notes(
    intake: _Intake, complete: bool, check_mode: bool, of_campaign: bool, superseded: set[Identity]
) -> Iterator[str]:
    if not complete:
        yield "The run did not come to its end: nothing that it did not see is taken for clean."
    failed = any(identity.check == TASK_FAILED for identity in intake.worst)
    if of_campaign and failed:
        yield "Tasks that failed open no tickets of their own: the campaign tells what became of their hosts."
    if check_mode and failed:
        yield "Tasks that failed in check mode open no tickets: they may fail only because nothing was changed before."
    stale = sum(is_superseded(identity, superseded) for identity in intake.worst) if superseded else 0
    if stale:
        yield f"{stale} finding(s) change no ticket: a newer run, recorded before this one, looked at the same."


def _answer(
    connection: Connection,
    number: int,
    told: list[TicketChange],
    notes: list[str],
    findings_limit: int,
    *,
    already: bool,
) -> Recorded:
    detail = runs.detail(connection, runs.one(connection, number), findings_limit)
    return Recorded(
        run=detail.run,
        already=already,
        findings=detail.findings,
        hosts=detail.hosts,
        changes=tuple(told),
        proofs=proofs.count(connection, number),
        plans=detail.plans,
        plans_total=detail.plans_total,
        notes=tuple(notes),
        exit_code=exit_code(detail.run),
    )


def exit_code(run: Run) -> int:
    """How the command ends after a run: not carried out to its end, hosts failed, findings, in this order."""
    if run.state != "finished":
        return NOT_RUN
    if run.hosts["failed"] or run.hosts["unreachable"]:
        return HOSTS_FAILED
    return FINDINGS if any(run.counts[severity] for severity in ("critical", "high", "medium")) else OK
