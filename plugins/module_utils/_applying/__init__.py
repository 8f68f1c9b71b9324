# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan carried out: prepare, apply, and the way back. The journal and the truth on the host decide what is left.

Pure: journal (its model), progress, apt_output, dnf_output, order. The transaction itself runs in runner.py, a process
of its own that outlives this one.
"""
