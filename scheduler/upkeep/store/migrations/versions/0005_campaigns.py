# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns: plans of hosts, each host's state, the claims on steps, and what must be undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "campaigns",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("ending", sa.String(length=20), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("rings", sa.JSON(), nullable=False),
        sa.Column("forgiven", sa.Integer(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("approved", sa.Double(), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("approved_why", sa.Text(), nullable=False),
        sa.Column("started", sa.Double(), nullable=True),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_campaigns")),
    )
    op.create_index(op.f("ix_campaigns_name"), "campaigns", ["name"], unique=False)
    op.create_index(op.f("ix_campaigns_state"), "campaigns", ["state"], unique=False)
    op.create_table(
        "plans",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=100), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run", "host", "subject", name=op.f("pk_plans")),
    )
    op.create_index(op.f("ix_plans_at"), "plans", ["at"], unique=False)
    op.create_index(op.f("ix_plans_host_at"), "plans", ["host", "at"], unique=False)
    op.create_table(
        "campaign_hosts",
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("ring", sa.Integer(), nullable=True),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("cluster", sa.Integer(), nullable=True),
        sa.Column("plan", sa.String(length=100), nullable=False),
        sa.Column("plan_run", sa.Integer(), nullable=True),
        sa.Column("seconds", sa.JSON(), nullable=False),
        sa.Column("reboot", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("way", sa.String(length=20), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("applying", sa.Boolean(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.Double(), nullable=False),
        sa.Column("silent_since", sa.Double(), nullable=True),
        sa.Column("times", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign"], ["campaigns.number"], name=op.f("fk_campaign_hosts_campaign"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("campaign", "host", name=op.f("pk_campaign_hosts")),
    )
    op.create_table(
        "campaign_steps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=20), nullable=False),
        sa.Column("hosts", sa.JSON(), nullable=False),
        sa.Column("ring", sa.Integer(), nullable=True),
        sa.Column("batch", sa.Integer(), nullable=True),
        sa.Column("gate", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("run", sa.String(length=200), nullable=True),
        sa.Column("claimed", sa.Double(), nullable=False),
        sa.Column("launched", sa.Double(), nullable=True),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("outcomes", sa.JSON(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign"], ["campaigns.number"], name=op.f("fk_campaign_steps_campaign"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_steps")),
        sa.UniqueConstraint("campaign", "sequence", name=op.f("uq_campaign_steps_campaign_sequence")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_campaign_steps_state"), "campaign_steps", ["state"], unique=False)
    op.create_table(
        "campaign_undo",
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("cleared", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign"], ["campaigns.number"], name=op.f("fk_campaign_undo_campaign"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("campaign", "host", "kind", name=op.f("pk_campaign_undo")),
    )
    op.create_index(op.f("ix_campaign_undo_cleared"), "campaign_undo", ["cleared"], unique=False)
