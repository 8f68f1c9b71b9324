# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a transaction should take: from what earlier ones took on this host, otherwise an estimate. Pure.

The estimates, and where they come from:

- 4 s a transaction and 1 s a package: dpkg on a virtual machine's disk unpacks and configures a package in 0.3 s (the
  test fleet, which does not sync) to 1.5 s (with fsync on spinning disks); a kernel adds 30 s for its initramfs.
- 4 MiB/s of download: a tenth of a gigabit line, which many hosts that are patched at once share.
- 180 s for a reboot: a virtual machine is back in 30 s, a server with its firmware's checks in 3 minutes and more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TRANSACTION = 4.0
PACKAGE = 1.0
KERNEL = 30.0
DOWNLOAD = 4 * 1024 * 1024.0
REBOOT = 180.0


def estimate(
    packages: int, download_bytes: int, kernels: int, reboot: bool, journals: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """The ``seconds`` of a plan.

    ``journals`` are those of earlier patch runs on this host (see the journal's description), in any order; of them the
    slowest counts, for a window must hold what comes.
    """
    measured = [seconds for journal in journals for seconds in [_package_seconds(journal)] if seconds is not None]
    if packages == 0:
        return {"download": 0, "apply": 0, "reboot": 0, "total": 0, "measured": bool(measured)}
    a_package = max(measured) if measured else PACKAGE
    apply = a_package * (packages + TRANSACTION / PACKAGE) + KERNEL * kernels
    told = {
        "download": round(download_bytes / DOWNLOAD),
        "apply": max(1, round(apply)),
        "reboot": round(REBOOT) if reboot else 0,
    }
    return dict(told, total=sum(told.values()), measured=bool(measured))


def _package_seconds(journal: Mapping[str, Any]) -> float | None:
    """Seconds a package of a transaction that came to its end; None when the journal does not tell.

    What a transaction takes beside its packages counts as some packages more, or that of a single one would be taken
    for the time of each of hundreds.
    """
    times, plan = journal.get("times"), journal.get("plan")
    if not isinstance(times, dict) or not isinstance(plan, dict) or not isinstance(plan.get("packages"), list):
        return None
    began, ended = times.get("applying"), times.get("applied")
    if not isinstance(began, (int, float)) or not isinstance(ended, (int, float)) or not plan["packages"]:
        return None
    took = ended - began
    return took / (len(plan["packages"]) + TRANSACTION / PACKAGE) if 0 < took < 86400 else None
