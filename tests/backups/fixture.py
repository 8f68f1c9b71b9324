# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: the oldest and the newest restic in turn, and a whole repository made by it.

A version that cannot be fetched is a skipped test, which a run of CI takes for a failure (tests/allowed-skips.txt).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import repositories, restics

_made: dict[str, repositories.Made] = {}


def program(name: str) -> Path:
    """The restic of that name, or the test is skipped, with the reason."""
    try:
        return restics.restic(name)
    except restics.NotToBeHad as why:
        pytest.skip(f"restic of {name}: {why}")


@pytest.fixture(params=restics.ENDS)
def restic(request: pytest.FixtureRequest) -> Path:
    """The oldest and the newest restic in turn."""
    return program(request.param)


@pytest.fixture
def whole(restic: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[repositories.Made]:
    """A whole repository with two snapshots, made by that version; a test may damage it."""
    if str(restic) not in _made:
        _made[str(restic)] = repositories.Made.new(restic, tmp_path_factory.mktemp("restic"))
    yield _made[str(restic)].copy(tmp_path / "repository")
    repositories.release()
