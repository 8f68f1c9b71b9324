# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``capacity_info``, as its module and ``host_review`` take them.

Where the thresholds come from:

- filesystems and inodes, file handles: the alerts of Prometheus' node-mixin (5 % and 3 % left; 70 % and 90 % of the
  handles). The milder step at 90 % is Zabbix' "Linux by Zabbix agent", and so is that a large room left is no fault.
- swap at 50 %, load of 1.5 for each processor: Zabbix' template. Memory at 10 % available: node-mixin.
- stalls: our own; a tenth of the time stalled, over five minutes, is felt by whoever waits.
- days ahead: 7, before the next weekly review; 30, before the next monthly maintenance; 90, before the next quarter.
- certificates: Let's Encrypt renews when a third of the life is left (30 of 90 days), so less is a renewal that fails.
- clock: the bound of 16 s is systemd's (``ntp_synced()``), as timedatectl shows it; 30 s is a step of TOTP (RFC 6238).
"""

from __future__ import annotations

from typing import Any


def _number(default: float) -> dict[str, Any]:
    return {"type": "float", "default": default}


def _words(*default: str) -> dict[str, Any]:
    return {"type": "list", "elements": "str", "default": list(default)}


ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "host_kind": {"type": "str", "choices": ["auto", "machine", "container"], "default": "auto"},
    # The trend
    "history": {"type": "bool", "default": True},
    "history_path": {"type": "path", "default": "/var/lib/upkeep/capacity.json"},
    "samples": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "mount": {"type": "str", "required": True},
            "time": {"type": "float", "required": True},
            "used_bytes": {"type": "float", "required": True},
            "usable_bytes": {"type": "float"},
            "inodes_used": {"type": "float"},
            "inodes_usable": {"type": "float"},
        },
    },
    "trend_min_samples": {"type": "int", "default": 4},
    "trend_min_days": _number(7),
    "trend_window_days": _number(90),
    "filling_high_days": _number(7),
    "filling_medium_days": _number(30),
    "filling_low_days": _number(90),
    # Filesystems
    "mount_timeout": _number(5),
    "exclude_mounts": _words("/run/credentials/*", "/run/user/*/doc", "/run/user/*/gvfs"),
    "exclude_types": _words(),
    "full_medium_percent": _number(90),
    "full_high_percent": _number(95),
    "full_critical_percent": _number(97),
    "full_enough_gib": _number(100),
    # The machine
    "memory_medium_percent": _number(10),
    "memory_high_percent": _number(5),
    "stall_percent": _number(10),
    "swap_low_percent": _number(50),
    "swap_medium_percent": _number(80),
    "load_low_per_cpu": _number(1.5),
    "load_medium_per_cpu": _number(3),
    "exhaustion_medium_percent": _number(70),
    "exhaustion_high_percent": _number(90),
    "zombies_low": {"type": "int", "default": 20},
    # Services
    "units_ignore": _words(),
    "reference_time": {"type": "float"},
    "clock_offset_seconds": _number(30),
    # Kernel log and disks
    "kernel_log_days": _number(8),
    "devices_ignore": _words("sr*", "fd*"),
    "smart": {"type": "bool", "default": True},
    "smart_devices": _words(),
    # Certificates
    "certificate_paths": _words(
        "/etc/letsencrypt/live/*/fullchain.pem",
        "/etc/kubernetes/pki/*.crt",
        "/etc/kubernetes/pki/etcd/*.crt",
        "/var/lib/kubelet/pki/kubelet-client-current.pem",
        "/etc/cockpit/ws-certs.d/*.c*rt",
    ),
    "certificates_of_services": {"type": "bool", "default": True},
    "certificate_scan": _words(
        "/etc/ssl/*.crt",
        "/etc/ssl/*.pem",
        "/etc/ssl/private/*.crt",
        "/etc/ssl/private/*.pem",
        "/etc/pki/tls/certs/*.crt",
    ),
    "certificate_medium_days": _number(30),
    "certificate_high_days": _number(7),
}


def defaults() -> dict[str, Any]:
    """The options as a module gets them when nothing is set."""
    return {name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}
