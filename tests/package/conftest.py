# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the checkout, as a fresh clone would be, for tests that really make environments and packages from it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.machine import ROOT
from tests.run.parts import project_files


def copy_checkout(target: Path) -> Path:
    """Copy the project's files, and nothing that is ignored, to `target`."""
    for name in project_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment variables of somebody who has nothing of ours: an empty home folder, no virtual environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "UPKEEP_"))}
    env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    env["LC_ALL"] = "C.UTF-8"
    env["HOME"] = str(tmp_path_factory.mktemp("home"))
    # What was downloaded once is not downloaded for each test again.
    env["XDG_CACHE_HOME"] = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    yield env
