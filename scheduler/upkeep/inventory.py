# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about an inventory, answered by Ansible's own programs."""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line

from . import paths
from .errors import NOT_RUN, UpkeepError
from .running.why import why_not_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIME_LIMIT = 300.0
"""Seconds that an inventory may take: dynamic ones ask a cloud."""

_STRICT = {
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
    "ANSIBLE_NOCOLOR": "True",
}


def check_sources(sources: Sequence[str]) -> None:
    """Raise UpkeepError (WRONG_USE) for an inventory file that is not there or may not be read."""
    for source in sources:
        if "," not in source and not os.access(source, os.R_OK):
            raise UpkeepError(
                f"the inventory {source} is not there"
                if not os.path.lexists(source)
                else f"the inventory {source} cannot be read",
                expected="a file or folder that you may read, or a list of hosts as web1,web2,",
                found="nothing of that name" if not os.path.lexists(source) else "one without the right to read it",
                remedy="correct -i (or inventory in upkeep.yml); without any, this machine is used",
            )


def check_limit(sources: Sequence[str], limit: str, *, strict: bool = True) -> list[str]:
    """The hosts that a limit leaves. Raises UpkeepError when a part of it matches none: Ansible would only warn.

    Not ``strict``: what matches none is passed over, as a freeze of hosts that this inventory does not know.
    """
    mismatch = {"ANSIBLE_HOST_PATTERN_MISMATCH": "error" if strict else "ignore"}
    run = _run("ansible", ["all", "--limit", limit, "--list-hosts"], sources, mismatch)
    said = [clean_line(line, 500) for line in run.stderr.splitlines() if line.strip()]
    if run.returncode == 0:
        return [line.strip() for line in run.stdout.splitlines()[1:] if line.strip()]
    wrong = next(
        filter(None, (re.search(r"Could not match supplied host pattern, ignoring: (.+)", line) for line in said)), None
    )
    subscript = next(
        filter(None, (re.search(r"No hosts matched the subscripted pattern '(.+)'", line) for line in said)), None
    )
    part = wrong or subscript
    if part is None:
        raise why_not_run(said, "--limit", sources, limit)
    names = known_names(sources)
    near = difflib.get_close_matches(part[1].lstrip("!&"), names, 3)
    raise UpkeepError(
        f"{part[1]!r} in --limit matches no host",
        expected=f"a host, group or pattern of the inventory {', '.join(sources)}",
        found=f"{part[1]}; the inventory knows {_some(names)}",
        remedy=f"did you mean {' or '.join(near)}?" if near else "correct --limit, or add the host to the inventory",
    )


def known_names(sources: Sequence[str]) -> list[str]:
    """Hosts and groups of an inventory; empty when it cannot be asked."""
    graph = _run("ansible-inventory", ["--graph"], sources, {})
    names = (re.sub(r"^[\s|]*(--)?@?", "", line).rstrip(":") for line in graph.stdout.splitlines())
    return sorted({clean_line(name, 200) for name in names if name} - {"ungrouped"})


def _some(names: Sequence[str], most: int = 8) -> str:
    return (
        ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    ) or "no host at all"


def _run(
    program: str, arguments: Sequence[str], sources: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    command = [paths.program(program), *arguments, *(word for source in sources for word in ("-i", source))]
    try:
        return subprocess.run(
            command,
            env={**os.environ, **_STRICT, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UpkeepError(
            f"the inventory {', '.join(sources)} gave no answer",
            expected=f"its hosts within {TIME_LIMIT:.0f} seconds",
            remedy=f"{' '.join(command)}   (shows where it hangs)",
            exit_code=NOT_RUN,
        ) from error


@dataclass(frozen=True)
class Facts:
    """What a campaign asks of its inventory."""

    matched: Mapping[str, Sequence[str]]
    """The hosts of each pattern."""
    variables: Mapping[str, Mapping[str, Any]]
    """Of hosts, as the inventory has them: what it makes by templates is not made."""


def facts_of(sources: Sequence[str], patterns: Sequence[str], *, variables: bool) -> Facts:
    """The hosts of some patterns, and all hosts' variables when they are needed. Raises UpkeepError (WRONG_USE)."""
    matched = {pattern: check_limit(sources, pattern) for pattern in patterns}
    if not variables:
        return Facts(matched, {})
    run = _run("ansible-inventory", ["--list"], sources, {})
    try:
        meta = json.loads(run.stdout)["_meta"]["hostvars"] if run.returncode == 0 else None
    except (ValueError, KeyError, TypeError):
        meta = None
    if not isinstance(meta, dict):
        said = [clean_line(line, 500) for line in run.stderr.splitlines() if line.strip()]
        raise why_not_run(said, "ansible-inventory", sources, None)
    return Facts(matched, meta)
