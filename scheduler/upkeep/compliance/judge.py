# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether hosts keep the policy, and how long they took to be patched. Pure.

A host is, in this order:

``overdue``     it lacks a patch for longer than the policy's days: true until it is seen to have it
``not_known``   it was never looked at, or not for long, or never with a verdict other than unknown
``within``      it lacks patches, all of them for fewer days than allowed
``excepted``    it lacks patches, and an exception stands for each
``compliant``   it lacks none

The last three keep the policy. What is not known is never counted among them.
"""

from __future__ import annotations

import fnmatch
import math
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

from ..store.missing import NOT_KNOWN as HOW_NOT_KNOWN
from ..store.missing import ORDINARY, PATCHED, SEVERITIES
from .settings import DAY, KNOWN_EXPLOITED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from ..store.missing import Episode
    from ..store.pending import HostLook
    from .settings import Excepted, Scope, Settings

OVERDUE = "overdue"
NOT_KNOWN = "not_known"
WITHIN = "within"
EXCEPTED = "excepted"
COMPLIANT = "compliant"
STATES = (OVERDUE, NOT_KNOWN, WITHIN, EXCEPTED, COMPLIANT)
KEPT = (WITHIN, EXCEPTED, COMPLIANT)
"""The states in which a host keeps the policy."""


@dataclass(frozen=True)
class Patch:
    """A missing patch, judged. Times are seconds since the epoch, ages and limits in days."""

    name: str
    arch: str
    installed: str
    candidate: str
    severity: str
    """known_exploited | critical | high | medium | low | unrated | ordinary: by which the limit was the nearest."""
    since: float
    age_days: float
    allowed_days: float | None
    """None: it may be missing for as long as it likes."""
    due: float | None
    state: str
    """overdue | within | excepted."""
    cves: tuple[str, ...]
    left_out: str
    excepted_until: float | None = None


@dataclass(frozen=True)
class Host:
    """A host, judged."""

    name: str
    groups: tuple[str, ...]
    state: str
    why: str
    """Of one that is not known."""
    looked: float | None
    known: float | None
    missing: tuple[Patch, ...]
    """Worst first: what is most overdue, or due next."""

    @property
    def oldest(self) -> Patch | None:
        """The patch that is missing for longest, of those that are not excepted."""
        return max(
            (patch for patch in self.missing if patch.state != EXCEPTED), key=lambda one: one.age_days, default=None
        )

    @property
    def overdue(self) -> tuple[Patch, ...]:
        return tuple(patch for patch in self.missing if patch.state == OVERDUE)


@dataclass(frozen=True)
class Took:
    """How long patching took, in days."""

    severity: str
    """"" for all."""
    patched: int
    median: float
    p90: float
    """Nine of ten took at most so long (nearest rank)."""
    worst: float
    late: int
    """How many took longer than allowed."""


@dataclass(frozen=True)
class Point:
    """How things stood at a moment, by today's policy."""

    at: float
    hosts: int
    """That were looked at until then."""
    known: int
    kept: int
    """Known, and not overdue."""
    oldest_days: float | None
    """Age of the oldest missing security patch that was not excepted."""
    patched: int
    """Since the point before."""
    median_days: float | None
    """That these took."""


@dataclass(frozen=True)
class Group:
    """The hosts of a group."""

    name: str
    hosts: Mapping[str, int]
    """By state."""
    oldest: Patch | None
    oldest_host: str = ""
    median_days: float | None = None
    """Time to patch."""


@dataclass(frozen=True)
class ExceptionState:
    """An exception of the policy, and what it does now."""

    exception: Excepted
    state: str
    """stands | ends soon | expired."""
    patches: int
    """Missing patches that it holds for (or would, had it not expired)."""
    hosts: int


@dataclass
class Report:
    """All of it."""

    at: float
    since: float
    hosts: list[Host] = field(default_factory=list)
    took: list[Took] = field(default_factory=list)
    went: dict[str, int] = field(default_factory=dict)
    """Missing security patches that went since then, by how."""
    groups: list[Group] = field(default_factory=list)
    exceptions: list[ExceptionState] = field(default_factory=list)
    trend: list[Point] = field(default_factory=list)
    left_out: int = 0
    """Hosts that were looked at once, and are in no inventory any more."""

    def counts(self) -> dict[str, int]:
        """Hosts by state, all named."""
        return {state: sum(host.state == state for host in self.hosts) for state in STATES}


def fits(scope: Scope, host: str, groups: Collection[str]) -> bool:
    """Whether a host is one of those."""
    if not scope.groups and not scope.hosts:
        return True
    return any(name in groups for name in scope.groups) or any(fnmatch.fnmatchcase(host, p) for p in scope.hosts)


def limits(policy: Settings, host: str, groups: Collection[str]) -> Mapping[str, float | None]:
    """The policy's days for a host."""
    return next((rule.days for rule in policy.rules if fits(rule.scope, host, groups)), policy.days)


def due(episode: Episode, days: Mapping[str, float | None], exploited_since: float | None) -> tuple[float, str, float]:
    """When an episode is overdue (infinity: never), by which of its clocks, and since when that runs.

    Of several clocks the one that ends first counts. What is known to be exploited counts from when both it was missing
    and that was known.
    """
    ends = []
    for severity, since in episode.clocks.items():
        if severity != ORDINARY or not episode.security:
            ends.append((_end(since, days.get(severity)), severity, since))
    if episode.security and (episode.exploited or exploited_since is not None):
        first = min(since for severity, since in episode.clocks.items() if severity != ORDINARY)
        begins = max(first, exploited_since or first)
        ends.append((_end(begins, days.get(KNOWN_EXPLOITED)), KNOWN_EXPLOITED, begins))
    return min(ends, key=lambda one: (one[0], _rank(one[1])))


def _end(since: float, days: float | None) -> float:
    return math.inf if days is None else since + days * DAY


def _rank(severity: str) -> int:
    order = (KNOWN_EXPLOITED, *SEVERITIES, ORDINARY)
    return order.index(severity) if severity in order else len(order)


def exception_for(exceptions: Iterable[Excepted], episode: Episode) -> Excepted | None:
    """The exception that holds for an episode, of those for its host, the one that ends last."""
    found = []
    cves: dict[str, Excepted] = {}
    for one in exceptions:
        if any(fnmatch.fnmatchcase(episode.name, pattern) for pattern in one.packages):
            found.append(one)
        for cve in one.cves:
            if cve not in cves or cves[cve].until < one.until:
                cves[cve] = one
    # A patch that is for other vulnerabilities, too, or for nobody knows which, is missing all the same.
    if episode.cves and all(cve in cves for cve in episode.cves):
        found.append(min((cves[cve] for cve in episode.cves), key=lambda one: one.until))
    return max(found, key=lambda one: one.until, default=None)


def judged(
    policy: Settings,
    now: float,
    hosts: Mapping[str, HostLook],
    missing: Mapping[str, Sequence[Episode]],
    groups: Mapping[str, Collection[str]] | None,
    exploited: Mapping[str, float],
) -> list[Host]:
    """Each host of the inventory (``groups``: of each host; None: it is not known, then each that was looked at).

    ``missing``: episodes that are open, by host. ``exploited``: since when CVEs are known to be exploited.
    """
    found = []
    for name in sorted(hosts if groups is None else groups):
        of_host = () if groups is None else groups[name]
        days = limits(policy, name, of_host)
        standing = [one for one in policy.exceptions if fits(one.scope, name, of_host) and one.until > now]
        patches = []
        for episode in missing.get(name, ()):
            patch = _patch(episode, days, exploited, now)
            excepted = exception_for(standing, episode)
            if excepted is not None:
                patch = replace(patch, state=EXCEPTED, excepted_until=excepted.until)
            patches.append(patch)
        patches.sort(key=_urgency)
        state, why = _state(policy, hosts.get(name), patches, now)
        look = hosts.get(name)
        found.append(
            Host(
                name,
                tuple(sorted(of_host)),
                state,
                why,
                None if look is None else look.looked,
                None if look is None else look.known,
                tuple(patches),
            )
        )
    return found


def _patch(episode: Episode, days: Mapping[str, float | None], exploited: Mapping[str, float], now: float) -> Patch:
    since_known = min((exploited[cve] for cve in episode.cves if cve in exploited), default=None)
    ends, severity, since = due(episode, days, since_known)
    return Patch(
        name=episode.name,
        arch=episode.arch,
        installed=episode.installed,
        candidate=episode.candidate,
        severity=severity,
        since=since,
        age_days=max(0.0, now - since) / DAY,
        allowed_days=days.get(severity),
        due=None if math.isinf(ends) else ends,
        state=OVERDUE if ends < now else WITHIN,
        cves=episode.cves,
        left_out=episode.left_out,
    )


def _urgency(patch: Patch) -> tuple[int, float, int, str]:
    """What is overdue for longest first, then what is due next."""
    return (OVERDUE, WITHIN, EXCEPTED).index(patch.state), patch.due or math.inf, _rank(patch.severity), patch.name


def _state(policy: Settings, look: HostLook | None, patches: Sequence[Patch], now: float) -> tuple[str, str]:
    why = ""
    if look is None:
        why = "it was never looked at"
    elif look.known is None:
        why = look.why[0] if look.why else "its verdict was never anything but unknown"
    elif now - look.known > policy.not_known_after:
        days = f"{(now - look.known) / DAY:.0f} days"
        reason = f"its verdict is unknown for {days}: {look.why[0]}" if look.why else ""
        why = reason or f"it was not looked at for {days}"
    if any(patch.state == OVERDUE for patch in patches):
        return OVERDUE, why
    if why:
        return NOT_KNOWN, why
    if not patches:
        return COMPLIANT, ""
    return (EXCEPTED if all(patch.state == EXCEPTED for patch in patches) else WITHIN), ""


# --- exceptions -------------------------------------------------------------------------------------------------------


def exceptions(
    policy: Settings,
    now: float,
    names: Iterable[str],
    missing: Mapping[str, Sequence[Episode]],
    groups: Mapping[str, Collection[str]] | None,
) -> list[ExceptionState]:
    """What the exceptions do, in the order of the file."""
    found = []
    all_names = list(names)
    for one in policy.exceptions:
        state = "expired" if one.until <= now else "ends soon" if one.until - now <= policy.warn_before else "stands"
        patches, hosts = 0, 0
        for name in all_names:
            if fits(one.scope, name, (groups or {}).get(name, ())):
                count = sum(exception_for([one], episode) is not None for episode in missing.get(name, ()))
                patches, hosts = patches + count, hosts + (count > 0)
        found.append(ExceptionState(one, state, patches, hosts))
    return found


# --- how long it took -------------------------------------------------------------------------------------------------


def took(
    policy: Settings,
    gone: Mapping[str, Sequence[Episode]],
    groups: Mapping[str, Collection[str]] | None,
    exploited: Mapping[str, float],
) -> list[Took]:
    """How long the patches took that came, over all and by severity (the worst that was missing)."""
    rows: dict[str, list[tuple[float, bool]]] = {}
    for name, some in gone.items():
        days = limits(policy, name, (groups or {}).get(name, ()))
        for episode in some:
            if episode.gone_how != PATCHED or episode.gone_at is None:
                continue
            since_known = min((exploited[cve] for cve in episode.cves if cve in exploited), default=None)
            late = due(episode, days, since_known)[0] < episode.gone_at
            for severity in ("", episode.severity):
                rows.setdefault(severity, []).append((days_of(episode), late))
    return [_took(severity, rows[severity]) for severity in ("", *SEVERITIES, ORDINARY) if severity in rows]


def days_of(episode: Episode) -> float:
    """Days from when it was first missing until it was patched."""
    since = min(since for severity, since in episode.clocks.items() if severity != ORDINARY or not episode.security)
    return max(0.0, (episode.gone_at or since) - since) / DAY


def _took(severity: str, rows: Sequence[tuple[float, bool]]) -> Took:
    days = sorted(day for day, _late in rows)
    rank = math.ceil(0.9 * len(days)) - 1
    return Took(severity, len(days), median(days), days[rank], days[-1], sum(late for _day, late in rows))


def went(gone: Mapping[str, Sequence[Episode]]) -> dict[str, int]:
    """Episodes that ended, by how."""
    found: dict[str, int] = {}
    for some in gone.values():
        for episode in some:
            how = episode.gone_how or HOW_NOT_KNOWN
            found[how] = found.get(how, 0) + 1
    return found


def by_group(hosts: Sequence[Host], gone: Mapping[str, Sequence[Episode]]) -> list[Group]:
    """The hosts of each group, those with what is most overdue first; a host may be in several."""
    members: dict[str, list[Host]] = {}
    for host in hosts:
        for name in host.groups or ("(no group)",):
            members.setdefault(name, []).append(host)
    found = []
    for name, some in members.items():
        oldest, of_host = None, ""
        for host in some:
            if host.oldest and (oldest is None or host.oldest.age_days > oldest.age_days):
                oldest, of_host = host.oldest, host.name
        days = [days_of(e) for host in some for e in gone.get(host.name, ()) if e.gone_how == PATCHED]
        counts = {state: sum(host.state == state for host in some) for state in STATES}
        found.append(Group(name, counts, oldest, of_host, median(days) if days else None))
    return sorted(found, key=lambda one: (-one.hosts[OVERDUE], -one.hosts[NOT_KNOWN], one.name))


# --- over time --------------------------------------------------------------------------------------------------------


def trend(
    policy: Settings,
    moments: Sequence[float],
    names: Iterable[str],
    looks: Mapping[str, Sequence[float]],
    episodes: Mapping[str, Sequence[Episode]],
    groups: Mapping[str, Collection[str]] | None,
    exploited: Mapping[str, float],
) -> list[Point]:
    """How things stood at some moments (oldest first), by today's policy, its exceptions and limits.

    ``looks``: when hosts were looked at with a verdict other than unknown; ``episodes``: open ones and those that went.
    """
    size = len(moments)
    hosts, known, kept = [0] * size, [0] * size, [0] * size
    oldest: list[float | None] = [None] * size
    patched: list[list[float]] = [[] for _ in moments]
    for name in names:
        of_host = (groups or {}).get(name, ())
        days = limits(policy, name, of_host)
        mine = [one for one in policy.exceptions if fits(one.scope, name, of_host)]
        rows = [_course(episode, days, exploited, mine) for episode in episodes.get(name, ())]
        seen = looks.get(name, ())
        for place, at in enumerate(moments):
            before = [look for look in seen if look <= at]
            if not before:
                continue
            hosts[place] += 1
            is_known = at - before[-1] <= policy.not_known_after
            late = False
            for first, ends, gone, excepted in rows:
                if first <= at < gone and not (at < excepted):
                    late = late or ends < at
                    oldest[place] = max(oldest[place] or 0.0, at - first)
            known[place] += is_known
            kept[place] += is_known and not late
        for episode in episodes.get(name, ()):
            if episode.gone_how == PATCHED and episode.gone_at is not None:
                into = next((place for place, at in enumerate(moments) if episode.gone_at <= at), None)
                if into is not None and (into > 0 or size == 1 or episode.gone_at > 2 * moments[0] - moments[1]):
                    patched[into].append(days_of(episode))
    return [
        Point(
            at,
            hosts[place],
            known[place],
            kept[place],
            None if oldest[place] is None else (oldest[place] or 0.0) / DAY,
            len(patched[place]),
            median(patched[place]) if patched[place] else None,
        )
        for place, at in enumerate(moments)
    ]


def _course(
    episode: Episode, days: Mapping[str, float | None], exploited: Mapping[str, float], mine: Sequence[Excepted]
) -> tuple[float, float, float, float]:
    """When an episode began, was overdue, ended, and until when it was excepted."""
    since_known = min((exploited[cve] for cve in episode.cves if cve in exploited), default=None)
    excepted = exception_for(mine, episode)
    first = min(since for severity, since in episode.clocks.items() if severity != ORDINARY or not episode.security)
    gone = math.inf if episode.gone_at is None else episode.gone_at
    return first, due(episode, days, since_known)[0], gone, excepted.until if excepted else -math.inf


def moments(since: float, now: float) -> list[float]:
    """When to look for a trend: each week, or each month (30 days) when that is more than 16 points; now the last."""
    step = 7 * DAY if now - since <= 16 * 7 * DAY else 30 * DAY
    count = max(1, math.ceil((now - since) / step))
    return [now - step * back for back in range(count, -1, -1)]
