#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: patch_plan
short_description: Plan which packages of a host are patched, and what comes of it
version_added: 0.1.0
description:
  - Makes a plan of what is pending and of a policy - which package goes from which version to which, what comes along,
    what is left out and why, which services restart, whether a reboot comes, and how long it should take. A person can
    read and approve it, and M(upkeep.maintenance.patch_apply) does just that.
  - The package manager itself works the transaction out on the host, with just the wanted versions. What would remove
    other packages is left out and told, unless O(allow_removals=true).
  - A plan has an identity (RV(plan.id)), made from what it does. With O(plan), an approved one, it tells what changed
    since.
  - With O(cves) it tells whether the host is exposed to them, and with O(packages) whether it has older versions. apt
    knows no CVEs; the controller has them in files that you mirror, O(vulnerability_data). What neither they nor dnf's
    advisories know is C(not_known), and never "not exposed".
  - It reads only. With O(refresh=true) it fetches the package lists first.
  - Where the package lists cannot be believed (a repository is down, they are old), RV(state) is V(not_known), and a
    finding says why.
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
      - Fetch the package lists before planning. It is what proves that every repository can be reached.
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
  metadata_max_age_days:
    description: Days after which package lists are stale, and the plan is not known.
    type: int
    default: 7
  security_max_age_days:
    description: Days that a security update may wait; lists older than that are told with more weight.
    type: int
    default: 14
  security_origins:
    description:
      - Regular expressions that name further security archives of apt, as in M(upkeep.maintenance.patch_info).
    type: list
    elements: str
    default: []
  select:
    description:
      - What the plan brings.
      - V(security) is every security update.
      - V(all) is every update.
      - V(cves) is what fixes one of O(cves).
      - V(packages) is what O(packages) names.
    type: str
    choices: [security, all, cves, packages]
    default: security
  cves:
    description:
      - CVEs by their names. Whether the host is exposed to them is told in RV(exposure), whatever O(select) is.
    type: list
    elements: str
    default: []
  packages:
    description:
      - The packages that O(select=packages) brings, where they are installed.
      - Whether the host has an older version is told in RV(exposure), whatever O(select) is.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The package.
        type: str
        required: true
      version:
        description:
          - The version that it is to have, where the installed one is older. Empty takes the newest.
          - It is never downgraded.
        type: str
        default: ""
      at_least:
        description:
          - Let it be the newest there is, as long as that is not older than O(packages[].version).
          - It is what an emergency asks, and only then a host with an older package is a finding.
        type: bool
        default: false
  exclude:
    description:
      - Packages that are not to be touched, each with the reason. They do not come along with others either.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: A name, or a shell pattern of names.
        type: str
        required: true
      reason:
        description: Why, for whoever reads the plan.
        type: str
        required: true
      until:
        description:
          - The last day on which it counts, such as V(2026-12-31), in UTC. From the next day on it excludes nothing any
            more, and that is told.
        type: str
        default: ""
  severities:
    description:
      - Leave out security updates that are rated otherwise. What is not rated, and what is known to be exploited, is
        never left out by this.
      - Red Hat's Important is V(high), Moderate is V(medium). On hosts with apt the ratings come from
        O(vulnerability_data), and it takes a second round trip.
    type: list
    elements: str
    choices: [critical, high, medium, low]
    default: []
  allow_removals:
    description: Let the transaction remove packages.
    type: bool
    default: false
  restart_never:
    description:
      - Shell patterns of units that Upkeep never restarts. What a package's own scripts restart, it cannot hinder, and
        the plan says so.
      - The message bus, logins, display managers and the network are never restarted under a running system, whatever
        it says; the plan tells of a reboot instead.
    type: list
    elements: str
    default: []
  tell:
    description:
      - What makes findings of its own. The exposure is in RV(exposure) all the same, and that a host is not exposed is
        always covered.
      - Leave it out where you go on to mend it, and ask again afterwards in the same run.
    type: list
    elements: str
    choices: [exposure, mitigations]
    default: [exposure, mitigations]
  plan:
    description:
      - An approved plan, as RV(plan) was. What would be done otherwise now is told in RV(approved) and as a finding;
        what of it is done already is no difference.
    type: dict
  vulnerability_data:
    description:
      - A folder on the controller with mirrored data - the JSON of Debian's security tracker
        (C(https://security-tracker.debian.org/tracker/data/json)), OSV's files (C(.json), or the C(all.zip) of Debian,
        Ubuntu, AlmaLinux or Rocky Linux), and CISA's C(known_exploited_vulnerabilities.json).
      - An index is made beside them once they change (as C(.upkeep-vulnerabilities.sqlite), or in the user's cache
        folder), and each package of the plan gets its CVEs, severity and whether it is known to be exploited.
    type: path
  vulnerabilities:
    description: What the controller knows of O(cves) and of the packages' ratings. Filled in by the action plugin.
    type: dict
attributes:
  check_mode:
    details: It plans in check mode as without, except that it does not fetch the package lists.
notes:
  - The restart of a unit that only the next version of a package brings, and a reboot that only its scripts ask for,
    cannot be foretold; M(upkeep.maintenance.patch_apply) tells of them.
  - On hosts with dnf, exposure is told by the advisories of the enabled repositories (updateinfo) alone.
seealso:
  - module: upkeep.maintenance.patch_info
"""

EXAMPLES = r"""
- name: Plan the security updates
  upkeep.maintenance.patch_plan:
    refresh: true
    exclude:
      - name: postgresql-*
        reason: The vendor of the ERP has not released this version yet
        until: "2026-12-31"
    vulnerability_data: /srv/mirror/vulnerabilities
  register: planned

- name: Is this host exposed, and what would mend it
  upkeep.maintenance.patch_plan:
    select: cves
    cves: [CVE-2026-12345]
    vulnerability_data: /srv/mirror/vulnerabilities

- name: What changed since the plan was approved
  upkeep.maintenance.patch_plan:
    plan: "{{ lookup('ansible.builtin.file', 'plan.json') | from_json }}"
"""

RETURN = r"""
state:
  description:
    - V(planned) when there is something to do.
    - V(nothing) when the policy asks for nothing more, and that can be believed.
    - V(not_known) when what the package manager knows cannot be believed or asked; RV(reasons) say why. There may be a
      plan all the same, of what is known.
  returned: always
  type: str
  sample: planned
reasons:
  description: Why the plan is not known, empty when it is.
  returned: always
  type: list
  elements: str
  sample: []
manager:
  description: The package manager that was asked.
  returned: always
  type: str
  sample: apt
release:
  description: The release, as vulnerability data names it.
  returned: always
  type: str
  sample: "debian:12"
database:
  description: What is broken in the package database, one sentence each. It is mended before packages are changed.
  returned: always
  type: list
  elements: str
  sample: []
plan:
  description: The plan, null when none can be made.
  returned: always
  type: dict
  contains:
    id:
      description: The identity of what it does - of each package with its versions, and of nothing else.
      type: str
      sample: p-03aca58b6763
    manager:
      description: The package manager.
      type: str
      sample: apt
    select:
      description: What was asked for.
      type: str
      sample: security
    packages:
      description: What is done to which package, the most urgent first.
      type: list
      elements: dict
      sample:
        - name: openssl
          arch: amd64
          from: 3.0.16-1~deb12u1
          to: 3.0.17-1~deb12u2
          action: upgrade
          asked: true
          source: openssl
          origin: "Debian-Security:bookworm-security"
          security: true
          severity: high
          cves: [CVE-2025-9230]
          known_exploited: false
          published: null
          download_bytes: 1424932
          size_change_bytes: 0
    left_out:
      description:
        - Newer versions that it does not bring, and why - C(held), C(excluded), C(pinned), C(phased), C(kept_back),
          C(not_selected) or C(would_remove).
      type: list
      elements: dict
      sample: [{name: postgresql-15, from: 15.12-0+deb12u2, to: 15.14-0+deb12u1, security: true, why: excluded,
        reason: The vendor of the ERP has not released this version yet, until: "2026-12-31"}]
    services:
      description: Units that restart by the scripts of a package, need a restart by Upkeep, or are left alone.
      type: list
      elements: dict
      sample: [{unit: nginx.service, restart: upkeep, why: it runs code of libssl3}]
    reboot:
      description: Whether a reboot comes of it, and why.
      type: dict
      sample: {needed: false, why: []}
    download_bytes:
      description: What must be fetched.
      type: int
      sample: 1424932
    install_bytes:
      description: How much more room the packages take afterwards.
      type: int
      sample: 0
    seconds:
      description: How long it should take, and whether that was measured on this host or is an estimate.
      type: dict
      sample: {download: 1, apply: 6, reboot: 0, total: 7, measured: false}
lines:
  description: The plan as a person reads it.
  returned: when there is a plan
  type: list
  elements: str
  sample:
    - "p-03aca58b6763: Packages: 1 upgraded (1 security); restarts needed: 1; no reboot."
    - "- upgrade openssl (amd64) 3.0.16-1~deb12u1 -> 3.0.17-1~deb12u2; security (high); CVE-2025-9230"
missing:
  description: Packages of O(packages) that are not installed here.
  returned: when there is a plan
  type: list
  elements: str
  sample: []
exposure:
  description:
    - Of each of O(cves), and of each of O(packages) as C(NAME) or C(NAME=VERSION), whether this host is C(exposed),
      C(mitigated) (exposed, and a mitigation by M(upkeep.maintenance.patch_mitigation) is in force), C(patched),
      C(not_installed) or C(not_known), and why, and the packages it is exposed by.
    - An empty C(candidate) means that no repository of this host has a patch yet; C(reboot) is there, and true, when a
      kernel with the fix is installed and does not run yet. C(published) is the time of the vulnerability, or else of
      the updates that mend it, in seconds since the epoch, or null.
    - It is also in C(states), as part of the contract, of the kind C(exposure).
  returned: when O(cves) or O(packages) are named
  type: dict
  sample:
    CVE-2025-9230:
      state: exposed
      why: openssl 3.0.16-1~deb12u1 is older than 3.0.17-1~deb12u2, which fixes it
      severity: high
      known_exploited: false
      published: 1759190400.0
      packages: [{name: openssl, installed: 3.0.16-1~deb12u1, fixed: 3.0.17-1~deb12u2, candidate: 3.0.17-1~deb12u2}]
asked_at:
  description: When the exposure was asked for, by the controller's clock, in seconds since the epoch.
  returned: when O(cves) or O(packages) are named
  type: float
  sample: 1790000000.0
mitigations:
  description: The mitigations that M(upkeep.maintenance.patch_mitigation) put in here, and whether they are in force.
  returned: always
  type: list
  elements: dict
  sample: [{name: no-dccp, cves: [CVE-2026-12346], kind: kernel_module, since: 1790000000.0, packages: {},
    in_force: true, why: ""}]
approved:
  description: Of the approved O(plan), what is done already and what would be done otherwise now.
  returned: when O(plan) is given and there is a plan
  type: dict
  sample: {id: p-03aca58b6763, done: [], differences: []}
vulnerability_files:
  description: The files of O(vulnerability_data) that were read.
  returned: when O(vulnerability_data) is given
  type: list
  elements: dict
  sample: [{name: json, kind: debian-tracker, entries: 131072}]
states:
  description: The exposure for whoever keeps its history, as part of the contract.
  returned: when O(cves) or O(packages) are named
  type: list
  elements: dict
  sample: [{kind: exposure, subject: os, data: {plan: p-03aca58b6763, at: 1790000000.0, exposure: {}}}]
plans:
  description: The plan for whoever approves it, as part of the contract.
  returned: when there is a plan
  type: list
  elements: dict
  sample: [{subject: os, id: p-03aca58b6763, summary: "Packages: 1 upgraded (1 security); restarts needed: 1; no
    reboot.", plan: {}}]
findings:
  description: What a person should know of. The names of the checks are stable.
  returned: always
  type: list
  elements: dict
  sample:
    - check: patch.plan.would_remove
      subject: exim4-base
      severity: medium
      summary: "exim4-base is left out of the plan: it would remove exim4-daemon-light."
      evidence: ["4.96-15+deb12u6 -> 4.96-15+deb12u7: it would remove exim4-daemon-light"]
      remedy: "Look at what would go; to let it, plan with allow_removals: true."
      facts: {}
coverage:
  description: The checks that ran to their end, with their subjects (V(*) for all that there are).
  returned: always
  type: list
  elements: dict
  sample: [{check: patch.plan.not_known, subject: os}]
not_applicable:
  description: The checks that do not apply to this host, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_options import (
    ARGUMENT_SPEC,
    errors_of,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_review import review


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    errors = errors_of(module.params)
    if module.params["plan"] is not None:
        errors += ["plan: %s" % error for error in plan_model.errors_of(module.params["plan"])]
    if errors:
        module.fail_json(msg="The options of patch_plan cannot be followed. " + "; ".join(errors[:10]))
    module.exit_json(changed=False, **review(Host(), dict(module.params, check_mode=module.check_mode)))


if __name__ == "__main__":
    main()
