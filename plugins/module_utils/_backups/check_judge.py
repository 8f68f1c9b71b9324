# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check of a repository means: what is broken, what of the backups it takes along, what saves the rest. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .check_parse import NONE, Damage, Touched
from .judge_snapshots import lost_snapshot
from .restic_errors import repair_index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._findings import Review
    from .check_rotation import Coverage

REPAIR = (0, 16, 0)
"""Since when ``repair snapshots`` is there."""
REPAIR_PACKS = (0, 17, 0)
"""Since when ``repair packs`` may be used without a switch for experiments."""

_SHOWN = 12
"""Lines of one kind in the evidence."""


class Broken(NamedTuple):
    """What was found broken in a repository, and what that touches."""

    damage: Damage = NONE
    used: Mapping[str, Touched] = {}
    """Packs -> where their content is used."""
    newest: Mapping[str, Touched] = {}
    """The newest snapshots that are touched, as one tells them, and what of them is."""
    snapshots: Sequence[str] = ()
    """Snapshots whose folders cannot be read, by the beginning of their ids."""


def judge(review: Review, subject: str, version: tuple[int, int, int], broken: Broken) -> None:
    """The finding of a check: one, however much is broken; none where nothing is."""
    damage = broken.damage
    files, folders, snapshots = _touched(broken)
    more = any(used.more for used in (*broken.used.values(), *broken.newest.values()))
    facts: dict[str, Any] = {
        "packs": {pack: what for pack, (what, _detail) in list(damage.packs.items())[:50]},
        "snapshots": snapshots[:50],
        "files": files[:50],
        "folders": folders[:50] or list(damage.trees[:50]),
        "more_than_named": more,
        "indexes": list(damage.indexes[:20]),
        "packs_without_index": len(damage.unindexed),
        "restic": "%d.%d.%d" % version,
    }
    reach = _reach(files, folders, snapshots, damage, more)
    if damage.structure:
        review.found(
            "backup.structure.damaged",
            subject,
            "critical",
            "The repository %s is damaged: %s; %s." % (subject, _what(damage), reach),
            _evidence(broken, files),
            remedy(version, damage),
            facts,
        )
    elif damage.data:
        packs = [pack for pack, (what, _detail) in damage.packs.items() if what == "damaged"]
        review.found(
            "backup.data.damaged",
            subject,
            "critical",
            "%s in the repository %s %s not hold what was written: %s."
            % (
                _count(len(packs), "pack"),
                subject,
                "does" if len(packs) == 1 else "do",
                reach,
            ),
            _evidence(broken, files),
            remedy(version, damage),
            facts,
        )


def judge_rotation(review: Review, subject: str, covered: Coverage, weeks: int, now: float) -> None:
    """Whether the data is read within its time."""
    if not covered.behind:
        return
    since = "never" if not covered.oldest else "%d days ago" % ((now - covered.oldest) // 86400)
    review.found(
        "backup.rotation.behind",
        subject,
        "medium",
        "%d of %d packs of %s were not read within %d weeks, as agreed."
        % (covered.behind, covered.packs, subject, weeks),
        [
            "read within %d weeks: %d of %d packs" % (weeks, covered.read, covered.packs),
            "the part that waits longest was read: %s" % since,
        ],
        "Run restic_check every week, let it come to its end (timeout, bandwidth: backup_review_check_timeout, "
        "backup_review_bandwidth), or read all at once (full: backup_review_check_full).",
        {"packs": covered.packs, "read": covered.read, "behind": covered.behind, "weeks": weeks},
    )


def remedy(version: tuple[int, int, int], damage: Damage) -> str:
    """The commands that save what can be saved, by the names that this version has for them."""
    steps = ["Copy the repository first; stop prune and forget"]
    bad = [pack for pack, (what, _detail) in damage.packs.items() if what in ("damaged", "cut")]
    index = repair_index(version)
    again = "back up again with --force (it stores once more what the sources still have)"
    if damage.snapshots:
        steps.append(lost_snapshot(damage.snapshots[0]).rstrip("."))
    lost = [pack for pack, (what, _detail) in damage.packs.items() if what == "missing"]
    if lost:
        steps.append("put data/%s/%s… back from a copy; without one" % (lost[0][:2], lost[0][:16]))
    named = " ".join(bad[:2]) + (" …" if len(bad) > 2 else "")
    if bad and version >= REPAIR_PACKS:
        steps.append("restic repair packs %s (it puts copies of them into the folder where it is run)" % named)
        steps.append(again)
    elif bad:
        steps.append("restore what is needed from it now; move data/%s/%s… away" % (bad[0][:2], bad[0][:16]))
        steps.append(index)
        steps.append(again)
    elif damage.indexes or damage.unindexed or damage.suggests_index:
        steps.append(index)
    elif damage.packs or damage.trees or damage.files:
        steps += [index, again]
    broken = bool(damage.packs or damage.trees or damage.files)
    if broken and not damage.unindexed and not damage.indexes:
        if version >= REPAIR:
            steps.append("restic repair snapshots --forget (it takes what is lost out of the snapshots)")
        else:
            steps.append("restic forget the snapshots that stay broken, restic prune (0.16 has repair snapshots)")
    steps.append("restic check --read-data")
    return "; ".join(steps)


def _touched(broken: Broken) -> tuple[list[str], list[str], list[str]]:
    files: dict[str, None] = {}
    folders: dict[str, None] = {}
    snapshots: dict[str, None] = dict.fromkeys(broken.damage.snapshots)
    snapshots.update(dict.fromkeys(broken.snapshots))
    for used in (*broken.newest.values(), *broken.used.values()):
        files.update(dict.fromkeys(used.files))
        folders.update(dict.fromkeys(used.folders))
        snapshots.update(dict.fromkeys(used.snapshots))
    if not files:
        files.update(dict.fromkeys(broken.damage.files))
    return list(files), list(folders), list(snapshots)


def _what(damage: Damage) -> str:
    told = []
    for what, word in (
        ("missing", "missing"),
        ("cut", "cut off"),
        ("damaged", "damaged"),
        ("unreachable", "not readable"),
    ):
        packs = [pack for pack, (how, _detail) in damage.packs.items() if how == what]
        if packs:
            told.append("%s %s" % (_count(len(packs), "pack"), word))
    if damage.indexes:
        told.append("%s damaged" % _count(len(damage.indexes), "index", "indexes"))
    elif damage.unindexed and (damage.trees or damage.files):
        told.append("the index of %s is lost" % _count(len(damage.unindexed), "pack"))
    if damage.snapshots:
        told.append("%s not readable" % _count(len(damage.snapshots), "snapshot"))
    elif damage.not_indexed and not told:
        told.append("what it needs is in no pack any more")
    if not told and damage.files:
        told.append("%s without a part of their content" % _count(len(damage.files), "file"))
    return ", ".join(told) or "restic found errors"


def _reach(files: Sequence[str], folders: Sequence[str], snapshots: Sequence[str], damage: Damage, more: bool) -> str:
    told = []
    at_least = "at least " if more else ""
    if files:
        told.append("%s%s touched" % (at_least, _count(len(files), "file")))
    if damage.trees:
        told.append("%s not readable with all below" % _count(len(damage.trees), "folder"))
    elif folders:
        told.append("%s%s touched" % (at_least, _count(len(folders), "folder")))
    touched = [one for one in snapshots if one not in damage.snapshots]
    if touched:
        told.append("in %s" % _count(len(touched), "snapshot"))
    if damage.snapshots and not told:
        told.append("it is lost unless its file comes back")
    return ", ".join(told) or "the files that need it could not be named"


def _count(number: int, word: str, plural: str = "") -> str:
    return "%d %s" % (number, word if number == 1 else plural or word + "s")


def _evidence(broken: Broken, files: Sequence[str]) -> list[str]:
    damage = broken.damage
    lines = []
    for pack, (what, detail) in list(damage.packs.items())[:_SHOWN]:
        lines.append("pack %s: %s%s" % (pack, what, " (%s)" % detail[:160] if detail else ""))
    lines += ["index %s…: not readable" % index for index in damage.indexes[:_SHOWN]]
    lines += ["pack %s: in no index" % pack for pack in damage.unindexed[:4]]
    lines += ["snapshot %s: not readable" % snapshot for snapshot in damage.snapshots[:_SHOWN]]
    lines += ["folder %s…: not readable" % tree for tree in damage.trees[:6]]
    for told, touched in list(broken.newest.items())[:4]:
        reached = [(touched.files, "file"), (touched.folders, "folder"), (touched.unreadable, "unreadable folder")]
        words = ", ".join(_count(len(entries), word) for entries, word in reached if entries)
        lines.append("newest snapshot %s: %s%s" % (told, "at least " if touched.more else "", words))
    if files and damage.packs:
        lines.append("touched is what has content in such a pack; a restore shows which of it is lost")
    lines += ["file %s" % name for name in files[:_SHOWN]]
    _files, folders, snapshots = _touched(broken)
    lines += ["folder %s" % name for name in folders[:4]]
    if snapshots:
        lines.append("snapshots touched: %s" % ", ".join(snapshots[:20]))
    lines += ["restic: %s" % line for line in damage.other[:4]]
    return lines
