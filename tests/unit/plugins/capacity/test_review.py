# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole review, from files and commands to findings: the healthy host, each fault, the unreadable, the hostile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._capacity.options import defaults
from ansible_collections.upkeep.maintenance.plugins.module_utils._capacity.review import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import contract_errors, coverage_errors
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import AS_ROOT, Ran, Statvfs
from tests.unit.fake_host import NOW, FakeHost

DATA = Path(__file__).parent / "data"
DAY = 86_400.0
HISTORY = "/var/lib/upkeep/capacity.json"
GIB = 1024**3 // 4096  # blocks

SHOW = ("systemctl", "show", "--property=SystemState,NFailedUnits,NJobs")
LIST = ("systemctl", "list-units", "--state=failed", "--all", "--plain", "--no-legend", "--full", "--no-pager")
DETAIL = ("systemctl", "show", "--property=Id,Description,Result,ExecMainStatus,StateChangeTimestamp", "--")
JOURNAL = ("journalctl", "--quiet", "--no-pager", "--lines=3", "--output=short-iso")
KERNEL = ("journalctl", "--quiet", "--no-pager", "--output=short-unix", "--lines=20000", "--priority=warning")
BEFORE = ("journalctl", "--quiet", "--no-pager", "--output=short-unix", "--system", "--reverse", "--lines=1")
SMART = ("smartctl", "--json", "--nocheck=standby", "--info", "--health", "--attributes")

RUNNING = "NJobs=0\nNFailedUnits=0\nSystemState=running\n"
MEMORY = "MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable: 6000000 kB\nSwapTotal: 10 kB\nSwapFree: 10 kB\n"
MOUNTS = """\
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
31 27 254:16 / /var rw,relatime shared:61 - ext4 /dev/vdb rw
"""


def pressure(some: float, full: float) -> str:
    lines = "some avg10=9.00 avg60=9.00 avg300={:.2f} total=1\nfull avg10=9.00 avg60=9.00 avg300={:.2f} total=1\n"
    return lines.format(some, full)


def room(percent: float, size_gib: int = 20, inodes_percent: float = 10) -> Statvfs:
    blocks = size_gib * GIB
    free = int(blocks * (100 - percent) / 100)
    return Statvfs(blocks, free, free, 4096, 100_000, int(1000 * (100 - inodes_percent)))


def healthy(**changes: Any) -> FakeHost:
    """A machine with nothing wrong; ``files`` and ``commands`` add to its own, ``filesystems`` as well."""
    files: dict[str, str | bytes] = {
        "/proc/self/mountinfo": MOUNTS,
        "/etc/fstab": "/dev/vda1 / ext4 errors=remount-ro 0 1\n/dev/vdb /var ext4 defaults 0 2\n",
        "/proc/meminfo": MEMORY,
        "/proc/loadavg": "0.10 0.20 0.30 1/95 5602\n",
        "/proc/uptime": "8640000.00 1.0\n",
        "/proc/vmstat": "nr_free_pages 5\noom_kill 0\n",
        "/proc/pressure/memory": pressure(0, 0),
        "/proc/pressure/cpu": pressure(0.3, 0),
        "/proc/pressure/io": pressure(0.14, 0.14),
        "/proc/sys/fs/file-nr": "680\t0\t2466177\n",
        "/proc/sys/kernel/pid_max": "32768\n",
        "/proc/sys/kernel/threads-max": "192730\n",
        "/proc/1/stat": "1 (systemd) S 0 1 1 0 -1\n",
        "/proc/1/comm": "systemd\n",
        "/proc/mdstat": "Personalities : [raid1]\nunused devices: <none>\n",
        "/run/systemd/system/x": "",
        "/run/systemd/timesync/synchronized": "",
        "/sys/block/vda/size": "1",
    }
    files.update(changes.pop("files", {}))
    commands: dict[tuple[str, ...], Any] = {SHOW: RUNNING}
    commands.update(changes.pop("commands", {}))
    statvfs = {"/": room(40), "/var": room(50), **changes.pop("filesystems", {})}
    changes.setdefault("kernel_records", ["5,0,0,-;Linux version 6.1.0\n"])
    return FakeHost({k: v for k, v in files.items() if v is not None}, commands, statvfs=statvfs, **changes)


def run(host: FakeHost, **options: Any) -> dict[str, Any]:
    """The result, after what must hold of every result: the contract, JSON, and no bug told as a check that failed."""
    result = review(host, dict(defaults(), check_mode=False, **options))
    for finding in result["findings"]:
        assert contract_errors(finding) == []
        assert "check itself failed" not in finding["summary"], finding
        assert finding["remedy"] or finding["severity"] == "info", finding
    for entry in result["coverage"]:
        assert coverage_errors(entry) == []
    json.dumps(result, allow_nan=False)
    return result


def told(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return sorted((finding["check"], finding["subject"], finding["severity"]) for finding in result["findings"])


def covered(result: dict[str, Any], check: str) -> set[str]:
    return {entry["subject"] for entry in result["coverage"] if entry["check"] == check}


def one(result: dict[str, Any], check: str) -> dict[str, Any]:
    (found,) = [finding for finding in result["findings"] if finding["check"] == check]
    return dict(found)


def test_a_healthy_machine_has_no_finding_and_every_check_is_covered_or_says_why_not() -> None:
    host = healthy()
    result = run(host, reference_time=NOW - 3)
    assert told(result) == []
    checks = {(entry["check"], entry["subject"]) for entry in result["coverage"]}
    assert {entry for entry in checks if entry[0] != "capacity.check.not_run"} == {
        ("capacity.history.unusable", HISTORY),
        ("capacity.mount.hung", "*"),
        ("capacity.mount.read_only", "*"),
        ("capacity.filesystem.full", "*"),
        ("capacity.inodes.full", "*"),
        ("capacity.memory.low", "memory"),
        ("capacity.memory.oom", "*"),
        ("capacity.swap.used", "swap"),
        ("capacity.load.high", "load"),
        ("capacity.files.exhausted", "files"),
        ("capacity.processes.exhausted", "processes"),
        ("capacity.processes.zombies", "zombies"),
        ("capacity.kernel.errors", "*"),
        ("capacity.raid.degraded", "*"),
        ("capacity.unit.failed", "*"),
        ("capacity.system.not_running", "systemd"),
        ("capacity.clock.unsynchronised", "clock"),
        ("capacity.clock.wrong", "clock"),
        ("capacity.certificate.expiring", "*"),
    }
    skipped = {entry["check"] for entry in result["not_applicable"]}
    assert skipped == {"capacity.filesystem.filling", "capacity.inodes.filling", "capacity.disk.failing"}
    assert all(entry["why"] and entry["force"] for entry in result["not_applicable"])
    assert host.ran == [list(SHOW)]  # a healthy host costs one process
    assert list(host.written) == [HISTORY]


def cert(name: str) -> bytes:
    return (DATA / (name + ".pem")).read_bytes()


MEDIUM_ERROR = "3,7,8639990000000,-;critical medium error, dev sda, sector 998 op 0x0:(READ)\n"
OOM = "3,8,8639990000000,-;Out of memory: Killed process 12 (mysqld) total-vm:1kB, anon-rss:1kB\n"
RAID = """\
Personalities : [raid1]
md0 : active raid1 sdb1[1](F) sda1[0]
      1048512 blocks super 1.2 [2/1] [U_]

md1 : active raid1 sdb2[1] sda2[0]
      1048512 blocks super 1.2 [2/2] [UU]
unused devices: <none>
"""
REBUILD = """\
md0 : active raid5 sdd1[3] sdb1[1] sda1[0]
      2093056 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [UU_]
      [==>..................]  recovery = 12.6% (132480/1046528) finish=0.8min speed=18925K/sec
"""

FAULTS: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, str, str]]]] = [
    ("90 %", {"filesystems": {"/var": room(91)}}, {}, [("capacity.filesystem.full", "/var", "medium")]),
    ("95 %", {"filesystems": {"/var": room(96)}}, {}, [("capacity.filesystem.full", "/var", "high")]),
    ("full", {"filesystems": {"/var": room(100)}}, {}, [("capacity.filesystem.full", "/var", "critical")]),
    ("98 % of 100 TiB", {"filesystems": {"/var": room(98, 102_400)}}, {}, []),
    (
        "own bound",
        {"filesystems": {"/var": room(75)}},
        {"full_medium_percent": 70.0},
        [("capacity.filesystem.full", "/var", "medium")],
    ),
    ("left out", {"filesystems": {"/var": room(100)}}, {"exclude_mounts": ["/v*"]}, []),
    (
        "inodes",
        {"filesystems": {"/var": room(50, inodes_percent=98)}},
        {},
        [("capacity.inodes.full", "/var", "critical")],
    ),
    (
        "read-only image",
        {
            "files": {"/proc/self/mountinfo": MOUNTS.replace("/var rw", "/var ro"), "/etc/fstab": ""},
            "filesystems": {"/var": room(100)},
        },
        {},
        [],
    ),
    (
        "remounted read-only",
        {"files": {"/proc/self/mountinfo": MOUNTS.replace("/dev/vdb rw", "/dev/vdb ro")}},
        {},
        [("capacity.mount.read_only", "/var", "high")],
    ),
    (
        "stale",
        {"filesystems": {"/var": Statvfs(error="Stale file handle")}},
        {},
        [("capacity.mount.hung", "/var", "high")],
    ),
    (
        "memory 8 %",
        {"files": {"/proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 80 kB\n"}},
        {},
        [("capacity.memory.low", "memory", "medium")],
    ),
    (
        "memory 4 %",
        {"files": {"/proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 40 kB\n"}},
        {},
        [("capacity.memory.low", "memory", "high")],
    ),
    (
        "an old kernel",
        {
            "files": {
                "/proc/meminfo": "MemTotal: 1000 kB\nMemFree: 20 kB\nCached: 500 kB\n",
                "/proc/pressure/memory": None,
            }
        },
        {},
        [],
    ),
    (
        "stalled",
        {"files": {"/proc/pressure/memory": pressure(40, 25)}},
        {},
        [("capacity.memory.low", "memory", "high")],
    ),
    (
        "swap",
        {"files": {"/proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 500 kB\nSwapTotal: 1000 kB\nSwapFree: 100 kB\n"}},
        {},
        [("capacity.swap.used", "swap", "medium")],
    ),
    (
        "load without a stall",
        {"files": {"/proc/loadavg": "9 9 9.00 1/95 1\n"}},
        {},
        [("capacity.load.high", "load", "low")],
    ),
    (
        "load",
        {
            "files": {
                "/proc/loadavg": "9 9 9.00 1/95 1\n",
                "/proc/pressure/cpu": "some avg10=1 avg60=1 avg300=60.00 total=1\n",
            }
        },
        {},
        [("capacity.load.high", "load", "medium")],
    ),
    (
        "load of an old kernel",
        {"files": {"/proc/loadavg": "9 9 9.00 1/95 1\n", "/proc/pressure/cpu": None}},
        {},
        [("capacity.load.high", "load", "medium")],
    ),
    (
        "handles",
        {"files": {"/proc/sys/fs/file-nr": "950\t0\t1000\n"}},
        {},
        [("capacity.files.exhausted", "files", "high")],
    ),
    ("handles that are free", {"files": {"/proc/sys/fs/file-nr": "950\t900\t1000\n"}}, {}, []),
    (
        "threads",
        {"files": {"/proc/loadavg": "0 0 0 1/25000 1\n"}},
        {},
        [("capacity.processes.exhausted", "processes", "medium")],
    ),
    (
        "zombies",
        {"files": {f"/proc/{n}/stat": f"{n} (a) b) Z 1 1 1\n" for n in range(100, 130)}},
        {},
        [("capacity.processes.zombies", "zombies", "low")],
    ),
    ("a medium error", {"kernel_records": [MEDIUM_ERROR]}, {}, [("capacity.kernel.errors", "sda", "high")]),
    ("a drive without a medium", {"kernel_records": [MEDIUM_ERROR.replace("sda", "sr0")]}, {}, []),
    ("long ago", {"kernel_records": [MEDIUM_ERROR.replace("8639990", "7939990")]}, {}, []),
    (
        "killed",
        {"kernel_records": [OOM], "files": {"/proc/vmstat": "oom_kill 1\n"}},
        {},
        [("capacity.memory.oom", "mysqld", "medium")],
    ),
    ("raid", {"files": {"/proc/mdstat": RAID}}, {}, [("capacity.raid.degraded", "md0", "high")]),
    ("raid mended", {"files": {"/proc/mdstat": REBUILD}}, {}, [("capacity.raid.degraded", "md0", "medium")]),
    (
        "no clock service",
        {"clock_error": 16.0, "files": {"/run/systemd/timesync/synchronized": None}},
        {},
        [("capacity.clock.unsynchronised", "clock", "medium")],
    ),
    ("no server", {"clock_error": 16.0}, {}, [("capacity.clock.unsynchronised", "clock", "medium")]),
    (
        "just booted, without a client",
        {"clock_error": 16.0, "files": {"/proc/uptime": "30.0 1.0\n", "/run/systemd/timesync/synchronized": None}},
        {},
        [("capacity.clock.unsynchronised", "clock", "medium")],
    ),
    (
        "killed, and no log to say who",
        {"kernel_records": None, "root": False, "files": {"/proc/vmstat": "oom_kill 2\n"}},
        {},
        [
            ("capacity.check.not_run", "capacity.kernel.errors", "medium"),
            ("capacity.check.not_run", "capacity.memory.oom", "medium"),
        ],
    ),
    ("slow clock", {}, {"reference_time": NOW + 31}, [("capacity.clock.wrong", "clock", "high")]),
    (
        "rescue",
        {"commands": {SHOW: RUNNING.replace("running", "maintenance")}},
        {},
        [("capacity.system.not_running", "systemd", "high")],
    ),
    (
        "stuck",
        {"commands": {SHOW: RUNNING.replace("running", "starting")}},
        {},
        [("capacity.system.not_running", "systemd", "medium")],
    ),
    ("no systemd", {"files": {"/run/systemd/system/x": None}}, {}, []),
    (
        "systemd does not answer",
        {"commands": {SHOW: Ran(None, "", "")}},
        {},
        [
            ("capacity.check.not_run", "capacity.system.not_running", "medium"),
            ("capacity.check.not_run", "capacity.unit.failed", "medium"),
        ],
    ),
    (
        "a lost kernel log",
        {"kernel_records": None, "root": False},
        {},
        [("capacity.check.not_run", "capacity.kernel.errors", "medium")],
    ),
    (
        "no mount table",
        {"files": {"/proc/self/mountinfo": None}},
        {},
        sorted(
            ("capacity.check.not_run", "capacity." + check, "medium")
            for check in (
                "filesystem.filling",
                "filesystem.full",
                "inodes.filling",
                "inodes.full",
                "mount.hung",
                "mount.read_only",
            )
        ),
    ),
]


@pytest.mark.parametrize(
    ("changes", "options", "expected"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_faults(changes: dict[str, Any], options: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    result = run(
        healthy(**{key: value.copy() if isinstance(value, dict) else value for key, value in changes.items()}),
        **options,
    )
    assert told(result) == expected


# What could not be seen, and the checks that it takes: neither covered, nor a finding, and they say how to have them.
JUST_BOOTED = {"/proc/uptime": "30.0 1.0\n"}
NSPAWN = {"/run/systemd/container": "systemd-nspawn", "/sys/fs/cgroup/memory.events": "oom_kill 0\n"}
NOT_SEEN: list[tuple[str, dict[str, Any], dict[str, Any], set[str]]] = [
    (
        "just booted",
        {"clock_error": 16.0, "files": JUST_BOOTED},
        {},
        {"clock.unsynchronised", "kernel.errors", "memory.oom"},
    ),
    (
        "starting",
        {"commands": {SHOW: RUNNING.replace("running", "starting")}, "files": {"/proc/uptime": "3000 1\n"}},
        {},
        {"system.not_running", "kernel.errors", "memory.oom"},
    ),
    ("check mode", {}, {"check_mode": True}, {"history.unusable"}),
    ("no driver of RAIDs", {"files": {"/proc/mdstat": None}}, {}, {"raid.degraded"}),
    # The count of killed processes is enough to say that there was none; it begins with the boot.
    ("a log that was overwritten", {"kernel_records": ["6,500,8639999000000,-;chatter"]}, {}, {"kernel.errors"}),
    ("a log of nothing", {"kernel_records": []}, {}, {"kernel.errors"}),
    (
        "a log that was overwritten, and an old kernel",
        {"kernel_records": ["6,500,8639999000000,-;chatter"], "files": {"/proc/vmstat": "nr_free_pages 5\n"}},
        {},
        {"kernel.errors", "memory.oom"},
    ),
    (
        "too many processes for one look",
        {"files": {f"/proc/{n}/stat": f"{n} (a) S 1 1 1\n" for n in range(2, 5_002)}},
        {},
        {"processes.zombies"},
    ),
    ("a container that is not told its limit", {"files": NSPAWN}, {}, {"processes.exhausted"}),
    (
        "a container that is not told of killed processes",
        {
            "files": {
                "/.dockerenv": "",
                "/sys/fs/cgroup/pids.current": "5\n",
                "/sys/fs/cgroup/pids.max": "max\n",
            }
        },
        {},
        {"memory.oom"},
    ),
]
ALWAYS_LEFT_OUT = {"filesystem.filling", "inodes.filling", "disk.failing"}
OF_THE_MACHINE = {
    *("memory.low", "swap.used", "load.high", "files.exhausted", "kernel.errors", "raid.degraded"),
    "clock.unsynchronised",
}


@pytest.mark.parametrize(
    ("changes", "options", "expected"), [row[1:] for row in NOT_SEEN], ids=[row[0] for row in NOT_SEEN]
)
def test_what_was_not_seen_is_not_covered(changes: dict[str, Any], options: dict[str, Any], expected: set[str]) -> None:
    """Or a ticket about it would resolve itself."""
    host = healthy(**{key: value.copy() if isinstance(value, dict) else value for key, value in changes.items()})
    result = review(host, {**defaults(), "check_mode": False, **options})
    assert told(result) == []
    skipped = {entry["check"][len("capacity.") :]: entry for entry in result["not_applicable"]}
    assert all(entry["why"] and entry["force"] for entry in skipped.values())
    outside = OF_THE_MACHINE if result["container"] else set()
    assert set(skipped) - ALWAYS_LEFT_OUT - outside - {"clock.wrong"} == expected
    for check in expected:
        assert covered(result, "capacity." + check) == set()


def test_nothing_is_covered_on_a_host_that_lets_nothing_be_seen() -> None:
    """Every read fails, every command is missing."""
    host = FakeHost(clock_error=None, root=False, denied=[""])
    result = run(host, smart_devices=["/dev/sda"], reference_time=NOW)
    looked = {entry["check"] for entry in result["coverage"]} - {"capacity.check.not_run"}
    assert looked == {"capacity.clock.wrong"}  # that needs nothing of the host
    container = run(host, host_kind="container")
    assert {entry["check"] for entry in container["coverage"]} - {"capacity.check.not_run"} == set()


def test_limits_of_processes_that_cannot_be_read() -> None:
    result = run(healthy(files={"/proc/sys/kernel/pid_max": None, "/proc/sys/kernel/threads-max": None}))
    assert told(result) == [("capacity.check.not_run", "capacity.processes.exhausted", "medium")]


def test_a_failed_unit_with_what_it_said_last() -> None:
    unit = "web\\x2dapp.service"
    show = (
        f"Id={unit}\nDescription=The web application\nResult=exit-code\nExecMainStatus=3\n"
        "StateChangeTimestamp=Sun 2026-09-20 03:00:01 UTC\n"
    )
    host = healthy(
        commands={
            SHOW: "NJobs=0\nNFailedUnits=2\nSystemState=degraded\n",
            LIST: f"{unit} loaded failed failed The web app\ncertbot.service loaded failed failed Certbot\n",
            (*DETAIL, unit): show,
            (
                *JOURNAL,
                "--unit=" + unit,
            ): "2026-09-20T03:00:01+0000 web1 app[5]: \x1b[31mport 80 is taken; password=hunter2\n",
        }
    )
    result = run(host, units_ignore=["certbot*"])
    found = one(result, "capacity.unit.failed")
    assert (found["subject"], found["severity"]) == (unit, "medium")
    assert "result exit-code, exit status 3" in found["evidence"][0]
    assert found["evidence"][1].endswith("port 80 is taken; password=********")
    assert result["units"]["failed"] == [unit]


def test_a_thousand_failed_units_are_bounded_and_the_rest_is_told() -> None:
    names = [f"u{n}.service" for n in range(1000)]
    host = healthy(
        commands={
            SHOW: "NJobs=0\nNFailedUnits=1000\nSystemState=degraded\n",
            LIST: "".join(f"{name} loaded failed failed x\n" for name in names),
        }
    )
    result = run(host)
    assert len([entry for entry in told(result) if entry[0] == "capacity.unit.failed"]) == 50
    assert ("capacity.check.not_run", "capacity.unit.failed", "medium") in told(result)
    assert covered(result, "capacity.unit.failed") == set()
    assert len(host.ran) < 15


def test_a_silent_mount_is_told_and_takes_nothing_else_with_it() -> None:
    mounts = MOUNTS + "34 27 0:51 / /mnt/nfs rw - nfs4 nas:/export rw\n35 27 0:52 / /mnt/other rw - nfs4 nas2:/x rw\n"
    host = healthy(files={"/proc/self/mountinfo": mounts}, filesystems={"/mnt/nfs": None, "/mnt/other": room(99)})
    result = run(host)
    assert told(result) == [
        ("capacity.filesystem.full", "/mnt/other", "critical"),
        ("capacity.mount.hung", "/mnt/nfs", "high"),
    ]
    # What is known of the others is covered, the silent one is not: a ticket about it stays open.
    assert covered(result, "capacity.filesystem.full") == {"/", "/var", "/mnt/other"}
    assert covered(result, "capacity.mount.hung") == {"*"}


def test_what_may_not_be_looked_at_is_not_covered() -> None:
    host = healthy(filesystems={"/var": Statvfs(error="Permission denied")})
    result = run(host)
    assert told(result) == []
    assert covered(result, "capacity.filesystem.full") == {"/"}
    assert any("may not be looked at, such as /var" in entry["why"] for entry in result["not_applicable"])
    gone = run(healthy(filesystems={"/var": Statvfs(error="No such file or directory")}))
    assert covered(gone, "capacity.filesystem.full") == {"*"}


def test_no_process_for_the_filesystems_is_told() -> None:
    class Crowded(FakeHost):
        def statvfs(self, lanes: list[list[str]], timeout: float) -> dict[str, Statvfs | None]:
            raise BlockingIOError(11, "Resource temporarily unavailable")

    result = run(Crowded(healthy().files))
    (found,) = [entry for entry in result["findings"] if entry["subject"] == "capacity.filesystem.full"]
    assert "no process can be made to ask the filesystems: Resource temporarily unavailable" in found["summary"]
    assert covered(result, "capacity.filesystem.full") == set()


def test_more_silent_mounts_than_can_be_asked() -> None:
    lines = [f"{n} 27 0:{n} / /mnt/{n} rw - nfs4 nas:/x rw\n" for n in range(100, 140)]
    host = healthy(
        files={"/proc/self/mountinfo": MOUNTS + "".join(lines)},
        filesystems={f"/mnt/{n}": None for n in range(100, 140)},
    )
    result = run(host)
    hung = [entry for entry in told(result) if entry[0] == "capacity.mount.hung"]
    assert len(hung) == 24  # eight lanes, three times
    assert ("capacity.check.not_run", "capacity.mount.hung", "medium") in told(result)
    assert covered(result, "capacity.mount.hung") == set()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("/evil\\012line", "/evil line"),
        ("/\x1b[31mred", "/red"),
        ("/\u202egnp", "/\ufffdgnp"),
        ("/$(reboot)", "/$(reboot)"),
    ],
)
def test_hostile_names_of_mounts(written: str, shown: str) -> None:
    path = written.replace("\\012", "\n")
    mounts = MOUNTS + f"40 27 9:9 / {written} rw - ext4 /dev/sd\x1bc rw\n"
    result = run(healthy(files={"/proc/self/mountinfo": mounts}, filesystems={path: room(100)}))
    found = one(result, "capacity.filesystem.full")
    assert found["subject"] == shown
    text = json.dumps(result, ensure_ascii=False)
    assert "\x1b" not in text
    assert "\u202e" not in text
    # The command to paste is quoted, or leaves the name to the reader.
    assert "'/$(reboot)'" in found["remedy"] or "MOUNT" in found["remedy"]


def test_five_thousand_filesystems_are_bounded_and_the_rest_is_told() -> None:
    lines = "".join(f"{n} 1 0:{n} / /m{n} rw - tmpfs tmpfs rw\n" for n in range(5_000))
    host = healthy(files={"/proc/self/mountinfo": lines}, filesystems={f"/m{n}": room(10, 1 + n) for n in range(5_000)})
    result = run(host)
    assert told(result) == [("capacity.check.not_run", "capacity.mount.hung", "medium")]
    assert len(result["filesystems"]) == 100
    assert result["filesystems_not_told"] == 400
    assert len(host.written[HISTORY]) < 4 * 1024 * 1024
    assert len(json.dumps(result)) < 500_000


# --- The trend ---


def weeks(host: FakeHost, percents: list[float], **options: Any) -> dict[str, Any]:
    """Weekly runs with /var at these percentages; the last result."""
    for place, percent in enumerate(percents):
        host.time = NOW + 7 * DAY * place
        host.filesystems["/var"] = room(percent)
        result = run(host, **options)
    return result


def test_four_weekly_runs_give_a_date() -> None:
    host = healthy()
    result = weeks(host, [50, 55, 60])
    assert covered(result, "capacity.filesystem.filling") == set()
    result = weeks(host, [50, 55, 60, 65])
    found = one(result, "capacity.filesystem.filling")
    assert (found["subject"], found["severity"]) == ("/var", "low")
    # 35 % left at 5 % a week are 49 days from 2026-10-12.
    assert "/var will be full about 2026-11-30, in 49 days" in found["summary"]
    assert result["filesystems"][0]["forecast"]["full_on"] == "2026-11-30"
    assert covered(result, "capacity.filesystem.filling") == {"*"}


@pytest.mark.parametrize(("percents", "severity"), [([50, 60, 70, 80], "medium"), ([20, 40, 60, 80], "high")])
def test_the_sooner_the_worse(percents: list[float], severity: str) -> None:
    assert one(weeks(healthy(), percents), "capacity.filesystem.filling")["severity"] == severity


def test_inodes_fill_up_too() -> None:
    host = healthy()
    for place in range(5):
        host.time = NOW + 7 * DAY * place
        host.filesystems["/var"] = room(50, inodes_percent=40 + 10 * place)
        result = run(host)
    found = one(result, "capacity.inodes.filling")
    assert found["severity"] == "medium"
    assert "out of inodes" in found["summary"]


def test_an_afternoon_of_trial_runs_is_no_trend() -> None:
    host = healthy()
    for place in range(40):
        host.time = NOW + 600 * place
        host.filesystems["/var"] = room(50 + place)
        result = run(host)
    assert told(result) == []


def test_the_store_can_hand_in_samples() -> None:
    host = healthy(filesystems={"/var": room(80)})
    used = [int(20 * GIB * 4096 * percent / 100) for percent in (50, 60, 70)]
    samples = [
        {
            "mount": "/var",
            "time": NOW - 7 * DAY * (3 - place),
            "used_bytes": value,
            "usable_bytes": None,
            "inodes_used": None,
            "inodes_usable": None,
        }
        for place, value in enumerate(used)
    ]
    result = run(host, history=False, samples=samples)
    assert one(result, "capacity.filesystem.filling")["severity"] == "medium"
    assert host.written == {}
    assert result["history"]["why"] == "the option history is off"


def test_check_mode_writes_nothing_and_says_so() -> None:
    host = healthy()
    result = review(host, dict(defaults(), check_mode=True))
    assert host.written == {}
    assert result["history"] == {
        "path": HISTORY,
        "written": False,
        "samples": 1,
        "why": "check mode: nothing is written",
    }


@pytest.mark.parametrize("text", ["{", b"\xff\xfe\x00", "[]", "x" * 5_000_000])
def test_a_corrupt_history_is_set_aside_and_told(text: str | bytes) -> None:
    host = healthy(files={HISTORY: text})
    result = run(host)
    assert told(result) == [("capacity.history.unusable", HISTORY, "low")]
    assert host.renamed == [(HISTORY, HISTORY + ".unusable")]
    assert json.loads(host.written[HISTORY])["format"] == 1
    assert told(run(host)) == []


def test_a_corrupt_history_stays_where_it_is_in_check_mode() -> None:
    host = healthy(files={HISTORY: "{"})
    result = review(host, dict(defaults(), check_mode=True))
    assert told(result) == [("capacity.history.unusable", HISTORY, "low")]
    assert host.renamed == []
    assert host.files[HISTORY] == "{"


def test_a_history_that_cannot_be_kept() -> None:
    result = run(healthy(write_error="No space left on device"))
    assert told(result) == [("capacity.history.unusable", HISTORY, "low")]


def test_who_may_not_keep_the_history_is_told_once_to_be_root() -> None:
    result = run(healthy(write_error="Permission denied", root=False))
    found = one(result, "capacity.check.not_run")
    assert found["subject"] == "capacity.history.unusable"
    assert AS_ROOT in found["remedy"] and "capacity_history_path" in found["remedy"]
    assert covered(result, "capacity.history.unusable") == set()
    # Where another finding says it already, the history and the disks need none of their own.
    host = healthy(write_error="Permission denied", root=False, denied=["/etc/ssl/private"], programs=["smartctl"])
    result = run(host, smart_devices=["/dev/sda"])
    assert one(result, "capacity.check.not_run")["subject"] == "capacity.certificate.expiring"
    left_out = {entry["check"]: entry["force"] for entry in result["not_applicable"]}
    for check in ("capacity.history.unusable", "capacity.disk.failing"):
        assert AS_ROOT in left_out[check]
        assert covered(result, check) == set()


def test_a_history_that_may_not_be_seen_is_not_taken_for_none() -> None:
    host = healthy(root=False, files={HISTORY: "{}"}, denied=["/var/lib/upkeep"])
    assert "it cannot be read" in one(run(host), "capacity.check.not_run")["summary"]
    assert host.written == {}


def test_disks_that_only_root_may_ask_are_told() -> None:
    result = run(healthy(root=False, programs=["smartctl"]), smart_devices=["/dev/sda"])
    found = one(result, "capacity.check.not_run")
    assert (found["subject"], found["remedy"]) == ("capacity.disk.failing", AS_ROOT)


def test_what_cannot_be_forced_names_no_way() -> None:
    result = run(healthy(files={"/run/systemd/system/x": None}))
    left_out = {entry["check"]: entry["force"] for entry in result["not_applicable"]}
    assert left_out["capacity.unit.failed"] == left_out["capacity.system.not_running"] == ""


def test_a_container_is_named_with_its_kind() -> None:
    left_out = {entry["check"]: entry["why"] for entry in run(healthy(files={"/.dockerenv": ""}))["not_applicable"]}
    assert left_out["capacity.load.high"] == "in this container (docker) it is the machine's"
    forced = {entry["check"]: entry["why"] for entry in run(healthy(), host_kind="container")["not_applicable"]}
    assert forced["capacity.load.high"] == "in this container it is the machine's"


# --- Containers ---


@pytest.mark.parametrize(
    "mark",
    [{"/run/systemd/container": "systemd-nspawn\n"}, {"/proc/1/environ": "A=b\0container=lxc\0"}, {"/.dockerenv": ""}],
)
def test_a_container_is_not_blamed_for_the_machine_outside(mark: dict[str, str]) -> None:
    files = {
        **mark,
        "/proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 10 kB\nSwapTotal: 100 kB\nSwapFree: 0 kB\n",
        "/proc/loadavg": "99 99 99.00 1/32000 1\n",
        "/proc/sys/fs/file-nr": "99\t0\t100\n",
        "/proc/mdstat": RAID,
        "/proc/vmstat": "oom_kill 7\n",
    }
    broken: dict[str, Any] = {"clock_error": 16.0, "kernel_records": [MEDIUM_ERROR, OOM]}
    result = run(healthy(files=files, **broken))
    assert told(result) == []
    skipped = {entry["check"] for entry in result["not_applicable"]}
    for check in (
        "memory.low",
        "swap.used",
        "load.high",
        "files.exhausted",
        "kernel.errors",
        "raid.degraded",
        "clock.unsynchronised",
    ):
        assert "capacity." + check in skipped
        assert covered(result, "capacity." + check) == set()
    forced = run(healthy(files=files, **broken), host_kind="machine")
    assert {entry[0] for entry in told(forced)} == {
        "capacity." + check
        for check in (
            *("memory.low", "memory.oom", "swap.used", "load.high", "files.exhausted", "processes.exhausted"),
            *("kernel.errors", "raid.degraded", "clock.unsynchronised"),
        )
    }


def test_a_container_is_judged_by_its_own_limits() -> None:
    files = {
        "/run/systemd/container": "systemd-nspawn",
        "/sys/fs/cgroup/memory.max": "1000000000\n",
        "/sys/fs/cgroup/memory.current": "980000000\n",
        "/sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 1000\n",
        "/sys/fs/cgroup/memory.events": "low 0\noom 3\noom_kill 3\n",
        "/sys/fs/cgroup/pids.current": "95\n",
        "/sys/fs/cgroup/pids.max": "100\n",
    }
    cached = {**files, "/sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 900000000\n"}
    assert ("capacity.memory.low", "memory", "high") not in told(run(healthy(files=cached)))
    assert told(run(healthy(files=files))) == [
        ("capacity.memory.low", "memory", "high"),
        ("capacity.memory.oom", "memory", "info"),
        ("capacity.processes.exhausted", "processes", "high"),
    ]


# --- The kernel's log ---


def test_the_journal_is_asked_for_what_the_kernel_no_longer_has() -> None:
    since = int(NOW - 8 * DAY)
    argv = (*KERNEL, f"--since=@{since}", "_TRANSPORT=kernel")
    line = f"{int(NOW - DAY)}.5 web1 kernel: EXT4-fs error (device vdb): x\n"
    wrapped = healthy(
        files={"/var/log/journal/x": ""}, kernel_records=["6,500,8639999000000,-;chatter"], commands={argv: line}
    )
    result = run(wrapped)
    assert told(result) == [("capacity.kernel.errors", "vdb", "high")]
    assert covered(result, "capacity.kernel.errors") == set()  # the journal has nothing from before
    assert covered(result, "capacity.memory.oom") == {"*"}
    proven = {argv: line, (*BEFORE, f"--until=@{since}"): f"{since - 5}.0 web1 systemd[1]: Started.\n"}
    wrapped.commands.update(proven)
    assert covered(run(wrapped), "capacity.kernel.errors") == {"*"}
    booted = healthy(files={"/var/log/journal/x": "", "/proc/uptime": "3600 1\n"}, commands={argv: line})
    assert told(run(booted)) == [("capacity.kernel.errors", "vdb", "high")]
    assert covered(run(booted), "capacity.memory.oom") == set()
    booted.commands.update(proven)
    assert covered(run(booted), "capacity.memory.oom") == {"*"}
    booted.commands[argv] = line * 20_000  # there may be more
    flooded = run(booted)
    assert covered(flooded, "capacity.kernel.errors") == set()
    assert any(
        "reaches back only to 2026-09-20" in entry["why"] and "/var/log/journal" in entry["force"]
        for entry in flooded["not_applicable"]
    )
    whole = healthy(files={"/var/log/journal/x": ""}, commands={argv: line})
    assert told(run(whole)) == []
    assert list(argv) not in whole.ran


# --- SMART ---


def smart(answer: Any, **changes: Any) -> FakeHost:
    files = {"/sys/block/sda/device/model": "WDC WD3200BEVT\n", "/sys/block/sda/device/vendor": "ATA\n"}
    output = answer if isinstance(answer, (str, Ran)) else json.dumps(answer)
    return healthy(files={**files, **changes.pop("files", {})}, commands={(*SMART, "/dev/sda"): output}, **changes)


def ata(*rows: tuple[int, int, str], passed: bool = True) -> dict[str, Any]:
    table = [
        {"id": number, "name": "Some_Name", "when_failed": when, "raw": {"value": raw}} for number, raw, when in rows
    ]
    return {"model_name": "WDC", "smart_status": {"passed": passed}, "ata_smart_attributes": {"table": table}}


def nvme(**values: int) -> dict[str, Any]:
    good = {
        "critical_warning": 0,
        "available_spare": 100,
        "available_spare_threshold": 10,
        "percentage_used": 6,
        "media_errors": 0,
    }
    return {"smart_status": {"passed": True}, "nvme_smart_health_information_log": {**good, **values}}


@pytest.mark.parametrize(
    ("answer", "severity"),
    [
        (ata((5, 0, ""), (9, 19004, ""), (197, 0, ""), (190, 27, "past")), None),
        (ata((5, 535, "now"), (187, 84, ""), (197, 1, ""), passed=False), "critical"),
        (ata((5, 3, "")), "low"),
        (ata((197, 8, "")), "medium"),
        (ata((1, 8, "NOW")), "high"),
        (nvme(), None),
        (nvme(critical_warning=4), "high"),
        (nvme(available_spare=5), "high"),
        (nvme(percentage_used=101), "medium"),
        (nvme(media_errors=2), "medium"),
        ({"smart_status": {"passed": True}, "ata_smart_attributes": {"table": [None, 5, {"id": "x", "raw": 3}]}}, None),
    ],
)
def test_smart(answer: dict[str, Any], severity: str | None) -> None:
    result = run(smart(answer))
    expected = [("capacity.disk.failing", "/dev/sda", severity)] if severity else []
    assert told(result) == expected
    assert covered(result, "capacity.disk.failing") == {"/dev/sda"}


@pytest.mark.parametrize(
    "output",
    [
        {"smartctl": {"messages": [{"string": "/dev/sda: Unable to detect device type"}]}},
        "smartctl 6.6 2017-11-05 r4594\n=======> UNRECOGNIZED OPTION: json\n",
        Ran(None, "", ""),
        "[]",
        '{"smartctl": 5, "ata_smart_attributes": []}',
    ],
)
def test_a_disk_that_tells_nothing_is_a_check_that_did_not_run(output: Any) -> None:
    result = run(smart(output))
    assert told(result) == [("capacity.check.not_run", "capacity.disk.failing", "medium")]
    assert covered(result, "capacity.disk.failing") == set()


def test_a_sleeping_disk_is_left_asleep() -> None:
    message = {"string": "Device is in STANDBY mode, exit(2)", "severity": "information"}
    result = run(smart({"smartctl": {"messages": [message], "exit_status": 2}}))
    assert told(result) == []
    assert covered(result, "capacity.disk.failing") == set()
    assert "/dev/sda is asleep" in [entry["why"] for entry in result["not_applicable"]]


@pytest.mark.parametrize("model", ["QEMU HARDDISK", "Virtual disk", "VBOX HARDDISK"])
def test_a_virtual_disk_is_not_asked(model: str) -> None:
    host = smart(ata(passed=False), files={"/sys/block/sda/device/model": model})
    assert told(run(host)) == []
    assert ("capacity.disk.failing", "/dev/sda", "critical") in told(run(host, smart_devices=["/dev/sda"]))


# --- Certificates: data/rsa.pem is valid for 90 days until 2027-02-20 11:42:13 UTC ---
END = 1_803_123_733.0


@pytest.mark.parametrize(
    ("days_left", "severity"), [(25, None), (22, "medium"), (8, "medium"), (6, "high"), (-1, "high"), (-1000, "high")]
)
def test_a_certificate_in_use(days_left: float, severity: str | None) -> None:
    config = "ssl_certificate tls/site.pem; # ours\n  #ssl_certificate /etc/old.pem;\n  ssl_certificate $name.pem;\n"
    files: dict[str, Any] = {
        "/etc/nginx/sites-enabled/default": config,
        "/etc/nginx/tls/site.pem": cert("rsa") + cert("ec"),
    }
    result = run(healthy(files=files, now=END - days_left * DAY))
    path = "/etc/nginx/tls/site.pem"
    assert told(result) == ([("capacity.certificate.expiring", path, severity)] if severity else [])
    assert result["certificates"] == [
        {"path": path, "used_by": ["nginx"], "name": "www.example.com", "not_after": "2027-02-20"}
    ]


@pytest.mark.parametrize(("days_left", "severity"), [(8, None), (7, "medium"), (4, "medium"), (3.5, "high")])
def test_a_short_life_is_renewed_late(days_left: float, severity: str | None) -> None:
    """data/nocn.pem is valid for 30 days, until 2026-12-22 11:42:13 UTC."""
    path = "/etc/letsencrypt/live/a/fullchain.pem"
    files: dict[str, Any] = {path: cert("nocn")}
    result = run(healthy(files=files, now=1_797_939_733.0 - days_left * DAY))
    assert told(result) == ([("capacity.certificate.expiring", path, severity)] if severity else [])


def test_a_certificate_that_only_lies_there() -> None:
    files: dict[str, Any] = {
        "/etc/ssl/private/old.pem": cert("rsa"),
        "/etc/ssl/private/key.pem": "-----BEGIN PRIVATE KEY-----\n",
    }
    result = run(healthy(files=files, now=END + DAY))
    assert told(result) == [("capacity.certificate.expiring", "/etc/ssl/private/old.pem", "low")]
    assert covered(result, "capacity.certificate.expiring") == {"*"}


def test_a_store_of_authorities_is_left_alone() -> None:
    assert told(run(healthy(files={"/etc/ssl/ca.pem": cert("rsa") * 50}, now=END + DAY))) == []


@pytest.mark.parametrize(
    "content", [b"\x30\x82\xff\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", b"", b"\xff" * 99]
)
def test_a_certificate_in_use_that_cannot_be_read(content: bytes) -> None:
    files: dict[str, Any] = {
        "/etc/postfix/main.cf": "smtpd_tls_cert_file = /etc/mail.pem\nsmtp_tls_cert_file=/not/there.pem\n",
        "/etc/mail.pem": content,
    }
    result = run(healthy(files=files))
    found = one(result, "capacity.check.not_run")
    assert found["subject"] == "capacity.certificate.expiring"
    assert found["evidence"][0].startswith("/etc/mail.pem (postfix): ")
    assert covered(result, "capacity.certificate.expiring") == set()


@pytest.mark.parametrize(
    ("config", "text", "path"),
    [
        ("/etc/apache2/sites-enabled/a.conf", '  SSLCertificateFile "/srv/a.pem"\n', "/srv/a.pem"),
        ("/etc/haproxy/haproxy.cfg", "frontend x\n  bind *:443 ssl crt /srv/a.pem alpn h2\n", "/srv/a.pem"),
        ("/etc/haproxy/haproxy.cfg", "  bind *:443 ssl crt /srv/certs/ alpn h2\n", "/srv/certs/b.pem"),
        ("/etc/postgresql/15/main/postgresql.conf", "ssl_cert_file = '/srv/a.pem'\t# x\n", "/srv/a.pem"),
        ("/etc/dovecot/conf.d/10-ssl.conf", "ssl_cert = </srv/a.pem\n", "/srv/a.pem"),
        ("/etc/mysql/mariadb.conf.d/50-server.cnf", "[mysqld]\nssl-cert = /srv/a.pem\n", "/srv/a.pem"),
        ("/etc/openvpn/server/x.conf", "cert /srv/a.pem\n", "/srv/a.pem"),
        ("/etc/docker/daemon.json", '{"tlscert": "/srv/a.pem"}', "/srv/a.pem"),
    ],
)
def test_what_services_use_is_found(config: str, text: str, path: str) -> None:
    files: dict[str, Any] = {config: text, "/srv/a.pem": cert("rsa"), "/srv/certs/b.pem": cert("rsa")}
    assert [entry["path"] for entry in run(healthy(files=files))["certificates"]] == [path]
    assert run(healthy(files=files), certificates_of_services=False)["certificates"] == []


@pytest.mark.parametrize(
    "denied",
    [
        "/etc/ssl/private",  # a folder that patterns look into
        "/etc/kubernetes",  # above such a one
        "/var/lib/kubelet",  # above a file without a pattern
        "/etc/letsencrypt/live/b",  # among what a pattern matches
        "/srv/tls/site.pem",  # named by a service
        "/srv/tls",
        "/etc/ssl/closed.pem",
        "/etc/haproxy/haproxy.cfg",  # who knows what it names
        "/etc/nginx/sites-enabled",
    ],
)
def test_certificates_that_may_not_be_read_are_told_and_the_others_judged(denied: str) -> None:
    check, path = "capacity.certificate.expiring", "/etc/letsencrypt/live/a/fullchain.pem"
    files: dict[str, Any] = {
        path: cert("rsa"),
        "/etc/letsencrypt/live/a": "",  # the folders themselves, which a pattern matches
        "/etc/letsencrypt/live/b": "",
        "/etc/letsencrypt/live/b/fullchain.pem": cert("rsa"),
        "/etc/nginx/nginx.conf": "ssl_certificate /srv/tls/site.pem;\n",
        "/srv/tls/site.pem": cert("rsa"),
        "/etc/ssl/closed.pem": cert("rsa"),
    }
    result = run(healthy(files=files, root=False, denied=[denied], now=END + DAY))
    found = one(result, "capacity.check.not_run")
    assert (found["subject"], found["remedy"], found["severity"]) == (check, AS_ROOT, "medium")
    assert all(line.startswith(denied) and line.endswith(": permission denied") for line in found["evidence"])
    assert (check, path, "high") in told(result)
    assert "*" not in covered(result, check) and path in covered(result, check)


def test_an_account_that_may_read_every_certificate_covers_them() -> None:
    files: dict[str, Any] = {"/etc/letsencrypt/live/a/fullchain.pem": cert("ec")}
    result = run(healthy(files=files, root=False))
    assert told(result) == []
    assert covered(result, "capacity.certificate.expiring") == {"*"}


def test_no_private_key_leaves_the_host() -> None:
    secret = "MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGB"
    key = f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"
    files: dict[str, Any] = {"/etc/letsencrypt/live/a/fullchain.pem": key.encode() + cert("rsa")}
    result = run(healthy(files=files, now=END + DAY))
    assert told(result)
    assert secret not in json.dumps(result)


# --- Whatever the host says ---


@pytest.mark.parametrize("name", sorted(healthy().files))
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x80" * 50, b"-1 -1 -1 -1/-1\n" * 20, b"A" * 200_000, None])
def test_no_file_of_the_host_can_break_the_review(name: str, content: bytes | None) -> None:
    """The review ends, keeps the contract, and whatever it could not read is told as a check that did not run."""
    result = review(healthy(files={name: content}), dict(defaults(), check_mode=False))
    for finding in result["findings"]:
        assert contract_errors(finding) == []
    json.dumps(result, allow_nan=False)
    assert covered(result, "capacity.certificate.expiring")
