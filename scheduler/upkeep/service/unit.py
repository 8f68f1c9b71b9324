# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd unit of the scheduler, as a text. Pure.

The role `service` of the collection makes the same text; a test holds the two against each other.

Two ways of hardening, for playbooks and ssh must really work in it:

- As it comes, runs may maintain this machine too, by sudo. Whatever filters system calls implies NoNewPrivileges for a
  service that is not root's, and that ends sudo; whatever makes the file system read-only ends apt. So neither is set.
- ``remote_only``: it maintains other machines only, by ssh. Then all of that is set. PrivateTmp is not: its folder goes
  with the service, and runs outlive that. ProtectControlGroups and ProtectKernelTunables are not either: they mount
  /proc anew, which in a container of systemd-nspawn shows another boot_id inside than outside, and by its boot we tell
  whether a run's process is still there (seen: every `upkeep runs` took the runs at work for dead).
"""

from __future__ import annotations

from dataclasses import dataclass

NAME = "upkeep.service"
ENVIRONMENT = "/etc/upkeep/environment"
"""Variables for the service, as NAME=value lines: what `{env: NAME}` in upkeep.yml refers to."""

_REMOTE_ONLY = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={home} /tmp /var/tmp
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""


@dataclass(frozen=True)
class Unit:
    """What a unit is made of."""

    command: tuple[str, ...]
    """The program with its arguments."""
    home: str
    """UPKEEP_HOME; with a user of its own also that user's home."""
    user: str = ""
    """Whose rights it has; empty: it belongs to a user's own manager."""
    remote_only: bool = False
    """Whether it maintains other machines only."""


def text(unit: Unit) -> str:
    """The unit file."""
    edit = "systemctl edit upkeep" if unit.user else "systemctl --user edit upkeep"
    lines = [
        f"# Made by `upkeep install-service`. Changes of your own belong into: {edit}",
        "[Unit]",
        "Description=Upkeep: planned maintenance on time, its tickets and its notifications",
    ]
    if unit.user:
        lines += ["Wants=network-online.target", "After=network-online.target time-sync.target postgresql.service"]
    lines += [
        "",
        "[Service]",
        "Type=notify",
        f"ExecStart={' '.join(map(quoted, unit.command))}",
        f"Environment={quoted(f'UPKEEP_HOME={unit.home}')}",
    ]
    if unit.user:
        lines += [
            f"EnvironmentFile=-{ENVIRONMENT}",
            f"User={unit.user}",
            "WorkingDirectory=" + unit.home.replace("%", "%%"),
        ]
    lines += [
        "Restart=always",
        "RestartSec=5",
        "TimeoutStartSec=120",
        "# One that hangs is started anew.",
        "WatchdogSec=300",
        "# Runs outlive the service: its restart breaks no maintenance off, and the next one follows them.",
        "KillMode=process",
        "TimeoutStopSec=60",
        "# A playbook that takes all memory must not take the service with it.",
        "OOMPolicy=continue",
        "LimitCORE=0",
        "UMask=0077",
    ]
    if unit.remote_only:
        lines += _REMOTE_ONLY.format(home=quoted(unit.home)).splitlines()
    lines += ["", "[Install]", "WantedBy=multi-user.target" if unit.user else "WantedBy=default.target"]
    return "\n".join(lines) + "\n"


def quoted(word: str) -> str:
    """A word as systemd.service(5) reads it: % and $ stand for themselves."""
    safe = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{safe}"' if any(sign in word for sign in " \t'\"\\") else safe
