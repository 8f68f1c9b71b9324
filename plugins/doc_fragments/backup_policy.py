# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation of the modules shares that judge snapshots: what is agreed of them."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  hosts:
    description: Names under which this host's snapshots stand, besides its own. restic takes the host's name when it
      backs up.
    type: list
    elements: str
    default: []
  policies:
    description:
      - What is agreed. Each entry says what it is for (O(policies[].repository), O(policies[].host),
        O(policies[].tags), O(policies[].source)) and what is agreed of it. Of several that fit, later ones override
        what they name. One that fits no repository, or no series, is a finding.
      - A series is all snapshots of one host and the same paths, see O(group_by).
    type: list
    elements: dict
    default: []
    suboptions:
      repository:
        description: A shell pattern of the repository's name; of one that was found, its location.
        type: str
        default: "*"
      host:
        description: A shell pattern of the snapshots' host.
        type: str
      tags:
        description: Tags that the newest snapshot of the series has, all of them.
        type: list
        elements: str
      source:
        description: A shell pattern of a path that the series backs up.
        type: str
      hosts:
        description:
          - Hosts that back up into this repository, as shell patterns. They are judged, each by itself, and one
            without a snapshot is a finding. For a server that stores the backups of others.
          - Without it, this host's snapshots are judged.
        type: list
        elements: str
      rpo_hours:
        description: Hours that the newest snapshot may be old. Overrides O(rpo_hours).
        type: float
      rhythm_hours:
        description: Hours between two snapshots. A quarter more is a gap. Without it, O(policies[].rpo_hours) stands
          for it.
        type: float
      paths:
        description:
          - Paths that have to be in the newest snapshots, and filled. A shell pattern (C(/srv/dumps/*.sql)) has to
            fit at least one name.
          - They are looked for in each repository that the entry names. An entry for all repositories (V(*)) adds its
            paths to each.
        type: list
        elements: str
      keep:
        description:
          - The agreed retention, with the meaning of C(restic forget). A period without its snapshot is a finding,
            and so are many snapshots more than that. Without it, that of the host's own jobs is taken where it could
            be read.
        type: dict
        suboptions:
          last: {description: Snapshots to keep whatever their time., type: int}
          hourly: {description: Hours with a snapshot., type: int}
          daily: {description: Days with a snapshot., type: int}
          weekly: {description: Weeks with a snapshot., type: int}
          monthly: {description: Months with a snapshot., type: int}
          yearly: {description: Years with a snapshot., type: int}
      since:
        description: The day (C(2026-01-31)) since which backups are made. Without it, the oldest snapshot tells.
        type: str
      shrunk_percent:
        description: As O(shrunk_percent), for this series.
        type: float
  rpo_hours:
    description:
      - Hours that the newest snapshot of each series may be old.
      - Without it, and without a policy, a series may be a quarter older than the longest of its last six pauses, and
        26 hours in any case.
    type: float
  gap_days:
    description: Days back in which gaps, and a drop of the size, are findings.
    type: float
    default: 35.0
  shrunk_percent:
    description: Percent of its usual size (the median of the seven snapshots before) below which a backup has shrunk.
    type: float
    default: 50.0
  group_by:
    description: What makes a series, as with C(restic forget --group-by). Without V(paths), jobs whose paths change
      are one series.
    type: list
    elements: str
    choices: [host, paths, tags]
    default: [host, paths]
  exclusions:
    description: What needs no backup - paths, volumes, databases (their folders), or files that discovery need not
      understand.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: A shell pattern of the path; all below it is meant too.
        type: str
        required: true
      reason:
        description: Why. It stands in the result.
        type: str
        required: true
"""
