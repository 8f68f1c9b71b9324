# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ran, and how it went; ask a run to end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import config as configuration
from .. import durations
from ..cli import positive
from ..errors import OK
from ..running import lost
from ..store.model import RUNNING

if TYPE_CHECKING:
    import argparse

    from ..config import Config
    from ..store import Run, Store

EPILOG = """\
examples:
  upkeep runs                 the last 20, newest first
  upkeep runs --job weekly
  upkeep runs show 17         its hosts, its findings and where its artifacts are
  upkeep runs cancel 17       ask it to end, on whichever machine it is at work; its processes are ended in order
"""


ENDS_WITHIN = 15.0
"""Seconds for which the end of a cancelled run is waited for: it looks every two, and its processes have three."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "action", nargs="?", choices=("list", "show", "cancel"), default="list", help="list (default), show or cancel"
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="of show and cancel: its number, or its id")
    parser.add_argument("--job", metavar="NAME", help="of list: only runs of this job")
    parser.add_argument("-n", "--limit", type=positive, default=20, metavar="N", help="of list: how many (default 20)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """List the runs, show one, or ask one to end."""
    if (arguments.action == "list") != (arguments.run is None):
        from ..errors import UpkeepError

        raise UpkeepError(
            "the command is not understood",
            expected="upkeep runs show RUN, upkeep runs cancel RUN, or upkeep runs",
            found=f"{arguments.action} {arguments.run or 'without a run'}",
            remedy="upkeep runs   (shows the numbers)",
        )
    config = configuration.load(arguments.config)
    from ..store import open_store

    with open_store(config.store_url, config.home) as store:
        lost.clear_up(store, config.home)
        if arguments.action == "show":
            _show(arguments.run, arguments.json, config, store)
        elif arguments.action == "cancel":
            _cancel(arguments.run, arguments.json, store)
        else:
            _list(arguments, config, store)
    return OK


def _list(arguments: argparse.Namespace, config: Config, store: Store) -> None:
    from .. import render

    runs = store.runs(arguments.limit, job=arguments.job)
    if arguments.json:
        render.print_json({"runs": runs})
        return
    out = render.console()
    if not runs:
        nothing = (
            f"No runs of the job {arguments.job}." if arguments.job else "No runs yet. Start one: upkeep run weekly"
        )
        out.print(render.text(nothing))
        return
    rows = [
        (
            render.text(run.number),
            render.text(render.when(run.started, config.time_zone)),
            render.text(run.job or run.playbook),
            render.text(run.state + (" (check)" if run.check_mode else ""), render.COLOURS.get(run.state, "")),
            render.text(_took(run)),
            render.text(render.hosts_line(run.hosts).removeprefix("hosts: ") or "-"),
            render.text(_counts(run) or "-"),
        )
        for run in runs
    ]
    out.print(render.table(("run", "started", "job", "state", "took", "hosts", "findings"), rows, wide=6, least=14))
    out.print(render.text(f"Times: {config.time_zone.key}. One of them: upkeep runs show RUN", "dim"))


def _show(which: str, as_json: bool, config: Config, store: Store) -> None:
    from .. import render

    detail = store.run(int(which) if which.isdigit() else which)
    run = detail.run
    if as_json:
        document = {
            "run": run,
            "hosts": detail.hosts,
            "findings": detail.findings,
            "proofs": detail.proofs,
            "plans": detail.plans,
            "plans_total": detail.plans_total,
        }
        render.print_json(document)
        return
    out = render.console()
    for name, value in (
        ("run", f"{run.number} ({run.id})"),
        ("of", " ".join(filter(None, [run.job, run.playbook, "in check mode" if run.check_mode else ""]))),
        ("state", " - ".join(filter(None, [run.state, run.message]))),
        (
            "started",
            f"{render.when(run.started, config.time_zone)} {config.time_zone.key}, by {run.actor or 'unknown'}",
        ),
        ("took", _took(run) + (" so far" if run.state == RUNNING else "")),
        ("artifacts", run.artifacts or "none"),
    ):
        out.print(render.text(f"{name + ':':<11}{value}"), soft_wrap=True)
    out.print()
    if detail.hosts:
        rows = [
            tuple(render.text(value) for value in (host.host, host.state, host.ok, host.changed, host.failed))
            for host in detail.hosts
        ]
        out.print(render.table(("host", "state", "tasks ok", "changed", "failed"), rows))
        out.print()
    render.show_plans(out, detail.plans, detail.plans_total)
    render.show_findings(out, detail.findings, run.counts)
    if any(detail.proofs.values()):
        out.print(render.text(f"Proofs: {render.proofs_line(detail.proofs)}: upkeep proofs --run {run.number}"))


def _cancel(which: str, as_json: bool, store: Store) -> None:
    from .. import render
    from .run import actor

    run = store.cancel(int(which) if which.isdigit() else which, actor(), time.time())
    deadline = time.monotonic() + ENDS_WITHIN
    while run.state == RUNNING and time.monotonic() < deadline:
        time.sleep(0.5)
        run = store.run(run.number, 0).run
    if as_json:
        render.print_json({"run": run})
    elif run.state == RUNNING:
        print(f"Run {run.number} is asked to end; it has not yet: upkeep runs show {run.number}")
    else:
        print(f"Run {run.number}: {run.state}{': ' if run.message else ''}{run.message}")


def _took(run: Run) -> str:
    if run.state == RUNNING:
        return durations.shown(time.time() - run.started)
    if run.finished is None:
        return "-"  # cut off, nobody knows when
    seconds = run.finished - run.started
    return f"{seconds:.0f} s" if seconds < 120 else durations.shown(seconds)


def _counts(run: Run) -> str:
    return ", ".join(f"{number} {severity}" for severity, number in run.counts.items() if number)
