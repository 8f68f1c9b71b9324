# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump as a stream: from a file, or out of a snapshot without an intermediate copy; unpacked on its way, looked at.

::

    with opened(source, timeout=3600) as flow:
        dump = identify(flow.head)
        ended = run(["psql", …], stdin=flow.pour(filter), …)
        flow.drain()
    flow.seen  # bytes, digest, the last bytes

Beside the loading program, which the main thread waits for, at most two threads of ours move bytes in blocks of
BLOCK bytes; memory does not grow with the dump.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from typing import TYPE_CHECKING, NamedTuple

from .._process import Ended, Stage, chain
from . import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 1 << 20
"""Bytes that are moved at a time; as much as a pipe of an ordinary account may hold (/proc/sys/fs/pipe-max-size)."""


class Source(NamedTuple):
    """Where a dump lies: a file of this host, or what a program writes to its standard output."""

    name: str
    """As findings call it."""
    path: str
    """On this host, or within the snapshot."""
    stage: Stage | None = None
    """The program that writes it (Restic.dump_argv); None: it is a file of this host."""
    size: int | None = None
    """Bytes as they are stored, where that is known before."""
    mtime: float | None = None
    """When the file was last changed, in seconds since the epoch."""


class Seen(NamedTuple):
    """What passed."""

    stored: int
    """Bytes as they are stored."""
    sha256: str
    """Digest of these, in hexadecimal; of a stream that did not come to its end, of what came."""
    unpacked: int
    """Bytes after unpacking."""
    tail: bytes
    """The last bytes after unpacking, at most dumps.TAIL."""
    whole: bool
    """Whether all of it was read to its end."""


class Flow:
    """One reading of a source. ``head``: its first bytes after unpacking; ``packed``: its compression, or nothing."""

    def __init__(self) -> None:
        self.head = b""
        self.packed = ""
        self.problems: list[Ended] = []
        """How the programs before the loading one ended that did not end well (the snapshot's, the unpacking one)."""
        self.missing = ""
        """The program for unpacking that this host does not have."""
        self._raw = _Counter(digest=True)
        self._unpacked = _Counter(digest=False)
        self._threads: list[threading.Thread] = []
        self._reader = -1
        self._twin = -1
        self._error: BaseException | None = None

    @property
    def seen(self) -> Seen:
        """What has passed until now."""
        plain = self._unpacked if self.packed else self._raw
        return Seen(self._raw.bytes, self._raw.hexdigest(), plain.bytes, plain.tail, self._raw.ended and plain.ended)

    def pour(self, change: Callable[[bytes], bytes] | None = None) -> int:
        """A descriptor from which all of it can be read (to be closed by the caller, once the program has it).

        ``change`` is called with each block, in order, then once with nothing, in a thread of ours; what it returns
        takes the block's place. What it raises ends the stream, and is raised by :meth:`drain`.
        """
        reader, writer = _pipe()
        source, self._reader = self._reader, -1
        counter = self._unpacked if self.packed else self._raw
        self._start(self._pump, source, writer, self.head, counter, change, self._twin)
        return reader

    def twin(self) -> int:
        """A second descriptor with the same as :meth:`pour`, unchanged, to be read at the same time; before it. To be
        closed by the caller once a program has it. When one reader stops, the other still gets all."""
        reader, self._twin = _pipe()
        return reader

    def more(self, count: int) -> None:
        """Make ``head`` longer, to ``count`` bytes where there are so many. Before :meth:`pour`."""
        if len(self.head) < count:
            counter = self._unpacked if self.packed else self._raw
            self.head += _some(self._reader, count - len(self.head), counter)

    def drain(self, timeout: float = 30.0) -> None:
        """Wait until nothing moves any more; ``timeout`` in seconds. Raises what ``change`` raised."""
        for thread in self._threads:
            thread.join(timeout)
        if self._error is not None:
            raise self._error

    def rest(self) -> None:
        """Read the rest, for its end and its digest."""
        descriptor = self.pour()
        try:
            while os.read(descriptor, BLOCK):
                pass
        finally:
            os.close(descriptor)
        self.drain()

    def _start(self, function: Callable[..., None], *words: object) -> None:
        thread = threading.Thread(target=function, args=words, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _pump(
        self,
        source: int,
        sink: int,
        first: bytes,
        counter: _Counter,
        change: Callable[[bytes], bytes] | None,
        twin: int = -1,
    ) -> None:
        """Move all that comes. ``first`` was read before and is counted already."""
        sinks = [one for one in (sink, twin) if one >= 0]

        def write(one: int, block: bytes) -> None:
            try:
                _write(one, block)
            except BrokenPipeError:  # the reader has had enough: it tells why
                sinks.remove(one)
                os.close(one)

        try:
            block = first or _read(source, counter)
            while block and sinks:
                for one in tuple(sinks):
                    write(one, change(block) if change and one == sink else block)
                block = _read(source, counter)
            if change and sink in sinks:
                write(sink, change(b""))
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the end
            self._error = error
        finally:
            for one in (*sinks, source):
                os.close(one)

    def _feed(self, stages: list[Stage], source: int | None, sink: int, timeout: float, idle: float | None) -> None:
        """Run the programs that write the stream. In a thread, which must live as long as they do."""
        try:
            ended = chain(stages, stdin=source, stdout=sink, timeout=timeout, idle=idle)
            # -13: whoever read from it had enough.
            self.problems += [one for one in ended if one.rc not in (0, -13)]
        except (OSError, KeyError) as error:
            text = "%s: %s" % (stages[0].argv[0], error)
            self.problems.append(Ended(127, "", b"", text.encode("utf-8", "replace"), 0.0))
        finally:
            os.close(sink)
            if source is not None:
                os.close(source)

    def _close(self) -> None:
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1
        for thread in self._threads:
            thread.join(10.0)


@contextlib.contextmanager
def opened(source: Source, *, timeout: float, idle: float | None = None) -> Iterator[Flow]:
    """Begin to read a dump; see the top. ``timeout`` and ``idle`` (seconds) hold for the programs that write it.

    Raises OSError when the file cannot be read.
    """
    flow = Flow()
    try:
        if source.stage is None:
            flow._reader = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            os.set_blocking(flow._reader, True)
        else:
            flow._reader, writer = _pipe()
            flow._start(flow._feed, [source.stage], None, writer, timeout, idle)
        raw = _some(flow._reader, dumps.HEAD, flow._raw)
        flow.packed = dumps.compression(raw)
        if not flow.packed:
            flow.head = raw
        else:
            command = dumps.DECOMPRESS[flow.packed]
            back, into = _pipe()
            stored, flow._reader = flow._reader, -1
            flow._start(flow._pump, stored, into, raw, flow._raw, None)
            flow._reader, writer = _pipe()
            flow._start(flow._feed, [Stage(command)], back, writer, timeout, idle)
            flow.head = _some(flow._reader, dumps.HEAD, flow._unpacked)
            if not flow.head and any(one.rc == 127 for one in flow.problems):
                flow.missing = command[0]
        yield flow
    finally:
        flow._close()


class _Counter:
    """Counts bytes, keeps the last of them, and digests them."""

    def __init__(self, digest: bool) -> None:
        self.bytes = 0
        self.tail = b""
        self.ended = False
        self._digest = hashlib.sha256() if digest else None

    def take(self, block: bytes) -> None:
        if not block:
            self.ended = True
            return
        self.bytes += len(block)
        self.tail = block[-dumps.TAIL :] if len(block) >= dumps.TAIL else (self.tail + block)[-dumps.TAIL :]
        if self._digest is not None:
            self._digest.update(block)

    def hexdigest(self) -> str:
        return "" if self._digest is None else self._digest.hexdigest()


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writer, 1031, BLOCK)  # F_SETPIPE_SZ, which Python names from 3.10 on
    return reader, writer


def _read(descriptor: int, counter: _Counter) -> bytes:
    block = os.read(descriptor, BLOCK)
    counter.take(block)
    return block


def _some(descriptor: int, count: int, counter: _Counter) -> bytes:
    """At least ``count`` bytes, or all that there are."""
    parts: list[bytes] = []
    while sum(map(len, parts)) < count:
        block = os.read(descriptor, count)
        counter.take(block)
        if not block:
            break
        parts.append(block)
    return b"".join(parts)


def _write(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]
