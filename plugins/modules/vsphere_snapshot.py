#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vsphere_snapshot
short_description: Take a vSphere snapshot of a machine before a change, revert to it, and leave none behind
version_added: 0.1.0
description:
  - Takes a snapshot of a virtual machine by vCenter (or an ESXi host), removes it, or takes the machine back to it.
    Tried with pyvmomi 9.1 against a simulated vCenter.
  - A snapshot is found again by the mark in its description (C(upkeep.snapshot.NAME.TIME.1)), never by its name alone.
    Snapshots of anybody else are never removed and never reverted to.
  - No task is believed for its success. What was asked for is seen to be so by reading the machine again.
  - A task of the machine that is still at work, also one that an earlier run began and lost, is waited for first. So
    there is never a second snapshot of the same name.
  - It asks from where it runs, as a rule the controller (C(delegate_to) V(localhost)), and never needs the guest.
requirements:
  - pyvmomi 8.0.1 or newer, where it runs
author:
  - Upkeep contributors (@upkeep)
options:
  state:
    description:
      - V(present) - there is a snapshot of O(name) that is no older than O(max_age_hours). One that the machine was
        reverted to is removed, and a new one is taken.
      - V(absent) - there is none of O(name).
      - V(reverted) - the machine is as it was when the snapshot of O(name) was taken. The snapshot stays, and remembers
        that it was reverted to. Asked for again, nothing is done.
    type: str
    choices: [present, absent, reverted]
    default: present
  name:
    description:
      - What the snapshot is found again by, 1 to 48 of the letters, digits and C(- _ .). Give each run a name of its
        own, such as the identity of its plan, and what is left of an earlier one is never taken for this one's.
    type: str
    default: upkeep
  hostname:
    description: The vCenter, or an ESXi host that no vCenter manages. Otherwise the environment's E(VMWARE_HOST).
    type: str
    required: true
  port:
    description: Its port.
    type: int
    default: 443
  username:
    description: Who to log in as. Otherwise the environment's E(VMWARE_USER).
    type: str
    required: true
  password:
    description: The password. It is not logged or shown. Otherwise the environment's E(VMWARE_PASSWORD).
    type: str
    required: true
  verify:
    description: Whether the certificate of the server must be trusted and bear its name.
    type: bool
    default: true
  ca_file:
    description: Certificates to trust in place of the system's own, in PEM.
    type: path
  vm:
    description:
      - The machine, by its name as vCenter shows it, or by its path (V(/DC/vm/folder/name)). A name that several
        machines have is refused, with their paths.
    type: str
  uuid:
    description: The machine, by its BIOS or instance UUID, in place of O(vm).
    type: str
  datacenter:
    description: The datacenter that it is in. None given, all are looked through.
    type: str
  comment:
    description: Why, for who looks at the snapshots, such as a campaign's name. Up to 200 characters.
    type: str
    default: ""
  memory:
    description: Whether the machine's memory is part of the snapshot. It takes as much room, and stops it meanwhile.
    type: bool
    default: false
  quiesce:
    description:
      - Whether VMware Tools bring the guest's file systems into a consistent state for it. A machine that is off needs
        none of it.
      - V(required) - without, there is no snapshot. vSphere itself drops the wish in silence where Tools do not run, so
        the snapshot is looked at afterwards, and removed again when it did not come true.
      - V(wanted) - without, there is one all the same, as after a power cut, and a finding says so.
    type: str
    choices: [required, wanted, never]
    default: wanted
  partial:
    description: Whether disks that a snapshot leaves out (independent ones) are accepted. They do not go back with it.
    type: bool
    default: false
  room_percent:
    description:
      - Percent of each datastore of the machine that must be free before. With O(memory), room for that comes on top,
        on the one that it goes to.
    type: int
    default: 10
  max_age_hours:
    description:
      - Hours after which a snapshot of ours, of whatever name, is too old. V(present) and V(absent) remove those of
        this machine, and V(reverted) refuses to go back to one. 0 is never.
      - The default is the most that VMware's own advice allows a snapshot.
    type: int
    default: 72
  power_on:
    description:
      - Whether V(reverted) powers a machine on that was on when the snapshot was taken. Without memory in the snapshot,
        vSphere leaves it off.
    type: bool
    default: true
  timeout:
    description:
      - Seconds for each task of vCenter. One that does not end is cancelled where it can be; otherwise it goes on, and
        the next call waits for it.
    type: int
    default: 1800
  answer_timeout:
    description: Seconds within which each question must be answered, whatever the server does.
    type: int
    default: 60
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do without changing anything.
    support: full
    details: It logs in and looks at the machine, and fails as it would without check mode.
  diff_mode:
    description: Shows what it changed, or would change, in diff mode.
    support: full
  platform:
    description: The machines that it runs on.
    platforms: posix
    support: full
    details: Python 3.8 or newer, with pyvmomi.
notes:
  - The account needs the privileges C(VirtualMachine.State.CreateSnapshot), C(RemoveSnapshot), C(RevertToSnapshot) and
    C(RenameSnapshot), and C(VirtualMachine.Interact.PowerOn), on the machine, C(System.Read) on its datastores, and
    C(Global.CancelTask) to end a task that takes too long.
seealso:
  - module: upkeep.maintenance.host_snapshot
  - name: Best practices for using VMware snapshots
    description: VMware's knowledge base, article 1025279 (now Broadcom's 318825).
    link: https://knowledge.broadcom.com/external/article/318825
"""

EXAMPLES = r"""
- name: The way back, before the change
  upkeep.maintenance.vsphere_snapshot:
    hostname: vcenter.example.com
    username: upkeep@vsphere.local
    password: "{{ vcenter_password }}"
    vm: "{{ inventory_hostname_short }}"
    name: "{{ plan.id }}"
    quiesce: required
  delegate_to: localhost

- name: It went well, so the snapshot goes
  upkeep.maintenance.vsphere_snapshot:
    hostname: vcenter.example.com
    username: upkeep@vsphere.local
    password: "{{ vcenter_password }}"
    vm: "{{ inventory_hostname_short }}"
    name: "{{ plan.id }}"
    state: absent
  delegate_to: localhost
"""

RETURN = r"""
snapshots:
  description: Our snapshots of that name, as they are in the end, or would be in check mode.
  returned: always
  type: list
  elements: dict
  sample:
    - {backend: vsphere, volume: web1, name: p-0123456789ab, created: 1790000000, state: taken, quiesced: true,
       memory: false, power: poweredOn, comment: "change 4711", current: true}
swept:
  description: Those that were removed, or would be.
  returned: always
  type: list
  elements: dict
  sample: []
left:
  description: Those that should be gone and are there, each with C(why).
  returned: always
  type: list
  elements: dict
  sample: []
others:
  description: How many snapshots of anybody else the machine has.
  returned: always
  type: int
  sample: 0
chain:
  description: How many snapshots the machine's disks are behind, one upon another.
  returned: always
  type: int
  sample: 1
vm:
  description: The machine. Empty when it could not be found.
  returned: always
  type: dict
  sample: {name: web1, path: /DC/vm/web1, uuid: 420f6d2a-0000-4000-8000-000000000001, power: poweredOn}
consolidation_needed:
  description: Whether vCenter says that the machine's disks must be consolidated.
  returned: always
  type: bool
  sample: false
reboot:
  description: As of M(upkeep.maintenance.patch_rollback). None is needed, as a machine that went back was started anew.
  returned: always
  type: dict
  sample: {needed: false, why: [], blocked: ""}
findings:
  description:
    - C(patch.snapshot.failed) when it could not be taken or reverted to, C(patch.snapshot.unsupported) when it lacks
      something or there can be none, C(patch.snapshot.left) when one of ours should be gone and is there, or disks must
      be consolidated, C(patch.snapshot.chain) for your information when there are three or more in a row.
  returned: always
  type: list
  elements: dict
  sample: []
coverage:
  description: The checks that ran to their end. Empty in check mode.
  returned: always
  type: list
  elements: dict
  sample: [{check: patch.snapshot.failed, subject: web1}]
not_applicable:
  description: The checks that do not apply.
  returned: always
  type: list
  elements: dict
  sample: []
"""

import copy

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import Cancelled, cancellable
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.vsphere import snapshot
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.vsphere_client import LIBRARY_ERROR
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.vsphere_options import SPEC, errors_of


def main() -> None:
    spec = copy.deepcopy(SPEC)
    for name, variable in (("hostname", "HOST"), ("username", "USER"), ("password", "PASSWORD")):
        spec[name]["fallback"] = (env_fallback, ["VMWARE_" + variable])
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    errors = errors_of(module.params)
    if errors:
        module.fail_json(msg="The options of vsphere_snapshot make no sense: %s" % "; ".join(errors))
    if LIBRARY_ERROR:
        module.fail_json(msg=missing_required_lib("pyvmomi"), exception=LIBRARY_ERROR)
    try:
        with cancellable():
            result = snapshot(module.params, module.check_mode)
    except Cancelled as cancelled:
        module.fail_json(
            msg="It was cancelled (%s). A task that vCenter had begun goes on; the next call waits for it." % cancelled
        )
    if not result.pop("ok"):
        module.fail_json(**result)
    result.pop("msg")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
