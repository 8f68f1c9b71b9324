# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a sign of life has stood still, by the watcher's own clock. Pure: the moment is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

Key = TypeVar("Key", bound="Hashable")


class Watch(Generic[Key]):
    """What was seen of each, and since when it has not changed."""

    def __init__(self) -> None:
        self._seen: dict[Key, tuple[object, float]] = {}

    def still(self, signs: Mapping[Key, object], now: float) -> dict[Key, float]:
        """Seconds for which each of them stands still; ``now`` is of a clock that never jumps (monotonic).

        One that is seen for the first time stands still from now on, whatever it says of itself: its clock is not ours.
        """
        self._seen = {
            key: (sign, self._seen[key][1] if key in self._seen and self._seen[key][0] == sign else now)
            for key, sign in signs.items()
        }
        return {key: now - since for key, (_sign, since) in self._seen.items()}
