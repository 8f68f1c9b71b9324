# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which groups of the inventory each host is in, for routes that ask for them: Ansible itself is asked."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from .. import paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..config import Config

TIME_LIMIT = 60.0
"""Seconds that an inventory may take: an alarm waits for it."""
KEPT = 600.0
"""Seconds after which it is asked again."""

_known: dict[tuple[str, ...], tuple[float, Mapping[str, frozenset[str]] | None]] = {}


def groups_of_hosts(config: Config) -> Mapping[str, frozenset[str]] | None:
    """The groups of each host in every inventory of the configuration; None when one of them cannot be read."""
    found: dict[str, frozenset[str]] = {}
    usual = config.inventory_of(None)
    of_jobs = (config.inventory_of(job) for job in config.jobs.values())
    of_campaigns = (spec.inventory or usual for spec in config.campaigns.values())
    for sources in dict.fromkeys([usual, *of_jobs, *of_campaigns]):
        groups = _of(sources)
        if groups is None:
            return None
        for host, names in groups.items():
            found[host] = found.get(host, frozenset()) | names
    return found


def _of(sources: tuple[str, ...]) -> Mapping[str, frozenset[str]] | None:
    asked = _known.get(sources)
    if asked is None or asked[0] + KEPT < time.monotonic():
        groups = _ask(sources)
        if groups is None and asked is not None:
            groups = asked[1]  # what was known before is better than nothing
        asked = _known[sources] = (time.monotonic(), groups)
    return asked[1]


def _ask(sources: Sequence[str]) -> Mapping[str, frozenset[str]] | None:
    command = [paths.program("ansible-inventory"), "--list", *(word for source in sources for word in ("-i", source))]
    try:
        run = subprocess.run(
            command,
            env={**os.environ, "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True", "ANSIBLE_NOCOLOR": "True"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
        )
        return members(json.loads(run.stdout)) if run.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None


def members(listed: Mapping[str, Any]) -> Mapping[str, frozenset[str]]:
    """From what ``ansible-inventory --list`` prints: the groups of each host, those above its own included."""
    above: dict[str, set[str]] = {}
    for group, content in listed.items():
        for child in content.get("children", ()) if isinstance(content, dict) else ():
            above.setdefault(child, set()).add(group)

    def with_parents(group: str, seen: set[str]) -> set[str]:
        if group not in seen:
            seen.add(group)
            for parent in above.get(group, ()):
                with_parents(parent, seen)
        return seen

    found: dict[str, set[str]] = {}
    for group, content in listed.items():
        for host in content.get("hosts", ()) if isinstance(content, dict) and group != "_meta" else ():
            found.setdefault(host, set()).update(with_parents(group, set()))
    return {host: frozenset(groups) for host, groups in found.items()}
