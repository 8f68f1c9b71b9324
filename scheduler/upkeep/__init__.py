# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upkeep: planned maintenance that proves itself. The command `upkeep` and all that is around the collection."""

__version__ = "0.1.0"
