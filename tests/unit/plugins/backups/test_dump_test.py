# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of a test of a dump, by its findings."""

from __future__ import annotations

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.dump_test import outcome


@pytest.mark.parametrize(
    ("checks", "whole", "planned", "expected"),
    [
        ([], True, False, "passed"),
        (["backup.dump.wrong_version:info", "backup.restore.leftovers"], True, False, "passed"),
        (["backup.dump.rows_differ"], True, False, "failed"),
        (["backup.dump.truncated"], False, False, "failed"),
        (["backup.archive.incomplete"], False, False, "failed"),
        (["backup.dump.no_server"], False, False, "cannot"),
        (["backup.repository.missing"], False, False, "cannot"),
        ([], False, False, "cannot"),
        # In check mode.
        ([], False, True, "not tested"),
        (["backup.dump.wrong_version"], False, True, "not tested"),
        (["backup.dump.empty"], False, False, "failed"),
        (["backup.dump.no_room"], False, False, "cannot"),
    ],
)
def test_outcome(checks: list[str], whole: bool, planned: bool, expected: str) -> None:
    found = [{"check": one.split(":")[0], "severity": (one + ":high").split(":")[1]} for one in checks]
    assert outcome(found, whole, planned) == expected
