# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a run saw to what happens to tickets. Pure: no store, no process, no clock.

An *entry* of a ticket is an identity (host, check, subject). It stands from the first sight of its fault until a run
that ended looked at it and found nothing. The rules:

- A finding that stands already is updated where it stands, whatever the grouping says today: one fault, one ticket.
- A new one goes to the ticket of its cause: the open one; else the last resolved one, reopened, when that was resolved
  no longer than ``reopen_within`` ago; else a new one that follows it.
- A host that cannot be reached swallows what else was new on it in that run: one fallen server, one ticket.
- An absence clears an entry only when the run ended, reached that host, and covered that check and subject. Nobody
  knows when in the run it looked: what was seen after the run began may be younger than the look, and stands.
- An info finding, or one that the configuration ignores, is as good as a look that found nothing.
- The last entry that is cleared resolves its ticket. A ticket that a person resolved keeps its entries standing until
  a run confirms it.
- A priority only rises by itself: to lower it would hide that a promise was broken.
- What a newer run looked at is not unsaid by an older one that is recorded late.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import SEVERITIES
from ansible_collections.upkeep.maintenance.plugins.module_utils._results import (
    CONTRACT_BROKEN,
    HOST_UNREACHABLE,
    TASK_FAILED,
)

from .store.model import RESOLVED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

PRIORITIES = ("P1", "P2", "P3")
"""Most urgent first."""

GroupBy = Literal["check", "host", "subject", "host_subject"]
"""What makes one ticket beside the check's name: nothing more, the host, the subject, or both."""

REOPEN_WITHIN = 14 * 86400.0
"""Seconds after its resolution in which a ticket is reopened; later, a new one follows it."""

INFO = "info"
CLEAN = "clean"
IGNORED = "ignored"
MOVED = "moved"
ALL = "*"
"""The subject of a coverage that means all subjects."""

SEVERITY_PRIORITY = {"critical": "P1", "high": "P2", "medium": "P3", "low": "P3"}
RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}
"""0 is the worst."""


@dataclass(frozen=True)
class Rule:
    """What the configuration says of the checks whose name matches ``check`` (fnmatch). None: this rule does not say.

    For each property the first rule that says something holds. A priority does not make tickets of info findings.
    """

    check: str
    group_by: GroupBy | None = None
    priority: str | None = None
    ignore: bool | None = None


BUILT_IN = (
    Rule(HOST_UNREACHABLE, group_by="host"),
    # Their subject is the task, the module or the check that failed: that is the cause, on however many hosts.
    Rule(TASK_FAILED, group_by="subject"),
    Rule(CONTRACT_BROKEN, group_by="subject"),
    Rule("*.check.not_run", group_by="subject"),
    Rule("upkeep.approval.waiting", group_by="subject"),  # a plan: who answers in its ticket answers only that one
    Rule("patch.campaign.awaits_approval", group_by="subject"),  # likewise
    # A CVE, or a mitigation: each is a matter of its own, whose ticket names it.
    Rule("patch.exposure.*", group_by="subject"),
    Rule("patch.mitigation.*", group_by="subject"),
    Rule("*", group_by="check", ignore=False),
)
"""What holds where the configuration says nothing."""


@dataclass(frozen=True)
class Policy:
    """How findings become tickets."""

    rules: tuple[Rule, ...] = ()
    reopen_within: float = REOPEN_WITHIN

    def of_check(self, check: str) -> Rule:
        """What holds for a check: ``group_by`` and ``ignore`` are never None, ``priority`` None means by severity."""
        matching = [rule for rule in (*self.rules, *BUILT_IN) if fnmatchcase(check, rule.check)]
        return Rule(
            check,
            group_by=next(rule.group_by for rule in matching if rule.group_by is not None),
            priority=next((rule.priority for rule in matching if rule.priority is not None), None),
            ignore=next(rule.ignore for rule in matching if rule.ignore is not None),
        )


class Identity(NamedTuple):
    """What makes two findings the same."""

    host: str
    check: str
    subject: str


@dataclass(frozen=True)
class KnownEntry:
    """An entry that stands (was not cleared)."""

    identity: Identity
    severity: str
    last_seen: float


@dataclass(frozen=True)
class KnownTicket:
    """A ticket as the store has it: the open ones, the last one of each cause, and those whose entries still stand."""

    number: int
    cause: str
    state: str
    priority: str
    resolved: float | None = None
    entries: tuple[KnownEntry, ...] = ()


Ref = int | str
"""A ticket in a change: the number of one that exists, or the cause of one that the same list opens."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A new ticket; ``follows`` is the number of the last one of its cause."""

    cause: str
    priority: str
    follows: int | None


@dataclass(frozen=True, slots=True)
class Reopened:
    """A resolved ticket whose fault is there (still, or again)."""

    ticket: int
    priority: str


@dataclass(frozen=True, slots=True)
class PriorityChanged:
    """The priority of a ticket that was open before rose."""

    ticket: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class EntryAdded:
    """A fault that did not stand before."""

    ticket: Ref
    identity: Identity
    severity: str


@dataclass(frozen=True, slots=True)
class EntryUpdated:
    """A fault that stood and was seen again."""

    ticket: int
    identity: Identity
    severity: str


@dataclass(frozen=True, slots=True)
class EntryCleared:
    """A fault that stands no more. ``why``: CLEAN (looked, found nothing), IGNORED, or MOVED (to a newer ticket)."""

    ticket: int
    identity: Identity
    why: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """An open ticket without a standing entry."""

    ticket: int


Change = Opened | Reopened | PriorityChanged | EntryAdded | EntryUpdated | EntryCleared | Resolved


def cause_of(identity: Identity, group_by: GroupBy) -> str:
    """The cause that a finding belongs to: the check's name, and what the grouping adds to it."""
    return {
        "check": identity.check,
        "host": f"{identity.check} on {identity.host}",
        "subject": f"{identity.check} of {identity.subject}",
        "host_subject": f"{identity.check} of {identity.subject} on {identity.host}",
    }[group_by]


@dataclass
class _Ticket:
    """A ticket while the changes are being found."""

    ref: Ref
    known: KnownTicket
    """_NEW for one that this run opens."""
    opens: bool = False
    """This run opens it, or opens it again."""
    follows: int | None = None
    added: list[EntryAdded] = field(default_factory=list)
    updated: list[EntryUpdated] = field(default_factory=list)
    cleared: dict[Identity, str] = field(default_factory=dict)
    wanted: str = PRIORITIES[-1]
    """The most urgent priority among what this run found."""
    entries: dict[Identity, KnownEntry] = field(init=False)

    def __post_init__(self) -> None:
        self.entries = {entry.identity: entry for entry in self.known.entries}

    @property
    def is_open(self) -> bool:
        return self.opens or self.known.state != RESOLVED


_NEW = KnownTicket(0, "", RESOLVED, PRIORITIES[-1])


def is_superseded(identity: Identity, superseded: Collection[Identity]) -> bool:
    """Whether a newer run looked at this, by its subject or by all of them."""
    return identity in superseded or identity._replace(subject=ALL) in superseded


def silent_hosts(findings: Iterable[Identity], hosts: Mapping[str, str]) -> set[str]:
    """The hosts that could not be reached at some moment: their absences say nothing."""
    down = {host for host, state in hosts.items() if state == "unreachable"}
    return down | {identity.host for identity in findings if identity.check == HOST_UNREACHABLE}


def reconcile(
    findings: Iterable[tuple[Identity, str]],
    coverage: Mapping[str, Collection[tuple[str, str]]],
    hosts: Mapping[str, str],
    tickets: Iterable[KnownTicket],
    policy: Policy,
    now: float,
    *,
    at: float | None = None,
    began: float | None = None,
    complete: bool = True,
    check_mode: bool = False,
    of_campaign: bool = False,
    muted: Collection[str] = (),
    superseded: Collection[Identity] = (),
) -> list[Change]:
    """What a run changes in the tickets; the same whatever the order of its arguments' elements.

    ``findings``: identity and severity; of one identity the worst counts. ``coverage``: (check, subject) by host.
    ``hosts``: state by host (ok | failed | unreachable). ``tickets``: see KnownTicket. ``now``, ``at``: seconds since
    the epoch; ``at`` is when the run had seen this, where that is not now, and ``began`` when it began to look, where
    that is not ``at``: findings are dated by the one, absences by the other. ``complete``: the run ended by itself;
    when it was cut off, absences say nothing. ``check_mode``: a task that fails, or does not, in check mode says
    nothing of the real one. ``of_campaign``: a task that fails opens no ticket of its own, for the run is a step of a
    campaign, which says itself what became of the host. ``muted``: hosts of which not all that they found arrived.
    ``superseded``: what newer runs covered.
    """
    at = now if at is None else at
    work = _Reconciliation(tickets, policy, now, at, at if began is None else began)
    work.sort(findings, check_mode, of_campaign, superseded)
    work.place()
    if complete:
        silent = silent_hosts(work.seen, hosts) | set(muted)
        work.clear(coverage, silent, check_mode, superseded)
    work.clear_unwanted()
    return [change for ticket in (*work.tickets.values(), *work.opened) for change in _changes_of(ticket, work.rule)]


class _Reconciliation:
    """One run's findings on their way to their tickets."""

    def __init__(self, tickets: Iterable[KnownTicket], policy: Policy, now: float, at: float, began: float) -> None:
        self.policy = policy
        self.now = now
        self.at = at
        self.began = began
        self.rule = lru_cache(maxsize=None)(policy.of_check)
        self.seen: set[Identity] = set()
        self.wanted: dict[Identity, str] = {}
        self.unwanted: dict[Identity, str] = {}
        self.opened: list[_Ticket] = []
        known = sorted(tickets, key=lambda ticket: ticket.number)
        self.tickets = {ticket.number: _Ticket(ticket.number, ticket) for ticket in known}
        self.owners: dict[Identity, _Ticket] = {}
        """The ticket in which an identity stands: an open one, where there is one."""
        self.by_cause: dict[str, _Ticket] = {}
        """The open ticket of a cause, else its newest."""
        for ticket in self.tickets.values():
            if ticket.known.cause not in self.by_cause or not self.by_cause[ticket.known.cause].is_open:
                self.by_cause[ticket.known.cause] = ticket
            for identity in ticket.entries:
                if identity not in self.owners or not self.owners[identity].is_open:
                    self.owners[identity] = ticket

    def sort(
        self,
        findings: Iterable[tuple[Identity, str]],
        check_mode: bool,
        of_campaign: bool,
        superseded: Collection[Identity],
    ) -> None:
        """Tell the findings that belong in a ticket from those that do not."""
        for identity, severity in findings:
            self.seen.add(identity)
            told = check_mode or (of_campaign and identity not in self.owners)
            if (told and identity.check == TASK_FAILED) or is_superseded(identity, superseded):
                continue
            if severity == INFO or self.rule(identity.check).ignore:
                # By the check alone: one that a run tells twice, as info and as more, is the same in either order.
                self.unwanted[identity] = IGNORED if self.rule(identity.check).ignore else CLEAN
            elif identity not in self.wanted or RANK[severity] < RANK[self.wanted[identity]]:
                self.wanted[identity] = severity

    def place(self) -> None:
        """Give each finding its ticket."""

        # Unreachable hosts first, so that what else is new on them finds their ticket; then the worst first.
        def order(identity: Identity) -> tuple[bool, int, Identity]:
            return identity.check != HOST_UNREACHABLE, RANK[self.wanted[identity]], identity

        fallen: dict[str, _Ticket] = {}
        for identity in sorted(self.wanted, key=order):
            owner = self.owners.get(identity)
            if owner is not None and self._is_later(owner.entries[identity].last_seen):
                continue  # a newer run saw it already
            if owner is not None and (owner.is_open or self._is_later(owner.known.resolved)):
                ticket = owner  # where it stands; resolved after it was seen: the next run will tell
            elif identity.host in fallen:
                ticket = fallen[identity.host]
            else:
                ticket = self._target(cause_of(identity, self.rule(identity.check).group_by or "check"), owner)
            if identity.check == HOST_UNREACHABLE and ticket.is_open:
                fallen[identity.host] = ticket
            self._put(identity, self.wanted[identity], ticket, owner)

    def _is_later(self, moment: float | None) -> bool:
        """Whether a moment is after the run. One after now was written under a wrong clock, and says nothing."""
        return moment is not None and self.at < moment <= self.now

    def _may_be_later(self, moment: float) -> bool:
        """Whether a moment may be after the run looked: after it began. One after now says nothing, as above."""
        return self.began < moment <= self.now

    def _put(self, identity: Identity, severity: str, ticket: _Ticket, owner: _Ticket | None) -> None:
        if owner is not None and ticket is owner:
            ticket.updated.append(EntryUpdated(owner.known.number, identity, severity))
        else:
            if owner is not None:
                owner.cleared[identity] = MOVED
            ticket.added.append(EntryAdded(ticket.ref, identity, severity))
        ticket.wanted = min(ticket.wanted, self.rule(identity.check).priority or SEVERITY_PRIORITY[severity])

    def _target(self, cause: str, owner: _Ticket | None) -> _Ticket:
        """The open ticket that a finding without one goes to; ``owner``: a resolved one in which it still stands."""
        ticket = self.by_cause.get(cause)
        if ticket is not None and ticket.is_open:
            return ticket
        for candidate in (owner, ticket):
            # There must not be two open tickets of one cause, whatever the grouping was when they were opened.
            if candidate is None or not self._is_recent(candidate):
                continue
            if not self.by_cause[candidate.known.cause].is_open:
                candidate.opens = True
                self.by_cause[candidate.known.cause] = candidate
                return candidate
        before = ticket or owner
        follows = before.known.number if before is not None else None
        made = _Ticket(cause, _NEW, opens=True, follows=follows)
        self.by_cause[cause] = made
        self.opened.append(made)
        return made

    def _is_recent(self, ticket: _Ticket) -> bool:
        return ticket.known.resolved is None or self.now - ticket.known.resolved <= self.policy.reopen_within

    def clear(
        self,
        coverage: Mapping[str, Collection[tuple[str, str]]],
        silent: Collection[str],
        check_mode: bool,
        superseded: Collection[Identity],
    ) -> None:
        """Clear the entries that were looked at and not found."""
        for ticket in self.tickets.values():
            for identity, entry in ticket.entries.items():
                if identity in self.seen or identity.host in silent or self._may_be_later(entry.last_seen):
                    continue
                if (check_mode and identity.check == TASK_FAILED) or is_superseded(identity, superseded):
                    continue
                looked = coverage.get(identity.host, ())
                if (identity.check, identity.subject) in looked or (identity.check, ALL) in looked:
                    ticket.cleared[identity] = CLEAN

    def clear_unwanted(self) -> None:
        """Clear the entries that were seen, and do not belong in a ticket any more."""
        for identity, why in self.unwanted.items():
            owner = self.owners.get(identity)
            if owner is None or identity in self.wanted or self._may_be_later(owner.entries[identity].last_seen):
                continue
            owner.cleared[identity] = why


def _changes_of(ticket: _Ticket, rule: Callable[[str], Rule]) -> Iterator[Change]:
    known = ticket.known
    if known is _NEW:
        yield Opened(str(ticket.ref), ticket.wanted, ticket.follows)
        yield from ticket.added
        return
    if known.state == RESOLVED and ticket.opens:
        standing = (entry for identity, entry in ticket.entries.items() if identity not in ticket.cleared)
        priorities = (rule(entry.identity.check).priority or SEVERITY_PRIORITY[entry.severity] for entry in standing)
        yield Reopened(known.number, min([ticket.wanted, *priorities]))
    elif ticket.is_open and ticket.wanted < known.priority:
        yield PriorityChanged(known.number, known.priority, ticket.wanted)
    yield from ticket.added
    yield from ticket.updated
    for identity, why in ticket.cleared.items():
        yield EntryCleared(known.number, identity, why)
    nothing_stands = bool(ticket.entries) and not ticket.added and len(ticket.cleared) == len(ticket.entries)
    if known.state != RESOLVED and nothing_stands:
        yield Resolved(known.number)
