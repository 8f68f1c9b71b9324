# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server drained or taken back by programs of the customer, without a shell; one of them says how it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._findings import clean_line, clean_lines
from .._process import run
from .draining import Look, Open
from .outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._process import Ended

STATES = {0: "drained", 3: "ready", 4: "draining", 5: "returning"}
"""What the exit code of check_command says. 1 and 2 are left out, for they are how a program ends that is broken."""
_OUTPUT = 1024 * 1024
_LINES = 10
"""Lines of a program's output, the last ones, that are shown."""


class Command:
    """Three programs: one drains, one takes back, one tells how it is."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        drained = options["state"] == "drained"
        self._change = "drain_command" if drained else "active_command"
        self._wanted, self._on_its_way = ("drained", "draining") if drained else ("ready", "returning")
        self.by = self._change
        self.where = "check_command %s" % clean_line(options["check_command"][0], 200)

    def look(self) -> Look:
        now = self._state()
        name = self._options["server"]
        after = now if now == self._on_its_way else self._wanted
        return Look(
            self._told(now), "%s: %s\n" % (name, now), "%s: %s\n" % (name, after),
            changes=now not in (self._wanted, self._on_its_way), left_alone=[],
        )  # fmt: skip

    def carry_out(self, done: list[str]) -> None:
        ended = self._run(self._change)
        if ended.rc != 0:
            raise _failed(self._change, ended, "Run it by hand on the machine that this ran on: it must end with 0.")
        done.append("%s ran" % self._change)

    def left(self, seconds: float) -> Open:
        now = self._state()
        left = [] if now == self._wanted else ["check_command says it is %s" % now]
        remedy = "Raise timeout, or see why %s does not bring it about." % self._change
        return Open(self._told(now), left, "not %s" % self._wanted, remedy)

    def _state(self) -> str:
        ended = self._run("check_command")
        if ended.rc not in STATES:
            codes = ", ".join("%d for %s" % pair for pair in STATES.items())
            raise _failed("check_command", ended, "How it is, is not known. It must end with %s." % codes)
        return STATES[ended.rc]

    def _told(self, state: str) -> list[dict[str, Any]]:
        return [{"backend": "", "server": self._options["server"], "status": state, "state": state, "sessions": 0}]

    def _run(self, name: str) -> Ended:
        argv: Sequence[str] = self._options[name]
        try:
            return run(argv, timeout=self._options["step_timeout"], limit=_OUTPUT)
        except OSError as error:
            raise Failed(
                "%s cannot be started: %s" % (name, clean_line(error, 200)),
                "Give the path of a program that this account may run; there is no shell.",
            ) from None


def _failed(name: str, ended: Ended, remedy: str) -> Failed:
    if ended.ended_by == "limit":
        what = "%s printed more than %d MiB" % (name, _OUTPUT >> 20)
    elif ended.ended_by:
        what = "%s did not end within step_timeout (%.0f s)" % (name, ended.seconds)
    elif ended.rc is not None and ended.rc < 0:
        what = "%s was ended by signal %d" % (name, -ended.rc)
    else:
        what = "%s ended with %d" % (name, ended.rc or 0)
    said = said_by(ended)
    return Failed(what + (": " + clean_line(said[-1], 200) if said else ""), remedy, said)


def said_by(ended: Ended) -> list[str]:
    """The last lines that a program printed, those of standard error first."""
    parts = (ended.err.decode("utf-8", "replace"), ended.out.decode("utf-8", "replace"))
    return clean_lines([line for part in parts for line in part.splitlines()[-_LINES:] if line.strip()])
