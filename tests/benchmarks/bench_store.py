# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store over a simulated year: a daily and a weekly run of 100 hosts, with retention; how it grows, where it stays.

Time is compressed: the runs' results files are written and recorded one after another, each with its own `now`.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.upkeep.maintenance.plugins.module_utils import _findings, _results
from upkeep import schedule
from upkeep.config import Config
from upkeep.metrics.collect import collect
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import facade, open_store

from .measure import Row, show

DAY = 86400.0
BEGIN = 1_767_571_200.0  # Monday 2026-01-05 00:00 UTC
HOSTS = 100
KEEP_DAYS = 90.0
YEAR = 365
CHECKS = [f"{area}.thing{number}.fault" for area in ("patch", "capacity", "backup") for number in range(4)]


def write_results(path: Path, name: str, started: float, hosts: int, chance: random.Random) -> Path:
    """One run: about one finding in 15 checks, a host that cannot be reached now and then, all else clean."""
    with path.open("w", encoding="utf-8") as file:

        def put(record: dict[str, Any]) -> None:
            file.write(_results.line(record))

        put(_results.run_record(name, "upkeep.maintenance.weekly", False, started))
        for number in range(hosts):
            host = f"host{number:03}"
            state = "unreachable" if chance.random() < 0.002 else "ok"
            if state == "ok":
                for check in CHECKS:
                    # A fault of a host stays for a while: it depends on the week, not on the day alone.
                    if random.Random(f"{host}{check}{int(started / DAY) // 9}").random() < 1 / 15:
                        put({"type": "finding", "host": host, "finding": finding(check, host, started)})
                covered = [{"check": check, "subject": "*"} for check in CHECKS]
                put({"type": "coverage", "host": host, "coverage": covered})
            else:
                found = _findings.finding(
                    "upkeep.host.unreachable", host, "high", f"{host}: no route to host", [], "ping it"
                )
                put({"type": "finding", "host": host, "finding": found})
            put({"type": "host", "host": host, "state": state, "ok": 3, "changed": 0, "failed": 0})
        put(_results.end_record(started + 600, "finished"))
    return path


def finding(check: str, host: str, at: float) -> dict[str, Any]:
    severity = _findings.SEVERITIES[sum(map(ord, check)) % 4]
    evidence = [f"line {line} of what was seen on day {int(at / DAY)}, some sixty characters" for line in range(4)]
    return _findings.finding(
        check, "/srv", severity, f"/srv of {host} is not as it should be", evidence, "mend it", {"x": 1}
    )


class Year:
    """A store, day by day."""

    def __init__(self, folder: Path, hosts: int) -> None:
        self.folder = folder
        self.hosts = hosts
        self.chance = random.Random(7)
        self.results = 0
        """Bytes of all results files: what there was to keep."""
        self.sizes: dict[int, int] = {}
        self.recording: list[float] = []
        self.pruning: list[float] = []

    def day(self, store: facade.Store, day: int, keep_days: float | None) -> None:
        for job in ("daily", "weekly") if day % 7 == 6 else ("daily",):
            started = BEGIN + day * DAY + (3 if job == "weekly" else 2) * 3600
            path = write_results(self.folder / "results", f"{job}{day}", started, self.hosts, self.chance)
            self.results += path.stat().st_size
            begin = time.perf_counter()
            record_file(store, path, Policy(), started + 610, job)
            self.recording.append(time.perf_counter() - begin)
        for ticket in store.tickets("open")[:3]:
            store.acknowledge(ticket.number, "ann", "on it", started + 3600)
        if keep_days is not None:
            begin = time.perf_counter()
            store.prune(BEGIN + (day + 1) * DAY, keep_days)
            self.pruning.append(time.perf_counter() - begin)
        self.sizes[day + 1] = size(store)


def size(store: facade.Store) -> int:
    """Bytes that the store takes on the disk."""
    path = store.database.place.path
    assert path is not None
    return sum(os.stat(f"{path}{end}").st_size for end in ("", "-wal") if os.path.exists(f"{path}{end}"))


def used(store: facade.Store) -> int:
    """Bytes of it that hold something: pages that retention emptied are filled again, and not given back."""
    with store.database.read() as connection:
        pages, free, page = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * page


def reading(store: facade.Store, config: Config, now: float) -> float:
    """Seconds to read all figures, the median of five."""
    taken = []
    for _ in range(5):
        begin = time.perf_counter()
        collect(store, config, now)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--runs", type=int, default=1, help="as with the other benchmarks; here one year is one run")
    parser.add_argument("--hosts", type=int, default=HOSTS, help="hosts of each run (default: %(default)s)")
    parser.add_argument("--days", type=int, default=YEAR, help="simulated days (default: %(default)s)")
    parser.add_argument("--keep-days", type=float, default=KEEP_DAYS, help="store.keep_days (default: %(default)g)")
    args = parser.parse_args()
    keep = int(args.keep_days)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = Config(None, folder)
        every = schedule.parse("daily 02:00")
        jobs = {job: replace(base.jobs["weekly"], name=job, schedule=every) for job in ("weekly", "daily")}
        config = replace(base, jobs=jobs)
        year = Year(folder, args.hosts)
        with open_store(None, folder) as store:
            for day in range(args.days):
                year.day(store, day, args.keep_days)
            now = BEGIN + args.days * DAY
            taken = reading(store, config, now)
            full = used(store)
            runs, tickets = len(store.runs(10_000)), len(store.tickets(None, limit=100_000))
    settled, last = year.sizes[min(keep + 30, args.days)], year.sizes[args.days]
    # What is kept of what came in, by the days.
    kept = year.results * min(1.0, args.keep_days / args.days)
    early, late = (statistics.median(year.recording[part]) for part in (slice(5, 35), slice(-30, None)))
    rows = [
        Row(
            f"size, day {args.days} / day {min(keep + 30, args.days)}",
            last / settled,
            1.1,
            f"{last / 1e6:.0f} MB; retention of {keep} days keeps it there ({runs} runs, {tickets} tickets)",
        ),
        Row(
            "store / results files of the days kept",
            last / kept,
            1.5,
            f"{kept / 1e6:.0f} MB; {full / 1e6:.0f} MB in use",
        ),
        Row("bytes a host and run, kB", last / max(runs, 1) / args.hosts / 1000, 2.0, f"{args.hosts} hosts"),
        Row("recording a run, at the end / at the beginning", late / early, 1.5, f"{late * 1e3:.0f} ms a run"),
        Row(
            "retention / recording, of one day",
            statistics.median(year.pruning[-30:]) / late,
            1.0,
            f"{statistics.median(year.pruning[-30:]) * 1e3:.0f} ms a day",
        ),
        Row("reading all figures, seconds", taken, 0.1, "what one scrape costs at the end of the year"),
    ]
    show("the store over a year", rows, args.json)


if __name__ == "__main__":
    main()
