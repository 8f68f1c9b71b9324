# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section ``outbox`` of upkeep.yml."""

from __future__ import annotations

from .config_types import Duration, Strict
from .outbox import Settings


class OutboxModel(Strict):
    """What goes out to ticket systems and to people."""

    give_up_after: Duration | None = None


def settings(model: OutboxModel) -> Settings:
    """The section as it is used."""
    return Settings(**{name: value for name, value in model if value is not None})
