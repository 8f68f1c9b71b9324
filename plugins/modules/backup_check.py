#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_check
short_description: Check the repositories of borg, or of any program
version_added: 0.2.0
description:
  - Checks the structure of repositories of borg, with O(data=true) every byte, or has a command of your own check them.
  - In check mode nothing is done.
  - Tried with borg 1.2.4 (Debian 12).
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
  - upkeep.maintenance.backup_engine
options:
  data:
    description: Read and verify all data too (C(borg check --verify-data)).
    type: bool
    default: false
seealso:
  - module: upkeep.maintenance.restic_info
"""

EXAMPLES = r"""
- name: Have an appliance check its backups
  upkeep.maintenance.backup_check:
    repositories:
      - name: appliance
        engine: command
        list_command: [/usr/local/sbin/appliance, list, --json]
        check_command: [/usr/local/sbin/appliance, verify]
        restore_command: [/usr/local/sbin/appliance, restore, "{snapshot}", "{target}"]
"""

RETURN = r"""
repositories:
  description: The repositories, and whether they are damaged.
  returned: always
  type: list
  elements: dict
  sample: [{name: offsite, engine: borg, damaged: false, fault: null}]
findings:
  description: What a person should know of. The names of the checks are those of the restic modules.
  returned: always
  type: list
  elements: dict
  sample: []
coverage:
  description: The checks that ran to their end, with their subjects.
  returned: always
  type: list
  elements: dict
  sample: [{check: backup.structure.damaged, subject: offsite}]
not_applicable:
  description: The checks that do not apply, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: []
proofs:
  description: The auditor's record of each test.
  returned: when a test was made
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.engine_review import check
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.module import carry_out
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_engine import CHECK_SPEC


def main() -> None:
    module = AnsibleModule(argument_spec=CHECK_SPEC, supports_check_mode=True)
    carry_out(module, check, "The check was cancelled")


if __name__ == "__main__":
    main()
