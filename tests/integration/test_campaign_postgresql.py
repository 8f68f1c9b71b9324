# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns on a real PostgreSQL server: what is approved, what is killed, and two drivers at once."""

from __future__ import annotations

import pytest

from .test_campaign import (
    test_exactly_what_was_approved_is_carried_out,  # noqa: F401 - its tests, with the store of this module
    test_killed_anywhere_it_goes_on_and_nothing_is_done_by_two,  # noqa: F401
)
from .test_store_postgresql import Server, server, url  # noqa: F401 - fixtures

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(400)]
