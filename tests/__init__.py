# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests, and what runs them. A package, so that a test may import the fleet: ``from tests.fleet import …``."""
