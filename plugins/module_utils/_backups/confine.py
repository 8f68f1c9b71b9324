# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program that works on what a backup holds so that it can do no harm: a dump may have been written by anybody.

:func:`confined` makes of a command another one, which gives up what the program does not need before it becomes it:

- it runs as an account that owns nothing on this machine (as root: a user number that nobody has);
- it writes nowhere but in the folders that are named, and reads nowhere but there and in the system's own
  (Landlock, Linux 5.13 and later, wherever the kernel has it switched on);
- it has no network, and sees none of the sockets of other services below ``/run`` (as root: namespaces of its own);
- it gains no rights by set-user-id programs, leaves no core with data in it, and ends with the one who started it,
  by ``kill -9`` too.

What the kernel refuses is left out: :func:`protections` says what holds here.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from .._process import _Child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._process import Account

FREE_ACCOUNTS = range(64_900, 65_100)
"""User numbers of which one that is free is taken: within those that systemd gives to services for the time they run
(61184 to 65519, systemd's docs/UIDS-GIDS.md), so no distribution gives them to accounts."""

SYSTEM_FOLDERS = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/proc", "/sys/devices/system")
SYSTEM_FILES = (
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/passwd", "/etc/group"),
    *("/etc/nsswitch.conf", "/etc/localtime", "/etc/timezone", "/etc/locale.alias", "/etc/hosts", "/etc/services"),
    *("/etc/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf", "/etc/crypto-policies", "/etc/alternatives", "/etc/gai.conf"),
    *("/etc/os-release", "/etc/host.conf", "/etc/resolv.conf"),
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/fd")
HIDDEN = ("/run", "/var/lib/mysql", "/var/lib/postgresql", "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - hidden, not used
"""Folders that are empty for a confined program (as root), unless one that it may use lies in them."""

# struct landlock_ruleset_attr and landlock_path_beneath_attr of linux/landlock.h; the numbers of the system calls are
# the same on every architecture. What a kernel does not know yet must not be asked of it: by its version of the ABI.
_PROGRAM = r"""
import ctypes, json, os, resource, signal, sys
spec = json.loads(sys.argv[1])
argv = sys.argv[2:]
libc = ctypes.CDLL(None, use_errno=True)
path = os.fsencode
root = os.geteuid() == 0
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
if root:
    # CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWNS; each by itself, as a container may allow the one and not the other.
    if not spec["network"]:
        libc.unshare(0x40000000)
    if not spec["shared_memory"]:
        libc.unshare(0x08000000)
    if spec["hide"] and libc.unshare(0x00020000) == 0 and libc.mount(b"none", b"/", None, 0x84000, None) == 0:
        for folder in spec["hide"]:
            libc.mount(b"none", path(folder), b"tmpfs", 0x1 | 0x2 | 0x4 | 0x8, b"size=4k,mode=755")
libc.prctl(38, 1, 0, 0, 0)
abi = libc.syscall(444, None, ctypes.c_size_t(0), 1)
if abi > 0:
    rights = 0x1FFF | (0x2000 if abi >= 2 else 0) | (0x4000 if abi >= 3 else 0)
    class Ruleset(ctypes.Structure):
        _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]
    class Beneath(ctypes.Structure):
        _pack_ = 1
        _fields_ = [("access", ctypes.c_uint64), ("fd", ctypes.c_int32)]
    ruleset = Ruleset(rights, 0 if spec["network"] or abi < 4 else 3, 0 if abi < 6 else 1)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    fd = libc.syscall(444, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    if fd >= 0:
        for kind, access in (("read", 0xD), ("write", rights), ("devices", 0x6)):
            for name in spec[kind]:
                try:
                    handle = os.open(name, os.O_PATH | os.O_CLOEXEC)
                except OSError:
                    continue
                mine = access if os.path.isdir(name) else access & 0x4007
                libc.syscall(445, fd, 1, ctypes.byref(Beneath(mine, handle)), 0)
                os.close(handle)
        libc.syscall(446, fd, 0)
        os.close(fd)
if root and spec["account"] is not None:
    user, group = spec["account"]
    os.setgroups(spec["groups"])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
if spec["tied"]:
    libc.prctl(1, spec["tied"], 0, 0, 0)
    if os.getppid() != spec["parent"]:
        os._exit(137)
if spec["cwd"]:
    os.chdir(spec["cwd"])
try:
    os.execv(argv[0], argv)
except OSError as error:
    sys.stderr.write("%s: %s\n" % (argv[0], error.strerror))
    os._exit(127 if error.errno == 2 else 126)
"""


class Protections(NamedTuple):
    """What holds on this machine."""

    account: bool
    """Whether it runs as an account that owns nothing else."""
    files: bool
    """Whether the kernel keeps it from files that are not named."""
    network: bool
    """Whether it has no network."""

    def missing(self) -> list[str]:
        """What does not hold, in words."""
        said = (
            (self.account, "it runs as this account, not as one that owns nothing"),
            (self.files, "the kernel has no Landlock to keep it from this account's files"),
            (self.network, "it is not cut off from the network"),
        )
        return [words for holds, words in said if not holds]


def protections() -> Protections:
    """What of :func:`confined` holds for programs that this process starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    # A version of the ABI, or -1: 1 says that it is the version that is asked for.
    abi = libc.syscall(444, None, ctypes.c_size_t(0), 1)
    root = os.geteuid() == 0
    return Protections(root, abi > 0, _may_unshare() if root else abi >= 4)


def _may_unshare() -> bool:
    """Whether a network of its own can be had, tried by a child."""
    child = os.fork()
    if child == 0:
        refused = 1
        try:
            refused = int(ctypes.CDLL(None).unshare(0x40000000) != 0)
        finally:
            os._exit(refused)
    return os.waitpid(child, 0)[1] == 0


_reserved: dict[int, socket.socket] = {}
"""The user numbers that this process keeps for itself."""


def free_account() -> tuple[int, int] | None:
    """User and group number that belong to nobody and under which nothing runs; None when this process is not root.

    It is this process's alone until it ends: another test that runs beside it takes another one.
    """
    if os.geteuid() != 0:
        return None
    used = _in_use()
    for number in (*_reserved, *FREE_ACCOUNTS):
        if number not in used and (number in _reserved or (_belongs_to_nobody(number) and _reserve(number))):
            return number, number
    return None


def _reserve(number: int) -> bool:
    """Keep a number by a name that the kernel gives once, and takes back with this process, by kill -9 too."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind("\0upkeep-account-%d" % number)
    except OSError:
        held.close()
        return False
    _reserved[number] = held
    return True


def _belongs_to_nobody(number: int) -> bool:
    try:
        pwd.getpwuid(number)
    except KeyError:
        return True
    return False


def _in_use() -> set[int]:
    """The user numbers under which something runs."""
    used = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                used.add(os.stat("/proc/" + name).st_uid)
            except OSError:
                continue
    return used


def confined(
    argv: Sequence[str],
    *,
    write: Sequence[str],
    read: Sequence[str] = (),
    account: tuple[int, int] | None = None,
    groups: Sequence[int] = (),
    network: bool = False,
    shared_memory: bool = False,
    tied: int = signal.SIGKILL,
    cwd: str = "",
    hide: Sequence[str] = HIDDEN,
    python: str = "",
) -> list[str]:
    """The command that runs ``argv`` confined (see above); to be started by this process itself, from its main thread.

    ``argv[0]`` is the program's full path.
    ``write``: folders that it may change; ``read``: folders beside the system's that it may read, and run programs of.
    ``account``: user and group number, for root only, and ``groups`` beside. ``shared_memory``: keep the shared memory
    (System V) of all. ``tied``: the signal by which it ends with this process, 0 for none. ``python``: the interpreter,
    by default this one's.
    """
    used = [os.path.realpath(path) for path in (*write, *read, *([cwd] if cwd else []))]
    spec: dict[str, Any] = {
        "read": [*SYSTEM_FOLDERS, *SYSTEM_FILES, *read],
        "write": list(write),
        "devices": list(DEVICES),
        "account": account,
        "groups": list(groups),
        "network": network,
        "shared_memory": shared_memory,
        "tied": int(tied),
        "parent": os.getpid(),
        "cwd": cwd,
        "hide": [folder for folder in hide if _may_hide(folder, used)],
    }
    return [python or sys.executable, "-I", "-S", "-c", _PROGRAM, json.dumps(spec), *argv]


class Child(_Child):
    """What a server does before it becomes the program: it yields to others (``nice``), and is the first to go where
    memory is short, before anything of production. It ends by ``signal_number`` with who started it."""

    def __init__(self, account: Account | None, nice: int | None, signal_number: int = signal.SIGKILL) -> None:
        super().__init__(account, nice)
        self.signal_number = int(signal_number)

    def __call__(self) -> None:
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:
            stream.write("800")
        super().__call__()
        if self.prctl is not None:
            self.prctl(1, self.signal_number, 0, 0, 0)


def _may_hide(folder: str, used: Sequence[str]) -> bool:
    return os.path.isdir(folder) and not any((path + "/").startswith(folder + "/") for path in used)
