# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Alembic runs: the migrations, on the connection and inside the transaction that store/open.py hands over.

A new migration: change store/schema.py, write versions/NNNN_what.py after the newest one (the next number of four
digits), set ``schema.REVISION``. SQLite alters tables by ``op.batch_alter_table``. The tests compare the result with
the tables.
"""

from __future__ import annotations

from alembic import context

from upkeep.store.schema import VERSION_TABLE, whole

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=whole(),
    version_table=VERSION_TABLE,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
