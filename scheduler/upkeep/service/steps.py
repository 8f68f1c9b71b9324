# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The areas' periodic work: one row a step. A step is ``step(store, config, now) -> int``, the number of things done.

The service calls each on time, `upkeep scheduler --once` each once, and `upkeep run` the outgoing ones at its end, so
that plain cron without a service delivers as well.
"""

from __future__ import annotations

import importlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ..errors import UpkeepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..config import Config
    from ..store import Store

log = logging.getLogger("upkeep.scheduler")


@dataclass(frozen=True)
class Step:
    """One area's work."""

    name: str
    every: float
    """Seconds between two of it."""
    leader_only: bool
    """Whether one scheduler is enough for all."""
    where: str
    """``module:function``, imported when it is due for the first time."""
    outgoing: bool = False
    """Whether it sends what a run has found."""
    configured: str = ""
    """The attribute of the configuration without which it has nothing to do; empty: it always may have."""
    share: float = 0.0
    """Of the time that is left to all outgoing steps, what it may take, as its fourth argument; 0: it waits for
    nobody."""

    def function(self) -> Callable[[Store, Config, float], int]:
        """The step itself."""
        module, _, name = self.where.partition(":")
        return cast("Callable[[Store, Config, float], int]", getattr(importlib.import_module(module), name))

    def wanted(self, config: Config) -> bool:
        """Whether the configuration gives it something to do."""
        return not self.configured or bool(getattr(config, self.configured, None))


STEPS = (
    Step("self-review", 60.0, True, "upkeep.selfreview:step", outgoing=True),
    Step("escalation", 30.0, True, "upkeep.escalation:step", outgoing=True),
    Step("approvals", 15.0, True, "upkeep.approval:step"),
    Step("campaigns", 5.0, True, "upkeep.campaign.service:step"),
    Step("mirror", 15.0, True, "upkeep.ticketing.mirror:step", outgoing=True, configured="ticket_systems", share=0.3),
    Step("notices", 10.0, True, "upkeep.notify.plan:step", outgoing=True, configured="notify"),
    Step("outbox", 5.0, True, "upkeep.outbox:step", outgoing=True, share=1.0),
    Step("heartbeat", 5.0, True, "upkeep.notify.heartbeat:step", configured="notify"),
    Step("retention", 86400.0, True, "upkeep.service.retention:step"),
)


def all_steps() -> Iterator[tuple[Step, Callable[[Store, Config, float], int]]]:
    """The steps of this installation, in the order in which a finding goes through them."""
    for step in STEPS:
        yield step, step.function()


def outgoing(store: Store, config: Config, seconds: float) -> None:
    """Send what there is, for a bounded time: what is not sent then, the next run or the service sends.

    Never raises for what a step does: the run that has just ended is kept, whatever becomes of its messages.
    """
    deadline = time.monotonic() + seconds
    for step in STEPS:
        if step.outgoing and step.wanted(config) and time.monotonic() < deadline:
            try:
                left = (deadline - time.monotonic()) * step.share
                function: Callable[..., int] = step.function()
                function(store, config, time.time(), *([left] if step.share else []))
            except UpkeepError as error:
                log.warning("%s: %s: %s", step.name, error.what, error.found)
            except Exception as error:  # noqa: BLE001 - as above
                log.warning("%s: a fault of Upkeep itself: %s: %s", step.name, type(error).__name__, error)
