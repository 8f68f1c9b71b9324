# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the results file of a plain ansible-playbook run into tickets; a file is recorded once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import config as configuration

if TYPE_CHECKING:
    import argparse

    from ..record import Recorded
    from ..store import Store

EPILOG = """\
examples:
  UPKEEP_RESULTS_FILE=results.jsonl ansible-playbook upkeep.maintenance.weekly -i hosts.yml
  upkeep record results.jsonl

`upkeep run` does this by itself. When the store failed it then, this command does it later.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="a results file")
    parser.add_argument("--job", metavar="NAME", help="the job that the run belongs to, for upkeep runs")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Record it; the exit code is that of the run."""
    config = configuration.load(arguments.config)
    from .. import record, render
    from ..running import lost
    from ..store import open_store

    with open_store(config.store_url, config.home) as store:
        store.check_writable()
        lost.clear_up(store, config.home)  # the file may be that of a run that was killed
        recorded = record.record_file(store, Path(arguments.file), config.policy, time.time(), arguments.job)
        if not recorded.already:
            _write_down(store, recorded)
    if arguments.json:
        render.print_json(render.recorded_as_json(recorded))
        return recorded.exit_code
    out = render.console()
    if recorded.already:
        out.print(
            render.text(f"This file was recorded before, as run {recorded.run.number}; nothing was changed.", "bold")
        )
    render.show_recorded(out, recorded)
    out.print(render.text(f"Run {recorded.run.number}: {recorded.run.state}; {render.hosts_line(recorded.run.hosts)}"))
    return recorded.exit_code


def _write_down(store: Store, recorded: Recorded) -> None:
    """Into the audit: who brought results that Upkeep did not see itself."""
    from ..store import audit
    from .run import actor

    run = recorded.run
    detail = {"playbook": run.playbook, "id": run.id, "tickets": len(recorded.changes)}
    with store.database.write() as connection:
        audit.write(connection, actor(), "run.recorded", f"run {run.number}", detail, time.time())
