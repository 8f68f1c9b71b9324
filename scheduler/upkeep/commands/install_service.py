# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the scheduler a service of systemd, at work now and after each boot; or remove it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import config as configuration
from .. import paths
from ..errors import OK, UpkeepError

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  sudo upkeep install-service --dry-run       what would be done, and the unit file; changes nothing
  sudo upkeep install-service                 as the user upkeep (made when missing), home /var/lib/upkeep
  sudo upkeep install-service --run-as root   when it maintains this machine too, and has no sudo rights otherwise
  sudo upkeep install-service --remote-only   hardened: it maintains other machines only, by ssh
  upkeep install-service --user               a service of your own
  sudo upkeep install-service --remove        its data stays

Secrets that upkeep.yml takes by {env: NAME} stand in /etc/upkeep/environment. Through Ansible: the playbook
upkeep.maintenance.install_service does the same on any host.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--user", action="store_true", help="a service of your own systemd manager, with your rights")
    parser.add_argument("--run-as", metavar="USER", default="upkeep", help="whose rights it has (default: upkeep)")
    parser.add_argument("--home", metavar="FOLDER", help="its UPKEEP_HOME (default: /var/lib/upkeep; --user: yours)")
    parser.add_argument("--remote-only", action="store_true", help="hardened, for who maintains other machines only")
    parser.add_argument("--no-start", action="store_true", help="install it, and start it at the next boot")
    parser.add_argument("--remove", action="store_true", help="stop it and remove it; UPKEEP_HOME stays")
    parser.add_argument("--dry-run", "--check", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Install or remove; harmless when it is so already."""
    from .. import render
    from ..service import install
    from ..service.unit import Unit

    user = "" if arguments.user else arguments.run_as
    if user and not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user):
        raise UpkeepError(
            "--run-as is not understood", expected="the name of a user", found=repr(user), remedy="correct it"
        )
    config = Path(arguments.config).expanduser().absolute() if arguments.config else None
    if config is not None:
        configuration.load(str(config))  # a service that cannot read it would only fail later
    home = arguments.home or (str(paths.home()) if arguments.user else install.USER_HOME)
    _tell_of_what_is_not_taken(arguments, home)
    unit = Unit(install.command(config), str(Path(home).expanduser().absolute()), user, arguments.remote_only)
    wanted = install.Wanted(unit, config, not arguments.no_start)
    if not arguments.dry_run:
        install.check(wanted)
    steps = install.removal(wanted) if arguments.remove else install.steps(wanted)
    difference = install.difference(wanted, arguments.remove)
    if not arguments.json:
        if arguments.dry_run and difference:
            print(difference)
        for step in steps:
            print(("would " if arguments.dry_run else "") + step.told, flush=True)
            if not arguments.dry_run:
                step.do()
        if not steps:
            print("Nothing to do: it is not installed." if arguments.remove else "Nothing to do: it is at work.")
        elif not arguments.dry_run and not arguments.remove:
            ctl = " ".join(wanted.systemctl)
            print(
                f"Done. See it: {ctl} status upkeep; what it says: journalctl {'--user ' if not user else ''}-u upkeep"
            )
        return OK
    if not arguments.dry_run:
        for step in steps:
            step.do()
    document = {"changed": bool(steps), "steps": [step.told for step in steps], "diff": difference}
    render.print_json({**document, "dry_run": arguments.dry_run, "unit": str(wanted.path)})
    return OK


def _tell_of_what_is_not_taken(arguments: argparse.Namespace, home: str) -> None:
    """The service has a home and a configuration of its own: who has others here would look for their tickets there."""
    if arguments.remove:
        return
    given = os.environ.get("UPKEEP_HOME")
    if given and not arguments.home and Path(given).absolute() != Path(home).absolute():
        print(
            f"upkeep: its state will be in {home}, not in your {given}; to have that one: --home {given}",
            file=sys.stderr,
        )
    found = configuration.find() if not arguments.config else None
    if found is not None and found.parent != Path(home).absolute():
        print(f"upkeep: it will not use {found}; to have that one: --config {found}", file=sys.stderr)
