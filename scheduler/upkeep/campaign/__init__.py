# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns: changing a fleet in stages, each step an ordinary run, each host's state kept."""
