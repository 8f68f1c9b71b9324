# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""There was room when it was asked for, and somebody else took it: told as that, not as a backup that is broken."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import options_restore
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.review_restore import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from tests.backups import postgresqls, repositories
from tests.backups.fixture import restic  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root"),
    pytest.mark.timeout(300),
]

MIB = 1024 * 1024


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system of 300 MiB; nothing of a test may be in it afterwards."""
    with postgresqls.place() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300M,mode=711", "tmpfs", folder], check=True)
        try:
            yield folder
            assert [path.name for path in folder.iterdir() if path.name.startswith("upkeep-")] == []
            assert postgresqls.processes(folder) == []
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def outcome(result: dict[str, Any]) -> tuple[list[str], list[str]]:
    checks = sorted(found["check"] for found in result["findings"])
    return checks, [proof["outcome"] for proof in result["proofs"]]


def test_while_files_are_restored(restic: Path, tmp_path: Path, small: Path) -> None:  # noqa: F811
    source = tmp_path / "source"
    source.mkdir()
    for number in range(8):
        (source / f"file{number}").write_bytes(os.urandom(3 * MIB))
    made = repositories.Made(restic, tmp_path / "repository", source)
    made.begin()
    made.restic("backup", str(source))
    greedy = tmp_path / "greedy-restic"
    greedy.write_text(
        f'#!/bin/sh\ncase "$*" in *restore*) head -c 290M /dev/zero > {small}/others;; esac\nexec {restic} "$@"\n'
    )
    greedy.chmod(0o755)
    named = {"name": "lab", "repository": str(made.folder), "password": made.password}
    given = {"repositories": [named], "discover": False, "program": str(greedy), "scratch": str(small)}
    given |= {"history_dir": str(tmp_path / "history"), "reserve_mib": 0, "mode": "full", "check_mode": False}
    result = review(Host(), {**options_restore.defaults(), **given})
    assert outcome(result) == (["backup.restore.no_room"], ["cannot"]), result["findings"]


def test_while_the_names_are_listed(restic: Path, tmp_path: Path, small: Path) -> None:  # noqa: F811
    source = tmp_path / "source"
    source.mkdir()
    for number in range(6000):
        (source / f"a file whose name takes its room in the list of names, as others do {number}").touch()
    made = repositories.Made(restic, tmp_path / "repository", source)
    made.begin()
    made.restic("backup", str(source))
    small.chmod(0o755)
    with (small / "others").open("wb") as others:
        others.write(b"\0" * (300 * MIB - 256 * 1024))
    named = {"name": "lab", "repository": str(made.folder), "password": made.password}
    given = {"repositories": [named], "discover": False, "program": str(restic), "scratch": str(small)}
    given |= {"history_dir": str(tmp_path / "history"), "reserve_mib": 0, "mode": "full"}
    for check_mode in (False, True):
        result = review(Host(), {**options_restore.defaults(), **given, "check_mode": check_mode})
        (found,) = result["findings"]
        assert (found["check"], found["severity"]) == ("backup.restore.no_room", "high"), found
        assert str(small) in found["summary"]
        assert [one["outcome"] for one in result.get("proofs", [])] == ([] if check_mode else ["cannot"])


@pytest.mark.postgresql
def test_while_a_dump_is_loaded(tmp_path: Path, small: Path) -> None:
    with postgresqls.production(orders=10) as live:
        text = live.dump(tmp_path / "shop.sql").read_text()
    at = text.index("--\n-- PostgreSQL database dump complete")
    much = "CREATE TABLE public.much AS SELECT repeat('x', 1500) AS a FROM generate_series(1, 300000);\n"
    path = small / "shop.sql"
    path.write_text(text[:at] + much + text[at:])
    spec = {"name": "shop", "path": str(path), "roles": ["app", "Read Only"], "expected_bytes": 50 * MIB}
    result = postgresqls.restored(small, spec)
    assert outcome(result) == (["backup.dump.no_room"], ["cannot"]), result["findings"]
