# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are: the state folder UPKEEP_HOME, a run's folder, the collection."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import NOT_RUN, UpkeepError

if TYPE_CHECKING:
    from collections.abc import Collection


RESULTS = "results.jsonl"
"""Name of the results file in a run's folder."""
PRIVATE = "runner"
"""Name of ansible-runner's own folder in a run's folder: it holds variables, and is there only while the run lasts."""


def home() -> Path:
    """The folder of all state: UPKEEP_HOME, else ``upkeep`` in the user's data folder. Not made here."""
    named = os.environ.get("UPKEEP_HOME")
    if named:
        return Path(named).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data and Path(data).is_absolute() else Path("~/.local/share").expanduser()) / "upkeep"


def runs_folder(base: Path) -> Path:
    """Where the runs' folders are."""
    return base / "runs"


def make_run_folder(base: Path, run_id: str) -> Path:
    """Make the folder of one run, readable by its owner only. Raises UpkeepError (NOT_RUN) when it cannot be made."""
    folder = runs_folder(base) / run_id
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise UpkeepError(
            "the folder for the run's files cannot be made",
            expected=f"to be able to write in {folder.parent}",
            found=error.strerror or str(error),
            remedy="free room or correct the rights there, or set UPKEEP_HOME to another folder",
            exit_code=NOT_RUN,
        ) from error
    return folder


def collection() -> Path:
    """The folder of the collection upkeep.maintenance that this Python sees. Raises UpkeepError (NOT_RUN) if none."""
    try:
        spec = importlib.util.find_spec("ansible_collections.upkeep.maintenance")
    except ModuleNotFoundError:
        spec = None
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise UpkeepError(
            "the collection upkeep.maintenance is not there",
            expected=f"ansible_collections/upkeep/maintenance in {sys.prefix}",
            found="nothing of that name",
            remedy="install Upkeep again (pip install upkeep), or start it by ./upkeep from a checkout",
            exit_code=NOT_RUN,
        )
    return Path(places[0])


def playbook_file(playbook: str) -> Path | None:
    """Where a job's playbook stands: a path, or one of ours. None for one of another collection, or if ours is gone."""
    ours = playbook.removeprefix("upkeep.maintenance.")
    if ours == playbook:
        return Path(playbook) if "/" in playbook else None
    try:
        return collection() / "playbooks" / f"{ours}.yml"
    except UpkeepError:
        return None


def local_inventory() -> Path:
    """The embedded inventory: this machine."""
    return collection() / "inventories" / "local"


def program(name: str) -> str:
    """The full path of one of Ansible's programs, that of this Python before any other on PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
    if found is None:
        raise UpkeepError(
            f"{name} is not there",
            expected=f"ansible-core installed beside Upkeep, in {beside.parent}",
            found=f"no {name} there nor on PATH",
            remedy=f"{sys.executable} -m pip install ansible-core",
            exit_code=NOT_RUN,
        )
    return found


def prune_run_folders(base: Path, before: float, recorded: Collection[str], known: Collection[str]) -> int:
    """Remove the folders of old runs whose results are in the store, and of those that have none; how many went.

    ``recorded``: ids of the old runs that the store has recorded; call this before the store forgets them. ``known``:
    ids of all runs that it knows. Results that were never recorded stay, however old: they are nowhere else. ``before``
    (seconds since the epoch) is for folders that the store knows nothing of, by their last change.
    """
    removed = 0
    for folder in runs_folder(base).glob("*"):
        try:
            if not folder.is_dir() or folder.is_symlink():
                continue
            stray = folder.name not in known and not (folder / RESULTS).exists() and folder.stat().st_mtime < before
            if folder.name in recorded or stray:
                shutil.rmtree(folder)
                removed += 1
        except OSError:
            continue  # Not ours to remove; it is tried again after the next run.
    return removed
