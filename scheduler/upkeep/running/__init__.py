# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out a run: which occurrence it is, with which locks it begins, the playbook itself, and its end."""
