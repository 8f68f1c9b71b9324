# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transaction that dnf 4 would carry out, worked out by its own solver in one process (see plan_dnf_probe.py)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import plan_dnf_probe
from .gather_dnf import PROBE_LIMIT, failed, interpreter
from .model import Change, Problem, Resolved
from .plan_effects import code_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._host import Host
    from .plan_select import Selection

TIMEOUT = 180.0
"""Seconds: loading the lists of RHEL's repositories takes 3, each try of the solver a tenth."""


def resolve(
    host: Host, selection: Selection, options: Mapping[str, Any], approved: list[tuple[str, str]]
) -> tuple[Resolved, dict[str, dict[str, Any]], dict[str, list[str]]]:
    """What dnf would do to bring what is wanted; of each CVE in ``cves``, what its advisories say; and the installed
    versions of the ``approved`` packages (name, architecture or empty for any), by ``name:arch``."""
    resolved = Resolved()
    if not selection.wanted and not options["cves"] and not approved:
        return resolved, {}, {}
    words = interpreter(host)
    if words is None:
        resolved.problem = Problem("dnf is not there", "Install it, or set manager: auto")
        return resolved, {}, {}
    settings = {
        "refresh": False,
        "lock_timeout": options["lock_timeout"],
        "wanted": [[wanted.name, wanted.arch, wanted.version] for wanted in selection.wanted],
        "barred": sorted(selection.barred),
        "allow_removals": options["allow_removals"],
        "cves": options["cves"],
        "approved": [list(pair) for pair in approved],
    }
    argv = [*words, "-c", plan_dnf_probe.source(), json.dumps(settings)]
    ran = host.run(argv, timeout=TIMEOUT, limit=PROBE_LIMIT)
    try:
        answer = json.loads(ran.out)
        if ran.rc != 0 or not isinstance(answer, dict):
            raise ValueError
    except ValueError:
        resolved.problem = failed(ran.rc, ran.err, ran.truncated, TIMEOUT)
        return resolved, {}, {}
    for part in ("updates", "plan"):
        if part in answer["problems"]:
            resolved.problem = Problem(*answer["problems"][part])
            return resolved, {}, {}
    _take(resolved, selection, answer)
    exposures = {cve: _exposure(told) for cve, told in answer.get("exposure", {}).items()}
    return resolved, exposures, dict(answer.get("versions", {}))


def _take(resolved: Resolved, selection: Selection, answer: Mapping[str, Any]) -> None:
    by_name = {(wanted.name, wanted.arch): wanted for wanted in selection.wanted}
    for told in answer.get("changes", []):
        wanted = by_name.get((told["name"], told["arch"]))
        change = Change(
            name=told["name"],
            arch=told["arch"],
            before=told["before"],
            after=told["after"],
            action=told["action"],
            origin=told["origin"],
            source=told["source"],
            download=told["download"],
            size_change=told["size_change"],
        )
        if wanted is None and told["update"] is not None:
            change.update = told["update"]
        resolved.changes.append(change)
    resolved.refused = [(one[0], one[1], one[2]) for one in answer.get("refused", [])]
    resolved.owned = {code_path(path): name for path, name in answer.get("owned", {}).items()}
    resolved.scripts = dict(answer.get("scripts", {}))
    resolved.core = set(answer.get("core", []))


def _exposure(told: Mapping[str, Any]) -> dict[str, Any]:
    """What the advisories of the enabled repositories say of one CVE."""
    if told["packages"]:
        names = sorted({package["name"] for package in told["packages"]})
        why = "an advisory fixes it, and is not installed: %s" % ", ".join(names[:5])
        rows = [{key: value for key, value in package.items() if key != "reboot"} for package in told["packages"]]
        if all(package["reboot"] for package in told["packages"]):
            why = "a kernel with the fix is installed (%s) and does not run yet" % rows[0]["candidate"]
            return {"state": "exposed", "packages": rows, "why": why, "reboot": True}
        return {"state": "exposed", "packages": rows, "why": why}
    if told["fixed"]:
        return {"state": "patched", "packages": [], "why": "the fix is installed: %s" % ", ".join(told["fixed"][:5])}
    if told["absent"]:
        why = "no package that the advisories name is installed: %s" % ", ".join(sorted(told["absent"])[:5])
        return {"state": "not_installed", "packages": [], "why": why}
    if told["known"]:
        why = "the advisories name it, and none of them applies to what is installed"
        return {"state": "not_installed", "packages": [], "why": why}
    return {"state": "not_known", "packages": [], "why": "no advisory of the enabled repositories names it"}
