# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a vulnerability (CVE) means on a host: whether it is exposed, and which package fixes it. Pure.

A fix is a dictionary, for it travels from the controller's data to the host: ``source`` (source package), ``release``
(see :func:`release_key`), ``state`` (one of STATES), ``fixed`` (the source package's version, when state is fixed) and
``note`` (what the data says of it beside that).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .versions import compare_deb, compare_evr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .model import Installed

    Fix = Mapping[str, Any]

STATES = ("fixed", "open", "not_affected", "undetermined")

_RATINGS = {
    "critical": "critical", "important": "high", "high": "high", "moderate": "medium", "medium": "medium",
    "low": "low", "negligible": "low", "unimportant": "low",
}  # fmt: skip
"""Words of Red Hat, Ubuntu, Debian and CVSS."""
_ORDER = {"critical": 0, "high": 1, "medium": 2, "low": 3}

CVES_LIMIT = 60
"""CVEs that are named of one package: a kernel update fixes hundreds."""

# Debian's releases by their names, which os-release has where it has no number (testing, unstable).
DEBIAN_RELEASES = {
    "buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14", "duke": "15", "sid": "sid",
}  # fmt: skip


def rating(word: str) -> str:
    """critical | high | medium | low, for a vendor's word; empty when it is none."""
    return _RATINGS.get(word.strip().lower(), "")


def severity_rank(word: str) -> int:
    """0 for the worst; what is not rated comes last."""
    return _ORDER.get(rating(word), 4)


def release_key(os_release: Mapping[str, str]) -> str:
    """The release as the vulnerability data names it: ``debian:12``, ``ubuntu:22.04``, ``rocky:9``."""
    name = os_release.get("ID", "").lower()
    version = os_release.get("VERSION_ID", "")
    if name == "debian":
        version = version or DEBIAN_RELEASES.get(os_release.get("VERSION_CODENAME", ""), "")
    elif name != "ubuntu":
        version = version.partition(".")[0]  # "9.6": the data knows the release, not its point
    return "%s:%s" % (name, version) if name and version else ""


DEB_FAMILY = ("debian", "ubuntu")
"""The distributions of the data that have Debian's names of source packages."""


def comparer(manager: str) -> Callable[[str, str], int]:
    """How this package manager orders versions."""
    return compare_deb if manager == "apt" else compare_evr


def source_name(package: Installed) -> tuple[str, str]:
    """The source package that vulnerability data means, and its version.

    Debian signs its kernels in a source package of its own (linux-signed-amd64), and its data knows only ``linux``.
    """
    if re.match(r"linux-signed(-|$)", package.source):
        return "linux", package.version
    return package.source, package.source_version


def best_fix(fixes: Iterable[Fix], compare: Callable[[str, str], int]) -> Fix | None:
    """What several sources of data say together of one source package in one release; None when they say nothing.

    One that knows a fix beats one that does not, and the later fix beats the earlier: an incomplete one is no fix.
    """
    best: Fix | None = None
    for fix in fixes:
        if (
            best is None
            or _standing(fix) > _standing(best)
            or (fix["state"] == best["state"] == "fixed" and compare(fix["fixed"], best["fixed"]) > 0)
        ):
            best = fix
    return best


def _standing(fix: Fix) -> int:
    return ("undetermined", "not_affected", "open", "fixed").index(fix["state"])


def fixed_by(fixes: Iterable[Fix], source: str, before: str, after: str, compare: Callable[[str, str], int]) -> bool:
    """Whether going from one version of a source package to another brings a fix (those of one CVE and release)."""
    fix = best_fix((fix for fix in fixes if fix["source"] == source), compare)
    return (
        fix is not None
        and fix["state"] == "fixed"
        and compare(before, fix["fixed"]) < 0
        and compare(after, fix["fixed"]) >= 0
    )


def exposure(
    fixes: Sequence[Fix],
    release: str,
    installed: Iterable[Installed],
    candidates: Mapping[str, tuple[str, str]],
    manager: str,
    running_kernel: str = "",
) -> dict[str, Any]:
    """Whether a host is exposed to one CVE: ``state``, ``packages`` and ``why``, and ``reboot`` where that mends it.

    ``candidates``: installed package -> (version, version of its source) that could be had now. What the data does not
    tell for this release is not known, and never "not exposed".
    """
    if not fixes:
        return _exposure("not_known", "no vulnerability data that was handed in knows it")
    others = {str(fix["release"]).partition(":")[0] for fix in fixes}
    if manager == "apt":
        fixes = [fix for fix in fixes if str(fix["release"]).partition(":")[0] in DEB_FAMILY]
    if not fixes:
        where = ", ".join(sorted(others))
        why = "the vulnerability data knows it of %s only, where packages have other names" % where
        return _exposure("not_known", why)
    compare = comparer(manager)
    sources = {str(fix["source"]) for fix in fixes}
    here = [package for package in installed if source_name(package)[0] in sources]
    idle = _idle_kernels(here, running_kernel)
    here = [package for package in here if package not in idle]
    if not here:
        return _exposure("not_installed", "no package of %s is installed" % ", ".join(sorted(sources)[:5]))
    states: dict[str, list[str]] = {"exposed": [], "not_known": [], "patched": []}
    told = []
    reboot = ""
    for package in sorted(here, key=lambda p: (p.name, p.arch)):
        source, version = source_name(package)
        fix = best_fix((f for f in fixes if f["source"] == source and f["release"] == release), compare)
        state, why = _state(fix, source, version, release, compare)
        states[state].append(why)
        if state == "patched":
            continue
        fixed = str(fix["fixed"]) if fix is not None and fix["state"] == "fixed" else ""
        waiting = [other.version for other in idle if fixed and compare(source_name(other)[1], fixed) >= 0]
        if waiting:
            reboot = "a kernel with the fix is installed (%s) and does not run yet" % waiting[0]
        told.append({
            "name": package.name, "installed": package.version, "fixed": fixed,
            "candidate": waiting[0] if waiting else _candidate(package, source, fixed, here, candidates, compare),
        })  # fmt: skip
    for state in ("exposed", "not_known", "patched"):
        if states[state]:
            why = "; ".join(dict.fromkeys([*states[state], *([reboot] if reboot and state == "exposed" else [])]))
            made = _exposure(state, why, told if state != "patched" else [])
            return dict(made, reboot=True) if reboot and state == "exposed" else made
    raise AssertionError("each package has a state")


def _state(
    fix: Fix | None, source: str, version: str, release: str, compare: Callable[[str, str], int]
) -> tuple[str, str]:
    if fix is None:
        return "not_known", "the vulnerability data says nothing of %s in %s" % (source, release or "this release")
    note = " (%s)" % fix["note"] if fix.get("note") else ""
    if fix["state"] == "undetermined":
        return "not_known", "it is not determined yet whether %s is affected%s" % (source, note)
    if fix["state"] == "not_affected":
        return "patched", "%s is not affected in %s%s" % (source, release, note)
    if fix["state"] == "open":
        return "exposed", "%s is affected, and %s has no fix yet%s" % (source, release, note)
    if compare(version, fix["fixed"]) < 0:
        return "exposed", "%s %s is older than %s, which fixes it" % (source, version, fix["fixed"])
    return "patched", "%s has the fix (%s)" % (source, fix["fixed"])


def _candidate(
    package: Installed,
    source: str,
    fixed: str,
    here: Iterable[Installed],
    candidates: Mapping[str, tuple[str, str]],
    compare: Callable[[str, str], int],
) -> str:
    """The version that could be had now and fixes it, empty when there is none.

    A kernel is fixed by another package of its source, which the one that was asked for brings along.
    """
    if not fixed:
        return ""
    same = [package, *(other for other in here if source_name(other)[0] == source)]
    for other in same:
        version, source_version = candidates.get(other.name, ("", ""))
        if version and compare(source_version or version, fixed) >= 0:
            return version
    return ""


def _idle_kernels(packages: Iterable[Installed], running: str) -> list[Installed]:
    """The kernels that are installed beside the one that runs: only that one exposes the host."""
    kernels = [(package, match.group(1)) for package in packages for match in [_KERNEL.match(package.name)] if match]
    if running not in (release for _package, release in kernels):
        return []
    return [package for package, release in kernels if release != running]


_KERNEL = re.compile(r"^linux-(?:image|modules|headers)(?:-unsigned|-extra)?-(\d.*)$")


def _exposure(state: str, why: str, packages: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
    return {"state": state, "packages": list(packages), "why": why}


def annotated(package: Mapping[str, Any], known: Iterable[Mapping[str, Any]], manager: str) -> dict[str, Any]:
    """A package of a plan with what the data knows of it.

    ``known``: each CVE of its source package in this release as ``cve``, ``fixes`` (of that source), ``severity`` and
    ``known_exploited``. What the package manager said itself stands.
    """
    compare = comparer(manager)
    made = dict(package)
    rated: dict[str, tuple[bool, int]] = dict.fromkeys(package.get("cves") or [], (True, 4))
    severity = str(package.get("severity") or "")
    exploited = bool(package.get("known_exploited"))
    for entry in known:
        cve = str(entry["cve"])
        before, after = (str(package.get("source_" + key) or package[key]) for key in ("from", "to"))
        source = str(package.get("source") or "")
        brought = bool(before and after) and fixed_by(entry["fixes"], source, before, after, compare)
        if not brought and cve not in rated:
            continue
        rated[cve] = (not entry.get("known_exploited"), severity_rank(str(entry.get("severity") or "")))
        exploited = exploited or bool(entry.get("known_exploited"))
        if severity_rank(str(entry.get("severity") or "")) < severity_rank(severity):
            severity = str(entry["severity"])
    made["cves"] = sorted(rated, key=lambda cve: (*rated[cve], cve))[:CVES_LIMIT]
    made["severity"], made["known_exploited"] = severity, exploited
    return made


# -- CVSS --------------------------------------------------------------------

_CVSS = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_CVSS_PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}


def cvss_score(vector: str) -> float | None:
    """The base score (0.0 - 10.0) of a CVSS 3.0 or 3.1 vector, None when it is none.

    The formulas are those of https://www.first.org/cvss/v3.1/specification-document, section 7.1.
    """
    if not re.match(r"CVSS:3\.[01]/", vector):
        return None
    metrics = dict(part.partition(":")[::2] for part in vector.split("/")[1:])
    try:
        value = {name: table[metrics[name]] for name, table in _CVSS.items()}
        scope = metrics["S"]
        privileges = _CVSS_PRIVILEGES[scope][metrics["PR"]]
    except KeyError:
        return None
    base = 1 - (1 - value["C"]) * (1 - value["I"]) * (1 - value["A"])
    impact = 6.42 * base if scope == "U" else 7.52 * (base - 0.029) - 3.25 * (base - 0.02) ** 15
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * value["AV"] * value["AC"] * privileges * value["UI"]
    score = min(10.0, (impact + exploitability) * (1.0 if scope == "U" else 1.08))
    # Rounded up to one decimal, in integers, as the specification's appendix A does.
    hundred_thousandths = round(score * 100_000)
    tenths, rest = divmod(hundred_thousandths, 10_000)
    return (tenths + bool(rest)) / 10


def cvss_rating(score: float) -> str:
    """The qualitative rating of a score (the specification's section 5)."""
    if score >= 9.0:
        return "critical"
    return "high" if score >= 7.0 else "medium" if score >= 4.0 else "low" if score > 0 else ""
