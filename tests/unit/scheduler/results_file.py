# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results files for tests, as the callback plugin and the harvest write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.upkeep.maintenance.plugins.module_utils import _findings, _results

Seen = tuple[str, str, str, str]  # host, check, subject, severity


def write(
    path: Path,
    run_id: str,
    findings: list[Seen] = [],  # noqa: B006 - not changed
    *,
    coverage: list[tuple[str, str, str]] = [],  # noqa: B006 - not changed
    hosts: dict[str, str] | None = None,
    started: float = 1000.0,
    finished: float | None = None,
    end: str | None = "finished",
    check_mode: bool = False,
    evidence: tuple[str, ...] = ("what was seen",),
    proofs: list[tuple[str, dict[str, Any]]] = [],  # noqa: B006 - not changed
    plans: list[tuple[str, dict[str, Any]]] = [],  # noqa: B006 - not changed
    states: list[tuple[str, dict[str, Any]]] = [],  # noqa: B006 - not changed
) -> Path:
    """A results file; ``end`` None: of a run that was cut off. Hosts are by default those of the rest, all ok."""
    if hosts is None:
        hosts = dict.fromkeys([*(row[0] for row in findings), *(row[0] for row in coverage)], "ok")
    records: list[dict[str, Any]] = [_results.run_record(run_id, "upkeep.maintenance.weekly", check_mode, started)]
    for host, check, subject, severity in findings:
        made = _findings.finding(check, subject, severity, f"{check} of {subject} is {severity}", evidence, "mend it")
        records.append({"type": "finding", "host": host, "finding": made})
    for host, check, subject in coverage:
        records.append({"type": "coverage", "host": host, "coverage": [{"check": check, "subject": subject}]})
    records += [{"type": "proof", "host": host, "proof": made} for host, made in proofs]
    records += [{"type": "plan", "host": host, "plan": made} for host, made in plans]
    records += [{"type": "state", "host": host, **made} for host, made in states]
    if end is not None:
        for host, state in hosts.items():
            records.append({"type": "host", "host": host, "state": state, "ok": 3, "changed": 1, "failed": 0})
        records.append(_results.end_record(started + 10 if finished is None else finished, end))
    path.write_text("".join(map(_results.line, records)), encoding="utf-8")
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
