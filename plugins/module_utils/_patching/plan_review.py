# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a host: gather, select by policy, let the package manager work it out, say what comes of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .._findings import CannotCheck, Review, plain
from .._host import AS_ROOT
from . import gather_system, mitigation_work, mitigations, plan_effects, plan_exposure, plan_model, plan_seconds
from .judge import MANAGER_CHECKS, Judgement, count, reboot_is_due
from .model import System
from .plan_select import Selection, left_out, select, urgency
from .review import pick_manager
from .versions import compare_deb
from .vulnerabilities import comparer, exposure, fixed_by, release_key, source_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._host import Host
    from .model import Change, Managed, Resolved, Update

SUBJECT = "os"
JOURNALS = "/var/lib/upkeep/patching/p-*/journal.json"
LEFT_OUT_LIMIT = 500
"""Entries of ``left_out``; the ones that matter most come first."""

_DOUBTS = (
    "patch.metadata.stale",
    "patch.repository.unreachable",
    "patch.repository.expired",
    "patch.repository.unsigned",
    "patch.security.no_source",
)
"""The checks of patch_info that say whether what the package manager knows can be believed."""

_OTHER = {"allowed_holds": [], "lock_max_age_hours": 2, "updates_max_age_days": 35}


def review(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``patch_plan`` (see the module's RETURN), as plain values.

    ``options`` are those of plan_options.ARGUMENT_SPEC, without errors, and ``check_mode``: then nothing is refreshed.
    """
    options = dict(options, cves=sorted({cve.strip().upper() for cve in options["cves"]}))
    reviewed = Review("patch")
    result: dict[str, Any] = {"state": "not_known", "reasons": [], "plan": None, "manager": "", "database": []}
    mitigations_there = _mitigations(host, options, reviewed)
    result["mitigations"] = mitigations_there or []
    system = System(os_release=gather_system.os_release(host))
    system.running_kernel = (host.read("/proc/sys/kernel/osrelease", 200) or "").strip()
    result["release"] = release_key(system.os_release)
    known = None
    with reviewed.check("patch.manager.unsupported"):
        known = pick_manager(host, options, reviewed)
    if known is None:
        result["reasons"] = ["there is no package manager that can be asked"]
        return _finished(reviewed, result, options)
    result.update(manager=known.manager, database=known.database)
    if options["refresh"] and options.get("check_mode"):
        reviewed.skip(
            "patch.metadata.refresh", "the package lists are not fetched in check mode", "Run without check mode."
        )
    doubts = _doubts(known, system, options, host.now())
    work = _Work(host, known, system, options, result["release"])
    work.mitigations = result["mitigations"]
    if known.manager == "apt" and options["cves"]:
        work.expose()
    with reviewed.check("patch.plan.not_known", SUBJECT):
        problem = known.updates_problem or work.run()
        remedy = "Put right what patch_info tells of the package lists, or plan with refresh: true."
        if problem is not None:
            doubts.insert(0, problem.why)
            remedy = problem.remedy or remedy
        elif work.unseen:
            remedy = remedy if doubts else AS_ROOT
            doubts.append(work.unseen)
        result["reasons"] = doubts
        if problem is None and (work.plan["packages"] or not doubts):
            result["plan"] = work.plan
            result["state"] = "not_known" if doubts else "planned" if work.plan["packages"] else "nothing"
        if doubts:
            reviewed.found(
                "patch.plan.not_known", SUBJECT, "medium",
                "What is to be patched is not known: %s." % doubts[0],
                [*doubts, *(problem.evidence if problem else [])],
                remedy,
            )  # fmt: skip
    if result["plan"] is not None:
        _tell_plan(reviewed, result, work, options)
    _tell_exposure(reviewed, result, work)
    if "mitigations" in options["tell"] and mitigations_there is not None:
        plan_exposure.tell_mitigations(reviewed, result["mitigations"], result["exposure"], work.installed())
    return _finished(reviewed, result, options)


def _finished(reviewed: Review, result: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    if "exposure" not in result:
        keys = [*options["cves"], *map(plan_exposure.key_of, options["packages"])]
        result["exposure"] = {key: plan_exposure.unknown("the host's packages are not known") for key in keys}
        for key, told in result["exposure"].items():
            _tell(reviewed, options, key, told, {})
    plan = result["plan"]
    if result["exposure"]:
        name = plan["id"] if plan is not None else ""
        reviewed.state(plan_exposure.KIND, plan_exposure.SUBJECT, {"plan": name, "exposure": result["exposure"]})
    else:
        del result["exposure"]
    if plan is not None:
        result["lines"] = plan_model.lines(plan)
        reviewed.plan(SUBJECT, plan["id"], plan_model.summary(plan), plan)
    return {**plain(result), **reviewed.result()}


def _doubts(known: Managed, system: System, options: Mapping[str, Any], now: float) -> list[str]:
    """Why what the package manager knows may not be all there is, by the judgement of patch_info."""
    scratch = Review("patch")
    judgement = Judgement(scratch, known, system, {**_OTHER, **options}, now)
    for check in _DOUBTS:
        if check == "patch.security.no_source" and options["select"] in ("all", "packages"):
            continue
        with scratch.check(check):
            MANAGER_CHECKS[check](judgement)
    not_run = [f["summary"] for f in scratch.findings if f["check"] == "patch.check.not_run"]
    return [*judgement.verdict.unknown, *not_run]


class _Work:
    """One plan in the making."""

    def __init__(self, host: Host, known: Managed, system: System, options: Mapping[str, Any], release: str) -> None:
        self.host = host
        self.known = known
        self.system = system
        self.options = options
        self.release = release
        self.selection = Selection()
        self.plan: dict[str, Any] = {}
        self.exposure: dict[str, Any] = {}
        self.versions: dict[str, list[str]] = {}
        """Of the approved plan's packages: name:arch -> the versions that are installed."""
        self.unseen = ""
        """What of the plan's effects could not be seen, for lack of rights."""
        self.mitigations: list[dict[str, Any]] = []
        self._candidates: dict[str, tuple[str, str]] = {}

    def run(self) -> Any:
        """Make the plan; the Problem that stands in the way, or None."""
        apt = self.known.manager == "apt"
        if not apt and self.options["cves"]:
            # The advisories of what is installed name the CVEs of the updates, too.
            self.selection = select(self.known, self.options, self._fixed_by_advisory, self.host.now())
        else:
            self.selection = select(self.known, self.options, self._fixed_by_data, self.host.now())
        resolved = self._resolve_apt() if apt else self._resolve_dnf()
        if resolved.problem is not None:
            return resolved.problem
        self.plan = self._planned(resolved)
        return None

    def _watched(self) -> list[str]:
        stood_in = [name for one in self.mitigations for name in one["packages"]]
        return sorted({*(package["name"] for package in self.options["packages"]), *stood_in})

    def installed(self) -> dict[str, list[str]]:
        """The installed versions of packages by name: with dnf, of those that somebody asks for."""
        found: dict[str, list[str]] = {}
        for package in self.known.installed:
            found.setdefault(package.name, []).append(package.version)
        if self.known.manager == "dnf":
            found = {name: self.versions[name + ":"] for name in self._watched() if name + ":" in self.versions}
        return found

    def expose_package(self, package: Mapping[str, Any], doubts: list[str]) -> dict[str, Any]:
        """Whether this host has an older version of a package than was asked for."""
        name = package["name"].partition(":")[0]
        updates = [update for update in self.known.updates if update.name.partition(":")[0] == name]
        versions = self.installed().get(name, [])
        if self.known.manager == "dnf" and name + ":" not in self.versions:
            return plan_exposure.unknown("the host's packages are not known")
        return plan_exposure.of_package(package, versions, updates, doubts, comparer(self.known.manager))

    def looked_at_all_removals(self) -> bool:
        """Whether no update is left, beside those that were tried, that could remove a package."""
        known = self.known
        if self.options["select"] == "all":
            return True
        doubtful = any(update.kept_back not in ("", "needs new packages") for update in known.updates)
        return not doubtful and not known.removals and known.kept_back_problem is None

    def _resolve_apt(self) -> Resolved:
        from . import plan_apt

        resolved = plan_apt.resolve(self.host, self.known, self.selection, self.options)
        for package in self.known.installed:
            self.versions.setdefault("%s:%s" % (package.name, package.arch), []).append(package.version)
        return resolved

    def _resolve_dnf(self) -> Resolved:
        from . import plan_dnf

        approved = [(p["name"], p["arch"]) for p in (self.options.get("plan") or {}).get("packages", [])]
        # Of any architecture: what was asked for by name, and what mitigations stand in for.
        approved += [(name, "") for name in self._watched()]
        resolved, self.exposure, self.versions = plan_dnf.resolve(self.host, self.selection, self.options, approved)
        return resolved

    def _fixes(self, cve: str) -> list[dict[str, Any]]:
        told = (self.options.get("vulnerabilities") or {}).get(cve) or {}
        return list(told.get("fixes") or [])

    def _fixed_by_data(self, update: Update) -> list[str]:
        """The named CVEs that an update fixes, by the controller's data (apt has none of its own)."""
        _version, after = self._kernel_aware().get(update.name, ("", ""))
        name, _colon, _foreign = update.name.partition(":")
        now = next((p for p in self.known.installed if p.name == name and p.version == update.installed), None)
        if not after or now is None:
            return []
        source, before = source_name(now)
        return [
            cve
            for cve in self.options["cves"]
            if fixed_by(
                [fix for fix in self._fixes(cve) if fix["release"] == self.release], source, before, after, compare_deb
            )
        ]

    def _fixed_by_advisory(self, update: Update) -> list[str]:
        return [cve for cve in self.options["cves"] if cve in update.cves]

    def expose(self) -> None:
        """Whether this host is exposed to the named CVEs, by the controller's data: apt has none of its own."""
        from . import plan_apt

        self._candidates = plan_apt.candidates(self.host, self.known.updates)
        for cve in self.options["cves"]:
            self.exposure[cve] = exposure(
                self._fixes(cve), self.release, self.known.installed, self._kernel_aware(), "apt",
                self.system.running_kernel,
            )  # fmt: skip

    def _kernel_aware(self) -> dict[str, tuple[str, str]]:
        """The candidates, those of Debian's signed kernels with the version that the data means."""
        sources = {package.name: package.source for package in self.known.installed}
        return {
            name: (version, version if re.match(r"linux-signed(-|$)", sources.get(name, "")) else source_version)
            for name, (version, source_version) in self._candidates.items()
        }

    def _planned(self, resolved: Resolved) -> dict[str, Any]:
        wanted = {(one.name.partition(":")[0], one.version): one.update for one in self.selection.wanted}
        updates = {(one.name.partition(":")[0], one.candidate): one for one in self.known.updates}
        packages = [self._package(change, wanted, updates) for change in resolved.changes]
        packages.sort(key=urgency)
        running, denied = plan_effects.gather(self.host, resolved.owned)
        if denied and packages and not self.host.is_root():
            self.unseen = "which services run code of these packages: %d of the processes belong to others" % denied
        services = plan_effects.services(resolved, running, self.options["restart_never"])
        notifier = self.host.exists("/usr/share/update-notifier/notify-reboot-required")
        kernel = self.system.running_kernel
        reboot = plan_effects.reboot_reasons(resolved, running, self.known.manager, kernel, notifier)
        # One that is due already comes with it, or is all that there is to do.
        reboot += reboot_is_due(self.known, gather_system.gather_boot(self.host), self.host.now())
        download = sum(package["download_bytes"] or 0 for package in packages)
        kernels = sum(plan_effects.is_new_kernel(change, self.known.manager, kernel) for change in resolved.changes)
        seconds = plan_seconds.estimate(len(packages), download, kernels, bool(reboot), _journals(self.host))
        return plan_model.make(
            self.known.manager, self.options["select"], packages, self._left_out(resolved), services, reboot, seconds
        )

    def _package(
        self,
        change: Change,
        wanted: Mapping[tuple[str, str], Update],
        updates: Mapping[tuple[str, str], Update],
    ) -> dict[str, Any]:
        key = (change.name, change.after)
        update = wanted.get(key) or updates.get(key)
        told: Mapping[str, Any] = vars(update) if update is not None else change.update or {}
        origins = told.get("origins") or []
        package = {
            "name": change.name,
            "arch": change.arch,
            "from": change.before,
            "to": change.after,
            "action": change.action,
            "asked": key in wanted and change.action in ("upgrade", "install"),
            "source": change.source,
            "origin": origins[0] if origins else change.origin,
            "security": bool(told.get("security")) or bool(re.search(r"security", change.origin, re.I)),
            "severity": told.get("severity") or "",
            "cves": list(told.get("cves") or []),
            "known_exploited": False,
            "published": told.get("published"),
            "download_bytes": change.download,
            "size_change_bytes": change.size_change,
        }
        for side, version in (("from", change.source_before), ("to", change.source_after)):
            if version and not re.match(r"linux-signed(-|$)", change.source):
                package["source_" + side] = version
        if re.match(r"linux-signed(-|$)", change.source):
            package["source"] = "linux"
        self._about_cves(package)
        return package

    def _about_cves(self, package: dict[str, Any]) -> None:
        """What was handed in of the named CVEs; the rest is the controller's to say, which has the data."""
        for cve in self.options["cves"]:
            about = (self.options.get("vulnerabilities") or {}).get(cve) or {}
            if cve in package["cves"] and about.get("known_exploited"):
                package["known_exploited"] = True

    def _left_out(self, resolved: Resolved) -> list[dict[str, Any]]:
        updates = {wanted.name: wanted.update for wanted in self.selection.wanted}
        told = [
            left_out(updates[name], why, reason) for name, why, reason in resolved.refused if name in updates
        ] + self.selection.left_out
        accounted = {entry["name"].partition(":")[0] for entry in told if entry["why"] == "would_remove"}
        if self.options["select"] == "all" and not self.options["allow_removals"] and not accounted:
            # dnf obsoletes a package by one of another name: that is an update of nothing that is installed.
            told = [
                {
                    "name": name, "from": "", "to": "", "security": False, "why": "would_remove",
                    "reason": "a full upgrade would replace it by another package", "until": "",
                }
                for name in self.known.removals
            ] + told  # fmt: skip
        rank = ("would_remove", "held", "excluded", "kept_back", "pinned", "phased", "not_selected")
        told.sort(key=lambda entry: (not entry["security"], rank.index(entry["why"]), entry["name"]))
        return told[:LEFT_OUT_LIMIT]


def _journals(host: Host) -> list[dict[str, Any]]:
    """The journals of earlier patch runs on this host, for what they measured."""
    found = []
    for path in host.glob(JOURNALS):
        try:
            journal = json.loads(host.read(path, 4 * 1024 * 1024) or "")
        except (ValueError, RecursionError):
            continue  # patch_apply tells of a broken one; here it only lacks as a measurement
        if isinstance(journal, dict):
            found.append(journal)
    return found


def _tell_plan(reviewed: Review, result: dict[str, Any], work: _Work, options: Mapping[str, Any]) -> None:
    """The findings of a plan that was made."""
    plan = result["plan"]
    _tell_removals(reviewed, plan, work)
    with reviewed.check("patch.plan.exclusion_expired"):
        for exclusion in work.selection.expired:
            reviewed.found(
                "patch.plan.exclusion_expired", exclusion["name"], "low",
                "The exclusion of %s expired on %s: it is planned like any other package."
                % (exclusion["name"], exclusion["until"]),
                ["its reason was: %s" % exclusion["reason"]],
                "Take the exclusion out, or give it a new date and reason.",
            )  # fmt: skip
    result["missing"] = work.selection.missing
    approved = options.get("plan")
    if approved is None:
        return
    with reviewed.check("patch.plan.changed", SUBJECT):
        done, lines = _since(approved, plan, work.versions)
        result["approved"] = {"id": approved["id"], "done": done, "differences": lines}
        if result["state"] == "not_known":
            raise CannotCheck("what would be planned now is not known: %s" % result["reasons"][0])
        if lines:
            differences = count(len(lines), "difference")
            reviewed.found(
                "patch.plan.changed", SUBJECT, "high",
                "The approved plan %s is not what would be done now: %s." % (approved["id"], differences),
                lines,
                "Look at the differences, and approve the plan of now: %s." % plan["id"],
                {"approved": approved["id"], "now": plan["id"], "differences": lines[:40]},
            )  # fmt: skip


def _tell_removals(reviewed: Review, plan: Mapping[str, Any], work: _Work) -> None:
    check = "patch.plan.would_remove"
    for entry in plan["left_out"]:
        if entry["why"] != "would_remove":
            continue
        what = "%s -> %s: %s" % (entry["from"], entry["to"], entry["reason"]) if entry["to"] else entry["reason"]
        reviewed.found(
            check, entry["name"], "medium",
            "%s is left out of the plan: %s." % (entry["name"], entry["reason"]),
            [what],
            "Look at what would go; to let it, plan with allow_removals: true.",
            {"from": entry["from"], "to": entry["to"], "security": entry["security"]},
        )  # fmt: skip
    # A plan of some updates did not look at the others: it must not resolve what a plan of all found.
    subjects = ["*"] if work.looked_at_all_removals() else [wanted.name for wanted in work.selection.wanted]
    for subject in subjects:
        reviewed.covered(check, subject)


def _since(
    approved: Mapping[str, Any], now: Mapping[str, Any], versions: Mapping[str, list[str]]
) -> tuple[list[str], list[str]]:
    """What of an approved plan is done already, and how what remains of it differs from the plan of now."""
    done, rest = [], []
    for package in approved["packages"]:
        key = "%s:%s" % (package["name"], package["arch"])
        there = versions.get(key, [])
        if package["to"] in there if package["to"] else package["from"] not in there:
            done.append(plan_model.label(package["name"], package["arch"]))
        else:
            rest.append(package)
    lines = plan_model.difference(dict(approved, packages=rest), now)
    if now["reboot"]["needed"] and not (approved.get("reboot") or {}).get("needed"):
        lines.append("a reboot is needed now, and none was when it was approved: %s" % "; ".join(now["reboot"]["why"]))
    return done, lines


def _tell(
    reviewed: Review, options: Mapping[str, Any], key: str, told: Mapping[str, Any], plan: Mapping[str, Any]
) -> None:
    # Whoever goes on to mend it asks once more, and tells then: of one run the finding would outlive the mending.
    # And to be older than what is to come is no fault of an ordinary package, only in an emergency (at_least).
    ordinary = any(plan_exposure.key_of(one) == key and not one.get("at_least") for one in options["packages"])
    if ("exposure" in options["tell"] and not ordinary) or told["state"] in plan_exposure.SAFE:
        plan_exposure.tell(reviewed, key, told, plan)


def _tell_exposure(reviewed: Review, result: dict[str, Any], work: _Work) -> None:
    result["exposure"] = {}
    plan = result["plan"] or {}
    for key in work.options["cves"]:
        told = work.exposure.get(key) or plan_exposure.unknown("".join(result["reasons"][:1]) or "nothing tells of it")
        if work.known.manager == "dnf" and result["reasons"] and told["state"] in plan_exposure.SAFE:
            # By advisories that may not be all there are.
            told = dict(told, state="not_known", why="%s, but %s" % (told["why"], result["reasons"][0]))
        about = (work.options.get("vulnerabilities") or {}).get(key) or {}
        told = dict(told, severity=about.get("severity") or "", known_exploited=bool(about.get("known_exploited")))
        result["exposure"][key] = dict(told, published=plan_exposure.published(told, about, plan))
    for package in work.options["packages"]:
        told = work.expose_package(package, result["reasons"])
        told["published"] = plan_exposure.published(told, {}, plan)
        result["exposure"][plan_exposure.key_of(package)] = told
    for key, told in result["exposure"].items():
        result["exposure"][key] = plan_exposure.with_mitigations(key, told, result["mitigations"])
        _tell(reviewed, work.options, key, result["exposure"][key], plan)


def _mitigations(host: Host, options: Mapping[str, Any], reviewed: Review) -> list[dict[str, Any]] | None:
    """The mitigations that Upkeep put in on this host, and whether they are in force; None: they may not be seen."""
    if not host.exists(mitigations.BASE) and not host.denied(mitigations.BASE):
        return []
    try:
        return mitigation_work.gather(mitigation_work.Machine(host), not options.get("check_mode"))
    except mitigation_work.Refused as refused:
        for check in ("patch.mitigation.lost", "patch.mitigation.left"):
            reviewed.not_run(check, refused.why, refused.remedy)
        return None
