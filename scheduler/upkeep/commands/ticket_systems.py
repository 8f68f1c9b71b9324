# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ticket systems that tickets are mirrored to: which there are, and whether all is right there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from .. import config as configuration
from ..errors import FINDINGS, OK, UpkeepError

if TYPE_CHECKING:
    import argparse

    from ..config import Config
    from ..ticketing.protocol import Check
    from ..ticketing.settings import TicketSystemSettings

EPILOG = """\
examples:
  upkeep ticket-systems                      which there are, and which tickets go there
  upkeep ticket-systems probe itsm           each right, field and state that is needed: is it there? changes nothing
  upkeep ticket-systems probe itsm --write   and try it: a test ticket is opened, commented and resolved

The embedded tracker needs none of them, and is always first. What is still to be sent: upkeep outbox.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("action", nargs="?", choices=("list", "probe"), default="list", help="list (default) or probe")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of probe: which; may be left out if there is only one")
    parser.add_argument("--write", action="store_true", help="of probe: also open a test ticket, and resolve it")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """List them, or look whether one is right; exit code 1 when it is not."""
    if arguments.action == "list" and (arguments.name or arguments.write):
        raise UpkeepError(
            "the command is not understood",
            expected="upkeep ticket-systems, or upkeep ticket-systems probe NAME [--write]",
            found="list with " + (arguments.name or "--write"),
            remedy="upkeep ticket-systems --help",
        )
    config = configuration.load(arguments.config)
    if arguments.action == "list":
        _list(config, arguments.json)
        return OK
    return _probe(_wanted(config, arguments.name), arguments.write, arguments.json)


def _wanted(config: Config, name: str | None) -> TicketSystemSettings:
    known = config.ticket_systems
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[str(name)]
    near = difflib.get_close_matches(name or "", known, 1)
    raise UpkeepError(
        "which ticket system?" if name is None else f"there is no ticket system {name!r}",
        expected="one of " + ", ".join(known) if known else "a ticket system in upkeep.yml",
        found=name or "no name",
        remedy=f"did you mean {near[0]}?"
        if near
        else "upkeep ticket-systems shows them"
        if known
        else "add ticket_systems to upkeep.yml; docs/ticket-systems.md says how",
    )


def _list(config: Config, as_json: bool) -> None:
    from .. import render

    systems = list(config.ticket_systems.values())
    if as_json:
        document = [
            {
                "name": one.name,
                "kind": one.kind,
                "url": one.url,
                "project": one.project,
                "type": one.type,
                "only": {"priority": one.only_priorities, "check": one.only_checks, "host": one.only_hosts},
            }
            for one in systems
        ]
        render.print_json({"ticket_systems": document})
        return
    out = render.console()
    if not systems:
        out.print(render.text("None is configured: tickets stay in the embedded tracker (upkeep tickets)."))
        return
    rows = [
        (
            render.text(one.name, "bold"),
            render.text(one.kind),
            render.text(" ".join(filter(None, [one.url, one.project]))),
            render.text(_which(one)),
        )
        for one in systems
    ]
    out.print(render.table(("name", "kind", "where", "tickets"), rows, wide=2))
    out.print(render.text("Is all of it right? upkeep ticket-systems probe NAME", "dim"))


def _which(settings: TicketSystemSettings) -> str:
    parts = [settings.only_priorities, settings.only_checks, settings.only_hosts]
    return "; ".join(", ".join(part) for part in parts if part) or "all"


def _probe(settings: TicketSystemSettings, write: bool, as_json: bool) -> int:
    from .. import render
    from ..ticketing import build
    from ..ticketing.protocol import Check, Held, Refused

    checks: list[Check]
    try:
        system = build(settings)
    except (Held, Refused) as error:
        checks = [Check("credentials", False, str(error), "put it there, for the user that Upkeep runs as")]
    else:
        try:
            checks = system.probe(write=write)
        finally:
            system.close()
    well = all(check.ok for check in checks)
    if as_json:
        render.print_json({"system": settings.name, "kind": settings.kind, "ok": well, "checks": checks})
        return OK if well else FINDINGS
    rows = [
        (
            render.text("ok" if check.ok else "missing"),
            render.text(check.what, "bold"),
            render.text(check.found + (f" - {check.remedy}" if check.remedy and not check.ok else "")),
        )
        for check in checks
    ]
    out = render.console()
    out.print(render.table(("", "what", "found"), rows, wide=2))
    end = "All of it is right." if well else "Not all of it is right."
    hint = "" if write or not well else " Nothing was changed there; --write tries it with a test ticket."
    out.print(render.text(f"{settings.name}: {end}{hint}", "green" if well else "bold red"))
    return OK if well else FINDINGS
