# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root filesystems: four layers, each built once and kept under a key made from its recipe.

    base      Debian by mmdebstrap                            the machine's own apt sources are used
    flavour   flavours/NAME/packages.txt, then `prepare`      the same; `before` runs before the packages
    packages  the demo packages, their keys, clock.so         see packages/
    ready     version 1 installed by flavours/NAME/ready      from the fleet's repository; made anew every day, so
                                                              that no host begins with stale package lists

A host is an overlay over ready, flavour and base.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import repository
from .packages import build as package_build
from .packages import recipes
from .system import FleetError, die_with_parent, locked, run, usual_umask

HERE = Path(__file__).resolve().parent
FLAVOURS = HERE / "flavours"
FORMAT = "1"  # raise it when this file changes what comes out of the same recipe


def flavours() -> list[str]:
    """Names of the flavours that `--flavour` takes."""
    return sorted(p.name for p in FLAVOURS.iterdir() if p.is_dir() and p.name != "base")


class Images:
    """The cache of layers in one state folder."""

    def __init__(self, home: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self.folder = home / "images"
        self.say = say

    # -- the layers ----------------------------------------------------------

    def layers(self, flavour: str) -> list[Path]:
        """The lower folders of a host of this flavour, topmost first; builds what is missing."""
        if flavour not in flavours():
            raise FleetError(f"There is no flavour {flavour!r}. There are: {', '.join(flavours())}.")
        below = [p for p in (self.flavour(flavour), self.base()) if p]
        packages = self.packages()
        day = time.strftime("%Y%m%d", time.gmtime())
        key = _key(FORMAT, [p.parent.name for p in below], packages.name, _ready_script(flavour).read_text())
        ready = self._once(
            f"ready-{flavour}-{key}-{day}", lambda work: self._build_ready(work, flavour, below, packages)
        )
        return [ready / "root", *below]

    def base(self) -> Path:
        """Debian with systemd, sshd and Python: the root folder."""
        recipe = _recipe("base")
        name = f"base-{_key(FORMAT, _codename(), recipe['packages.txt'], recipe['prepare'])}"
        return self._once(name, self._build_base) / "root"

    def flavour(self, flavour: str) -> Path | None:
        """What a flavour adds to the base; None when it adds nothing."""
        recipe = _recipe(flavour)
        if not _words(recipe["packages.txt"]) and not recipe["prepare"]:
            return None
        base = self.base()
        key = _key(
            FORMAT, base.parent.name, recipe["packages.txt"], recipe["prepare"], *filter(None, [recipe["before"]])
        )
        return self._once(f"flavour-{flavour}-{key}", lambda work: self._build_flavour(work, flavour, base)) / "root"

    def packages(self) -> Path:
        """The demo packages of both kinds, in both versions, with the key that signs them."""
        sources = [p.read_bytes() for p in sorted(package_build.HERE.iterdir()) if p.suffix in (".py", ".c")]
        return self._once(f"packages-{_key(FORMAT, _codename(), *sources)}", package_build.build)

    def tree(self) -> Path:
        """The repository as it is when a fleet starts: version 1 of everything, signed today."""
        packages = self.packages()
        day = time.strftime("%Y%m%d", time.gmtime())
        renderer = Path(repository.__file__).read_bytes()
        return (
            self._once(
                f"tree-{_key(packages.name, renderer)}-{day}",
                lambda work: repository.render(packages, work / "www", repository.Published()),
            )
            / "www"
        )

    def sweep(self, in_use: set[str]) -> list[str]:
        """Remove half-built layers, ready ones of days gone by, and what nobody used for two weeks; what went."""
        now = time.time()
        # Yesterday's may be in the hands of somebody who began before midnight.
        days = {time.strftime("%Y%m%d", time.gmtime(now - ago * 86400)) for ago in (0, 1)}

        def old(path: Path) -> bool:
            if path.name.endswith(".building"):
                return True
            if path.name.startswith(("ready-", "tree-")):
                return path.name.rpartition("-")[2] not in days
            return path.stat().st_mtime < now - 14 * 86400

        return self._remove(in_use, old)

    def prune(self, in_use: set[str]) -> list[str]:
        """Remove every layer that no fleet uses; what went."""
        return self._remove(in_use, lambda path: True)

    def _remove(self, in_use: set[str], unwanted: Callable[[Path], bool]) -> list[str]:
        gone = []
        for path in sorted(self.folder.glob("*-*")) if self.folder.is_dir() else []:
            if path.name in in_use:
                continue
            with locked(self._lock_of(path.name.removesuffix(".building")), wait=False) as got:
                if got is not None and path.is_dir() and unwanted(path):
                    shutil.rmtree(path)
                    gone.append(path.name)
        return gone

    # -- building ------------------------------------------------------------

    def _lock_of(self, name: str) -> Path:
        return self.folder / ".locks" / name

    def _once(self, name: str, build: Callable[[Path], None]) -> Path:
        """The finished folder `name`. One builder at a time; a half image never bears the final name."""
        final = self.folder / name
        if final.is_dir():
            os.utime(final)  # it is in use: see sweep
            return final
        with locked(self._lock_of(name)), usual_umask():
            if final.is_dir():
                return final
            work = final.with_name(name + ".building")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            self.say(f"building {name} …")
            began = time.monotonic()
            try:
                build(work)
                os.rename(work, final)
            except BaseException:
                shutil.rmtree(work, ignore_errors=True)
                raise
            self.say(f"built {name} in {time.monotonic() - began:.1f} s")
        return final

    def _build_base(self, work: Path) -> None:
        recipe = _recipe("base")
        sources, acquire = _machine_apt(work)
        _isolated(
            [
                "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet",
                "--include=" + ",".join(_words(recipe["packages.txt"])),
                f"--aptopt={acquire}", "--aptopt=APT::Install-Recommends \"false\"",
                "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
                "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                _codename(), str(work / "root"), str(sources),
            ],
            work / "build.log",
        )  # fmt: skip
        _chroot_script(work / "root", FLAVOURS / "base" / "prepare", [], work / "build.log")

    def _build_flavour(self, work: Path, flavour: str, base: Path) -> None:
        debs = work / "debs"
        wanted = _words(_recipe(flavour)["packages.txt"])
        if wanted:
            _download(wanted, base, work, debs)
        (work / "root").mkdir()
        (work / "overlay-work").mkdir()
        script = FLAVOURS / flavour / "prepare"
        _isolated(
            [
                sys.executable, "-c", _CHILD, str(HERE.parents[1]), "in_overlay",
                str(work), str(base), str(debs) if wanted else "", _if_there(script),
                _if_there(script.with_name("before")),
            ],
            work / "build.log",
        )  # fmt: skip
        shutil.rmtree(debs, ignore_errors=True)

    def _build_ready(self, work: Path, flavour: str, below: Sequence[Path], packages: Path) -> None:
        (work / "root").mkdir()
        (work / "overlay-work").mkdir()
        names = recipes.baked("rpm" if flavour == "dnf" else "deb")
        _isolated(
            [
                sys.executable, "-c", _CHILD, str(HERE.parents[1]), "with_repository",
                str(work), ":".join(map(str, below)), str(self.tree()), str(packages / "key.asc"),
                str(_ready_script(flavour)), *names,
            ],
            work / "build.log",
            net=True,
        )  # fmt: skip


# A child in its own namespaces: whatever it mounts or starts is gone with it.
_CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.fleet import image
getattr(image, sys.argv[2])(*sys.argv[3:])
"""


def in_overlay(work: str, lower: str, debs: str, script: str, before: str) -> None:
    """Child: install the .deb files of a folder over `lower`, then run a script there; keep what changed."""
    root = _mount_overlay(Path(work), lower)
    if before:
        _in_chroot(root, ["sh", "-s"], stdin=Path(before))
    if debs:
        (root / "debs").mkdir()
        run(["mount", "--bind", debs, root / "debs"])
        names = sorted(f"/debs/{p.name}" for p in Path(debs).glob("*.deb"))
        _in_chroot(root, ["apt-get", "install", "-y", "-q", "--no-install-recommends", *names])
        run(["umount", root / "debs"])
        (root / "debs").rmdir()
        run(["sh", "-c", f"rm -f {root}/var/cache/apt/*.bin"])
    if script:
        _in_chroot(root, ["sh", "-s"], stdin=Path(script))
    (root / "etc/machine-id").write_text("")


def with_repository(work: str, lower: str, tree: str, key: str, script: str, *names: str) -> None:
    """Child: run a script over `lower` with the fleet's repository at its usual address; keep what changed."""
    from . import server

    run(["ip", "link", "set", "lo", "up"])
    web = os.fork()
    if web == 0:
        die_with_parent()
        server.serve(("127.0.0.1", 80), Path(tree), Path(work) / "web-control")
    try:
        root = _mount_overlay(Path(work), lower)
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost {repository.HOSTNAME}\n")
        (root / "usr/share/keyrings").mkdir(parents=True, exist_ok=True)
        shutil.copy(key, root / "usr/share/keyrings/upkeep-fleet.asc")
        _in_chroot(root, ["sh", "-s", *names], stdin=Path(script))
    finally:
        os.kill(web, signal.SIGKILL)


def _mount_overlay(work: Path, lower: str) -> Path:
    root = work / "mnt"
    root.mkdir()
    options = f"lowerdir={lower},upperdir={work}/root,workdir={work}/overlay-work,volatile"
    run(["mount", "-t", "overlay", "overlay", "-o", options, root])
    for name in ("proc", "sys", "dev"):
        run(["mount", "--rbind", f"/{name}", root / name])
    return root


def _in_chroot(root: Path, args: Sequence[str], stdin: Path | None = None) -> None:
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8",
        "HOME": "/root",
    }  # fmt: skip
    source = stdin.open() if stdin else subprocess.DEVNULL
    done = subprocess.run(["chroot", str(root), *args], stdin=source, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(args)[:200]} ended with {done.returncode} in the new root filesystem")


def _chroot_script(root: Path, script: Path, args: Sequence[str], log: Path) -> None:
    with log.open("a") as out, script.open() as source:
        done = subprocess.run(["chroot", root, "sh", "-s", *args], stdin=source, stdout=out, stderr=out)
    if done.returncode != 0:
        raise FleetError(f"{script} ended with {done.returncode}:\n{_tail(log)}")


def _isolated(args: Sequence[str], log: Path, net: bool = False) -> None:
    """Run a builder in namespaces of its own: killed with us, and its mounts with it."""
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"] + ["--net"] * net
    environment = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    with log.open("a") as out:
        done = subprocess.run(
            [*own, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment,
            preexec_fn=die_with_parent,
        )  # fmt: skip
    if done.returncode != 0:
        raise FleetError(f"Building failed ({args[0]} ended with {done.returncode}). The end of its log:\n{_tail(log)}")


def _tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


# -- recipes and the machine's apt -------------------------------------------


def _ready_script(flavour: str) -> Path:
    """A flavour without a `ready` of its own takes Debian's."""
    own = FLAVOURS / flavour / "ready"
    return own if own.exists() else FLAVOURS / "debian" / "ready"


def _recipe(flavour: str) -> dict[str, str]:
    folder = FLAVOURS / flavour
    return {
        name: (folder / name).read_text() if (folder / name).exists() else ""
        for name in ("packages.txt", "prepare", "before")
    }


def _if_there(path: Path) -> str:
    return str(path) if path.exists() else ""


def _words(text: str) -> list[str]:
    return [word for line in text.splitlines() if (word := line.partition("#")[0].strip())]


def _key(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update((part if isinstance(part, bytes) else repr(part).encode()) + b"\0")
    return digest.hexdigest()[:12]


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise FleetError("The fleet is built from this machine's Debian, but /etc/os-release names no VERSION_CODENAME.")


def _machine_apt(work: Path) -> tuple[Path, Path]:
    """This machine's Debian sources as a .sources file, and its Acquire settings (proxy, …) as an apt.conf file."""
    wanted = [
        "apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)",
        "Created-By: Packages", "Origin: Debian",
    ]  # fmt: skip
    listed = run(wanted).stdout.split("\n")
    entries: dict[tuple[str, str, str], list[str]] = {}
    for line in listed:
        if line.count("|") == 3:
            uri, release, component, signed = line.split("|")
            # apt leaves a field that has no value as it is written in the format.
            signed = "" if signed.startswith("$(") else signed
            if release.startswith(_codename()):
                entries.setdefault((uri, release, signed), []).append(component)
    if not entries:
        raise FleetError(
            f"The hosts are built from this machine's own apt sources, but apt knows no Debian {_codename()} here.\n"
            "Check the files under /etc/apt, then run: apt-get update"
        )
    stanzas = []
    for (uri, release, signed), components in entries.items():
        stanza = f"Types: deb\nURIs: {uri}\nSuites: {release}\nComponents: {' '.join(dict.fromkeys(components))}\n"
        stanzas.append(stanza + (f"Signed-By: {signed}\n" if signed else ""))
    sources = work / "machine.sources"
    sources.write_text("\n".join(stanzas))
    acquire = work / "machine-apt.conf"
    acquire.write_text(run(["apt-config", "dump", "Acquire"]).stdout)
    return sources, acquire


def _download(wanted: Sequence[str], base: Path, work: Path, into: Path) -> None:
    """Fetch packages and what they need on top of `base`, with lists of our own: the machine's are not touched."""
    sources, _ = _machine_apt(work)
    state = work / "apt"
    (state / "lists/partial").mkdir(parents=True)
    (into / "partial").mkdir(parents=True)
    options = {
        "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": "/dev/null/", "Dir::State": state,
        "Dir::State::Lists": state / "lists", "Dir::State::Status": base / "var/lib/dpkg/status",
        "Dir::Cache": state, "Dir::Cache::Archives": into, "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false", "APT::Keep-Downloaded-Packages": "true",
        "Binary::apt::APT::Keep-Downloaded-Packages": "true",
    }  # fmt: skip
    parts = state / "sources.list.d"
    parts.mkdir()
    shutil.copy(sources, parts / "machine.sources")
    options["Dir::Etc::SourceParts"] = parts
    common = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    run(["apt-get", *common, "update", "-q", "--error-on=any"])
    run(["apt-get", *common, "install", "-y", "-q", "--download-only", *wanted])
    shutil.rmtree(state)
