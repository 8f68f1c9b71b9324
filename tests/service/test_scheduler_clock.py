# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scheduler whose clock is set by an hour while it works, by Debian's libfaketime; the steady clock is left alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.service.schedulers import Schedulers

pytestmark = pytest.mark.timeout(200)

JOBS = """
  a: {playbook: play.yml, schedule: daily 00:00, changes: false, catch_up: once, misfire: 3h}
"""
EVERY = 4.0


@pytest.mark.parametrize("hours", [1, -1])
def test_the_clock_is_set(tmp_path: Path, hours: int) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.fail("expected Debian's libfaketime, found none; to do: apt-get install libfaketime")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with Schedulers(tmp_path / "home", JOBS) as one:
        one.start(EVERY, **environment)
        one.until(lambda: len(one.firings()) >= 3)
        before = one.firings()[0].due
        offset.write_text(f"{hours * 3600:+d}")
        begin = time.monotonic()
        if hours > 0:
            # What lay in the hour is one occurrence that is made up for, at once and not an hour late.
            one.until(lambda: one.firings()[0].due > before + 3000, 20)
            print(f"fires {time.monotonic() - begin:.1f} s after the clock was set forward")
            time.sleep(3 * EVERY)
            assert one.firings()[0].due > before + 3600
        else:
            time.sleep(4 * EVERY)
            assert one.firings()[0].due <= before + 2 * EVERY, "these were carried out before: nothing is doubled"
            offset.write_text("+0")
            one.until(lambda: one.firings()[0].due > before + 2 * EVERY, 30)
        assert "the clock was set by" in one.logs()
        dues = [firing.due for firing in one.firings()]
        assert len(dues) == len(set(dues))
        assert all(firing.state in ("finished", "skipped", "missed", "running", "waiting") for firing in one.firings())
