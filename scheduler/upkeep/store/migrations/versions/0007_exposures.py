# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts answered when they were asked whether they are exposed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "exposures",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("asked", sa.String(length=300), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("packages", sa.JSON(), nullable=False),
        sa.Column("mitigations", sa.JSON(), nullable=False),
        sa.Column("published", sa.Double(), nullable=True),
        sa.Column("plan", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("host", "asked", "at", name=op.f("pk_exposures")),
    )
    op.create_index(op.f("ix_exposures_asked"), "exposures", ["asked"], unique=False)
    op.create_index(op.f("ix_exposures_at"), "exposures", ["at"], unique=False)
