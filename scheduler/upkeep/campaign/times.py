# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a campaign may be at work: its windows, and the freezes that concern it."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from .. import inventory
from ..calendar.windows import Window, united, without
from ..errors import UpkeepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..calendar.windows import Span
    from ..config import Config
    from .model import Spec

SPANS = 8
"""Windows that are looked ahead."""


def _zone(config: Config, spec: Spec) -> ZoneInfo:
    return ZoneInfo(spec.time_zone) if spec.time_zone else config.time_zone


def spans_of(config: Config, spec: Spec, now: float) -> list[Span]:
    """When a campaign's batches may be at work, from now on."""
    windows = [Window.parse(text) for text in spec.windows]
    open_ = united(windows, now, _zone(config, spec)) if windows else iter([(now, math.inf)])
    concerned = [freeze for freeze in config.freezes if freeze.concerns(spec.name)]
    stops = [(one.start, one.end) for one in concerned if not one.hosts]
    return list(itertools.islice(without(open_, stops), SPANS))


def window_ends(spans: Sequence[Span], now: float) -> float | None:
    """When the window closes that is open now; now, when none is: what is not begun must not begin. None: never."""
    ends = next((end for start, end in spans if start <= now < end), now)
    return None if math.isinf(ends) else ends


def frozen_hosts(config: Config, spec: Spec, now: float) -> dict[str, float]:
    """Hosts that are frozen now, or will be before a batch would be over (a step's time limit), and until when.

    Raises UpkeepError when the inventory cannot be asked: then nobody knows who is frozen.
    """
    frozen: dict[str, float] = {}
    for freeze in config.freezes:
        soon = freeze.start <= now + (spec.time_limit or 0.0) and now < freeze.end
        if freeze.hosts and soon and freeze.concerns(spec.name):
            sources = spec.inventory or config.inventory_of(None)
            for host in matching(sources, ",".join(freeze.hosts)):
                frozen[host] = max(frozen.get(host, 0.0), freeze.end)
    return frozen


def matching(sources: Sequence[str], pattern: str) -> list[str]:
    """The hosts of a pattern that the inventory knows; none when it knows none of it. Raises UpkeepError."""
    try:
        return inventory.check_limit(sources, pattern, strict=False)
    except UpkeepError as error:
        if "matches no host" not in error.what:
            raise
        return []
