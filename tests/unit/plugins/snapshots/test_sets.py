# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of snapshots, marks, ages and options: what is decided before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _mounts
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots import options, volumes
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.model import (
    Mark,
    is_ahead,
    is_old,
    mark_in,
    mark_of,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.sets import (
    BROKEN,
    INVALID,
    REVERTED,
    REVERTING,
    TAKEN,
    Member,
    Volume,
    decide,
    sets_of,
    shown,
)

NOW = 1_790_000_000.0
HOUR = 3600


@pytest.mark.parametrize("name", ["upkeep", "p-0123456789ab", "a.1.2", "v1.1500000000.3", "A_b"])
def test_a_mark_is_read_as_it_was_written(name: str) -> None:
    mark = Mark(name, 1_790_000_000, 12)
    assert mark_of(mark.text) == mark
    assert mark_in(f"before the patch {mark.text} of web1") == mark


@pytest.mark.parametrize(
    "text",
    [
        "", "upkeep", "upkeep.snapshot.a.1790000000", "upkeep.snapshot.a.1790000000.0", "upkeep.snapshot..1790000000.1",
        "upkeep.snapshot.a b.1790000000.1", "upkeep.snapshot.a.1790000000.1\n", "upkeep.snapshot.-a.1790000000.1",
        "xupkeep.snapshot.a.1790000000.1", "upkeep.snapshot.%s.1790000000.1" % ("a" * 49), "upkeep.snapshot.a.17.1",
    ],
)  # fmt: skip
def test_what_is_no_mark_is_not_ours(text: str) -> None:
    assert mark_of(text) is None


def test_ages() -> None:
    mark = Mark("a", int(NOW) - 72 * HOUR)
    assert not is_old(mark, NOW, 72) and is_old(mark, NOW + 1, 72) and not is_old(mark, NOW + 1e6, 0)
    assert not is_ahead(Mark("a", int(NOW) + HOUR), NOW) and is_ahead(Mark("a", int(NOW) + HOUR + 1), NOW)


def member(name: str = "a", age: float = 1, volume: str = "/", state: str = TAKEN, members: int = 1) -> Member:
    return Member("btrfs", Mark(name, int(NOW - age * HOUR), members), volume, "0:1#" + volume, "/x", state, why="why")


def decided(state: str, *members: Member, wanted: tuple[str, ...] = ("/",), max_age: int = 72) -> Any:
    made = [Volume("btrfs", path, "0:1#" + path) for path in wanted]
    return decide(state, "a", sets_of(members), made, NOW, max_age)


def removed(decision: Any) -> list[tuple[str, str]]:
    return [(one.mark.name, why) for one, why in decision.remove]


def test_present_keeps_what_is_whole_and_takes_what_is_not_there() -> None:
    assert decided("present").take
    kept = decided("present", member())
    assert not kept.take and kept.keep is not None and not kept.remove and not kept.refused
    both = [member(volume=path, members=2) for path in ("/", "/var")]
    assert not decided("present", *both, wanted=("/", "/var")).take


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (member(members=2), "it is not whole"),
        (member(state=BROKEN), "it is not whole"),
        (member(age=73), "it is too old"),
        (member(state=REVERTED), "it is used up: it was reverted to"),
    ],
)
def test_present_takes_anew_what_is_of_no_use(one: Member, why: str) -> None:
    decision = decided("present", one)
    assert decision.take and removed(decision) == [("a", why)] and not decision.refused


def test_present_refuses_what_a_person_must_see() -> None:
    waits = decided("present", member(state=REVERTING))
    assert "about to be reverted" in waits.refused and not waits.take and not waits.remove
    assert "worth nothing" in decided("present", member(state=INVALID)).refused
    assert "is not one of /var" in decided("present", member(), wanted=("/", "/var")).refused
    # One of the kept set is a volume that was not asked for: it is there all the same.
    assert not decided("present", member(members=2), member(volume="/var", members=2)).refused


def test_of_two_sets_the_older_goes() -> None:
    decision = decided("present", member(age=5), member(age=2))
    assert not decision.take and decision.keep is not None and decision.keep.mark.created == NOW - 2 * HOUR
    assert removed(decision) == [("a", "there is a newer one")]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_others_of_ours_are_swept_by_age_alone(state: str) -> None:
    others = [member("old", 73), member("young", 71), member("ahead", -2), member("half", 1, members=2)]
    decision = decided(state, *others)
    assert removed(decision) == [("old", "it is too old")]
    assert [one.mark.name for one in decision.ahead] == ["ahead"]
    never = decided(state, *others, max_age=0)
    assert not never.remove and not never.ahead


def test_absent_takes_all_of_its_name() -> None:
    mine = [member(state=state, age=age) for age, state in enumerate((TAKEN, BROKEN, INVALID, REVERTED), 1)]
    assert removed(decided("absent", *mine)) == [("a", "")] * 4
    assert not decided("absent").remove


def test_reverted_needs_a_set_that_is_whole() -> None:
    assert "there is no snapshot a" in decided("reverted", member("b")).refused
    assert "only 1 of its 2" in decided("reverted", member(members=2)).refused
    assert "only 0 of its 1" in decided("reverted", member(state=BROKEN)).refused
    assert "worth nothing" in decided("reverted", member(state=INVALID)).refused
    assert "older than max_age_hours" in decided("reverted", member(age=73)).refused
    assert decided("reverted", member(age=73), max_age=0).keep is not None
    # What was begun is gone on with, however old.
    assert decided("reverted", member(age=73, state=REVERTING)).keep is not None
    for state in (TAKEN, REVERTING, REVERTED):
        decision = decided("reverted", member(state=state), member("old", 500))
        assert decision.keep is not None and not decision.remove and not decision.refused
    # Half reverted is gone on with.
    half = [member(members=2), member(volume="/var", members=2, state=REVERTED)]
    assert len(decided("reverted", *half).keep.members) == 2


def test_the_diff_is_the_same_in_check_mode() -> None:
    old, new = member("b", 5), member()
    later = Member("btrfs", Mark("a", new.mark.created + 7, 1), "/", "0:1#/", "/y", TAKEN)
    assert (
        shown([old, new], [old])
        == shown([old, later], [old])
        == (f"btrfs / a (new): taken\nbtrfs / b at {old.mark.created}: taken\n")
    )


def given(**more: Any) -> dict[str, Any]:
    return {**{name: one.get("default") for name, one in options.SPEC.items()}, **more}


def test_options() -> None:
    assert options.errors_of(given()) == []
    assert options.errors_of(given(name="p-0123456789ab", volumes=["/", "/var/lib", "auto"])) == []
    for more in (
        {"name": ""}, {"name": "-r"}, {"name": "a/b"}, {"name": "a b"}, {"name": "a\n"}, {"name": "a" * 49},
        {"name": "$(id)"}, {"name": ".a"}, {"name": "é"}, {"volumes": []}, {"volumes": ["srv"]}, {"volumes": ["/a/"]},
        {"volumes": ["/a/../b"]}, {"volumes": ["/a\x1b[2J"]}, {"volumes": [""]}, {"max_age_hours": -1},
        {"max_age_hours": 87601}, {"room_percent": 91}, {"room_percent": -1}, {"size_percent": 0},
        {"size_percent": 101}, {"timeout": 0},
    ):  # fmt: skip
        assert len(options.errors_of(given(**more))) == 1, more


MOUNTS = _mounts.parse_mountinfo(
    b"1 0 0:30 /@ / rw - btrfs /dev/vda2 rw,subvolid=256,subvol=/@\n"
    b"2 1 0:30 /@home /home rw - btrfs /dev/vda2 rw,subvolid=257,subvol=/@home\n"
    b"3 1 8:1 / /boot rw - ext4 /dev/vda1 rw\n"
    b"4 1 253:1 / /var rw - xfs /dev/mapper/vg-var rw\n"
    b"5 4 0:40 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n"
    b"6 1 0:41 / /run rw - tmpfs tmpfs rw\n"
    b"7 4 253:2 / /variable rw - xfs /dev/mapper/vg-variable rw\n"
)


def test_the_volumes_that_hold_what_packages_write() -> None:
    real = {"/": "/", "/usr": "/usr", "/var": "/var", "/var/lib/rpm": "/usr/lib/sysimage/rpm"}
    assert volumes.automatic(real, MOUNTS) == ["/", "/var"]
    assert volumes.automatic({"/": "/"}, MOUNTS) == ["/"]
    held = volumes.holding("/variable/x", MOUNTS)
    assert held is not None and held.path == "/variable"


def test_what_is_not_in_them_is_told() -> None:
    assert [one["path"] for one in volumes.not_included(["/", "/var"], MOUNTS)] == ["/boot", "/home", "/variable"]
    assert volumes.not_included(["/var"], MOUNTS) == []


def test_kernels_that_came_later() -> None:
    files = [("vmlinuz-6.1.0-28", 100.0), ("vmlinuz-6.1.0-30", 300.0), ("config-6.1.0-30", 300.0), ("grub", 300.0)]
    assert volumes.later_kernels(files, 200) == ["6.1.0-30"]
