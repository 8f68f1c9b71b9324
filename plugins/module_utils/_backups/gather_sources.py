# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has that should be backed up: databases, volumes, its files; and which programs may do so. Reads only."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from .._mounts import candidates, parse_fstab, parse_mountinfo
from .contents import DUMP
from .judge_paths import Left, pattern_that_excludes
from .listing import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from .._host import Host, Statvfs
    from .model import Snapshot

SQLITE = 2_000
"""SQLite databases that are looked for, and files that are looked at for that, in one place."""
SQLITE_BYTES = 64 * 1024
_PASSING = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/", "/var/lib/upkeep/")  # noqa: S108 - none of them is written to
"""Where nothing is meant to last: a test's server, or one of ours that proves a dump."""
LEFT = 200
"""Names that the comparison tells at the most; of more, their number."""


class Kind(NamedTuple):
    """How a database engine is recognised. ``copied``: whether a copy of its files while it runs can be relied upon."""

    programs: tuple[str, ...]
    markers: tuple[str, ...]
    """Patterns of a file in its data folder; the number of parts to strip from it stands in front."""
    arguments: tuple[str, ...]
    copied: bool
    words: tuple[str, ...]
    """What names of its dumps hold."""


KINDS = {
    "postgresql": Kind(
        ("postgres", "postmaster"),
        ("/var/lib/postgresql/*/*/PG_VERSION", "/var/lib/pgsql/*/data/PG_VERSION", "/var/lib/pgsql/data/PG_VERSION"),
        ("-D",),
        False,
        ("pg", "postgres"),
    ),
    "mysql": Kind(
        ("mysqld", "mariadbd"),
        ("/var/lib/mysql/ibdata1",),
        ("--datadir",),
        False,
        ("mysql", "maria", "mysqldump"),
    ),
    "mongodb": Kind(
        ("mongod",),
        ("/var/lib/mongodb/WiredTiger", "/var/lib/mongo/WiredTiger"),
        ("--dbpath",),
        False,
        ("mongo", "bson"),
    ),
    "redis": Kind(
        ("redis-server", "valkey-server"),
        (
            "/var/lib/redis/*.rdb",
            "/var/lib/redis/*.aof",
            "/var/lib/redis/appendonlydir/*.manifest",
            "/var/lib/valkey/*.rdb",
        ),
        (),
        True,
        ("redis", "rdb"),
    ),
    "openldap": Kind(("slapd",), ("/var/lib/ldap/data.mdb",), (), False, ("ldap", "ldif", "slapcat")),
    "influxdb": Kind(
        ("influxd",), ("/var/lib/influxdb*/meta/meta.db", "/var/lib/influxdb/influxd.bolt"), (), False, ("influx",)
    ),
    "etcd": Kind(
        ("etcd",), ("/var/lib/etcd/*/member/snap/db", "/var/lib/etcd/member/snap/db"), ("--data-dir",), False, ("etcd",)
    ),
    "elasticsearch": Kind(("elasticsearch",), ("/var/lib/elasticsearch/node.lock",), (), False, ("elastic",)),
    "clickhouse": Kind(
        ("clickhouse-serv", "clickhouse-server"), ("/var/lib/clickhouse/uuid",), (), False, ("clickhouse",)
    ),
    "couchdb": Kind((), ("/var/lib/couchdb/_dbs.couch",), (), True, ("couch",)),
    "mssql": Kind(("sqlservr",), ("/var/opt/mssql/data/master.mdf",), (), False, ("mssql",)),
}
SQL = ("postgresql", "mysql", "mssql")
"""Engines whose dumps may have a name that says no more than ``.sql``."""

_SQLITE_PATTERNS = (
    "/var/lib/*/*.db",
    "/var/lib/*/*.sqlite",
    "/var/lib/*/*.sqlite3",
    "/var/lib/*/data/*.db",
    "/srv/*/*.sqlite3",
    "/srv/*/*.db",
    "/opt/*/data/*.db",
    "/opt/*/*.sqlite3",
)
# Made by the system anew, or of no use to anybody.
_SQLITE_IGNORED = re.compile(
    r"/var/lib/(?:PackageKit|command-not-found|fwupd|rpm|dnf|yum|colord|aptitude|apt|dpkg|mlocate|plocate|upkeep|nfs|"
    r"systemd|app-info|swcatalog|sss|samba|flatpak|NetworkManager|gdm3?|lightdm|unattended-upgrades)/"
)

# Programs that back up, by what shows that they are in use: a configuration, or a process.
OTHERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "borgmatic": (("/etc/borgmatic/config.yaml", "/etc/borgmatic.d/*.yaml", "/root/.config/borgmatic/config.yaml"), ()),
    "borg": (("/root/.config/borg/security/*",), ("borg",)),
    "Bacula": (("/etc/bacula/bacula-fd.conf",), ("bacula-fd",)),
    "Bareos": (("/etc/bareos/bareos-fd.d/director/*.conf", "/etc/bareos/bareos-fd.conf"), ("bareos-fd",)),
    "Veeam": (("/etc/veeam/veeam.ini",), ("veeamservice", "veeamagent")),
    "UrBackup": (("/etc/default/urbackupclient",), ("urbackupclientb",)),
    "Proxmox Backup": ((), ("proxmox-backup-",)),
    "Kopia": (("/root/.config/kopia/repository.config",), ("kopia",)),
    "Duplicity": (("/etc/duply/*", "/root/.duply/*", "/root/.cache/duplicity/*"), ()),
    "rsnapshot": (("/var/lib/rsnapshot/*", "/var/cache/rsnapshot/*"), ()),
    "Burp": (("/etc/burp/burp.conf",), ()),
    "Amanda": (("/etc/amanda/*", "/etc/amandahosts"), ()),
    "IBM Storage Protect": (("/opt/tivoli/tsm/client/ba/bin/dsm.sys",), ("dsmc", "dsmcad")),
    "NetBackup": (("/usr/openv/netbackup/bp.conf",), ("bpcd", "nbdisco")),
    "Commvault": (("/etc/CommVaultRegistry/Galaxy/*",), ("cvd",)),
    "Acronis": (("/etc/Acronis/*.config",), ("acronis_mms", "aakore")),
    "Rubrik": (("/etc/rubrik/*",), ("rubrik_agent", "backup_agent_ma")),
    "pgBackRest": (("/etc/pgbackrest.conf", "/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest/conf.d/*.conf"), ()),
    "Barman": (("/etc/barman.d/*.conf",), ("pg_receivewal", "pg_receivexlog")),
    "WAL-G": (("/etc/wal-g.d/env/*", "/etc/wal-g/*"), ()),
}
_STANZA = re.compile(r"^\s*pg\d+-path\s*=", re.M)
"""What makes pgBackRest's configuration more than what its package brings: a database that it backs up."""
OF_DATABASES = {"pgBackRest": "postgresql", "Barman": "postgresql", "WAL-G": "postgresql"}


class Database(NamedTuple):
    engine: str
    folder: str
    """The data folder, or the file (SQLite); empty where the process does not say."""
    running: bool
    size: int = 0


class Volume(NamedTuple):
    path: str
    source: str
    type: str
    used: int | None
    """Bytes; None where the filesystem did not answer."""


def processes(host: Host) -> list[tuple[str, int]]:
    """The names (at most 15 characters, as the kernel keeps them) and numbers of the processes."""
    found = []
    for pid in host.listdir("/proc"):
        if pid.isdigit():
            name = (host.read("/proc/%s/comm" % pid, 64) or "").strip()
            if name:
                found.append((name, int(pid)))
    return found


def databases(host: Host, running: Sequence[tuple[str, int]]) -> list[Database]:
    """The databases of a host: by their running servers and by their data folders in the usual places."""
    found: dict[tuple[str, str], Database] = {}
    for engine, kind in KINDS.items():
        passing = False
        for marker in kind.markers:
            for path in host.glob(marker):
                folder = path.rpartition("/")[0]
                if engine == "etcd":
                    folder = folder.rpartition("/member")[0]
                found[(engine, folder)] = Database(engine, folder, False)
        names = {name[:15] for name in kind.programs}
        pids = [pid for name, pid in running if name in names]
        for pid in pids:
            folder = _argument(host, pid, kind.arguments)
            # A child of the server has the same arguments or none.
            if folder.startswith(_PASSING):
                passing = True
            elif folder and host.exists(folder):
                found[(engine, folder)] = Database(engine, folder, True)
        if pids:
            ours = [key for key in found if key[0] == engine]
            told = [key for key in ours if found[key].running]
            for key in ours if not told and not passing else ():
                found[key] = found[key]._replace(running=True)
            if not ours and not passing and engine != "redis":  # a redis without a file keeps nothing
                found[(engine, "")] = Database(engine, "", True)
    return [*found.values(), *_sqlite(host)]


def _argument(host: Host, pid: int, names: Sequence[str]) -> str:
    words = (host.read("/proc/%d/cmdline" % pid, 65536) or "").split("\0")
    for at, text in enumerate(words):
        for name in names:
            value = ""
            if text == name and at + 1 < len(words):
                value = words[at + 1]
            elif text.startswith(name + "="):
                value = text[len(name) + 1 :]
            elif len(name) == 2 and text.startswith(name) and text[2:3] == "/":
                value = text[2:]
            if value.startswith("/"):
                return value.rstrip("/") or "/"
    return ""


def _sqlite(host: Host) -> list[Database]:
    found: list[Database] = []
    for pattern in _SQLITE_PATTERNS:
        for path in host.glob(pattern, SQLITE):
            if len(found) >= SQLITE:
                return found
            if _SQLITE_IGNORED.match(path) or not (host.read_bytes(path, 16) or b"").startswith(b"SQLite format 3\0"):
                continue
            data = host.read_bytes(path, SQLITE_BYTES)
            if data is not None and len(data) >= SQLITE_BYTES:
                found.append(Database("sqlite", path, False, len(data)))
    return found


def other_programs(host: Host, running: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Programs other than restic that seem to back this host up, with what shows it."""
    names = {name for name, _pid in running}
    found = {}
    for program, (patterns, programs) in OTHERS.items():
        paths = (path for pattern in patterns for path in host.glob(pattern))
        if program == "pgBackRest":
            paths = (path for path in paths if _STANZA.search(host.read(path) or ""))
        seen = next(paths, "")
        process = next((name for name in programs if name[:15] in names), "")
        if seen or process:
            found[program] = seen or "the process %s" % process
    return found


def volumes(host: Host, options: Mapping[str, Any]) -> list[Volume]:
    """The mounted filesystems of this host that hold data: not the system's own, nor those of other machines."""
    table = parse_mountinfo(host.read_bytes("/proc/self/mountinfo", 64 * 1024 * 1024) or b"")
    system = ("/boot", "/boot/*", "/efi", "/run/*", "/dev", "/dev/*", "/sys/*", "/proc/*", "/snap/*", "/nix/store")
    containers = ("/var/lib/docker/*", "/var/lib/containers/*", "/var/lib/kubelet/*", "/var/lib/lxc*/*", "/var/snap/*")
    wanted = [
        mount
        for mount in candidates(table, (*system, *containers), ("tmpfs", "overlay", "swap"))
        if mount.path != "/"
        and not (mount.path + "/").startswith(_PASSING)
        and not mount.remote
        and not mount.read_only
    ]
    if not wanted:
        return []
    answers: Mapping[str, Statvfs | None] = {}
    with contextlib.suppress(OSError):
        answers = host.statvfs([[mount.path for mount in wanted]], 5.0)
    found = []
    for mount in wanted:
        answer = answers.get(mount.path)
        if answer is None or answer.error:
            found.append(Volume(mount.path, mount.source, mount.type, None))
            continue
        if not answer.folder:
            continue
        used = max(0, answer.blocks - answer.free) * answer.block_size
        if used >= options["volume_minimum_mib"] * 1024 * 1024:
            found.append(Volume(mount.path, mount.source, mount.type, used))
    return found


def unmounted(host: Host) -> set[str]:
    """Mount points that /etc/fstab names and that are not mounted."""
    table = parse_mountinfo(host.read_bytes("/proc/self/mountinfo", 64 * 1024 * 1024) or b"")
    mounted = {mount.path for mount in table}
    return {path for path in parse_fstab(host.read("/etc/fstab", 1 << 20) or "") if path.startswith("/")} - mounted


class Compared(NamedTuple):
    """``left`` are the first of ``total`` (``LEFT`` of each kind); ``whole`` is whether everything was looked at."""

    left: list[Left]
    total: int
    whole: bool


def left_out(
    host: Host,
    snapshot: Snapshot,
    names: Container[int],
    limit: int,
    skip: Sequence[str] = (),
    *,
    places: Mapping[str, str | None] | None = None,
    needless: Callable[[str], object] = lambda path: False,
) -> Compared:
    """What is in the paths of a snapshot here and now, was so when it was made, and is not in it.

    What was changed in its place since (created, moved, renamed: its own or its folder's ctime is later) is not held
    against the backup; nor is what ``needless`` says needs none, or what the job leaves out, unless it is a dump.
    ``names`` are hashes of the names in the snapshot; ``places`` says where each of its paths lies in its tree, where
    that is not as on the host.
    """
    found: list[Left] = []
    total = 0
    told = [0, 0]  # those that nothing explains are not to be lost among those that a pattern leaves out
    excludes = snapshot.excludes
    for top in snapshot.paths:
        place = (places or {}).get(top.rstrip("/") or "/", top.rstrip("/"))
        if place is None:
            limit = 0  # nothing can be said of it
            continue
        walk = host.walk(top, limit)
        leave: bool | None = None
        inside = 0
        while True:
            try:
                path, status, folder = walk.send(leave) if leave is not None else next(walk)
            except StopIteration:
                break
            limit -= 1
            leave = False
            if path == top:
                inside = status.st_dev
                continue
            kept = not any(0xDC80 <= ord(sign) <= 0xDCFF for sign in path)
            name = path if kept else shown(os.fsencode(path))
            if path in skip or status.st_dev != inside or stat.S_ISSOCK(status.st_mode):
                leave = True
                continue
            there = hash(place + name[len(top.rstrip("/")) :]) in names
            # A folder that was renamed brings its content with it, and no time of the content tells. Its own does:
            # a rename is a change that leaves mtime where it was.
            moved = status.st_ctime >= snapshot.time - 1
            if folder and moved and (not there or status.st_mtime < snapshot.time - 1):
                leave = True
                continue
            if there or moved:
                continue
            leave = True
            by = pattern_that_excludes(name, excludes)
            dump = not folder and DUMP.fullmatch(name.rpartition("/")[2]) is not None
            if (by and not dump) or needless(name):
                continue
            if folder and host.exists(path + "/CACHEDIR.TAG"):
                continue
            total += 1
            told[bool(by)] += 1
            if told[bool(by)] <= LEFT:
                found.append(Left(name, folder, by, dump))
    return Compared(found, total, limit > 0)
