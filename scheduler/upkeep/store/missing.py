# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Since when a host lacks each patch: the history of one host, made of looks at it that may come in any order. Pure.

A look says what was pending at a moment. One whose verdict is not ``unknown`` is *complete*: what it does not name is
not pending. Of any other only what it names is believed. An *episode* of a package is a longest row of looks that name
it, with no complete look between them that does not; it is gone with the first complete look behind it. So all dates
follow from the set of looks, in whatever order they are taken.

What the policy counts from is not the date of an update but of the gap:

- A newer candidate of a package that is still not patched changes no date: the host has lacked the first one all along.
- Each severity has a clock of its own, which starts when that severity was first seen to be missing: a critical fix on
  top of a mild one that has waited for months is not overdue on its first day.
- A package that comes back within BACK_DAYS in the version that it had (a patch was rolled back, a snapshot reverted)
  goes on with its clocks: it was not patched for good.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.versions import compare_deb, compare_evr

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DAY = 86400.0

PATCHED = "patched"
WITHDRAWN = "withdrawn"
"""No longer offered: a repository is gone, or took it back."""
REMOVED = "removed"
NOT_KNOWN = "not_known"
"""It was not looked at for so long that nobody can tell."""
HOWS = (PATCHED, WITHDRAWN, REMOVED, NOT_KNOWN)

SEVERITIES = ("critical", "high", "medium", "low", "unrated")
"""Of security updates, from worst to mildest; ``unrated``: nobody says."""
ORDINARY = "ordinary"
"""The clock of what is no security update."""

VERDICTS = ("compliant", "pending", "unknown")

BACK_DAYS = 30.0
"""Days after which what comes back counts anew."""
TOLD_DAYS = 55.0
"""Days for which a host tells what was installed on it: its own 60 less those that its review may be late."""
WORDS_LIMIT = 60
"""CVEs, and advisories, that are kept of one episode."""
PENDING_LIMIT = 20_000
"""Pending packages of one host: no distribution has more."""
TEXT_LIMIT = 200

Key = tuple[str, str]
"""Name and architecture of a package."""


@dataclass(frozen=True)
class Update:
    """A package that lacks an update, as a look tells it."""

    name: str
    arch: str
    installed: str
    candidate: str
    severity: str
    """One of SEVERITIES, or ORDINARY."""
    cves: tuple[str, ...] = ()
    advisories: tuple[str, ...] = ()
    exploited: bool = False
    published: float | None = None
    left_out: str = ""
    """Why an upgrade would leave it as it is."""
    source: str = ""
    source_version: str = ""


@dataclass(frozen=True)
class Look:
    """What was pending on a host when somebody looked (``at``, by our clock)."""

    at: float
    complete: bool
    pending: Mapping[Key, Update]
    manager: str = ""
    names: frozenset[str] = frozenset()
    """Of what is installed; none: it did not tell."""
    changed: Mapping[Key, tuple[str, float]] = field(default_factory=dict)
    """What was installed lately: its version, and when by the host's clock."""


@dataclass(frozen=True)
class Episode:
    """A package that lacked an update, from the first look to the last that saw it. Times are seconds since the epoch,
    by our clock."""

    name: str
    arch: str
    first_seen: float
    last_seen: float
    installed: str
    """As of the newest look."""
    candidate: str
    clocks: Mapping[str, float]
    """By severity, when that was first missing."""
    cves: tuple[str, ...] = ()
    advisories: tuple[str, ...] = ()
    exploited: bool = False
    published: float | None = None
    left_out: str = ""
    source: str = ""
    source_version: str = ""
    gone_seen: float | None = None
    """The first complete look behind it; None: it is missing still."""
    gone_at: float | None = None
    """When it went: of what was patched, when the host says that it was installed, within the two looks."""
    gone_how: str = ""
    gone_version: str = ""
    id: int | None = None
    """Of its row; None: it has none yet."""

    @property
    def key(self) -> Key:
        return self.name, self.arch

    @property
    def severity(self) -> str:
        """The worst that was missing."""
        return next((severity for severity in SEVERITIES if severity in self.clocks), ORDINARY)

    @property
    def security(self) -> bool:
        """Whether a security update is missing. Once it was, it is, whatever the newest candidate is called."""
        return self.severity != ORDINARY


class UnreadableError(ValueError):
    """What a host told of its patches cannot be read: what was expected, and what was found."""


class History:
    """The episodes of one host, and its complete looks (``looks``: those that matter for what is taken)."""

    def __init__(self, episodes: Iterable[Episode], looks: Iterable[float]) -> None:
        self.looks = sorted(looks)
        self.by_key: dict[Key, list[Episode]] = {}
        for episode in sorted(episodes, key=lambda one: one.first_seen):
            self.by_key.setdefault(episode.key, []).append(episode)

    @property
    def episodes(self) -> list[Episode]:
        return [episode for some in self.by_key.values() for episode in some]

    def take(self, look: Look) -> None:
        """Take over a look; one that was taken already changes nothing."""
        if look.complete:
            at = bisect.bisect_left(self.looks, look.at)
            if at < len(self.looks) and self.looks[at] == look.at:
                return
            for key in list(self.by_key):
                if key not in look.pending:
                    self.by_key[key] = [after for episode in self.by_key[key] for after in self._without(episode, look)]
            self.looks.insert(at, look.at)
        for key, update in look.pending.items():
            self._seen(key, update, look.at)

    def _without(self, episode: Episode, look: Look) -> list[Episode]:
        """An episode behind a complete look that does not name its package."""
        at = look.at
        if at < episode.first_seen or (episode.gone_seen is not None and episode.gone_seen <= at):
            return [episode]
        if at > episode.last_seen:
            return [_gone(episode, look)]
        # Looks on both sides name it: there were two. Their ends are complete looks; more is not known any more.
        middle = bisect.bisect_left(self.looks, at)
        before = [one for one in self.looks[:middle] if one >= episode.first_seen]
        behind = [one for one in self.looks[middle:] if one <= episode.last_seen]
        last, first = (before or [episode.first_seen])[-1], (behind or [episode.last_seen])[0]
        early = {severity: since for severity, since in episode.clocks.items() if since <= last}
        first_part = replace(episode, last_seen=last, clocks=early or dict.fromkeys(episode.clocks, last))
        late = {severity: max(since, first) for severity, since in episode.clocks.items()}
        return [_gone(first_part, look), replace(episode, id=None, first_seen=first, clocks=late)]

    def _seen(self, key: Key, update: Update, at: float) -> None:
        """A look names the package."""
        some = self.by_key.setdefault(key, [])
        for place, episode in enumerate(some):
            if self._joins(episode, at):
                some[place] = _extended(episode, update, at)
                return
        clocks = {update.severity: at}
        before = [one for one in some if one.gone_seen is not None and one.gone_seen <= at]
        if before and at - before[-1].gone_seen <= BACK_DAYS * DAY and before[-1].installed == update.installed:  # type: ignore[operator] # it has one
            clocks = {**clocks, **before[-1].clocks}
        made = Episode(
            name=update.name,
            arch=update.arch,
            first_seen=at,
            last_seen=at,
            installed=update.installed,
            candidate=update.candidate,
            clocks=clocks,
            cves=update.cves,
            advisories=update.advisories,
            exploited=update.exploited,
            published=update.published,
            left_out=update.left_out,
            source=update.source,
            source_version=update.source_version,
        )
        behind = bisect.bisect_right(self.looks, at)
        if behind < len(self.looks):  # a newer look was taken already, which did not name it
            ended = self.looks[behind]
            made = replace(made, gone_seen=ended, gone_at=ended, gone_how=NOT_KNOWN)
        some.append(made)
        some.sort(key=lambda one: one.first_seen)

    def _joins(self, episode: Episode, at: float) -> bool:
        """Whether no complete look without the package lies between a moment at which it was pending and an episode."""
        if at >= episode.first_seen:
            return episode.gone_seen is None or at < episode.gone_seen
        between = bisect.bisect_right(self.looks, at)
        return between == len(self.looks) or self.looks[between] >= episode.first_seen


def _extended(episode: Episode, update: Update, at: float) -> Episode:
    since = min(at, episode.clocks.get(update.severity, at))
    episode = replace(
        episode,
        first_seen=min(episode.first_seen, at),
        last_seen=max(episode.last_seen, at),
        clocks={**episode.clocks, update.severity: since},
        cves=_union(update.cves, episode.cves),
        advisories=_union(update.advisories, episode.advisories),
        exploited=episode.exploited or update.exploited,
        published=min((one for one in (episode.published, update.published) if one is not None), default=None),
    )
    if episode.gone_at is not None:
        episode = replace(episode, gone_at=max(episode.gone_at, episode.last_seen))
    if at < episode.last_seen:
        return episode
    return replace(
        episode,
        installed=update.installed,
        candidate=update.candidate,
        left_out=update.left_out,
        source=update.source,
        source_version=update.source_version,
    )


def _union(new: tuple[str, ...], old: tuple[str, ...]) -> tuple[str, ...]:
    return old if set(new) <= set(old) else tuple(sorted({*new, *old}))[:WORDS_LIMIT]


def _gone(episode: Episode, look: Look) -> Episode:
    """An episode that ends with this look: how it went, as far as the look tells."""
    how, version, at = NOT_KNOWN, "", look.at
    installed = look.changed.get(episode.key) or next(
        (one for (name, _arch), one in look.changed.items() if name == episode.name), None
    )
    if look.names and episode.name not in look.names:
        how = REMOVED
    elif installed is not None and _reaches(installed[0], episode, look.manager):
        how, version = PATCHED, installed[0]
        at = min(max(installed[1], episode.last_seen), look.at)
    elif look.at - episode.last_seen <= TOLD_DAYS * DAY and look.names:
        how = WITHDRAWN
    return replace(episode, gone_seen=look.at, gone_at=at, gone_how=how, gone_version=version)


def _reaches(version: str, episode: Episode, manager: str) -> bool:
    compare = compare_deb if manager == "apt" else compare_evr
    return version == episode.candidate or compare(version, episode.candidate) >= 0


# --- what a host told -------------------------------------------------------------------------------------------------


def verdict_of(data: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The verdict of a state ``patches``, and why it is unknown when it is. Raises UnreadableError."""
    if "dropped" in data:
        return "unknown", [str(data["dropped"])[:TEXT_LIMIT]]
    verdict, why = data.get("verdict"), data.get("why")
    if verdict not in VERDICTS:
        raise UnreadableError(f"verdict is one of {', '.join(VERDICTS)}, this is {str(verdict)[:60]!r}")
    reasons = [str(one)[:TEXT_LIMIT] for one in why[:5]] if isinstance(why, list) else []
    if data.get("truncated"):
        return "unknown", [*reasons, f"{str(data['truncated'])[:20]} more pending packages were not told"]
    return str(verdict), reasons


def look_of(data: Mapping[str, Any], at: float) -> Look:
    """A state ``patches`` as a look. Raises UnreadableError."""
    verdict, _why = verdict_of(data)
    pending: dict[Key, Update] = {}
    for one in _items(data, "pending", PENDING_LIMIT):
        update = _update(one)
        known = pending.get((update.name, update.arch))
        if known is None or known.severity == ORDINARY:  # of several of one name, the fix counts
            pending[update.name, update.arch] = update
    if pending and verdict == "compliant":
        raise UnreadableError("the verdict is compliant, and yet packages are pending")
    names = data.get("names") or []
    if not isinstance(names, list):
        raise UnreadableError(f"names is a list, this is a {type(names).__name__}")
    return Look(
        at=at,
        complete=verdict != "unknown",
        pending=pending,
        manager=_text(data, "manager"),
        names=frozenset(name for name in names if isinstance(name, str)),
        changed={key: (version, when) for key, version, when in _changes(data)},
    )


def _changes(data: Mapping[str, Any]) -> list[tuple[Key, str, float]]:
    """What was installed lately, the oldest first; what has no date says nothing."""
    found = []
    for one in _items(data, "changed", PENDING_LIMIT):
        when = one.get("at")
        if isinstance(when, (int, float)) and not isinstance(when, bool):
            found.append(((_text(one, "name"), _text(one, "arch")), _text(one, "version"), float(when)))
    return sorted(found, key=lambda one: one[2])


def _items(data: Mapping[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    items = data.get(name, [])
    if not isinstance(items, list) or len(items) > most or not all(isinstance(one, dict) for one in items):
        found = f"{len(items)} items" if isinstance(items, list) else f"a {type(items).__name__}"
        raise UnreadableError(f"{name} is a list of at most {most} mappings, this is {found}")
    return items


def _update(one: Mapping[str, Any]) -> Update:
    name = _text(one, "name")
    if not name:
        raise UnreadableError("a pending package has a name, one has none")
    severity = _text(one, "severity") or "unrated"
    if severity not in SEVERITIES:
        raise UnreadableError(f"severity is one of {', '.join(SEVERITIES)} or empty, this is {severity[:60]!r}")
    published = one.get("published")
    is_time = isinstance(published, (int, float)) and not isinstance(published, bool) and 0 <= published < 1e12
    return Update(
        name=name,
        arch=_text(one, "arch"),
        installed=_text(one, "installed"),
        candidate=_text(one, "candidate"),
        severity=severity if one.get("security") is True else ORDINARY,
        cves=_words(one, "cves"),
        advisories=_words(one, "advisories"),
        exploited=one.get("known_exploited") is True,
        published=float(published) if is_time else None,  # type: ignore[arg-type] # a number, then
        left_out=_text(one, "left_out_why"),
        source=_text(one, "source"),
        source_version=_text(one, "source_version"),
    )


def _text(one: Mapping[str, Any], name: str) -> str:
    value = one.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableError(f"{name} is a text, this is a {type(value).__name__}")
    return value[:TEXT_LIMIT]


def _words(one: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = one.get(name) or []
    if not isinstance(values, list):
        raise UnreadableError(f"{name} is a list, this is a {type(values).__name__}")
    return tuple(sorted({value[:TEXT_LIMIT] for value in values if isinstance(value, str)}))[:WORDS_LIMIT]
