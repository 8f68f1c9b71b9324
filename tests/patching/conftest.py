# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from tests.fleet.fixture import *  # noqa: F403 - fixtures are found by their names here
