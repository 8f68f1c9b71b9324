# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`upkeep scheduler`, whose jobs are due every few seconds: what a schedule takes a minute for, a test has no time for.

All else is the real thing: this process is the service, and it starts real `upkeep run` processes.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count, islice
from zoneinfo import ZoneInfo

from upkeep import config as configuration
from upkeep.service import loop


@dataclass(frozen=True)
class Every:
    """A schedule: each full ``seconds`` of the epoch."""

    seconds: float
    until: float = math.inf

    def instants(self, after: datetime, _zone: ZoneInfo) -> Iterator[datetime]:
        first = math.floor(after.timestamp() / self.seconds) + 1
        for number in islice(count(first), 100_000):
            if number * self.seconds > self.until:
                return
            yield datetime.fromtimestamp(number * self.seconds, UTC)


def main() -> None:
    every = Every(float(sys.argv[1]), float(os.environ.get("TEST_UNTIL", "inf")))
    config = configuration.load()
    jobs = {
        name: replace(job, schedule=every, schedule_text=f"each {every.seconds:g} s") if job.schedule else job
        for name, job in config.jobs.items()
    }
    os.environ.pop("LD_PRELOAD", None)  # a false clock is for this process: Ansible does not bear libfaketime
    loop.set_up_logging(config.time_zone)
    service = loop.open_service(replace(config, jobs=jobs))
    service.run()
    service.store.close()


if __name__ == "__main__":
    main()
