# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What every module that only looks has in common."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do without changing the host.
    support: full
    details: It changes nothing in either mode.
  diff_mode:
    description: Shows what it changed, or would change, in diff mode.
    support: N/A
    details: It changes nothing.
  platform:
    description: The hosts that it works on.
    platforms: posix
    support: full
    details: Linux with Python 3.8 or newer.
"""
