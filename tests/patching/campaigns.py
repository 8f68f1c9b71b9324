# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `upkeep campaign` over a fleet, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fleet.fleets import Fleet


class Campaigns:
    """A configuration with campaigns, and the command that carries them out."""

    def __init__(self, fleet: Fleet, folder: Path, **campaigns: dict[str, Any]) -> None:
        self.folder = folder
        config = {"inventory": str(fleet.ansible_inventory), "campaigns": campaigns}
        (folder / "upkeep.yml").write_text(json.dumps(config))

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start the command, in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "upkeep", *words],
            cwd=self.folder, text=True, stdin=subprocess.DEVNULL, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "UPKEEP_HOME": str(self.folder / "home")},
        )  # fmt: skip

    def upkeep(self, *words: str, code: int = 0) -> str:
        """What the command prints; it must end with this code."""
        process = self.begin(*words)
        out, err = process.communicate(timeout=380)
        assert process.returncode == code, f"{' '.join(words)} ended with {process.returncode}:\n{out}\n{err}"
        return out

    def told(self, *words: str, code: int = 0) -> Any:
        """The same as a document."""
        return json.loads(self.upkeep(*words, "--json", code=code))
