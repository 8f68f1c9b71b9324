# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ticket systems: one small protocol, and an adapter file for each system. The embedded tracker is always first."""

from __future__ import annotations
