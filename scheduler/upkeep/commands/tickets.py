# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is open, with its SLA clocks; acknowledge, assign, comment, let wait, resolve; what was learned from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import config as configuration
from .. import durations, sla
from ..cli import positive
from ..errors import OK, UpkeepError
from ..store.model import RESOLVED, UNRESOLVED, UPKEEP, WAITING

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from ..config import Config
    from ..store import Store, Ticket, TicketDetail

EPILOG = """\
examples:
  upkeep tickets                          what is open, most urgent first
  upkeep tickets --state all
  upkeep tickets --assignee ann           whose they are; "" for nobody's
  upkeep tickets show 12                  its hosts, evidence, remedies and history; what earlier ones taught
  upkeep tickets ack 12                   I am on it: the reaction clock stops
  upkeep tickets assign 12 ann            whose it is; without a name: mine; "nobody": nobody's
  upkeep tickets comment 12 "disk ordered"
  upkeep tickets wait 12 "the disk comes on Friday"     seen, and waits for somebody else: both clocks stand still ...
  upkeep tickets continue 12                            ... and run again
  upkeep tickets workaround 12 "logs go to /mnt/spare"  what makes it bearable until it is solved
  upkeep tickets resolve 12 "replaced"    the next run confirms it, or reopens it
  upkeep tickets resolve 12 "replaced" --cause "old firmware" --prevent "firmware is part of the monthly"
  upkeep tickets cause 12 "old firmware"  why it came; prevent: how not to repeat it. The next such ticket shows both
  upkeep tickets reopen 12 "still slow"
  upkeep tickets postmortem 12 > 12.md    a draft: what happened when, the evidence with its digests, what was learned

A ticket resolves itself when a run looked again and found nothing.
"""

_STATES = {
    "open": UNRESOLVED,
    "waiting": (WAITING,),
    "resolved": (RESOLVED,),
    "all": None,
}
_LESSONS = {"workaround": "workaround", "cause": "root_cause", "prevent": "prevention"}
_ACTIONS = (
    "list",
    "show",
    "ack",
    "assign",
    "comment",
    "wait",
    "continue",
    *_LESSONS,
    "resolve",
    "reopen",
    "postmortem",
)
_NEED_TEXT = {
    "comment": ("a text", "disk ordered"),
    # It stops both clocks: whoever reads the report of what was kept must see why.
    "wait": ("a reason, as it stops the clocks", "the disk comes on Friday"),
    "workaround": ("a text", "logs go to /mnt/spare"),
    "cause": ("a text", "old firmware"),
    "prevent": ("a text", "firmware is part of the monthly"),
}
_WITHOUT_TEXT = ("show", "postmortem")


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=_ACTIONS,
        default="list",
        metavar="ACTION",
        help="list (default), show, ack, assign, comment, wait, continue, workaround, cause, prevent, resolve, reopen, "
        "postmortem",
    )
    parser.add_argument("ticket", nargs="?", metavar="N", help="the ticket's number")
    parser.add_argument("text", nargs="*", metavar="TEXT", help="a word on it, kept in its history; of assign: a name")
    parser.add_argument("--cause", metavar="TEXT", default="", help="of resolve: why it came")
    parser.add_argument("--prevent", metavar="TEXT", default="", help="of resolve: how not to repeat it")
    parser.add_argument("--state", choices=tuple(_STATES), default="open", help="of list: which (default: open)")
    parser.add_argument("--priority", choices=("P1", "P2", "P3"), help="of list: only these")
    parser.add_argument("--host", metavar="HOST", help="of list: only tickets about this host")
    parser.add_argument("--check", metavar="CHECK", help="of list: only tickets about this check")
    parser.add_argument("--assignee", metavar="NAME", help="of list: only this one's tickets")
    parser.add_argument(
        "-n", "--limit", type=positive, default=200, metavar="N", help="of list: how many (default 200)"
    )
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
        if arguments.action == "postmortem":
            _postmortem(number, arguments, config, store)
            return OK
        now = time.time()
        detail = store.ticket(number) if arguments.action == "show" else _act(number, arguments, store, now)
    if arguments.action == "show" or arguments.json:
        _show(detail, arguments, config)
    else:
        _tell(detail, arguments, config, now)
    return OK


def _act(number: int, arguments: argparse.Namespace, store: Store, now: float) -> TicketDetail:
    """Do what a person wants done."""
    from .run import actor

    who, text = actor(), " ".join(arguments.text)
    match arguments.action:
        case "assign":
            return store.assign(number, who, {"": who, "me": who, "nobody": ""}.get(text, text), now)
        case "resolve":
            return store.resolve(number, who, text, now, cause=arguments.cause, prevention=arguments.prevent)
        case "workaround" | "cause" | "prevent" as lesson:
            return store.learn(number, who, _LESSONS[lesson], text, now)
    acts = {
        "ack": store.acknowledge,
        "comment": store.comment,
        "wait": store.wait,
        "continue": store.go_on,
        "reopen": store.reopen,
    }
    return acts[arguments.action](number, who, text, now)


_DONE = {
    "ack": "acknowledged",
    "comment": "comment added",
    "wait": "waits",
    "continue": "goes on",
    "workaround": "workaround noted",
    "cause": "cause noted",
    "prevent": "prevention noted",
    "resolve": "resolved",
    "reopen": "reopened",
}


def _tell(detail: TicketDetail, arguments: argparse.Namespace, config: Config, now: float) -> None:
    """One line: what was done, and what the ticket is now; and what a person should be asked for."""
    from .. import render

    ticket, clocks = detail.ticket, sla.of_ticket(detail.ticket, now, config.sla)
    done = _DONE.get(arguments.action) or f"given to {ticket.assignee or 'nobody'}"
    if not any(event.at == now for event in detail.history):
        done = "nothing to do"  # it was so already
    told = [f"{_state(ticket)}, {ticket.priority}", f"whose: {ticket.assignee}" if ticket.assignee else ""]
    if ticket.state != RESOLVED:
        still = " (its clocks stand still)" if ticket.state == WAITING else ""
        told += [f"react {_clock(clocks.react)}", f"solve {_clock(clocks.solve)}{still}"]
    out = render.console()
    then = " The next run confirms it, or reopens it." if arguments.action == "resolve" else ""
    out.print(render.text(f"#{ticket.number}: {done}. Now {', '.join(filter(None, told))}.{then}"))
    for hint in hints(ticket):
        out.print(render.text(hint, "yellow"))


def _state(ticket: Ticket) -> str:
    """ "acknowledged by ann"."""
    who = ticket.acknowledged_by if ticket.state == "acknowledged" else ticket.resolved_by if ticket.resolved else ""
    return f"{ticket.state}{f' by {who}' if who else ''}"


def _number(arguments: argparse.Namespace) -> int | None:
    """The ticket's number; None for the list. Raises UpkeepError."""
    given = str(arguments.ticket or "").removeprefix("#")
    action, has_text = arguments.action, bool(" ".join(arguments.text).strip())
    learned = bool(arguments.cause or arguments.prevent)
    if action == "list" and not given and not learned:
        return None
    wrong = action == "list" or not (given.isascii() and given.isdigit()) or len(given) > 9
    if not wrong and action in _NEED_TEXT and not has_text:
        what, example = _NEED_TEXT[action]
        raise UpkeepError(
            f"{action} needs {what}",
            expected=f"upkeep tickets {action} {given} TEXT",
            found="no text",
            remedy=f'as: upkeep tickets {action} {given} "{example}"',
        )
    wrong = wrong or (action in _WITHOUT_TEXT and has_text)
    if wrong or (learned and action != "resolve"):
        found = " ".join(filter(None, [action, arguments.ticket, *arguments.text]))
        raise UpkeepError(
            "the command is not understood",
            expected="upkeep tickets, or upkeep tickets show|ack|resolve|comment N [TEXT], or "
            "assign|wait|continue|workaround|cause|prevent|reopen|postmortem; --cause and --prevent belong to resolve",
            found=f"upkeep tickets {found}",
            remedy="upkeep tickets   (shows the numbers)",
        )
    return int(given)


def _clock(deadline: sla.Deadline) -> str:
    """ "3 h 20 min left", "2 h late", "done", "done late"."""
    if deadline.done is not None:
        return "done" if deadline.state != "breached" else f"done {durations.shown(deadline.remaining)} late"
    return f"{durations.shown(deadline.remaining)} {'left' if deadline.remaining >= 0 else 'late'}"


def hints(ticket: Ticket) -> list[str]:
    """What a person should be asked for; nothing of it is an obstacle."""
    number = ticket.number
    if ticket.priority != "P1":
        return []
    if ticket.state != RESOLVED:
        if ticket.workaround:
            return []
        return [f"Critical: first a workaround. What makes it bearable now? upkeep tickets workaround {number} TEXT"]
    if ticket.resolved_by == UPKEEP:
        return []
    return [
        f"{question} upkeep tickets {word} {number} TEXT"
        for word, question, said in (
            ("cause", "Why did it come?", ticket.root_cause),
            ("prevent", "How is it not to happen again?", ticket.prevention),
        )
        if not said
    ]


def _list(arguments: argparse.Namespace, config: Config, store: Store) -> None:
    tickets = store.tickets(
        _STATES[arguments.state],
        priority=arguments.priority,
        host=arguments.host,
        check=arguments.check,
        assignee=arguments.assignee,
        limit=arguments.limit,
    )
    from .. import render

    now = time.time()
    if arguments.json:
        render.print_json(
            {"tickets": [{**_plain(ticket), "sla": sla.of_ticket(ticket, now, config.sla)} for ticket in tickets]}
        )
        return
    out = render.console()
    if not tickets:
        # Named, for a mistyped filter must not read as all is well.
        given = [
            f"{name} {value or 'nobody'}"
            for name in ("priority", "host", "check", "assignee")
            if (value := getattr(arguments, name, None)) is not None
        ]
        state = "" if arguments.state == "all" else f"{arguments.state} "
        out.print(render.text(f"No {state}tickets{' of ' if given else ''}{', '.join(given)}."))
        return
    rows = []
    given_to = any(ticket.assignee for ticket in tickets)
    for ticket in tickets:
        clocks = sla.of_ticket(ticket, now, config.sla)
        rows.append(
            (
                render.text(f"#{ticket.number}"),
                render.text(ticket.priority),
                render.text(ticket.state),
                render.text(ticket.title),
                render.text(ticket.hosts),
                *([render.text(ticket.assignee or "-")] if given_to else []),
                render.text(render.age(ticket.opened, now)),
                render.text(_clock(clocks.react), render.COLOURS[clocks.react.state]),
                render.text(_clock(clocks.solve), render.COLOURS[clocks.solve.state]),
            )
        )
    heads = ("ticket", "priority", "state", "about", "hosts", *(["whose"] if given_to else []), "age", "react", "solve")
    out.print(render.table(heads, rows, wide=3))
    if len(tickets) == arguments.limit:
        out.print(render.text(f"… there may be more: --limit {arguments.limit * 5}"))


def _show(detail: TicketDetail, arguments: argparse.Namespace, config: Config) -> None:
    from .. import render

    ticket, now = detail.ticket, time.time()
    clocks = sla.of_ticket(ticket, now, config.sla)
    if arguments.json:
        more = {"entries": detail.entries, "history": detail.history, "learned": detail.learned}
        more |= {"images": detail.images, "proofs": detail.proofs}
        render.print_json({**_plain(ticket), "sla": clocks, **more, "hints": hints(ticket)})
        return
    out = render.console()
    out.print(render.text(f"#{ticket.number} {ticket.title}", "bold"))
    zone = config.time_zone

    def by(deadline: sla.Deadline) -> str:
        stands = ticket.state == WAITING and deadline.done is None
        return "stands still" if stands else f"by {render.when(deadline.due, zone)}"

    pause = ticket.pauses[-1] if ticket.state == WAITING else None
    waits = f"since {render.when(pause.since, zone)}{': ' if pause.why else ''}{pause.why}" if pause else ""
    for name, value in (
        ("state", f"{_state(ticket)}, {ticket.priority} ({ticket.severity})"),
        ("whose", ticket.assignee),
        ("waits", waits),
        ("opened", f"{render.when(ticket.opened, zone)} {zone.key}, {render.age(ticket.opened, now)} ago"),
        ("react", f"{_clock(clocks.react)} ({by(clocks.react)})"),
        ("solve", f"{_clock(clocks.solve)} ({by(clocks.solve)})"),
        ("reopened", f"{ticket.reopened} times" if ticket.reopened else ""),
        ("follows", f"#{detail.follows}" if detail.follows else ""),
        ("followed", f"by #{detail.followed_by}" if detail.followed_by else ""),
        *(("mirrored", f"{one.system} {one.shown}, {one.state} there {one.url}".rstrip()) for one in detail.images),
    ):
        if value:
            out.print(render.text(f"{name + ':':<10}{value}"))
    _lessons(out, ticket.workaround, ticket.root_cause, ticket.prevention)
    for hint in hints(ticket):
        out.print(render.text(hint, "yellow"))
    # What is to be done stands before what was seen: once, where it is the same on all hosts.
    remedies = list(dict.fromkeys(entry.remedy for entry in detail.entries if entry.cleared is None and entry.remedy))
    if len(remedies) == 1:
        out.print(render.text(f"{'to do:':<10}{remedies[0]}", "bold"))
    out.print()
    for lesson in detail.learned:
        ended = f", resolved {render.when(lesson.resolved, zone)} by {lesson.resolved_by}" if lesson.resolved else ""
        out.print(render.text(f"Learned from #{lesson.number} ({lesson.cause}{ended})", "bold"))
        _lessons(out, lesson.workaround, lesson.root_cause, lesson.prevention)
        out.print()
    for entry in detail.entries:
        gone = f", gone since {render.when(entry.cleared, zone)}" if entry.cleared is not None else ""
        head = f"{entry.severity:<9}{entry.host}  {entry.subject}{gone}"
        out.print(render.text(head, render.COLOURS.get(entry.severity, "")))
        seen = f"first seen {render.when(entry.first_seen, zone)}, last {render.when(entry.last_seen, zone)}"
        for line, style in (
            (entry.summary, ""),
            (f"→ {entry.remedy}" if entry.remedy and [entry.remedy] != remedies else "", ""),
            *((f"  {line}", "dim") for line in entry.evidence),
            (f"{entry.check}; {seen}", "dim"),
        ):
            if line:
                out.print(render.indented(line, 9, style))
    shown = sum(1 for entry in detail.entries if entry.cleared is None)
    if ticket.entries > shown:
        out.print(render.text(f"… and {ticket.entries - shown} more"))
    if detail.proofs:
        out.print()
        out.print(render.text("Tested last", "bold"))
    for proof in detail.proofs:
        about = f"{render.when(proof.started, zone)}  {proof.outcome}: {proof.host}  {proof.subject}: {proof.summary}"
        out.print(render.indented(f"{about} (upkeep proofs show {proof.number})", 2))
    out.print()
    out.print(render.text("History", "bold"))
    for event in detail.history:
        run = f" (run {event.run})" if event.run else ""
        words = " ".join(filter(None, [event.kind, event.text]))
        out.print(render.indented(f"{render.when(event.at, zone)}  {event.actor}: {words}{run}", 2))


def _lessons(out: Console, workaround: str, root_cause: str, prevention: str) -> None:
    from .. import render

    for name, said in (("workaround", workaround), ("cause", root_cause), ("prevention", prevention)):
        for place, line in enumerate(said.splitlines()):
            out.print(render.text(f"{name + ':' if place == 0 else '':<12}{line}"))


def _postmortem(number: int, arguments: argparse.Namespace, config: Config, store: Store) -> None:
    import sys

    from .. import postmortem, render

    detail = store.ticket(number, entries=postmortem.ENTRIES)
    runs = {line.run for line in detail.history if line.run is not None}
    draft = postmortem.draft(
        detail, postmortem.results_of(store, sorted(runs)), config.sla, config.time_zone, time.time()
    )
    if arguments.json:
        render.print_json({"ticket": number, "markdown": draft})
    else:
        sys.stdout.write(draft)


def _plain(ticket: Ticket) -> dict[str, object]:
    return dict(vars(ticket))
