# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine itself knows: release, boot, reboot flag, kernel, and who still runs code that was replaced.

Files only, no process is started.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._host import AS_ROOT
from .model import Problem, Process, System

if TYPE_CHECKING:
    from .._host import Host

# start-end perms offset dev inode path. Only code counts: data files are replaced all the time.
_DELETED_CODE = re.compile(r"^[0-9a-f]+-[0-9a-f]+ ..x\S* \S+ \S+ \d+ +(/.*) \(deleted\)$", re.M)

# What a package can have brought. Elsewhere (/tmp, /dev/shm, /memfd:, /SYSV) programs make code for themselves.
_PACKAGED = ("/usr/", "/lib", "/bin/", "/sbin/", "/opt/")

# What dpkg and rpm append to the name of a file that they are about to replace.
_TEMPORARY_NAME = re.compile(r"(?:\.dpkg-(?:new|tmp|old)|;[0-9a-f]{8}|-RPMDELETE)$")

MAPS_LIMIT = 4 * 1024 * 1024
"""Bytes of one process's maps: some 40,000 mappings."""


def gather(host: Host) -> System:
    """Everything that needs no package manager."""
    known = gather_boot(host)
    _processes(host, known)
    return known


def gather_boot(host: Host) -> System:
    """The same without a look at processes: what is booted, and what asks for a reboot."""
    known = System()
    known.os_release = os_release(host)
    name = known.os_release.get("ID", "")
    if re.match(r"^[a-z]+$", name):
        known.distro_info = host.read("/usr/share/distro-info/%s.csv" % name) or ""
    # PID 1 of a container was started later than its machine: "since boot" means since PID 1.
    known.boot = host.started(1)
    known.container = host.container()
    known.reboot_flag = host.mtime("/run/reboot-required") if host.exists("/run/reboot-required") else None
    packages = (host.read("/run/reboot-required.pkgs", 65536) or "").split()
    known.reboot_packages = list(dict.fromkeys(packages))
    known.running_kernel = (host.read("/proc/sys/kernel/osrelease", 200) or "").strip()
    known.running_kernel_build = (host.read("/proc/version", 1000) or "").strip()
    kernels = [name[8:] for name in host.listdir("/boot") if name.startswith("vmlinuz-")]
    known.installed_kernels = [
        name for name in kernels if not name.startswith("0-rescue") and not name.endswith(".old")
    ]
    return known


def os_release(host: Host) -> dict[str, str]:
    """The fields of os-release(5)."""
    text = host.read("/etc/os-release", 65536) or host.read("/usr/lib/os-release", 65536) or ""
    fields = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and re.match(r"^[A-Z0-9_]+$", key):
            fields[key] = re.sub(r"\\(.)", r"\1", value.strip().strip("\"'"))
    return fields


def _processes(host: Host, known: System) -> None:
    own_pids = host.readlink("/proc/self/ns/pid")
    pids = [int(name) for name in host.listdir("/proc") if name.isdigit()]
    if not pids:
        known.processes_problem = Problem("/proc shows no process", "Mount it: mount -t proc proc /proc")
    for pid in sorted(pids):
        maps = host.read("/proc/%d/maps" % pid, MAPS_LIMIT)
        if maps is None:
            # Gone by now, or somebody else's.
            known.processes_denied += host.exists("/proc/%d" % pid)
            continue
        known.processes_seen += 1
        if "(deleted)" not in maps:
            continue
        files = sorted(
            {_TEMPORARY_NAME.sub("", path) for path in _DELETED_CODE.findall(maps) if path.startswith(_PACKAGED)}
        )
        if not files:
            continue
        if own_pids and host.readlink("/proc/%d/ns/pid" % pid) not in (own_pids, None):
            known.processes_elsewhere += 1
            continue
        command = (host.read("/proc/%d/cmdline" % pid, 4096) or "").replace("\0", " ").strip()
        command = command or (host.read("/proc/%d/comm" % pid, 100) or "").strip()
        unit = "init" if pid == 1 else unit_of(host.read("/proc/%d/cgroup" % pid, 65536) or "")
        known.processes.append(Process(pid, command[:200], unit, files[:20]))
    if known.processes_denied and not host.is_root():
        known.processes_problem = Problem(
            "%d of %d processes belong to other users" % (known.processes_denied, len(pids)),
            AS_ROOT,
        )


def unit_of(cgroup: str) -> str:
    """The systemd unit of a process from its /proc/PID/cgroup: its name, ``session``, or empty when it has none."""
    for line in cgroup.splitlines():
        hierarchy, _colons, path = line.partition("::") if line.startswith("0::") else line.partition(":name=systemd:")
        if not hierarchy or not path:
            continue
        if "/user.slice/" in path + "/" or re.search(r"/user@\d+\.service", path):
            return "session"
        units = re.findall(r"/([^/]+\.(?:service|scope))(?=/|$)", path)
        if units:
            return "" if units[-1] == "init.scope" else str(units[-1])
    return ""
