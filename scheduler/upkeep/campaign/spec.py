# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaigns' part of upkeep.yml: its models, and what is made of them. Imported by config_file.py only."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ..calendar.config import Windows
from ..config_types import Duration, Strict, Texts, Zone
from ..durations import duration
from .model import REACHES, STEPS, Amount, Emergency, Ring, Spec, Together

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

Wrong = tuple[tuple[str | int, ...], str, str, str, str]
"""Place below ``campaigns``, what, expected, found, remedy ("": correct it)."""


def _soak(value: object) -> float:
    return 0.0 if value == 0 and not isinstance(value, bool) else duration(value)


def _hosts(value: object) -> str:
    """Ansible's own form of a list is one text."""
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, list) and value and all(isinstance(one, str) and one for one in value):
        return ",".join(value)
    raise ValueError("a group, a host or a pattern, or a list of them")


Soak = Annotated[float, BeforeValidator(_soak)]
Hosts = Annotated[str, BeforeValidator(_hosts)]
AmountOf = Annotated[Any, BeforeValidator(Amount.parse)]


class RingModel(Strict):
    """Hosts that come before others."""

    name: str
    hosts: Hosts | None = None
    percent: Annotated[float, Field(gt=0, le=100)] | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    rest: bool | None = None
    batch: AmountOf | None = None
    soak: Soak | None = None


class TogetherModel(Strict):
    """Hosts of which one is at work at a time."""

    hosts: Hosts
    order: Texts | None = None
    order_by: str | None = None


class EmergencyModel(Strict):
    """How an emergency goes."""

    rings: Annotated[list[RingModel], Field(min_length=1)] | None = None
    batch: AmountOf | None = None
    soak: Soak | None = None
    max_failures: AmountOf | None = None
    window: Literal["ignore", "keep"] | None = None


class CampaignModel(Strict):
    """A change of a fleet in stages."""

    playbook: str | None = None
    description: str | None = None
    inventory: Texts | None = None
    hosts: Hosts | None = None
    rings: Annotated[list[RingModel], Field(min_length=1)] | None = None
    one_at_a_time: list[TogetherModel] | None = None
    max_failures: AmountOf | None = None
    soak: Soak | None = None
    window: Windows | None = None
    time_zone: Zone | None = None
    approve: bool | None = None
    rollback: bool | None = None
    lost_after: Duration | None = None
    extra_vars: dict[str, Any] | None = None
    steps: Texts | None = None
    time_limit: Duration | None = None
    lock: Texts | None = None
    emergency: EmergencyModel | None = None


def spec_of(name: str, given: CampaignModel, inventory: tuple[str, ...], playbook: str | None) -> Spec:
    """A campaign from its block; ``inventory`` and ``playbook`` are its own, as paths."""
    usual = Spec(name)
    steps = usual.steps
    if given.steps is not None:
        steps = tuple(step for step in STEPS if step in given.steps or step == STEPS[0])
    return Spec(
        name=name,
        playbook=playbook or usual.playbook,
        description=given.description or "",
        inventory=inventory,
        hosts=given.hosts or usual.hosts,
        rings=tuple(_ring(one) for one in given.rings) if given.rings else usual.rings,
        one_at_a_time=tuple(
            Together(one.hosts, tuple(one.order or ()), one.order_by) for one in given.one_at_a_time or ()
        ),
        max_failures=given.max_failures or usual.max_failures,
        soak=usual.soak if given.soak is None else given.soak,
        windows=tuple(text for _, text in given.window) if given.window else (),
        time_zone=given.time_zone.key if given.time_zone else None,
        approve=usual.approve if given.approve is None else given.approve,
        rollback=usual.rollback if given.rollback is None else given.rollback,
        lost_after=given.lost_after or usual.lost_after,
        extra_vars=given.extra_vars or {},
        steps=steps,
        time_limit=given.time_limit or usual.time_limit,
        locks=tuple(given.lock) if given.lock else usual.locks,
        emergency=_emergency(given.emergency or EmergencyModel()),
    )


def _emergency(given: EmergencyModel) -> Emergency:
    usual = Emergency()
    rings = usual.rings
    if given.rings:
        rings = tuple(_ring(one, given.batch) for one in given.rings)
    elif given.batch:
        rings = tuple(ring if ring.count else replace(ring, batch=given.batch) for ring in rings)
    soak = usual.soak if given.soak is None else given.soak
    return Emergency(rings, soak, given.max_failures, given.window == "ignore")


def _ring(given: RingModel, batch: Amount | None = None) -> Ring:
    batch = given.batch or batch or Ring(given.name).batch
    return Ring(given.name, given.hosts, given.percent, given.count, bool(given.rest), batch, given.soak)


def campaign_wrong(name: str, given: CampaignModel, jobs: Collection[str]) -> Iterator[Wrong]:
    """What is wrong with a campaign as a whole."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        yield (name,), "wrong name of a campaign", "letters, digits, - and _, at most 64", repr(name), "rename it"
    if name in jobs:
        yield (name,), "a job has this name", "names of their own: runs are listed by them", name, "rename one of them"
    yield from _rings_wrong((name, "rings"), given.rings or ())
    if given.emergency is not None:
        at = (name, "emergency")
        yield from _rings_wrong((*at, "rings"), given.emergency.rings or ())
        if given.emergency.batch is not None and not given.emergency.batch.number:
            yield (*at, "batch"), *_NOBODY, str(given.emergency.batch), ""
    for place, one in enumerate(given.one_at_a_time or ()):
        if one.order_by is not None and not one.order:
            at_it = (name, "one_at_a_time", place, "order_by")
            yield at_it, "the order is missing", f"order: the values of {one.order_by}, the first one first", "none", ""
    yield from _steps_wrong(name, given)


_NOBODY = ("nothing would ever begin", "at least one host at a time")


def _rings_wrong(where: tuple[str | int, ...], rings: Sequence[RingModel]) -> Iterator[Wrong]:
    seen: set[str] = set()
    after_rest = False
    for place, ring in enumerate(rings):
        at = (*where, place)
        said = [
            key
            for key, value in (("hosts", ring.hosts), ("percent", ring.percent), ("count", ring.count))
            if value is not None
        ] + (["rest"] if ring.rest else [])
        if len(said) != 1:
            expected = "one of hosts, percent, count and rest: true"
            yield at, f"the ring {ring.name} does not say its hosts", expected, ", ".join(said) or "none of them", ""
        if ring.name in seen:
            yield at, "the ring is there twice", "names of their own", ring.name, "rename one of them"
        if after_rest and ring.hosts is None:
            yield at, "no host is left for this ring", "rest as the last ring", f"{ring.name} behind it", ""
        if ring.batch is not None and not ring.batch.number:
            yield (*at, "batch"), *_NOBODY, str(ring.batch), ""
        after_rest = after_rest or bool(ring.rest)
        seen.add(ring.name)


def _steps_wrong(name: str, given: CampaignModel) -> Iterator[Wrong]:
    if given.steps is None:
        return
    at = (name, "steps")
    for step in given.steps:
        if step not in STEPS:
            near = difflib.get_close_matches(step, STEPS, 1)
            yield at, "there is no such step", ", ".join(STEPS), step, f"did you mean {near[0]}?" if near else ""
    for step in ("apply", "verify"):
        if step not in given.steps:
            yield at, f"the step {step} is missing", f"{step} among the steps", ", ".join(given.steps), ""
    for step, back in (("drain", "undrain"), ("snapshot", "cleanup")):
        if (step in given.steps) != (back in given.steps):
            missing, there = (back, step) if step in given.steps else (step, back)
            yield at, f"{there} without {missing}", f"both {step} and {back}, or neither", ", ".join(given.steps), ""
    order = [list(REACHES).index(step) for step in given.steps if step in REACHES]
    if order != sorted(order):
        expected = ", ".join(step for step in REACHES if step in given.steps)
        yield at, "the steps are in another order", expected, ", ".join(given.steps), "their order is not to be chosen"
