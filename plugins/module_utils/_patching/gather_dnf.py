# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dnf 4 knows of this host, asked in one process (see dnf_probe.py)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .._host import AS_ROOT
from . import dnf_probe
from .model import Hold, Lock, Managed, Present, Problem, Repository, Update

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._host import Host

PROBE_LIMIT = 64 * 1024 * 1024
"""Bytes of the probe's answer: some 400 for each update."""

# Files that name the process which holds dnf's own locks, and the one that rpm locks for a transaction.
PID_FILES = ("/var/cache/dnf/metadata_lock.pid", "/var/cache/dnf/download_lock.pid", "/var/lib/dnf/rpmdb_lock.pid")
RPM_LOCK = "/var/lib/rpm/.rpm.lock"


def present(host: Host) -> bool:
    """Whether dnf 4 is here."""
    return interpreter(host) is not None


def interpreter(host: Host) -> list[str] | None:
    """The command line of the Python that dnf itself runs with: the first line of its script. None for dnf 5."""
    for name in ("dnf-3", "dnf"):
        path = host.which(name)
        line = ((host.read(path, 200) or "") if path else "").split("\n", 1)[0]
        words = line[2:].split() if line.startswith("#!") else []
        if words and re.search(r"python", words[0]):
            return words
    return None


def gather(host: Host, options: Mapping[str, Any]) -> Managed:
    """Everything that dnf and rpm know; what could not be found out stands as a Problem in its place."""
    known = Managed("dnf")
    _locks(host, known)
    words = interpreter(host)
    if words is None:
        why = "dnf 5 is not understood yet" if host.which("dnf5") else "dnf is not there"
        problem = Problem(
            why, "Watch this host by other means." if host.which("dnf5") else "Install it, or set manager: auto"
        )
        _nothing_known(known, problem)
        return known
    refresh = bool(options["refresh"] and not options.get("check_mode"))
    settings = {"refresh": refresh, "lock_timeout": options["lock_timeout"], "boot": host.started(1)}
    settings["history_remedy"] = "See what it says: dnf history" if host.is_root() else AS_ROOT
    timeout = float(options["refresh_timeout"] if refresh else 60)
    ran = host.run([*words, "-c", dnf_probe.source(), json.dumps(settings)], timeout=timeout, limit=PROBE_LIMIT)
    try:
        answer = json.loads(ran.out)
        if ran.rc != 0 or not isinstance(answer, dict):
            raise ValueError
    except ValueError:
        problem = failed(ran.rc, ran.err, ran.truncated, timeout)
        _nothing_known(known, problem)
        return known
    read_answer(known, answer)
    if "installed" in answer:
        known.automatic = _automatic(host, known.names)
    return known


def _nothing_known(known: Managed, problem: Problem) -> None:
    known.updates_problem = known.repositories_problem = known.database_problem = known.core_problem = problem


def failed(rc: int | None, err: str, truncated: bool, timeout: float) -> Problem:
    lines = [line for line in err.splitlines() if line.strip()]
    if rc is None:
        why = "dnf did not answer within %d s" % timeout
    elif truncated:
        why = "dnf's answer is larger than can be kept"
    else:
        why = "dnf could not be asked (exit code %d)" % rc
    return Problem(why, "Run it by hand and read what it says: dnf check-update", lines[-10:])


def read_answer(known: Managed, answer: Mapping[str, Any]) -> None:
    """Take over what the probe found out."""
    known.version = str(answer.get("version", ""))
    known.names = {str(name) for name in answer.get("installed", [])}
    known.packages = len(known.names)
    known.present = [Present(*one) for one in answer.get("present", [])]
    known.updates = [
        Update(
            name=update["name"],
            installed=update["installed"],
            candidate=update["candidate"],
            arch=update["arch"],
            origins=[update["repository"]],
            security=update["security"],
            severity=update["severity"],
            advisories=update["advisories"],
            cves=update["cves"],
            published=update["published"],
            held=update["held"],
            kept_back=update["kept_back"],
        )
        for update in answer.get("updates", [])
    ]
    known.removals = answer.get("removals", [])
    known.holds = [Hold(**hold) for hold in answer.get("holds", [])]
    known.database = answer.get("database", [])
    known.database_remedy = "rpm --rebuilddb, then: dnf check && dnf distro-sync"
    known.repositories = [
        Repository(
            name=repository["id"],
            date=repository["date"],
            fetched=repository["fetched"],
            unreachable=repository["error"],
            unsigned=repository["unsigned"],
            unsigned_by_choice=True,
            expired=repository["expired"],
            details={"advisories": repository["advisories"], "address": repository["address"]},
        )
        for repository in answer.get("repositories", [])
    ]
    if not known.repositories:
        known.repositories_problem = Problem("no repository is enabled", "Enable one: dnf repolist --all")
    known.refreshed = bool(answer.get("refreshed"))
    # The oldest of them: what one repository has not told for a month is not known for a month.
    checked = [
        repository["checked"] for repository in answer.get("repositories", []) if repository["checked"] is not None
    ]
    known.checked = min(checked) if checked else None
    known.last_upgrade = answer.get("last_upgrade")
    known.core_updated = answer.get("core_updated", [])
    problems = answer.get("problems", {})
    for part, attribute in (
        ("updates", "updates_problem"),
        ("updates", "core_problem"),
        ("kept_back", "kept_back_problem"),
        ("database", "database_problem"),
        ("repositories", "repositories_problem"),
    ):
        if part in problems:
            setattr(known, attribute, Problem(*problems[part]))


def _locks(host: Host, known: Managed) -> None:
    holders: dict[str, int] = {}
    for path in PID_FILES:
        text = (host.read(path, 40) or "").strip()
        # A file that was left behind names a process that is gone.
        if text.isdigit() and host.exists("/proc/" + text):
            holders[path] = int(text)
    closed = [path for path in (*PID_FILES, RPM_LOCK) if host.denied(path)]
    if closed:
        known.locks_problem = Problem("%s may not be read, and it tells who holds dnf's lock" % closed[0], AS_ROOT)
    holder = host.lock_holder(RPM_LOCK)
    if holder is not None:
        holders[RPM_LOCK] = holder
    for path, pid in holders.items():
        command = (host.read("/proc/%d/cmdline" % pid, 4096) or "").replace("\0", " ").strip()
        known.locks.append(Lock(path, pid, command, host.started(pid)))


def _automatic(host: Host, installed: set[str]) -> dict[str, Any]:
    """Whether this host upgrades itself: dnf-automatic by one of its timers."""
    names = ("dnf-automatic-install.timer", "dnf-automatic.timer")
    enabled = [name for name in names if host.readlink("/etc/systemd/system/timers.target.wants/" + name) is not None]
    text = host.read("/etc/dnf/automatic.conf") or ""
    match = re.search(r"^\s*apply_updates\s*=\s*(\S+)", text, re.M)
    applies = bool(match and match.group(1).lower() in ("yes", "true", "1", "on"))
    why = ""
    if "dnf-automatic" not in installed:
        why = "dnf-automatic is not installed"
    elif not enabled:
        why = "no timer of dnf-automatic is enabled"
    elif names[0] not in enabled and not applies:
        why = "dnf-automatic only downloads (apply_updates is off)"
    return {"tool": "dnf-automatic", "enabled": not why, "why_not": why, "timer": ", ".join(enabled) or "disabled"}
