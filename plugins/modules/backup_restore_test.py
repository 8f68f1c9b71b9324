#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_restore_test
short_description: Restore backups of borg, or of any program, on trial
version_added: 0.2.0
description:
  - Restores a snapshot into a scratch place with room seen to first, compares each name with the snapshot's own
    list (type,
    size, mode, owner, time; borg) and, with O(compare=true), with the live file that has not changed since
    (content, links,
    attributes), measures the time, and cleans up whatever happens.
  - The list is kept in a temporary file (of SQLite's; some 300 bytes a name, in E(TMPDIR) or /var/tmp), so that
    memory does not grow with it.
  - In check mode it tells what it would restore and how much room that takes.
  - Tried with borg 1.2.4 (Debian 12).
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
  - upkeep.maintenance.backup_engine
options:
  snapshot:
    description: The snapshot, or V(latest).
    type: str
    default: latest
  host:
    description: Take the latest one of this host.
    type: str
  paths:
    description: Restore these paths only (borg), as the snapshot has them, with a slash before.
    type: list
    elements: str
    default: []
  expected_bytes:
    description: Bytes that a restore takes, where the program does not tell.
    type: int
  compare:
    description: Compare with the live files too. Only where the backup is this host's.
    type: bool
    default: false
  source_root:
    description: The folder that stands for the root of the live files.
    type: path
    default: /
  scratch:
    description: The folder in which scratch places are made.
    type: path
    default: /var/lib/upkeep/scratch
  run:
    description: The run that this test belongs to, told when something of it is found later.
    type: str
    default: ""
seealso:
  - module: upkeep.maintenance.restic_info
"""

EXAMPLES = r"""
- name: Restore the newest backup on trial, and compare it with the live files
  upkeep.maintenance.backup_restore_test:
    repositories:
      - name: offsite
        engine: borg
        repository: ssh://backup@backup.example.org/./host1
        password_file: /etc/borg/passphrase
    compare: true
"""

RETURN = r"""
restores:
  description: What came of each.
  returned: always
  type: list
  elements: dict
  sample: [{name: offsite, outcome: passed, snapshot: daily-1, files: 1000, bytes: 5000000, seconds: 2.1}]
swept:
  description: What earlier tests had left behind and was cleared away first.
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
  sample: [{check: backup.restore.content_mismatch, subject: offsite}]
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
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.engine_review import restore_test
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.module import carry_out
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_engine import RESTORE_SPEC


def main() -> None:
    module = AnsibleModule(argument_spec=RESTORE_SPEC, supports_check_mode=True)
    carry_out(module, restore_test, "The restore test was cancelled")


if __name__ == "__main__":
    main()
