# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service: starts jobs when they are due, follows them, and sends what they found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .. import config as configuration
from ..errors import OK

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  upkeep scheduler              until it is ended (systemctl stop, Ctrl-C); runs at work then go on
  upkeep scheduler --once       one look, for a cron line: * * * * * upkeep scheduler --once
  upkeep install-service        as a service of systemd

Several may be at work on one store: one leads, and another takes over within seconds when that one is gone. An
occurrence of a job is carried out once, however many schedulers, cron lines and people want it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--once", action="store_true", help="look once, start what is due, and end")


def execute(arguments: argparse.Namespace) -> int:
    """Be the service, or look once."""
    config = configuration.load(arguments.config)
    from ..service import loop

    loop.set_up_logging(config.time_zone)
    if arguments.once:
        service = loop.open_service(config, patience=0.0)
        with service.store:
            if not service.once():
                print("upkeep: another scheduler leads on this store; nothing to do here", file=sys.stderr)
        return OK
    service = loop.open_service(config)
    with service.store:
        service.run()
    return OK
