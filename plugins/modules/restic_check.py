#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restic_check
short_description: Check restic repositories, all of their structure and a part of their data
version_added: 0.1.0
description:
  - Checks the structure of each repository, and reads a part of its data and compares it with its digests. The parts
    take turns, so that all data is read within O(weeks) weeks; that it is not is a finding.
  - What is broken is named by pack, file and snapshot, with the commands that save what can be saved, as this version
    of restic has them.
  - It only reads. It takes no lock and removes none; a stale lock is told with its host, process and age. When others
    write to the repository meanwhile, an error of the structure counts only if a second check finds it too.
  - It leaves restic's cache aside, as the cache would prove the host's copy instead of the repository.
  - The module keeps its place in O(state_file) on the host, and there the packs that were found damaged, which it reads
    again each time until they are repaired. In check mode it tells what it would read, and keeps nothing.
  - Tried with restic 0.14 (Debian 12), 0.18 and 0.19.
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
  - upkeep.maintenance.restic
options:
  discover:
    description: Check the repositories too that the host's units, cron lines and programs around restic name.
    type: bool
    default: true
  data:
    description: Read data too, and not the structure alone.
    type: bool
    default: true
  full:
    description: Read all data now.
    type: bool
    default: false
  weeks:
    description:
      - Weeks within which all data is read, from 1 to 256.
      - Of a repository with few packs a larger part is read at once, for the parts hold eight packs or more.
    type: int
    default: 8
  new_packs:
    description: How many packs that came since the last run are read as well, before the turn of their part.
    type: int
    default: 16
  state_file:
    description: Where the module keeps its place.
    type: path
    default: /var/lib/upkeep/backups/restic_check.json
notes:
  - The exit code of C(restic check) is 0 while a data pack holds a wrong byte. Only reading the data tells.
  - With restic 0.14, a pack that is gone makes restic try again for minutes; O(idle_timeout) ends that, and what was
    found until then is told.
seealso:
  - module: upkeep.maintenance.host_review
"""

EXAMPLES = r"""
- name: Check the structure, and an eighth of the data
  upkeep.maintenance.restic_check:
    repositories:
      - name: offsite
        repository: sftp:backup@backup.example.org:/srv/restic/web1
        password_file: /etc/restic/password
    bandwidth: 20000

- name: Read everything, as after a fault of the storage
  upkeep.maintenance.restic_check:
    repositories:
      - name: local
        repository: /srv/restic
        password_command: cat /etc/restic/password
    full: true
    timeout: 86400
"""

RETURN = r"""
repositories:
  description: What was done with each repository.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: offsite
    location:
      description: Where it is, without secrets.
      type: str
      sample: sftp:backup@backup.example.org:/srv/restic/web1
    outcome:
      description: V(sound), V(damaged), V(cannot) when it could not be checked to the end, V(not run) in check mode.
      type: str
      sample: sound
    why:
      description: Why it could not be checked.
      type: str
      sample: the password is wrong
    id:
      description: The repository's own id.
      type: str
      sample: 98f58896bcc80d7a313b5f256b8b81df6f07d1e846890101d4ec8cd0b68ebe8b
    restic:
      description: The version that checked it.
      type: str
      sample: 0.14.0
    snapshots:
      description: How many snapshots it has.
      type: int
      sample: 31
    packs:
      description: How many packs it has.
      type: int
      sample: 812
    planned:
      description: What was due, as restic's C(n/t).
      type: dict
      sample: {groups: [3], of: 8, packs: 101}
    read:
      description: What was read to its end.
      type: dict
      sample: {groups: [3], of: 8, packs: 101, new_packs: 4}
    coverage:
      description: How many of the packs were read within O(weeks), and when the part that waits longest was read.
      type: dict
      sample: {weeks: 8, packs: 812, read: 812, percent: 100.0, oldest: 1790000000.0}
    locks:
      description: The locks that were there.
      type: list
      elements: dict
      sample: []
    seconds:
      description: How long restic checked.
      type: float
      sample: 41.5
    ended_by:
      description: The limit that ended the check, V(timeout) or V(idle).
      type: str
      sample: idle
    confirmed:
      description: That others wrote to the repository meanwhile, and what is told was found twice.
      type: bool
      sample: true
    not_named:
      description: Why the files that are touched could not be named.
      type: str
      sample: the repository is damaged
    state:
      description: Why the reading began anew.
      type: str
      sample: "begun anew: it is not JSON"
findings:
  description: What a person should know of. The names of the checks are stable.
  returned: always
  type: list
  elements: dict
  sample:
    - check: backup.data.damaged
      subject: offsite
      severity: critical
      summary: "1 pack in the repository offsite does not hold what was written: 3 files touched, in 2 snapshots."
      evidence: ["file /srv/www/index.html"]
      remedy: restic repair packs 60d6f82b9c3a8cdca85dba7b3518dbd134d9ad26c1bffd4d184b9ac49c0e02b8
      facts: {}
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
  description: What was proven, for the auditor.
  returned: always
  type: list
  elements: dict
  sample:
    - check: backup.data.read
      subject: offsite
      outcome: passed
      started: 1790000000.0
      ended: 1790000041.5
      summary: "105 of 812 packs of offsite were read and compared with their digests: nothing is wrong."
      facts: {groups: [3/8]}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.check import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.info import repositories
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.module import carry_out
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_check import ARGUMENT_SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host


def _checked(host: Host, options: dict[str, Any]) -> dict[str, Any]:
    found, _unclear = repositories(host) if options["discover"] else ([], [])  # restic_info tells what is unclear
    return review(host, options, found)


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    carry_out(module, _checked, "The check was cancelled")


if __name__ == "__main__":
    main()
