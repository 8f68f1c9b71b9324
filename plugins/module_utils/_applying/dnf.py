# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dnf 4 and rpm as the transaction needs them; the same methods as apt.Apt.

The packages are installed from files that were fetched and verified beforehand, without any repository: a transaction
needs no network, and cannot pull in anything else. No rpm can be made of what is installed, so the way back hangs on
the old versions being in a repository, or in dnf's cache, when the plan is prepared.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any

from .._mounts import parse_mountinfo
from .._patching.dnf_probe import NEED_REBOOT
from .._patching.gather_dnf import PID_FILES, RPM_LOCK, interpreter
from .._patching.model import Lock, Managed, Problem
from . import apt_output, dnf_output, dnf_work, room
from .files import sha256
from .progress import DatabaseUnreadable, key
from .transaction import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._host import Host
    from .journal import Journal, Store
    from .progress import Return

_FORMAT = r"%{NAME}\t%{ARCH}\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n"
_LIMIT = 64 * 1024 * 1024
_LINKS = Command(["ldconfig"], "always", counts=False)
"""A library's own %post runs while its newer file is still there: on the way back its link would point at that."""


class Dnf:
    """dnf and rpm of this host."""

    name = "dnf"
    mend_remedy = "dnf check, then dnf distro-sync; rpm --rebuilddb where rpm itself cannot read its database"

    def __init__(self, host: Host) -> None:
        self.host = host
        self._known_beside: dict[str, bool] = {}

    @staticmethod
    def environment(plan_id: str) -> dict[str, str]:
        """What scriptlets see."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "LANGUAGE": "C",
            "UPKEEP_PLAN": plan_id,
        }

    # -- what is there ---------------------------------------------------------

    def installed(self) -> tuple[dict[str, list[str]], dict[str, str]]:
        """The versions in rpm's database, and the packages that an interrupted transaction has left there twice.

        Raises DatabaseUnreadable when the database cannot be read.
        """
        ran = self.host.run(["rpm", "-qa", "--qf", _FORMAT], timeout=120, limit=_LIMIT)
        if ran.rc != 0 or not ran.out.strip():
            raise DatabaseUnreadable(
                "rpm's database cannot be read: %s" % (ran.err.strip().splitlines() or ["it is empty"])[0]
            )
        found = dnf_output.parse_installed(ran.out)
        doubled = {
            name: "installed more than once (%s)" % ", ".join(versions)
            for name, versions in found.items()
            if len(versions) > 1 and not self._beside(name.rpartition(":")[0])
        }
        return found, doubled

    def residual(self) -> set[str]:
        return set()

    def problems(self) -> list[str]:
        """What is wrong with the package database, one sentence each."""
        try:
            _installed, doubled = self.installed()
        except DatabaseUnreadable as error:
            return [str(error)]
        return ["%s is %s" % entry for entry in sorted(doubled.items())]

    def beyond_mending(self) -> str:
        try:
            self.installed()
        except DatabaseUnreadable as error:
            return str(error)
        return ""

    def locks(self) -> list[Lock]:
        """The locks that somebody holds."""
        pids: dict[str, int | None] = {}
        for path in PID_FILES:
            text = (self.host.read(path, 40) or "").strip()
            # A file that was left behind names a process that is gone.
            pids[path] = int(text) if text.isdigit() and self.host.exists("/proc/" + text) else None
        pids[RPM_LOCK] = self.host.lock_holder(RPM_LOCK)
        found = []
        for path, pid in pids.items():
            if pid is not None:
                command = (self.host.read("/proc/%d/cmdline" % pid, 4096) or "").replace("\0", " ").strip()
                found.append(Lock(path, pid, command, self.host.started(pid)))
        return found

    def known(self, done: Sequence[Mapping[str, Any]]) -> Managed:
        """What the reasons for a reboot are judged by."""
        managed = Managed("dnf")
        managed.core_updated = sorted(
            "%s-%s" % (row["name"], row["to"]) for row in done if row["name"] in NEED_REBOOT and row["to"]
        )
        return managed

    def units(self, package: Mapping[str, Any]) -> list[str]:
        """The services whose units an installed package brings."""
        return sorted(
            {
                os.path.basename(path)
                for path, _size in self._files(package)
                if path.endswith(".service") and "/systemd/system/" in path and "@" not in path
            }
        )

    def _files(self, package: Mapping[str, Any]) -> list[tuple[str, int]]:
        name = "%s-%s.%s" % (package["name"], package["from"], package["arch"])
        return self._listed(["rpm", "-q", "--qf", r"[%{FILENAMES}\t%{FILESIZES}\n]", name])

    def _listed(self, argv: list[str]) -> list[tuple[str, int]]:
        rows = (line.rpartition("\t") for line in self.host.run(argv, timeout=120, limit=_LIMIT).out.splitlines())
        return [(path, int(size)) for path, tab, size in rows if tab and size.isdigit()]

    # -- before ----------------------------------------------------------------

    def _ask(self, timeout: float, **work: Any) -> Any:
        """Have dnf do something: its answer, or the problems that it had."""
        words = interpreter(self.host)
        if words is None:
            return {"problems": ["dnf is not there"], "would": [], "files": {}}
        # In a file: Linux takes no more than 128 KiB in one word of a command line.
        with tempfile.NamedTemporaryFile("w", prefix="upkeep-", suffix=".json") as stream:
            json.dump(work, stream)
            stream.flush()
            argv = [*words, "-c", dnf_work.source(), stream.name]
            ran = self.host.run(argv, timeout=timeout, limit=_LIMIT)
        try:
            # Plug-ins print what they please before it.
            answer = json.loads(ran.out[ran.out.rfind('{"problems"') :])
        except ValueError:
            lines = [line for line in (ran.err or ran.out).splitlines() if line.strip()]
            why = "dnf had no end within %d s" % timeout if ran.rc is None else "dnf ended with %s" % ran.rc
            return {"problems": [why, *lines[-8:]], "would": [], "files": {}}
        return answer

    def refresh(self, timeout: float) -> Problem | None:
        """Fetch the metadata anew."""
        ran = self.host.run(
            ["dnf", "-q", "--refresh", "--setopt=*.skip_if_unavailable=False", "makecache"], timeout=timeout
        )
        if ran.rc == 0:
            return None
        return Problem("the metadata could not be fetched", "dnf --refresh makecache", ran.err.splitlines()[-8:])

    def resolve(self, packages: Sequence[Mapping[str, Any]]) -> tuple[list[str], Problem | None]:
        """What dnf would do otherwise than the plan, line by line; or why it cannot do it at all."""
        answer = self._ask(300, do="resolve", into="", cached=True, **_wanted(packages))
        if answer["problems"]:
            gone = any("was not found" in line for line in answer["problems"])
            why = "no repository offers it any more" if gone else "dnf cannot carry it out"
            return [], Problem(why, "dnf --assumeno upgrade", answer["problems"][:10])
        steps = [apt_output.Step(*row) for row in answer["would"]]
        return apt_output.unplanned(steps, packages), None

    def download(
        self, store: Store, journal: Journal, packages: Sequence[Mapping[str, Any]], _lock_timeout: int, timeout: float
    ) -> Problem | None:
        """Fetch the packages, verified as their repository says, into the journal's folder."""
        folder = os.path.join(store.folder(journal.plan_id), "new")
        answer = self._ask(timeout, do="resolve", into=folder, **_wanted(packages))
        for package in packages:
            name = answer["files"].get("%s.%s" % (package["name"], package["arch"]))
            if name and package["to"]:
                journal.new[key(package)] = {"file": name, "sha256": sha256(os.path.join(folder, name))}
        if answer["problems"]:
            why = "dnf could not fetch them: %s" % answer["problems"][0][:120]
            return Problem(why, "See what the mirror says: dnf --refresh makecache", answer["problems"][:10])
        return None

    def keep(self, store: Store, journal: Journal, timeout: float) -> list[str]:
        """Keep the packages that lead back; those of which none is to be had, one line each."""
        folder = os.path.join(store.folder(journal.plan_id), "old")
        wanted = [p for p in journal.plan["packages"] if self.needs_old(p)]
        rows = [[p["name"], p["arch"], p["from"]] for p in wanted]
        files = self._ask(timeout, do="fetch", packages=rows, into=folder)["files"] if rows else {}
        lost = []
        for package in wanted:
            name = files.get("%s.%s" % (package["name"], package["arch"]))
            if name:
                path = os.path.join(folder, name)
                journal.kept[key(package)] = {"file": name, "sha256": sha256(path), "how": "archive"}
            else:
                lost.append("%s %s: no repository has it, and no rpm can be made of what is installed"
                            % (key(package), package["from"]))  # fmt: skip
        return lost

    def needs_old(self, package: Mapping[str, Any]) -> bool:
        """Whether the way back needs the package's old version as a file."""
        return bool(package["from"]) and not self._stands_beside(package)

    def _stands_beside(self, package: Mapping[str, Any]) -> bool:
        """Whether the old version stays installed beside the new one: a kernel."""
        return bool(package["to"]) and self._beside(package["name"])

    def _beside(self, name: str) -> bool:
        if name not in self._known_beside:
            said = self.host.run(["rpm", "-q", "--provides", "--", name], timeout=60).out
            self._known_beside[name] = dnf_output.stands_beside(name, said)
        return self._known_beside[name]

    def fetch_needs(
        self, store: Store, packages: Sequence[Mapping[str, Any]], points: Sequence[str]
    ) -> dict[str, room.Need]:
        """What the packages themselves need: in dnf's cache, and those that are kept in the journal's folder."""
        size = sum(self._ask(300, do="resolve", into="", cached=True, **_wanted(packages)).get("sizes", {}).values())
        needs: dict[str, room.Need] = {}
        room.add(needs, room.mount_of("/var/cache/dnf", points), 2 * size, 2 * len(packages))
        room.add(needs, room.mount_of(store.base, points), 2 * size, 2 * len(packages) + 10)
        return needs

    def needs(self, store: Store, journal: Journal, points: Sequence[str]) -> dict[str, room.Need]:
        """What unpacking needs, by mount point: of the files in the packages, against those that are there now."""
        packages = []
        kernels = 0
        for package in journal.plan["packages"]:
            entry = journal.new.get(key(package))
            old = room.by_mount(self._files(package), points) if package["from"] else {}
            new: dict[str, room.Need] = {}
            if entry:
                path = os.path.join(store.folder(journal.plan_id), "new", entry["file"])
                argv = ["rpm", "-qp", "--nosignature", "--qf", r"[%{FILENAMES}\t%{FILESIZES}\n]", path]
                new = room.by_mount(self._listed(argv), points)
                kernels += package["name"] in ("kernel", "kernel-core")
            packages.append((new, {} if self._stands_beside(package) else old))
        needs = room.peak(packages)
        if kernels:
            room.add(needs, room.mount_of("/boot", points), 96 * room.MIB * kernels)  # its initial ramdisk
        room.add(needs, room.mount_of("/var/lib/rpm", points), 32 * room.MIB, 10)
        return needs

    def mounts(self) -> list[str]:
        """The mount points of this host, the longest first."""
        return room.points_of(parse_mountinfo(self.host.read_bytes("/proc/self/mountinfo") or b""))

    def mend_commands(self) -> list[Command]:
        """Of what an interrupted transaction has left twice, the older entry goes; its files are the newer one's."""
        installed, doubled = self.installed()
        return self._erase_entries([(name, version) for name in doubled for version in installed[name][:-1]])

    def _erase_entries(self, entries: Iterable[tuple[str, str]]) -> list[Command]:
        commands = []
        for name, version in entries:
            base, _colon, arch = name.rpartition(":")
            word = "%s-%s.%s" % (base, version, arch)
            commands.append(Command(["rpm", "-e", "--nodeps", "--", word], "always", counts=False))
        return commands

    def automatic(self) -> set[str]:
        return set()

    # -- the transaction -------------------------------------------------------

    def _spec(
        self, store: Store, journal: Journal, name: str, files: list[str], remove: list[list[str]],
        erase: list[list[str]], expected: list[list[str]],
    ) -> list[str]:  # fmt: skip
        """The command line of a transaction, whose work is written down beside it."""
        work = {"do": "carry_out", "files": files, "remove": remove, "erase": erase, "expected": expected, "dry": False}
        store.write(journal.plan_id, "dnf_work.py", dnf_work.source())
        store.write(journal.plan_id, name, json.dumps(work))
        words = interpreter(self.host) or ["python3"]
        return [*words, store.path(journal.plan_id, "dnf_work.py"), store.path(journal.plan_id, name)]

    @staticmethod
    def _forth(store: Store, journal: Journal, left: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        folder = os.path.join(store.folder(journal.plan_id), "new")
        return {
            "files": [os.path.join(folder, journal.new[key(p)]["file"]) for p in left if p["to"]],
            "remove": [[p["name"], p["arch"], p["from"]] for p in left if not p["to"]],
            "erase": [],
            "expected": [[p["name"], p["arch"], p["to"]] for p in left],
        }

    def would(self, store: Store, journal: Journal, left: Sequence[Mapping[str, Any]]) -> list[str]:
        """What the transaction would do otherwise than the plan has it, or why it cannot be done."""
        answer = self._ask(300, do="carry_out", dry=True, **self._forth(store, journal, left))
        return [str(line) for line in answer["problems"]]

    def apply_commands(
        self, store: Store, journal: Journal, left: Sequence[Mapping[str, Any]], broken: bool, _lock_timeout: int
    ) -> list[Command]:
        commands = []
        if broken:
            # Of the plan's own packages the entry that the plan leaves is erased, of others the older one.
            installed, doubled = self.installed()
            ours = {key(package): package["from"] for package in journal.plan["packages"]}
            commands = self._erase_entries(
                (name, version)
                for name in doubled
                for version in ([ours[name]] if ours.get(name) in installed[name] else installed[name][:-1])
            )
        argv = self._spec(store, journal, "forth.json", **self._forth(store, journal, left))
        return [*commands, Command(argv), _LINKS] if left else commands

    def back_commands(self, store: Store, journal: Journal, way: Return, _lock_timeout: int) -> list[Command]:
        """The way back. What is there twice loses the newer entry first, and is then installed again."""
        folder = os.path.join(store.folder(journal.plan_id), "old")
        installed, doubled = self.installed()
        commands = self._erase_entries((key(p), p["to"]) for p in way.restore if key(p) in doubled and p["to"])
        others = [(n, v) for n in doubled for v in installed[n][:-1] if n not in {key(p) for p in way.restore}]
        commands += self._erase_entries(others)
        files = [os.path.join(folder, journal.kept[key(p)]["file"]) for p in way.restore if key(p) in journal.kept]
        beside = [p for p in way.restore if self._stands_beside(p)]
        gone = [[p["name"], p["arch"], p["to"]] for p in [*way.remove, *beside]]
        if not files and not gone:
            return commands
        argv = self._spec(store, journal, "back.json", files=files, remove=gone, erase=gone, expected=[])
        commands.append(Command(argv))
        # Where dnf cannot, rpm alone: the versions are known, and they were there together before.
        if files:
            commands.append(Command(["rpm", "-U", "--oldpackage", "--replacepkgs", "--nodeps", "--", *files], "failed"))
        return [*commands, _LINKS]

    def finish(self, journal: Journal, back: bool) -> None:
        """What came along for others is marked so."""
        installed, _doubled = self.installed()
        names = [
            package["name"]
            for package in journal.plan["packages"]
            if not back and not package["from"] and not package.get("asked", True) and key(package) in installed
        ]
        if names and journal.phase == "applying":
            self.host.run(["dnf", "-q", "-C", "mark", "remove", *names], timeout=60)

    def read_log(self, log: str) -> tuple[list[str], list[str], list[str]]:
        """What a transaction's log tells: why it failed, scripts that failed unnoticed, configuration files kept."""
        return dnf_output.failures(log), dnf_output.scriptlets(log), dnf_output.conffiles_kept(log)


def _wanted(packages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "packages": [[p["name"], p["arch"], p["to"]] for p in packages if p["to"]],
        "remove": [[p["name"], p["arch"], p["from"]] for p in packages if not p["to"]],
    }
