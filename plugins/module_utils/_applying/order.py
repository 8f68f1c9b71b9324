# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services are restarted, by whom, and in which order. Pure."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._patching.model import Process

NEVER = (
    # Restarted under a running system they take sessions, logins or the network along (needrestart leaves them too).
    *("dbus.service", "dbus-broker.service", "systemd-logind.service", "user@*.service", "getty@*.service"),
    *("serial-getty@*.service", "console-getty.service", "gdm*.service", "sddm.service", "lightdm.service"),
    *("xdm.service", "display-manager.service", "NetworkManager.service", "networking.service"),
    *("wpa_supplicant.service", "emergency.service", "rescue.service", "init"),
    # It refuses to be stopped by hand (RefuseManualStop).
    "auditd.service",
)
"""Units that are never restarted here: running replaced code they are a reason for a reboot."""
SSH = ("ssh.service", "sshd.service")
OURS = "upkeep-patch-*"


def sort_out(
    processes: Iterable[Process], never: Sequence[str]
) -> tuple[dict[str, list[str]], dict[str, list[str]], list[str]]:
    """Of the processes that run replaced code: units to restart, units that stay, with their files; and what else.

    ``never``: shell patterns of the customer's. What has no unit, or belongs to a session, is told only.
    """
    restart: dict[str, list[str]] = {}
    stay: dict[str, list[str]] = {}
    others: list[str] = []
    for process in processes:
        unit = process.unit
        if fnmatch.fnmatchcase(unit, OURS):
            continue
        if not unit or unit == "session" or (unit != "init" and not unit.endswith(".service")):
            others.append("process %d (%s)" % (process.pid, process.command[:80]))
            continue
        stays = any(fnmatch.fnmatchcase(unit, pattern) for pattern in (*NEVER, *never))
        files = (stay if stays else restart).setdefault(unit, [])
        files += [file for file in process.files if file not in files]
    return restart, stay, others


def needs_reboot(unit: str) -> bool:
    """Whether a unit that runs replaced code is a reason for a reboot, rather than the customer's own wish."""
    return unit != "init" and any(fnmatch.fnmatchcase(unit, pattern) for pattern in NEVER)


def ordered(units: Iterable[str], after: Mapping[str, Iterable[str]]) -> list[str]:
    """Units in the order in which systemd would start them (``after``: each one's After=), sshd at the very end.

    A circle, which systemd itself would cut, is cut at its first name.
    """
    wanted = sorted(set(units))
    done: list[str] = []
    left = [unit for unit in wanted if unit not in SSH]
    while left:
        free = [unit for unit in left if not (set(after.get(unit, ())) & set(left)) - {unit}]
        unit = (free or left)[0]
        left.remove(unit)
        done.append(unit)
    return done + [unit for unit in wanted if unit in SSH]


def parse_show(text: str) -> list[dict[str, str]]:
    """The units of ``systemctl show``: their properties."""
    found = []
    for block in text.strip("\n").split("\n\n"):
        properties = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        if properties:
            found.append(properties)
    return found
