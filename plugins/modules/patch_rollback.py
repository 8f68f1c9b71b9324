#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: patch_rollback
short_description: Put the packages of a plan back to what they were, and verify it
version_added: 0.1.0
description:
  - Takes each package back to the version that the journal names, from the packages that
    M(upkeep.maintenance.patch_prepare) kept. It needs no mirror, and does not run again the script that failed.
  - A transaction of the plan that hangs is given the rest of its time, and is ended then.
  - Services that were up before are brought up again. What could not go back is told by the critical
    C(patch.rollback.incomplete), with the state of each package.
author:
  - Upkeep contributors (@upkeep)
options:
  plan_id:
    description: The plan to take back. Without it, the one that was last worked on.
    type: str
  restart_services:
    description: Restart the services that still run the code that was taken back.
    type: bool
    default: true
  restart_never:
    description: Shell patterns of units that are left alone, and told.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for the end of the transaction.
    type: int
    default: 3600
  lock_timeout:
    description: Seconds to wait for another package manager, or another session of Upkeep. Then its holder is named.
    type: int
    default: 300
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do without changing the host.
    support: full
  diff_mode:
    description: Shows what it changed, or would change, in diff mode.
    support: full
  platform:
    description: The hosts that it works on.
    platforms: posix
    support: full
    details: Linux with Python 3.8 or newer, and apt or dnf 4.
seealso:
  - module: upkeep.maintenance.patch_apply
"""

EXAMPLES = r"""
- name: Put back what was last applied
  upkeep.maintenance.patch_rollback:

- name: Put back one plan
  upkeep.maintenance.patch_rollback:
    plan_id: p-0123456789ab
"""

RETURN = r"""
packages:
  description: Each package of the plan, and what is on the host now.
  returned: always
  type: list
  elements: dict
  sample: [{name: openssl, arch: amd64, from: 3.0.16-1, to: 3.0.17-1, now: 3.0.17-1, state: "", done: true}]
services:
  description:
    - What became of services. Its C(action) is V(restarted), V(left) (told only), V(never) (only a reboot, or
      you, bring it to the new code), V(failed), or in check mode V(expected).
  returned: always
  type: list
  elements: dict
  sample: [{unit: nginx.service, action: restarted, why: "it runs replaced code (/usr/lib/libssl.so.3)"}]
reboot:
  description: Whether a reboot is due and why, and what forbids it now - an sshd that would not come up again.
  returned: always
  type: dict
  sample: {needed: false, why: [], blocked: ""}
seconds:
  description: How long the programs of the transaction ran.
  returned: always
  type: float
  sample: 12.5
left:
  description: What is not as it was.
  returned: always
  type: list
  elements: str
  sample: []
plan_id:
  description: The plan.
  returned: always
  type: str
  sample: p-0123456789ab
phase:
  description:
    - How far the journal on the host is - V(prepared), V(applying), V(applied), V(restarted), V(rolling_back) or
      V(rolled_back). Empty when there is none.
  returned: always
  type: str
  sample: rolled_back
ok:
  description: Whether the step succeeded. When it is V(false) the task has failed, and its message says why.
  returned: always
  type: bool
  sample: true
log:
  description: The transaction's log on the host.
  returned: when there is a journal
  type: str
  sample: /var/lib/upkeep/patching/p-0123456789ab/transaction.log
findings:
  description: What a person should know of. The names of the checks are stable.
  returned: always
  type: list
  elements: dict
  sample: []
coverage:
  description: The checks that ran to their end, with their subjects.
  returned: always
  type: list
  elements: dict
  sample: [{check: patch.rollback.failed, subject: "*"}]
not_applicable:
  description: The checks that do not apply, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.options import ROLLBACK_SPEC, errors_of
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.rollback import rollback
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import Cancelled, cancellable


def main() -> None:
    module = AnsibleModule(argument_spec=ROLLBACK_SPEC, supports_check_mode=True)
    errors = errors_of(module.params)
    if errors:
        module.fail_json(msg="The options of patch_rollback make no sense: %s" % "; ".join(errors))
    try:
        with cancellable():
            result = rollback(Host(), dict(module.params, check_mode=module.check_mode))
    except Cancelled as cancelled:
        module.fail_json(
            msg="It was cancelled (%s). A way back that had begun goes on; patch_rollback follows it to its end."
            % cancelled
        )
    if result["ok"]:
        module.exit_json(**result)
    module.fail_json(**result)


if __name__ == "__main__":
    main()
