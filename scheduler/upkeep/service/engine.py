# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look of the leader: what ended is followed, what waits goes on, what is due is claimed and started.

Everything that must not be lost is in the store, and each step may be broken off anywhere: the next look, of this
scheduler or another, goes on from what is written there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..calendar.decide import Begin, Skip, Wait
from ..errors import NOT_RUN, UpkeepError
from ..running import done_hosts, lost
from ..store import RUNNING, firings, job_runs, nodes, runs
from . import decisions
from .book import Book, judge, note
from .launch import PUT_OFF
from .watch import Watch

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ..calendar.decide import Decided
    from ..config import Config
    from ..store import Store
    from ..store.firings import Firing, JobState
    from .book import Entry
    from .launch import Ended

log = logging.getLogger("upkeep.scheduler")

ATTEMPTS = 3
"""Processes that are started for a firing before it counts as one that cannot be carried out."""
RETRY = 30.0
"""Seconds before the second one; the third waits twice that."""
MAX_PUT_OFF = RETRY * ATTEMPTS
"""Seconds that a firing is put off at most before it is looked at anew."""
BEGIN_WITHIN = 20.0
"""Seconds in which a process that another scheduler has started registers its run; later it may be started again.
Should the first one still come, only one of both gets the firing."""


GAP = 45.0
"""Seconds: a look comes each 30 at the latest, unless the store is away."""


class Starts(Protocol):
    """What the engine needs of a launcher."""

    def start(self, firing: int, job: str) -> None:
        """Start the process of a firing."""
        ...

    def at_work(self) -> set[int]:
        """The firings whose process is at work."""
        ...

    def ended(self) -> list[Ended]:
        """Processes that ended since it was asked last."""
        ...


@dataclass
class _Seen:
    """What one read of the store says."""

    open: list[Firing]
    running: dict[str | None, int]
    paused: dict[str, JobState]
    ended: bool
    """Whether runs of firings have ended since the last look."""


class Engine:
    """The leader's looks at one store."""

    def __init__(self, store: Store, config: Config, node: str, launcher: Starts) -> None:
        self.config = config
        self._store = store
        self._node = node
        self._launcher = launcher
        self._book: Book | None = None
        self._signs: Watch[int] = Watch(GAP)
        self._told_broken: dict[str, str] = {}

    def forget(self) -> None:
        """Read the jobs' states anew at the next look: another one may have led meanwhile, or the jobs are others."""
        self._book = None

    def look(self, now: float, steady: float) -> float:
        """Do what is to be done now; when to look again at the latest (infinity: nothing is due).

        ``now``: seconds since the epoch; ``steady``: of a clock that never jumps. Raises UpkeepError when the store
        fails; what was done until then stands.
        """
        finished = self._launcher.ended()
        self._clear_up_lost(steady)
        self._note_ended(finished, now)
        seen = self._see()
        run_ended = bool(finished) or seen.ended
        if seen.ended:
            self._follow(now)
            seen = self._see()
        self._go_on(seen, now)
        self._begin(seen, now, run_ended)
        return self._book.next() if self._book else now

    # --- what ended ---------------------------------------------------------------------------------------------------

    def _clear_up_lost(self, steady: float) -> None:
        """Runs whose process or node died are recorded as interrupted; their tickets stay as they are."""
        if self._store.lost():
            lost.clear_up(self._store, self.config.home)
            with self._store.database.write() as connection:
                runs.mark_lost(connection)
        with self._store.database.read() as connection:
            signs = nodes.signs(connection, self._node)
        patience = self.config.scheduler.node_lost_after
        for number, seconds in self._signs.still(signs, steady).items():
            if seconds >= patience:
                why = f"no sign of life of it or its machine for {seconds:.0f} seconds"
                with self._store.database.write() as connection:
                    if nodes.mark_dead(connection, number, signs[number], why):
                        log.warning("run %d: %s; recorded as interrupted", number, why)

    def _note_ended(self, finished: list[Ended], now: float) -> None:
        """Processes that ended without a run: tried again when that may help, or told as an error."""
        for one in finished:
            if one.code == PUT_OFF:
                continue
            with self._store.database.write() as connection:
                firing = firings.one(connection, one.firing)
                if firing is None:
                    continue
                if firing.run is not None:
                    row = runs.by_id(connection, firing.run)
                    if row is not None:
                        log.info("%s: occurrence %d was run %d: %s", firing.job, firing.id, row.number, row.state)
                    continue
                if firing.state != firings.WAITING:
                    continue
                said = one.said or f"its process ended with {one.code}"
                if (one.code < 0 or one.code == NOT_RUN) and firing.attempts < ATTEMPTS:
                    firings.put_off(connection, firing.id, said, now + RETRY * firing.attempts, failed=True)
                else:
                    firings.end(connection, firing.id, firings.BROKEN, said, now)
            log.error("%s: its run could not begin: %s", firing.job, said)

    def _follow(self, now: float) -> None:
        with self._store.database.write() as connection:
            for followed in firings.follow(connection, now):
                firing = followed.firing
                job = self.config.jobs.get(firing.job)
                log.info("%s: %s %s", firing.job, firing.state, firing.why)
                if followed.cut_off and job is not None and job.restart == "once" and firing.done is None:
                    if followed.seen is not None and now - followed.seen > decisions.lateness(job):
                        firings.note(connection, firing.id, "too late to carry it out once more")
                        continue
                    done = done_hosts.read(followed.artifacts)
                    why = f"its first run was cut off; {len(done)} host(s) of it are done"
                    firings.again(connection, firing.id, done, why, now)
                    log.warning("%s: %s; it is carried out once more", firing.job, why)

    # --- what waits ---------------------------------------------------------------------------------------------------

    def _see(self) -> _Seen:
        with self._store.database.read() as connection:
            return _Seen(
                firings.open_ones(connection),
                job_runs.running(connection),
                firings.paused(connection),
                firings.any_to_follow(connection),
            )

    def _go_on(self, seen: _Seen, now: float) -> None:
        """Start what was claimed and has not begun: it was put off, or who claimed it died before it could start it."""
        ours = self._launcher.at_work()
        for firing in seen.open:
            # Nothing is put off for longer than that: what lies further ahead comes of a clock that was set back.
            put_off = now < firing.not_before <= now + MAX_PUT_OFF
            if firing.state != firings.WAITING or firing.id in ours or put_off:
                continue
            if firing.launched is not None and abs(now - firing.launched) < BEGIN_WITHIN:
                continue
            self._go_on_with(firing, seen, now)

    def _go_on_with(self, firing: Firing, seen: _Seen, now: float) -> None:
        with self._store.database.write() as connection:
            current = firings.one(connection, firing.id)
            if current is None or current.state != firings.WAITING:
                return
            decision = self._decide_anew(connection, current, seen, now)
            if isinstance(decision, Skip):
                decisions.end(connection, current, decision, now)
                log.warning("%s: not carried out: %s", firing.job, decision.why)
                return
            if isinstance(decision, Wait):
                until = max(now + 1.0, min(decision.until, now + RETRY))
                firings.put_off(connection, firing.id, decision.why, until)
                return
            firings.launching(connection, firing.id, now, decision.ends_by, decision.without)
        firing_now = firings.Firing(**{**vars(firing), "launched": now})
        seen.open[seen.open.index(firing)] = firing_now
        self._start(firing.id, firing.job, now)

    def _decide_anew(self, connection: Connection, firing: Firing, seen: _Seen, now: float) -> Begin | Skip | Wait:
        others = [other for other in seen.open if other.id != firing.id]
        held = self._held(firing.job, others, seen)
        paused = decisions.paused_why(seen.paused.get(firing.job))
        return decisions.anew(connection, self.config, firing, now, paused=paused, held=held)

    # --- what is due --------------------------------------------------------------------------------------------------

    def _begin(self, seen: _Seen, now: float, run_ended: bool) -> None:
        book = self._load(now)
        judged: list[tuple[Entry, Decided]] = []
        with self._store.database.read() as connection:
            open_now = list(seen.open)
            for entry in book.due(now, run_ended):
                job = entry.job
                decided = judge(
                    entry,
                    now,
                    paused=decisions.paused_why(seen.paused.get(job.name)),
                    held=self._held(job.name, open_now, seen),
                    ends=decisions.ends_of(connection, job),
                    typical=job_runs.typical(connection, job.name) if job.windows else None,
                )
                self._tell_broken(entry)
                if decided is None:
                    continue
                judged.append((entry, decided))
                open_now += [_placeholder(job.name, one) for one in decided.decisions if isinstance(one, Begin)]
        self._claim([pair for pair in judged if pair[1].cursor != pair[0].cursor], now)
        for entry, decided in judged:
            note(entry, decided, now)

    def _claim(self, judged: list[tuple[Entry, Decided]], now: float) -> None:
        if not judged:
            return
        with self._store.database.write() as connection:
            claimed = [
                one
                for entry, decided in judged
                for one in decisions.claim(connection, entry.job.name, decided, self._node, now)
            ]
            cursors = {entry.job.name: decided.cursor for entry, decided in judged}
            decisions.move_cursors(connection, self.config, cursors, now)
        for entry, decided in judged:
            for decision in decided.decisions:
                if isinstance(decision, Skip):
                    log.log(
                        logging.WARNING if decision.missed else logging.INFO,
                        "%s: not carried out: %s",
                        entry.job.name,
                        decision.why,
                    )
        for one in claimed:
            self._start(one.firing, one.job, now)

    def _start(self, firing: int, job: str, now: float) -> None:
        try:
            self._launcher.start(firing, job)
        except UpkeepError as error:
            log.error("%s: %s: %s", job, error.what, error.found)
            with self._store.database.write() as connection:
                found = firings.one(connection, firing)
                if found is not None and found.attempts < ATTEMPTS:
                    firings.put_off(connection, firing, f"{error.what}: {error.found}", now + RETRY, failed=True)
                else:
                    firings.end(connection, firing, firings.BROKEN, f"{error.what}: {error.found}", now)
        else:
            log.info("%s: started, occurrence %d", job, firing)

    def _held(self, job: str, open_now: list[Firing], seen: _Seen) -> str:
        """Why a job cannot begin at this moment although it may; empty when it can."""
        if seen.running.get(job):
            return "an earlier run of it goes on"
        if any(firing.job == job for firing in open_now):
            return "an earlier occurrence of it is not over"
        at_work = sum(firing.state == RUNNING or firing.launched is not None for firing in open_now)
        if at_work >= self.config.scheduler.max_runs:
            return f"{at_work} runs are at work, as many as max_runs of the scheduler allows"
        return ""

    def _load(self, now: float) -> Book:
        if self._book is None:
            with self._store.database.read() as connection:
                states = firings.job_states(connection)
            book = Book(self.config, states, now)
            if book.new:
                with self._store.database.write() as connection:
                    decisions.move_cursors(connection, self.config, book.new, now)
            self._book = book
        return self._book

    def _tell_broken(self, entry: Entry) -> None:
        if self._told_broken.get(entry.job.name, "") != entry.broken:
            self._told_broken[entry.job.name] = entry.broken
            if entry.broken:
                log.error("%s: nothing can be decided about it: %s", entry.job.name, entry.broken)


def _placeholder(job: str, begin: Begin) -> Firing:
    """An occurrence that is about to be claimed in this look: it takes its place among those at work."""
    return firings.Firing(
        0, job, begin.due, firings.WAITING, "", "", 0.0, 0.0, None, None, 1, begin.not_before, None, (), None
    )
