# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a plan is, and what the way back has to do: from the versions on the host alone."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.journal import Journal
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.progress import diff, measure, measure_return
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model


def plan(*rows: tuple[str, str, str]) -> dict[str, Any]:
    """Of (name, from, to)."""
    return plan_model.make(
        "apt",
        "all",
        [
            {"name": n, "arch": "amd64", "from": f, "to": t, "action": plan_model.action_of(f, t, True)}
            for n, f, t in rows
        ],
    )


UP, NEW, GONE = ("up", "1", "2"), ("new", "", "2"), ("gone", "1", "")


def names(rows: list[Any]) -> list[str]:
    return [row["name"] for row in rows]


@pytest.mark.parametrize(
    "installed, broken, done, left, strange",
    [
        ({"up:amd64": ["1"], "gone:amd64": ["1"]}, {}, [], ["up", "new", "gone"], 0),
        ({"up:amd64": ["2"], "new:amd64": ["2"]}, {}, ["up", "new", "gone"], [], 0),
        ({"up:amd64": ["2"], "gone:amd64": ["1"]}, {}, ["up"], ["new", "gone"], 0),
        # unpacked, but not configured
        ({"up:amd64": ["2"], "new:amd64": ["2"]}, {"up:amd64": "unpacked"}, ["new", "gone"], ["up"], 0),
        # interrupted by rpm: both are there
        ({"up:amd64": ["1", "2"], "new:amd64": ["2"]}, {"up:amd64": "twice"}, ["new", "gone"], ["up"], 0),
        # two kernels are as they should be
        ({"up:amd64": ["1", "2"], "new:amd64": ["2"]}, {}, ["up", "new", "gone"], [], 0),
        # somebody else was here
        ({"up:amd64": ["3"], "new:amd64": ["1"], "gone:amd64": ["2"]}, {}, [], [], 3),
        ({"gone:amd64": ["1"]}, {}, [], ["new", "gone"], 1),
        # the architecture became "all"
        ({"up:all": ["2"], "new:all": ["2"]}, {}, ["up", "new", "gone"], [], 0),
        # another architecture of that name is another package
        ({"up:amd64": ["1"], "up:i386": ["2"], "new:i386": ["2"]}, {}, ["gone"], ["up", "new"], 0),
    ],
)
def test_how_far_it_is(
    installed: dict[str, list[str]], broken: dict[str, str], done: list[str], left: list[str], strange: int
) -> None:
    progress = measure(plan(UP, NEW, GONE), installed, broken)
    assert (sorted(names(progress.done)), sorted(names(progress.left))) == (sorted(done), sorted(left))
    assert len(progress.strange) == strange
    assert progress.complete is (not left and not strange)


@pytest.mark.parametrize(
    "installed, broken, back, restore, remove, impossible, strange",
    [
        ({"up:amd64": ["1"], "gone:amd64": ["1"]}, {}, ["up", "new", "gone"], [], [], 0, 0),
        ({"up:amd64": ["2"], "new:amd64": ["2"]}, {}, [], ["up"], ["new"], 1, 0),
        ({"up:amd64": ["2"], "gone:amd64": ["1"]}, {"up:amd64": "unpacked"}, ["new", "gone"], ["up"], [], 0, 0),
        # half done at the old version: put back all the same
        ({"up:amd64": ["1"], "gone:amd64": ["1"]}, {"up:amd64": "half-installed"}, ["new", "gone"], ["up"], [], 0, 0),
        # a kernel beside the old one
        ({"up:amd64": ["1", "2"], "gone:amd64": ["1"]}, {}, ["new", "gone"], ["up"], [], 0, 0),
        # upgraded further by somebody else
        ({"up:amd64": ["3"], "new:amd64": ["3"], "gone:amd64": ["1"]}, {}, ["gone"], [], [], 0, 2),
    ],
)
def test_the_way_back(
    installed: dict[str, list[str]], broken: dict[str, str], back: list[str], restore: list[str], remove: list[str],
    impossible: int, strange: int,
) -> None:  # fmt: skip
    made = Journal(plan(UP, NEW, GONE))
    made.before = {"up:amd64": "1", "new:amd64": "", "gone:amd64": "1"}
    made.kept = {"up:amd64": {"file": "up.deb"}}
    way = measure_return(made, installed, broken)
    assert (sorted(names(way.back)), names(way.restore), names(way.remove)) == (sorted(back), restore, remove)
    assert (len(way.impossible), len(way.strange)) == (impossible, strange)


def test_the_difference_as_ansible_shows_it() -> None:
    rows = plan(UP, NEW, GONE)["packages"]
    forth, back = diff(rows), diff(rows, reverse=True)
    assert forth["before"] == "gone:amd64 1\nnew:amd64 (not installed)\nup:amd64 1\n"
    assert forth["after"] == "gone:amd64 (not installed)\nnew:amd64 2\nup:amd64 2\n" == back["before"]
    assert back["after"] == forth["before"]
