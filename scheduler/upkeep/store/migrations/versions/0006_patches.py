# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches that hosts lack or lacked: since when, and how they got them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "patch_hosts",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("looked", sa.Double(), nullable=False),
        sa.Column("known", sa.Double(), nullable=True),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("why", sa.JSON(), nullable=False),
        sa.Column("manager", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("host", "subject", name=op.f("pk_patch_hosts")),
    )
    op.create_index(op.f("ix_patch_hosts_looked"), "patch_hosts", ["looked"], unique=False)
    op.create_table(
        "patch_looks",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("host", "subject", "at", name=op.f("pk_patch_looks")),
    )
    op.create_index(op.f("ix_patch_looks_at"), "patch_looks", ["at"], unique=False)
    op.create_table(
        "patch_missing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("arch", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("installed", sa.Text(), nullable=False),
        sa.Column("candidate", sa.Text(), nullable=False),
        sa.Column("security", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.String(length=20), nullable=False),
        sa.Column("clocks", sa.JSON(), nullable=False),
        sa.Column("cves", sa.JSON(), nullable=False),
        sa.Column("advisories", sa.JSON(), nullable=False),
        sa.Column("exploited", sa.Boolean(), nullable=False),
        sa.Column("published", sa.Double(), nullable=True),
        sa.Column("left_out", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_version", sa.Text(), nullable=False),
        sa.Column("gone_seen", sa.Double(), nullable=True),
        sa.Column("gone_at", sa.Double(), nullable=True),
        sa.Column("gone_how", sa.String(length=20), nullable=False),
        sa.Column("gone_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patch_missing")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_patch_missing_gone", "patch_missing", ["gone_at"], unique=False)
    op.create_index("ix_patch_missing_host_gone", "patch_missing", ["host", "subject", "gone_seen"], unique=False)
