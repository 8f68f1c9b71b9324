# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans carried out, campaigns, and what they need, on the test fleet."""
