# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fleet asks of the machine: commands, locks, namespaces, process identities."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1

# The command we need -> the Debian package that brings it.
REQUIRED = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "apt-ftparchive": "apt-utils",
    "gpg": "gpg",
    "gpg-agent": "gpg-agent",
    "gcc": "gcc",
    "mkfs.ext4": "e2fsprogs",
    "rpmbuild": "rpm",
    "createrepo_c": "createrepo-c",
}
REQUIRED_FILES = {"/usr/include/stdio.h": "libc6-dev"}

_libc = ctypes.CDLL(None, use_errno=True)


class FleetError(Exception):
    """Something that the user must read: what was expected, what was found, what to do."""


def check_machine() -> None:
    """Raise FleetError unless this machine can run a fleet: Linux, root, the Debian packages."""
    if os.geteuid() != 0:
        raise FleetError("The fleet makes namespaces and mounts, so it needs root. Run it again with sudo.")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = {package for command, package in REQUIRED.items() if not shutil.which(command, path=path)}
    missing |= {package for file, package in REQUIRED_FILES.items() if not os.path.exists(file)}
    if missing:
        raise FleetError(
            "Debian packages are missing. Install them with:\n"
            "  apt-get install -y --no-install-recommends " + " ".join(sorted(missing))
        )


def run(
    args: Sequence[str | Path],
    *,
    check: bool = True,
    input: str | None = None,
    timeout: float | None = None,
    **more: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a command, keep what it printed. With check, a failure is a FleetError that shows its last lines."""
    words = [str(a) for a in args]
    if input is None:
        more.setdefault("stdin", subprocess.DEVNULL)
    try:
        done = subprocess.run(
            words, input=input, capture_output=True, text=True, errors="replace", timeout=timeout, **more
        )
    except FileNotFoundError:
        raise FleetError(f"The command {words[0]} is not here.") from None
    except subprocess.TimeoutExpired:
        raise FleetError(f"No end after {timeout:g} s: {' '.join(words)}") from None
    if check and done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise FleetError(f"{' '.join(words)[:300]}\nended with {done.returncode}:\n{said}")
    return done


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[int | None]:
    """Hold an exclusive lock on a file; yields its descriptor, or None when wait is off and another has it.

    The kernel lets go when the last holder dies, so a crash leaves nothing locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(fd)
            yield None
            return
        # Somebody may have removed the file while we waited: then our lock is on a file nobody sees.
        try:
            if os.stat(path).st_ino == os.fstat(fd).st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(fd)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def usual_umask() -> Iterator[None]:
    """Folders that become a host's own must be open to its users, whatever the caller's umask is."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def wait_for(what: Callable[[], Any], seconds: float, pause: float = 0.03) -> Any:
    """Ask until the answer is true, at most `seconds`; the last answer."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(pause)


# -- processes ---------------------------------------------------------------


def start_time(pid: int) -> int | None:
    """Start of a process in clock ticks since boot (proc(5), field 22); None when it is gone or a zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])


def identity(pid: int) -> list[int]:
    """[pid, start]: names one process for ever, although pids are used again."""
    start = start_time(pid)
    if start is None:
        raise FleetError(f"There is no process {pid}.")
    return [pid, start]


def alive(who: Sequence[int] | None) -> bool:
    """Does the process with this identity still run?"""
    return who is not None and start_time(who[0]) == who[1]


def children(pid: int) -> list[int]:
    """Pids of the direct children of a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when our parent dies: no orphan, whatever kills the parent."""
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)


def unshare(flags: int) -> None:
    """Leave the given namespaces (os.unshare exists from Python 3.12 only)."""
    _call("unshare", flags)


def enter_netns(fd: int) -> None:
    """Move this process into the network namespace behind a descriptor."""
    _call("setns", fd, CLONE_NEWNET)


def _call(name: str, *args: int) -> None:
    if getattr(_libc, name)(*args) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
