# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No test may see, or touch, what the developer uses: their Ansible settings, their Upkeep configuration and store."""

from __future__ import annotations

import os
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Before anything of ours is imported: the same surroundings for `pytest` by hand and for ./run-tests."""
    for name in list(os.environ):
        if name.startswith(("ANSIBLE_", "UPKEEP_")) and not name.startswith("UPKEEP_FLEET_"):
            del os.environ[name]
    home = tempfile.TemporaryDirectory(prefix="upkeep-tests-")
    config.add_cleanup(home.cleanup)
    os.environ["UPKEEP_HOME"] = home.name
