# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several schedulers leads. That only saves work: what keeps an occurrence single is its claim.

The lead is a lock that the database server or the kernel takes away when its holder dies, so another has it within
seconds. One that is stopped (SIGSTOP, a frozen virtual machine) keeps its lock: when its signs of life stand still, the
eldest of the others leads without the lock, until it hears of the holder again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ..errors import UpkeepError
from ..store import errors
from ..store.database import ADVISORY_LOCK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from ..store.database import Database
    from ..store.nodes import Node

LEADER_LOCK = ADVISORY_LOCK + 1
"""PostgreSQL's lock of the scheduler that leads."""


class Lock(Protocol):
    """The lead as a lock."""

    def hold(self) -> bool:
        """Take it, or make sure that it is still ours. Raises UpkeepError when the store cannot be asked."""
        ...

    def release(self) -> None:
        """Give it back."""


def lock_of(database: Database) -> Lock:
    """The lock that fits a store."""
    path = database.place.path
    return _ServerLock(database) if path is None else _FileLock(f"{path}.leader")


class _FileLock:
    """flock, beside the SQLite file. Python's descriptors are closed in what a process starts: no child keeps it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def hold(self) -> bool:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                here, there = os.fstat(self._descriptor), os.stat(self._path)
                if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                    return True
            self.release()  # somebody removed the file: a lock on it keeps nobody out
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise errors.store_error(
                "the scheduler's lock cannot be made",
                expected=f"to be able to write {self._path}",
                found=error.strerror or str(error),
                remedy="make room or correct the rights there",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class _ServerLock:
    """An advisory lock of a database session of its own: it goes with the session, however that ends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._session: Connection | None = None

    def hold(self) -> bool:
        try:
            if self._session is not None:
                try:
                    self._session.execute(text("SELECT 1"))
                    return True
                except DBAPIError:
                    self.release()
            with errors.told_apart(self._database.place):
                session = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                with errors.told_apart(self._database.place):
                    got = session.execute(text(f"SELECT pg_try_advisory_lock({LEADER_LOCK})")).scalar()
            except UpkeepError:
                session.invalidate()
                raise
            if got:
                self._session = session
                return True
            session.close()
        except DBAPIError as error:
            raise errors.translated(error.orig, self._database.place) from error
        return False

    def release(self) -> None:
        if self._session is not None:
            with contextlib.suppress(DBAPIError):
                self._session.invalidate()  # ends the session: a lock must not go back into the pool
                self._session.close()
            self._session = None


def leads(me: str, holds: bool, others: Sequence[Node], stands_still: dict[str, float], patience: float) -> bool:
    """Whether this scheduler is to lead. Pure.

    ``others``: all schedulers but this one, eldest first; ``stands_still``: seconds for which the sign of each has, and
    under "" for how long no other has been seen to lead.
    """
    if holds:
        return True
    alive = [node for node in others if stands_still.get(node.id, 0.0) < patience]
    if any(node.leads for node in alive):
        return False
    # Nobody who is alive leads, yet the lock is held: by one that hangs. The eldest takes over, and only it.
    return stands_still.get("", 0.0) >= patience and not any(node.id < me for node in alive)
