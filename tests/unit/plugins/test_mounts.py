# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted: real tables of several kinds of hosts, and hostile ones."""

from __future__ import annotations

import time

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _mounts as mounts
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Statvfs

# A Debian 12 virtual machine with a bind mount, Docker, NFS and snaps; shortened.
MACHINE = b"""\
22 27 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
23 27 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
26 27 0:24 / /run rw,nosuid,nodev,noexec,relatime shared:5 - tmpfs tmpfs rw,size=404356k,mode=755,inode64
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 27 254:15 / /boot/efi rw,relatime shared:60 - vfat /dev/vda15 rw,fmask=0022,dmask=0022
31 27 254:16 / /var rw,relatime shared:61 - ext4 /dev/vdb rw
32 27 254:16 /lib/docker /srv/docker rw,relatime shared:61 - ext4 /dev/vdb rw
33 31 0:50 / /var/lib/docker/overlay2/ab12/merged rw,relatime shared:200 - overlay overlay rw,lowerdir=/l,upperdir=/u
34 27 0:51 / /mnt/nfs rw,relatime shared:201 - nfs4 nas:/export rw,vers=4.2,hard,addr=10.0.0.1
35 27 7:0 / /snap/core/1 ro,nodev,relatime shared:202 - squashfs /dev/loop0 ro
36 27 0:52 / /mnt/auto rw,relatime shared:203 - autofs systemd-1 rw,fd=50
"""

# What systemd-nspawn gives a host of the test fleet; shortened.
NSPAWN = b"""\
1014 1013 0:62 / / rw,relatime shared:407 - overlay overlay rw,lowerdir=/base,upperdir=/h/upper,uuid=on
1020 1014 0:65 / /dev rw,nosuid shared:409 - tmpfs tmpfs rw,size=4096k,nr_inodes=65536,mode=755
1040 1014 0:70 / /run rw,nosuid,nodev shared:412 - tmpfs tmpfs rw,size=4936820k,nr_inodes=819200,mode=755
1041 1040 0:66 /systemd/nspawn/incoming /run/host/incoming ro,nosuid,nodev,noexec,relatime master:3 - tmpfs tmpfs rw
1050 1014 254:0 /usr/lib/os-release /run/host/os-release ro,nosuid,nodev,noexec,relatime - ext4 /dev/vda rw
"""


def chosen(data: bytes, *exclude: str) -> list[str]:
    return [mount.path for mount in mounts.candidates(mounts.parse_mountinfo(data), exclude, ())]


def answer(
    blocks: int = 1000, free: int = 500, available: int = 500, files: int = 100, files_free: int = 50
) -> Statvfs:
    return Statvfs(blocks, free, available, 4096, files, files_free)


def test_each_filesystem_once() -> None:
    paths = ["/run", "/", "/boot/efi", "/var", "/var/lib/docker/overlay2/ab12/merged", "/mnt/nfs"]
    assert chosen(MACHINE) == paths


def test_a_container() -> None:
    assert chosen(NSPAWN) == ["/", "/dev", "/run", "/run/host/incoming", "/run/host/os-release"]
    single = {"/run/host/os-release": answer()._replace(folder=False)}
    assert mounts.figures(mounts.parse_mountinfo(NSPAWN), single) == []  # a single file is not ours to judge


def test_a_part_bound_to_a_shorter_path_does_not_stand_for_the_whole() -> None:
    assert chosen(b"1 1 8:1 /lib /a rw - ext4 /dev/x rw\n2 1 8:1 / /mnt/data rw - ext4 /dev/x rw\n") == ["/mnt/data"]
    assert chosen(b"1 1 8:1 / /a ro - ext4 /dev/x rw\n2 1 8:1 / /mnt/data rw - ext4 /dev/x rw\n") == ["/mnt/data"]


def test_left_out_on_demand() -> None:
    assert "/mnt/nfs" not in chosen(MACHINE, "/mnt/*")
    table = mounts.parse_mountinfo(MACHINE)
    assert [mount.path for mount in mounts.candidates(table, (), ("ext4", "tmpfs", "vfat", "overlay"))] == ["/mnt/nfs"]


def test_the_topmost_of_two_on_one_place() -> None:
    table = mounts.parse_mountinfo(
        b"24 1 0:6 / /mnt rw - ext4 /dev/old rw\n25 1 0:7 / /mnt rw,relatime - xfs /dev/new rw,attr2\n"
    )
    assert [(mount.source, mount.type) for mount in table] == [("/dev/new", "xfs")]


@pytest.mark.parametrize(
    ("written", "path"),
    [
        (b"/a\\040b", "/a b"),
        (b"/new\\012line", "/new\nline"),
        (b"/tab\\011", "/tab\t"),
        (b"/back\\134slash", "/back\\slash"),
        (b"/esc\x1b[31mred", "/esc\x1b[31mred"),
        (b"/by\xffte", "/by\udcffte"),
        ("/ü".encode(), "/ü"),
    ],
)
def test_strange_names(written: bytes, path: str) -> None:
    table = mounts.parse_mountinfo(b"1 1 8:1 / " + written + b" rw shared:1 - ext4 /dev/sda1 rw\n")
    assert [mount.path for mount in table] == [path]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"garbage",
        b"1 1 8:1 / /x rw",
        b" - ",
        b"1 1 8:1 / /x rw - ext4",
        b"\x00\x01",
        b"1 1 8:1 / /x rw shared:1 -",
    ],
)
def test_lines_that_make_no_sense_are_left_out(line: bytes) -> None:
    assert [mount.path for mount in mounts.parse_mountinfo(line + b"\n" + MACHINE)][-1] == "/mnt/auto"
    assert len(mounts.parse_mountinfo(line + b"\n" + MACHINE)) == 11


def test_an_empty_source() -> None:
    (mount,) = mounts.parse_mountinfo(b"1 1 0:9 / /x rw - tmpfs  rw,size=1k\n")
    assert (mount.source, mount.super_options) == ("", {"rw", "size=1k"})


def test_five_thousand_mounts_are_quick() -> None:
    lines = [b"%d 1 0:%d / /m\\040%d rw,relatime shared:1 - tmpfs tmpfs rw" % (n, n, n) for n in range(5_000)]
    start = time.process_time()
    table = mounts.parse_mountinfo(b"\n".join(lines))
    assert len(mounts.candidates(table, ("/run/credentials/*",), ())) == 5_000
    assert time.process_time() - start < 0.5


def test_figures_as_df_has_them() -> None:
    """df -B1 of a filesystem with 5 % reserved for root: 100 * 600 / (600 + 350), not 60 %."""
    (entry,) = mounts.figures(mounts.parse_mountinfo(MACHINE), {"/": answer(1000, 400, 350)})
    assert entry["used_percent"] == 63.16
    assert entry["reserved_bytes"] == 50 * 4096
    assert entry["size_bytes"] == 1000 * 4096
    assert (entry["inodes"], entry["inodes_used"], entry["inodes_used_percent"]) == (100, 50, 50.0)


@pytest.mark.parametrize("available", [2**64 - 17, -17, 1001])
def test_less_than_nothing_available(available: int) -> None:
    (entry,) = mounts.figures(mounts.parse_mountinfo(MACHINE), {"/": answer(1000, 10, available)})
    assert (entry["available_bytes"], entry["used_percent"]) == (0, 100.0)


@pytest.mark.parametrize(("files", "files_free"), [(0, 0), (2**64 - 1, 5), (10, 11), (-1, -1)])
def test_no_inodes_to_count(files: int, files_free: int) -> None:
    (entry,) = mounts.figures(mounts.parse_mountinfo(MACHINE), {"/": answer(files=files, files_free=files_free)})
    assert entry["inodes"] is None
    assert entry["inodes_used_percent"] is None


def test_what_has_no_size_is_left_out() -> None:
    answers = {"/": Statvfs(block_size=4096), "/var": None, "/run": Statvfs(error="Permission denied")}
    assert mounts.figures(mounts.parse_mountinfo(MACHINE), answers) == []


def test_an_overlay_shows_the_filesystem_below_it_once() -> None:
    table = mounts.parse_mountinfo(MACHINE)
    merged = "/var/lib/docker/overlay2/ab12/merged"
    same = mounts.figures(table, {"/var": answer(1000), merged: answer(1000, 499)})
    assert [entry["mount"] for entry in same] == ["/var"]
    other = mounts.figures(table, {"/var": answer(1000), merged: answer(2000)})
    assert {entry["mount"] for entry in other} == {"/var", merged}
    assert [entry["mount"] for entry in mounts.figures(mounts.parse_mountinfo(NSPAWN), {"/": answer()})] == ["/"]


def test_the_datasets_of_a_pool_share_its_room() -> None:
    table = mounts.parse_mountinfo(
        b"1 1 0:1 / /tank rw - zfs tank rw\n2 1 0:2 / /tank/a rw - zfs tank/a rw\n3 1 0:3 / /other rw - zfs other rw\n"
    )
    answers = {"/tank": answer(600, 500), "/tank/a": answer(9500, 500), "/other": answer(9000, 8000, 8000)}
    assert {entry["mount"] for entry in mounts.figures(table, answers)} == {"/tank/a", "/other"}


FSTAB = """\
# /etc/fstab
UUID=1234 / ext4 errors=remount-ro 0 1
UUID=5678 /var ext4 defaults 0 2
LABEL=x /mnt/with\\040space xfs defaults 0 2
/dev/cd /mnt/cd iso9660 ro,noauto 0 0
/dev/sdz /mnt/manual ext4 noauto 0 0
server:/x /mnt/ro nfs ro 0 0
broken line
"""


@pytest.mark.parametrize(
    ("line", "closed"),
    [
        (b"1 1 8:1 / / rw,relatime - ext4 /dev/vda1 rw,errors=remount-ro", False),
        (b"1 1 8:1 / / ro,relatime - ext4 /dev/vda1 ro,errors=remount-ro", True),
        (b"1 1 8:1 / / rw,relatime - ext4 /dev/vda1 ro,errors=remount-ro", True),
        (b"1 1 8:1 / /var ro - ext4 /dev/vdb rw", True),
        (b"1 1 8:1 / /mnt/with\\040space ro - xfs /dev/vdc ro", True),
        (b"1 1 8:1 / /mnt/manual ro - ext4 /dev/sdz ro", False),
        (b"1 1 8:1 / /mnt/ro ro - nfs server:/x ro", False),
        (b"1 1 8:1 / /not/in/fstab ro - ext4 /dev/vdd ro", False),
        # As Linux 6.18 shows an ext4 whose folder block was overwritten, mounted with errors=remount-ro.
        (b"1002 715 7:2 / /mnt rw,relatime - ext4 /dev/loop2 rw,errors=remount-ro,emergency_ro", True),
        (b"1 1 8:1 / /not/in/fstab rw - xfs /dev/vdd rw,shutdown", True),
        (b"1 1 7:0 / /snap/x ro - squashfs /dev/loop0 ro", False),
    ],
)
def test_read_only_against_the_table(line: bytes, closed: bool) -> None:
    found = mounts.unexpectedly_read_only(mounts.parse_mountinfo(line), mounts.parse_fstab(FSTAB))
    assert bool(found) is closed
