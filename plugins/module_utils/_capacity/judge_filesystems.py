# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filesystems: full, filling, silent, closed to writing. Pure; findings only."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any, Callable

from .._findings import CannotCheck, clean_line
from .._host import AS_ROOT
from .gather import need
from .words import day, size, step

if TYPE_CHECKING:
    from .._findings import Review

GIB = 1024**3
ALL = (
    "capacity.mount.hung",
    "capacity.mount.read_only",
    "capacity.filesystem.full",
    "capacity.inodes.full",
    "capacity.filesystem.filling",
    "capacity.inodes.filling",
)


def judge_filesystems(review: Review, facts: dict[str, Any], options: dict[str, Any], now: float) -> None:
    if isinstance(facts["filesystems"], Exception):
        for check in ALL:
            with review.check(check):
                need(facts, "filesystems")
        return
    seen = facts["filesystems"]
    _silent(review, seen)
    _read_only(review, seen["closed"])
    # Where one did not answer, only the others are covered: a ticket about it must not be closed by our not looking.
    complete = not seen["silent"] and not seen["unasked"] and not seen["refused"]
    if seen["refused"]:
        why = "%d filesystems may not be looked at, such as %s" % (len(seen["refused"]), seen["refused"][0])
        review.skip("capacity.filesystem.full", why, "Name them in exclude_mounts. " + AS_ROOT)
    # What nobody can write to does not fill up.
    written = [entry for entry in seen["filesystems"] if not entry["read_only"]]
    _each(review, "capacity.filesystem.full", written, complete, lambda entry: _full(review, entry, options))
    inodes = [entry for entry in written if entry["inodes"]]
    _each(review, "capacity.inodes.full", inodes, complete, lambda entry: _inodes_full(review, entry, options))
    for check, key, entries in (
        ("capacity.filesystem.filling", "forecast", written),
        ("capacity.inodes.filling", "inodes_forecast", inodes),
    ):
        known = [entry for entry in entries if entry[key]["state"] != "unknown"]
        unknown = [entry for entry in entries if entry[key]["state"] == "unknown"]

        def judge(entry: dict[str, Any], check: str = check, key: str = key) -> None:
            _filling(review, check, entry, entry[key], options, now)

        _each(review, check, known, complete and not unknown, judge)
        if unknown:
            why = "%d of %d filesystems: %s" % (len(unknown), len(entries), unknown[0][key]["why"])
            review.skip(
                check, why, "Let it run on, or hand in samples; trend_min_samples and trend_min_days are the bounds."
            )


def _each(
    review: Review, check: str, entries: list[dict[str, Any]], complete: bool, judge: Callable[[dict[str, Any]], None]
) -> None:
    """Judge each filesystem; all are covered at once when all that there are were seen."""
    if complete:
        with review.check(check):
            for entry in entries:
                judge(entry)
        return
    for entry in entries:
        with review.check(check, entry["mount"]):
            judge(entry)


def _shell(path: str) -> str:
    """A path as a word of a command to paste, or a placeholder when it holds what cannot be pasted."""
    return quote(path) if clean_line(path, 200) == path else "MOUNT"


def _silent(review: Review, seen: dict[str, Any]) -> None:
    with review.check("capacity.mount.hung"):
        for mount, why in seen["silent"]:
            review.found(
                "capacity.mount.hung",
                mount.path,
                "high",
                "The filesystem mounted on %s does not answer: %s." % (mount.path, why),
                ["%s on %s type %s" % (mount.source, mount.path, mount.type)],
                "Is its server there? Then: umount --lazy --force %s, and mount it again." % _shell(mount.path),
                {"type": mount.type, "source": mount.source},
            )
        if seen["unasked"]:
            raise CannotCheck(
                "%d of the filesystems were not asked" % len(seen["unasked"]),
                "Repair the silent mounts first, or leave some out with exclude_mounts or exclude_types.",
                seen["unasked"],
            )


def _read_only(review: Review, closed: list[Any]) -> None:
    with review.check("capacity.mount.read_only"):
        for mount in closed:
            review.found(
                "capacity.mount.read_only",
                mount.path,
                "high",
                "%s is mounted read-only, and should not be." % mount.path,
                [
                    "%s on %s type %s" % (mount.source, mount.path, mount.type),
                    "options: %s" % ",".join(sorted(mount.options)),
                    "options of the filesystem: %s" % ",".join(sorted(mount.super_options)),
                ],
                "Look for errors of %s in: journalctl -k. Damaged, it needs fsck; sound: mount -o remount,rw %s"
                % (mount.source, _shell(mount.path)),
                {"type": mount.type, "source": mount.source},
            )


def _severity(percent: float, options: dict[str, Any]) -> str | None:
    steps = [(options["full_%s_percent" % severity], severity) for severity in ("critical", "high", "medium")]
    return step(percent, *steps)


def _full(review: Review, entry: dict[str, Any], options: dict[str, Any]) -> None:
    severity = _severity(entry["used_percent"], options)
    if severity is None or entry["available_bytes"] >= options["full_enough_gib"] * GIB:
        return
    evidence = [
        "%s on %s type %s" % (entry["device"], entry["mount"], entry["type"]),
        "size %s, used %s, available %s"
        % tuple(size(entry[key]) for key in ("size_bytes", "used_bytes", "available_bytes")),
    ]
    if entry["reserved_bytes"]:
        evidence.append("%s more are reserved for root" % size(entry["reserved_bytes"]))
    review.found(
        "capacity.filesystem.full",
        entry["mount"],
        severity,
        "%s is %.0f %% full: %s left." % (entry["mount"], entry["used_percent"], size(entry["available_bytes"])),
        evidence,
        "See what takes the room: du -xh --max-depth=2 %s | sort -h | tail -n 20" % _shell(entry["mount"]),
        {key: entry[key] for key in ("size_bytes", "used_bytes", "available_bytes", "used_percent", "type")},
    )


def _inodes_full(review: Review, entry: dict[str, Any], options: dict[str, Any]) -> None:
    severity = _severity(entry["inodes_used_percent"], options)
    if severity is None:
        return
    review.found(
        "capacity.inodes.full",
        entry["mount"],
        severity,
        "%s has %.0f %% of its inodes in use: %d more files can be made."
        % (entry["mount"], entry["inodes_used_percent"], entry["inodes"] - entry["inodes_used"]),
        [
            "%s on %s type %s" % (entry["device"], entry["mount"], entry["type"]),
            "%(inodes_used)d of %(inodes)d inodes" % entry,
        ],
        "See where the files are: du -x --inodes --max-depth=3 %s | sort -n | tail -n 20" % _shell(entry["mount"]),
        {key: entry[key] for key in ("inodes", "inodes_used", "inodes_used_percent", "type")},
    )


def _filling(
    review: Review, check: str, entry: dict[str, Any], told: dict[str, Any], options: dict[str, Any], now: float
) -> None:
    if told["state"] != "filling":
        return
    days = (told["full_at"] - now) / 86_400
    severity = step(
        -days, *((-options["filling_%s_days" % severity], severity) for severity in ("high", "medium", "low"))
    )
    if severity is None:
        return
    inodes = check == "capacity.inodes.filling"
    latest = day(told["latest"]) if told["latest"] else "never"
    what = "out of inodes" if inodes else "full"
    growth = "%.0f inodes" % told["per_day"] if inodes else size(told["per_day"])
    review.found(
        check,
        entry["mount"],
        severity,
        "%s will be %s about %s, in %.0f days (between %s and %s; confidence %s)."
        % (entry["mount"], what, day(told["full_at"]), days, day(told["earliest"]), latest, told["confidence"]),
        [
            "it grows by %s a day, seen over %.0f days in %d samples" % (growth, told["days"], told["samples"]),
            "%s on %s type %s" % (entry["device"], entry["mount"], entry["type"]),
        ],
        "See what grows: du -xh --max-depth=2 %s | sort -h | tail -n 20; then clean up, or make it larger."
        % _shell(entry["mount"]),
        dict(told, full_on=day(told["full_at"])),
    )
