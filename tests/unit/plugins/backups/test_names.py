# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that come in any order, as borg lists them, come back in the order in which a tree is walked."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.listing import parsed
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.model import Entry
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.names import Names
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.verify_walk import walk


def entry(path: str, kind: str = "file", size: int = 1) -> Entry:
    return Entry(path, kind, size, 0o644, 0, 0, 1.5)


def everything(_path: str) -> bool:
    return True


def test_the_order_is_that_of_the_walk(tmp_path: Path) -> None:
    chance = random.Random(1)
    top = tmp_path / "top"
    names = [
        "a",
        "a b",
        "a.b",
        "a-b",
        "a/b",
        "a/b/c",
        "a0",
        "ä",
        "new\nline",
        "tab\t",
        "back\\slash",
        "a/.",
        "B",
        "a/z/y",
    ]
    for name in names:
        folder = top / ("folder " + name if "/" not in name else name + "x")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_text("x")
        (top / (name.replace("/", "_") + ".file")).write_text("x")
    walked = [one.line for one in walk(str(tmp_path), None, frozenset(), lambda: False)]
    paths = [parsed(one) for one in walked]
    entries = [
        Entry(one.path, {"f": "file", "d": "dir"}[one.kind], one.size, one.mode, one.uid, one.gid, one.mtime / 1e6)
        for one in paths
    ]
    chance.shuffle(entries)
    made = Names(everything)
    for one in entries:
        made.add(one)
    made.done()
    assert list(made.lines()) == walked == list(made.lines())
    assert made.files == sum(one.kind == "f" for one in paths) and made.entries == len(paths)
    assert made.parents == set()
    made.close()


def test_a_link_has_the_size_of_its_file_wherever_that_is() -> None:
    made = Names(lambda path: path.startswith("/srv/wanted"))
    made.add(entry("/srv/wanted/one", size=0), "/srv/elsewhere/file")
    made.add(entry("/srv/elsewhere/file", size=4711))
    made.add(entry("/srv/wanted/two", size=0), "/srv/nowhere")
    made.done()
    assert [(one.path, one.size) for one in map(parsed, made.lines())] == [
        ("/srv/wanted/one", 4711),
        ("/srv/wanted/two", 0),
    ]
    assert (made.files, made.bytes) == (2, 4711)


def test_the_folders_above_that_were_not_backed_up_are_told() -> None:
    made = Names(everything)
    for one in (
        entry("/srv/what?/data", "dir"),
        entry("/srv/what?/data/x"),
        entry("/home/a/b/c"),
        entry("/home/a/b", "dir"),
    ):
        made.add(one)
    made.done()
    assert made.parents == {b"/srv", b"/srv/what?", b"/home", b"/home/a"}


MANY = """
import resource, sys
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.model import Entry
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.names import Names
made = Names(lambda path: True)
for number in range(int(sys.argv[1])):
    path = "/srv/folder%d/some file of a usual length %d" % (number * 7919 % 1009, number)
    made.add(Entry(path, "file", 1, 420, 0, 0, 1.0))
made.done()
assert sum(1 for line in made.lines()) == int(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(names: int) -> int:
    """KiB of memory at the most for so many names."""
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(names)], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.timeout(120)
def test_memory_does_not_grow_with_the_names() -> None:
    few, many = peak(20_000), peak(150_000)
    assert many - few < 30_000, (few, many)  # kept in memory, 130,000 names more took some 130 MB more


def test_no_room_for_names_is_told_as_that() -> None:
    names = Names(lambda _path: True)
    names._database.execute("PRAGMA max_page_count = 20")  # the same error as that of a full file system
    with contextlib.closing(names), pytest.raises(OSError) as raised:
        for number in range(20_000):
            names.add(Entry(f"/srv/{number}", "file", 1, 0o644, 0, 0, 1.0))
        names.done()
    assert raised.value.errno == errno.ENOSPC
