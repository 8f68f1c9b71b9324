# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._health.options import errors_of
from tests.unit.plugins.health.filled import given, probe


def test_what_makes_sense_is_taken() -> None:
    probes = [
        probe("a", "http", url="https://[::1]:8443/x?y=1"), probe("b", "tcp", port=22), probe("c", "tls", port=443),
        probe("d", "sql"), probe("e", "command", argv=["true"]),
    ]  # fmt: skip
    rule = {"check": "port_closed", "subject": "*", "reason": "r"}
    assert errors_of(given(probes=probes, ignore=[rule])) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (given(before={}, before_plan="p-1"), "which of the two"),
        (given(wait=-1), "wait is -1"),
        (given(journal_minutes=0), "1 to 1440"),
        (given(probes=[probe("a", "tcp", port=1), probe("a", "tcp", port=2)]), "two probes"),
        (given(probes=[probe(str(n), "tcp", port=1) for n in range(101)]), "at most 100"),
        (given(probes=[probe("a", "tcp")]), "port from 1"),
        (given(probes=[probe("a", "tcp", port=70000)]), "port from 1"),
        (given(probes=[probe("a", "http", url="file:///etc/shadow")]), "begins with http"),
        (given(probes=[probe("a", "http", url="http://")]), "names a host"),
        (given(probes=[probe("a", "http", url="http://u:p@h/")]), "not logged"),
        (given(probes=[probe("a", "http", url="http://h/a b")]), "white space"),
        (given(probes=[probe("a", "http", url="http://h/\r\nX: y")]), "control characters"),
        (given(probes=[probe("a", "http", url="http://h:99999/")]), "makes no sense"),
        (given(probes=[probe("a", "http", url="http://h/", headers={"X": "a\r\nB: c"})]), "line feeds"),
        (given(probes=[probe("a", "sql", query="\\! id")]), "backslash"),
        (given(probes=[probe("a", "sql", query=" ")]), "needs a query"),
        (given(probes=[probe("a", "sql", password="a\nb")]), "line feed"),
        (given(probes=[probe("a", "command")]), "argv"),
        (given(probes=[probe("a", "command", argv=[""])]), "argv"),
        (given(probes=[probe("a", "command", argv=["x"], timeout=0)]), "1 to 300"),
        (given(ignore=[{"check": "*", "subject": "*", "reason": "r"}]), "ignores everything"),
        (given(ignore=[{"check": "port_lost", "subject": "*", "reason": "r"}]), "port_closed"),
    ],
)
def test_what_does_not_is_told(options: dict[str, Any], says: str) -> None:
    assert says in "; ".join(errors_of(options))
