# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Works a transaction out with dnf's own solver, and prints it as one JSON document. Nothing is changed or fetched.

It runs as dnf_probe.py does, in the Python that dnf belongs to, whose text and plan_search's come before this one's.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from typing import Any  # noqa: F401 - in the type comments, which Python 3.6 can read

from . import dnf_probe, plan_search
from .dnf_probe import describe_update, evr, need_reboot, opened, problem
from .plan_search import search

CODE = ("/usr/lib", "/usr/bin/", "/usr/sbin/", "/usr/libexec/", "/lib", "/bin/", "/sbin/", "/opt/", "/etc/init.d/")
SCRIPT_LIMIT = 64 * 1024


def source():
    # type: () -> str
    """The text of this file and of those that it needs, as Python 3.6 takes it."""
    own = __loader__.get_source(__name__)  # type: ignore[name-defined] # set by whatever imported this
    texts = [dnf_probe.text(), plan_search.text(), str(own)]
    lines = [line for text in texts for line in text.splitlines()]
    kept = [line for line in lines if not line.startswith(("from __future__", "from . ", "from .dnf", "from .plan"))]
    return "\n".join(kept) + "\nmain_of_plan()\n"


def main_of_plan():
    # type: () -> None
    settings = json.loads(sys.argv[1])
    logs = tempfile.mkdtemp(prefix="upkeep-")  # dnf would write into its own logs
    try:
        base, answer = opened(settings, logs)
        if base is not None:
            try:
                work_out(base, settings, answer)
            except Exception as error:  # noqa: BLE001 - whatever dnf raises is told
                answer["problems"]["plan"] = problem(
                    "dnf could not work out a transaction", "dnf upgrade --assumeno", error
                )
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    json.dump(answer, sys.stdout)


def work_out(base, settings, answer):
    # type: (Any, Any, Any) -> None
    import hawkey  # type: ignore[import-not-found] # of the host that this text is sent to

    installed = base.sack.query(flags=hawkey.IGNORE_EXCLUDES).installed()
    answer["versions"] = {
        "%s:%s" % (name, arch): [
            evr(package)
            for package in (installed.filter(name=name, arch=arch) if arch else installed.filter(name=name))
        ]
        for name, arch in settings["approved"]
    }
    if settings.get("cves"):
        answer["exposure"] = exposures(base, settings["cves"])
    answer["core"] = sorted(need_reboot())
    answer["changes"], answer["refused"], answer["owned"], answer["scripts"] = [], [], {}, {}
    if not settings.get("wanted"):
        return
    available = base.sack.query().available()
    for pattern in settings["barred"]:
        base.sack.add_excludes(available.filter(name__glob=pattern))
    wanted, missing = [], []
    for name, arch, version in settings["wanted"]:
        found = available.filter(name=name, arch=arch, evr=version).run()
        if found:
            wanted.append(found[0])
        else:
            missing.append([name, "kept_back", "no repository offers its version %s" % version])
    kept, refused = search(wanted, lambda packages: why_not(base, packages, settings["allow_removals"]))
    untried = ("kept_back", "too many others cannot be had either: it was not tried to the end")
    answer["refused"] = missing + [[package.name, *(why or untried)] for package, why in refused]
    if kept:
        goal = goal_of(base, kept)
        if not goal.run(allow_uninstall=True, force_best=True):
            raise RuntimeError("dnf changed its mind while it was asked")
        take(base, goal, answer, hawkey)


def goal_of(base, packages):
    # type: (Any, Any) -> Any
    import dnf  # type: ignore[import-not-found] # as hawkey

    goal = dnf.goal.Goal(base.sack)
    # As dnf's own resolve does: what it needs itself, and the kernel that runs, never go.
    goal.protect_running_kernel = base.conf.protect_running_kernel
    goal.add_protected(base.sack.query().filter(name=base.conf.protected_packages))
    for package in packages:
        selector = dnf.selector.Selector(base.sack)
        selector.set(pkg=[package])
        # What may be there several times (kernels) is installed beside the others.
        if package in base._get_installonly_query(base.sack.query().available().filter(name=package.name)):
            goal.install(select=selector)
        else:
            goal.upgrade(select=selector)
    return goal


def why_not(base, packages, allow_removals):
    # type: (Any, Any, bool) -> Any
    """Why these cannot be brought together, or must not be: the plan's word for it and the reason."""
    goal = goal_of(base, packages)
    if not goal.run(allow_uninstall=True, force_best=True):
        told = [str(line) for rules in goal.problem_rules() for line in (rules if isinstance(rules, list) else [rules])]
        return ["kept_back", "; ".join(told)[:400] or "dnf cannot install it"]
    coming = {str(package) for package in list(goal.list_upgrades()) + list(goal.list_installs())}
    without = [str(package) for package in packages if str(package) not in coming]
    if without:
        return ["kept_back", "dnf leaves it out: what it requires cannot be had"]
    down = [str(package) for package in goal.list_downgrades()]
    if down:
        return ["kept_back", "it would downgrade to %s" % ", ".join(down[:5])]
    gone = removals(base, goal)
    if gone and not allow_removals:
        return ["would_remove", "it would remove %s" % ", ".join(sorted(package.name for package in gone)[:10])]
    return None


def removals(base, goal):
    # type: (Any, Any) -> Any
    """Packages that go and are not replaced by a package of their name; old kernels make room by dnf's own rule."""
    stay = {package.name for package in list(goal.list_upgrades()) + list(goal.list_installs())}
    gone = {str(package): package for package in list(goal.list_erasures()) + list(goal.list_obsoleted())}
    return [package for package in gone.values() if package.name not in stay]


def take(base, goal, answer, hawkey):
    # type: (Any, Any, Any, Any) -> None
    """The transaction, and what of the host it replaces."""
    installed = base.sack.query(flags=hawkey.IGNORE_EXCLUDES).installed()
    gone = {}  # type: Any
    for action, packages in (
        ("upgrade", goal.list_upgrades()),
        ("install", goal.list_installs()),
        ("downgrade", goal.list_downgrades()),
    ):
        for package in packages:
            before = None
            for old in goal.obsoleted_by_package(package):
                if old.name == package.name and before is None:
                    before = old
                else:
                    gone[str(old)] = old
            if before is None and action != "install":
                same = installed.filter(name=package.name, arch=package.arch).run()
                before = same[0] if same else None
            answer["changes"].append(change(base, action, before, package))
            if before is not None:
                take_files(answer, before)
    gone.update((str(package), package) for package in goal.list_erasures())
    for old in gone.values():
        answer["changes"].append(change(base, "remove", old, None))
        take_files(answer, old)


def change(base, action, before, after):
    # type: (Any, str, Any, Any) -> Any
    about = after if after is not None else before
    told = {
        "name": about.name,
        "arch": about.arch,
        "before": evr(before) if before is not None else "",
        "after": evr(after) if after is not None else "",
        "action": action if before is not None or action != "upgrade" else "install",
        "origin": about.reponame if after is not None else "",
        "source": source_rpm(about),
        "download": int(after.downloadsize) if after is not None else 0,
        "size_change": int(after.installsize if after is not None else 0)
        - int(before.installsize if before is not None else 0),
        "update": None,
    }  # type: Any
    if before is not None and after is not None:
        told["update"] = describe_update(base, before, after, False)
    return told


def source_rpm(package):
    # type: (Any) -> str
    """The name of the source package: "openssl-3.0.7-1.el9.src.rpm" is openssl."""
    return str(package.sourcerpm or package.name).rsplit("-", 2)[0] if package.sourcerpm else str(package.name)


def take_files(answer, package):
    # type: (Any, Any) -> None
    for path in package.files:
        if path.startswith(CODE):
            answer["owned"][path] = package.name
    try:
        import rpm  # type: ignore[import-not-found] # as hawkey

        for header in rpm.TransactionSet().dbMatch("name", package.name):
            texts = []
            for tag in (rpm.RPMTAG_PREIN, rpm.RPMTAG_POSTIN, rpm.RPMTAG_PREUN, rpm.RPMTAG_POSTUN, rpm.RPMTAG_POSTTRANS):
                text = header[tag]
                texts.append(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text or ""))
            answer["scripts"][package.name] = "\n".join(texts)[:SCRIPT_LIMIT]
    except Exception:  # noqa: BLE001, S110 - without its scripts a unit counts as one that nobody restarts
        pass


# -- named vulnerabilities -----------------------------------------------------


def exposures(base, cves):
    # type: (Any, Any) -> Any
    """What the repositories' advisories say of each CVE, for the installed packages and for those that are not."""
    import hawkey

    sought = {cve: {"known": False, "packages": [], "fixed": [], "absent": []} for cve in cves}  # type: Any
    everything = base.sack.query(flags=hawkey.IGNORE_EXCLUDES)
    installed = everything.installed()
    names = {package.name for package in installed}
    best = {}  # type: Any
    for package in base.sack.query().upgrades():
        key = (package.name, package.arch)
        if key not in best or base.sack.evr_cmp(package.evr, best[key].evr) > 0:
            best[key] = package
    asleep = idle_kernels(base, installed)
    for package in installed:
        if str(package) in asleep:
            continue
        # Which advisories apply to it (modules, streams) is for dnf to say.
        pending = fixes_in(package, hawkey.GT, sought)
        done = fixes_in(package, hawkey.EQ | hawkey.LT, sought)
        for cve in set(pending) | set(done):
            sought[cve]["known"] = True
            if cve not in pending:
                sought[cve]["fixed"].append("%s %s" % (package.name, evr(package)))
                continue
            fixed = None
            for version in pending[cve]:
                if fixed is None or base.sack.evr_cmp(version, fixed) > 0:
                    fixed = version
            offered = best.get((package.name, package.arch))
            enough = offered is not None and base.sack.evr_cmp(offered.evr, fixed) >= 0
            candidate = evr(offered) if enough else ""
            waiting = [
                evr(other)
                for other in installed.filter(name=package.name, arch=package.arch)
                if str(other) in asleep and base.sack.evr_cmp(other.evr, fixed) >= 0
            ]
            sought[cve]["packages"].append(
                {
                    "name": package.name,
                    "installed": evr(package),
                    "fixed": fixed,
                    "candidate": waiting[0] if waiting else candidate,
                    "reboot": bool(waiting),
                }
            )
    left = {cve for cve, told in sought.items() if not told["known"]}
    if left:
        seen = {}  # type: Any
        for entry in everything.available().get_advisory_pkgs(hawkey.GT | hawkey.EQ | hawkey.LT):
            advisory = entry.get_advisory(base.sack)
            if advisory.id not in seen:
                references = {r.id for r in advisory.references if r.type == hawkey.REFERENCE_CVE}
                seen[advisory.id] = references & left
            for cve in seen[advisory.id]:
                sought[cve]["known"] = True
                if entry.name not in names and entry.name not in sought[cve]["absent"]:
                    sought[cve]["absent"].append(entry.name)
    return sought


def idle_kernels(base, installed):
    # type: (Any, Any) -> Any
    """What is there several times (kernels) beside the one that runs; where none of them runs, beside the newest."""
    kinds = {}  # type: Any
    for package in base._get_installonly_query(installed):
        kinds.setdefault((package.name, package.arch), []).append(package)
    asleep = set()  # type: Any
    for same in kinds.values():
        awake = [p for p in same if "%s-%s.%s" % (p.version, p.release, p.arch) == os.uname().release]
        if not awake:
            awake = same[:1]
            for package in same[1:]:
                if base.sack.evr_cmp(package.evr, awake[0].evr) > 0:
                    awake = [package]
        asleep.update(str(package) for package in same if package not in awake)
    return asleep


def fixes_in(package, which, sought):
    # type: (Any, Any, Any) -> Any
    """CVE -> the versions of this package that fix it, of the advisories that are newer (or not) than it."""
    found = {}  # type: Any
    for advisory in package.get_advisories(which):
        import hawkey

        cves = [r.id for r in advisory.references if r.type == hawkey.REFERENCE_CVE and r.id in sought]
        if not cves:
            continue
        versions = [entry.evr for entry in advisory.packages if entry.name == package.name]
        for cve in cves:
            found.setdefault(cve, []).extend(versions)
    return found
