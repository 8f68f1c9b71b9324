# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures for Prometheus: jobs, hosts, tickets, promises, and what waits to be sent."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import config as configuration
from ..errors import NOT_RUN, OK, WRONG_USE, UpkeepError

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  upkeep metrics
  upkeep metrics --write /var/lib/prometheus/node-exporter/upkeep.prom

The file is for node_exporter's textfile collector, from a timer or cron; it is replaced at once, never half written.
A service serves the same by itself where metrics.listen in upkeep.yml says so. Dashboards and alerts: docs/monitoring.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--write", metavar="FILE", help="write it there, readable for all; its name ends in .prom")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Print the figures, or write them into a file."""
    path = Path(arguments.write).absolute() if arguments.write else None
    if path is not None and path.suffix != ".prom":
        raise UpkeepError(
            f"{path} would not be read",
            expected="a name that ends in .prom: node_exporter's textfile collector reads only these",
            found=path.name,
            remedy=f"--write {path}.prom",
            exit_code=WRONG_USE,
        )
    config = configuration.load(arguments.config)
    from ..metrics.collect import collect
    from ..store import open_store

    begin = time.perf_counter()
    with open_store(config.store_url, config.home) as store:
        figures = collect(store, config, time.time())
    figures.seconds = time.perf_counter() - begin
    if arguments.json:
        from ..metrics.exposition import as_json
        from ..render import print_json

        if path is None:
            print_json(as_json(figures))
            return OK
    from ..metrics.exposition import render

    text, _media_type = render(figures)
    if path is None:
        sys.stdout.write(text.decode("utf-8"))
    else:
        _replace(path, text)
        if arguments.json:
            print_json({"written": str(path), "bytes": len(text)})
    return OK


def _replace(path: Path, text: bytes) -> None:
    """Write a file beside it, then put it in its place: who reads sees the old one or the new one."""
    part = None
    try:
        # Its name ends otherwise, so that the collector does not take it for one of its own.
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            part = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)  # node_exporter runs as somebody else
        part.replace(path)
    except OSError as error:
        if part is not None:
            part.unlink(missing_ok=True)
        raise UpkeepError(
            f"{path} cannot be written",
            expected="a folder that this user may write in, with room",
            found=error.strerror or str(error),
            remedy=f"see: ls -ld {path.parent}",
            exit_code=NOT_RUN,
        ) from error
