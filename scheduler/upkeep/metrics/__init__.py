# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures for Prometheus, Grafana and Zabbix: collect.py reads them, exposition.py writes them, server.py serves them.

``settings.py`` is the section ``metrics`` of upkeep.yml; nothing else here is imported before somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import Config
    from .server import Endpoint


def serve(config: Config, healthy: Callable[[], str] | None = None) -> Endpoint | None:
    """Serve /metrics and /healthz in threads of this process; None when ``metrics.listen`` is not configured.

    ``healthy``: says what is wrong with the process, "" when nothing is; asked by /healthz. Raises UpkeepError
    (NOT_RUN) when the address cannot be listened on. The caller closes what is returned.
    """
    if config.metrics.listen is None:
        return None
    from .server import Endpoint

    return Endpoint(config, config.metrics.listen, healthy)
