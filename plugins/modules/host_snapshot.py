#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_snapshot
short_description: Take, remove or revert to a snapshot of a host's volumes
version_added: 0.1.0
description:
  - Takes snapshots of the volumes that a patch changes - all of them, or none - with btrfs, LVM or ZFS, whichever each
    volume lies on; removes them; or puts the volumes back to them.
  - Room is looked at first. What was done is seen by reading it again.
  - A snapshot is ours by a mark that it bears, never by its name alone. What somebody else made is not touched.
  - A set that was left half taken or half removed, by a lost connection for instance, is seen by the next run and
    mended.
  - LVM and ZFS are driven by what their documentation says; the project itself could run only btrfs (6.2 and later).
author:
  - Upkeep contributors (@upkeep)
options:
  state:
    description:
      - V(present) takes the snapshots, unless a whole set of that O(name) is there. One that is older than
        O(max_age_hours), or that was reverted to, is used up - it is removed, and a new one taken.
      - V(absent) removes all of that O(name), and what a revert kept.
      - V(reverted) puts each volume of the set back. Everything written to it since is gone from sight, logs and
        databases included. A set that is older than O(max_age_hours) is refused.
    type: str
    choices: [present, absent, reverted]
    default: present
  name:
    description:
      - By what name it is found again - 1 to 48 letters, digits and any of C(-_.). The id of a plan is a good one.
    type: str
    default: upkeep
  backend:
    description: What the volumes must lie on; V(auto) takes what each one does lie on.
    type: str
    choices: [auto, btrfs, lvm, zfs]
    default: auto
  volumes:
    description:
      - Mount points. V(auto) stands for those that hold what packages write - the ones of C(/), C(/usr), C(/etc),
        C(/opt), C(/var), C(/var/lib) and of the package database.
      - C(/boot) is not among them; what is not in the snapshot is told by RV(not_included).
      - They are read for O(state=present) only. V(absent) and V(reverted) find what the set is made of by themselves.
    type: list
    elements: str
    default: [auto]
  max_age_hours:
    description:
      - Hours after which a snapshot of ours, of any name, is swept by O(state=present) and O(state=absent). What could
        not be removed is told by C(patch.snapshot.left). 0 sweeps none.
    type: int
    default: 72
  size_percent:
    description:
      - With LVM's classic snapshots, the room for each one, in percent of its volume. One that more is changed in
        overflows, and is worth nothing then; that is told.
    type: int
    default: 20
  room_percent:
    description: Percent of the btrfs filesystem, the thin pool or the ZFS pool that must be free.
    type: int
    default: 10
  timeout:
    description: Seconds for each command, and to wait for another run of this module.
    type: int
    default: 300
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do without changing the host.
    support: full
    details: Room is looked at too.
  diff_mode:
    description: Shows what it changed, or would change, in diff mode.
    support: full
  platform:
    description: The hosts that it works on.
    platforms: posix
    support: full
    details: Linux with Python 3.8 or newer and a kernel from 4.18, as root.
notes:
  - A btrfs volume must be a subvolume of its own that is mounted by its name (C(subvol=)) or as the default one. Other
    subvolumes below it are not in its snapshot; they are told, and come along when it is reverted.
  - With btrfs, what a revert replaced is kept until O(state=absent); with LVM and ZFS it is lost, and RV(undo) says so.
  - LVM removes a snapshot by reverting to it. ZFS can revert only to the newest snapshot of a dataset.
seealso:
  - module: upkeep.maintenance.vsphere_snapshot
  - module: upkeep.maintenance.patch_rollback
"""

EXAMPLES = r"""
- name: Before a patch
  upkeep.maintenance.host_snapshot:
    name: "{{ plan.id }}"

- name: It went wrong
  upkeep.maintenance.host_snapshot:
    name: "{{ plan.id }}"
    state: reverted
  register: back

- name: What runs from a volume that was put back must start anew
  ansible.builtin.reboot:
  when: back.reboot.needed

- name: All is well
  upkeep.maintenance.host_snapshot:
    name: "{{ plan.id }}"
    state: absent
"""

RETURN = r"""
snapshots:
  description:
    - The snapshots of that name, as they are in the end. C(state) is V(taken), V(reverting) (a reboot carries it out),
      V(reverted), or V(invalid) (it overflowed, and is worth nothing).
    - C(replaced) is where the revert kept what was there before, empty when it did not.
  returned: always
  type: list
  elements: dict
  sample:
    - backend: btrfs
      volume: /
      name: p-0123456789ab
      created: 1763856000
      where: /.upkeep-snapshots/upkeep.snapshot.p-0123456789ab.1763856000.1/256
      state: taken
      replaced: ""
swept:
  description: Those of ours that were too old, half taken or used up, and were removed (in check mode, would be).
  returned: always
  type: list
  elements: dict
  sample: []
left:
  description: Those of ours that should be gone and are there, each with why.
  returned: always
  type: list
  elements: dict
  sample: []
not_included:
  description: What is seen below the volumes and is not in the snapshot - other filesystems, and subvolumes.
  returned: always
  type: list
  elements: dict
  sample: [{path: /boot, why: another filesystem}]
undo:
  description: After a revert, how to take that back, or that it cannot be.
  returned: always
  type: list
  elements: str
  sample: []
reboot:
  description: Whether a reboot is due for the revert to take effect, why, and what forbids it now.
  returned: always
  type: dict
  sample: {needed: false, why: [], blocked: ""}
milliseconds:
  description: How long taking all snapshots, or reverting, took.
  returned: always
  type: float
  sample: 16.4
findings:
  description:
    - C(patch.snapshot.failed) - not taken, or not put back. C(patch.snapshot.left) - one of ours should be gone.
      C(patch.snapshot.unsupported) - a volume that cannot have one, or what it lacks.
  returned: always
  type: list
  elements: dict
  sample: []
coverage:
  description: The checks that ran to their end. Empty in check mode.
  returned: always
  type: list
  elements: dict
  sample: [{check: patch.snapshot.left, subject: "*"}]
not_applicable:
  description: The checks that do not apply.
  returned: always
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.options import SPEC, errors_of
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.snapshot import snapshot


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    errors = errors_of(module.params)
    if errors:
        module.fail_json(msg="The options of host_snapshot make no sense: %s" % "; ".join(errors))
    result = snapshot(Host(), dict(module.params, check_mode=module.check_mode))
    if not result.pop("ok"):
        module.fail_json(**result)
    result.pop("msg")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
