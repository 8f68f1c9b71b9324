# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A freeze, as a run by hand and a cron line meet it: what changes systems is refused or leaves out hosts."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rig import Rig

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    made.write("two", made.hosts("h1", "h2"))
    touch = {"path": f"{made.folder}/{{{{ inventory_hostname }}}}", "state": "touch"}
    made.playbook("p.yml", {"name": "Touch", "ansible.builtin.file": touch})
    return made


def configure(rig: Rig, **freeze: Any) -> None:
    today = datetime.now(UTC).date()
    when = {"from": str(today - timedelta(days=1)), "to": str(today + timedelta(days=2))}
    job = {"playbook": "./p.yml", "schedule": "* * * * *"}
    content = {
        "inventory": "two",
        "time_zone": "UTC",
        "jobs": {"touch": job},
        "freezes": [{"name": "fair", **when, **freeze}],
    }
    rig.write("upkeep.yml", json.dumps(content))


def test_a_frozen_job_is_refused_by_hand_and_says_how_to_force_it(rig: Rig) -> None:
    configure(rig)
    refused = rig.upkeep("run", "touch")
    assert refused.returncode == 2 and "fair, until" in refused.stderr and "--despite-freeze" in refused.stderr
    assert not (rig.folder / "h1").exists()
    assert rig.upkeep("run", "touch", "--check").returncode == 0
    assert rig.upkeep("run", "touch", "--despite-freeze").returncode == 0
    assert (rig.folder / "h1").exists()


def test_frozen_hosts_are_left_out_and_without_others_it_is_skipped(rig: Rig) -> None:
    configure(rig, hosts=["h1"])
    done = rig.upkeep("run", "touch")
    assert done.returncode == 0 and "not on h1: frozen" in done.stderr
    assert not (rig.folder / "h1").exists() and (rig.folder / "h2").exists()

    configure(rig, hosts=["h1", "h2"])
    (rig.folder / "h2").unlink()
    time.sleep(61 - time.time() % 60)  # to the next minute's occurrence
    skipped = rig.upkeep("run", "touch", "--if-due")
    assert skipped.returncode == 0 and "all of its hosts are frozen" in skipped.stderr
    assert not (rig.folder / "h2").exists()
