# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a run could not be carried out, from what Ansible printed outside of tasks. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..errors import NOT_RUN, WRONG_USE, UpkeepError

if TYPE_CHECKING:
    from collections.abc import Sequence

FOUND_LINES = 6
"""Lines of Ansible's own error that are shown."""


class _Case(NamedTuple):
    mark: re.Pattern[str]
    what: str
    expected: str
    remedy: str
    exit_code: int


# The first that fits holds. {0} is the first group of the mark.
_CASES = (
    _Case(
        re.compile(r"ompletely failed to parse inventory source (.+)|No inventory was parsed"),
        "the inventory {0} cannot be read",
        "a file, folder or plugin configuration that Ansible understands",
        "ansible-inventory -i '{0}' --graph   (shows the same, and what can be read)",
        WRONG_USE,
    ),
    _Case(
        re.compile(r"provided hosts list is empty"),
        "the inventory {0} has no hosts",
        "at least one host in it",
        "put hosts into it; without -i, and without an inventory in upkeep.yml, this machine is reviewed",
        WRONG_USE,
    ),
    _Case(
        re.compile(r"Specified inventory, host pattern and/or --limit leaves us with no hosts to target"),
        "no host is left to run on",
        "at least one host that the inventory and --limit have in common",
        "ansible-inventory --graph   (shows the names that there are)",
        WRONG_USE,
    ),
    _Case(
        re.compile(r"hosts and/or --limit does not match any hosts"),
        "--limit matches no host",
        "a host, group or pattern of the inventory",
        "ansible-inventory --graph   (shows the names that there are)",
        WRONG_USE,
    ),
    _Case(
        re.compile(r"no vault secrets found|Vault password|vault password file|[Dd]ecryption failed|vault secret"),
        "something is encrypted by Ansible Vault, and its password is not there",
        "ANSIBLE_VAULT_PASSWORD_FILE, or vault_password_file in ansible.cfg",
        "set it to the file that holds the password (or to a program that prints it)",
        NOT_RUN,
    ),
    _Case(
        re.compile(r"the playbook: (.+?) could not be found"),
        "the playbook {0} is not there",
        "a file, or the full name of a collection's playbook (namespace.collection.playbook)",
        "upkeep jobs   (shows the jobs that there are)",
        WRONG_USE,
    ),
    _Case(
        re.compile(r"the role '(.+?)' was not found"),
        "the role {0} is not there",
        "a role beside the playbook, in a collection, or in the roles path",
        "install it (ansible-galaxy), or correct its name",
        WRONG_USE,
    ),
    _Case(
        re.compile(r"couldn't resolve module/action '(.+?)'"),
        "the module {0} is not there",
        "the name of a module of ansible-core or of an installed collection",
        "install its collection (ansible-galaxy collection install …), or correct its name",
        WRONG_USE,
    ),
    _Case(
        re.compile(
            r"YAML parsing failed|not a valid attribute|conflicting action statements|no module/action detected"
            r"|A playbook must be a list of plays"
        ),
        "the playbook cannot be read",
        "a playbook in YAML that Ansible understands",
        "correct the place that is named",
        WRONG_USE,
    ),
)


def why_not_run(said: Sequence[str], playbook: str, inventory: Sequence[str], limit: str | None) -> UpkeepError:
    """The error for a run that gave no statistics, or whose plays matched no host.

    ``said``: the last lines that Ansible printed outside of tasks, without control characters.
    """
    text = "\n".join(said)
    errors = _errors(said)
    for case in _CASES:
        match = case.mark.search(text)
        if match:
            name = next(iter(match.groups()), None) or ", ".join(inventory)
            return UpkeepError(
                case.what.format(name),
                expected=case.expected,
                found=_shown(errors or said),
                remedy=case.remedy.format(name),
                exit_code=case.exit_code,
            )
    if errors:
        return UpkeepError(
            f"Ansible gave up on {playbook}",
            found=_shown(errors),
            expected="a run that ends with its statistics",
            remedy="see the run's log for all that Ansible said (upkeep runs show)",
            exit_code=NOT_RUN,
        )
    if any("Could not match supplied host pattern" in line or "no hosts matched" in line for line in said) or not said:
        return UpkeepError(
            f"no host was there for {playbook} to run on",
            expected=f"hosts in {', '.join(inventory)} that its plays name"
            + (f", within --limit {limit}" if limit else ""),
            found=_shown(said) or "none",
            remedy=f"ansible-inventory -i {' -i '.join(inventory)} --graph   (shows the hosts that there are)",
            exit_code=WRONG_USE,
        )
    return UpkeepError(
        f"Ansible ended without saying how {playbook} went",
        expected="its statistics at the end of the run",
        found=_shown(said),
        remedy="see the run's log for all that Ansible said (upkeep runs show)",
        exit_code=NOT_RUN,
    )


def _errors(said: Sequence[str]) -> list[str]:
    """What stands from Ansible's errors on; and for an inventory, the warnings that say why it could not be read."""
    starts = [number for number, line in enumerate(said) if line.startswith(("[ERROR]", "ERROR!", "usage:"))]
    if not starts:
        return []
    causes = [line.split("plugin: ", 1)[-1] for line in said[: starts[0]] if "Failed to parse inventory with" in line]
    places = [line for line in said[: starts[0]] if line.startswith("Origin: ") and not line.startswith("Origin: <")]
    # Ansible tries one plugin after another; the first one that knew the format says most.
    return [*said[starts[0] :], *causes[:1], *places[:1]]


def _shown(lines: Sequence[str]) -> str:
    """The first lines, indented below each other as an error shows them."""
    kept = [re.sub(r"^\[(ERROR|WARNING)\]: ", "", line) for line in lines[:FOUND_LINES]]
    return ("\n" + " " * 12).join(dict.fromkeys(kept))
