# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was kept of the promises to react and to solve, and what was missed; what is late just now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import config as configuration
from .. import durations
from ..errors import NOT_RUN, OK, UpkeepError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from rich.text import Text
    from sqlalchemy import Connection

    from ..config import Config
    from ..sla_report import Promise, Report
    from ..store import Ticket

EPILOG = """\
examples:
  upkeep sla                      the last 30 days, by priority
  upkeep sla --since 90d --by area
  upkeep sla --since 2026-10-01 --by group --json
  upkeep sla --by host

A promise counts when it was kept or missed in that time, or still runs; what is late already is missed. Times are those
that the clock counts: business hours where only these count, without the time in which a ticket waited for others.
A ticket that was resolved by a word while the fault was still there goes on where it stood.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "--since", metavar="WHEN", default="30d", help="a time ago (30d, the default), or a date (2026-10-01)"
    )
    parser.add_argument(
        "--by", choices=("area", "group", "host"), help="beside priority: area of the checks, group of hosts, or host"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Show the report."""
    from .audit import moment

    config = configuration.load(arguments.config)
    now = time.time()
    since = moment(arguments.since, now, config, "--since")
    from .. import render, sla_report
    from ..store import open_store, tickets

    with open_store(config.store_url, config.home) as store, store.database.read() as connection:
        found = tickets.since(connection, since)
        names = _names(arguments.by, config, connection, found)
    made = sla_report.report(found, since, now, config.sla, names)
    if arguments.json:
        render.print_json(made)
    else:
        _show(made, arguments.by or "", config)
    return OK


def _names(
    by: str | None, config: Config, connection: Connection, found: Sequence[Ticket]
) -> Callable[[Ticket], Sequence[str]] | None:
    """By what the tickets are grouped. Raises UpkeepError when the inventory cannot be read."""
    from .. import sla_report
    from ..store import tickets

    if by is None:
        return None
    if by == "area":
        return lambda ticket: [sla_report.area_of(ticket)]
    hosts = tickets.hosts_of(connection, [ticket.number for ticket in found])
    if by == "host":
        return lambda ticket: sorted(hosts.get(ticket.number, ()))
    from ..notify.groups import groups_of_hosts

    groups = groups_of_hosts(config)
    if groups is None:
        raise UpkeepError(
            "the groups of the hosts are not known",
            expected="an inventory that ansible-inventory can read",
            found="one that it cannot read",
            remedy="upkeep doctor   (says what is wrong with it); or --by host",
            exit_code=NOT_RUN,
        )
    none = frozenset({"(no group)"})

    def of_groups(ticket: Ticket) -> Sequence[str]:
        return sorted({group for host in hosts.get(ticket.number, ()) for group in groups.get(host, none) or none})

    return of_groups


def _show(made: Report, by: str, config: Config) -> None:
    from .. import render

    out, zone = render.console(), config.time_zone
    out.print(render.text(f"Since {render.when(made.since, zone)} {zone.key}: {made.tickets} tickets", "bold"))
    if not made.rows:
        out.print(render.text("Nothing was promised in that time."))
        return
    rows = []
    for row in made.rows:
        part = "-" if row.part_kept is None else f"{row.part_kept * 100:.0f} %"
        colour = "" if row.part_kept is None else "green" if row.missed == 0 else "yellow"
        rows.append(
            (
                *([render.text(row.name)] if by else []),
                render.text(row.priority),
                render.text(row.clock),
                render.text(durations.shown(row.promised)),
                render.text(part, colour),
                render.text(row.kept),
                render.text(row.missed, "red" if row.missed else ""),
                render.text(row.runs),
                render.text("-" if row.median is None else durations.shown(row.median)),
                render.text(f"{durations.shown(row.worst)} late" if row.worst else "-"),
            )
        )
    heads = ("priority", "to", "within", "in time", "kept", "missed", "runs", "median", "worst")
    out.print(render.table((*([by] if by else []), *heads), rows))
    for title, some in (("Late now", made.open_breaches), ("The worst", made.worst)):
        if some:
            out.print()
            out.print(render.text(title, "bold"))
            listed = [_named(one) for one in some]
            out.print(render.table(("ticket", "priority", "to", "late", "about"), listed, wide=4))


def _named(one: Promise) -> tuple[Text, ...]:
    from .. import render

    late = durations.shown(one.late) + (", waits" if one.waits else "")
    return tuple(render.text(value) for value in (f"#{one.ticket}", one.priority, one.clock, late, one.title))
