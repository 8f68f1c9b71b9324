# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ticket systems: one small protocol, and an adapter file for each system. The embedded tracker is always first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .protocol import TicketSystem
    from .settings import TicketSystemSettings


def build(settings: TicketSystemSettings) -> TicketSystem:
    """The adapter of a configured system. Imports what it needs only now. Raises Held when a secret is not there."""
    import importlib

    adapter = importlib.import_module(f".{settings.kind}", __name__).Adapter
    made: TicketSystem = adapter(settings.with_secrets())
    return made
