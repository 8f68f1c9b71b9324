# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user is told of a run that Ansible did not carry out; the lines are ansible-core 2.19's own."""

from __future__ import annotations

import pytest

from upkeep.errors import NOT_RUN, WRONG_USE
from upkeep.running.why import why_not_run


@pytest.mark.parametrize(
    ("said", "what", "exit_code"),
    [
        (
            ["[WARNING]: provided hosts list is empty, only localhost is available."],
            "the inventory /srv/my hosts.yml has no hosts",
            WRONG_USE,
        ),
        (
            ["[ERROR]: Completely failed to parse inventory source /srv/my hosts.yml"],
            "the inventory /srv/my hosts.yml cannot be read",
            WRONG_USE,
        ),
        (
            ["[ERROR]: Specified inventory, host pattern and/or --limit leaves us with no hosts to target."],
            "no host is left to run on",
            WRONG_USE,
        ),
        (["[ERROR]: A playbook must be a list of plays, got a dict instead"], "the playbook cannot be read", WRONG_USE),
        (["[ERROR]: the moon is in the wrong phase"], "Ansible gave up on site.yml", NOT_RUN),
        (["something"], "Ansible ended without saying how site.yml went", NOT_RUN),
    ],
)
def test_each_reason_is_told_apart(said: list[str], what: str, exit_code: int) -> None:
    error = why_not_run(said, "site.yml", ["/srv/my hosts.yml"], None)
    assert error.what == what
    assert error.exit_code == exit_code
    assert error.expected and error.found and error.remedy
