# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let a plan be applied: exactly what its check run has shown, or nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import config as configuration
from ..errors import NOT_RUN, OK
from . import approvals as approvals_command
from . import run

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  upkeep approve 12                    the scheduler applies the plan of run 12 at once
  upkeep approve 12 "seen with anna"   with a reason, for the audit
  upkeep approve 12 --now              apply it here, without a scheduler

Before it is applied, it is checked once more; when the world has changed, it is not applied, and asked for again.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the check run that made the plan (see: upkeep approvals)")
    parser.add_argument("why", nargs="?", metavar="WHY", help="for the audit")
    parser.add_argument("--now", action="store_true", help="apply it here and now, rather than by the scheduler")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Approve it."""
    from .. import approval, render
    from ..store import approvals, open_store

    config = configuration.load(arguments.config)
    now = time.time()
    with open_store(config.store_url, config.home) as store, store.database.write() as connection:
        number = approval.number_of(connection, arguments.run)
        one = approval.of_run(connection, number)
        if one.state != approvals.APPROVED or not arguments.now:  # with --now, what waits for a scheduler is applied
            one = approval.approve(connection, number, run.actor(), arguments.why or "", now)
        firing = approval.firing_of(connection, one)
        at_work = approval.scheduler_at_work(connection, now)
    if arguments.now:
        return _apply(one.job, firing, arguments)
    told = "the scheduler applies it now"
    if not at_work:
        told = f"no scheduler is at work; to apply it here: upkeep approve {number} --now"
    if arguments.json:
        render.print_json({"approval": approvals_command.as_json(one, True), "scheduler": at_work})
    else:
        render.console().print(render.text(f"Approved: the plan of run {one.run} of {one.job}; {told}"))
    return OK


def _apply(job: str, firing: int, arguments: argparse.Namespace) -> int:
    from ..cli import parser_for

    words = ["run", job, "--firing", str(firing)]
    words += ["--json"] if arguments.json else []
    words += ["--config", arguments.config] if arguments.config else []
    given = parser_for("run")[0].parse_args(words)
    given.in_person = True
    code = run.execute(given)
    return NOT_RUN if code == run.PUT_OFF else code
