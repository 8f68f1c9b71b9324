# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begin a transaction in a process of its own, follow it, find it again, and end it.

With systemd it is a transient unit (upkeep-patch-PLANID): it survives the connection, the session and this module, and
a shutdown waits for it. Elsewhere it is a session of its own. Either way runner.py holds a lock while it lives.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from . import runner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._host import Host
    from .journal import Store

SHUTDOWN_SECONDS = 900
"""Seconds that a shutdown waits for a transaction to come to its end."""
_POLL = 0.25


class CannotStart(Exception):  # noqa: N818 - an outcome, told as a finding
    """The transaction could not be begun: why, with what was said."""

    def __init__(self, why: str, evidence: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.why = why
        self.evidence = list(evidence)


class Command(NamedTuple):
    """One program of a transaction.

    ``when``: ``ok`` (those before it succeeded), ``failed``, or ``always``. What does not count changes nothing of
    whether those before it succeeded.
    """

    argv: Sequence[str]
    when: str = "ok"
    counts: bool = True


class Running(NamedTuple):
    """A transaction at work: the process of its runner, and the plan that it belongs to (empty: not known)."""

    pid: int
    plan_id: str


class Outcome(NamedTuple):
    """How a transaction ended. ``results``: program, rc, started, ended of each program that ran."""

    results: list[dict[str, Any]]
    ended_by: str

    @property
    def ok(self) -> bool:
        return bool(self.results) and self.results[-1]["rc"] == 0 and not self.ended_by

    @property
    def seconds(self) -> float:
        return float(sum(result["ended"] - result["started"] for result in self.results))


def unit(plan_id: str) -> str:
    return "upkeep-patch-%s.service" % plan_id


def running(host: Host, store: Store) -> Running | None:
    """The transaction that is at work on this host, whoever began it."""
    path = os.path.join(store.base, runner.LOCK)
    pid = host.lock_holder(path)
    if pid is None:
        return None
    return Running(pid, (host.read(path, 100) or "").strip())


def start(
    host: Host, store: Store, plan_id: str, token: str, commands: Sequence[Command], environment: Mapping[str, str]
) -> None:
    """Begin a transaction. Raises CannotStart and JournalError."""
    folder = store.folder(plan_id)
    work = {
        "token": token,
        "environment": dict(environment),
        "commands": [{"argv": list(c.argv), "when": c.when, "counts": c.counts} for c in commands],
    }
    until = host.now() + 10.0
    while running(host, store) is not None:
        # The one before has left its outcome, and ends this very moment; or another one is at work.
        if host.now() >= until:
            raise CannotStart("another transaction is at work on this host")
        host.sleep(_POLL)
    store.forget(plan_id, "outcome.json")
    store.write(plan_id, "runner.py", runner.source())
    store.write(plan_id, "transaction.json", json.dumps(work))
    # -I: nothing of this session's environment or folders decides what is imported.
    argv = [sys.executable or "/usr/bin/python3", "-I", "-B", store.path(plan_id, "runner.py"), folder, store.base]
    said = ""
    if host.exists("/run/systemd/system") and host.which("systemd-run"):
        said = _as_unit(host, plan_id, argv)
        if not said:
            return
    try:
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        ).returncode = 0  # its end is seen by its lock and its outcome; it is not ours to wait for
    except OSError as error:
        raise CannotStart("%s could not be started" % argv[0], [str(error), said]) from error


def _as_unit(host: Host, plan_id: str, argv: Sequence[str]) -> str:
    """Begin it as a unit of systemd; what was said where that did not go, else nothing. Raises CannotStart."""
    host.run(["systemctl", "reset-failed", unit(plan_id)], timeout=30)
    until = host.now() + 10.0
    while True:
        ran = host.run(
            [
                "systemd-run",
                "--quiet",
                "--collect",
                "--unit=" + unit(plan_id),
                "--description=Upkeep carries out plan " + plan_id,
                # Only the runner is asked to end, and it waits for dpkg or rpm: a shutdown does not cut them off.
                "--property=KillMode=mixed",
                "--property=TimeoutStopSec=%d" % SHUTDOWN_SECONDS,
                "--",
                *argv,
            ],
            timeout=60,
        )
        if ran.rc == 0:
            return ""
        said = (ran.err + ran.out).strip() or "systemd-run ended with %s" % ran.rc
        if "destructive" in said:
            # A session of its own would be cut off by the shutdown that forbids the unit.
            raise CannotStart("the host is shutting down", said.splitlines()[:3])
        if "already" not in said:
            return said.splitlines()[0]
        if host.now() >= until:
            raise CannotStart("the unit %s is there already" % unit(plan_id), said.splitlines()[:3])
        host.sleep(_POLL)


def outcome(store: Store, plan_id: str, token: str) -> Outcome | None:
    """How the transaction with this token ended, None when it did not, or was ended from outside."""
    try:
        data = json.loads(store.read(plan_id, "outcome.json") or "null")
    except ValueError:
        return None
    if not isinstance(data, dict) or data.get("token") != token or not isinstance(data.get("results"), list):
        return None
    return Outcome(data["results"], str(data.get("ended_by", "")))


def follow(host: Host, store: Store, plan_id: str, token: str, until: float) -> tuple[Outcome | None, bool]:
    """Wait for the end of a transaction: its outcome, and whether it still runs at ``until`` (seconds since the epoch).

    Neither: it was ended from outside (kill, power cut), or never began.
    """
    seen = False
    began = host.now()
    while True:
        at_work = running(host, store)
        ended = outcome(store, plan_id, token)
        if ended is not None:
            return ended, False
        seen = seen or at_work is not None
        # Between its start and its lock there is a moment.
        if at_work is None and (seen or host.now() - began > 10.0):
            return outcome(store, plan_id, token), False
        if host.now() >= until:
            return None, True
        host.sleep(_POLL)


def end(host: Host, store: Store, plan_id: str, patience: float = 30.0) -> bool:
    """End a transaction, politely and then for good; whether it is gone."""
    at_work = running(host, store)
    if at_work is None:
        return True
    with contextlib.suppress(OSError):
        os.kill(at_work.pid, signal.SIGUSR1)
    until = host.now() + patience
    while running(host, store) is not None and host.now() < until:
        host.sleep(_POLL)
    # Also what a maintainer script left behind in the unit.
    host.run(["systemctl", "kill", "--signal=KILL", unit(plan_id)], timeout=30)
    left = running(host, store)
    if left is not None:
        with contextlib.suppress(OSError):
            os.kill(left.pid, signal.SIGKILL)
    until = host.now() + 5.0
    while running(host, store) is not None and host.now() < until:
        host.sleep(_POLL)
    return running(host, store) is None
