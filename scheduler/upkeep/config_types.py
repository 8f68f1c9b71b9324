# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of upkeep.yml's values, for the models of config_file.py and of the areas' own sections.

A validator raises ValueError whose text says what was expected.
"""

from __future__ import annotations

import os
from datetime import time
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict

from . import schedule as schedules
from .durations import duration
from .store.secrets import holds_secret


def _zone(value: object) -> ZoneInfo:
    try:
        if isinstance(value, str):
            return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise ValueError('the name of a time zone, as "Europe/Berlin" or "UTC"')


def _texts(value: object) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(item, str) and item for item in values):
        raise ValueError("a text, or a list of texts")
    return values


def _tags(value: object) -> list[str]:
    return [tag.strip() for item in _texts(value) for tag in item.split(",")]


def _schedule(value: object) -> tuple[schedules.Schedule, str]:
    if not isinstance(value, (str, dict)):
        raise ValueError(schedules.FORMS)
    shown = value if isinstance(value, str) else "; ".join(f"{key} {item}" for key, item in value.items())
    return schedules.parse(value), shown


FROM_ELSEWHERE = "{env: NAME} or {file: PATH}"


def _secret(value: object) -> str:
    """A secret: from the environment or a file, never from the configuration itself."""
    if not isinstance(value, dict) or len(value) != 1 or not isinstance(next(iter(value.values())), str):
        raise ValueError(f"{FROM_ELSEWHERE}: a secret does not belong into this file")
    kind, name = next(iter(value.items()))
    if kind == "env":
        if not os.environ.get(name):
            raise ValueError(f"the environment variable {name} to be set")
        return os.environ[name]
    if kind == "file":
        try:
            return Path(name).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"a file {name} that can be read ({getattr(error, 'strerror', None) or 'not UTF-8'})"
            ) from error
    raise ValueError(FROM_ELSEWHERE)


def _secret_url(value: object) -> str:
    """A URL that may hold a password: only one without may stand in the configuration itself."""
    if isinstance(value, str):
        if holds_secret(value):
            raise ValueError(f"a URL without a password, {FROM_ELSEWHERE}: a password does not belong into this file")
        return value
    return _secret(value)


Duration = Annotated[float, BeforeValidator(duration)]
Zone = Annotated[Any, BeforeValidator(_zone)]
Texts = Annotated[list[str], BeforeValidator(_texts)]
Tags = Annotated[list[str], BeforeValidator(_tags)]
ScheduleOf = Annotated[Any, BeforeValidator(_schedule)]
Secret = Annotated[str, BeforeValidator(_secret)]
SecretUrl = Annotated[str, BeforeValidator(_secret_url)]
Days = Annotated[Any, BeforeValidator(lambda value: schedules.weekdays(_one_text(value)))]


def _one_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError('days, as "Mon-Fri" or "Sat,Sun"')
    return value


def _day_time(value: object) -> time:
    if not isinstance(value, str):
        raise ValueError('a time of day in quotation marks, as "09:00"')
    return time(0) if value.strip() == "24:00" else schedules.wall_time(value)


WallTime = Annotated[Any, BeforeValidator(_day_time)]


class Strict(BaseModel):
    """A block of the file: unknown keys are refused, and nothing is taken for something else."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
