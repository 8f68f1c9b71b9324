# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations: they make the tables that the code knows; an older store is copied, then migrated once."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.unit.scheduler import results_file
from upkeep.errors import NOT_RUN, UpkeepError
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import open as opening
from upkeep.store import open_store, schema


def test_the_migrations_make_the_tables_of_the_schema(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store, store.database.read() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.whole()) == []


def test_revisions_are_numbers_in_a_row_and_the_newest_is_ours() -> None:
    script = ScriptDirectory(str(opening.MIGRATIONS))
    names = [revision.revision for revision in script.walk_revisions()][::-1]
    assert names == [f"{number:04d}" for number in range(1, len(names) + 1)]
    assert names[-1] == schema.REVISION


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Upkeep with one migration more: one that rebuilds a table which others refer to, SQLite's hardest case."""
    folder = tmp_path / "migrations"
    shutil.copytree(opening.MIGRATIONS, folder)
    number = int(schema.REVISION) + 1
    (folder / "versions" / f"{number:04d}_more.py").write_text(
        f'''
import sqlalchemy as sa
from alembic import op
revision = "{number:04d}"
down_revision = "{schema.REVISION}"
def upgrade():
    with op.batch_alter_table("tickets", recreate="always") as table:
        table.add_column(sa.Column("colour", sa.Text, nullable=False, server_default="grey"))
    with op.batch_alter_table("runs", recreate="always") as table:
        table.add_column(sa.Column("smell", sa.Text))
'''
    )
    monkeypatch.setattr(opening, "MIGRATIONS", folder)
    monkeypatch.setattr(schema, "REVISION", f"{number:04d}")
    return folder


def make(home: Path) -> None:
    """A store of today's schema, made by a process of its own."""
    code = "import pathlib, sys, upkeep.store as store; store.open_store(None, pathlib.Path(sys.argv[1])).close()"
    subprocess.run([sys.executable, "-c", code, str(home)], check=True)
    db = sqlite3.connect(home / "upkeep.db")
    db.executescript(
        """
        INSERT INTO runs (number, id, playbook, check_mode, state, started, finished, recorded, complete, actor,
          artifacts, message, node, boot, pid, pid_start, critical, high, medium, low, info, hosts_ok, hosts_failed,
          hosts_unreachable)
        VALUES (1,'r1','weekly',0,'finished',1,2,3,1,'','','','','',0,0,0,1,0,0,0,1,0,0);
        INSERT INTO findings VALUES (1,'web1','a.b.c','x',1,'s','[]','','{}');
        INSERT INTO tickets (number, key, cause, title, state, priority, rank, opened, updated, acknowledged_by,
          resolved_by, reopened, entries, hosts, clocks)
        VALUES (1,'k','a.b.c','t','open','P2',1,1,1,'','',0,1,1,'[["P2",1]]');
        INSERT INTO ticket_entries VALUES (1,1,'web1','a.b.c','x',1,1,1,1,NULL);
        INSERT INTO ticket_history VALUES (1,1,1,'upkeep','opened','P2',1);
        INSERT INTO counters VALUES ('runs', 1), ('tickets', 1);
        """
    )
    db.close()


def test_an_older_store_is_copied_and_migrated_and_nothing_is_lost(tmp_path: Path, newer: Path) -> None:
    home = tmp_path / "home"
    make(home)
    with open_store(None, home) as store:
        detail = store.ticket(1)
        assert (len(detail.entries), len(detail.history)) == (1, 1), "rebuilding a table deleted what refers to it"
        assert len(store.run(1).findings) == 1
        path = results_file.write(tmp_path / "r2", "r2", [("web1", "a.b.c", "x", "high")])
        assert record_file(store, path, Policy(), 1011.0).changes[0].what == "seen"
    copy = home / f"upkeep.db.before-{schema.REVISION}"
    db = sqlite3.connect(copy)
    assert db.execute("SELECT version_num FROM upkeep_schema").fetchone()[0] < schema.REVISION
    assert db.execute("SELECT count(*) FROM ticket_entries").fetchone() == (1,)
    db.close()
    assert copy.stat().st_mode & 0o077 == 0
    assert not list(home.glob("*.part"))
    # A damaged store names the copy.
    (home / "upkeep.db").write_bytes(b"no database at all, really none" * 200)
    with pytest.raises(UpkeepError) as error:
        open_store(None, home)
    assert str(copy) in error.value.remedy


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path, newer: Path) -> None:
    home = tmp_path / "home"
    make(home)
    broken = newer / "versions" / f"{schema.REVISION}_more.py"
    broken.write_text(broken.read_text() + '    op.execute("INSERT INTO nowhere VALUES (1)")\n')
    with pytest.raises(UpkeepError, match="failed") as error:
        open_store(None, home)
    assert error.value.exit_code == NOT_RUN
    db = sqlite3.connect(home / "upkeep.db")
    assert db.execute("SELECT version_num FROM upkeep_schema").fetchone()[0] < schema.REVISION
    assert "colour" not in [row[1] for row in db.execute("PRAGMA table_info(tickets)")]
    assert db.execute("SELECT count(*) FROM ticket_entries").fetchone() == (1,)
    db.close()


def test_no_copy_no_migration(tmp_path: Path, newer: Path) -> None:
    home = tmp_path / "home"
    make(home)
    (home / f"upkeep.db.before-{schema.REVISION}.part").mkdir()
    with pytest.raises(UpkeepError, match="was not migrated") as error:
        open_store(None, home)
    assert error.value.exit_code == NOT_RUN
    db = sqlite3.connect(home / "upkeep.db")
    assert db.execute("SELECT version_num FROM upkeep_schema").fetchone()[0] < schema.REVISION
    db.close()
