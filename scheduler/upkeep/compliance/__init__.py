# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether hosts get their patches in the days that the policy gives them, and how long they took."""
