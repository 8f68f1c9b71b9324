# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who ran, approved, acknowledged or changed what, and when. The audit is only ever added to, and never forgotten."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import config as configuration
from ..cli import positive
from ..errors import NOT_RUN, OK, UpkeepError

if TYPE_CHECKING:
    import argparse

    from ..config import Config
    from ..store import Store
    from ..store.audit import Act

EPILOG = """\
examples:
  upkeep audit                              the last 50 acts, newest last
  upkeep audit --since 30d --actor ann
  upkeep audit --object "ticket #12"
  upkeep audit --action job                 job.paused, job.resumed, ...
  upkeep audit --verify                     is every row as it was written (exit code 4: no)
  upkeep audit --export audit.jsonl         all of it into a new file, to be kept elsewhere; this is audited too
  upkeep audit --verify --against audit.jsonl   does the store still have every row of that file

Each row carries a digest of itself and of the row before. --verify sees a row that was changed or removed; that
somebody wrote all of them anew is seen by comparing with an export.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--since", metavar="WHEN", help="from then on: a time ago (30d, 12h), or a date (2026-11-01)")
    parser.add_argument("--actor", metavar="NAME", help="only what this one did")
    parser.add_argument("--object", metavar="WHAT", help='only what was done to this, as "ticket #12" or "job weekly"')
    parser.add_argument("--action", metavar="ACTION", help="only this, as ticket.acknowledged, or a whole kind: ticket")
    parser.add_argument("-n", "--limit", type=positive, default=50, metavar="N", help="the newest so many (default 50)")
    parser.add_argument("--verify", action="store_true", help="look whether every row is as it was written")
    parser.add_argument("--against", metavar="FILE", help="of --verify: an export that was kept elsewhere")
    parser.add_argument("--export", metavar="FILE", help="write all of it into a new file, one JSON object a line")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Show the audit, verify it, or export it."""
    if (arguments.verify and arguments.export) or (arguments.against and not arguments.verify):
        raise UpkeepError(
            "the command is not understood",
            expected="upkeep audit, upkeep audit --verify [--against FILE], or upkeep audit --export FILE",
            found="--verify with --export" if arguments.verify else "--against without --verify",
            remedy="upkeep audit --help",
        )
    config = configuration.load(arguments.config)
    from ..store import open_store

    with open_store(config.store_url, config.home) as store:
        if arguments.verify:
            return _verify(arguments, store)
        if arguments.export:
            return _export(arguments, store)
        _list(arguments, config, store)
    return OK


def _list(arguments: argparse.Namespace, config: Config, store: Store) -> None:
    from .. import render
    from ..store import audit

    since = None if arguments.since is None else moment(arguments.since, time.time(), config, "--since")
    with store.database.read() as connection:
        acts = audit.listed(
            connection,
            since=since,
            actor=arguments.actor,
            object=arguments.object,
            action=arguments.action,
            limit=arguments.limit,
        )
    if arguments.json:
        render.print_json({"audit": acts})
        return
    out = render.console()
    if not acts:
        given = [
            f"{name} {value}" for name in ("since", "actor", "object", "action") if (value := getattr(arguments, name))
        ]
        out.print(render.text(f"Nothing was done{' with ' + ', '.join(given) if given else ' yet'}."))
        return
    rows = [
        tuple(
            render.text(value)
            for value in (render.when(act.at, config.time_zone), act.actor, act.action, act.object, _told(act))
        )
        for act in acts
    ]
    out.print(render.table((f"when ({config.time_zone.key})", "who", "did", "to", "detail"), rows, wide=4))
    if len(acts) == arguments.limit:
        out.print(render.text(f"… there may be older ones: --limit {arguments.limit * 10}"))


def _told(act: Act) -> str:
    return ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in act.detail.items()
        if value not in ("", None, False, [], {})
    )


def moment(given: str, now: float, config: Config, option: str) -> float:
    """A moment as people say it, in seconds since the epoch: a time ago, or a date or time in the configured zone."""
    from datetime import datetime

    from ..durations import duration

    try:
        return now - duration(given)
    except ValueError:
        pass
    try:
        said = datetime.fromisoformat(given)
    except ValueError as error:
        raise UpkeepError(
            f"{option} is not understood",
            expected="a time ago, as 30d or 12h, or a date or time, as 2026-11-01 or 2026-11-01T08:00",
            found=given,
            remedy="correct it",
        ) from error
    return (said if said.tzinfo else said.replace(tzinfo=config.time_zone)).timestamp()


def _verify(arguments: argparse.Namespace, store: Store) -> int:
    from .. import render
    from ..store import audit

    exported = _exported(Path(arguments.against).expanduser()) if arguments.against else {}
    with store.database.read() as connection:
        verified = audit.verify(connection)
        there = audit.digests(connection) if exported else {}
    faults = list(verified.faults)
    differ = [number for number, digest in sorted(exported.items()) if there.get(number) != digest]
    if differ:
        faults.append(
            f"{len(differ)} of the {len(exported)} rows of {arguments.against} are missing or others "
            f"in the store, the first is row {differ[0]}"
        )
    if arguments.json:
        render.print_json(
            {
                "rows": verified.rows,
                "newest": verified.newest,
                "compared": len(exported),
                "whole": not faults,
                "faults": faults,
            }
        )
    elif not faults:
        out = render.console()
        out.print(render.text(f"All {verified.rows} rows are as they were written."))
        if exported:
            out.print(render.text(f"The store has each of the {len(exported)} rows of {arguments.against}."))
        out.print(render.text(f"The newest digest: {verified.newest}"))
    else:
        raise UpkeepError(
            "the audit was tampered with",
            expected=f"{verified.rows} rows as they were written, each with the digest of the one before",
            found="; ".join(faults),
            remedy="Find out who can write to the database beside Upkeep, and compare with a backup or an export: "
            "upkeep audit --verify --against FILE",
            exit_code=NOT_RUN,
        )
    return NOT_RUN if faults else OK


def _exported(path: Path) -> dict[int, str]:
    """The digests of an export, by row."""
    found: dict[int, str] = {}
    number = 0
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                number += 1
                row = json.loads(line)
                found[int(row["id"])] = str(row["digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UpkeepError(
            f"{path} cannot be compared with",
            expected="a file that upkeep audit --export wrote",
            found=error.strerror or str(error) if isinstance(error, OSError) else f"line {number} is no row of one",
            remedy="Name the file as it was exported.",
        ) from error
    return found


def _export(arguments: argparse.Namespace, store: Store) -> int:
    from .. import render
    from ..store import audit
    from .run import actor

    path = Path(arguments.export).expanduser()
    try:
        # Never over another file: it may be the only proof of what was there.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        rows = 0
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream, store.database.write() as connection:
            # First said, then written: so the file ends with the row that tells of it.
            audit.write(connection, actor(), "audit.exported", "audit", {"file": str(path.absolute())}, time.time())
            for line in audit.export_lines(connection):
                stream.write(line)
                rows += 1
            stream.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise UpkeepError(
            f"the audit was not exported to {path}",
            expected="a new file, in a folder that this user may write",
            found=error.strerror or str(error),
            remedy="Name another file." if isinstance(error, FileExistsError) else "Name a place that can be written.",
            exit_code=NOT_RUN,
        ) from error
    if arguments.json:
        render.print_json({"file": str(path.absolute()), "rows": rows})
    else:
        render.console().print(render.text(f"{rows} rows are in {path}."))
    return OK
