# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A campaign for people, and as JSON: its plan, how it stands, and the list of all."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import plain

from .. import moments, plan_text, render
from ..durations import shown
from ..store import campaigns, plans
from . import decide, model, rings, show_plan
from .show_plan import called, ring_name
from .times import spans_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..config import Config
    from ..store import Store
    from ..store.campaigns import Kept

COLOURS = {
    model.DONE: "green",
    model.ROLLED_BACK: "yellow",
    model.QUARANTINED: "red",
    model.LEFT_OUT: "yellow",
    model.STOPPED: "red",
    model.FINISHED: "green",
}


def line(said: str) -> None:
    """One line."""
    render.console().print(render.text(said))


def document(store: Store, kept: Kept) -> None:
    """All of a campaign as one document."""
    with store.database.read() as connection:
        planned = plans.of_hosts(connection, kept.number)
        steps = campaigns.steps(connection, kept.number)
        undo = campaigns.undo_of(connection, kept.number)
    campaign = kept.campaign
    hosts = [
        {
            **{name: value for name, value in vars(host).items() if name not in ("undo", "seconds")},
            "ring": ring_name(campaign.spec, host),
            "undo": sorted(host.undo),
            "next_step": decide.next_step(campaign, host),
            "summary": planned[host.name].summary if host.name in planned else "",
            "planned": planned[host.name].plan if host.name in planned else None,
        }
        for host in campaign.hosts
    ]
    told = {name: value for name, value in vars(kept).items() if name != "campaign"}
    told |= {
        "state": campaign.state,
        "emergency": _asked(campaign.spec),
        "waits_for_approval": kept.waits_for_approval,
        "ending": campaign.ending,
        "why": campaign.why,
        "spec": plain(campaign.spec.as_json()),
        "allowed_failures": campaign.allowed,
        "failures": campaign.failures,
        "rings": [asdict(ring) for ring in campaign.rings],
        "batches": [
            {"ring": campaign.spec.rings[ring].name, "hosts": names}
            for ring, names in (rings.preview(campaign) if campaign.state == model.WAITS else [])
        ],
        "hosts": hosts,
        "steps": steps,
        "undo": undo,
    }
    render.print_json(told)


def _asked(spec: model.Spec) -> dict[str, Any] | None:
    """What it is an emergency for, as JSON."""
    if spec.asked is None:
        return None
    packages = [{"name": name, "version": version or None} for name, version in spec.asked.packages]
    return {"campaign": spec.name, "cves": list(spec.asked.cves), "packages": packages}


# --- how it stands ----------------------------------------------------------------------------------------------------


def status(store: Store, config: Config, kept: Kept) -> None:
    """How a campaign and its hosts stand, and what comes next."""
    campaign, spec = kept.campaign, kept.campaign.spec
    if campaign.state == model.WAITS:
        show_plan.plan(store, config, kept)
        return
    out = render.console()
    now = time.time()
    zone = config.time_zone
    members = [host for host in campaign.hosts if host.ring is not None]
    state = campaign.state + (f", to be {campaign.ending}" if campaign.ending else "")
    why = f": {campaign.why}" if campaign.why else ""
    out.print(render.text(f"{called(kept)}: {state}{why}", COLOURS.get(campaign.state, "bold")))
    counts = {name: sum(host.state == name for host in members) for name in model.HOST_STATES}
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    may = campaign.allowed or "none"
    out.print(render.text(f"{render.count(len(members), 'host')}: {told or 'none'}; {may} may fail"))
    with store.database.read() as connection:
        step = campaigns.open_step(connection, kept.number)
        undo = [one for one in campaigns.undo_of(connection, kept.number) if one.cleared is None]
        held = campaigns.held(connection, kept.number)
    if step is not None:
        of = "the gate" if step.gate else step.step
        since = f"for {shown(now - step.claimed)}"
        out.print(render.text(f"At work: {of} on {plan_text.named(step.hosts)}, {since}", "cyan"))
    elif campaign.state == model.RUNNING:
        out.print(render.text(f"Next: {_next(config, kept, held, now)}", "cyan"))
    rows = []
    for host in members:
        at = host.times.get(host.state)
        cells = [
            render.text(ring_name(spec, host) or "-"),
            render.text("-" if host.batch is None else host.batch),
            render.text(host.name, "bold"),
            render.text(host.state.replace("_", " "), COLOURS.get(host.state, "")),
            render.text(render.when(at, zone) if at is not None and host.batch is not None else "-"),
            render.text(_host_why(campaign, host)),
        ]
        rows.append(cells)
    if rows:
        out.print(render.table(("ring", "batch", "host", "state", f"since ({zone.key})", "why"), rows, wide=5))
    for host in campaign.hosts:
        kinds = sorted(one.kind for one in undo if one.host == host.name)
        if kinds and host.state == model.QUARANTINED and host.way != model.RELEASE:
            out.print(
                render.text(
                    f"{host.name} is {' and '.join(_LEFT[kind] for kind in kinds)}. Repaired? upkeep campaign release "
                    f"{kept.name} {host.name}",
                    "red",
                )
            )
        elif kinds and host.settled:
            out.print(
                render.text(
                    f"{host.name} is {' and '.join(_LEFT[kind] for kind in kinds)}; it is tried again", "yellow"
                )
            )
        elif host.state == model.QUARANTINED and host.way != model.RELEASE:
            told = f"{host.name} is in quarantine. Repaired? upkeep campaign release {kept.name} {host.name}"
            out.print(render.text(told, "red"))
    further = {
        model.PAUSED: f"To go on: upkeep campaign resume {kept.name}",
        model.STOPPED: f"To go on all the same: upkeep campaign resume {kept.name}; to end it: upkeep campaign abort "
        f"{kept.name}",
        model.RUNNING: f"Nobody at work on it? upkeep campaign resume {kept.name}",
    }
    if campaign.state in further:
        out.print(render.text(further[campaign.state], "dim"))
    if kept.ended is not None:
        out.print(render.text(f"It ended {moments.full(kept.ended, zone)}.", "dim"))


_LEFT = {model.DRAIN: "drained and silenced", model.SNAPSHOT: "left with its snapshot"}


def _host_why(campaign: model.Campaign, host: model.Host) -> str:
    """Why a host is where it is; on its way back, that it is."""
    parts = []
    if host.at_work and host.way != model.FORWARD:
        parts.append({model.BACK: "on its way back", model.OUT: "given up", model.RELEASE: "being released"}[host.way])
    if host.tries and not host.settled:
        parts.append(f"{decide.next_step(campaign, host)} tried {host.tries} times")
    parts.append(host.why)
    return "; ".join(filter(None, parts))


def _next(config: Config, kept: Kept, held: Mapping[str, model.Held], now: float) -> str:
    """What comes next, as far as it can be told without asking hosts."""
    decision = decide.decide(kept.campaign, now, spans_of(config, kept.campaign.spec, now), {}, held)
    if isinstance(decision, decide.Run):
        return f"{decision.step} on {plan_text.named(decision.hosts)}"
    if isinstance(decision, decide.Become):
        return decision.why
    if decision.until == float("inf"):
        return decision.why
    word = "; looked at again" if decision.stuck else ", until"
    return f"{decision.why}{word} {moments.plain(decision.until, config.time_zone)}"


def listed(config: Config, found: Sequence[Kept], *, as_json: bool) -> None:
    """The campaigns of the configuration, and the newest ones of the store."""
    newest: dict[str, Kept] = {}
    for kept in found:
        newest.setdefault(kept.name, kept)
    names = list(dict.fromkeys([*config.campaigns, *newest]))
    if as_json:
        render.print_json(
            {
                "campaigns": [
                    {
                        "name": name,
                        "configured": name in config.campaigns,
                        "description": config.campaigns[name].description if name in config.campaigns else "",
                        "emergency": _asked(newest[name].campaign.spec) if name in newest else None,
                        "number": newest[name].number if name in newest else None,
                        "state": newest[name].campaign.state if name in newest else None,
                        "why": newest[name].campaign.why if name in newest else "",
                        "hosts": _counts(newest[name]) if name in newest else {},
                    }
                    for name in names
                ]
            }
        )
        return
    out = render.console()
    if not names:
        where = config.path or "upkeep.yml"
        out.print(render.text(f"No campaign is there. Write one under campaigns in {where}: see docs/campaigns.md"))
        return
    rows = []
    for name in names:
        kept_ = newest.get(name)
        state = kept_.campaign.state if kept_ else "never planned"
        told = ", ".join(f"{count} {one.replace('_', ' ')}" for one, count in _counts(kept_).items()) if kept_ else "-"
        about = _about(config, name, kept_)
        cells = (name, str(kept_.number) if kept_ else "-", state, told, about or "-")
        rows.append([render.text(cell, "bold" if place == 0 else "") for place, cell in enumerate(cells)])
    out.print(render.table(("campaign", "number", "state", "hosts", "what"), rows, wide=4))
    out.print(render.text("One of them: upkeep campaign status NAME; a new plan: upkeep campaign plan NAME", "dim"))


def _about(config: Config, name: str, kept: Kept | None) -> str:
    if kept is not None and kept.campaign.spec.asked is not None:
        return f"emergency for {kept.campaign.spec.asked}"
    return config.campaigns[name].description if name in config.campaigns else "(not in upkeep.yml any more)"


def _counts(kept: Kept) -> dict[str, int]:
    members = [host.state for host in kept.campaign.hosts if host.ring is not None]
    return {name: members.count(name) for name in model.HOST_STATES if name in members}
