#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_restore_test
short_description: Restore backups of PostgreSQL on trial, and ask what came back
version_added: 0.2.0
description:
  - Loads a dump (C(pg_dump) plain, custom, directory or tar, C(pg_dumpall); gz, zst, xz, bz2 or lz4; from a file, or
    straight out of a restic snapshot) into a server of its own, of the major version that the dump is of, looks at
    what came back, and throws it away. A physical backup (C(pg_basebackup), pgBackRest) is recovered to a point in
    time and started instead.
  - The server has one socket in a folder that nobody else may enter, and no network. That it is the throw-away one is
    checked by its system identifier and data folder before anything is loaded; no other server is touched.
  - A dump may have been written by anybody. It is loaded by a role that is no superuser, so that programs, files and
    untrusted languages are closed to it; psql is kept in its restricted mode (CVE-2025-8714); the server runs as an
    account that owns nothing else on the host and under which nothing else runs, writes nowhere but in its place, and
    reads nowhere but there and in the system's own folders. What of that the host's kernel refuses is told in
    RV(dumps[].not_confined). Roles that the dump names are stood in for, and told when no backup holds them.
  - It checks that the dump goes on to its end (an archive is read through before it is loaded; beside the load where it
    comes as a stream, packed or out of a snapshot, of which no copy is made), every complaint of the load with its
    line, indexes (amcheck), rows and structure against a baseline or the live server, the age of what is in it, and
    the answers to queries; it measures how long the restore takes.
  - In check mode it tells what it would restore and how much room that takes, and restores nothing.
  - Tried with PostgreSQL 15 and pgBackRest 2.44 (Debian 12), and with PostgreSQL 17. Versions 10 to 18 are meant to
    work.
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
  - upkeep.maintenance.restic
options:
  dumps:
    description: The backups to restore, one after another.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: How findings call it.
        type: str
        required: true
      path:
        description:
          - Where it lies, on this host, or in the snapshot when O(dumps[].repository) is set.
          - A shell pattern takes the newest that matches. Of O(dumps[].kind=pgbackrest) it is the stanza.
        type: str
        required: true
      kind:
        description: Whether it is a dump, a folder that C(pg_basebackup) wrote (plain or tar), or a stanza of
          pgBackRest.
        type: str
        choices: [dump, physical, pgbackrest]
        default: dump
      repository:
        description: The name of one of O(repositories), in whose snapshot it lies. Without it, it lies on this host.
        type: str
      snapshot:
        description: The snapshot's id; V(latest) is the newest that holds O(dumps[].path).
        type: str
        default: latest
      host:
        description: Of V(latest), only snapshots of this host.
        type: str
      tag:
        description: Of V(latest), only snapshots with this tag.
        type: str
      database:
        description: The database that the dump is of, where it does not say so itself.
        type: str
      version:
        description: The major version of the server that it should be of. Another one is a finding.
        type: str
      globals:
        description: A file of C(pg_dumpall --globals-only), from the same place as the dump. The roles that it creates
          are not missing.
        type: str
      roles:
        description: Roles that a recovery gets from elsewhere.
        type: list
        elements: str
        default: []
      trusted:
        description:
          - Load the dump as superuser, and ask as superuser what came back. Only for a dump that nobody could have
            written who may not run programs on this host, for then it may run them, confined as the server is.
          - It is needed for dumps with event triggers, functions in C, subscriptions and their like.
        type: bool
        default: false
      jobs:
        description: How many connections load an archive at the same time. By default, as many as there are processors,
          and at least two.
        type: int
      expected_bytes:
        description: Bytes of the restored database, where the estimate of the room that it takes is far off.
        type: int
      baseline:
        description:
          - A file, from the same place as the dump, with the rows and the structure that were there when it was made.
          - Without it, a file beside the dump is taken that is named as the dump with C(.baseline.json) after it.
        type: str
      rows_tolerance:
        description: Percent by which the rows of a table may differ from the baseline.
        type: float
        default: 0.0
      live:
        description: The server that the backup is of. Where there is no baseline, rows and structure are held against
          it, in a read-only session.
        type: dict
        suboptions:
          socket:
            description: The folder of its socket.
            type: path
          host:
            description: Its name, where it is on another host.
            type: str
          port:
            description: Its port.
            type: int
          user:
            description: The role to connect as.
            type: str
          password_file:
            description: A password file of libpq (pgpass) on the host.
            type: path
          service:
            description: The name of a connection service.
            type: str
          service_file:
            description: The file that describes it.
            type: path
          database:
            description: The database; by default the dump's.
            type: str
          account:
            description: The account of the host to connect as (C(postgres), for peer authentication).
            type: str
          rows:
            description: Count its rows. That reads its tables once.
            type: bool
            default: true
      live_tolerance:
        description: Percent by which the rows of a table may differ from the live server, which goes on living.
        type: float
        default: 10.0
      check_indexes:
        description: Look at indexes with amcheck; of a physical backup at tables too.
        type: bool
        default: true
      max_age_hours:
        description: Hours that the content of the backup may be old. V(0) for no limit.
        type: float
        default: 26.0
      newest:
        description: Tables whose newest row tells how fresh the content is.
        type: list
        elements: dict
        default: []
        suboptions:
          database:
            description: The database; by default the first of the dump.
            type: str
          table:
            description: The table, with its schema where that is not C(public).
            type: str
            required: true
          column:
            description: The column with a date or a time.
            type: str
            required: true
          max_age_hours:
            description: Hours that the newest row may be old; by default O(dumps[].max_age_hours).
            type: float
      queries:
        description: Queries, and what they should answer. They may change nothing.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: How findings and proofs call it.
            type: str
            required: true
          database:
            description: The database; by default the first of the dump.
            type: str
          query:
            description: One statement.
            type: str
            required: true
          expected:
            description: The answer, columns parted by C(|) and rows by line feeds.
            type: str
          at_least:
            description: The answer is a number, and not less than this.
            type: float
          at_most:
            description: The answer is a number, and not more than this.
            type: float
      max_seconds:
        description: Seconds that the restore may take, the start of the server included.
        type: int
      wal_archive:
        description: For O(dumps[].kind=physical), the folder of this host with the archived write-ahead log, from which
          it is recovered further. Files may be packed (gz, zst, xz, lz4).
        type: path
      target_time:
        description: The point in time to recover to, as PostgreSQL takes it (C(2026-11-22 18:00:00+00)).
        type: str
      superuser:
        description: The role to ask a physical backup as.
        type: str
        default: postgres
      preload:
        description: Libraries that a physical backup cannot be started without (shared_preload_libraries).
        type: str
        default: ""
      config:
        description: The configuration of pgBackRest; by default its own.
        type: path
  server_folder:
    description: The folder of the server programs. By default those of Debian's and PostgreSQL's packages are found.
    type: path
  other_versions:
    description: What to do where this host has no server of the dump's major version. V(newer) takes the next one.
    type: str
    choices: [refuse, newer]
    default: refuse
  account:
    description:
      - The account that runs the throw-away server, when the module is run as root.
      - By default one of its own, which has a number and no name (64900 to 65099), for dumps; for physical backups the
        owner of the files, or one of its own where that is root; for pgBackRest C(postgres), which must be able to read
        the repository and is not confined.
    type: str
  scratch:
    description: The folder for scratch places. It is made if need be; the account must be able to pass through it.
    type: path
    default: /var/lib/upkeep/scratch
  run:
    description: What a later run calls this one, should it have to clean up after it.
    type: str
    default: ""
notes:
  - Nothing that a module of Ansible is given stands in a command line here, passwords least of all - those of the live
    server are read by libpq from its own files.
seealso:
  - module: upkeep.maintenance.mysql_restore_test
"""

EXAMPLES = r"""
- name: Restore last night's dump, and ask it
  upkeep.maintenance.postgresql_restore_test:
    dumps:
      - name: shop
        path: /var/backups/postgresql/shop-*.dump
        globals: /var/backups/postgresql/globals.sql
        newest:
          - table: orders
            column: placed
            max_age_hours: 26
        queries:
          - name: every order has a customer
            query: SELECT count(*) FROM orders WHERE customer IS NULL
            expected: "0"

- name: The same out of the newest snapshot, held against the live server
  upkeep.maintenance.postgresql_restore_test:
    repositories:
      - name: offsite
        repository: s3:https://backup.example.org/db1
        password_file: /etc/restic/password
        environment_file: /etc/restic/environment
    dumps:
      - name: shop
        repository: offsite
        path: /var/backups/postgresql/shop.dump
        live:
          socket: /var/run/postgresql
          account: postgres

- name: Recover a physical backup to a point in time
  upkeep.maintenance.postgresql_restore_test:
    dumps:
      - name: main
        kind: pgbackrest
        path: main
        target_time: "2026-11-22 06:00:00+00"
"""

RETURN = r"""
dumps:
  description: What was done with each, in order.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: shop
    path:
      description: Where it lay; of a pattern, the file that was taken.
      type: str
      sample: /var/backups/postgresql/shop-2026-11-22.dump
    kind:
      description: What it is.
      type: str
      sample: dump
    outcome:
      description: V(passed), V(failed) (the backup is not as it should be), V(cannot) (it could not be tried), or
        V(not tested) (in check mode, when nothing that can be seen without loading it stands against it).
      type: str
      sample: passed
    snapshot:
      description: The snapshot that it came from.
      type: str
      sample: 5d1c2b6a
    format:
      description: The form of the dump.
      type: str
      sample: custom
    version:
      description: The version of the throw-away server.
      type: str
      sample: "15.18"
    needs_bytes:
      description: The room that was asked for.
      type: int
      sample: 201446616
    content_written:
      description: When its content was written, in seconds since the epoch.
      type: float
      sample: 1795370842.0
    tables:
      description: How many tables it has.
      type: int
      sample: 12
    rows:
      description: How many rows they have.
      type: int
      sample: 500213
    row_counts:
      description: The rows of its largest tables.
      type: dict
      sample: {public.orders: 3000}
    indexes_checked:
      description: How many indexes amcheck looked at.
      type: int
      sample: 31
    load_errors:
      description: How many complaints the load gave.
      type: int
      sample: 0
    compared_with:
      description: What rows and structure were held against.
      type: str
      sample: the baseline
    queries:
      description: The queries with their answers.
      type: list
      elements: dict
      sample: [{name: orders, query: SELECT count(*) FROM orders, answer: "3000", seconds: 0.02}]
    not_confined:
      description: What does not keep the throw-away server in on this host, in words.
      type: list
      elements: str
      sample: []
    restore_seconds:
      description: How long the restore took, from an empty folder to a loaded server.
      type: float
      sample: 12.3
    seconds:
      description: How long each step took.
      type: dict
      sample: {find: 0.1, server: 0.8, load: 11.5, total: 14.2}
    findings:
      description: The names of the checks that found something.
      type: list
      elements: str
      sample: []
servers:
  description: The server programs on this host.
  returned: always
  type: list
  elements: dict
  sample: [{version: "15.18", folder: /usr/lib/postgresql/15/bin}]
swept:
  description: What earlier tests that were killed had left behind, and is gone now.
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
    - check: backup.dump.truncated
      subject: shop:/var/backups/postgresql/shop.sql
      severity: critical
      summary: "The dump is cut off within the data of public.orders: what should follow is not in it."
      evidence: ["its last line: 2000 17"]
      remedy: Take a new dump now
      facts: {}
coverage:
  description: The checks that ran to their end, with their subjects.
  returned: always
  type: list
  elements: dict
  sample: [{check: backup.dump.truncated, subject: "shop:/var/backups/postgresql/shop.sql"}]
not_applicable:
  description: The checks that do not apply, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: []
proofs:
  description: The auditor's record of each test.
  returned: when a test was made
  type: list
  elements: dict
  sample:
    - check: backup.dump.load
      subject: shop:/var/backups/postgresql/shop.dump
      outcome: passed
      started: 1795372406.3
      ended: 1795372409.0
      summary: "The dump shop:/var/backups/postgresql/shop.dump was restored into a throw-away server and asked."
      facts: {tables: 3, rows: 5502}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options import harmless
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_postgresql import ARGUMENT_SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.postgresql import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import Cancelled, cancellable


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.no_log_values -= harmless(module.params)
    try:
        with cancellable():
            result = review(Host(), dict(module.params, check_mode=module.check_mode))
    except Cancelled as cancelled:
        module.fail_json(msg="The test was cancelled (%s). Nothing is left behind." % cancelled)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
