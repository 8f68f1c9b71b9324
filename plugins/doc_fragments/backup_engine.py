# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation of the modules for backup programs other than restic shares."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  repositories:
    description: The repositories, or whatever else holds backups.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: How findings call it.
        type: str
        required: true
      engine:
        description: V(borg), or V(command) for any program, by commands of your own.
        type: str
        choices: [borg, command]
        required: true
      repository:
        description: Where it is, as borg takes it. Required for V(borg).
        type: str
      password:
        description: Its passphrase. It goes by a descriptor, never by a command line or the environment.
        type: str
      password_file:
        description: A file on the host with the passphrase.
        type: path
      password_command:
        description: A command, run without a shell, that prints the passphrase.
        type: str
      program:
        description: The program borg, by its name or its path.
        type: str
        default: borg
      list_command:
        description:
          - The words of a command that prints a JSON array of snapshots, each with C(id) and C(time) (ISO 8601, or
            seconds
            since the epoch), and where they are known C(host), C(paths), C(tags), C(files) and C(bytes). Required for
            V(command).
          - C(files) is the number of regular files, and C(bytes) the sum of their sizes. A trial restore must bring
            back exactly these, and each of C(paths) below the folder that it restores into, by its whole path.
            Without C(bytes), and without a live file to compare with, it proves nothing, which is told.
        type: list
        elements: str
      check_command:
        description: The words of a command that checks the backup, and ends with 0 when it is whole.
        type: list
        elements: str
      restore_command:
        description:
          - The words of a command that restores a snapshot into a folder. C({snapshot}) and C({target}) stand for
            them, and
            E(UPKEEP_SNAPSHOT) and E(UPKEEP_TARGET) hold them too.
        type: list
        elements: str
      damaged_codes:
        description: Exit codes by which O(repositories[].check_command) says that the backup is damaged. Any other
          one but
          0 says that it could not be checked.
        type: list
        elements: int
        default: [1]
      environment:
        description: Variables for the program. Their values are not shown.
        type: dict
        default: {}
  timeout:
    description: Seconds that one call of the program may take.
    type: int
    default: 7200
  idle_timeout:
    description: Seconds without progress after which it is ended.
    type: int
    default: 900
  nice:
    description: How far it stands back for processors, from 0 to 19.
    type: int
    default: 10
  ionice:
    description: How far it stands back for disks.
    type: str
    choices: [idle, best-effort, none]
    default: idle
"""
