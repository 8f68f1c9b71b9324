# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: which command, its arguments, and how errors are shown.

A command is a module in ``commands``; it is imported only when it is called: the start-up time is a feature.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import io
import os
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__
from .errors import NOT_RUN, OK, WRONG_USE, UpkeepError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "run": "run a job or a playbook now, and turn what it finds into tickets",
    "record": "turn the results file of a plain ansible-playbook run into tickets",
    "tickets": "what is open, with its SLA clocks; acknowledge, assign, let wait, resolve",
    "sla": "what was kept of the promised times, and what was missed",
    "runs": "what ran, and how it went",
    "compliance": "which hosts lack patches for longer than the policy allows, and how long patching takes",
    "proofs": "what was tested and how it ended, for the auditor: restores, loaded dumps",
    "exposure": "who is exposed to a vulnerability, time to patch, who is left",
    "approvals": "plans that wait for a person's word, with what they would change",
    "approve": "let a plan be applied",
    "reject": "say no to a plan",
    "campaign": "change many hosts in stages: plan, approve, start, status, pause, resume, abort, release",
    "jobs": "which jobs there are, and when they are due",
    "audit": "who did what, and when; is its record whole",
    "scheduler": "the service: starts jobs when they are due, and follows them",
    "ticket-systems": "where tickets are mirrored to; is all of it right there",
    "outbox": "what is still to be sent to ticket systems and to people; retry, drop, release",
    "notify": "who is told what: test a channel, preview messages, why a ticket goes where it goes",
    "install-service": "make the scheduler a service of systemd, or remove it",
    "config": "check the configuration",
    "metrics": "figures for Prometheus, and for node_exporter's textfile collector",
    "doctor": "is this set-up right, and what is missing",
}

EPILOG = """\
examples:
  upkeep run weekly                        the weekly review of this machine, or of the configured inventory
  upkeep run weekly -i hosts.yml --limit web
  upkeep run site.yml --check --diff       any playbook
  upkeep tickets                           what is open
  upkeep tickets show 12
  upkeep doctor

files:
  upkeep.yml    the configuration: --config, UPKEEP_CONFIG, the current folder, or UPKEEP_HOME; none is needed
  UPKEEP_HOME   the folder of all state (default ~/.local/share/upkeep)

exit codes:
  0  all ran, nothing found above low      3  hosts failed or could not be reached
  1  all ran, findings of medium or above  4  the run could not be carried out, or not be kept
  2  wrong use or configuration
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help in which the longest command stands in one line with what it does: argparse forgets its indentation."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += self._indent_increment


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: what was expected, what was found, what to do."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Help)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise UpkeepError instead of printing and exiting."""
        found = message
        remedy = f"{self.prog} --help"
        unknown = re.search(r"unrecognized arguments: (.*)", message)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            near = difflib.get_close_matches(unknown[1].split()[0].split("=")[0], options, 1)
            found = f"{unknown[1]}, which {self.prog} does not know"
            remedy = f"did you mean {near[0]}?  ({remedy} shows all)" if near else remedy
        usage = " ".join(self.format_usage().split()).removeprefix("usage: ")
        raise UpkeepError(
            "the command is not understood", expected=usage, found=found, remedy=remedy, exit_code=WRONG_USE
        )


def positive(text: str) -> int:
    """The type of an argument that counts something."""
    # More digits are more than a store can count.
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 999999999, found {text[:40]!r}")
    return int(text)


def parser_for(name: str | None) -> tuple[Parser, Parser]:
    """The whole parser, with the arguments of the one command that is called; and that command's own."""
    parser = Parser(
        prog="upkeep",
        description="Planned maintenance that proves itself: reviews with evidence, findings that become tickets.",
        epilog=EPILOG,
    )
    parser.add_argument("--config", metavar="FILE", help="as of each command; before or behind it")
    parser.add_argument("--version", action="version", version=f"upkeep {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    called = parser
    for command, summary in COMMANDS.items():
        if command == name:
            module = importlib.import_module(_module(command))
            called = commands.add_parser(command, help=summary, description=module.__doc__, epilog=module.EPILOG)
            called.add_argument(
                "--config",
                metavar="FILE",
                default=argparse.SUPPRESS,  # None would take the place of one that stands before the command
                help="the configuration to use instead of the one that is found",
            )
            module.configure(called)
        else:
            commands.add_parser(command, help=summary)
    return parser, called


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no arrow shows a question mark
    try:
        return _main(arguments)
    except UpkeepError as error:
        return _tell(error, arguments)
    except KeyboardInterrupt:
        return _tell(UpkeepError("interrupted", found="Ctrl-C", remedy="start it again", exit_code=NOT_RUN), arguments)
    except BrokenPipeError:
        # Whoever read our output has seen enough (`upkeep tickets | head`). Python would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        if sys.stdout is None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            return _tell(_our_fault(error), arguments)
        return _tell(_no_output(error), [])
    except Exception as error:  # noqa: BLE001 - a traceback shown to a user is a defect; it goes into a file
        return _tell(_our_fault(error), arguments)
    finally:
        _flush()


def _main(arguments: list[str]) -> int:
    name = _command(arguments)
    if name is not None and name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        raise UpkeepError(
            f"there is no command {name!r}",
            expected="one of " + ", ".join(COMMANDS),
            found=name,
            remedy=f"did you mean {near[0]}?" if near else "upkeep --help",
        )
    parser, called = parser_for(name)
    if name is None and not arguments:
        parser.print_help(sys.stderr)
        return WRONG_USE
    parsed, rest = parser.parse_known_args(arguments)
    if rest:
        called.error("unrecognized arguments: " + " ".join(rest))
    if parsed.command is None:
        parser.error("no command")
    result = importlib.import_module(_module(parsed.command)).execute(parsed)
    return int(result)


def _module(command: str) -> str:
    """Where a command is."""
    return f"upkeep.commands.{command.replace('-', '_')}"


def _command(arguments: Sequence[str]) -> str | None:
    """The command among the words: the first that is neither an option nor the file of --config before it."""
    words = iter(arguments)
    for word in words:
        if word == "--config":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def _tell(error: UpkeepError, arguments: list[str]) -> int:
    print("\n".join(error.lines()), file=sys.stderr)
    if "--json" in arguments:
        from .render import print_json

        print_json({"error": error_as_json(error), "exit_code": error.exit_code})
    return error.exit_code


def error_as_json(error: UpkeepError) -> dict[str, str]:
    """An error as part of a JSON document."""
    return {"what": error.what, "expected": error.expected, "found": error.found, "remedy": error.remedy}


def _our_fault(error: Exception) -> UpkeepError:
    import tempfile
    import traceback

    from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line, redact

    text = redact("".join(traceback.format_exception(error)))
    with tempfile.NamedTemporaryFile(
        "w", prefix="upkeep-fault-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
    ) as file:
        file.write(text)
    return UpkeepError(
        "a fault of Upkeep itself",
        found=clean_line(f"{type(error).__name__}: {error}", 300),
        remedy=f"report it, with the file {file.name}",
        exit_code=NOT_RUN,
    )


def _no_output(error: OSError) -> UpkeepError:
    return UpkeepError(
        "the output could not be written",
        expected="a standard output that takes it",
        found=error.strerror or str(error),
        remedy="see where it was sent to",
        exit_code=NOT_RUN,
    )


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        # Told already, or nobody reads; Python would try once more at its exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
