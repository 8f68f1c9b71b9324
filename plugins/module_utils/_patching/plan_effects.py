# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transaction does to a running host: which services restart or should, and whether a reboot comes.

Told from what is installed now. What the scripts of the new versions do is known only when they have run: the restart
of a unit that a package gains, or a /run/reboot-required that only its next version makes, cannot be foretold.
"""

from __future__ import annotations

import fnmatch
import os
import re
from typing import TYPE_CHECKING

from .._applying.order import needs_reboot
from .gather_system import MAPS_LIMIT, unit_of
from .model import Running
from .versions import compare_deb

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from .._host import Host
    from .model import Change, Resolved

CODE = ("/usr/lib", "/usr/bin/", "/usr/sbin/", "/usr/libexec/", "/lib", "/bin/", "/sbin/", "/opt/", "/etc/init.d/")
"""Where programs, libraries and units are: what lies elsewhere is run by nobody."""

_MAPPED_CODE = re.compile(r"^[0-9a-f]+-[0-9a-f]+ ..x\S* \S+ \S+ \d+ +(/.*?)(?: \(deleted\))?$", re.M)

_UNIT_FILE = re.compile(r"^/(?:lib|etc)/systemd/system/([^/]+\.service)$")
_INIT_SCRIPT = re.compile(r"^/etc/init\.d/([^/]+)$")

_RESTARTS = re.compile(r"\$_dh_action|\b(?:try-|reload-or-|force-)?restart\b|mark-restart-system-units")
"""How a maintainer script restarts units: debhelper's variable, systemctl's verbs, rpm's systemd-update-helper."""
_STOPS = re.compile(r"\bstop\b")
_ON_REMOVAL = re.compile(r"""=\s*["']?(?:remove|0)["']?""")

_ASKS_FOR_REBOOT = re.compile(r"notify-reboot-required|/run/reboot-required")

_DEB_KERNEL = re.compile(r"^linux-image-(?:unsigned-)?(\d.*)$")
_RPM_KERNELS = ("kernel", "kernel-core", "kernel-rt", "kernel-rt-core", "kernel-uek", "kernel-uek-core")
_MICROCODE = ("intel-microcode", "amd64-microcode", "microcode_ctl", "linux-firmware", "amd-ucode-firmware")
"""Loaded by the kernel's first steps only."""


def code_path(path: str) -> str:
    """A path as both sides of a merged /usr name it: dpkg lists /lib/… where a process maps /usr/lib/…"""
    return path[4:] if path.startswith(("/usr/lib", "/usr/bin/", "/usr/sbin/")) else path


def gather(host: Host, owned: Mapping[str, str]) -> tuple[list[Running], int]:
    """The processes of units, each with the packages of the transaction that it runs code of; and how many of them
    may not be looked at."""
    running = []
    denied = 0
    own_pids = host.readlink("/proc/self/ns/pid")
    ours = _ourselves(host)
    for name in host.listdir("/proc"):
        if not name.isdigit() or int(name) in ours:
            continue
        unit = "init" if name == "1" else unit_of(host.read("/proc/%s/cgroup" % name, 65536) or "")
        if not unit or unit == "session":
            continue
        if own_pids and host.readlink("/proc/%s/ns/pid" % name) not in (own_pids, None):
            continue  # of a container: it has files of its own
        maps = host.read("/proc/%s/maps" % name, MAPS_LIMIT)
        if maps is None:
            # Gone by now, or somebody else's.
            denied += host.exists("/proc/" + name)
            continue
        paths = set(_MAPPED_CODE.findall(maps))
        # A script is mapped by nobody: its interpreter was given its path.
        words = (host.read("/proc/%s/cmdline" % name, 65536) or "").split("\0")[:4]
        paths.update(word for word in words if word.startswith("/"))
        packages = {owned[path] for path in map(code_path, paths) if path in owned}
        running.append(Running(int(name), unit, packages))
    return running, denied


def _ourselves(host: Host) -> set[int]:
    """This process and those that carry it, up to the one that the service manager started: they end with the task."""
    ours: set[int] = set()
    pid = os.getpid()
    while pid > 1 and pid not in ours:
        fields = (host.read("/proc/%d/stat" % pid, 4096) or "").rpartition(")")[2].split()
        parent = int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0
        if parent == 1:
            break
        ours.add(pid)
        pid = parent
    return ours


def services(resolved: Resolved, running: Iterable[Running], never: Collection[str]) -> list[dict[str, str]]:
    """The units that the transaction concerns, as the plan lists them. ``never``: patterns of those left alone."""
    units: dict[str, set[str]] = {}
    for process in running:
        units.setdefault(process.unit, set()).update(process.packages)
    told = []
    for unit, packages in sorted(units.items()):
        if not unit.endswith(".service") and unit != "init":
            continue
        restarted_by = sorted(name for name, text in resolved.scripts.items() if restarts(text, unit))
        if unit == "init":
            if packages and not restarted_by and not packages & {"systemd"}:
                why = "process 1 runs code of %s: systemctl daemon-reexec, or the next reboot" % _names(packages)
                told.append({"unit": unit, "restart": "never", "why": why})
            continue
        if restarted_by:
            kind, why = "package", "the scripts of %s restart it" % _names(restarted_by)
        elif packages:
            kind, why = "upkeep", "it runs code of %s" % _names(packages)
        else:
            continue
        if needs_reboot(unit) and kind == "upkeep":
            kind, why = "never", why + ": with the reboot"
        elif any(fnmatch.fnmatchcase(unit, pattern) for pattern in never):
            if kind == "package":
                why += ", whatever restart_never says"
            else:
                kind, why = "never", why + ", and restart_never names it: it goes on with the old code"
        told.append({"unit": unit, "restart": kind, "why": why})
    return told


def _names(packages: Iterable[str]) -> str:
    names = sorted(packages)
    return ", ".join(names[:5]) + (" and %d more" % (len(names) - 5) if len(names) > 5 else "")


def restarts(script: str, unit: str) -> bool:
    """Whether maintainer scripts restart a unit when their package is upgraded."""
    stem = unit[: -len(".service")]
    names = {stem, re.sub(r"@.*", "@", stem)}
    lines = script.splitlines()
    for number, line in enumerate(lines):
        words = set(re.findall(r"[\w@.:-]+", line.split("#", 1)[0]))
        if not any(name in words or name + ".service" in words for name in names):
            continue
        if not re.search(r"\b(?:systemctl|service|invoke-rc\.d|deb-systemd-invoke|systemd-update-helper)\b", line):
            continue
        if _RESTARTS.search(line):
            return True
        # Older packages stop their unit in prerm and start it in postinst, unless it is for a removal alone.
        if _STOPS.search(line) and not any(_ON_REMOVAL.search(before) for before in lines[max(0, number - 3) : number]):
            return True
    return False


def reboot_reasons(
    resolved: Resolved, running: Iterable[Running], manager: str, running_kernel: str, notifier: bool
) -> list[str]:
    """Why the transaction makes a reboot necessary, by the rules by which judge.py asks for one afterwards.

    ``notifier``: whether the host has update-notifier's notify-reboot-required, which Debian's packages call.
    """
    reasons = []
    for change in resolved.changes:
        if not change.after:
            continue
        if is_new_kernel(change, manager, running_kernel):
            reasons.append("a kernel is installed: %s %s" % (change.name, change.after))
        elif manager == "dnf" and change.name in resolved.core:
            reasons.append("%s %s is installed" % (change.name, change.after))
        elif change.name in _MICROCODE:
            reasons.append("%s %s is loaded at boot only" % (change.name, change.after))
        else:
            asks = _ASKS_FOR_REBOOT.search(resolved.scripts.get(change.name, ""))
            if asks and (notifier or "notify" not in asks.group()):
                reasons.append("the scripts of %s ask for one" % change.name)
    units: dict[str, set[str]] = {}
    for process in running:
        if not process.packages or not needs_reboot(process.unit):
            continue
        # What its own package restarts has the new code then.
        if not any(restarts(text, process.unit) for text in resolved.scripts.values()):
            units.setdefault(process.unit, set()).update(process.packages)
    if units:
        owners = {name for packages in units.values() for name in packages}
        reasons.append(
            "%s: not restarted under a running system, and runs code of %s" % (_names(units), _names(owners))
        )
    return reasons


def is_new_kernel(change: Change, manager: str, running: str) -> bool:
    if manager == "dnf":
        return change.name in _RPM_KERNELS
    match = _DEB_KERNEL.match(change.name)
    # An older one that is kept beside the running one, and gets a fix, is not the one that boots.
    return match is not None and (not running or compare_deb(match.group(1), running) >= 0)
