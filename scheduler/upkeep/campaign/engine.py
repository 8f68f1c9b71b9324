# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a campaign on: what is decided is written down, then started as a run of its own, then learned from.

Everything that must not be lost is in the store, and each look may be broken off anywhere: the next one, of this
process or another, goes on from what is written there. A step is claimed by its row, and one run only becomes it; so
two schedulers and a person at a terminal may look at the same campaign at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UpkeepError
from ..record import record_file
from ..running import lost
from ..store import RUNNING, campaigns, runs
from ..store.process import Process, is_gone
from . import carry, decide, learn, model
from .times import frozen_hosts, spans_of

if TYPE_CHECKING:
    from subprocess import Popen

    from sqlalchemy import Connection, Row

    from ..config import Config
    from ..store import Store
    from ..store.campaigns import Step

BEGIN_WITHIN = 30.0
"""Seconds in which a process that was started for a step registers its run; later another one is started. Should the
first still come, only one of both gets the step."""
RECORD_WITHIN = 120.0
"""Seconds in which a run of another machine keeps what it found; nothing is learned of it after that."""
WORDS = 300
"""Characters of why a host did not succeed."""


@dataclass(frozen=True)
class Working:
    """A step is carried out by a process, ours or another's."""

    step: Step
    why: str = ""


@dataclass(frozen=True)
class Learned:
    """A step has ended."""

    step: Step


@dataclass(frozen=True)
class Resting:
    """Nothing is to be done before ``until``."""

    until: float
    why: str
    stuck: bool
    campaign: model.Campaign


Look = Working | Learned | Resting


class Engine:
    """The looks of one process at the campaigns of one store."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self.config = config
        self._children: dict[int, Popen[bytes]] = {}

    def look(self, number: int, now: float) -> Look:
        """Do what is to be done now for a campaign.

        Raises UpkeepError when the store fails, or a process cannot start.
        """
        lost.clear_up(self._store, self.config.home)
        with self._store.database.read() as connection:
            step = campaigns.open_step(connection, number)
            spec = campaigns.one(connection, number).campaign.spec
        if step is not None:
            return self._follow(step, spec, now)
        frozen, doubt = {}, ""
        try:
            frozen = frozen_hosts(self.config, spec, now)
        except UpkeepError as error:
            doubt = f"nobody knows which hosts are frozen: {error.what}"
        while True:
            with self._store.database.write() as connection:
                step = campaigns.open_step(connection, number)
                if step is not None:  # another process was quicker
                    return Working(step)
                campaign = campaigns.one(connection, number).campaign
                held = campaigns.held(connection, number)
                decision = decide.decide(campaign, now, spans_of(self.config, spec, now), frozen, held)
                if isinstance(decision, decide.Wait):
                    return Resting(decision.until, decision.why, decision.stuck, campaign)
                if doubt and isinstance(decision, decide.Run) and decision.batch is not None:
                    return Resting(now + decide.HELD_AGAIN, doubt, False, campaign)
                if isinstance(decision, decide.Become):
                    campaigns.save(connection, number, campaign, decision.campaign, "", now)
                    continue
                claimed = self._claim(connection, number, campaign, decision, now)
            self.start(claimed, spec)
            return Working(claimed)

    def ours(self, step: int) -> Popen[bytes] | None:
        """The process that we have started for a step."""
        return self._children.get(step)

    def _claim(
        self, connection: Connection, number: int, campaign: model.Campaign, run: decide.Run, now: float
    ) -> Step:
        """Write down a step, and what it may leave behind, before anything of it is done."""
        claimed = campaigns.claim(
            connection, number, run.step, run.hosts, now, ring=run.ring, batch=run.batch, gate=run.gate
        )
        step = campaigns.step_of(connection, claimed) if claimed is not None else None
        if step is None:  # the writers' lock keeps others out: this cannot be
            raise RuntimeError("a step could not be claimed in a transaction of our own")
        campaigns.save(connection, number, campaign, learn.begun(campaign, run), "", now)
        campaigns.launching(connection, step.id, now)
        return step

    def start(self, step: Step, spec: model.Spec) -> None:
        """Start the process of a step. Raises UpkeepError (NOT_RUN) when this machine cannot."""
        self._children = {number: child for number, child in self._children.items() if child.poll() is None}
        self._children[step.id] = carry.launch(self.config, step, spec.playbook)

    # --- what is under way, and what has ended ------------------------------------------------------------------------

    def _follow(self, step: Step, spec: model.Spec, now: float) -> Look:
        if step.state == campaigns.WAITING:
            return self._begin_again(step, spec, now)
        self._store.runs(1)  # marks those whose process is gone
        with self._store.database.read() as connection:
            row = runs.by_id(connection, step.run or "")
        if row is not None and row.state == RUNNING:
            return Working(step)
        if row is not None and row.recorded is None and row.state == "finished":
            if not _is_left(row, now):
                return Working(step)  # its results are being kept
            self._record(row, now)
        self._learn(step, now)
        return Learned(step)

    def _begin_again(self, step: Step, spec: model.Spec, now: float) -> Look:
        """Its process has not registered its run: it waits for a lock, or has died before it could."""
        child = self._children.get(step.id)
        if child is not None and child.poll() is None:
            return Working(step, carry.log_of(self.config, step.id))  # for whom it waits
        if step.launched is not None and abs(now - step.launched) < BEGIN_WITHIN:
            return Working(step, carry.log_of(self.config, step.id) if child is not None else "")
        with self._store.database.write() as connection:
            current = campaigns.step_of(connection, step.id)
            if current is None or current.state != campaigns.WAITING or current.launched != step.launched:
                return Working(step)
            campaigns.launching(connection, step.id, now)
        self.start(step, spec)
        return Working(step, "its process ended before it began: started again")

    def _record(self, row: Row[object], now: float) -> None:
        """Keep what a run found whose process was killed before it could; what cannot be read is not known."""
        path = Path(str(row.artifacts)) / "results.jsonl"
        try:
            record_file(self._store, path, self.config.policy, now, findings_limit=0)
        except UpkeepError:
            return

    def _learn(self, step: Step, now: float) -> None:
        with self._store.database.write() as connection:
            outcomes, whys, told, seconds = outcomes_of(connection, step)
            kept = campaigns.one(connection, step.campaign)
            if not campaigns.end(connection, step.id, outcomes, told, seconds, now):
                return  # another process has learned it
            if step.step == model.PLAN:
                return
            run = decide.Run(step.step, step.hosts, step.ring, "", step.batch, step.gate)
            campaign = learn.after(kept.campaign, run, outcomes, now, whys, could_not_run=told)
            campaigns.save(connection, step.campaign, kept.campaign, campaign, "", now)


def _is_left(row: Row[object], now: float) -> bool:
    """Whether nobody will record a run any more."""
    process = Process(row.node, row.boot, row.pid, row.pid_start)
    if process.node == os.uname().nodename:
        return is_gone(process)
    return now - (row.finished or 0.0) > RECORD_WITHIN


def outcomes_of(connection: Connection, step: Step) -> tuple[dict[str, str], dict[str, str], str, float | None]:
    """How each host came through, why not, why the run told nothing of any host ("": it did), and how long it took."""
    row = runs.by_id(connection, step.run or "")
    if row is None:
        return {}, {}, "its run is not in the store any more", None
    message = str(row.message).partition("\n")[0]
    if row.state == "timed_out":
        # Nobody knows what hangs there: they are asked how they are.
        known = {one.host: one.state for one in runs.hosts(connection, row.number) if one.state != model.OK}
        return {host: known.get(host, model.UNREACHABLE) for host in step.hosts}, {}, "", None
    if row.state != "finished" or row.recorded is None or not row.complete:
        told = message if row.state == "error" else ""
        return {}, {}, told, None
    wanted = set(step.hosts)
    outcomes = {one.host: one.state for one in runs.hosts(connection, row.number) if one.host in wanted}
    whys: dict[str, str] = {}
    for finding in runs.worst(connection, row.number, 5000):
        if outcomes.get(finding.host, model.OK) != model.OK:
            whys.setdefault(finding.host, finding.summary[:WORDS])
    whole = all(outcomes.get(host) == model.OK for host in step.hosts)
    took = row.finished - row.started if whole and row.finished is not None else None
    return outcomes, whys, "", took
