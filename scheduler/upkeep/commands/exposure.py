# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is exposed to a vulnerability, since when, how long it took to patch it, who is left and why."""

from __future__ import annotations

import re
import statistics
import time
from typing import TYPE_CHECKING, Any

from .. import config as configuration
from ..errors import FINDINGS, OK, UpkeepError
from ..notify.groups import groups_of_hosts

if TYPE_CHECKING:
    import argparse

    from rich.console import RenderableType

    from ..config import Config
    from ..store.exposures import Stand

EPILOG = """\
examples:
  upkeep exposure                           what was asked, the latest first
  upkeep exposure CVE-2026-12345            how each host stands: since when, time to patch, who is left
  upkeep exposure openssl=3.0.17-1 --json   the same of a package that is to have a version at least

Asked by:
  upkeep run emergency_patch -e cve=CVE-2026-12345
  upkeep run emergency_patch -e cve=CVE-2026-12345 -e emergency_patch_apply=true
  upkeep campaign plan NAME --cve CVE-2026-12345

Exit code 1: a host is exposed, not known, did not answer, or was never asked.
"""
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.:~=^-]{0,299}")
_COLOURS = {
    "exposed": "bold red",
    "not_known": "yellow",
    "no_answer": "yellow",
    "mitigated": "cyan",
    "patched": "green",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("asked", nargs="?", metavar="CVE", help="a CVE, or a package as NAME or NAME=VERSION")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Show how hosts stand with one question, or what was asked."""
    key = arguments.asked
    if key is not None and not _KEY.fullmatch(key):
        raise UpkeepError(
            "the command is not understood",
            expected="a CVE such as CVE-2026-12345, or a package as NAME or NAME=VERSION",
            found=key[:60],
            remedy="upkeep exposure   (shows what was asked)",
        )
    config = configuration.load(arguments.config)
    from ..store import exposures, open_store

    inventory = None if key is None else groups_of_hosts(config) or None
    with open_store(config.store_url, config.home) as store, store.database.read() as connection:
        if key is None:
            _list(exposures.questions(connection), arguments, config)
            return OK
        key = key.upper() if key.lower().startswith("cve-") else key
        stands, never = exposures.about(connection, key, inventory)
    _show(key, stands, never, arguments, config, inventory is not None)
    open_ones = [one for one in stands if one.state in ("exposed", "not_known", exposures.NO_ANSWER)]
    return OK if stands and not open_ones and not never else FINDINGS


def _list(questions: list[tuple[str, float, int]], arguments: argparse.Namespace, config: Config) -> None:
    from .. import render

    if arguments.json:
        names = ("asked", "last_at", "hosts")
        render.print_json({"questions": [dict(zip(names, one, strict=True)) for one in questions]})
        return
    out = render.console()
    if not questions:
        out.print(render.text("Nobody was asked yet. Ask: upkeep run emergency_patch -e cve=CVE-2026-12345"))
        return
    rows = [
        (render.text(asked), render.text(render.when(at, config.time_zone)), render.text(hosts))
        for asked, at, hosts in questions
    ]
    out.print(render.table(("asked for", f"last ({config.time_zone.key})", "hosts"), rows))


def _show(
    key: str, stands: list[Stand], never: list[str], arguments: argparse.Namespace, config: Config, is_known: bool
) -> None:
    from .. import render

    figures = _figures(stands, never)
    if arguments.json:
        hosts = [{**one.__dict__, "seconds_to_patch": one.seconds_to_patch} for one in stands]
        told = {"asked": key, **figures, "hosts": hosts, "never_asked": never, "inventory_read": is_known}
        render.print_json(told)
        return
    out = render.console()
    if not stands:
        asks = f"cve={key}" if key.startswith("CVE-") else "package=" + key.replace("=", " -e version=", 1)
        out.print(render.text(f"No host was asked for {key} yet. Ask: upkeep run emergency_patch -e {asks}"))
        return
    now = time.time()
    rows = [_row(one, config, now) for one in stands]
    heads = ("host", "state", "package", f"exposed since ({config.time_zone.key})", "time to patch", "why")
    out.print(render.table(heads, rows, wide=5))
    out.print()
    said = [f"{count} {state.replace('_', ' ')}" for state, count in figures["hosts_by_state"].items() if count]
    out.print(render.text(f"{key}: {', '.join(said)}"), soft_wrap=True)
    took = figures["seconds_to_patch"]
    if took is not None:
        out.print(render.text(
            f"Time to patch: half of the hosts within {_span(took['median'])}, all that are patched within "
            f"{_span(took['longest'])}."
        ), soft_wrap=True)  # fmt: skip
    if never:
        more = f" and {len(never) - 20} more" if len(never) > 20 else ""
        out.print(render.text(f"Never asked: {', '.join(never[:20])}{more}"), soft_wrap=True)
    if not is_known:
        doubt = "The inventory cannot be read: hosts that were in no run yet are missing here."
        out.print(render.text(doubt, "yellow"), soft_wrap=True)


def _figures(stands: list[Stand], never: list[str]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for one in stands:
        counts[one.state] = counts.get(one.state, 0) + 1
    times = [one.seconds_to_patch for one in stands if one.seconds_to_patch is not None]
    took = {"hosts": len(times), "median": statistics.median(times), "longest": max(times)} if times else None
    left = sum(counts.get(state, 0) for state in ("exposed", "mitigated", "not_known", "no_answer"))
    return {"hosts_by_state": {**counts, "never_asked": len(never)}, "left": left, "seconds_to_patch": took}


def _row(one: Stand, config: Config, now: float) -> list[RenderableType]:
    from .. import render

    package = one.packages[0] if one.packages else {}
    shown = " ".join(filter(None, [package.get("name", ""), package.get("installed", "")]))
    if one.packages:
        shown += f" → {package.get('fixed') or 'no fix yet'}"
    more = f" (+{len(one.packages) - 1})" if len(one.packages) > 1 else ""
    took, why = one.seconds_to_patch, one.why
    if took is None and one.exposed_since is not None:
        spent = f"{_span(now - one.exposed_since)} so far"
    else:
        spent = "" if took is None else _span(took)
    if took is not None and one.published is not None and one.patched_at is not None:
        why = f"patched {_span(one.patched_at - one.published)} after it was published"
    return [
        render.text(one.host),
        render.text(one.state.replace("_", " "), _COLOURS.get(one.state, "")),
        render.text(shown + more),
        render.text("" if one.exposed_since is None else render.when(one.exposed_since, config.time_zone)),
        render.text(spent),
        render.text(why),
    ]


def _span(seconds: float) -> str:
    from .. import durations

    return f"{seconds:.0f} s" if 0 <= seconds < 120 else durations.shown(seconds)
