# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service: signs of life, the leader's looks and the areas' steps, each on a timer of its own, until it is ended.

A store that is away is told once, and looked for again at each tick; so is a configuration that became wrong, and the
one before it stays in force.
"""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
import uuid
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from .. import config as configuration
from ..errors import UpkeepError
from ..store import UPKEEP, audit, nodes, open_store
from ..store.process import this_process
from . import leader, steps, systemd
from .alarm import Alarm
from .engine import Engine
from .launch import Launcher
from .timers import Timers
from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from ..config import Config
    from ..metrics.server import Endpoint
    from ..store import Store
    from .steps import Step

log = logging.getLogger("upkeep.scheduler")

TICK = 30.0
"""Seconds between two looks at the latest, by the wall clock."""
BEAT = 3.0
"""Seconds between two signs of life; also how soon a free lead is noticed."""
HUNG = 180.0
"""Seconds after which a tick that does not end is one that hangs: systemd is not told that we live, and starts anew."""


BEATS = "the signs of life"
LOOKS = "the schedule"
CONFIGURATION = "the configuration"
ALARM = 15.0
"""Seconds between two looks whether the store fails for so long that it is told past it."""


class Service:
    """One scheduler process."""

    def __init__(
        self, config: Config, store: Store, clock: Callable[[], float] = time.time, stamp: object = None
    ) -> None:
        self.config = config
        self.store = store
        self._clock = clock
        process = this_process()
        started = clock()
        # Ordered by age: the eldest takes over from a leader that hangs.
        identity = f"{int(started * 1000):014d}-{uuid.uuid4().hex[:8]}"
        self.node = nodes.Node(identity, process, started, started, False)
        self._lock = leader.lock_of(store.database)
        self._watch: Watch[str] = Watch(4 * BEAT)
        self._told: dict[str, str] = {}
        self._stamp = stamp or _stamp(config.path)
        self._wrong: UpkeepError | None = None
        """What is wrong with the configuration since it was changed."""
        self._timers = Timers(self._jumped, clock)
        self._launcher = Launcher(config.home, config.path, self._wake)
        self._engine = Engine(store, config, process.node, self._launcher)
        self._alarm = Alarm()
        self._turn = threading.Lock()
        self._woken = threading.Event()
        self._ticked = time.monotonic()
        self._over = threading.Event()
        self._endpoint: Endpoint | None = None
        self._beating = threading.Lock()
        self._left = False

    # --- a service ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until SIGTERM or SIGINT. Runs that are at work then go on, and the next scheduler follows them."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._over.set())
        self._endpoint = self._metrics()
        self._timers.start()
        self._timers.every("beat", BEAT, self._guarded(BEATS, self.beat))
        self._timers.every("tick", TICK, self._guarded(LOOKS, self.tick), delay=0.5)
        self._timers.every("alarm", ALARM, self._guarded("the alarm", self._look_at_store), delay=ALARM)
        for place, step in enumerate(steps.STEPS):
            delay = 2.0 + place * 0.5  # not all at once
            self._timers.every(
                step.name, step.every, self._guarded(f"the step {step.name}", self._stepper(step)), delay
            )
        log.info("at work as process %d on %s, store %s", self.node.process.pid, self.node.process.node, self.store.url)
        systemd.tell("READY=1")
        while not self._over.wait(1.0):
            if time.monotonic() - self._ticked < HUNG:
                systemd.tell("WATCHDOG=1")
        systemd.tell("STOPPING=1")
        log.info("ends; runs that are at work go on")
        self._timers.shutdown(wait=False)
        if self._endpoint is not None:
            self._endpoint.close()
        self._leave()

    def once(self) -> bool:
        """One look and one of each step, as a cron line does it; False when another scheduler leads."""
        try:
            if not self._lock.hold():
                return False
            self._engine.look(self._clock(), time.monotonic())
            for step in steps.STEPS:
                if step.wanted(self.config):
                    self._guarded(f"the step {step.name}", self._stepper(step, always=True))()
        finally:
            self._lock.release()
        return True

    def _leave(self) -> None:
        self._lock.release()
        try:
            with self._beating, self.store.database.write() as connection:
                self._left = True
                nodes.remove(connection, [self.node.id])
        except UpkeepError as error:
            log.warning("%s: %s", error.what, error.found)

    # --- the timers' work ---------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """A sign of life, and who leads."""
        try:
            holds = self._lock.hold()
        except UpkeepError:
            self._lead(False)
            raise
        with self.store.database.read() as connection:
            all_nodes = nodes.listed(connection)
        others = [node for node in all_nodes if node.id != self.node.id]
        signs: dict[str, object] = {node.id: node.seen for node in others}
        signs[""] = any(node.leads for node in others)
        steady = time.monotonic()
        still = self._watch.still(signs, steady)
        patience = self.config.scheduler.takeover_after
        if any(node.leads and still[node.id] < patience for node in others):
            still[""] = 0.0
        elif signs[""]:
            # Somebody leads by the store, and hangs: what counts is for how long.
            still[""] = max(still[node.id] for node in others if node.leads)
        leads = leader.leads(self.node.id, holds, others, still, patience)
        self._lead(leads)
        self.node = replace(self.node, seen=self._clock(), leads=leads)
        gone = [one for one, seconds in still.items() if one and seconds > 20 * patience]
        with self._beating, self.store.database.write() as connection:
            if self._left:
                return  # its row is away, and must not come back as that of a scheduler that was lost
            nodes.beat(connection, self.node)
            if leads and gone:
                nodes.remove(connection, gone)
                for one in others:
                    if one.id in gone:  # what the self-review tells of: the row is away
                        name, last = one.process.node, {"pid": one.process.pid, "seen": one.seen}
                        audit.write(connection, UPKEEP, "scheduler.lost", name, last, self._clock())

    def tick(self) -> None:
        """Look at the configuration, and as leader at what is due."""
        try:
            self._guarded(CONFIGURATION, self._reload)()
            if self.node.leads:
                again = math.inf
                self._woken.set()
                # A process that ends during a look is not in it, and the timer does not come while this one is at work.
                while self._woken.is_set() and not self._over.is_set():
                    self._woken.clear()
                    with self._turn:
                        again = self._engine.look(self._clock(), time.monotonic())
                if not math.isinf(again):
                    self._timers.sooner("tick", max(again, self._clock() + 0.001))
        finally:
            self._ticked = time.monotonic()

    def _wake(self) -> None:
        """Something is to be looked at now."""
        self._woken.set()
        self._timers.sooner("tick", self._clock())

    def _lead(self, leads: bool) -> None:
        if leads == self.node.leads:
            return
        log.info("leads" if leads else "leads no more: another scheduler does, or the store is away")
        self.node = replace(self.node, leads=leads)
        if leads:
            self._engine.forget()
            self._wake()

    def _stepper(self, step: Step, always: bool = False) -> Callable[[], None]:
        def work() -> None:
            if always or ((self.node.leads or not step.leader_only) and step.wanted(self.config)):
                step.function()(self.store, self.config, self._clock())

        return work

    def _reload(self) -> None:
        stamp = _stamp(self.config.path)
        if self.config.path is None:
            return
        if stamp == self._stamp:
            if self._wrong is not None:
                raise self._wrong.with_traceback(None)  # it is as wrong as it was when it was read
            return
        self._stamp, self._wrong = stamp, None
        try:
            config = configuration.load(str(self.config.path))
        except UpkeepError as error:
            self._wrong = UpkeepError(
                f"it was changed, and is wrong; the one before stays in force: {error.what}",
                expected=error.expected,
                found=error.found,
                remedy=error.remedy,
            )
            raise self._wrong from error
        if config.store_url != self.config.store_url:
            log.warning("the store's address was changed: that takes a restart of the service")
        self.config = config
        if self._endpoint is not None:
            self._endpoint.reader.config = config  # where it listens takes a restart
        with self._turn:
            self._engine.config = config
            self._engine.forget()
        self.store.note_config(config.path, "upkeep", self._clock())
        log.info("the configuration was changed, and is in force")

    def _jumped(self, seconds: float) -> None:
        log.warning("the clock was set by %+.0f seconds; what is due is looked at anew", seconds)

    def _guarded(self, name: str, work: Callable[[], object]) -> Callable[[], None]:
        """Work whose failure is told once, and whose end of failing as well; nothing of it ends the service."""

        def guarded() -> None:
            wrong = ""
            try:
                work()
            except UpkeepError as error:
                wrong = "; ".join(line.strip() for line in error.lines()).removeprefix("upkeep: ")
            except Exception as error:  # noqa: BLE001 - one area's fault must not stop the others
                wrong = f"a fault of Upkeep itself: {_places(error)}"
            if wrong != self._told.get(name, ""):
                before = self._told.get(name, "")
                self._told[name] = wrong
                if wrong:
                    log.error("%s: %s", name, wrong)
                elif before:
                    log.info("%s: well again", name)

        return guarded

    def _metrics(self) -> Endpoint | None:
        from ..metrics import serve

        try:
            return serve(self.config, self._unwell)
        except UpkeepError as error:
            log.error("%s: %s; %s", error.what, error.found, error.remedy)
            return None

    def _look_at_store(self) -> None:
        wrong = self._told.get(BEATS, "") or self._told.get(LOOKS, "")
        self._alarm.look(self.config, wrong, time.monotonic())

    def _unwell(self) -> str:
        """What is wrong with this process; empty when nothing is."""
        if time.monotonic() - self._ticked >= HUNG:
            return "the schedule was not looked at for minutes"
        # Under a configuration that became wrong it works on by the one before: that is a ticket, not its death.
        told = ((name, wrong) for name, wrong in self._told.items() if name != CONFIGURATION)
        return "; ".join(f"{name}: {wrong}" for name, wrong in told if wrong)


def open_service(config: Config, patience: float = 600.0) -> Service:
    """A service on its store; waits while the store is away. Raises UpkeepError when it still is after ``patience``."""
    deadline = time.monotonic() + patience
    told = ""
    stamp = _stamp(config.path)  # of what was read: while it waits, somebody may correct the file
    while True:
        try:
            return Service(config, open_store(config.store_url, config.home), stamp=stamp)
        except UpkeepError as error:
            if time.monotonic() >= deadline:
                raise
            if error.what != told:
                log.error("%s: %s; it is tried again", error.what, error.found)
                told = error.what
            systemd.tell(f"EXTEND_TIMEOUT_USEC=30000000\nSTATUS={error.what}")
            time.sleep(5.0)


def set_up_logging(zone: ZoneInfo) -> None:
    """To standard error; under systemd with the level that journald understands, otherwise with the time in a zone."""
    import os

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Journal() if os.environ.get("JOURNAL_STREAM") else _Timed(zone))
    for name, level in (("upkeep", logging.INFO), ("apscheduler", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers = [handler]  # not a second one: each line would stand there twice
        logger.propagate = False


class _Timed(logging.Formatter):
    """A line with its time by the configured zone, as the commands show it, whatever this machine's is."""

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__("%(asctime)s %(message)s")
        self._zone = zone

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        return f"{datetime.fromtimestamp(record.created, self._zone):%Y-%m-%d %H:%M:%S %Z}"


class _Journal(logging.Formatter):
    """sd-daemon(3): a line's level in front of it."""

    def format(self, record: logging.LogRecord) -> str:
        level = 3 if record.levelno >= logging.ERROR else 4 if record.levelno >= logging.WARNING else 6
        return f"<{level}>{record.getMessage()}"


def _stamp(path: Path | None) -> object:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size, found.st_ino)


def _places(error: Exception) -> str:
    from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line, places

    return clean_line("; ".join(places(error)), 600)
