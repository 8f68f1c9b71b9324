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
  - Runs the reviews of P(upkeep.maintenance.patch_info#module), P(upkeep.maintenance.capacity_info#module) and
    P(upkeep.maintenance.restic_info#module) one after another in one process. A task costs a host about as much as a
    ping, so the weekly review of a fleet is one task.
  - An area that fails becomes a finding of its own; the other areas stand.
  - It reads only. The one file that it may write is the small history of the capacity, see O(capacity).
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
        Its C(history_path) names the history, and C(history=false) does without.
      - The capacity is not reviewed when this is not given.
    type: dict
  backup:
    description:
      - Options of P(upkeep.maintenance.restic_info#module), an empty dictionary for its defaults.
      - The backups are not reviewed when this is not given.
    type: dict
seealso:
  - module: upkeep.maintenance.patch_info
  - module: upkeep.maintenance.capacity_info
  - module: upkeep.maintenance.restic_info
"""

EXAMPLES = r"""
- name: Review the patch state, the capacity and the backups of a host
  upkeep.maintenance.host_review:
    patch: {}
    capacity:
      history: false
    backup:
      rpo_hours: 24
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
states:
  description: How the host stands, for whoever keeps the history, as the areas' own modules return it.
  returned: when O(patch) is given
  type: list
  elements: dict
  sample: [{kind: patches, subject: os, data: {verdict: compliant, manager: apt, pending: []}}]
patch:
  description: What P(upkeep.maintenance.patch_info#module) returns, without the keys above.
  returned: when O(patch) is given
  type: dict
capacity:
  description: What P(upkeep.maintenance.capacity_info#module) returns, without the keys above.
  returned: when O(capacity) is given
  type: dict
backup:
  description: What P(upkeep.maintenance.restic_info#module) returns, without the keys above.
  returned: when O(backup) is given
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.upkeep.maintenance.plugins.module_utils._areas import AREAS, review_areas
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options import harmless
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host


def main() -> None:
    module = AnsibleModule(
        # Hidden as a whole, for there are passwords in it: Ansible notes what is not hidden before _options looks.
        argument_spec={
            "patch": {"type": "dict"},
            "capacity": {"type": "dict"},
            "backup": {"type": "dict", "no_log": True},
        },
        required_one_of=[("patch", "capacity", "backup")],
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **review_areas(Host(), _options(module), module.check_mode))


def _options(module: AnsibleModule) -> dict[str, Any]:
    """The options of each area that is asked for, checked and completed as the area's own module would."""
    options = {}
    hidden: set[str] = set()
    for area, (spec, _review) in AREAS.items():
        if module.params[area] is not None:
            checked = ArgumentSpecValidator(spec).validate(module.params[area])
            if checked.error_messages:
                module.fail_json(msg="%s: %s" % (area, "; ".join(checked.error_messages)))
            options[area] = checked.validated_parameters
            hidden |= checked._no_log_values - harmless(checked.validated_parameters)
    # Only the secrets: Ansible would blot out each path and each word of the options wherever it stands in the result.
    module.no_log_values = hidden
    return options


if __name__ == "__main__":
    main()
