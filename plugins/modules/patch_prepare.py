#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: patch_prepare
short_description: Fetch a plan's packages, keep the way back, and see that the transaction can be done
version_added: 0.1.0
description:
  - Does before the maintenance window all that needs no window. It sees that sshd, the package database, the room on
    every filesystem and the repositories are fit for the transaction, fetches its packages, and keeps the old ones -
    from
    apt's cache or the repository, or made of what is installed (Debian packages only) - so that
    M(upkeep.maintenance.patch_rollback) needs no mirror.
  - Nothing but the plan is prepared. When the package manager would do anything else today, that is told by
    C(patch.plan.changed).
  - It leaves a journal in C(/var/lib/upkeep/patching/PLANID), which says what was there before. The newest five are
    kept. Of a plan without packages, when only a reboot is due, the journal keeps the O(health).
author:
  - Upkeep contributors (@upkeep)
options:
  plan:
    description: The plan, as M(upkeep.maintenance.patch_plan) returned it and a person approved it.
    type: dict
    required: true
  health:
    description: What C(health_info) returned, to be kept in the journal and compared with afterwards.
    type: dict
  mend:
    description:
      - Finish what an interrupted dpkg has left (C(dpkg --configure -a)), within O(timeout). Otherwise the plan is
        refused.
    type: bool
    default: true
  keep_old:
    description:
      - V(required) refuses a plan from which there is no way back. V(wanted) tells it only, for hosts that have a
        snapshot.
        V(never) keeps nothing.
      - No rpm can be made of what is installed. There the old version must be in a repository, or in dnf's cache.
    type: str
    choices: [required, wanted, never]
    default: required
  room_reserve_mib:
    description: MiB that stay free on each filesystem, but at most a tenth of its size.
    type: int
    default: 200
  timeout:
    description: Seconds for each of fetching and mending.
    type: int
    default: 1800
  lock_timeout:
    description: Seconds to wait for another package manager, or another session of Upkeep. Then its holder is named.
    type: int
    default: 300
  ends:
    description:
      - When the maintenance window closes, as an epoch in seconds. Refused is what does not fit before, its way back
        included, by the times that the plan expects and a quarter more. V(0) for no window.
    type: float
    default: 0
  backup:
    description: Refuse to patch what has no backup that was restored lately.
    type: dict
    suboptions:
      max_age_days:
        description: Days within which each backup of the host must have been restored on trial. V(0) asks for none.
        type: int
        default: 0
      results:
        description:
          - How the newest restore test of each backup of this host ended - C(subject), C(kind), C(verdict) (V(passed),
            V(failed) or V(cannot)), C(at) and C(passed), the time of the last one that passed, as epochs in seconds.
          - None given, none is known, and the plan is refused.
        type: list
        elements: dict
        default: []
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do without changing the host.
    support: full
  diff_mode:
    description: Shows what it changed, or would change, in diff mode.
    support: N/A
  platform:
    description: The hosts that it works on.
    platforms: posix
    support: full
    details: Linux with Python 3.8 or newer, and apt or dnf 4.
seealso:
  - module: upkeep.maintenance.patch_plan
  - module: upkeep.maintenance.patch_apply
"""

EXAMPLES = r"""
- name: Prepare what was approved
  upkeep.maintenance.patch_prepare:
    plan: "{{ planned.plan }}"

- name: Prepare on a host that gets a snapshot, and wait longer for unattended-upgrades
  upkeep.maintenance.patch_prepare:
    plan: "{{ planned.plan }}"
    keep_old: wanted
    lock_timeout: 1800
"""

RETURN = r"""
mended:
  description: Whether the package database was (check mode - would be) mended.
  returned: always
  type: bool
  sample: false
kept:
  description: Where the old package of each comes from - V(archive) or V(repacked).
  returned: always
  type: dict
  sample: {"openssl:amd64": archive}
lost:
  description: The packages that have no way back, and why.
  returned: always
  type: list
  elements: str
  sample: []
room:
  description: What the transaction needs on each filesystem.
  returned: always
  type: list
  elements: dict
  sample: [{mount: /, needed_bytes: 104857600, files: 812}]
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
  sample: prepared
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
  sample: [{check: patch.prepare.no_room, subject: "*"}]
not_applicable:
  description: The checks that do not apply, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.options import PREPARE_SPEC, errors_of
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.prepare import prepare
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import Cancelled, cancellable


def main() -> None:
    module = AnsibleModule(argument_spec=PREPARE_SPEC, supports_check_mode=True)
    errors = errors_of(module.params)
    if errors:
        module.fail_json(msg="The options of patch_prepare make no sense: %s" % "; ".join(errors))
    try:
        with cancellable():
            result = prepare(Host(), dict(module.params, check_mode=module.check_mode))
    except Cancelled as cancelled:
        module.fail_json(msg="It was cancelled (%s). Nothing was installed; run it again." % cancelled)
    if result["ok"]:
        module.exit_json(**result)
    module.fail_json(**result)


if __name__ == "__main__":
    main()
