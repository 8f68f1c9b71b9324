# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the pending updates a plan is to bring: the policy, and what it leaves out and why. Pure."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .plan_options import last_day
from .vulnerabilities import comparer, rating, severity_rank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .model import Managed, Update


@dataclass
class Wanted:
    """A package that the policy asks for, and the version that it is to have."""

    name: str
    """As the package manager is asked for it: with its architecture where that is a foreign one (apt)."""
    arch: str
    installed: str
    version: str
    update: Update
    doubtful: bool = False
    """Whether the ordinary upgrade would leave it alone: it is tried last, so that it spoils nothing."""


@dataclass
class Selection:
    """What the policy asks for, in order of urgency, and what it does not."""

    wanted: list[Wanted] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    expired: list[Mapping[str, Any]] = field(default_factory=list)
    """Exclusions whose time is over: they exclude nothing any more."""
    barred: dict[str, str] = field(default_factory=dict)
    """Packages that must not come along either, by name, with the reason."""
    missing: list[str] = field(default_factory=list)
    """Packages that were asked for by name and are not installed here."""


def left_out(update: Update, why: str, reason: str = "", until: str = "") -> dict[str, Any]:
    """An entry of the plan's ``left_out``."""
    return _left_out(update.name, update.installed, update.candidate, update.security, why, reason, until)


def _left_out(
    name: str, installed: str, newer: str, security: bool, why: str, reason: str = "", until: str = ""
) -> dict[str, Any]:
    return {
        "name": name, "from": installed, "to": newer, "security": security, "why": why, "reason": reason,
        "until": until,
    }  # fmt: skip


def select(
    known: Managed, options: Mapping[str, Any], fixed_cves: Callable[[Update], Iterable[str]], now: float
) -> Selection:
    """What the policy asks for of the pending updates.

    ``fixed_cves`` tells which of the named CVEs an update fixes; ``now`` is in seconds since the epoch.
    """
    selection = Selection()
    exclusions: list[Mapping[str, Any]] = []
    for entry in options["exclude"]:
        end = last_day(entry["until"]) if entry.get("until") else None
        (selection.expired if end is not None and now >= end else exclusions).append(entry)
    named = {entry["name"]: entry for entry in options["packages"]}
    asked_by_name = options["select"] in ("cves", "packages")
    compare = comparer(known.manager)
    told = set()
    for update in known.updates:
        told.add(update.name)
        why_not = _not_selected(update, options, named, fixed_cves)
        if why_not:
            selection.left_out.append(left_out(update, "not_selected", why_not))
            continue
        exclusion = next((e for e in exclusions if matches(update.name, e["name"])), None)
        if exclusion is not None:
            until = exclusion.get("until") or ""
            selection.left_out.append(left_out(update, "excluded", exclusion["reason"], until))
        elif update.held:
            selection.left_out.append(left_out(update, "held", _how_held(known, update)))
        elif update.phased and not asked_by_name:
            reason = "its archive gives it to a part of the hosts first, and this one is not among them"
            selection.left_out.append(left_out(update, "phased", reason))
        else:
            version = update.candidate
            if options["select"] == "packages":
                asked = named.get(update.name) or named[_plain_name(update.name)]
                if not asked.get("at_least") or compare(version, asked.get("version") or "") < 0:
                    version = asked.get("version") or version
            if compare(version, update.installed) <= 0:
                selection.left_out.append(left_out(update, "not_selected", "it is newer than %s" % version))
                continue
            doubtful = bool(update.kept_back) and update.kept_back != "needs new packages"
            selection.wanted.append(Wanted(update.name, update.arch, update.installed, version, update, doubtful))
    for hold in known.holds:
        if hold.newer and hold.name not in told:
            why = "pinned" if hold.how == "pin" else "held"
            selection.left_out.append(_left_out(hold.name, hold.installed, hold.newer, hold.security, why, hold.how))
    if options["select"] == "packages":
        selection.missing = sorted(name for name in named if _plain_name(name) not in known.names)
    selection.barred = _barred(known, exclusions)
    selection.wanted.sort(key=lambda w: (w.doubtful, *urgency(w.update.__dict__)))
    return selection


def _not_selected(
    update: Update,
    options: Mapping[str, Any],
    named: Mapping[str, Any],
    fixed_cves: Callable[[Update], Iterable[str]],
) -> str:
    """Why the policy does not ask for an update, empty when it does."""
    mode = options["select"]
    if mode == "packages":
        return "" if _plain_name(update.name) in named or update.name in named else "it was not asked for"
    if mode == "cves":
        if not any(True for _cve in fixed_cves(update)):
            return "it fixes none of the named CVEs"
    elif mode == "security" and not update.security:
        return "it is no security update"
    rated = ((options.get("vulnerabilities") or {}).get("ratings") or {}).get(_plain_name(update.name)) or {}
    severity = rating(update.severity) or rating(str(rated.get("severity") or ""))
    if rated.get("known_exploited"):
        return ""
    if options["severities"] and mode in ("security", "cves") and severity and severity not in options["severities"]:
        return "it is rated %s" % severity
    return ""


def _plain_name(name: str) -> str:
    return name.partition(":")[0]


def _how_held(known: Managed, update: Update) -> str:
    how = next((hold.how for hold in known.holds if hold.name == update.name), "hold")
    return {"hold": "apt-mark hold", "versionlock": "dnf versionlock", "exclude": "an exclude of dnf"}.get(how, how)


def _barred(known: Managed, exclusions: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    barred = {_plain_name(update.name): "held" for update in known.updates if update.held}
    barred.update((_plain_name(hold.name), "held") for hold in known.holds if hold.how != "pin")
    for entry in exclusions:
        # Patterns can name packages that are not here yet, and must not come.
        barred[entry["name"]] = "excluded: %s" % entry["reason"]
    return barred


def matches(name: str, pattern: str) -> bool:
    """Whether a shell pattern names a package, with or without its architecture."""
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(_plain_name(name), pattern)


def why_barred(name: str, barred: Mapping[str, str]) -> str:
    """Why a package must not come along, empty when it may."""
    return next((why for pattern, why in barred.items() if matches(name, pattern)), "")


def urgency(package: Mapping[str, Any]) -> tuple[bool, int, bool, bool, str]:
    """The order of packages in a plan: known to be exploited, then by severity, then security, then by name."""
    return (
        not package.get("known_exploited"),
        severity_rank(str(package.get("severity") or "")),
        not package.get("security"),
        not package.get("asked", True),
        str(package["name"]),
    )
