# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the configuration: all that is wrong with it, by line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .. import config as configuration
from .. import paths
from ..errors import OK, WRONG_USE

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  upkeep config check
  upkeep config check --config /etc/upkeep/upkeep.yml

Looked for in this order: --config, UPKEEP_CONFIG, upkeep.yml in the current folder, upkeep.yml in UPKEEP_HOME.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("action", nargs="?", choices=("check",), default="check", help="check (the only one)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Check it; exit code 2 when something is wrong."""
    from .. import render

    path = configuration.find(arguments.config)
    if path is None:
        found = f"{configuration.FILE_NAME} is neither in the current folder nor in {paths.home()}: the defaults hold."
        if arguments.json:
            render.print_json({"configuration": None, "problems": [], "note": found})
        else:
            print(found)
        return OK
    from ..config_file import check, missing_playbooks

    config, problems = check(path, paths.home())
    if config is not None:
        problems = missing_playbooks(path, config)
    if arguments.json:
        render.print_json({"configuration": str(path), "usable": config is not None, "problems": problems})
        return WRONG_USE if problems else OK
    for problem in problems:
        print("\n".join(problem.error(path).lines()), file=sys.stderr)
    if problems:
        holds = " It is in force all the same: only these jobs cannot run." if config is not None else ""
        print(f"{render.count(len(problems), 'problem')} in {path}.{holds}", file=sys.stderr)
        return WRONG_USE
    assert config is not None  # without problems there is one
    print(f"{path} is well: {render.count(len(config.jobs), 'job')} ({', '.join(sorted(config.jobs))}).")
    return OK
