#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restic_info
short_description: Tell whether a host is backed up, how freshly and how completely
version_added: 0.2.0
description:
  - Looks into the restic repositories of a host, and tells what a restore would miss - a newest snapshot that is
    older than agreed, gaps, a backup that shrank, paths that are missing or empty, files that the backup could not
    read, retention that deletes too much, snapshots of another host only, stale locks, an old format, and why a
    repository cannot be opened.
  - The repositories are those of O(repositories), and those that it finds by itself (O(discover)) in the
    configurations of resticprofile and autorestic, in units of systemd, in cron, in the scripts that these name and
    in files of variables. What is about restic there and is not understood is a finding with its file and line.
  - A host without any backup is a finding, and so are a database and a mounted volume that no backup covers.
  - It reads only. It takes no lock, removes none, starts no shell, and passes no password on a command line. Whether
    the data can be restored is not its business; see P(upkeep.maintenance.restic_check#module) and
    P(upkeep.maintenance.restic_restore_test#module).
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
  - upkeep.maintenance.restic
  - upkeep.maintenance.backup_policy
options:
  discover:
    description:
      - Whether to look for repositories in what the host runs.
      - A file that others than root (or the account that the module runs as) may write to is not followed, as what it
        names would be opened, and its password command run, with this account's rights. That is told.
    type: bool
    default: true
  elsewhere:
    description: Names of repositories that another module looks into (P(upkeep.maintenance.backup_info#module)). A
      policy for one of them is not told as one that fits nothing.
    type: list
    elements: str
    default: []
  compare:
    description:
      - Whether to compare the names in the newest snapshot with the files that are there now. What was there when it
        was made, and is not in it, was not readable, or left out. What a pattern of the job leaves out is told only
        when it is a dump of a database.
    type: bool
    default: true
  compare_limit:
    description: Names in a snapshot up to which that is done; each takes some 70 bytes of memory. Of a larger
      snapshot, it is not done, which is a finding.
    type: int
    default: 1000000
  dumps:
    description: Where the dumps of a database engine are in the snapshots, when their names do not tell.
    type: list
    elements: dict
    default: []
    suboptions:
      engine:
        description: The engine, as the result names it (V(postgresql), V(mysql), V(mongodb), …).
        type: str
        required: true
      path:
        description: The path, or a shell pattern, of the dump.
        type: str
        required: true
  databases:
    description: Whether to look for databases that no backup covers.
    type: bool
    default: true
  volumes:
    description: Whether to look for mounted volumes that no backup covers. Filesystems of other machines (NFS) are
      not looked at.
    type: bool
    default: true
  volume_minimum_mib:
    description: MiB in use from which a volume counts as filled.
    type: float
    default: 64.0
  no_backup_reason:
    description: Why this host needs no backup, or who else backs it up. Then its absence is no finding.
    type: str
  timeout:
    description: Seconds that one question to restic may take. Of a repository with more than a dozen series, as many
      are listed as fit into that time, by turns; the others are not covered in that run.
    type: int
    default: 900
  idle_timeout:
    description: Seconds without any progress after which restic is ended.
    type: int
    default: 120
requirements:
  - restic 0.14 or newer on the host, where there is a repository.
notes:
  - Tried with restic 0.14 (Debian 12), 0.18 and 0.19, on repositories in folders, and behind REST, S3 and sftp
    servers.
  - Without restic and without a repository it starts no process.
  - restic before 0.17 notes no size in its snapshots. Four of each series are asked for theirs then, about a second
    each; of more than a dozen series, by turns (O(timeout)).
  - Relative paths (C(cd /srv; restic backup www)) are found in the snapshot by what stands there. Where they cannot
    be told, paths are neither missing nor covered.
  - HCL and mixins of resticprofile, and volumes of Docker in autorestic, are not understood, and told.
seealso:
  - module: upkeep.maintenance.host_review
"""

EXAMPLES = r"""
- name: Review the backups of a host, whatever makes them
  upkeep.maintenance.restic_info:

- name: Review an agreed backup
  upkeep.maintenance.restic_info:
    repositories:
      - name: offsite
        repository: rest:https://backup.example.com/web1
        password_file: /etc/restic/password
        environment_file: /etc/restic/rest.env
    policies:
      - repository: offsite
        rpo_hours: 24
        paths: [/etc, /srv/www, "/var/backups/pg/*.dump"]
        keep: {daily: 14, weekly: 8, monthly: 12}
      - repository: offsite
        tags: [database]
        rpo_hours: 4
    exclusions:
      - path: /srv/cache
        reason: It is built anew from /srv/www.

- name: Judge all hosts that back up to this server
  upkeep.maintenance.restic_info:
    discover: false
    repositories:
      - name: fleet
        repository: /srv/restic
        password_file: /root/restic-password
    policies:
      - repository: fleet
        hosts: [web1, web2, db1]
"""

RETURN = r"""
findings:
  description: What a person should know of. The names of the checks are stable.
  returned: always
  type: list
  elements: dict
  sample:
    - check: backup.snapshot.stale
      subject: "offsite web1:/etc,/srv/www"
      severity: high
      summary: The newest backup of /etc, /srv/www on web1 is 10 days old; 24 hours are agreed at the most.
      evidence: ["newest snapshot 5d3c6f1a of 2026-11-12 02:00 UTC, in rest:https://backup.example.com/web1"]
      remedy: "See why it stopped: journalctl -u restic-backup.service. Then start it by hand."
      facts: {age_hours: 240.1, allowed_hours: 24.0}
coverage:
  description: The checks that ran to their end, with their subjects (V(*) for all that there are).
  returned: always
  type: list
  elements: dict
  sample: [{check: backup.snapshot.stale, subject: "*"}]
not_applicable:
  description: The checks that do not apply to this host, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: [{check: backup.volume.uncovered, why: the option volumes is off, force: "volumes: true"}]
hosts:
  description: The names that were taken for this host's.
  returned: always
  type: list
  elements: str
  sample: [web1]
restic:
  description: The version of restic that answered, V(none) where none was asked.
  returned: always
  type: str
  sample: 0.14.0
repositories:
  description: The repositories that were looked into.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: offsite
    repository:
      description: Where it is, without secrets.
      type: str
      sample: rest:https://backup.example.com/web1
    source:
      description: V(options), or the file and line that name it.
      type: str
      sample: /etc/systemd/system/restic-backup.service:7
    jobs:
      description: Files and lines of the jobs that use it.
      type: list
      elements: str
      sample: ["/etc/systemd/system/restic-backup.service:7"]
    opened:
      description: Whether it could be opened.
      type: bool
      sample: true
    fault:
      description: The kind of fault that kept it from being looked into, V(none) where nothing did.
      type: str
      sample: null
    restic:
      description: The version of restic that opened it.
      type: str
      sample: 0.14.0
    format:
      description: The version of its format.
      type: int
      sample: 2
    id:
      description: Its identity.
      type: str
      sample: 5f4dcc3b5aa765d61d8327deb882cf99
    snapshots:
      description: How many snapshots there are.
      type: int
      sample: 34
    hosts:
      description: The hosts that they are of.
      type: list
      elements: str
      sample: [web1]
    locks:
      description: Its locks, with host, user, process and time.
      type: list
      elements: dict
      sample: []
series:
  description: The series of snapshots that were judged.
  returned: always
  type: list
  elements: dict
  contains:
    repository:
      description: The repository's name.
      type: str
      sample: offsite
    host:
      description: The host that they are of.
      type: str
      sample: web1
    paths:
      description: The paths that are backed up.
      type: list
      elements: str
      sample: [/etc, /srv/www]
    tags:
      description: The tags of the newest.
      type: list
      elements: str
      sample: []
    state:
      description:
        - V(fresh) or V(stale); V(narrowed) when it went on with some of its paths only, V(superseded) when another
          series backs up its paths, V(single) when it is one or two snapshots made by hand, V(excluded) by
          O(exclusions).
      type: str
      sample: fresh
    snapshots:
      description: How many snapshots it has.
      type: int
      sample: 34
    oldest:
      description: When the oldest was made.
      type: str
      sample: 2025-11-30 02:00 UTC
    newest:
      description: When the newest was made.
      type: str
      sample: 2026-11-22 02:00 UTC
    newest_id:
      description: The newest snapshot's identity.
      type: str
      sample: 5d3c6f1a0000000000000000000000000000000000000000000000000000abcd
    age_hours:
      description: The age of the newest, V(none) when all lie in the future.
      type: float
      sample: 12.3
    allowed_hours:
      description: How old it may be.
      type: float
      sample: 24.0
    rhythm_hours:
      description: The usual pause between two, V(none) when there are too few.
      type: float
      sample: 24.0
    bytes:
      description: The size of what the newest would restore, V(none) where it is not known.
      type: int
      sample: 5368709120
    files:
      description: Its files, V(none) where that is not known.
      type: int
      sample: 80412
    bytes_per_day:
      description: The trend of the size in bytes a day, over up to 30 snapshots, V(none) below three.
      type: float
      sample: 1048576.0
databases:
  description: The databases that were found on the host, and how each is covered.
  returned: always
  type: list
  elements: dict
  contains:
    engine:
      description: The engine.
      type: str
      sample: postgresql
    folder:
      description: Its data folder, or its file.
      type: str
      sample: /var/lib/postgresql/15/main
    running:
      description: Whether its server runs.
      type: bool
      sample: true
    covered:
      description: V(dump), V(files), V(live files), V(program) (one that backs up databases), V(excluded) or
        V(nothing).
      type: str
      sample: dump
volumes:
  description: The mounted volumes that hold data.
  returned: always
  type: list
  elements: dict
  sample: [{path: /srv, used_bytes: 5368709120, type: ext4, state: covered}]
other_programs:
  description: Other programs that seem to back this host up, with what shows it.
  returned: always
  type: dict
  sample: {borgmatic: /etc/borgmatic/config.yaml}
jobs:
  description: The jobs that were found in the host's files.
  returned: always
  type: list
  elements: dict
  sample:
    - place: /etc/cron.d/backup:3
      by: cron
      name: /etc/cron.d/backup
      repository: /srv/restic
      paths: [/etc]
      tags: []
      keep: {}
      schedule: 0 2 * * *
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.info import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.module import carry_out
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_info import ARGUMENT_SPEC


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    carry_out(module, review, "The review was cancelled")


if __name__ == "__main__":
    main()
