# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An installed Debian package made into a package file again: for what no archive offers any more.

As dpkg-repack does it, which is installed nowhere: the files as they are on the disk, with the control file of dpkg's
status and the maintainer scripts that dpkg kept. A configuration file that was changed here goes in as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._host import Host

INFO = "/var/lib/dpkg/info"
_NOT_CONTROL = {"list", "md5sums"}
_SCRIPTS = {"preinst", "postinst", "prerm", "postrm", "config"}
_DROPPED = ("Status", "Conffiles", "Config-Version", "Triggers-Pending", "Triggers-Awaited")


class CannotRepack(Exception):  # noqa: N818 - an outcome
    """Why not."""


def control(stanza: str) -> str:
    """The control file of a package, of its stanza in dpkg's status file. Pure."""
    kept: list[str] = []
    dropping = False
    for line in stanza.strip("\n").splitlines():
        if not line.startswith((" ", "\t")):
            dropping = line.partition(":")[0] in _DROPPED
        if not dropping:
            kept.append(line)
    return "\n".join(kept) + "\n"


def stanza_of(status: str, name: str, arch: str) -> str:
    """The stanza of an installed package in dpkg's status file, empty when there is none. Pure."""
    for stanza in re.split(r"\n[ \t]*\n", status):
        fields = dict(re.findall(r"^(Package|Architecture): ?(\S+)", stanza, re.M))
        if fields.get("Package") == name and fields.get("Architecture") == arch:
            return stanza
    return ""


def repack(host: Host, status: str, name: str, arch: str, target: str) -> None:
    """Make the package file ``target`` of what is installed. Raises CannotRepack."""
    stanza = stanza_of(status, name, arch)
    prefixes = ("%s/%s:%s" % (INFO, name, arch), "%s/%s" % (INFO, name))
    prefix = next((path for path in prefixes if host.exists(path + ".list")), "")
    if not stanza or not prefix:
        raise CannotRepack("dpkg keeps no list of its files")
    root = target + ".tree"
    shutil.rmtree(root, ignore_errors=True)
    try:
        os.makedirs(root + "/DEBIAN", 0o755)
        with open(root + "/DEBIAN/control", "w", encoding="utf-8") as stream:
            stream.write(control(stanza))
        _control_files(prefix, root + "/DEBIAN")
        missing = _copy(host.read(prefix + ".list", 64 * 1024 * 1024) or "", _diversions(host), name, root)
        if missing:
            raise CannotRepack("files of it are missing: %s" % ", ".join(missing[:3]))
        # gzip: the fastest that every dpkg reads.
        ran = host.run(["dpkg-deb", "-Zgzip", "-z1", "--build", root, target + ".part"], timeout=600)
        if ran.rc != 0:
            raise CannotRepack("dpkg-deb could not build it: %s" % (ran.err.strip().splitlines() or [""])[-1])
        os.replace(target + ".part", target)
    except OSError as error:
        raise CannotRepack("%s: %s" % (error.filename or root, error.strerror or error)) from error
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _control_files(prefix: str, folder: str) -> None:
    directory, base = os.path.split(prefix)
    for entry in os.listdir(directory):
        if entry.startswith(base + ".") and entry[len(base) + 1 :] not in _NOT_CONTROL:
            name = entry[len(base) + 1 :]
            shutil.copy2(os.path.join(directory, entry), os.path.join(folder, name))
            # dpkg-deb refuses scripts that nobody may run.
            os.chmod(os.path.join(folder, name), 0o755 if name in _SCRIPTS else 0o644)


def _diversions(host: Host) -> dict[str, tuple[str, str]]:
    """Where files that were diverted stand now: path to (where, the package that keeps the path)."""
    lines = (host.read("/var/lib/dpkg/diversions") or "").splitlines()
    return {lines[n]: (lines[n + 1], lines[n + 2]) for n in range(0, len(lines) - 2, 3)}


def _copy(listing: str, diversions: dict[str, tuple[str, str]], name: str, root: str) -> list[str]:
    """Copy the files of a package with owners, modes and times; those that are not there."""
    missing, folders = [], []
    for path in listing.splitlines():
        if not path.startswith("/") or path == "/.":
            continue
        source = path
        if path in diversions and diversions[path][1] != name:
            source = diversions[path][0]
        target = root + path
        try:
            found = os.lstat(source)
        except OSError:
            missing.append(path)
            continue
        if stat.S_ISLNK(found.st_mode) and not os.path.isdir(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(os.readlink(source), target)
            os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
        elif os.path.isdir(source):
            # Where the system has a link instead (/bin on a merged /usr), the package has a folder.
            found = os.stat(source)
            os.makedirs(target, exist_ok=True)
            folders.append((target, found))
        elif stat.S_ISREG(found.st_mode):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target)
            os.chown(target, found.st_uid, found.st_gid)
            os.chmod(target, stat.S_IMODE(found.st_mode))  # chown takes set-user-ID away
    for target, found in reversed(folders):
        os.chown(target, found.st_uid, found.st_gid)
        os.chmod(target, stat.S_IMODE(found.st_mode))
    return missing
