# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Ansible loads what lies beside a playbook by itself: the collection's playbooks need no configuration for the table.
DOCUMENTATION = r"""
name: upkeep_findings
type: aggregate
short_description: The table of findings, brought by the playbooks of the collection
version_added: 0.1.0
author:
  - Upkeep contributors (@upkeep)
description:
  - See P(upkeep.maintenance.findings#callback).
extends_documentation_fragment:
  - upkeep.maintenance.findings
"""

from ansible_collections.upkeep.maintenance.plugins.callback import findings


class CallbackModule(findings.CallbackModule):
    """The same, without the need to be enabled."""

    CALLBACK_NAME = "upkeep_findings"
    CALLBACK_NEEDS_ENABLED = False
