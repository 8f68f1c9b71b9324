# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long-running programs: with limits of time, in pipes, with secrets that never touch a disk or a command line.

:meth:`Host.run` is for the short questions. What runs here may take hours, prints without end, reads secrets, and must
leave nothing behind, whatever ends this process: a time limit, a signal, a connection that was cut, ``kill -9``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import select
import signal
import subprocess
import threading
import time
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Tuple, Union

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

OUT_LIMIT = 64 * 1024 * 1024
"""Bytes of standard output that are kept in memory where nobody takes it line by line; beyond, the program is ended."""
LINE_LIMIT = 4 * 1024 * 1024
"""Bytes of one line; beyond, the program is ended."""
ERR_LIMIT = 64 * 1024
"""Bytes of standard error that are kept, of its end."""

_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRESS = 256 * 1024
"""Bytes read or written by a silent program that count as progress; less may be the noise of its retries."""
_GRACE = 5.0
"""Seconds between asking a program to end and ending it."""
_PR_SET_PDEATHSIG = 1


class Cancelled(BaseException):
    """This process shall end: whoever waits for its output is gone, or a signal came. Clean up, start nothing new.

    Not an Exception, so that no check takes it for its own failure.
    """


Account = Union[str, Tuple[int, int]]
"""Whom a program runs as: an account's name, with its groups, or a user and a group number, which may be nobody's."""


class Ended(NamedTuple):
    """How a program ended, and what it printed."""

    rc: int | None
    """The exit code (minus the signal's number where one ended it); None when it was ended at a limit."""
    ended_by: str
    """The limit: ``timeout``, ``idle`` or ``limit`` (it printed too much); empty when it ended by itself."""
    out: bytes
    """Standard output, empty where it went elsewhere."""
    err: bytes
    """The end of standard error, at most ERR_LIMIT bytes."""
    seconds: float


class Stage(NamedTuple):
    """One program of a pipe. ``env`` is all that it sees of the environment; ``account`` needs root."""

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    pass_fds: tuple[int, ...] = ()
    account: Account | None = None


# -- being cancelled -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def cancellable() -> Iterator[None]:
    """Raise Cancelled in the main thread when SIGTERM, SIGINT or SIGHUP comes, or standard output loses its reader.

    Signals that come while cleaning up are ignored, so that the second Ctrl-C leaves no less than the first. In a
    thread that is not the main one, where no handler can be set, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = False

    def cancel(number: int, _frame: Any) -> None:
        nonlocal caught
        if not caught:
            caught = True
            raise Cancelled("signal %d" % number)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, cancel) for number in numbers}
    reader, writer = os.pipe()
    watch = threading.Thread(target=_watch_output, args=(reader,), name="output-watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        os.close(writer)
        watch.join(1.0)
        os.close(reader)
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch_output(stop: int) -> None:
    poll = select.poll()
    # Asked for no event, a descriptor still reports that its other end was closed.
    poll.register(1, 0)
    poll.register(stop, 0)
    for descriptor, event in poll.poll():
        if descriptor == stop:
            return
        if event & (select.POLLERR | select.POLLHUP):
            os.kill(os.getpid(), signal.SIGTERM)


# -- secrets -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def secret_fd(secret: bytes) -> Iterator[int]:
    """A descriptor from which a child can read the secret, as often as it likes, by the path ``/proc/self/fd/N``.

    It is a file in memory without a name: nothing on a disk, nothing to clean up, and only this account and root can
    reach it. Hand it on by ``pass_fds``. Raises OSError where the system has neither memfd nor /dev/shm.
    """
    descriptor = _anonymous_file()
    try:
        left = memoryview(secret)
        while left:
            left = left[os.write(descriptor, left) :]
        yield descriptor
    finally:
        os.close(descriptor)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create("upkeep")
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
    # 0644: the account that the child becomes opens it anew. It has no name by which others could.
    return os.open("/dev/shm", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o644)  # noqa: S108 - it never has a name


# -- running -------------------------------------------------------------------------------------------------------


def environment(account: Account | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a program: ours without what changes languages or loads code, with the account's home."""
    strange = ("LC_", "LANG", "PYTHON", "LD_", "ANSIBLE_")
    made = {key: value for key, value in os.environ.items() if not key.startswith(strange)}
    made.update(LC_ALL="C.UTF-8", LANGUAGE="C")
    made["PATH"] = ":".join(filter(None, (made.get("PATH"), _FOLDERS)))
    if isinstance(account, tuple):
        made.update(HOME="/", USER=str(account[0]), LOGNAME=str(account[0]))
    elif account is not None or "HOME" not in made:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(account) if account is not None else pwd.getpwuid(os.geteuid())
            made.update(HOME=entry.pw_dir, USER=entry.pw_name, LOGNAME=entry.pw_name)
    made.update(extra or {})
    return made


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | bytes | None = None,
    stdout: int | None = None,
    on_line: Callable[[bytes], None] | None = None,
    on_error_line: Callable[[bytes], None] | None = None,
    on_chunk: Callable[[bytes], object] | None = None,
    timeout: float,
    idle: float | None = None,
    nice: int | None = None,
    ionice: str | None = None,
    account: Account | None = None,
    pass_fds: tuple[int, ...] = (),
    cwd: str = "/",
    limit: int = OUT_LIMIT,
) -> Ended:
    """Run a program, never by a shell, and wait for its end.

    ``stdin``: a descriptor, bytes, or nothing. ``stdout``: a descriptor; otherwise each line goes to ``on_line``
    (without its line feed), or as it comes to ``on_chunk``, or all of it is kept, at most ``limit`` bytes.
    Lines of standard error go to ``on_error_line`` too. ``timeout`` and ``idle`` are seconds: idle is over when the
    program neither printed, read nor wrote a fair amount (``/proc/PID/io``) for so long; what it says on standard error
    is no progress, as retries are told there. ``ionice``: ``idle`` or ``best-effort`` (its lowest). ``account``: the
    user to run as, when root.

    Raises OSError when the program cannot be started, KeyError when there is no such account. Whatever is raised
    in here, by ``on_line`` included, ends the program with all that it started.
    """
    stage = Stage(argv, env, pass_fds, account)
    limits = _Limits(timeout, idle, limit)
    takers = _Takers(on_line, on_error_line, on_chunk)
    return _run([stage], stdin, stdout, takers, limits, nice, ionice, cwd)[0]


@contextlib.contextmanager
def begun(
    stage: Stage, *, stdin: int | None = None, nice: int | None = None, ionice: str | None = None, cwd: str = "/"
) -> Iterator[Callable[..., Ended]]:
    """Start a program whose lines are read later, and do something else meanwhile: it goes on until its pipe is full.

    Gives a function ``(timeout, idle, on_line)`` that reads on to the program's end, once. Leaving the context ends the
    program with all that it started. Raises as :func:`run` does.
    """
    source = subprocess.DEVNULL if stdin is None else stdin
    with _started([stage], source, None, nice, ionice, cwd) as processes:
        began = time.monotonic()

        def read(timeout: float, idle: float | None, on_line: Callable[[bytes], None]) -> Ended:
            return _collected(processes, _Takers(on_line), _Limits(timeout, idle, OUT_LIMIT), True, began)[0]

        yield read


def chain(
    stages: Sequence[Stage],
    *,
    stdin: int | bytes | None = None,
    stdout: int | None = None,
    on_line: Callable[[bytes], None] | None = None,
    timeout: float,
    idle: float | None = None,
    nice: int | None = None,
    ionice: str | None = None,
    cwd: str = "/",
    limit: int = OUT_LIMIT,
) -> list[Ended]:
    """Run programs as a pipe, each one's output the next one's input; how each ended. As :func:`run` otherwise.

    At a limit all are ended. A program whose reader is gone gets SIGPIPE (rc -13), as in a shell: which of them failed
    first is the caller's to see, from the last one to the first.
    """
    limits = _Limits(timeout, idle, limit)
    return _run(list(stages), stdin, stdout, _Takers(on_line), limits, nice, ionice, cwd)


class _Takers(NamedTuple):
    """Who is given what a program prints, and when: lines of its output, of standard error, or pieces of its output."""

    line: Callable[[bytes], None] | None = None
    error_line: Callable[[bytes], None] | None = None
    chunk: Callable[[bytes], object] | None = None


class _Limits(NamedTuple):
    timeout: float
    idle: float | None
    out: int


def _run(
    stages: list[Stage],
    stdin: int | bytes | None,
    stdout: int | None,
    takers: _Takers,
    limits: _Limits,
    nice: int | None,
    ionice: str | None,
    cwd: str,
) -> list[Ended]:
    began = time.monotonic()
    with contextlib.ExitStack() as cleanup:
        source: int = subprocess.DEVNULL
        if isinstance(stdin, bytes):
            source = cleanup.enter_context(secret_fd(stdin))
            os.lseek(source, 0, os.SEEK_SET)
        elif stdin is not None:
            source = stdin
        processes = cleanup.enter_context(_started(stages, source, stdout, nice, ionice, cwd))
        return _collected(processes, takers, limits, stdout is None, began)


@contextlib.contextmanager
def _started(
    stages: list[Stage], source: int, stdout: int | None, nice: int | None, ionice: str | None, cwd: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs as a pipe; in the end, none of them runs any more."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for position, stage in enumerate(stages):
            last = position == len(stages) - 1
            sink = subprocess.PIPE if not last or stdout is None else stdout
            process = _start(stage, source, sink, nice, ionice, cwd)
            processes.append(process)
            if position:
                # Ours is closed, so that the writer learns when its reader is gone.
                _pipe(processes[position - 1].stdout).close()
            if not last:
                source = _pipe(process.stdout).fileno()
        yield processes
    finally:
        _end_all(processes)


def _collected(
    processes: list[subprocess.Popen[bytes]], takers: _Takers, limits: _Limits, reads_out: bool, began: float
) -> list[Ended]:
    collector = _Collector(processes, takers, limits, reads_out)
    ended_by = collector.collect(began)
    _end_all(processes)
    seconds = time.monotonic() - began
    return [
        Ended(
            None if ended_by else process.returncode,
            ended_by,
            bytes(collector.out) if process is processes[-1] else b"",
            bytes(collector.errors[process.pid]),
            seconds,
        )
        for process in processes
    ]


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """A stream of a child that was started with a pipe for it."""
    if stream is None:
        raise ValueError("the program was started without this pipe")
    return stream


def _start(
    stage: Stage, source: int, sink: int, nice: int | None, ionice: str | None, cwd: str
) -> subprocess.Popen[bytes]:
    env = dict(environment(stage.account) if stage.env is None else stage.env)
    argv = list(stage.argv)
    argv[0] = _program(argv[0], env)
    scheduler = _program("ionice", {"PATH": _FOLDERS}) if ionice else ""
    if scheduler.startswith("/"):
        # -t: go on where the system knows no such thing.
        argv = [scheduler, "-t", "-c", "3" if ionice == "idle" else "2", *argv]
        if ionice != "idle":
            argv[4:4] = ["-n", "7"]
    return subprocess.Popen(
        argv,
        stdin=source,
        stdout=sink,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
        start_new_session=True,
        pass_fds=stage.pass_fds,
        preexec_fn=_Child(stage.account, nice),  # noqa: PLW1509 - it takes no lock and imports nothing
        bufsize=0,
    )


def _program(name: str, env: Mapping[str, str]) -> str:
    """The full path of a program; its name where there is none, so that starting it says so."""
    if "/" not in name:
        for folder in env.get("PATH", _FOLDERS).split(":"):
            path = os.path.join(folder, name)
            if folder and os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return name


class _Child:
    """What a child does before it becomes the program."""

    def __init__(self, account: Account | None, nice: int | None) -> None:
        self.nice = nice
        self.identity: tuple[int, int, list[int]] | None = None
        if isinstance(account, tuple):
            self.identity = (*account, [])
        elif account is not None:
            entry = pwd.getpwnam(account)  # raises KeyError
            if entry.pw_uid != os.geteuid():
                groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
                self.identity = (entry.pw_uid, entry.pw_gid, groups)
        self.parent = os.getpid()
        self.prctl = _prctl()

    def __call__(self) -> None:
        if self.nice:
            with contextlib.suppress(OSError):
                os.nice(self.nice)
        if self.identity is not None:
            uid, gid, groups = self.identity
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
        if self.prctl is not None:
            # After the change of account, which would clear it: kill -9 of this module takes the program with it.
            self.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != self.parent:
                os._exit(127)


def _prctl() -> Callable[..., int] | None:
    try:
        import ctypes

        return ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None


class _Collector:
    """Reads what the programs print until all have ended, or a limit is reached."""

    def __init__(
        self,
        processes: list[subprocess.Popen[bytes]],
        takers: _Takers,
        limits: _Limits,
        reads_out: bool,
    ) -> None:
        self.processes = processes
        self.chunk = takers.chunk
        self.limits = limits
        self.out = bytearray()
        self.errors = {process.pid: bytearray() for process in processes}
        self.took = 0
        """Bytes that the programs had read and written when they last made progress."""
        self.lines = _Lines(takers.line) if takers.line else None
        self.error_lines = _Lines(takers.error_line) if takers.error_line else None
        self.sources: dict[int, bytearray | None] = {}
        for process in processes:
            self.sources[_pipe(process.stderr).fileno()] = self.errors[process.pid]
        last = processes[-1].stdout
        if reads_out and last is not None:
            self.sources[last.fileno()] = None

    def collect(self, began: float) -> str:
        """The limit that was reached, or nothing."""
        poll = select.poll()
        for descriptor in self.sources:
            poll.register(descriptor, select.POLLIN)
        progress = time.monotonic()
        while True:
            now = time.monotonic()
            if now - began >= self.limits.timeout:
                return "timeout"
            if self.limits.idle is not None and now - progress >= self.limits.idle:
                if not self._moved():
                    return "idle"
                progress = now
            # Children of a program that ended may hold its outputs open for ever: what counts is the program.
            over = all(_has_ended(process) for process in self.processes)
            for descriptor, _event in poll.poll(0 if over else 250 if self.sources else 5):
                chunk = os.read(descriptor, 1 << 18)
                if not chunk:
                    poll.unregister(descriptor)
                    del self.sources[descriptor]
                    continue
                kept = self.sources[descriptor]
                if kept is None:
                    progress = time.monotonic()
                    if not self._take(chunk):
                        return "limit"
                else:
                    kept.extend(chunk)
                    del kept[:-ERR_LIMIT]
                    if self.error_lines is not None:
                        self.error_lines.feed(chunk)
                over = False
            if over:
                self._finish()
                return ""

    def _take(self, chunk: bytes) -> bool:
        if self.lines is not None:
            return self.lines.feed(chunk)
        if self.chunk is not None:
            self.chunk(chunk)
            return True
        self.out.extend(chunk)
        return len(self.out) <= self.limits.out

    def _finish(self) -> None:
        for lines in (self.lines, self.error_lines):
            if lines is not None:
                lines.finish()

    def _moved(self) -> bool:
        taken = sum(_bytes_moved(process.pid) for process in self.processes)
        if taken - self.took < _PROGRESS:
            return False
        self.took = taken
        return True


def _bytes_moved(pid: int) -> int:
    """Bytes that a process asked the kernel to read and write so far, files, pipes and sockets alike."""
    try:
        with open("/proc/%d/io" % pid, "rb") as stream:
            words = stream.read().split()
    except OSError:
        return 0
    return sum(int(words[place + 1]) for place, word in enumerate(words) if word in (b"rchar:", b"wchar:"))


class _Lines:
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.take = take
        self.rest = b""

    def feed(self, chunk: bytes) -> bool:
        """Whether the line that is still open is within its limit."""
        parts = (self.rest + chunk if self.rest else chunk).split(b"\n")
        self.rest = parts.pop()
        for line in parts:
            self.take(line)
        return len(self.rest) <= LINE_LIMIT

    def finish(self) -> None:
        if self.rest:
            rest, self.rest = self.rest, b""
            self.take(rest)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a program has ended. It is not reaped: its number stays its own until its group has been ended too."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what still runs: politely, and then for good, with what is left of each one's group; close our ends."""
    left = [process for process in processes if process.returncode is None]
    running = [process for process in left if not _has_ended(process)]
    for process in running:
        _kill_group(process, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    while running and time.monotonic() < deadline:
        time.sleep(0.005)
        running = [process for process in running if not _has_ended(process)]
    for process in left:
        _kill_group(process, signal.SIGKILL)
        process.wait()
    for process in processes:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _kill_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
