# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which patches hosts lack, since when, and how they got them: statements only, on the caller's connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from .states import Reported


def keep(connection: Connection, reported: Sequence[Reported]) -> list[str]:
    """Take over what hosts say of their patches."""
    return []
