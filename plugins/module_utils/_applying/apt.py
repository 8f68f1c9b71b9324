# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""apt and dpkg as the transaction needs them: what is installed, what would be done, files fetched and kept, commands.

The packages are installed from files that were fetched and verified by apt beforehand, with empty package lists: so a
transaction needs no network, cannot pull in anything else, and takes the same way forth and back.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .._mounts import parse_mountinfo
from .._patching import apt_parse as parse
from .._patching.model import Lock, Managed, Problem
from . import apt_output, repack, room
from .files import place, sha256
from .progress import DatabaseUnreadable, key
from .transaction import Command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._host import Host
    from .journal import Journal, Store
    from .progress import Return

LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/cache/apt/archives/lock")
ARCHIVES = "/var/cache/apt/archives"
STATUS_LIMIT = 64 * 1024 * 1024
CONFFILES = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
MEND = "dpkg --configure -a --force-confdef --force-confold && apt-get install --fix-broken"
_CHUNK = 500
"""Packages that one command line is given."""


class Apt:
    """apt and dpkg of this host."""

    name = "apt"
    mend_remedy = MEND

    def __init__(self, host: Host) -> None:
        self.host = host

    @staticmethod
    def environment(plan_id: str) -> dict[str, str]:
        """What maintainer scripts see: no question is asked, and nothing but the packages' own scripts restarts any."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "LANGUAGE": "C",
            "DEBIAN_FRONTEND": "noninteractive",
            "DEBIAN_PRIORITY": "critical",
            "APT_LISTCHANGES_FRONTEND": "none",
            "APT_LISTBUGS_FRONTEND": "none",
            "NEEDRESTART_SUSPEND": "1",
            "NEEDRESTART_MODE": "l",
            "UCF_FORCE_CONFFOLD": "1",
            "UPKEEP_PLAN": plan_id,
        }

    # -- what is there ---------------------------------------------------------

    def installed(self) -> tuple[dict[str, list[str]], dict[str, str]]:
        """The versions whose files are on the disk, and the packages that are half done with their state.

        Raises DatabaseUnreadable when dpkg's status file cannot be believed.
        """
        text = self.host.read("/var/lib/dpkg/status", STATUS_LIMIT)
        if text is None:
            raise DatabaseUnreadable("/var/lib/dpkg/status cannot be read")
        packages, wrong = parse.parse_status(text)
        if wrong:
            raise DatabaseUnreadable(wrong[0])
        found: dict[str, list[str]] = {}
        broken = {}
        for package in packages:
            name = "%s:%s" % (package.name, package.arch)
            if package.state not in ("config-files", "not-installed"):
                found[name] = [package.version]
            if package.flag != "ok" or package.state not in parse.SETTLED_STATES:
                broken[name] = package.state if package.flag == "ok" else "%s, %s" % (package.state, package.flag)
        return found, broken

    def residual(self) -> set[str]:
        """Packages of which only the configuration files are left: "name:arch"."""
        packages, _wrong = parse.parse_status(self.host.read("/var/lib/dpkg/status", STATUS_LIMIT) or "")
        return {"%s:%s" % (p.name, p.arch) for p in packages if p.state == "config-files"}

    def unmerged(self) -> int:
        """Changes that an interrupted dpkg has not merged into its status file."""
        return sum(name.isdigit() for name in self.host.listdir("/var/lib/dpkg/updates"))

    def problems(self) -> list[str]:
        """What is wrong with the package database, one sentence each. dpkg --audit ends with 0 over all of it."""
        try:
            _installed, broken = self.installed()
        except DatabaseUnreadable as error:
            return [str(error)]
        found = ["%s is %s" % entry for entry in sorted(broken.items())]
        number = self.unmerged()
        if number:
            found.append("dpkg was interrupted: %d unmerged changes in /var/lib/dpkg/updates" % number)
        return found

    def beyond_mending(self) -> str:
        """What no command mends; empty when there is nothing of that kind."""
        try:
            self.installed()
        except DatabaseUnreadable as error:
            return str(error)
        return ""

    def locks(self) -> list[Lock]:
        """The locks that somebody holds."""
        found = []
        for path in LOCKS:
            pid = self.host.lock_holder(path)
            if pid is not None:
                command = (self.host.read("/proc/%d/cmdline" % pid, 4096) or "").replace("\0", " ").strip()
                found.append(Lock(path, pid, command, self.host.started(pid)))
        return found

    def known(self, _done: Sequence[Mapping[str, Any]]) -> Managed:
        """What the reasons for a reboot are judged by."""
        managed = Managed("apt")
        packages, _wrong = parse.parse_status(self.host.read("/var/lib/dpkg/status", STATUS_LIMIT) or "")
        managed.names = {package.name for package in packages if package.installed}
        managed.kernel_packages = {
            package.name[len("linux-image-") :].replace("unsigned-", "", 1): package.version
            for package in packages
            if package.installed and fnmatch.fnmatchcase(package.name, "linux-image-*[0-9]*.*")
        }
        return managed

    def units(self, package: Mapping[str, Any]) -> list[str]:
        """The services whose units an installed package brings."""
        return sorted(
            {
                os.path.basename(path)
                for path in self._files(package)
                if path.endswith(".service") and "/systemd/system/" in path and "@" not in path
            }
        )

    def _files(self, package: Mapping[str, Any]) -> list[str]:
        for prefix in ("%s:%s" % (package["name"], package["arch"]), package["name"]):
            text = self.host.read("%s/%s.list" % (repack.INFO, prefix), STATUS_LIMIT)
            if text is not None:
                return text.splitlines()
        return []

    # -- before ----------------------------------------------------------------

    def refresh(self, timeout: float) -> Problem | None:
        """Fetch the package lists anew."""
        # apt before 2.1.8 knows no --error-on=any: without it a dead mirror ends with 0.
        argv = ["apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2"]
        ran = self.host.run([*argv, "-o", "DPkg::Lock::Timeout=60", "update"], timeout=timeout)
        if ran.rc == 0:
            return None
        lines = [line for line in (ran.out + "\n" + ran.err).splitlines() if line.startswith(("Err", "E:", "W:"))]
        return Problem("the package lists could not be fetched", "apt-get update", lines[:10])

    def _words(self, packages: Sequence[Mapping[str, Any]]) -> list[str]:
        """The packages as apt-get install takes them. The plan's names and versions have passed plan_model."""
        words = []
        for package in packages:
            arch = "" if package["arch"] == "all" else ":" + package["arch"]
            words.append(
                "%s:%s=%s" % (package["name"], package["arch"], package["to"])
                if package["to"]
                else "%s%s-" % (package["name"], arch)
            )
        return words

    def resolve(self, packages: Sequence[Mapping[str, Any]]) -> tuple[list[str], Problem | None]:
        """What apt would do otherwise than the plan, line by line; or why it cannot do it at all."""
        argv = ["apt-get", "-q", "-y", "-s", "-o", "Debug::NoLocking=1", *_ALLOW, "install", *self._words(packages)]
        ran = self.host.run(argv, timeout=300)
        if ran.rc != 0:
            lines = [line for line in (ran.out + "\n" + ran.err).splitlines() if line.startswith(("E:", " "))]
            gone = [line for line in lines if "was not found" in line or "Unable to locate" in line]
            why = "no repository offers it any more" if gone else "apt cannot carry it out"
            return [], Problem(why, "apt-get -s install …", (gone or lines)[:10])
        return apt_output.unplanned(apt_output.parse_simulation(ran.out), packages), None

    def download(
        self, store: Store, journal: Journal, packages: Sequence[Mapping[str, Any]], lock_timeout: int, timeout: float
    ) -> Problem | None:
        """Fetch the packages, verified, into the journal's folder: by way of apt's archives."""
        argv = ["apt-get", "-q", "-y", "-d", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=%d" % lock_timeout]
        ran = self.host.run([*argv, *_ALLOW, "install", *self._words(packages)], timeout=timeout)
        local = self._local(self._words(packages))
        for package in packages:
            if package["to"]:
                self._take(store, journal, package, local)
        if ran.rc == 0:
            return None
        said = ran.out + "\n" + ran.err
        lines = [line for line in said.splitlines() if line.startswith(("Err", "E:", "W:"))] or said.splitlines()[-5:]
        why = "fetching had no end within %d s" % timeout if ran.rc is None else "apt-get ended with %d" % ran.rc
        return Problem(why, "See what the mirror says: apt-get update", lines[:10])

    def _local(self, words: Sequence[str]) -> dict[str, str]:
        """The packages that apt has at hand in a mirror on this host (file:), and does not copy: name to path."""
        argv = ["apt-get", "-q", "-y", "--print-uris", "--reinstall", "-o", "Debug::NoLocking=1", *_ALLOW, "install"]
        fetches = apt_output.parse_uris(self.host.run([*argv, *words], timeout=300).out)
        return {fetch.file: unquote(fetch.uri[len("file:") :]) for fetch in fetches if fetch.uri.startswith("file:/")}

    def _take(self, store: Store, journal: Journal, package: Mapping[str, Any], local: Mapping[str, str]) -> None:
        name = apt_output.file_name(package["name"], package["to"], package["arch"])
        target = os.path.join(store.folder(journal.plan_id), "new", name)
        if not self._is(target, package, package["to"]):
            place(os.path.join(ARCHIVES, name), target) or place(local.get(name, ""), target, copy=True)
        if self._is(target, package, package["to"]):
            journal.new[key(package)] = {"file": name, "sha256": sha256(target)}

    def _is(self, path: str, package: Mapping[str, Any], version: str) -> bool:
        """Whether a file is this package in this version."""
        if not os.path.isfile(path):
            return False
        ran = self.host.run(["dpkg-deb", "-f", path, "Package", "Version", "Architecture"], timeout=60)
        fields = next(parse.stanzas(ran.out), {})
        told = (fields.get("package"), fields.get("version"), fields.get("architecture"))
        return told == (package["name"], version, package["arch"])

    def keep(self, store: Store, journal: Journal, timeout: float) -> list[str]:
        """Keep the packages that lead back: from the cache, the repository, or made of what is installed.

        Those of which none is to be had, one line each.
        """
        lost = []
        wanted = [package for package in journal.plan["packages"] if package["from"]]
        folder = os.path.join(store.folder(journal.plan_id), "old")
        for package in wanted:
            name = apt_output.file_name(package["name"], package["from"], package["arch"])
            if not self._is(os.path.join(folder, name), package, package["from"]):
                place(os.path.join(ARCHIVES, name), os.path.join(folder, name))
        self._fetch_old(
            [p for p in wanted if not self._is(os.path.join(folder, _old(p)), p, p["from"])], folder, timeout
        )
        status = self.host.read("/var/lib/dpkg/status", STATUS_LIMIT) or ""
        for package in wanted:
            path, how = os.path.join(folder, _old(package)), "archive"
            if not self._is(path, package, package["from"]):
                how = "repacked"
                try:
                    repack.repack(self.host, status, package["name"], package["arch"], path)
                except repack.CannotRepack as error:
                    lost.append("%s %s: %s" % (key(package), package["from"], error))
                    continue
            if self._is(path, package, package["from"]):
                journal.kept[key(package)] = {"file": _old(package), "sha256": sha256(path), "how": how}
            else:
                lost.append("%s %s: what was made of it is not this version" % (key(package), package["from"]))
        return lost

    def _fetch_old(self, packages: Sequence[Mapping[str, Any]], folder: str, timeout: float) -> None:
        """Fetch what the repository still offers; what it does not is made of what is installed."""
        offered: list[Mapping[str, Any]] = []
        for start in range(0, len(packages), _CHUNK):
            some = packages[start : start + _CHUNK]
            names = ["%s:%s" % (p["name"], p["arch"]) if p["arch"] != "all" else p["name"] for p in some]
            policies = parse.parse_policy(self.host.run(["apt-cache", "-q", "policy", *names], timeout=60).out)
            for package, name in zip(some, names):
                policy = policies.get(name) or policies.get(package["name"])
                versions = policy.versions if policy else []
                # The status file itself stands there as a source, and is none.
                if any(
                    v.version == package["from"] and any(not s[0].startswith("/") for s in v.sources) for v in versions
                ):
                    offered.append(package)
        for package in offered:
            # One by one: a single one that is gone fails them all.
            word = "%s:%s=%s" % (package["name"], package["arch"], package["from"])
            fetched = os.path.join(folder, ".fetch")
            os.makedirs(fetched, exist_ok=True)
            inside = "-o", "Dir::Cache::archives=" + fetched, "-o", "APT::Sandbox::User=root"
            argv = ["apt-get", "-q", "-y", "-d", "--reinstall", "-o", "Debug::NoLocking=1", *inside, *_ALLOW]
            self.host.run([*argv, "install", word], timeout=timeout)
            target = os.path.join(folder, _old(package))
            place(os.path.join(fetched, _old(package)), target) or place(
                self._local([word]).get(_old(package), ""), target, copy=True
            )
            shutil.rmtree(fetched, ignore_errors=True)

    @staticmethod
    def needs_old(package: Mapping[str, Any]) -> bool:
        """Whether the way back needs the package's old version as a file."""
        return bool(package["from"])

    def needs(self, store: Store, journal: Journal, points: Sequence[str]) -> dict[str, room.Need]:
        """What unpacking needs, by mount point: of the files in the packages, against those that are there now."""
        packages = []
        kernels = 0
        for package in journal.plan["packages"]:
            entry = journal.new.get(key(package))
            old = room.by_mount(sized(self._files(package)), points) if package["from"] else {}
            new = {}
            if entry:
                path = os.path.join(store.folder(journal.plan_id), "new", entry["file"])
                new = room.by_mount(contents(self.host.run(["dpkg-deb", "-c", path], timeout=300).out), points)
                kernels += package["name"].startswith("linux-image-")
            packages.append((new, old))
        needs = room.peak(packages)
        if kernels:
            # Its initial ramdisk is made on the spot, beside the one that it replaces.
            images = [size for _path, size in sized(self.host.glob("/boot/initrd.img-*"))]
            room.add(needs, room.mount_of("/boot", points), max(images, default=64 * room.MIB) * (kernels + 1))
        # dpkg writes its status file anew, and apt its caches.
        room.add(needs, room.mount_of("/var/lib/dpkg", points), 16 * room.MIB, 10)
        return needs

    def fetch_needs(
        self, store: Store, packages: Sequence[Mapping[str, Any]], points: Sequence[str]
    ) -> dict[str, room.Need]:
        """What the packages themselves need: in apt's archives, and those that are kept in the journal's folder."""
        argv = ["apt-get", "-q", "-y", "--print-uris", "-o", "Debug::NoLocking=1", *_ALLOW, "install"]
        fetches = apt_output.parse_uris(self.host.run([*argv, *self._words(packages)], timeout=300).out)
        size = sum(fetch.size for fetch in fetches)
        # The old packages are about as large as the new ones.
        old = sum(package.get("download_bytes") or 0 for package in packages if package["from"]) or size
        needs: dict[str, room.Need] = {}
        archives, own = room.mount_of(ARCHIVES, points), room.mount_of(store.base, points)
        room.add(needs, archives, size, len(fetches))
        room.add(needs, own, (0 if own == archives else size) + old, 2 * len(fetches) + 10)
        return needs

    def mounts(self) -> list[str]:
        """The mount points of this host, the longest first."""
        return room.points_of(parse_mountinfo(self.host.read_bytes("/proc/self/mountinfo") or b""))

    def mend_commands(self) -> list[Command]:
        return [Command(["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"])]

    def automatic(self) -> set[str]:
        """Packages that were installed because others need them: "name:arch"."""
        found = set()
        for stanza in parse.stanzas(self.host.read("/var/lib/apt/extended_states", STATUS_LIMIT) or ""):
            if stanza.get("auto-installed") == "1":
                # A package for all architectures stands there with the machine's own.
                found |= {"%s:%s" % (stanza.get("package", ""), arch) for arch in (stanza.get("architecture"), "all")}
        return found

    # -- the transaction -------------------------------------------------------

    def _install(self, store: Store, plan_id: str, lock_timeout: int) -> list[str]:
        lists = os.path.join(store.folder(plan_id), "nolists")
        os.makedirs(lists + "/partial", 0o700, exist_ok=True)
        return [
            "apt-get",
            "-q",
            "-y",
            *CONFFILES,
            # Nothing but the files that are named, and what is installed: no other version can come in between.
            *("-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="),
            *("-o", "APT::Sandbox::User=root", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=%d" % lock_timeout),
            "--no-install-recommends",
            *_ALLOW,
            "install",
        ]

    def would(self, store: Store, journal: Journal, left: Sequence[Mapping[str, Any]]) -> list[str]:
        """What the transaction would do otherwise than the plan has it, or why it cannot be done."""
        argv = self._install(store, journal.plan_id, 0)
        words = self._files_of(store, journal, left)
        ran = self.host.run([argv[0], "-s", "-o", "Debug::NoLocking=1", *argv[1:], *words], timeout=300)
        if ran.rc != 0:
            lines = [line.strip() for line in (ran.out + "\n" + ran.err).splitlines() if line.startswith(("E:", " "))]
            return lines[:10] or ["apt-get ended with %s" % ran.rc]
        return apt_output.unplanned(apt_output.parse_simulation(ran.out), left)

    def _files_of(self, store: Store, journal: Journal, packages: Sequence[Mapping[str, Any]]) -> list[str]:
        folder = os.path.join(store.folder(journal.plan_id), "new")
        files = [os.path.join(folder, journal.new[key(p)]["file"]) for p in packages if p["to"]]
        return files + self._words([p for p in packages if not p["to"]])

    def apply_commands(
        self, store: Store, journal: Journal, left: Sequence[Mapping[str, Any]], broken: bool, lock_timeout: int
    ) -> list[Command]:
        argv = self._install(store, journal.plan_id, lock_timeout)
        commands = [Command(command.argv, "always", counts=False) for command in self.mend_commands()] if broken else []
        return [*commands, Command([*argv, *self._files_of(store, journal, left)])]

    def back_commands(self, store: Store, journal: Journal, way: Return, lock_timeout: int) -> list[Command]:
        """The way back: by apt, and where that cannot, by dpkg alone."""
        folder = os.path.join(store.folder(journal.plan_id), "old")
        files = [os.path.join(folder, journal.kept[key(p)]["file"]) for p in way.restore if key(p) in journal.kept]
        gone = [dict(package, to="") for package in way.remove]
        argv = self._install(store, journal.plan_id, lock_timeout)
        if gone and not any(key(package) in journal.residual for package in gone):
            argv.insert(1, "--purge")
        argv.insert(1, "--allow-change-held-packages")
        commands = [
            # Merges what an interrupted dpkg has left, and runs no script: the one that failed must not run again.
            Command(["dpkg", "--set-selections"], "always", counts=False),
            Command([*argv, *files, *self._words(gone)]),
        ]
        force = ["dpkg", "--force-confdef", "--force-confold"]
        if files:
            commands.append(Command([*force, "--force-downgrade", "--install", *files], "failed"))
        if gone:
            names = [word[:-1] for word in self._words(gone)]
            commands.append(Command([*force, "--remove", *names], "always", counts=False))
            commands.append(Command([*force, "--configure", "-a"], "failed"))
        return commands

    def finish(self, journal: Journal, back: bool) -> None:
        """Have the marks "installed automatically" as they were; what came along for others bears one."""
        installed, _broken = self.installed()
        wanted = [
            key(package)
            for package in journal.plan["packages"]
            if key(package) in installed
            and (key(package) in journal.automatic if package["from"] or back else not package.get("asked", True))
        ]
        native = (self.host.run(["dpkg", "--print-architecture"], timeout=20).out or "").strip()
        marks = self.automatic()
        names = [
            name.rpartition(":")[0] if name.endswith((":all", ":" + native)) else name
            for name in wanted
            if name not in marks
        ]
        for start in range(0, len(names), _CHUNK):
            self.host.run(["apt-mark", "-q", "auto", *names[start : start + _CHUNK]], timeout=60)

    def read_log(self, log: str) -> tuple[list[str], list[str], list[str]]:
        """What a transaction's log tells: why it failed, scripts that failed unnoticed, configuration files kept."""
        return apt_output.failures(log), [], ["%s (%s.dpkg-dist)" % (f, f) for f in apt_output.conffiles_kept(log)]


_ALLOW = ("--allow-downgrades", "-o", "APT::Get::AutomaticRemove=0")
"""The plan was approved with what it does; that nothing else is done is checked beforehand. A hold that somebody set
since then is respected; only the way back goes over it."""


def _old(package: Mapping[str, Any]) -> str:
    return apt_output.file_name(package["name"], package["from"], package["arch"])


def sized(paths: Sequence[str]) -> list[tuple[str, int]]:
    """The files and links among these paths, with their sizes."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            about = os.lstat(path)
            if about.st_mode & 0o170000 != 0o040000:
                found.append((path, about.st_size))
    return found


def contents(listing: str) -> list[tuple[str, int]]:
    """The files of a package, of what ``dpkg-deb -c`` prints: path and bytes. Pure."""
    found = []
    for line in listing.splitlines():
        words = line.split(None, 5)
        if len(words) == 6 and not line.startswith("d") and words[2].isdigit() and words[5].startswith("./"):
            found.append((words[5][1:].partition(" -> ")[0], int(words[2])))
    return found
