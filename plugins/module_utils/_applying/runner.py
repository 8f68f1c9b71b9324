# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that carries out a transaction: a unit or a session of its own, so that it outlives whoever began it.

It runs by itself, as ``python3 runner.py FOLDER BASE``, from the plan's folder: the module that began it may be gone
with its temporary files. It reads transaction.json, writes transaction.log, and leaves outcome.json, whole or not at
all. While it lives it holds a lock, which goes with it whatever ends it: so anybody can ask whether it still runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

LOCK = "transaction.lock"
BUSY = 75
"""Its exit code when another transaction runs (EX_TEMPFAIL)."""


def source() -> str:
    """The text of this file."""
    return str(__loader__.get_source(__name__))  # type: ignore[name-defined] # set by whatever imported this


def main(folder: str, base: str) -> int:
    child: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def end(_number: int, _frame: Any) -> None:
        # SIGUSR1: the way back wants it ended.
        asked.append(1)
        for process in child:
            os.killpg(process.pid, signal.SIGTERM)

    # Handlers, not SIG_IGN, which dpkg and its scripts would inherit. A shutdown waits for us (TimeoutStopSec).
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    signal.signal(signal.SIGUSR1, end)
    with open(os.path.join(folder, "transaction.json"), encoding="utf-8") as stream:
        work = json.load(stream)
    lock = os.open(os.path.join(base, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return BUSY
    os.ftruncate(lock, 0)
    os.write(lock, os.path.basename(folder).encode() + b"\n")
    log = os.open(os.path.join(folder, "transaction.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    results: list[dict[str, Any]] = []
    os.write(log, b"\n== begun %s\n" % work["token"].encode())
    last = 0
    for command in work["commands"]:
        if asked or (command["when"] != "always" and (command["when"] == "ok") != (last == 0)):
            continue
        began = time.time()
        told = "\n== %s %s\n" % (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)), " ".join(command["argv"]))
        os.write(log, told.encode("utf-8", "replace"))
        try:
            process = subprocess.Popen(
                command["argv"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=work["environment"],
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            os.write(log, ("%s\n" % error).encode("utf-8", "replace"))
            rc = 127
        else:
            child[:] = [process]
            rc = wait(process, asked)
            child.clear()
        if command["counts"]:
            last = rc
            results.append({"program": command["argv"][0], "rc": rc, "started": began, "ended": time.time()})
    os.fsync(log)
    leave(folder, {"token": work["token"], "results": results, "ended_by": "request" if asked else ""})
    return 0


def wait(process: subprocess.Popen[bytes], asked: list[int]) -> int:
    """Wait for the end of a program; one that was asked to end has ten seconds."""
    patience = 10.0
    while True:
        try:
            return process.wait(0.5)
        except subprocess.TimeoutExpired:
            if asked:
                patience -= 0.5
                if patience <= 0:
                    os.killpg(process.pid, signal.SIGKILL)


def leave(folder: str, outcome: dict[str, Any]) -> None:
    temporary = os.path.join(folder, ".outcome.json")
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(outcome, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, os.path.join(folder, "outcome.json"))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2]))
