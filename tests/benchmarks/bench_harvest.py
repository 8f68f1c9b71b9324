# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job events of 1,000 hosts through the harvest into a results file, against reading and writing the same bytes."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.upkeep.maintenance.plugins.module_utils import _findings, _results
from ansible_collections.upkeep.maintenance.plugins.module_utils._harvest import Harvest

from .measure import Contender, Row, arguments, by_turns, ratio, show

HOSTS = 1000
CHECKS = 40
"""Checks that one weekly review covers on a host, about."""
FINDINGS = 6
RUNNER = 0.001
"""Seconds of processor time that ansible-runner takes at the least to hand over an event."""


def events(hosts: int) -> Iterator[dict[str, Any]]:
    """What ansible-runner hands over in a weekly review: three events of Ansible's own for each one with a result."""
    names = [f"host{number:04}.example.com" for number in range(hosts)]
    about = {"playbook": "weekly", "play": "Review", "play_uuid": "p", "task": "Review the host", "task_uuid": "t"}
    for number, name in enumerate(names):
        base = {"uuid": f"{number:032}", "job_id": 7, "pid": 1, "created": "2026-11-22T15:00:00", "runner_ident": "r"}
        data = {**about, "task_action": "upkeep.maintenance.host_review", "host": name, "remote_addr": name}
        data["resolved_action"] = data["task_action"]
        yield {**base, "event": "runner_on_start", "counter": number, "stdout": "", "event_data": data}
        yield {**base, "event": "verbose", "counter": number, "stdout": f"ok: [{name}]", "event_data": {}}
        result = {
            "findings": findings(number),
            "coverage": coverage(),
            "not_applicable": skipped(),
            "details": "x" * 2000,
        }
        data = {**data, "res": result, "start": "2026-11-22T15:00:00", "end": "2026-11-22T15:00:09", "duration": 9.0}
        yield {**base, "event": "runner_on_ok", "counter": number, "stdout": f"ok: [{name}]", "event_data": data}
    stats = {"processed": dict.fromkeys(names, 1), "ok": dict.fromkeys(names, 1), "changed": {}, "failures": {}}
    yield {
        "event": "playbook_on_stats",
        "uuid": "s",
        "job_id": 7,
        "counter": hosts,
        "event_data": {**stats, "dark": {}},
    }


def findings(host: int) -> list[dict[str, Any]]:
    return [
        _findings.finding(
            "capacity.filesystem.filling",
            f"/srv/{number}",
            _findings.SEVERITIES[number % 5],
            f"/srv/{number} fills up in {host % 90} days",
            [f"{day} days ago: {day * 7 + host % 13} GiB of 200 GiB" for day in range(12)],
            "find what grows: du -xh --max-depth=2 /srv | sort -h | tail",
            {"days": host % 90, "used": 0.83, "device": "/dev/mapper/vg-srv"},
        )
        for number in range(FINDINGS)
    ]


def coverage() -> list[dict[str, str]]:
    return [{"check": f"patch.area{number % 5}.check{number}", "subject": "*"} for number in range(CHECKS)]


def skipped() -> list[dict[str, str]]:
    why = {"why": "there is no such device", "force": "set capacity_disks"}
    return [{"check": f"capacity.disk.check{number}", **why} for number in range(4)]


def work(kind: str, source: str, target: str) -> None:
    """One contender, a process of its own: the harvest, or only reading and writing."""
    begin = time.perf_counter()
    with Path(source).open(encoding="utf-8") as lines, Path(target).open("w", encoding="utf-8") as out:
        if kind == "plain":
            for line in lines:
                json.loads(line)
                out.write(line)
        else:
            harvest = Harvest(7)
            out.write(_results.line(_results.run_record("r", "weekly", False, 0.0)))
            for line in lines:
                for record in harvest.feed(json.loads(line)):
                    out.write(_results.line(record))
            assert len(harvest.hosts) > 1
    # Printed for a reader of a failure; what counts is measured from outside.
    print(time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    if sys.argv[1:2] == ["work"]:
        work(*sys.argv[2:5])
        return
    args = arguments(__doc__, 5)
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for hosts in (HOSTS // 10, HOSTS):
            files[hosts] = Path(folder) / f"events{hosts}"
            files[hosts].write_text("".join(json.dumps(event) + "\n" for event in events(hosts)), encoding="utf-8")
        size = files[HOSTS].stat().st_size

        def contender(name: str, *words: str | Path) -> Contender:
            command = [sys.executable, "-m", "tests.benchmarks.bench_harvest", "work", *map(str, words)]
            return Contender(name, lambda: command)

        target = Path(folder) / "out"
        plain = contender("json.loads and write", "plain", files[HOSTS], target)
        ours = contender("harvest", "harvest", files[HOSTS], target)
        few = contender(f"harvest of {HOSTS // 10} hosts", "harvest", files[HOSTS // 10], target)
        nothing = contender("plain, of nothing", "plain", "/dev/null", target)
        by_turns([plain, ours, few, nothing], args.runs)
    # Without the start of Python, which has nothing to do with the number of events. Processor time: others who are at
    # work on the machine do not count in it, and there is nothing to wait for.
    start = nothing.median("cpu")
    seconds = {one.name: one.median("cpu") - start for one in (plain, ours, few)}
    rate = (3 * HOSTS + 1) / seconds[ours.name]
    rows = [
        Row(
            "harvest / reading and writing",
            seconds[ours.name] / seconds[plain.name],
            10.0,
            f"{rate:.0f} events/s, {size / seconds[ours.name] / 1e6:.1f} MB/s of {size / 1e6:.0f} MB; "
            f"{seconds[ours.name] / HOSTS * 1e3:.2f} ms a host",
        ),
        Row(
            "harvest / ansible-runner, which makes the events",
            seconds[ours.name] / (3 * HOSTS * RUNNER),
            0.5,
            f"{RUNNER * 1e3:g} ms of CPU an event, as was measured with 2.4.3",
        ),
        Row(
            "peak memory / reading and writing",
            ratio(ours, plain, "peak"),
            1.5,
            f"{ours.median('peak') / 2**20:.0f} MiB",
        ),
        Row(f"peak memory, {HOSTS} / {HOSTS // 10} hosts", ratio(ours, few, "peak"), 1.1, "with hosts, not events"),
        Row(f"time a host, {HOSTS} / {HOSTS // 10} hosts", seconds[ours.name] / seconds[few.name] / 10, 1.2, "linear"),
    ]
    show("harvest of job events", rows, args.json)


if __name__ == "__main__":
    main()
