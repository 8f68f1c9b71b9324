# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restored tree beside its listing and the live tree: each difference has its name, and no other."""

from __future__ import annotations

import io
import os
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import verify, verify_walk
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.listing import Listing, order, shown
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.model import Entry
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.verify_source import Source

TYPES = {b"f": "file", b"d": "dir", b"l": "symlink", b"p": "fifo", b"c": "chardev", b"b": "dev", b"s": "socket"}


def listed(top: Path) -> Listing:
    """The listing that restic would give of a folder's content."""
    made = Listing(io.BytesIO())
    for seen in verify_walk.walk(str(top), None, frozenset(), lambda: False):
        found = seen.stat
        made.add(
            Entry(
                shown(seen.raw), TYPES[seen.kind], found.st_size, stat.S_IMODE(found.st_mode), found.st_uid,
                found.st_gid, found.st_mtime,
            )
        )  # fmt: skip
    return made


@pytest.fixture
def live(tmp_path: Path) -> Path:
    top = tmp_path / "live"
    for folder in ("a", "a/deep", "b"):
        (top / folder).mkdir(parents=True, exist_ok=True)
        for number in range(5):
            (top / folder / f"f{number}").write_bytes(os.urandom(1000 * number))
    (top / "large").write_bytes(os.urandom(700_000))
    (top / "link").symlink_to("large")
    Path(os.fsdecode(os.fsencode(top) + b"/odd\xff")).write_text("odd")
    Path(os.fsdecode(os.fsencode(top) + b"/odd\xfe")).write_text("even")
    return top


@pytest.fixture
def restored(live: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "restored"
    shutil.copytree(live, copy, symlinks=True)
    time.sleep(0.02)
    return copy


def compare(live: Path, restored: Path, listing: Listing, **given: Any) -> verify.Verified:
    source = Source(time.time(), os.geteuid() == 0)
    made = verify.Verifier(verify.Abilities(os.geteuid() == 0), verify.Selection(given.get("units", ())), source)
    return made.run(listing, str(restored), str(live), frozenset(), lambda: False)


def counts(result: verify.Verified) -> dict[str, int]:
    return {what: found.count for what, found in result.found.items()}


def test_the_same_is_the_same(live: Path, restored: Path) -> None:
    listing = listed(live)
    result = compare(live, restored, listing)
    assert counts(result) == {}
    assert result.digest == listing.digest
    assert (result.files, result.folders, result.others) == (18, 3, 1)
    assert result.ended


def alter(path: Path) -> None:
    """Another content with the same size and times."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda top: (top / "a" / "f3").unlink(), {"missing": 1}),
        (lambda top: (top / "zz").write_text("new"), {"unexpected": 1}),
        (lambda top: shutil.rmtree(top / "a"), {"missing": 12}),
        (lambda top: alter(top / "large"), {"source_differs": 1}),
        (lambda top: (top / "b" / "f2").chmod(0o600), {"metadata": 1, "source_metadata": 1}),
        (lambda top: os.utime(top / "b" / "f2", (1, 1)), {"metadata": 1, "source_changed": 1}),
        (lambda top: ((top / "link").unlink(), (top / "link").mkdir()), {"content": 1}),
    ],
)
def test_each_difference_has_its_name(live: Path, restored: Path, change: Any, expected: dict[str, int]) -> None:
    listing = listed(live)
    change(restored)
    # The folder's own time changes with what is in it; restic sets it back, and so do we.
    for folder in ("", "a", "a/deep", "b"):
        if (restored / folder).is_dir():
            before = (live / folder).stat()
            os.utime(restored / folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = compare(live, restored, listing)
    assert counts(result) == expected
    assert result.digest != listing.digest or "source_differs" in expected


def test_a_name_that_is_not_utf8_is_missed(live: Path, restored: Path) -> None:
    listing = listed(live)
    os.unlink(os.fsdecode(os.fsencode(restored) + b"/odd\xfe"))
    result = compare(live, restored, listing)
    assert sum(counts(result).values()) >= 1
    assert result.files == 17


def test_the_live_tree_that_changed_is_no_fault(live: Path, restored: Path) -> None:
    listing = listed(live)
    source = Source(time.time() - 0.005, True)
    time.sleep(0.02)
    (live / "large").write_bytes(b"new")
    (live / "a" / "f1").unlink()
    made = verify.Verifier(verify.Abilities(True), verify.Selection(()), source)
    result = made.run(listing, str(restored), str(live), frozenset(), lambda: False)
    assert counts(result) == {"source_changed": 2, "source_gone": 1}  # the folder a has changed as well


@pytest.mark.skipif(os.geteuid() != 0, reason="attributes and owners need root")
def test_attributes_owners_and_hard_links(live: Path, tmp_path: Path) -> None:
    os.setxattr(live / "a" / "f1", "user.note", b"x")
    os.chown(live / "a" / "f2", 123, 456)
    os.link(live / "large", live / "zhard")
    listing = listed(live)
    restored = tmp_path / "copy"
    shutil.copytree(live, restored, symlinks=True)  # keeps attributes; loses owners and links
    time.sleep(0.02)
    result = compare(live, restored, listing)
    assert counts(result) == {"metadata": 1, "source_metadata": 2}
    told = result.told("source_metadata")
    assert any("owner 0:0 instead of 123:456" in line for line in told)
    assert any("no hard link" in line for line in told)
    os.removexattr(restored / "a" / "f1", "user.note")
    again = compare(live, restored, listed(live))
    assert any("lacks the attribute user.note" in line for line in again.told("source_metadata"))


def test_only_the_selection_must_be_there(live: Path, restored: Path) -> None:
    listing = listed(live)
    shutil.rmtree(restored / "a")
    (restored / "large").unlink()
    (restored / "b").chmod(0o700)
    result = compare(live, restored, listing, units=["/b/f1", "/link"])
    assert counts(result) == {}
    (restored / "b" / "f1").unlink()
    assert counts(compare(live, restored, listing, units=["/b/f1", "/link"])) == {"missing": 1}


def test_turns_read_every_file_once(live: Path, restored: Path) -> None:
    read = 0
    for turn in range(4):
        source = Source(time.time(), True, turn=turn, turns=4)
        made = verify.Verifier(verify.Abilities(True), verify.Selection(()), source)
        made.run(listed(live), str(restored), str(live), frozenset(), lambda: False)
        read += source.compared_bytes
    assert read == sum(path.stat().st_size for path in live.rglob("*") if path.is_file() and not path.is_symlink())


def test_a_large_folder_is_sorted_outside_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_walk, "_CHUNK", 10)
    names = [f"f{number * 7919 % 101:03}" for number in range(101)]
    for name in names:
        (tmp_path / name).touch()
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        assert list(verify_walk.names_of(folder, str(tmp_path))) == sorted(names)
    finally:
        os.close(folder)


def test_a_pipe_in_place_of_a_live_file_makes_nobody_wait(live: Path, restored: Path) -> None:
    listing = listed(live)
    (live / "large").unlink()
    os.mkfifo(live / "large")
    result = compare(live, restored, listing)
    assert counts(result)["source_changed"] >= 1


# -- symbolic links against the snapshot's own word -------------------------------------------------------------------


def links(restored: Path, told: list[bytes]) -> verify.Verified:
    result = verify.Verified()
    made = verify.Links(result, verify_walk.walk(str(restored), None, frozenset(), lambda: False))
    for line in told:
        made.take(line)
    made.end()
    return result


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    top = tmp_path / "linked"
    (top / "d").mkdir(parents=True)
    (top / "a -> b").symlink_to("c -> d")
    (top / "d" / "inner").symlink_to("/etc/passwd")
    (top / "d.x").symlink_to("t")
    (top / "z").symlink_to(os.fsdecode(b"caf\xe9"))
    return top


TOLD = [b"/a -> b -> c -> d", b"/d/inner -> /etc/passwd", b"/d.x -> t", b"/z -> caf\xe9"]


def test_links_lead_where_the_snapshot_says(linked: Path) -> None:
    others = [b"/0 -> x", b"/a -> x", b"/c -> /d/inner", b"/d/0 -> x", b"/d/z -> x", b"/e -> x", b"/zz -> x"]
    told = sorted(TOLD + others, key=lambda line: order(line.partition(b" -> ")[0]))
    for lines in (TOLD, told):  # a sample has not all that the snapshot has
        result = links(linked, lines)
        assert (counts(result), result.links_proven, result.links_open) == ({}, 4, 0)


@pytest.mark.parametrize("number", range(4))
def test_a_link_that_leads_elsewhere_is_told(linked: Path, number: int) -> None:
    told = [line + b"2" if place == number else line for place, line in enumerate(TOLD)]
    result = links(linked, told)
    assert (counts(result), result.links_proven, result.links_open) == ({"content": 1}, 3, 0)
    assert "it leads to " in result.told("content")[0]


@pytest.mark.parametrize("left", [[0, 1, 2, 3], [1], [3], [0, 2]])
def test_a_link_that_nothing_is_said_of_stays_open(linked: Path, left: list[int]) -> None:
    result = links(linked, [line for place, line in enumerate(TOLD) if place not in left])
    assert (counts(result), result.links_proven, result.links_open) == ({}, 4 - len(left), len(left))


def test_a_target_of_two_lines_stays_open(tmp_path: Path) -> None:
    (tmp_path / "two").symlink_to("first\nsecond")
    result = links(tmp_path, [b"/two -> first"])
    assert (counts(result), result.links_proven, result.links_open) == ({}, 0, 1)


def test_links_that_the_live_tree_vouches_for_are_not_open(live: Path, restored: Path) -> None:
    assert compare(live, restored, listed(live)).links_open == 0
    alone = verify.Verifier(verify.Abilities(True), verify.Selection(()))
    assert alone.run(listed(live), str(restored), None, frozenset(), lambda: False).links_open == 1
