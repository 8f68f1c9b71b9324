# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections `sla` and `business_hours` of upkeep.yml, and what is made of them. Imported by config_file.py only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .config_types import Days, Duration, Strict, Texts, WallTime, Zone
from .durations import duration
from .sla import TARGETS, BusinessHours, Settings, Step

if TYPE_CHECKING:
    from datetime import date
    from zoneinfo import ZoneInfo

    from .calendar.holidays import Holidays


def _delay(value: object) -> float:
    """A duration, or none at all."""
    if value in (0, "0", "0s", "0m", "0h") and not isinstance(value, bool):
        return 0.0
    try:
        return duration(value)
    except ValueError as error:
        raise ValueError("how late it is: 0 (as soon as it is), or a duration, as 1h") from error


def _parts(value: object) -> list[float]:
    """Parts of the promised time: one, or a list."""
    values: list[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(one, (int, float)) and not isinstance(one, bool) and 0 < one < 1 for one in values):
        raise ValueError("a part of the promised time, as 0.75, or a list of them (each more than 0, less than 1)")
    return sorted({float(one) for one in values})


def _some(value: object) -> object:
    return [value] if isinstance(value, str) else value


Delay = Annotated[float, BeforeValidator(_delay)]
Parts = Annotated[Any, BeforeValidator(_parts)]


class TargetModel(Strict):
    """What is promised for one priority."""

    react: Duration | None = None
    solve: Duration | None = None
    business_hours: bool | None = None


class EscalationModel(Strict):
    """A step of the escalation of what is late."""

    after: Delay
    to: Texts | None = None
    priorities: Annotated[list[Literal["P1", "P2", "P3"]], BeforeValidator(_some), Field(min_length=1)] | None = None
    clocks: Annotated[list[Literal["react", "solve"]], BeforeValidator(_some), Field(min_length=1)] | None = None


class SlaModel(Strict):
    """The promises by priority."""

    P1: TargetModel | None = None
    P2: TargetModel | None = None
    P3: TargetModel | None = None
    due_soon: Annotated[float, Field(gt=0, lt=1)] | None = None
    warn_at: Parts | None = None
    escalate: list[EscalationModel] | None = None


class HoursModel(Strict):
    """When people work."""

    days: Days | None = None
    start: WallTime | None = None
    end: WallTime | None = None
    time_zone: Zone | None = None


@dataclass(frozen=True)
class _DaysOff:
    """The configured holidays as the clocks ask for them: by the year, when a day of it is asked for."""

    holidays: Holidays

    def __contains__(self, day: object) -> bool:
        return self.holidays.name(_date(day)) is not None

    def __hash__(self) -> int:
        return id(self.holidays)


def _date(day: object) -> date:
    from datetime import date

    assert isinstance(day, date)
    return day


def sla_settings(sla: SlaModel, hours: HoursModel, holidays: Holidays | None, zone: ZoneInfo) -> Settings:
    """The settings of the SLA. Raises ValueError, which says what was expected, when nobody ever works."""
    targets = dict(TARGETS)
    for name, usual_target in TARGETS.items():
        given: TargetModel | None = getattr(sla, name)
        if given:
            targets[name] = replace(usual_target, **given.model_dump(exclude_none=True))
    usual = BusinessHours()
    business = BusinessHours(
        days=hours.days or usual.days,
        start=hours.start if hours.start is not None else usual.start,
        end=hours.end if hours.end is not None else usual.end,
        time_zone=(hours.time_zone or zone).key,
        holidays=frozenset() if holidays is None else _DaysOff(holidays),
        worked=frozenset() if holidays is None else holidays.worked,
    )
    made = Settings(targets, business)
    if sla.due_soon is not None:
        made = replace(made, due_soon=sla.due_soon)
    if sla.warn_at is not None:
        made = replace(made, warn_at=tuple(sla.warn_at))
    if sla.escalate is not None:
        made = replace(made, escalate=tuple(_step(one) for one in sla.escalate))
    return made


def _step(given: EscalationModel) -> Step:
    usual = Step(given.after)
    return Step(
        given.after,
        tuple(given.to or ()),
        tuple(given.priorities or usual.priorities),
        tuple(given.clocks or usual.clocks),
    )
