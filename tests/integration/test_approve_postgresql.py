# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Approvals on PostgreSQL: two people who answer at once, and times that come back as they were written."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.integration.test_store_postgresql import Server, server
from upkeep import approval
from upkeep.errors import UpkeepError
from upkeep.store import approvals, audit, firings, open_store

__all__ = ["server"]

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

NOW = 1_772_452_800.123456
"""Seconds since the epoch; a fraction that a float cannot hold exactly."""
PLAN = {"hosts": ["web1"], "failed": [], "changes": [], "more": 1}


def test_of_two_answers_one_counts_and_the_occurrence_goes_on_once(server: Server, tmp_path: Path) -> None:
    url = server.url(server.database())
    with open_store(url, tmp_path) as store:
        run = store.begin_run("check", "p.yml", NOW, job="patch", check_mode=True)
        with store.database.write() as connection:
            firing = firings.claim(connection, "patch", NOW, node="n", now=NOW)
            assert firing is not None and firings.begin(connection, firing, "check")
            approvals.ask(connection, run.number, "patch", "h", PLAN, due=NOW, asked=NOW, until=NOW + 60)
        store.end_run("check", "finished", NOW + 1)
        said: list[str] = []
        together = threading.Barrier(2)

        def answer(yes: bool) -> None:
            with open_store(url, tmp_path) as mine:
                together.wait()
                try:
                    with mine.database.write() as connection:
                        (approval.approve if yes else approval.reject)(connection, run.number, "anna", "", NOW + 2)
                    said.append("yes" if yes else "no")
                except UpkeepError as error:
                    said.append(error.found)

        people = [threading.Thread(target=answer, args=(yes,)) for yes in (True, False)]
        for one in people:
            one.start()
        for one in people:
            one.join()
        assert len({"yes", "no"} & set(said)) == 1 and any("by anna" in one for one in said)
        with store.database.read() as connection:
            acts = [act.action for act in audit.listed(connection, action="approval")]
            found = firings.one(connection, firing)
            to_apply = approvals.to_apply(connection, "patch", NOW)
        assert found is not None
        assert acts == ["approval.given" if "yes" in said else "approval.rejected"]
        assert (found.state == firings.WAITING) == ("yes" in said) == (to_apply is not None)
