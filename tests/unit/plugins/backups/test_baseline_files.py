# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that an operator runs after a dump are those that the restored database is asked with."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import mysql_sql, postgresql_sql

DOCS = Path(__file__).resolve().parents[4] / "docs" / "backups"


@pytest.mark.parametrize(("name", "script"), [("postgresql", postgresql_sql.BASELINE), ("mysql", mysql_sql.BASELINE)])
def test_the_script_in_the_documentation_is_the_one_that_is_used(name: str, script: str) -> None:
    assert (DOCS / f"baseline-{name}.sql").read_text(encoding="utf-8") == script.lstrip("\n")
