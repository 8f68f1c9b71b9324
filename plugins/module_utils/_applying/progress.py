# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a plan has come, by the versions on the host; and what is to be done next. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from .journal import Journal

    Installed = Mapping[str, Sequence[str]]
    """"name:arch" to the versions that are installed: rpm can have several of a kernel."""


class DatabaseUnreadable(Exception):  # noqa: N818 - an outcome, told as a finding
    """What is installed cannot be known: why."""


def key(package: Mapping[str, Any]) -> str:
    """How the journal calls a package."""
    return "%s:%s" % (package["name"], package["arch"])


def versions(package: Mapping[str, Any], installed: Installed) -> Sequence[str]:
    """The versions of a package that are installed, also where its architecture became "all" (noarch) or left it."""
    found = installed.get(key(package))
    if found:
        return found
    name, arch = package["name"] + ":", package["arch"]
    others = [other for other in installed if other.startswith(name)]
    if len(others) == 1 and (arch in ("all", "noarch") or others[0][len(name) :] in ("all", "noarch")):
        return installed[others[0]]
    return ()


@dataclass
class Progress:
    """Which packages of a plan are where. The lists hold the plan's own entries."""

    done: list[Mapping[str, Any]] = field(default_factory=list)
    """At the version that the plan wants."""
    left: list[Mapping[str, Any]] = field(default_factory=list)
    """At the version that the plan begins with."""
    strange: list[str] = field(default_factory=list)
    """Neither: one line each, for somebody else was here."""

    @property
    def complete(self) -> bool:
        return not self.left and not self.strange


def measure(plan: Mapping[str, Any], installed: Installed, broken: Container[str] = ()) -> Progress:
    """How far the host is on the way of the plan. What is half done (``broken``: "name:arch") is not done."""
    progress = Progress()
    for package in plan["packages"]:
        now = versions(package, installed)
        if key(package) in broken and (not now or package["from"] in now or package["to"] in now):
            progress.left.append(package)
        elif (package["to"] in now) if package["to"] else not now:
            progress.done.append(package)
        elif (package["from"] in now) if package["from"] else not now:
            progress.left.append(package)
        else:
            wanted = package["from"] or "none"
            progress.strange.append(
                "%s is %s, the plan begins with %s" % (key(package), ", ".join(now) or "not there", wanted)
            )
    return progress


@dataclass
class Return:
    """What the way back has to do. The lists hold the plan's own entries."""

    back: list[Mapping[str, Any]] = field(default_factory=list)
    """As they were."""
    restore: list[Mapping[str, Any]] = field(default_factory=list)
    """To be put back to the version before."""
    remove: list[Mapping[str, Any]] = field(default_factory=list)
    """Were not there before."""
    impossible: list[str] = field(default_factory=list)
    """Whose old package is not to be had."""
    strange: list[str] = field(default_factory=list)
    """Changed by somebody else since, and left alone."""


def measure_return(journal: Journal, installed: Installed, broken: Container[str] = ()) -> Return:
    """What is left of the way back. ``broken``: packages ("name:arch") that the host says are half done."""
    way = Return()
    for package in journal.plan["packages"]:
        now = versions(package, installed)
        before = journal.before.get(key(package), package["from"])
        half = key(package) in broken
        # A kernel stands beside the older one: it is back when the new one is gone.
        kept_beside = package["to"] and package["to"] != before and package["to"] in now
        if not half and not kept_beside and ((before in now) if before else not now):
            way.back.append(package)
        elif not half and now and package["to"] not in now and before not in now:
            way.strange.append(
                "%s is %s: neither %s nor %s" % (key(package), ", ".join(now), before or "none", package["to"])
            )
        elif not before:
            way.remove.append(package)
        elif key(package) in journal.kept or before in now:
            way.restore.append(package)
        else:
            way.impossible.append("%s: there is no package of %s to go back to" % (key(package), before))
    return way


def diff(packages: Sequence[Mapping[str, Any]], reverse: bool = False) -> dict[str, str]:
    """What changes, as Ansible shows it."""
    sides = []
    for side in ("to", "from") if reverse else ("from", "to"):
        lines = sorted("%s %s" % (key(package), package[side] or "(not installed)") for package in packages)
        sides.append("".join(line + "\n" for line in lines))
    return {"before_header": "packages", "after_header": "packages", "before": sides[0], "after": sides[1]}
