# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a campaign on from a terminal, step by step, until nothing is to be done for it now."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ..durations import shown
from ..errors import NOT_RUN, UpkeepError
from ..store import campaigns, runs
from . import carry, model
from .engine import Engine, Learned, Working

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import Config
    from ..store import Store
    from ..store.campaigns import Kept, Step

POLL = 0.5
"""Seconds between two looks at what is under way."""
LOOK = 5.0
"""Seconds between two looks at a campaign that rests: another process may have changed it."""
SOON = 65.0
"""Seconds that are waited for a retry when the campaign itself is not under way."""


def drive(store: Store, config: Config, number: int, actor: str, say: Callable[[str], None]) -> Kept:
    """Go on until it is over, or a person must do something; how it stands then. The first Ctrl-C pauses it."""
    engine = Engine(store, config)
    asked = False
    while True:
        try:
            _until_it_rests(engine, store, number, say)
            return of(store, number)
        except KeyboardInterrupt:
            kept = of(store, number)
            working = any(host.at_work for host in kept.campaign.hosts)
            if asked or not working or kept.campaign.state != model.RUNNING:
                raise UpkeepError(
                    f"left: the campaign {kept.name} is {kept.campaign.state}",
                    found="Ctrl-C" + ("; hosts are at work" if working else ""),
                    remedy=f"upkeep campaign resume {kept.name}   (goes on; a scheduler at work does so by itself)",
                    exit_code=NOT_RUN,
                ) from None
            asked = True
            pause(store, number, actor, "Ctrl-C", time.time())
            say("to be paused: the hosts at work are brought to their end first; once more Ctrl-C leaves at once")


def pause(store: Store, number: int, actor: str, why: str, now: float) -> Kept:
    """Let no further batch begin; the hosts at work come to their end."""
    with store.database.write() as connection:
        kept = campaigns.one(connection, number)
        if kept.campaign.state == model.RUNNING and kept.campaign.ending in ("", model.PAUSED):
            said = f"by {actor}" + (f": {why}" if why else "")
            asked = replace(kept.campaign, ending=model.PAUSED, why=said)
            campaigns.save(connection, number, kept.campaign, asked, actor, now)
    return of(store, number)


def of(store: Store, number: int) -> Kept:
    """How a campaign stands."""
    with store.database.read() as connection:
        return campaigns.one(connection, number)


def _until_it_rests(engine: Engine, store: Store, number: int, say: Callable[[str], None]) -> None:
    told: object = None
    while True:
        now = time.time()
        look = engine.look(number, now)
        if isinstance(look, Learned):
            say(ended(store, look.step))
            continue
        if isinstance(look, Working):
            if told != (look.step.id, look.why):
                told = (look.step.id, look.why)
                if look.why:
                    say(f"{look.step.step}: {look.why}")
            time.sleep(POLL)
            continue
        if look.until == float("inf") or (look.campaign.state != model.RUNNING and look.until - now > SOON):
            return
        if told != look.why:
            told = look.why
            say(f"{look.why}: {'looked at again' if look.stuck else 'goes on'} in {shown(look.until - now)}")
        time.sleep(max(0.05, min(look.until - now, LOOK)))


def ended(store: Store, step: Step) -> str:
    """How a step went, in a line."""
    with store.database.read() as connection:
        now = campaigns.step_of(connection, step.id) or step
        row = runs.by_id(connection, now.run or "")
        kept = campaigns.one(connection, now.campaign)
    rings = kept.campaign.spec.rings
    where = "" if now.ring is None else f"{rings[now.ring].name}: "
    counts = [
        f"{number} {name}"
        for name in (model.OK, model.FAILED, model.UNREACHABLE)
        if (number := sum(outcome == name for outcome in now.outcomes.values()))
    ]
    unknown = sum(host not in now.outcomes for host in now.hosts)
    if unknown:
        counts.append(f"{unknown} not known: it is run again")
    took = f" in {row.finished - row.started:.0f} s" if row is not None and row.finished is not None else ""
    what = "the gate" if now.gate else now.step
    named = ", ".join(now.hosts[:4]) + (f" and {len(now.hosts) - 4} more" if len(now.hosts) > 4 else "")
    run = f" (run {row.number})" if row is not None else ""
    return f"{where}{what} on {named}: {', '.join(counts)}{took}{run}" + (f": {now.why}" if now.why else "")


def plan(store: Store, config: Config, number: int, step: Step, say: Callable[[str], None]) -> list[str]:
    """Carry the run of a plan out, to its end; what it says of itself when it could not be carried out.

    Raises UpkeepError (NOT_RUN) when its process ended without a run.
    """
    kept = of(store, number)
    engine = Engine(store, config)
    engine.start(step, kept.campaign.spec)
    child = engine.ours(step.id)
    say(f"plans {len(step.hosts)} host{'' if len(step.hosts) == 1 else 's'} …")
    while True:
        with store.database.read() as connection:
            current = campaigns.step_of(connection, step.id)
        if current is None or current.state == campaigns.ENDED:
            return [current.why] if current is not None and current.why else []
        if current.state == campaigns.WAITING:
            if child is None or child.poll() is not None:
                raise UpkeepError(
                    f"the campaign {kept.name} could not be planned",
                    expected="a run of its playbook",
                    found=carry.log_of(config, step.id) or "its process ended without one",
                    remedy=f"correct it; then: upkeep campaign plan {kept.name}",
                    exit_code=NOT_RUN,
                )
        else:
            engine.look(number, time.time())
        time.sleep(POLL)
