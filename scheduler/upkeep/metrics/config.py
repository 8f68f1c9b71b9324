# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section ``metrics`` as it may stand in upkeep.yml; only config_file.py imports this."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ..config_types import Duration, Strict
from .settings import Settings, address


def _address(value: object) -> object:
    # YAML takes 19187 for a number, and an unquoted 1:2 for a number of base 60 in its older version.
    return address(value if isinstance(value, str) else "")


class MetricsModel(Strict):
    """Figures for Prometheus."""

    listen: Annotated[Any, BeforeValidator(_address)] | None = None
    window: Annotated[Duration, Field(ge=3600)] | None = None
    max_jobs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    max_hosts: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_restores: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


def settings(model: MetricsModel) -> Settings:
    """As the rest of Upkeep uses it."""
    return Settings(**{name: value for name, value in model if value is not None})
