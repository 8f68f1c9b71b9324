# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store knows and a playbook asks for: variables beside its own, which are no part of what is approved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import paths
from ..store import proofs

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from ..store import Store
    from .runner import Plan

BACKUPS = "upkeep_backup_results"
"""By host how its newest restore tests ended: see store/proofs.py. Read by the roles below."""
ASK = ("os_patch", "emergency_patch")
"""Playbooks and roles that ask for it; a playbook that names one of them is taken for one."""
MOST_TEXT = 1024 * 1024
"""Characters of a playbook that are looked at."""


def of_run(store: Store, plan: Plan) -> dict[str, Any]:
    """What a run by hand or of a job is handed; what its own variables say already is left as it is."""
    if BACKUPS in plan.extra_vars or not asks(plan.playbook):
        return {}
    with store.database.read() as connection:
        return backups(connection, None)


def backups(connection: Connection, hosts: Collection[str] | None) -> dict[str, Any]:
    """The variable of the restore tests, of some hosts or of all."""
    return {BACKUPS: proofs.newest_by_host(connection, hosts)}


def asks(playbook: str) -> bool:
    """Whether a playbook (a path, or a collection's full name) is one of those that ask, or names one."""
    path = paths.playbook_file(playbook)
    if path is None:
        return playbook.rpartition(".")[2] in ASK
    if path.stem in ASK:
        return True
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MOST_TEXT)
    except OSError:
        return False  # whoever runs it says so
    return any(name in text for name in ASK)
