# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan of patches holds, in a line of text. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACKAGES = 4
"""Packages of a host that the line names; --json has all."""


def line(planned: Mapping[str, Any]) -> str:
    """A host's plan: its packages, security first, and the services that need a restart."""
    packages = [one for one in planned.get("packages") or () if isinstance(one, dict)]
    security = sum(bool(one.get("security")) for one in packages)
    asked = sorted(packages, key=lambda one: (not one.get("security"), not one.get("asked"), str(one.get("name"))))
    change = [
        f"{one.get('name')} {one.get('from') or 'new'} → {one.get('to') or 'removed'}" for one in asked[:PACKAGES]
    ]
    if len(packages) > PACKAGES:
        change.append(f"and {len(packages) - PACKAGES} more")
    count = f"{len(packages)} package" + ("" if len(packages) == 1 else "s")
    count += f" ({security} security)" if security else ""
    services = [one for one in planned.get("services") or () if isinstance(one, dict)]
    units = [str(one.get("unit")) for one in services if one.get("restart") != "never"]
    restarts = f"; restarts needed: {named(units)}" if units else ""
    return f"{count}: {', '.join(change)}{restarts}" if packages else f"no package{restarts}"


@dataclass(frozen=True)
class Change:
    """What becomes of a package; "" where it is new, or removed."""

    name: str
    old: str
    new: str
    security: bool


def count(planned: Mapping[str, Any]) -> str:
    """How many packages a plan changes: "3 (2 security)", "-"."""
    packages = [one for one in planned.get("packages") or () if isinstance(one, dict)]
    security = sum(bool(one.get("security")) for one in packages)
    return (str(len(packages)) if packages else "-") + (f" ({security} security)" if security else "")


def changes(planned: Mapping[str, Mapping[str, Any]]) -> list[tuple[Change, list[str]]]:
    """Each change of some hosts' plans once, and the hosts that it is for: security first, then by its name."""
    found: dict[Change, list[str]] = {}
    for host, plan in planned.items():
        for one in plan.get("packages") or ():
            if isinstance(one, dict):
                name, old, new = (str(one.get(key) or "") for key in ("name", "from", "to"))
                hosts = found.setdefault(Change(name, old, new, bool(one.get("security"))), [])
                if host not in hosts:  # the same of two architectures
                    hosts.append(host)
    return sorted(found.items(), key=lambda pair: (not pair[0].security, pair[0].name, pair[0].old, pair[0].new))


def restarts(planned: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The services that need a restart by some hosts' plans, and on which hosts."""
    found: dict[str, list[str]] = {}
    for host, plan in planned.items():
        for one in plan.get("services") or ():
            if isinstance(one, dict) and one.get("restart") != "never":
                found.setdefault(str(one.get("unit")), []).append(host)
    return dict(sorted(found.items()))


def named(names: Sequence[str], most: int = 6) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def reboots(planned: Mapping[str, Any]) -> bool:
    """Whether the plan needs a reboot."""
    reboot = planned.get("reboot")
    return isinstance(reboot, dict) and bool(reboot.get("needed"))
