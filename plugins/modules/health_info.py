#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: health_info
short_description: Tell the health of a host, and what of it is gone since an earlier look
version_added: 0.1.0
description:
  - Gathers in one round trip what a host does for others - services and failed units, sockets that listen with their
    owners, mounts, errors in the journal, containers, and the answers of your own probes.
  - With O(before) or O(before_plan) it compares - what was there and is not is a finding. What was broken before is
    told as V(info), and never blamed on what happened since.
  - What comes and goes by its nature is left out by rules, and listed with the reason - transient units, login
    sessions, one-shots that nothing enables, services that a socket, a timer or D-Bus starts on demand, ports that the
    kernel hands out.
  - It reads and asks. Probes of the kind V(command) run what you name; they are not run in check mode.
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
options:
  before:
    description: The RV(health) of an earlier look at the same host, to compare with.
    type: dict
  before_plan:
    description: The id of a plan whose journal on the host holds the health from before, as
      M(upkeep.maintenance.patch_prepare) wrote it down.
    type: str
  probes:
    description: What else must answer. A probe that fails is V(critical), unless it failed before, too.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What it is called; results are compared by it.
        type: str
        required: true
      kind:
        description: Get a page, connect, look at a certificate, ask a database, or run a program.
        type: str
        required: true
        choices: [http, tcp, tls, sql, command]
      unit:
        description: The unit that it is about, of which a failing probe is evidence when that is lost. Ports of this
          host are known by themselves.
        type: str
        default: ""
      timeout:
        description: Seconds after which it has failed.
        type: int
        default: 10
      url:
        description: What to get (V(http)). Redirects are not followed, so that the answer is of who was asked.
        type: str
        default: ""
      status:
        description: The statuses that are well (V(http)).
        type: list
        elements: int
        default: [200]
      contains:
        description: A text that the answer (V(http), in its first MiB) or the output (V(command)) must contain.
        type: str
        default: ""
      headers:
        description: Headers to send (V(http)). They are logged, so no secrets; see O(probes[].user).
        type: dict
        default: {}
      verify:
        description: Whether the certificate must be trusted and bear the name (V(http), V(tls)).
        type: bool
        default: true
      ca_file:
        description: Certificates to trust in place of the host's own (V(http), V(tls)).
        type: path
      host:
        description: Where to (V(tcp), V(tls), V(sql)). For V(mysql), V(localhost) without a port is its socket.
        type: str
        default: localhost
      port:
        description: Where to (V(tcp), V(tls), V(sql)); V(0) is the database's usual one.
        type: int
        default: 0
      server_name:
        description: The name to ask for and to expect (V(tls)); by default the host.
        type: str
        default: ""
      days:
        description: Days that the certificate must be valid at least (V(tls)).
        type: int
        default: 7
      engine:
        description: The database, asked by C(psql), or by C(mariadb) or C(mysql) (V(sql)).
        type: str
        choices: [postgresql, mysql]
        default: postgresql
      socket:
        description: Its socket, in place of host and port (V(sql)); for PostgreSQL, its folder will do.
        type: path
      database:
        description: Which one (V(sql)).
        type: str
        default: ""
      user:
        description: Who to log in as (V(sql); V(http) by Basic).
        type: str
        default: ""
      password:
        description: The password (V(sql), V(http)). It is no word of a command line, and is not logged.
        type: str
      account:
        description: The account of the host that runs the client or the program (V(sql), V(command)), such as
          V(postgres).
        type: str
      query:
        description: What to ask (V(sql)), in a transaction that can only read. It may hold no backslash.
        type: str
        default: SELECT 1
      expected:
        description: What the query or the program must print, white space around it aside. Not given, any answer is
          well.
        type: str
      argv:
        description: The program and its words (V(command)). No shell sees them.
        type: list
        elements: str
        default: []
      rc:
        description: The exit code that is well (V(command)).
        type: int
        default: 0
  ignore:
    description: What is not to be judged. What a rule ignores is listed with its reason.
    type: list
    elements: dict
    default: []
    suboptions:
      check:
        description: A check, such as V(port_closed), or a pattern.
        type: str
        default: "*"
      subject:
        description: A pattern, as of a shell, such as V(tcp/*:9*) or V(cups*). For V(errors_rose) it is compared with
          the unit and the line of an error, too.
        type: str
        default: "*"
      reason:
        description: Why, for who reads the result.
        type: str
        required: true
  journal_minutes:
    description: Minutes of the journal that are looked at for errors. In a comparison, no further back than the look
      before, and not beyond the last boot.
    type: int
    default: 60
  wait:
    description: Seconds within which all that was there may come back. It ends as soon as all is back twice in a row.
    type: int
    default: 0
  timeout:
    description: Seconds for all probes together, each time.
    type: int
    default: 120
seealso:
  - module: upkeep.maintenance.patch_prepare
  - module: upkeep.maintenance.patch_apply
"""

EXAMPLES = r"""
- name: Look at the host before it is changed
  upkeep.maintenance.health_info:
    probes: &probes
      - {name: shop, kind: http, url: "https://localhost/health", contains: "ok", verify: false}
      - {name: orders, kind: sql, account: postgres, database: shop, query: "SELECT count(*) FROM shops", expected: "3"}
      - {name: queue, kind: command, argv: [/usr/local/bin/check-queue, --fast], timeout: 20}
  register: before

- name: And after, with two minutes for services that need their time
  upkeep.maintenance.health_info:
    before: "{{ before.health }}"
    wait: 120
    probes: *probes
    ignore:
      - {check: port_closed, subject: "tcp/*:9*", reason: "exporters are restarted by their own timer"}
  register: after
  failed_when: after.difference.verdict in ['unhealthy', 'unknown']

- name: Compare with what patch_prepare wrote down on the host
  upkeep.maintenance.health_info:
    before_plan: p-dc865f08324e
    wait: 120
"""

RETURN = r"""
health:
  description: The state of the host, at most 64 KiB as JSON. What was left out for that is in C(cut).
  returned: always
  type: dict
  sample:
    version: 1
    time: 1790000000.0
    boot_id: 5e2cf9a1-58d1-43c8-8b1e-1f0f2b9c2c0e
    services: {nginx.service: {state: active/running, type: forking, enabled: enabled, wanted: true}}
    failed: {}
    sockets: [{proto: tcp, address: 0.0.0.0, port: 80, unit: nginx.service, command: nginx}]
    mounts: {/srv: {type: ext4, source: /dev/sdb1}}
    journal: {since: 1789996400, seconds: 3600.0, lines: 12, events: 2, causes: [], first: []}
    containers: {podman/shop: {image: "docker.io/shop:4", health: ""}}
    probes: {shop: {kind: http, target: "https://localhost/health", passed: true, summary: it answers 200,
      seconds: 0.012}}
    not_known: {}
    not_applicable: {}
    cut: {}
difference:
  description: How the host differs from before.
  returned: always
  type: dict
  contains:
    verdict:
      description: V(unhealthy) when a change is V(critical) or V(high), V(unknown) when something could not be looked
        at, V(degraded) when a change is V(medium), otherwise V(healthy). Without a state to compare with it is what the
        probes say.
      returned: always
      type: str
    compared:
      description: Whether there was a state to compare with.
      returned: always
      type: bool
    before_time:
      description: When the state before was gathered, in seconds since the epoch; none without one.
      returned: always
      type: float
    rebooted:
      description: Whether the host was booted in between; none without a state before.
      returned: always
      type: bool
    changes:
      description: What is worse, each as a finding, and in C(returns) whether it may come back by itself.
      returned: always
      type: list
      elements: dict
    already:
      description: What was broken before, and still is.
      returned: always
      type: list
      elements: dict
    recovered:
      description: What was broken before, and is not now.
      returned: always
      type: list
      elements: str
    left_out:
      description: What is gone and was not judged, with the reason.
      returned: always
      type: list
      elements: dict
    ignored:
      description: What O(ignore) left out, with the reason.
      returned: always
      type: list
      elements: dict
    unknown:
      description: The checks that could not be done, and why.
      returned: always
      type: dict
    partial:
      description: The checks that were done for a part, and what is missing. The verdict is V(degraded) then, at the
        least.
      returned: always
      type: dict
  sample:
    verdict: unhealthy
    compared: true
    before_time: 1790000000.0
    rebooted: false
    changes:
      - check: patch.health.service_lost
        subject: nginx.service
        severity: critical
        summary: "nginx.service was active before and is not now: it has failed."
        evidence: ["before: active/running, now: failed/failed", "nobody listens any more on tcp/0.0.0.0:80"]
        remedy: systemctl status nginx.service; journalctl -u nginx.service -b
        returns: true
    already: []
    recovered: []
    left_out: [{subject: packagekit.service, why: it is started on demand over D-Bus and ends when nobody needs it}]
    ignored: []
    unknown: {}
    partial: {}
waited:
  description: How long it was waited, how often it was looked, what came back late and after how many seconds, and
    whether the time was over before all was back.
  returned: always
  type: dict
  sample: {seconds: 12.4, polls: 5, over: false, late: {patch.health.service_lost nginx.service: 9.2}}
findings:
  description: What a person should know of. The names of the checks are stable.
  returned: always
  type: list
  elements: dict
  sample: []
coverage:
  description: The checks that ran to their end, with their subjects (V(*) for all that there are).
  returned: always
  type: list
  elements: dict
  sample: [{check: patch.health.service_lost, subject: "*"}]
not_applicable:
  description: The checks that do not apply to this host, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: [{check: patch.health.container_lost, why: "there is no podman, and no docker that runs", force: ""}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._health.options import ARGUMENT_SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._health.review import Wrong, review
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import Cancelled, cancellable


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        with cancellable():
            result = review(Host(), dict(module.params, check_mode=module.check_mode))
    except Wrong as wrong:
        module.fail_json(msg="The options of health_info make no sense: %s" % wrong)
    except Cancelled as cancelled:
        module.fail_json(msg="It was cancelled (%s), so nothing is known of the host." % cancelled)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
