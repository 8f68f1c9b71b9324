# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say no to a plan: nothing of it is applied."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import config as configuration
from ..errors import OK
from . import approvals as approvals_command
from . import run

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  upkeep reject 12 "not before the fair"
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the check run that made the plan (see: upkeep approvals)")
    parser.add_argument("why", nargs="?", metavar="WHY", help="for the audit")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Reject it."""
    from .. import approval, render
    from ..store import open_store

    config = configuration.load(arguments.config)
    now = time.time()
    with open_store(config.store_url, config.home) as store, store.database.write() as connection:
        number = approval.number_of(connection, arguments.run)
        one = approval.reject(connection, number, run.actor(), arguments.why or "", now)
    if arguments.json:
        render.print_json({"approval": approvals_command.as_json(one, True)})
    else:
        render.console().print(
            render.text(f"Rejected: the plan of run {one.run} of {one.job}; nothing of it is applied")
        )
    return OK
