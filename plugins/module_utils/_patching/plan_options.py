# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of patch_plan, and what is wrong with those that are handed in. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .._findings import clean_line
from . import options as review_options
from .plan_model import SELECTS, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOLD = ("exposure", "mitigations")
"""What makes findings of its own."""
SEVERITIES = ("critical", "high", "medium", "low")

_FROM_REVIEW = (
    "manager", "refresh", "refresh_timeout", "lock_timeout", "metadata_max_age_days", "security_max_age_days",
    "security_origins",
)  # fmt: skip

ARGUMENT_SPEC: dict[str, Any] = {
    **{name: review_options.ARGUMENT_SPEC[name] for name in _FROM_REVIEW},
    "select": {"type": "str", "choices": list(SELECTS), "default": "security"},
    "cves": {"type": "list", "elements": "str", "default": []},
    "packages": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "at_least": {"type": "bool", "default": False},
        },
    },
    "exclude": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "reason": {"type": "str", "required": True},
            "until": {"type": "str", "default": ""},
        },
    },
    "severities": {"type": "list", "elements": "str", "choices": list(SEVERITIES), "default": []},
    "allow_removals": {"type": "bool", "default": False},
    "restart_never": {"type": "list", "elements": "str", "default": []},
    "tell": {"type": "list", "elements": "str", "choices": list(TOLD), "default": list(TOLD)},
    "plan": {"type": "dict"},
    "vulnerability_data": {"type": "path"},
    "vulnerabilities": {"type": "dict"},
}

CVE = re.compile(r"CVE-\d{4}-\d{4,19}")
"""https://www.cve.org/About/Process: to be matched in full, in capitals."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.:-]{0,199}")
_PATTERN = re.compile(r"[A-Za-z0-9_*?\[\]!][A-Za-z0-9_+.:*?\[\]!-]{0,199}")


def last_day(text: str) -> float | None:
    """The end of a day ("2026-12-31") in UTC, in seconds since the epoch; None when it is none."""
    try:
        return datetime.strptime(text + " +0000", "%Y-%m-%d %z").timestamp() + 86400
    except (ValueError, OverflowError):
        return None


def errors_of_asked(cves: Iterable[str], packages: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the names of CVEs, and of packages and their versions."""
    asked = list(packages)
    errors = [
        "cves are named CVE-YEAR-NUMBER, this is %r" % clean_line(cve, 60)
        for cve in cves
        if not CVE.fullmatch(cve.strip().upper())
    ]
    errors += [
        "packages[].name is the name of a package, this is %r" % clean_line(package["name"], 60)
        for package in asked
        if not _NAME.fullmatch(package["name"])
    ]
    errors += [
        "packages[].version is a version as the package manager prints it, this is %r"
        % clean_line(package["version"], 60)
        for package in asked
        if package.get("version") and not VERSION.fullmatch(package["version"])
    ]
    return errors


def errors_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the options, beyond what the argument spec sees: one sentence each."""
    errors = []
    if options["select"] == "cves" and not options["cves"]:
        errors.append("select is cves, so cves must name at least one, for example cves: [CVE-2026-12345]")
    if options["select"] == "packages" and not options["packages"]:
        errors.append("select is packages, so packages must name at least one, for example packages: [{name: openssl}]")
    errors += errors_of_asked(options["cves"], options["packages"])
    for entry in options["exclude"]:
        if not _PATTERN.fullmatch(entry["name"]):
            errors.append("exclude[].name is a name or shell pattern of packages, this is %r"
                          % clean_line(entry["name"], 60))  # fmt: skip
        if not entry["reason"].strip():
            errors.append("exclude[].reason says why %s is left out, and is empty" % clean_line(entry["name"], 60))
        if entry.get("until") and last_day(entry["until"]) is None:
            errors.append(
                "exclude[].until is the last day on which it counts, as 2026-12-31 (quoted in YAML), this is %r"
                % clean_line(entry["until"], 60)
            )
    return errors


def defaults() -> dict[str, Any]:
    """The options as they are when nobody sets any."""
    return {name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}
