# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services after a transaction: who runs replaced code is restarted in order, and seen to stay up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .._patching import gather_system, judge
from . import order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._host import Host
    from .._patching.model import Managed, System

SETTLED_SECONDS = 3.0
"""How long a restarted service must stay up: systemd's first five restarts of a service that dies take 0.1 s each."""
RESTART_TIMEOUT = 180.0
"""Seconds for one restart: systemd's own limits for stopping and starting are 90 s each."""
SSH_UNITS = ("ssh.service", "sshd.service", "ssh.socket", "sshd.socket")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,250}\.(?:service|socket)")
_PROPERTIES = "--property=" + ",".join(
    (
        *("Id", "Names", "LoadState", "ActiveState", "SubState", "Type", "NRestarts", "After", "RefuseManualStop"),
        *("Result", "UnitFileState", "NeedDaemonReload"),
    )
)


def show(host: Host, units: Sequence[str]) -> dict[str, dict[str, str]]:
    """What systemd knows of these units, by each of their names."""
    known: dict[str, dict[str, str]] = {}
    units = [unit for unit in units if _UNIT.fullmatch(unit)]
    for start in range(0, len(units), 200):
        ran = host.run(["systemctl", "show", _PROPERTIES, "--", *units[start : start + 200]], timeout=30)
        for properties in order.parse_show(ran.out):
            for name in properties.get("Names", "").split() or [properties.get("Id", "")]:
                known[name] = properties
    return known


def active(host: Host) -> list[str]:
    """The services that are active."""
    ran = host.run(
        [
            "systemctl",
            "list-units",
            "--type=service",
            "--state=active",
            "--no-legend",
            "--plain",
            "--full",
            "--no-pager",
        ],
        timeout=30,
    )
    return [line.split()[0] for line in ran.out.splitlines() if line.strip() and _UNIT.fullmatch(line.split()[0])]


def sshd_error(host: Host) -> str:
    """Why sshd would not come up again, empty when its configuration is good or no sshd is in use here."""
    program = host.which("sshd")
    if program is None:
        return ""
    known = show(host, SSH_UNITS)
    if known and not any(
        unit.get("ActiveState") == "active" or unit.get("UnitFileState") == "enabled" for unit in known.values()
    ):
        return ""
    # Without its folder for privilege separation, which a socket-activated ssh makes when it starts, -t fails too.
    ran = host.run([program, "-t"], timeout=30)
    if ran.rc == 0 or "Missing privilege separation directory" in ran.err:
        return ""
    return (ran.err.strip() or ran.out.strip() or "sshd -t ended with %s" % ran.rc).splitlines()[0]


class Restarts:
    """What became of the services. ``services``: unit, action (restarted | left | never | failed), why."""

    def __init__(self) -> None:
        self.services: list[dict[str, str]] = []
        self.failed: dict[str, list[str]] = {}
        """Units that did not come up, with what shows it."""
        self.changed = False
        self.reboot: list[str] = []
        """Units that only a reboot brings to the new code."""

    def add(self, unit: str, action: str, why: str) -> None:
        self.services.append({"unit": unit, "action": action, "why": why})


def carry_out(
    host: Host, wanted: bool, never: Sequence[str], watched: Iterable[str], check_mode: bool = False
) -> Restarts:
    """Restart what runs replaced code, and start what was active before and is not any more (``watched``)."""
    did = Restarts()
    outdated, stay, others = order.sort_out(gather_system.gather(host).processes, never)
    for unit, files in sorted(stay.items()):
        why = "it runs replaced code (%s)" % ", ".join(files[:3])
        if order.needs_reboot(unit):
            did.reboot.append(unit)
        did.add(unit, "never", why)
    for other in others:
        did.add(other, "left", "it runs replaced code and belongs to no service")
    known = show(host, [*outdated, *watched])
    if not check_mode and any(properties.get("NeedDaemonReload") == "yes" for properties in known.values()):
        host.run(["systemctl", "daemon-reload"], timeout=90)  # a unit that is started anew starts from its new file
    for unit in order.ordered(outdated, {u: p.get("After", "").split() for u, p in known.items()}):
        why = "it runs replaced code (%s)" % ", ".join(outdated[unit][:3])
        if not wanted:
            did.add(unit, "left", why + "; restart_services is off")
        elif known.get(unit, {}).get("RefuseManualStop") == "yes":
            did.reboot.append(unit)
            did.add(unit, "never", why + "; it refuses to be restarted")
        elif check_mode:
            did.changed = True
            did.add(unit, "restarted", why)
        else:
            _restart(host, did, unit, why)
    if not check_mode:
        restarted = [service["unit"] for service in did.services if service["action"] == "restarted"]
        _watch(host, did, sorted({*watched, *restarted}))
    return did


def _restart(host: Host, did: Restarts, unit: str, why: str) -> None:
    """Restart a unit. That it stays up is seen at the end, of all of them together."""
    if unit in order.SSH:
        error = sshd_error(host)
        if error:
            did.failed[unit] = ["it was not restarted, for sshd -t says: %s" % error]
            did.add(unit, "failed", "sshd -t: %s" % error)
            return
    ran = host.run(["systemctl", "restart", "--", unit], timeout=RESTART_TIMEOUT)
    did.changed = True
    if ran.rc == 0:
        did.add(unit, "restarted", why)
        return
    error = (ran.err.strip() or "systemctl restart ended with %s" % ran.rc).splitlines()[0]
    did.failed[unit] = [error, *journal_of(host, unit)]
    did.add(unit, "failed", error)


def stays_up(host: Host, units: Sequence[str]) -> dict[str, str]:
    """Which of these units are not up, or do not stay up, and how that shows."""
    known = show(host, units)
    restarts = {unit: known.get(unit, {}).get("NRestarts", "") for unit in units}
    until = host.now() + SETTLED_SECONDS
    while host.now() < until:
        host.sleep(0.5)
        known = show(host, units)
    wrong = {}
    for unit in units:
        properties = known.get(unit, {})
        state = properties.get("ActiveState", "unknown")
        if state not in ("active", "reloading") and not (properties.get("Type") == "oneshot" and state == "inactive"):
            wrong[unit] = "it is %s (%s, result: %s)" % (state, properties.get("SubState"), properties.get("Result"))
        elif properties.get("NRestarts", "") != restarts[unit]:
            wrong[unit] = "it keeps dying: systemd restarted it %s times" % properties.get("NRestarts")
    return wrong


def _watch(host: Host, did: Restarts, units: list[str]) -> None:
    """What was restarted, and what of the packages was up before, must be up: apt and dnf say 0 over one that died."""
    units = [unit for unit in units if unit not in did.failed]
    if not units:
        return
    known = show(host, units)
    # A unit that its package does not bring any more has not died.
    wrong = stays_up(host, [unit for unit in units if known.get(unit, {}).get("LoadState") != "not-found"])
    for unit, error in sorted(wrong.items()):
        did.failed[unit] = [error, *journal_of(host, unit)]
        did.services = [service for service in did.services if service["unit"] != unit]
        did.add(unit, "failed", error)


def journal_of(host: Host, unit: str, lines: int = 8) -> list[str]:
    """The last lines that a unit left in the system's journal."""
    ran = host.run(["journalctl", "-q", "--no-pager", "-o", "cat", "-n", str(lines), "-u", unit], timeout=20)
    return [line for line in ran.out.splitlines() if line.strip()][-lines:]


def reboot_reasons(system: System, known: Managed, units: Sequence[str], now: float) -> list[str]:
    """Why a reboot is due, as patch_info judges it, and the units that nothing else brings to the new code. Pure."""
    reasons = judge.reboot_is_due(known, system, now)
    told = " ".join(reasons)
    return reasons + [
        "%s runs replaced code, and is not restarted under a running system" % u for u in units if u not in told
    ]


def worded(services: Sequence[Mapping[str, Any]]) -> list[str]:
    return ["%s: %s (%s)" % (service["unit"], service["action"], service["why"]) for service in services]
