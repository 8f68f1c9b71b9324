#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restic_restore_test
short_description: Restore restic snapshots on trial, compare what came out, and leave nothing behind
version_added: 0.1.0
description:
  - Restores the newest snapshot of each series into a scratch place whose room was checked before, compares what came
    out with the snapshot's own tree and with the live files that have not changed since, measures the time, and removes
    everything again, whatever happens. What a kill or a reboot left is removed by the next run.
  - The bytes of every file are compared with the snapshot's digests (C(restic restore --verify)); names, types, sizes,
    modes, owners and times with the snapshot's listing; bytes, modes, owners, links, hard links, extended attributes,
    ACLs and capabilities with the live tree.
  - With O(mode=sample), the snapshot is cut into parts of which each run takes others, so that over a number of runs
    everything is seen; the newest files, the largest one, some at random and O(paths) come in addition. How many runs
    it takes stands in RV(tests[].sample).
  - It writes nowhere but into the scratch place, O(history_dir), and nothing to the repository; it takes no lock. A
    snapshot whose tree is not as restic writes one is not restored at all.
  - It can run on another host than the one that was backed up, as a recovery would; then the live tree is not compared,
    and RV(tests[].source_why_not) says so.
  - In check mode it says what it would restore and how much room that takes, and restores nothing.
  - Tried with restic 0.14 (Debian 12), 0.18 and 0.19.
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
  - upkeep.maintenance.restic
options:
  discover:
    description: Test the repositories too that the host's units, cron lines and programs around restic name.
    type: bool
    default: true
  mode:
    description: Restore a sample of each snapshot, or all of it.
    type: str
    choices: [sample, full]
    default: sample
  hosts:
    description:
      - Shell patterns of the hosts whose snapshots are restored. Without any, those of this host.
      - Set it to V(*) on a host that restores what others backed up.
    type: list
    elements: str
    default: []
  snapshot:
    description: V(latest), or the beginning of a snapshot's id, six characters or more.
    type: str
    default: latest
  group_by:
    description: What makes a series of snapshots, of which the newest is restored.
    type: list
    elements: str
    choices: [host, paths, tags]
    default: [host, paths]
  series_max_age_days:
    description: A series that ended so many days before the newest snapshot of its host is left out, and told.
    type: float
    default: 35.0
  paths:
    description: The paths that matter, as they stand in the snapshot. Each sample has them; a missing one is a finding.
    type: list
    elements: str
    default: []
  sample_mib:
    description:
      - MiB that a sample has at the most, O(paths) not counted. Larger files are seen by O(mode=full) only.
    type: int
    default: 1024
  sample_files:
    description: Names that a sample has at the most.
    type: int
    default: 20000
  seed:
    description: The seed for the files that are taken at random. Without one, each run has its own, and tells it.
    type: int
  scratch:
    description:
      - The folder in which scratch places are made. It, and all above it, must be for root or this account alone.
    type: path
    default: /var/lib/upkeep/scratch
  reserve_mib:
    description: MiB that stay free on the file system of O(scratch). Without it, 5 % of it, but not more than 10 GiB.
    type: int
  source:
    description: Whether the live tree is compared. V(auto) does so where the snapshot is of this host.
    type: str
    choices: [auto, never, always]
    default: auto
  source_mib:
    description:
      - MiB of the live files that are read in a run; they take turns, so that all are read over a number of runs. The
        metadata of all are compared in each. V(0) reads all.
    type: int
    default: 512
  source_root:
    description: Where the live tree is, when it is not at the root of this host.
    type: path
    default: /
  rto_hours:
    description: Hours in which everything must be restored. Without it, only a restore that became much slower is told.
    type: float
  rpo_hours:
    description:
      - Hours that the newest restored snapshot may be old.
      - Without it, that is left to M(upkeep.maintenance.restic_info).
    type: float
  history_dir:
    description: The folder on the host in which the place in the sample and the times of earlier tests are kept.
    type: path
    default: /var/lib/upkeep/backups
  run:
    description: The name of the run, for the proof, and for whoever finds what a killed one left.
    type: str
    default: ""
  timeout:
    description: Seconds that one call of restic may take. It is ended then, with all that it started.
    type: int
    default: 7200
  idle_timeout:
    description: Seconds without any progress after which restic is ended; V(0) for no such limit.
    type: int
    default: 300
notes:
  - Without root, owners, capabilities and devices are not restored. That is told by
    C(backup.restore.metadata_unproven).
  - The targets of symbolic links are proven against the live tree, and where that is not there or has changed, against
    the snapshot, which takes another listing.
seealso:
  - module: upkeep.maintenance.restic_info
  - module: upkeep.maintenance.restic_check
"""

EXAMPLES = r"""
- name: Restore a sample of each series, with what matters most
  upkeep.maintenance.restic_restore_test:
    repositories:
      - name: offsite
        repository: sftp:backup@vault.example.org:/srv/restic
        password_file: /etc/restic/password
    paths:
      - /etc
      - /srv/www/config
    rto_hours: 4

- name: Restore everything, on a host that is not the one backed up
  upkeep.maintenance.restic_restore_test:
    repositories:
      - name: offsite
        repository: sftp:backup@vault.example.org:/srv/restic
        password: "{{ vault_restic_password }}"
    discover: false
    hosts: [web1]
    mode: full
    scratch: /srv/scratch
    timeout: 28800
"""

RETURN = r"""
tests:
  description: One for each series that was restored, would be (check mode), or was left out.
  returned: always
  type: list
  elements: dict
  contains:
    subject:
      description: The repository, and the host and paths of the series.
      type: str
      sample: offsite web1:/etc,/srv
    outcome:
      description: V(passed), V(failed), V(cannot), V(planned) or V(left out).
      type: str
      sample: passed
    snapshot:
      description: The snapshot.
      type: str
      sample: f746b2cfd1695d724669c361d8b30f0aa6f72027fc58babfc4c3417a5cf8a5db
    tree:
      description: The digest that stands for all its names and contents.
      type: str
      sample: 7922feea415cd168a1313f531ac55affffc70908bbe59c76f75931458f8c65ff
    rpo_seconds:
      description: The age of the snapshot.
      type: float
      sample: 7212.5
    whole:
      description: Whether all of it is restored.
      type: bool
      sample: false
    holds:
      description: What the snapshot holds, with the SHA-256 of its listing.
      type: dict
      sample: {files: 20003, folders: 201, others: 0, bytes: 2167053515, manifest_sha256: df8f…}
    chosen:
      description: What was to be restored.
      type: dict
      sample: {files: 812, names: 830, bytes: 104857600}
    room_needed:
      description: Bytes of room that this takes.
      type: int
      sample: 108257280
    sample:
      description:
        - Why this was chosen - the turn of how many, the seed, what did not fit and what is too large for a sample.
      type: dict
      sample: {seed: 1790000000, turn: 3, turns: 8, round: 1, units: 12, left_out: 0, too_large: 1, absent: []}
    restored:
      description: What came out, with the SHA-256 of its listing, and how often it differed in what.
      type: dict
      sample: {files: 812, folders: 18, others: 0, bytes: 104857600, differences: {source_changed: 2}}
    sha256:
      description: The SHA-256 of some restored files.
      type: dict
      sample: {/etc/hosts: 4a60bf7d4bc1e485744cf7e8d0860524752fca1ce42331be7c439fd23043f151}
    source_compared:
      description: Whether the live tree was compared.
      type: bool
      sample: true
    source_why_not:
      description: Why not; empty when it was.
      type: str
      sample: ""
    unproven:
      description: What of the metadata could not be proven, and why.
      type: list
      elements: str
      sample: []
    seconds:
      description: Until restic knows the repository, for listing, until all was written, and for all of the test.
      type: dict
      sample: {start: 0.4, listing: 0.9, restoring: 7.7, total: 10.1}
    bytes_per_second:
      description: Bytes restored a second.
      type: int
      sample: 281435521
    rto:
      description: Seconds to restore everything - measured, or concluded from the sample with its bounds.
      type: dict
      sample: {seconds: 31.0, low: 24.2, high: 39.8, measured: false}
swept:
  description: Scratch places that earlier tests had left, and what became of them.
  returned: always
  type: list
  elements: dict
  sample: []
findings:
  description: What a person should know of. The names of the checks are stable.
  returned: always
  type: list
  elements: dict
  sample:
    - check: backup.restore.failed
      subject: offsite web1:/srv
      severity: critical
      summary: "The snapshot f746b2cf cannot be restored as a whole: the repository is damaged; 3 files did not come
        out."
      evidence: ["/srv/www/index.html: ciphertext verification failed"]
      remedy: "Copy the repository before anything else. Then see what is damaged: restic check --read-data."
      facts: {}
coverage:
  description: The checks that ran to their end, with their subjects.
  returned: always
  type: list
  elements: dict
  sample: [{check: backup.restore.content_mismatch, subject: "offsite web1:/srv"}]
not_applicable:
  description: The checks that do not apply, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: []
proofs:
  description: The auditor's record of each trial restore.
  returned: when a test was made
  type: list
  elements: dict
  sample:
    - check: backup.restore.sample
      subject: offsite web1:/srv
      outcome: passed
      started: 1790000000.0
      ended: 1790000010.1
      summary: "A sample was restored of the snapshot f746b2cf of 2026-11-22 18:08 UTC: 812 files, 100.0 MiB, content
        and metadata as backed up, 830 names compared with the live ones."
      facts: {snapshot: f746b2cfd1695d724669c361d8b30f0aa6f72027fc58babfc4c3417a5cf8a5db}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options import harmless
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_restore import ARGUMENT_SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.review_restore import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import Cancelled, cancellable


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.no_log_values -= harmless(module.params)
    try:
        with cancellable():
            result = review(Host(), dict(module.params, check_mode=module.check_mode))
    except Cancelled as cancelled:
        module.fail_json(msg="The restore test was cancelled (%s). What it had restored is removed." % cancelled)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
