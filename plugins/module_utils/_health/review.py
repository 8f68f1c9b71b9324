# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""health_info: gather, wait for what was there, compare, and tell."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .._applying import journal
from .._findings import CannotCheck, Review, plain
from . import compare, gather
from .options import errors_of
from .probes import probe_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._host import Host

POLL = 3.0
"""Seconds between two looks while waiting."""
LEFT_OUT = 100
"""Entries of what was not judged that are told."""


class Wrong(Exception):  # noqa: N818 - an outcome, not a bug
    """The options make no sense: all that is wrong with them."""


def review(host: Host, options: Mapping[str, Any], base: str = journal.BASE) -> dict[str, Any]:
    """What the module returns. ``base``: where the journals of plans are. Raises Wrong."""
    wrong = errors_of(options)
    if wrong:
        raise Wrong("; ".join(wrong) + ".")
    told = Review("patch")
    before, unknown = _before(options, base)
    whole, found, waited = _look(host, options, before)
    if unknown is not None:
        for check in compare.SECTION:
            if check != compare.PROBE_FAILED:
                found.unknown[check] = unknown.why
    asked = before is not None or unknown is not None
    _tell(told, found, asked, unknown, whole, before)
    kept = gather.bounded(whole)
    if kept["cut"]:
        told.skip(
            "patch.health.whole",
            "the health is larger than %d KiB, so of %s the end was not kept; a later comparison says so"
            % (gather.LIMIT >> 10, ", ".join("%s (%d)" % pair for pair in sorted(kept["cut"].items()))),
        )
    difference = {
        "verdict": compare.verdict(found),
        "compared": before is not None,
        "before_time": before["time"] if before else None,
        "rebooted": _rebooted(before, whole) if before else None,
        "changes": [asdict(change) for change in found.changes],
        "already": [asdict(change) for change in found.already],
        "recovered": found.recovered[:LEFT_OUT],
        "left_out": found.left_out[:LEFT_OUT],
        "ignored": found.ignored[:LEFT_OUT],
        "unknown": found.unknown,
        "partial": found.partial,
    }
    return {"health": kept, "difference": plain(difference), "waited": waited, **told.result()}


def _rebooted(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return bool(before.get("boot_id") and now.get("boot_id") and before["boot_id"] != now["boot_id"])


# -- the state before ----------------------------------------------------------------------------------------------


def _before(options: Mapping[str, Any], base: str) -> tuple[dict[str, Any] | None, CannotCheck | None]:
    """The state to compare with; why there is none, where one was asked for."""
    health = options.get("before")
    if options.get("before_plan"):
        try:
            found = journal.load(base, options["before_plan"])
        except journal.JournalError as error:
            return None, CannotCheck(error.why, error.remedy)
        if found is None:
            return None, CannotCheck(
                "there is no journal of the plan %s on this host" % options["before_plan"],
                "Run patch_prepare with this plan and with health first: nobody wrote down what was there before.",
            )
        health = found.health
        if not health:
            return None, CannotCheck(
                "the journal of the plan %s holds no health" % options["before_plan"],
                "Give the result of health_info to patch_prepare as health, before anything is changed.",
            )
    if health is None:
        return None, None
    wrong = compare.errors_of(health)
    if wrong:
        return None, CannotCheck(
            "the health from before is not one: %s" % "; ".join(wrong[:5]), "Give what health_info returned as health."
        )
    return dict(health), None


# -- looking -------------------------------------------------------------------------------------------------------


def _look(
    host: Host, options: Mapping[str, Any], before: dict[str, Any] | None
) -> tuple[dict[str, Any], compare.Difference, dict[str, Any]]:
    """The health now, how it differs, and how long it was waited for."""
    began = host.now()
    end = began + options["wait"]
    polls, calm = 0, False
    late: dict[str, float] = {}
    while True:
        polls += 1
        whole = gather.health(host)
        whole["probes"] = _probe(host, options)
        found = _compare(before, whole, options)
        missing = {"%s %s" % (change.check, change.subject) for change in found.changes if change.returns}
        back = {name: since or round(host.now() - began, 1) for name, since in late.items() if name not in missing}
        late = {**dict.fromkeys(missing, 0.0), **back}
        if host.now() + POLL > end or (not missing and calm):
            break
        # Once is not enough where there is time: a service that dies of its first request is active until then.
        calm = not missing
        host.sleep(POLL)
    since = host.now() - 60 * options["journal_minutes"]
    rebooted = before is not None and _rebooted(before, whole)
    if before is not None:
        since = max(since, before["time"])
        if rebooted:
            since = max(since, gather.booted(host) or 0)
    gather.add_journal(host, whole, min(since, host.now() - 1), rebooted)
    found = _compare(before, whole, options)
    waited = {
        "seconds": round(host.now() - began, 1),
        "polls": polls,
        "over": bool(options["wait"]) and bool(found.changes) and any(change.returns for change in found.changes),
        "late": {name: seconds for name, seconds in sorted(late.items()) if seconds},
    }
    return whole, found, waited


def _probe(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    return probe_all(options["probes"], options["timeout"], options.get("check_mode", False), host.now())


def _compare(before: dict[str, Any] | None, whole: Mapping[str, Any], options: Mapping[str, Any]) -> compare.Difference:
    if before is not None:
        rules = options["ignore"]
        return compare.compare(compare.without_causes(before, rules), compare.without_causes(whole, rules), rules)
    found = compare.Difference()
    compare.probes(whole, None, found)
    compare.ignore(found, options["ignore"])
    return found


# -- telling -------------------------------------------------------------------------------------------------------


def _tell(
    told: Review,
    found: compare.Difference,
    asked: bool,
    unknown: CannotCheck | None,
    whole: Mapping[str, Any],
    before: Mapping[str, Any] | None,
) -> None:
    for change in (*found.changes, *found.already):
        told.found(
            change.check, change.subject, change.severity, change.summary, change.evidence, change.remedy,
            {"before": before["time"]} if before else None,
        )  # fmt: skip
    for check, section in compare.SECTION.items():
        if check == compare.PROBE_FAILED:
            _tell_probes(told, found, whole)
        elif not asked and whole["not_known"].get("services" if section == "failed" else section):
            why = whole["not_known"]["services" if section == "failed" else section]
            told.not_run(check, why, "Mend it first: what changes now cannot be judged by it afterwards.")
        elif not asked:
            told.skip(check, "there is no state from before to compare with", "before or before_plan")
            told.covered("patch.check.not_run", check)
        elif check in found.unknown:
            told.not_run(check, found.unknown[check], unknown.remedy if unknown else "Look at the host by hand.")
        elif check in found.partial:
            told.not_run(check, found.partial[check], "Look at the rest by hand; what was kept was compared.")
        elif section == "containers" and "containers" in whole["not_applicable"] and not (before or {}).get(section):
            told.skip(check, whole["not_applicable"]["containers"])
        elif before is not None and section not in before:
            told.skip(check, "the state from before does not tell of it", "gather it anew, before the next change")
        else:
            _covered(told, check)


def _tell_probes(told: Review, found: compare.Difference, whole: Mapping[str, Any]) -> None:
    check = compare.PROBE_FAILED
    if not whole["probes"]:
        told.skip(check, "no probe is given", "probes")
        return
    for name, probe in sorted(whole["probes"].items()):
        if probe["passed"] is None:
            if "check mode" in probe["summary"]:
                told.skip(check, "the probe %s: %s" % (name, probe["summary"]), "run it without check mode")
            else:
                found.unknown[check] = "the probe %s: %s" % (name, probe["summary"])
                told.not_run(check, found.unknown[check], "Try it by hand: %s" % probe["target"])
        else:
            told.covered(check, name)
    if check not in found.unknown:
        told.covered("patch.check.not_run", check)


def _covered(told: Review, check: str) -> None:
    told.covered(check)
    told.covered("patch.check.not_run", check)
