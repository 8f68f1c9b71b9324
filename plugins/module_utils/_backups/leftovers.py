# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every trial restore begins with: what a dead one left behind is cleared away, and told where it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .scratch import sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._findings import Review


def clear_away(reviewed: Review, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sweep the scratch places below the option ``scratch``, not in check mode; what was swept, as a result has it."""
    if options.get("check_mode"):
        return []
    base = options["scratch"]
    swept = []
    with reviewed.check("backup.restore.leftovers", base):
        swept = sweep(base)
        left = [line for one in swept for line in one.left]
        if left:
            reviewed.found(
                "backup.restore.leftovers",
                base,
                "medium",
                "What an earlier test left behind could not be removed.",
                left,
                "See what holds it (findmnt, lsof, lsattr), then remove by hand: %s"
                % ", ".join(one.path for one in swept if one.left),
                {"places": [one.facts() for one in swept if one.left]},
            )
    return [one.facts() for one in swept]
