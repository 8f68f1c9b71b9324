# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller's vulnerability data adds to the result of patch_plan. Pure but for asking the index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._findings import plan as plan_record
from . import plan_model
from .plan_exposure import KIND
from .plan_select import urgency
from .vulnerabilities import annotated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .vulnerability_index import Index


def about_cves(index: Index, cves: Any) -> dict[str, Any]:
    """What the host is sent of the named CVEs: ``fixes``, ``severity`` and ``known_exploited`` of each."""
    names = cves.split(",") if isinstance(cves, str) else cves if isinstance(cves, list) else []
    wanted = sorted({str(name).strip().upper() for name in names})
    return {cve: dict(index.about(cve), fixes=index.fixes(cve)) for cve in wanted}


def annotate(index: Index, result: dict[str, Any]) -> dict[str, Any]:
    """The result with the CVEs, the severity and the known exploitation of each package, the worst first."""
    plan = result.get("plan")
    if plan is None:
        return result
    errors = plan_model.errors_of(plan)
    if errors:  # a host can answer anything
        told = "The host returned a plan that is none: %s. Is its patch_plan another version's?" % "; ".join(errors[:5])
        return dict(result, failed=True, msg=told, plan=None, plans=[])
    release = str(result.get("release") or "")
    packages = [_annotated(index, release, package, plan["manager"]) for package in plan["packages"]]
    plan = dict(plan, packages=sorted(packages, key=urgency))
    record = plan_record("os", plan["id"], plan_model.summary(plan), plan)
    return dict(result, plan=plan, lines=plan_model.lines(plan), plans=[record])


def dated(result: dict[str, Any], now: float) -> dict[str, Any]:
    """The result with the time of its exposure by the controller's clock (seconds since the epoch): one for all."""
    states = result.get("states")
    for state in states if isinstance(states, list) else []:
        if isinstance(state, dict) and state.get("kind") == KIND and isinstance(state.get("data"), dict):
            state["data"]["at"] = now
    if isinstance(result.get("exposure"), dict):
        result["asked_at"] = now
    return result


def ratings(index: Index, result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The rating and the known exploitation of each security update, by package, as far as the data knows them."""
    annotated_plan = annotate(index, dict(result)).get("plan") or {}
    return {
        package["name"]: {"severity": package["severity"], "known_exploited": package["known_exploited"]}
        for package in annotated_plan.get("packages", [])
        if package["severity"] or package["known_exploited"]
    }


def _annotated(index: Index, release: str, package: Mapping[str, Any], manager: str) -> dict[str, Any]:
    known = [dict(index.about(cve), cve=cve, fixes=[]) for cve in package.get("cves") or []]
    if manager == "apt" and release and package.get("source"):
        known += index.of_source(release, package["source"])
    return annotated(package, known, manager)
