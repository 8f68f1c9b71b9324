# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample: over a round everything is seen, within the bounds, in bounded memory."""

from __future__ import annotations

import io
import random
import tracemalloc
from collections.abc import Iterator

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import sample
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.listing import (
    Disorder,
    Listed,
    Listing,
    escaped,
    order,
    parsed,
    shown,
    unescaped,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.model import Entry


def entry(path: str, kind: str = "file", size: int = 10, mtime: float = 1.0) -> Entry:
    return Entry(path, kind, size, 0o644, 0, 0, mtime)


def tree(folders: int, files: int, size: int = 10) -> Iterator[Listed]:
    yield Listed("/srv", "d", 0, 0o755, 0, 0, 0)
    for folder in range(folders):
        yield Listed(f"/srv/d{folder:05}", "d", 0, 0o755, 0, 0, 0)
        for file in range(files):
            yield Listed(f"/srv/d{folder:05}/f{file:05}", "f", size, 0o644, 0, 0, 0)


def test_a_small_tree_is_one_unit() -> None:
    assert [unit.path for unit in sample.units(tree(3, 3), 1000, 100)] == ["/"]


def test_units_are_disjoint_and_leave_nothing_out() -> None:
    names = [one for one in tree(20, 7) if one.kind == "f"]
    made = list(sample.units(tree(20, 7), 50, 1000))
    covered = [
        (one.path, sum(one.path == unit.path or one.path.startswith(unit.path + "/") for unit in made)) for one in names
    ]
    assert {count for _path, count in covered} == {1}
    assert sum(unit.bytes for unit in made) == 20 * 7 * 10
    assert all(unit.bytes <= 50 for unit in made)


def test_a_folder_with_as_much_as_fits_is_whole() -> None:
    made = list(sample.units(tree(4, 5), 50, 1000))
    assert [unit.path for unit in made] == [f"/srv/d{number:05}" for number in range(4)]


@pytest.mark.parametrize("of", [1, 2, 7, 52])
def test_the_turns_of_a_round_see_each_path_once(of: int) -> None:
    paths = [f"/srv/{number}" for number in range(500)]
    seen = [path for turn in range(of) for path in paths if sample.turn_of(path, of) == turn]
    assert sorted(seen) == sorted(paths)


def test_a_round_sees_everything_whatever_comes_and_goes() -> None:
    bounds = sample.Bounds(4000, 400, 40 * 50 * 10, 40 * 51)
    state: dict[str, object] = {}
    seen: set[str] = set()
    turn = None
    for _run in range(100):
        count = sum(1 for _ in sample.units(tree(40, 50), bounds.unit_bytes, bounds.unit_files))
        turn = sample.next_turn(state, bounds, count)
        if turn.round > 1:
            break
        chosen = sample.choose(tree(40, 50), bounds, turn, sample.Extremes(1, bounds.bytes), [])
        assert chosen.left_out == 0
        assert chosen.bytes <= bounds.bytes
        for one in tree(40, 50):
            if one.kind == "f" and any(above in {u.path for u in chosen.units} for above in sample.above_of(one.path)):
                seen.add(one.path)
        state = dict(sample.after(turn))
    assert turn is not None
    assert turn.round == 2
    assert turn.of > 3
    assert len(seen) == 40 * 50


@pytest.mark.parametrize("state", [{}, {"of": "x"}, {"of": -3, "number": None}, {"of": 5, "number": 4, "round": 2}])
def test_a_state_that_is_no_use_begins_a_round(state: dict[str, object]) -> None:
    assert sample.next_turn(state, sample.Bounds(100, 100, 1000, 10), 10).number == 0


def test_newest_largest_and_random_can_be_drawn_again() -> None:
    def drawn(seed: int) -> sample.Extremes:
        made = sample.Extremes(seed, 10_000)
        for number in range(1000):
            made.add_file(f"/f{number}", number if number != 500 else 20_000, float(number if number != 3 else 9999))
        return made

    one, again, other = drawn(1), drawn(1), drawn(2)
    assert [unit.path for unit in one.newest()] == ["/f3", "/f999", "/f998"]
    assert [unit.path for unit in one.largest()] == ["/f999"]
    assert one.too_large == 1
    assert one.at_random() == again.at_random() != other.at_random()


def test_each_file_is_as_likely() -> None:
    counts = [0] * 20
    for seed in range(4000):
        made = sample.Extremes(seed, 100)
        for number in range(20):
            made.add_file(str(number), 1, 0.0)
        for unit in made.at_random():
            counts[int(unit.path)] += 1
    # 600 expected each; five standard deviations of a binomial are 113
    assert all(480 < count < 720 for count in counts), counts


def test_what_matters_is_taken_whatever_it_weighs_and_what_lacks_is_told() -> None:
    bounds = sample.Bounds(100, 100, 2000, 200)
    chosen = sample.choose(
        tree(2, 100), bounds, sample.Turn(0, 40, 1), sample.Extremes(1, 100), ["/srv/d00001/", "/gone"]
    )
    assert "/srv/d00001" in [unit.path for unit in chosen.units]
    assert chosen.absent == ("/gone",)
    assert chosen.bytes >= 1000
    assert not any(unit.path.startswith("/srv/d00001/") for unit in chosen.units)


def test_a_million_names_take_little_memory() -> None:
    bounds = sample.Bounds(1 << 20, 1000, 200_000 * 10, 200_000)
    tracemalloc.start()
    try:
        sum(1 for _ in sample.units(tree(2000, 100), bounds.unit_bytes, bounds.unit_files))
        chosen = sample.choose(tree(20, 10_000), bounds, sample.Turn(0, 300, 1), sample.Extremes(1, 1 << 20), [])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert chosen.units
    assert peak < 4 << 20


# -- the listing -----------------------------------------------------------------------------------------------------


def listing(entries: list[Entry]) -> Listing:
    made = Listing(io.BytesIO())
    for one in entries:
        made.add(one)
    return made


@pytest.mark.parametrize(
    "path", ["/a\nb", "/a\tb", "/a\\b", "/a\\nb", "/\\\\n", "/é\N{REPLACEMENT CHARACTER}", "/a\\\n"]
)
def test_a_path_survives_its_line(path: str) -> None:
    assert unescaped(escaped(path)) == path
    (line,) = listing([entry(path)]).lines()
    assert parsed(line).path == path
    assert line.count(b"\n") == 1


def test_any_path_survives_its_line() -> None:
    chance = random.Random(1)
    for _ in range(2000):
        path = "/" + "".join(chance.choice("\\nt\n\tab") for _ in range(8))
        assert unescaped(escaped(path)) == path


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        (b"caf\xe9", "caf\ufffd"),
        (b"\xe2\x82", "\ufffd\ufffd"),
        (b"\xe2\x82\xac", "€"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_bytes_are_shown_as_go_shows_them(name: bytes, seen: str) -> None:
    assert shown(name) == seen


def test_order_is_that_of_bytes_and_depth() -> None:
    paths = ["/A", "/a", "/a/b", "/a/b/c", "/a/b.d", "/a.txt", "/a0", "/a0/x", "/z", "/Ă"]
    folders = {"/a", "/a/b", "/a0"}
    made = listing([entry(path, "dir" if path in folders else "file") for path in paths])
    assert [one.path for one in made] == paths
    assert sorted(paths, key=lambda path: order(path.encode())) == paths
    # The order of whole paths is another one: "." comes before "/".
    assert sorted(paths, key=str.encode) != paths
    for number in range(len(paths) - 1):
        swapped = [*paths[:number], paths[number + 1], paths[number], *paths[number + 2 :]]
        with pytest.raises(Disorder):
            listing([entry(path, "dir" if path in folders else "file") for path in swapped])


@pytest.mark.parametrize(
    "entries",
    [
        [entry("/a"), entry("/a")],
        [entry("/a", "dir"), entry("/a", "symlink")],
        [entry("/a", "dir"), entry("/a/x"), entry("/a", "symlink")],
        [entry("/b"), entry("/a")],
        [entry("/a/b")],
        [entry("/a"), entry("/a/b")],
        [entry("/a", "dir"), entry("/a/..")],
        [entry("/")],
        [entry("relative")],
        [entry("/a", "irregular")],
        [entry("/\ufffd", "dir"), entry("/\ufffd", "symlink")],
        [entry("/\ufffd", "symlink"), entry("/b"), entry("/\ufffd", "symlink")],
    ],
)
def test_disorder_is_refused(entries: list[Entry]) -> None:
    with pytest.raises(Disorder):
        listing(entries)


def test_two_files_may_be_shown_alike() -> None:
    assert listing([entry("/caf\ufffd"), entry("/caf\ufffd")]).files == 2


def test_the_digest_leaves_sockets_out() -> None:
    assert listing([entry("/a"), entry("/b", "socket")]).digest == listing([entry("/a")]).digest
