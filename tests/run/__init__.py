# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``./run-tests`` does: the parts, the machine that they need, and the report of what came of it."""
