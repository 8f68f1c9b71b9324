# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's word for the plan of a campaign that is given in the plan's ticket, as for jobs (approval.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import approval
from ..store import campaigns
from . import look, model, planning

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ..config import Config
    from ..store import Store
    from ..store.campaigns import Kept


def step(store: Store, config: Config, now: float) -> int:
    """Take what tickets say as the answer; how many have. A plan that is not what it was is not approved by them."""
    with store.database.read() as connection:
        if not campaigns.in_state(connection, model.WAITS):
            return 0
        waiting = [kept for kept in _of(connection) if _answer(connection, kept, config) is not None]
    done = 0
    for kept in waiting:
        with store.database.write() as connection:
            current = campaigns.one(connection, kept.number)
            answer = _answer(connection, current, config) if current.waits_for_approval else None
            if answer is None:
                continue
            actor, yes, why = answer
            if not yes:
                rejected = replace(current.campaign, state=model.ABORTED, why=f"rejected by {actor} {why}")
                campaigns.save(connection, current.number, current.campaign, rejected, actor, now)
            elif not planning.changed_since(connection, current, config):
                campaigns.set_approved(connection, current.number, actor, why, now)
            else:
                continue
            done += 1
    return done


def _of(connection: Connection) -> list[Kept]:
    kept = [campaigns.one(connection, number) for number in campaigns.in_state(connection, model.WAITS)]
    return [one for one in kept if one.waits_for_approval]


def _answer(connection: Connection, kept: Kept, config: Config) -> tuple[str, bool, str] | None:
    """Who has said in its ticket whether it may be carried out, and in which words; None: nobody yet."""
    ticket = approval.ticket_of(connection, look.WAITING, look.subject(kept))
    return approval.answer(connection, ticket, kept.created, config.ticket_systems) if ticket is not None else None
