#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: Tell whether the backups of borg, or of any program, are as agreed
version_added: 0.2.0
description:
  - Lists the snapshots of repositories of borg, or of whatever program by a command of your own, and judges their age,
    rhythm, size and retention as M(upkeep.maintenance.restic_info) does. It changes nothing.
  - Tried with borg 1.2.4 (Debian 12).
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
  - upkeep.maintenance.backup_engine
  - upkeep.maintenance.backup_policy
seealso:
  - module: upkeep.maintenance.restic_info
"""

EXAMPLES = r"""
- name: Review the backups of borg and of an appliance
  upkeep.maintenance.backup_info:
    repositories:
      - name: offsite
        engine: borg
        repository: ssh://backup@backup.example.org/./host1
        password_file: /etc/borg/passphrase
      - name: appliance
        engine: command
        list_command: [/usr/local/sbin/appliance, list, --json]
        check_command: [/usr/local/sbin/appliance, verify]
        restore_command: [/usr/local/sbin/appliance, restore, "{snapshot}", "{target}"]
"""

RETURN = r"""
repositories:
  description: The repositories, and whether they open.
  returned: always
  type: list
  elements: dict
  sample: [{name: offsite, engine: borg, version: 1.2.4, opened: true, fault: null, snapshots: 31}]
series:
  description: The series of snapshots in them.
  returned: always
  type: list
  elements: dict
  sample: []
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
  sample: [{check: backup.snapshot.stale, subject: offsite}]
not_applicable:
  description: The checks that do not apply, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.engine_review import info
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.module import carry_out
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_engine import INFO_SPEC


def main() -> None:
    module = AnsibleModule(argument_spec=INFO_SPEC, supports_check_mode=True)
    carry_out(module, info, "The review was cancelled")


if __name__ == "__main__":
    main()
