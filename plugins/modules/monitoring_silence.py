#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: monitoring_silence
short_description: Keep the alerts of a host quiet while it is worked on, and for no longer
version_added: 0.1.0
description:
  - Makes, lengthens or ends a silence of Prometheus' Alertmanager, by its API v2. Tried with Alertmanager 0.25.0.
  - Or a maintenance of Zabbix, by its API (5.4 and later). Tried with Zabbix 6.0.14. It is deleted when it is ended.
  - Or a region that Grafana draws over its graphs, by its API of annotations (9.0 and later). Tried against a stand-in
    of that API. It keeps no alert quiet, it only tells who looks; silence the alerts where they are made.
  - It is found again by its O(key), which stands as C(upkeep/KEY) in C(createdBy) of the silence or as the name of the
    maintenance, and as the tag C(upkeep:KEY) of the region. Of each key there is exactly one; more, or others that are
    left of it, are ended. Those of anybody else are left alone.
  - A silence always ends by itself, after a week at the latest, so that one that nobody could end does no lasting harm.
  - What was asked for is seen to be so by reading again. The new silence is there before the old one goes.
  - It asks from where it runs, as a rule the controller (C(delegate_to) V(localhost)), and never needs the host that is
    worked on.
author:
  - Upkeep contributors (@upkeep)
options:
  kind:
    description: What the silences are made in. An option that only other kinds have is refused.
    type: str
    choices: [alertmanager, zabbix, grafana]
    default: alertmanager
  state:
    description: Whether alerts shall be kept quiet.
    type: str
    choices: [present, absent]
    default: present
  key:
    description:
      - What the silence is found again by, such as V(patching/web1). Up to 120 letters, digits and
        any of C(._:/@-).
    type: str
    required: true
  url:
    description:
      - Where the pages of Alertmanager begin, with its path prefix if it has one. Of a cluster, any member.
      - With O(kind=zabbix), where its frontend begins (without C(/api_jsonrpc.php)). With O(kind=grafana), where its
        pages begin.
    type: str
    required: true
  matchers:
    description:
      - The alerts that are kept quiet, those that all of these match. Needed for O(state=present). For
        O(kind=alertmanager).
      - Matchers that would silence everything are refused.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The label.
        type: str
        required: true
      value:
        description: Its value, or a regular expression of RE2, which is matched in full.
        type: str
        required: true
      regex:
        description: Whether O(matchers[].value) is a regular expression.
        type: bool
        default: false
      equal:
        description: Whether it must match, or must not.
        type: bool
        default: true
  hosts:
    description:
      - The hosts that are put into maintenance, by their host name (not the visible one). Needed for O(state=present).
        For O(kind=zabbix).
    type: list
    elements: str
    default: []
  collect_data:
    description: Whether Zabbix goes on to collect data of O(hosts). For O(kind=zabbix).
    type: bool
    default: true
  wait:
    description:
      - Seconds to wait until Zabbix' server has put O(hosts) into maintenance, which it does once a minute; until then
        alerts still call somebody. V(0) does not wait. Hosts that are not monitored are not waited for. For
        O(kind=zabbix).
    type: int
    default: 180
  tags:
    description:
      - Tags that the region gets when it is made, beside V(upkeep) and the one that bears the key. For O(kind=grafana).
    type: list
    elements: str
    default: []
  dashboard:
    description:
      - The UID of the dashboard that the region is drawn on. None given, all that ask for its tags.
        For O(kind=grafana).
    type: str
  panel:
    description: The number of a panel of O(dashboard), if it is drawn on that one only. For O(kind=grafana).
    type: int
    default: 0
  minutes:
    description: Minutes that it lasts from now, at most 10080 (a week). Zabbix takes whole minutes, and five at least.
    type: int
    default: 120
  ends:
    description: When it ends, in place of O(minutes), as an epoch in seconds, at most a week away.
    type: float
  extend:
    description:
      - Whether the end of a silence that is there is put off, when it ends before O(ends), or when less than half of
        O(minutes) is left of it. It is never brought forward.
    type: bool
    default: true
  comment:
    description: Why, for who looks at the silences.
    type: str
    default: Maintenance by Upkeep
  user:
    description: Who to log in as, by Basic authentication; with O(kind=zabbix), by its API.
    type: str
  password:
    description: The password. It is not logged, and not shown should the server repeat it.
    type: str
  token:
    description:
      - A bearer token (with Grafana, of a service account that may write annotations), or one of Zabbix' API, in place
        of O(user). It is not logged, and not shown should the server repeat it.
    type: str
  verify:
    description: Whether the certificate of the server must be trusted and bear its name.
    type: bool
    default: true
  ca_file:
    description: Certificates to trust in place of the system's own, in PEM.
    type: path
  client_cert:
    description: A certificate to show the server, in PEM.
    type: path
  client_key:
    description: Its key, without a passphrase. Not needed where it is in the file of O(client_cert).
    type: path
  timeout:
    description: Seconds within which each question must be answered, whatever the server does.
    type: int
    default: 15
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do without changing anything.
    support: full
    details: The server is asked what there is, and nothing else.
  diff_mode:
    description: Shows what it changed, or would change, in diff mode.
    support: full
  platform:
    description: The machines that it runs on.
    platforms: posix
    support: full
    details: Python 3.8 or newer.
notes:
  - Redirects are not followed. Proxies of the environment (C(https_proxy), C(no_proxy)) count.
seealso:
  - module: upkeep.maintenance.traffic_drain
  - module: upkeep.maintenance.patch_apply
"""

EXAMPLES = r"""
- name: No alerts of this host for two hours
  upkeep.maintenance.monitoring_silence:
    url: https://alertmanager.example.com
    token: "{{ alertmanager_token }}"
    key: "patching/{{ inventory_hostname }}"
    matchers:
      - {name: instance, value: "{{ inventory_hostname | regex_escape }}(:[0-9]+)?", regex: true}
    comment: "Patching, change 4711"
  delegate_to: localhost

- name: In maintenance in Zabbix, until it is done
  upkeep.maintenance.monitoring_silence:
    kind: zabbix
    url: https://zabbix.example.com/zabbix
    token: "{{ zabbix_token }}"
    key: "patching/{{ inventory_hostname }}"
    hosts: ["{{ inventory_hostname }}"]
  delegate_to: localhost

- name: Show on the graphs that it was us
  upkeep.maintenance.monitoring_silence:
    kind: grafana
    url: https://grafana.example.com
    token: "{{ grafana_token }}"
    key: "patching/{{ inventory_hostname }}"
    tags: [patching, "{{ inventory_hostname }}"]
    comment: "Patching {{ inventory_hostname }}, change 4711"
  delegate_to: localhost

- name: It is done, so call us again
  upkeep.maintenance.monitoring_silence:
    url: https://alertmanager.example.com
    token: "{{ alertmanager_token }}"
    key: "patching/{{ inventory_hostname }}"
    state: absent
  delegate_to: localhost
"""

RETURN = r"""
silence:
  description: The silence of the key, or as it would be in check mode (without an id where it would be a new one).
    Empty when there is none.
  returned: always
  type: dict
  sample:
    key: patching/web1
    id: 8a2c1a3e-6a3f-4c3b-9d3f-0f6f2a1d9c55
    covers: '{instance=~"web1(:[0-9]+)?"}'
    ends: 1790007200.0
    ends_at: "2026-09-21T15:33:20.000Z"
findings:
  description: C(patch.silence.failed) when it could not be made, C(patch.silence.left) when it could not be ended.
  returned: always
  type: list
  elements: dict
  sample: []
coverage:
  description: The checks that ran to their end. Empty in check mode.
  returned: always
  type: list
  elements: dict
  sample: [{check: patch.silence.failed, subject: patching/web1}]
not_applicable:
  description: The checks that do not apply.
  returned: always
  type: list
  elements: dict
  sample: []
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence import silence
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence_options import SPEC, errors_of


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    errors = errors_of(module.params, time.time())
    if errors:
        module.fail_json(msg="The options of monitoring_silence make no sense: %s" % "; ".join(errors))
    result = silence(module.params, module.check_mode)
    if not result.pop("ok"):
        module.fail_json(**result)
    result.pop("msg")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
