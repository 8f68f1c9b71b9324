# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits for approval, and what became of earlier plans; one plan with its differences."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .. import config as configuration
from .. import moments
from ..errors import OK

if TYPE_CHECKING:
    import argparse

    from ..config import Config
    from ..store.approvals import Approval

EPILOG = """\
examples:
  upkeep approvals          what waits for a person's word
  upkeep approvals --all    and what became of earlier ones
  upkeep approvals 12       the plan of run 12: host, task, difference
  upkeep approve 12         apply it; upkeep reject 12: do not

A job with `approve: true` in upkeep.yml runs in check mode first; its plan waits until its window ends.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="the check run whose plan is to be shown")
    parser.add_argument("--all", action="store_true", help="also those that wait no more, the newest 50")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """List the plans, or show one."""
    from .. import approval, render
    from ..store import approvals, open_store

    config = configuration.load(arguments.config)
    now = time.time()
    with open_store(config.store_url, config.home) as store, store.database.read() as connection:
        if arguments.run:
            found = [approval.of_run(connection, approval.number_of(connection, arguments.run))]
        elif arguments.all:
            found = approvals.newest(connection, 50)
        else:
            found = [one for one in approvals.in_state(connection, approvals.ASKED) if one.until > now]
    if arguments.json:
        render.print_json({"approvals": [as_json(one, bool(arguments.run)) for one in found]})
    elif arguments.run:
        show(found[0], config, now)
    else:
        _list(found, config, now, arguments.all)
    return OK


def as_json(approval: Approval, whole: bool) -> dict[str, Any]:
    """A plan for a JSON document; its changes only when it is shown by itself."""
    document = dict(vars(approval))
    if not whole:
        document["plan"] = {key: value for key, value in approval.plan.items() if key != "changes"}
    return document


def show(one: Approval, config: Config, now: float) -> None:
    """One plan, with its differences."""
    from .. import approval, render

    out = render.console()
    zone = config.zone_of(config.jobs[one.job]) if one.job in config.jobs else config.time_zone
    state = "expired" if one.state == "asked" and one.until <= now else one.state
    head = f"{one.job}, run {one.run}: would change {approval.summary(one)} ({state})"
    out.print(render.text(head, "bold"))
    for line in approval.lines(one, diffs=True):
        style = "green" if line.startswith("    +") else "red" if line.startswith("    -") else ""
        out.print(render.indented(line.strip(), 4, style) if line.startswith("    ") else render.text(line))
    if state == "asked":
        until = moments.full(one.until, zone)
        out.print(render.text(f"Waits until {until}. To apply it: upkeep approve {one.run}", "dim"))
    elif one.answered_by or one.why:
        by = f" by {one.answered_by}" if one.answered_by else ""
        run = f", run {one.applied_by_run}" if one.applied_by_run else ""
        out.print(render.text(f"{state}{by}{run}" + (f": {one.why}" if one.why else ""), "dim"))


def _list(found: list[Approval], config: Config, now: float, everything: bool) -> None:
    from .. import approval, render

    out = render.console()
    if not found:
        out.print(render.text("There was never a plan." if everything else "Nothing waits for approval."))
        return
    rows = []
    for one in found:
        zone = config.zone_of(config.jobs[one.job]) if one.job in config.jobs else config.time_zone
        waits = one.state == "asked" and one.until > now
        state = f"until {moments.full(one.until, zone)}" if waits else one.state
        cells = (str(one.run), one.job, approval.summary(one), state, one.answered_by or "-")
        rows.append([render.text(cell, "bold" if place == 0 else "") for place, cell in enumerate(cells)])
    out.print(render.table(("run", "job", "would change", "waits", "answered by"), rows, wide=2))
    out.print(render.text("One with its differences: upkeep approvals RUN", "dim"))
