# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a campaign is, and how it stands: plain frozen records. Times are seconds since the epoch. Pure.

A host goes ``planned → prechecked → snapshotted → drained → applied → rebooted → verified → undrained → done``. When
something fails after the change began it turns back: rollback → ``reverted`` → ``verified`` → ``undrained`` →
``rolled_back``. When it fails before, what was done is undone, and it is ``left_out``: it was never changed. A host
that cannot be brought back, or never answers again, is ``quarantined``: a person looks, and lets it go (``released``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, floor
from types import MappingProxyType
from typing import Any

PLANNED = "planned"
PRECHECKED = "prechecked"
SNAPSHOTTED = "snapshotted"
DRAINED = "drained"
APPLIED = "applied"
REBOOTED = "rebooted"
VERIFIED = "verified"
UNDRAINED = "undrained"
DONE = "done"
REVERTED = "reverted"
"""Rolled back, and not verified yet."""
ROLLED_BACK = "rolled_back"
QUARANTINED = "quarantined"
LEFT_OUT = "left_out"
"""Not changed: it failed before that, or its turn never came."""
RELEASED = "released"
"""It was quarantined, and a person let it go."""
HOST_STATES = (
    *(PLANNED, PRECHECKED, SNAPSHOTTED, DRAINED, APPLIED, REBOOTED, VERIFIED, UNDRAINED, DONE),
    *(REVERTED, ROLLED_BACK, QUARANTINED, LEFT_OUT, RELEASED),
)
SETTLED = frozenset({DONE, ROLLED_BACK, QUARANTINED, LEFT_OUT, RELEASED})

PLAN = "plan"
ROLLBACK = "rollback"
REACHES = MappingProxyType(
    {
        "prepare": PRECHECKED,
        "snapshot": SNAPSHOTTED,
        "drain": DRAINED,
        "apply": APPLIED,
        "reboot": REBOOTED,
        "verify": VERIFIED,
        "undrain": UNDRAINED,
        "cleanup": DONE,
    }
)
"""The state that a step of the way forward reaches, in the order of the way."""
STEPS = (PLAN, *REACHES)
"""All steps of the way forward, as the playbook takes them in ``os_patch_steps``; the way back is ROLLBACK."""

DRAIN = "drain"
SNAPSHOT = "snapshot"
UNDONE_BY = MappingProxyType({DRAIN: "undrain", SNAPSHOT: "cleanup"})
"""What must be undone (the drain together with the silence of monitoring), and the step that does it."""

FORWARD = "forward"
BACK = "back"
OUT = "out"
"""It is given up before it was changed: what was done is undone."""
RELEASE = "release"
"""A person lets it out of quarantine: verified, then undone."""

PLANNING = "planning"
"""Its plan is being made."""
WAITS = "planned"
"""It has a plan, and waits for approval or for its start."""
RUNNING = "running"
PAUSED = "paused"
STOPPED = "stopped"
"""By the failure limit, a gate, or a ring of which no host came through."""
ABORTED = "aborted"
FINISHED = "finished"
REPLACED = "replaced"
"""A newer plan took its place before it was started."""
CAMPAIGN_STATES = (PLANNING, WAITS, RUNNING, PAUSED, STOPPED, ABORTED, FINISHED, REPLACED)
ENDED = frozenset({ABORTED, FINISHED, REPLACED})

OK = "ok"
FAILED = "failed"
UNREACHABLE = "unreachable"
"""How a step went on a host, as a run tells it; a host that the run does not tell of: nobody knows."""

TITLE = 80
"""Characters of the name of an emergency, before what tells it from others."""


@dataclass(frozen=True)
class Amount:
    """A number of hosts, or a part of them in percent."""

    number: float
    percent: bool = False

    @classmethod
    def parse(cls, value: object) -> Amount:
        """From 3 or "10%". Raises ValueError that says what was expected."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(value)
        if isinstance(value, str) and value.endswith("%"):
            text = value[:-1].strip()
            if text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit() and float(text) <= 100:
                return cls(float(text), True)
        raise ValueError('a number of hosts, or a part of them as "10%"')

    def at_least_one(self, total: int) -> int:
        """So many of ``total``, a part rounded up, at least one."""
        return max(1, ceil(total * self.number / 100 - 1e-9) if self.percent else int(self.number))

    def at_most(self, total: int) -> int:
        """So many of ``total``, a part rounded down."""
        return floor(total * self.number / 100 + 1e-9) if self.percent else int(self.number)

    def __str__(self) -> str:
        return f"{self.number:g}%" if self.percent else f"{self.number:g}"


@dataclass(frozen=True)
class Ring:
    """Hosts that come before others. One of hosts, percent, count and rest says which."""

    name: str
    hosts: str | None = None
    """A group, host or pattern as Ansible has it."""
    percent: float | None = None
    """Of all hosts of the campaign, rounded up; out of those that no ring by hosts takes."""
    count: int | None = None
    rest: bool = False
    batch: Amount = Amount(10, True)
    """Hosts at a time."""
    soak: float | None = None
    """Seconds that the next ring waits after this one; None: the campaign's."""


@dataclass(frozen=True)
class Together:
    """Hosts of which only one is at work at a time, in an order: a cluster, its standby before its primary."""

    hosts: str
    order: tuple[str, ...] = ()
    """Hosts; or with ``order_by`` values of that variable."""
    order_by: str | None = None
    """A variable of the inventory."""


@dataclass(frozen=True)
class Asked:
    """What an emergency is about: CVEs, or packages."""

    cves: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    """Each with the version that is wanted; "": the newest."""

    def __str__(self) -> str:
        return ", ".join(self.cves or [f"{name} {version}".strip() for name, version in self.packages])


@dataclass(frozen=True)
class Emergency:
    """How an emergency goes through the hosts of a campaign: its rings are short. Durations in seconds."""

    rings: tuple[Ring, ...] = (
        Ring("canary", count=1, batch=Amount(1)),
        Ring("early", percent=10.0, batch=Amount(100, True)),
        Ring("rest", rest=True, batch=Amount(25, True)),
    )
    soak: float = 300.0
    max_failures: Amount | None = None
    """None: the campaign's."""
    ignore_window: bool = False


@dataclass(frozen=True)
class Spec:
    """A campaign as upkeep.yml has it. Durations in seconds."""

    name: str
    playbook: str = "upkeep.maintenance.os_patch"
    description: str = ""
    inventory: tuple[str, ...] = ()
    """Empty: the configuration's."""
    hosts: str = "all"
    rings: tuple[Ring, ...] = (Ring("all", rest=True),)
    one_at_a_time: tuple[Together, ...] = ()
    max_failures: Amount = Amount(0)
    """More hosts than that, and no further batch begins."""
    soak: float = 1800.0
    windows: tuple[str, ...] = ()
    time_zone: str | None = None
    approve: bool = True
    rollback: bool = True
    """Whether a host that fails after its change began is rolled back; else it is quarantined as it is."""
    lost_after: float = 1800.0
    """A host that does not answer for so long, and was at work, is lost."""
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[str, ...] = STEPS
    time_limit: float | None = 4 * 3600.0
    """Of one step's run."""
    locks: tuple[str, ...] = ("changes",)
    asked: Asked | None = None
    """What it is an emergency for; None: it is none."""
    emergency: Emergency = field(default_factory=Emergency, compare=False)
    """How one would go; no part of what is approved, for what follows from it is in the rest."""

    @property
    def title(self) -> str:
        """Under what it is kept: an emergency has a name of its own, so that nothing of it is mixed with others."""
        if self.asked is None:
            return self.name
        first, *more = self.asked.cves or ["=".join(filter(None, one)) for one in self.asked.packages]
        told = f"{self.name}:{first}"
        if more or len(told) > TITLE:
            whole = hashlib.sha256(str(self.asked).encode()).hexdigest()[:6]
            told = f"{told[:TITLE]}+{len(more)}-{whole}"
        return told

    def soak_of(self, ring: int) -> float:
        """Seconds that are waited after a ring."""
        own = self.rings[ring].soak
        return self.soak if own is None else own

    def way(self) -> tuple[str, ...]:
        """The steps of a host, in order."""
        return tuple(step for step in REACHES if step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """As the store keeps it."""
        made = dict(vars(self))
        made["rings"] = [{**vars(ring), "batch": str(ring.batch)} for ring in self.rings]
        made["one_at_a_time"] = [{**vars(one), "order": list(one.order)} for one in self.one_at_a_time]
        made["max_failures"] = str(self.max_failures)
        made["extra_vars"] = dict(self.extra_vars)
        del made["emergency"]
        if self.asked is None:
            del made["asked"]
        else:
            made["asked"] = {"cves": list(self.asked.cves), "packages": [list(one) for one in self.asked.packages]}
        for name in ("inventory", "windows", "steps", "locks"):
            made[name] = list(made[name])
        return made

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Spec:
        """What :meth:`as_json` gave."""

        def amount(text: str) -> Amount:
            return Amount.parse(text if text.endswith("%") else int(text))

        given = {name: value for name, value in kept.items() if name in cls.__dataclass_fields__}
        given["rings"] = tuple(Ring(**{**one, "batch": amount(one["batch"])}) for one in kept["rings"])
        together = (Together(**{**one, "order": tuple(one["order"])}) for one in kept["one_at_a_time"])
        given["one_at_a_time"] = tuple(together)
        given["max_failures"] = amount(kept["max_failures"])
        for name in ("inventory", "windows", "steps", "locks"):
            given[name] = tuple(kept[name])
        asked = kept.get("asked")
        if asked is not None:
            packages = tuple((name, version) for name, version in asked["packages"])
            given["asked"] = Asked(tuple(asked["cves"]), packages)
        return cls(**given)


@dataclass(frozen=True)
class Host:
    """One host of a campaign."""

    name: str
    ring: int | None = None
    """None: it takes no part (no ring has it, it could not be planned, or there is nothing to do)."""
    place: int = 0
    """Its turn within the campaign."""
    cluster: int | None = None
    """Which of ``one_at_a_time`` it is of."""
    plan: str = ""
    """The id of its plan."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What its plan expects: apply, reboot, total."""
    reboot: bool = False
    """Whether its plan needs one."""
    state: str = PLANNED
    way: str = FORWARD
    batch: int | None = None
    """Which batch it is of; None: its turn has not come."""
    why: str = ""
    """Why it is where it is, for people."""
    failed: bool = False
    """Whether it counts against max_failures."""
    applying: bool = False
    """A run that changes it was begun: from then on it is never just given up."""
    verified: bool = False
    """Its service was seen to be well since it was last changed."""
    lost: bool = False
    """It is quarantined since it does not answer."""
    tries: int = 0
    """How often its next step was tried in vain."""
    retry_at: float = 0.0
    silent_since: float | None = None
    undo: frozenset[str] = frozenset()
    """What must still be undone: DRAIN, SNAPSHOT."""
    times: Mapping[str, float] = field(default_factory=dict)
    """When it reached each state."""

    @property
    def settled(self) -> bool:
        """Whether its turn is over."""
        return self.state in SETTLED and self.way != RELEASE

    @property
    def at_work(self) -> bool:
        """Whether it is between its first step and its end."""
        return self.batch is not None and not self.settled


@dataclass(frozen=True)
class RingState:
    """How far a ring is."""

    over: float | None = None
    """When its last host settled."""
    gated: float | None = None
    """When it was seen to be well at the end of its soak."""
    tries: int = 0
    retry_at: float = 0.0


@dataclass(frozen=True)
class Campaign:
    """A campaign as it stands."""

    spec: Spec
    hosts: tuple[Host, ...]
    state: str = WAITS
    ending: str = ""
    """What it becomes when the hosts at work are through: PAUSED, STOPPED, ABORTED; "": it goes on."""
    why: str = ""
    rings: tuple[RingState, ...] = ()
    forgiven: int = 0
    """Failures that a person has seen, and let it go on."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """The longest that each step has taken, in seconds, of all batches so far."""

    @property
    def ring_states(self) -> tuple[RingState, ...]:
        """How far each ring is, also when nothing of it has begun."""
        return self.rings or tuple(RingState() for _ in self.spec.rings)

    @property
    def allowed(self) -> int:
        """How many hosts may fail."""
        return self.spec.max_failures.at_most(sum(host.ring is not None for host in self.hosts))

    @property
    def failures(self) -> int:
        """How many have failed, without those that a person has forgiven."""
        return sum(host.failed for host in self.hosts) - self.forgiven


@dataclass(frozen=True)
class Held:
    """Another campaign has a host: no batch takes it meanwhile, and nobody asks how it is."""

    by: str
    """As part of a sentence: which campaign, and how it has it."""
    stuck: bool = False
    """Whether a person must look before it is let go."""


def digest(spec: Spec, hosts: tuple[Host, ...]) -> str:
    """What stands for all that is approved: the spec, and each host's ring and plan. SHA-256 in hexadecimal."""
    whole = {"spec": spec.as_json(), "hosts": sorted([host.name, host.ring, host.place, host.plan] for host in hosts)}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
