# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health of a host, gathered by one call of systemctl, one of journalctl, one for each container engine, and /proc.

What could not be looked at is named in ``not_known``, and is never taken for an absence.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from .._findings import clean_line
from .._host import AS_ROOT
from .._mounts import IMAGES, PSEUDO, parse_fstab, parse_mountinfo
from .._patching.gather_system import unit_of
from . import parse
from .compare import EPHEMERAL, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._host import Host

VERSION = 1
LIMIT = 64 * 1024
"""Bytes of a health as JSON, so that it fits into a journal, a fact and a run's results."""
COMMAND_SECONDS = 30.0
JOURNAL_LINES = 10_000
"""Lines of the journal that are looked at, the latest: more than three a second for an hour, where counting is over."""
CAUSES = 40
FIRST = 10
"""Causes of errors, and lines as they were, that are kept."""
DESCRIPTORS = 500_000
"""Open files of processes that are looked at for the owners of sockets: about a second's work."""
KINDS = ("*.service", "*.socket", "*.mount", "*.automount", "*.swap", "*.timer", "*.path", "*.target")
"""Units that somebody wrote; devices, slices, and the scopes of sessions are systemd's own."""
PASSING = (
    "/tmp/*",  # noqa: S108 - looked for, not written to
    "/run/*", "/var/run/*", "/proc/*", "/sys/*", "/dev/*", "/var/lib/docker/*", "/var/lib/containers/*",
    "/var/lib/containerd/*", "/var/lib/kubelet/pods/*", "/snap/*", "/var/snap/*", "/media/*",
)  # fmt: skip
"""Mounts that systemd, container engines and desktops make and take away by themselves."""


class _Unknown(Exception):  # noqa: N818 - an outcome, not a bug
    """A part could not be looked at: why."""


def health(host: Host) -> dict[str, Any]:
    """The health but its probes and the journal, not cut."""
    seen: dict[str, Any] = {
        "version": VERSION,
        "time": round(host.now(), 3),
        "boot_id": clean_line((host.read("/proc/sys/kernel/random/boot_id", 100) or "").strip(), 40),
        "root": host.is_root(),
        "not_known": {},
        "not_applicable": {},
        "cut": {},
    }
    parts: list[tuple[str, Callable[[], None]]] = [
        ("services", lambda: _services(host, seen)),
        ("sockets", lambda: _sockets(host, seen)),
        ("mounts", lambda: _mounts(host, seen)),
        ("containers", lambda: _containers(host, seen)),
    ]
    for name, part in parts:
        try:
            part()
        except _Unknown as why:
            seen["not_known"][name] = clean_line(str(why), 240)
    return seen


def add_journal(host: Host, seen: dict[str, Any], since: float, booted_since: bool) -> None:
    """Add what the journal tells of errors since then.

    ``booted_since``: what the kernel says is left out, for every boot makes the same noise about hardware, and the
    services that suffer are seen by themselves.
    """
    try:
        _journal(host, seen, since, booted_since)
    except _Unknown as why:
        seen["not_known"]["journal"] = clean_line(str(why), 240)


# -- systemd -------------------------------------------------------------------------------------------------------


def _services(host: Host, seen: dict[str, Any]) -> None:
    if not host.exists("/run/systemd/system"):
        raise _Unknown("this host was not booted with systemd, and nothing else is understood")
    # Patterns match the units that are loaded: all that run, failed, or are waited for.
    argv = ["systemctl", "show", "--no-pager", "--property=" + ",".join(parse.PROPERTIES), "--", *KINDS]
    ran = host.run(argv, timeout=COMMAND_SECONDS)
    if ran.rc != 0 or ran.truncated:
        raise _Unknown("systemctl show %s" % _how(ran))
    units = [unit for unit in parse.units(ran.out) if unit.get("LoadState") != "not-found"]
    if not units:
        raise _Unknown("systemctl show names no unit")
    services, failed, listening, conditions = {}, {}, {}, []
    for unit in units:
        name, state = clean_line(unit["Id"], 200), unit.get("ActiveState", "")
        if state == "failed":
            failed[name] = clean_line(unit.get("Result", ""), 40)
        if name.endswith(".service"):
            if state not in ("inactive", ""):
                services[name] = parse.service(unit)
            elif parse.condition_failed(unit):
                conditions.append(name)
        elif name.endswith(".socket") and parse.is_up(state):
            listening[name] = state
    seen.update(services=services, failed=failed, socket_units=listening, conditions=sorted(conditions))


def _how(ran: Any) -> str:
    if ran.rc is None:
        return "gave no answer within %d s" % COMMAND_SECONDS
    if ran.truncated:
        return "printed more than can be read"
    lines = (ran.err.strip() or ran.out.strip()).splitlines()
    return "ended with %s%s" % (ran.rc, ": " + lines[0] if lines else "")


# -- sockets -------------------------------------------------------------------------------------------------------


def _sockets(host: Host, seen: dict[str, Any]) -> None:
    found: list[parse.Listening] = []
    answered = False
    for name in ("tcp", "tcp6", "udp", "udp6"):
        text = host.read("/proc/net/" + name)
        if text is not None:
            answered = True
            found += parse.internet(name[:3], text)
    if not answered:
        raise _Unknown("/proc/net/tcp cannot be read")
    found += parse.unix(host.read("/proc/net/unix") or "")
    owners, whole = _owners(host, {entry.inode for entry in found})
    rows: dict[str, dict[str, Any]] = {}
    for entry in found:
        unit, command = owners.get(entry.inode, ("", ""))
        row = {
            "proto": entry.proto, "address": entry.address, "port": entry.port, "unit": unit, "command": command,
        }  # fmt: skip
        rows.setdefault(name_of(row), row)
    order = {"tcp": 0, "udp": 1, "unix": 2}
    seen["sockets"] = sorted(rows.values(), key=lambda row: (order[row["proto"]], row["port"], row["address"]))
    words = (host.read("/proc/sys/net/ipv4/ip_local_port_range", 100) or "").split()
    seen["ephemeral"] = [int(word) for word in words] if len(words) == 2 and "".join(words).isdigit() else [*EPHEMERAL]
    if not whole:
        seen["not_known"]["owners"] = (
            "the owners of some sockets: too many open files" if host.is_root() else "whose the sockets are: " + AS_ROOT
        )


def _owners(host: Host, inodes: set[str]) -> tuple[dict[str, tuple[str, str]], bool]:
    """The unit and the command that hold each socket, and whether all that could be looked at was."""
    owners: dict[str, tuple[str, str]] = {}
    left = DESCRIPTORS
    pids = sorted((int(name) for name in host.listdir("/proc") if name.isdigit()), key=lambda pid: (pid == 1, pid))
    whole = host.is_root()
    # systemd keeps the sockets that it hands on: it comes last, and has what nobody else holds.
    for pid in pids:
        wanted = inodes - set(owners)
        if not wanted:
            break
        folder = "/proc/%d/fd" % pid
        mine = []
        for descriptor in host.listdir(folder):
            left -= 1
            link = host.readlink(folder + "/" + descriptor) or ""
            if link.startswith("socket:[") and link[8:-1] in wanted:
                mine.append(link[8:-1])
        if mine:
            command = clean_line((host.read("/proc/%d/comm" % pid, 100) or "").strip(), 40)
            unit = "" if pid == 1 else unit_of(host.read("/proc/%d/cgroup" % pid, 65536) or "")
            owners.update(dict.fromkeys(mine, (clean_line(unit, 200), command)))
        if left <= 0:
            return owners, False
    return owners, whole


# -- mounts --------------------------------------------------------------------------------------------------------


def _mounts(host: Host, seen: dict[str, Any]) -> None:
    data = host.read_bytes("/proc/self/mountinfo")
    if not data:
        raise _Unknown("/proc/self/mountinfo cannot be read")
    fstab = parse_fstab(host.read("/etc/fstab", 1024 * 1024) or "")
    mounts: dict[str, dict[str, Any]] = {}
    automounts = []
    for mount in parse_mountinfo(data):
        path = clean_line(mount.path, 200)
        if mount.type == "autofs":
            automounts.append(path)
        if mount.type in PSEUDO or mount.type in IMAGES or (mount.root != "/" and mount.path.startswith("/etc/")):
            continue
        wanted = mount.path in fstab
        if not wanted and any(fnmatchcase(mount.path, pattern) for pattern in PASSING):
            continue
        mounts[path] = {"type": clean_line(mount.type, 40), "source": clean_line(mount.source, 200)}
        if mount.read_only:
            mounts[path]["ro"] = True
        if not wanted and path != "/":
            mounts[path]["by_hand"] = True
    seen.update(mounts=mounts, automounts=automounts)


# -- containers ----------------------------------------------------------------------------------------------------


def _containers(host: Host, seen: dict[str, Any]) -> None:
    found: dict[str, dict[str, str]] = {}
    engines = []
    for engine, words in (
        ("podman", ["ps", "--format", "json"]),
        ("docker", ["ps", "--no-trunc", "--format", "{{json .}}"]),
    ):
        if host.which(engine) is None:
            continue
        # podman has no daemon; docker without one runs nothing, and its package may be a mere name for podman.
        if engine == "docker" and not any(host.exists(path) for path in ("/run/docker.sock", "/var/run/docker.sock")):
            continue
        engines.append(engine)
        ran = host.run([engine, *words], timeout=COMMAND_SECONDS)
        if ran.rc != 0 or ran.truncated:
            raise _Unknown("%s ps %s" % (engine, _how(ran)))
        try:
            rows = parse.containers(ran.out)
        except (ValueError, TypeError, KeyError) as error:
            raise _Unknown("%s ps printed what is not understood: %s" % (engine, error)) from error
        found.update(("%s/%s" % (engine, name), entry) for name, entry in rows.items())
    if not engines:
        seen["not_applicable"]["containers"] = "there is no podman, and no docker that runs"
    seen["containers"] = found


# -- the journal ---------------------------------------------------------------------------------------------------


def _journal(host: Host, seen: dict[str, Any], since: float, booted_since: bool) -> None:
    if host.which("journalctl") is None:
        raise _Unknown("there is no journalctl on this host")
    if not host.is_root():
        raise _Unknown("the whole journal is for root: " + AS_ROOT)
    argv = [
        "journalctl", "--quiet", "--no-pager", "--priority=err", "--since=@%d" % since, "--lines=%d" % JOURNAL_LINES,
        "--output=json", "--output-fields=MESSAGE,_SYSTEMD_UNIT,SYSLOG_IDENTIFIER,_TRANSPORT",
    ]  # fmt: skip
    ran = host.run(argv, timeout=COMMAND_SECONDS, limit=16 * 1024 * 1024)
    # journalctl ends with 1 and says nothing where there is no such entry.
    if ran.rc not in (0, 1) or (ran.rc == 1 and ran.err.strip()):
        raise _Unknown("journalctl %s" % _how(ran))
    told = parse.errors(ran.out, FIRST, kernel=not booted_since)
    most = sorted(told.causes.items(), key=lambda pair: -pair[1])[:CAUSES]
    seen["journal"] = {
        "since": int(since),
        "seconds": round(max(1.0, host.now() - since), 1),
        "lines": told.lines,
        "events": told.events,
        "causes": [{"cause": kind, "events": count} for kind, count in most],
        "first": told.first,
    }
    if ran.truncated or told.lines >= JOURNAL_LINES:
        seen["journal"]["more"] = True


def booted(host: Host) -> float | None:
    """When the kernel was booted, in seconds since the epoch."""
    found = re.search(r"^btime (\d+)$", host.read("/proc/stat", 1024 * 1024) or "", re.M)
    return float(found.group(1)) if found else None


# -- bounds --------------------------------------------------------------------------------------------------------


def size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")).encode("utf-8", "replace"))


def bounded(whole: Mapping[str, Any], limit: int = LIMIT) -> dict[str, Any]:
    """A health of at most ``limit`` bytes as JSON: what is missed least goes first, and ``cut`` says how much went.

    First what only explains (lines, commands, evidence), then unix sockets, then the end of the largest part.
    """
    kept: dict[str, Any] = json.loads(json.dumps(whole, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8"))
    if size(kept) <= limit:
        return kept
    journal = kept.get("journal", {})
    for key, entries in (("first", 0), ("causes", 10)):
        if key in journal:
            journal[key] = journal[key][:entries]
    for probe in kept.get("probes", {}).values():
        probe.pop("evidence", None)
    for row in kept.get("sockets", ()):
        if row["unit"]:
            row.pop("command", None)
    if size(kept) > limit and "sockets" in kept:
        inet = [row for row in kept["sockets"] if row["proto"] != "unix"]
        _cut(kept, "sockets", inet)
    while size(kept) > limit:
        names = ("services", "sockets", "mounts", "containers", "probes", "failed", "conditions", "automounts")
        name = max(names, key=lambda part: size(kept.get(part, [])))
        part = kept[name]
        if not part:
            break
        half = len(part) // 2
        _cut(kept, name, dict(list(part.items())[:half]) if isinstance(part, dict) else part[:half])
    return kept


def _cut(kept: dict[str, Any], name: str, left: Any) -> None:
    gone = len(kept[name]) - len(left)
    if gone:
        kept["cut"][name] = kept["cut"].get(name, 0) + gone
    kept[name] = left
