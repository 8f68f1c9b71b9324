# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions: one writer at a time on either database, readers beside it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError

from . import errors

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection
    from sqlalchemy.pool import ConnectionPoolEntry

    from .errors import Place

WRITE = "upkeep_write"
"""The execution option of a connection whose next transaction writes."""

ADVISORY_LOCK = 0x55504B454550  # "UPKEEP"
"""PostgreSQL's lock of all writers, so that reconciling never sees half of another's tickets."""

_HOLDERS = """
SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'a local socket') AS place
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()
AND (l.classid::bigint << 32 | l.objid::bigint) = :lock
"""


class Database:
    """An engine, and where it leads."""

    def __init__(self, url: URL, place: Place) -> None:
        self.place = place
        self.is_sqlite = place.path is not None
        if self.is_sqlite:
            # isolation_level None: the driver begins no transactions of its own, we do (see _begin).
            arguments = {"timeout": errors.BUSY_SECONDS, "isolation_level": None}
            self.engine = create_engine(url, connect_args=arguments)
            event.listen(self.engine, "connect", _on_connect)
            event.listen(self.engine, "begin", _begin)
        else:
            self.engine = create_engine(
                url, connect_args={"connect_timeout": 10, "application_name": "upkeep"}, pool_pre_ping=True
            )

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; never waits for a writer."""
        with errors.told_apart(self.place), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """The one transaction that writes; committed at its end, rolled back by an exception."""
        with errors.told_apart(self.place), self.engine.connect() as connection, self.writing(connection):
            yield connection

    @contextlib.contextmanager
    def writing(self, connection: Connection) -> Iterator[None]:
        """As :meth:`write`, on a connection that the caller has."""
        connection = connection.execution_options(**{WRITE: True})
        with connection.begin():
            if not self.is_sqlite:
                self._wait_for_turn(connection)
            yield

    def _wait_for_turn(self, connection: Connection) -> None:
        connection.execute(text(f"SET LOCAL lock_timeout = {int(errors.BUSY_SECONDS * 1000)}"))
        try:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != errors.LOCK_NOT_AVAILABLE:
                raise
            with self.engine.connect() as other:  # the first one's transaction is broken
                rows = other.execute(text(_HOLDERS), {"lock": ADVISORY_LOCK})
                holders = [f"{row.application_name or 'a client'} at {row.place}, pid {row.pid}" for row in rows]
            raise errors.locked_server(self.place, holders) from error


def _on_connect(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # A recorded run is announced as recorded: it must survive the plug being pulled.
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    # A transaction that begins by reading and writes later can fail with "locked" at once, without waiting: SQLite
    # cannot give it a newer snapshot. So a writer says so at its beginning.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITE) else "BEGIN")
