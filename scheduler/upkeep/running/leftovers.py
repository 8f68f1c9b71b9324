# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending on the hosts what a run that was cut off left there.

When an SSH connection breaks, the host's side of it lives on: without a terminal nothing signals it. So each session of
a run bears the run's id in an environment variable, and who was at work when the run was cut off is visited once more.
The variable's name begins with LC_, for that is what SSH servers take over as they are shipped (Debian's AcceptEnv),
and sudo as well. A host that does not keeps its processes; they end by themselves, or not.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import paths
from . import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MARK = "LC_UPKEEP_RUN_ID"
"""The environment variable on the hosts."""
TIME_LIMIT = 20.0
"""Seconds for all hosts together; a person waits."""
CONNECT = 5
"""Seconds for each connection."""
SAID_LIMIT = 4 * 1024 * 1024
"""Bytes that are read of what the visit says: some 100 a host, were it not for hosts that say more."""

# Plain sh. The session that runs it does not bear the mark, or it would end itself. Whole entries only: sudo tells its
# child in SUDO_COMMAND what it runs, which is this text.
_SCRIPT = """
s=; [ "$(id -u)" -eq 0 ] || {{ sudo -n true 2>/dev/null && s="sudo -n"; }}
for signal in TERM KILL; do
    pids=$($s grep -lszxF '{mark}={run_id}' /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3)
    [ -n "$pids" ] || break
    $s kill -$signal $pids 2>/dev/null
    sleep 1
done
exit 0
"""


def environment(run_id: str) -> dict[str, str]:
    """What ansible-playbook's environment needs, so that each SSH session of the run bears its id."""
    already = os.environ.get("ANSIBLE_SSH_EXTRA_ARGS") or _configured_extra_args()
    return {MARK: run_id, "ANSIBLE_SSH_EXTRA_ARGS": f"{already} -o SendEnv={MARK}".strip()}


def end(
    inventory: Sequence[str], hosts: Sequence[str], run_id: str, variables: Sequence[str], given_up: Callable[[], bool]
) -> list[str]:
    """Visit the hosts and end there what bears the run's id; at most TIME_LIMIT, and not after ``given_up()``.

    ``variables``: the run's own, as arguments of Ansible (``-e @FILE``): a host may be reached only by them. Returns
    the hosts that could not be visited, or not in time.
    """
    words = [paths.program("ansible"), "all", "--limit", ",".join(hosts), "--forks", str(min(len(hosts), 50))]
    words += ["-T", str(CONNECT), "-m", "ansible.builtin.raw", "-a", _SCRIPT.format(mark=MARK, run_id=run_id)]
    for source in inventory:
        words += ["-i", source]
    # The plain form, one line a host, whatever ansible.cfg says.
    form = {"ANSIBLE_LOAD_CALLBACK_PLUGINS": "False", "ANSIBLE_NOCOLOR": "True", "ANSIBLE_FORCE_COLOR": "False"}
    with tempfile.TemporaryFile() as said:
        visit = subprocess.Popen(
            [*words, *variables],
            env={**os.environ, **form, processes.MARK: run_id},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for us to judge
        )
        deadline = time.monotonic() + TIME_LIMIT
        while visit.poll() is None and time.monotonic() < deadline and not given_up():
            time.sleep(0.1)
        processes.end_all(run_id)  # its SSH masters too
        visit.wait()
        said.seek(0)
        lines = said.read(SAID_LIMIT).decode("utf-8", "replace")
    visited = set(re.findall(r"^(\S+) \| (?:CHANGED|SUCCESS) \|", lines, re.M))
    return [host for host in hosts if host not in visited]


def _configured_extra_args() -> str:
    """ssh_extra_args of the ansible.cfg in force: our variable would otherwise take its place."""
    named = os.environ.get("ANSIBLE_CONFIG")
    candidates = [named] if named else []
    candidates += ["ansible.cfg", "~/.ansible.cfg", "/etc/ansible/ansible.cfg"]
    for name in candidates:
        path = Path(name).expanduser()
        path = path / "ansible.cfg" if path.is_dir() else path
        if path.is_file():
            parser = configparser.ConfigParser(interpolation=None, strict=False)
            try:
                parser.read(path, encoding="utf-8")
            except (configparser.Error, UnicodeDecodeError, OSError):
                return ""  # Ansible will say what is wrong with it
            return parser.get("ssh_connection", "ssh_extra_args", fallback="")
    return ""
