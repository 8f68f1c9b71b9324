# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user is told when something is wrong: what, what was expected, what was found, what to do. Exit codes."""

from __future__ import annotations

OK = 0
"""All ran, nothing above `low`."""
FINDINGS = 1
"""All ran, findings of `medium` or above."""
WRONG_USE = 2
"""Wrong use or configuration."""
HOSTS_FAILED = 3
"""Hosts failed or could not be reached."""
NOT_RUN = 4
"""The run itself could not be carried out, or its results could not be kept."""


class UpkeepError(Exception):
    """An error that a user can do something about; the command shows it without a traceback."""

    def __init__(
        self, what: str, *, expected: str = "", found: str = "", remedy: str = "", exit_code: int = WRONG_USE
    ) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.found = found
        self.remedy = remedy
        self.exit_code = exit_code

    def add_found(self, more: str) -> None:
        """Say more of what was found."""
        self.found = "; ".join(filter(None, [self.found, more]))

    def lines(self) -> list[str]:
        """The error as lines for a terminal."""
        rows = [("expected", self.expected), ("found", self.found), ("to do", self.remedy)]
        return [f"upkeep: {self.what}", *(f"  {name + ':':<10}{text}" for name, text in rows if text)]
