# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's log says of failing disks, damaged filesystems and processes that it killed. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

# journalctl -o short-unix
_JOURNAL = re.compile(r"(\d+\.\d+) \S+ kernel: (.*)")


class Entry(NamedTuple):
    """A line of the kernel's log; ``time`` in seconds since the epoch."""

    time: float
    message: str


class Trouble(NamedTuple):
    """What a line tells: the device (or process) that it is about, how bad it is, and what it is, in words."""

    subject: str
    severity: str
    kind: str
    entry: Entry


_FILESYSTEM = "filesystem error"
_DISK = "disk error"
# Each begins where the kernel's own message begins: a name that a user chose cannot stand there.
_TROUBLES: tuple[tuple[str, str, str], ...] = (
    (r"EXT[234]-fs error \(device (?P<d>[^)]+)\)", "high", _FILESYSTEM),
    (
        r"EXT[234]-fs \((?P<d>[^)]+)\): (?:Remounting filesystem read-only|failed to convert unwritten)",
        "high",
        _FILESYSTEM,
    ),
    (r"Aborting journal on device (?P<d>[^ .]+?)(?:-\d+)?\.", "high", _FILESYSTEM),
    (r"JBD2: .*error.* (?:on|for) (?P<d>[a-z][^ ]*?)(?:-\d+)?[.:]?$", "high", _FILESYSTEM),
    (
        r"XFS \((?P<d>[^)]+)\): (?:.*[Cc]orruption|[Mm]etadata (?:I/O|CRC) error|log I/O error|xfs_do_force_shutdown"
        r"|[Ff]ilesystem has been shut down|writeback error|Unmount and run xfs_repair)",
        "high",
        _FILESYSTEM,
    ),
    (r"BTRFS (?:error|critical|alert) \(device (?P<d>[^ ):]+)", "high", _FILESYSTEM),
    (r"BTRFS: error \(device (?P<d>[^ ):]+)", "high", _FILESYSTEM),
    (
        r"BTRFS warning \(device (?P<d>[^ ):]+)[^)]*\): (?:csum failed|checksum error|checksum verify failed)",
        "high",
        _FILESYSTEM,
    ),
    (r"FAT-fs \((?P<d>[^)]+)\): error", "medium", _FILESYSTEM),
    (r"F2FS-fs \((?P<d>[^)]+)\): .*(?:inconsisten|corrupt|[Ii]nvalid)", "high", _FILESYSTEM),
    (r"GFS2: fsid=(?P<d>[^ :]+).*(?:withdraw|fatal)", "high", _FILESYSTEM),
    (r"(?:[a-z_]+: )?(?:critical )?(?:I/O|medium|target|nexus|protection) error, dev (?P<d>[^ ,]+)", "high", _DISK),
    (r"Buffer I/O error on dev(?:ice)? (?P<d>[^ ,]+)", "high", _DISK),
    (r"sd [0-9:]+: \[(?P<d>[^]]+)\].*Sense Key : (?:Medium|Hardware) Error", "high", _DISK),
    (r"sd [0-9:]+: (?:\[(?P<d>[^]]+)\] )?rejecting I/O to offline device", "high", _DISK),
    (
        r"nvme (?P<d>nvme\d+): (?:controller is down|Device not ready|Removing after probe|Disabling device)",
        "high",
        _DISK,
    ),
    (r"nvme (?P<d>nvme\d+): I/O .*(?:timeout|abort)", "medium", _DISK),
    (r"(?P<d>ata\d+)(?:\.\d+)?: (?:failed command: |error: \{ (?:UNC|ABRT))", "medium", _DISK),
    (r"md/[a-z0-9]+:(?P<d>md\d+): (?:Disk failure|Operation continuing|.*read error)", "high", _DISK),
    (r"(?P<d>EDAC) MC\d+: \d+ UE ", "high", "memory error that was not corrected"),
    (r"(?P<d>EDAC) MC\d+: \d+ CE ", "low", "memory error that was corrected"),
    (r"(?P<d>mce): \[Hardware Error\]: (?!Machine check events logged)", "medium", "hardware error"),
    (r"(?P<d>INFO: task) .{1,200} blocked for more than \d+ seconds", "medium", "task that hangs"),
)
# Only one pattern is tried on most lines: that none of these words is in them.
_HINT = re.compile(r"error|Error|EXT|XFS|BTRFS|journal|offline|nvme|ata\d|md/|EDAC|blocked|F2FS|GFS2|JBD2")
# "Killed process 123 (name)" since Linux 4.19; before that "Kill process 123 (name) score".
_OOM = re.compile(
    r"(?:(?:Memory cgroup out|Out) of memory: )?Kill(?:ed)? process \d+ \((.{0,64}?)\),? (?:total-vm|score|UID)"
)
_SUBJECTS = {"EDAC": "memory", "mce": "hardware", "INFO: task": "hung tasks"}


def records(lines: list[str], boot: float) -> tuple[list[Entry], float | None]:
    """Entries of the kernel's own (userspace can write there too), and the moment that the log reaches back to.

    That is the boot, or the oldest record once older ones have been pushed out; None when there is no record.

    A record is ``priority,sequence number,microseconds since boot,flags;message``, with lines of keys behind it
    (Documentation/ABI/testing/dev-kmsg). ``boot`` is the time of boot in seconds since the epoch.
    """
    entries = []
    reaches = None
    for line in lines:
        head, separator, message = line.partition(";")
        fields = head.split(",")
        if not separator or not all(field.isdecimal() for field in fields[:3]) or len(fields) < 3:
            continue
        if reaches is None:
            reaches = boot + int(fields[2]) / 1e6 if int(fields[1]) else boot
        if int(fields[0]) < 8:  # facility 0, kern
            entries.append(Entry(boot + int(fields[2]) / 1e6, message.split("\n", 1)[0]))
    return entries, reaches


def journal(text: str) -> list[Entry]:
    """Entries of ``journalctl -o short-unix``."""
    matches = (_JOURNAL.match(line) for line in text.splitlines())
    return [Entry(float(match.group(1)), match.group(2)) for match in matches if match]


def troubles(entries: list[Entry]) -> list[Trouble]:
    """What these lines tell of disks, filesystems and hardware."""
    found = []
    for entry in entries:
        message = entry.message[:1000]
        if not _HINT.search(message):
            continue
        for pattern, severity, kind in _TROUBLES:
            match = re.match(pattern, message)  # compiled when a line first needs it: most logs have none
            if match:
                device = match.group("d") or "an unnamed disk"
                found.append(Trouble(_SUBJECTS.get(device, device), severity, kind, entry))
                break
    return found


def killed(entries: list[Entry]) -> list[Trouble]:
    """The processes that were killed because memory had run out."""
    found = []
    for entry in entries:
        match = _OOM.match(entry.message[:1000]) if "process" in entry.message else None
        if match:
            found.append(Trouble(match.group(1), "high", "killed for want of memory", entry))
    return found
