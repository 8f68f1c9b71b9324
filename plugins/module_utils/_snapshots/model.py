# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all snapshots of ours have in common, on a host or in a hypervisor: their mark, their age, their findings. Pure.

A snapshot is ours when it bears our mark, and never because of its name. The mark says by which name it was asked for,
when the set that it belongs to was taken, and of how many members that set is: so a set that was left half taken or
half removed is seen by the next run, without a journal, which a revert would take back as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._findings import Review
    from .._host import Ran

FAILED = "patch.snapshot.failed"
"""A snapshot could not be taken, or not be reverted to: there is no way back by it."""
LEFT = "patch.snapshot.left"
"""One of ours is there that should be gone: it takes room, and slows what it lies on."""
UNSUPPORTED = "patch.snapshot.unsupported"
"""There can be no snapshot here, or it lacks something."""

COMMON_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent", "reverted"], "default": "present"},
    "name": {"type": "str", "default": "upkeep"},
    "max_age_hours": {"type": "int", "default": 72},
    "room_percent": {"type": "int", "default": 10},
}
"""The options that every module for snapshots has. 72 hours are what VMware's own advice allows a snapshot at most."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,47}"
NAME = re.compile(_NAME)
"""A name, to be matched in full: what LVM, ZFS, btrfs and vSphere all take, and nothing that a shell would read."""
_MARK = re.compile(r"upkeep\.snapshot\.(?P<name>%s)\.(?P<created>[0-9]{9,11})\.(?P<members>[0-9]{1,3})" % _NAME)
_AHEAD = 3600.0
"""Seconds by which a snapshot may come from the future, as clocks differ."""


class Stop(Exception):  # noqa: N818 - an outcome, told as a finding
    """It goes no further: the finding that says why, in the order of Review.found."""

    def __init__(
        self, check: str, subject: str, severity: str, summary: str, evidence: Iterable[str] = (), remedy: str = ""
    ) -> None:
        super().__init__(summary)
        self.finding = (check, subject, severity, summary, list(evidence), remedy)
        self.summary = summary


class Mark(NamedTuple):
    """What makes a snapshot ours."""

    name: str
    created: int
    """When its set was taken: seconds since the epoch."""
    members: int = 1
    """Of how many volumes the set is."""

    @property
    def text(self) -> str:
        return "upkeep.snapshot.%s.%d.%d" % self


def mark_of(text: str) -> Mark | None:
    """The mark that a text is, None when it is none."""
    match = _MARK.fullmatch(text)
    return _mark(match) if match else None


def mark_in(text: str) -> Mark | None:
    """The mark that stands as a word of its own in a longer text, such as a description; None when there is none."""
    for word in text.split():
        match = _MARK.fullmatch(word)
        if match:
            return _mark(match)
    return None


def _mark(match: re.Match[str]) -> Mark | None:
    mark = Mark(match.group("name"), int(match.group("created")), int(match.group("members")))
    return mark if mark.members else None


def is_old(mark: Mark, now: float, max_age_hours: int) -> bool:
    """Whether a snapshot is older than it may be; with 0 hours none is."""
    return max_age_hours > 0 and now - mark.created > max_age_hours * 3600


def is_ahead(mark: Mark, now: float) -> bool:
    """Whether it says to come from the future, so that nobody knows how old it is: a clock is, or was, wrong."""
    return mark.created - now > _AHEAD


def common_errors(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the options of COMMON_SPEC: a sentence each."""
    errors = []
    if not NAME.fullmatch(options["name"]):
        errors.append(
            "name is 1 to 48 letters, digits and any of - _ . and begins with a letter or digit, this is %r"
            % options["name"][:60]
        )
    if not 0 <= options["max_age_hours"] <= 87600:
        errors.append("max_age_hours is 0 (never too old) to 87600, this is %d" % options["max_age_hours"])
    if not 0 <= options["room_percent"] <= 90:
        errors.append("room_percent is 0 to 90, this is %d" % options["room_percent"])
    return errors


def no_reboot() -> dict[str, Any]:
    """The ``reboot`` of a result when none is needed; of the same form as that of patch_rollback."""
    return {"needed": False, "why": [], "blocked": ""}


def said(ran: Ran) -> str:
    """The line in which a program that failed says why."""
    if ran.rc is None:
        return "it did not end in time"
    lines = [line.strip() for line in (ran.err or ran.out).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("WARNING", "File descriptor"))]
    return (told or lines or ["it said nothing"])[0].rstrip(".")


def hours(mark: Mark, now: float) -> str:
    """How old, for a person."""
    age = max(0.0, now - mark.created) / 3600
    return "%.0f days" % (age / 24) if age >= 48 else "%.0f hours" % age if age >= 2 else "%.0f minutes" % (age * 60)


def tell_left(review: Review, subject: str, what: str, mark: Mark, now: float, why: str, remedy: str) -> None:
    """The finding about one of ours that should be gone and is there; ``why`` is what forbade its removal."""
    review.found(
        LEFT,
        subject,
        "medium",
        "The snapshot %s of %s is %s old and could not be removed: %s." % (mark.name, what, hours(mark, now), why),
        [mark.text, why],
        remedy,
        {"name": mark.name, "created": mark.created},
    )


def tell_ahead(review: Review, subject: str, what: str, mark: Mark, now: float) -> None:
    """The finding about one of ours whose age nobody knows: it is not swept."""
    review.found(
        LEFT,
        subject,
        "low",
        "The snapshot %s of %s was taken %.0f hours from now: its age is not known, and it is not swept."
        % (mark.name, what, (mark.created - now) / 3600),
        [mark.text],
        "Set the clock right. When the snapshot is not needed any more: state absent, with its name.",
        {"name": mark.name, "created": mark.created},
    )
