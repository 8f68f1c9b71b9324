# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation of the restic modules shares: the options of a repository, and how hard restic may work."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  repositories:
    description: The repositories to look into.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: A name for it. Findings and tickets are about this name, so it should stay.
        type: str
        required: true
      repository:
        description: Where it is, as restic takes it. Exactly one of O(repositories[].repository) and
          O(repositories[].repository_file).
        type: str
      repository_file:
        description: A file on the host that says where it is.
        type: path
      password:
        description:
          - The password. At most one of this, O(repositories[].password_file), O(repositories[].password_command) and
            O(repositories[].insecure_no_password). Without any, RESTIC_PASSWORD and its like in the environment count.
        type: str
      password_file:
        description: A file on the host with the password.
        type: path
      password_command:
        description: A command on the host that prints the password. It is run without a shell, as restic does.
        type: str
      environment:
        description: Variables for restic and its backends, such as AWS_ACCESS_KEY_ID.
        type: dict
        default: {}
      environment_file:
        description: A file on the host with such variables, as C(EnvironmentFile=) of systemd has it.
        type: path
      backend_options:
        description: Extended options of restic (C(-o)), by their names.
        type: dict
        default: {}
      cacert:
        description: A file on the host with certificates to trust.
        type: path
      tls_client_cert:
        description: A file on the host with a client's certificate and key.
        type: path
      insecure_tls:
        description: Do not verify the server's certificate.
        type: bool
        default: false
      insecure_no_password:
        description: The repository has an empty password (restic 0.17 and later).
        type: bool
        default: false
      user:
        description: The account on the host whose backups these are; restic runs as this one.
        type: str
  program:
    description: The program restic on the host, by its name or its path.
    type: str
    default: restic
  timeout:
    description: Seconds that one question to restic may take.
    type: int
    default: 7200
  idle_timeout:
    description: Seconds without any progress after which restic is ended.
    type: int
    default: 300
  nice:
    description: How far restic stands back for processors, from 0 to 19.
    type: int
    default: 10
  ionice:
    description: How far restic stands back for disks.
    type: str
    choices: [idle, best-effort, none]
    default: idle
  bandwidth:
    description: KiB a second that restic may read from the repository. Without it, as fast as it goes.
    type: int
  cache_dir:
    description: The folder of restic's cache. Without it, that of the account.
    type: path
"""
