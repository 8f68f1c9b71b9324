#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: patch_mitigation
short_description: Stand in for a patch that does not exist yet, and lift that afterwards
version_added: 0.1.0
description:
  - Puts a mitigation of a vulnerability in, such as advisories name them - a kernel setting, a module that must not be
    loaded, a service that is stopped, a file that loses its setuid bit, or a configuration file.
  - What was there before is written down first, in C(/var/lib/upkeep/mitigations/NAME.json), and O(state=absent) puts
    it back. What somebody changed since is left as it is, and told.
  - Whether it is in force is seen by reading, now and by each later M(upkeep.maintenance.patch_plan) - a host with one
    in force is C(mitigated), one that is not in force any more is the finding C(patch.mitigation.lost), and one that
    is left once the host is patched is C(patch.mitigation.left).
author:
  - Upkeep contributors (@upkeep)
options:
  name:
    description: The mitigation. It names files on the host.
    type: str
    required: true
  state:
    description:
      - V(present) puts it in, V(absent) lifts it. Another mitigation of the same name that is there is lifted first.
    type: str
    choices: [present, absent]
    default: present
  cves:
    description:
      - What it stands in for, as the exposure of M(upkeep.maintenance.patch_plan) names it - CVEs, or C(NAME=VERSION)
        of packages.
      - Needed with O(state=present).
    type: list
    elements: str
    default: []
  packages:
    description:
      - The packages that expose the host, with their versions. Once one of them is updated, the next plan tells that
        the mitigation may be over.
    type: dict
    default: {}
  sysctl:
    description:
      - Settings of the kernel with their values. They are set at once, and by a file in C(/etc/sysctl.d) at each boot.
    type: dict
  kernel_module:
    description:
      - Modules that must not be loaded. They are unloaded, and a file in C(/etc/modprobe.d) keeps them away, also
        from an explicit C(modprobe).
      - A module that the initial RAM disk loads comes back at the next boot.
    type: list
    elements: str
  service:
    description:
      - Units that are masked and stopped, with their suffixes. Name the sockets and timers that would start them, too.
    type: list
    elements: str
  file_mode:
    description: Files that lose bits of their mode. An update of their package brings the bits back.
    type: dict
    suboptions:
      paths:
        description: The files. One that is not there exposes nobody.
        type: list
        elements: path
        required: true
      remove:
        description: The bits.
        type: list
        elements: str
        choices: [setuid, setgid, execute]
        default: [setuid]
  dropin:
    description: A configuration file of its own, such as one in C(/etc/ssh/sshd_config.d).
    type: dict
    suboptions:
      path:
        description: The file. What it held before is put back afterwards.
        type: path
        required: true
      content:
        description: Its text.
        type: str
        required: true
      validate:
        description: A command that accepts the new configuration, word by word. When it fails, the file is put back.
        type: list
        elements: str
        default: []
      reload:
        description: The unit that is reloaded, or restarted where it cannot reload, if it runs.
        type: str
        default: ""
  check:
    description:
      - A command that ends with 0 while the mitigation is in force, word by word. It must only read. No shell sees it.
      - Alone, without one of the kinds above, it stands for what you do in tasks of your own. Then it is needed, and
        nothing but the journal is changed.
    type: list
    elements: str
    default: []
  survives_reboot:
    description: Whether what you do in tasks of your own survives a reboot. Of the other kinds it is known.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do without changing the host.
    support: full
    details: O(check) is not run in check mode.
  diff_mode:
    description: Shows what it changed, or would change, in diff mode.
    support: full
  platform:
    description: The hosts that it works on.
    platforms: posix
    support: full
    details: Linux with Python 3.8 or newer; O(service) and O(dropin.reload) need systemd.
seealso:
  - module: upkeep.maintenance.patch_plan
"""

EXAMPLES = r"""
- name: No unprivileged user namespaces until the kernel is patched
  upkeep.maintenance.patch_mitigation:
    name: no-user-namespaces
    cves: [CVE-2026-12345]
    sysctl:
      user.max_user_namespaces: 0

- name: The module is not needed here
  upkeep.maintenance.patch_mitigation:
    name: no-dccp
    cves: [CVE-2026-12346]
    kernel_module: [dccp]

- name: Printers are not looked for
  upkeep.maintenance.patch_mitigation:
    name: no-cups-browsed
    cves: [CVE-2026-12347]
    service: [cups-browsed.service]

- name: sshd does without the timer that can be raced
  upkeep.maintenance.patch_mitigation:
    name: no-login-grace
    cves: [CVE-2026-12348]
    dropin:
      path: /etc/ssh/sshd_config.d/00-upkeep-no-login-grace.conf
      content: LoginGraceTime 0
      validate: [sshd, -t]
      reload: ssh.service

- name: As it was
  upkeep.maintenance.patch_mitigation:
    name: no-login-grace
    state: absent
"""

RETURN = r"""
in_force:
  description: Whether the mitigation is in force now, seen by reading; null when nobody could look.
  returned: always
  type: bool
  sample: true
survives_reboot:
  description: Whether it is in force after a reboot, too; null when it was lifted.
  returned: always
  type: bool
  sample: true
left_alone:
  description: What somebody changed since, and was not put back.
  returned: always
  type: list
  elements: str
  sample: ["mode /usr/bin/pkexec was changed since, and is left as it is"]
journal:
  description: The file on the host that knows what was there before, while the mitigation is there.
  returned: always
  type: str
  sample: /var/lib/upkeep/mitigations/no-dccp.json
findings:
  description: What a person should know of. The names of the checks are stable.
  returned: always
  type: list
  elements: dict
  sample:
    - check: patch.mitigation.failed
      subject: no-dccp
      severity: high
      summary: "The mitigation no-dccp is not in force: the module dccp is in use, and cannot be unloaded."
      evidence: []
      remedy: See who uses it (lsmod); it is not loaded any more after the next reboot.
      facts: {}
coverage:
  description: The checks that ran to their end, with their subjects.
  returned: always
  type: list
  elements: dict
  sample: [{check: patch.mitigation.failed, subject: no-dccp}]
not_applicable:
  description: The checks that do not apply to this host, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import mitigations
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.mitigation_options import (
    ARGUMENT_SPEC,
    MUTUALLY_EXCLUSIVE,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.mitigation_work import Machine, review


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, mutually_exclusive=MUTUALLY_EXCLUSIVE, supports_check_mode=True)
    errors = mitigations.errors_of(module.params)
    if errors:
        module.fail_json(msg="The options of patch_mitigation cannot be followed. " + "; ".join(errors[:10]))
    result = review(Machine(Host()), dict(module.params, check_mode=module.check_mode))
    (module.fail_json if result.get("failed") else module.exit_json)(**result)


if __name__ == "__main__":
    main()
