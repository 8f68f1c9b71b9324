# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host is exposed to what was asked for: CVEs, or packages older than a version. Pure.

What was asked for has a key: a CVE by its name, a package as ``NAME`` or ``NAME=VERSION``. States, see STATES.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .._findings import Review
    from .model import Update

STATES = ("exposed", "mitigated", "patched", "not_installed", "not_known")
SAFE = ("patched", "not_installed")
KIND = "exposure"
"""Of the state that is told of a host; its subject is SUBJECT."""
SUBJECT = "os"
_LOST = "patch.mitigation.lost"
_LEFT = "patch.mitigation.left"
_COMMAND = "ansible-playbook upkeep.maintenance.emergency_patch -e %s -e emergency_patch_apply=true"


def key_of(package: Mapping[str, Any]) -> str:
    """The key of a package that was asked for."""
    return "=".join(filter(None, [package["name"], package.get("version") or ""]))


def unknown(why: str) -> dict[str, Any]:
    """The exposure of which nothing is known."""
    return {"state": "not_known", "packages": [], "why": why, "published": None}


def of_package(
    asked: Mapping[str, Any],
    versions: Sequence[str],
    updates: Iterable[Update],
    doubts: Sequence[str],
    compare: Callable[[str, str], int],
) -> dict[str, Any]:
    """Whether a host has a package in an older version than the one asked for, or than the newest there is.

    ``versions`` are installed; ``updates`` are those pending of this package; ``doubts`` say why what is pending may
    not be all there is.
    """
    name, version = asked["name"], asked.get("version") or ""
    if not versions:
        return {"state": "not_installed", "packages": [], "why": "%s is not installed" % name}
    newest = ""
    for update in updates:
        if not newest or compare(update.candidate, newest) > 0:
            newest = update.candidate
    wanted = version or newest
    old = [one for one in versions if wanted and compare(one, wanted) < 0]
    if old:
        candidate = newest if newest and compare(newest, wanted) >= 0 else ""
        rows = [{"name": name, "installed": one, "fixed": wanted, "candidate": candidate} for one in old]
        return {"state": "exposed", "packages": rows, "why": "%s %s is older than %s" % (name, old[0], wanted)}
    if not version and doubts:
        return {"state": "not_known", "packages": [], "why": "no newer %s is known, but %s" % (name, doubts[0])}
    than = "as new as %s" % version if version else "the newest there is"
    return {"state": "patched", "packages": [], "why": "%s %s is %s" % (name, versions[0], than)}


def with_mitigations(key: str, told: Mapping[str, Any], mitigations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The exposure to ``key``, ``mitigated`` where a mitigation of it was seen to be in force."""
    if told["state"] != "exposed":
        return dict(told)
    names = [one["name"] for one in mitigations if key in one["cves"] and one["in_force"]]
    if not names:
        return dict(told)
    return dict(told, state="mitigated", mitigations=names, why="%s; mitigated by %s" % (told["why"], ", ".join(names)))


def published(told: Mapping[str, Any], about: Mapping[str, Any], plan: Mapping[str, Any]) -> float | None:
    """When it was published (seconds since the epoch): the vulnerability, or else the updates that mend it here."""
    known = about.get("published")
    if isinstance(known, (int, float)) and not isinstance(known, bool):
        return float(known)
    names = {package["name"] for package in told["packages"]}
    dates = [one["published"] for one in plan.get("packages") or [] if one["name"] in names and one["published"]]
    return min(dates) if dates else None


def tell(reviewed: Review, key: str, told: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    """The finding on one exposure: high when the host is exposed, low when that is mitigated, medium when it is not
    known; nothing stands still, so never critical."""
    if told["state"] == "not_known":
        reviewed.found(
            "patch.exposure.not_known", key, "medium",
            "Whether this host is exposed to %s is not known: %s." % (key, told["why"]),
            [told["why"]],
            "Mirror the vulnerability data anew (vulnerability_data), or look by hand if the software is installed.",
        )  # fmt: skip
        return
    reviewed.covered("patch.exposure.not_known", key)
    if told["state"] in SAFE:
        reviewed.covered("patch.exposure.exposed", key)
        return
    lines = ["%s %s: %s" % (p["name"], p["installed"], _patch_of(p)) for p in told["packages"]]
    names = {p["name"] for p in told["packages"]}
    lines += [
        "%s is left out of the plan, %s: %s" % (entry["name"], entry["why"].replace("_", " "), entry["reason"])
        for entry in plan.get("left_out", [])
        if entry["name"].partition(":")[0] in names and entry["why"] != "not_selected"
    ]
    mitigated = told["state"] == "mitigated"
    patch = any(p["candidate"] for p in told["packages"])
    summary = "This host is exposed to %s%s: %s." % (
        key, ", which is known to be exploited" if told.get("known_exploited") else "", told["why"],
    )  # fmt: skip
    remedy = (
        "Reboot it: systemctl reboot"
        if told.get("reboot")
        else "Patch it: %s" % _COMMAND % _asked(key)
        if patch
        else "There is no patch for it here yet: wait for it, the mitigation is in force."
        if mitigated
        else "There is no patch for it here yet: apply the vendor's mitigation, or take the service off the network."
    )
    facts = {"packages": told["packages"], "plan": plan.get("id", ""), "patch": patch}
    reviewed.found("patch.exposure.exposed", key, "low" if mitigated else "high", summary, lines, remedy, facts)


def _asked(key: str) -> str:
    name, _equals, version = key.partition("=")
    if name.startswith("CVE-"):
        return "cve=%s" % name
    return "package=%s%s" % (name, " -e version=%s" % version if version else "")


def _patch_of(package: Mapping[str, Any]) -> str:
    if not package["fixed"]:
        return "no fix yet"
    if package["candidate"]:
        return "fixed in %s, %s can be had" % (package["fixed"], package["candidate"])
    return "fixed in %s, which no repository of this host offers" % package["fixed"]


def tell_mitigations(
    reviewed: Review,
    mitigations: Iterable[Mapping[str, Any]],
    exposure: Mapping[str, Mapping[str, Any]],
    versions: Mapping[str, Sequence[str]],
) -> None:
    """The findings on mitigations: not in force any more, or left behind once what it stood in for is mended.

    ``versions``: the installed ones of packages, by name, as far as they are known.
    """
    unsure = {_LOST: False, _LEFT: False}
    for one in mitigations:
        name = one["name"]
        states = [exposure[key]["state"] for key in one["cves"] if key in exposure]
        over = bool(one["cves"]) and len(states) == len(one["cves"]) and all(state in SAFE for state in states)
        since = {
            package: versions[package]
            for package, before in one["packages"].items()
            if package in versions and before not in versions[package]
        }
        keys = [key for key in one["cves"] if key.startswith("CVE-")]
        asked = "cve=%s" % ",".join(keys) if keys else _asked("".join(one["cves"][:1]))
        lift = "Lift it: %s" % _COMMAND % asked
        if over:
            reviewed.found(
                _LEFT, name, "medium",
                "The mitigation %s is still there, and this host is patched." % name,
                ["%s: %s" % (key, exposure[key]["why"]) for key in one["cves"]], lift,
            )  # fmt: skip
        elif since and not states:
            reviewed.found(
                _LEFT, name, "low",
                "The mitigation %s may be over: what it stood in for was updated since." % name,
                ["%s %s -> %s" % (package, one["packages"][package], ", ".join(now)) for package, now in since.items()],
                lift,
            )  # fmt: skip
        elif states or set(one["packages"]) & set(versions):
            reviewed.covered(_LEFT, name)
        else:
            unsure[_LEFT] = True
        if over:
            continue
        if one["in_force"] is False:
            reviewed.found(
                _LOST, name, "high",
                "The mitigation %s of %s is not in force any more: %s." % (name, ", ".join(one["cves"]), one["why"]),
                [one["why"]],
                "Put it in again, by the role emergency_patch or the module patch_mitigation.",
            )  # fmt: skip
        elif one["in_force"] is None:
            unsure[_LOST] = True
        else:
            reviewed.covered(_LOST, name)
    for check, doubtful in unsure.items():
        if not doubtful:
            reviewed.covered(check)
