# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a campaign as a person reads it to approve it: which host when, what is changed, how long it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .. import plan_text, render
from ..durations import shown
from ..store import plans
from . import decide, model, rings
from .times import spans_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..config import Config
    from ..store import Store
    from ..store.campaigns import Kept

CHANGES = 60
"""Changes that are told; --json has all, host by host."""
SERVICES = 8


def called(kept: Kept) -> str:
    """How a campaign is named to people; of an emergency what for."""
    asked = kept.campaign.spec.asked
    about = f" (emergency for {asked}, by the campaign {kept.campaign.spec.name})" if asked else ""
    return f"Campaign {kept.number}, {kept.name}{about}"


def ring_name(spec: model.Spec, host: model.Host) -> str | None:
    """Which ring a host is of; None: of none."""
    return None if host.ring is None else spec.rings[host.ring].name


def plan(store: Store, config: Config, kept: Kept) -> None:
    """What would be done, to be approved."""
    with store.database.read() as connection:
        planned = {host: one.plan for host, one in plans.of_hosts(connection, kept.number).items()}
    campaign, spec = kept.campaign, kept.campaign.spec
    members = [host for host in campaign.hosts if host.ring is not None]
    out = render.console()
    out.print(render.text(f"{called(kept)}: {render.count(len(members), 'host')} to change", "bold"))
    batches = rings.preview(campaign)
    batch_of = {name: number for number, (_, names) in enumerate(batches, 1) for name in names}
    rows = []
    for host in sorted(members, key=lambda one: (batch_of.get(one.name, 0), one.place)):
        cells = (
            str(batch_of.get(host.name, "-")),
            ring_name(spec, host) or "-",
            host.name,
            plan_text.count(planned.get(host.name, {})),
            "yes" if host.reboot else "-",
            shown(host.seconds["total"]) if host.seconds.get("total") else "-",
        )
        rows.append([render.text(cell, "bold" if place == 2 else "") for place, cell in enumerate(cells)])
    if rows:
        out.print(render.table(("batch", "ring", "host", "packages", "reboot", "time"), rows))
    _changes(out, {host.name: planned[host.name] for host in members if host.name in planned})
    idle = [host.name for host in campaign.hosts if host.ring is None and host.state == model.DONE]
    if idle:
        out.print(render.text(f"Nothing to do: {plan_text.named(idle)}"))
    left: dict[str, list[str]] = {}
    for host in campaign.hosts:
        if host.ring is None and host.state == model.LEFT_OUT:
            left.setdefault(host.why, []).append(host.name)
    for why, hosts in left.items():
        out.print(render.text(f"Left out: {plan_text.named(hosts, 20)}: {why}", "yellow"))
    _how(out, config, kept, batches)
    _to_do(out, kept, bool(members))


def _changes(out: Any, planned: Mapping[str, Mapping[str, Any]]) -> None:
    """Each change once, with the hosts that it is for."""
    found = plan_text.changes(planned)
    rows = [
        (
            render.text(change.name, "bold"),
            render.text(f"{change.old or 'new'} → {change.new or 'removed'}"),
            render.text("security" if change.security else "-", "yellow" if change.security else ""),
            render.text("all" if len(hosts) == len(planned) else plan_text.named(hosts, 3)),
        )
        for change, hosts in found[:CHANGES]
    ]
    if rows:
        out.print()
        out.print(render.table(("package", "from → to", "why", "hosts"), rows, wide=3))
    if len(found) > CHANGES:
        out.print(render.text(f"… and {len(found) - CHANGES} more: --json"))
    restarts = plan_text.restarts(planned)
    if restarts:
        on = ("all" if len(hosts) == len(planned) else plan_text.named(hosts, 3) for hosts in restarts.values())
        told = [f"{unit} ({hosts})" for unit, hosts in zip(restarts, on, strict=True)]
        out.print(render.text(f"Restarts needed: {plan_text.named(told, SERVICES)}"))


def _how(out: Any, config: Config, kept: Kept, batches: Sequence[tuple[int, list[str]]]) -> None:
    campaign, spec = kept.campaign, kept.campaign.spec
    by_name = {host.name: host for host in campaign.hosts}
    used = sorted({ring for ring, _ in batches})
    soaks = sum(spec.soak_of(ring) for ring in used[:-1])
    ordinary = sum(
        max((by_name[name].seconds.get("total", decide.USUAL_APPLY) for name in names), default=0.0)
        for _, names in batches
    )
    about = ("about " if ordinary + soaks >= 60 else "") + shown(ordinary + soaks)
    parts = [
        f"{render.count(len(batches), 'batch', 'batches')} in {render.count(len(used), 'ring')}",
        about + (f", {shown(soaks)} of it soak" if soaks else ""),
        "it stops when " + (f"more than {campaign.allowed} of them fail" if campaign.allowed else "a host fails"),
    ]
    if spec.windows:
        parts.append(f"batches begin within {' or '.join(spec.windows)}")
    out.print(render.text("; ".join(parts) + "."))
    if spec.asked and spec.windows:
        told = f"It waits for the window; window: ignore under campaigns.{spec.name}.emergency lets one begin at once."
        out.print(render.text(told, "yellow"))
    longest = max((decide.expected(campaign, [by_name[name] for name in names]) for _, names in batches), default=0.0)
    spans = spans_of(config, spec, time.time())
    if batches and spec.windows and not any(end - start >= longest for start, end in spans):
        out.print(render.text(f"No window has room for a batch, its way back included: {shown(longest)}.", "yellow"))


def _to_do(out: Any, kept: Kept, some: bool) -> None:
    if not some:
        out.print(render.text("There is nothing to do.", "dim"))
        return
    start = f"upkeep campaign start {kept.name}"
    if kept.campaign.spec.approve and kept.approved is None:
        out.print(render.text(f"To approve it: upkeep campaign approve {kept.name}; then: {start}", "dim"))
    else:
        out.print(render.text(f"To start it: {start}", "dim"))
