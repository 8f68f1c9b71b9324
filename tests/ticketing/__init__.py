# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ticket systems for the tests: emulators of six (stand-ins, not the products), two real ones, what all must hold."""

from __future__ import annotations
