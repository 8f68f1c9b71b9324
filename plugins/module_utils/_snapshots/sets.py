# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshots there are, as sets, and what is to be done with them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._findings import clean_line
from .model import Mark, hours, is_ahead, is_old

if TYPE_CHECKING:
    from collections.abc import Iterable

TAKEN, REVERTING, REVERTED, INVALID, BROKEN = "taken", "reverting", "reverted", "invalid", "broken"
"""``reverting``: the next mount, or a reboot, carries it out. ``invalid``: worth nothing any more. ``broken``: taken or
removed by half."""


@dataclass(frozen=True)
class Volume:
    """Something that a snapshot can be taken of."""

    backend: str
    path: str
    """Its mount point."""
    origin: str
    """What it is to its backend; no two volumes of one backend have the same."""
    source: Any = None
    """What the backend itself knows of it."""


@dataclass(frozen=True)
class Member:
    """One snapshot of ours."""

    backend: str
    mark: Mark
    volume: str
    """The mount point that it was taken of."""
    origin: str
    where: str
    """Where it is, for a person and for its backend."""
    state: str
    replaced: str = ""
    why: str = ""
    """Why it is invalid or broken, or what it waits for."""
    source: Any = field(default=None, compare=False)

    @property
    def label(self) -> str:
        return "%s on %s" % (self.mark.name, self.volume)

    def told(self) -> dict[str, Any]:
        return {
            "backend": self.backend, "volume": self.volume, "name": self.mark.name, "created": self.mark.created,
            "where": self.where, "state": self.state, "replaced": self.replaced,
        }  # fmt: skip


@dataclass(frozen=True)
class Set:
    """What was taken together."""

    mark: Mark
    members: tuple[Member, ...]

    @property
    def states(self) -> set[str]:
        return {member.state for member in self.members}

    @property
    def whole(self) -> bool:
        return len(self.members) == self.mark.members and BROKEN not in self.states

    def why(self) -> str:
        """Why it is not whole, or not usable."""
        if not self.whole:
            return "only %d of its %d snapshots are there" % (
                sum(member.state != BROKEN for member in self.members),
                self.mark.members,
            )
        return "; ".join("%s: %s" % (member.volume, member.why) for member in self.members if member.why)


def sets_of(members: Iterable[Member]) -> list[Set]:
    """The sets, the newest first."""
    found: dict[Mark, list[Member]] = {}
    for member in members:
        found.setdefault(member.mark, []).append(member)
    made = [Set(mark, tuple(sorted(group, key=lambda one: one.volume))) for mark, group in found.items()]
    return sorted(made, key=lambda one: (-one.mark.created, one.mark))


@dataclass
class Decision:
    """What is to be done."""

    keep: Set | None = None
    """The set that is there already and shall be: to be kept, or to be reverted to."""
    take: bool = False
    remove: list[tuple[Member, str]] = field(default_factory=list)
    """What goes, each with why."""
    ahead: list[Member] = field(default_factory=list)
    """Of other names, whose age is not known."""
    refused: str = ""
    remedy: str = ""


def decide(state: str, name: str, sets: Iterable[Set], volumes: Iterable[Volume], now: float, max_age: int) -> Decision:
    """What state ``present``, ``absent`` or ``reverted`` asks for.

    ``max_age`` is in hours. Of what a reboot is about to revert nothing is touched.
    """
    sets = list(sets)
    mine = [one for one in sets if one.mark.name == name]
    if state == "reverted":
        return _revert(name, mine, now, max_age)
    decision = Decision()
    for one in sets:
        if one.mark.name != name:
            if is_ahead(one.mark, now) and max_age:
                decision.ahead += one.members
            elif is_old(one.mark, now, max_age):
                decision.remove += [(member, "it is too old") for member in one.members]
    if state == "absent":
        decision.remove += [(member, "") for one in mine for member in one.members]
        return decision
    waiting = [member for one in mine for member in one.members if member.state == REVERTING]
    if waiting:
        decision.refused = "%s is about to be reverted: %s" % (waiting[0].volume, waiting[0].why)
        decision.remedy = "Reboot the host, and then take the snapshot."
        return decision
    wanted = {(volume.backend, volume.origin) for volume in volumes}
    for one in mine:
        why = "there is a newer one"
        if is_old(one.mark, now, max_age):
            why = "it is too old"
        elif not one.whole:
            why = "it is not whole"
        elif REVERTED in one.states:
            why = "it is used up: it was reverted to"
        elif decision.keep is None:
            decision.keep = one
            continue
        decision.remove += [(member, why) for member in one.members]
    decision.take = decision.keep is None
    if decision.keep is not None:
        have = {(member.backend, member.origin) for member in decision.keep.members}
        lacks = sorted(volume.path for volume in volumes if (volume.backend, volume.origin) not in have)
        if INVALID in decision.keep.states:
            decision.refused = "the snapshot %s is there and worth nothing: %s" % (name, decision.keep.why())
            decision.remedy = "What was there before is lost: remove it (state absent), and take a new one."
        elif lacks and wanted:
            decision.refused = "the snapshot %s is there, and is not one of %s" % (name, ", ".join(lacks))
            decision.remedy = "Remove it first (state absent), or give another name."
    return decision


def _revert(name: str, mine: list[Set], now: float, max_age: int) -> Decision:
    if not mine:
        return Decision(
            refused="there is no snapshot %s" % name, remedy="See those that there are: state absent, in check mode."
        )
    # A half-removed older set beside the newest is of no importance here.
    newest = mine[0]
    if not newest.whole:
        return Decision(
            refused="the snapshot %s is not whole: %s" % (name, newest.why()),
            remedy="Volumes of different times do not fit together: put the packages back instead (patch_rollback).",
        )
    if INVALID in newest.states:
        return Decision(
            refused="the snapshot %s is worth nothing: %s" % (name, newest.why()),
            remedy="Put the packages back instead (patch_rollback), or restore a backup.",
        )
    if newest.states == {TAKEN} and is_old(newest.mark, now, max_age):
        return Decision(
            refused="the snapshot %s is %s old, and older than max_age_hours" % (name, hours(newest.mark, now)),
            remedy="All that was written since would be gone. To go back all the same: max_age_hours 0.",
        )
    return Decision(keep=newest)


def shown(members: Iterable[Member], before: Iterable[Member] | None = None) -> str:
    """Snapshots, a line each, for a diff; those that were not there before are new, in check mode as in the run."""
    known = None if before is None else {(one.mark, one.volume) for one in before}
    return "".join(
        sorted(
            "%s %s %s %s: %s\n"
            % (one.backend, clean_line(one.volume, 200), one.mark.name,
               "at %d" % one.mark.created if known is None or (one.mark, one.volume) in known else "(new)",
               REVERTED if one.state == REVERTING else one.state)
            for one in members
        )
    )  # fmt: skip
