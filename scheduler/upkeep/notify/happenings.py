# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From lines of history to what has happened to tickets, and what of it is still news when it is told. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .settings import ADDED, ALARMS, BY_PEOPLE, OPENED, RAISED, REOPENED, REPEAT, RESOLVED, SLA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..store.model import Ticket
    from ..store.notices import Line, Notice

ALARM_LINES = {"opened": OPENED, "reopened": REOPENED, "priority": RAISED, "added": ADDED}
"""Kinds of history lines that say: here is a fault. The first is the strongest."""

GONE = "gone"
"""How a message names what came and went before anybody was told."""

STRENGTH = (OPENED, REOPENED, RAISED, SLA, REPEAT, ADDED, RESOLVED, GONE, *BY_PEOPLE)
"""What a message says first of a ticket to which several things happened."""


@dataclass(frozen=True)
class Happening:
    """One thing to be told about a ticket; several lines of one batch that say the same are one."""

    ticket: int
    event: str
    line: int
    """The newest line that says so."""
    at: float
    text: str = ""


def happenings(lines: Iterable[Line]) -> list[Happening]:
    """What the lines (in their order) say, ticket by ticket."""
    found: list[Happening] = []
    alarms: dict[int, Happening] = {}
    ends: dict[int, Happening] = {}
    for line in lines:
        event = ALARM_LINES.get(line.kind)
        if event is not None:
            alarms[line.ticket] = _stronger(alarms.get(line.ticket), event, line)
            if event == REOPENED:
                ends.pop(line.ticket, None)
        elif line.kind == "resolved":
            ends[line.ticket] = Happening(line.ticket, RESOLVED, line.id, line.at, line.text)
        elif line.kind == SLA or line.kind in BY_PEOPLE:
            text = line.text if line.kind == SLA else f"{line.actor}: {line.text}"
            found.append(Happening(line.ticket, line.kind, line.id, line.at, text))
    return sorted([*found, *alarms.values(), *ends.values()], key=lambda happening: happening.line)


def _stronger(known: Happening | None, event: str, line: Line) -> Happening:
    """The alarm of a ticket with one more line: its strongest event, and the newest moment that is more than ADDED."""
    text = line.text if event == RAISED else ""
    if known is None:
        return Happening(line.ticket, event, line.id, line.at, text)
    weak = event == ADDED and known.event != ADDED
    strongest = min(known.event, event, key=STRENGTH.index)
    at = known.at if weak else line.at
    return Happening(line.ticket, strongest, line.id, at, text or known.text)


def why_no_news(notice: Notice, ticket: Ticket) -> str:
    """Why a notice is not to be told any more; "" when it is."""
    if notice.event == RESOLVED:
        return "" if ticket.state == RESOLVED else "it is open again"
    if notice.event == REPEAT:
        return "" if ticket.acknowledged is None and ticket.state != RESOLVED else "somebody is on it"
    if notice.event == SLA:
        return "it is resolved" if ticket.state == RESOLVED else ""
    if notice.event not in ALARMS or ticket.acknowledged is None:
        return ""
    # A person is on it: quiet, but for what became worse afterwards.
    quiet = notice.event == ADDED or ticket.acknowledged >= notice.at
    return f"{ticket.acknowledged_by or 'somebody'} acknowledged it before" if quiet else ""


def main_event(notices: Iterable[Notice], ticket: Ticket) -> str:
    """What a message says of a ticket, of all that it has to tell."""
    events = {notice.event for notice in notices}
    if RESOLVED in events:
        return RESOLVED  # there is such a notice only where its alarm was told
    if ticket.state == RESOLVED and events & set(ALARMS):
        return GONE
    return min(events, key=STRENGTH.index)
