# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is open, with its SLA clocks; acknowledge, comment and resolve."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import config as configuration
from .. import durations, sla
from ..errors import OK, UpkeepError

if TYPE_CHECKING:
    import argparse

    from ..config import Config
    from ..store import Store, Ticket, TicketDetail

EPILOG = """\
examples:
  upkeep tickets                          what is open, most urgent first
  upkeep tickets --state all
  upkeep tickets show 12                  its hosts, evidence, remedies and history
  upkeep tickets ack 12                   I am on it: the reaction clock stops
  upkeep tickets comment 12 "disk ordered"
  upkeep tickets resolve 12 "replaced"    the next run confirms it, or reopens it

A ticket resolves itself when a run looked again and found nothing.
"""

_STATES = {"open": ("open", "acknowledged"), "resolved": ("resolved",), "all": None}
_ACTIONS = ("list", "show", "ack", "resolve", "comment")


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "action", nargs="?", choices=_ACTIONS, default="list", help="list (default), show, ack, resolve, comment"
    )
    parser.add_argument("ticket", nargs="?", metavar="N", help="the ticket's number")
    parser.add_argument("text", nargs="*", metavar="TEXT", help="a word on it, kept in its history")
    parser.add_argument("--state", choices=tuple(_STATES), default="open", help="of list: which (default: open)")
    parser.add_argument("--priority", choices=("P1", "P2", "P3"), help="of list: only these")
    parser.add_argument("--host", metavar="HOST", help="of list: only tickets about this host")
    parser.add_argument("--check", metavar="CHECK", help="of list: only tickets about this check")
    parser.add_argument("-n", "--limit", type=int, default=200, metavar="N", help="of list: how many (default 200)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """List tickets, or do something with one."""
    number = _number(arguments)
    config = configuration.load(arguments.config)
    from ..store import open_store

    with open_store(config.store_url, config.home) as store:
        if number is None:
            _list(arguments, config, store)
            return OK
        if arguments.action == "show":
            detail = store.ticket(number)
        else:
            from .run import actor

            act = {"ack": store.acknowledge, "resolve": store.resolve, "comment": store.comment}[arguments.action]
            detail = act(number, actor(), " ".join(arguments.text), time.time())
    _show(detail, arguments, config)
    return OK


def _number(arguments: argparse.Namespace) -> int | None:
    """The ticket's number; None for the list. Raises UpkeepError."""
    given = str(arguments.ticket or "").removeprefix("#")
    if arguments.action == "list" and not given:
        return None
    wrong = arguments.action == "list" or not given.isdigit() or (arguments.action == "show" and arguments.text)
    if wrong or (arguments.action == "comment" and not " ".join(arguments.text).strip()):
        found = " ".join(filter(None, [arguments.action, arguments.ticket, *arguments.text]))
        raise UpkeepError(
            "the command is not understood",
            expected="upkeep tickets, or upkeep tickets show|ack|resolve|comment N [TEXT] (a comment needs a text)",
            found=f"upkeep tickets {found}",
            remedy="upkeep tickets   (shows the numbers)",
        )
    return int(given)


def _clocks(ticket: Ticket, now: float, config: Config) -> sla.Deadlines:
    return sla.deadlines(ticket.clocks, ticket.acknowledged, ticket.resolved, now, config.sla)


def _clock(deadline: sla.Deadline) -> str:
    """ "3 h 20 min left", "2 h late", "done", "done late"."""
    if deadline.done is not None:
        return "done" if deadline.state != "breached" else f"done {durations.shown(deadline.remaining)} late"
    return f"{durations.shown(deadline.remaining)} {'left' if deadline.remaining >= 0 else 'late'}"


def _list(arguments: argparse.Namespace, config: Config, store: Store) -> None:
    tickets = store.tickets(
        _STATES[arguments.state],
        priority=arguments.priority,
        host=arguments.host,
        check=arguments.check,
        limit=max(1, arguments.limit),
    )
    from .. import render

    now = time.time()
    if arguments.json:
        render.print_json({"tickets": [{**_plain(ticket), "sla": _clocks(ticket, now, config)} for ticket in tickets]})
        return
    out = render.console()
    if not tickets:
        # Named, for a mistyped filter must not read as all is well.
        given = [
            f"{name} {value}" for name in ("priority", "host", "check") if (value := getattr(arguments, name, None))
        ]
        state = "" if arguments.state == "all" else f"{arguments.state} "
        out.print(render.text(f"No {state}tickets{' of ' if given else ''}{', '.join(given)}."))
        return
    rows = []
    for ticket in tickets:
        clocks = _clocks(ticket, now, config)
        rows.append(
            (
                render.text(f"#{ticket.number}"),
                render.text(ticket.priority),
                render.text(ticket.state),
                render.text(ticket.title),
                render.text(ticket.hosts),
                render.text(render.age(ticket.opened, now)),
                render.text(_clock(clocks.react), render.COLOURS[clocks.react.state]),
                render.text(_clock(clocks.solve), render.COLOURS[clocks.solve.state]),
            )
        )
    out.print(render.table(("ticket", "priority", "state", "about", "hosts", "age", "react", "solve"), rows, wide=3))
    if len(tickets) == arguments.limit:
        out.print(render.text(f"… there may be more: --limit {arguments.limit * 5}"))


def _show(detail: TicketDetail, arguments: argparse.Namespace, config: Config) -> None:
    from .. import render

    ticket, now = detail.ticket, time.time()
    clocks = _clocks(ticket, now, config)
    if arguments.json:
        render.print_json({**_plain(ticket), "sla": clocks, "entries": detail.entries, "history": detail.history})
        return
    out = render.console()
    out.print(render.text(f"#{ticket.number} {ticket.title}", "bold"))
    zone = config.time_zone
    who = ticket.acknowledged_by if ticket.state == "acknowledged" else ticket.resolved_by if ticket.resolved else ""
    for name, value in (
        ("state", f"{ticket.state}{f' by {who}' if who else ''}, {ticket.priority} ({ticket.severity})"),
        ("opened", f"{render.when(ticket.opened, zone)} {zone.key}, {render.age(ticket.opened, now)} ago"),
        ("react", f"{_clock(clocks.react)} (by {render.when(clocks.react.due, zone)})"),
        ("solve", f"{_clock(clocks.solve)} (by {render.when(clocks.solve.due, zone)})"),
        ("reopened", f"{ticket.reopened} times" if ticket.reopened else ""),
        ("follows", f"#{detail.follows}" if detail.follows else ""),
        ("followed", f"by #{detail.followed_by}" if detail.followed_by else ""),
    ):
        if value:
            out.print(render.text(f"{name + ':':<10}{value}"))
    out.print()
    for entry in detail.entries:
        gone = f", gone since {render.when(entry.cleared, zone)}" if entry.cleared is not None else ""
        head = f"{entry.severity:<9}{entry.host}  {entry.subject}{gone}"
        out.print(render.text(head, render.COLOURS.get(entry.severity, "")))
        seen = f"first seen {render.when(entry.first_seen, zone)}, last {render.when(entry.last_seen, zone)}"
        for line, style in (
            (entry.summary, ""),
            *((f"  {line}", "dim") for line in entry.evidence),
            (f"→ {entry.remedy}" if entry.remedy else "", ""),
            (f"{entry.check}; {seen}", "dim"),
        ):
            if line:
                out.print(render.indented(line, 9, style))
    shown = sum(1 for entry in detail.entries if entry.cleared is None)
    if ticket.entries > shown:
        out.print(render.text(f"… and {ticket.entries - shown} more"))
    out.print()
    out.print(render.text("History", "bold"))
    for event in detail.history:
        run = f" (run {event.run})" if event.run else ""
        words = " ".join(filter(None, [event.kind, event.text]))
        out.print(render.indented(f"{render.when(event.at, zone)}  {event.actor}: {words}{run}", 2))


def _plain(ticket: Ticket) -> dict[str, object]:
    return dict(vars(ticket))
