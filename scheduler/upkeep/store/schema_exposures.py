# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of who is exposed to what, beside those of schema.py and by its rules."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from .schema import metadata

# One answer of a host each: what follows from them is worked out from all, so they may come in any order.
exposures = Table(
    "exposures",
    metadata,
    Column("host", Text, nullable=False),
    # A CVE by its name, or a package as NAME or NAME=VERSION.
    Column("asked", String(300), nullable=False),
    # When it was asked, by the controller's clock.
    Column("at", Double, nullable=False),
    Column("run", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("why", Text, nullable=False),
    Column("packages", JSON, nullable=False),
    Column("mitigations", JSON, nullable=False),
    # When the vulnerability was published, or else what mends it on this host.
    Column("published", Double),
    Column("plan", String(100), nullable=False),
    PrimaryKeyConstraint("host", "asked", "at"),
    Index(None, "asked"),
    Index(None, "at"),
)
