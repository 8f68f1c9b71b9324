#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_drain
short_description: Take a server out of a load balancer while it is worked on, and back
version_added: 0.1.0
description:
  - Drains a server in HAProxy over its admin socket, and waits until its sessions have ended; or takes it back, and
    waits until HAProxy finds it up. Tried with HAProxy 2.6.12.
  - It runs on the host of the balancer, as a rule delegated there, and never needs the server that is worked on.
  - The last server of a backend is not drained unless O(allow_last). Then nothing is done in any backend.
  - Maintenance that somebody else began counts as drained, and is not ended unless O(end_maintenance).
author:
  - Upkeep contributors (@upkeep)
options:
  kind:
    description: What balances the traffic.
    type: str
    choices: [haproxy]
    default: haproxy
  state:
    description: Whether the server shall get no new sessions and have none left, or shall be back and up.
    type: str
    choices: [drained, active]
    required: true
  server:
    description: The name of the server, as HAProxy has it.
    type: str
    required: true
  backends:
    description: The backends in which it is drained or taken back. None given, all that hold a server of that name.
    type: list
    elements: str
    default: []
  socket:
    description: The admin socket of HAProxy (C(stats socket PATH level admin)).
    type: path
    default: /run/haproxy/admin.sock
  timeout:
    description: Seconds to wait for the sessions to end, or for the server to be up.
    type: int
    default: 300
  on_timeout:
    description:
      - What to do when sessions are left after O(timeout) - fail, or go on with a finding that says how many. The
        server stays drained in both cases.
    type: str
    choices: [fail, continue]
    default: fail
  allow_last:
    description: Whether the last server that a backend has may be drained.
    type: bool
    default: false
  end_maintenance:
    description: Whether O(state=active) also ends the maintenance that somebody else began.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do without changing anything.
    support: full
    details: It does not wait then.
  diff_mode:
    description: Shows what it changed, or would change, in diff mode.
    support: full
  platform:
    description: The hosts that it works on.
    platforms: posix
    support: full
    details: Linux with Python 3.8 or newer, and HAProxy 1.8 or newer.
notes:
  - HAProxy forgets a drain when it is reloaded or restarted, unless it is configured to load the state of its servers.
seealso:
  - module: upkeep.maintenance.monitoring_silence
"""

EXAMPLES = r"""
- name: No new sessions for this server, and wait until the open ones have ended
  upkeep.maintenance.traffic_drain:
    state: drained
    server: "{{ inventory_hostname }}"
    timeout: 600
  delegate_to: lb1
  become: true

- name: And back
  upkeep.maintenance.traffic_drain:
    state: active
    server: "{{ inventory_hostname }}"
  delegate_to: lb1
  become: true
"""

RETURN = r"""
servers:
  description: The servers of that name, a backend each, as they are in the end.
  returned: always
  type: list
  elements: dict
  sample: [{backend: shop, server: web1, status: DRAIN, state: drained, sessions: 0}]
left_alone:
  description: What was not taken back, and why.
  returned: always
  type: list
  elements: str
  sample: []
waited:
  description: Seconds that it waited.
  returned: always
  type: float
  sample: 12.5
findings:
  description: C(patch.drain.failed) when it could not be drained or sessions were left, C(patch.drain.left) when it
    could not be taken back.
  returned: always
  type: list
  elements: dict
  sample: []
coverage:
  description: The checks that ran to their end. Empty in check mode.
  returned: always
  type: list
  elements: dict
  sample: [{check: patch.drain.failed, subject: web1}]
not_applicable:
  description: The checks that do not apply.
  returned: always
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain import drain
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_options import SPEC, errors_of


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    errors = errors_of(module.params)
    if errors:
        module.fail_json(msg="The options of traffic_drain make no sense: %s" % "; ".join(errors))
    result = drain(module.params, module.check_mode)
    if not result.pop("ok"):
        module.fail_json(**result)
    result.pop("msg")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
