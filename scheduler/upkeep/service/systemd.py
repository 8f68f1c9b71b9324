# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling systemd that the service is ready and alive: sd_notify(3) is one datagram."""

from __future__ import annotations

import contextlib
import os
import socket


def tell(state: str) -> None:
    """Send a state (``READY=1``, ``WATCHDOG=1``, ``STATUS=…``) to who started us; nothing when it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), address)
