#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: patch_apply
short_description: Carry out a prepared plan in one transaction, verify it, and go on wherever it was interrupted
version_added: 0.1.0
description:
  - Installs exactly the packages that M(upkeep.maintenance.patch_prepare) fetched, in one transaction, without
    network. No
    question is asked, and configuration files that were changed on the host are kept and told.
  - Success is what is on the host afterwards, never an exit code. C(apt-get) ends with 0 over a service that died, dnf
    says
    C(Complete!) over a scriptlet that failed.
  - The transaction is a process of its own (the unit C(upkeep-patch-PLANID)). It outlives this module, its connection
    and
    the controller, and an orderly shutdown waits for it. The next call finds it, follows it when it still runs, and
    finishes
    what a kill, a reboot or a power cut has left half done. There is never a second one beside it.
  - At the end of O(timeout) the transaction is not ended, for half-installed packages are worse than a late host.
author:
  - Upkeep contributors (@upkeep)
options:
  plan:
    description: The plan that was prepared.
    type: dict
    required: true
  restart_services:
    description:
      - Restart the services that still run replaced code, in the order of their dependencies, sshd last and only when
        C(sshd -t) is content. Each must stay up. Otherwise they are told only.
      - The message bus, logins and the network are never restarted. They are reasons for a reboot.
    type: bool
    default: false
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
  assume_prepared:
    description:
      - In check mode, take the plan for prepared, as M(upkeep.maintenance.patch_prepare) would have prepared it
        before in the same run. Otherwise a plan that was rolled back here is refused, as without check mode.
    type: bool
    default: false
  ends:
    description:
      - When the maintenance window closes, as an epoch in seconds. Nothing is begun that does not fit before, its way
        back included; what is begun is finished. V(0) for no window.
    type: float
    default: 0
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
  - module: upkeep.maintenance.patch_prepare
  - module: upkeep.maintenance.patch_rollback
"""

EXAMPLES = r"""
- name: Apply what was prepared
  upkeep.maintenance.patch_apply:
    plan: "{{ planned.plan }}"
    restart_services: true
    restart_never: [postgresql@*.service]
  register: applied

- name: See what it would do
  upkeep.maintenance.patch_apply:
    plan: "{{ planned.plan }}"
  check_mode: true
  diff: true
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
conffiles:
  description: Configuration files that were kept, each with the package's new one.
  returned: always
  type: list
  elements: str
  sample: ["/etc/ssh/sshd_config (/etc/ssh/sshd_config.dpkg-dist)"]
transaction:
  description: The unit in which the transaction ran.
  returned: always
  type: str
  sample: upkeep-patch-p-0123456789ab.service
interrupted:
  description: What had interrupted an earlier call.
  returned: when one was interrupted
  type: str
  sample: the host went down
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
  sample: restarted
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
  sample: [{check: patch.apply.failed, subject: "*"}]
not_applicable:
  description: The checks that do not apply, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.options import APPLY_SPEC, errors_of
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.apply import apply
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import Cancelled, cancellable


def main() -> None:
    module = AnsibleModule(argument_spec=APPLY_SPEC, supports_check_mode=True)
    errors = errors_of(module.params)
    if errors:
        module.fail_json(msg="The options of patch_apply make no sense: %s" % "; ".join(errors))
    try:
        with cancellable():
            result = apply(Host(), dict(module.params, check_mode=module.check_mode))
    except Cancelled as cancelled:
        module.fail_json(
            msg="It was cancelled (%s). A transaction that had begun goes on; patch_apply follows it to its end."
            % cancelled
        )
    if result["ok"]:
        module.exit_json(**result)
    module.fail_json(**result)


if __name__ == "__main__":
    main()
