# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host says of its capacity. All input of the area comes from here, through Host; nothing is judged.

One function for each thing. What one raises is kept in its place and told by the check that needs it, see ``need``.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Callable

from .._findings import CannotCheck
from .._host import AS_ROOT
from .. import _mounts as mounts
from . import kernel_log
from .certificates import gather_certificates
from .words import inside

if TYPE_CHECKING:
    from .._host import Host

FILESYSTEMS = 500
"""Filesystems that are looked at, at the most."""
LANES = 8
"""Processes that ask remote filesystems at once: each silent server holds one of them for ``mount_timeout`` seconds."""
UNITS = 50
"""Failed units that are told in detail."""
JOURNALS = 6
"""Failed units whose last lines are looked up: each is a process."""
JOURNAL_LINES = 20_000
"""Lines of the journal that are read, some 2 MB: a firewall that logs what it drops writes thousands in a week."""
DISKS = 24
"""Disks that smartctl asks, each in a process of its own of up to 20 seconds: the bays of a large server."""
PROCESSES = 5_000
"""Processes that are looked at, some 20 microseconds each; threads are not among them."""
_VIRTUAL_DISK = re.compile(r"(?i)qemu|vmware|vbox|virtual|msft|xen|iscsi|lio-org|google|amazon|oracle|bochs")


def gather(host: Host, options: dict[str, Any]) -> dict[str, Any]:
    """Facts by their name; a fact that could not be had is the exception that says why."""
    facts: dict[str, Any] = {"now": host.now(), "container": _container(host, options), "root": host.is_root()}
    parts: dict[str, Callable[[Host, dict[str, Any], dict[str, Any]], Any]] = {
        "filesystems": _filesystems,
        "memory": _memory,
        "load": _load,
        "files": _files,
        "processes": _processes,
        "units": _units,
        "clock": _clock,
        "kernel": _kernel,
        "raids": _raids,
        "disks": _disks,
        "certificates": gather_certificates,
    }
    for name, part in parts.items():
        try:
            facts[name] = part(host, options, facts)
        except Exception as error:  # noqa: BLE001 - kept, and raised where it belongs to a check
            facts[name] = error
    return facts


def need(facts: dict[str, Any], name: str) -> Any:
    """A fact, or the exception that kept it from being one, raised."""
    value = facts[name]
    if isinstance(value, Exception):
        raise value
    return value


def _container(host: Host, options: dict[str, Any]) -> str | None:
    """What kind of container this is, or None for a machine of its own."""
    if options["host_kind"] != "auto":
        return "container" if options["host_kind"] == "container" else None
    return host.container() or None


def _filesystems(host: Host, options: dict[str, Any], _facts: dict[str, Any]) -> dict[str, Any]:
    data = host.read_bytes("/proc/self/mountinfo", 64 * 1024 * 1024)
    table = mounts.parse_mountinfo(data or b"")
    if not table:
        raise CannotCheck("/proc/self/mountinfo cannot be read", "head /proc/self/mountinfo")
    wanted = mounts.candidates(table, options["exclude_mounts"], options["exclude_types"])
    dropped = wanted[FILESYSTEMS:]
    wanted = wanted[:FILESYSTEMS]
    answers: dict[str, Any] = {}
    local = [mount.path for mount in wanted if not mount.remote]
    remote = [mount.path for mount in wanted if mount.remote]
    try:
        # What came after a silent one in its lane is asked again, twice: so three limits of time are the most it takes.
        for _attempt in range(3):
            lanes = [local, *(remote[start::LANES] for start in range(LANES))]
            answers.update(host.statvfs([lane for lane in lanes if lane], options["mount_timeout"]))
            local = [path for path in local if path not in answers]
            remote = [path for path in remote if path not in answers]
            if not local and not remote:
                break
    except OSError as error:
        raise CannotCheck(
            "no process can be made to ask the filesystems: %s" % error.strerror, "ps -e | wc -l"
        ) from error
    by_path = {mount.path: mount for mount in wanted}
    silent = [
        (by_path[path], "no answer within %g seconds" % options["mount_timeout"])
        for path, value in answers.items()
        if value is None
    ]
    broken = (
        "Stale file handle",
        "Transport endpoint is not connected",
        "Input/output error",
        "Host is down",
        "No route to host",
    )
    silent += [
        (by_path[path], value.error) for path, value in answers.items() if value is not None and value.error in broken
    ]
    # What is not there any more was unmounted meanwhile, or lies hidden below another mount.
    known = (*broken, "No such file or directory", "")
    refused = [path for path, value in answers.items() if value is not None and value.error not in known]
    fstab = mounts.parse_fstab(host.read("/etc/fstab", 1 << 20) or "")
    return {
        "filesystems": mounts.figures(wanted, answers),
        "silent": silent,
        "refused": refused,
        "unasked": [*local, *remote, *(mount.path for mount in dropped)],
        "closed": mounts.unexpectedly_read_only(table, fstab),
        "mounts": len(table),
    }


def _table(text: str) -> dict[str, int]:
    """``name: number kB`` and ``name number`` lines."""
    matches = (re.match(r"([\w()]+):?\s+(\d+)", line) for line in text.splitlines())
    return {match.group(1): int(match.group(2)) for match in matches if match}


def _pressure(host: Host, resource: str, container: str | None) -> dict[str, float] | None:
    """Percent of the last five minutes in which some, and all, waited for it (Documentation/accounting/psi.rst)."""
    path = "/sys/fs/cgroup/%s.pressure" % resource if container else "/proc/pressure/%s" % resource
    matches = re.findall(r"^(some|full) .*avg300=([0-9.]+)", host.read(path, 1000) or "", re.M)
    return {name: float(value) for name, value in matches} or None


def _memory(host: Host, _options: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    container = facts["container"]
    table = _table(host.read("/proc/meminfo", 65536) or "")
    if "MemTotal" not in table:
        raise CannotCheck("/proc/meminfo cannot be read", "ls -l /proc/meminfo")
    # Linux before 3.14 has no MemAvailable.
    available = table.get("MemAvailable", table.get("MemFree", 0) + table.get("Cached", 0))
    memory: dict[str, Any] = {
        "total_bytes": table["MemTotal"] * 1024,
        "available_bytes": available * 1024,
        "swap_total_bytes": table.get("SwapTotal", 0) * 1024,
        "swap_used_bytes": (table.get("SwapTotal", 0) - table.get("SwapFree", 0)) * 1024,
        "limited": False,
    }
    limit = (host.read("/sys/fs/cgroup/memory.max", 100) or "").strip() if container else ""
    current = (host.read("/sys/fs/cgroup/memory.current", 100) or "").strip() if container else ""
    if limit.isdigit() and current.isdigit() and int(limit) < memory["total_bytes"]:
        # Pages of files that were not used lately can be had back: they do not count as used.
        reclaimable = _table(host.read("/sys/fs/cgroup/memory.stat", 65536) or "").get("inactive_file", 0)
        memory.update(
            limited=True,
            total_bytes=int(limit),
            available_bytes=max(0, int(limit) - int(current) + reclaimable),
        )
    memory["available_percent"] = round(100.0 * memory["available_bytes"] / memory["total_bytes"], 2)
    memory["swap_used_percent"] = (
        round(100.0 * memory["swap_used_bytes"] / memory["swap_total_bytes"], 2) if memory["swap_total_bytes"] else None
    )
    memory["pressure"] = _pressure(host, "memory", container)
    events = host.read("/sys/fs/cgroup/memory.events" if container else "/proc/vmstat", 1 << 20)
    memory["oom_kills"] = _table(events or "").get("oom_kill")
    return memory


def _load(host: Host, _options: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    words = (host.read("/proc/loadavg", 200) or "").split()
    if len(words) < 4:
        raise CannotCheck("/proc/loadavg cannot be read", "ls -l /proc/loadavg")
    uptime = re.match(r"\d+(\.\d+)?", host.read("/proc/uptime", 100) or "")
    return {
        "averages": [float(word) for word in words[:3]],
        "cpus": host.cpus(),
        "threads": int(words[3].split("/")[-1]),
        "cpu_pressure": _pressure(host, "cpu", facts["container"]),
        "io_pressure": _pressure(host, "io", facts["container"]),
        # Unknown, it counts as just booted: that claims the least.
        "uptime": float(uptime.group()) if uptime else 0.0,
    }


def _files(host: Host, _options: dict[str, Any], _facts: dict[str, Any]) -> dict[str, int]:
    words = (host.read("/proc/sys/fs/file-nr", 200) or "").split()
    if len(words) < 3:
        raise CannotCheck("/proc/sys/fs/file-nr cannot be read", "ls -l /proc/sys/fs/file-nr")
    return {"used": int(words[0]) - int(words[1]), "limit": int(words[2])}


def _processes(host: Host, _options: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    if facts["container"]:
        used = (host.read("/sys/fs/cgroup/pids.current", 100) or "").strip()
        limit = (host.read("/sys/fs/cgroup/pids.max", 100) or "").strip()
        known = used.isdigit() and (limit.isdigit() or limit == "max")
    else:
        used = str(need(facts, "load")["threads"])
        limits = [(host.read("/proc/sys/kernel/" + name, 100) or "").strip() for name in ("pid_max", "threads-max")]
        limit = min((text for text in limits if text.isdigit()), key=int, default="")
        known = bool(limit)
    pids = [name for name in host.listdir("/proc") if name.isdigit()]
    zombies: dict[str, int] = {}
    seen = 0
    for pid in pids[:PROCESSES]:
        # pid (name) state parent ...; the name may hold anything, brackets too
        words = (host.read("/proc/%s/stat" % pid, 4096) or "").rpartition(")")[2].split()
        seen += bool(words)
        if words[:1] == ["Z"]:
            zombies[words[1]] = zombies.get(words[1], 0) + 1
    parents = [
        {"pid": int(parent), "name": (host.read("/proc/%s/comm" % parent, 200) or "").strip(), "zombies": count}
        for parent, count in sorted(zombies.items(), key=lambda item: -item[1])[:5]
    ]
    return {
        "count": len(pids),
        "seen": seen,
        # None: they cannot be read. A limit of None beside threads: there is none.
        "threads": int(used) if known else None,
        "limit": int(limit) if known and limit != "max" else None,
        "zombies": sum(zombies.values()),
        "zombie_parents": parents,
    }


def _properties(text: str) -> list[dict[str, str]]:
    """The blocks of ``systemctl show``, which stand apart by an empty line."""
    return [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in text.split("\n\n")
        if block.strip()
    ]


def _units(host: Host, options: dict[str, Any], _facts: dict[str, Any]) -> dict[str, Any] | None:
    """The state of systemd and its failed units; None where systemd is not the init."""
    if not host.exists("/run/systemd/system"):
        return None
    show = host.run(["systemctl", "show", "--property=SystemState,NFailedUnits,NJobs"], 15)
    state = dict(line.split("=", 1) for line in show.out.splitlines() if "=" in line)
    if show.rc != 0 or "SystemState" not in state:
        said = show.err.strip() or show.out.strip() or "nothing"
        raise CannotCheck(
            "systemd does not answer",
            "systemctl status",
            [said if show.rc is not None else "no answer within 15 seconds"],
        )
    units: dict[str, Any] = {"state": state["SystemState"], "jobs": int(state.get("NJobs") or 0), "failed": []}
    if state.get("NFailedUnits") == "0":
        return units
    listed = host.run(
        ["systemctl", "list-units", "--state=failed", "--all", "--plain", "--no-legend", "--full", "--no-pager"], 15
    )
    if listed.rc != 0:
        raise CannotCheck("the failed units cannot be listed", "systemctl --failed", [listed.err.strip()])
    names = [line.split()[0] for line in listed.out.splitlines() if line.strip()]
    names = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in options["units_ignore"])]
    wanted = "--property=Id,Description,Result,ExecMainStatus,StateChangeTimestamp"
    details = host.run(["systemctl", "show", wanted, "--", *names[:UNITS]], 15).out if names else ""
    by_name = {block.get("Id", ""): block for block in _properties(details)}
    for place, name in enumerate(names):
        block = by_name.get(name, {})
        lines: list[str] = []
        if place < JOURNALS:
            journal = ["journalctl", "--quiet", "--no-pager", "--lines=3", "--output=short-iso", "--unit=" + name]
            lines = host.run(journal, 10).out.splitlines()
        units["failed"].append(
            {
                "unit": name,
                "description": block.get("Description", ""),
                "result": block.get("Result", ""),
                "exit_status": block.get("ExecMainStatus", ""),
                "since": block.get("StateChangeTimestamp", ""),
                "last_lines": lines[-3:],
            }
        )
    return units


def _clock(host: Host, options: dict[str, Any], _facts: dict[str, Any]) -> dict[str, Any]:
    clients = {
        "systemd-timesyncd": "/run/systemd/timesync",
        "chronyd": "/run/chrony",
        "ntpd": "/run/ntpd.pid",
        "openntpd": "/run/openntpd.pid",
    }
    reference = options["reference_time"]
    error = host.clock_error()
    if error is None and host.which("timedatectl"):  # a Python without ctypes
        said = host.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], 15).out.strip()
        error = {"yes": 0.0, "no": 16.0}.get(said)
    return {
        "error_seconds": error,
        "client": next((name for name, path in clients.items() if host.exists(path)), None),
        "offset_seconds": None if reference is None else host.now() - reference,
        "installed": [name for name in ("chronyd", "ntpd", "timedatectl") if host.which(name)],
    }


def _kernel(host: Host, options: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any] | None:
    """Troubles and killed processes of the last days, and the moment that the log ``reaches`` back to (epoch).

    None in a container: its kernel is the machine's outside.
    """
    if facts["container"]:
        return None
    since = facts["now"] - options["kernel_log_days"] * 86_400
    uptime = need(facts, "load")["uptime"]
    lines = host.kernel_records()
    entries, reaches = kernel_log.records(lines or [], facts["now"] - uptime)
    if reaches is None:
        reaches = facts["now"]
    sources = [] if lines is None else ["/dev/kmsg"]
    persistent = host.exists("/var/log/journal") and host.which("journalctl")
    # The journal costs two processes and a search: asked only for what the kernel itself no longer has.
    if persistent and reaches > since:
        journal = ["journalctl", "--quiet", "--no-pager", "--output=short-unix"]
        more = ["--lines=%d" % JOURNAL_LINES, "--priority=warning", "--since=@%d" % since, "_TRANSPORT=kernel"]
        ran = host.run([*journal, *more], 20)
        if ran.rc == 0 and (ran.out or facts["root"]):
            sources.append("journal")
            known = {entry.message for entry in entries}
            older = kernel_log.journal(ran.out)
            entries = [entry for entry in older if entry.message not in known] + entries
            if older and not ran.truncated:
                reaches = min(reaches, older[0].time)
            # Whether it was kept so long shows what it has from before. An older journalctl wants --reverse there.
            before = [*journal, "--system", "--reverse", "--lines=1", "--until=@%d" % since]
            if not ran.truncated and len(ran.out.splitlines()) < JOURNAL_LINES and host.run(before, 20).out.strip():
                reaches = since
    if not sources:
        raise CannotCheck("the kernel's log cannot be read", "%s Or: sysctl kernel.dmesg_restrict=0" % AS_ROOT)
    entries = [entry for entry in entries if entry.time >= since]
    ignored = options["devices_ignore"]
    troubles = [
        found for found in kernel_log.troubles(entries) if not any(fnmatchcase(found.subject, word) for word in ignored)
    ]
    return {"sources": sources, "reaches": reaches, "troubles": troubles, "killed": kernel_log.killed(entries)}


def _raids(host: Host, _options: dict[str, Any], facts: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Software RAIDs of /proc/mdstat; None where there is no such file: the kernel has no driver of them loaded."""
    text = host.read("/proc/mdstat", 1 << 20)
    if facts["container"] or (text is None and not host.exists("/proc/mdstat")):
        return None
    if text is None:
        raise CannotCheck("/proc/mdstat cannot be read", "ls -l /proc/mdstat")
    raids: list[dict[str, Any]] = []
    for line in text.splitlines():
        start = re.match(r"(md[\w.-]*) : (\S+.*)", line)
        if start:
            raids.append(
                {
                    "device": start.group(1),
                    "lines": [line],
                    "degraded": "(F)" in line or " inactive " in line + " ",
                    "busy": "",
                }
            )
        elif raids and line.startswith(" "):
            raids[-1]["lines"].append(line.strip())
            members = re.search(r"\[(\d+)/(\d+)\] \[[U_]+\]", line)
            if members and int(members.group(2)) < int(members.group(1)):
                raids[-1]["degraded"] = True
            progress = re.search(r"(recovery|resync|reshape|check) *= *([0-9.]+%)", line)
            if progress:
                raids[-1]["busy"] = " ".join(progress.groups())
    return raids


def _disks(host: Host, options: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """SMART of the real disks: ``skip`` says why not, ``asked`` holds what smartctl said of each."""
    if not options["smart"]:
        return {"skip": "the option smart is off", "force": "smart: true"}
    wanted = [(name, name.split()) for name in options["smart_devices"]]
    if not wanted and facts["container"]:
        return {
            "skip": "in %s the disks are the machine's" % inside(facts["container"]),
            "force": "host_kind: machine",
        }
    if not wanted:
        for name in host.listdir("/sys/block"):
            folder = "/sys/block/%s/device/" % name
            made = "%s %s" % (host.read(folder + "vendor", 100) or "", host.read(folder + "model", 100) or "")
            if re.fullmatch(r"sd[a-z]+|nvme\d+n\d+|hd[a-z]", name) and not _VIRTUAL_DISK.search(made):
                wanted.append(("/dev/" + name, ["/dev/" + name]))
    if not wanted:
        return {"skip": "no disk of its own was found, only virtual ones", "force": "smart_devices: [/dev/sda]"}
    if host.which("smartctl") is None:
        return {"skip": "smartctl is not installed", "force": "install the package smartmontools"}
    if not facts["root"]:
        return {"denied": "only root may ask the disks"}
    asked = []
    for name, words in wanted[:DISKS]:
        # -n standby: a disk that sleeps is left asleep
        ran = host.run(["smartctl", "--json", "--nocheck=standby", "--info", "--health", "--attributes", *words], 20)
        try:
            answer = json.loads(ran.out)
        except ValueError:
            answer = None
        asked.append(
            {
                "device": name,
                "answer": answer if isinstance(answer, dict) else None,
                "said": (ran.out + ran.err)[:2000],
                "rc": ran.rc,
            }
        )
    return {"asked": asked, "unasked": [name for name, _words in wanted[DISKS:]]}
