# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of all engines' dumps have in common: the repository that a dump lies in, and what came of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._findings import CannotCheck
from .restic import Repository, Restic

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable, Mapping

    from .._host import Host
    from .restic import Limits

_UNUSABLE = ("missing", "empty", "truncated", "not_sql", "corrupt", "load_errors", "hostile", "incomplete")
"""Faults of a backup itself: to try it again would change nothing."""


def outcome(found: Iterable[Mapping[str, Any]], whole: bool, planned: bool) -> str:
    """What came of a test by its findings: passed, failed (the backup is not as it should be), cannot (it could not be
    tried), or not tested.

    ``whole``: it was restored, and every question asked. ``planned``: in check mode, nothing stands against trying it.
    """
    # What an earlier test left behind says nothing of this backup.
    bad = [one["check"] for one in found if one["severity"] != "info" and one["check"] != "backup.restore.leftovers"]
    parts = [check.split(".") for check in bad]
    if any(area in ("dump", "archive") and fault in _UNUSABLE for _backup, area, fault in parts):
        return "failed"
    if planned:
        return "not tested"
    if not whole:
        return "cannot"
    return "failed" if bad else "passed"


def repository(
    host: Host, options: Mapping[str, Any], spec: Mapping[str, Any], limits: Limits, stack: contextlib.ExitStack
) -> Restic | None:
    """The repository that an element of ``dumps`` names, open until the stack is left; None: it lies on this host.

    Raises CannotCheck when there is none of that name.
    """
    name = spec.get("repository")
    if not name:
        return None
    for params in options["repositories"]:
        if params["name"] == name:
            made = Restic(host, Repository.of(params), options["program"], limits, cache_dir=options.get("cache_dir"))
            return stack.enter_context(made)
    raise CannotCheck(
        "the dump %s names the repository %s, which is not among repositories" % (spec["name"], name),
        "Describe it in the option repositories.",
    )


def answered(asked: int, other: int, failed: int) -> str:
    """What came of the customer's queries, of which ``other`` got another answer and ``failed`` none."""
    parts = []
    if other:
        parts.append("%d of %d queries got another answer than expected" % (other, asked))
    if failed:
        parts.append("%d of %d queries failed, and got no answer" % (failed, asked))
    return "; ".join(parts) + "."


QUERY_REMEDY = (
    "Ask the live server the same. Where it answers as expected, the backup is not what it should be: a table that a "
    "query does not find there was not restored. Where it does not, correct the options queries and newest."
)
