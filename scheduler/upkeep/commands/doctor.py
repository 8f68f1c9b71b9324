# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this set-up right, and what is missing: on this machine, and on the hosts of the inventory."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import checkup
from ..errors import FINDINGS, HOSTS_FAILED, OK

if TYPE_CHECKING:
    import argparse

    from ..checkup import Row

EPILOG = """\
examples:
  upkeep doctor                    this machine, and the configured inventory
  upkeep doctor -i hosts.yml
  upkeep doctor --no-hosts         only this machine

Only the hosts are asked over the network. To ask a ticket system: upkeep ticket-systems probe NAME; to try a channel of
notify: upkeep notify test NAME.

exit codes: 0 nothing is missing, 1 something is, 3 a host could not be reached, 2 and 4 as everywhere.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "-i",
        "--inventory",
        action="append",
        default=[],
        metavar="INVENTORY",
        help="instead of the configured one; repeatable",
    )
    parser.add_argument("--no-hosts", action="store_true", help="only look at this machine")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Look, and show a table; the exit code tells whether something is missing."""
    from .. import inventory, render

    if arguments.inventory:
        inventory.check_sources(arguments.inventory)
    rows, config = checkup.controller(arguments.config)
    # With a configuration that cannot be read, nobody knows which hosts are meant.
    if config is not None and not arguments.no_hosts:
        sources = config.inventory_of(None, tuple(arguments.inventory))
        with render.Progress("doctor") as progress:
            rows += checkup.hosts(config, sources, progress.watch)
    code = _exit_code(rows)
    if arguments.json:
        render.print_json({"rows": rows, "exit_code": code})
        return code
    out = render.console()
    out.print(
        render.table(
            ("", "where", "what", "found → to do", "needed for"),
            [
                (
                    render.text(row.state),
                    render.text(row.where),
                    render.text(row.item),
                    render.with_remedy(row.found, row.remedy),
                    render.text(row.area, "dim"),
                )
                for row in _shortened(rows)
            ],
            wide=3,
        )
    )
    out.print()
    out.print(render.text(_conclusion(rows), "bold"))
    return code


def _conclusion(rows: list[Row]) -> str:
    """The last line: whoever reads only that must not take hints for nothing."""
    from .. import render

    missing, hints = (sum(1 for row in rows if row.state == state) for state in (checkup.MISSING, checkup.HINT))
    said = f"{render.count(missing, 'thing')} missing" if missing else "Nothing is missing"
    if hints:
        said += f"; {render.count(hints, 'hint')} above, of what works less, or not yet"
    return said


def _shortened(rows: list[Row]) -> list[Row]:
    """A host on which nothing is missing takes one line."""
    shown: list[Row] = []
    for where, group in itertools.groupby(rows, key=lambda row: row.where):
        of_host = list(group)
        if where == "controller" or any(row.state != checkup.OK for row in of_host):
            shown += of_host if where == "controller" else [row for row in of_host if row.state != checkup.OK]
        else:
            found = "; ".join(f"{row.item}: {row.found}" for row in of_host)
            shown.append(replace(of_host[0], item="all", found=found))
    return shown


def _exit_code(rows: list[Row]) -> int:
    if any(row.unreachable for row in rows):
        return HOSTS_FAILED
    return FINDINGS if any(row.state == checkup.MISSING for row in rows) else OK
