# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dnf and rpm say of a transaction. Pure: text in, plain objects out. Read from dnf 4.14 and rpm 4.18."""

from __future__ import annotations

import re
from typing import Any

from .._patching.versions import rpm_key

# rpm's own words, then those of dnf. A failed %pre ends its package, a failed %post nothing at all.
_SCRIPTLET = re.compile(r"error in \S+ scriptlet|scriptlet failed|lua script failed", re.I)
_RPMNEW = re.compile(r"(?:warning: )?(/\S+) created as (/\S+\.rpmnew)")
_ERROR = re.compile(r"^(?:upkeep-error: |error: |.*No space left on device)")

_BESIDE = re.compile(
    r"kernel(?:-(?:rt|debug|64k|PAE|uek|plus|lt|ml|zfcpdump))*"
    r"(?:-(?:core|modules|modules-core|modules-extra|modules-internal|devel|devel-matched|uki-virt))?"
)


def stands_beside(name: str, provides: str = "") -> bool:
    """Whether several versions of a package stand side by side: kernels, and what says so itself (dnf.conf(5)).

    ``provides``: what ``rpm -q --provides`` says of it.
    """
    return bool(_BESIDE.fullmatch(name)) or re.search(r"^(?:installonlypkg|multiversion)\(", provides, re.M) is not None


def parse_installed(text: str) -> dict[str, list[str]]:
    """The packages of rpm's database: "name:arch" to versions, the oldest one first."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split("\t")
        if len(words) == 3 and words[0] != "gpg-pubkey":
            version = words[2][2:] if words[2].startswith("0:") else words[2]
            found.setdefault("%s:%s" % (words[0], words[1]), []).append(version)
    for versions in found.values():
        versions.sort(key=evr_key)
    return found


def evr_key(evr: str) -> Any:
    """A key for sorting by epoch, version and release."""
    epoch, colon, rest = evr.partition(":")
    if not colon:
        epoch, rest = "0", evr
    version, _dash, release = rest.rpartition("-")
    return (int(epoch) if epoch.isdigit() else 0, rpm_key(version), rpm_key(release))


def _said(line: str) -> str:
    return re.sub(r"^upkeep-(?:error|complaint|script): ", "", line).strip()


def scriptlets(log: str, limit: int = 12) -> list[str]:
    """The scripts of packages that failed, as rpm tells them, while dnf calls the transaction complete."""
    return list(dict.fromkeys(_said(line) for line in log.splitlines() if _SCRIPTLET.search(line)))[:limit]


def failures(log: str, limit: int = 12) -> list[str]:
    """The lines that tell why a transaction failed."""
    lines = [line for line in log.splitlines() if _ERROR.match(line) or line.startswith("upkeep-complaint: ")]
    return list(dict.fromkeys(_said(line) for line in lines if _said(line)))[:limit]


def conffiles_kept(log: str) -> list[str]:
    """The configuration files that were changed here, each with the package's new one."""
    return list(dict.fromkeys("%s (%s)" % match for match in _RPMNEW.findall(log)))
