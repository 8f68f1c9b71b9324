# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead man's switch: a URL is called while Upkeep is alive, its jobs are on time and it can tell somebody.

Who watches the URL (healthchecks.io and its like, Uptime Kuma, an Alertmanager's watchdog) says so when the calls end.
That works also when Upkeep, its machine or its network is dead. While it lives, a job that was missed is a ticket too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from ..errors import UpkeepError
from ..store import marks, outbox, schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ..config import Config
    from ..store import Store
    from .settings import Heartbeat

EVERY = 5.0
"""Seconds between two looks whether it is time, so that it is called within half of that of its time: who watches it
counts in the minutes that are configured, and a restart must not make two of one."""
RETRY = 60.0
"""Seconds after which a call that was not accepted is made again, if it is not sooner that one is due."""
CALLED = "heartbeat"
"""Marks: when it was called last with success, and without; since when it has been looked after; since when calls
fail."""
TRIED = "heartbeat tried"
SINCE = "heartbeat since"
FAILING = "heartbeat failing"
MUTE = 3600.0
"""Seconds that something waits in every channel until Upkeep counts as mute."""
TIMEOUT = (5.0, 10.0)
"""Seconds for the connection and for the answer."""

log = logging.getLogger(__name__)
_said: list[str] = []


def step(store: Store, config: Config, now: float) -> int:
    """Call the URL when it is time and all is well; returns the number of calls. UpkeepError when the store fails."""
    beat = config.notify.heartbeat if config.notify else None
    if beat is None:
        return 0
    with store.database.read() as connection:
        called, tried = marks.read(connection, CALLED), marks.read(connection, TRIED)
        if _lately(called, now, beat.every) or _lately(tried, now, min(RETRY, beat.every)):
            return 0
        since = marks.read(connection, SINCE)
        late = late_jobs(connection, beat, now, since.at if since else None)
        mute = is_mute(connection, config, now)
    if since is None:
        with store.database.write() as connection:
            marks.make(connection, SINCE, now)
    why = f"{', '.join(late)} not on time" if late else "no channel delivers" if mute else ""
    _say(f"no heartbeat: {why}" if why else "")
    if why:
        return 0
    wrong = call(beat)
    with store.database.write() as connection:
        if wrong:
            marks.make(connection, TRIED, now)
            if marks.read(connection, FAILING) is None:
                marks.make(connection, FAILING, now)
        else:
            marks.make(connection, CALLED, now)
            marks.remove(connection, FAILING)
            marks.remove(connection, TRIED)
    _say(f"the heartbeat in {beat.url} was not accepted: {wrong}" if wrong else "")
    return 0 if wrong else 1


def _lately(mark: marks.Mark | None, now: float, seconds: float) -> bool:
    """Whether it was less than so many seconds ago. A moment in the future was written under a wrong clock."""
    return mark is not None and mark.at <= now < mark.at + seconds - EVERY / 2


def _say(what: str) -> None:
    """Into the log, once for as long as it is so."""
    if what and what not in _said:
        log.warning(what)
    _said[:] = [what]


def late_jobs(connection: Connection, beat: Heartbeat, now: float, since: float | None) -> list[str]:
    """The jobs whose last complete run is too old. One that never ran counts from when it was looked after first."""
    runs = schema.runs.c
    late = []
    for job, age in beat.jobs:
        done = (runs.job == job, runs.state == "finished", runs.complete, ~runs.check_mode)
        last = connection.scalar(select(func.max(runs.finished)).where(*done))
        begin = last if last is not None else since
        if begin is not None and begin + age < now:
            late.append(job)
    return late


def is_mute(connection: Connection, config: Config, now: float) -> bool:
    """Whether no channel delivers what waits for it: then only the outside can still tell somebody."""
    channels = config.notify.channels.values() if config.notify else ()
    known = {one.queue: one for one in outbox.queues(connection)}
    queues = [known.get(queue) for channel in channels for queue in channel.queues()]
    return bool(queues) and all(
        one is not None and one.oldest is not None and one.oldest + MUTE < now for one in queues
    )


def failing_since(connection: Connection) -> float | None:
    """Since when the URL does not accept our calls; None: it does. For the self-review: nobody else would notice."""
    mark = marks.read(connection, FAILING)
    return mark.at if mark else None


def call(beat: Heartbeat) -> str:
    """Call the URL once; "" when it was accepted, else why not, without the URL."""
    import requests

    try:
        url = beat.url.read()
    except UpkeepError as error:
        return f"{error.what} ({error.found})"
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # it logs paths, which are secret here
    try:
        with requests.Session() as session:
            answer = session.request(
                beat.method.upper(), url, timeout=TIMEOUT, stream=True, headers={"User-Agent": "Upkeep"}
            )
            answer.close()  # what it says is not read, however much that is
    except requests.Timeout:
        return f"no answer within {sum(TIMEOUT):.0f} seconds"
    except requests.ConnectionError:
        return "no connection"
    except (requests.RequestException, ValueError) as error:
        return f"not a URL that can be called ({type(error).__name__})"
    return "" if answer.status_code < 300 else f"the answer {answer.status_code}"
