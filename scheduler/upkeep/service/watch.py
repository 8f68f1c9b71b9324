# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a sign of life has stood still, by the watcher's own clock. Pure: the moment is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

Key = TypeVar("Key", bound="Hashable")


class Watch(Generic[Key]):
    """What was seen of each, and since when it has not changed.

    ``gap``: seconds; after so long without looking, everything counts as seen for the first time: the store was away,
    or the watcher was, and nobody could have given a sign, or been seen giving it.
    """

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._seen: dict[Key, tuple[object, float]] = {}
        self._looked = float("-inf")

    def still(self, signs: Mapping[Key, object], now: float) -> dict[Key, float]:
        """Seconds for which each of them stands still; ``now`` is of a clock that never jumps (monotonic).

        One that is seen for the first time stands still from now on, whatever it says of itself: its clock is not ours.
        """
        if now - self._looked > self._gap:
            self._seen = {}
        self._looked = now
        self._seen = {
            key: (sign, self._seen[key][1] if key in self._seen and self._seen[key][0] == sign else now)
            for key, sign in signs.items()
        }
        return {key: now - since for key, (_sign, since) in self._seen.items()}
