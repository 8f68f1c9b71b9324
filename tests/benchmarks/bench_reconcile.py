# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording and reconciling 100,000 findings, against a plain bulk INSERT of the same rows into the same table."""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.upkeep.maintenance.plugins.module_utils import _findings, _results
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import open_store

from .measure import Contender, Row, arguments, by_turns, show

SIZES = (10_000, 100_000)
A_HOST = 100
"""Findings of one host."""
CHECKS = 200

COLUMNS = ("run", "host", "check_name", "subject", "rank", "summary", "evidence", "remedy", "facts")
PLAIN = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
CREATE TABLE findings (run INTEGER, host TEXT, check_name TEXT, subject TEXT, rank SMALLINT, summary TEXT,
  evidence JSON, remedy TEXT, facts JSON, PRIMARY KEY (run, host, check_name, subject));
CREATE INDEX ix_findings_run_rank ON findings (run, rank);
"""


def results(path: Path, run: str, started: float, count: int, *, found: bool = True) -> Path:
    """A results file with so many findings; or with none of them, and all that they were about looked at."""
    hosts = count // A_HOST
    with path.open("w", encoding="utf-8") as file:

        def put(record: dict[str, Any]) -> None:
            file.write(_results.line(record))

        put(_results.run_record(run, "upkeep.maintenance.weekly", False, started))
        for host in range(hosts):
            name = f"host{host:05}"
            checks = sorted({f"area{number % CHECKS}.thing.fault" for number in range(host, host + A_HOST)})
            for number in range(host, host + A_HOST) if found else ():
                made = _findings.finding(
                    f"area{number % CHECKS}.thing.fault",
                    f"/srv/{number}",
                    _findings.SEVERITIES[number % 4],
                    f"/srv/{number} of {name} is not as it should be",
                    [f"line {line}: what proves it, some sixty characters of a log" for line in range(3)],
                    "see what is wrong there: systemctl status thing",
                    {"used": 0.9, "limit": 0.8},
                )
                put({"type": "finding", "host": name, "finding": made})
            put({"type": "coverage", "host": name, "coverage": [{"check": check, "subject": "*"} for check in checks]})
            put({"type": "host", "host": name, "state": "ok", "ok": 3, "changed": 0, "failed": 0})
        put(_results.end_record(started + 60, "finished"))
    return path


def work(kind: str, store: str, *paths: str) -> None:
    """One contender, a process of its own."""
    if kind == "nothing":
        return
    if kind == "plain":
        db = sqlite3.connect(store)
        db.executescript(PLAIN)
        begin = time.perf_counter()
        with db:
            statement = f"INSERT INTO findings ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
            db.executemany(statement, rows(Path(paths[0])))
        print(time.perf_counter() - begin)
        db.close()
        return
    with open_store(None, Path(store)) as opened:
        for place, path in enumerate(paths):
            begin = time.perf_counter()
            recorded = record_file(opened, Path(path), Policy(), 2000.0 + place * 1000, "weekly")
            print(time.perf_counter() - begin)
            assert not recorded.already
            changes = {change.what for change in recorded.changes}
            assert changes == ({"opened"}, {"seen"}, {"resolved"})[place], changes


def rows(path: Path) -> Any:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["type"] == "finding":
                made = record["finding"]
                rank = _findings.SEVERITIES.index(made["severity"])
                texts = [json.dumps(made["evidence"]), made["remedy"], json.dumps(made["facts"])]
                yield (1, record["host"], made["check"], made["subject"], rank, made["summary"], *texts)


def main() -> None:
    if sys.argv[1:2] == ["work"]:
        work(*sys.argv[2:])
        return
    args = arguments(__doc__, 1)
    found: list[Row] = []
    once: dict[int, float] = {}
    peaks: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in SIZES:
            files = [
                results(folder / f"first{size}", "r1", 1000, size),
                results(folder / f"again{size}", "r2", 2000, size),
                results(folder / f"clean{size}", "r3", 3000, size, found=False),
            ]
            homes = iter(range(10_000))

            def contender(title: str, kind: str, *paths: Path, homes: Any = homes, size: int = size) -> Contender:
                def words() -> list[str]:
                    home = folder / f"{kind}{size}-{len(paths)}-{next(homes)}"
                    command = [sys.executable, "-m", "tests.benchmarks.bench_reconcile", "work", kind, str(home)]
                    return [*command, *map(str, paths)]

                return Contender(title, words)

            plain = contender(f"bulk INSERT, {size}", "plain", files[0])
            first = contender(f"record, {size}", "ours", files[0])
            all_of_it = contender(f"record, again, clean, {size}", "ours", *files)
            nothing = contender("nothing", "nothing")
            most = size == SIZES[-1]
            # The small size tells how time grows; its INSERT is nothing beside a start of Python.
            by_turns([plain, first, all_of_it, nothing] if most else [first, nothing], args.runs, 0 if most else 1)
            # Without the start of Python with its imports, which all of them have. Processor time: others who are at
            # work on the machine do not count in it, and there is next to nothing to wait for.
            start = nothing.median("cpu")
            recorded, peaks[size] = first.median("cpu") - start, first.median("peak")
            once[size] = recorded
            if most:
                inserted, thrice = (one.median("cpu") - start for one in (plain, all_of_it))
                speed = f"{recorded:.1f} s of CPU against {inserted:.1f} s; {size / recorded:.0f} findings/s"
                peak = f"peak {peaks[size] / 2**20:.0f} MiB"
                found.append(Row("record / bulk INSERT", recorded / inserted, 10.0, f"{speed}; {peak}"))
                visits = "found, found again, all gone"
                found.append(Row("all three visits / the first", thrice / recorded, 3.0, visits))
    few, many = SIZES
    found.append(Row("time a finding, 100,000 / 10,000", once[many] / once[few] / (many / few), 1.2, "linear"))
    growth = (peaks[many] - peaks[few]) / (many - few) / 1000
    found.append(Row("memory a finding, kB", growth, 2.0, "identities stay in memory, findings do not"))
    show("reconcile of 100,000 findings", found, args.json)


if __name__ == "__main__":
    main()
