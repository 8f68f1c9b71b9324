# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a store: find it, look whether it is ours and of our schema, make or migrate it."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError

from ..errors import WRONG_USE, UpkeepError
from . import errors, schema
from .database import Database
from .errors import Place
from .facade import Store
from .secrets import is_secret

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

FILE_NAME = "upkeep.db"

MIGRATIONS = Path(__file__).parent / "migrations"


def open_store(url: str | None, home: Path) -> Store:
    """See :func:`upkeep.store.open_store`."""
    parsed = _parsed(url, home)
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "")
        if url is None:
            _make_home(path.parent)
        _look_at(path)
        place = Place(url=str(parsed), path=path)
    else:
        place = Place(url=_shown(parsed), path=None)
    database = Database(parsed, place)
    try:
        with database.read() as connection:
            wanting = _revision(connection, place) != schema.REVISION
        if wanting:
            _migrate(database)
    except BaseException:
        database.engine.dispose()
        raise
    return Store(database)


def _parsed(url: str | None, home: Path) -> URL:
    """The URL with its driver, and the path of a SQLite file made absolute.

    That of upkeep.yml is absolute already, seen from that file's folder; a caller's own is seen from ``home``.
    """
    if url is None:
        url = f"sqlite:///{home / FILE_NAME}"
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None:
        # The text is not shown: what cannot be parsed may hold a password anywhere.
        raise _wrong_url("a text that is not a URL")
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        try:
            importlib.import_module("psycopg")  # only its import tells whether libpq is there too
        except ImportError as error:
            raise errors.store_error(
                "PostgreSQL cannot be used as the store",
                expected="the Python package psycopg",
                found=str(error),
                remedy="pip install 'upkeep[postgresql]'",
            ) from error
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise _wrong_url(f"a URL that begins with {parsed.drivername}:")
    if not parsed.database or parsed.database == ":memory:" or parsed.query:
        raise _wrong_url(_shown(parsed))
    return parsed.set(database=str((home / Path(parsed.database).expanduser()).absolute()))


def _shown(url: URL) -> str:
    """The URL without a password, wherever in it one stands."""
    kept = url.difference_update_query([name for name in url.query if is_secret(name)])
    return kept.render_as_string(hide_password=True)


def _wrong_url(found: str) -> UpkeepError:
    return UpkeepError(
        "store.url is not one that Upkeep knows",
        expected="sqlite:////ABSOLUTE/PATH.db, sqlite:///PATH.db (seen from the folder of upkeep.yml) or "
        "postgresql://USER:PASSWORD@HOST/DATABASE",
        found=found,
        remedy="Correct store.url in upkeep.yml, or leave it out for a SQLite file in UPKEEP_HOME.",
        exit_code=WRONG_USE,
    )


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise errors.full(_existing(home)) from error
        raise errors.store_error(
            f"the folder {home} cannot be made",
            expected="a folder for the store and the runs, that this user may write",
            found=error.strerror or str(error),
            remedy="Make it for this user, or choose another one with UPKEEP_HOME.",
        ) from error


def _existing(path: Path) -> Path:
    """The nearest folder above that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _look_at(path: Path) -> None:
    """Raise what the file system has against a SQLite file; make it, for its owner only, when it is missing.

    An existing file is never opened here: closing it would drop the locks that SQLite holds on it in this process.
    """
    wrong = errors.not_writable(path)
    if wrong is not None:
        raise wrong
    if path.is_dir():
        raise errors.store_error(
            f"the store {path} cannot be opened", expected="a file", found="a folder", remedy="Correct store.url."
        )
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.full(path.parent) from error
        raise errors.read_only(path, error.strerror or str(error)) from error


def _revision(connection: Connection, place: Place) -> str | None:
    """The schema's revision, None when there is none yet. Raises when it is newer than ours, or not ours at all."""
    if place.path is not None:
        names = set(connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table'")))
        strangers = {name for name in names if not name.startswith("sqlite_")}
    else:
        names = set(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")))
        strangers = names & set(schema.metadata.tables)  # others may live in the same database
    if schema.VERSION_TABLE not in names:
        if strangers:
            raise errors.foreign(place, "tables of something else: " + ", ".join(sorted(strangers)[:5]))
        return None
    revision = connection.scalar(text(f"SELECT version_num FROM {schema.VERSION_TABLE}"))  # noqa: S608 - a constant
    if not isinstance(revision, str) or not revision.isdigit():
        raise errors.foreign(place, f"schema {revision!r}, which no version of Upkeep has")
    if int(revision) > int(schema.REVISION):
        raise errors.newer(place, revision, schema.REVISION)
    return revision


def _migrate(database: Database) -> None:
    """Bring the schema up to ours, once, however many processes begin to at the same time."""
    with errors.told_apart(database.place), database.engine.connect() as connection:
        if database.is_sqlite:
            # Through the driver: SQLAlchemy would begin a transaction, and within one neither has an effect.
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            _use_wal(driver)
            # Rebuilding a table, SQLite's way of altering it, would otherwise delete what refers to it.
            driver.execute("PRAGMA foreign_keys = OFF")
        try:
            with database.writing(connection):
                revision = _revision(connection, database.place)
                if revision == schema.REVISION:
                    return  # somebody else was faster
                if revision is not None and database.place.path is not None:
                    _copy(database.place.path, revision)
                _upgrade(connection)
                _check_references(connection, database)
        finally:
            connection.invalidate()  # with its foreign keys off, it must not go back into the pool


def _use_wal(driver: sqlite3.Connection) -> None:
    """Readers beside a writer. The switch fails at once while somebody else does it, so try again for a while."""
    deadline = time.monotonic() + errors.BUSY_SECONDS
    while True:
        try:
            driver.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _copy(path: Path, revision: str) -> None:
    """A copy of a SQLite store before it is migrated, beside it. The caller holds the writers' lock."""
    copy = path.with_name(f"{path.name}.before-{int(revision) + 1:04d}")
    part = copy.with_name(copy.name + ".part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(part)) as target:
            source.backup(target)
        part.replace(copy)
    except (OSError, sqlite3.Error) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise errors.store_error(
            f"the store {path} was not migrated: no copy of it could be made before",
            expected=f"room for {copy}",
            found=str(error),
            remedy=f"Make room in {path.parent}; the store is unchanged.",
        ) from error


def _check_references(connection: Connection, database: Database) -> None:
    """Raise, so that the migration is undone, when it left a row that refers to nothing."""
    if database.is_sqlite:
        lost = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if lost is not None:
            raise errors.store_error(
                f"the store {database.place.path} was not migrated",
                expected="no row that refers to one that is missing",
                found=f"one in {lost[0]}, which refers to {lost[2]}",
                remedy="Report this as a fault of Upkeep; the store is unchanged.",
            )


def _upgrade(connection: Connection) -> None:
    # Imported only here: it costs as much as the rest of a command's start.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
