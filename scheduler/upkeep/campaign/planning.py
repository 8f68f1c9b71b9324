# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a campaign: made by a run over all its hosts, put into rings, and held against what it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import inventory
from ..errors import UpkeepError
from ..store import campaigns, plans, runs
from . import carry, emergency, model, rings
from .engine import outcomes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from ..config import Config
    from ..inventory import Facts
    from ..store import Store
    from ..store.campaigns import Kept, Step


def host_names(config: Config, spec: model.Spec) -> list[str]:
    """The hosts of a campaign, in the inventory's order. Raises UpkeepError (WRONG_USE)."""
    sources = spec.inventory or config.inventory_of(None)
    inventory.check_sources(sources)
    return inventory.check_limit(sources, spec.hosts)


def begin_plan(store: Store, spec: model.Spec, hosts: Sequence[str], actor: str, now: float) -> tuple[int, Step]:
    """Register a campaign, and claim the run that plans its hosts."""
    with store.database.write() as connection:
        under_way = campaigns.started(connection, spec.title)
        if under_way is not None:
            state = campaigns.one(connection, under_way).campaign.state
            raise UpkeepError(
                f"the campaign {spec.title} is {state} already",
                expected="one that is over, or was not started",
                found=f"campaign {under_way}",
                remedy=f"upkeep campaign status {spec.title}; to end it: upkeep campaign abort {spec.title}",
            )
        number = campaigns.create(connection, spec, actor, now)
        claimed = campaigns.claim(connection, number, model.PLAN, hosts, now)
        step = campaigns.step_of(connection, claimed) if claimed is not None else None
        assert step is not None
        campaigns.launching(connection, step.id, now)
        return number, step


def keep_plan(store: Store, config: Config, number: int, facts: Facts, now: float) -> Kept:
    """Make rings of what the run has planned. Raises UpkeepError when nothing was planned, or the rings do not fit."""
    with store.database.write() as connection:
        kept = campaigns.one(connection, number)
        spec = kept.campaign.spec
        (step,) = (one for one in campaigns.steps(connection, number) if one.step == model.PLAN)
        run = runs.by_id(connection, step.run or "")
        told = outcomes_of(connection, step)
        made = plans.of_run(connection, run.number, carry.SUBJECT) if run is not None else {}
        # A step that failed may have told a plan of what it knows: that is none to be carried out.
        found = {host: plan for host, plan in made.items() if told[0].get(host) == model.OK}
        held = {host: one.by for host, one in campaigns.held(connection, number).items() if one.stuck}
        chosen = [
            host for host in step.hosts if host in found and host not in held and is_something(found[host].plan, spec)
        ]
        try:
            places = rings.assign(spec, chosen, facts.matched, facts.variables)
        except rings.WrongRingsError as error:
            raise UpkeepError(
                f"the rings of the campaign {spec.name} do not fit its inventory",
                expected="each host in one ring, and each group's order kept by the rings",
                found=str(error),
                remedy=f"correct campaigns.{spec.name} in {config.path}; then plan it again",
            ) from error
        hosts = [_host(host, places.get(host), found.get(host), told[0], told[1], now, spec) for host in step.hosts]
        hosts = [_theirs(host, held[host.name], now) if host.name in held else host for host in hosts]
        hosts.sort(key=lambda host: (host.ring is None, host.ring or 0, host.place, host.name))
        hosts = [replace(host, place=place) for place, host in enumerate(hosts)]
        campaigns.planned(
            connection,
            number,
            hosts,
            {host: plan.run for host, plan in found.items()},
            model.digest(spec, tuple(hosts)),
            now,
        )
        return campaigns.one(connection, number)


def is_something(plan: Mapping[str, object], spec: model.Spec) -> bool:
    """Whether a plan changes packages, or is a reboot that the campaign may do."""
    return bool(plan.get("packages")) or (needs_reboot(plan) and may_reboot(spec))


def needs_reboot(plan: Mapping[str, object]) -> bool:
    """Whether a reboot comes with it, or is left from earlier."""
    reboot = plan.get("reboot")
    return isinstance(reboot, dict) and reboot.get("needed") is True


def may_reboot(spec: model.Spec) -> bool:
    """Whether a campaign takes hosts on that only wait for a reboot; an emergency is for what it was asked for."""
    allowed = str(spec.extra_vars.get("os_patch_reboot_ok", "")).lower() in ("true", "yes", "on", "1")
    return allowed and "reboot" in spec.steps and spec.asked is None


def _host(
    name: str,
    place: rings.Place | None,
    plan: plans.Plan | None,
    outcomes: Mapping[str, str],
    whys: Mapping[str, str],
    now: float,
    spec: model.Spec,
) -> model.Host:
    if plan is None:
        state = outcomes.get(name, "")
        why = whys.get(name) or {model.UNREACHABLE: "it cannot be reached", model.FAILED: "its plan failed"}.get(
            state, "its run gave no plan"
        )
        return model.Host(name, state=model.LEFT_OUT, why=f"not planned: {why}", times={model.LEFT_OUT: now})
    planned = plan.plan
    given = planned.get("seconds")
    seconds = {
        key: float(value)
        for key, value in (given.items() if isinstance(given, dict) else ())
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e6
    }
    needed = needs_reboot(planned)
    host = model.Host(name, plan=plan.id, seconds=seconds, reboot=needed)
    if not is_something(planned, spec) and needed:
        why = "no package is to be changed, but a reboot is due"
        why += ": not in an emergency" if spec.asked else ", and os_patch_reboot_ok is not in the campaign's extra_vars"
        return replace(host, state=model.LEFT_OUT, why=why, times={model.LEFT_OUT: now})
    if not is_something(planned, spec):
        return replace(host, state=model.DONE, why="there is nothing to do", times={model.DONE: now})
    if place is None or place.ring is None:
        return replace(host, state=model.LEFT_OUT, why="no ring has it", times={model.LEFT_OUT: now})
    return replace(host, ring=place.ring, place=place.place, cluster=place.cluster, times={model.PLANNED: now})


def _theirs(host: model.Host, by: str, now: float) -> model.Host:
    """A host that another campaign keeps out of service until a person has looked."""
    return replace(host, state=model.LEFT_OUT, why=by, times={model.LEFT_OUT: now})


def overlap(connection: Connection, kept: Kept) -> list[str]:
    """The hosts of a campaign that others have, or that are to come in others under way: lines for a person."""
    mine = [host.name for host in kept.campaign.hosts if host.ring is not None and not host.settled]
    held, to_come = campaigns.held(connection, kept.number), campaigns.to_come(connection, kept.number)
    return [held[host].by if host in held else to_come[host] for host in mine if host in held or host in to_come]


def changed_since(connection: Connection, kept: Kept, config: Config) -> list[str]:
    """What is not as it was when the campaign was planned: lines for a person, none when all is."""
    lines = []
    was_spec = kept.campaign.spec
    spec = config.campaigns.get(was_spec.name)
    if spec is None:
        return [f"{was_spec.name} is not in upkeep.yml any more"]
    if was_spec.asked is not None:
        spec = emergency.of(spec, was_spec.asked)
    was, is_now = was_spec.as_json(), spec.as_json()
    lines += [f"{name} in upkeep.yml is another" for name in is_now if was.get(name) != is_now[name]]
    if model.digest(was_spec, kept.campaign.hosts) != kept.digest:
        lines.append("what the store holds is not what its digest stands for")
    members = {host.name: host.plan for host in kept.campaign.hosts if host.ring is not None}
    newest = plans.newest(connection, members, carry.SUBJECT)
    for host, plan in sorted(members.items()):
        if host not in newest:
            lines.append(f"{host}: its plan is not in the store any more")
        elif newest[host].id != plan:
            lines.append(f"{host}: planned anew by run {newest[host].run}: {newest[host].summary}")
    return lines
