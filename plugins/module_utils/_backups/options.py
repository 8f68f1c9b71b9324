# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that the backup modules share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "repository": {"type": "str"},
    "repository_file": {"type": "path"},
    "password": {"type": "str", "no_log": True},
    "password_file": {"type": "path", "no_log": False},
    "password_command": {"type": "str", "no_log": False},
    "environment": {"type": "dict", "no_log": True, "default": {}},
    "environment_file": {"type": "path"},
    "backend_options": {"type": "dict", "default": {}},
    "cacert": {"type": "path"},
    "tls_client_cert": {"type": "path"},
    "insecure_tls": {"type": "bool", "default": False},
    "insecure_no_password": {"type": "bool", "default": False, "no_log": False},
    "user": {"type": "str"},
}
"""One element of the option ``repositories``, by which :meth:`restic.Repository.of` makes a repository."""

REPOSITORY_RULES: dict[str, Any] = {
    "mutually_exclusive": [
        ("password", "password_file", "password_command", "insecure_no_password"),
        ("repository", "repository_file"),
    ],
    "required_one_of": [("repository", "repository_file")],
}
"""What goes beside ``options`` in the spec of ``repositories``."""

REPOSITORIES: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": REPOSITORY_SPEC,
    **REPOSITORY_RULES,
}
"""The option ``repositories`` of a module."""

LIMIT_SPEC: dict[str, Any] = {
    "program": {"type": "str", "default": "restic"},
    "timeout": {"type": "int", "default": 7200},
    "idle_timeout": {"type": "int", "default": 300},
    "nice": {"type": "int", "default": 10},
    "ionice": {"type": "str", "choices": ["idle", "best-effort", "none"], "default": "idle"},
    "bandwidth": {"type": "int"},
    "cache_dir": {"type": "path"},
}
"""How long and how hard restic may work, by which :meth:`restic.Limits.of` makes limits."""

SECRET_NAME = re.compile(r"(?i)pass|secret|token|key|credential|auth|_id$|account")
"""Names in an environment whose values are nobody's business."""


def harmless(params: Mapping[str, Any]) -> set[str]:
    """The values of ``environment`` that need no hiding, such as ``1`` or the name of a region.

    Ansible blots out each value of a hidden option wherever it stands in a result: a value ``1`` would blot out every
    1. A module takes these out of its ``no_log_values``.
    """
    values: set[str] = set()
    hidden: set[str] = set()
    for repository in params.get("repositories") or []:
        for name, value in (repository.get("environment") or {}).items():
            (hidden if SECRET_NAME.search(str(name)) else values).add(str(value))
        hidden.add(str(repository.get("password")))
    return values - hidden
