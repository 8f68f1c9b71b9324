# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconcile: each rule by itself, then random sequences of runs against a model that knows only of evidence."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.upkeep.maintenance.plugins.module_utils._results import HOST_UNREACHABLE, TASK_FAILED
from upkeep.reconcile import (
    Change,
    EntryAdded,
    EntryCleared,
    EntryUpdated,
    GroupBy,
    Identity,
    KnownEntry,
    KnownTicket,
    Opened,
    Policy,
    PriorityChanged,
    Reopened,
    Resolved,
    Rule,
    cause_of,
    reconcile,
)

DAY = 86400.0
DISK = "capacity.disk.full"
PATCH = "patch.security.pending"
POLICY = Policy()


class World:
    """The store in twenty lines: tickets with their entries, and the changes applied to them."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.tickets: dict[int, KnownTicket] = {}
        self.coverage: dict[Identity, float] = {}
        self.last: list[Change] = []

    def run(
        self,
        findings: list[tuple[str, str, str, str]],
        coverage: list[tuple[str, str, str]] = [],  # noqa: B006 - not changed
        hosts: dict[str, str] | None = None,
        now: float = DAY,
        **more: Any,
    ) -> list[Change]:
        by_host: dict[str, set[tuple[str, str]]] = {}
        for host, check, subject in coverage:
            by_host.setdefault(host, set()).add((check, subject))
        if hosts is None:
            hosts = dict.fromkeys([*(row[0] for row in findings), *by_host], "ok")
        found = [(Identity(host, check, subject), severity) for host, check, subject, severity in findings]
        changes = reconcile(found, by_host, hosts, list(self.tickets.values()), self.policy, now, **more)
        self.apply(changes, more.get("at", now), now)
        self.last = changes
        return changes

    def apply(self, changes: list[Change], at: float, now: float) -> None:
        numbers: dict[str, int] = {}

        def number(ref: int | str) -> int:
            return numbers[ref] if isinstance(ref, str) else ref

        for change in changes:
            if isinstance(change, Opened):
                numbers[change.cause] = len(self.tickets) + 1
                made = KnownTicket(numbers[change.cause], change.cause, "open", change.priority)
                self.tickets[made.number] = made
                continue
            ticket = self.tickets[number(change.ticket)]
            if isinstance(change, Reopened):
                ticket = replace(ticket, state="open", priority=change.priority, resolved=None)
            elif isinstance(change, PriorityChanged):
                ticket = replace(ticket, priority=change.new)
            elif isinstance(change, Resolved):
                ticket = replace(ticket, state="resolved", resolved=now)
            else:
                rest = tuple(entry for entry in ticket.entries if entry.identity != change.identity)
                if isinstance(change, EntryAdded):
                    assert len(rest) == len(ticket.entries), "an entry that stood was added"
                else:
                    assert len(rest) == len(ticket.entries) - 1, "an entry that did not stand was changed"
                if not isinstance(change, EntryCleared):
                    rest = (*rest, KnownEntry(change.identity, change.severity, at))
                ticket = replace(ticket, entries=rest)
            self.tickets[ticket.number] = ticket

    def close_by_hand(self, number: int, now: float) -> None:
        self.tickets[number] = replace(self.tickets[number], state="resolved", resolved=now)

    def open(self) -> list[int]:
        return [ticket.number for ticket in self.tickets.values() if ticket.state != "resolved"]

    def standing(self) -> list[Identity]:
        return [entry.identity for ticket in self.tickets.values() for entry in ticket.entries]


def kinds(changes: list[Change]) -> list[str]:
    return [type(change).__name__ for change in changes]


def test_one_check_on_forty_hosts_is_one_ticket() -> None:
    world = World()
    changes = world.run([(f"web{n}", PATCH, "nginx", "high") for n in range(40)])
    assert kinds(changes) == ["Opened", *["EntryAdded"] * 40]
    assert changes[0] == Opened(PATCH, "P2", None)


def test_the_same_run_again_opens_nothing() -> None:
    world = World()
    world.run([("web1", PATCH, "nginx", "high")])
    assert kinds(world.run([("web1", PATCH, "nginx", "high")])) == ["EntryUpdated"]


def test_a_fault_that_was_looked_for_and_not_found_resolves_its_ticket() -> None:
    world = World()
    world.run([("web1", PATCH, "nginx", "high"), ("web2", PATCH, "nginx", "high")])
    assert kinds(world.run([], [("web1", PATCH, "*")])) == ["EntryCleared"]
    assert world.open() == [1]
    assert kinds(world.run([], [("web2", PATCH, "nginx")])) == ["EntryCleared", "Resolved"]
    assert world.open() == []


@pytest.mark.parametrize(
    ("coverage", "hosts", "more"),
    [
        ([], {"web1": "ok"}, {}),  # not looked
        ([("web1", DISK, "*")], {"web1": "ok"}, {}),  # looked at something else
        ([("web1", PATCH, "openssl")], {"web1": "ok"}, {}),  # at another subject
        ([("web2", PATCH, "*")], {"web1": "ok", "web2": "ok"}, {}),  # at another host
        ([("web1", PATCH, "*")], {"web1": "unreachable"}, {}),
        ([("web1", PATCH, "*")], {"web1": "ok"}, {"complete": False}),
        ([("web1", PATCH, "*")], {"web1": "ok"}, {"muted": {"web1"}}),
        ([("web1", PATCH, "*")], {"web1": "ok"}, {"superseded": {Identity("web1", PATCH, "*")}}),
        ([("web1", PATCH, "*")], {"web1": "ok"}, {"at": 0.5 * DAY}),  # an older run: it was seen after that
        # A run that began before it was seen, and ended after: nobody knows when it looked.
        ([("web1", PATCH, "*")], {"web1": "ok"}, {"began": 0.5 * DAY, "at": 2 * DAY, "now": 2 * DAY}),
    ],
)
def test_not_looked_is_not_clean(
    coverage: list[tuple[str, str, str]], hosts: dict[str, str], more: dict[str, Any]
) -> None:
    world = World()
    world.run([("web1", PATCH, "nginx", "high")])
    assert world.run([], coverage, hosts, **more) == []
    assert world.open() == [1]


def test_a_host_that_cannot_be_reached_is_one_ticket_whatever_else_is_new_on_it() -> None:
    faults = [("db1", check, "x", "critical") for check in (PATCH, DISK, "backup.age.stale")]
    rows = [*faults, ("db1", HOST_UNREACHABLE, "db1", "high"), ("web1", DISK, "/", "high")]
    for order in (rows, rows[::-1]):
        world = World()
        changes = world.run(order, hosts={"db1": "unreachable", "web1": "ok"})
        opened = [change for change in changes if isinstance(change, Opened)]
        # Nothing is lost: what it still said makes the ticket as urgent as it must be.
        assert [(change.cause, change.priority) for change in opened] == [
            (f"{HOST_UNREACHABLE} on db1", "P1"),
            (DISK, "P2"),
        ]
        assert len(world.standing()) == 5
    # It comes back, and is clean.
    back = [*((host, check, "*") for host, check, *_ in faults), ("db1", HOST_UNREACHABLE, "db1")]
    world.run([], back)
    assert world.open() == [2]


def test_a_host_that_cannot_be_reached_keeps_what_stands_on_it() -> None:
    world = World()
    world.run([("db1", DISK, "/", "high")])
    world.run([("db1", HOST_UNREACHABLE, "db1", "high")], [("db1", DISK, "*")], {"db1": "unreachable"})
    assert world.open() == [1, 2]


def test_each_cve_has_its_own_ticket() -> None:
    world = World()
    exposed = "patch.exposure.exposed"
    world.run([("web1", exposed, "CVE-2026-1", "high"), ("web2", exposed, "CVE-2026-1", "high")])
    world.run([("web1", exposed, "CVE-2026-2", "high")])
    assert world.open() == [1, 2]


def test_each_unreachable_host_has_its_own_ticket() -> None:
    world = World()
    world.run([("db1", HOST_UNREACHABLE, "db1", "high"), ("db2", HOST_UNREACHABLE, "db2", "high")])
    assert world.open() == [1, 2]


def test_what_becomes_worse_raises_the_priority_once() -> None:
    world = World()
    world.run([("web1", DISK, "/", "medium")])
    changes = world.run([("web1", DISK, "/", "critical")])
    assert PriorityChanged(1, "P3", "P1") in changes
    assert kinds(world.run([("web1", DISK, "/", "critical")])) == ["EntryUpdated"]
    # What becomes better does not lower it.
    assert kinds(world.run([("web1", DISK, "/", "low")])) == ["EntryUpdated"]
    assert world.tickets[1].priority == "P1"


def test_info_opens_nothing_and_clears_what_was_worse() -> None:
    world = World(Policy((Rule("*", priority="P1"),)))
    assert world.run([("web1", DISK, "/", "info")]) == []
    world.run([("web1", DISK, "/", "low")])
    assert kinds(world.run([("web1", DISK, "/", "info")])) == ["EntryCleared", "Resolved"]


def test_an_info_finding_of_a_run_that_began_before_the_fault_was_seen_clears_nothing() -> None:
    world = World()
    world.run([("web1", DISK, "/", "high")], now=2 * DAY)
    assert world.run([("web1", DISK, "/", "info")], now=3 * DAY, began=DAY) == []
    assert kinds(world.run([("web1", DISK, "/", "info")], now=4 * DAY, began=3 * DAY)) == ["EntryCleared", "Resolved"]


def test_of_one_identity_the_worst_counts() -> None:
    world = World()
    rows = [("web1", DISK, "/", severity) for severity in ("low", "critical", "info", "medium")]
    for order in (rows, rows[::-1]):
        world = World()
        assert world.run(order) == [
            Opened(DISK, "P1", None),
            EntryAdded(DISK, Identity("web1", DISK, "/"), "critical"),
        ]


def test_closed_by_hand_while_the_fault_remains_is_reopened_once() -> None:
    world = World()
    fault = [("web1", DISK, "/", "high")]
    world.run(fault, now=1 * DAY)
    world.close_by_hand(1, 2 * DAY)
    assert kinds(world.run(fault, now=3 * DAY)) == ["Reopened", "EntryUpdated"]
    assert kinds(world.run(fault, now=4 * DAY)) == ["EntryUpdated"]


def test_closed_by_hand_long_ago_is_followed_by_a_new_ticket_once() -> None:
    world = World()
    fault = [("web1", DISK, "/", "high")]
    world.run(fault, now=1 * DAY)
    world.close_by_hand(1, 2 * DAY)
    assert world.run(fault, now=17 * DAY) == [
        EntryCleared(1, Identity("web1", DISK, "/"), "moved"),
        Opened(DISK, "P2", 1),
        EntryAdded(DISK, Identity("web1", DISK, "/"), "high"),
    ]
    assert kinds(world.run(fault, now=18 * DAY)) == ["EntryUpdated"]
    assert world.open() == [2]


def test_closed_by_hand_and_confirmed_stays_closed() -> None:
    world = World()
    world.run([("web1", DISK, "/", "high")])
    world.close_by_hand(1, 2 * DAY)
    assert kinds(world.run([], [("web1", DISK, "*")], now=3 * DAY)) == ["EntryCleared"]
    assert world.open() == []


def test_a_run_from_before_it_was_closed_by_hand_does_not_reopen_it() -> None:
    world = World()
    world.run([("web1", DISK, "/", "high")], now=1 * DAY)
    world.close_by_hand(1, 3 * DAY)
    assert kinds(world.run([("web1", DISK, "/", "high")], at=2 * DAY, now=4 * DAY)) == ["EntryUpdated"]
    assert world.open() == []


def test_a_fault_that_comes_back_reopens_or_follows() -> None:
    for days, expected in ((13.0, ["Reopened", "EntryAdded"]), (15.0, ["Opened", "EntryAdded"])):
        world = World()
        world.run([("web1", DISK, "/", "high")], now=DAY)
        world.run([], [("web1", DISK, "/")], now=2 * DAY)
        assert world.open() == []
        assert kinds(world.run([("web2", DISK, "/", "high")], now=(2 + days) * DAY)) == expected


def test_a_reopened_ticket_is_as_urgent_as_what_stands_in_it() -> None:
    world = World()
    world.run([("web1", DISK, "/", "critical"), ("web2", DISK, "/", "low")])
    world.close_by_hand(1, 2 * DAY)
    assert world.run([("web2", DISK, "/", "low")], now=3 * DAY)[0] == Reopened(1, "P1")


def test_rules_of_the_configuration() -> None:
    policy = Policy(
        (
            Rule("capacity.*", group_by="host_subject"),
            Rule("capacity.disk.*", priority="P1"),
            Rule("patch.*", ignore=True),
            Rule(PATCH, ignore=False),  # too late: the first rule that says something holds
        )
    )
    world = World(policy)
    changes = world.run(
        [
            ("web1", DISK, "/", "low"),
            ("web1", DISK, "/var", "low"),
            ("web1", "capacity.load.high", "cpu", "low"),
            ("web1", PATCH, "nginx", "critical"),
        ]
    )
    opened = [(change.cause, change.priority) for change in changes if isinstance(change, Opened)]
    assert opened == [
        (f"{DISK} of / on web1", "P1"),
        (f"{DISK} of /var on web1", "P1"),
        ("capacity.load.high of cpu on web1", "P3"),
    ]


def test_what_the_configuration_ignores_later_is_cleared_when_it_is_seen() -> None:
    world = World()
    world.run([("web1", DISK, "/", "high")])
    world.policy = Policy((Rule(DISK, ignore=True),))
    assert world.run([("web1", DISK, "/", "high")]) == [
        EntryCleared(1, Identity("web1", DISK, "/"), "ignored"),
        Resolved(1),
    ]


def test_a_changed_grouping_leaves_what_stands_where_it_is() -> None:
    world = World()
    world.run([("web1", DISK, "/", "high"), ("web2", DISK, "/", "high")])
    world.policy = Policy((Rule(DISK, group_by="host"),))
    rows = [(f"web{n}", DISK, "/", "high") for n in (1, 2, 3)]
    assert kinds(world.run(rows)) == ["EntryUpdated", "EntryUpdated", "Opened", "EntryAdded"]
    assert sorted(world.standing()) == [Identity(f"web{n}", DISK, "/") for n in (1, 2, 3)]


def test_tasks_group_by_task_and_checks_that_could_not_run_by_check() -> None:
    world = World()
    world.run(
        [
            ("web1", TASK_FAILED, "Gather", "medium"),
            ("web2", TASK_FAILED, "Gather", "medium"),
            ("web1", TASK_FAILED, "Report", "medium"),
            ("web1", "patch.check.not_run", PATCH, "medium"),
        ]
    )
    causes = [ticket.cause for ticket in world.tickets.values()]
    assert causes == [f"patch.check.not_run of {PATCH}", f"{TASK_FAILED} of Gather", f"{TASK_FAILED} of Report"]


def test_check_mode_says_nothing_of_tasks_and_all_of_checks() -> None:
    world = World()
    world.run([("web1", TASK_FAILED, "Gather", "medium")])
    covered = [("web1", TASK_FAILED, "Gather"), ("web1", DISK, "*")]
    assert world.run([], covered, check_mode=True) == []
    rows = [("web1", TASK_FAILED, "Report", "medium"), ("web1", DISK, "/", "high")]
    assert kinds(world.run(rows, check_mode=True)) == ["Opened", "EntryAdded"]
    assert [ticket.cause for ticket in world.tickets.values()] == [f"{TASK_FAILED} of Gather", DISK]


def test_an_older_run_recorded_late_unsays_nothing() -> None:
    world = World()
    newer = {Identity("web1", DISK, "*")}
    assert world.run([("web1", DISK, "/", "high")], at=DAY, now=3 * DAY, superseded=newer) == []
    # A time later than now was written under a wrong clock: it does not shut the door for ever.
    world.run([("web1", DISK, "/", "high")], now=9 * DAY)
    assert kinds(world.run([], [("web1", DISK, "*")], now=3 * DAY)) == ["EntryCleared", "Resolved"]


def test_every_grouping_makes_causes_that_differ() -> None:
    one = Identity("h", "a.b.c", "s")
    others: list[tuple[GroupBy, Identity]] = [("host", one._replace(host="i")), ("subject", one._replace(subject="t"))]
    for group_by, other in others:
        assert cause_of(one, group_by) != cause_of(other, group_by)
        assert cause_of(one, "check") == cause_of(other, "check")
        assert cause_of(one, "host_subject") != cause_of(other, "host_subject")


# --- random sequences -------------------------------------------------------------------------------------------------

HOSTS = st.sampled_from(["a", "b", "c"])
CHECKS = st.sampled_from([PATCH, DISK, "backup.age.stale", TASK_FAILED, HOST_UNREACHABLE])
SUBJECTS = st.sampled_from(["x", "y"])
SEVERITIES = st.sampled_from(["critical", "high", "medium", "low", "info"])


@dataclass(frozen=True)
class Run:
    """One run of a random sequence, and what happens before it."""

    findings: list[tuple[str, str, str, str]]
    coverage: list[tuple[str, str, str]]
    hosts: dict[str, str]
    complete: bool
    check_mode: bool
    days: float
    group_by: GroupBy
    ignored: str
    close: int | None


RUNS = st.builds(
    Run,
    findings=st.lists(st.tuples(HOSTS, CHECKS, SUBJECTS, SEVERITIES), max_size=8),
    coverage=st.lists(st.tuples(HOSTS, CHECKS, st.sampled_from(["x", "y", "*"])), max_size=10),
    hosts=st.dictionaries(HOSTS, st.sampled_from(["ok", "ok", "failed", "unreachable"])),
    complete=st.booleans(),
    check_mode=st.sampled_from([False, False, True]),
    days=st.sampled_from([0.5, 1.0, 7.0, 30.0]),
    group_by=st.sampled_from(["check", "check", "host", "subject", "host_subject"]),
    ignored=st.sampled_from(["nothing.at.all", "nothing.at.all", DISK]),
    close=st.one_of(st.none(), st.none(), st.integers(1, 6)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_random_sequences_keep_to_the_evidence(runs: list[Run], shuffle: random.Random) -> None:
    world = World()
    evidence: set[Identity] = set()  # the model: what was found, and not looked for in vain since
    now = DAY
    for run in runs:
        now += run.days * DAY
        if run.close is not None and run.close in world.open():
            world.close_by_hand(run.close, now - 1)
        world.policy = Policy((Rule(run.ignored, ignore=True), Rule("*", group_by=run.group_by)))

        def again(findings: list[tuple[str, str, str, str]], run: Run = run, now: float = now) -> list[Change]:
            return world.run(findings, run.coverage, run.hosts, now, complete=run.complete, check_mode=run.check_mode)

        before = dict(world.tickets)
        changes = again(run.findings)

        seen = _model(evidence, run)
        standing = world.standing()
        assert sorted(standing) == sorted(evidence), "an entry stands exactly as the evidence says, and once"
        causes = [world.tickets[number].cause for number in world.open()]
        assert len(causes) == len(set(causes)), "one open ticket a cause"
        in_open = {entry.identity for number in world.open() for entry in world.tickets[number].entries}
        assert seen <= in_open, "what was found is in an open ticket"
        assert all(world.tickets[number].entries for number in world.open()), "an open ticket has a reason"
        told = [change.ticket for change in changes if isinstance(change, (Reopened, Resolved, PriorityChanged))]
        assert len(told) == len(set(told)), "a ticket is told of once"

        # The order in which findings arrive changes nothing.
        after = dict(world.tickets)
        shuffled = list(run.findings)
        shuffle.shuffle(shuffled)
        world.tickets = dict(sorted(before.items(), reverse=True))
        assert sorted(map(repr, again(shuffled))) == sorted(map(repr, changes))
        # Told again, it is no news.
        world.tickets = after
        assert {type(change) for change in again(run.findings)} <= {EntryUpdated}


def _model(evidence: set[Identity], run: Run) -> set[Identity]:
    """What the evidence says after a run; returns what the run found that belongs in a ticket."""
    findings = [
        (Identity(host, check, subject), severity)
        for host, check, subject, severity in run.findings
        if not (run.check_mode and check == TASK_FAILED)
    ]
    faults = {identity for identity, severity in findings if severity != "info" and identity.check != run.ignored}
    down = {host for host, state in run.hosts.items() if state == "unreachable"}
    down |= {host for host, check, *_ in run.findings if check == HOST_UNREACHABLE}
    looked = set(run.coverage)
    all_seen = {(host, check, subject) for host, check, subject, _ in run.findings}
    for identity in list(evidence):
        harmless = identity in {found for found, _ in findings} - faults
        covered = identity in looked or identity._replace(subject="*") in looked
        if run.check_mode and identity.check == TASK_FAILED:
            covered = False
        absent = run.complete and identity.host not in down and covered and tuple(identity) not in all_seen
        if harmless or absent:
            evidence.discard(identity)
    evidence |= faults
    return faults
