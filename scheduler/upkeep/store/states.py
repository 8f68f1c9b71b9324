# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How things on hosts stand, as runs reported it, and who keeps the history of each kind: KEEPERS, one row a kind.

Statements only, each on a connection whose transaction the caller holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from . import exposures, pending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection

    Keeper = Callable[[Connection, Sequence["Reported"]], list[str]]


@dataclass(frozen=True)
class Reported:
    """How something on a host stood when a run looked."""

    run: int
    host: str
    kind: str
    subject: str
    at: float
    """When that run began, by our clock and no later than now; a millisecond later for what it told of the same before.
    Runs may be recorded in any order."""
    data: dict[str, Any]
    """Clean and bounded, otherwise as the host told it: untrusted. ``dropped`` in it: it was too large, nothing is
    known."""


KEEPERS: dict[str, Keeper] = {
    "exposure": exposures.keep,
    "patches": pending.keep,
}
"""Who keeps which kind. A keeper is handed states in the order in which they were told, of one host perhaps several. It
changes nothing when it is handed the same once more. It never raises for what a host says; it returns sentences for a
person about what it could not read."""


def keep(connection: Connection, reported: Iterable[Reported]) -> list[str]:
    """Hand each state to the keeper of its kind, which there is (see :func:`known`); their sentences for a person."""
    told: list[str] = []
    for kind, some in groupby(sorted(reported, key=lambda one: one.kind), key=lambda one: one.kind):
        told += KEEPERS[kind](connection, list(some))
    return told


def known(kind: str) -> bool:
    """Whether somebody keeps this kind."""
    return kind in KEEPERS
