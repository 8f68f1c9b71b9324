# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of proofs can be read without their facts: what recovering takes, and an index that has it all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column and the index; the index on ``began`` alone is its beginning."""
    op.add_column("proofs", sa.Column("recovery", sa.Double(), nullable=True))
    op.drop_index(op.f("ix_proofs_began"), table_name="proofs")
    names = ["began", "host", "subject", "check_name", "outcome", "recovery"]
    op.create_index("ix_proofs_figures", "proofs", names, unique=False)
