#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_drain
short_description: Take a server out of the traffic while it is worked on, and back
version_added: 0.1.0
description:
  - Drains a server, and waits until nothing is left on it; or takes it back, and waits until it is up. What was asked
    for is seen to be so by reading again.
  - V(haproxy) does so over HAProxy's admin socket, on the host of the balancer (delegate it there). Tried with 2.6.12.
  - V(kubernetes) cordons a node and evicts its pods, as their disruption budgets let it, by C(kubectl). Tried with
    kubectl 1.20.2 and 1.32.4 against a stand-in of the API server.
  - V(patroni) has the lead of a database given to another member, by Patroni's REST API. Tried with Patroni 3.0.2.
  - V(command) does so by programs of your own, on the machine that it is delegated to.
  - It never needs the server that is worked on to be drained.
author:
  - Upkeep contributors (@upkeep)
options:
  kind:
    description: What sends the traffic. An option that only other kinds have is refused.
    type: str
    choices: [haproxy, command, kubernetes, patroni]
    default: haproxy
  state:
    description: Whether the server shall get nothing new and have nothing left, or shall be back and up.
    type: str
    choices: [drained, active]
    required: true
  server:
    description:
      - The name of the server, as HAProxy has it, of the node, or of the member as Patroni has it. With
        O(kind=command), what the findings call it.
    type: str
    required: true
  timeout:
    description: Seconds to wait until it is drained, or up.
    type: int
    default: 300
  on_timeout:
    description:
      - What to do when it is not drained after O(timeout) - fail, or go on with a finding that says what is left. It
        stays drained, as far as it is, in both cases.
    type: str
    choices: [fail, continue]
    default: fail
  step_timeout:
    description:
      - Seconds that each program may take, or each question to a server. For O(kind=command), O(kind=kubernetes) and
        O(kind=patroni).
    type: int
    default: 60
  backends:
    description:
      - The backends in which it is drained or taken back. None given, all that hold a server of that name.
        For O(kind=haproxy).
    type: list
    elements: str
    default: []
  socket:
    description: The admin socket of HAProxy (C(stats socket PATH level admin)). For O(kind=haproxy).
    type: path
    default: /run/haproxy/admin.sock
  allow_last:
    description:
      - Whether the last server that a backend has may be drained. Otherwise nothing is done in any backend.
        For O(kind=haproxy).
      - Whether the last node may be drained that is ready, not cordoned, and without taints that keep pods away.
        For O(kind=kubernetes).
    type: bool
    default: false
  end_maintenance:
    description:
      - Whether O(state=active) also ends the maintenance that somebody else began. It counts as drained, and is
        otherwise left alone. For O(kind=haproxy).
      - Whether O(state=active) also uncordons a node that somebody else cordoned. Its pods are evicted in any case.
        For O(kind=kubernetes).
    type: bool
    default: false
  kubectl:
    description: The program C(kubectl), 1.20 or newer. For O(kind=kubernetes).
    type: path
    default: kubectl
  kubeconfig:
    description:
      - The file by which C(kubectl) reaches the cluster. None given, it is as if by hand. For O(kind=kubernetes).
    type: path
  context:
    description:
      - The context in it. None given, its current one. For O(kind=kubernetes).
    type: str
  evict_unmanaged:
    description:
      - Whether pods are evicted too that nobody would make again. Otherwise nothing is done. For O(kind=kubernetes).
    type: bool
    default: false
  delete_emptydir_data:
    description:
      - Whether pods are evicted too whose data in an C(emptyDir) are lost with them. Otherwise nothing is done.
        For O(kind=kubernetes).
    type: bool
    default: false
  urls:
    description:
      - Where the REST API of members is, such as V(https://pg2:8008). They are asked in turn until one answers, so give
        all of them, those of other members first. For O(kind=patroni).
    type: list
    elements: str
    default: []
  candidate:
    description:
      - Who shall take the lead. None given, the one with the highest priority, and of these the least behind.
        Where there are synchronous standbys, only these. For O(kind=patroni).
    type: str
  max_lag:
    description:
      - Bytes by which a member may be behind to take the lead, or to be back. For O(kind=patroni).
    type: int
    default: 1048576
  switch_back:
    description:
      - Whether O(state=active) also gives the lead to this member, once it is back. Give it to no more than one member.
        For O(kind=patroni).
    type: bool
    default: false
  user:
    description: Who to log in as at Patroni, by Basic authentication. For O(kind=patroni).
    type: str
  password:
    description:
      - The password. It is not logged, and not shown should the server repeat it. For O(kind=patroni).
    type: str
  verify:
    description: Whether the certificates must be trusted and bear the servers' names. For O(kind=patroni).
    type: bool
    default: true
  ca_file:
    description: Certificates to trust in place of the system's own, in PEM. For O(kind=patroni).
    type: path
  client_cert:
    description: A certificate to show the server, in PEM. For O(kind=patroni).
    type: path
  client_key:
    description:
      - Its key, without a passphrase. Not needed where it is in the file of O(client_cert). For O(kind=patroni).
    type: path
  drain_command:
    description:
      - A program and its arguments that drain the server; there is no shell. It ends with 0. For O(kind=command), with
        O(state=drained).
    type: list
    elements: str
    default: []
  active_command:
    description: As O(drain_command), to take the server back. For O(kind=command), with O(state=active).
    type: list
    elements: str
    default: []
  check_command:
    description:
      - A program and its arguments that change nothing and whose exit code says how it is. For O(kind=command).
      - It ends with V(0) when the server is drained and nothing is left on it, with V(3) when it is back and up, with
        V(4) when it was drained and something is left on it, with V(5) when it was taken back and is not up yet. With
        any other code how it is is not known, and nothing is done. V(1) and V(2) are how broken programs end.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do without changing anything.
    support: full
    details: It does not wait then. O(check_command) is run.
  diff_mode:
    description: Shows what it changed, or would change, in diff mode.
    support: full
  platform:
    description: The hosts that it works on.
    platforms: posix
    support: full
    details: Linux with Python 3.8 or newer. HAProxy 1.8 or newer.
notes:
  - HAProxy forgets a drain when it is reloaded or restarted, unless it is configured to load the state of its servers.
  - Secrets of your programs do not belong into their arguments, which others see. Hand them on by the keyword
    C(environment) of the task.
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

- name: No pods on this node
  upkeep.maintenance.traffic_drain:
    kind: kubernetes
    state: drained
    server: "{{ inventory_hostname }}"
    kubeconfig: /etc/upkeep/kubeconfig
    timeout: 1200
  delegate_to: localhost

- name: This member leads the database no more
  upkeep.maintenance.traffic_drain:
    kind: patroni
    state: drained
    server: "{{ inventory_hostname }}"
    urls: ["https://pg2.example.com:8008", "https://pg1.example.com:8008"]
    user: patroni
    password: "{{ patroni_password }}"
  delegate_to: localhost

- name: Out of a balancer that we have programs for
  upkeep.maintenance.traffic_drain:
    kind: command
    state: drained
    server: "{{ inventory_hostname }}"
    drain_command: [/usr/local/bin/pool, disable, "{{ inventory_hostname }}"]
    check_command: [/usr/local/bin/pool-state, "{{ inventory_hostname }}"]
  environment:
    POOL_TOKEN: "{{ pool_token }}"
  delegate_to: localhost
"""

RETURN = r"""
servers:
  description: The servers of that name, as they are in the end; of HAProxy, one for each backend. C(sessions) of a node
    are the pods that a drain would evict.
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
undone:
  description:
    - Whether nothing that we did keeps the server out of the traffic any more, as was seen by reading again. It may be
      so and have failed all the same, when the server is not up. False in check mode.
  returned: when O(state=active)
  type: bool
  sample: true
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
