# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding and every test of the area stands in docs/backups.md: what it means, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
INNER = {
    # Beside the findings of the review itself, these only say that something was looked at.
    "backup.repository.checked",
    "backup.restore.tested",
    "backup.rotation.kept",
}


def test_every_name_is_documented() -> None:
    names: set[str] = set()
    for path in (ROOT / "plugins" / "module_utils" / "_backups").glob("*.py"):
        names |= set(re.findall(r'"(backup\.[a-z]+\.[a-z_]*[a-z])"', path.read_text(encoding="utf-8")))
    assert len(names) > 60
    text = (ROOT / "docs" / "backups.md").read_text(encoding="utf-8")
    told: set[str] = set()
    for line in text.splitlines():
        thing = ""
        for full, short in re.findall(r"`(?:(backup\.[a-z]+\.[a-z_]+)|(\.[a-z_]+))`", line):
            thing = full.rpartition(".")[0] if full else thing
            told.add(full or thing + short)
    assert sorted(names - INNER - told) == []
