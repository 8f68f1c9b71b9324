# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan of patches holds, in a line of text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACKAGES = 4
"""Packages of a host that the line names; --json has all."""


def line(planned: Mapping[str, Any]) -> str:
    """A host's plan: its packages, security first, and the services that are restarted."""
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
    restarts = f"; restarts {named(units)}" if units else ""
    return f"{count}: {', '.join(change)}{restarts}" if packages else f"no package{restarts}"


def named(names: Sequence[str], most: int = 6) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def reboots(planned: Mapping[str, Any]) -> bool:
    """Whether the plan needs a reboot."""
    reboot = planned.get("reboot")
    return isinstance(reboot, dict) and bool(reboot.get("needed"))
