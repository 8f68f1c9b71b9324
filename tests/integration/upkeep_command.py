# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `upkeep`, as a user calls it: a process, its exit code, and its one JSON document."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Upkeep:
    """The command with a state folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run `upkeep WORDS`; what it prints is kept apart by stream."""
        return subprocess.run(
            [sys.executable, "-m", "upkeep", *map(str, words)],
            env={**os.environ, "UPKEEP_HOME": str(self.home)},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *words: str | Path, timeout: float = 300) -> dict[str, Any]:
        """Run `upkeep WORDS --json`; the document that it printed, and nothing else beside it."""
        ran = self(*words, "--json", timeout=timeout)
        try:
            document = json.loads(ran.stdout)
        except ValueError:
            raise AssertionError(f"no JSON document ({ran.returncode}):\n{ran.stdout}\n{ran.stderr}") from None
        assert isinstance(document, dict)
        assert document.get("exit_code", ran.returncode) == ran.returncode
        return document

    def open_tickets(self) -> dict[str, dict[str, Any]]:
        """The open tickets by their cause."""
        return {ticket["cause"]: ticket for ticket in self.json("tickets")["tickets"]}
