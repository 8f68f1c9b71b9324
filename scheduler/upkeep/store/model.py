# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store hands out: frozen records. Times are seconds since the epoch (UTC, float); None: not (yet) so.

Imports nothing heavy: commands may import it for their annotations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plans import Plan

RUNNING = "running"
RUN_STATES = (RUNNING, "finished", "interrupted", "timed_out", "error")
"""A run's states: under way, or how it ended (see the results file)."""

OPEN = "open"
ACKNOWLEDGED = "acknowledged"
RESOLVED = "resolved"
WAITING = "waiting"
TICKET_STATES = (OPEN, ACKNOWLEDGED, WAITING, RESOLVED)
"""Nobody has looked yet; a person is on it; it waits for somebody else, and the clocks stand still; done (by evidence,
or by a person's word)."""
UNRESOLVED = (OPEN, ACKNOWLEDGED, WAITING)

UPKEEP = "upkeep"
"""The actor of what Upkeep itself does to a ticket; a person's login name otherwise."""


@dataclass(frozen=True)
class HostState:
    """One host at the end of a run; counts are tasks."""

    host: str
    state: str  # ok | failed | unreachable
    ok: int = 0
    changed: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Run:
    """A run. ``number`` is for people, ``id`` (a UUID) is that of its results file."""

    number: int
    id: str
    job: str | None
    playbook: str
    check_mode: bool
    state: str  # one of RUN_STATES
    started: float
    finished: float | None
    recorded: float | None
    """When its results were taken over into tickets; None: not (yet)."""
    complete: bool
    """Whether the results file had its end: only then an absence in it says anything."""
    actor: str
    artifacts: str
    """The folder of its artifacts, "" when there is none."""
    message: str
    """Why it could not be carried out, or why it ended early."""
    counts: dict[str, int] = field(default_factory=dict)
    """Findings by severity, all five named."""
    hosts: dict[str, int] = field(default_factory=dict)
    """Hosts by state: ok, failed, unreachable."""


@dataclass(frozen=True)
class Finding:
    """A finding as it was recorded."""

    host: str
    check: str
    subject: str
    severity: str
    summary: str
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunDetail:
    """A run with its hosts and its findings (worst first, bounded by what was asked for)."""

    run: Run
    hosts: tuple[HostState, ...]
    findings: tuple[Finding, ...]
    proofs: dict[str, int] = field(default_factory=dict)
    """Its proofs by outcome, all three named."""
    plans: tuple[Plan, ...] = ()
    """What it planned, by host; bounded as the findings are."""
    plans_total: int = 0


@dataclass(frozen=True)
class Clock:
    """Since when a ticket has had a priority: what the SLA counts from."""

    priority: str
    since: float


@dataclass(frozen=True)
class Pause:
    """A time in which a ticket waited for somebody else: the SLA's clocks stand still."""

    since: float
    until: float | None
    """None: it still waits."""
    why: str = ""


@dataclass(frozen=True)
class Cycle:
    """A ticket from its opening, or reopening, to its resolution: what the SLA judges. Times as in Ticket."""

    clocks: tuple[Clock, ...]
    pauses: tuple[Pause, ...]
    acknowledged: float | None
    acknowledged_by: str
    resolved: float | None
    resolved_by: str
    still: bool = False
    """It was reopened because the fault had never been away: this resolution was a word, and it did not hold."""


@dataclass(frozen=True)
class Lesson:
    """What people learned from an earlier ticket of the same cause, or of the same check."""

    number: int
    cause: str
    resolved: float | None
    resolved_by: str
    workaround: str
    root_cause: str
    prevention: str


@dataclass(frozen=True)
class Ticket:
    """A ticket as a list shows it."""

    number: int
    key: str
    """The correlation key: stable, unique, for external systems."""
    cause: str
    title: str
    state: str  # one of TICKET_STATES
    priority: str  # P1 | P2 | P3
    severity: str
    """The worst of its open entries (of the last ones, when it is resolved)."""
    opened: float
    updated: float
    acknowledged: float | None
    acknowledged_by: str
    resolved: float | None
    resolved_by: str
    """UPKEEP when a later run found nothing; a login name when a person said so."""
    reopened: int
    """How often it was reopened."""
    follows: int | None
    """The number of the earlier, resolved ticket of the same cause."""
    entries: int
    """Open entries."""
    hosts: int
    """Hosts with open entries."""
    clocks: tuple[Clock, ...]
    """For sla.deadlines(): the priorities since it was (re)opened."""
    assignee: str = ""
    pauses: tuple[Pause, ...] = ()
    """Since it was (re)opened, in order; only the last can be without an end."""
    workaround: str = ""
    root_cause: str = ""
    prevention: str = ""
    """What people learned: what makes it bearable, why it came, how not to repeat it."""
    cycles: tuple[Cycle, ...] = ()
    """How it went each time before it was reopened, oldest first; its present course is not among them."""


@dataclass(frozen=True)
class Entry:
    """One identity (host, check, subject) in a ticket, with the finding as it was last seen."""

    host: str
    check: str
    subject: str
    severity: str
    summary: str
    evidence: tuple[str, ...]
    remedy: str
    facts: dict[str, Any]
    first_seen: float
    last_seen: float
    cleared: float | None
    """When a run looked and found nothing; None while the fault stands."""


@dataclass(frozen=True)
class HistoryLine:
    """One event of a ticket.

    ``kind``: opened, reopened, priority, added, cleared (looked, and found nothing), ignored (by the configuration),
    moved (to a newer ticket), resolved; of a person: acknowledged, assigned, comment, waiting, continued, workaround,
    root_cause, prevention, resolved, reopened; of the clocks: sla; read from a ticket system: mirror.
    """

    at: float
    actor: str
    kind: str
    text: str
    run: int | None
    """The number of the run that brought it."""


@dataclass(frozen=True)
class Image:
    """A ticket in a ticket system outside."""

    system: str
    shown: str
    """Its number there, for people."""
    url: str
    state: str
    """open | waiting | resolved | gone | lost: as it was last brought there or read there."""


@dataclass(frozen=True)
class Proof:
    """The auditor's record of one test. ``number`` is for people, and never used twice."""

    number: int
    host: str
    check: str
    subject: str
    outcome: str
    """passed | failed | cannot (it could not be carried out)."""
    started: float
    ended: float
    """By the clock of the host that was tested."""
    summary: str
    facts: dict[str, Any]
    run: int
    """Its run's number: the run itself may be forgotten already."""
    run_id: str
    job: str
    """ "": of no job."""
    playbook: str
    actor: str
    """Who ran it; "" when the results file came from elsewhere and does not say."""
    digest: str
    """SHA-256 of all of this but the numbers."""


@dataclass(frozen=True)
class TicketDetail:
    """A ticket with its entries (open and worst first, bounded) and its history (oldest first)."""

    ticket: Ticket
    entries: tuple[Entry, ...]
    history: tuple[HistoryLine, ...]
    follows: int | None
    followed_by: int | None
    learned: tuple[Lesson, ...] = ()
    """What earlier tickets taught, the nearest first."""
    images: tuple[Image, ...] = ()
    """Where it is mirrored to, by system."""
    proofs: tuple[Proof, ...] = ()
    """The latest tests of what its entries are about (the same host and subject), newest first for each."""


@dataclass(frozen=True)
class TicketChange:
    """What one recording did to one ticket."""

    number: int
    title: str
    priority: str
    what: str
    """opened | reopened | resolved | updated (entries came or went, its priority rose) | seen (the same again) |
    confirmed (a person resolved it, and a run now found some or all of it gone)."""
    added: int = 0
    cleared: int = 0
    seen: int = 0
    """Entries that came; that a run found gone; that were found again."""
    old_priority: str | None = None
    """The priority before it rose; None when it did not."""
    follows: int | None = None


@dataclass(frozen=True)
class Pruned:
    """What retention removed."""

    runs: int
    findings: int
    tickets: int
    proofs: int = 0
