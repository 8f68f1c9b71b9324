# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of real kernels, and lines that only look like them."""

from __future__ import annotations

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._capacity.kernel_log import (
    Entry,
    journal,
    killed,
    records,
    troubles,
)

LINES = [
    ("EXT4-fs error (device sda1): ext4_lookup:1787: inode #2: comm ls: deleted inode referenced: 12", "sda1", "high"),
    ("EXT4-fs error (device dm-3) in ext4_reserve_inode_write:5764: Journal has aborted", "dm-3", "high"),
    (
        "EXT4-fs error (device loop2): htree_dirblock_to_tree:1051: inode #12: comm ls: failed checksum",
        "loop2",
        "high",
    ),
    ("EXT4-fs (sda1): Remounting filesystem read-only", "sda1", "high"),
    ("Aborting journal on device sda1-8.", "sda1", "high"),
    ("Aborting journal on device dm-0-8.", "dm-0", "high"),
    (
        "XFS (dm-1): Metadata corruption detected at xfs_agf_read_verify+0x70/0xc0 [xfs], xfs_agf block 0x1",
        "dm-1",
        "high",
    ),
    ('XFS (sdb1): metadata I/O error in "xfs_trans_read_buf_map" at daddr 0x2 len 1 error 5', "sdb1", "high"),
    ("XFS (sdb1): Filesystem has been shut down due to log error (0x2).", "sdb1", "high"),
    ("BTRFS error (device sdc1): bdev /dev/sdc1 errs: wr 0, rd 5, flush 0, corrupt 0, gen 0", "sdc1", "high"),
    ("BTRFS error (device sdc1: state EA): parent transid verify failed on logical 1 mirror 1", "sdc1", "high"),
    (
        "BTRFS warning (device sdc1): csum failed root 5 ino 257 off 0 csum 0x1 expected csum 0x2 mirror 1",
        "sdc1",
        "high",
    ),
    ("BTRFS critical (device dm-0): corrupt leaf: root=2 block=1 slot=0", "dm-0", "high"),
    ("I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2", "sda", "high"),
    ("blk_update_request: I/O error, dev sdb, sector 12345 op 0x1:(WRITE)", "sdb", "high"),
    ("print_req_error: I/O error, dev sdd, sector 0", "sdd", "high"),
    ("blk_update_request: critical medium error, dev sda, sector 998", "sda", "high"),
    ("critical medium error, dev sda, sector 998 op 0x0:(READ)", "sda", "high"),
    ("Buffer I/O error on dev dm-0, logical block 0, async page read", "dm-0", "high"),
    ("sd 0:0:0:0: [sda] tag#0 Sense Key : Medium Error [current] ", "sda", "high"),
    ("sd 2:0:0:0: rejecting I/O to offline device", "an unnamed disk", "high"),
    ("nvme nvme0: I/O 12 QID 4 timeout, aborting", "nvme0", "medium"),
    ("nvme nvme0: I/O tag 0 (1000) QID 0 timeout, reset controller", "nvme0", "medium"),
    ("nvme nvme1: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0xffff", "nvme1", "high"),
    ("ata3.00: failed command: READ FPDMA QUEUED", "ata3", "medium"),
    ("ata3.00: error: { UNC }", "ata3", "medium"),
    ("md/raid1:md0: Disk failure on sdb1, disabling device.", "md0", "high"),
    ("EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0", "memory", "low"),
    ("EDAC MC0: 1 UE memory read error on CPU_SrcID#0", "memory", "high"),
    ("mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 5: be00000000800400", "hardware", "medium"),
    ("INFO: task jbd2/sda1-8:301 blocked for more than 120 seconds.", "hung tasks", "medium"),
]

HARMLESS = [
    "EXT4-fs (vda): mounted filesystem 0-0 r/w without journal. Quota mode: none.",
    "EXT4-fs (sda1): re-mounted. Opts: errors=remount-ro",
    "XFS (sda1): Ending clean mount",
    "BTRFS info (device sda1): bdev /dev/sda1 errs: wr 0, rd 0, flush 0, corrupt 0, gen 0",
    "Kernel command line: root=/dev/sda1 errors=remount-ro",
    "nvme nvme0: 8/0/0 default/read/poll queues",
    "ata1: SATA link up 6.0 Gbps (SStatus 133 SControl 300)",
    "usb 1-1: Product: EXT4-fs error (device sda1)",
    "IN=eth0 OUT= MAC= SRC=1.2.3.4 I/O error, dev sda",
    "mce: [Hardware Error]: Machine check events logged",
    "systemd[1]: I/O error, dev sda",
    "pcieport 0000:00:1c.0: AER: Corrected error received",
    "",
]


@pytest.mark.parametrize(("line", "device", "severity"), LINES)
def test_troubles(line: str, device: str, severity: str) -> None:
    (trouble,) = troubles([Entry(5.0, line)])
    assert (trouble.subject, trouble.severity) == (device, severity)


@pytest.mark.parametrize("line", HARMLESS)
def test_harmless(line: str) -> None:
    assert troubles([Entry(5.0, line)]) == []
    assert killed([Entry(5.0, line)]) == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Out of memory: Killed process 1234 (mysqld) total-vm:123kB, anon-rss:1kB, UID:105 pgtables:1kB", "mysqld"),
        ("Memory cgroup out of memory: Killed process 99 (java) total-vm:1kB", "java"),
        ("Out of memory: Kill process 77 (httpd) score 987 or sacrifice child", "httpd"),
        ("Killed process 4711 (ruby), UID 33, total-vm:1kB, anon-rss:1kB", "ruby"),
        ("Killed process 77 (a (b)) total-vm:1kB", "a (b)"),
    ],
)
def test_killed(line: str, name: str) -> None:
    assert [trouble.subject for trouble in killed([Entry(5.0, line)])] == [name]


def test_records_of_the_device() -> None:
    """The second was written by a program (facility 1), the third goes on with its keys, the last is none."""
    lines = [
        "3,100,5000000,-;I/O error, dev sda, sector 1\n SUBSYSTEM=block\n DEVICE=b8:0\n",
        "11,101,6000000,-;I/O error, dev sdb, sector 1\n",
        "6,102,7500000,c;done\n",
        "nonsense",
    ]
    entries, reaches = records(lines, 1000.0)
    assert entries == [Entry(1005.0, "I/O error, dev sda, sector 1"), Entry(1007.5, "done")]
    assert reaches == 1005.0  # a hundred records before it have been pushed out
    assert records(["6,0,3000000,-;Linux version"], 1000.0)[1] == 1000.0
    assert records([], 1000.0) == ([], None)


def test_the_journal() -> None:
    text = (
        "1790000000.123456 web1 kernel: EXT4-fs error (device sda1): x\n-- Boot 1234 --\n"
        "1790000001.5 web1 sshd[12]: kernel: I/O error, dev sda\n\ufffd\n"
    )
    assert journal(text) == [Entry(1790000000.123456, "EXT4-fs error (device sda1): x")]


def test_a_long_line_costs_little() -> None:
    line = "XFS (a): " + "corruptio" * 100_000
    assert troubles([Entry(0.0, line)] * 20) == []
