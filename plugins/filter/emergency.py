# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: emergency
short_description: What the role emergency_patch thinks with
version_added: 0.1.0
description:
  - For the role P(upkeep.maintenance.emergency_patch#role) alone - it may change with any version.
options:
  _input:
    description: What is asked about.
    type: raw
    required: true
  question:
    description: Which question.
    type: str
    choices: [cves, errors, hosts, keys, over, report, rings, safe, stop, work]
    required: true
author:
  - Upkeep contributors (@upkeep)
"""

EXAMPLES = r"""
- name: Whether a host that was asked is not exposed
  ansible.builtin.debug:
    msg: "{{ planned | upkeep.maintenance.emergency('safe', ['CVE-2026-12345']) }}"
"""

RETURN = r"""
_value:
  description: The answer.
  type: raw
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import emergency

QUESTIONS = {
    "cves": emergency.names_of,
    "errors": emergency.errors_of,
    "hosts": emergency.gathered,
    "keys": emergency.keys_of,
    "over": emergency.left_mitigations,
    "report": emergency.report,
    "rings": emergency.rings,
    "safe": emergency.is_safe,
    "stop": emergency.why_stop,
    "work": emergency.work,
}


def ask(value, question, *arguments, **named):
    """The answer of one of QUESTIONS."""
    if question not in QUESTIONS:
        raise AnsibleFilterError("emergency: expected one of %s, found %r" % (", ".join(QUESTIONS), question))
    return QUESTIONS[question](value, *arguments, **named)


class FilterModule:
    def filters(self):
        return {"emergency": ask}
