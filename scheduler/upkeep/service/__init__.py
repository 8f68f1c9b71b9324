# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`upkeep scheduler`: who leads, what is claimed, started and followed. What is due, calendar/decide.py says."""
