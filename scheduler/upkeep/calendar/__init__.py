# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is due and what is to be done with it: windows, freezes, holidays, jitter, what was missed. Pure.

Of the day's times (schedule.py) this makes decisions: see decide.py, which is all that the service needs.
"""
