# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian host made of files and of what apt 2.6 prints, in one call; each test changes what it is about."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._host import OUTPUT_LIMIT, Ran
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.options import defaults
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.review import review
from tests.unit.fake_host import NOW, FakeHost

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY = 86400.0
BOOT = NOW - 10 * DAY
MAIN = ("http://deb.example.org/debian", "bookworm", "main")
SECURITY = ("http://deb.example.org/debian-security", "bookworm-security", "main")
BACKPORTS = ("http://deb.example.org/debian", "bookworm-backports", "main")
LISTS = "/var/lib/apt/lists/"

OS_RELEASE = """\
PRETTY_NAME="Debian GNU/Linux 13 (trixie)"
NAME="Debian GNU/Linux"
VERSION_ID="13"
VERSION_CODENAME=trixie
ID=debian
"""

# `apt-config dump` of Debian 12, shortened to what is read and a few others.
CONFIG = """\
APT "";
APT::Architecture "amd64";
APT::Install-Recommends "1";
APT::NeverAutoRemove "";
APT::NeverAutoRemove:: "^firmware-linux.*";
APT::NeverAutoRemove:: "^linux-firmware$";
Dir "/";
Dir::State "var/lib/apt";
Dir::State::lists "lists/";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "var/cache/apt";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Etc "etc/apt";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "sources.list.d";
Dir::Etc::preferencesparts "preferences.d";
"""

SOURCES = """\
Types: deb
URIs: http://deb.example.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.example.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def date(moment: float) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S UTC", time.gmtime(moment))


def in_release(label: str, codename: str, made: float, valid_until: float | None = None, more: str = "") -> str:
    """The head of an InRelease file, as Debian's archives sign it."""
    valid = f"Valid-Until: {date(valid_until)}\n" if valid_until is not None else ""
    return (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
        f"Origin: Debian\nLabel: {label}\nSuite: stable\nVersion: 12\nCodename: {codename}\nDate: {date(made)}\n{valid}"
        f"Acquire-By-Hash: yes\nArchitectures: amd64\nComponents: main\n{more}Description: Debian 12\nSHA256:\n"
        " e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/Contents-amd64\n"
        "-----BEGIN PGP SIGNATURE-----\n"
    )


@dataclass
class Deb:
    """An installed package, and the versions of it that the archives have: (version, source, priority)."""

    name: str
    version: str = "1.0-1"
    available: list[tuple[str, tuple[str, str, str]]] = field(default_factory=list)
    status: str = "install ok installed"
    arch: str = "amd64"
    priority: int = 500
    candidate: str = ""
    pin: str = ""
    phased: int | None = None

    def stanza(self) -> str:
        return (
            f"Package: {self.name}\nStatus: {self.status}\nPriority: optional\nSection: misc\n"
            f"Maintainer: Somebody <somebody@example.org>\nArchitecture: {self.arch}\nVersion: {self.version}\n"
            "Description: a package\n"
            " with a second line\n .\n Status: of no meaning here\n"
        )

    def policy(self) -> str:
        candidate = self.candidate or (self.available[0][0] if self.available else self.version)
        name = self.name if self.arch in ("amd64", "all") else f"{self.name}:{self.arch}"
        lines = [f"{name}:", f"  Installed: {self.version}", f"  Candidate: {candidate}"]
        lines += [f"  Package pin: {self.pin}"] if self.pin else []
        lines.append("  Version table:")
        for version, (uri, suite, component) in self.available:
            phased = f" (phased {self.phased}%)" if self.phased is not None else ""
            lines.append(f"     {version} {self.priority}{phased}")
            lines.append(f"        {self.priority} {uri} {suite}/{component} amd64 Packages")
        lines += [f" *** {self.version} 100", "        100 /var/lib/dpkg/status"]
        return "\n".join(lines) + "\n"


def plan(upgraded: list[str], kept: list[str] = [], new: list[str] = [], removed: list[str] = [],  # noqa: B006
         phased: list[str] = []) -> str:  # noqa: B006  # fmt: skip
    """What `apt-get --print-uris dist-upgrade` prints."""
    text = (
        "Reading package lists...\nBuilding dependency tree...\nReading state information...\nCalculating upgrade...\n"
    )
    for heading, names in (
        ("The following upgrades have been deferred due to phasing", phased),
        ("The following packages will be REMOVED", removed),
        ("The following NEW packages will be installed", new),
        ("The following packages have been kept back", kept),
        ("The following packages will be upgraded", upgraded),
    ):
        if names:
            rows = [names[start : start + 5] for start in range(0, len(names), 5)]
            text += "{}:\n{}\n".format(heading, "\n".join("  " + " ".join(row) for row in rows))
    return text + (
        f"{len(upgraded)} upgraded, {len(new)} newly installed, {len(removed)} to remove and "
        f"{len(kept) + len(phased)} not upgraded.\n"
    )


class DebianHost(FakeHost):
    """Answers `apt-cache policy NAME…` for the names that are asked for; ``answers`` beats it, by the last words."""

    def __init__(self, debs: list[Deb], answers: Mapping[str, Ran | str] | None = None, **more: Any) -> None:
        files: dict[str, str | bytes] = {
            "/etc/os-release": OS_RELEASE,
            "/etc/apt/sources.list.d/debian.sources": SOURCES,
            "/usr/share/keyrings/debian-archive-keyring.gpg": b"\x99\x01",
            LISTS + "deb.example.org_debian_dists_bookworm_InRelease": in_release("Debian", "bookworm", NOW - 40 * DAY),
            LISTS + "deb.example.org_debian-security_dists_bookworm-security_InRelease": in_release(
                "Debian-Security", "bookworm-security", NOW - DAY, NOW + 6 * DAY
            ),
            "/var/lib/dpkg/status": "\n".join(deb.stanza() for deb in debs),
            "/proc/stat": f"cpu 1 2 3\nbtime {BOOT - 100:.0f}\nprocesses 3\n",
            "/proc/1/stat": "1 (systemd) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 10000 1 1",
            "/proc/1/maps": "7f00-7f10 r-xp 00000000 fe:00 131 /usr/lib/systemd/systemd\n",
            "/proc/1/cmdline": "/sbin/init\0",
            "/proc/1/cgroup": "0::/init.scope\n",
            "/proc/sys/kernel/osrelease": "6.1.0-37-amd64\n",
            "/proc/version": "Linux version 6.1.0-37-amd64 (debian-kernel@lists.debian.org) #1 SMP Debian 6.1.140-1\n",
            "/boot/vmlinuz-6.1.0-37-amd64": b"MZ",
        }
        files.update(more.pop("files", {}))
        for path in more.pop("without", []):
            files.pop(path)
        mtimes = {path: NOW - DAY for path in files if path.startswith(LISTS)}
        mtimes.update(more.pop("mtimes", {}))
        more.setdefault("programs", ["apt-get", "apt-cache", "apt-config"])
        super().__init__(files, mtimes=mtimes, **more)
        self.debs = {deb.name if deb.arch in ("amd64", "all") else deb.name + ":" + deb.arch: deb for deb in debs}
        upgradable = [d.name for d in debs if d.available and d.status == "install ok installed" and not d.candidate]
        self.answers: dict[str, Ran | str] = {
            "dump": CONFIG,
            "upgrade": plan(upgradable),
            "dist-upgrade": plan(upgradable),
        }
        self.answers.update(answers or {})

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = OUTPUT_LIMIT) -> Ran:
        self.ran.append(argv)
        did = self.answers.get(argv[-1])
        if argv[:3] == ["apt-cache", "-q", "policy"]:
            did = self.answers.get("policy", "".join(self.debs[name].policy() for name in argv[3:]))
        if did is None:
            return Ran(127, "", f"{argv[0]}: not found")
        return did if isinstance(did, Ran) else Ran(0, did, "")


def reviewed(host: FakeHost, **options: Any) -> Result:
    return Result(review(host, {**defaults(), **options}))


class Result(dict):  # type: ignore[type-arg]
    """The result of a review, with short ways to what tests ask for."""

    def finding(self, check: str, subject: str | None = None) -> dict[str, Any]:
        """The one finding of a check."""
        found = [f for f in self["findings"] if f["check"] == check and subject in (None, f["subject"])]
        assert len(found) == 1, f"{len(found)} findings of {check}; there are: {self.checks()}"
        return found[0]

    def checks(self) -> list[tuple[str, str, str]]:
        """(severity, check, subject) of all findings but the one that every host of this file has."""
        return [
            (f["severity"], f["check"], f["subject"])
            for f in self["findings"]
            if f["check"] != "patch.automatic.disabled"
        ]

    def covers(self, check: str) -> bool:
        return {"check": check, "subject": "*"} in self["coverage"]

    def why_not(self, check: str) -> str:
        """Why a check does not apply."""
        return next(entry["why"] for entry in self["not_applicable"] if entry["check"] == check)
