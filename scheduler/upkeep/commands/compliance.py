# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts get their security patches in the days that the policy gives them, how long that takes, and the trend."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import config as configuration
from ..errors import FINDINGS, NOT_RUN, OK, WRONG_USE, UpkeepError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Mapping

    from rich.console import Console

    from ..compliance.judge import Host, Patch, Report
    from ..compliance.settings import Settings
    from ..config import Config

EPILOG = """\
examples:
  upkeep compliance                        all hosts, by group; the last 12 weeks
  upkeep compliance --group web
  upkeep compliance --host db1             every missing patch of one host, with its days
  upkeep compliance --since 365d --json

The policy is the section compliance of upkeep.yml; without one: 14 days for what is known to be exploited, 15 for
critical, 30 for high and unrated, 90 for other security updates. Days count from when Upkeep first saw it missing.
What is not known counts as not kept. Exit code 1: a host is overdue or not known, or an exception is over.
"""

SINCE = "84d"
HOSTS = 20
"""Hosts that are named; with --group or --json all."""
GROUPS = 15


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--group", metavar="GROUP", help="only the hosts of this group of the inventory")
    parser.add_argument("--host", metavar="HOST", help="only this host, with each missing patch")
    parser.add_argument(
        "--since",
        metavar="WHEN",
        default=SINCE,
        help=f"for times and trend: a time ago ({SINCE}, the default) or a date",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Show the report."""
    from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import CannotCheck

    from ..compliance.look import known_groups
    from ..compliance.reading import report
    from ..compliance.settings import Settings
    from ..store import open_store
    from .audit import moment

    config = configuration.load(arguments.config)
    now = time.time()
    since = min(moment(arguments.since, now, config, "--since"), now - 86400.0)
    policy = config.compliance or Settings()
    try:
        groups = known_groups(config, policy)
        if groups is None and arguments.group:
            raise CannotCheck("the inventory cannot be read, so nobody knows who is in a group", "upkeep doctor")
        chosen = _chosen(arguments, groups)
        with open_store(config.store_url, config.home) as store, store.database.read() as connection:
            made = report(connection, policy, now, since, groups, chosen=chosen)
    except CannotCheck as cannot:
        raise UpkeepError(
            "the compliance cannot be told",
            expected="an inventory and, where it is configured, vulnerability data that can be read",
            found=cannot.why,
            remedy=cannot.remedy,
            exit_code=NOT_RUN,
        ) from cannot
    if arguments.host and not made.hosts:
        _nobody(arguments.host)
    if arguments.json:
        _json(made, policy)
    else:
        _show(made, policy, config, arguments, groups is not None)
    kept = not made.counts()["overdue"] and not made.counts()["not_known"]
    return OK if kept and not any(one.state == "expired" for one in made.exceptions) else FINDINGS


def _chosen(
    arguments: argparse.Namespace, groups: Mapping[str, Collection[str]] | None
) -> Callable[[str, Collection[str]], bool] | None:
    """Which hosts are asked for. Raises UpkeepError for a group that is not there."""
    if arguments.host:
        return lambda name, _groups: name == arguments.host
    if not arguments.group:
        return None
    names = sorted({name for some in (groups or {}).values() for name in some})
    if arguments.group not in names:
        import difflib

        near = difflib.get_close_matches(arguments.group, names, 3)
        raise UpkeepError(
            f"there is no group {arguments.group}",
            expected="a group of the inventory that has hosts",
            found=arguments.group,
            remedy=f"did you mean {' or '.join(near)}?"
            if near
            else f"the groups are: {', '.join(names[:12]) or 'none'}",
            exit_code=WRONG_USE,
        )
    return lambda _name, of_host: arguments.group in of_host


def _nobody(host: str) -> None:
    raise UpkeepError(
        f"nothing is known of {host}",
        expected="a host of the inventory, for which there is a policy, or one that was looked at",
        found=host,
        remedy="upkeep compliance   (shows them; those in compliance.leave_out are not)",
        exit_code=WRONG_USE,
    )


def _json(made: Report, policy: Settings) -> None:
    from dataclasses import fields

    from .. import render

    document = {one.name: getattr(made, one.name) for one in fields(made)}
    document["counts"] = made.counts()
    document["days"] = policy.days
    render.print_json(document)


def _show(made: Report, policy: Settings, config: Config, arguments: argparse.Namespace, is_known: bool) -> None:
    from .. import render

    out = render.console()
    counts = made.counts()
    total = len(made.hosts)
    kept = total - counts["overdue"] - counts["not_known"]
    part = f" ({kept * 100 // total} %)" if total else ""
    out.print(render.text(f"{kept} of {render.count(total, 'host')} keep the policy{part}", "bold"))
    if not total:
        out.print(render.text("Nothing was looked at yet: upkeep run patch_state"))
        return
    said = ", ".join(f"{count} {_words(state)}" for state, count in counts.items() if count)
    out.print(render.text(f"Hosts: {said}", "red" if counts["overdue"] else ""))
    if not config.compliance:
        out.print(render.text("upkeep.yml has no section compliance: these are the built-in days.", "dim"))
    if not is_known:
        out.print(
            render.text("The inventory cannot be read: hosts that were never looked at are missing here.", "yellow")
        )
    if made.left_out:
        gone = render.count(made.left_out, "host")
        out.print(render.text(f"{gone} that were looked at once are in no inventory any more.", "dim"))
    if arguments.host:
        _one(out, made.hosts[0], config)
    else:
        _groups(out, made, every=bool(arguments.group))
        _hosts(out, made, every=bool(arguments.group))
    _exceptions(out, made, config)
    _times(out, made, config)
    _trend(out, made, config)


def _words(state: str) -> str:
    return {"within": "within the days", "not_known": "not known"}.get(state, state)


_COLOURS = {"overdue": "bold red", "not_known": "yellow", "within": "", "excepted": "cyan", "compliant": "green"}


def _age(patch: Patch | None) -> str:
    """ "21 of 15" days."""
    if patch is None:
        return "-"
    return f"{patch.age_days:.0f} of " + ("any" if patch.allowed_days is None else f"{patch.allowed_days:g}")


def _groups(out: Console, made: Report, *, every: bool) -> None:
    from .. import render

    if not any(host.groups for host in made.hosts) or every:
        return
    # Groups of all hosts say no more than the first line.
    some = [group for group in made.groups if group.name not in ("all", "ungrouped")]
    rows = [
        (
            render.text(group.name),
            render.text(sum(group.hosts.values())),
            render.text(group.hosts["overdue"] or "-", "bold red" if group.hosts["overdue"] else ""),
            render.text(group.hosts["not_known"] or "-", "yellow" if group.hosts["not_known"] else ""),
            render.text(group.hosts["within"] or "-"),
            render.text(_age(group.oldest)),
            render.text(_day(group.median_days)),
        )
        for group in some[:GROUPS]
    ]
    if rows:
        out.print()
        heads = ("group", "hosts", "overdue", "not known", "within", "oldest (days)", "median")
        out.print(render.table(heads, rows))
    if len(some) > GROUPS:
        out.print(render.text(f"… and {len(some) - GROUPS} more: --json"))


def _day(days: float | None) -> str:
    return "-" if days is None else f"{days:.0f} d" if days >= 10 else f"{days:.1f} d"


def _hosts(out: Console, made: Report, *, every: bool) -> None:
    """Those that do not keep the policy, the worst first, then those with what is due next."""
    from .. import render

    def urgency(host: Host) -> tuple[int, float, str]:
        due = min((patch.due for patch in host.missing if patch.due and patch.state != "excepted"), default=1e18)
        return ("overdue", "not_known", "within", "excepted", "compliant").index(host.state), due, host.name

    some = sorted((host for host in made.hosts if host.state not in ("compliant", "excepted")), key=urgency)
    if not some:
        return
    shown = some if every else some[:HOSTS]
    rows = []
    for host in shown:
        open_ones = [patch for patch in host.missing if patch.state != "excepted"]
        first = open_ones[0] if open_ones else None
        about = f"{first.name} ({first.severity.replace('_', ' ')})" if first else ""
        more = f", {len(open_ones) - 1} more" if len(open_ones) > 1 else ""
        rows.append(
            (
                render.text(host.name),
                render.text(_words(host.state), _COLOURS[host.state]),
                render.text(_age(first)),
                render.text("; ".join(filter(None, [about + more, host.why]))),
            )
        )
    out.print()
    out.print(render.table(("host", "", "days", "what"), rows, wide=3))
    if len(some) > len(shown):
        out.print(render.text(f"… and {len(some) - len(shown)} more: --group GROUP, or --json"))


def _one(out: Console, host: Host, config: Config) -> None:
    from .. import render

    zone = config.time_zone
    out.print()
    last = f"last looked at {render.when(host.looked, zone)}, last known {render.when(host.known, zone)} {zone.key}"
    out.print(render.text(f"{host.name}: {_words(host.state)}", _COLOURS[host.state]))
    out.print(render.text(f"{last}{'; ' + host.why if host.why else ''}", "dim"))
    if not host.missing:
        return
    rows = []
    for patch in host.missing:
        until = (
            "" if patch.excepted_until is None else f"excepted until {render.when(patch.excepted_until - 1, zone)[:10]}"
        )
        about = [f"{patch.installed} -> {patch.candidate}", until, patch.left_out, *patch.cves[:4]]
        rows.append(
            (
                render.text(patch.name),
                render.text(patch.severity.replace("_", " ")),
                render.text(_words(patch.state), _COLOURS[patch.state]),
                render.text(_age(patch)),
                render.text("; ".join(filter(None, about))),
            )
        )
    out.print(render.table(("package", "severity", "", "days", "what"), rows, wide=4))


def _exceptions(out: Console, made: Report, config: Config) -> None:
    from .. import render

    rows = []
    for one in made.exceptions:
        colour = {"expired": "bold red", "ends soon": "yellow"}.get(one.state, "")
        last = render.when(one.exception.until - 1, config.time_zone)[:10]
        holds = f"{render.count(one.patches, 'patch', 'patches')} of {render.count(one.hosts, 'host')}"
        about = f"{one.exception}: {one.exception.reason}"
        rows.append((render.text(last), render.text(one.state, colour), render.text(holds), render.text(about)))
    if rows:
        out.print()
        out.print(render.table(("until", "exception", "for", "what, and why"), rows, wide=3))


def _times(out: Console, made: Report, config: Config) -> None:
    from .. import render

    out.print()
    since = render.when(made.since, config.time_zone)[:10]
    if not made.took:
        out.print(render.text(f"Since {since} no patch was seen to be missing, and then to be there.", "dim"))
    else:
        rows = [
            (
                render.text(one.severity or "all"),
                render.text(one.patched),
                *(render.text(_day(days)) for days in (one.median, one.p90, one.worst)),
                render.text(one.late or "-", "red" if one.late else ""),
            )
            for one in made.took
        ]
        heads = (f"patched since {since}", "patches", "median", "90 % within", "worst", "late")
        out.print(render.table(heads, rows))
    others = {
        "withdrawn": "no longer offered",
        "removed": "removed with their package",
        "not_known": "nobody knows how",
    }
    said = [f"{made.went[how]} {word}" for how, word in others.items() if made.went.get(how)]
    if said:
        out.print(render.text(f"Gone without being patched: {', '.join(said)}.", "dim"))


def _trend(out: Console, made: Report, config: Config) -> None:
    from .. import render

    points = [point for point in made.trend if point.hosts]
    if len(points) < 2:
        return
    rows = [
        (
            render.text(render.when(point.at, config.time_zone)[:10]),
            render.text(f"{point.kept * 100 // point.hosts} %"),
            render.text(f"{point.kept} of {point.hosts}"),
            render.text(point.hosts - point.known or "-"),
            render.text("-" if point.oldest_days is None else f"{point.oldest_days:.0f} d"),
            render.text(point.patched or "-"),
            render.text(_day(point.median_days)),
        )
        for point in points
    ]
    out.print()
    out.print(render.table(("day", "kept", "hosts", "not known", "oldest", "patched", "median"), rows))
