# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's step: campaigns that are under way go on, and what is left of ended ones is undone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..store import campaigns
from . import approving, drive
from .engine import Engine, Learned, Resting

if TYPE_CHECKING:
    from ..config import Config
    from ..store import Store

log = logging.getLogger("upkeep.scheduler")

LOOK = 30.0
"""Seconds after which a campaign that rests is looked at all the same: a person may have said something."""
AT_ONCE = 50
"""Looks at one campaign in one step."""

_engines: WeakKeyDictionary[Store, Engine] = WeakKeyDictionary()
_resting: dict[tuple[str, int], float] = {}


def step(store: Store, config: Config, now: float) -> int:
    """Look at each campaign; the number of those for which something was done. Raises UpkeepError for the store."""
    done = approving.step(store, config, now)
    with store.database.read() as connection:
        numbers = campaigns.of_interest(connection)
    for number in numbers:
        key = (store.url, number)
        if now < _resting.get(key, 0.0) <= now + LOOK:
            continue
        engine = _engines.setdefault(store, Engine(store, config))
        engine.config = config
        look = engine.look(number, now)
        for _ in range(AT_ONCE):
            if not isinstance(look, Learned):
                break
            log.info("campaign %d: %s", number, drive.ended(store, look.step))
            look = engine.look(number, now)
        if isinstance(look, Resting):
            _resting[key] = min(look.until, now + LOOK)
        else:
            _resting.pop(key, None)
            done += 1
    return done
