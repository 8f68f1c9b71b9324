# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of PostgreSQL as Patroni tells it, and who shall lead it. Pure.

Source: Patroni's documentation of its REST API, ``GET /cluster``, of versions 2.1 to 4.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, NamedTuple, Tuple

from .._findings import clean_line
from .outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEADERS = ("leader", "standby_leader", "master", "primary")
_SYNCHRONOUS = ("sync_standby", "quorum_standby")
_UP = ("running", "streaming")
"""A replica that follows is ``running`` before Patroni 3.1, and ``streaming`` since then."""


class Member(NamedTuple):
    """One member."""

    name: str
    role: str
    state: str
    lag: int | None
    """Bytes that it is behind the leader; None for the leader, and where it is not known."""
    timeline: int
    may_lead: bool
    priority: int
    """The higher, the rather it leads (tag failover_priority of 3.3 and later)."""
    cascades: bool
    """It follows another replica."""

    @property
    def leads(self) -> bool:
        return self.role in _LEADERS

    @property
    def up(self) -> bool:
        return self.state in _UP

    @property
    def synchronous(self) -> bool:
        return self.role in _SYNCHRONOUS


class Cluster(NamedTuple):
    """All members, as one of them told."""

    scope: str
    members: Tuple[Member, ...]
    paused: bool

    def member(self, name: str) -> Member | None:
        return next((one for one in self.members if one.name == name), None)

    @property
    def leader(self) -> Member | None:
        return next((one for one in self.members if one.leads), None)


def cluster_of(told: Any) -> Cluster:
    """What ``GET /cluster`` answered. Raises :class:`Failed`."""
    try:
        members = tuple(_member(one) for one in told["members"])
        return Cluster(clean_line(told.get("scope") or "", 100), members, bool(told.get("pause")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Failed(
            "a cluster was expected: %s" % clean_line(repr(error), 160), "Are urls those of Patroni's REST API?"
        ) from None


def _member(told: Mapping[str, Any]) -> Member:
    lag, tags = told.get("lag"), told.get("tags") or {}
    priority = int(tags.get("failover_priority", 1))
    return Member(
        clean_line(told["name"], 100), clean_line(told["role"], 40), clean_line(told.get("state") or "unknown", 40),
        lag if isinstance(lag, int) else None, int(told.get("timeline") or 0),
        may_lead=not tags.get("nofailover") and priority > 0, priority=priority,
        cascades=bool(tags.get("replicatefrom")),
    )  # fmt: skip


def behind(member: Member, max_lag: int) -> str:
    """Why it is not where the leader is, or empty."""
    if not member.up:
        return "%s is %s" % (member.name, member.state)
    if member.lag is None:
        return "how far %s is behind is not known" % member.name
    if member.lag > max_lag:
        return "%s is %d bytes behind, more than max_lag (%d)" % (member.name, member.lag, max_lag)
    return ""


def candidates(cluster: Cluster, max_lag: int) -> tuple[List[str], List[str]]:
    """Who may take the lead, the best first; and why the others may not.

    Where there are synchronous standbys, Patroni takes none but these.
    """
    synchronous = any(one.synchronous for one in cluster.members)
    good, why = [], []
    for one in cluster.members:
        if one.leads:
            continue
        reason = behind(one, max_lag)
        if not one.may_lead:
            reason = "%s must not lead, by its tags" % one.name
        elif synchronous and not one.synchronous:
            reason = "%s is not synchronous" % one.name
        if reason:
            why.append(reason)
        else:
            good.append(one)
    good.sort(key=lambda one: (-one.priority, one.lag, one.name))
    return [one.name for one in good], why


def streaming_from(told: Any) -> List[str] | None:
    """Who streams from the member whose ``GET /patroni`` this is; None when it does not lead, or does not say."""
    if not isinstance(told, dict) or told.get("role") not in _LEADERS or not isinstance(told.get("replication"), list):
        return None
    return [
        str(one.get("application_name"))
        for one in told["replication"]
        if isinstance(one, dict) and one.get("state") == "streaming"
    ]
