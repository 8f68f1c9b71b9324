# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of patches that hosts lack or lacked, beside those of schema.py and by its rules."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from .schema import metadata

# How each host stood when it was looked at last. `known`: when that was last with a verdict other than unknown.
patch_hosts = Table(
    "patch_hosts",
    metadata,
    Column("host", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("looked", Double, nullable=False),
    Column("known", Double),
    Column("verdict", String(20), nullable=False),
    # Why it is unknown.
    Column("why", JSON, nullable=False),
    Column("manager", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("run", Integer, nullable=False),
    PrimaryKeyConstraint("host", "subject"),
    Index(None, "looked"),
)
# The complete looks: what one of these does not name was not missing then.
patch_looks = Table(
    "patch_looks",
    metadata,
    Column("host", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("host", "subject", "at"),
    Index(None, "at"),
)
# An episode: a package that lacked an update, as store/missing.py has it.
patch_missing = Table(
    "patch_missing",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("host", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("arch", Text, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("installed", Text, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("security", Boolean, nullable=False),
    Column("severity", String(20), nullable=False),
    # When each severity was first missing.
    Column("clocks", JSON, nullable=False),
    Column("cves", JSON, nullable=False),
    Column("advisories", JSON, nullable=False),
    Column("exploited", Boolean, nullable=False),
    Column("published", Double),
    Column("left_out", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_version", Text, nullable=False),
    # None: it is missing still.
    Column("gone_seen", Double),
    Column("gone_at", Double),
    Column("gone_how", String(20), nullable=False),
    Column("gone_version", Text, nullable=False),
    Index("ix_patch_missing_host_gone", "host", "subject", "gone_seen"),
    Index("ix_patch_missing_gone", "gone_at"),
    sqlite_autoincrement=True,
)
