# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section ``metrics`` of upkeep.yml, as the rest uses it. Imports nothing: it is part of every configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """Where to listen. ``host`` is a name or an address (IPv6 without its brackets); "" means every one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """What is shown, and where."""

    listen: Address | None = None
    """None: nothing is served."""
    window: float = 30 * 86400.0
    """Seconds back from now over which runs, firings and promises are counted."""
    max_jobs: int = 200
    max_hosts: int = 2000
    max_restores: int = 1000
    """Series of one kind for each job; for each host and job; for each host, what is restored of it and the test. Of
    more, those are shown that succeeded longest ago, and `upkeep_left_out` tells how many were not: a time series for
    each costs its reader memory for weeks."""


def address(text: str) -> Address:
    """ "127.0.0.1:19187", "[::1]:19187", "metrics.example.com:19187", ":19187". Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    inner = host[1:-1] if bracketed else host
    wrong_host = any(sign in inner for sign in " /[]@") or (":" in inner) != bracketed
    if not colon or wrong_host or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65535:
        raise ValueError('an address and a port, as "127.0.0.1:19187" or "[::1]:19187"')
    return Address(inner, int(port))
