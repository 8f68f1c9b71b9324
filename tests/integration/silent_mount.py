# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a host as root: mounts a filesystem on the folder given that takes every question and answers none.

What a dead server of a hard NFS mount does. As this process has read the question, who asked cannot be killed any more.
It speaks the kernel's FUSE protocol (linux/fuse.h) just as far as the mount needs: it answers FUSE_INIT.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

FUSE_INIT = 26

if not os.path.exists("/dev/fuse"):
    os.mknod("/dev/fuse", 0o20600, os.makedev(10, 229))
device = os.open("/dev/fuse", os.O_RDWR)
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % device
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"silent", sys.argv[1].encode(), b"fuse", 0, options):
    sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
while True:
    request = os.read(device, 1 << 17)
    _length, operation, unique = struct.unpack_from("=IIQ", request)
    if operation == FUSE_INIT:
        # struct fuse_init_out of version 7.31, 64 bytes; of all its fields only the largest write must not be zero.
        answer = struct.pack("=4I2HI", 7, 31, 0, 0, 0, 0, 4096).ljust(64, b"\0")
        os.write(device, struct.pack("=IiQ", 16 + len(answer), 0, unique) + answer)
