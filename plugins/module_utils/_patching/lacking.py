# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state ``patches``: what a host lacks now, and what was installed lately, for whoever keeps the history. Pure.

A host cannot know since when it lacks a patch (its lists tell what is new today), nor what it was asked for before. So
it tells all that it lacks and all that it has, and the history is made where results come together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .vulnerabilities import rating, release_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .judge import Judgement
    from .model import Hold, Managed, Present, System, Update

KIND = "patches"
SUBJECT = "os"

PENDING_LIMIT = 2_000
"""Updates that are told, security first. Of more nothing is taken for done: it is not known what is missing."""
CHANGED_DAYS = 60
"""Days back for which installations are told: the longest time between two reviews after which it is still known when
a patch came."""
CHANGED_LIMIT = 500
"""Installations that are told, the newest first."""
WORDS_LIMIT = 60
"""CVEs, and advisories, that are named of one package: a kernel's update fixes hundreds."""


def state_of(judgement: Judgement, known: Managed | None, system: System) -> dict[str, Any]:
    """What is told: ``verdict``, ``why`` when it is unknown, ``manager``, ``release`` (see release_key), ``pending``,
    ``truncated`` (how many of these were left out), ``names`` (of what is installed) and
    ``changed`` (what was installed lately, with ``at``, seconds since the epoch by the host's clock)."""
    verdict = judgement.verdict
    told: dict[str, Any] = {
        "verdict": verdict.word,
        "why": verdict.unknown[:5],
        "manager": known.manager if known else "",
        "release": release_key(system.os_release),
        "pending": [],
        "truncated": 0,
        "names": [],
        "changed": [],
    }
    if known is None:
        return told
    sources = {(one.name, one.arch): (one.source, one.source_version) for one in known.installed}
    archs = {one.name: one.arch for one in known.present}
    pending = [_update(update, sources) for update in known.updates]
    named = {update.name for update in known.updates}
    # What a pin hides from the package manager is missing all the same.
    pending += [_hold(hold, archs.get(hold.name, "")) for hold in known.holds if hold.newer and hold.name not in named]
    pending.sort(key=lambda one: (not one["security"], one["name"], one["arch"]))
    told["pending"] = pending[:PENDING_LIMIT]
    told["truncated"] = len(pending) - len(told["pending"])
    told["names"] = sorted({one.name for one in known.present})
    told["changed"] = _changed(known.present, judgement.now - CHANGED_DAYS * 86400.0)
    return told


def _changed(present: Iterable[Present], since: float) -> list[dict[str, Any]]:
    lately = sorted((one for one in present if one.since is not None and one.since >= since), key=_newest_first)
    return [
        {"name": one.name, "arch": one.arch, "version": one.version, "at": one.since} for one in lately[:CHANGED_LIMIT]
    ]


def _newest_first(one: Present) -> tuple[float, str, str, str]:
    return -(one.since or 0.0), one.name, one.arch, one.version


def _update(update: Update, sources: Mapping[tuple[str, str], tuple[str, str]]) -> dict[str, Any]:
    why = ["held"] * update.held + ["pinned"] * update.pinned + ["phased"] * update.phased
    source, source_version = sources.get((update.name, update.arch), ("", ""))
    return {
        "name": update.name,
        "arch": update.arch,
        "installed": update.installed,
        "candidate": update.candidate,
        "security": update.security,
        "severity": rating(update.severity),
        "cves": update.cves[:WORDS_LIMIT],
        "advisories": update.advisories[:WORDS_LIMIT],
        # The lists of apt and dnf do not tell; the controller's data does, whenever it is asked.
        "known_exploited": None,
        "published": update.published,
        "left_out_why": "; ".join(why + [update.kept_back] * bool(update.kept_back)),
        "source": source,
        "source_version": source_version,
    }


def _hold(hold: Hold, arch: str) -> dict[str, Any]:
    return {
        "name": hold.name,
        "arch": arch,
        "installed": hold.installed,
        "candidate": hold.newer,
        "security": hold.security,
        "severity": "",
        "cves": [],
        "advisories": [],
        "known_exploited": None,
        "published": None,
        "left_out_why": "held by %s" % hold.how,
        "source": "",
        "source_version": "",
    }
