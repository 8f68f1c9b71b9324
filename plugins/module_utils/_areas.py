# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The areas that a host can be reviewed for in one round trip. A new area is one row in AREAS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._backups import options_info as backup_options
from ._backups.info import review as review_backup
from ._capacity import options as capacity_options
from ._capacity.review import review as review_capacity
from ._findings import Review
from ._patching import options as patch_options
from ._patching.review import review as review_patch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._host import Host

AREAS: dict[str, tuple[dict[str, Any], Callable[[Host, dict[str, Any]], dict[str, Any]]]] = {
    "patch": (patch_options.ARGUMENT_SPEC, review_patch),
    "capacity": (capacity_options.ARGUMENT_SPEC, review_capacity),
    "backup": (backup_options.ARGUMENT_SPEC, review_backup),
}

_ALWAYS = ("findings", "coverage", "not_applicable")
_CONTRACT = (*_ALWAYS, "proofs", "plans", "states")


def review_areas(host: Host, options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The reviews of the areas that ``options`` names, as one result; an area that fails does not end the others."""
    joined: dict[str, Any] = {key: [] for key in _ALWAYS}
    for area, (_spec, review_area) in AREAS.items():
        area_options = options.get(area)
        if area_options is None:
            continue
        guard = Review(area)
        with guard.check(area + ".review.failed"):
            result = review_area(host, dict(area_options, check_mode=check_mode))
            joined[area] = {key: value for key, value in result.items() if key not in _CONTRACT}
            _join(joined, result)
        _join(joined, guard.result())
    return joined


def _join(joined: dict[str, Any], result: Mapping[str, Any]) -> None:
    for key in _CONTRACT:
        if key in _ALWAYS or result.get(key):
            joined[key] = joined.get(key, []) + result[key]
