# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof holds, in lines of text. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import durations

if TYPE_CHECKING:
    from collections.abc import Iterator


def took(seconds: float) -> str:
    """How long a test went on."""
    return f"{seconds:.1f} s" if seconds < 120 else durations.shown(seconds)


def lines(facts: Any, depth: int = 0) -> Iterator[tuple[int, str]]:
    """Facts as lines with their depth: a name and its value, what is nested below it further in."""
    items = facts.items() if isinstance(facts, dict) else (("-", item) for item in facts)
    for name, item in items:
        head = name if name == "-" else f"{name}:"
        if isinstance(item, (dict, list)) and item:
            yield depth, head
            yield from lines(item, depth + 1)
        else:
            yield depth, f"{head} {item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)}"
