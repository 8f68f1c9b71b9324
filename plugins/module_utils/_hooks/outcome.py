# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a hook ends that did not do what was asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._findings import places

if TYPE_CHECKING:
    from collections.abc import Iterable


class Failed(Exception):  # noqa: N818 - an outcome, not a bug
    """It was not done: what was met, what to do, and lines that show it."""

    def __init__(self, what: str, remedy: str, evidence: Iterable[str] = (), status: int = 0) -> None:
        super().__init__(what)
        self.what, self.remedy, self.evidence = what, remedy, list(evidence)
        self.status = status
        """What an HTTP server answered; 0 where there is none, or no answer."""


class TimeIsOver(Failed):
    """What was to be done was done, and what was waited for did not come in time."""


def of_bug(error: BaseException) -> Failed:
    """What nobody expected, told like any other failure: an answer of a server, for instance, that makes no sense."""
    what = "Upkeep itself failed with %s" % type(error).__name__
    return Failed(what, "Report this as a fault of Upkeep, with the evidence, and run it again.", places(error))
