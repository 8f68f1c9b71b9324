# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only door from a module to its host: run a command, read a file, ask the time.

Everything that gathers takes a :class:`Host`, so that a test can hand it a stand-in (``tests/unit/fake_host.py``).
"""

from __future__ import annotations

import fcntl
import contextlib
import glob
import itertools
import os
import re
import select
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Generator

OUTPUT_LIMIT = 8 * 1024 * 1024
"""Bytes of a command's standard output, or of a file, that are kept; what comes after is thrown away and told."""

TICKS = 100
"""Ticks a second in /proc/PID/stat: USER_HZ, which is 100 on every architecture that Debian or RHEL supports."""

AS_ROOT = "Run it as root: sudo ./upkeep run weekly, or become: true (-e ansible_become=true) for a host over SSH."
"""What to do where an account has not the rights to look."""


class Ran(NamedTuple):
    """What a command did: its exit code (None when it was ended at its time limit), and what it printed."""

    rc: int | None
    out: str
    err: str
    truncated: bool = False


class Statvfs(NamedTuple):
    """What a filesystem says of itself at one path (see statvfs(3)); ``error`` is empty when it answered.

    ``blocks``, ``free`` and ``available`` count blocks of ``block_size`` bytes; ``available`` is what a user who is not
    root may still have. ``folder`` says whether the path is a folder (a container has single files mounted).
    """

    blocks: int = 0
    free: int = 0
    available: int = 0
    block_size: int = 0
    files: int = 0
    files_free: int = 0
    folder: bool = True
    error: str = ""


class Host:
    """This machine, as a module sees it."""

    def now(self) -> float:
        """Seconds since the epoch by this host's clock."""
        return time.time()

    def which(self, name: str) -> str | None:
        """The full path of a program, looked for in the administrator's folders too, or None."""
        path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
        return shutil.which(name, path=path)

    def is_root(self) -> bool:
        """Whether this process may read what only root may."""
        return os.geteuid() == 0

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def denied(self, path: str) -> bool:
        """Whether this account may not read a file, or a folder and what is in it, or not even see if it is there."""
        try:
            folder = stat.S_ISDIR(os.stat(path).st_mode)
        except PermissionError:
            return True
        except (OSError, ValueError):
            return False
        return not os.access(path, os.R_OK | os.X_OK if folder else os.R_OK, effective_ids=True)

    def listdir(self, path: str) -> list[str]:
        """The names in a folder, sorted; empty when there is none or it may not be read."""
        try:
            return sorted(os.listdir(path))
        except OSError:
            return []

    def mtime(self, path: str) -> float | None:
        """When a file was last changed, in seconds since the epoch, or None when it cannot be asked."""
        try:
            return os.stat(path).st_mtime
        except OSError:
            return None

    def walk(self, top: str, limit: int) -> Generator[tuple[str, os.stat_result, bool], bool, None]:
        """Files and folders below ``top``, itself included, depth first: path, lstat(2), and whether it is a folder.

        Links are not followed, other filesystems not entered, what cannot be read is left out, and after ``limit``
        names it ends. Send True to leave a folder's content out.
        """
        try:
            device = os.stat(top).st_dev
        except (OSError, ValueError):
            return
        stack = [top]
        while stack and limit > 0:
            path = stack.pop()
            limit -= 1
            try:
                found = os.lstat(path)
            except (OSError, ValueError):
                continue
            folder = stat.S_ISDIR(found.st_mode) or (path == top and os.path.isdir(path))
            leave = yield path, found, folder
            if folder and not leave and found.st_dev == device:
                with contextlib.suppress(OSError):
                    stack += sorted((path.rstrip("/") + "/" + name for name in os.listdir(path)), reverse=True)

    def owner(self, path: str) -> tuple[int, int, int] | None:
        """The user, the group and the mode of what a path leads to, or None when it cannot be asked."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return found.st_uid, found.st_gid, found.st_mode

    def readlink(self, path: str) -> str | None:
        try:
            return os.readlink(path)
        except OSError:
            return None

    def read(self, path: str, limit: int = OUTPUT_LIMIT) -> str | None:
        """The text of a file (bytes that are not UTF-8 replaced), or None when it cannot be read."""
        data = self.read_bytes(path, limit)
        return None if data is None else data.decode("utf-8", "replace")

    def read_bytes(self, path: str, limit: int = OUTPUT_LIMIT) -> bytes | None:
        """The first ``limit`` bytes of a file, or None when it cannot be read. A named pipe does not make it wait."""
        try:
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
                return stream.read(limit) or b""
        except OSError:
            return None

    def lock_holder(self, path: str) -> int | None:
        """The process that holds a lock on a file, or None; asked, never taken; only who may read the file is told."""
        try:
            with open(path, "rb") as stream:
                # struct flock: type, whence, start, length, pid. The kernel answers with the lock that is in the way.
                asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _whence, _start, _length, pid = struct.unpack("hhqqi", fcntl.fcntl(stream, fcntl.F_GETLK, asked))
        except OSError:
            return None
        return None if kind == fcntl.F_UNLCK else int(pid)

    def container(self) -> str:
        """The kind of container that this host is, empty when it is a machine (as systemd-detect-virt --container)."""
        # systemd as the container's init leaves its manager's name here.
        kind = (self.read("/run/systemd/container", 100) or "").strip()
        if not kind:
            environment = (self.read("/proc/1/environ", 65536) or "").split("\0")
            kind = next((word[len("container=") :] for word in environment if word.startswith("container=")), "")
        if kind:
            return kind
        for path, name in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
            if self.exists(path):
                return name
        # The machine under OpenVZ's containers has /proc/bc too.
        return "openvz" if self.exists("/proc/vz/veinfo") and not self.exists("/proc/bc") else ""

    def started(self, pid: int) -> float | None:
        """When a process was started, in seconds since the epoch, None when that cannot be read or it does not run."""
        machine = re.search(r"^btime (\d+)$", self.read("/proc/stat", 1024 * 1024) or "", re.M)
        # The command's name may hold blanks and brackets: the fields begin after the last bracket.
        fields = (self.read("/proc/%d/stat" % pid, 4096) or "").rpartition(")")[2].split()
        if not machine or len(fields) < 20 or not fields[19].isdigit():
            return None
        return int(machine.group(1)) + int(fields[19]) / TICKS

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def glob(self, pattern: str, limit: int = 1000) -> list[str]:
        """At most ``limit`` paths that match a shell pattern (no ``**``), sorted."""
        return sorted(itertools.islice(glob.iglob(pattern), limit))

    def write(self, path: str, text: str) -> str:
        """Replace a file at once or not at all, its folder made if need be; the error as a text, empty if it went well.

        Not forced to the disk: after a power cut the old file, the new one or an empty one may be there.
        """
        folder = os.path.dirname(path)
        temporary = ""
        try:
            os.makedirs(folder, 0o755, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=".%s." % os.path.basename(path), dir=folder)
            with open(descriptor, "w", encoding="utf-8") as stream:
                os.fchmod(descriptor, 0o644)
                stream.write(text)
            os.replace(temporary, path)
        except OSError as error:
            if temporary:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            return error.strerror or str(error)
        return ""

    def rename(self, old: str, new: str) -> bool:
        """Whether a file could be given another name; what bore that name is gone then."""
        try:
            os.replace(old, new)
        except OSError:
            return False
        return True

    def cpus(self) -> int:
        """How many processors this process may run on."""
        return len(os.sched_getaffinity(0)) or 1

    def clock_error(self) -> float | None:
        """The kernel's bound of its clock's error in seconds (adjtimex(2), maxerror), or None when it cannot be asked.

        Every client of a time service keeps it small; without one it grows by 500 ppm up to 16 s.
        """
        try:
            import ctypes

            # struct timex begins with an unsigned int (in a long's room) and the longs offset, freq and maxerror.
            # All zeros asks and changes nothing.
            timex = (ctypes.c_long * 64)()
            if ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) < 0:
                return None
            return timex[3] / 1e6
        except (ImportError, OSError, AttributeError):
            return None

    def kernel_records(self, limit: int = 100_000) -> list[str] | None:
        """The kernel's log as /dev/kmsg gives it (``priority,sequence,microseconds,flags;message``), oldest first.

        None when it may not be read or there is none (a container).
        """
        try:
            descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        records: list[str] = []
        try:
            if not stat.S_ISCHR(os.fstat(descriptor).st_mode):
                return None
            while len(records) < limit:
                try:
                    record = os.read(descriptor, 8192)
                except BrokenPipeError:
                    continue  # this record was overwritten while we read; the next read goes on behind the gap
                except BlockingIOError:
                    break
                if not record:
                    break
                records.append(record.decode("utf-8", "replace"))
        except OSError:
            return records or None
        finally:
            os.close(descriptor)
        return records

    def statvfs(self, lanes: list[list[str]], timeout: float) -> dict[str, Statvfs | None]:
        """What the filesystems at these paths say; None for one that did not answer within ``timeout`` seconds.

        Each lane is asked, path by path, by a process of its own: a dead server can hold a process for ever, even
        against SIGKILL. A path missing from the answer came after such a one in its lane: ask again.
        Raises OSError when no process can be made.
        """
        children: dict[int, tuple[int, list[str], bytearray]] = {}
        poll = select.poll()
        try:
            for lane in lanes:
                reader, pid = _ask(lane)
                children[reader] = (pid, lane, bytearray())
                poll.register(reader, select.POLLIN)
        except OSError:
            for reader, (pid, _lane, _data) in children.items():
                os.close(reader)
                _abandon(pid)
            raise
        open_ends = len(children)
        deadline = time.monotonic() + timeout
        while open_ends and time.monotonic() < deadline:
            for descriptor, _event in poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                chunk = os.read(descriptor, 65536)
                children[descriptor][2].extend(chunk)
                if not chunk:
                    poll.unregister(descriptor)
                    open_ends -= 1
        answers: dict[str, Statvfs | None] = {}
        for reader, (pid, lane, data) in children.items():
            os.close(reader)
            lines = data.decode("utf-8", "replace").split("\n")[:-1]
            for path, line in zip(lane, lines):
                answers[path] = _statvfs(line)
            if len(lines) < len(lane):
                answers[lane[len(lines)]] = None
            _abandon(pid)
        return answers

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = OUTPUT_LIMIT) -> Ran:
        """Run a program without a shell, with the C locale and no input; never raises for what the program does.

        ``timeout`` is in seconds. The program's whole process group is ended at the limit, and also when whoever
        reads this module's output has gone away (the connection was cut, the run was cancelled): then nobody is
        left to tell, and this process ends too.
        """
        program = self.which(argv[0]) if "/" not in argv[0] else argv[0]
        if program is None:
            return Ran(127, "", "%s: not found" % argv[0])
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON", "LD_"))
        }
        environment.update(LC_ALL="C.UTF-8", LANGUAGE="C", DEBIAN_FRONTEND="noninteractive")
        environment["PATH"] = environment.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
        try:
            process = subprocess.Popen(
                [program, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return Ran(126, "", "%s: %s" % (program, error.strerror))
        return _collect(process, time.monotonic() + timeout, limit)


def _ask(lane: list[str]) -> tuple[int, int]:
    """Start a child of Host.statvfs: where to read its answers, and its number. Raises OSError, and leaves nothing."""
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        raise
    else:
        if pid == 0:
            _answer(lane, writer)
        return reader, pid
    finally:
        os.close(writer)


def _answer(paths: list[str], writer: int) -> None:
    """The child of Host.statvfs: one line for each path, then the end. Never returns."""
    try:
        # Held open by a process that cannot be ended, the module's own output would keep the connection open.
        os.closerange(0, writer)
        os.closerange(writer + 1, 1024)
        for path in paths:
            try:
                value = os.statvfs(path)
                size = value.f_frsize or value.f_bsize
                folder = stat.S_ISDIR(os.stat(path).st_mode)
                blocks = (value.f_blocks, value.f_bfree, value.f_bavail, size)
                line = " ".join(map(str, (*blocks, value.f_files, value.f_ffree, int(folder))))
            except (OSError, ValueError) as error:
                line = "! %s" % (getattr(error, "strerror", None) or error)
            os.write(writer, line.replace("\n", " ").encode() + b"\n")
    finally:
        os._exit(0)


def _statvfs(line: str) -> Statvfs:
    if line.startswith("! "):
        return Statvfs(error=line[2:])
    blocks, free, available, size, files, files_free, folder = (int(word) for word in line.split())
    return Statvfs(blocks, free, available, size, files, files_free, bool(folder))


def _abandon(pid: int) -> None:
    """End a child that may be beyond ending: asked for a moment, and then left to the system."""
    for attempt in range(20):
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
            if attempt == 4:
                os.kill(pid, signal.SIGKILL)
        except (ChildProcessError, ProcessLookupError):
            return
        time.sleep(0.001 if attempt < 4 else 0.01)


def _collect(process: subprocess.Popen[bytes], deadline: float, limit: int) -> Ran:
    """Read what the process prints, within the limits of time and size."""
    if process.stdout is None or process.stderr is None:
        raise ValueError("the process must have pipes for its standard output and error")
    streams = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    out, err = streams.values()
    truncated = False
    poll = select.poll()
    for descriptor in streams:
        poll.register(descriptor, select.POLLIN)
    # Asked for no event, a descriptor still reports that its other end was closed.
    poll.register(1, 0)
    left = len(streams)
    rc: int | None = None
    try:
        while left:
            wait = deadline - time.monotonic()
            if wait <= 0:
                return Ran(None, _text(out), _text(err), truncated)
            for descriptor, event in poll.poll(min(wait, 5.0) * 1000):
                if descriptor == 1:
                    if event & (select.POLLERR | select.POLLHUP):
                        _end(process)
                        os._exit(1)
                    poll.unregister(1)  # POLLNVAL: there is no standard output to watch
                    continue
                chunk = os.read(descriptor, 65536)
                if not chunk:
                    poll.unregister(descriptor)
                    left -= 1
                    continue
                kept = streams[descriptor]
                truncated = truncated or len(kept) + len(chunk) > limit
                kept.extend(chunk[: limit - len(kept)])
        try:
            rc = process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            rc = None
        return Ran(rc, _text(out), _text(err), truncated)
    finally:
        if process.returncode is None:
            _end(process)
        process.stdout.close()
        process.stderr.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process group: politely, and two seconds later for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            return
        try:
            process.wait(2.0)
            return
        except subprocess.TimeoutExpired:
            continue


def _text(data: bytearray) -> str:
    return data.decode("utf-8", "replace")
