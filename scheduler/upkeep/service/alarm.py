# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one message that goes past the store: that the store itself fails, so that nothing else can be told.

Each node tells it for itself, for they cannot speak with each other either: once when it has lasted, once at its end.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import Config

log = logging.getLogger("upkeep.scheduler")

PATIENCE = 120.0
"""Seconds for which it has to last: a server's restart is nobody's business."""

_WORDS = {
    "en": ("Upkeep on {node} cannot work", "Its store fails, so nothing is started or told: {wrong}"),
    "ru": ("Upkeep на {node} не может работать", "Хранилище недоступно: задания и сообщения стоят. {wrong}"),
}
_OVER = {
    "en": ("Upkeep on {node} works again", "Its store is well again; what was due is looked at now."),
    "ru": ("Upkeep на {node} снова работает", "Хранилище снова доступно."),
}


class Alarm:
    """What was told of it. ``send`` takes a configuration, a title and a text by language; it never raises."""

    def __init__(self, send: Callable[[Config, dict[str, tuple[str, str]]], None] | None = None) -> None:
        self._send = send or to_all_channels
        self._since: float | None = None
        self._told = False

    def look(self, config: Config, wrong: str, now: float) -> None:
        """``wrong``: what is wrong with the store now, "" when nothing is; ``now``: of a clock that never jumps."""
        node = os.uname().nodename
        if not wrong:
            if self._told:
                self._send(config, _filled(_OVER, node, ""))
            self._since, self._told = None, False
            return
        if self._since is None:
            self._since = now
        if not self._told and now - self._since >= PATIENCE:
            self._told = True
            self._send(config, _filled(_WORDS, node, wrong))


def _filled(words: dict[str, tuple[str, str]], node: str, wrong: str) -> dict[str, tuple[str, str]]:
    return {
        language: (title.format(node=node), body.format(node=node, wrong=wrong))
        for language, (title, body) in words.items()
    }


def to_all_channels(config: Config, said: dict[str, tuple[str, str]]) -> None:
    """To every channel, at once, whatever the routes say: there is nothing to route by."""
    if config.notify is None:
        return
    from ..notify import messages, senders

    for channel in config.notify.channels.values():
        title, body = said[channel.language or config.notify.language]
        for place in channel.urls:
            try:
                plugin = senders.instantiate(place.read(), place)
                payload = {"kind": "alarm", "open": 1, "priority": "P1"}
                outcome = senders.deliver(plugin, messages.Rendered(title, body, "text"), payload)
                if not outcome.ok:
                    log.error("%s: the store's failure could not be told", channel.name)
            except Exception as error:  # noqa: BLE001 - the other channels are still to be told; URLs are secret
                log.error("%s: the store's failure could not be told: %s", channel.name, type(error).__name__)
