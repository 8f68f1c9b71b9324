# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes snapshots of one kind of storage, as the flow sees it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._mounts import Mount
    from .model import Mark
    from .sets import Member, Volume


class Backend(Protocol):
    """One kind of storage, on this host as it was when this was made. Methods raise Stop and OSError."""

    name: str

    @property
    def here(self) -> bool:
        """Whether the host has any of it."""

    def volume(self, mount: Mount) -> Volume | None:
        """What is mounted there, None when it is of another kind. Raises Stop when it can have no snapshot."""

    def members(self) -> list[Member]:
        """All snapshots of ours."""

    def lacks_room(self, volumes: Sequence[Volume]) -> list[str]:
        """What there is too little of for snapshots of these: sentences."""

    def take(self, volumes: Sequence[Volume], mark: Mark) -> None:
        """Take a snapshot of each."""

    def remove(self, member: Member) -> str:
        """Remove one. Why it was not, empty when it is gone."""

    def blocked(self, member: Member) -> str:
        """Why its volume cannot go back to it, empty when it can."""

    def revert(self, member: Member) -> bool:
        """Put its volume back, or go on with that; whether anything was done."""

    def undo(self, member: Member) -> str:
        """How that is taken back, or that it cannot be."""
