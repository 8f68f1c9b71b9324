# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section `notify` of upkeep.yml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ..config_types import FROM_ELSEWHERE, Days, Duration, Strict, Texts, WallTime
from ..secret import SecretPlace
from .settings import EVENTS, USUAL_EVENTS, Channel, Heartbeat, How, Language, Quiet, Rate, Route, Settings, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

Wrong = tuple[str, str, str, str, str]
"""What is wrong: the key below the section, what, expected, found, remedy."""

_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _place(value: object) -> SecretPlace:
    """Where a secret stands. It is not read here: who only looks at tickets need not know it."""
    if isinstance(value, dict) and len(value) == 1:
        kind, name = next(iter(value.items()))
        if kind in ("env", "file") and isinstance(name, str) and name:
            return SecretPlace(kind, name)
    raise ValueError(f"{FROM_ELSEWHERE}: such a URL holds a secret, which does not belong into this file")


def _places(value: object) -> list[SecretPlace]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError(f"{FROM_ELSEWHERE}, or a list of them")
    return [_place(item) for item in values]


def _rate(value: object) -> Rate:
    found = re.fullmatch(r"([1-9]\d{0,5})\s*/\s*([smhd])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('a number of messages in a time, as "20/h" (s, m, h, d)')
    return Rate(int(found[1]), _PERIODS[found[2]])


def _some_of(known: tuple[str, ...]) -> BeforeValidator:
    def check(value: object) -> list[str]:
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not values or not all(item in known for item in values):
            raise ValueError("one of " + ", ".join(known) + ", or a list of them")
        return values

    return BeforeValidator(check)


def _moments(value: object) -> list[Any]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values:
        raise ValueError('a time of day in quotation marks, as "09:00", or a list of them')
    from ..config_types import _day_time

    return [_day_time(item) for item in values]


def _times(value: object) -> list[object]:
    values = value if isinstance(value, list) else [value]
    made: list[object] = []
    for item in values:
        if item in ("working_hours", "outside_working_hours"):
            made.append(item)
        elif isinstance(item, dict):
            span = SpanModel.model_validate(item)
            made.append(_span(span))
        elif item != "any":
            raise ValueError(
                'working_hours, outside_working_hours, any, or {days: Sat-Sun, start: "08:00", end: "20:00"}'
            )
    return made


Priorities = Annotated[list[str], _some_of(("P1", "P2", "P3"))]


class SpanModel(Strict):
    """A time of the day on some days."""

    days: Days | None = None
    start: WallTime
    end: WallTime


class QuietModel(Strict):
    """When nobody is disturbed."""

    days: Days | None = None
    start: WallTime
    end: WallTime
    but: Priorities | None = None


class ChannelModel(Strict):
    """Where messages go: a secret, a list of secrets, or these keys."""

    url: Annotated[Any, BeforeValidator(_places)]
    rate: Annotated[Any, BeforeValidator(_rate)] | None = None
    language: Language | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if isinstance(value, (list, str)) or (isinstance(value, dict) and set(value) & {"env", "file"}):
            return {"url": value}
        return value


class RouteModel(Strict):
    """What goes where."""

    name: str | None = None
    to: Texts | None = None
    how: How | None = None
    priority: Priorities | None = None
    area: Texts | None = None
    check: Texts | None = None
    host: Texts | None = None
    group: Texts | None = None
    event: Annotated[list[str], _some_of(EVENTS)] | None = None
    time: Annotated[list[Any], BeforeValidator(_times)] | None = None
    repeat_every: Annotated[Duration, Field(ge=60)] | None = None
    language: Language | None = None
    goes_on: bool | None = None


class HeartbeatModel(Strict):
    """The dead man's switch."""

    url: Annotated[Any, BeforeValidator(_place)]
    every: Annotated[Duration, Field(ge=10)] | None = None
    method: Literal["get", "post"] | None = None
    jobs: dict[str, Duration] | None = None


class NotifyModel(Strict):
    """Who is told what, and when."""

    channels: dict[str, ChannelModel] = Field(default_factory=dict)
    routes: list[RouteModel] = Field(default_factory=list)
    quiet_hours: QuietModel | None = None
    digest_at: Annotated[list[Any], BeforeValidator(_moments)] | None = None
    language: Language | None = None
    templates: str | None = None
    heartbeat: HeartbeatModel | None = None


def unknown_names(model: NotifyModel | None, steps: Sequence[tuple[str, ...]]) -> list[tuple[int, Wrong]]:
    """Steps of the SLA (by their place) that name neither a channel nor a route."""
    if model is None or not model.channels:
        return []  # nobody is told anything, and `upkeep notify` says so
    known = [*model.channels, *(route.name for route in model.routes if route.name)]
    return [
        (
            place,
            (
                "to",
                "there is no such channel",
                "a channel or a route of notify: " + ", ".join(known),
                name,
                "correct it",
            ),
        )
        for place, names in enumerate(steps)
        for name in names
        if name not in known
    ]


def _span(model: SpanModel | QuietModel) -> Span:
    return Span(model.start, model.end, model.days) if model.days else Span(model.start, model.end)


def settings(model: NotifyModel | None, folder: Path, jobs: Any) -> tuple[Settings | None, list[Wrong]]:
    """The settings that the section gives, and what is wrong in it beyond single values.

    ``folder``: of upkeep.yml, from which relative paths are seen. ``jobs``: the names of all jobs.
    """
    if model is None:
        return None, []
    wrong = list(_wrong(model, folder, jobs))
    if wrong:
        return None, wrong
    channels = {
        name: Channel(name, tuple(one.url), one.rate or Rate(), one.language) for name, one in model.channels.items()
    }
    beat = model.heartbeat
    usual = Heartbeat(SecretPlace("env", ""))
    return (
        Settings(
            channels=channels,
            routes=tuple(_route(route, number) for number, route in enumerate(model.routes, 1)),
            quiet=Quiet(_span(model.quiet_hours), tuple(model.quiet_hours.but or ("P1",)))
            if model.quiet_hours
            else None,
            digest_at=tuple(model.digest_at or ()),
            language=model.language or "en",
            templates=(folder / Path(model.templates).expanduser()) if model.templates else None,
            heartbeat=Heartbeat(
                beat.url,
                beat.every or usual.every,
                beat.method or usual.method,
                usual.jobs if beat.jobs is None else tuple(beat.jobs.items()),
            )
            if beat
            else None,
        ),
        [],
    )


def _route(model: RouteModel, number: int) -> Route:
    return Route(
        name=model.name or f"route {number}",
        to=tuple(model.to or ()),
        how=model.how or "now",
        priority=tuple(model.priority or ()),
        area=tuple(model.area or ()),
        check=tuple(model.check or ()),
        host=tuple(model.host or ()),
        group=tuple(model.group or ()),
        event=tuple(model.event or USUAL_EVENTS),
        time=tuple(model.time or ()),
        repeat_every=model.repeat_every,
        language=model.language,
        goes_on=bool(model.goes_on),
    )


def _wrong(model: NotifyModel, folder: Path, jobs: Any) -> Any:
    known = ", ".join(model.channels) or "none"
    for name in model.channels:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", name):
            yield "channels", "wrong name of a channel", "letters, digits, - and _, at most 50", repr(name), "rename it"
    names: set[str] = set()
    for number, route in enumerate(model.routes, 1):
        where = f"route {number}" + (f" ({route.name})" if route.name else "")
        for channel in route.to or ():
            if channel not in model.channels:
                yield (
                    "routes",
                    f"{where} leads nowhere",
                    f"a channel: {known}",
                    channel,
                    "correct it, or add the channel",
                )
        if not route.to and route.how != "never":
            yield "routes", f"{where} leads nowhere", "to: a channel, or a list", "no such key", "or say how: never"
        if route.repeat_every and route.how in ("digest", "never"):
            found = f"how: {route.how} with repeat_every"
            yield "routes", f"{where} contradicts itself", "how: now with repeat_every", found, "remove one of them"
        if route.name in names:
            yield "routes", f"{where} is there twice", "each name once", str(route.name), "rename one of them"
        names.add(route.name or where)
    if model.templates and not (folder / Path(model.templates).expanduser()).is_dir():
        yield "templates", "the folder is not there", "a folder", model.templates, "make it, or leave the key out"
    for job in (model.heartbeat.jobs or {}) if model.heartbeat else {}:
        if job not in jobs:
            yield "heartbeat", "there is no such job", ", ".join(sorted(jobs)), job, "correct its name"
