# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options of the callback plugin, which bears two names: see playbooks/callback_plugins/upkeep_findings.py."""

    DOCUMENTATION = r"""
options:
  results_file:
    description:
      - Where to leave the results of the run, one JSON record a line, for C(upkeep record FILE).
      - No file is left when this is not set. A file that is there already is replaced at the end of the run.
    type: path
    env:
      - name: UPKEEP_RESULTS_FILE
    ini:
      - section: callback_upkeep
        key: results_file
  table_rows:
    description: How many findings the table shows at the most, the worst first.
    type: int
    default: 100
    env:
      - name: UPKEEP_TABLE_ROWS
    ini:
      - section: callback_upkeep
        key: table_rows
"""
