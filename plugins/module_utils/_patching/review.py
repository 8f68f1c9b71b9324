# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The review of a host's patch state: gather, judge, and put the result together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .._findings import Review, plain
from . import gather_system, lacking
from .judge import flag_is_stale, judge, newest_kernel
from .release import support

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._host import Host
    from .judge import Judgement
    from .model import Managed, System, Update


def review(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``patch_info`` (see the module's RETURN), as plain values.

    ``options`` are those of options.ARGUMENT_SPEC, and ``check_mode``: then nothing is refreshed.
    """
    reviewed = Review("patch")
    system = gather_system.gather(host)
    known = None
    with reviewed.check("patch.manager.unsupported"):
        known = pick_manager(host, options, reviewed)
    if known is not None and known.manager == "apt":
        from .gather_apt import present  # as in pick_manager

        known.present = present(host, known)
    judgement = judge(reviewed, known, system, options, host.now())
    if known is None:
        judgement.verdict.unknown.append("there is no package manager that can be asked")
    if options["refresh"] and options.get("check_mode"):
        reviewed.skip(
            "patch.metadata.refresh", "the package lists are not fetched in check mode", "Run without check mode."
        )
    reviewed.state(lacking.KIND, lacking.SUBJECT, lacking.state_of(judgement, known, system))
    details = _details(judgement, known, system, options["updates_limit"])
    return {**plain(details), **reviewed.result()}


def pick_manager(host: Host, options: Mapping[str, Any], reviewed: Review) -> Managed | None:
    """What the package manager knows; None when there is none that is understood, which is a finding."""
    from . import gather_apt  # in here: a host that has the one need not read the other

    asked = options["manager"]
    # Where both are installed, the one that has a database of this system's packages is meant.
    if asked == "apt" or (asked == "auto" and host.which("apt-get") and host.exists("/var/lib/dpkg/status")):
        return gather_apt.gather(host, options)
    from . import gather_dnf

    if asked == "dnf" or (asked == "auto" and gather_dnf.present(host)):
        return gather_dnf.gather(host, options)
    if asked == "auto" and host.which("apt-get"):
        return gather_apt.gather(host, options)
    others = [name for name in ("dnf5", "yum", "zypper", "pacman", "apk") if host.which(name)]
    reviewed.found(
        "patch.manager.unsupported",
        "host",
        "medium",
        "Neither apt nor dnf 4 is on this host: its patch state is not known.",
        ["found instead: %s" % ", ".join(others)] if others else [],
        "Leave this host out of the patch review, or watch it by other means.",
    )
    return None


def _details(judgement: Judgement, known: Managed | None, system: System, limit: int) -> dict[str, Any]:
    release = support(system.os_release, system.distro_info)
    details: dict[str, Any] = {
        "verdict": judgement.verdict.word,
        "reasons": judgement.verdict.unknown + judgement.verdict.pending,
        "release": {
            "name": release.name,
            "support_ends": _moment(release.end),
            "long_term_support_ends": _moment(release.long_term_end),
            "source": release.source,
        },
        "booted": _moment(system.boot),
        "container": system.container,
        "kernel": {"running": system.running_kernel, "newest": newest_kernel(judgement)},
        "reboot": {
            "required": bool(judgement.reboot_reasons),
            "reasons": judgement.reboot_reasons,
            "flag": _moment(system.reboot_flag),
            "flag_stale": flag_is_stale(judgement),
            "packages": system.reboot_packages[:limit],
        },
        "processes": {
            "seen": system.processes_seen,
            "not_readable": system.processes_denied,
            "in_containers": system.processes_elsewhere,
            "outdated": [vars(process) for process in system.processes[:limit]],
        },
        "manager": None,
    }
    if known is None:
        return details
    now = judgement.now
    updates = sorted(known.updates, key=lambda update: (not update.security, update.name))
    details.update(
        manager={"name": known.manager, "version": known.version},
        packages=known.packages,
        updates=[_update(update, now) for update in updates[:limit]],
        updates_total=len(known.updates),
        security_updates_total=sum(update.security for update in known.updates),
        would_remove=known.removals[:limit],
        held=[vars(hold) for hold in known.holds[:limit]],
        database={"broken": bool(known.database), "problems": known.database[:limit]},
        metadata={
            "checked": _moment(known.checked),
            "tried": _moment(known.tried),
            "age_days": None if known.checked is None else max(0, int((now - known.checked) // 86400)),
            "refreshed": known.refreshed,
        },
        repositories=[
            {
                "name": repository.name,
                "security": repository.security,
                "fetched": repository.fetched,
                "date": _moment(repository.date),
                "valid_until": _moment(repository.valid_until),
                "unreachable": repository.unreachable,
                "unsigned": repository.unsigned,
                **repository.details,
            }
            for repository in known.repositories[:limit]
        ],
        locks=[{"path": lock.path, "pid": lock.pid, "command": lock.command} for lock in known.locks],
        last_upgrade=_moment(known.last_upgrade),
        automatic=known.automatic,
    )
    return details


def _update(update: Update, now: float) -> dict[str, Any]:
    return dict(
        vars(update),
        published=_moment(update.published),
        published_by=_moment(update.published_by),
        age_days=update.age_days(now),
    )


def _moment(seconds: float | None) -> str | None:
    """A time as people and machines read it: "2026-11-22T11:00:00Z"."""
    if seconds is None:
        return None
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return None
