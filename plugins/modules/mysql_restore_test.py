#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_restore_test
short_description: Restore dumps of MariaDB and MySQL on trial, and ask what came back
version_added: 0.2.0
description:
  - Loads a dump (C(mariadb-dump), C(mysqldump); plain, gz, zst, xz, bz2 or lz4; from a file, or straight out of a
    restic
    snapshot) into a server of its own, looks at what came back, and throws it away. A backup of C(mariadb-backup) is
    prepared and started instead.
  - The server has one socket in a folder that nobody else may enter, and no network. Before anything is loaded, the
    kernel
    says which process is behind that socket, and the server which data it serves; no other server is touched.
  - A dump may have been written by anybody. Client and server run as an account that owns nothing, write nowhere
    but in
    the scratch place (Landlock), load no library but the harmless ones, and end with the module, by C(kill -9) too.
    What of that the host's kernel refuses is told in RV(dumps[].not_confined).
  - It checks that the dump goes on to its end, that it loads without an error, the tables (C(CHECK TABLE)), every
    foreign
    key, rows and structure against a baseline or the live server, the accounts that views and routines run as, the
    age of
    what is in it, and the answers to queries.
  - In check mode it tells what it would restore and how much room that takes, and restores nothing.
  - Tried with MariaDB 10.11 (Debian 12). MySQL 8.0 is meant to work (its programs are told apart, and made and
    started by
    their own options), and was not tried.
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
  - upkeep.maintenance.restic
options:
  dumps:
    description: The dumps to restore, one after another.
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
          - A shell pattern takes the newest file that matches.
        type: str
        required: true
      kind:
        description: Whether it is a dump of SQL, or a full backup of C(mariadb-backup) (a folder).
        type: str
        choices: [dump, physical]
        default: dump
      repository:
        description: The name of the one of O(repositories) that holds it.
        type: str
      snapshot:
        description: The snapshot, or V(latest) for the newest that holds the path.
        type: str
        default: latest
      host:
        description: Look among the snapshots of this host only.
        type: str
      tag:
        description: Look among the snapshots with this tag only.
        type: str
      database:
        description: The database to load into, where the dump does not choose it. Without it, the one in its header.
        type: str
      accounts:
        description: Accounts (C(user@host)) that a recovery brings by other means. They are made, locked, before
          loading.
        type: list
        elements: str
        default: []
      expected_bytes:
        description: Bytes of the dump once unpacked. Without it, eight times its packed size is taken.
        type: int
      baseline:
        description: A file on this host with the baseline that was written when it was dumped; see
          C(docs/backups.md).
        type: str
      rows_tolerance:
        description: Percent by which the rows of a table may differ from the baseline.
        type: float
        default: 0.0
      live:
        description: The live server, to hold the restored rows and structure against. It is read only.
        type: dict
        suboptions:
          socket:
            description: Its socket.
            type: path
          host:
            description: Its host.
            type: str
          port:
            description: Its port.
            type: int
          user:
            description: An account that may C(SELECT).
            type: str
          password:
            description: Its password. It goes by a file in memory, never by a command line.
            type: str
          defaults_file:
            description: An options file that holds all of these instead.
            type: path
          database:
            description: The live database, where it bears another name than the restored one.
            type: str
      live_tolerance:
        description: Percent by which the rows of a table may differ from the live server.
        type: float
        default: 10.0
      check_tables:
        description: Run C(CHECK TABLE) on each table and view.
        type: bool
        default: true
      check_foreign_keys:
        description: Look for rows whose foreign key names nothing.
        type: bool
        default: true
      max_age_hours:
        description: Hours that the dump's content may be old.
        type: float
        default: 26.0
      newest:
        description: Columns whose newest value tells how old the content is.
        type: list
        elements: dict
        default: []
        suboptions:
          database:
            description: The database, where more than one was restored.
            type: str
          table:
            description: The table.
            type: str
            required: true
          column:
            description: A date, a time stamp, or a number of seconds since the epoch.
            type: str
            required: true
          max_age_hours:
            description: Hours that its newest value may be old. Without it, O(dumps[].max_age_hours).
            type: float
      queries:
        description: Queries whose answers prove that the data can be used.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: How findings call it.
            type: str
            required: true
          database:
            description: The database, where more than one was restored.
            type: str
          query:
            description: One statement.
            type: str
            required: true
          expected:
            description: The whole answer; columns parted by tabs, rows by line feeds. Without any expectation, one
              row is.
            type: str
          at_least:
            description: The least number in its first row and column.
            type: float
          at_most:
            description: The greatest number in its first row and column.
            type: float
      max_seconds:
        description: Seconds that a recovery (starting a server, and loading) may take.
        type: int
  server_folder:
    description: The folder with the server's programs. Without it, they are looked for where distributions and
      makers put
      them.
    type: path
  other_versions:
    description:
      - What to do where no server of the dump's own major version is installed. V(refuse) tells it and loads nothing,
        V(newer) takes a newer one, V(any) whichever there is.
    type: str
    choices: [refuse, newer, any]
    default: refuse
  plugins:
    description: Libraries of the server (C(ha_rocksdb)) that dumps may ask for, beside the harmless ones.
    type: list
    elements: str
    default: []
  scratch:
    description: The folder in which scratch places are made. Other accounts must be able to pass through it.
    type: path
    default: /var/lib/upkeep/scratch
  run:
    description: The run that this test belongs to, told when something of it is found later.
    type: str
    default: ""
  timeout:
    description: Seconds that reading, loading, or one check may take.
    type: int
    default: 7200
  idle_timeout:
    description: Seconds without progress after which loading is given up.
    type: int
    default: 300
seealso:
  - module: upkeep.maintenance.restic_info
"""

EXAMPLES = r"""
- name: Load last night's dump and ask it
  upkeep.maintenance.mysql_restore_test:
    dumps:
      - name: shop
        path: /var/backups/mysql/shop-*.sql.gz
        newest:
          - table: orders
            column: created
        queries:
          - name: customers
            query: SELECT COUNT(*) FROM customer
            at_least: 1000

- name: The same straight out of a restic repository, with the rows of the live server
  upkeep.maintenance.mysql_restore_test:
    repositories:
      - name: offsite
        repository: sftp:backup@backup.example.org:/srv/restic
        password_file: /etc/restic/password
    dumps:
      - name: shop
        repository: offsite
        path: /var/backups/mysql/shop.sql.zst
        live:
          socket: /run/mysqld/mysqld.sock
          user: root
"""

RETURN = r"""
dumps:
  description: What came of each dump.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The dump.
      type: str
      sample: shop
    outcome:
      description: V(passed), V(failed) (the backup is not as it should be), V(cannot) (it could not be tried), or
        V(not tested) (in check mode, when nothing that can be seen without loading it stands against it).
      type: str
      sample: passed
    file:
      description: The file that was taken.
      type: str
      sample: /var/backups/mysql/shop-2026-11-22.sql.gz
    needs_bytes:
      description: Bytes of room that the test needs.
      type: int
      sample: 5400000000
    sha256:
      description: The digest of the file as it is stored.
      type: str
      sample: c32946d8f5b82141f75a28cb5d940fdd2c16101f5efa0a98db8337a6762bca1b
    tables:
      description: Tables that were restored.
      type: int
      sample: 42
    rows:
      description: Rows that were restored.
      type: int
      sample: 1234567
    recovery_seconds:
      description: Seconds from an empty machine to a server with the data (RTO).
      type: float
      sample: 61.3
    recovery_point_seconds:
      description: Seconds between the dump and now (RPO).
      type: int
      sample: 32400
    not_confined:
      description: What does not keep a hostile dump in on this host, in words.
      type: list
      elements: str
      sample: []
    queries:
      description: The queries, and their answers.
      type: list
      elements: dict
      sample: [{name: customers, query: SELECT COUNT(*) FROM customer, expected: at least 1000, answer: "1500",
        ok: true}]
servers:
  description: The servers that were found on the host.
  returned: always
  type: list
  elements: dict
  sample: [{engine: mariadb, version: 10.11.14, program: /usr/sbin/mariadbd}]
swept:
  description: What earlier tests had left behind and was cleared away first.
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
      subject: shop:/var/backups/mysql/shop.sql
      severity: critical
      summary: "The dump is cut: it ends in line 5123 without what its program writes last."
      evidence: ["last line: INSERT INTO `orders` VALUES (1,"]
      remedy: Make the dump anew
      facts: {}
coverage:
  description: The checks that ran to their end, with their subjects.
  returned: always
  type: list
  elements: dict
  sample: [{check: backup.dump.truncated, subject: "shop:/var/backups/mysql/shop.sql"}]
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
      subject: shop:/var/backups/mysql/shop.sql
      outcome: passed
      started: 1795372406.3
      ended: 1795372409.0
      summary: "The dump shop:/var/backups/mysql/shop.sql was restored into a throw-away server and checked."
      facts: {tables: 3, rows: 5502}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.mysql import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options import harmless
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_mysql import ARGUMENT_SPEC
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
