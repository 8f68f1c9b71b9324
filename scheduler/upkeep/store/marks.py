# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Marks: a moment, and a word with it, that a step must know at its next call. Statements on a caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, select

from . import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

_MARKS = schema.marks


class Mark(NamedTuple):
    """When it was made, in seconds since the epoch, and what with it."""

    at: float
    what: str


def read(connection: Connection, name: str) -> Mark | None:
    """A mark; None when it is not there."""
    row = connection.execute(select(_MARKS.c.at, _MARKS.c.what).where(_MARKS.c.name == name)).first()
    return None if row is None else Mark(*row)


def make(connection: Connection, name: str, at: float, what: str = "") -> None:
    """Make a mark, in the place of the one of that name."""
    statement = schema.upsert(connection, _MARKS).values(name=name, at=at, what=what)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"at": at, "what": what}))


def remove(connection: Connection, name: str) -> None:
    """It is not true any more."""
    connection.execute(delete(_MARKS).where(_MARKS.c.name == name))
