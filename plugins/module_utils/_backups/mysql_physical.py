# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A full backup of mariadb-backup, restored on trial: copied, prepared, started, asked."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

from .._findings import CannotCheck
from . import dumps, mysql_judge, mysql_server
from .mysql_judge import Age
from .mysql_server import ThrowAway
from .restic import pattern

if TYPE_CHECKING:
    from .dump_source import Located
    from .mysql import Test
    from .mysql_server import Programs
    from .restic import Restic

NOTES = ("mariadb_backup_info", "xtrabackup_info", "mariadb_backup_checkpoints", "xtrabackup_checkpoints")
"""Files that mariadb-backup leaves beside the data; from 11.1 on under its own name."""


def test(work: Test, found: Located, restic: Restic | None) -> bool:
    """Restore one physical backup on trial; whether it was looked at to its end."""
    if not found.folder:
        raise CannotCheck(
            "%s is no folder, and only a backup in a folder is understood" % found.source.path,
            "Back up with --target-dir, or unpack the stream first (mbstream -x).",
        )
    size = found.source.size or 0
    needed = int(size * 1.2) + mysql_server.BASE_BYTES
    work.facts.update(needs_bytes=needed)
    return work.with_room(needed, lambda place: _restored(work, place, found, restic, size))


def _restored(work: Test, place: str, found: Located, restic: Restic | None, size: int) -> bool:
    data = os.path.join(place, "data")
    began = time.monotonic()
    if restic is None or found.snapshot is None:
        mysql_server.copied(found.source.path, data)
    else:
        restic.restore(found.snapshot.id, place + "/restored", [pattern(found.source.path)])
        os.rename(place + "/restored" + found.source.path, data)
    work.times["copy"] = round(time.monotonic() - began, 2)
    notes = _notes(data)
    if not _complete(work, notes):
        return False
    version = re.match(r"[\d.]+", notes.get("server_version", ""))
    dump = dumps.Dump("mariadb", "physical", True, server_version=version[0] if version else "")
    work.facts.update(engine="mariadb", server_version=notes.get("server_version", ""))
    programs = work.choose(dump)
    if programs is None:
        return False
    if not programs.backup:
        raise CannotCheck("mariadb-backup is not on this host", "apt-get install mariadb-backup")
    return _recovered(work, place, programs, notes, size)


def _notes(data: str) -> dict[str, str]:
    """What mariadb-backup wrote down: ``key = value`` lines."""
    notes: dict[str, str] = {}
    for name in NOTES:
        try:
            with open(os.path.join(data, name), encoding="utf-8", errors="replace") as stream:
                for line in stream.read(1 << 20).splitlines():
                    key, equals, value = line.partition("=")
                    if equals:
                        notes.setdefault(key.strip(), value.strip())
        except OSError:
            continue
    return notes


def _complete(work: Test, notes: dict[str, str]) -> bool:
    """Whether it is a full backup that was made to its end: its notes are written last."""
    kind = notes.get("backup_type", "")
    good = kind in ("full-backuped", "full-prepared", "log-applied") and "server_version" in notes
    with work.review.check("backup.archive.incomplete", work.subject):
        if not good:
            work.review.found(
                "backup.archive.incomplete",
                work.subject,
                "critical",
                "The physical backup is not complete: %s."
                % ("it is of the kind %s" % kind if kind else "mariadb-backup did not come to its end"),
                ["expected: a folder with %s and backup_type = full-backuped" % " and ".join(NOTES[1::2])],
                "Make a full backup (mariadb-backup --backup --target-dir=…) and see that it says 'completed OK!'. "
                "An incremental one is tried after it was applied to its full one.",
                {"notes": notes},
            )
    return good


def _recovered(work: Test, place: str, programs: Programs, notes: dict[str, str], size: int) -> bool:
    with work.server(place, programs, size) as server:
        server.own()
        if not _prepared(work, server) or not work.started(server, install=False):
            return False
        work.ages = _ages(work, notes)
        work.checks(server, None)
        seconds = work.times["copy"] + work.times["prepare"] + work.times["start"]
        work.facts["recovery_seconds"] = round(seconds, 2)
        mysql_judge.judge_time(work.review, work.subject, seconds, work.spec.get("max_seconds"))
    return True


def _prepared(work: Test, server: ThrowAway) -> bool:
    began = time.monotonic()
    ended = server.prepare(work.limits.timeout)
    work.times["prepare"] = round(time.monotonic() - began, 2)
    said = [line for line in ended.err.decode("utf-8", "replace").splitlines() if line.strip()]
    good = ended.rc == 0 and any("completed OK!" in line for line in said[-5:])
    with work.review.check("backup.archive.corrupt", work.subject):
        if not good:
            wrong = [line for line in said if "[ERROR]" in line or "Error" in line] or said
            work.review.found(
                "backup.archive.corrupt",
                work.subject,
                "critical",
                "The physical backup cannot be prepared: mariadb-backup ended with %s." % (ended.ended_by or ended.rc),
                wrong[-12:],
                "Check the repository or the disk that holds it, take an older one, and make a new one.",
            )
    return good


def _ages(work: Test, notes: dict[str, str]) -> list[Age]:
    ended: Any = dumps.stamp(notes.get("end_time", ""))
    if ended is None:
        return []
    now = work.host.now()
    work.facts.update(taken=ended, recovery_point_seconds=round(now - ended))
    return [Age("the backup was completed", notes["end_time"], (now - ended) / 3600, work.spec["max_age_hours"])]
