# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was tested, by whom, and how it ended, for the auditor: restores, dumps that were loaded, data that was read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import config as configuration
from .. import proof_text
from ..cli import positive
from ..errors import NOT_RUN, OK, UpkeepError

if TYPE_CHECKING:
    import argparse

    from ..config import Config
    from ..store import Proof, Store

EPILOG = """\
examples:
  upkeep proofs                             the newest 50, newest first
  upkeep proofs show 12                     all of one: what was tested, from what, by whom, with which answers
  upkeep proofs --host db1 --since 90d
  upkeep proofs --check backup.restore      all tests whose name begins so
  upkeep proofs --outcome failed
  upkeep proofs --since 2026-01-01 --limit 100000 --json > proofs-2026.json
  upkeep proofs --verify                    is each as it was recorded (exit code 4: no)

A proof is kept for store.keep_proofs_days (three years), longer than the run that brought it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("action", nargs="?", choices=("list", "show"), default="list", help="list (default) or show")
    parser.add_argument("proof", nargs="?", metavar="ID", help="of show: the proof's number")
    parser.add_argument("--host", metavar="HOST", help="of list: only of this host")
    parser.add_argument("--subject", metavar="WHAT", help="of list: only of this, as a repository's name")
    parser.add_argument("--check", metavar="CHECK", help="of list: only this test, or all whose name begins so")
    parser.add_argument("--outcome", choices=("passed", "failed", "cannot"), help="of list: only those that ended so")
    parser.add_argument("--run", metavar="RUN", help="of list: only of this run (its number)")
    parser.add_argument("--since", metavar="WHEN", help="of list: from then on: a time ago (90d), or a date")
    parser.add_argument("-n", "--limit", type=positive, default=50, metavar="N", help="of list: how many (default 50)")
    parser.add_argument("--verify", action="store_true", help="look whether every proof is as it was recorded")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """List the proofs, show one, or verify them."""
    number = _number(arguments)
    config = configuration.load(arguments.config)
    from ..store import open_store

    with open_store(config.store_url, config.home) as store:
        if arguments.verify:
            return _verify(arguments, store)
        if number is not None:
            _show(store.proof(number), arguments, config)
        else:
            _list(arguments, config, store)
    return OK


def _number(arguments: argparse.Namespace) -> int | None:
    """The proof's number; None for the list. Raises UpkeepError."""
    given = str(arguments.proof or "").removeprefix("#")
    run = str(arguments.run or "0").removeprefix("#")
    is_list = arguments.action == "list"
    wrong = is_list != (not given) or (not is_list and arguments.verify)
    for text in (given or "0", run):
        wrong = wrong or not (text.isascii() and text.isdigit()) or len(text) > 9
    if wrong:
        raise UpkeepError(
            "the command is not understood",
            expected="upkeep proofs, upkeep proofs show ID, or upkeep proofs --verify; IDs and runs are numbers",
            found=" ".join(
                filter(None, [arguments.action, arguments.proof, arguments.run and f"--run {arguments.run}"])
            ),
            remedy="upkeep proofs   (shows the numbers)",
        )
    return None if is_list else int(given)


def _list(arguments: argparse.Namespace, config: Config, store: Store) -> None:
    from .. import render
    from .audit import moment

    proofs = store.proofs(
        host=arguments.host,
        check=arguments.check,
        subject=arguments.subject,
        outcome=arguments.outcome,
        run=int(arguments.run.removeprefix("#")) if arguments.run else None,
        since=None if arguments.since is None else moment(arguments.since, time.time(), config, "--since"),
        limit=arguments.limit,
    )
    if arguments.json:
        render.print_json({"proofs": proofs})
        return
    out = render.console()
    if not proofs:
        # Named, for a mistyped filter must not read as nothing was tested.
        names = ("host", "subject", "check", "outcome", "run", "since")
        given = [f"{name} {value}" for name in names if (value := getattr(arguments, name))]
        out.print(render.text(f"No proofs{' with ' + ', '.join(given) if given else ' yet'}."))
        return
    rows = [
        (
            render.text(proof.number),
            render.text(render.when(proof.started, config.time_zone)),
            render.text(proof.host),
            render.text(proof.subject),
            render.text(proof.outcome, render.COLOURS[proof.outcome]),
            render.text(proof.summary),
            render.text(proof.run),
        )
        for proof in proofs
    ]
    heads = ("proof", f"when ({config.time_zone.key})", "host", "subject", "outcome", "what was tested", "run")
    out.print(render.table(heads, rows, wide=5))
    if len(proofs) == arguments.limit:
        out.print(render.text(f"… there may be older ones: --limit {arguments.limit * 10}"))


def _show(proof: Proof, arguments: argparse.Namespace, config: Config) -> None:
    from .. import render

    if arguments.json:
        render.print_json(proof)
        return
    out = render.console()
    zone = config.time_zone
    out.print(render.text(f"Proof {proof.number}: {proof.summary}", "bold"))
    for name, value in (
        ("outcome", proof.outcome),
        ("test", proof.check),
        ("host", proof.host),
        ("subject", proof.subject),
        ("when", f"{render.when(proof.started, zone)} {zone.key}, for {proof_text.took(proof.ended - proof.started)}"),
        ("by", f"{proof.actor or 'unknown'}, run {proof.run} ({proof.run_id})"),
        ("as", " ".join(filter(None, [proof.job, proof.playbook]))),
        ("sha256", proof.digest),
    ):
        style = render.COLOURS[proof.outcome] if name == "outcome" else ""
        out.print(render.text(f"{name + ':':<10}{value}", style), soft_wrap=True)
    if proof.facts:
        out.print()
        for depth, line_of in proof_text.lines(proof.facts):
            out.print(render.indented(line_of, 2 + 2 * depth))


def _verify(arguments: argparse.Namespace, store: Store) -> int:
    from .. import render
    from ..store import proofs

    with store.database.read() as connection:
        verified = proofs.verify(connection)
    if arguments.json:
        render.print_json(
            {
                "proofs": verified.proofs,
                "runs": verified.runs,
                "whole": not verified.faults,
                "faults": verified.faults,
            }
        )
    elif verified.faults:
        raise UpkeepError(
            "the proofs were tampered with",
            expected=f"{verified.proofs} proofs as they were recorded, and as the audit says",
            found="; ".join(verified.faults),
            remedy="Find out who can write to the database beside Upkeep, and compare with a backup of it, or with the "
            "results files of the runs (upkeep runs show RUN names their folder).",
            exit_code=NOT_RUN,
        )
    else:
        said = render.count(verified.runs, "run")
        render.console().print(render.text(f"All {verified.proofs} proofs, of {said}, are as they were recorded."))
    return NOT_RUN if verified.faults else OK
