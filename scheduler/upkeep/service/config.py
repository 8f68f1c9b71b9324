# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section `scheduler` of upkeep.yml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..config_types import Duration, Strict
from .settings import SchedulerSettings


class SchedulerModel(Strict):
    """How the service works."""

    max_runs: Annotated[int, Field(ge=1, le=1000)] | None = None
    node_lost_after: Annotated[Duration, Field(ge=30)] | None = None
    takeover_after: Annotated[Duration, Field(ge=5)] | None = None
    lock_wait: Duration | None = None


def settings(model: SchedulerModel | None) -> SchedulerSettings:
    """The settings that a section gives."""
    given = model.model_dump(exclude_none=True) if model else {}
    return SchedulerSettings(**given)
