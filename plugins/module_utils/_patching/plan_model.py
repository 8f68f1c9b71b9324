# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a patch run: what patch_plan returns, a person approves, and patch_apply carries out. Pure.

A plan is a dictionary, for it goes through JSON, YAML and the store:

``id``              see :func:`plan_id`
``manager``         apt | dnf
``select``          what was asked for: security | all | cves | packages
``packages``        what the transaction does, in order of urgency: ``name``, ``arch``, ``from`` (empty: not there
                    before), ``to`` (empty: not there afterwards), ``action`` (one of ACTIONS), ``asked`` (chosen by the
                    policy; otherwise it comes along), ``source`` (source package), ``origin``, ``security``,
                    ``severity`` (the vendor's word), ``cves``, ``known_exploited``, ``published`` (epoch or None),
                    ``download_bytes``, ``size_change_bytes`` (both None when not known)
``left_out``        newer versions that the transaction does not bring: ``name``, ``from``, ``to``, ``security``,
                    ``why`` (one of REASONS), ``reason``, ``until`` (a day, ``2026-12-31``, or empty)
``services``        units that the transaction concerns: ``unit``, ``restart`` (one of RESTARTS), ``why``
``reboot``          ``needed``, ``why`` (lines)
``download_bytes``  what must be fetched
``install_bytes``   how much more room the packages take afterwards (negative: less)
``seconds``         expected: ``download``, ``apply``, ``reboot``, ``total``, and whether they were ``measured`` here
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from .._findings import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Plan = Mapping[str, Any]

MANAGERS = ("apt", "dnf")
SELECTS = ("security", "all", "cves", "packages")
ACTIONS = ("upgrade", "install", "remove", "downgrade")
REASONS = ("held", "excluded", "pinned", "phased", "kept_back", "not_selected", "would_remove")
RESTARTS = ("package", "upkeep", "never")
"""Who restarts a unit: the package's own scripts, Upkeep (where it is told to), or nobody (``restart_never``)."""

PACKAGES_LIMIT = 20_000
"""Packages of a plan: an upgrade to the next release has some 3,000."""

PLAN_ID = re.compile(r"p-[0-9a-f]{12}")
"""To be matched in full: the id names a folder on the host."""

# Debian Policy 5.6.1, and what rpm's own names are made of. None begins with a dash, none holds a shell's character.
_NAMES = {
    "apt": re.compile(r"[a-z0-9][a-z0-9+.-]{0,199}"),
    "dnf": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]{0,199}"),
}
_ARCH = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
# apt takes "name=version-" for a removal, so no version ends with a dash; none that is right does.
VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.+~^:_-]{0,198}[A-Za-z0-9.+~^_])?")
"""A version of either package manager: to be matched in full."""


# What a plan tells beside what it does: where it is there, it is of this type.
_TOLD: dict[str, dict[str, Any]] = {
    "package": {
        "asked": bool, "source": str, "source_from": str, "source_to": str, "origin": str, "security": bool,
        "severity": str, "cves": list, "known_exploited": bool, "published": (int, float, type(None)),
        "download_bytes": (int, type(None)), "size_change_bytes": (int, type(None)),
    },
    "left_out": {
        "name": str, "from": str, "to": str, "security": bool, "why": str, "reason": str, "until": str,
    },
    "services": {"unit": str, "why": str},
    "reboot": {"needed": bool, "why": list},
    "seconds": {
        "download": (int, float), "apply": (int, float), "reboot": (int, float), "total": (int, float),
        "measured": bool,
    },
}  # fmt: skip


def plan_id(plan: Plan) -> str:
    """The identity of what the plan does to a host: ``p-`` and 12 hexadecimal digits.

    SHA-256 over the canonical JSON of the manager and the sorted (name, arch, from, to, action): never of a wording, a
    time or a figure. 48 bits: among a million different plans two are alike with a chance of 1 in 560 (birthday bound).
    """
    text = json.dumps([plan["manager"], transaction(plan)], ensure_ascii=True, separators=(",", ":"))
    return "p-" + hashlib.sha256(text.encode("ascii")).hexdigest()[:12]


def transaction(plan: Plan) -> list[list[str]]:
    """What the plan does to a host, sorted: [name, arch, from, to, action] of each package."""
    return sorted([str(package[key]) for key in ("name", "arch", "from", "to", "action")]
                  for package in plan["packages"])  # fmt: skip


def action_of(before: str, after: str, newer: bool) -> str:
    """What is done to a package that goes from one version to another; ``newer``: the second one is the newer."""
    if not before:
        return "install"
    if not after:
        return "remove"
    return "upgrade" if newer else "downgrade"


def make(
    manager: str,
    select: str,
    packages: Iterable[Mapping[str, Any]],
    left_out: Iterable[Mapping[str, Any]] = (),
    services: Iterable[Mapping[str, Any]] = (),
    reboot: Iterable[str] = (),
    seconds: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A plan of these packages; ``reboot`` are the reasons for one. Sizes are added up, the id is worked out."""
    listed = [dict(package) for package in packages]
    reasons = list(reboot)
    plan: dict[str, Any] = {
        "id": "",
        "manager": manager,
        "select": select,
        "packages": listed,
        "left_out": [dict(one) for one in left_out],
        "services": [dict(one) for one in services],
        "reboot": {"needed": bool(reasons), "why": reasons},
        "download_bytes": sum(package.get("download_bytes") or 0 for package in listed),
        "install_bytes": sum(package.get("size_change_bytes") or 0 for package in listed),
        "seconds": dict(seconds or {"download": 0, "apply": 0, "reboot": 0, "total": 0, "measured": False}),
    }
    plan["id"] = plan_id(plan)
    return plan


def errors_of(plan: Any) -> list[str]:
    """What is wrong with a plan that somebody hands in: one sentence each, empty when it can be carried out.

    Names, architectures and versions that pass here are safe on a command line.
    """
    if not isinstance(plan, dict):
        return ["a plan is a dictionary as patch_plan returns it, this is %s" % _shown(plan)]
    errors = []
    manager = plan.get("manager")
    if manager not in MANAGERS:
        return ["manager is one of %s, this is %s" % (", ".join(MANAGERS), _shown(manager))]
    if plan.get("select") not in SELECTS:
        errors.append("select is one of %s, this is %s" % (", ".join(SELECTS), _shown(plan.get("select"))))
    packages = plan.get("packages")
    if not isinstance(packages, list) or len(packages) > PACKAGES_LIMIT:
        return [*errors, "packages is a list of at most %d, this is %s" % (PACKAGES_LIMIT, _shown(packages))]
    whole = True
    for number, package in enumerate(packages, 1):
        wrong = _package_errors(package, _NAMES[manager])
        whole = whole and not wrong
        errors += ["package %d: %s" % (number, error) for error in wrong]
    if whole:
        errors += _transaction_errors(plan)
    for part in ("left_out", "services"):
        entries = plan.get(part, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            errors.append("%s is a list of dictionaries, this is %s" % (part, _shown(entries)))
            continue
        errors += [error for entry in entries for error in _told_errors(part, entry)]
    services = plan.get("services", [])
    for service in services if isinstance(services, list) else []:
        if isinstance(service, dict) and service.get("restart") not in RESTARTS:
            errors.append("restart is one of %s, this is %s" % (", ".join(RESTARTS), _shown(service.get("restart"))))
    for part in ("reboot", "seconds"):
        told = plan.get(part, {})
        if not isinstance(told, dict):
            errors.append("%s is a dictionary, this is %s" % (part, _shown(told)))
        else:
            errors += _told_errors(part, told)
    for part in ("download_bytes", "install_bytes"):
        if not _is_number(plan.get(part, 0)):
            errors.append("%s is a number of bytes, this is %s" % (part, _shown(plan.get(part))))
    return errors


def _package_errors(package: Any, name_form: re.Pattern[str]) -> list[str]:
    if not isinstance(package, dict):
        return ["it is a dictionary, this is %s" % _shown(package)]
    errors = []
    for key, form in (("name", name_form), ("arch", _ARCH)):
        if not isinstance(package.get(key), str) or not form.fullmatch(package[key]):
            errors.append("%s is not one that a package can have: %s" % (key, _shown(package.get(key))))
    for key in ("from", "to"):
        version = package.get(key)
        if not isinstance(version, str) or (version and not VERSION.fullmatch(version)):
            errors.append("%s is not a version that a package can have: %s" % (key, _shown(version)))
    if errors:
        return errors
    before, after, action = package["from"], package["to"], package.get("action")
    fits = {
        "install": not before and after,
        "remove": before and not after,
        "upgrade": before and after and before != after,
        "downgrade": before and after and before != after,
    }
    if not isinstance(action, str) or action not in ACTIONS:
        errors.append("action is one of %s, this is %s" % (", ".join(ACTIONS), _shown(action)))
    elif not fits[action]:
        errors.append("%s of %s does not go from %r to %r" % (action, package["name"], before, after))
    return errors + _told_errors("package", package)


def _told_errors(part: str, entry: Mapping[str, Any]) -> list[str]:
    errors = []
    for key, kind in _TOLD[part].items():
        if key not in entry:
            continue
        value = entry[key]
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not fits or (kind is list and not all(isinstance(item, str) for item in value)):
            errors.append("%s: %s cannot be %s" % (part, key, _shown(value)))
    return errors


def _transaction_errors(plan: Plan) -> list[str]:
    errors = []
    rows = [tuple(row) for row in transaction(plan)]
    doubled = sorted({row[0] for row, following in zip(rows, rows[1:]) if row == following})
    if doubled:
        errors.append("a package is listed once, these are listed more often: %s" % ", ".join(doubled[:10]))
    told, real = plan.get("id"), plan_id(plan)
    if told != real:
        errors.append(
            "id is that of the packages (%s), this is %s: the plan was changed after it was made" % (real, _shown(told))
        )
    return errors


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return "%s %r" % (type(value).__name__, clean_line(value, 60))


def difference(approved: Plan, now: Plan) -> list[str]:
    """What a plan of today does otherwise than the approved one: lines for a person, empty when the ids are the same.

    Both have passed :func:`errors_of`.
    """
    lines = []
    if approved["manager"] != now["manager"]:
        lines.append("the package manager was %s and is %s" % (approved["manager"], now["manager"]))
    was, becomes = _by_package(approved), _by_package(now)
    for key in sorted({*was, *becomes}):
        before, after = was.get(key, []), becomes.get(key, [])
        if len(before) == len(after) == 1 and before != after:
            lines.append("%s was approved, now it would be: %s" % (_step(before[0]), _step(after[0])))
            continue
        lines += ["%s is no longer planned" % _step(row) for row in before if row not in after]
        lines += ["%s is planned now and was not approved" % _step(row) for row in after if row not in before]
    return lines


def _by_package(plan: Plan) -> dict[str, list[list[str]]]:
    rows: dict[str, list[list[str]]] = {}
    for row in transaction(plan):
        rows.setdefault(label(row[0], row[1]), []).append(row)
    return rows


def label(name: str, arch: str) -> str:
    """A package in a text. Never "name:": "passwd: 1.2" is taken for a password, and masked."""
    return "%s (%s)" % (name, arch)


def _step(row: list[str]) -> str:
    name, arch, before, after, action = row
    if action == "install":
        return "install %s %s" % (label(name, arch), after)
    if action == "remove":
        return "remove %s %s" % (label(name, arch), before)
    return "%s %s %s -> %s" % (action, label(name, arch), before, after)


def package_line(package: Mapping[str, Any]) -> str:
    """One package of a plan as a person reads it: what happens to it, why, and how urgent that is."""
    about = []
    if package.get("known_exploited"):
        about.append("known to be exploited")
    if package.get("security"):
        about.append("security" + (" (%s)" % package["severity"] if package.get("severity") else ""))
    cves = package.get("cves") or []
    if cves:
        about.append(", ".join(cves[:3]) + (" and %d more" % (len(cves) - 3) if len(cves) > 3 else ""))
    if not package.get("asked", True):
        about.append("comes along")
    row = [package[key] for key in ("name", "arch", "from", "to", "action")]
    return _step(row) + ("; " + "; ".join(about) if about else "")


def summary(plan: Plan) -> str:
    """The plan in one sentence."""
    counts = {action: sum(package["action"] == action for package in plan["packages"]) for action in ACTIONS}
    words = {"upgrade": "upgraded", "install": "installed", "remove": "removed", "downgrade": "downgraded"}
    told = ["%d %s" % (counts[action], words[action]) for action in ACTIONS if counts[action]]
    if not told:
        return "Nothing is to be done."
    security = sum(bool(package.get("security")) for package in plan["packages"])
    exploited = sum(bool(package.get("known_exploited")) for package in plan["packages"])
    text = "Packages: %s" % ", ".join(told)
    if security:
        text += " (%d security%s)" % (security, ", %d known to be exploited" % exploited if exploited else "")
    restarts = sum(service["restart"] != "never" for service in plan.get("services", []))
    text += "; restarts needed: %d" % restarts
    return text + ("; a reboot is needed." if _reboot(plan) else "; no reboot.")


def _reboot(plan: Plan) -> bool:
    return bool(plan.get("reboot", {}).get("needed"))


LINES_LIMIT = 200
"""Packages, and entries of what is left out, that :func:`lines` tells."""


def lines(plan: Plan) -> list[str]:
    """The plan as a person reads it before approving it."""
    told = ["%s: %s" % (plan["id"], summary(plan))]
    told += _some([package_line(package) for package in plan["packages"]])
    # What the policy does not ask for is no news: it is counted.
    entries = plan.get("left_out", [])
    not_asked = [entry for entry in entries if entry.get("why") == "not_selected"]
    kept_out = [_left_out_line(entry) for entry in entries if entry.get("why") != "not_selected"]
    if kept_out:
        told += ["left out:", *_some(kept_out)]
    if not_asked:
        told.append("not asked for by select: %s: %d" % (plan["select"], len(not_asked)))
    words = {"package": "restarted by its package", "upkeep": "needs a restart", "never": "left alone"}
    services = plan.get("services", [])
    if services:
        lines_of = ["%s: %s (%s)" % (s.get("unit", "?"), words[s["restart"]], s.get("why", "")) for s in services]
        told += ["services:", *_some(lines_of)]
    if _reboot(plan):
        told.append("reboot: %s" % ("; ".join(plan["reboot"].get("why", [])) or "needed"))
    seconds = plan.get("seconds", {})
    if plan["packages"] and "total" in seconds:
        source = "as measured on this host" if seconds.get("measured") else "an estimate"
        size = _bytes(plan.get("download_bytes", 0))
        told.append("download: %s; time: about %d s, %s" % (size, seconds["total"], source))
    return told


def _some(texts: list[str]) -> list[str]:
    more = len(texts) - LINES_LIMIT
    return ["- " + text for text in texts[:LINES_LIMIT]] + (["- … and %d more" % more] if more > 0 else [])


def _left_out_line(entry: Mapping[str, Any]) -> str:
    step = " %s -> %s" % (entry.get("from", ""), entry["to"]) if entry.get("to") else ""
    until = " until %s" % entry["until"] if entry.get("until") else ""
    security = ", a security update" if entry.get("security") else ""
    why = entry.get("why", "").replace("_", " ")
    return "%s%s - %s%s (%s)%s" % (entry.get("name", "?"), step, why, until, entry.get("reason", ""), security)


def _bytes(number: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if abs(number) < 1024:
            return "%d %s" % (number, unit)
        number /= 1024
    return "%.1f GiB" % number
