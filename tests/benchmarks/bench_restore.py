# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trial restores, whole and sampled, against bare `restic restore --no-cache` of the same; and what memory they take.

Each contender cleans up what it restored, the bare ones too: a trial that left its files would be no trial. The live
source is compared as it is by default. Everything lies in memory (/dev/shm) unless --folder says otherwise: a disk
that others use as well would be measured instead.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .measure import Contender, Row, by_turns, ratio, show

PROGRAM = """
import json, sys
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import options_restore
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.review_restore import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
result = review(Host(), {**options_restore.defaults(), **json.loads(sys.argv[1])})
assert [test["outcome"] for test in result["tests"]] == ["passed"], result["findings"]
assert result["findings"] == [], result["findings"]
print(json.dumps(result["tests"][0]))
"""
PASSWORD = {"RESTIC_PASSWORD": "bench"}


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each command (default: %(default)s)")
    parser.add_argument("--full", action="store_true", help="memory at a million names and at a file of 10 GB")
    parser.add_argument("--folder", type=Path, help="where to work (default: /dev/shm)")
    args = parser.parse_args()
    base = args.folder or Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="upkeep-bench-restore-", dir=base) as folder:
        rows = times(Path(folder), args.runs)
    # A million names and 10 GB are for a disk: nothing but memory is measured.
    with tempfile.TemporaryDirectory(prefix="upkeep-bench-restore-", dir=args.folder) as folder:
        rows += memory(Path(folder), full=args.full)
    show("trial restores", rows, args.json)


def times(folder: Path, runs: int) -> list[Row]:
    """Of 2.1 GB in 20,000 files: what restic takes to open a repository, whatever is in it, is a tenth of the time."""
    source = folder / "source"
    files(source, 200, 100, 30_000)
    large(source, 3, 500)
    repository = made(folder, source)
    base = options(repository, folder, source_mib=512)
    plan = once({**base, "check_mode": True, "mode": "full", "scratch": str(folder / "none")}, planned=True)
    sample = {**base, "mode": "sample", "sample_mib": plan["holds"]["bytes"] // 4 >> 20, "seed": 1}
    chosen = once({**sample, "check_mode": True, "history_dir": str(folder / "fresh")}, planned=True)
    units = [path for paths in chosen["sample"]["why"].values() for path in paths]
    includes = [word for path in dict.fromkeys(units) for word in ("--include", path)]

    def trial(name: str, given: dict[str, Any]) -> Contender:
        def make() -> list[str]:
            # The first turn each time: the bare restore is of the same files.
            shutil.rmtree(folder / "history", ignore_errors=True)
            return [sys.executable, "-c", PROGRAM, json.dumps(given)]

        return Contender(name, make)

    whole = trial("full trial", {**base, "mode": "full"})
    every = trial("full trial, all live bytes", {**base, "mode": "full", "source_mib": 0})
    part = trial("sampled trial", sample)
    bare = Contender("bare restore", restore(repository, folder, []), env=PASSWORD)
    bare_part = Contender("bare restore of the sample", restore(repository, folder, includes), env=PASSWORD)
    by_turns([bare, whole, every, bare_part, part], runs)
    size = plan["holds"]["bytes"] / 1e9
    rows = [
        (whole, bare, 1.35, f"{size:.1f} GB, {plan['holds']['files']} files, every one's content and metadata"),
        (part, bare, 1.10, f"{chosen['chosen']['bytes'] / 1e9:.2f} GB, {chosen['chosen']['files']} files of it"),
        (part, bare_part, None, "against a restore of the same files, that has nothing to choose or prove"),
        (every, bare, None, "with the bytes of all live files read as well"),
    ]
    return [
        Row(
            f"{one.name} / {other.name}",
            ratio(one, other),
            aim,
            f"{one.median('wall'):.2f} s against {other.median('wall'):.2f} s: {told}",
        )
        for one, other, aim, told in rows
    ]


def memory(folder: Path, *, full: bool) -> list[Row]:
    """What our own process takes (restic is another): many names against one large file."""
    peaks = {}
    shapes: dict[str, Callable[[Path], None]] = {
        "many": lambda source: files(source, 1000 if full else 100, 1000 if full else 300, 0),
        "one": lambda source: large(source, 1, 10_000 if full else 500),
    }
    for name, fill in shapes.items():
        place = folder / name
        source = place / "source"
        fill(source)
        given = options(made(place, source), place, mode="full", source_mib=0)
        contender = Contender(name, lambda given=given: [sys.executable, "-c", PROGRAM, json.dumps(given)])
        by_turns([contender], 1, 0)
        peaks[name] = contender.costs[0].peak
        shutil.rmtree(place)
    count = "a million" if full else "30,000"
    return [
        Row(
            "memory, many names / one large file",
            peaks["many"] / peaks["one"],
            1.5,
            f"{count} names {peaks['many'] >> 20} MiB, one file of {10 if full else 0.5:g} GB {peaks['one'] >> 20} MiB",
        )
    ]


def files(source: Path, folders: int, each: int, mean: int) -> None:
    chance = random.Random(1)
    for number in range(folders):
        place = source / f"folder{number:04}"
        place.mkdir(parents=True)
        for file in range(each):
            size = int(chance.expovariate(1 / mean)) if mean else 20
            (place / f"file{file:04}.dat").write_bytes(chance.randbytes(size))


def large(source: Path, count: int, megabytes: int) -> None:
    source.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        with (source / f"large{number}").open("wb") as stream:
            for _ in range(megabytes):
                stream.write(os.urandom(1 << 20))


def made(folder: Path, source: Path) -> Path:
    repository = folder / "repository"
    for words in (["init"], ["backup", str(source)]):
        subprocess.run(
            ["restic", "-q", "--no-cache", "-r", str(repository), *words], check=True, env={**os.environ, **PASSWORD}
        )
    return repository


def options(repository: Path, folder: Path, **given: Any) -> dict[str, Any]:
    return {
        "repositories": [{"name": "bench", "repository": str(repository), "password": PASSWORD["RESTIC_PASSWORD"]}],
        "discover": False,
        "scratch": str(folder / "scratch"),
        "history_dir": str(folder / "history"),
        "reserve_mib": 0,
        "nice": 0,
        "ionice": "none",
        **given,
    }


def once(given: dict[str, Any], *, planned: bool) -> dict[str, Any]:
    program = PROGRAM.replace('["passed"]', '["planned"]') if planned else PROGRAM
    ran = subprocess.run([sys.executable, "-c", program, json.dumps(given)], check=True, stdout=subprocess.PIPE)
    made_of: dict[str, Any] = json.loads(ran.stdout)
    return made_of


def restore(repository: Path, folder: Path, includes: list[str]) -> Callable[[], list[str]]:
    target = str(folder / "bare")
    words = ["restic", "-q", "-r", str(repository), "--no-cache", "--no-lock", "restore", "latest", "--target", target]
    script = 'target="$1"; shift; "$@" && rm -rf "$target"'
    return lambda: ["sh", "-c", script, "sh", target, *words, *includes]


if __name__ == "__main__":
    main()
