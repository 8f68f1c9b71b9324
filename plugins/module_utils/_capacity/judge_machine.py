# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine: memory, swap, load, processes, open files, killed processes. Pure; findings only.

In a container most figures are those of the machine outside, whose own review judges them: skipped, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._findings import CannotCheck, NotApplicable
from .gather import PROCESSES, need
from .judge_disks import raise_if_short
from .words import inside, minute, size, step

if TYPE_CHECKING:
    from .._findings import Review

FORCE = "host_kind: machine"


def judge_machine(review: Review, facts: dict[str, Any], options: dict[str, Any]) -> None:
    container = facts["container"]
    outside = "in %s it is the machine's" % inside(container) if container else ""
    memory = facts["memory"]
    if container and not (isinstance(memory, dict) and memory["limited"]):
        review.skip("capacity.memory.low", "the container has no limit of its own; " + outside, FORCE)
    else:
        with review.check("capacity.memory.low", "memory"):
            _memory(review, need(facts, "memory"), options)
    if container:
        for check in ("capacity.swap.used", "capacity.load.high", "capacity.files.exhausted"):
            review.skip(check, outside, FORCE)
    else:
        with review.check("capacity.swap.used", "swap"):
            _swap(review, need(facts, "memory"), options)
        with review.check("capacity.load.high", "load"):
            _load(review, need(facts, "load"), options)
        with review.check("capacity.files.exhausted", "files"):
            _files(review, need(facts, "files"), options)
    with review.check("capacity.processes.exhausted", "processes"):
        _processes(review, need(facts, "processes"), container, options)
    with review.check("capacity.processes.zombies", "zombies"):
        _zombies(review, need(facts, "processes"), options)
    with review.check("capacity.memory.oom"):
        _oom(review, facts, options)


def _stalled(pressure: dict[str, float] | None, kind: str) -> float:
    return (pressure or {}).get(kind, 0.0)


def _memory(review: Review, memory: dict[str, Any], options: dict[str, Any]) -> None:
    percent, stalled = memory["available_percent"], _stalled(memory["pressure"], "full")
    severity = step(-percent, (-options["memory_high_percent"], "high"), (-options["memory_medium_percent"], "medium"))
    if stalled >= options["stall_percent"]:
        severity = "high"
    if severity is None:
        return
    evidence = [
        "%s of %s available (%.1f %%)" % (size(memory["available_bytes"]), size(memory["total_bytes"]), percent)
    ]
    if memory["pressure"] is not None:
        evidence.append("everything waited for memory in %.1f %% of the last five minutes" % stalled)
    review.found(
        "capacity.memory.low",
        "memory",
        severity,
        "Memory is short: %s of %s available." % (size(memory["available_bytes"]), size(memory["total_bytes"])),
        evidence,
        "See who takes it: ps -eo pid,rss,comm --sort=-rss | head",
        {"available_percent": percent, "stalled_percent": stalled},
    )


def _swap(review: Review, memory: dict[str, Any], options: dict[str, Any]) -> None:
    percent = memory["swap_used_percent"]
    severity = step(percent or 0, (options["swap_medium_percent"], "medium"), (options["swap_low_percent"], "low"))
    if percent is None or severity is None:
        return
    used, total = size(memory["swap_used_bytes"]), size(memory["swap_total_bytes"])
    review.found(
        "capacity.swap.used",
        "swap",
        severity,
        "%.0f %% of the swap is in use." % percent,
        ["%s of %s" % (used, total)],
        "See who was moved there: grep VmSwap /proc/[0-9]*/status | sort -n -k 2 | tail",
        {"used_percent": percent},
    )


def _load(review: Review, load: dict[str, Any], options: dict[str, Any]) -> None:
    each = load["averages"][2] / load["cpus"]
    severity = step(each, (options["load_medium_per_cpu"], "medium"), (options["load_low_per_cpu"], "low"))
    if severity is None:
        return
    evidence = ["load averages %.2f %.2f %.2f on %d processors" % (*load["averages"], load["cpus"])]
    pressures = {"the processor": load["cpu_pressure"], "disks": load["io_pressure"]}
    evidence += [
        "something waited for %s in %.1f %% of the last five minutes" % (name, _stalled(pressure, "some"))
        for name, pressure in pressures.items()
        if pressure is not None
    ]
    if None not in pressures.values() and all(
        _stalled(p, "some") < options["stall_percent"] for p in pressures.values()
    ):
        # Processes that hang without using anything count into the load: told, but nobody is waiting for the machine.
        severity = "low"
    review.found(
        "capacity.load.high",
        "load",
        severity,
        "The load was %.1f for each processor over a quarter of an hour." % each,
        evidence,
        "See who runs or waits: ps -eo state,pid,pcpu,comm --sort=-pcpu | grep '^[RD]' | head -n 20",
        {"per_cpu": each, "averages": load["averages"], "cpus": load["cpus"]},
    )


def _exhaustion(used: int, limit: int | None, options: dict[str, Any]) -> tuple[float, str | None]:
    percent = 100.0 * used / limit if limit else 0.0
    steps = ((options["exhaustion_high_percent"], "high"), (options["exhaustion_medium_percent"], "medium"))
    return percent, step(percent, *steps)


def _files(review: Review, files: dict[str, int], options: dict[str, Any]) -> None:
    percent, severity = _exhaustion(files["used"], files["limit"], options)
    if severity is not None:
        review.found(
            "capacity.files.exhausted",
            "files",
            severity,
            "%.0f %% of the file handles that the system may have are open." % percent,
            ["%(used)d of %(limit)d (/proc/sys/fs/file-nr)" % files],
            "See who holds them: lsof -n | awk '{print $1}' | sort | uniq -c | sort -n | tail; or raise fs.file-max",
            dict(files),
        )


def _processes(review: Review, processes: dict[str, Any], container: str | None, options: dict[str, Any]) -> None:
    if processes["threads"] is None:
        if container:
            raise NotApplicable(
                "the limit of %s cannot be read: /sys/fs/cgroup/pids.max" % inside(container),
                "Start it with a cgroup namespace of version 2; or host_kind: machine",
            )
        raise CannotCheck("the limits of processes cannot be read", "sysctl kernel.pid_max kernel.threads-max")
    percent, severity = _exhaustion(processes["threads"], processes["limit"], options)
    if severity is not None:
        review.found(
            "capacity.processes.exhausted",
            "processes",
            severity,
            "%.0f %% of the processes and threads that there may be are running." % percent,
            ["%(threads)d of %(limit)d" % processes],
            "See who started them: ps -eo user,nlwp,comm --sort=-nlwp | head; or raise kernel.pid_max",
            {key: processes[key] for key in ("threads", "limit")},
        )


def _zombies(review: Review, processes: dict[str, Any], options: dict[str, Any]) -> None:
    if not processes["seen"]:
        raise CannotCheck("/proc shows no process", "ls /proc")
    if processes["zombies"] < options["zombies_low"]:
        if processes["count"] > PROCESSES:
            raise NotApplicable(
                "only the first %d of %d processes were looked at" % (PROCESSES, processes["count"]),
                "Count them by hand: ps -eo state | grep -c Z",
            )
        return
    parents = processes["zombie_parents"]
    worst = parents[0]
    review.found(
        "capacity.processes.zombies",
        "zombies",
        "low",
        "%d processes have ended and wait for their parent to notice, most of them for %s."
        % (processes["zombies"], worst["name"]),
        ["%(zombies)d of process %(pid)d (%(name)s)" % parent for parent in parents],
        "Restart the service that process %d belongs to: systemctl status %d" % (worst["pid"], worst["pid"]),
        {"zombies": processes["zombies"]},
    )


def _oom(review: Review, facts: dict[str, Any], options: dict[str, Any]) -> None:
    kills = facts["memory"]["oom_kills"] if isinstance(facts["memory"], dict) else None
    if facts["container"]:
        if kills is None:
            raise NotApplicable(
                "the count of %s cannot be read: /sys/fs/cgroup/memory.events" % inside(facts["container"]),
                "Start it with a cgroup namespace of version 2",
            )
        if kills:
            # Counted since the container started: when it was is not known, so it is no ticket.
            summary = "%d processes were killed for want of memory since this container started." % kills
            review.found("capacity.memory.oom", "memory", "info", summary, ["oom_kill %d (memory.events)" % kills])
        return
    uptime = facts["load"]["uptime"] if isinstance(facts["load"], dict) else 0.0
    if kills == 0 and uptime >= options["kernel_log_days"] * 86_400:
        return  # the kernel's own count, which begins with the boot, says enough
    kernel = need(facts, "kernel")
    killed = kernel["killed"]
    by_name: dict[str, list[Any]] = {}
    for trouble in killed:
        by_name.setdefault(trouble.subject or "a process without a name", []).append(trouble.entry)
    for name, entries in sorted(by_name.items()):
        review.found(
            "capacity.memory.oom",
            name,
            "medium",
            "%s was killed for want of memory, %d times in %g days, last on %s."
            % (name, len(entries), options["kernel_log_days"], minute(max(entry.time for entry in entries))),
            ["%s %s" % (minute(entry.time), entry.message) for entry in entries[-10:]],
            "Give the machine more memory, or that service a limit (MemoryMax=): journalctl -k --grep 'Killed process'",
            {"times": len(entries)},
        )
    raise_if_short(kernel, facts["now"], options)
