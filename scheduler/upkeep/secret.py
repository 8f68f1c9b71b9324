# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret by its place: read when it is used, so that who only looks at tickets need not know it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import UpkeepError


@dataclass(frozen=True)
class SecretPlace:
    """``{env: NAME}`` or ``{file: PATH}`` of the configuration."""

    kind: Literal["env", "file"]
    name: str

    def __str__(self) -> str:
        return f"{{{self.kind}: {self.name}}}"

    def read(self) -> str:
        """The secret. Raises UpkeepError that names the place, never what stands there."""
        if self.kind == "env":
            found = os.environ.get(self.name, "").strip()
            wrong = "" if found else "not set"
            expected = f"the environment variable {self.name} to be set"
        else:
            expected = f"a file {self.name} that can be read and is not empty"
            try:
                found = Path(self.name).expanduser().read_text(encoding="utf-8").strip()
                wrong = "" if found else "an empty file"
            except (OSError, UnicodeDecodeError) as error:
                found, wrong = "", getattr(error, "strerror", None) or "not UTF-8"
        if wrong:
            raise UpkeepError(
                f"the secret {self} is not there",
                expected=expected,
                found=wrong,
                remedy="put it there, for the user that Upkeep runs as",
            )
        return found
