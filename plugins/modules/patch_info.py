#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: patch_info
short_description: Tell the patch state of a host, and whether it can be believed
version_added: 0.1.0
description:
  - Tells everything about a host's patch state in one round trip - which updates are pending, which of them are
    security fixes and
    how old they are, what is held, pinned, phased or kept back, whether the package database and the package lists
    can be believed,
    until when the release is supported, whether a reboot is due and why, and which services still run code that was
    replaced on disk.
  - It reads files and asks the package manager. It takes no lock, needs no Python bindings of apt, and changes
    nothing. With
    O(refresh=true) it fetches the package lists first.
  - The RV(verdict) never rests on exit codes alone, because those of C(apt-get update), C(apt-get --simulate), C(dpkg
    --audit) and
    C(dnf check-update) are 0 over a dead mirror, an interrupted dpkg, and a repository that is skipped.
  - Tried with apt 2.6 (Debian 12) and dnf 4.14; the output of apt 1.6 to 3.0 is meant to be understood. dnf 5 is not
    understood yet,
    and told as a finding.
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
options:
  manager:
    description: The package manager to ask. V(auto) takes apt where dpkg has a database, otherwise dnf.
    type: str
    choices: [auto, apt, dnf]
    default: auto
  refresh:
    description:
      - Fetch the package lists before looking. It is what proves that every repository can be reached.
      - Nothing is fetched in check mode. The lists are the only thing that changes, so the task is never C(changed).
    type: bool
    default: false
  refresh_timeout:
    description: Seconds after which fetching is given up.
    type: int
    default: 120
  lock_timeout:
    description: Seconds to wait while somebody else fetches package lists. Packages are never locked.
    type: int
    default: 10
  lock_max_age_hours:
    description: Hours after which a process that holds the package manager's lock counts as stuck.
    type: int
    default: 2
  metadata_max_age_days:
    description:
      - Days after which package lists are stale, and the verdict V(unknown).
      - The default is the time for which Debian's security archive signs its lists.
    type: int
    default: 7
  security_max_age_days:
    description:
      - Days that a security update may be pending before that is C(high). An update that its vendor rates Critical or
        Important is
        C(high) at once.
      - The default is the limit of Cyber Essentials.
    type: int
    default: 14
  updates_max_age_days:
    description: Days that an ordinary update may be pending before that is C(medium). The default is a monthly window
      with days of grace.
    type: int
    default: 35
  release_warn_days:
    description: Days before the end of the release's security support from which on that is told.
    type: int
    default: 90
  security_origins:
    description:
      - Regular expressions that name further security archives of apt, beside suites and labels with C(security) in
        them.
      - They are searched for in C(origin=…,label=…,suite=…,codename=…,uri=…) of each archive, without regard to case.
    type: list
    elements: str
    default: []
  allowed_holds:
    description: Shell patterns of packages that may be held, as long as no security update is kept away from them.
    type: list
    elements: str
    default: []
  kernel_in_container:
    description: Compare the running kernel with the installed ones in a container too, where it belongs to the
      machine under it.
    type: bool
    default: false
  updates_limit:
    description: How many updates, holds and the like the result lists at the most; the totals count all of them.
    type: int
    default: 500
notes:
  - Without root it cannot see which processes of other users run replaced code, nor who holds a lock; the first makes
    the
    verdict V(unknown).
  - apt keeps no date of publication. RV(updates[].published_by) is the date of the archive's Release file, so the age
    is at least the time since then.
seealso:
  - module: upkeep.maintenance.host_review
  - module: upkeep.maintenance.capacity_info
  - module: ansible.builtin.package_facts
"""

EXAMPLES = r"""
- name: Review the patch state
  upkeep.maintenance.patch_info:
  register: patch

- name: Stop when security updates are pending, or nobody can know
  ansible.builtin.assert:
    that: patch.verdict == 'compliant'
    fail_msg: "{{ patch.reasons | join('; ') }}"

- name: Fetch the package lists first, and allow a held database server
  upkeep.maintenance.patch_info:
    refresh: true
    allowed_holds:
      - postgresql-*

- name: Count the updates of an own repository as security updates
  upkeep.maintenance.patch_info:
    security_origins:
      - label=Example Hotfixes
"""

RETURN = r"""
verdict:
  description:
    - V(compliant) when nothing is pending, everything that was patched is in use, and all of that could be seen.
    - V(pending) when something is to be done.
    - V(unknown) when something that matters could not be found out, whatever else is pending. There is always a
      finding that says what.
  returned: always
  type: str
  sample: pending
reasons:
  description: Why the verdict is what it is.
  returned: always
  type: list
  elements: str
  sample: [3 security updates pending, a reboot is required]
manager:
  description: The package manager that was asked, null when there is none that is understood.
  returned: always
  type: dict
  sample: {name: apt, version: 2.6.1}
packages:
  description: How many packages are installed.
  returned: when there is a package manager
  type: int
  sample: 412
updates:
  description: The updates that can be had, security updates first, at most O(updates_limit).
  returned: when there is a package manager
  type: list
  elements: dict
  contains:
    name:
      description: The package, with its architecture where that is a foreign one.
      type: str
      sample: openssl
    installed:
      description: The installed version.
      type: str
      sample: 3.0.16-1~deb12u1
    candidate:
      description: The version that an upgrade would bring.
      type: str
      sample: 3.0.17-1~deb12u2
    arch:
      description: The architecture.
      type: str
      sample: amd64
    origins:
      description: Where it can be had.
      type: list
      elements: str
      sample: ["Debian-Security:bookworm-security"]
    security:
      description: Whether it brings a security fix, be it by a version in between.
      type: bool
      sample: true
    severity:
      description: The vendor's rating (dnf), empty where there is none.
      type: str
      sample: Important
    advisories:
      description: The advisories that it settles (dnf).
      type: list
      elements: str
      sample: [RHSA-2025:0001]
    cves:
      description: The CVEs that it fixes (dnf).
      type: list
      elements: str
      sample: [CVE-2025-10001]
    published:
      description: When the oldest advisory of it was published (dnf), otherwise null.
      type: str
      sample: null
    published_by:
      description: When it had been published at the latest (apt), otherwise null.
      type: str
      sample: "2026-11-21T00:53:02Z"
    age_days:
      description: Whole days since publication; for apt at least that many; null when nothing is known.
      type: int
      sample: 1
    held:
      description: Whether the package is held, locked or excluded.
      type: bool
      sample: false
    pinned:
      description: Whether a pin names the package.
      type: bool
      sample: false
    phased:
      description: Whether the archive gives it to a part of the hosts only, and this one is not among them.
      type: bool
      sample: false
    kept_back:
      description: Why an ordinary upgrade leaves it alone, empty when it does not.
      type: str
      sample: ""
updates_total:
  description: How many updates can be had.
  returned: when there is a package manager
  type: int
  sample: 3
security_updates_total:
  description: How many of them bring security fixes.
  returned: when there is a package manager
  type: int
  sample: 1
would_remove:
  description: Packages that a full upgrade would remove.
  returned: when there is a package manager
  type: list
  elements: str
  sample: []
held:
  description: Packages that are held, pinned, locked or excluded, and what is kept away from them.
  returned: when there is a package manager
  type: list
  elements: dict
  sample: [{name: postgresql-15, installed: 15.12-0+deb12u2, how: hold, newer: 15.14-0+deb12u1, security: true}]
database:
  description: Whether the package database is broken, and how.
  returned: when there is a package manager
  type: dict
  sample: {broken: false, problems: []}
metadata:
  description:
    - C(checked) is when the package lists are known to have been fetched, C(tried) when somebody last tried,
      C(refreshed) whether that
      was now.
  returned: when there is a package manager
  type: dict
  sample: {checked: "2026-11-22T06:10:00Z", tried: "2026-11-22T06:10:00Z", age_days: 0, refreshed: false}
repositories:
  description: The configured repositories, and what their metadata says of itself.
  returned: when there is a package manager
  type: list
  elements: dict
  sample:
    - name: http://deb.example.org/debian-security bookworm-security
      security: true
      fetched: true
      date: "2026-11-21T00:53:02Z"
      valid_until: "2026-11-28T00:53:02Z"
      unreachable: ""
      unsigned: ""
      label: Debian-Security
locks:
  description: Who holds a lock of the package manager.
  returned: when there is a package manager
  type: list
  elements: dict
  sample: [{path: /var/lib/dpkg/lock-frontend, pid: 4711, command: apt-get upgrade}]
last_upgrade:
  description: When packages were last upgraded, null when the logs do not say.
  returned: when there is a package manager
  type: str
  sample: "2026-11-08T03:12:44Z"
automatic:
  description: Whether the host upgrades itself.
  returned: when there is a package manager
  type: dict
  sample: {tool: unattended-upgrades, enabled: false, why_not: unattended-upgrades is not installed, timer: enabled}
release:
  description: The release, and until when it is supported.
  returned: always
  type: dict
  sample:
    name: Debian GNU/Linux 12 (bookworm)
    support_ends: "2026-07-11T23:59:59Z"
    long_term_support_ends: "2028-06-30T23:59:59Z"
    source: distro-info-data
booted:
  description: When the host was booted.
  returned: always
  type: str
  sample: "2026-11-01T02:00:11Z"
container:
  description: The kind of container that the host is, empty when it is a machine.
  returned: always
  type: str
  sample: ""
kernel:
  description: The running kernel, and the newest that is installed.
  returned: always
  type: dict
  sample: {running: 6.1.0-35-amd64, newest: 6.1.0-37-amd64}
reboot:
  description: Whether a reboot is required, and why. A flag that means nothing any more is told in C(flag_stale).
  returned: always
  type: dict
  sample:
    required: true
    reasons: ["the kernel 6.1.0-37-amd64 is installed, and 6.1.0-35-amd64 is running"]
    flag: null
    flag_stale: ""
    packages: []
processes:
  description: The processes that run code which was replaced on disk, with their systemd units, and how many could be
    looked at.
  returned: always
  type: dict
  sample:
    seen: 97
    not_readable: 0
    in_containers: 0
    outdated: [{pid: 812, command: /usr/sbin/nginx, unit: nginx.service, files:
      [/usr/lib/x86_64-linux-gnu/libssl.so.3]}]
states:
  description:
    - How the host stands with its patches, for whoever keeps the history, as part of the contract; of kind C(patches).
    - Its C(data) has the verdict, all that is pending, the names of what is installed, and what was installed in the
      last 60 days.
  returned: always
  type: list
  elements: dict
  sample: [{kind: patches, subject: os, data: {verdict: compliant, manager: apt, pending: []}}]
findings:
  description: What a person should know of. The names of the checks are stable.
  returned: always
  type: list
  elements: dict
  sample:
    - check: patch.security.pending
      subject: apt
      severity: medium
      summary: 1 security update is pending.
      evidence: ["openssl 3.0.16-1~deb12u1 -> 3.0.17-1~deb12u2 (Debian-Security:bookworm-security, published at least
        1 day ago)"]
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
  sample: [{check: patch.kernel.outdated, why: "this is a container (lxc): its kernel belongs to the machine under
    it", force: "kernel_in_container: true"}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.options import ARGUMENT_SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.review import review


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.exit_json(changed=False, **review(Host(), dict(module.params, check_mode=module.check_mode)))


if __name__ == "__main__":
    main()
