# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a trial restore tells by its figures: the trend of the time that it takes, and the room that holes would."""

from __future__ import annotations

import io
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import (
    judge_restore,
    options_restore,
    review_restore,
    verify,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.listing import Listing
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.model import Entry, Snapshot
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.restic import Repository
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.restore import Outcome, Timing
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.sample import Sample, Turn
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.verify_source import Source
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host

MIB = 1024**2


def outcome(seconds: float, megabytes: int = 100) -> Outcome:
    """A restore of everything that went well."""
    snapshot = Snapshot("a" * 64, "a" * 8, 1e9, "web1", "root", ("/srv",), (), "t" * 64, None, "", None, None)
    made = Outcome(snapshot)
    made.listing = Listing(io.BytesIO())
    made.listing.add(Entry("/file", "file", megabytes * MIB, 0o644, 0, 0, 1.0))
    made.verified = verify.Verified()
    made.verified.files, made.verified.bytes = 1, megabytes * MIB
    made.timing = Timing(0.5, 0.5, seconds, seconds + 2)
    return made


def told(
    made: Outcome, history: list[dict[str, Any]] | None = None, **options: Any
) -> tuple[list[dict[str, Any]], Review]:
    review = Review("backup")
    options = {**options_restore.defaults(), **options}
    assert judge_restore.judge(review, "lab", "lab web1:/srv", made, options, history or [], 1e9) == "passed"
    return review.findings, review


def kept(*seconds: float, megabytes: int = 100, whole: bool = True) -> list[dict[str, Any]]:
    """What was remembered of earlier restores, as the module itself would have kept it."""
    history = []
    for one in seconds:
        run = judge_restore.remembered(outcome(one, megabytes), 1e9)
        assert run is not None
        history.append({**run, "whole": whole})
    return history


@pytest.mark.parametrize(
    ("seconds", "history"),
    [
        (2.0, kept(1.0, 1.0, 1.1, 0.9)),  # twice as long is the load; more is not
        (9.0, []),
        (9.0, kept(1.0, 1.0, 1.0)),  # too few to be a trend
        (9.0, kept(1.0, 1.0, 1.0, 1.0, whole=False)),  # samples are no measure of the whole
        (9.0, kept(0.1, 0.1, 0.1, 0.1, megabytes=5)),  # too small to say anything of speed
        (5.0, kept(0.3, 0.3, 0.3, 0.3, megabytes=19)),  # a busy machine
        (9.0, kept(8.0, 9.0, 1.0, 8.5, 1.0)),  # the middle one counts, not the best
        (9.0, [{"bytes": "x"}, {"seconds": 0}, {}, {"bytes": True, "seconds": -1, "whole": True}]),
    ],
)
def test_no_trend_is_told(seconds: float, history: list[dict[str, Any]]) -> None:
    findings, review = told(outcome(seconds), history)
    assert findings == []
    assert {"check": "backup.restore.slow", "subject": "lab web1:/srv"} in review.coverage


@pytest.mark.parametrize("history", [kept(1.0, 1.1, 0.9, 1.0), kept(*[1.0] * 50), kept(50.0, 1.0, 1.0, 1.0, 1.0)])
def test_a_restore_that_became_slower_is_told(history: list[dict[str, Any]]) -> None:
    ((found,), _review) = told(outcome(3.0), history)
    assert (found["check"], found["severity"]) == ("backup.restore.slow", "medium")
    assert "3.0 times slower" in found["summary"]
    assert "33.3 MiB a second" in found["summary"] and "100.0 MiB" in found["summary"]
    assert any(line.startswith("earlier: ") for line in found["evidence"])
    assert found["facts"]["usual"] == pytest.approx(3 * found["facts"]["speed"], rel=0.01)


def test_an_agreed_time_is_told_before_the_trend() -> None:
    ((found,), _review) = told(outcome(3.0), kept(*[1.0] * 5), rto_hours=1 / 3600)
    assert (found["check"], found["severity"]) == ("backup.restore.slow", "high")
    assert found["facts"]["rto_hours"] == 1 / 3600


def test_a_slow_restore_that_was_kept_becomes_the_usual() -> None:
    history = kept(*[1.0] * 4, *[3.0] * 5)
    assert told(outcome(3.0), history)[0] == []


@pytest.mark.parametrize(
    ("holes", "megabytes", "is_told"), [(5 * MIB, 1, False), (2**30, 1, True), (2**30, 2**20, False)]
)
def test_holes_that_are_filled_are_told_where_they_take_room(holes: int, megabytes: int, is_told: bool) -> None:
    made = outcome(3.0, megabytes)
    made.source = Source(1e9, True)
    made.source.sparse, made.source.sparse_bytes = 2, holes
    findings, _review = told(made)
    assert [(one["check"], one["severity"]) for one in findings] == [("backup.restore.sparse", "low")] * is_told


@pytest.mark.parametrize(("runs", "is_told"), [(104, False), (1055, True)])
def test_a_round_that_nobody_lives_to_see_is_told(runs: int, is_told: bool) -> None:
    made = outcome(1.0)
    made.sample = Sample((), False, Turn(0, runs, 1), 1, {}, 0, 0, ())
    review = Review("backup")
    judge_restore.judge_round(review, "lab web1:/srv", made)
    assert [one["check"] for one in review.findings] == ["backup.restore.round"] * is_told
    assert is_told == any("1055 runs" in one["summary"] for one in review.findings)
    assert {"check": "backup.restore.round", "subject": "lab web1:/srv"} in review.coverage


@pytest.mark.parametrize("spelt", ["/srv/restic/", "local:/srv/restic", "/srv/restic"])
def test_a_repository_that_is_named_and_found_is_tried_once(monkeypatch: pytest.MonkeyPatch, spelt: str) -> None:
    tried: list[str] = []

    def tries(_review: Review, _host: Host, repository: Repository, _options: Any) -> list[dict[str, Any]]:
        tried.append(repository.name)
        return []

    monkeypatch.setattr(review_restore, "repositories_of", lambda _host: ([Repository("found", spelt)], []))
    monkeypatch.setattr(review_restore, "_repository", tries)
    monkeypatch.setattr(review_restore, "clear_away", lambda _review, _options: [])
    options = {**options_restore.defaults(), "repositories": [{"name": "named", "repository": "/srv/restic"}]}
    review_restore.review(Host(), {**options, "discover": True})
    assert tried == ["named"]
