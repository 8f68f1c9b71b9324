# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a host by name: a script that makes each, and one that mends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Break:
    """What it is, in a line; shell for root in the host: (break, mend)."""

    text: str
    scripts: tuple[str, str]


_HIDE_PYTHON = """
mkdir -p /usr/lib/upkeep-fleet
for p in python3 python3.11; do [ -e /usr/bin/$p ] && mv /usr/bin/$p /usr/lib/upkeep-fleet/$p; done
"""
_SHOW_PYTHON = """
for p in python3 python3.11; do [ -e /usr/lib/upkeep-fleet/$p ] && mv /usr/lib/upkeep-fleet/$p /usr/bin/$p; done
"""

# A stand-in, since Debian 12 has no Python 3.7: the real 3.11, which tells everybody who asks that it is 3.7.
_PYTHON37 = r"""
mkdir -p /usr/lib/upkeep-fleet
kept=/usr/lib/upkeep-fleet/sitecustomize.py
[ -e $kept ] || mv /usr/lib/python3.11/sitecustomize.py $kept
cat > /usr/lib/python3.11/sitecustomize.py <<'PYTHON'
import collections
import sys

_Version = collections.namedtuple("version_info", "major minor micro releaselevel serial")
sys.version_info = _Version(3, 7, 17, "final", 0)
sys.hexversion = 0x030711F0
sys.version = "3.7.17 (default, Jun 23 2023, 15:08:05) \n[GCC 12.2.0]"
PYTHON
rm -f /usr/bin/python3
cat > /usr/bin/python3 <<'SHELL'
#!/bin/sh
case "${1-}" in -V|--version) echo "Python 3.7.17" ;; *) exec /usr/bin/python3.11 "$@" ;; esac
SHELL
chmod 755 /usr/bin/python3
"""
_PYTHON311 = """
kept=/usr/lib/upkeep-fleet/sitecustomize.py
[ -e $kept ] && mv $kept /usr/lib/python3.11/sitecustomize.py
rm -f /usr/bin/python3 && ln -s python3.11 /usr/bin/python3
"""

# bash on Debian reads .bashrc for a command over SSH too.
_NOISE = """
[ -e /home/ops/.bashrc.fleet ] || mv /home/ops/.bashrc /home/ops/.bashrc.fleet
cat > /home/ops/.bashrc <<'SHELL'
{0}
SHELL
"""
_QUIET = "[ -e /home/ops/.bashrc.fleet ] && mv /home/ops/.bashrc.fleet /home/ops/.bashrc"

BREAKS = {
    "no-python": Break("no Python interpreter", (_HIDE_PYTHON, _SHOW_PYTHON)),
    "python37": Break("a Python that says it is 3.7 (a stand-in over 3.11)", (_PYTHON37, _PYTHON311)),
    "no-sudo": Break(
        "ops may not use sudo without a password",
        ("mv /etc/sudoers.d/ops /root/sudoers-ops", "mv /root/sudoers-ops /etc/sudoers.d/ops"),
    ),
    "key-refused": Break(
        "sshd does not accept the key of ops",
        (
            "mv /home/ops/.ssh/authorized_keys /home/ops/.ssh/authorized_keys.fleet",
            "mv /home/ops/.ssh/authorized_keys.fleet /home/ops/.ssh/authorized_keys",
        ),
    ),
    "host-key": Break(
        "another host key than the one in known_hosts",
        (
            "cd /etc/ssh; mv ssh_host_ed25519_key ssh_host_ed25519_key.fleet; rm ssh_host_ed25519_key.pub; "
            "ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key; systemctl restart ssh",
            "cd /etc/ssh; mv ssh_host_ed25519_key.fleet ssh_host_ed25519_key; "
            "ssh-keygen -y -f ssh_host_ed25519_key > ssh_host_ed25519_key.pub; systemctl restart ssh",
        ),
    ),
    "noise": Break(
        "a login that prints bytes which are no UTF-8 before every answer",
        (_NOISE.format(r"printf 'Welcome \377\376\300\033[31m to web1\n'"), _QUIET),
    ),
    "flood": Break(
        "a login that prints 50 MB before every answer",
        (_NOISE.format("yes 'all work and no play makes a dull host' | head -c 50000000"), _QUIET),
    ),
    "failed-unit": Break(
        "a systemd unit that has failed",
        (
            "printf '[Service]\\nType=oneshot\\nExecStart=/bin/false\\n' > /etc/systemd/system/fleet-fails.service; "
            "systemctl daemon-reload; systemctl start fleet-fails || true",
            "rm -f /etc/systemd/system/fleet-fails.service; systemctl daemon-reload; systemctl reset-failed",
        ),
    ),
    "package-lock": Break(
        "somebody holds the lock of dpkg (a process named lock-holder)",
        (
            "systemctl is-active -q fleet-lock || systemd-run -q --unit=fleet-lock /usr/bin/python3 -c '"
            "import fcntl, time; open(\"/proc/self/comm\", \"w\").write(\"lock-holder\"); "
            "held = [open(p, \"a\") for p in (\"/var/lib/dpkg/lock-frontend\", \"/var/lib/dpkg/lock\")]; "
            "[fcntl.lockf(f, fcntl.LOCK_EX) for f in held]; time.sleep(86400)'; sleep 0.3",
            "systemctl stop fleet-lock",
        ),
    ),
}  # fmt: skip
