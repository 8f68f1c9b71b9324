# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump as a stream, with real pipes and programs."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import dumps
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.dump_stream import Source, opened
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import Stage, run

TEXT = b"-- PostgreSQL database dump\n" + b"".join(b"%d\tline of data\n" % number for number in range(400_000))


def _source(path: Path, how: str) -> Source:
    return Source("a", str(path)) if how == "file" else Source("a", "x", Stage(["cat", str(path)]))


@pytest.mark.parametrize("how", ["file", "program"])
@pytest.mark.parametrize("packing", [None, "gzip", "zstd", "xz"])
def test_it_arrives_whole_whatever_it_comes_from(tmp_path: Path, how: str, packing: str | None) -> None:
    path = tmp_path / "dump"
    path.write_bytes(TEXT)
    if packing:
        path.write_bytes(subprocess.run([packing, "-1c", path], stdout=subprocess.PIPE, check=True).stdout)
    with opened(_source(path, how), timeout=60) as flow:
        assert flow.head == TEXT[: len(flow.head)]
        assert len(flow.head) >= dumps.HEAD
        descriptor = flow.pour(bytes.upper)
        try:
            ended = run(["sha256sum"], stdin=descriptor, timeout=60)
        finally:
            os.close(descriptor)
        flow.drain()
    assert ended.out.split()[0].decode() == hashlib.sha256(TEXT.upper()).hexdigest()
    seen = flow.seen
    assert (seen.unpacked, seen.tail, seen.whole) == (len(TEXT), TEXT[-dumps.TAIL :], True)
    assert (seen.stored, seen.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert not flow.problems
    assert not flow.missing


def test_the_rest_is_read_for_its_end(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(gzip.compress(TEXT))
    with opened(Source("a", str(tmp_path / "dump")), timeout=60) as flow:
        flow.rest()
    assert flow.seen.tail == TEXT[-dumps.TAIL :]


def test_a_cut_archive_is_told_by_the_program_that_unpacks(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT)
    (tmp_path / "dump").write_bytes(packed[: len(packed) // 2])
    with opened(Source("a", str(tmp_path / "dump")), timeout=60) as flow:
        flow.rest()
    assert b"unexpected end of file" in flow.problems[0].err


def test_a_program_that_fails_is_told(tmp_path: Path) -> None:
    with opened(Source("a", "x", Stage(["cat", str(tmp_path / "absent")])), timeout=60) as flow:
        assert flow.head == b""
        flow.rest()
    assert flow.problems[0].rc == 1
    with opened(Source("a", "x", Stage(["upkeep-no-such-program"])), timeout=60) as flow:
        assert flow.head == b""
        flow.rest()
    assert flow.problems[0].rc == 127


def test_a_reader_that_leaves_ends_everything(tmp_path: Path) -> None:
    before = threading.active_count()
    started = time.monotonic()
    with opened(Source("a", "x", Stage(["cat", "/dev/zero"])), timeout=600) as flow:
        descriptor = flow.pour()
        ended = run(["head", "-c", "10"], stdin=descriptor, timeout=60)
        os.close(descriptor)
        flow.drain()
    assert ended.out == bytes(10)
    assert threading.active_count() == before
    assert time.monotonic() - started < 20
    assert not flow.seen.whole
    assert not flow.problems


def test_nothing_runs_on_when_nobody_pours(tmp_path: Path) -> None:
    before = threading.active_count()
    with opened(Source("a", "x", Stage(["cat", "/dev/zero"])), timeout=600):
        pass
    assert threading.active_count() == before


def test_what_the_change_raises_ends_the_stream(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(TEXT)

    def refuse(block: bytes) -> bytes:
        raise ValueError("no")

    with opened(Source("a", str(tmp_path / "dump")), timeout=60) as flow:
        descriptor = flow.pour(refuse)
        ended = run(["cat"], stdin=descriptor, timeout=60)
        os.close(descriptor)
        with pytest.raises(ValueError, match="no"):
            flow.drain()
    assert ended.out == b""


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"")
    with opened(Source("a", str(tmp_path / "dump")), timeout=60) as flow:
        assert dumps.identify(flow.head).fault == "empty"


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), opened(Source("a", str(tmp_path / "absent")), timeout=60):
        pass


@pytest.mark.parametrize("early", ["the first", "the second", "none"])
def test_two_read_the_same_and_one_may_stop(tmp_path: Path, early: str) -> None:
    (tmp_path / "dump").write_bytes(TEXT)
    told: dict[str, bytes] = {}

    def read(who: str, descriptor: int) -> None:
        with open(descriptor, "rb") as stream:
            told[who] = stream.read(1000 if who == early else -1)

    with opened(Source("a", str(tmp_path / "dump")), timeout=60) as flow:
        second, first = flow.twin(), flow.pour(bytes.upper)
        readers = [
            threading.Thread(target=read, args=words) for words in (("the first", first), ("the second", second))
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        flow.drain()
    expected = {"the first": TEXT.upper(), "the second": TEXT}
    assert told == {who: text[:1000] if who == early else text for who, text in expected.items()}
    assert flow.seen.whole
