# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of campaigns and of plans, beside those of schema.py and by its rules."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from .schema import metadata

# What a run would do to a host, as its playbook planned it. A plan outlives its run: a campaign carries it out later.
plans = Table(
    "plans",
    metadata,
    Column("run", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("id", String(100), nullable=False),
    # When its run began.
    Column("at", Double, nullable=False),
    Column("summary", Text, nullable=False),
    Column("plan", JSON, nullable=False),
    PrimaryKeyConstraint("run", "host", "subject"),
    Index(None, "host", "at"),
    Index(None, "at"),
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(100), nullable=False),
    Column("state", String(20), nullable=False),
    # What it becomes when the hosts at work are through.
    Column("ending", String(20), nullable=False),
    Column("why", Text, nullable=False),
    # As upkeep.yml had it when it was planned.
    Column("spec", JSON, nullable=False),
    # Of the spec and all hosts' plans: what a person approves.
    Column("digest", String(64), nullable=False),
    Column("rings", JSON, nullable=False),
    Column("forgiven", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("approved", Double),
    Column("approved_by", Text, nullable=False),
    Column("approved_why", Text, nullable=False),
    Column("started", Double),
    Column("started_by", Text, nullable=False),
    Column("ended", Double),
    Index(None, "name"),
    Index(None, "state"),
)
campaign_hosts = Table(
    "campaign_hosts",
    metadata,
    Column("campaign", ForeignKey("campaigns.number", ondelete="CASCADE"), nullable=False),
    Column("host", Text, nullable=False),
    Column("ring", Integer),
    Column("place", Integer, nullable=False),
    Column("cluster", Integer),
    # The id of its plan, and the run that made it.
    Column("plan", String(100), nullable=False),
    Column("plan_run", Integer),
    Column("seconds", JSON, nullable=False),
    Column("reboot", Boolean, nullable=False),
    Column("state", String(20), nullable=False),
    Column("way", String(20), nullable=False),
    Column("batch", Integer),
    Column("why", Text, nullable=False),
    Column("failed", Boolean, nullable=False),
    Column("applying", Boolean, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("lost", Boolean, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("retry_at", Double, nullable=False),
    Column("silent_since", Double),
    Column("times", JSON, nullable=False),
    PrimaryKeyConstraint("campaign", "host"),
)
# The claim on one step: whoever inserts the row has it carried out, and one run only ever becomes that step.
campaign_steps = Table(
    "campaign_steps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign", ForeignKey("campaigns.number", ondelete="CASCADE"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("step", String(20), nullable=False),
    Column("hosts", JSON, nullable=False),
    Column("ring", Integer),
    Column("batch", Integer),
    Column("gate", Boolean, nullable=False),
    Column("state", String(20), nullable=False),
    Column("run", String(200)),
    Column("claimed", Double, nullable=False),
    Column("launched", Double),
    Column("ended", Double),
    # How long it took when every host came through: what later batches are expected to take.
    Column("seconds", Double),
    Column("outcomes", JSON, nullable=False),
    Column("why", Text, nullable=False),
    UniqueConstraint("campaign", "sequence"),
    Index(None, "state"),
    sqlite_autoincrement=True,
)
# What must be undone: written down before it is done, cleared when its undoing was seen to succeed.
campaign_undo = Table(
    "campaign_undo",
    metadata,
    Column("campaign", ForeignKey("campaigns.number", ondelete="CASCADE"), nullable=False),
    Column("host", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("since", Double, nullable=False),
    Column("cleared", Double),
    PrimaryKeyConstraint("campaign", "host", "kind"),
    Index(None, "cleared"),
)
