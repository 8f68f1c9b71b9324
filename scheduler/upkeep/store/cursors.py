# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each reader of ticket_history has come. Statements on a caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from . import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

_CURSORS = schema.cursors
_HISTORY = schema.ticket_history


def read(connection: Connection, name: str) -> int | None:
    """The id of the last line that a reader has taken in; None for one that never read."""
    return connection.scalar(select(_CURSORS.c.value).where(_CURSORS.c.name == name))


def move(connection: Connection, name: str, value: int) -> None:
    """Write down how far a reader has come."""
    statement = schema.upsert(connection, _CURSORS).values(name=name, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def remove(connection: Connection, name: str) -> None:
    """A reader is no more."""
    connection.execute(delete(_CURSORS).where(_CURSORS.c.name == name))


def end_of_history(connection: Connection) -> int:
    """The newest line's id; 0 when there is none."""
    return connection.scalar(select(func.max(_HISTORY.c.id))) or 0


def behind(connection: Connection, limit: int) -> dict[str, int]:
    """How many lines each reader has still to take in, at most."""
    end = end_of_history(connection)
    rows = connection.execute(select(_CURSORS).order_by(_CURSORS.c.name).limit(limit))
    return {row.name: max(0, end - row.value) for row in rows}


def clamp(connection: Connection) -> None:
    """Bring readers back to the end of history, in the transaction in which retention removes lines.

    SQLite gives the numbers of removed newest lines again: a reader beyond them would not see the new ones.
    """
    end = end_of_history(connection)
    connection.execute(update(_CURSORS).where(_CURSORS.c.value > end).values(value=end))
