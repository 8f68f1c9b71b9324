#!/usr/bin/python

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: capacity_info
short_description: Review the capacity and the health of a host
version_added: 0.1.0
description:
  - Tells in one call what runs short on a host, and what has broken silently - filesystems and inodes that are full or
    fill up, with the date on which they will be full; memory, swap, load, processes, open files; failed units of
      systemd;
    a clock that is not synchronised; filesystems that are read-only or do not answer; errors of disks and filesystems
      in
    the kernel's log; RAIDs, SMART; certificates that expire.
  - The date comes from a robust trend (Theil-Sen, with its confidence interval) that steps and clean-ups do not fool.
    It needs four samples over seven days, so the weekly review of a month gives it. Less is told as too little.
  - It reads only, but for one small file - the history of the filesystems' use, O(history_path), bounded to 60
    samples of
    200 filesystems. It is no change of the system, so RV(ignore:changed) is always false. Check mode does not write it.
  - A filesystem that does not answer (a dead NFS server) does not hang the review - each is asked by a process of its
    own
    for O(mount_timeout) seconds, and is a finding then.
  - In a container, the checks of what belongs to the machine outside are not applicable, see O(host_kind).
author:
  - Upkeep contributors (@upkeep)
extends_documentation_fragment:
  - upkeep.maintenance.attributes
options:
  host_kind:
    description:
      - V(auto) finds out by itself whether the host is a container.
      - V(machine) judges the memory, the load, the kernel's log, the disks and the clock of a container as well,
        which are
        those of the machine outside. V(container) leaves them out.
    type: str
    choices: [auto, machine, container]
    default: auto
  history:
    description:
      - Whether to keep the history of the filesystems' use on the host. Without it, and without O(samples), there is no
        forecast.
    type: bool
    default: true
  history_path:
    description:
      - Where the history is kept. Its folder is made if need be. A file that cannot be used is renamed to its name with
        C(.unusable) behind it, and told.
    type: path
    default: /var/lib/upkeep/capacity.json
  samples:
    description: Samples of former times from elsewhere, added to the history of the host.
    type: list
    elements: dict
    default: []
    suboptions:
      mount:
        description: The mount point.
        type: str
        required: true
      time:
        description: When it was, in seconds since the epoch.
        type: float
        required: true
      used_bytes:
        description: Bytes in use.
        type: float
        required: true
      usable_bytes:
        description: Bytes in use and available together.
        type: float
      inodes_used:
        description: Inodes in use.
        type: float
      inodes_usable:
        description: Inodes that there are.
        type: float
  trend_min_samples:
    description: Samples that a forecast needs. Samples less than six hours apart count as one. Below four, no trend
      is certain.
    type: int
    default: 4
  trend_min_days:
    description: Days that the samples must span for a forecast; a week, so that each day of it is in them.
    type: float
    default: 7.0
  trend_window_days:
    description: Days back that the trend is taken over. With fewer than O(trend_min_samples) samples in them, it goes
      further back.
    type: float
    default: 90.0
  filling_high_days:
    description: A filesystem that will be full within so many days is of high severity; a week, before the next review.
    type: float
    default: 7.0
  filling_medium_days:
    description: As O(filling_high_days), of medium severity; a month, before the next monthly maintenance.
    type: float
    default: 30.0
  filling_low_days:
    description: As O(filling_high_days), of low severity; a quarter, before the next budget. A later date is no
      finding.
    type: float
    default: 90.0
  mount_timeout:
    description: Seconds that a filesystem has to answer. Three times as long is the most that all of them together
      may take.
    type: float
    default: 5.0
  exclude_mounts:
    description: Shell patterns of mount points that are left out.
    type: list
    elements: str
    default: ["/run/credentials/*", "/run/user/*/doc", "/run/user/*/gvfs"]
  exclude_types:
    description: Types of filesystems that are left out, besides those that hold no data (C(proc)) and images
      (C(squashfs)).
    type: list
    elements: str
    default: []
  full_medium_percent:
    description:
      - Percent of the bytes, or of the inodes, in use at which a filesystem is a finding of medium severity.
      - As C(df) counts, without the blocks that are reserved for root - at 100 percent services fail.
    type: float
    default: 90.0
  full_high_percent:
    description: As O(full_medium_percent), of high severity. From the node-mixin of Prometheus.
    type: float
    default: 95.0
  full_critical_percent:
    description: As O(full_medium_percent), of critical severity. From the node-mixin of Prometheus.
    type: float
    default: 97.0
  full_enough_gib:
    description: GiB available with which a filesystem is not called full, whatever the percentage.
    type: float
    default: 100.0
  memory_medium_percent:
    description: Percent of the memory available (C(MemAvailable)) below which it is a finding of medium severity.
    type: float
    default: 10.0
  memory_high_percent:
    description: As O(memory_medium_percent), of high severity.
    type: float
    default: 5.0
  stall_percent:
    description:
      - Percent of the last five minutes in which everything waited for memory that make a finding of high severity
        (pressure stall information, Linux 4.20 and later).
      - With less waiting than this for processors and disks, a high load is of low severity only.
    type: float
    default: 10.0
  swap_low_percent:
    description: Percent of the swap in use at which it is a finding of low severity.
    type: float
    default: 50.0
  swap_medium_percent:
    description: As O(swap_low_percent), of medium severity.
    type: float
    default: 80.0
  load_low_per_cpu:
    description: Load of the last 15 minutes for each processor at which it is a finding of low severity.
    type: float
    default: 1.5
  load_medium_per_cpu:
    description: As O(load_low_per_cpu), of medium severity.
    type: float
    default: 3.0
  exhaustion_medium_percent:
    description: Percent of the file handles, or of the processes and threads, that there may be, for a finding of
      medium severity.
    type: float
    default: 70.0
  exhaustion_high_percent:
    description: As O(exhaustion_medium_percent), of high severity.
    type: float
    default: 90.0
  zombies_low:
    description: Processes that ended and that their parent did not notice, for a finding of low severity.
    type: int
    default: 20
  units_ignore:
    description: Shell patterns of units whose failure is not a finding.
    type: list
    elements: str
    default: []
  reference_time:
    description:
      - The time by another clock, in seconds since the epoch, to compare the host's with; C({{ now().timestamp() }})
        is the
        controller's. Without it, a clock that is wrong is found only when it is not synchronised.
    type: float
  clock_offset_seconds:
    description: Seconds that the clock may differ from O(reference_time). The time of the connection is in them.
    type: float
    default: 30.0
  kernel_log_days:
    description: Days back that the kernel's log is read; a day more than a weekly review needs.
    type: float
    default: 8.0
  devices_ignore:
    description: Shell patterns of devices whose errors in the kernel's log are not a finding. A drive without a
      medium has many.
    type: list
    elements: str
    default: ["sr*", "fd*"]
  smart:
    description: Whether to ask the disks for their health, where C(smartctl) is installed. Sleeping disks are left
      asleep.
    type: bool
    default: true
  smart_devices:
    description:
      - Disks to ask instead of those that are found, each with the arguments that C(smartctl) needs for it, such as
        C(-d megaraid,0 /dev/sda) behind a RAID controller.
    type: list
    elements: str
    default: []
  certificate_paths:
    description: Shell patterns of certificates in use, PEM or DER. A private key in the same file stays where it is.
    type: list
    elements: str
    default:
      - /etc/letsencrypt/live/*/fullchain.pem
      - /etc/kubernetes/pki/*.crt
      - /etc/kubernetes/pki/etcd/*.crt
      - /var/lib/kubelet/pki/kubelet-client-current.pem
      - /etc/cockpit/ws-certs.d/*.c*rt
  certificates_of_services:
    description:
      - Whether to look for certificates in the configurations of nginx, Apache, Postfix, Dovecot, HAProxy,
        PostgreSQL, MySQL,
        OpenLDAP, OpenVPN and Docker.
    type: bool
    default: true
  certificate_scan:
    description:
      - Shell patterns of certificates that somebody may use. What is found here only is of low severity, and files
        with more
        than 20 certificates are taken for a store of authorities.
    type: list
    elements: str
    default: [/etc/ssl/*.crt, /etc/ssl/*.pem, /etc/ssl/private/*.crt, /etc/ssl/private/*.pem, /etc/pki/tls/certs/*.crt]
  certificate_medium_days:
    description: Days before a certificate expires for a finding of medium severity, or a quarter of its life if that
      is less.
    type: float
    default: 30.0
  certificate_high_days:
    description: As O(certificate_medium_days), of high severity, or an eighth of its life.
    type: float
    default: 7.0
requirements:
  - Linux with Python 3.8 or newer.
  - Root, to read the kernel's log, all certificates and the disks, and to write the history. Without it the rest is
    reviewed.
notes:
  - Tried with Debian 12 (systemd 252, Python 3.11) on Linux 6.18, as a machine and as a container of systemd-nspawn.
  - What smartctl 7 answers and what other kernels log is known from records; smartctl before 7.0 cannot be asked.
  - It opens no port and asks nothing of the network, but what mounted filesystems need to answer.
seealso:
  - module: upkeep.maintenance.host_review
  - module: upkeep.maintenance.patch_info
"""

EXAMPLES = r"""
- name: Review the capacity of a host
  upkeep.maintenance.capacity_info:
  register: capacity

- name: Show when the filesystems will be full
  ansible.builtin.debug:
    msg: "{{ item.mount }}: {{ item.forecast.full_on | default(item.forecast.state) }}"
  loop: "{{ capacity.filesystems | selectattr('forecast') }}"
  loop_control:
    label: "{{ item.mount }}"

- name: Review a database server, earlier and with its own certificate, and compare its clock with the controller's
  upkeep.maintenance.capacity_info:
    full_medium_percent: 80
    certificate_paths: [/srv/db/tls/server.crt]
    reference_time: "{{ now().timestamp() }}"

- name: Look without leaving a trace
  upkeep.maintenance.capacity_info:
    history: false
"""

RETURN = r"""
findings:
  description: What a person should know of.
  returned: always
  type: list
  elements: dict
  sample:
    - check: capacity.filesystem.filling
      subject: /var
      severity: medium
      summary: /var will be full about 2026-12-05, in 13 days (between 2026-12-03 and 2026-12-09; confidence high).
      evidence: [it grows by 1.2 GiB a day, seen over 84 days in 13 samples, /dev/sda3 on /var type ext4]
      remedy: "See what grows: du -xh --max-depth=2 /var | sort -h | tail -n 20; then clean up, or make it larger."
      facts: {state: filling, full_on: "2026-12-05", confidence: high, per_day: 1288490188.8}
coverage:
  description: The checks that ran to their end, with their subjects (V(*) for all that there are).
  returned: always
  type: list
  elements: dict
  sample: [{check: capacity.filesystem.full, subject: "*"}]
not_applicable:
  description: The checks that do not apply to this host, why, and how to have them all the same.
  returned: always
  type: list
  elements: dict
  sample: [{check: capacity.disk.failing, why: smartctl is not installed, force: install the package smartmontools}]
container:
  description: What kind of container this is, V(none) for a machine of its own.
  returned: always
  type: str
  sample: systemd-nspawn
filesystems:
  description: The 100 fullest filesystems, each once, whatever else it is mounted on.
  returned: always
  type: list
  elements: dict
  contains:
    mount:
      description: The mount point nearest to the filesystem's root.
      type: str
      sample: /var
    device:
      description: The device, or what stands for it.
      type: str
      sample: /dev/sda3
    type:
      description: The type of the filesystem.
      type: str
      sample: ext4
    read_only:
      description: Whether nobody can write to it here.
      type: bool
    size_bytes:
      description: Its size in bytes.
      type: int
    used_bytes:
      description: Bytes in use.
      type: int
    available_bytes:
      description: Bytes that who is not root may still have.
      type: int
    reserved_bytes:
      description: Bytes that only root may have.
      type: int
    used_percent:
      description: Percent in use of what is used and available, as C(df) counts.
      type: float
    inodes:
      description: Inodes that there are, V(none) where they are made as needed.
      type: int
    inodes_used:
      description: Inodes in use.
      type: int
    inodes_used_percent:
      description: Percent of the inodes in use.
      type: float
    forecast:
      description:
        - When it will be full. C(state) is C(filling), C(stable), C(shrinking), C(full), or C(unknown) with C(why).
        - While filling, C(full_at), C(earliest) and C(latest) are seconds since the epoch, C(full_on) is a date,
          C(confidence)
          is C(high), C(medium) or C(low). C(per_day) is the growth with the bounds C(per_day_lower) and
            C(per_day_upper).
      type: dict
      sample: {state: filling, full_on: "2026-12-05", full_at: 1796428800.0, confidence: high, samples: 13, days: 84.0}
    inodes_forecast:
      description: As RV(filesystems[].forecast), for the inodes.
      type: dict
filesystems_not_told:
  description: How many filesystems are not in RV(filesystems). They are judged all the same.
  returned: always
  type: int
  sample: 0
memory:
  description: Memory and swap in bytes and percent, what waited for it, and how many processes the kernel killed for
    want of it.
  returned: always
  type: dict
  sample: {total_bytes: 8589934592, available_bytes: 6442450944, available_percent: 75.0, swap_used_percent: 0.0,
    oom_kills: 0}
load:
  description: The load averages, processors, threads, what waited for processors and disks, and the seconds since boot.
  returned: always
  type: dict
  sample: {averages: [0.1, 0.2, 0.1], cpus: 2, threads: 95, uptime: 86400.0}
files:
  description: The file handles that are open, and how many may be.
  returned: always
  type: dict
  sample: {used: 950, limit: 2466177}
processes:
  description: The processes, threads, how many there may be, and those that ended unnoticed, with their parents.
  returned: always
  type: dict
  sample: {count: 42, seen: 42, threads: 95, limit: 32768, zombies: 0, zombie_parents: []}
units:
  description: The state of systemd and the failed units, V(none) without systemd.
  returned: always
  type: dict
  sample: {state: degraded, jobs: 0, failed: [nginx.service]}
clock:
  description: The bound of the clock's error in seconds, the client that keeps it, and the difference to
    O(reference_time).
  returned: always
  type: dict
  sample: {error_seconds: 0.02, client: chronyd, offset_seconds: 0.4}
kernel:
  description: Where the kernel's log was read, the moment that it reaches back to in seconds since the epoch, and how
    many errors and killed processes are in it, V(none) in a container.
  returned: always
  type: dict
  sample: {sources: [/dev/kmsg], reaches: 1790000000.0, troubles: 0, killed: 0}
raids:
  description: The software RAIDs, V(none) where there is nothing to see.
  returned: always
  type: list
  elements: dict
  sample: [{device: md0, degraded: false, busy: "", lines: ["md0 : active raid1 sdb1[1] sda1[0]"]}]
disks:
  description: The disks that were asked for their health.
  returned: always
  type: list
  elements: str
  sample: [/dev/sda]
certificates:
  description: The certificates that were read, with who uses them and the day of the one in the file that expires
    first.
  returned: always
  type: list
  elements: dict
  sample: [{path: /etc/nginx/tls.pem, used_by: [nginx], name: www.example.com, not_after: "2027-02-01"}]
history:
  description: The history file, whether it was written, why not, and how many samples the longest series has.
  returned: always
  type: dict
  sample: {path: /var/lib/upkeep/capacity.json, written: true, samples: 13}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.upkeep.maintenance.plugins.module_utils._capacity.options import ARGUMENT_SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._capacity.review import review
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.exit_json(changed=False, **review(Host(), dict(module.params, check_mode=module.check_mode)))


if __name__ == "__main__":
    main()
