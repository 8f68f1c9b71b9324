# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What btrfs and the kernel say of a subvolume. What is done with it: tests/patching/test_snapshot_fleet.py."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _mounts
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots import btrfs_parse

# btrfs-progs 6.2, a filesystem of 256 MiB.
USAGE = """\
Overall:
    Device size:\t\t         268435456
    Device allocated:\t\t          92274688
    Device unallocated:\t\t         176160768
    Device missing:\t\t                 0
    Device slack:\t\t                 0
    Used:\t\t\t            294912
    Free (estimated):\t\t         184549376\t(min: 96468992)
    Free (statfs, df):\t\t         183500800
    Data ratio:\t\t\t              1.00
    Metadata ratio:\t\t              2.00
    Global reserve:\t\t           5767168\t(used: 0)
    Multiple profiles:\t\t                no

Data,single: Size:8388608, Used:0 (0.00%)
   /dev/loop0\t   8388608

Metadata,DUP: Size:33554432, Used:131072 (0.39%)
   /dev/loop0\t  67108864

System,DUP: Size:8388608, Used:16384 (0.20%)
   /dev/loop0\t  16777216

Unallocated:
   /dev/loop0\t 176160768
"""


def test_room() -> None:
    room = btrfs_parse.room_of(USAGE)
    assert room == (268435456, 96468992, 33554432 - 131072 - 5767168 + 176160768 // 2)
    assert btrfs_parse.lacks_room(room, 10) == ""
    assert btrfs_parse.lacks_room(room, 36) == "35.9 % of its filesystem are free, and room_percent asks for 36 %"
    # All is allocated, and metadata are full: a snapshot would find no room, whatever df says.
    full = USAGE.replace("unallocated:\t\t         176160768", "unallocated:\t\t 0").replace(
        "Used:131072", "Used:33554432"
    )
    assert "metadata" in btrfs_parse.lacks_room(btrfs_parse.room_of(full), 10)
    mixed = USAGE.replace("Data,single: Size:8388608, Used:0", "Data+Metadata,single: Size:8388608, Used:0").replace(
        "Metadata,DUP: Size:33554432", "Other,DUP: Size:33554432"
    )
    assert btrfs_parse.room_of(mixed).metadata == 8388608 - 5767168 + 176160768 // 2


@pytest.mark.parametrize("gone", ["Device size", "Free (estimated)", "Global reserve", "Metadata,DUP"])
def test_room_that_cannot_be_read_is_told(gone: str) -> None:
    with pytest.raises(ValueError, match=r"it (does not say|says nothing)"):
        btrfs_parse.room_of(USAGE.replace(gone, "Otherwise"))


def test_what_the_kernel_says_of_a_subvolume() -> None:
    data = bytearray(btrfs_parse.INFO_BYTES)
    struct.pack_into("=Q256sQQQQ16s16s", data, 0, 259, b"256", 5, 257, 7, 1, b"u" * 16, b"p" * 16)
    told = btrfs_parse.info_of(bytes(data))
    assert told == (259, True, (b"u" * 16).hex(), (b"p" * 16).hex())
    struct.pack_into("=Q16s16s", data, 288, 0, b"u" * 16, b"\0" * 16)
    assert btrfs_parse.info_of(bytes(data))[1:] == (False, (b"u" * 16).hex(), "")
    assert btrfs_parse.GET_SUBVOL_INFO == 0x81F8943C  # linux/btrfs.h, for structures of 504 bytes


def mount(
    path: str = "/srv", root: str = "/@srv", options: str = "rw", supers: str = "subvolid=256,subvol=/@srv"
) -> Any:
    line = f"1 0 0:30 {root} {path} {options} - btrfs /dev/vdb rw,{supers}\n"
    return _mounts.parse_mountinfo(line.encode())[0]


def test_what_cannot_be_swapped() -> None:
    assert btrfs_parse.cannot(mount()) == ""
    assert "top level" in btrfs_parse.cannot(mount(root="/", supers="subvolid=5,subvol=/"))
    assert "only a folder" in btrfs_parse.cannot(mount(root="/@srv/data"))
    assert "read-only" in btrfs_parse.cannot(mount(options="ro"))
    assert "does not say" in btrfs_parse.cannot(mount(supers="noatime"))


def test_how_the_next_mount_finds_it() -> None:
    def found(options: str | None, cmdline: str = "", path: str = "/srv", default: int = 5) -> str:
        fstab = {} if options is None else {path: frozenset(options.split(","))}
        return btrfs_parse.found_by(mount(path), fstab, cmdline, default)

    assert found("subvol=@srv,noatime") == "name"
    assert found("subvol=/@srv", default=256) == "name"
    assert found("noatime", default=256) == "default"
    assert found(None, default=256) == "default"
    assert found(None) == "name"
    with pytest.raises(ValueError, match="subvolid=256"):
        found("subvolid=256,subvol=/@srv")
    # The root filesystem is mounted before anybody reads fstab.
    assert found("noatime", "quiet rootflags=subvol=@srv ro", "/", 256) == "name"
    assert found("subvol=@srv", "quiet rootflags=noatime,subvol=@", "/", 256) == "name"
    assert found("defaults", "quiet", "/", 256) == "default"
    with pytest.raises(ValueError, match="subvolid=256"):
        found("subvol=@srv", "rootflags=subvolid=256", "/")
    assert found("subvol=@srv", "rootflags=subvolid=256") == "name"


def test_children() -> None:
    text = "ID 257 gen 7 top level 256 path @app/nested\nID 258 gen 7 top level 256 path @app/with path in it\nx\n"
    assert btrfs_parse.children_of(text) == ["@app/nested", "@app/with path in it"]
