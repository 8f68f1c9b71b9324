# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A step of a campaign as an ordinary run: what `upkeep run PLAYBOOK --limit … -e @FILE` would do, with its locks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..config import Job
from ..running import handed
from ..service.launch import begin, why
from ..store import campaigns, locks, plans
from .model import PLAN
from .times import spans_of, window_ends

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from ..config import Config
    from ..running.runner import Plan
    from ..store import Store
    from ..store.campaigns import Step

MOST_FORKS = 50
"""Hosts at a time: those of a batch go through a step together, or what is out of service waits for the others."""
LIMIT = 60_000
"""Characters: Linux takes 131,072 bytes for one argument."""
SUBJECT = "os"
"""What the plans of a campaign are about."""


def job_and_plan(store: Store, config: Config, step: int, now: float) -> tuple[Job, Plan]:
    """What is run for a step. Raises locks.NotOurs when it is not (any more) to be begun."""
    from ..running.runner import Plan

    with store.database.read() as connection:
        claimed = campaigns.step_of(connection, step)
        if claimed is None or claimed.state != campaigns.WAITING:
            raise locks.NotOurs(step)
        kept = campaigns.one(connection, claimed.campaign)
        planned = plans.of_hosts(connection, kept.number, set(claimed.hosts))
        known = handed.backups(connection, claimed.hosts) if claimed.step == "prepare" else {}
    spec = kept.campaign.spec
    told: dict[str, Any] = {
        "name": kept.name,
        "number": kept.number,
        "key": re.sub(r"[^A-Za-z0-9_-]", "-", f"{kept.name}-{kept.number}"),
        "batch": claimed.batch,
        "gate": claimed.gate,
    }
    ends = window_ends(spans_of(config, spec, now), now)
    if ends is not None:
        told["window_ends"] = ends
    known["os_patch_plans"] = {host: _needed(claimed, plan.plan) for host, plan in planned.items()}
    changes = claimed.step not in (PLAN, "verify")
    job = Job(
        name=kept.name,
        playbook=spec.playbook,
        changes=changes,
        locks=spec.locks if changes else (),
        time_limit=spec.time_limit,
    )
    plan = Plan(
        playbook=spec.playbook,
        inventory=spec.inventory or config.inventory_of(None),
        job=kept.name,
        limit=_limit(config, claimed),
        extra_vars={**spec.extra_vars, "os_patch_steps": [claimed.step], "os_patch_campaign": told},
        handed=known,
        forks=min(len(claimed.hosts), MOST_FORKS),
        time_limit=spec.time_limit,
    )
    return job, plan


def _needed(step: Step, plan: dict[str, Any]) -> dict[str, Any]:
    """What a step needs of a plan: behind a gate many hosts are only verified, which asks whether it had packages."""
    if not step.gate:
        return plan
    named = [{"name": one.get("name")} for one in plan.get("packages") or () if isinstance(one, dict)]
    return {**plan, "packages": named, "left_out": []}


def _limit(config: Config, step: Step) -> str:
    """The hosts as Ansible's limit: one argument, or a file when it would be too long for one."""
    if sum(map(len, step.hosts)) + len(step.hosts) < LIMIT:
        return ",".join(step.hosts)
    path = config.home / "campaigns" / f"{step.id}.hosts"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text("".join(f"{host}\n" for host in step.hosts), encoding="utf-8")
    return f"@{path}"


def launch(config: Config, step: Step, playbook: str) -> subprocess.Popen[bytes]:
    """Start the process of a step: it outlives us, and records itself. Raises UpkeepError (NOT_RUN)."""
    words = [playbook, "--campaign-step", str(step.id)]
    return begin(words, config.path, _log(config, step.id), f"the step {step.step}")


def _log(config: Config, step: int) -> Path:
    return config.home / "campaigns" / f"{step}.log"


def log_of(config: Config, step: int) -> str:
    """The end of what the process of a step has said, for people."""
    return why(_log(config, step))
