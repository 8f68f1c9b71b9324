#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_review
short_description: Review several areas of a host in one round trip
version_added: 0.1.0
description:
  - Runs the reviews of P(upkeep.maintenance.patch_info#module) and P(upkeep.maintenance.capacity_info#module) one after
    another in one process. A task costs a host about as much as a ping, so the weekly review of a fleet is one task.
  - An area that fails becomes a finding of its own; the other areas stand.
  - It reads only. The one file that it may write is the small history that O(capacity.history_path) names.
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
options:
  patch:
    description:
      - Options of P(upkeep.maintenance.patch_info#module), an empty dictionary for its defaults.
      - The patch state is not reviewed when this is not given.
    type: dict
  capacity:
    description:
      - Options of P(upkeep.maintenance.capacity_info#module), an empty dictionary for its defaults.
      - The capacity is not reviewed when this is not given.
    type: dict
seealso:
  - module: upkeep.maintenance.patch_info
  - module: upkeep.maintenance.capacity_info
"""

EXAMPLES = r"""
- name: Review the patch state and the capacity of a host
  upkeep.maintenance.host_review:
    patch: {}
    capacity:
      history: false
"""

RETURN = r"""
findings:
  description: What a person should know of, from all areas.
  returned: always
  type: list
  elements: dict
  sample:
    - check: patch.security.pending
      subject: apt
      severity: high
      summary: 3 security updates are pending.
      evidence: ["openssl 3.0.16-1 -> 3.0.17-1 (Debian-Security)"]
      remedy: apt-get install --only-upgrade openssl
      facts: {}
coverage:
  description: The checks that ran to their end, with their subjects (V(*) for all that there are).
  returned: always
  type: list
  elements: dict
  sample: [{check: patch.security.pending, subject: "*"}]
not_applicable:
  description: The checks that do not apply to this host, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: [{check: capacity.disk.failing, why: smartctl is not installed, force: apt-get install smartmontools}]
patch:
  description: What P(upkeep.maintenance.patch_info#module) returns, without the three keys above.
  returned: when O(patch) is given
  type: dict
capacity:
  description: What P(upkeep.maintenance.capacity_info#module) returns, without the three keys above.
  returned: when O(capacity) is given
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._areas import ARGUMENT_SPEC, review_areas
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, required_one_of=[list(ARGUMENT_SPEC)], supports_check_mode=True)
    module.exit_json(changed=False, **review_areas(Host(), module.params, module.check_mode))


if __name__ == "__main__":
    main()
