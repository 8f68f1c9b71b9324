# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What converge left behind in its results file, for the proofs of the scenarios."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

FILE = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "results.jsonl"


@lru_cache(maxsize=1)
def records() -> list[dict[str, Any]]:
    """The records of the last run: the one of idempotence."""
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def findings(host: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Findings of a host by check and subject."""
    return {
        (record["finding"]["check"], record["finding"]["subject"]): record["finding"]
        for record in records()
        if record["type"] == "finding" and record["host"] == host
    }


def covered(host: str) -> set[str]:
    """The checks that ran to their end on a host."""
    return {
        entry["check"]
        for record in records()
        if record["type"] == "coverage" and record["host"] == host
        for entry in record["coverage"]
    }


def proofs(host: str) -> list[dict[str, Any]]:
    """The proofs of a host, in the order in which they were made."""
    return [record["proof"] for record in records() if record["type"] == "proof" and record["host"] == host]
