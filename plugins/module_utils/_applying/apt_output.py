# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt and dpkg say of a transaction. Pure: text in, plain objects out. Read from apt 2.6 and dpkg 1.21."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# "Inst name [1.0-1] (2.0-1 Debian:12/stable [amd64]) []", "Inst name (2.0-1 … [all])", "Remv name:i386 [1.0-1]"
_STEP = re.compile(r"^(Inst|Remv|Purg) (\S+?)(?: \[([^\]]*)\])?(?: \((\S+)(?: [^()]*?)?\[([a-z0-9-]+)\]\))?(?: .*)?$")
_URI = re.compile(r"^'([^']+)' (\S+) (\d+) ?(\S*)\s*$")
_CONFFILE_KEPT = re.compile(r"^ ==> (?:Keeping old config file as default|Using current old file as you requested)\.$")
_CONFFILE = re.compile(r"^Configuration file '([^']+)'")
_FAILURE = re.compile(
    r"^(?:E: |dpkg: error|dpkg-deb: error|Errors were encountered| installed .* returned error exit status"
    r"|.*No space left on device|update-initramfs: failed)"
)


class Step(NamedTuple):
    """One thing that apt would do: install (``version`` not empty) or remove a package."""

    name: str
    arch: str
    version: str


def parse_simulation(text: str) -> list[Step]:
    """What ``apt-get --simulate`` would do."""
    steps = []
    for line in text.splitlines():
        match = _STEP.match(line)
        if match:
            word, name, _old, version, arch = match.groups()
            name, _colon, named_arch = name.partition(":")
            steps.append(Step(name, arch or named_arch, version or "" if word == "Inst" else ""))
    return steps


def unplanned(steps: Sequence[Step], packages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What apt would do otherwise than the plan has it, one line each."""
    wanted = {(package["name"], package["to"]) for package in packages}
    # Names alone would do for most; two architectures of one name differ in nothing else here.
    would = {(step.name, step.version) for step in steps}
    lines = []
    for name, version in sorted(would - wanted):
        lines.append("%s would be %s, which is not in the plan" % (name, version or "removed"))
    for name, version in sorted(wanted - would):
        lines.append("%s would not be %s" % (name, version or "removed"))
    return lines


class Fetch(NamedTuple):
    """A file that apt would fetch."""

    uri: str
    file: str
    size: int


def parse_uris(text: str) -> list[Fetch]:
    """What ``apt-get --print-uris`` would fetch."""
    found = []
    for line in text.splitlines():
        match = _URI.match(line)
        if match and "/" not in match.group(2) and not match.group(2).startswith((".", "-")):
            found.append(Fetch(match.group(1), match.group(2), int(match.group(3))))
    return found


def file_name(name: str, version: str, arch: str) -> str:
    """The name under which apt keeps a package in its archives."""
    return "%s_%s_%s.deb" % (name, version.replace("%", "%25").replace("_", "%5f").replace(":", "%3a"), arch)


def conffiles_kept(log: str) -> list[str]:
    """The configuration files that were changed here and by the package, and were left as they are."""
    kept: list[str] = []
    current = ""
    for line in log.splitlines():
        match = _CONFFILE.match(line)
        if match:
            current = match.group(1)
        elif current and _CONFFILE_KEPT.match(line):
            kept.append(current)
            current = ""
    return list(dict.fromkeys(kept))


def failures(log: str, limit: int = 12) -> list[str]:
    """The lines of a transaction's log that tell why it failed, with what a package's own script said before."""
    lines = [line.rstrip() for line in log.replace("\r", "\n").splitlines()]
    told: list[str] = []
    for number, line in enumerate(lines):
        if _FAILURE.match(line):
            before = lines[number - 1] if number and line.startswith("dpkg: error") else ""
            if before and not before.startswith(
                ("Setting up", "Unpacking", "Preparing", "(Reading", "Selecting", "==")
            ):
                told.append(before)
            told.append(line.strip())
    return list(dict.fromkeys(line for line in told if line))[:limit]


def last_run(log: str, token: str) -> str:
    """What the transaction with this token said."""
    return log[max(0, log.rfind("== begun %s\n" % token)) :]
