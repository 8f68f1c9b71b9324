# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told what: the channels, a test of one, what would be sent now, and why a ticket goes where it goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .. import config as configuration
from ..errors import NOT_RUN, OK, UpkeepError

if TYPE_CHECKING:
    import argparse

    from ..config import Config
    from ..notify.settings import Settings
    from ..store import Store

EPILOG = """\
examples:
  upkeep notify                        the channels, what waits for each, and the routes in their order
  upkeep notify test duty              send a test message now, past all routes
  upkeep notify preview                what would be sent for the tickets that are open, if they came now
  upkeep notify preview duty --lang ru --format html
  upkeep notify routes 12              why ticket 12 goes where it goes, and what was told of it

What could not be delivered: upkeep outbox.
"""

_ACTIONS = ("channels", "test", "preview", "routes")


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "action", nargs="?", choices=_ACTIONS, default="channels", help="channels (default), " + ", ".join(_ACTIONS[1:])
    )
    parser.add_argument(
        "what", nargs="?", metavar="WHAT", help="of test, preview: a channel; of routes: a ticket's number"
    )
    parser.add_argument("--lang", choices=("en", "ru"), help="of test, preview: the language (default: the channel's)")
    parser.add_argument(
        "--format", choices=("text", "markdown", "html"), default="text", help="of preview: the format (default text)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Show or test the notification; exit code 4 when a test message was not delivered."""
    config = configuration.load(arguments.config)
    settings = config.notify
    if settings is None or not settings.channels:
        raise UpkeepError(
            "nobody is told anything",
            expected="notify.channels in upkeep.yml, with at least one channel",
            found="none" if config.path else "no configuration",
            remedy="see notify in docs/upkeep.example.yml",
        )
    if arguments.action == "test":
        return _test(arguments, config, settings)
    from ..store import open_store

    with open_store(config.store_url, config.home) as store:
        if arguments.action == "preview":
            return _preview(arguments, config, settings, store)
        if arguments.action == "routes":
            return _routes(arguments, config, settings, store)
        return _channels(arguments, settings, store)


def _channel(settings: Settings, name: str | None, usage: str) -> str:
    if name is None or name not in settings.channels:
        import difflib

        near = difflib.get_close_matches(name or "", settings.channels, 1)
        raise UpkeepError(
            f"there is no channel {name}" if name else "no channel is named",
            expected=f"{usage}, with one of {', '.join(settings.channels)}",
            found=name or "none",
            remedy=f"did you mean {near[0]}?" if near else "upkeep notify   (shows the channels)",
        )
    return name


# --- test -------------------------------------------------------------------------------------------------------------


def _test(arguments: argparse.Namespace, config: Config, settings: Settings) -> int:
    import os

    from ..outbox import Held, Later, Refused
    from .run import actor

    name = _channel(settings, arguments.what, "upkeep notify test CHANNEL")
    channel = settings.channels[name]
    from ..notify import senders

    now = time.time()
    payload = {
        "kind": "test",
        "language": arguments.lang or channel.language or settings.language,
        "zone": config.time_zone.key,
        "at": now,
        "node": os.uname().nodename,
        "channel": name,
        "actor": actor(),
        "open": 0,
        "priority": "P3",
    }
    results = []
    for queue, place in zip(channel.queues(), channel.urls, strict=True):
        sender = senders.AppriseSender(queue, place, settings.templates)
        row: dict[str, Any] = {"queue": queue, "url_from": str(place), "delivered": False, "why": "", "targets": 0}
        try:
            row["targets"] = sender.send_now(payload)
            row["delivered"] = True
        except (Held, Refused, Later) as error:
            row["why"] = str(error)
        results.append(row)
    delivered = [row["queue"] for row in results if row["delivered"]]
    released = _release(config, delivered) if delivered else []
    if arguments.json:
        from .. import render

        render.print_json({"channel": name, "results": results, "released": released})
    else:
        for row in results:
            said = "delivered" if row["delivered"] else f"NOT delivered: {row['why']}"
            print(f"{row['queue']} (URL from {row['url_from']}): {said}")
            if row["targets"] > 1:
                print(
                    f"  {row['targets']} targets in one URL: when one fails, all are told again. Better a list of URLs."
                )
        for queue in released:
            print(f"{queue} stood still, and goes on.")
    return OK if len(delivered) == len(results) else NOT_RUN


def _release(config: Config, queues: list[str]) -> list[str]:
    """Queues that were stopped, and whose test came through, go on."""
    from ..store import audit, open_store, outbox
    from .run import actor

    with open_store(config.store_url, config.home) as store, store.database.write() as connection:
        released = [queue for queue in queues if outbox.release(connection, queue)]
        for queue in released:
            why = {"why": "a test message was delivered"}
            audit.write(connection, actor(), "outbox.released", f"queue {queue}", why, time.time())
    return released


# --- preview ----------------------------------------------------------------------------------------------------------


def _preview(arguments: argparse.Namespace, config: Config, settings: Settings, store: Store) -> int:
    from .. import render
    from ..notify import messages, plan, view

    only = _channel(settings, arguments.what, "upkeep notify preview [CHANNEL]") if arguments.what else None
    now = time.time()
    made: list[dict[str, Any]] = []
    with store.database.read() as connection:
        for one in plan.outlook(connection, config, plan.groups(config), now):
            if only and one.channel != only:
                continue
            language = arguments.lang or one.language
            told = [view.Told(ticket, "opened") for ticket in one.tickets]
            payload = view.payload(connection, config, one.kind, told, language, now)
            said = messages.render(payload, arguments.format, now, folder=settings.templates)
            row = {"channel": one.channel, "kind": one.kind, "language": language, "due": one.due}
            made.append({**row, "title": said.title, "body": said.body, "notes": list(said.notes)})
    if arguments.json:
        render.print_json({"messages": made})
        return OK
    if not made:
        print("Nothing would be sent: no ticket is open that nobody has acknowledged, or no route takes one.")
    for message in made:
        when = "at once" if message["due"] <= now else render.when(message["due"], config.time_zone)
        print(f"--- {message['channel']}, {message['kind']}, {when}")
        print(message["title"])
        print()
        print(message["body"])
        print()
    return OK


# --- routes -----------------------------------------------------------------------------------------------------------


def _routes(arguments: argparse.Namespace, config: Config, settings: Settings, store: Store) -> int:
    from .. import render
    from ..notify import plan, routes
    from ..store import notices, tickets

    given = str(arguments.what or "").removeprefix("#")
    if not given.isdigit():
        raise UpkeepError(
            "the command is not understood",
            expected="upkeep notify routes TICKET, with a ticket's number",
            found=given or "no number",
            remedy="upkeep tickets   (shows the numbers)",
        )
    number, now = int(given), time.time()
    with store.database.read() as connection:
        ticket = tickets.detail(connection, number, 1).ticket
        subject = plan.subjects(connection, settings, [ticket], plan.groups(config))[number]
        told = notices.of_ticket(connection, number)
        delivered = notices.deliveries(connection, told)
    looks = routes.look(settings, config.sla.hours, subject, "opened", now)
    orders = routes.orders(settings, config.sla.hours, subject, "opened", now)
    rows: list[dict[str, Any]] = [
        {
            "route": look.route.name,
            "takes": look.reached and not look.why_not,
            "why": look.why_not or ("" if look.reached else "an earlier route holds"),
            "how": look.route.how,
            "to": list(look.route.to),
        }
        for look in looks
    ]
    due = {
        order.channel: routes.due(settings, config.sla.hours, order.how, ticket.priority, "opened", now)
        for order in orders
    }
    if arguments.json:
        render.print_json(
            {
                "ticket": number,
                "routes": rows,
                "orders": [{**vars(order), "due": due[order.channel]} for order in orders],
                "told": [
                    {**vars(one), "done": one.changed, "deliveries": delivered.get((one.channel, one.message), [])}
                    for one in told
                ],
            }
        )
        return OK
    out = render.console()
    out.print(render.text(f"#{number} {ticket.priority} {ticket.title}", "bold"))
    if subject.groups is None:
        out.print(render.text("The inventory could not be read: routes that ask for a group take all.", "yellow"))
    table = [
        (
            render.text(row["route"]),
            render.text("takes it" if row["takes"] else "", "green"),
            render.text(f"{row['how']} to {', '.join(row['to'])}" if row["to"] else row["how"]),
            render.text(row["why"], "dim"),
        )
        for row in rows
    ]
    out.print(render.table(("route", "", "tells", "why not"), table, wide=3))
    for order in orders:
        then = "at once" if due[order.channel] <= now else f"at {render.when(due[order.channel], config.time_zone)}"
        again = f", again every {order.repeat_every / 60:.0f} min until acknowledged" if order.repeat_every else ""
        out.print(render.text(f"Opened now, it would be told {then} in {order.channel} ({order.language}){again}."))
    if not orders:
        out.print(render.text("Opened now, nobody would be told.", "yellow"))
    out.print()
    out.print(render.text("Told" if told else "Nothing was told of it.", "bold"))
    for one in told:
        became = delivered.get((one.channel, one.message), [])
        sent = ", ".join(f"{state}{f' ({error})' if error else ''}" for _queue, state, error in became)
        said = {
            "told": f"message {one.message}: {sent or 'sent'}",
            "dropped": f"not told: {one.why}",
            "held": "held back by the rate",
        }
        what = said.get(one.state) or f"waits until {render.when(one.due, config.time_zone)}"
        line = f"{render.when(one.changed, config.time_zone)}  {one.event} in {one.channel} ({one.route}): {what}"
        out.print(render.indented(line, 2))
    return OK


# --- channels ---------------------------------------------------------------------------------------------------------


def _channels(arguments: argparse.Namespace, settings: Settings, store: Store) -> int:
    from .. import render
    from ..store import outbox

    with store.database.read() as connection:
        queues = {one.queue: one for one in outbox.queues(connection)}
    rows = []
    for channel in settings.channels.values():
        for queue, place in zip(channel.queues(), channel.urls, strict=True):
            known = queues.get(queue)
            rows.append(
                {
                    "channel": channel.name,
                    "queue": queue,
                    "url_from": str(place),
                    "rate": str(channel.rate),
                    "waiting": known.waiting if known else 0,
                    "dead": known.dead if known else 0,
                    "held": known.held_why if known else "",
                    "failing": known.failing_why if known else "",
                }
            )
    ways: list[dict[str, Any]] = [
        {"route": route.name, "how": route.how, "to": list(route.to), "repeat_every": route.repeat_every}
        for route in settings.ways()
    ]
    if arguments.json:
        render.print_json({"channels": rows, "routes": ways})
        return OK
    out = render.console()
    table = [
        (
            render.text(row["queue"]),
            render.text(row["url_from"]),
            render.text(row["rate"]),
            render.text(row["waiting"]),
            render.text(row["dead"], "bold red" if row["dead"] else ""),
            render.text(row["held"] or row["failing"], "yellow"),
        )
        for row in rows
    ]
    out.print(render.table(("queue", "URL from", "rate", "waiting", "dead", "trouble"), table, wide=5))
    out.print()
    names = [(render.text(way["route"]), render.text(way["how"]), render.text(", ".join(way["to"]))) for way in ways]
    out.print(render.table(("route", "how", "to"), names, wide=2))
    return OK
