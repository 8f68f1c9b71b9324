# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section ``compliance`` of upkeep.yml, as the rest uses it. Imports nothing heavy: it is part of every
configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY = 86400.0

KNOWN_EXPLOITED = "known_exploited"
KINDS = (KNOWN_EXPLOITED, "critical", "high", "medium", "low", "unrated", "ordinary")
"""For which the policy may have days, from what is most urgent: a CVE that is known to be exploited, the severities of
security updates (``unrated``: nobody says), and updates that are no security fix."""

DAYS: Mapping[str, float | None] = {
    KNOWN_EXPLOITED: 14.0,
    "critical": 15.0,
    "high": 30.0,
    "medium": 90.0,
    "low": 90.0,
    "unrated": 30.0,
    "ordinary": None,
}
"""Days that a patch may be missing; None: for as long as it likes.

- known exploited, two weeks: CISA, Binding Operational Directive 22-01
- critical 15 and high 30 days from the day that it was found missing: CISA, Binding Operational Directive 19-02
- others, three months: PCI DSS 4.0, requirement 6.3.3, its example of an appropriate time
- what nobody rates may be high.
"""


@dataclass(frozen=True)
class Scope:
    """Some hosts: those of these groups, and those whose name one of these shell patterns fits. Both empty: all."""

    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join([*(f"group {name}" for name in self.groups), *self.hosts]) or "all hosts"


@dataclass(frozen=True)
class Rule:
    """Days of its own for some hosts; what it does not name is as for all."""

    scope: Scope
    days: Mapping[str, float | None]


@dataclass(frozen=True)
class Excepted:
    """Patches that may be missing on some hosts until a day."""

    scope: Scope
    packages: tuple[str, ...]
    """Shell patterns of names."""
    cves: tuple[str, ...]
    """A patch is excepted by these when it is for no other."""
    reason: str
    until: float
    """Seconds since the epoch: the end of its last day."""

    def __str__(self) -> str:
        return f"{', '.join((*self.packages, *self.cves))} on {self.scope}"


@dataclass(frozen=True)
class Settings:
    """The policy."""

    days: Mapping[str, float | None] = field(default_factory=lambda: dict(DAYS))
    rules: tuple[Rule, ...] = ()
    """The first one that fits a host is its rule."""
    exceptions: tuple[Excepted, ...] = ()
    leave_out: Scope | None = None
    """Hosts for which there is no policy, as they are patched by other means."""
    not_known_after: float = 14 * DAY
    """Seconds after the last look at a host after which it is not known any more: two weekly reviews."""
    warn_before: float = 14 * DAY
    """Seconds before the end of an exception from which on that is told."""
    vulnerability_data: str | None = None
    """A folder with mirrored data, as patch_plan's: ratings, CVEs of Debian's packages, known exploitation."""

    @property
    def needs_groups(self) -> bool:
        """Whether it cannot be judged without the inventory."""
        scopes = [
            *([self.leave_out] if self.leave_out else []),
            *(rule.scope for rule in self.rules),
            *(one.scope for one in self.exceptions),
        ]
        return any(scope.groups for scope in scopes)

    @property
    def ordinary(self) -> bool:
        """Whether updates that are no security fix have a limit anywhere."""
        return any(days.get("ordinary") is not None for days in (self.days, *(rule.days for rule in self.rules)))
